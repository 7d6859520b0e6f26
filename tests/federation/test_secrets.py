"""Credentials, citizen numbers and what sources say: in no log, no error, no audit record; and secrets that
end while they are in use, and clocks that differ, cost no answer."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from demo.counterparts.exchange import LEAKING, NETWORK_FAULT
from demo.counterparts.facts import SITES, STRANGER, people
from demo.seed import wellknown as known
from server.observe import JsonFormatter
from tests.federation.asking import (
    CHECK,
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

if TYPE_CHECKING:
    from pathlib import Path

    from demo.counterparts import Counterparts

REASON = "核验持证人身份真实性"
SITES_OF_ALL = " ".join(
    f'{name}: project(projectNo: "{number}") {{ siteStatus {{ state name contractorUscc stopWorkReason safetyOfficer'
    " safetyOfficerMobile } liveInspections(first: 5) { summary inspectors } }"
    for name, number in PROVINCES.items()
)
DOCUMENT = (
    f"query($u: Uscc!) {{ {SITES_OF_ALL} enterprise(uscc: $u) {{ businessRegistration {{ legalRepName address }}"
    " creditRecords { title content } liveInspections { nodes { summary } } } }"
)
BEHAVIOURS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("success_error", {}), ("html", {}), ("error", {"status": 500}), ("redirect", {}), ("expired", {}),
    ("hostile", {"variant": 2}), ("charset", {}), ("cut", {}), ("deep", {}), ("busy", {}),
)  # fmt: skip


def secrets_of(counterparts: Counterparts) -> list[str]:
    """What was written for us to read at the start: user names are no secrets."""
    directory = counterparts.sources.parent
    return [
        file.read_text(encoding="utf-8").strip()
        for file in directory.iterdir()
        if file.suffix == "" and "-" in file.name and not file.name.endswith(("-user", "-client_id"))
    ]


async def audited(dsn: str) -> str:
    """The audit's records and decisions, as text."""
    connection = await asyncpg.connect(dsn)
    try:
        records = await connection.fetch("select r::text from audit.record r")
        decisions = await connection.fetch("select d::text from audit.decision d")
    finally:
        await connection.close()
    return "\n".join(row[0] for row in (*records, *decisions))


