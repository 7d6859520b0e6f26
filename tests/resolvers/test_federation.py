"""One schema over the ministry's rows and other systems: routed by region, compared, led on from, merged."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest

from adapters.base import AS_OF, REGION, UNMAPPED, Rows, SourceTimeout
from demo.seed import wellknown as known
from policy.decide import build_snapshot
from policy.revision import Revision, load_default
from policy.subject import PUBLIC_SUBJECT, Country, Level, NoTerritory, Subject, territory_of
from schema.officer import Officer
from server.pipeline import Question
from server.service import Service
from server.settings import Settings
from tests.resolvers.systems import System, inspection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HERE, THERE = known.PROJECT_COUNTY, known.PROJECT_ELSEWHERE
COUNTY = Subject("county", Level.COUNTY, "HOUSING", territory_of([known.WUCHANG]), dept=known.HOUSING_WUCHANG)
MINISTRY = Subject("ministry", Level.MINISTRY, "HOUSING", Country())
STATUS = "Project.siteStatus"


@dataclass
class Federation:
    """The product with some systems, and where its audit can be read."""

    service: Service
    dsn: str
    serial: int = 0

    async def ask(self, query: str, subject: Subject = COUNTY, **variables: Any) -> dict[str, Any]:
        self.serial += 1
        answer = await self.service.answer(Question(query, variables, None), subject, self.request_id)
        decoded: dict[str, Any] = orjson.loads(answer.body)
        return decoded

    @property
    def request_id(self) -> str:
        return f"federation-{id(self)}-{self.serial}"

    async def roots(self) -> list[str]:
        """Roots of the last request's audit records."""
        connection = await asyncpg.connect(self.dsn)
        try:
            rows = await connection.fetch(
                "select root from audit.record where request_id = $1 order by seq", self.request_id
            )
        finally:
            await connection.close()
        return [row["root"] for row in rows]


@asynccontextmanager
async def federation(dsn: str, *systems: System, **settings: Any) -> AsyncIterator[Federation]:
    """The product over these systems."""
    chosen = Settings(**{"database_url": dsn, "max_cost": 100_000, **settings})
    async with Service.open(chosen, sources={system.name: system for system in systems}) as service:
        yield Federation(service, dsn)


def status(**facts: object) -> dict[str, Any]:
    """A site's status."""
    return {"state": "2", "progress": "主体结构", "unasked": "UNASKED", **facts}


async def test_the_source_that_covers_the_region_most_closely_answers(database: str):
    """A city's own system before its province's, the province's for the rest, and nobody where nobody is connected."""
    hubei = System("hubei", ("420000",), {STATUS: {HERE: status(progress="省"), known.PROJECT_PROVINCE: status()}})
    wuhan = System("wuhan", ("420100",), {STATUS: {HERE: status(progress="市")}})
    national = System("national", ("000000",), {STATUS: {known.MUNICIPALITY: status(progress="部")}})
    async with federation(database, hubei, wuhan, national) as found:
        decoded = await found.ask(
            f'{{ a: project(projectNo: "{HERE}") {{ siteStatus {{ progress }} }}'
            f' d: project(projectNo: "{known.MUNICIPALITY}") {{ siteStatus {{ progress }} }} }}'
        )
    assert decoded["data"] == {"a": {"siteStatus": {"progress": "市"}}, "d": {"siteStatus": {"progress": "部"}}}
    wuhan.asked.clear()
    async with federation(database, hubei, wuhan) as found:
        decoded = await found.ask(
            f'{{ a: project(projectNo: "{HERE}") {{ siteStatus {{ progress provenance {{ source }} }} }}'
            f' b: project(projectNo: "{known.PROJECT_PROVINCE}") {{ siteStatus {{ provenance {{ source }} }} }}'
            f' c: project(projectNo: "{THERE}") {{ name siteStatus {{ progress }} }} }}'
        )
    assert decoded["data"]["a"]["siteStatus"] == {"progress": "市", "provenance": {"source": "wuhan"}}
    assert decoded["data"]["b"]["siteStatus"] == {"provenance": {"source": "hubei"}}
    assert decoded["data"]["c"] == {"name": "杭州西湖梧桐广场商业综合体", "siteStatus": None}
    (error,) = decoded["errors"]
    assert (error["path"], error["extensions"]["name"]) == (["c", "siteStatus"], "SOURCE_NOT_CONNECTED")
    assert [fetch.keys for fetch in wuhan.asked] == [(HERE,)]
    assert [fetch.keys for fetch in hubei.asked] == [(known.PROJECT_PROVINCE,)]
    assert decoded["extensions"]["sources"] == {"hubei": "OK", "wuhan": "OK"}


