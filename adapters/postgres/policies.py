"""Policy revisions in PostgreSQL, as texts: reading the one in force, publishing, noticing another."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from adapters.postgres.audit import LOST

if TYPE_CHECKING:
    from datetime import datetime

    Connection = asyncpg.Connection[asyncpg.Record]

CHANNEL = "zlaq_policy"
# Publishers go one after another, so that the newest sequence is also the last commit.
_PUBLISH_LOCK = 0x7A6C_6171_0002
_NEWEST = """SELECT id, rules, classes, kinds, published_by, published_at FROM policy.revision
    ORDER BY sequence DESC LIMIT 1"""

_INSERT = """INSERT INTO policy.revision (id, rules, classes, kinds, published_by) VALUES ($1, $2, $3, $4, $5)
    RETURNING published_at"""


@dataclass(frozen=True, slots=True)
class StoredRevision:
    """A revision as published: its digest, three CSV texts, who answers for it and since when it is in force."""

    id: str
    rules: str
    classes: str
    kinds: str
    published_by: str
    published_at: datetime


class PostgresPolicyStore:
    """The table of revisions. Owns one connection, made when first needed and made anew when lost; see `close`.

    `role` is `zlaq_read` where revisions are followed, `zlaq_write` where one is published.
    """

    def __init__(self, dsn: str, *, role: str = "zlaq_read", poll_seconds: float = 5.0) -> None:
        self._dsn, self._role, self._poll = dsn, role, poll_seconds
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._news = asyncio.Event()

    async def current(self) -> StoredRevision | None:
        """The revision in force; None before the first one is published, which closes everything."""
        async with self._turn:
            row = await (await self._connected()).fetchrow(_NEWEST)
        return StoredRevision(*row) if row else None

    async def publish(self, *, id: str, rules: str, classes: str, kinds: str, by: str) -> StoredRevision:  # noqa: A002
        """Put a revision in force and return it as stored; the one in force already is left as it is.

        An earlier revision may be published again, which takes a mistake back.
        """
        async with self._turn:
            connection = await self._connected()
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", _PUBLISH_LOCK)
                newest = await connection.fetchrow(_NEWEST)
                if newest is not None and newest["id"] == id:
                    return StoredRevision(*newest)
                published_at = await connection.fetchval(_INSERT, id, rules, classes, kinds, by)
        return StoredRevision(id, rules, classes, kinds, by, published_at)

    async def wait_for_change(self, known: str | None) -> StoredRevision:
        """Return the revision in force as soon as it is another than `known`; outlives the loss of the connection.

        A notification only shortens the wait: what was missed is found by the next look.
        """
        failures = 0
        while True:
            self._news.clear()
            try:
                found = await self.current()
                if found is not None and found.id != known:
                    return found
                failures, delay = 0, self._poll
            except LOST:
                await self.close()
                failures += 1
                delay = min(0.1 * 2 ** min(failures, 10), self._poll) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
                self._news.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), delay)

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=2)
            except LOST:
                connection.terminate()

    async def _connected(self) -> Connection:
        if self._connection is None or self._connection.is_closed():
            connection = await asyncpg.connect(
                self._dsn,
                timeout=10,
                command_timeout=30,
                server_settings={"role": self._role, "application_name": "zlaq policy"},
            )
            connection.add_termination_listener(self._notice)
            await connection.add_listener(CHANNEL, self._notice)
            self._connection = connection
        return self._connection

    def _notice(self, *_: object) -> None:
        self._news.set()
