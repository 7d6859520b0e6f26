"""Crashes under load: no answered request is without its durable audit record, and the product recovers by itself.

A request counts as answered when its whole body arrived with status 200. What the drill compares is request ids: the
header that the client saw against `audit.record`, read after the last restart, so a record that was only in memory
would be missing.
"""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest

from adapters.postgres.migrate import migrate
from demo.embedded import EmbeddedPostgres
from demo.seed import wellknown
from demo.seed.load import load
from policy.revision import load_default
from tests.conftest import publish
from tests.drills.load import Load, Operation, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from pathlib import Path

DEADLINE_MS = 3_000
RECOVERY_SECONDS = 15
# A deadline, a statement that is being cancelled, and a connection attempt that ends with it.
HUNG_AFTER = DEADLINE_MS / 1000 + 4

ONE = Operation("query($k: ProjectNo!) { project(projectNo: $k) { name status } }", {"k": wellknown.PROJECT_COUNTY})
PAGE = Operation("{ projects(first: 20) { nodes { projectNo name contractor { name } } pageInfo { endCursor } } }")
TWO = Operation(
    "query($k: ProjectNo!) { a: project(projectNo: $k) { name } b: enterprises(first: 3) { nodes { name } } }",
    {"k": wellknown.PROJECT_COUNTY},
)
MANY = Operation(
    "query($r: [_Any!]!) { _entities(representations: $r) { ... on Project { name } ... on Enterprise { name } } }",
    {"r": [
        {"__typename": "Project", "projectNo": wellknown.PROJECT_COUNTY},
        {"__typename": "Enterprise", "uscc": wellknown.CONTRACTOR},
    ]},
)  # fmt: skip
DENIED = Operation("query($k: PersonNo!) { person(personNo: $k) { name } }", {"k": wellknown.PERSON})
ROOTS = {ONE: 1, PAGE: 1, TWO: 2, MANY: 2, DENIED: 1}
"""Records that an answer to the public leaves behind: one a statement, and one where there is none."""


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread of its own: the main one must be free to start servers."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def seed(dsn: str) -> None:
    """A database as the product finds it, with the miniature of the demo."""
    await migrate(dsn)
    await load(dsn, 0.001)
    await publish(dsn, load_default())


async def recorded(dsn: str) -> dict[str, list[str]]:
    """Request id to the decisions of its records; every decision that a record names must be there."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "select r.request_id, r.decision, d.hash from audit.record r left join audit.decision d"
            " on d.hash = r.decision"
        )
    finally:
        await connection.close()
    assert [row for row in rows if row["hash"] is None] == []
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(row["request_id"], []).append(row["decision"])
    return found


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A database server that may be killed."""
    server = EmbeddedPostgres("drill", root=tmp_path_factory.mktemp("drill"), settings={"shared_buffers": "64MB"})
    server.start()
    run(seed(server.dsn))
    yield server
    server.kill()  # spares the checkpoint
    server.destroy()


@pytest.fixture
def served(own: EmbeddedPostgres, tmp_path: Path) -> Iterator[ServerProcess]:
    """The product on that database, with a published audit chain."""
    settings = {
        "AUDIT_HEADS": str(tmp_path / "heads.jsonl"),
        "REQUEST_DEADLINE_MS": str(DEADLINE_MS),
        "STATEMENT_TIMEOUT_MS": "2000",
        "MAX_COST": "100000",
    }
    run(forget(own.dsn))
    with ServerProcess(own.dsn, tmp_path, settings) as process:
        yield process


