"""A loopback port in front of PostgreSQL's socket, with a wire that misbehaves as told."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

SSL_REQUEST = b"\0\0\0\x08\x04\xd2\x16/"


@dataclass
class Wire:
    """Forwards bytes; `frozen` holds the server's, `cut_at` ends the connection after so many of them, `drip`
    slows them, `flood` lets a notice without end follow them, `hold` stops the client's bytes from where they contain a
    text. `tls` accepts TLS."""

    socket: str
    frozen: bool = False
    cut_at: int | None = None
    drip: bool = False
    flood: bool = False
    hold: bytes = b""
    refuse: bool = False
    tls: object = None
    port: int = 0
    connections: int = 0
    held: asyncio.Event = field(default_factory=asyncio.Event)
    sent: bytearray = field(default_factory=bytearray)
    """What clients sent."""
    received: int = 0
    """Bytes that the server sent."""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def drop(self) -> None:
        """End every connection now."""
        for writer in list(self._open):
            writer.transport.abort()

    @property
    def open(self) -> int:
        """Connections that stand."""
        return len(self._open)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            self.connections += 1
            if self.refuse:
                return
            if self.tls is not None:
                assert await reader.readexactly(8) == SSL_REQUEST
                writer.write(b"S")
                await writer.start_tls(self.tls)  # type: ignore[arg-type]
            self._open.add(writer)
            upstream, down = await asyncio.open_unix_connection(self.socket)
            try:
                pumps = [
                    asyncio.create_task(self._up(reader, down)),
                    asyncio.create_task(self._down(upstream, writer)),
                ]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
            finally:
                down.transport.abort()
        except (OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.transport.abort()
            self._tasks.discard(task)

    async def _up(self, reader: asyncio.StreamReader, down: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                self.sent += data
                if self.hold and self.hold in data:
                    self.held.set()
                    await asyncio.Event().wait()
                down.write(data)
                await down.drain()

    async def _down(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        with contextlib.suppress(OSError):
            while data := await upstream.read(65536):
                self.received += len(data)
                while self.frozen:  # noqa: ASYNC110 - a test sets it in the middle of anything
                    await asyncio.sleep(0.005)
                if self.cut_at is not None and sent + len(data) > self.cut_at:
                    writer.write(data[: self.cut_at - sent])
                    await writer.drain()
                    return
                while self.flood:
                    writer.write(b"N\x7f\xff\xff\xff" + bytes(60_000))
                    await writer.drain()
                    self.received += 60_000
                sent += len(data)
                for piece in (data[n : n + 1] for n in range(len(data))) if self.drip else (data,):
                    writer.write(piece)
                    await writer.drain()
                    if self.drip:
                        await asyncio.sleep(0.002)


def socket_of(dsn: str) -> str:
    """The socket file behind a DSN of the tests."""
    query = parse_qs(urlsplit(dsn).query)
    return str(Path(query["host"][0]) / f".s.PGSQL.{query['port'][0]}")
