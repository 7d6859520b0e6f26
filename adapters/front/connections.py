"""Connections to one front-end database: few, to a checked address, and none that is in doubt is used again."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit

import asyncpg

from adapters.address import resolve
from adapters.base import (
    SourceBadShape,
    SourceBusy,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
)
from adapters.configuration import FrontSource
from adapters.front.meter import MeteredLoop, TooMuchSent

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

_LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InterfaceError,
    # What asyncpg says if the server ends the session between two of its steps.
    asyncpg.InternalClientError,
)

_WIRE_BASE, _WIRE_PER_BYTE = 1_000_000, 8
"""Beside the values, of which a statement takes `max_bytes` at most, go their lengths: five bytes for a text of one."""


class Connections:
    """At most `concurrency` connections of one login, each made when it is needed; see `close`.

    `read_only` sessions cannot write even where the login may; receipts are written by others.
    """

    def __init__(
        self,
        source: str,
        config: FrontSource,
        credentials: Callable[[str], str],
        *,
        read_only: bool,
        statement_seconds: float,
    ) -> None:
        place = urlsplit(config.address)
        self._source, self._config, self._credentials = source, config, credentials
        self.host, self.port = place.hostname or "", place.port or 5432
        self._database = unquote(place.path.removeprefix("/"))
        self._networks = [ip_network(network) for network in config.networks]
        self._seconds = statement_seconds
        self._settings = {
            "application_name": "zlaq",
            "search_path": "pg_catalog",
            "statement_timeout": str(max(1, round(statement_seconds * 1000))),
            "idle_in_transaction_session_timeout": "60000",
            "default_transaction_read_only": "on" if read_only else "off",
        }
        self._turns = asyncio.Semaphore(config.concurrency)
        self._free: list[Connection] = []

    @asynccontextmanager
    async def borrowed(self) -> AsyncIterator[Connection]:
        """A connection outside any transaction; every failure of what is done with it is raised as a `SourceError`.

        It goes back only after success or a refusal of the server's: one that was cancelled in the middle may still be
        busy, and its answer would be read as the next caller's.
        """
        async with self._turns:
            with _translated(self._source):
                connection = self._idle() or await self._connect()
                try:
                    yield connection
                except (asyncpg.PostgresError, SourceError):
                    self._back(connection)
                    raise
                except BaseException:
                    connection.terminate()
                    raise
                self._back(connection)

    async def close(self) -> None:
        """Say goodbye to every idle connection."""
        free, self._free = self._free, []
        for connection in free:
            with contextlib.suppress(TimeoutError, *_LOST):
                await connection.close(timeout=1)

    async def addresses(self) -> tuple[str, ...]:
        """The addresses that the name leads to now, all of them allowed; raises `SourceError`."""
        return await resolve(self._source, self.host, self.port, self._networks)

    def login(self) -> tuple[str, str]:
        """User and password; raises `SourceError` where a reference leads to nothing."""
        found = []
        for name in ("user", "password"):
            try:
                found.append(self._credentials(getattr(self._config, name)))
            except (ValueError, OSError):
                raise SourceError(self._source, f"credential of {name} cannot be read") from None
        return found[0], found[1]

    def _idle(self) -> Connection | None:
        # LIFO: the connection used last is the one least likely to have been cut by a firewall.
        while self._free:
            connection = self._free.pop()
            if not connection.is_closed():
                return connection
        return None

    def _back(self, connection: Connection) -> None:
        if connection.is_closed():
            # Whatever ended this one has most likely ended the others; another try must not meet them.
            while self._free:
                self._free.pop().terminate()
        elif connection.is_in_transaction():
            connection.terminate()
        else:
            self._free.append(connection)

    async def _connect(self) -> Connection:
        user, password = self.login()
        addresses = await self.addresses()
        for number, address in enumerate(addresses, 1):
            try:
                # asyncpg asks for UTF-8, to which the server converts its own charset.
                return await asyncpg.connect(
                    host=address,
                    port=self.port,
                    user=user,
                    password=password,
                    database=self._database,
                    ssl=self._tls(address),
                    loop=self._metered(address),
                    timeout=self._seconds,
                    # The server's own limit comes first, unless the wire is frozen.
                    command_timeout=self._seconds + 1,
                    server_settings=self._settings,
                )
            except ssl.SSLCertVerificationError:
                raise SourceError(self._source, "the certificate is not that of the address") from None
            except OSError:
                if number == len(addresses):
                    raise
        raise AssertionError("resolve gives at least one address")

    def _metered(self, address: str) -> asyncio.AbstractEventLoop:
        return cast(
            "asyncio.AbstractEventLoop",
            MeteredLoop(_WIRE_BASE + _WIRE_PER_BYTE * self._config.max_bytes, secured=not self.plain(address)),
        )

    def plain(self, address: str) -> bool:
        """Whether an address is spoken to without TLS: only on this machine or as configured, and with a `ca` never."""
        near = ip_address(address.split("%", 1)[0]).is_loopback
        return (near or self._config.plain_http) and not self._config.ca

    def _tls(self, address: str) -> ssl.SSLContext | bool:
        if self.plain(address):
            return False
        context = _Named(ssl.PROTOCOL_TLS_CLIENT)
        context.name = self.host
        if self._config.ca:
            context.load_verify_locations(self._config.ca)
        else:
            context.load_default_certs()
        return context


class _Named(ssl.SSLContext):
    """Verifies the certificate for the configured name, although the connection is made to a checked address."""

    name = ""

    def wrap_bio(self, incoming: Any, outgoing: Any, server_side: bool = False, *_: Any, **__: Any) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.name)


@contextmanager
def _translated(source: str) -> Iterator[None]:
    """Raise what asyncpg raises as `SourceError`; the server's text may quote a value, so only our class name stays."""
    try:
        yield
    except SourceError:
        raise
    except asyncpg.PostgresError as error:
        if isinstance(error.__cause__, TooMuchSent):
            raise SourceBadShape(source, "more bytes than an answer can have") from None
        raise _refusal(source, error) from None
    except TimeoutError:
        raise SourceTimeout(source) from None
    except _LOST as error:
        raise SourceUnreachable(source, type(error).__name__) from None
    except (ValueError, OverflowError, asyncpg.DataError) as error:
        # A value that Python's types do not hold, or text of another charset.
        raise SourceBadShape(source, f"{type(error).__name__} while reading") from None


_KINDS: tuple[tuple[type[asyncpg.PostgresError] | tuple[type[asyncpg.PostgresError], ...], type[SourceError]], ...] = (
    (asyncpg.QueryCanceledError, SourceTimeout),
    (asyncpg.TooManyConnectionsError, SourceBusy),
    (
        (
            asyncpg.InsufficientPrivilegeError,
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
            asyncpg.ReadOnlySQLTransactionError,
        ),
        SourceRefused,
    ),
    ((asyncpg.SyntaxOrAccessError, asyncpg.DataError, asyncpg.InvalidSchemaNameError), SourceBadShape),
    ((asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError), SourceUnreachable),
)


def _refusal(source: str, error: asyncpg.PostgresError) -> SourceError:
    for kinds, raised in _KINDS:
        if isinstance(error, kinds):
            return raised(source, type(error).__name__)
    return SourceError(source, type(error).__name__)
