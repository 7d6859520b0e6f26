"""A provincial supervision system behind X-Client signatures: Hubei's and Jiangsu's are of the same make.

Pinyin names, Chinese words for codes, pages by number; one call may name the fields it wants. The two differ in
charset (GB18030 and UTF-8), in their words, and in their dirt.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from demo.counterparts.distort import Raw
from demo.counterparts.exchange import Envelope, Exchange
from demo.counterparts.facts import SITES, Site, Visit, after, visits
from demo.counterparts.signatures import ClientFamily, Refused
from demo.counterparts.system import System, main
from demo.seed import wellknown as known

_PAGE_AT_MOST = 50
_FULL_WIDTH = str.maketrans("0123456789", "０１２３４５６７８９")


@dataclass(frozen=True)
class Make:
    """What tells one province's installation from another's."""

    province: str
    charset: str
    states: Mapping[str, str]
    kinds: Mapping[str, str]
    disposals: Mapping[str, str]
    stopped: tuple[str, str]
    """Words for no stop-work order, and for one."""
    dirt: Callable[[], tuple[list[Raw], list[Raw]]]
    """Records of sites and of visits that only a real system would have."""


def _hubei_dirt() -> tuple[list[Raw], list[Raw]]:
    crowded = _site_record(HUBEI, next(s for s in SITES["42"] if s.project_no == known.PROJECT_MANY_INSPECTIONS))
    county = _site_record(HUBEI, SITES["42"][0])
    strange = _visit_record(HUBEI, visits("42")[0]) | {"xmbm": known.NO_CONTRACTOR, "qydm": "/"}
    sites = [
        # The same site, withdrawn and sent again: only the valid one counts.
        crowded | {"sfyx": "否", "zt": "停工", "xmmc": "武昌中山路管廊（作废）"},
        county | {
            "xmbm": known.UNPUBLISHED, "xmmc": "武昌紫荆片区供水管网工程", "zt": "间歇施工", "xxjd": "无数据",
            "qydm": "无", "aqy": " ", "aqydh": "/", "mj": "约八万", "zcrs": "若干", "gxsj": "1900-01-01 00:00:00",
        },
        # Twice, with different areas and no telling which is newer.
        county | {"xmbm": known.NO_CONTRACTOR, "xmmc": "武昌书香苑安置房项目", "mj": "8.64005"},
        county | {"xmbm": known.NO_CONTRACTOR, "xmmc": "武昌书香苑安置房项目", "mj": "9.1"},
        # Lies in Changsha, and says so: outside what Hubei answers for.
        county | {"xmbm": known.LOCATED_ELSEWHERE, "xmmc": "武昌驻长沙培训中心", "xzqh": "430102"},
    ]  # fmt: skip
    visits_ = [
        strange | {"jcbh": "JC42010620260918-700001", "jcrq": "1900-01-01", "jclx": "飞行检查", "clcs": "口头警告"},
        strange | {"jcbh": "JC42010620260919-700002", "jcrq": "2026/09/19", "wts": "２", "zdyh": "无"},
        strange | {"jcbh": "JC42010620260920-700003", "jcrq": "2026年09月20日", "jcry": "何松,欧阳静"},
        strange | {"jcbh": "JC42010620260920-700003", "jcrq": "2026年09月20日", "jcqk": "重复上报"},
        strange | {"jcbh": "", "jcrq": "2026-09-21"},
        strange | {"jcbh": "JC42010620260922-700004", "jcrq": "2026-13-45"},
    ]
    return sites, visits_


def _jiangsu_dirt() -> tuple[list[Raw], list[Raw]]:
    nanjing = _site_record(JIANGSU, SITES["32"][0])
    # Suzhou's zone by its invented code; digits in full width throughout.
    zone = nanjing | {"xmbm": known.ZONE_SUZHOU.translate(_FULL_WIDTH), "xmmc": "苏州工业园区安置房", "xzqh": "320513"}
    return [zone | {"mj": "８．６４００５", "zcrs": "１８６"}], []


HUBEI = Make(
    "42", "gb18030", {"1": "未开工", "2": "在建", "3": "停工", "4": "竣工", "5": "终止"},
    {"1": "日常检查", "2": "专项检查", "3": "双随机检查", "4": "复工检查", "5": "省级督查"},
    {"0": "抽查记录", "1": "限期整改", "2": "停工整改", "3": "约谈", "4": "扣分", "5": "移送处罚"},
    ("否", "是"), _hubei_dirt,
)  # fmt: skip
JIANGSU = Make(
    "32", "utf-8", {"1": "筹备", "2": "施工中", "3": "暂停施工", "4": "已竣工", "5": "已终止"},
    {"1": "日常", "2": "专项", "3": "双随机", "4": "复工核查", "5": "省厅督查"},
    {"0": "记录", "1": "整改", "2": "停工", "3": "约谈", "4": "记分", "5": "移送"},
    ("未下达", "已下达"), _jiangsu_dirt,
)  # fmt: skip
MAKES = {"42": HUBEI, "32": JIANGSU}


def _site_record(make: Make, site: Site) -> Raw:
    return {
        "xmbm": site.project_no,
        "xmmc": site.name,
        "zt": make.states[site.state],
        "qydm": site.contractor,
        "mj": f"{(site.area / 10000).normalize():f}",
        "xxjd": site.progress,
        "tgl": make.stopped[site.stopped_for is not None],
        "tgyy": site.stopped_for or "无",
        "zcrs": str(site.workers),
        "aqy": site.officer,
        "aqydh": site.mobile,
        "sbsj": f"{site.reported:%Y-%m-%d %H:%M:%S}",
        "gxsj": f"{site.reported:%Y-%m-%d %H:%M:%S}",
        "xzqh": site.region,
        "sfyx": "是",
    }


def _visit_record(make: Make, visit: Visit) -> Raw:
    return {
        "jcbh": visit.no,
        "xmbm": visit.project_no,
        "qydm": visit.contractor,
        "jcrq": f"{visit.on:%Y-%m-%d}",
        "jclx": make.kinds[visit.kind],
        "jcjg": visit.agency,
        "wts": str(visit.findings),
        "zdyh": str(visit.majors),
        "clcs": make.disposals[visit.disposal],
        "jcqk": visit.summary,
        "jcry": ",".join(visit.inspectors),
        "gxsj": f"{visit.changed:%Y-%m-%d %H:%M:%S}",
        "xzqh": visit.region,
        "sfyx": "是",
    }


class _Records:
    """What this installation has."""

    def __init__(self, make: Make) -> None:
        self._make = make
        sites, self._dirty_visits = make.dirt()
        self._sites = [_site_record(make, site) for site in SITES[make.province]] + sites

    def sites(self, asked: Mapping[str, Any]) -> list[Raw]:
        """Sites of the projects asked for; numbers in full width are found too."""
        keys = set(asked.get("xmbmList", ()))
        wide = {key.translate(_FULL_WIDTH) for key in keys}
        return [record for record in self._sites if record["xmbm"] in keys | wide]

    def project_visits(self, asked: Mapping[str, Any]) -> list[Raw]:
        """Visits to one project, newest first."""
        found = [_visit_record(self._make, visit) for visit in visits(self._make.province)]
        return [record for record in found + self._dirty_visits if record["xmbm"] == asked.get("xmbm")]

    def enterprise_visits(self, asked: Mapping[str, Any]) -> list[Raw]:
        """Visits to one contractor's sites behind a day and number, newest first."""
        found = after(visits(self._make.province), asked.get("jcrqZ", ""), asked.get("jcbhZ", ""))
        return [_visit_record(self._make, visit) for visit in found if visit.contractor == asked.get("qydm")]


