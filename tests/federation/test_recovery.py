"""After a fault: breakers, rate limits, identity checks that fail, and last good copies."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from demo.seed import wellknown as known
from tests.federation.asking import (
    FRONT_TABLES,
    HANDLER,
    MINISTRY,
    OFFICER,
    PROVINCES,
    Federation,
    Variant,
    errors,
    federation,
)
from tests.federation.test_faults import BUSY, DEADLINE_MS, GONE, MARGIN_S, REFUSED, WIRE

if TYPE_CHECKING:
    from pathlib import Path

    from demo.counterparts import Counterparts

OPEN_S = 2.5
"""How long a breaker stays open here: longer than seven answers take."""


async def test_breakers_open_and_close(database: str, counterparts: Counterparts, tmp_path: Path):
    """Of every kind of system: after three failures no call leaves while it is open; the first one after decides."""
    own = {"attempts": 1, "breaker": f"{{ failures = 3, open_s = {OPEN_S} }}"}
    sources = Variant({"stale_s": 0, "deadline_ms": 8000, **own}).write(counterparts.sources, tmp_path)
    document = (
        "query($u: Uscc!) { "
        + " ".join(
            f'{name}: project(projectNo: "{number}") {{ name siteStatus {{ progress }} }}'
            for name, number in PROVINCES.items()
        )
        + " national: enterprise(uscc: $u) { name businessRegistration { name } } }"
    )
    gone = {(name, "siteStatus"): GONE for name in PROVINCES} | {("national", "businessRegistration"): GONE}
    places = dict.fromkeys(PROVINCES, "Project.siteStatus") | {"national": "Enterprise.businessRegistration"}

    def calls(product: Federation) -> dict[str, int]:
        return {name: len(product.calls(name, service)) for name, service in places.items()}

    async with federation(database, counterparts, sources) as product:
        healthy = await product.ask(MINISTRY, document, u=known.CONTRACTOR)
        assert errors(healthy) == {}
        product.forget()
        for name, service in places.items():
            counterparts.systems[name].behave("cut", FRONT_TABLES[service] if name == "shandong" else service)
        for _ in range(3):
            assert errors(await product.ask(MINISTRY, document, u=known.CONTRACTOR)) == gone
        opened = time.monotonic()
        assert calls(product) == dict.fromkeys(places, 3)
        for _ in range(4):
            assert errors(await product.ask(MINISTRY, document, u=known.CONTRACTOR)) == gone
        assert time.monotonic() - opened < OPEN_S, "the breakers may have closed meanwhile: nothing was measured"
        assert calls(product) == dict.fromkeys(places, 3)
        asked = await product.ask(MINISTRY, '{ region(nodeId: "000000") { sources { name breaker failures } } }')
        state = {one["name"]: (one["breaker"], one["failures"]) for one in asked["data"]["region"]["sources"]}
        assert state == dict.fromkeys(places, ("OPEN", 3)) | {"population": ("CLOSED", 0)}
        product.forget()
        await asyncio.sleep(max(0.0, opened + OPEN_S + 0.1 - time.monotonic()))
        assert await product.ask(MINISTRY, document, u=known.CONTRACTOR) == healthy
        assert calls(product) == dict.fromkeys(places, 1)


async def test_a_rate_limit_is_told_and_opens_no_breaker(database: str, counterparts: Counterparts, tmp_path: Path):
    """Thirty questions a second where two are allowed: busy, and neither retried nor held against the platform."""
    limits = {"stale_s": 0, "deadline_ms": 8000}
    own = {"national": {"breaker": "{ failures = 2, open_s = 60 }"}}
    sources = Variant(limits, own).write(counterparts.sources, tmp_path)
    query = "query($u: Uscc!) { enterprise(uscc: $u) { name businessRegistration { name } } }"
    async with federation(database, counterparts, sources) as product:
        counterparts.systems["national"].limit(2)
        answers = await asyncio.gather(*(product.ask(MINISTRY, query, u=known.CONTRACTOR) for _ in range(30)))
        told = [set(errors(answer).items()) for answer in answers]
        assert told.count(set()) >= 2
        busy: set[tuple[tuple[str | int, ...], str]] = {(("enterprise", "businessRegistration"), BUSY)}
        assert told.count(busy) == 30 - told.count(set()) > 10
        assert len(product.calls("national")) == 30
        assert all(answer["data"]["enterprise"]["name"] == "武汉衡砺澄建设工程有限公司" for answer in answers)
        product.forget()
        assert errors(await product.ask(MINISTRY, query, u=known.CONTRACTOR)) == {}


async def test_a_check_of_identity_that_fails(database: str, counterparts: Counterparts, tmp_path: Path):
    """Its code at its path, the person's own values beside it, one call and no copy of an earlier answer."""
    query = 'query($k: PersonNo!) { person(personNo: $k) { name identityCheck(reason: "办案核验身份") { name } } }'
    own = {"population": {"deadline_ms": DEADLINE_MS, "breaker": "{ failures = 100, open_s = 0.01 }"}}
    sources = Variant(own=own).write(counterparts.sources, tmp_path)
    subject = replace(HANDLER, officer=OFFICER)
    service = "Person.identityCheck"
    async with federation(database, counterparts, sources) as product:
        good = await product.ask(subject, query, k=known.PERSON_OPEN_CASE)
        assert good["data"]["person"]["identityCheck"] == {"name": "李国梁"}
        renewed = False
        for behaviour, code, params in WIRE:
            if not code:
                continue
            product.forget()
            counterparts.systems["national"].behave(behaviour, service, **dict(params))
            answer = await product.ask(subject, query, k=known.PERSON_OPEN_CASE)
            assert answer["data"]["person"] == {**good["data"]["person"], "identityCheck": None}, behaviour
            assert errors(answer) == {("person", "identityCheck"): code}, behaviour
            assert product.took < DEADLINE_MS / 1000 + MARGIN_S
            # The first refusal may be an old secret's: it is asked again, once, with another.
            calls = 2 if code == REFUSED and not renewed else 1
            assert len(product.calls("national", service)) == calls, behaviour
            renewed |= code == REFUSED
        product.forget()
        assert await product.ask(subject, query, k=known.PERSON_OPEN_CASE) == good


