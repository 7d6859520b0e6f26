"""The national data sharing and exchange platform (国家数据共享交换平台) with four services behind its gateway.

Each service has its own path, service id, envelope and word for success. Two callers are known: one signs with a static
appsecret, the other with secrets that it renews with its appkey; the second alone may ask the population library.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from aiohttp import web

from demo.counterparts import registers
from demo.counterparts.distort import Raw
from demo.counterparts.exchange import Envelope
from demo.counterparts.signatures import GatewayFamily, Refused
from demo.counterparts.system import System, main

RID = "XX1110000000013338@3f1c9a7be2d04568b1a7c05e9d82f640"
POPULATION_RID = "XX1110000000013338@b80e5d2f6c914a37a9e1d4c7f0362b58"
RENEWAL_SID = "s_1100000000013338_0001"
_PER_SECOND = 100
"""Calls that one requester may make of one service in a second."""


@dataclass(frozen=True)
class Service:
    """One interface behind the gateway."""

    name: str
    path: str
    sid: str
    rid: str
    parameter: str
    """Body name of the key."""
    key: str
    """Name of the key in a record."""
    find: Callable[[str], Sequence[Raw]]
    wrap: Callable[[Sequence[Raw], int], object]
    """Records of a page, and the number of pages."""
    failure: Callable[[str], object]
    busy: tuple[int, object]


def _plain(code: str, message: str, data: object) -> dict[str, object]:
    return {"code": code, "message": message, "data": data}


def _older(code: str, message: str, rows: object, pages: int = 1) -> dict[str, object]:
    return {"code": code, "msg": message, "biz_data": {"rows": rows, "totalpage": pages}}


def _library(code: str, message: str, result: object) -> dict[str, object]:
    return {"Code": code, "Message": message, "PayLoad": {"Data": {"Result": result}}}


BUSINESS = Service(
    "Enterprise.businessRegistration", "/sysapi/scjg/djxx", "s_1100000000013056_0017", RID, "tyshxydm", "tyshxydm",
    registers.business, lambda rows, _: _plain("200", "成功", rows[0] if len(rows) == 1 else [*rows]),
    lambda message: _plain("300", message, None), (429, _plain("api-029", "调用频次超限", None)),
)  # fmt: skip
CREDIT = Service(
    "Enterprise.creditRecords", "/sysapi/xyzg/xyjl", "7d0c5e1b94a24f3e8c6b2a1f0e9d8c7b", RID, "tyshxydm", "tyshxydm",
    registers.credit, lambda rows, pages: _older("1", "查询成功", [*rows], pages),
    lambda message: _older("0", message, None), (200, _older("-29", "频次超限", None)),
)  # fmt: skip
APPROVAL = Service(
    "Project.investmentApproval", "/sysapi/fgw/tzxm", "s_1100000000013021_0004", RID, "xmdm", "xmdm",
    registers.approval, lambda rows, _: {"code": "00", "msg": "成功", "datas": [*rows]},
    lambda message: {"code": "99", "msg": message, "datas": None}, (429, {"code": "29", "msg": "频次超限"}),
)  # fmt: skip
POPULATION = Service(
    "Person.identityCheck", "/gateway/httpproxy/rk/query", "c2a91f77d05b4e83a1c6e94d20b7f358", POPULATION_RID,
    "GMSFHM", "GMSFHM", registers.population, lambda rows, _: _library("0001", "查询成功", [*rows]),
    lambda message: _library("0500", message, None), (429, _library("0429", "频次超限", None)),
)  # fmt: skip
SERVICES = (BUSINESS, CREDIT, APPROVAL, POPULATION)


@dataclass(frozen=True)
class _Asked:
    """A body after it has been read: what the record of calls and the service want to know."""

    keys: tuple[str, ...]
    fields: tuple[str, ...]
    officer: bool = False
    fault: str = ""
    """Why the body is refused, if it is."""


class Gateway:
    """Signatures, limits and the services behind them."""

    def __init__(self, system: System) -> None:
        credentials = system.settings.credentials
        static = GatewayFamily(RID, credentials["appsecret"], system.now)
        renewed = GatewayFamily(POPULATION_RID, credentials["appkey"], system.now, renewed=True)
        self._system = system
        self._families = {RID: static, POPULATION_RID: renewed}
        self._latest: dict[tuple[str, str], deque[float]] = {}
        system.lives.append(renewed.lives)
        system.on_reset.append(self._forget)
        system.app.router.add_post("/gateway/httpproxy/secret", self._secret)
        system.app.router.add_post("/sysapi/catalog/query", self._catalogue)
        for service in SERVICES:
            system.app.router.add_post(service.path, self._route(service))

    def _route(self, service: Service) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            text = await request.text()
            reason = self._signed(request.headers, service.rid, service.sid)
            body = _object(text)
            read = _read_population if service is POPULATION else _read_lower
            asked = read(body, service.parameter)
            exchange = self._system.exchange(
                request, service=service.name, keys=asked.keys, fields=asked.fields, officer=asked.officer,
                signed=not reason, sent=text,
            )  # fmt: skip
            if reason or exchange.expired:
                refusal = _plain("api-003", "签名验证失败", None)
                return await exchange.refuse(reason or "expired", 401, refusal)
            envelope = Envelope(service.key, lambda rows: service.wrap(rows, 1), service.failure, service.busy)
            if self._too_often(service):
                return await exchange.busy(envelope)
            if asked.fault:
                return await exchange.refuse(asked.fault, 200, service.failure("参数不符合要求"))
            found, pages = _page(service.find(asked.keys[0]), body)
            envelope = Envelope(service.key, lambda rows: service.wrap(rows, pages), service.failure, service.busy)
            return await exchange.answer(envelope, _only(found, asked.fields), compress=True)

        return handle

    def _signed(self, headers: Mapping[str, str], rid: str, sid: str) -> str:
        """Why the signature does not hold; empty if it does."""
        try:
            self._families[rid].verify(headers, sid)
        except Refused as refused:
            return str(refused)
        return ""

    def _too_often(self, service: Service) -> bool:
        limit = _PER_SECOND if self._system.per_second is None else self._system.per_second
        latest = self._latest.setdefault((service.rid, service.sid), deque())
        now = time.monotonic()
        while latest and latest[0] <= now - 1:
            latest.popleft()
        if len(latest) >= limit:
            return True
        latest.append(now)
        return False

    async def _forget(self) -> None:
        self._latest.clear()

    async def _secret(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        given = {name: str(value) for name, value in _object(text).items()}
        try:
            sealed = self._families[POPULATION_RID].issue(given, RENEWAL_SID)
        except Refused as refused:
            exchange = self._system.exchange(request, service="secret", sent=text)
            return await exchange.refuse(str(refused), 401, _plain("api-003", "签名验证失败", None))
        exchange = self._system.exchange(request, service="secret", signed=True)
        envelope = Envelope(
            "", lambda _: _plain("200", "成功", {"secret": sealed}), lambda message: _plain("300", message, None)
        )
        return await exchange.answer(envelope, [])

    async def _catalogue(self, request: web.Request) -> web.StreamResponse:
        """The resources that a requester may call: everything is open to whoever reaches the gateway."""
        exchange = self._system.exchange(request, service="catalogue", sent=await request.text())
        rows = [
            {"cata_id": f"3{number:05d}/{number:06d}", "name": service.name, "sid": service.sid, "path": service.path}
            for number, service in enumerate(SERVICES, start=1)
        ]
        envelope = Envelope(
            "sid", lambda found: _plain("200", "成功", [*found]), lambda message: _plain("300", message, None)
        )
        return await exchange.answer(envelope, rows)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _read_lower(body: Mapping[str, Any], parameter: str) -> _Asked:
    """The platform's rule for /sysapi: lower-case names only, whatever the templates show."""
    key = body.get(parameter)
    fields = tuple(filter(None, str(body.get("cxzd") or "").split(",")))
    if any(name != name.lower() for name in body):
        return _Asked((), fields, fault="names must be lower-case")
    if not isinstance(key, str) or not key:
        return _Asked((), fields, fault="exactly one key")
    return _Asked((key,), fields)


