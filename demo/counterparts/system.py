"""What every counterpart is: an HTTP server of its own process with a book of calls, a clock and a control door."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hmac
import json
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from demo.counterparts.exchange import Exchange
from demo.counterparts.record import Behaviour, Book
from demo.counterparts.signatures import REFRESH_LIFE_S, REQUEST_LIFE_S, Lives

HOST = "127.0.0.1"


class Settings(msgspec.Struct, frozen=True):
    """What a program is told on the first line of its standard input, since arguments are for everybody to read."""

    token: str
    """What the control door asks for."""
    credentials: dict[str, str] = {}
    facts: dict[str, Any] = {}
    """What else a program needs to know: addresses, numbers."""


class System:
    """One counterpart: `app` has the control door already; programs add their own interface."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.book = Book()
        self.lives: list[Lives] = []
        """Of the signing families that issue secrets."""
        self.per_second: int | None = None
        """Calls of one caller and service in a second; None for the program's own limit."""
        self.on_behave: list[Callable[[Behaviour], Awaitable[None]]] = []
        self.on_reset: list[Callable[[], Awaitable[None]]] = []
        self._offset_s = 0.0
        self.app = web.Application(client_max_size=8_000_000)
        control = {"calls": self._calls, "reset": self._reset, "behave": self._behave, "clock": self._clock}
        control |= {"secrets": self._secrets, "limit": self._limit}
        for name, handler in control.items():
            self.app.router.add_route("GET" if name == "calls" else "POST", f"/_control/{name}", self._guarded(handler))

    def now(self) -> float:
        """Seconds since the epoch by this system's own clock, which may be wrong."""
        return time.time() + self._offset_s

    def exchange(self, request: web.Request, **facts: Any) -> Exchange:
        """Begin to answer a request; `facts` are those of its `Call`."""
        return Exchange(request, self.book, self.now, **facts)

    def _guarded(self, handler: Callable[[dict[str, Any]], Awaitable[object]]) -> Any:
        expected = f"Bearer {self.settings.token}".encode()

        async def guarded(request: web.Request) -> web.Response:
            if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected):
                raise web.HTTPForbidden
            body = await request.read()
            answer = await handler(json.loads(body) if body else {})
            return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

        return guarded

    async def _calls(self, _: dict[str, Any]) -> object:
        return self.book.calls

    async def _reset(self, _: dict[str, Any]) -> object:
        self.book.reset()
        self._offset_s, self.per_second = 0.0, None
        for lives in self.lives:
            lives.request_s, lives.refresh_s = REQUEST_LIFE_S, REFRESH_LIFE_S
        for hook in self.on_reset:
            await hook()
        return {}

    async def _behave(self, told: dict[str, Any]) -> object:
        behaviour = msgspec.convert(told, Behaviour)
        self.book.expect(behaviour)
        for hook in self.on_behave:
            await hook(behaviour)
        return {}

    async def _clock(self, told: dict[str, Any]) -> object:
        self._offset_s = float(told["offset_s"])
        return {}

    async def _secrets(self, told: dict[str, Any]) -> object:
        for lives in self.lives:
            lives.request_s = float(told.get("request_life_s", lives.request_s))
            lives.refresh_s = float(told.get("refresh_life_s", lives.refresh_s))
            if "expire" in told:
                lives.expire(everything=told["expire"] == "all")
        return {}

    async def _limit(self, told: dict[str, Any]) -> object:
        self.per_second = told["per_second"]
        return {}


Program = Callable[[System], Awaitable[dict[str, int]]]
"""Adds its interface to a system, and answers what it has to say when ready, beside the port of HTTP."""


def main(program: Program) -> None:
    """Run a program on a loopback port until SIGTERM, or until whoever started it is gone."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port; said on standard output")
    asyncio.run(_run(program, parser.parse_args().port))


async def _run(program: Program, port: int) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    told = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    system = System(msgspec.json.decode(await told.readline(), type=Settings))
    ready = await program(system)
    runner = web.AppRunner(system.app, access_log=None, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, HOST, port, backlog=512)
    await site.start()
    bound = runner.addresses[0][1]
    print(json.dumps({"port": bound, "control": bound, **ready}), flush=True)
    # The end of standard input is the end of the process that holds its other end.
    gone = asyncio.ensure_future(told.read())
    ended = asyncio.ensure_future(stop.wait())
    await asyncio.wait((gone, ended), return_when=asyncio.FIRST_COMPLETED)
    for task in (gone, ended):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    await runner.cleanup()
