"""The migration of the tests' entities, and the database that has them beside the product's own tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from adapters.postgres.indexes import index_statements
from adapters.postgres.migrate import create_index, migrate
from policy.revision import Revision, load_default
from schema.registry import load_registry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGE = "tests.declared"
OWN = ("Crane", "Lift", "Reading", "Alarm", "Score")
_GOVERNED = """
    manage text NOT NULL,
    manage_p2 text NOT NULL GENERATED ALWAYS AS (left(manage, 2)) STORED,
    manage_p4 text NOT NULL GENERATED ALWAYS AS (left(manage, 4)) STORED,
    owner_dept text NOT NULL DEFAULT '-',
    holder_uscc text NOT NULL DEFAULT '-',
    case_no text NOT NULL DEFAULT '-',
    sens integer NOT NULL DEFAULT 0,
    version integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT '2026-01-01Z',
    source_id text,
    data_as_of timestamptz
"""
TABLES = f"""
CREATE TABLE zlaq.crane (
    crane_no text PRIMARY KEY, name text, height numeric, floors integer, erected_on date, checked_at timestamptz,
    hazard text CHECK (hazard IN ('1', '2')), tags text[] NOT NULL DEFAULT '{{}}', in_use boolean, manager text,
    price numeric, serial text, twin_no text, {_GOVERNED}
);
CREATE TABLE zlaq.lift (
    lift_no text PRIMARY KEY, crane_no text NOT NULL, name text, sensor_no text, {_GOVERNED}
);
GRANT SELECT ON zlaq.crane, zlaq.lift TO zlaq_read;
"""


async def another_database(dsn: str, name: str) -> str:
    """A migrated database of its own on the same server; its address."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    fresh = dsn.replace("/postgres?", f"/{name}?")
    await migrate(fresh)
    return fresh


async def create_tables(dsn: str) -> None:
    """Run the migration, and build the indexes that the declarations imply."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(TABLES)
        for index in index_statements(load_registry(PACKAGE)):
            if index.table in ("crane", "lift"):
                await create_index(connection, index)
    finally:
        await connection.close()


async def insert(dsn: str, table: str, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows of any columns."""
    connection = await asyncpg.connect(dsn)
    try:
        for row in rows:
            places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
            await connection.execute(f"INSERT INTO zlaq.{table} ({', '.join(row)}) VALUES ({places})", *row.values())
    finally:
        await connection.close()


def opened(*, to: Mapping[str, str] | None = None) -> Revision:
    """The default revision with the classes that the tests' declarations propose, some of them changed."""
    default = load_default()
    own = {
        coordinate: str(sharing)
        for coordinate, sharing in load_registry(PACKAGE).proposals().items()
        if coordinate.split(".")[0] in OWN
    }
    return Revision(default.rules, {**default.classes, **own, **(to or {})}, default.kinds)