async def test_every_value_says_where_it_came_from(database: str):
    """Source, the data's own time, when it was fetched, whether it is a copy, and what could not be mapped."""
    record = status(total_area=None, **{AS_OF: "2026-09-20T10:00:00+08:00", UNMAPPED: ("name", "total_area")})
    hubei = System("hubei", ("420000",), {STATUS: {HERE: record}}, stale=True)
    async with federation(database, hubei) as found:
        decoded = await found.ask(
            f'{{ project(projectNo: "{HERE}") {{ provenance {{ source fetchedAt unmapped stale }} siteStatus {{'
            " totalArea p: provenance { source asOf fetchedAt stale unmapped duplicated __typename } } } }"
        )
    assert decoded["data"]["project"]["siteStatus"]["p"] == {
        "source": "hubei", "asOf": "2026-09-20T02:00:00.000000Z", "fetchedAt": "2026-09-30T08:00:00.000000Z",
        "stale": True, "unmapped": ["totalArea"], "duplicated": None, "__typename": "Provenance",
    }  # fmt: skip
    own = decoded["data"]["project"]["provenance"]
    assert own == {"source": "local-4201", "fetchedAt": None, "unmapped": None, "stale": None}
    assert decoded["extensions"]["sources"] == {"hubei": "STALE"}


async def test_conflicts_show_the_ministrys_value_beside_the_local_one(database: str):
    """Only what differs, only where both sides are clear, and nothing that the source does not know."""
    record = status(state="3", name="武昌滨江锦绣花园一期住宅楼", total_area="86400.5", contractor_uscc=known.DEVELOPER)
    hubei = System("hubei", ("420000",), {STATUS: {HERE: record}})
    query = f'{{ project(projectNo: "{HERE}") {{ siteStatus {{ conflicts {{ attribute ministry local }} }} }} }}'
    async with federation(database, hubei) as found:
        decoded = await found.ask(query)
        public = await found.ask(query, PUBLIC_SUBJECT)
    assert decoded["data"]["project"]["siteStatus"]["conflicts"] == [
        {"attribute": "status", "ministry": "UNDER_CONSTRUCTION", "local": "SUSPENDED"},
        {"attribute": "contractorUscc", "ministry": known.CONTRACTOR, "local": known.DEVELOPER},
    ]
    assert hubei.asked[0].fields == ("contractor_uscc", "name", "state", "total_area")
    assert public["data"]["project"]["siteStatus"] is None
    assert len(hubei.asked) == 1


