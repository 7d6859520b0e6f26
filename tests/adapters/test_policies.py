"""Policy revisions on a real server: what is in force, who may publish, how others notice."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING

import asyncpg
import pytest

from adapters.postgres.policies import PostgresPolicyStore
from demo.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TEXTS = {"rules": "id,role\nR-1,*\n", "classes": "obj,class\nProject.name,PUBLIC\n", "kinds": "kind,counts_as\n"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres("policies", root=tmp_path_factory.mktemp("policies"), settings={"shared_buffers": "16MB"})
    server.start()
    yield server
    server.kill()  # spares the checkpoint
    server.destroy()


@pytest.fixture
async def dsn(server: EmbeddedPostgres, request: pytest.FixtureRequest) -> str:
    """An empty database with the first migration applied."""
    name = f"policies_{abs(hash(request.node.name))}"
    connection = await asyncpg.connect(server.dsn)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    dsn = server.dsn.replace("/postgres?", f"/{name}?")
    connection = await asyncpg.connect(dsn)
    await connection.execute((files("adapters.postgres") / "migrations" / "0001_foundation.sql").read_text())
    await connection.close()
    return dsn


@pytest.fixture
async def reader(dsn: str) -> AsyncIterator[PostgresPolicyStore]:
    store = PostgresPolicyStore(dsn, poll_seconds=0.2)
    yield store
    await store.close()


@pytest.fixture
async def publisher(dsn: str) -> AsyncIterator[PostgresPolicyStore]:
    store = PostgresPolicyStore(dsn, role="zlaq_write")
    yield store
    await store.close()


async def test_newest_publication_is_in_force(reader: PostgresPolicyStore, publisher: PostgresPolicyStore) -> None:
    """Nothing is in force at first; publishing an earlier revision again brings it back; repeating changes nothing."""
    assert await reader.current() is None

    first = await publisher.publish(id="a", **TEXTS, by="auditor-1")
    assert await reader.current() == first
    assert {name: getattr(first, name) for name in TEXTS} == TEXTS

    await publisher.publish(id="b", **TEXTS, by="auditor-1")
    again = await publisher.publish(id="a", **TEXTS, by="auditor-2")
    repeated = await publisher.publish(id="a", **TEXTS, by="auditor-3")
    assert await reader.current() == again == repeated
    assert again.published_by == "auditor-2"
    assert again.published_at > first.published_at


async def test_a_waiter_is_woken_by_the_notification(dsn: str, publisher: PostgresPolicyStore) -> None:
    """The poll is far longer than the test may take, so it is the notification that wakes."""
    reader = PostgresPolicyStore(dsn, poll_seconds=60)
    try:
        waiting = asyncio.create_task(reader.wait_for_change(None))
        await asyncio.sleep(0.2)
        published = await publisher.publish(id="a", **TEXTS, by="auditor-1")

        assert await asyncio.wait_for(waiting, 5) == published
    finally:
        await reader.close()


async def test_a_missed_notification_is_found_at_once(
    reader: PostgresPolicyStore, publisher: PostgresPolicyStore
) -> None:
    """What was published while nobody listened is returned without waiting."""
    published = await publisher.publish(id="a", **TEXTS, by="auditor-1")

    assert await asyncio.wait_for(reader.wait_for_change("other"), 5) == published


async def test_a_waiter_outlives_the_loss_of_its_connection(
    dsn: str, reader: PostgresPolicyStore, publisher: PostgresPolicyStore
) -> None:
    """The server ends the connection, and the waiter still learns of the next revision."""
    await publisher.publish(id="a", **TEXTS, by="auditor-1")
    waiting = asyncio.create_task(reader.wait_for_change("a"))
    await asyncio.sleep(0.1)
    admin = await asyncpg.connect(dsn)
    ended = await admin.fetch(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
            AND application_name = 'zlaq policy' AND query NOT LIKE '%INSERT%' AND query NOT LIKE 'COMMIT%'"""
    )
    await admin.close()
    await asyncio.sleep(0.1)
    published = await publisher.publish(id="b", **TEXTS, by="auditor-1")

    assert len(ended) == 1
    assert await asyncio.wait_for(waiting, 5) == published


async def test_waiting_outlives_a_crash_of_the_server(
    server: EmbeddedPostgres, dsn: str, reader: PostgresPolicyStore
) -> None:
    """While the server is away the waiter tries again, and finds what is published after recovery."""
    waiting = asyncio.create_task(reader.wait_for_change(None))
    await asyncio.sleep(0.1)
    server.kill()
    await asyncio.sleep(0.3)
    server.start()
    publisher = PostgresPolicyStore(dsn, role="zlaq_write")
    published = await publisher.publish(id="a", **TEXTS, by="auditor-1")
    await publisher.close()

    assert await asyncio.wait_for(waiting, 10) == published


async def test_readers_cannot_publish_and_nobody_changes_the_past(dsn: str, publisher: PostgresPolicyStore) -> None:
    """The read role may only read; the writing role may add a revision but not date, number, change or remove one."""
    await publisher.publish(id="a", **TEXTS, by="auditor-1")
    insert = "INSERT INTO policy.revision (id, rules, classes, kinds, published_by{}) VALUES ('b', '', '', '', ''{})"
    for role, statement in (
        ("zlaq_read", insert.format("", "")),
        ("zlaq_write", insert.format(", published_at", ", now()")),
        ("zlaq_write", "UPDATE policy.revision SET rules = ''"),
        ("zlaq_write", "DELETE FROM policy.revision"),
        ("zlaq_seal", "SELECT FROM policy.revision"),
    ):
        connection = await asyncpg.connect(dsn, server_settings={"role": role})
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
        await connection.close()


async def test_concurrent_publishers_leave_one_order(reader: PostgresPolicyStore, dsn: str) -> None:
    """The last publisher to return has published what is in force."""
    stores = [PostgresPolicyStore(dsn, role="zlaq_write") for _ in range(8)]
    published = await asyncio.gather(
        *(store.publish(id=f"r{number}", **TEXTS, by="auditor-1") for number, store in enumerate(stores))
    )
    for store in stores:
        await store.close()

    assert await reader.current() == max(published, key=lambda revision: revision.published_at)
