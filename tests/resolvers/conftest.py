"""A service compared with the reference, and one with sources that behave as told."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from policy.revision import load_default
from schema.sdl import build_schema
from server.service import Service
from server.settings import Settings
from tests.conftest import publish
from tests.declared.tables import another_database, create_tables, insert, opened
from tests.reference_graphql import bare
from tests.reference_rows import Tables
from tests.resolvers.sources import CRANES, LIFTS, Monitor, Remote, opened_with
from tests.resolvers.world import World, hostile
from tests.revisions import open_revision

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.embedded import EmbeddedPostgres

LIMITS: Any = {"max_cost": 10_000_000, "max_aliases": 1_000, "max_tokens": 20_000, "max_depth": 30}


@pytest.fixture(scope="module")
async def world(database: str) -> AsyncIterator[World]:
    """A service of our own with a clock of our own, so that the shared one keeps its policy."""
    async with Service.open(Settings(database_url=database, **LIMITS)) as service:
        found = World(
            service, await Tables.read(database, service.registry), bare(build_schema(service.registry).graphql)
        )
        found.snapshots["default"] = found.snapshot(load_default())
        found.snapshots["open"] = found.snapshot(open_revision())
        found.snapshots["hostile"] = hostile(found, Random(1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("server.pipeline.time", SimpleNamespace(time=lambda: found.now))
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
