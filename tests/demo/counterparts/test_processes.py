"""Starting and ending, the configuration that is written, and one process that plays many provinces."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from adapters.configured import load_configuration
from demo.counterparts import Counterparts, fan
from demo.counterparts.front import front_dsn
from demo.embedded import EmbeddedPostgres
from demo.seed import wellknown as known
from schema.registry import load_registry


def test_the_configuration_is_right_and_its_secrets_are_private(running: Counterparts) -> None:
    """The product's own loader takes sources.toml; every credential is a file for nobody else."""
    configuration = load_configuration(running.sources, load_registry())

    assert list(configuration.source) == [*running.systems, "population"] or set(configuration.source) == {
        *running.systems,
        "population",
    }
    text = running.sources.read_text(encoding="utf-8")
    references = re.findall(r'"file:([^"]+)"', text)
    assert len(references) == 12
    for reference in references:
        assert Path(reference).stat().st_mode & 0o777 == 0o600
        assert Path(reference).read_text().strip() not in text or reference.endswith("shandong-user")


async def test_a_fan_of_provinces(tmp_path: Path, http: aiohttp.ClientSession) -> None:
    """One process, as many sources as wanted, each as late as told, each with its own list."""
    with fan(tmp_path / "fan", 32, 0.05) as running:
        configuration = load_configuration(running.sources, load_registry())
        assert len(configuration.source) == 32
        port = running.systems["fan"].port
        began = time.monotonic()

        async def ask(province: str) -> Any:
            asked = {"key": known.CONTRACTOR, "first": 5}
            async with http.post(f"http://127.0.0.1:{port}/{province}/inspections", json=asked) as answer:
                return (await answer.json())["rows"]

        found = await asyncio.gather(*(ask(name.removeprefix("fan")) for name in configuration.source))
        assert 0.05 < time.monotonic() - began < 2
        assert [len(rows) for rows in found] == [5] * 32
        assert len({row["no"] for rows in found for row in rows}) == 160
        assert len(running.systems["fan"].calls("Enterprise.liveInspections")) == 32
    with pytest.raises(ValueError, match="provinces"):
        fan(tmp_path, 33, 0)


def test_they_end_with_whoever_started_them(tmp_path: Path) -> None:
    """After SIGKILL of the parent no counterpart remains."""
    script = (
        "import pathlib, sys, time; from demo.counterparts import fan;"
        "running = fan(pathlib.Path(sys.argv[1]), 1, 0);"
        "print(running.systems['fan'].pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert Path(f"/proc/{child}").exists()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)
    raise AssertionError("still there")


def test_stopped_means_gone(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    """`stop` waits for every process, and may be called again; SIGTERM is enough."""
    running = fan(tmp_path, 2, 0)
    pid = running.systems["fan"].pid
    running.stop()
    running.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert front_dsn(postgres.dsn).count("/shandong_front") == 1
