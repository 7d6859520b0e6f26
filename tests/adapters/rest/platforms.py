"""Platforms of each signing family on loopback; who calls is verified by the counterparts' own code, not by ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from aiohttp import web

from demo.counterparts.signatures import ClientFamily, GatewayFamily, IrsFamily, Refused

CREDENTIALS = {"env:ID": "us", "env:KEY": "demo-appkey", "env:SECRET": "demo-appsecret-0001"}
RID, SID, RENEW_SID = "XX1@2", "s_1_0001", "s_1_0000"


@dataclass
class Platform:
    """What one platform has: a clock, the calls it took, and what it does before it answers."""

    offset_s: float = 0.0
    calls: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    delays: dict[str, float] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)
    answer: Callable[[dict[str, Any]], Any] = lambda _: {"code": "00", "rows": [{"no": "A1"}]}
    address: str = ""

    def now(self) -> float:
        """Seconds since 1970 by the platform's clock."""
        return time.time() + self.offset_s

    def count(self, name: str) -> int:
        """How often an address was called."""
        return self.calls.count(name)

    async def take(self, name: str, request: web.Request) -> dict[str, Any]:
        """Note a call; its parameters from query, form or JSON."""
        self.calls.append(name)
        await asyncio.sleep(self.delays.get(name, 0))
        if name in self.failing:
            raise web.HTTPServiceUnavailable
        body = await request.json() if request.content_type == "application/json" else dict(await request.post())
        self.asked.append({**request.query, **body})
        return self.asked[-1]

    def refuse(self, refused: Refused, status: int = 401) -> web.Response:
        """The platform's own way to say no."""
        self.refusals.append(str(refused))
        return web.json_response({"code": "12", "msg": "签名错误 110101199003070000"}, status=status)


@asynccontextmanager
async def serving(platform: Platform, routes: dict[str, Callable[[web.Request], Awaitable[web.Response]]]) -> Any:
    """Listen while the block runs, with the platform's clock in every answer."""

    async def date(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = formatdate(platform.now(), usegmt=True)

    app = web.Application()
    app.on_response_prepare.append(date)
    app.router.add_routes([web.route("*", path, handler) for path, handler in routes.items()])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    platform.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield platform
    finally:
        await runner.cleanup()


@asynccontextmanager
async def plain(answer: Callable[[dict[str, Any]], Any]) -> AsyncIterator[Platform]:
    """A platform that knows us by the network alone."""
    platform = Platform(answer=answer)

    async def data(request: web.Request) -> web.Response:
        return web.json_response(platform.answer(await platform.take("data", request)))

    async with serving(platform, {"/data": data}):
        yield platform


@asynccontextmanager
async def x_client() -> AsyncIterator[tuple[Platform, ClientFamily]]:
    """The X-Client family."""
    platform = Platform()
    family = ClientFamily(CREDENTIALS["env:ID"], CREDENTIALS["env:SECRET"], platform.now)

    async def data(request: web.Request) -> web.Response:
        asked = await platform.take("data", request)
        try:
            family.verify(request.headers)
        except Refused as refused:
            return platform.refuse(refused)
        return web.json_response(platform.answer(asked))

    async with serving(platform, {"/data": data}):
        yield platform, family


@asynccontextmanager
async def gateway(*, renewed: bool) -> AsyncIterator[tuple[Platform, GatewayFamily]]:
    """The national gateway; with `renewed` keys are issued by its secret service."""
    platform = Platform()
    family = GatewayFamily(RID, CREDENTIALS["env:KEY" if renewed else "env:SECRET"], platform.now, renewed=renewed)

    async def data(request: web.Request) -> web.Response:
        asked = await platform.take("data", request)
        try:
            family.verify(request.headers, SID)
        except Refused as refused:
            return platform.refuse(refused)
        return web.json_response(platform.answer(asked))

    async def secret(request: web.Request) -> web.Response:
        asked = await platform.take("secret", request)
        try:
            sealed = family.issue(asked, RENEW_SID)
        except Refused as refused:
            return platform.refuse(refused)
        return web.json_response({"code": "200", "data": {"secret": sealed}})

    async with serving(platform, {"/data": data, "/secret": secret}):
        yield platform, family


@asynccontextmanager
async def irs() -> AsyncIterator[tuple[Platform, IrsFamily]]:
    """Zhejiang IRS, which refuses with HTTP 200."""
    platform = Platform()
    family = IrsFamily(CREDENTIALS["env:KEY"], CREDENTIALS["env:SECRET"], platform.now)

    def issuing(name: str, issue: Callable[[dict[str, Any]], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            asked = await platform.take(name, request)
            try:
                return web.json_response({"code": "00", "datas": issue(asked)})
            except Refused as refused:
                return platform.refuse(refused, 200)

        return handle

    async def data(request: web.Request) -> web.Response:
        asked = await platform.take("data", request)
        try:
            family.verify(asked)
        except Refused as refused:
            return platform.refuse(refused, 200)
        return web.json_response(platform.answer(asked))

    routes = {
        "/data": data,
        "/gateway/app/refreshTokenByKey.htm": issuing("by key", family.by_key),
        "/gateway/app/refreshTokenBySec.htm": issuing("by secret", family.by_secret),
    }
    async with serving(platform, routes):
        yield platform, family
