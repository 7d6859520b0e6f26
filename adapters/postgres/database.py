"""The ministry's database at run time: a LIFO of connections that never change session state, and shared batches.

One per process. A connection is opened with all its settings and role as start-up parameters; prepared statements are
held per connection, so nothing is reset between requests.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from adapters.base import AuditRecord, SourceQuery
from adapters.postgres.statements import Compiled, compile_query
from schema.registry import Registry

_BATCH_AT_MOST = 32
_HOT_FROM = 3
_DRAIN_SECONDS = 10
_STATEMENT_BYTES_PER_CONNECTION = 48_000_000
_BYTES_PER_SQL_CHARACTER = 12
"""A held generic plan takes about twelve times its text (117 KB for the 9 KB of the widest benchmark query)."""

_COLUMNS = ", ".join(AuditRecord._fields)
_ARRAYS = ", ".join(f"${i + 1}::text[]" for i in range(len(AuditRecord._fields)))
_RECORDING = Compiled(
    f"insert into audit.record ({_COLUMNS}) select * from unnest({_ARRAYS}) returning null::bytea, ''", (), batched=True
)
Answered = tuple[bytes | None, str]
"""A row of a statement: bytes of an answer, and the packed rows for its audit record."""


class DatabaseError(Exception):
    """The database refused a statement for a reason of ours; the text is for the log, never for a client."""

    name = "INTERNAL"


class DatabaseUnavailable(DatabaseError):
    """No connection, or it broke while a statement ran: nothing was answered."""

    name = "DATABASE_UNAVAILABLE"


class StatementTimeout(DatabaseError):
    """The statement ran longer than allowed and was cancelled."""

    name = "STATEMENT_TIMEOUT"


@dataclass(eq=False, slots=True)
class Waiting:
    """A caller in a queue: first for what it asks, then, with the answer in hand, for its record to be durable."""

    arguments: Sequence[Any]
    future: asyncio.Future[bytes | None]
    record: AuditRecord | None = None
    """What is still to be written before the caller may have its answer."""
    body: bytes | None = None


@dataclass(eq=False, slots=True)
class Statement:
    """A compiled query with its use count and the callers waiting for its next batch; lives as long as its plan."""

    compiled: Compiled
    uses: int = 0
    waiting: deque[Waiting] = field(default_factory=deque)
    runners: int = 0

    @property
    def parameters(self) -> tuple[Any, ...]:
        """The references to bind, in order."""
        return self.compiled.parameters


class Database:
    """Connections of one role; `open` before use, `close` at the end."""

    def __init__(self, dsn: str, registry: Registry, *, size: int, statement_timeout_ms: int, role: str) -> None:
        self._dsn = dsn
        self._registry = registry
        self._size = size
        self._settings = {
            "application_name": "zlaq",
            "role": role,
            "search_path": "zlaq",
            "timezone": "UTC",
            "jit": "off",
            "plan_cache_mode": "force_generic_plan",
            "random_page_cost": "1.1",
            "max_parallel_workers_per_gather": "0",
            "synchronous_commit": "on",
            "statement_timeout": str(statement_timeout_ms),
            "idle_in_transaction_session_timeout": "10000",
        }
        self._free: list[_Held] = []
        self._open = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._recording = Statement(_RECORDING)
        self.statements_sent = 0
        """Data statements so far; a batch is one."""

    async def open(self) -> None:
        """Open one connection, so that a wrong address or role is known at start; raises `DatabaseUnavailable`."""
        self._release(await self._acquire())

    async def close(self) -> None:
        """Wait for running batches, then close every connection."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                # A batch that ends may leave records to be written by another.
                while self._tasks:
                    await asyncio.wait(self._tasks)
        for held in self._free:
            await held.connection.close(timeout=5)
        self._free.clear()

    def compile(self, query: SourceQuery) -> Statement:
        """The statement of a query; pure."""
        return Statement(compile_query(query, self._registry))

    async def run(self, statement: Statement, arguments: Sequence[Any], record: AuditRecord) -> Sequence[bytes | None]:
        """Answers of a data statement of one request, given out once the record, with their rows, is durable."""
        if statement.compiled.batched:
            return (await self._join(statement, Waiting(arguments, self._future(), record)),)
        rows = await self._execute(statement, arguments)
        await self.record(record._replace(rows="".join([pack for _, pack in rows])))
        return [body for body, _ in rows]

    async def record(self, record: AuditRecord) -> None:
        """Write an audit record, in one commit with those of others; it is durable when this returns."""
        await self._join(self._recording, Waiting(record, self._future()))

    async def store_decision(self, digest: str, body: str) -> None:
        """Keep a decision once, durable before it is first used."""
        await self._plain(
            "insert into audit.decision (hash, body) values ($1, $2) on conflict do nothing", digest, body
        )

    async def fetch(self, sql: str, *arguments: Any) -> list[Any]:
        """A statement of the product's own housekeeping (open cases, readiness), never of a client's operation."""
        return await self._plain(sql, *arguments)

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for checks at start; it goes back unchanged."""
        held = await self._acquire()
        try:
            yield held.connection
        finally:
            self._release(held)

    @staticmethod
    def describe(statement: Any) -> str:
        """The SQL of a statement under its references."""
        return f"-- parameters {list(map(repr, statement.parameters))}\n{statement.compiled.sql}"

    async def explain(self, statement: Statement) -> list[dict[str, Any]]:
        """PostgreSQL's generic plan for a statement, as `EXPLAIN (FORMAT JSON)` has it; nothing is executed."""
        nulls = ", ".join("null" for _ in statement.compiled.parameters)
        async with self.borrowed() as connection:
            # A held statement under force_generic_plan: the plan that requests get, whatever the arguments.
            name = f"explain_{secrets.token_hex(6)}"
            prepared = await connection.prepare(statement.compiled.sql, name=name)
            given = f"({nulls})" if nulls else ""
            row = await connection.fetchval(f"explain (format json) execute {prepared.get_name()}{given}")
        found: list[dict[str, Any]] = json.loads(row)
        return found

    async def _plain(self, sql: str, *arguments: Any) -> list[Any]:
        held = await self._acquire()
        try:
            return await held.connection.fetch(sql, *arguments)
        except _FAILURES as error:
            raise _translated(error) from error
        finally:
            self._release(held)

    async def _execute(self, statement: Statement, arguments: Sequence[Any]) -> list[Answered]:
        held = await self._acquire()
        try:
            self.statements_sent += 1
            return await held.run(statement, arguments)
        except _FAILURES as error:
            raise _translated(error) from error
        finally:
            self._release(held)

    @staticmethod
    def _future() -> asyncio.Future[bytes | None]:
        return asyncio.get_running_loop().create_future()

    def _join(self, statement: Statement, waiting: Waiting) -> asyncio.Future[bytes | None]:
        """Join the statement's next batch. The batch belongs to the database: a caller that goes away harms none."""
        statement.waiting.append(waiting)
        # One at a time while it takes all that wait: two would share them, and a half batch costs nearly a whole one.
        if statement.runners * _BATCH_AT_MOST < len(statement.waiting):
            statement.runners += 1
            task = asyncio.create_task(self._serve(statement))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return waiting.future

    async def _serve(self, statement: Statement) -> None:
        try:
            while statement.waiting:
                held = await self._acquire()
                try:
                    batch = [statement.waiting.popleft() for _ in range(min(_BATCH_AT_MOST, len(statement.waiting)))]
                    batch = [waiting for waiting in batch if not waiting.future.done()]
                    if batch:
                        await self._serve_batch(held, statement, batch)
                finally:
                    self._release(held)
        except DatabaseError as error:
            while statement.waiting:
                _fail(statement.waiting.popleft().future, error)
        finally:
            statement.runners -= 1

    async def _serve_batch(self, held: _Held, statement: Statement, batch: list[Waiting]) -> None:
        try:
            self.statements_sent += statement is not self._recording
            columns = [list(column) for column in zip(*(waiting.arguments for waiting in batch), strict=True)]
            answers = await held.run(statement, columns)
        except Exception as error:  # noqa: BLE001 - whatever it is, every caller of the batch must learn of it
            if len(batch) == 1 or held.connection.is_closed():
                for waiting in batch:
                    _fail(waiting.future, _translated(error))
                return
            for waiting in batch:
                await self._serve_batch(held, statement, [waiting])
            return
        for waiting, (body, pack) in zip(batch, answers, strict=True):
            if waiting.future.done():
                continue
            if waiting.record is None:
                waiting.future.set_result(waiting.body)
            else:
                waiting.arguments, waiting.record, waiting.body = waiting.record._replace(rows=pack), None, body
                self._join(self._recording, waiting)

    async def _acquire(self) -> _Held:
        while True:
            while self._free:
                held = self._free.pop()
                if not held.connection.is_closed():
                    return held
                self._open -= 1
            if self._open < self._size:
                self._open += 1
                try:
                    return _Held(
                        await asyncpg.connect(self._dsn, statement_cache_size=0, server_settings=self._settings)
                    )
                except BaseException as error:
                    self._open -= 1
                    self._wake()
                    if isinstance(error, (*_FAILURES, OSError)):
                        raise DatabaseUnavailable(str(error)) from error
                    raise
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise

    def _release(self, held: _Held) -> None:
        # LIFO: the connection used last has the warmest caches on both sides.
        if held.connection.is_closed() or held.busy:
            held.connection.terminate()
            self._open -= 1
        else:
            self._free.append(held)
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class _Held:
    """A connection with the prepared statements it holds, least recently used dropped first."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.busy = False
        self._prepared: OrderedDict[str, Any] = OrderedDict()
        self._room = _STATEMENT_BYTES_PER_CONNECTION
        self._serial = 0

    async def run(self, statement: Statement, arguments: Sequence[Any]) -> list[Answered]:
        """Run on this connection; one cancelled in the middle leaves the connection unfit for use (`busy`)."""
        self.busy = True
        rows = await self._rows(statement, arguments)
        self.busy = False
        return rows

    async def _rows(self, statement: Statement, arguments: Sequence[Any]) -> list[Any]:
        sql = statement.compiled.sql
        prepared = self._prepared.get(sql)
        try:
            if prepared is None:
                statement.uses += 1
                if statement.uses < _HOT_FROM:
                    return await self.connection.fetch(sql, *arguments)
                prepared = await self._prepare(sql)
            else:
                self._prepared.move_to_end(sql)
            return await prepared.fetch(*arguments)  # type: ignore[no-any-return]
        except asyncpg.InvalidCachedStatementError:
            # A migration changed a table under a held statement: prepare once more.
            self._prepared.pop(sql, None)
            return await self.connection.fetch(sql, *arguments)
        except asyncpg.PostgresError:
            self.busy = False
            raise

    async def _prepare(self, sql: str) -> Any:
        self._serial += 1
        prepared = await self.connection.prepare(sql, name=f"zlaq_{self._serial}")
        self._prepared[sql] = prepared
        self._room -= len(sql) * _BYTES_PER_SQL_CHARACTER
        while self._room < 0 and len(self._prepared) > 1:
            dropped, _ = self._prepared.popitem(last=False)
            self._room += len(dropped) * _BYTES_PER_SQL_CHARACTER
        return prepared


_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a statement can fail with; the third is what asyncpg says if the server ends a session between two steps."""


def _translated(error: BaseException) -> DatabaseError:
    if isinstance(error, asyncpg.DataError):
        return DatabaseError(f"{type(error).__name__}: an argument does not fit its type")
    if isinstance(error, asyncpg.QueryCanceledError):
        return StatementTimeout("statement timeout")
    if isinstance(
        error,
        asyncpg.PostgresConnectionError
        | asyncpg.InterfaceError
        | asyncpg.InternalClientError
        | OSError
        | asyncpg.OperatorInterventionError
        | asyncpg.InsufficientResourcesError,
    ):
        return DatabaseUnavailable(type(error).__name__)
    # The server's text may quote a value (a key, a row): only its class and code may be logged.
    return DatabaseError(f"{type(error).__name__} {getattr(error, 'sqlstate', '')}")


def _fail(future: asyncio.Future[bytes | None], error: DatabaseError) -> None:
    if not future.done():
        future.set_exception(error)
