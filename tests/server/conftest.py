"""The product as processes of its own: one to speak HTTP with, one with canaries in its hidden columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from demo.seed.load import load
from policy.revision import load_default
from server.service import Service
from server.settings import Settings
from tests.conftest import publish
from tests.declared.tables import another_database
from tests.drills.load import ServerProcess
from tests.server.leaks import CANARY, CITIZEN_NO, canaries, execute

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from demo.embedded import EmbeddedPostgres


@pytest.fixture(scope="session")
async def http_database(postgres: EmbeddedPostgres) -> str:
    """A database whose audit chain is this process's alone."""
    dsn = await another_database(postgres.dsn, "http")
    await load(dsn, 0.001)
    await publish(dsn, load_default())
    return dsn


@pytest.fixture(scope="session")
def served(http_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The product as a process, with a small body limit."""
    directory: Path = tmp_path_factory.mktemp("http")
    settings = {"MAX_BODY_BYTES": "65536", "MAX_COST": "100000", "PUBLIC_INTROSPECTION": "0"}
    with ServerProcess(http_database, directory, settings) as running:
        yield running


@pytest.fixture(scope="session")
def client(served: ServerProcess) -> Iterator[httpx.Client]:
    """A client of it, without a token."""
    with httpx.Client(base_url=served.address, timeout=20) as opened:
        yield opened


@pytest.fixture(scope="session")
def county(served: ServerProcess) -> dict[str, str]:
    """Headers of a county."""
    return {"authorization": f"Bearer {served.issuer.mint('county')}"}


@pytest.fixture(scope="module")
async def leak_database(postgres: EmbeddedPostgres) -> str:
    """The miniature of the demo with canaries in it."""
    dsn = await another_database(postgres.dsn, "leak")
    await load(dsn, 0.001)
    await execute(dsn, *canaries(CITIZEN_NO, CANARY))
    await publish(dsn, load_default())
    return dsn


@pytest.fixture(scope="module")
async def leaky(leak_database: str) -> AsyncIterator[Service]:
    """The product on that database."""
    async with Service.open(Settings(database_url=leak_database, max_cost=100_000)) as service:
        yield service


@pytest.fixture(scope="module")
def leaky_process(leak_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The same as a process that logs all it can."""
    directory: Path = tmp_path_factory.mktemp("leak")
    with ServerProcess(leak_database, directory, {"LOG_LEVEL": "DEBUG"}) as running:
        yield running
