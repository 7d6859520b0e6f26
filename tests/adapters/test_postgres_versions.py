"""What is said so that PostgreSQL 15 reads it comes to the same on 18, and forgets nothing of what 18 added."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import asyncpg
import pytest

from adapters.postgres import audit
from adapters.postgres.migrate import migrate, packaged_migrations
from tests.declared.tables import another_database

if TYPE_CHECKING:
    from demo.embedded import EmbeddedPostgres


async def test_the_earlier_spelling_of_the_foundation_counts(postgres: EmbeddedPostgres) -> None:
    """A database made before PostgreSQL 15 could read that migration is up to date, and stores its records alike."""
    dsn = await another_database(postgres.dsn, "earlier")
    foundation = packaged_migrations()[0]
    earlier = re.sub(r"-- In the column's .*\nALTER .*\n", "", foundation.sql)
    earlier = earlier.replace("rows text NOT NULL", "rows text STORAGE EXTERNAL NOT NULL")
    applied = replace(foundation, sql=earlier)
    connection = await asyncpg.connect(dsn)
    try:
        update = "UPDATE zlaq.migration SET sha256 = $2 WHERE name = $1"
        await connection.execute(update, applied.name, applied.sha256)

        assert await migrate(dsn) == []
        stored = "SELECT attrelid::regclass::text, attstorage::text FROM pg_attribute WHERE attname = 'rows' ORDER BY 1"
        found = [tuple(row) for row in await connection.fetch(stored)]
        assert found == [("audit.record", "e"), ("audit.record_rest", "e")]
    finally:
        await connection.close()


async def test_every_right_of_this_version_is_looked_for(postgres: EmbeddedPostgres) -> None:
    """Whatever this server can grant on a table (17 added MAINTAIN), the reading role is refused but for SELECT."""
    owner = await asyncpg.connect(await another_database(postgres.dsn, "rights"))
    try:
        rights = await owner.fetch(
            "SELECT privilege_type AS name FROM aclexplode(acldefault('r', 'postgres'::regrole))"
        )
        assert len(rights) >= 7
        for right in {row["name"] for row in rights} - {"SELECT"}:
            await owner.execute(f"GRANT {right} ON zlaq.region TO zlaq_read; SET ROLE zlaq_read")
            with pytest.raises(audit.PrivilegesTooWide, match=rf"^{right} on zlaq\.region"):
                await audit.check_durable(owner)
            await owner.execute(f"RESET ROLE; REVOKE {right} ON zlaq.region FROM zlaq_read")
        await owner.execute("SET ROLE zlaq_read")
        await audit.check_durable(owner)
    finally:
        await owner.close()
