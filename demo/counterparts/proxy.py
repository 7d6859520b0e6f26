"""A proxy before PostgreSQL that reads along: it writes statements with their keys down, and misbehaves on the wire."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from demo.counterparts.record import Book

SESSION = "session"
"""Service of the statements that are not about a table of the province."""
_STARTUP, _CANCEL = 196608, 80877102
_BINARY = 1
_TEXT_TYPES = (25, 1043)
_WIRE = ("slow", "drip", "cut", "freeze")

Reading = Callable[[str], tuple[str, tuple[str, ...]]]
"""What a statement is about: the service, and the columns it names."""


class Proxy:
    """Listens on a loopback port and passes everything on to the server at `dsn`."""

    def __init__(self, dsn: str, book: Book, read: Reading) -> None:
        self._dsn, self._book, self._read = dsn, book, read
        self._open: set[_Connection] = set()

    async def start(self) -> int:
        """Listen; answers the port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = server.sockets[0].getsockname()[1]
        return port

    def drop(self) -> None:
        """Abort every connection."""
        for connection in self._open:
            connection.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._book.take("connect", ("refuse",)):
            writer.transport.abort()
            return
        upstream = await _connect(self._dsn)
        connection = _Connection((reader, writer), upstream, self._book, self._read)
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)


async def _connect(dsn: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(dsn)
    asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    port = int(asked.get("port") or parts.port or 5432)
    host = asked.get("host") or parts.hostname or "localhost"
    if host.startswith("/"):
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)


class _Connection:
    """One client's connection, both directions."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        book: Book,
        read: Reading,
    ) -> None:
        self._client, self._server, self._book, self._read = client, server, book, read
        self._statements: dict[bytes, str] = {}
        self._mood: Mapping[str, Mapping[str, Any]] = {}
        self._call: int | None = None

    def abort(self) -> None:
        """Drop both sides at once."""
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def run(self) -> None:
        """Pass on until either side ends."""
        tasks = [asyncio.create_task(self._upwards()), asyncio.create_task(self._downwards())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
                await task
        if self._call is not None:
            self._book.ended(self._call, "+".join(self._mood) or "abandoned")
        self.abort()

    async def _upwards(self) -> None:
        reader, (_, writer) = self._client[0], self._server
        begun = False
        while not begun:
            (length,) = struct.unpack("!i", head := await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            (code,) = struct.unpack_from("!i", body)
            begun = code in (_STARTUP, _CANCEL) or code >> 16 == 3
            writer.write(head + body)
            await writer.drain()
        while True:
            kind = await reader.readexactly(1)
            (length,) = struct.unpack("!i", head := await reader.readexactly(4))
            body = await reader.readexactly(length - 4)
            self._note(kind, body)
            writer.write(kind + head + body)
            await writer.drain()

    def _note(self, kind: bytes, body: bytes) -> None:
        """Remember what is prepared, and write down what is executed."""
        if kind == b"P":
            name, statement, _ = body.split(b"\0", 2)
            self._statements[name] = statement.decode()
        elif kind == b"B":
            _, name, rest = body.split(b"\0", 2)
            self._begin(self._statements.get(name, ""), _texts(rest))
        elif kind == b"Q":
            self._begin(body[:-1].decode(), ())

    def _begin(self, statement: str, keys: tuple[str, ...]) -> None:
        service, fields = self._read(statement)
        self._mood = self._book.take(service, _WIRE) if service != SESSION else {}
        self._call = self._book.received(service=service, keys=keys, fields=fields, signed=True, sent=statement)

    async def _downwards(self) -> None:
        reader, (_, writer) = self._server[0], self._client
        while data := await reader.read(65536):
            mood = self._mood
            if "slow" in mood:
                await asyncio.sleep(float(mood["slow"].get("seconds", 1)))
            if "freeze" in mood:
                await asyncio.Event().wait()
            if "cut" in mood:
                writer.write(data[: len(data) // 2])
                await writer.drain()
                return
            if "drip" in mood:
                for byte in data:
                    writer.write(bytes((byte,)))
                    await writer.drain()
                    await asyncio.sleep(float(mood["drip"].get("seconds", 0.05)))
            else:
                writer.write(data)
                await writer.drain()
            # Ready for query: six bytes that end what a statement brought.
            if self._call is not None and data[-6:-1] == b"Z\0\0\0\5":
                self._book.ended(self._call, "+".join(mood) or "answered")
                self._call = None


def _texts(rest: bytes) -> tuple[str, ...]:
    """The texts among the parameters of a Bind message, those of arrays too."""
    (formats,) = struct.unpack_from("!h", rest)
    codes = struct.unpack_from(f"!{formats}h", rest, 2)
    at = 2 + 2 * formats
    (count,) = struct.unpack_from("!h", rest, at)
    at += 2
    found: list[str] = []
    for number in range(count):
        (length,) = struct.unpack_from("!i", rest, at)
        value = rest[at + 4 : at + 4 + length] if length >= 0 else b""
        at += 4 + max(length, 0)
        binary = (codes[number] if formats > 1 else codes[0] if formats else 0) == _BINARY
        found += _array(value) if binary and _is_array(value) else _plain(value)
    return tuple(found)


def _is_array(value: bytes) -> bool:
    if len(value) < 20:
        return False
    dimensions, flags, kind = struct.unpack_from("!iii", value)
    return dimensions == 1 and flags in (0, 1) and kind in _TEXT_TYPES


def _array(value: bytes) -> list[str]:
    (count,) = struct.unpack_from("!i", value, 12)
    at, found = 20, []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", value, at)
        found.append(value[at + 4 : at + 4 + max(length, 0)].decode())
        at += 4 + max(length, 0)
    return found


def _plain(value: bytes) -> list[str]:
    """A text; numbers in binary are not written down."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return []
    return [text] if text.isprintable() and text else []
