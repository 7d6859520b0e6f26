"""`zlaq up` as a newcomer runs it: it starts, answers, survives, and leaves nothing running."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.embedded import EmbeddedPostgres
from demo.seed import wellknown
from server.settings import ELSEWHERE, PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
QUERY = f'{{ project(projectNo: "{wellknown.PROJECT_ELSEWHERE}") {{ name totalInvestment }} }}'


class Demo:
    """One demo of the tests' own."""

    def __init__(self, root: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.root = root
        self.database = EmbeddedPostgres("demo", root=root)
        self.state = self.database.data_directory.parent / "demo-state"
        kept = {n: v for n, v in os.environ.items() if n in ELSEWHERE or not n.startswith(PREFIX)}
        self.environment = kept | {"ZLAQ_PORT": str(self.port), "PYTHONPATH": str(CHECKOUT)}

    def command(self, program: str, *arguments: str) -> list[str]:
        return [sys.executable, "-c", program, *arguments]

    def start(self) -> subprocess.Popen[str]:
        program = "from demo.up import up; up()"
        return subprocess.Popen(
            self.command(program, "--root", str(self.root), "--scale", "0.0005"),
            env=self.environment, cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def wait(self, process: subprocess.Popen[str], seconds: float) -> float:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            assert process.poll() is None, process.stdout and process.stdout.read()
            try:
                self.get("ready")
            except OSError:
                time.sleep(0.05)
            else:
                return time.monotonic() - began
        pytest.fail("not ready in time")

    def get(self, path: str, body: object = None, token: str | None = None) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def zlaq(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        lines = next(self.state.glob("environment-*")).read_text().splitlines()
        told = {name: value.strip("'") for name, _, value in (line.partition("=") for line in lines)}
        return subprocess.run(
            self.command("from server.cli import main; main()", *arguments),
            env=self.environment | told, cwd=self.root, input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    shutil.rmtree(demo.state, ignore_errors=True)
    demo.database.destroy()


def test_up(demo: Demo) -> None:
    process = demo.start()
    demo.wait(process, 120)
    tokens = {caller["role"]: caller["token"] for caller in demo.get("demo/tokens")["callers"]}
    seen = {role: demo.get("graphql", {"query": QUERY}, token)["data"]["project"] for role, token in tokens.items()}
    assert seen["ministry"]["totalInvestment"]
    assert seen["public"]["totalInvestment"] is None
    assert seen["public"]["name"] == seen["county"]["name"]

    # Another terminal.
    result = demo.zlaq("query", "--as", "ministry", "-", stdin=QUERY)
    assert (result.returncode, json.loads(result.stdout)["data"]["project"]) == (0, seen["ministry"])
    result = demo.zlaq("query", "-", stdin="{ nothing }")
    assert (result.returncode, "ZQ111" in result.stdout) == (1, True)
    result = demo.zlaq("explain", "--as", "county", "-", stdin=QUERY)
    assert (result.returncode, "totalInvestment" in result.stdout) == (0, True), result.stderr
    result = demo.zlaq("policy", "sync", "--in-force")
    assert result.returncode == 0, result.stderr
    second = demo.start()
    text = second.communicate(timeout=60)[0]
    assert (second.returncode, "cannot listen on" in text) == (1, True)

    process.send_signal(signal.SIGTERM)
    text = process.communicate(timeout=60)[0]
    assert (process.returncode, "Authorization: Bearer" in text) == (0, True)
    assert not demo.database.data_directory.joinpath("postmaster.pid").exists()

    # The data and the tokens survive; Ctrl-C.
    process = demo.start()
    assert demo.wait(process, 60) < 20
    assert demo.get("graphql", {"query": QUERY}, tokens["ministry"])["data"]["project"] == seen["ministry"]
    process.send_signal(signal.SIGINT)
    text = process.communicate(timeout=60)[0]
    assert (process.returncode, "loading demo data" in text) == (0, False)
    assert not demo.database.data_directory.joinpath("postmaster.pid").exists()


def test_interrupted_while_loading(demo: Demo) -> None:
    process = demo.start()
    assert process.stdout is not None
    while "loading demo data" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert not demo.database.data_directory.joinpath("postmaster.pid").exists()
    process = demo.start()
    demo.wait(process, 120)
    assert demo.get("graphql", {"query": QUERY})["data"]["project"]["name"]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
