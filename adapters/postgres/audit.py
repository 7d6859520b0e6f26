"""The audit trail in PostgreSQL: what writers fill in, the sealer that chains it, its export.

Records are written by the data statements themselves; the sealer alone runs beside them. It reads below the snapshot's
oldest transaction, because the order of commits is not that of sequence numbers.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import asyncpg

from adapters.audit_verifier import (
    GENESIS,
    MARK,
    AuditUnreadable,
    Head,
    Record,
    RowCounts,
    Seal,
    decode_rows,
    link,
    parse_head,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Connection = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")

__all__ = [
    "RECORD_COLUMNS",
    "AuditNotDurable",
    "AuditTampered",
    "HeadsUnavailable",
    "PrivilegesTooWide",
    "RowCounts",
    "Sealer",
    "check_durable",
    "decode_rows",
    "export",
]

RECORD_COLUMNS = ("request_id", "root", "subject", "document", "revision", "decision", "rows", "sources")
"""What a writer supplies (`sources` may be left out); number, transaction and time are the database's own."""

SEALER_LOCK = 0x7A6C_6171_0001
_INSTANT = "(extract(epoch from {0}) * 1000000)::bigint"
_FIELDS = ("xid::text::bigint", "seq", _INSTANT.format("at"), *RECORD_COLUMNS)
_RECORDS = f"SELECT {', '.join(_FIELDS)} FROM audit.record r"
# What `digest_record` says of a record, said where the record lies: the sealer then moves 32 octets of each, not all.
_LENGTHS = ", ".join(f"octet_length(({field})::text)" for field in _FIELDS)
_OCTETS = " || ".join(f"({field})::text" for field in _FIELDS)
_DIGESTS = f"""SELECT xid::text::bigint, seq,
    sha256(convert_to(concat_ws(',', {_LENGTHS}) || ';' || {_OCTETS}, 'UTF8')) FROM audit.record r"""
_SEALS = f"""SELECT no, previous, hash, first_xid::text::bigint AS first_xid, first_seq,
    last_xid::text::bigint AS last_xid, last_seq, records, total, marks,
    {_INSTANT.format("sealed_at")} AS sealed_at FROM audit.seal"""
# Qualified, for an unqualified xid would be the number selected, which no index orders.
_IN_ORDER = "ORDER BY r.xid, r.seq"
# A transaction below the snapshot's oldest one has ended, and its records are visible: none can come later.
_ENDED = f"xid < pg_snapshot_xmin(pg_current_snapshot()) {_IN_ORDER} LIMIT $3"
_WITHIN = f"(xid, seq) <= ($3::text::xid8, $4::bigint) {_IN_ORDER}"
LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # What asyncpg says if the server ends the session between two of its steps.
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
)
"""What a connection's loss, or a server that is stopping or starting, looks like."""


class AuditTampered(Exception):
    """The chain in the database is not the one whose head was published: altered, or its tail was lost."""


class HeadsUnavailable(Exception):
    """The file of published heads cannot be read or written, so nothing sealed could be proved later."""


class AuditNotDurable(Exception):
    """The server does not promise that a committed record survives a crash."""


class PrivilegesTooWide(Exception):
    """The connection may do more than read shared data and add audit records."""