def _project(records: Sequence[Raw], asked: Mapping[str, Any]) -> list[Raw]:
    """Only the fields asked for, if any are named."""
    wanted = [name for name in str(asked.get("zds") or "").split(",") if name]
    return [{name: record[name] for name in wanted if name in record} for record in records] if wanted else [*records]


def _envelope(rows: object, *, pages: int = 1, total: int = 0, code: int = 0, message: str = "ok") -> dict[str, Any]:
    return {"code": code, "message": message, "data": {"rows": rows, "totalPage": pages, "totalCount": total}}


async def client(system: System) -> dict[str, int]:
    """The program of either province: the settings say which."""
    make = MAKES[system.settings.facts["province"]]
    credentials = system.settings.credentials
    family = ClientFamily(credentials["client_id"], credentials["secret"], system.now)
    system.on_reset.append(family.forget)
    records = _Records(make)

    def route(service: str, find: Callable[[Mapping[str, Any]], list[Raw]], parameter: str, key: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            asked: dict[str, Any] = json.loads(body.decode(make.charset))
            reason = ""
            try:
                family.verify(request.headers)
            except Refused as refused:
                reason = str(refused)
            keys = asked.get(parameter) or []
            exchange = system.exchange(
                request, service=service, keys=tuple(keys if isinstance(keys, list) else [keys]),
                fields=tuple(filter(None, str(asked.get("zds") or "").split(","))), signed=not reason,
                sent=json.dumps(asked, ensure_ascii=False),
            )  # fmt: skip
            if reason or exchange.expired:
                refusal = _envelope(None, code=401, message="认证失败")
                return await exchange.refuse(reason or "expired", 401, refusal)
            return await _answer(exchange, make, key, find(asked), asked)

        return handle

    add = system.app.router.add_post
    add("/api/v1/project/status", route("Project.siteStatus", records.sites, "xmbmList", "xmbm"))
    add("/api/v1/check/byProject", route("Project.liveInspections", records.project_visits, "xmbm", "xmbm"))
    add("/api/v1/check/byCorp", route("Enterprise.liveInspections", records.enterprise_visits, "qydm", "qydm"))
    return {}


async def _answer(
    exchange: Exchange, make: Make, key: str, found: list[Raw], asked: Mapping[str, Any]
) -> web.StreamResponse:
    size = max(1, min(_PAGE_AT_MOST, int(asked.get("pageSize") or _PAGE_AT_MOST)))
    first = (max(1, int(asked.get("pageIndex") or 1)) - 1) * size
    pages = -(-len(found) // size)
    envelope = Envelope(
        key,
        wrap=lambda rows: _envelope([*rows], pages=pages, total=len(found)),
        failure=lambda message: _envelope(None, code=500, message=message),
        charset=make.charset,
    )
    return await exchange.answer(envelope, _project(found[first : first + size], asked))


if __name__ == "__main__":
    main(client)
