"""The floors: a bare ASGI application that runs prepared statements and nothing else.

No parsing of GraphQL, no identity, no policy: what is left is HTTP, asyncpg and PostgreSQL. F1 runs the product's own
SQL, F2 the best that is written by hand (`bench.statements`).
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import asyncpg
import orjson

from adapters.base import AuditRecord
from adapters.postgres.database import Database
from bench.statements import KEY, Sent
from schema.registry import load_registry

CONNECTIONS = 4
SETTINGS = {
    "search_path": "zlaq",
    "timezone": "UTC",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",
}


class Floor:
    """POST to the place of a statement, with the body that the product gets; `written` is `bench.statements`' JSON.

    `audited` lets each answer wait for its record, as the product writes it: in commits that several share.
    """

    def __init__(self, dsn: str, written: bytes, *, audited: bool) -> None:
        self._dsn = dsn
        self._statements = {place: Sent(*sent) for place, sent in orjson.loads(written).items()}
        self._free: list[dict[str, Any]] = []
        self._turns = asyncio.Semaphore(CONNECTIONS)
        self._audit: Database | None = None
        if audited:
            self._audit = Database(dsn, load_registry(), size=CONNECTIONS, statement_timeout_ms=5000, role="zlaq_read")

    async def _connect(self) -> dict[str, Any]:
        connection = await asyncpg.connect(self._dsn, statement_cache_size=0, server_settings=SETTINGS)
        return {
            place: await connection.prepare(sent.sql, name=f"s{number}")
            for number, (place, sent) in enumerate(self._statements.items())
        }

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request; opens the connections at start."""
        if scope["type"] == "lifespan":
            await receive()
            self._free = [await self._connect() for _ in range(CONNECTIONS)]
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        variables = orjson.loads(body)["variables"]
        place = scope["path"]
        key = variables.get("no") or base64.b64decode(variables["after"][1:]).decode()
        sent = self._statements[place]
        given = [key if argument == KEY else argument for argument in sent.arguments]
        async with self._turns:
            held = self._free.pop()
            try:
                rows = await held[place].fetch(*([[g] for g in given] if sent.batched else given))
            finally:
                self._free.append(held)
        if self._audit is not None and sent.record is not None:
            await self._audit.record(AuditRecord(*sent.record)._replace(rows=rows[0][1]))
        answer = b'{"data":{"x":' + (rows[0][0] or b"null") + b"}}"
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": answer})
