"""Zhejiang's IRS platform (浙江一体化数字资源系统): REST, MD5 signatures, secrets that end after fifteen minutes.

Forms in, envelopes of `code`, `datas` and `totalPage` out; numbers as codes, dates without hyphens, epoch milliseconds,
nested objects. It has no choice of fields: the whole record comes whatever the caller needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from demo.counterparts.distort import Raw
from demo.counterparts.exchange import Envelope
from demo.counterparts.facts import READINGS, SITES, Reading, Site, Visit, after, visits
from demo.counterparts.signatures import IrsFamily, Refused
from demo.counterparts.system import System, main

ORGANISATION = "001008010010001"
INTERFACES = {
    "Project.siteStatus": "4k2Qf8PzL0sTn7Wd",
    "Project.liveInspections": "h5Vb1XcR9mJy3GaE",
    "Enterprise.liveInspections": "t6NpK4wZu8DqS2oL",
    "LiftingMachine.monitoring": "c9Ty7BnM0xHr5FvQ",
}
"""Sixteen characters of each interface's address."""
STATES = {"1": "10", "2": "20", "3": "30", "4": "40", "5": "90"}
KINDS = {"1": "RC", "2": "ZX", "3": "SJ", "4": "FG", "5": "DC"}
_PAGE_AT_MOST = 50


def site_record(site: Site) -> Raw:
    """A site in Zhejiang's names: nested, codes of its own, epoch milliseconds."""
    return {
        "xmbh": site.project_no,
        "xmmc": site.name,
        "sgdw": {"tyshxydm": site.contractor, "mc": "武汉衡砺澄建设工程有限公司"},
        "zt": STATES[site.state],
        "jzmj": float(site.area),
        "xxjd": site.progress,
        "tgbz": "1" if site.stopped_for else "0",
        "tgyy": site.stopped_for or "/",
        "zcrs": site.workers,
        "aqy": {"xm": site.officer, "sjh": site.mobile},
        "sbsj": int(site.reported.timestamp() * 1000),
        "xzqh": site.region,
    }


def visit_record(visit: Visit) -> Raw:
    """A visit in Zhejiang's names."""
    return {
        "jcbh": visit.no,
        "xmbh": visit.project_no,
        "tyshxydm": visit.contractor,
        "jcrq": f"{visit.on:%Y%m%d}",
        "jclx": KINDS[visit.kind],
        "jcjg": visit.agency,
        "wts": visit.findings,
        "zdyh": visit.majors,
        "clcs": visit.disposal,
        "jcqk": visit.summary,
        "jcry": "、".join(visit.inspectors),
        "gxsj": int(visit.changed.timestamp() * 1000),
        "xzqh": visit.region,
    }


def reading_record(reading: Reading) -> Raw:
    """A reading in Zhejiang's names: kilograms, a fraction of the permitted moment."""
    return {
        "babh": reading.record_no,
        "sbbh": reading.device,
        "zxzt": "在线" if reading.online else "离线",
        "cjsj": int(reading.at.timestamp() * 1000),
        "fs": str(reading.wind),
        "ljbl": str(reading.moment / 100),
        "dzkg": int(reading.load * 1000),
        "qsgd": f"{reading.height}",
        "bjcs": str(reading.alarms),
        "sjxm": reading.driver,
    }


def _sites(asked: Mapping[str, str]) -> list[Raw]:
    keys = asked.get("xmbhs", "").split(",")
    return [site_record(site) for site in SITES["33"] if site.project_no in keys]


def _project_visits(asked: Mapping[str, str]) -> list[Raw]:
    return [visit_record(visit) for visit in visits("33") if visit.project_no == asked.get("xmbh")]


def _enterprise_visits(asked: Mapping[str, str]) -> list[Raw]:
    behind = after(visits("33"), asked.get("jcrqz", ""), asked.get("jcbhz", ""))
    return [visit_record(visit) for visit in behind if visit.contractor == asked.get("tyshxydm")]


def _readings(asked: Mapping[str, str]) -> list[Raw]:
    keys = asked.get("babhs", "").split(",")
    return [reading_record(reading) for reading in READINGS["33"] if reading.record_no in keys]


