"""The embedded PostgreSQL keeps its data, survives crashes and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from demo.embedded import EmbeddedPostgres, PostgresUnavailable, processes

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = {"shared_buffers": "16MB", "max_wal_size": "256MB"}

STARTER = """
import sys, time
from pathlib import Path
from demo.embedded import EmbeddedPostgres

server = EmbeddedPostgres("orphan", root=Path(sys.argv[1]), settings={"shared_buffers": "16MB"})
server.start()
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres("test", root=tmp_path, settings=SMALL)
    yield server
    server.destroy()


async def execute(dsn: str, *statements: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements[:-1]:
            await connection.execute(statement)
        return await connection.fetchval(statements[-1])
    finally:
        await connection.close()


def programs(server: EmbeddedPostgres) -> Path:
    """The folder of what a running server was started from."""
    return Path(f"/proc/{server.pid}/exe").resolve().parent


def alive(pid: int) -> bool:
    return processes().get(pid, ("Z", 0))[0] != "Z"


async def test_restart_keeps_the_data_and_is_quick(server: EmbeddedPostgres) -> None:
    """What was committed is there after a stop and a start, and a second start takes under five seconds."""
    dsn = server.start()
    await execute(dsn, "CREATE TABLE kept AS SELECT '工程'::text AS word", "SELECT 1")
    server.stop()

    assert server.pid is None

    began = time.monotonic()
    server.start()

    assert time.monotonic() - began < 5
    assert await execute(dsn, "SELECT word FROM kept") == "工程"


async def test_a_killed_server_recovers_what_was_committed(server: EmbeddedPostgres) -> None:
    """After SIGKILL of every process, the stale lock file is overcome and committed rows are there."""
    dsn = server.start()
    await execute(dsn, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1) RETURNING n")
    assert server.pid is not None
    children = [pid for pid, (_, parent) in processes().items() if parent == server.pid]
    family = [server.pid, *children]
    server.kill()

    assert len(children) >= 4
    assert [pid for pid in family if alive(pid)] == []
    assert (server.data_directory / "postmaster.pid").exists()

    server.start()

    assert await execute(dsn, "SELECT n FROM kept") == 1


def test_socket_path_fits_and_is_private(server: EmbeddedPostgres) -> None:
    """The socket's path keeps to the system's limit, and nobody else may enter its directory."""
    server.start()
    directory = Path(server.dsn.partition("host=")[2].partition("&")[0])

    assert len(os.fsencode(directory / ".s.PGSQL.5432")) <= 107
    assert directory.stat().st_mode & 0o777 == 0o700


async def test_settings_and_locale(server: EmbeddedPostgres) -> None:
    """Text sorts by byte while letters of any script are letters; fsync is on whatever the caller wants."""
    dsn = server.start()

    assert await execute(dsn, "SELECT datcollate || ' ' || datctype FROM pg_database WHERE datname = 'postgres'") == (
        "C C.UTF-8"
    )
    assert await execute(dsn, "SELECT '质' ~ '\\w'") is True
    assert await execute(dsn, "SHOW shared_buffers") == "16MB"
    assert await execute(dsn, "SHOW fsync") == "on"
    assert await execute(dsn, "SHOW listen_addresses") == ""
    with pytest.raises(ValueError, match="fsync"):
        EmbeddedPostgres("test", settings={"fsync": "off"})


def test_server_is_out_of_reach_of_the_terminal(server: EmbeddedPostgres) -> None:
    """It leads its own session, so Ctrl-C does not stop it before the API server."""
    server.start()
    assert server.pid is not None

    assert os.getsid(server.pid) == server.pid != os.getsid(0)


def test_a_second_server_on_the_same_data_is_refused(server: EmbeddedPostgres, tmp_path: Path) -> None:
    """Starting twice says which process already serves the data, and leaves that one alone."""
    server.start()
    with pytest.raises(RuntimeError, match=f"already served by process {server.pid}"):
        EmbeddedPostgres("test", root=tmp_path, settings=SMALL).start()

    assert server.pid is not None


async def test_another_installation_has_data_of_its_own(
    server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ZLAQ_PG_BIN names its programs; it serves beside the other one, in data named by its major version."""
    server.start()
    monkeypatch.delenv("ZLAQ_PG_BIN", raising=False)
    plain = EmbeddedPostgres("test", root=tmp_path, settings=SMALL)
    monkeypatch.setenv("ZLAQ_PG_BIN", str(programs(server)))
    other = EmbeddedPostgres("test-of", root=tmp_path, settings=SMALL)
    try:
        version = await execute(other.start(), "SELECT current_setting('server_version_num')::int / 10000")

        assert (plain.data_directory.name, other.data_directory.name) == ("test", f"test-of-{version}")
        assert (other.data_directory / "PG_VERSION").read_text() == f"{version}\n"
        assert await execute(server.dsn, "SELECT 1") == 1
    finally:
        other.destroy()

    monkeypatch.setenv("ZLAQ_PG_BIN", str(tmp_path))
    with pytest.raises(PostgresUnavailable, match="must be a folder with PostgreSQL's programs"):
        EmbeddedPostgres("test", root=tmp_path)


def test_death_of_the_starter_stops_the_server(tmp_path: Path) -> None:
    """SIGKILL of the starting process ends PostgreSQL, and the next start waits for its last checkpoint."""
    successor = EmbeddedPostgres("orphan", root=tmp_path, settings=SMALL)
    try:
        with subprocess.Popen([sys.executable, "-c", STARTER, tmp_path], stdout=subprocess.PIPE, text=True) as starter:
            assert starter.stdout is not None
            orphan = int(starter.stdout.readline())
            starter.send_signal(signal.SIGKILL)
        successor.start()

        assert not alive(orphan)
    finally:
        successor.destroy()
