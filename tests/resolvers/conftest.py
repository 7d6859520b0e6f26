"""A service compared with the reference, and one with sources that behave as told."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from policy.revision import load_default
from tests.conftest import publish
from tests.declared.tables import another_database, create_tables, insert, opened
from tests.resolvers.sources import CRANES, LIFTS, Monitor, Remote, opened_with
from tests.resolvers.world import World, hostile
from tests.resolvers.world import opened as opened_world
from tests.revisions import open_revision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.embedded import EmbeddedPostgres


@pytest.fixture(scope="module")
async def world(database: str) -> AsyncIterator[World]:
    """A world with policies to compare under; the service is its own, so that the shared one keeps its policy."""
    async with opened_world(database) as found:
        found.snapshots["default"] = found.snapshot(load_default())
        found.snapshots["open"] = found.snapshot(open_revision())
        found.snapshots["hostile"] = hostile(found, Random(1))
        yield found


@pytest.fixture(scope="module")
async def remote_database(postgres: EmbeddedPostgres) -> str:
    """A database with the tests' entities, opened by the revision that their declarations propose."""
    dsn = await another_database(postgres.dsn, "remote")
    await create_tables(dsn)
    await insert(dsn, "crane", CRANES)
    await insert(dsn, "lift", LIFTS)
    await publish(dsn, opened())
    return dsn


@pytest.fixture
async def remote(remote_database: str) -> AsyncIterator[Remote]:
    """The product with two sources that behave."""
    async with opened_with(remote_database, Monitor("monitor"), Monitor("alarms")) as found:
        yield found
