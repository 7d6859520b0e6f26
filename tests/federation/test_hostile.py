"""Hostile text on both sides of a seam: nothing is misplaced, nothing breaks out, and the answer is always JSON."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from demo.counterparts.distort import HOSTILE
from demo.counterparts.facts import READINGS
from demo.seed import wellknown as known
from policy.revision import load_default
from tests.conftest import publish
from tests.declared.tables import another_database
from tests.federation.asking import FRONT_TABLES, MINISTRY, PROVINCES, Variant, errors, federation

if TYPE_CHECKING:
    from pathlib import Path

    from demo.counterparts import Counterparts
    from demo.embedded import EmbeddedPostgres

DOCUMENT = """query($u: Uscc!) { enterprise(uscc: $u) { name projects(first: 100) { projectNo name
  siteStatus { state name contractorUscc totalArea progress stopWork stopWorkReason workersOnSite safetyOfficer
    safetyOfficerMobile reportedAt conflicts { attribute ministry local } provenance { source asOf } }
  liveInspections(first: 5) { inspectionNo projectNo inspectedOn kind agency findingCount summary inspectors }
  machines { recordNo monitoring { deviceNo online measuredAt windSpeed momentPercent load driver } } } } }"""
STATES = {"PLANNED", "UNDER_CONSTRUCTION", "SUSPENDED", "COMPLETED", "TERMINATED", None}
LOCAL_NAMES = (
    '"},{"recordNo":"不该出现","monitoring":{"deviceNo":"X"}',
    "0123456789abcdef0123456789abcdef|0|0|1|330106|浙AX-T00001",
    "|0|.0|1|330106|浙AX-S00002",
    '\\"\\u0000\\',
    "]}}],null",
    "'; drop table zlaq.project; --",
    "$1 %s {0} {{keys}}",
    "\u202e倒\ufeff\u2028\u2029",
    "😀" * 50,
    "/*",
)


def _typed(site: dict[str, Any]) -> None:
    """Typed values are of their types whatever the source sends."""
    assert site["state"] in STATES
    assert site["stopWork"] in (True, False, None)
    assert site["workersOnSite"] is None or type(site["workersOnSite"]) is int
    assert site["totalArea"] is None or float(site["totalArea"]) is not None
    for name in ("name", "progress", "stopWorkReason", "safetyOfficer", "safetyOfficerMobile", "contractorUscc"):
        assert site[name] is None or isinstance(site[name], str), name


@pytest.mark.parametrize("variant", [0, 7])
async def test_hostile_values_stay_in_their_cells(
    database: str, counterparts: Counterparts, tmp_path: Path, variant: int
):
    """Local values and the keys of every record are the undisturbed ones, whatever five systems send at once."""
    limits = {"stale_s": 0, "deadline_ms": 8000, "breaker": "{ failures = 100, open_s = 0.01 }"}
    sources = Variant(limits).write(counterparts.sources, tmp_path)
    async with federation(database, counterparts, sources) as product:
        quiet = await product.ask(MINISTRY, DOCUMENT, u=known.CONTRACTOR)
        for name in PROVINCES:
            for service in FRONT_TABLES if name == "shandong" else ("*",):
                place = FRONT_TABLES[service] if name == "shandong" else service
                if service != "Enterprise.liveInspections":
                    counterparts.systems[name].behave("hostile", place, variant=variant)
        body = await product.body(MINISTRY, DOCUMENT, u=known.CONTRACTOR)
    answer = json.loads(body.decode("utf-8", errors="strict"))
    body.decode("utf-8").encode("utf-8", errors="strict")
    before, after = (found["data"]["enterprise"] for found in (quiet, answer))
    assert (before["name"], len(before["projects"])) == (after["name"], len(after["projects"]))
    disturbed = set(errors(answer).values()) - {"SOURCE_NOT_CONNECTED", "SOURCE_BAD_SHAPE"}
    assert disturbed == set()
    shown = 0
    for kept, got in zip(before["projects"], after["projects"], strict=True):
        assert (got["projectNo"], got["name"]) == (kept["projectNo"], kept["name"])
        assert [m["recordNo"] for m in got["machines"]] == [m["recordNo"] for m in kept["machines"]]
        assert set(got) == set(kept)
        if got["siteStatus"] is not None:
            shown += 1
            _typed(got["siteStatus"])
            assert set(got["siteStatus"]) == set(kept["siteStatus"])
            assert got["siteStatus"]["provenance"]["source"] == kept["siteStatus"]["provenance"]["source"]
        for listed in got["liveInspections"] or ():
            assert listed["projectNo"] in (None, got["projectNo"])
            assert listed["findingCount"] is None or type(listed["findingCount"]) is int
            assert listed["inspectors"] is None or all(isinstance(one, str) for one in listed["inspectors"])
    assert "不该出现" not in [key for project in after["projects"] for key in project]
    assert shown or variant


async def test_hostile_rows_shuffled_sources_and_repeated_keys(
    postgres: EmbeddedPostgres, counterparts: Counterparts, tmp_path: Path
):
    """Three hundred machines with names like tokens and like JSON, around the four that have readings; readings come in
    another order and twice, and machines are asked for by several roots in a shuffled order."""
    dsn = await another_database(postgres.dsn, "federation_hostile")
    await publish(dsn, load_default())
    readings = {reading.record_no: reading.device for listed in READINGS.values() for reading in listed}
    manage = {reading.record_no: reading.region for listed in READINGS.values() for reading in listed}
    rows = [
        (f"浙AX-Z{n:05}", LOCAL_NAMES[n % len(LOCAL_NAMES)], ("330106", "440305", "370102")[n % 3]) for n in range(300)
    ]
    rows += [(number, LOCAL_NAMES[n], manage[number]) for n, number in enumerate(readings)]
    chance = random.Random(7)
    chance.shuffle(rows)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.executemany(
            "insert into zlaq.lifting_machine (record_no, kind, state, name, manage) values ($1, 'T', '3', $2, $3)",
            rows,
        )
    finally:
        await connection.close()
    names = {number: name for number, name, _ in rows}
    asked = [*names, *readings, *readings]
    chance.shuffle(asked)
    document = """query($r: [_Any!]!, $some: [_Any!]!) {
      liftingMachines(first: 400) { nodes { name recordNo n2: name monitoring { deviceNo } n3: name } }
      all: _entities(representations: $r) { ... on LiftingMachine { name monitoring { deviceNo } recordNo } }
      some: _entities(representations: $some) { ... on LiftingMachine { recordNo monitoring { deviceNo } } } }"""
    representations = [{"__typename": "LiftingMachine", "recordNo": number} for number in asked]
    sources = Variant({"deadline_ms": 8000}).write(counterparts.sources, tmp_path)
    async with federation(dsn, counterparts, sources) as product:
        for name in ("zhejiang", "jiangsu"):
            counterparts.systems[name].behave("reorder", seed=3)
        some = [representation for representation in representations if representation["recordNo"] in readings]
        answer = await product.ask(MINISTRY, document, r=representations[:100], some=some)
        for name in ("zhejiang", "guangdong", "shandong"):
            keys = [key for call in product.calls(name, "LiftingMachine.monitoring") for key in call.keys]
            machines = [key for key in keys if key in names]
            assert len(machines) == len(set(machines)), name
    assert errors(answer) == {}
    data = answer["data"]
    assert [node["recordNo"] for node in data["liftingMachines"]["nodes"]] == sorted(names)
    assert [one["recordNo"] for one in data["all"]] == asked[:100]
    assert [one["recordNo"] for one in data["some"]] == [one["recordNo"] for one in some]
    for one in (*data["liftingMachines"]["nodes"], *data["all"], *data["some"]):
        number = one["recordNo"]
        assert one["monitoring"] == ({"deviceNo": readings[number]} if number in readings else None)
        assert {one.get(name, names[number]) for name in ("name", "n2", "n3")} == {names[number]}


async def test_every_hostile_value_in_every_cell_of_a_site(database: str, counterparts: Counterparts, tmp_path: Path):
    """Each value meets each attribute once: texts are shown as they are, cut or not at all, other types only if they
    fit; the neighbour in the same answer never changes."""
    limits = {"stale_s": 0, "deadline_ms": 8000, "breaker": "{ failures = 100, open_s = 0.01 }"}
    sources = Variant(limits).write(counterparts.sources, tmp_path)
    query = (
        f'{{ before: project(projectNo: "{known.PROJECT_JINAN}") {{ name siteStatus {{ progress }} }}'
        f' site: project(projectNo: "{known.PROJECT_NANJING}") {{ name siteStatus {{ state name contractorUscc'
        " totalArea progress stopWork stopWorkReason workersOnSite safetyOfficer safetyOfficerMobile }"
        " investmentApproval { authority } }"
        f' after: project(projectNo: "{known.PROJECT_SHENZHEN}") {{ name siteStatus {{ progress }} }} }}'
    )
    neighbours = None
    async with federation(database, counterparts, sources) as product:
        for variant in range(len(HOSTILE)):
            counterparts.systems["jiangsu"].reset()
            counterparts.systems["jiangsu"].behave("hostile", variant=variant)
            answer = json.loads(await product.body(MINISTRY, query))
            failed = errors(answer)
            assert set(failed) <= {("site", "siteStatus")}
            assert set(failed.values()) <= {"SOURCE_BAD_SHAPE"}
            site = answer["data"]["site"].pop("siteStatus")
            assert neighbours in (None, answer["data"])
            neighbours = answer["data"]
            if site is not None:
                _typed(site)
    assert neighbours is not None
