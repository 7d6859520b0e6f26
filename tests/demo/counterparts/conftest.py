"""The counterparts, started once for these tests and put back to the beginning before each."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from demo.counterparts import Counterparts, start
from tests.demo.counterparts.stranger import Stranger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from demo.embedded import EmbeddedPostgres


@pytest.fixture(scope="package")
def running(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counterparts]:
    """All of them."""
    began = time.monotonic()
    with start(tmp_path_factory.mktemp("counterparts") / "state", postgres.dsn) as systems:
        assert time.monotonic() - began < 15
        yield systems


@pytest.fixture(autouse=True)
def _fresh(running: Counterparts) -> None:
    for system in running.systems.values():
        system.reset()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """Takes bodies as they come, and asks for no compression."""
    async with aiohttp.ClientSession(auto_decompress=False, headers={"Accept-Encoding": "identity"}) as session:
        yield session


@pytest.fixture
def stranger(running: Counterparts, http: aiohttp.ClientSession) -> Any:
    """`stranger(name)` asks that counterpart."""
    return lambda name: Stranger(running, name, http)