_END_USER = ("UserCardId", "UserName", "UserDept", "UserIp", "CallReason")


def _read_population(body: Mapping[str, Any], parameter: str) -> _Asked:
    """The population library: a complete end user with a reason, one person, and the items it needs."""
    user, params = body.get("EndUser"), body.get("Params")
    user, params = user if isinstance(user, dict) else {}, params if isinstance(params, dict) else {}
    condition, items = params.get("Condition"), params.get("RequiredItems")
    key = condition.get(parameter) if isinstance(condition, dict) else None
    fields = tuple(map(str, items)) if isinstance(items, list) else ()
    keys = (key,) if isinstance(key, str) and key else ()
    complete = all(str(user.get(name) or "").strip() for name in _END_USER)
    fault = ""
    if not complete:
        fault = "EndUser is not complete"
    elif not _is_address(str(user["UserIp"])):
        fault = "UserIp is no address"
    elif body.get("Method") != "Query" or not all(
        body.get(name) for name in ("SenderId", "ServiceId", "AuthorizeInfo")
    ):
        fault = "SenderId, ServiceId, AuthorizeInfo or Method"
    elif not keys or not fields:
        fault = "exactly one person, and the items needed"
    return _Asked(keys, fields, officer=complete, fault=fault)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _page(records: Sequence[Raw], body: Mapping[str, Any]) -> tuple[list[Raw], int]:
    """The page asked for by `pageno` and `pagesize`, after the day `jzrq`, and how many pages there are."""
    size = max(1, min(50, int(body.get("pagesize") or 50)))
    first = (max(1, int(body.get("pageno") or 1)) - 1) * size
    until = str(body.get("jzrq") or "").replace("-", "")
    found = [record for record in records if not until or str(record.get("rdrq", "")) <= until]
    return found[first : first + size], -(-len(found) // size)


def _only(records: Sequence[Raw], fields: Sequence[str]) -> list[Raw]:
    return [{name: record[name] for name in fields if name in record} for record in records] if fields else [*records]


async def national(system: System) -> dict[str, int]:
    """The program."""
    Gateway(system)
    return {}


if __name__ == "__main__":
    main(national)