async def test_a_remote_record_leads_to_local_ones_and_on_to_remote_ones(database: str):
    """Credit records name projects; these are the caller's own view of them, and their sites answer in turn."""
    records = [
        {"record_no": "X1", "decided_on": "2026-03-01", "project_no": HERE},
        {"record_no": "X2", "decided_on": "2026-02-01", "project_no": THERE},
        {"record_no": "X3", "decided_on": "2026-01-03", "project_no": known.PROJECT_OF_NOBODY},
        {"record_no": "X4", "decided_on": "2026-01-02", "project_no": None},
        {"record_no": "X5", "decided_on": "2026-01-01", "project_no": HERE},
        {"record_no": "X6", "decided_on": "2025-01-01", "project_no": known.SEALED},
    ]
    national = System("national", ("000000",), {"Enterprise.creditRecords": {known.CONTRACTOR: records}})
    hubei = System("hubei", ("420000",), {STATUS: {HERE: status(progress='"}]}, "x')}})
    async with federation(database, national, hubei) as found:
        decoded = await found.ask(
            "query($k: Uscc!) { enterprise(uscc: $k) { name creditRecords(first: 50) { recordNo project {"
            " projectNo totalInvestment inspections(first: 2) { inspectionNo } site: siteStatus { progress } } } } }",
            subject=replace(COUNTY, dept=None),
            k=known.CONTRACTOR,
        )
        roots = await found.roots()
    listed = decoded["data"]["enterprise"]["creditRecords"]
    assert [item["recordNo"] for item in listed] == ["X1", "X2", "X3", "X4", "X5", "X6"]
    own = listed[0]["project"]
    assert (own["projectNo"], own["totalInvestment"]) == (HERE, "48600.0000")
    assert len(own["inspections"]) == 2
    assert own["site"] == {"progress": '"}]}, "x'}
    assert (listed[1]["project"]["projectNo"], listed[1]["project"]["totalInvestment"]) == (THERE, None)
    assert [item["project"] for item in listed[2:4]] == [None, None]
    assert listed[4]["project"] == own
    assert listed[5]["project"] is None
    (error,) = decoded["errors"]
    assert error["path"] == ["enterprise", "creditRecords", 1, "project", "site"]
    assert [fetch.keys for fetch in hubei.asked] == [(HERE,)]
    assert roots[0] == "enterprise"
    assert roots[1].startswith("enterprise.creditRecords.project")
    assert roots[2:] == ["sources"]


async def test_stages_are_counted_when_the_plan_is_made(database: str):
    """Remote, local, remote: what would lead further is refused before anything is sent."""
    national = System("national", ("000000",), {"Enterprise.creditRecords": {}})
    async with federation(database, national) as found:
        decoded = await found.ask(
            f'{{ enterprise(uscc: "{known.CONTRACTOR}") {{ creditRecords {{ project {{ contractor {{'
            " creditRecords { project { name } } } } } } }"
        )
    assert [error["extensions"]["name"] for error in decoded["errors"]] == ["TOO_COSTLY"]
    assert national.asked == []


async def test_a_denied_link_is_not_asked_for(database: str):
    """The attribute that links is as closed as any: without it neither its value nor the local record is fetched."""
    national = System("national", ("000000",), {"Enterprise.creditRecords": {known.CONTRACTOR: []}})
    query = f'{{ enterprise(uscc: "{known.CONTRACTOR}") {{ creditRecords {{ recordNo project {{ name }} }} }} }}'
    async with federation(database, national) as found:
        decoded = await found.ask(query, PUBLIC_SUBJECT)
        named = {(d["coordinate"], d["verdict"]) for d in decoded["extensions"]["disclosure"]}
        assert ("Enterprise.creditRecords", "DENIED") in named
        assert await found.roots() == ["enterprise"]
    assert decoded["data"]["enterprise"] == {"creditRecords": None}
    assert national.asked == []


async def test_a_records_own_region_only_narrows(database: str):
    """A list below an own project may hold a record of another region: its conditional part is not shown."""
    listed = [
        inspection("A", "2026-09-03", summary="本区"),
        inspection("B", "2026-09-02", summary="外地", **{REGION: "330106"}),
        inspection("C", "2026-09-01", summary="本区注明", **{REGION: known.WUCHANG}),
    ]
    hubei = System("hubei", ("420000",), {"Project.liveInspections": {HERE: listed}})
    async with federation(database, hubei) as found:
        decoded = await found.ask(
            f'{{ project(projectNo: "{HERE}") {{ liveInspections {{ inspectionNo summary }} }} }}'
        )
    assert [(i["inspectionNo"], i["summary"]) for i in decoded["data"]["project"]["liveInspections"]] == [
        ("A", "本区"), ("B", None), ("C", "本区注明"),
    ]  # fmt: skip