async def test_nothing_of_a_source_leaks(
    database: str, counterparts: Counterparts, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """Ten misbehaviours of all systems at once, an identity check between, everything logged from DEBUG on."""
    caplog.set_level(logging.DEBUG)
    limits = {"stale_s": 0, "deadline_ms": 3000, "breaker": "{ failures = 100, open_s = 0.01 }"}
    sources = Variant(limits).write(counterparts.sources, tmp_path)
    subject = replace(HANDLER, officer=OFFICER)
    said = []
    names = set()
    async with federation(database, counterparts, sources) as product:
        await product.ask(MINISTRY, DOCUMENT, u=known.CONTRACTOR)
        for behaviour, params in BEHAVIOURS:
            for name, system in counterparts.systems.items():
                place = FRONT_TABLES["Project.siteStatus"] if name == "shandong" else "*"
                system.behave(behaviour, place, **params)
            answer = await product.ask(MINISTRY, DOCUMENT, u=known.CONTRACTOR)
            checked = await product.ask(subject, CHECK % "name", k=known.PERSON_OPEN_CASE, r=REASON)
            for found in (answer, checked):
                said.append(json.dumps(found.get("errors", []), ensure_ascii=False))
                # A list across sources has one error for each of them that failed, at one path.
                names |= {error["extensions"]["name"] for error in found.get("errors", [])}
            product.forget()
        checked = await product.ask(subject, CHECK % "name", k=known.PERSON_OPEN_CASE, r=REASON)
        assert checked["data"]["person"]["identityCheck"] == {"name": "李国梁"}
        state = await product.ask(MINISTRY, '{ region(nodeId: "000000") { sources { name lastFailure unmapped } } }')
        assert "data" in state, state
    assert names >= {"SOURCE_REFUSED", "SOURCE_BAD_SHAPE", "SOURCE_UNAVAILABLE", "SOURCE_BUSY"}
    logged = "\n".join(JsonFormatter().format(record) + record.getMessage() for record in caplog.records)
    assert "source_failed" in logged
    written = {"log": logged, "errors": "\n".join(said), "audit": await audited(database), "state": json.dumps(state)}
    kept = [*secrets_of(counterparts), *people(), STRANGER, OFFICER.id_no, REASON, LEAKING, NETWORK_FAULT]
    kept += [base64.b64encode(secret.encode()).decode() for secret in secrets_of(counterparts)]
    kept += [site.mobile for sites in SITES.values() for site in sites]
    kept += ["不该出现", "DROP TABLE", "郑凯", "欧阳𠮷", "elsewhere.invalid"]
    assert len(secrets_of(counterparts)) >= 8
    for place, text in written.items():
        leaked = [secret for secret in kept if secret in text]
        assert leaked == [], place


async def _answered(product: Federation, name: str) -> dict[str, Any]:
    number = PROVINCES.get(name)
    if number is None:
        return await product.ask(
            MINISTRY, "query($u: Uscc!) { enterprise(uscc: $u) { businessRegistration { name } } }", u=known.CONTRACTOR
        )
    return await product.ask(MINISTRY, f'{{ project(projectNo: "{number}") {{ siteStatus {{ progress }} }} }}')


@pytest.mark.parametrize("everything", [False, True])
async def test_secrets_that_end_in_use_cost_no_answer(
    database: str, counterparts: Counterparts, tmp_path: Path, *, everything: bool
):
    """Zhejiang's and the population library's secrets end between two questions, again and again: renewed once each."""
    # A renewal that did not help a service is not tried again for a minute; one that helped is.
    subject = replace(HANDLER, officer=OFFICER)
    sources = Variant({"stale_s": 0, "deadline_ms": 8000}).write(counterparts.sources, tmp_path)
    async with federation(database, counterparts, sources) as product:
        for name in ("zhejiang", "national"):
            assert errors(await _answered(product, name)) == {}
        for _ in range(3):
            counterparts.systems["zhejiang"].expire_secrets(everything=everything)
            counterparts.systems["national"].expire_secrets(everything=everything)
            product.forget()
            assert errors(await _answered(product, "zhejiang")) == {}
            checked = await product.ask(subject, CHECK % "name", k=known.PERSON_OPEN_CASE, r=REASON)
            assert errors(checked) == {}
            assert checked["data"]["person"]["identityCheck"] == {"name": "李国梁"}
            assert len(counterparts.systems["national"].calls("secret")) == 1
            assert len(counterparts.systems["zhejiang"].calls("secret")) == (2 if everything else 1)
            assert counterparts.systems["zhejiang"].calls("Project.siteStatus")[-1].signed


async def test_a_secret_that_ends_under_load_is_renewed_once(database: str, counterparts: Counterparts, tmp_path: Path):
    """Forty questions at once, the secret gone: none fails, and Zhejiang is asked for one secret."""
    sources = Variant({"stale_s": 0, "deadline_ms": 20_000}).write(counterparts.sources, tmp_path)
    async with federation(database, counterparts, sources) as product:
        await _answered(product, "zhejiang")
        counterparts.systems["zhejiang"].expire_secrets()
        counterparts.systems["zhejiang"].reset()
        answers = await asyncio.gather(*(_answered(product, "zhejiang") for _ in range(40)))
        assert [errors(answer) for answer in answers] == [{}] * 40
        assert len(counterparts.systems["zhejiang"].calls("secret")) == 1


@pytest.mark.parametrize("offset_s", [3600, -3600])
async def test_a_clock_an_hour_off_costs_no_answer(
    database: str, counterparts: Counterparts, tmp_path: Path, offset_s: int
):
    """A system's own clock is learned from its refusal: the answer comes, whether the clock differs from the beginning
    or jumps while the product runs, by an hour and then by two."""
    sources = Variant({"stale_s": 0, "deadline_ms": 8000}).write(counterparts.sources, tmp_path)
    names = ("zhejiang", "hubei", "jiangsu", "guangdong", "national")
    for name in names:
        counterparts.systems[name].clock(offset_s)
    async with federation(database, counterparts, sources) as product:
        first = {name: await _answered(product, name) for name in names}
        assert [errors(answer) for answer in first.values()] == [{}] * len(names)
        for offset in (0, -offset_s, offset_s):
            for name in names:
                counterparts.systems[name].clock(offset)
                assert await _answered(product, name) == first[name], (name, offset)
                assert counterparts.systems[name].calls()[-1].signed
