"""What a drill reads and writes in the database beside the product: its seed, and the trail of what was answered."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import asyncpg

from adapters.postgres.migrate import migrate
from demo.seed.load import load
from policy.revision import load_default
from tests.conftest import publish

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Recorded(NamedTuple):
    """What a record says that a drill compares."""

    root: str
    revision: str
    decision: str


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread of its own: the main one must be free to start servers."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def seed(dsn: str) -> None:
    """A database as the product finds it, with the miniature of the demo."""
    await migrate(dsn)
    await load(dsn, 0.001)
    await publish(dsn, load_default())


async def execute(dsn: str, *statements: str) -> list[Any]:
    """Run statements as the database's owner; the rows of the last one."""
    connection = await asyncpg.connect(dsn)
    rows: list[Any] = []
    try:
        for statement in statements:
            rows = await connection.fetch(statement)
    finally:
        await connection.close()
    return rows


async def recorded(dsn: str) -> dict[str, list[Recorded]]:
    """Request id to its records; every decision that a record names must be there."""
    rows = await execute(
        dsn,
        "select r.request_id, r.root, r.revision, r.decision, d.hash from audit.record r left join audit.decision d"
        " on d.hash = r.decision",
    )
    assert [row for row in rows if row["hash"] is None] == []
    found: dict[str, list[Recorded]] = {}
    for row in rows:
        found.setdefault(row["request_id"], []).append(Recorded(*row[1:4]))
    return found


async def forget(dsn: str) -> None:
    """Empty the trail, since every run publishes its heads elsewhere."""
    await execute(dsn, "set session_replication_role = replica", "truncate audit.record, audit.seal")
