"""All sources of a configuration in a process, and one of them looked at by an operator."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web

from adapters.base import AS_OF, Fetch, Health, OfficerMissing, SourceError, SourceRefused, SourceUnreachable
from adapters.configuration import (
    AttributeMapping,
    Condition,
    Configuration,
    FrontService,
    FrontSource,
    GatewaySigner,
    RestService,
    RestSource,
    SubgraphService,
    SubgraphSource,
)
from adapters.front.driver import FrontDriver
from adapters.rest import RestDriver
from adapters.sources import check, driver_of, open_sources, sample
from adapters.subgraph import SubgraphDriver
from tests.adapters.scripted import ABSENT, IDENTITY, INSPECTIONS, KEYS, REGISTRY, STATUS, configured, inspection, site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SUCCESS = Condition(path="code", values=("00",))


def service(kind: str, fields: dict[str, str], **more: Any) -> RestService:
    """An interface that takes all keys at once and answers below `data`."""
    mapped = {name: AttributeMapping(source=source) for name, source in fields.items()}
    mapped |= {"state": AttributeMapping(source="zt", codes={"在建": "2"})} if kind == STATUS else {}
    body = {"keys": "{keys}"} | ({"by": "{officer.id_no}", "why": "{reason}"} if kind == IDENTITY else {})
    return RestService(
        path=f"/{kind}", body=body, key="bh", rows="data", success=SUCCESS, fields=mapped,
        as_of=AttributeMapping(source="gxsj"), **more,
    )  # fmt: skip


SITE = {"name": "mc", "contractor_uscc": "dw.dm", "progress": "jd", "stop_work_reason": "yy", "safety_officer": "aqy"}
SITE |= {"safety_officer_mobile": "dh"}
SERVICES = {
    STATUS: service(STATUS, SITE, probe=KEYS[0]),
    INSPECTIONS: service(INSPECTIONS, {"inspection_no": "jcbh", "inspected_on": "jcrq"}),
    IDENTITY: service(IDENTITY, {"name": "mc"}, probe="110101199001010014"),
}
RECORDS = {
    STATUS: [
        site(KEYS[0], dw={"dm": "91330106MA27XLTQ12", "fr": "李四"}, jd="主体", yy="欠薪", dh="13800008000", sfz="x"),
        site(KEYS[1], zt="烂尾", dw={"dm": "110101199001010014"}, jd="联系１３８００００８０００", yy=None),
        site("3301062603180777", mc="别的工程"),
    ],
    INSPECTIONS: [inspection(KEYS[0], n, f"2026-09-{n:02}") for n in range(1, 4)],
}


@asynccontextmanager
async def system(*, delay: float = 0) -> AsyncIterator[int]:
    """A REST system on loopback with those records."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(delay)
        return web.json_response({"code": "00", "data": RECORDS[request.path.removeprefix("/")]})

    app = web.Application()
    app.router.add_post("/{service}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    listening = web.TCPSite(runner, "127.0.0.1", 0)
    await listening.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def rest(port: int, **changed: Any) -> RestSource:
    """Its configuration."""
    return configured(address=f"http://127.0.0.1:{port}", service=SERVICES, **changed)


def given(**sources: Any) -> Configuration:
    """A file of these sources."""
    return Configuration(source=sources)


async def steps(configuration: Configuration, name: str = "zhejiang") -> dict[str, str]:
    """What an operator sees."""
    return {step: found async for step, found in check(name, configuration, REGISTRY)}


class TestAll:
    """Opened side by side, closed together."""

    async def test_each_answers_for_itself(self):
        """One that listens and one that does not."""
        seen = []
        async with system() as port:
            configuration = given(zhejiang=rest(port), hubei=rest(1, covers=("420000",), attempts=1))
            async with open_sources(configuration, REGISTRY, lambda *told: seen.append(told[:3])) as sources:
                assert {name: source.covers for name, source in sources.items()} == {
                    "zhejiang": ("330000",), "hubei": ("420000",),
                }  # fmt: skip
                assert sources["hubei"].state().health is Health.UNKNOWN
                asked = Fetch(STATUS, (KEYS[0], ABSENT), ("name", "state"))
                rows = await sources["zhejiang"].fetch(asked)
                assert rows.values[KEYS[0]]["state"] == "2"
                with pytest.raises(SourceUnreachable):
                    await sources["hubei"].fetch(asked)
        assert sorted(seen) == [("hubei", STATUS, "SOURCE_UNAVAILABLE"), ("zhejiang", STATUS, "ok")]

    async def test_one_that_cannot_be_opened_holds_nobody(self, monkeypatch: pytest.MonkeyPatch):
        """Neither at the start nor at the end, whether it hangs or lacks its credential; its fetches say so."""
        monkeypatch.setenv("APPKEY", "demo-appkey")
        renewing = GatewaySigner(rid="R", key="env:APPKEY", renew="/renew", renew_sid="S")
        keyless = GatewaySigner(rid="R", key="env:NO_SUCH_VARIABLE")
        async with system(delay=5) as port:
            configuration = given(slow=rest(port, signer=renewing), keyless=rest(port, signer=keyless))
            began = time.monotonic()
            async with open_sources(configuration, REGISTRY, lambda *_: None) as sources:
                assert time.monotonic() - began < 0.1
                with pytest.raises(SourceRefused):
                    await sources["keyless"].fetch(Fetch(STATUS, KEYS[:1], ("name",)))
                began = time.monotonic()
            assert time.monotonic() - began < 0.4

    async def test_every_kind_has_its_driver(self):
        """By the structure that its table was read into."""
        base: dict[str, Any] = {"title": "某省", "covers": ("370000",), "networks": ("127.0.0.0/8",)}
        name = {"name": AttributeMapping(source="mc")}
        subgraph = SubgraphSource(
            address="http://127.0.0.1:1",
            service={STATUS: SubgraphService(key="k", fields=name, type="P", at="s")},
            **base,
        )
        front = FrontSource(
            address="postgresql://127.0.0.1:1/front", user="env:U", password="env:P",
            service={STATUS: FrontService(key="bh", fields=name, table="t")}, **base,
        )  # fmt: skip

        drivers = [driver_of("x", config, REGISTRY) for config in (rest(1), subgraph, front)]
        assert [type(driver) for driver in drivers] == [RestDriver, SubgraphDriver, FrontDriver]
        for driver in drivers:
            await driver.close()


class TestCheck:
    """Step by step, down to what the mapping makes of a probe."""

    async def test_all_steps_of_one_that_works(self):
        """The driver's own steps first; services without a probe or for officers are said to be left out."""
        async with system() as port:
            found = await steps(given(zhejiang=rest(port)))
        names = list(found)
        assert names[-3:] == [f"mapping {name}" for name in (STATUS, INSPECTIONS, IDENTITY)]
        assert len(names) > 3
        assert found[f"mapping {STATUS}"] == f"records of {KEYS[0]}: 1; unmapped: Project.siteStatus UNASKED_KEY 2"
        assert found[f"mapping {INSPECTIONS}"] == "not asked: no probe in the configuration"
        assert found[f"mapping {IDENTITY}"] == "not asked: bound to an officer with a reason"

    async def test_it_raises_at_the_step_that_fails(self):
        """After what went well; an unknown name is a mistake of the caller's."""
        seen: list[str] = []

        async def looked() -> None:
            async for step, _ in check("zhejiang", given(zhejiang=rest(1)), REGISTRY):
                seen.append(step)

        with pytest.raises(SourceError):
            await looked()
        assert not any(step.startswith("mapping") for step in seen)
        with pytest.raises(KeyError):
            await steps(given(), "nowhere")


class TestSample:
    """Raw and mapped side by side, and nothing that an operator may not see."""

    async def test_raw_and_mapped(self):
        """Open values, hidden ones, nested ones, and a record of another key."""
        async with system() as port:
            pairs = await sample("zhejiang", given(zhejiang=rest(port)), REGISTRY, STATUS, KEYS[:2])
        (raw, mapped), (dirty_raw, dirty), (other_raw, other) = pairs
        assert raw == {
            "bh": KEYS[0], "zt": "在建", "mc": "工程01", "aqy": "***", "gxsj": "2026-09-16T08:30:00+08:00",
            "dw": {"dm": "91330106MA27XLTQ12", "fr": "***"}, "jd": "主体", "yy": "***", "dh": "***", "sfz": "***",
        }  # fmt: skip
        assert mapped["state"] == "2"
        assert (mapped["stop_work_reason"], mapped["safety_officer"]) == ("***", "王**")
        assert mapped["safety_officer_mobile"] == "138****8000"
        assert str(mapped[AS_OF]).startswith("2026-09-16T")
        assert (dirty_raw["zt"], dirty["state"]) == ("烂尾", None), "an unknown word is what the operator looks for"
        assert (dirty_raw["dw"], dirty["contractor_uscc"]) == ({"dm": "***"}, None)
        assert (dirty_raw["jd"], dirty["progress"]) == ("***", "***"), "a mobile in a free text"
        assert (dirty_raw["yy"], dirty["stop_work_reason"]) == (None, None)
        assert (other_raw["mc"], other) == ("别的工程", {})
        everything = repr(pairs)
        assert not any(text in everything for text in ("王小明", "李四", "欠薪", "13800008000", "110101199001010014"))

    async def test_why_a_record_is_dropped(self, monkeypatch: pytest.MonkeyPatch):
        """Its region and what makes it count are shown although no attribute reads them, if they are no person's."""
        records = [
            site(KEYS[0], xzqh="420106", zfbz="1"),
            site(KEYS[1], xzqh="110101199001010014", zfbz="0"),
            site(KEYS[2], xzqh="330106", zfbz="0", aqy="李四"),
        ]
        monkeypatch.setitem(RECORDS, STATUS, records)
        judged = service(STATUS, SITE, region="xzqh", valid=Condition(path="zfbz", values=("0",)))
        async with system() as port:
            changed = given(zhejiang=msgspec.structs.replace(rest(port), service={STATUS: judged}))
            pairs = await sample("zhejiang", changed, REGISTRY, STATUS, KEYS[:3])
        assert [(raw["xzqh"], raw["zfbz"]) for raw, _ in pairs] == [("420106", "1"), ("***", "0"), ("330106", "0")]
        assert [bool(mapped) for _, mapped in pairs] == [False, False, True]

    async def test_endless_texts(self, monkeypatch: pytest.MonkeyPatch):
        """Shown to 200 characters, at once, and without a personal number that begins there."""
        marks = "\u0301\u0316" * 100_000
        ends = "甲" * 190 + "110101199001010014"
        monkeypatch.setitem(
            RECORDS, STATUS, [site(KEYS[0], mc=marks), site(KEYS[1], mc=ends), site(KEYS[2], mc="甲" * 999)]
        )
        async with system() as port:
            began = time.monotonic()
            pairs = await sample("zhejiang", given(zhejiang=rest(port, deadline_ms=2000)), REGISTRY, STATUS, KEYS[:3])
            assert time.monotonic() - began < 1
        assert [raw["mc"] for raw, _ in pairs] == [marks[:200], "***", "甲" * 200]
        assert [mapped["name"] for _, mapped in pairs[1:]] == ["***", "甲" * 200]

    async def test_lists(self):
        """Each record by itself."""
        async with system() as port:
            pairs = await sample("zhejiang", given(zhejiang=rest(port)), REGISTRY, INSPECTIONS, KEYS[:1])
        assert [mapped["inspection_no"] for _, mapped in pairs] == ["JC0001", "JC0002", "JC0003"]
        assert [raw["jg"] for raw, _ in pairs] == ["***"] * 3, "not mapped, not shown"

    async def test_nothing_of_persons_without_an_officer(self):
        """Such a service is not asked at all."""
        with pytest.raises(OfficerMissing):
            await sample("zhejiang", given(zhejiang=rest(1)), REGISTRY, IDENTITY, ["110101199001010014"])

    async def test_a_source_that_hangs(self):
        """At its deadline."""
        async with system(delay=3) as port:
            with pytest.raises(SourceError) as failure:
                await sample("zhejiang", given(zhejiang=rest(port)), REGISTRY, STATUS, KEYS[:1])
        assert failure.value.name == "SOURCE_TIMEOUT"
