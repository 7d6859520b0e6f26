"""A database server that drills may maltreat, and the product on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo.embedded import EmbeddedPostgres
from policy.revision import load_default
from tests.conftest import publish
from tests.drills.load import ServerProcess
from tests.drills.trail import forget, run, seed
from tests.drills.workload import SETTINGS, Workload

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = {"shared_buffers": "64MB", "max_connections": "40"}


@pytest.fixture(scope="session")
def maltreated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The database server of all drills."""
    server = EmbeddedPostgres("drill", root=tmp_path_factory.mktemp("drill"), settings=SMALL)
    server.start()
    run(seed(server.dsn))
    yield server
    server.kill()  # spares the checkpoint
    server.destroy()


@pytest.fixture
def own(maltreated: EmbeddedPostgres) -> EmbeddedPostgres:
    """That server, running, with an empty trail and the default policy, whatever was done to it before."""
    maltreated.start()
    run(forget(maltreated.dsn))
    run(publish(maltreated.dsn, load_default()))
    return maltreated


@pytest.fixture
def served(own: EmbeddedPostgres, tmp_path: Path) -> Iterator[ServerProcess]:
    """The product on that database, with a published audit chain."""
    with ServerProcess(own.dsn, tmp_path, SETTINGS) as process:
        yield process


@pytest.fixture
def workload(served: ServerProcess) -> Workload:
    """What is asked of it."""
    return Workload.of(served)
