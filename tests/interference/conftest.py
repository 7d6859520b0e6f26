"""Two databases of one seed, one product over each, and callers with tokens that both accept."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from demo.seed.load import load
from policy.decide import build_snapshot
from policy.revision import load_default
from schema.registry import load_registry
from tests.conftest import publish
from tests.declared.tables import another_database
from tests.interference.askers import Asker, askers, trust
from tests.interference.drawing import columns_of
from tests.interference.worlds import Worlds, both, copy_of
from tests.oracle import Matcher
from tests.reference_rows import Tables
from tests.resolvers.world import NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from demo.embedded import EmbeddedPostgres


@pytest.fixture(scope="package")
def still() -> Iterator[None]:
    """Clock and request id, which differ between any two requests, stand still."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.pipeline.time", SimpleNamespace(time=lambda: NOW))
        patch.setattr("server.app.secrets", SimpleNamespace(token_hex=lambda n: "0" * 2 * n))
        yield


@pytest.fixture(scope="package")
def issuer_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the issuer's key lies."""
    return tmp_path_factory.mktemp("issuer")


@pytest.fixture(scope="package")
def everybody(issuer_directory: Path) -> dict[str, Asker]:
    """The callers by name."""
    return {asker.name: asker for asker in askers(issuer_directory)}


@pytest.fixture(scope="package")
async def seeded(postgres: EmbeddedPostgres) -> str:
    """A database to copy from, with the miniature seed and the default policy; nobody stays connected to it."""
    dsn = await another_database(postgres.dsn, "interference")
    await load(dsn, 0.001)
    await publish(dsn, load_default())
    return dsn


@pytest.fixture(scope="package")
async def worlds(seeded: str, issuer_directory: Path, still: None) -> AsyncIterator[Worlds]:
    """The product over two copies of it."""
    registry = load_registry()
    dsns = [await copy_of(seeded, name) for name in ("world_one", "world_other")]
    tables, columns = await Tables.read(dsns[0], registry), await columns_of(dsns[0], registry)
    snapshot = build_snapshot(load_default(), registry)
    Matcher.install(snapshot.enforcer)
    async with both(dsns, trust(issuer_directory), registry, tables) as (one, other):
        yield Worlds(one, other, dsns, tables, registry, snapshot, columns)
