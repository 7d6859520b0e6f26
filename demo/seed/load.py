"""Fills an empty, migrated database by COPY, with triggers off and derived indexes built afterwards.

Triggers are switched off for the loading sessions only (`session_replication_role`, which takes a superuser), never for
the tables, so that an interrupted run leaves no table without them. What triggers would have written is therefore
checked at the end.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import asyncpg

from adapters.postgres.columns import SCHEMA
from adapters.postgres.indexes import index_statements
from adapters.postgres.migrate import build_indexes, drop_indexes, migrate
from demo.seed.generate import Batch, Sizes, all_batches
from demo.seed.rows import TABLES
from schema.registry import load_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    Progress = Callable[[str, int, int], None]

# Below this a second process costs more to start than it saves.
_WORTH_A_PROCESS = 20
_MARK = "demo data, scale "

MISMATCHES = f"""
SELECT (
    SELECT count(*) FROM {SCHEMA}.safety_inspection i LEFT JOIN {SCHEMA}.project p USING (project_no)
    WHERE (i.manage, i.site, i.holder_uscc, i.case_no, i.sens) IS DISTINCT FROM (
        coalesce(p.manage, '999999'), coalesce(p.site, '999999'), coalesce(p.holder_uscc, '-'),
        coalesce(p.case_no, '-'), coalesce(p.sens, i.sens))
) + (
    SELECT count(*) FROM {SCHEMA}.finding f
    LEFT JOIN {SCHEMA}.safety_inspection i ON i.inspection_no = f.parent_no AND f.parent_type = 'SAFETY'
    WHERE (f.manage, f.site, f.owner_dept, f.holder_uscc, f.case_no, f.sens) IS DISTINCT FROM (
        coalesce(i.manage, '999999'), coalesce(i.site, '999999'), coalesce(i.owner_dept, f.owner_dept),
        coalesce(i.holder_uscc, '-'), coalesce(i.case_no, '-'), coalesce(i.sens, f.sens))
)
"""
"""How many inspections and findings differ from what their parent says."""


class NotEmpty(Exception):
    """The database has data already, which seeding would mix with; nothing was changed."""


class SeedMismatch(Exception):
    """Rows differ from what the triggers would have written: a defect of the generator, not of the database."""


async def load(dsn: str, scale: float, progress: Progress | None = None, *, replace: bool = False) -> dict[str, float]:
    """Migrate, load and index; returns seconds by phase. `progress` is told phase, done and total.

    Raises `NotEmpty` unless `replace` says that whatever is there may go.
    """
    sizes = Sizes.of(scale)
    tell = progress or (lambda *_: None)
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    try:
        if await connection.fetchval(f"SELECT {' OR '.join(f'EXISTS (TABLE {SCHEMA}.{t})' for t in TABLES.values())}"):
            if not replace:
                raise NotEmpty
            await connection.execute(f"TRUNCATE {', '.join(f'{SCHEMA}.{table}' for table in TABLES.values())}")
        await connection.execute(f"COMMENT ON SCHEMA {SCHEMA} IS NULL")
        await drop_indexes(connection)
        seconds = {"copy": await _timed(_copy(dsn, sizes, tell))}
        seconds["index"] = await _timed(_index(dsn, tell))
        seconds["vacuum"] = await _timed(_vacuum(connection, tell))
        seconds["verify"] = await _timed(_verify(connection, tell))
        await connection.execute(f"COMMENT ON SCHEMA {SCHEMA} IS '{_MARK}{scale:g}'")
        return seconds
    finally:
        await connection.close()


async def loaded_scale(dsn: str) -> float | None:
    """The scale of the data that are there; `None` for anything but a complete load."""
    connection = await asyncpg.connect(dsn)
    try:
        comment = await connection.fetchval(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1", SCHEMA
        )
    finally:
        await connection.close()
    return float(comment.removeprefix(_MARK)) if comment and comment.startswith(_MARK) else None


async def _timed(phase: Coroutine[None, None, None]) -> float:
    began = time.monotonic()
    await phase
    return time.monotonic() - began


async def _copy(dsn: str, sizes: Sizes, tell: Progress) -> None:
    batches = all_batches(sizes)
    if len(batches) < _WORTH_A_PROCESS:
        for done, batch in enumerate(batches, start=1):
            await _copy_batch(dsn, batch)
            tell("copy", done, len(batches))
        return
    loop = asyncio.get_running_loop()
    # Spawned: a fork would share this process's connection and event loop.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        running = [loop.run_in_executor(pool, _copy_alone, dsn, batch) for batch in batches]
        try:
            for done, finished in enumerate(asyncio.as_completed(running), start=1):
                await finished
                tell("copy", done, len(batches))
        finally:
            for task in running:
                task.cancel()


def _copy_alone(dsn: str, batch: Batch) -> None:
    asyncio.run(_copy_batch(dsn, batch))


async def _copy_batch(dsn: str, batch: Batch) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        for rows in batch.rows():
            kind = type(rows[0])
            await connection.copy_records_to_table(TABLES[kind], schema_name=SCHEMA, columns=kind._fields, records=rows)
    finally:
        await connection.close()


async def _index(dsn: str, tell: Progress) -> None:
    indexes = index_statements(load_registry())
    await build_indexes(dsn, indexes, 2, lambda done: tell("index", done, len(indexes)))


async def _vacuum(connection: asyncpg.Connection[asyncpg.Record], tell: Progress) -> None:
    """Index-only scans need the visibility map, plans need statistics."""
    for done, table in enumerate(TABLES.values(), start=1):
        await connection.execute(f"VACUUM (FREEZE, ANALYZE) {SCHEMA}.{table}")
        tell("vacuum", done, len(TABLES))


async def _verify(connection: asyncpg.Connection[asyncpg.Record], tell: Progress) -> None:
    if mismatches := await connection.fetchval(MISMATCHES):
        raise SeedMismatch(f"{mismatches} rows differ from their parent")
    tell("verify", 1, 1)
