"""The provinces' interfaces: signatures, charsets, pages, secrets that end, entities by position."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import Any

import aiohttp
import pytest

from demo.counterparts import Counterparts
from demo.counterparts.facts import visits
from demo.seed import wellknown as known
from tests.demo.counterparts.stranger import STATUS, last

IRS = "/gateway/api/001008010010001/dataSharing"


async def test_control_needs_its_token(running: Counterparts, http: aiohttp.ClientSession) -> None:
    """Without the token nothing is told and nothing changed."""
    system = running.systems["hubei"]
    for headers in ({}, {"Authorization": "Bearer x"}):
        async with http.get(f"http://127.0.0.1:{system.port}/_control/calls", headers=headers) as answer:
            assert answer.status == 403


async def test_hubei_signatures(stranger: Any) -> None:
    """A nonce holds once, a clock ten minutes; what is wrong is refused and written down as unsigned."""
    hubei = stranger("hubei")
    body = {"xmbmList": [known.PROJECT_COUNTY]}
    headers = hubei.client_headers()

    assert (await hubei.post(STATUS, headers=headers, json=body))[0] == 200
    assert last(hubei.system).signed
    for bad in (headers, hubei.client_headers(skew_s=-700), {**hubei.client_headers(), "X-Signature": "eA=="}, {}):
        assert (await hubei.post(STATUS, headers=bad, json=body))[0] == 401
        assert not last(hubei.system).signed
    hubei.system.clock(-700)
    assert (await hubei.post(STATUS, headers=hubei.client_headers(skew_s=-700), json=body))[0] == 200


async def test_hubei_records(stranger: Any) -> None:
    """GB18030 with characters of four bytes, only the fields asked, an absent key absent, dirt where it belongs."""
    hubei = stranger("hubei")
    rows = await hubei.sites(known.PROJECT_MANY_INSPECTIONS, "4201062603180199", charset="gb18030")

    assert [row["sfyx"] for row in rows] == ["是", "否"]
    assert (rows[0]["aqy"], rows[0]["xxjd"]) == ("欧阳𠮷", "㛃石河段管廊主体")
    assert last(hubei.system).keys == (known.PROJECT_MANY_INSPECTIONS, "4201062603180199")
    only = await hubei.sites(known.PROJECT_COUNTY, fields="xmbm,zt", charset="gb18030")
    assert only == [{"xmbm": known.PROJECT_COUNTY, "zt": "在建"}]
    assert last(hubei.system).fields == ("xmbm", "zt")


async def test_pages_and_windows(stranger: Any) -> None:
    """Pages by number make up the whole list; behind a boundary comes exactly the rest."""
    hubei = stranger("hubei")

    async def page(number: int, **more: str) -> dict[str, Any]:
        asked = {"qydm": known.CONTRACTOR, "pageIndex": number, "pageSize": 100, **more}
        _, body, _ = await hubei.post("/api/v1/check/byCorp", headers=hubei.client_headers(), json=asked)
        found: dict[str, Any] = json.loads(body.decode("gb18030"))["data"]
        return found

    first = await page(1)
    assert (first["totalPage"], first["totalCount"], len(first["rows"])) == (3, 120, 50)
    rows = first["rows"] + (await page(2))["rows"] + (await page(3))["rows"]
    numbers = [row["jcbh"] for row in rows]
    assert numbers == [visit.no for visit in visits("42")]
    assert len(set(numbers)) == 120
    behind = await page(1, jcrqZ=rows[59]["jcrq"], jcbhZ=rows[59]["jcbh"])
    assert [row["jcbh"] for row in behind["rows"]] == numbers[60:110]


async def test_zhejiang_secrets(stranger: Any) -> None:
    """By key, then by secret; a request secret ends with its life, and all end when told to."""
    zhejiang = stranger("zhejiang")

    async def issued(path: str, secret: str) -> dict[str, Any]:
        _, body, _ = await zhejiang.post(f"/gateway/app/{path}", data=zhejiang.irs(secret))
        envelope = json.loads(body)
        return envelope["datas"] or {"code": envelope["code"]}

    async def code(secret: str, **more: Any) -> str:
        form = {**zhejiang.irs(secret, **more), "xmbhs": known.PROJECT_ELSEWHERE}
        _, body, _ = await zhejiang.post(f"{IRS}/4k2Qf8PzL0sTn7Wd.htm", data=form)
        found: str = json.loads(body)["code"]
        return found

    assert await issued("refreshTokenByKey.htm", "wrong") == {"code": "13"}
    both = await issued("refreshTokenByKey.htm", zhejiang.credential("app_secret"))
    assert both["requestSecretEndTime"] / 1000 - time.time() == pytest.approx(900, abs=5)
    assert both["refreshSecretEndTime"] / 1000 - time.time() == pytest.approx(48 * 3600, abs=5)
    assert await code(both["requestSecret"]) == "00"
    assert await code(both["refreshSecret"]) == await code(both["requestSecret"], skew_s=3600) == "12"
    zhejiang.system.lifetimes(request_s=0.05, refresh_s=3600)
    short = await issued("refreshTokenBySec.htm", both["refreshSecret"])
    await asyncio.sleep(0.1)
    assert [await code(short["requestSecret"]), await code(both["requestSecret"])] == ["12", "00"]
    zhejiang.system.expire_secrets()
    assert await code(both["requestSecret"]) == "12"
    assert "requestSecret" in await issued("refreshTokenBySec.htm", both["refreshSecret"])
    zhejiang.system.expire_secrets(everything=True)
    assert await issued("refreshTokenBySec.htm", both["refreshSecret"]) == {"code": "13"}


async def test_compressed_if_the_caller_takes_it(stranger: Any) -> None:
    """Zhejiang packs what it says for whoever says that he can unpack it."""
    zhejiang = stranger("zhejiang")
    secret = zhejiang.credential("app_secret")
    _, body, _ = await zhejiang.post("/gateway/app/refreshTokenByKey.htm", data=zhejiang.irs(secret))
    form = zhejiang.irs(json.loads(body)["datas"]["requestSecret"]) | {"xmbhs": known.PROJECT_ELSEWHERE}
    _, body, headers = await zhejiang.post(
        f"{IRS}/4k2Qf8PzL0sTn7Wd.htm", data=form, headers={"Accept-Encoding": "gzip"}
    )

    assert headers["Content-Encoding"] == "gzip"
    (site,) = json.loads(gzip.decompress(body))["datas"]
    assert (site["zt"], site["tgbz"], site["sgdw"]["tyshxydm"]) == ("30", "1", known.CONTRACTOR)


async def test_guangdong_subgraph(stranger: Any) -> None:
    """Entities by position, null for what is absent; the fields and keys that were asked are written down."""
    guangdong = stranger("guangdong")

    async def ask(query: str, **variables: Any) -> dict[str, Any]:
        asked = {"query": query, "variables": variables}
        _, body, _ = await guangdong.post("/graphql", headers=guangdong.client_headers(), json=asked)
        answer: dict[str, Any] = json.loads(body)
        return answer

    keys = [{"__typename": "Project", "projectNo": no} for no in ("4403052603180199", known.PROJECT_SHENZHEN)]
    query = "query($r: [_Any!]!) { _entities(representations: $r) { ... on Project { siteStatus { state workers } } } }"
    assert await ask(query, r=keys) == {
        "data": {"_entities": [None, {"siteStatus": {"state": "BUILDING", "workers": 186}}]}
    }
    call = last(guangdong.system)
    assert (call.service, call.keys) == ("Project.siteStatus", ("4403052603180199", known.PROJECT_SHENZHEN))
    assert call.fields == ("state", "workers")
    guangdong.system.behave("reorder", service="Project.siteStatus")
    assert (await ask(query, r=keys))["data"]["_entities"][1] is None
    sdl = (await ask("{ _service { sdl } }"))["data"]["_service"]["sdl"]
    assert "enum SiteState" in sdl
    assert last(guangdong.system).service == "sdl"
    assert (await guangdong.post("/graphql", json={"query": query}))[0] == 401
    windowed = (
        "query($r: [_Any!]!) { _entities(representations: $r) { ... on Enterprise {"
        ' inspections(first: 3, afterDate: "2026-06-11", afterNumber: "") { number date } } } }'
    )
    found = await ask(windowed, r=[{"__typename": "Enterprise", "creditCode": known.CONTRACTOR}])
    expected = [visit.no for visit in visits("44") if f"{visit.on}" <= "2026-06-11"][:3]
    assert [one["number"] for one in found["data"]["_entities"][0]["inspections"]] == expected
