"""A real subgraph built with ariadne, and how it is configured."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ariadne.asgi import GraphQL
from ariadne.contrib.federation import FederatedObjectType, make_federated_schema

if TYPE_CHECKING:
    from collections.abc import Callable

SDL = """
enum Zt { ZJ TG JG }
scalar Fraction
type Shuju { zt: Zt mc: String mj: Float sgdw: String tg: Boolean bs: String! dw: Danwei }
type Danwei { rs: Int aqy: String nested: Danwei }
type Jiancha { bh: ID! rq: String fx: Int jg: String ry: [String!] }
type Xianchang { dangqian: Shuju }
type Gongcheng @key(fields: "bianma") {
    bianma: ID!
    xianchang: Xianchang
    jiancha(first: Int!, after: String, afterNo: String, kind: Zt = ZJ): [Jiancha]
    secret: String
}
type Query { zlaq: Boolean }
"""
STATUS, VISITS = "Project.siteStatus", "Project.liveInspections"
RECORDS: dict[str, dict[str, Any]] = {
    f"P{n}": {"zt": ("ZJ", "TG", "JG")[n % 3], "mc": f'项目"{n}', "mj": n + 0.5, "tg": False,
              "bs": "2026-09-16 08:00:00", "dw": {"rs": n, "aqy": "张三"}}
    for n in range(10)
}  # fmt: skip
INSPECTIONS = [
    {"bh": f"J{n:02}", "rq": f"2026-09-{20 - n // 3:02}" if n < 20 else None, "fx": n, "jg": "站", "ry": ["李", "王"]}
    for n in range(23)
]


@dataclass
class Subgraph:
    """One real subgraph: what it was asked, and what it is told to say instead."""

    asked: list[dict[str, Any]] = field(default_factory=list)
    instead: Callable[[dict[str, Any]], Any] | None = None
    """Called with each question; what is not None is the answer (bytes as they are)."""
    schema: Any = None
    secret: str = ""
    refused: int = 0
    delay: float = 0.0
    port: int = 0
    reversed: bool = False
    """Whether representations are taken from the last to the first, so that entities stand at the wrong places."""
    sends_at_most: int = 1000
    """Inspections in one answer, whatever it is asked for."""
    nonces: set[str] = field(default_factory=set)

    def serve(self, sdl: str) -> None:
        """Answer by this SDL from now on."""
        project = FederatedObjectType("Gongcheng")

        @project.reference_resolver()
        def find(_: object, __: object, representation: dict[str, Any]) -> dict[str, Any] | None:
            key = representation["bianma"]
            return None if key == "GONE" else {"bianma": key, "xianchang": {"dangqian": RECORDS.get(key)}}

        @project.field("jiancha")
        def visits(_: object, __: object, first: int, after: str = "", afterNo: str = "", **___: object) -> Any:  # noqa: N803
            behind = [i for i in INSPECTIONS if not afterNo or self._behind(i, after, afterNo)]
            return behind[: min(first, self.sends_at_most)]

        self.schema = make_federated_schema(sdl, project)

    @staticmethod
    def _behind(row: dict[str, Any], after: str, number: str) -> bool:
        if row["rq"] is None:
            return bool(after) or str(row["bh"]) > number
        return bool(after) and (row["rq"] < after or (row["rq"] == after and row["bh"] > number))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        question = json.loads(body)
        self.asked.append(question)
        await asyncio.sleep(self.delay)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        if self.secret and not self._signed(headers):
            self.refused += 1
            await self._reply(send, b'{"errors": [{"message": "no"}]}', 401)
            return
        said = self.instead(question) if self.instead else None
        if said is not None:
            await self._reply(send, said if isinstance(said, bytes) else json.dumps(said).encode())
            return
        if self.reversed and "zlaq_r" in question["variables"]:
            question["variables"]["zlaq_r"].reverse()
            body = json.dumps(question).encode()
        sent = False

        async def again() -> Any:
            nonlocal sent
            if sent:
                return await receive()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        await GraphQL(self.schema, introspection=False)(scope, again, send)

    def _signed(self, headers: dict[str, str]) -> bool:
        stamp, nonce = headers.get("x-timestamp", "0"), headers.get("x-nonce", "")
        message = f"client-1{stamp}{nonce}".encode()
        expected = base64.b64encode(hmac.new(self.secret.encode(), message, hashlib.sha256).digest()).decode()
        fresh = abs(int(stamp) / 1000 - time.time()) < 600 and nonce not in self.nonces
        self.nonces.add(nonce)
        return fresh and hmac.compare_digest(headers.get("x-signature", ""), expected)

    @staticmethod
    async def _reply(send: Any, body: bytes, status: int = 200) -> None:
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def written(port: int, **changes: Any) -> dict[str, Any]:
    """The configuration as an operator writes it."""
    status = {
        "key": "bianma", "type": "Gongcheng", "at": "xianchang.dangqian", "as_of": {"from": "bs"}, "probe": "P1",
        "fields": {
            "state": {"from": "zt", "codes": {"ZJ": "2", "TG": "3"}},
            "name": {"from": "mc"},
            "total_area": {"from": "mj"},
            "stop_work": {"from": "tg"},
            "workers_on_site": {"from": "dw.rs"},
            "safety_officer": {"from": "dw.aqy"},
        },
    }  # fmt: skip
    visits = {
        "key": "bianma", "type": "Gongcheng", "at": "jiancha",
        "arguments": {"first": "{first}", "after": "{after.inspected_on}", "afterNo": "{after.inspection_no}"},
        "fields": {
            "inspection_no": {"from": "bh"}, "inspected_on": {"from": "rq"}, "finding_count": {"from": "fx"},
            "agency": {"from": "jg"}, "inspectors": {"from": "ry"},
        },
    }  # fmt: skip
    return {
        "title": "子图", "covers": ["440000"], "address": f"http://127.0.0.1:{port}", "networks": ["127.0.0.0/8"],
        "path": "/", "deadline_ms": 3000, "service": {STATUS: status, VISITS: visits},
    } | changes  # fmt: skip