async def test_services_on_persons_want_an_officer_and_a_reason(database: str):
    """Case handlers alone; without officer or reason no call is made; with both they travel with the call."""
    connection = await asyncpg.connect(database)
    id_no = await connection.fetchval("select id_no from zlaq.person where person_no = $1", known.PERSON_OPEN_CASE)
    await connection.close()
    national = System(
        "national", ("000000",), {"Person.identityCheck": {id_no: {"name": "李国良", "state": "1", "gender": "1"}}}
    )
    query = (
        f'query($r: String!) {{ person(personNo: "{known.PERSON_OPEN_CASE}") {{ identityCheck(reason: $r) {{'
        " name state conflicts { attribute ministry local } } } }"
    )
    handler = replace(
        Subject("province", Level.PROVINCE, "HOUSING", territory_of(["420000"]), roles=("case_handler",)),
        purpose="CASE", case_no=known.CASE_OPEN,
    )  # fmt: skip
    officer = Officer("110101190001010014", "何松", "湖北省住房和城乡建设厅", "10.1.2.3")
    async with federation(database, national) as found:
        denied = await found.ask(query, COUNTY, r="办案")
        assert denied["data"]["person"]["identityCheck"] is None
        assert "errors" not in denied
        silent = (" \u3000", "\u200b\u2060", "\u3164", "核验\r\nX: y", "\x1b[31m核验", "长" * 201)
        for subject, reason in ((handler, "办案"), *((replace(handler, officer=officer), text) for text in silent)):
            refused = await found.ask(query, subject, r=reason)
            assert [e["extensions"]["name"] for e in refused["errors"]] == ["OFFICER_MISSING"]
        assert national.asked == []
        answered = await found.ask(query, replace(handler, officer=officer), r="核验持证人身份")
    assert answered["data"]["person"]["identityCheck"] == {
        "name": "李国良", "state": "NORMAL",
        "conflicts": [{"attribute": "name", "ministry": "李国梁", "local": "李国良"}],
    }  # fmt: skip
    (fetch,) = national.asked
    assert (fetch.keys, fetch.fields) == ((id_no,), ("birth_date", "gender", "name", "state"))
    assert (fetch.officer, fetch.reason) == (officer, "核验持证人身份")
    assert "1101011900" not in repr(fetch) + repr(officer)


@pytest.mark.parametrize(("subject", "seen"), [(COUNTY, True), (MINISTRY, True), (PUBLIC_SUBJECT, False)])
async def test_sources_are_listed_for_those_who_may(database: str, subject: Subject, *, seen: bool):
    """State of every source for departments; null, and said so, for the public."""
    systems = [System("hubei", ("420000",), {STATUS: {}}), System("zhejiang", ("330000",), {STATUS: {}})]
    async with federation(database, *systems) as found:
        decoded = await found.ask(
            '{ s: sources { name title health covers services calls } here: region(nodeId: "420106") {'
            " sources { name } } }", subject,
        )  # fmt: skip
        assert await found.roots() == (["s", "here", "sources"] if seen else ["here"])
    if not seen:
        assert decoded["data"] == {"s": None, "here": {"sources": None}}
        assert {d["coordinate"] for d in decoded["extensions"]["disclosure"]} >= {"Region.sources"}
        return
    assert decoded["data"]["here"]["sources"] == [{"name": "hubei"}]
    assert [item["name"] for item in decoded["data"]["s"]] == ["hubei", "zhejiang"]
    assert decoded["data"]["s"][0] == {
        "name": "hubei", "title": "hubei系统", "health": "UP", "covers": ["420000"], "services": [STATUS], "calls": 0,
    }  # fmt: skip


