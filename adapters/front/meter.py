"""A limit to what a database may send in answer to one question; asyncpg itself takes whatever comes."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any


class TooMuchSent(ValueError):
    """More bytes than the limit came; the connection is gone."""


class MeteredLoop:
    """The running loop to a client of PostgreSQL, all of whose connections are metered; `secured` are those with TLS.

    A message's length is what the server says, and a message is held until it is whole: only its bytes can be counted.
    """

    def __init__(self, at_most: int, *, secured: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._at_most = at_most
        self._secured = secured

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Callable[[], Any], *place: Any, **how: Any) -> tuple[Any, Any]:
        """A connection; one that is yet to be secured is left as it is, for it holds nothing."""
        if self._secured:
            return await self._loop.create_connection(factory, *place, **how)
        meter = _Meter(self._at_most)
        meter.protocol = factory()
        await self._loop.create_connection(lambda: meter, *place, **how)
        return meter, meter.protocol

    async def start_tls(self, transport: Any, protocol: Any, context: ssl.SSLContext, **how: Any) -> Any:
        """The secured connection; its protocol is given to it afterwards."""
        meter = _Meter(self._at_most)
        meter.transport = await self._loop.start_tls(transport, protocol, context, **how)
        return meter


class _Meter(asyncio.Protocol):
    """Stands between a transport and its protocol, to each as the other, and counts bytes since the last question."""

    protocol: Any
    transport: Any

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._received = 0
        self._failure: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol
        self.transport.set_protocol(self)

    def write(self, data: Any) -> None:
        self._received = 0
        self.transport.write(data)

    def writelines(self, parts: Any) -> None:
        self._received = 0
        self.transport.writelines(parts)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.protocol.connection_made(self)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received <= self._at_most:
            self.protocol.data_received(data)
        elif self._failure is None:
            self._failure = TooMuchSent()
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.protocol.connection_lost(self._failure or exc)

    def eof_received(self) -> bool | None:
        found: bool | None = self.protocol.eof_received()
        return found

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()
