"""A real PostgreSQL for the whole run, migrated, seeded and with the default policy in force; no mocks."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import asyncpg
import hypothesis
import orjson
import pytest

from adapters.postgres.migrate import migrate
from adapters.postgres.policies import PostgresPolicyStore
from demo.counterparts import Counterparts, start
from demo.embedded import EmbeddedPostgres
from demo.seed.load import load
from policy.revision import Revision, load_default, revision_texts
from policy.subject import Subject
from server.pipeline import Question
from server.service import Service
from server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")
SMALL = {"shared_buffers": "128MB", "max_connections": "80"}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The server of the run; one database of it is `database`."""
    server = EmbeddedPostgres("tests", root=tmp_path_factory.mktemp("postgres"), settings=SMALL)
    server.start()
    yield server
    server.destroy()


@pytest.fixture(scope="session")
async def database(postgres: EmbeddedPostgres, record_testsuite_property: Callable[[str, object], None]) -> str:
    """Address of a database with the miniature seed and the default policy."""
    dsn = postgres.dsn
    connection = await asyncpg.connect(dsn)
    record_testsuite_property("postgresql", await connection.fetchval("SHOW server_version"))
    record_testsuite_property("python", platform.python_version())
    await connection.close()
    await migrate(dsn)
    await load(dsn, 0.001)
    await publish(dsn, load_default())
    return dsn


@pytest.fixture(scope="session")
def counterparts(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counterparts]:
    """The systems that sources.toml leads to, as processes, started once; who changes one resets it."""
    with start(tmp_path_factory.mktemp("counterparts"), postgres.dsn) as running:
        yield running


async def publish(dsn: str, revision: Revision) -> None:
    """Put a revision in force."""
    store = PostgresPolicyStore(dsn, role="zlaq_write")
    rules, classes, kinds = revision_texts(revision)
    await store.publish(id=revision.id, rules=rules, classes=classes, kinds=kinds, by="tests")
    await store.close()


@pytest.fixture(scope="session")
def settings(database: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a process that serves that database."""
    heads: Path = tmp_path_factory.mktemp("audit") / "heads.jsonl"
    return Settings(database_url=database, audit_heads=heads, max_cost=100_000)


@pytest.fixture(scope="session")
async def service(settings: Settings) -> AsyncIterator[Service]:
    """The product's service in this process."""
    async with Service.open(settings) as opened:
        yield opened


class Asker:
    """Asks one service as a subject, and gives the decoded answer."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._serial = 0

    async def __call__(self, subject: Subject, query: str, /, **variables: Any) -> dict[str, Any]:
        self._serial += 1
        answer = await self.service.answer(Question(query, variables, None), subject, f"test-{self._serial}")
        decoded: dict[str, Any] = orjson.loads(answer.body)
        return decoded


@pytest.fixture(scope="session")
def ask(service: Service) -> Asker:
    """`await ask(subject, query, **variables)`."""
    return Asker(service)