async def forget(dsn: str) -> None:
    """Empty the trail, since every run publishes its heads elsewhere."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set session_replication_role = replica; truncate audit.record, audit.seal")
    finally:
        await connection.close()


def operations(served: ServerProcess) -> list[Operation]:
    """The load: each kind of statement as the public, and one key as a county."""
    county = served.issuer.mint("county")
    return [*ROOTS, Operation(ONE.query, ONE.variables, county)]


def examine(asked: Load, dsn: str, at_least: int) -> None:
    """Every answer has its records, every refusal is a known one, nothing waited past its deadline."""
    trail = run(recorded(dsn))
    answered = asked.answered
    assert len(answered) >= at_least
    missing = [o for o in answered if len(trail.get(o.request_id, [])) < ROOTS.get(o.operation, 1)]
    assert [(o.request_id, o.operation.query, trail.get(o.request_id)) for o in missing] == []
    assert len({o.request_id for o in answered}) == len(answered)
    refused = {
        (o.status, orjson.loads(o.body)["errors"][0]["extensions"]["code"])
        for o in asked.outcomes
        if o.status not in (200, None)
    }
    assert refused <= {(503, "ZQ502"), (503, "ZQ503"), (504, "ZQ504"), (504, "ZQ505")}, refused
    assert {o.error for o in asked.outcomes} <= {
        "", "ConnectError", "ReadError", "WriteError", "RemoteProtocolError",
    }  # fmt: skip
    assert max(o.seconds for o in asked.outcomes) < HUNG_AFTER


def kill_database(own: EmbeddedPostgres, served: ServerProcess, times: int) -> None:
    """Crash PostgreSQL again and again; the server's process lives on and needs nobody."""
    chance = random.Random(times)
    process = served.process
    assert process is not None
    with Load(served.address, operations(served)) as asked:
        for _ in range(times):
            before = len(asked.answered)
            time.sleep(chance.uniform(0.2, 0.7))
            own.kill()
            time.sleep(chance.uniform(0, 0.3))
            own.start()
            assert served.becomes_ready(RECOVERY_SECONDS), served.log_file.read_text()[-3000:]
            assert len(asked.answered) > before, "nothing was answered before the crash"
        until = time.monotonic() + RECOVERY_SECONDS
        known = len(asked.answered)
        while len(asked.answered) < known + 50 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(asked.answered) >= known + 50, "ready, but not answering"
    assert process.poll() is None
    examine(asked, own.dsn, at_least=20 * times)


def kill_server(own: EmbeddedPostgres, served: ServerProcess, times: int) -> None:
    """Crash the server's process again and again; started anew it goes on with the same audit chain."""
    chance = random.Random(times)
    with Load(served.address, operations(served)) as asked:
        for _ in range(times):
            before = len(asked.answered)
            time.sleep(chance.uniform(0.3, 0.8))
            served.kill()
            assert len(asked.answered) > before, "nothing was answered before the crash"
            served.start()
        time.sleep(0.5)
    examine(asked, own.dsn, at_least=20 * times)
    assert served.stop() == 0
    assert "audit_failed" not in served.log_file.read_text()


def test_the_database_is_killed_five_times(own: EmbeddedPostgres, served: ServerProcess):
    """`kill -9` of PostgreSQL under load: what was answered is recorded, and the server takes up work by itself."""
    kill_database(own, served, 5)


def test_the_server_is_killed_five_times(own: EmbeddedPostgres, served: ServerProcess):
    """`kill -9` of the server under load: what was answered is recorded, and the trail goes on unbroken."""
    kill_server(own, served, 5)


def test_a_connection_is_killed_while_its_statement_runs(own: EmbeddedPostgres, served: ServerProcess):
    """A backend that is terminated takes only its own statements with it; nobody waits for their deadline."""
    with Load(served.address, operations(served)) as asked:
        for _ in range(10):
            time.sleep(0.1)
            run(terminate(own.dsn))
        time.sleep(0.5)
    examine(asked, own.dsn, at_least=10)
    # A caller whose statement was lost is told so at once, and not when its deadline comes.
    assert max(o.seconds for o in asked.outcomes) < DEADLINE_MS / 1000


async def terminate(dsn: str) -> None:
    """End every session of the server but this one."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'zlaq'"
        )
    finally:
        await connection.close()


def test_a_stopped_server_answers_what_it_has_begun(own: EmbeddedPostgres, served: ServerProcess):
    """SIGTERM under load: no answer is cut, each is recorded, and the process ends with 0 in time."""
    with Load(served.address, operations(served)) as asked:
        time.sleep(0.6)
        began = time.monotonic()
        assert served.stop() == 0
        assert time.monotonic() - began < 15
        time.sleep(0.2)
    examine(asked, own.dsn, at_least=20)


@pytest.mark.prove
def test_the_database_is_killed_twenty_times(own: EmbeddedPostgres, served: ServerProcess):
    """The long form of the drill."""
    kill_database(own, served, 20)


@pytest.mark.prove
def test_the_server_is_killed_twenty_times(own: EmbeddedPostgres, served: ServerProcess):
    """The long form of the drill."""
    kill_server(own, served, 20)
