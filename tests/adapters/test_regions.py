"""The supervision tree comes with the product: every migration brings the database up to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from adapters.postgres.migrate import migrate
from adapters.postgres.regions import sync_regions
from schema.regions import UNRESOLVED, load_regions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.embedded import EmbeddedPostgres


@pytest.fixture(scope="module")
async def connection(postgres: EmbeddedPostgres) -> AsyncIterator[Any]:
    """A database that was migrated and nothing else."""
    first = await asyncpg.connect(postgres.dsn)
    await first.execute("create database only_migrated")
    await first.close()
    dsn = postgres.dsn.replace("/postgres?", "/only_migrated?")
    await migrate(dsn)
    opened = await asyncpg.connect(dsn)
    yield opened
    await opened.close()


async def test_a_migrated_database_has_the_whole_tree(connection: Any) -> None:
    """All nodes, the unresolved one included, and all dated aliases."""
    regions = load_regions()

    nodes = await connection.fetch("select node_id, name, parent_node_id from zlaq.region")
    aliases = await connection.fetchval("select count(*) from zlaq.region_alias")

    assert {row["node_id"]: (row["name"], row["parent_node_id"]) for row in nodes} == {
        node.node_id: (node.name, node.parent_node_id) for node in regions.nodes.values()
    }
    assert UNRESOLVED in regions.nodes
    assert aliases == sum(len(listed) for listed in regions.aliases.values())


async def test_what_is_the_same_keeps_its_version(connection: Any) -> None:
    """A second run touches only the node that was changed, and puts that right."""
    await connection.execute("update zlaq.region set name = 'wrong' where node_id = '420106'")
    changed = await connection.fetchval("select version from zlaq.region where node_id = '420106'")

    await sync_regions(connection)

    rows = await connection.fetch("select node_id, name, version from zlaq.region where version > 1")
    assert [tuple(row) for row in rows] == [("420106", load_regions().nodes["420106"].name, changed + 1)]