async def test_a_failure_behind_a_link_spoils_only_itself(database: str):
    """The second remote stage fails: what it hangs on is all there, with the exact path of every loss."""
    records = [
        {"record_no": f"X{n}", "decided_on": f"2026-03-0{9 - n}", "project_no": (HERE, THERE)[n % 2]} for n in range(6)
    ]
    national = System("national", ("000000",), {"Enterprise.creditRecords": {known.CONTRACTOR: records}})

    def fail(_: object) -> Rows:
        raise SourceTimeout("hubei")

    hubei = System("hubei", ("420000",), {STATUS: {}}, behave=fail)
    zhejiang = System("zhejiang", ("330000",), {STATUS: {THERE: status(progress="装修")}})
    async with federation(database, national, hubei, zhejiang) as found:
        decoded = await found.ask(
            f'{{ e: enterprise(uscc: "{known.CONTRACTOR}") {{ r: creditRecords {{ recordNo p: project {{ name'
            " s: siteStatus { progress } } } } }"
        )
    listed = decoded["data"]["e"]["r"]
    assert [item["p"]["s"] and item["p"]["s"]["progress"] for item in listed] == [None, "装修"] * 3
    assert all(item["p"]["name"] for item in listed)
    assert sorted(error["path"] for error in decoded["errors"]) == [["e", "r", n, "p", "s"] for n in (0, 2, 4)]
    assert decoded["extensions"]["sources"] == {"hubei": "SOURCE_TIMEOUT", "national": "OK", "zhejiang": "OK"}
    assert len(hubei.asked) == len(zhejiang.asked) == 1


async def test_what_a_mask_leaves_nothing_of_is_not_asked_for(database: str):
    """Conditional is masked for a city where the province manages, and that mask leaves nothing: so it is denied."""
    record = status(workers_on_site="不详", safety_officer="李四", **{UNMAPPED: ("workers_on_site",)})
    hubei = System("hubei", ("420000",), {STATUS: {known.PROJECT_PROVINCE: record}})
    city = Subject("city", Level.CITY, "HOUSING", territory_of([known.WUHAN]), dept=known.HOUSING_WUHAN)
    async with federation(database, hubei) as found:
        decoded = await found.ask(
            f'{{ project(projectNo: "{known.PROJECT_PROVINCE}") {{ siteStatus {{'
            " state workersOnSite safetyOfficer provenance { unmapped } } } }", city,
        )  # fmt: skip
    assert decoded["data"]["project"]["siteStatus"] == {
        "state": "UNDER_CONSTRUCTION", "workersOnSite": None, "safetyOfficer": "李**", "provenance": {"unmapped": []},
    }  # fmt: skip
    assert hubei.asked[0].fields == ("safety_officer", "state")


async def test_whoever_was_asked_is_on_record_whatever_becomes_of_the_answer(database: str):
    """A bad cursor is found before anybody is asked; a caller who goes away, or a failure behind, leaves the record."""
    records = [{"record_no": "X", "decided_on": "2026-01-01", "project_no": HERE}]
    national = System("national", ("000000",), {"Enterprise.creditRecords": {known.CONTRACTOR: records}})
    live = System("hubei", ("420000",), {"Enterprise.liveInspections": {known.CONTRACTOR: []}, STATUS: {}}, delay=2)
    walk = 'liveInspections(first: 1, after: "%s") { nodes { inspectionNo } pageInfo { endCursor } }'
    async with federation(database, national, live, request_deadline_ms=1500) as found:
        refused = await found.ask(
            f'{{ enterprise(uscc: "{known.CONTRACTOR}") {{ creditRecords {{ recordNo }} {walk % "ebad"} }} }}'
        )
        assert [e["extensions"]["name"] for e in refused["errors"]] == ["CURSOR_EXPIRED"]
        assert national.asked == []
        assert await found.roots() == ["enterprise"]
        late = await found.ask(
            f'{{ enterprise(uscc: "{known.CONTRACTOR}") {{'
            " creditRecords { project { siteStatus { state } } } } }"
        )
        assert late["data"]["enterprise"]["creditRecords"] == [{"project": {"siteStatus": None}}]
        assert (await found.roots())[-1] == "sources"