_Find = Callable[[Mapping[str, str]], list[Raw]]
_SERVICES: Mapping[str, tuple[_Find, str, str]] = {
    "Project.siteStatus": (_sites, "xmbhs", "xmbh"),
    "Project.liveInspections": (_project_visits, "xmbh", "xmbh"),
    "Enterprise.liveInspections": (_enterprise_visits, "tyshxydm", "tyshxydm"),
    "LiftingMachine.monitoring": (_readings, "babhs", "babh"),
}
"""By service: how records are found, the parameter of the keys, the records' key."""


async def _asked(request: web.Request) -> dict[str, str]:
    """The parameters, wherever they stand: IRS takes them from query and form alike."""
    form = await request.post()
    return {**request.query, **{name: value for name, value in form.items() if isinstance(value, str)}}


def _envelope(datas: object, *, code: str = "00", msg: str = "成功", total: int = 0, pages: int = 1) -> dict[str, Any]:
    count = len(datas) if isinstance(datas, list) else 0
    return {
        "code": code, "msg": msg, "data": "", "datas": datas, "dataCount": count, "totalDataCount": total or count,
        "totalPage": pages, "requestId": None,
    }  # fmt: skip


async def zhejiang(system: System) -> dict[str, int]:
    """The program: two addresses for secrets, one for each service."""
    credentials = system.settings.credentials
    family = IrsFamily(credentials["app_key"], credentials["app_secret"], system.now)
    system.lives.append(family.lives)

    def secret_route(issue: Callable[[Mapping[str, str]], dict[str, object]]) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            asked = await _asked(request)
            try:
                datas = issue(asked)
            except Refused as refused:
                exchange = system.exchange(request, service="secret")
                return await exchange.refuse(str(refused), 200, _envelope(None, code="13", msg="签名校验失败"))
            exchange = system.exchange(request, service="secret", signed=True)
            envelope = Envelope("", lambda _: _envelope(datas), lambda message: _envelope(None, code="99", msg=message))
            return await exchange.answer(envelope, [])

        return handle

    def data_route(service: str) -> Any:
        find, parameter, key = _SERVICES[service]

        async def handle(request: web.Request) -> web.StreamResponse:
            asked = await _asked(request)
            reason = ""
            try:
                family.verify(asked)
            except Refused as refused:
                reason = str(refused)
            keys = tuple(filter(None, asked.get(parameter, "").split(",")))
            sent = "&".join(f"{k}={v}" for k, v in asked.items() if k not in ("sign", "appKey", "requestTime"))
            exchange = system.exchange(request, service=service, keys=keys, signed=not reason, sent=sent)
            if reason or exchange.expired:
                return await exchange.refuse(reason or "expired", 200, _envelope(None, code="12", msg="密钥已失效"))
            records, total, pages = _page(find(asked), asked)
            envelope = Envelope(
                key,
                wrap=lambda found: _envelope([*found], total=total, pages=pages),
                failure=lambda message: _envelope(None, code="99", msg=message),
                busy=(200, _envelope(None, code="29", msg="超出频次")),
            )
            return await exchange.answer(envelope, records, compress=True)

        return handle

    system.app.router.add_post("/gateway/app/refreshTokenByKey.htm", secret_route(family.by_key))
    system.app.router.add_post("/gateway/app/refreshTokenBySec.htm", secret_route(family.by_secret))
    for service, letters in INTERFACES.items():
        system.app.router.add_post(f"/gateway/api/{ORGANISATION}/dataSharing/{letters}.htm", data_route(service))
    return {}


def _page(records: Sequence[Raw], asked: Mapping[str, str]) -> tuple[list[Raw], int, int]:
    """One page of them, how many there are, and how many pages."""
    size = max(1, min(_PAGE_AT_MOST, int(asked.get("pageSize") or _PAGE_AT_MOST)))
    first = (max(1, int(asked.get("pageNum") or 1)) - 1) * size
    return [*records[first : first + size]], len(records), -(-len(records) // size)


if __name__ == "__main__":
    main(zhejiang)