async def test_the_last_good_copy_is_shown_where_the_source_allows_it(database: str, counterparts: Counterparts):
    """Zhejiang's and the national platform's values stay, marked as stale; what was asked for with a person's name is
    never kept, and Hubei keeps nothing."""
    query = (
        "query($u: Uscc!, $k: ProjectNo!, $h: ProjectNo!) {"
        " a: project(projectNo: $k) { siteStatus { state progress provenance { stale } } }"
        " b: project(projectNo: $k) { siteStatus { state safetyOfficer } }"
        " c: project(projectNo: $h) { siteStatus { state } }"
        " enterprise(uscc: $u) { businessRegistration { legalRepName provenance { stale } } } }"
    )
    given = {"u": known.CONTRACTOR, "k": known.PROJECT_ELSEWHERE, "h": known.PROJECT_COUNTY}
    async with federation(database, counterparts) as product:
        fresh = await product.ask(MINISTRY, query, **given)
        assert fresh["data"]["b"]["siteStatus"] == {"state": "SUSPENDED", "safetyOfficer": "郑**"}
        for name in ("zhejiang", "national", "hubei"):
            product.counterparts.systems[name].behave("error", status=503)
        stale = await product.ask(MINISTRY, query, **given)
    assert stale["data"]["enterprise"]["businessRegistration"] == {
        "legalRepName": "李国梁", "provenance": {"stale": True},
    }  # fmt: skip
    assert stale["data"]["a"]["siteStatus"] == {
        "state": "SUSPENDED", "progress": "主体结构", "provenance": {"stale": True},
    }  # fmt: skip
    assert errors(stale) == {("b", "siteStatus"): GONE, ("c", "siteStatus"): GONE}
    assert stale["extensions"]["sources"] == {"hubei": GONE, "national": "STALE", "zhejiang": GONE}