class HeadsFile:
    """The published heads, one JSON line each: append-only, outside the database, best on another machine's storage."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def last(self) -> Head | None:
        """The last head, None if none was ever published; cuts off a line whose writing was interrupted."""
        try:
            with self._path.open("rb+") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - 4096))
                tail = file.read()
                whole = tail[: tail.rfind(b"\n") + 1]
                if len(whole) != len(tail):
                    file.truncate(size - len(tail) + len(whole))
                    os.fsync(file.fileno())
        except FileNotFoundError:
            return None
        lines = whole.decode("utf-8", "replace").splitlines()
        try:
            return parse_head(lines[-1]) if lines else None
        except AuditUnreadable as wrong:
            raise AuditTampered(f"{self._path}: {wrong}") from None

    def append(self, head: Head) -> None:
        """Write a head, durable on return."""
        created = not self._path.exists()
        with self._path.open("ab") as file:
            file.write(_line(**head._asdict()).encode())
            file.flush()
            os.fsync(file.fileno())
        if created:
            directory = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


class Sealer:
    """Chains the records within about `interval` seconds and publishes each seal's head.

    One works at a time for a database: others wait for its lock, and take over if they see the same heads file. Owns
    its connection. A seal is committed first, its head published second; what lies between is published on the next
    round, after recomputing it from the records.
    """

    def __init__(
        self, dsn: str, heads: Path, *, role: str = "zlaq_seal", batch: int = 1000, interval: float = 0.5
    ) -> None:
        self._dsn, self._role, self._batch, self._interval = dsn, role, batch, interval
        self._heads = HeadsFile(heads)
        self._connection: Connection | None = None
        self._locked = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Seal until `stopping` is set, and then once more; outlives the loss of its connection.

        Raises `AuditTampered`, after which nothing may be disclosed until an operator has looked, and
        `HeadsUnavailable`.
        """
        delay = self._interval
        try:
            while True:
                last_round = stopping.is_set()
                try:
                    await self.seal_pending()
                    delay = self._interval
                except LOST:
                    await self.close()
                    delay = min(delay * 2, 10.0) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
                if last_round:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), delay)
        finally:
            await self.close()

    async def seal_pending(self) -> int | None:
        """Seal whatever can be sealed now; how many records, or None while another sealer holds the lock."""
        connection = await self._connected()
        if connection is None:
            return None
        last = await self._continue(connection)
        sealed = 0
        while seal := _seal(await _digests(connection, _ENDED, last, self._batch), last, time.time_ns() // 1000):
            await connection.execute(
                """INSERT INTO audit.seal VALUES ($1, $2, $3, $4::text::xid8, $5, $6::text::xid8, $7, $8, $9, $10,
                    timestamptz 'epoch' + $11::bigint * interval '1 microsecond')""",
                *(str(value) if name.endswith("_xid") else value for name, value in seal._asdict().items()),
            )
            await self._publish(_head(seal))
            last = seal
            sealed += seal.records
            if seal.records < self._batch:
                break
        return sealed

    async def close(self) -> None:
        """Give up the lock and the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=2)
            except LOST:
                connection.terminate()

    async def _connected(self) -> Connection | None:
        if self._connection is None:
            self._locked = False
            self._connection = await asyncpg.connect(
                self._dsn,
                timeout=10,
                command_timeout=60,
                server_settings={"role": self._role, "synchronous_commit": "on", "application_name": "zlaq sealer"},
            )
        # Taken once a session, which may take it again and would then hold it twice.
        self._locked = self._locked or await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", SEALER_LOCK)
        return self._connection if self._locked else None

    async def _continue(self, connection: Connection) -> Seal | None:
        """Check the chain against the last published head, and publish what was sealed but not published."""
        head = await self._file(self._heads.last)
        rows = await connection.fetch(f"{_SEALS} WHERE no >= $1 ORDER BY no", head.no if head else 0)
        seals = [Seal(*row) for row in rows]
        if head is None:
            if seals:
                raise AuditTampered(f"{seals[-1].no} seals, but no published head: is it the right file?")
            await self._publish(Head(0, GENESIS, 0, time.time_ns() // 1000))
            return None
        last = None
        if head.no:
            if not seals or _head(seals[0]) != head:
                raise AuditTampered(f"seal {head.no} is missing or is not the one whose head was published")
            last = seals.pop(0)
        for seal in seals:
            records = await _digests(connection, _WITHIN, last, str(seal.last_xid), seal.last_seq)
            if _seal(records, last, seal.sealed_at) != seal:
                raise AuditTampered(f"seal {seal.no} was changed before its head was published")
            last = seal
            await self._publish(_head(seal))
        # After a logical restore transactions are numbered from the start: new records would sort before sealed ones.
        ahead = "SELECT $1::text::xid8 >= pg_snapshot_xmax(pg_current_snapshot())"
        if last and await connection.fetchval(ahead, str(last.last_xid)):
            raise AuditTampered(f"seal {last.no} is of a transaction that has not happened: another server's data")
        return last

    async def _publish(self, head: Head) -> None:
        await self._file(partial(self._heads.append, head))

    async def _file(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except OSError as failed:
            raise HeadsUnavailable(str(failed)) from failed


async def _records(connection: Connection, condition: str, after: Seal | None, *values: object) -> list[Record]:
    return [Record(*row) for row in await connection.fetch(*_after(_RECORDS, after, condition), *values)]


async def _digests(connection: Connection, condition: str, after: Seal | None, *values: object) -> list[Digest]:
    return [Digest(*row) for row in await connection.fetch(*_after(_DIGESTS, after, condition), *values)]


def _after(selected: str, seal: Seal | None, condition: str) -> tuple[str, str, int]:
    xid, seq = (str(seal.last_xid), seal.last_seq) if seal else ("0", 0)
    return f"{selected} WHERE (xid, seq) > ($1::text::xid8, $2::bigint) AND {condition}", xid, seq


def _head(seal: Seal) -> Head:
    return Head(seal.no, seal.hash, seal.total, seal.sealed_at)


class Digest(NamedTuple):
    """A record's place in the order, and its digest."""

    xid: int
    seq: int
    digest: bytes


def _seal(records: list[Digest], last: Seal | None, sealed_at: int) -> Seal | None:
    """The seal that follows `last`; None without records, which no seal has."""
    if not records:
        return None
    digests = [record.digest for record in records]
    no, previous, before = (last.no + 1, last.hash, last.total) if last else (1, GENESIS, 0)
    total = before + len(records)
    return Seal(
        no,
        previous,
        link(no, previous, total, sealed_at, digests),
        *records[0][:2],
        *records[-1][:2],
        len(records),
        total,
        b"".join(digest[:MARK] for digest in digests),
        sealed_at,
    )


async def export(
    connection: Connection, path: Path, *, from_seal: int = 1, progress: Callable[[int], None] | None = None
) -> int:
    """Write decisions, seals and records, as of one moment, for the offline verifier; how many records.

    `from_seal` leaves out what an operator has detached. The file appears when it is whole.
    """
    part = path.with_name(f"{path.name}.part")
    count = 0
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        with part.open("w", encoding="utf-8") as file:
            file.write(_line(kind="export", from_seal=from_seal))
            async for row in connection.cursor("SELECT hash, body FROM audit.decision ORDER BY hash"):
                file.write(_line(kind="decision", hash=row["hash"], body=row["body"]))
            before = await connection.fetchrow(f"{_SEALS} WHERE no < $1 ORDER BY no DESC LIMIT 1", from_seal)
            last = Seal(*before) if before else None
            async for row in connection.cursor(f"{_SEALS} WHERE no >= $1 ORDER BY no", from_seal):
                seal = Seal(*row)
                file.write(_line(**{"kind": "seal", **seal._asdict(), "marks": seal.marks.hex()}))
                for record in await _records(connection, _WITHIN, last, str(seal.last_xid), seal.last_seq):
                    file.write(_line(kind="record", **record._asdict()))
                    count += 1
                last = seal
                if progress:
                    progress(count)
            file.write(_line(kind="unsealed"))
            async for row in connection.cursor(*_after(_RECORDS, last, f"true {_IN_ORDER}")):
                file.write(_line(kind="record", **Record(*row)._asdict()))
                count += 1
            file.write(_line(kind="end"))
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)
    return count


