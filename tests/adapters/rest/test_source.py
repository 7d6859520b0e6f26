"""The driver asks what its templates say, believes an envelope only as configured, and pages until a window is full."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import (
    Fetch,
    OfficerMissing,
    SourceBadShape,
    SourceBusy,
    SourceError,
    SourceRefused,
    Window,
)
from adapters.configuration import AttributeMapping, ClientSigner, Condition, NoSigner, RestService, RestSource
from adapters.driver import Answer
from adapters.rest import RestDriver
from adapters.rest.order import LocalOrder
from adapters.rest.template import TemplateRefused
from schema.officer import Officer
from schema.registry import load_registry
from tests.adapters.rest.platforms import Platform, plain
from tests.adapters.rest.wire import reply, saying, wire

STATUS, VISITS, CHECK = "Project.siteStatus", "Enterprise.liveInspections", "Person.identityCheck"
FIELDS = {
    STATUS: {"name": AttributeMapping(source="mc")},
    VISITS: {
        "inspected_on": AttributeMapping(source="rq.d", dates=("%Y%m%d", "%Y-%m-%d")),
        "inspection_no": AttributeMapping(source="bh"),
    },
    CHECK: {"name": AttributeMapping(source="XM")},
}
CITIZEN = "110101199003070000"


def source(address: str, service: str = STATUS, signer: Any = None, charset: Any = "utf-8", **more: Any) -> RestSource:
    """A system with one service at /data."""
    given_service: dict[str, Any] = {"path": "/data", "key": "no", "fields": FIELDS[service], "rows": "rows", **more}
    return RestSource(
        title="试", covers=("330000",), address=address, networks=("127.0.0.0/8",), signer=signer or NoSigner(),
        service={service: RestService(**given_service)}, charset=charset,
    )  # fmt: skip


@asynccontextmanager
async def driving(answer: Any, service: str = STATUS, **more: Any) -> AsyncIterator[tuple[RestDriver, Platform]]:
    """An open driver and the platform that answers it: a document, or what a function makes of what was asked."""
    async with plain(answer if callable(answer) else lambda _: answer) as platform:
        driver = RestDriver("zj", source(platform.address, service, **more), str)
        try:
            await driver.open()
            yield driver, platform
        finally:
            await driver.close()


async def read(driver: RestDriver, service: str = STATUS, *keys: str, **more: Any) -> Answer:
    """One fetch."""
    return await driver.read(service, Fetch(service, keys or ("A1",), (), **more), ("no", "mc"))


async def test_what_is_sent_is_the_template_with_its_values():
    body = {"nos": "{keys}", "zd": "{fields:,}", "n": "{first}", "v": 1, "id": "{uuid}", "at": "{now_ms}", "t": "{now}"}
    async with driving({"rows": []}, body=body, query={"q": "{keys:,}", "flag": True}) as (driver, platform):
        await read(driver, STATUS, "A1", '"}{key}')
        await read(driver)
        first, second = platform.asked
    assert first["nos"] == ["A1", '"}{key}']
    assert (first["zd"], first["n"], first["v"], first["q"]) == ("no,mc", 2, 1, 'A1,"}{key}')
    assert first["flag"] == "true"
    assert isinstance(first["at"], int)
    assert first["id"] != second["id"]
    assert len(first["t"]) == 19


async def test_json_is_the_same_in_every_charset_and_forms_speak_the_sources():
    async with wire(saying(reply(b'{"rows": []}'))) as counterpart:
        for form in (False, True):
            config = source(counterpart.address, charset="gb18030", body={"mc": "{key}"}, form=form, keys_per_call=1)
            driver = RestDriver("zj", config, str)
            await driver.open()
            await read(driver, STATUS, "武汉𠮷")
            await driver.close()
    document, form_body = counterpart.bodies
    assert document.isascii()
    assert json.loads(document) == {"mc": "武汉𠮷"}
    assert parse_qsl(form_body.decode(), encoding="gb18030") == [("mc", "武汉𠮷")]


@pytest.mark.parametrize(
    ("answer", "records"),
    [
        ({"rows": [{"no": 1}, {"no": 2}]}, [{"no": 1}, {"no": 2}]),
        ({"rows": {"no": 1}}, [{"no": 1}]),
        ({"rows": None}, []),
        ({"rows": ""}, []),
        ({}, []),
        ({"rows": []}, []),
    ],
)
async def test_records_are_found(answer: Any, records: Any):
    async with driving(answer) as (driver, _):
        assert await read(driver) == Answer(records, ended=True)


@pytest.mark.parametrize("rows", [1, "text", True, [1], [{"a": 1}, None], [[{"a": 1}]]])
async def test_records_that_are_no_objects_are_refused(rows: Any):
    async with driving({"rows": rows}) as (driver, _):
        with pytest.raises(SourceBadShape):
            await read(driver)


async def test_rows_lie_at_a_path_and_an_answer_may_be_the_list_itself():
    async with driving({"PayLoad": {"Data": {"Result": [{"no": 1}]}}}, rows="PayLoad.Data.Result") as (
        driver,
        platform,
    ):
        assert (await read(driver)).records == [{"no": 1}]
        platform.answer = lambda _: {"PayLoad": []}
        assert (await read(driver)).records == []
    async with driving([{"no": 1}], rows="") as (driver, _):
        assert (await read(driver)).records == [{"no": 1}]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("00", None), (200, None), (True, None), (0, SourceRefused), ("500", SourceRefused), (None, SourceRefused),
        ({"00": 1}, SourceRefused), ("29", SourceBusy), (29, SourceBusy),
    ],
)  # fmt: skip
async def test_an_envelope_is_believed_as_configured_and_never_quoted(said: Any, kind: type[SourceError] | None):
    conditions: dict[str, Any] = {
        "success": Condition(path="head.code", values=("00", "200", "true")),
        "busy": Condition(path="head.code", values=("29",)),
    }
    answer = {"head": {"code": said, "msg": f"{CITIZEN} 查询失败"}, "rows": [{"no": 1}]}
    async with driving(answer, **conditions) as (driver, _):
        if kind is None:
            assert len((await read(driver)).records) == 1
        else:
            with pytest.raises(SourceError) as caught:
                await read(driver)
            assert type(caught.value) is kind
            assert CITIZEN not in f"{caught.value!s}{caught.value!r}{caught.value.__cause__}"


OFFICER = Officer(CITIZEN, "何松", "浙江省住建厅", "10.0.0.8")


async def test_an_officer_stands_in_the_call_and_nothing_goes_out_without():
    body = {
        "EndUser": {"UserCardId": "{officer.id_no}", "UserName": "{officer.name}", "UserDept": "{officer.department}",
                    "UserIp": "{officer.address}", "CallReason": "{reason}"},
        "Params": {"Condition": {"GMSFHM": "{key}"}, "RequiredItems": "{fields}"},
    }  # fmt: skip
    async with driving({"rows": []}, CHECK, body=body, keys_per_call=1) as (driver, platform):
        with pytest.raises(OfficerMissing):
            await read(driver, CHECK)
        assert platform.asked == []
        await read(driver, CHECK, officer=OFFICER, reason="证书核验")
        assert platform.asked == [
            {
                "EndUser": {"UserCardId": CITIZEN, "UserName": "何松", "UserDept": "浙江省住建厅", "UserIp": "10.0.0.8",
                            "CallReason": "证书核验"},
                "Params": {"Condition": {"GMSFHM": "A1"}, "RequiredItems": ["no", "mc"]},
            }
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ({"a": "{nothing}"}, {}),
        ({"a": "{key}"}, {}),
        ({"a": "{after.summary}"}, {"keys_per_call": 1}),
    ],
)
def test_a_template_that_cannot_work_is_refused_before_any_call(body: Any, more: Any):
    with pytest.raises(TemplateRefused):
        RestDriver("zj", source("http://127.0.0.1:1", VISITS, body=body, **more), str)


DAYS = [{"no": "E", "bh": f"J{n:03}", "rq": {"d": f"{date(2026, 9, 1) - timedelta(n // 4):%Y%m%d}"}} for n in range(90)]
PAGED = {"page": "{page}", "size": "{first}", "e": "{keys}"}


def by_page(asked: dict[str, Any]) -> Any:
    """Pages by number and nothing else: what an earlier window had comes again."""
    size, start = asked["size"], (asked["page"] - 1) * asked["size"]
    return {"rows": DAYS[start : start + size], "pages": -(-len(DAYS) // size)}


def by_day(asked: dict[str, Any]) -> Any:
    """Takes the day of a boundary only, and includes it."""
    rows = [row for row in DAYS if not asked.get("until") or row["rq"]["d"] <= asked["until"]]  # type: ignore[index]
    size, start = asked["size"], (asked["page"] - 1) * asked["size"]
    return {"rows": rows[start : start + size], "pages": -(-len(rows) // size)}


def by_boundary(asked: dict[str, Any]) -> Any:
    """Takes the whole boundary, and has no pages."""
    day, no = asked.get("until", "99999999"), asked.get("no", "")
    behind = [row for row in DAYS if (row["rq"]["d"], "z") < (day, no) or (row["rq"]["d"] == day and row["bh"] > no)]  # type: ignore[index]
    return {"rows": behind[: asked["size"]]}


def everything(asked: dict[str, Any]) -> Any:
    """Ignores windows altogether."""
    return {"rows": DAYS}


@pytest.mark.parametrize(
    ("answer", "body", "last_page"),
    [
        (by_page, PAGED, "pages"),
        (by_day, {**PAGED, "until": "{after.inspected_on}"}, "pages"),
        (by_boundary, {"size": "{first}", "until": "{after.inspected_on}", "no": "{after.inspection_no}"}, ""),
        (everything, {"e": "{keys}"}, ""),
    ],
)
@pytest.mark.parametrize("first", [7, 20, 89, 90, 100])
async def test_windows_walk_through_everything_once(answer: Any, body: Any, last_page: str, first: int):
    async with driving(answer, VISITS, body=body, last_page=last_page) as (driver, platform):
        walked: list[Any] = []
        after: tuple[str, ...] | None = None
        for _ in range(40):
            found = await read(driver, VISITS, window=Window(first, after))
            window: list[Any] = [(row["rq"]["d"], row["bh"]) for row in found.records][:first]  # type: ignore[index]
            walked += [no for _, no in window]
            if found.ended and len(found.records) <= first:
                break
            day, no = window[-1]
            after = (f"{day[:4]}-{day[4:6]}-{day[6:]}", no)
        assert walked == [row["bh"] for row in DAYS]
        if answer is by_boundary:
            # What is behind a short answer is asked for once, as long as the source has not sent more at once.
            assert len(platform.asked) == 90 // first + 1 + (first > 90)


async def test_a_window_takes_no_more_pages_than_it_needs():
    async with driving(by_page, VISITS, body=PAGED, last_page="pages") as (driver, platform):
        found = await read(driver, VISITS, window=Window(20))
        assert (len(found.records), found.ended, len(platform.asked)) == (20, False, 1)


async def test_pages_smaller_than_asked_are_put_together():
    def small(asked: dict[str, Any]) -> Any:
        return by_page({**asked, "size": min(asked["size"], 8)})

    async with driving(small, VISITS, body=PAGED, last_page="pages") as (driver, platform):
        found = await read(driver, VISITS, window=Window(20))
        assert (len(found.records), found.ended, len(platform.asked)) == (24, False, 3)


async def test_without_window_all_pages_are_read_and_endless_ones_refused():
    async with driving(by_page, VISITS, body={"page": "{page}", "size": 10}, last_page="pages") as (driver, platform):
        assert await read(driver, VISITS) == Answer(DAYS, ended=True)
        assert len(platform.asked) == 9
        platform.answer = lambda _: {"rows": DAYS[:1], "pages": 10**9}
        platform.asked.clear()
        with pytest.raises(SourceBadShape):
            await read(driver, VISITS)
        assert len(platform.asked) == 20


async def test_a_source_that_sends_the_same_again_and_again_is_no_endless_list():
    stuck = {"rows": DAYS[:20], "pages": 10**9}
    for body, last_page in ((PAGED, "pages"), ({"size": "{first}"}, "")):
        async with driving(stuck, VISITS, body=body, last_page=last_page) as (driver, _):
            with pytest.raises(SourceBadShape):
                await read(driver, VISITS, window=Window(20, ("2020-01-01", "J000")))


@pytest.mark.parametrize("pages", [None, 0, "", "0", "many", -1, 1.5, [], True, "9" * 5000, 10**400])
async def test_a_number_of_pages_that_is_none_ends_the_list(pages: Any):
    async with driving({"rows": DAYS[:3], "pages": pages}, VISITS, body=PAGED, last_page="pages") as (driver, platform):
        found = await read(driver, VISITS, window=Window(20))
        assert (len(found.records), found.ended) == (3, True)
        assert len(platform.asked) == 1


async def test_a_window_of_several_keys_is_full_when_each_has_its_share():
    rows = [{"no": "A1"}] * 30 + [{"no": "B2"}] * 5

    def answer(asked: dict[str, Any]) -> Any:
        return {"rows": rows[(asked["page"] - 1) * 10 : asked["page"] * 10], "pages": 4}

    async with driving(answer, VISITS, body=PAGED, last_page="pages") as (driver, _):
        found = await read(driver, VISITS, "A1", "B2", window=Window(10))
        assert (len(found.records), found.ended) == (35, True)


async def test_missing_credentials_are_a_named_failure():
    def none(reference: str) -> str:
        raise ValueError(reference)

    signer = ClientSigner(client_id="env:X", secret="env:Y")
    driver = RestDriver("zj", source("http://127.0.0.1:1", signer=signer), none)
    with pytest.raises(SourceRefused):
        await driver.open()
    with pytest.raises(SourceRefused):
        [step async for step in driver.check()]
    with pytest.raises(SourceError):
        await read(driver)
    await driver.close()


async def test_check_tells_each_step():
    async with driving({"rows": [{"no": "A1"}]}, probe="A1", body={"k": "{keys}"}) as (driver, platform):
        steps = [step async for step in driver.check()]
        assert platform.asked[-1] == {"k": ["A1"]}
    assert steps[0] == ("credentials", "readable")
    assert steps[1:] == [
        ("address", "127.0.0.1 within 127.0.0.0/8"),
        ("connection", "open, without TLS"),
        ("signer", "ready, family none"),
        ("probe Project.siteStatus", "1 records"),
        ("clock", steps[-1][1]),
    ]


async def test_check_stops_at_the_step_that_fails():
    driver = RestDriver("zj", source("http://127.0.0.1:1"), str)
    found: list[str] = []

    async def look() -> None:
        async for title, _ in driver.check():
            found.append(title)

    with pytest.raises(SourceError):
        await look()
    assert found == ["credentials", "address"]
    await driver.close()


async def test_opening_again_and_closing_while_calls_run_leaks_nothing():
    async with driving({"rows": []}) as (driver, platform):
        platform.delays["data"] = 0.3
        calls = [asyncio.create_task(read(driver)) for _ in range(4)]
        await asyncio.sleep(0.05)
        await driver.close()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, SourceError) for outcome in outcomes)
        platform.delays.clear()
        await driver.open()
        assert await read(driver) == Answer([], ended=True)


RAW = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers(), max_size=2)
DAY = st.dates(date(1990, 1, 1), date(2090, 1, 1))


def local_order() -> LocalOrder:
    """The order of inspections in this test's raw names."""
    parts = {part.name: part for part in load_registry().values["LiveInspection"].fields.values()}
    service = source("http://127.0.0.1:1", VISITS).service[VISITS]
    return LocalOrder(("-inspected_on", "inspection_no"), parts, service, "+08:00")


ORDER = local_order()


@given(RAW, RAW, DAY)
def test_no_raw_value_breaks_a_boundary(day: Any, no: Any, after: date):
    ORDER.behind({"rq": {"d": day}, "bh": no}, (after.isoformat(), "J1"))
    ORDER.behind({"rq": day, "bh": no}, ("", "J1"))
    ORDER.behind({}, (after.isoformat(), "J1"))


@given(DAY, st.text("JC123", min_size=1, max_size=5), DAY, st.text("JC123", min_size=1, max_size=5))
def test_a_boundary_parts_records_as_their_declared_order_does(day: date, no: str, after: date, after_no: str):
    expected = (-day.toordinal(), no) > (-after.toordinal(), after_no)
    for text in (f"{day:%Y%m%d}", f"{day:%Y-%m-%d}", int(f"{day:%Y%m%d}")):
        assert ORDER.behind({"rq": {"d": text}, "bh": no}, (after.isoformat(), after_no)) is expected
    assert ORDER.boundary((after.isoformat(), after_no)) == {
        "after.inspected_on": f"{after:%Y%m%d}",
        "after.inspection_no": after_no,
    }
