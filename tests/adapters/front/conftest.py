"""A province's database on the server of the run, reached through a wire on loopback as its own login."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from tests.adapters.front.province import NAME, TABLES, driver_to
from tests.adapters.front.wire import Wire, socket_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from adapters.front.driver import FrontDriver
    from demo.embedded import EmbeddedPostgres


@pytest.fixture(scope="module")
async def province(postgres: EmbeddedPostgres) -> str:
    """Address of the province's database for its owner."""
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute(f"DROP DATABASE IF EXISTS {NAME}")
    await connection.execute(f"CREATE DATABASE {NAME} TEMPLATE template0")
    for role in ("front_reader", "front_stranger"):
        if not await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1", role):
            await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    await connection.close()
    return postgres.dsn.replace("/postgres?", f"/{NAME}?")


@pytest.fixture
async def owner(province: str) -> AsyncIterator[Any]:
    """The owner's connection; its tables are new for every test."""
    connection = await asyncpg.connect(province)
    await connection.execute('DROP TABLE IF EXISTS "370000_SPGL_XMJGXXB", jdjc CASCADE;' + TABLES)
    yield connection
    await connection.close()


@pytest.fixture
async def wire(province: str) -> AsyncIterator[Wire]:
    """The port that the province's database is reached by."""
    wire = Wire(socket_of(province))
    await wire.start()
    yield wire
    await wire.stop()


@pytest.fixture
async def drive(wire: Wire) -> AsyncIterator[Callable[..., FrontDriver]]:
    """Makes drivers, and closes them."""
    made: list[FrontDriver] = []

    def make(user: str = "front_reader", **changes: Any) -> FrontDriver:
        made.append(driver_to(wire.port, user, **changes))
        return made[-1]

    yield make
    for driver in made:
        await driver.close()