def _line(**values: object) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n"


async def check_durable(connection: Connection) -> None:
    """Verify, on a connection as it will be used, that commits are durable and rights no wider than the read role's.

    Raises `AuditNotDurable`, `PrivilegesTooWide`. The login itself may be wider, if it set the role; an operator's
    should not be.
    """
    # Stronger than on: the replica has applied it, too.
    allowed = {"fsync": {"on"}, "full_page_writes": {"on"}, "synchronous_commit": {"on", "remote_apply"}}
    found = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in allowed}
    if wrong := [f"{name}={found[name]}" for name in allowed if found[name] not in allowed[name]]:
        raise AuditNotDurable(", ".join(wrong))
    if excess := [row["right"] for row in await connection.fetch(_EXCESS)]:
        raise PrivilegesTooWide("; ".join(excess[:20]))


_EXCESS = f"""
WITH relation AS (
    SELECT c.oid, n.nspname AS schema, c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
), granted AS (
    SELECT schema, name, '' AS col, p AS privilege FROM relation,
        unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER',
            CASE WHEN current_setting('server_version_num')::int >= 170000 THEN 'MAINTAIN' END]) p
    WHERE has_table_privilege(oid, p)
    UNION ALL
    SELECT schema, name, attname::text, p FROM relation JOIN pg_attribute ON attrelid = oid AND attnum > 0
        AND NOT attisdropped, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p
    WHERE has_column_privilege(oid, attnum, p) AND NOT has_table_privilege(oid, p)
)
SELECT format('%s on %s.%s %s', privilege, schema, name, col) AS right FROM granted
WHERE NOT (privilege = 'SELECT' AND schema IN ('zlaq', 'policy')
    OR privilege = 'INSERT' AND schema = 'audit' AND name = 'record' AND col IN {RECORD_COLUMNS}
    OR privilege = 'INSERT' AND schema = 'audit' AND name = 'decision' AND col IN ('hash', 'body'))
UNION ALL
SELECT format('%s on schema %s', 'CREATE', nspname) FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE')
UNION ALL
SELECT 'CREATE on the database' WHERE has_database_privilege(current_database(), 'CREATE')
UNION ALL
SELECT format('executes %s as its owner', p.oid::regprocedure)
FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
WHERE prosecdef AND n.nspname <> 'pg_catalog' AND has_function_privilege(p.oid, 'EXECUTE')
UNION ALL
SELECT format('has the rights of %s', rolname) FROM pg_roles
WHERE pg_has_role(oid, 'USAGE') AND rolname NOT IN (current_user, 'zlaq_read')
UNION ALL
SELECT 'is a superuser, creates roles or databases, replicates or bypasses row security' FROM pg_roles
WHERE rolname = current_user AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
"""