async def test_a_record_of_which_nothing_is_left_is_left_out(database: str):
    """An enterprise sees its own project's inspections; those of another region, which close all to it, do not show."""
    listed = [inspection("A", "2026-09-03"), inspection("B", "2026-09-02", **{REGION: "330106"})]
    hubei = System("hubei", ("420000",), {"Project.liveInspections": {HERE: listed}})
    holder = Subject("e", Level.ENTERPRISE, "ENTERPRISE", territory=NoTerritory(), enterprise=known.CONTRACTOR)
    async with federation(database, hubei) as found:
        decoded = await found.ask(
            f'{{ project(projectNo: "{HERE}") {{ liveInspections {{ inspectionNo }} }} }}', holder
        )
    assert decoded["data"]["project"]["liveInspections"] == [{"inspectionNo": "A"}]


async def test_remote_lists_are_reckoned_before_they_are_asked_for(database: str):
    """As many records as a page and its lists could hold together are refused while nothing has been sent."""
    hubei = System("hubei", ("420000",), {"Project.liveInspections": {}})
    async with federation(database, hubei, max_cost=10_000) as found:
        decoded = await found.ask("{ projects(first: 200) { nodes { liveInspections(first: 100) { kind } } } }")
        assert [e["extensions"]["name"] for e in decoded["errors"]] == ["TOO_COSTLY"]
    async with federation(database, hubei, max_rows_bytes=100_000) as found:
        decoded = await found.ask("{ projects(first: 20) { nodes { liveInspections(first: 100) { kind } } } }")
        assert [e["extensions"]["name"] for e in decoded["errors"]] == ["TOO_MANY_ROWS"]
    assert hubei.asked == []


async def test_links_and_comparisons_are_closed_row_by_row(database: str):
    """Under a policy that makes both conditional: of the own row they are followed and compared, of another neither."""
    default = load_default()
    conditional = dict.fromkeys(("CreditRecord.projectNo", "SiteStatus.state"), "CONDITIONAL")
    revision = Revision(default.rules, {**default.classes, **conditional}, default.kinds)
    records = [{"record_no": "X1", "decided_on": "2026-03-01", "project_no": HERE}]
    connection = await asyncpg.connect(database)
    away = await connection.fetchval("select uscc from zlaq.enterprise where manage_p2 = '33' order by uscc limit 1")
    await connection.close()
    national = System(
        "national", ("000000",),
        {
            "Enterprise.creditRecords": {known.CONTRACTOR: records, away: records},
            STATUS: {HERE: status(state="3"), THERE: status(state="3")},
        },
    )  # fmt: skip
    async with federation(database, national) as found:
        found.service.snapshot = build_snapshot(revision, found.service.registry)
        decoded = await found.ask(
            "query($a: Uscc!, $b: Uscc!) { a: enterprise(uscc: $a) { ...E } b: enterprise(uscc: $b) { ...E }"
            f' c: project(projectNo: "{HERE}") {{ ...P }} d: project(projectNo: "{THERE}") {{ ...P }} }}'
            " fragment E on Enterprise { creditRecords { recordNo project { projectNo } } }"
            " fragment P on Project { siteStatus { state progress conflicts { attribute } } }",
            a=known.CONTRACTOR, b=away,
        )  # fmt: skip
    data = decoded["data"]
    assert data["a"]["creditRecords"] == [{"recordNo": "X1", "project": {"projectNo": HERE}}]
    assert data["b"]["creditRecords"] == [{"recordNo": "X1", "project": None}]
    assert data["c"]["siteStatus"] == {
        "state": "SUSPENDED", "progress": "主体结构", "conflicts": [{"attribute": "status"}],
    }  # fmt: skip
    assert data["d"]["siteStatus"] == {"state": None, "progress": "主体结构", "conflicts": []}
    asked = {(fetch.service, key): fetch.fields for fetch in national.asked for key in fetch.keys}
    assert asked["Enterprise.creditRecords", away] == ("record_no",)
    assert "state" not in asked[STATUS, THERE]
