"""The product over HTTP in this process, with everything of one request written down that anybody could observe."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from server.app import build_app
from server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from server.service import Service
    from tests.resolvers.systems import System

JSON = {"content-type": "application/json"}
LIMITS: Mapping[str, Any] = {
    "max_cost": 1_000_000, "max_aliases": 1_000, "max_tokens": 20_000, "max_depth": 30,
    "request_deadline_ms": 120_000, "statement_timeout_ms": 60_000,
}  # fmt: skip
"""No operation is refused for its size here, and none for the time that a busy machine takes."""


@dataclass(frozen=True)
class Request:
    """What a client sends to `/graphql`."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True)
class Observed:
    """What comes of a request: the answer in full, every statement sent with its values, every call of a source."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    statements: tuple[str, ...]
    calls: tuple[str, ...]

    def difference(self, other: Observed) -> str:
        """The first thing in which two observations differ, "" if in none."""
        for name in ("status", "body", "headers", "statements", "calls"):
            one, two = getattr(self, name), getattr(other, name)
            if one != two:
                one, two = repr(one), repr(two)
                place = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), 0)
                cut = slice(max(0, place - 200), place + 200)
                return f"{name} at {place}:\n{one[cut]}\n{two[cut]}"
        return ""


@dataclass
class Product:
    """One application and what it does."""

    service: Service
    client: httpx.AsyncClient
    systems: Sequence[System]
    sent: list[str] = field(default_factory=list)

    async def observe(self, request: Request, identity: Mapping[str, str]) -> Observed:
        """Send one request as somebody."""
        self.sent.clear()
        for system in self.systems:
            system.asked.clear()
        answer = await self.client.request(
            request.method, "/graphql", content=request.body, headers={**JSON, **identity, **request.headers}
        )
        calls = tuple(f"{s.name} {fetch!r} {fetch.reason!r}" for s in self.systems for fetch in s.asked)
        # Statements of one stage run side by side, so their order is the event loop's.
        return Observed(
            answer.status_code, tuple(answer.headers.multi_items()), answer.content, tuple(sorted(self.sent)), calls
        )


@asynccontextmanager
async def product(
    dsn: str, trust: Mapping[str, Any], systems: Sequence[System], **settings: Any
) -> AsyncIterator[Product]:
    """The application on a database, over these sources; `trust` says whose tokens it accepts."""
    chosen = Settings(database_url=dsn, cursor_key=bytes(range(64)), **{**LIMITS, **trust, **settings})
    app = build_app(chosen, sources={system.name: system for system in systems})
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://zlaq") as client:
            found = Product(app.state.service, client, systems)
            _write_down(found)
            yield found


def _write_down(found: Product) -> None:
    """Note every statement at the port between execution and database, its nonce left out.

    A decision is stored with the first request that it is made for, so that statement tells of earlier requests only.
    """
    database = found.service.database
    run, record, fetch = database.run, database.record, database.fetch

    async def noted_run(statement: Any, arguments: Sequence[Any], *more: Any) -> Any:
        given = [a for ref, a in zip(statement.parameters, arguments, strict=True) if ref.source != "nonce"]
        found.sent.append(f"{statement.compiled.sql}\n{given!r}")
        return await run(statement, arguments, *more)

    async def noted_record(written: Any) -> None:
        # Not its rows: the audit knows more of them than the caller.
        found.sent.append(f"record {written.root} {written.sources}")
        await record(written)

    async def noted_fetch(sql: str, *arguments: Any) -> Any:
        found.sent.append(f"{sql}\n{arguments!r}")
        return await fetch(sql, *arguments)

    noted = {"run": noted_run, "record": noted_record, "fetch": noted_fetch}
    vars(database).update(noted)
