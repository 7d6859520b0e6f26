"""The driver of front-end databases: one statement a fetch, on a session that cannot write."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from adapters.base import Fetch, SourceBadShape, SourceRefused
from adapters.configuration import FrontService, FrontSource
from adapters.driver import Answer
from adapters.front.connections import Connections
from adapters.front.sql import (
    COLUMNS,
    ColumnUnfit,
    Table,
    Term,
    capped,
    columns_of,
    select_by_key,
    select_window,
)
from schema.declare import Remote
from schema.registry import Field, Registry

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

_PULL_STATEMENT_SECONDS = 30.0


class FrontDriver:
    """One front-end database; implements `adapters.driver.Driver`.

    The columns of each table are looked up in its catalogue when it is opened, and again after an answer of a wrong
    shape, for the provider may have altered them meanwhile. A key is found as it is written: what a cell holds beside
    it (blanks, full-width digits) would have to be taken off row by row. The server converts its charset to UTF-8
    itself, so the configured one is not used; one that knows no charset (SQL_ASCII) must hold UTF-8.

    Pulling (`adapters.front.pull`) has sessions of its own, which may write receipts and take longer.
    """

    def __init__(self, name: str, config: FrontSource, credentials: Callable[[str], str], registry: Registry) -> None:
        self.name, self.config = name, config
        seconds = config.deadline_ms / 1000
        self._readers = Connections(name, config, credentials, read_only=True, statement_seconds=seconds)
        self._writers = Connections(
            name, config, credentials, read_only=False, statement_seconds=_PULL_STATEMENT_SECONDS
        )
        self._declared = {coordinate: _declared(registry, coordinate) for coordinate in config.service}
        self._tables: dict[str, Table] = {}

    async def open(self) -> None:
        """Connect once and look up the columns of every service's table.

        Raises `SourceBadShape` with the name of a column that is missing or does not serve, and `SourceRefused` with
        that of one which the login may not read.
        """
        async with self._readers.borrowed() as connection:
            for service in self.config.service:
                await self._look_up(connection, service)

    async def close(self) -> None:
        """Give every connection back."""
        await self._readers.close()
        await self._writers.close()

    async def read(self, service: str, fetch: Fetch, wanted: Sequence[str]) -> Answer:
        """The rows of the keys that count, with the wanted columns; with a window the first of each key, in order.

        `ended` is False as soon as one of the keys has more rows. Raises `SourceBadShape` beyond `max_bytes`, and
        without a window beyond `items_at_most` rows a key.
        """
        asked = self.config.service[service]
        if missing := set(wanted) - set(self._columns_used(asked)):
            raise SourceBadShape(self.name, f"{service}: columns that are not configured: {', '.join(sorted(missing))}")
        async with self._session(self._readers, service) as (connection, table):
            return await self._select(connection, table, asked, fetch, wanted)

    async def check(self) -> AsyncIterator[tuple[str, str]]:
        """Credentials, address, connection, tables with the types of their columns, probed rows, right to receipts."""
        self._readers.login()
        yield "credentials", "user and password can be read"
        addresses = await self._readers.addresses()
        yield "address", f"{self._readers.host} leads to {', '.join(addresses)}"
        async with self._readers.borrowed() as connection:
            tls = "without TLS" if any(map(self._readers.plain, addresses)) else "TLS"
            yield "connection", f"{tls}, server encoding {connection.get_settings().server_encoding}"
            for coordinate, service in self.config.service.items():
                table = await self._look_up(connection, coordinate)
                types = ", ".join(f"{c.name} {c.type}" for c in table.columns.values())
                yield f"table {service.table}", f"{coordinate}: {types}"
        for coordinate, service in self.config.service.items():
            if service.probe:
                wanted = self._columns_used(service)
                answer = await self.read(coordinate, Fetch(coordinate, (service.probe,), ()), wanted)
                yield f"probe {coordinate}", f"{len(answer.records)} rows"
        for coordinate, service in self.config.service.items():
            if service.receipts:
                self.check_receipts(coordinate, self._tables[coordinate])
                yield f"receipts {coordinate}", f"{service.state} and {service.reason} may be written"

    def writing(self, service: str) -> AbstractAsyncContextManager[tuple[Connection, Table]]:
        """A session that may write receipts, and the service's table."""
        return self._session(self._writers, service)

    def check_receipts(self, coordinate: str, table: Table) -> None:
        """Raise `SourceRefused` where receipts may not be written, `SourceBadShape` where they do not fit."""
        service = self.config.service[coordinate]
        try:
            for name in (service.state, service.local_key):
                table.columns[name].check_key()
            _ = table.columns[service.serial].serial
        except ColumnUnfit as error:
            raise SourceBadShape(self.name, f"{coordinate}: {error}") from None
        for name in (service.state, service.reason):
            if not table.columns[name].writable:
                raise SourceRefused(self.name, f"no right to write column {name} of {service.table}")

    @asynccontextmanager
    async def _session(self, connections: Connections, service: str) -> AsyncIterator[tuple[Connection, Table]]:
        try:
            async with connections.borrowed() as connection:
                yield connection, self._tables.get(service) or await self._look_up(connection, service)
        except SourceBadShape:
            self._tables.pop(service, None)
            raise

    async def _select(
        self, connection: Connection, table: Table, service: FrontService, fetch: Fetch, wanted: Sequence[str]
    ) -> Answer:
        if fetch.window is None:
            at_most = service.items_at_most * len(fetch.keys) + 1
            statement, parameters = select_by_key(table, service.key, wanted, service.valid, fetch.keys, at_most)
        else:
            statement, parameters = select_window(
                table, service.key, wanted, service.valid, fetch.keys, self._terms(fetch.service, table),
                zone=self.config.zone, latest=service.as_of.source if service.as_of else None,
                after=fetch.window.after, at_most=fetch.window.first + 1,
            )  # fmt: skip
        statement = capped(statement, ("nth",), len(wanted), self.config.max_bytes, parameters)
        rows = await connection.fetch(statement, *parameters.values)
        if not all(row["sent"] for row in rows):
            raise SourceBadShape(self.name, f"{fetch.service}: more than {self.config.max_bytes} bytes")
        if fetch.window is None:
            if len(rows) > service.items_at_most * len(fetch.keys):
                raise SourceBadShape(self.name, f"{fetch.service}: more than {service.items_at_most} rows a key")
            return Answer([_record(row, wanted) for row in rows])
        return _windowed(rows, wanted, fetch.window.first)

    async def _look_up(self, connection: Connection, coordinate: str) -> Table:
        """The table of a service as its catalogue has it now, checked for all that the service needs."""
        service = self.config.service[coordinate]
        self._tables.pop(coordinate, None)
        found = columns_of([dict(r) for r in await connection.fetch(COLUMNS, self.config.schema, service.table)])
        if not found:
            raise SourceBadShape(self.name, f"{coordinate}: no table {self.config.schema}.{service.table}")
        used = self._columns_used(service)
        if missing := sorted(set(used) - set(found)):
            raise SourceBadShape(self.name, f"{coordinate}: {service.table} has no column {', '.join(missing)}")
        if hidden := sorted(name for name in used if not found[name].readable):
            raise SourceRefused(self.name, f"{coordinate}: no right to read {service.table}.{', '.join(hidden)}")
        wide = connection.get_settings().server_encoding != "SQL_ASCII"
        table = Table(self.config.schema, service.table, {name: found[name] for name in used}, wide)
        try:
            table.columns[service.key].check_key()
            self._terms(coordinate, table)
        except ColumnUnfit as error:
            raise SourceBadShape(self.name, f"{coordinate}: {error}") from None
        self._tables[coordinate] = table
        return table

    def _terms(self, coordinate: str, table: Table) -> tuple[Term, ...]:
        remote, fields = self._declared[coordinate]
        service = self.config.service[coordinate]
        terms = []
        for order in remote.order:
            name = order.removeprefix("-")
            mapping = service.fields.get(name)
            if mapping is None:
                raise ColumnUnfit(f"{name} orders the list, but is not mapped")
            terms.append(Term(fields[name], mapping, table.columns[mapping.source], order.startswith("-")))
        return tuple(terms)

    @staticmethod
    def _columns_used(service: FrontService) -> tuple[str, ...]:
        """Every column that a service may ask for, by the configuration."""
        names: set[str] = {service.key, *(mapping.source for mapping in service.fields.values())}
        names |= {mapping.source for mapping in (service.as_of,) if mapping is not None}
        names |= {name for name in (service.region, service.valid.path if service.valid else "") if name}
        if service.receipts:
            names |= {service.serial, service.state, service.reason, service.local_key}
        return tuple(sorted(names))


def _declared(registry: Registry, coordinate: str) -> tuple[Remote, Mapping[str, Field]]:
    """A remote field's declaration and the attributes of its value type, by declared name."""
    owner, _, field = coordinate.partition(".")
    found = registry.entity(owner).fields[field]
    if not isinstance(found.member, Remote):
        raise TypeError(f"{coordinate} is no remote field")
    return found.member, {part.name: part for part in registry.values[found.type.name].fields.values()}


def _windowed(rows: Sequence[asyncpg.Record], wanted: Sequence[str], first: int) -> Answer:
    """At most `first` records of each key; one more had been asked for, to know whether there are any."""
    records, counts = [], Counter[object]()
    for row in rows:
        counts[row["nth"]] += 1
        if counts[row["nth"]] <= first:
            records.append(_record(row, wanted))
    return Answer(records, ended=all(count <= first for count in counts.values()))


def _record(row: asyncpg.Record, wanted: Sequence[str]) -> dict[str, object]:
    return {name: row[f"c{number}"] for number, name in enumerate(wanted)}
