"""The network between the product and PostgreSQL: a loopback port that passes on, cuts, holds back or swallows."""

from __future__ import annotations

import asyncio
import random
import threading
from enum import Enum, auto
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

LEAST = 200
"""Bytes that PostgreSQL sends at once when it answers a statement, and not when it acknowledges something."""


class Fault(Enum):
    """What goes wrong on the way."""

    NONE = auto()
    CUT = auto()
    """Half of an answer arrives, then both ends are reset."""
    HALF_CLOSE = auto()
    """Half of an answer arrives, then the end of the stream; what the client still says is lost."""
    HOLD = auto()
    """Nothing arrives, on no connection, until the fault is over; then everything does."""
    SWALLOW = auto()
    """The server is gone without a word, as a host that loses its power: connections open now, or made while it lasts,
    never carry a byte again; those made afterwards reach the server that took its place."""


class Wire:
    """A network in a thread of its own, used as a context; `dsn` is the address on this side of it."""

    def __init__(self, dsn: str, seed: int = 1) -> None:
        self.struck = 0
        """How many connections met a fault so far."""
        self.socket = parse_qs(urlsplit(dsn).query)["host"][0] + "/.s.PGSQL.5432"
        self._chance = random.Random(seed)
        self._fault = Fault.NONE
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._lines: set[_Line] = set()
        self._port = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._listening = threading.Event()

    @property
    def dsn(self) -> str:
        """What the product is told."""
        return f"postgresql://postgres@127.0.0.1:{self._port}/postgres"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def suffer(self, fault: Fault) -> None:
        """Let a fault begin, or end the one that lasts."""
        self._loop.call_soon_threadsafe(self._suffer, fault)

    def _suffer(self, fault: Fault) -> None:
        self._fault = fault
        if fault is Fault.HOLD:
            self._passing.clear()
            self.struck += len(self._lines)
        else:
            self._passing.set()
        if fault is Fault.SWALLOW:
            self.struck += len(self._lines)
            for line in self._lines:
                line.swallow()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._ended = asyncio.Event()
        self._passing.set()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self._port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._ended.wait()
        server.close()
        tasks = [line.task for line in self._lines]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connected(self, reader: StreamReader, writer: StreamWriter) -> None:
        line = _Line(self, reader, writer)
        if self._fault is Fault.SWALLOW:
            line.swallow()
        self._lines.add(line)
        try:
            await line.task
        except asyncio.CancelledError:
            # The network itself ends.
            writer.transport.abort()
        finally:
            self._lines.discard(line)

    def strikes(self, data: bytes) -> Fault:
        """What happens to an answer: a third of the longer ones are spoilt while the fault lasts."""
        if self._fault in (Fault.CUT, Fault.HALF_CLOSE) and len(data) >= LEAST and self._chance.random() < 0.3:
            self.struck += 1
            return self._fault
        return Fault.NONE

    async def pass_on(self) -> None:
        """Wait while everything is held back."""
        await self._passing.wait()


class _Line:
    """One connection, both directions."""

    def __init__(self, wire: Wire, reader: StreamReader, writer: StreamWriter) -> None:
        self._wire, self._reader, self._writer = wire, reader, writer
        self._pumps: list[asyncio.Task[None]] = []
        self._swallowed = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    def swallow(self) -> None:
        """Carry nothing any more, and tell the client nothing."""
        self._swallowed.set()
        for pump in self._pumps:
            pump.cancel()

    async def _run(self) -> None:
        try:
            if not self._swallowed.is_set():
                await self._connect()
            if self._swallowed.is_set():
                while await self._reader.read(65536):
                    pass
        except OSError:
            pass  # one of the ends is gone, and the other follows
        finally:
            self._writer.transport.abort()

    async def _connect(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._wire.socket)
        self._pumps = [
            asyncio.create_task(self._pump(self._reader, writer, down=False)),
            asyncio.create_task(self._pump(reader, self._writer, down=True)),
        ]
        try:
            await asyncio.wait(self._pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            writer.transport.abort()

    async def _pump(self, reader: StreamReader, writer: StreamWriter, *, down: bool) -> None:
        while data := await reader.read(65536):
            await self._wire.pass_on()
            fault = self._wire.strikes(data) if down else Fault.NONE
            writer.write(data if fault is Fault.NONE else data[: len(data) // 2])
            await writer.drain()
            if fault is Fault.HALF_CLOSE:
                writer.write_eof()
                await asyncio.sleep(0.5)
            if fault is not Fault.NONE:
                return
