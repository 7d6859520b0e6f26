"""A counterpart on loopback that answers with exact bytes, so that a test says what goes over the wire."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Say = Callable[[asyncio.StreamWriter, bytes], Awaitable[None]]


@dataclass
class Wire:
    """Where it listens, the requests it has read, and how many connections are open or were ever made."""

    port: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        """http://127.0.0.1:port"""
        return f"http://127.0.0.1:{self.port}"

    async def quiet(self) -> None:
        """Wait until every connection is closed; fails after two seconds."""
        async with asyncio.timeout(2):
            await self._idle.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, say: Say) -> None:
        """Answer the requests of one connection until either side closes it."""
        self.connections += 1
        self.open += 1
        self._idle.clear()
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
                self.bodies.append(await reader.readexactly(length))
                self.heads.append(head.decode("latin-1"))
                speaking = asyncio.ensure_future(say(writer, head))
                while not (await asyncio.wait({speaking}, timeout=0.01))[0]:
                    if reader.at_eof():
                        speaking.cancel()
                await speaking
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # The other side has gone, or the test is over.
            pass
        finally:
            self.open -= 1
            if not self.open:
                self._idle.set()
            writer.close()


@asynccontextmanager
async def wire(say: Say, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """Listen while the block runs; `say` writes the answer to one request, given its head."""
    found, tasks = Wire(), set[asyncio.Task[None]]()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(found.serve(reader, writer, say))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await server.wait_closed()


def reply(body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> bytes:
    """A whole HTTP answer; `length` announces more than there is."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def saying(data: bytes, *, close: bool = False) -> Say:
    """Always the same bytes."""

    async def say(writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(data)
        if close:
            await writer.drain()
            writer.close()

    return say
