"""What is said so that PostgreSQL 15 reads it comes to the same on 18, and forgets nothing of what 18 added."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from adapters.postgres import audit
from tests.declared.tables import another_database

if TYPE_CHECKING:
    from demo.embedded import EmbeddedPostgres


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
