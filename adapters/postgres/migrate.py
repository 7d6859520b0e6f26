"""Brings a database to the state this version of the program expects: migrations, derived indexes, rights to read.

Migrations are the .sql files beside this module, applied in the order of their names, each in a transaction of its own,
and never changed once applied. Run as the owner of the schema; several at once wait for each other.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

import asyncpg

from adapters.postgres.columns import ACTUAL_COLUMNS, SCHEMA, Column
from adapters.postgres.indexes import PREFIX, Index, index_statements
from adapters.postgres.regions import sync_regions
from schema.registry import load_registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Connection = asyncpg.Connection[asyncpg.Record]

# "zlaq" in ASCII; other programs on the same database take other numbers.
_LOCK = 0x7A6C6171

_LEDGER = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
CREATE TABLE IF NOT EXISTS {SCHEMA}.migration (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""

_EXISTING_INDEXES = """
SELECT c.relname::text AS name, coalesce(obj_description(c.oid, 'pg_class'), '') AS definition
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relkind = 'i' AND starts_with(c.relname, $2)
"""


class MigrationRefused(Exception):
    """The database's history is not the beginning of this program's: `name` is the migration at fault."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, which orders it, and its statements."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """What the ledger keeps, to notice a file that was changed after it was applied."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def packaged_migrations() -> tuple[Migration, ...]:
    """The migrations of this version, in order."""
    folder = files("adapters.postgres").joinpath("migrations")
    found = [Migration(path.name, path.read_text(encoding="utf-8")) for path in folder.iterdir()]
    return tuple(sorted((m for m in found if m.name.endswith(".sql")), key=lambda m: m.name))


async def migrate(
    dsn: str, migrations: Sequence[Migration] | None = None, entity_packages: Sequence[str] = ()
) -> list[str]:
    """Apply what is missing, write the regions, build the derived indexes, grant reading.

    Returns the names of what was applied.

    `entity_packages` hold an operator's own entities, whose tables are there already.

    Raises `MigrationRefused` before anything is applied, if an applied file has changed or is unknown here.
    """
    connection = await asyncpg.connect(dsn)
    try:
        # Held by the session, so it spans the transactions and ends with the connection whatever happens.
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
        applied = await _apply(connection, packaged_migrations() if migrations is None else migrations)
        if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.region") is not None:
            await sync_regions(connection)
        await sync_indexes(connection, index_statements(load_registry(*entity_packages)))
        await _grant(connection)
        return applied
    finally:
        await connection.close()


async def _apply(connection: Connection, migrations: Sequence[Migration]) -> list[str]:
    known: dict[str, str] = {}
    if await connection.fetchval("SELECT to_regclass($1)", f"{SCHEMA}.migration") is not None:
        for row in await connection.fetch(f"SELECT name, sha256 FROM {SCHEMA}.migration ORDER BY name"):
            known[row["name"]] = row["sha256"]
    here = {migration.name: migration for migration in migrations}
    for name, sha256 in known.items():
        if name not in here:
            raise MigrationRefused(name, "applied to this database, but unknown to this version of the program")
        if sha256 != here[name].sha256:
            raise MigrationRefused(name, "changed after it was applied; write a new migration instead")
    pending = [migration for migration in migrations if migration.name not in known]
    for migration in pending:
        async with connection.transaction():
            await connection.execute(migration.sql)
            # After the file, for the first one may create the schema itself.
            await connection.execute(_LEDGER)
            await connection.execute(
                f"INSERT INTO {SCHEMA}.migration (name, sha256) VALUES ($1, $2)", migration.name, migration.sha256
            )
    return [migration.name for migration in pending]


async def sync_indexes(connection: Connection, indexes: Iterable[Index]) -> None:
    """Create the derived indexes that are missing or changed, drop those that no declaration implies any more."""
    wanted = {index.name: index for index in indexes}
    existing = await _existing_indexes(connection)
    for name, definition in existing.items():
        if name not in wanted or wanted[name].definition != definition:
            await connection.execute(f"DROP INDEX {SCHEMA}.{name}")
    for index in wanted.values():
        if existing.get(index.name) != index.definition:
            await create_index(connection, index)


async def create_index(connection: Connection, index: Index) -> None:
    """Create one derived index, with its definition as its comment."""
    async with connection.transaction():
        await connection.execute(index.statement)
        await connection.execute(f"COMMENT ON INDEX {SCHEMA}.{index.name} IS '{index.definition}'")


async def drop_indexes(connection: Connection) -> None:
    """Drop all derived indexes, which a bulk load does first."""
    for name in await _existing_indexes(connection):
        await connection.execute(f"DROP INDEX {SCHEMA}.{name}")


async def _existing_indexes(connection: Connection) -> Mapping[str, str]:
    rows = await connection.fetch(_EXISTING_INDEXES, SCHEMA, PREFIX)
    return {row["name"]: row["definition"] for row in rows}


async def actual_columns(connection: Connection, table: str) -> Mapping[str, Column]:
    """The columns of a table as they are, for `columns.drift`; empty if there is no such table."""
    rows = await connection.fetch(ACTUAL_COLUMNS, table)
    return MappingProxyType({row["name"]: Column(**dict(row)) for row in rows})


async def _grant(connection: Connection) -> None:
    """Column by column, so that a statement of the reading role cannot name an internal one even by mistake."""
    if not await connection.fetchval("SELECT count(*) = 2 FROM pg_roles WHERE rolname IN ('zlaq_read', 'zlaq_write')"):
        return
    entities = [entity.table for entity in load_registry().entities.values()]
    statements = [f"GRANT USAGE ON SCHEMA {SCHEMA} TO zlaq_read, zlaq_write"]
    for table in (*entities, "region_alias", "open_case", "migration"):
        columns = [c.name for c in (await actual_columns(connection, table)).values() if not c.internal]
        if columns:
            statements.append(f"GRANT SELECT ({', '.join(columns)}) ON {SCHEMA}.{table} TO zlaq_read")
    written = [f"{SCHEMA}.{table}" for table in (*entities, "region_alias", "open_case", "unmapped_code")]
    statements.append(f"GRANT SELECT, INSERT, UPDATE ON {', '.join(written)} TO zlaq_write")
    await connection.execute(";\n".join(statements))


async def build_indexes(
    dsn: str, indexes: Sequence[Index], connections: int, done: Callable[[int], None] | None = None
) -> None:
    """Create derived indexes on several connections at once, for a bulk load; `done` is told how many are ready."""
    pending = list(reversed(indexes))

    async def build() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("SET maintenance_work_mem = '256MB'; SET max_parallel_maintenance_workers = 0")
            while pending:
                await create_index(connection, pending.pop())
                if done:
                    done(len(indexes) - len(pending))
        finally:
            await connection.close()

    async with asyncio.TaskGroup() as builders:
        for _ in range(connections):
            builders.create_task(build())
