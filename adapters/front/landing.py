"""Where pulled rows land on the ministry's side: the tables of the schema `exchange`."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg
import msgspec

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_LOCK = 0x7A6C_6171

_REPLACE = """UPDATE exchange.landing l SET withdrawn_at = now()
FROM unnest($3::text[], $4::bigint[]) AS n (local_key, serial)
WHERE l.source = $1 AND l.service = $2 AND l.local_key = n.local_key AND l.serial < n.serial
    AND l.withdrawn_at IS NULL"""

# A row that comes again unchanged, since its receipt was lost, changes nothing.
_LAND = """INSERT INTO exchange.landing AS l
    (source, service, local_key, serial, region, as_of, body, unmapped, withdrawn_at)
SELECT $1, $2, n.local_key, n.serial, n.region, n.as_of::timestamptz, n.body::jsonb,
    coalesce(string_to_array(n.unmapped, ','), '{}'),
    CASE WHEN n.body IS NULL OR n.replaced OR EXISTS (
        SELECT FROM exchange.landing later WHERE later.source = $1 AND later.service = $2
            AND later.local_key = n.local_key AND later.serial > n.serial) THEN now() END
FROM unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::boolean[])
    AS n (local_key, serial, region, as_of, body, unmapped, replaced)
ON CONFLICT (source, service, local_key, serial) DO UPDATE SET
    region = excluded.region, as_of = excluded.as_of, body = coalesce(excluded.body, l.body),
    unmapped = excluded.unmapped, received_at = now(),
    withdrawn_at = CASE WHEN excluded.withdrawn_at IS NOT NULL THEN coalesce(l.withdrawn_at, now()) END
WHERE (l.region, l.as_of, l.body, l.unmapped, l.withdrawn_at IS NULL) IS DISTINCT FROM (excluded.region,
    excluded.as_of, coalesce(excluded.body, l.body), excluded.unmapped, excluded.withdrawn_at IS NULL)"""

_COUNT = """INSERT INTO exchange.window AS w (source, service, last_serial, accepted, refused)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (source, service) DO UPDATE SET last_serial = greatest(w.last_serial, excluded.last_serial),
    pulled_at = now(), accepted = w.accepted + excluded.accepted, refused = w.refused + excluded.refused"""

_STATES = """SELECT CASE WHEN withdrawn_at IS NULL THEN 'in force' ELSE 'withdrawn' END AS state, count(*) AS rows
FROM exchange.landing WHERE source = $1 AND service = $2 GROUP BY 1"""


@dataclass(frozen=True, slots=True)
class Landed:
    """A row that is accepted; without a body it withdraws what its local key had before."""

    local_key: str
    serial: int
    body: Mapping[str, object] | None = field(repr=False)
    region: str | None = None
    as_of: str | None = None
    unmapped: tuple[str, ...] = ()


class Landing:
    """The ministry's side of pulling; every pull has a connection of its own, as `zlaq_write`."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    @asynccontextmanager
    async def turn(self, source: str, service: str) -> AsyncIterator[LandingTurn]:
        """The only pull of this table until it ends; another one waits.

        Raises what asyncpg raises: the ministry's own database failing is no matter of a source.
        """
        connection = await self._connect()
        try:
            which = zlib.crc32(f"{source}\0{service}".encode()) - 2**31
            # Held by the session, so it ends with the connection whatever happens.
            await connection.execute("SELECT pg_advisory_lock($1, $2)", _LOCK, which)
            yield LandingTurn(connection, source, service)
        finally:
            await connection.close(timeout=5)

    async def counts(self, source: str, service: str) -> dict[str, int]:
        """Rows in force and withdrawn."""
        connection = await self._connect()
        try:
            return {row["state"]: row["rows"] for row in await connection.fetch(_STATES, source, service)}
        finally:
            await connection.close(timeout=5)

    async def _connect(self) -> Connection:
        settings = {"role": "zlaq_write", "application_name": "zlaq pull", "timezone": "UTC"}
        return await asyncpg.connect(self._dsn, timeout=10, server_settings=settings)


class LandingTurn:
    """One table's turn; see `Landing.turn`."""

    def __init__(self, connection: Connection, source: str, service: str) -> None:
        self._connection = connection
        self._table = (source, service)

    async def land(self, rows: Sequence[Landed]) -> None:
        """Store accepted rows, durable when this returns; each serial at most once, in ascending order."""
        newest = {row.local_key: row.serial for row in rows}
        async with self._connection.transaction():
            await self._connection.execute(_REPLACE, *self._table, list(newest), list(newest.values()))
            await self._connection.execute(
                _LAND,
                *self._table,
                [row.local_key for row in rows],
                [row.serial for row in rows],
                [row.region for row in rows],
                [row.as_of for row in rows],
                [None if row.body is None else msgspec.json.encode(row.body).decode() for row in rows],
                [",".join(row.unmapped) or None for row in rows],
                [newest[row.local_key] > row.serial for row in rows],
            )

    async def count(self, last_serial: int, accepted: int, refused: int) -> None:
        """Add receipts that were written, up to a serial number."""
        await self._connection.execute(_COUNT, *self._table, last_serial, accepted, refused)
