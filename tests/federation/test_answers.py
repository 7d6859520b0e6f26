"""One document over PostgreSQL, five provinces and the national platform: who sees what, and by which plan."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.counterparts.facts import visits
from demo.seed import wellknown as known
from policy.subject import PUBLIC_SUBJECT, Subject
from server.pipeline import Question
from tests.federation.asking import COUNTY, MINISTRY, PROVINCE, PROVINCES, errors

if TYPE_CHECKING:
    from tests.federation.asking import Federation

SNAPSHOTS = Path(__file__).with_name("snapshots")
DOCUMENT = """
query Site($uscc: Uscc!) {
  enterprise(uscc: $uscc) {
    name
    businessRegistration { name state legalRepName registeredCapital conflicts { attribute ministry local } }
    creditRecords(first: 10) { recordNo kind penalty projectNo
      project { name siteStatus { state stopWorkReason workersOnSite safetyOfficer } } }
    liveInspections(first: 8) { nodes { inspectionNo inspectedOn summary provenance { source } } sources }
    projects(first: 100) {
      projectNo
      siteStatus { state name totalArea stopWork stopWorkReason workersOnSite safetyOfficer safetyOfficerMobile
        conflicts { attribute ministry local } provenance { source stale unmapped } }
      liveInspections(first: 1) { inspectionNo kind summary }
      machines(first: 5) { recordNo monitoring { momentPercent load online driver } }
      investmentApproval { approvalLevel totalInvestment approvedOn }
    }
  }
}
"""
HANGZHOU, WUCHANG, CITY, NANJING, JINAN, SHENZHEN = (
    known.PROJECT_ELSEWHERE, known.PROJECT_COUNTY, known.PROJECT_CITY, known.PROJECT_NANJING, known.PROJECT_JINAN,
    known.PROJECT_SHENZHEN,
)  # fmt: skip

# What the counterparts' README and facts say, written out: what a department anywhere may see of each site.
SHARED: dict[str, dict[str, object]] = {
    HANGZHOU: {"state": "SUSPENDED", "name": "杭州西湖梧桐广场商业综合体", "totalArea": 86400.5},
    WUCHANG: {"state": "UNDER_CONSTRUCTION", "name": "武昌滨江锦绣花园一期住宅楼", "totalArea": 86400.5},
    CITY: {"state": "UNDER_CONSTRUCTION", "name": "武昌云景实验学校教学楼（一期）", "totalArea": 92000},
    NANJING: {"state": "COMPLETED", "name": "南京秦淮翡翠苑安置房项目（一标段）", "totalArea": 86400.5},
    JINAN: {"state": "UNDER_CONSTRUCTION", "name": "济南历下星河实验学校教学楼工程", "totalArea": 86400.5},
    SHENZHEN: {"state": "UNDER_CONSTRUCTION", "name": "深圳南山云景大厦办公楼", "totalArea": 86400.5},
}
STOPPED = {HANGZHOU}
CLEAR: dict[str, dict[str, object]] = {
    HANGZHOU: {"stopWorkReason": "塔式起重机限位失效，责令停工整改", "workersOnSite": 0},
    WUCHANG: {"stopWorkReason": None, "workersOnSite": 186},
    CITY: {"stopWorkReason": None, "workersOnSite": 186},
    NANJING: {"stopWorkReason": None, "workersOnSite": 186},
    JINAN: {"stopWorkReason": None, "workersOnSite": 42},
    SHENZHEN: {"stopWorkReason": None, "workersOnSite": 186},
}
HIDDEN: dict[str, object] = {"stopWorkReason": None, "workersOnSite": None}
OFFICER: dict[str, object] = {"safetyOfficer": "郑**", "safetyOfficerMobile": "masked"}
NO_OFFICER: dict[str, object] = {"safetyOfficer": None, "safetyOfficerMobile": None}
CONFLICTS = {
    HANGZHOU: {"status": ("UNDER_CONSTRUCTION", "SUSPENDED")},
    WUCHANG: {},
    CITY: {"name": ("武昌云景实验学校教学楼", "武昌云景实验学校教学楼（一期）"), "totalArea": ("86400.50", "92000")},
    NANJING: {
        "status": ("UNDER_CONSTRUCTION", "COMPLETED"),
        "name": ("南京秦淮翡翠苑安置房项目", "南京秦淮翡翠苑安置房项目（一标段）"),
    },
    JINAN: {"name": ("济南历下星河实验学校教学楼", "济南历下星河实验学校教学楼工程")},
    SHENZHEN: {"contractorUscc": (known.CONTRACTOR, known.ENTERPRISE_NO_PROJECTS)},
}
# Whose sites a subject supervises (conditional values clear), and whose people it sees masked.
OWN = {"county": {WUCHANG}, "province": {WUCHANG, CITY}, "ministry": set(SHARED)}
PEOPLE = {"county": {WUCHANG, CITY}, "province": {WUCHANG, CITY}, "ministry": set(SHARED)}
# Machine, from which system, and the moment in percent: a fraction times a hundred where Zhejiang sends one.
MACHINES = {
    known.MACHINE_HANGZHOU: (104, True, "孙**"),
    known.MACHINE_HANGZHOU_HOIST: (63, False, "孙**"),
    known.MACHINE_SHENZHEN: (63, True, "赵**"),
    known.MACHINE_JINAN: (63, True, "周**"),
}


async def asked(product: Federation, subject: Subject) -> tuple[dict[str, Any], dict[tuple[str | int, ...], str]]:
    """The enterprise of the answer, and the errors of it."""
    answer = await product.ask(subject, DOCUMENT, uscc=known.CONTRACTOR)
    return answer["data"]["enterprise"], errors(answer)


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


@pytest.mark.parametrize("subject", [COUNTY, PROVINCE, MINISTRY], ids=lambda subject: subject.id)
async def test_sites_are_shown_as_the_local_systems_have_them(product: Federation, subject: Subject):
    """Shared values to every department, conditional ones below whom they are, persons masked or not at all."""
    enterprise, _ = await asked(product, subject)
    found = {project["projectNo"]: project for project in enterprise["projects"]}
    sources = dict(zip(PROVINCES.values(), PROVINCES, strict=True)) | {CITY: "hubei"}
    for number, shared in SHARED.items():
        site = found[number]["siteStatus"]
        mobile = site["safetyOfficerMobile"]
        got = {**site, "totalArea": _number(site["totalArea"])}
        got["safetyOfficerMobile"] = "masked" if mobile and "****" in mobile else mobile
        expected = {
            **shared,
            "stopWork": number in STOPPED,
            **(CLEAR[number] if number in OWN[subject.id] else HIDDEN),
            **(OFFICER if number in PEOPLE[subject.id] else NO_OFFICER),
        }
        assert {name: got[name] for name in expected} == expected, number
        assert site["provenance"] == {"source": sources[number], "stale": False, "unmapped": []}
        conflicts = {one["attribute"]: (one["ministry"], one["local"]) for one in site["conflicts"]}
        assert conflicts == CONFLICTS[number], number


@pytest.mark.parametrize("subject", [COUNTY, MINISTRY], ids=lambda subject: subject.id)
async def test_lists_machines_and_approvals(product: Federation, subject: Subject):
    """Latest visits, readings in the ministry's units, approvals by code; conditional values only where supervised."""
    enterprise, _ = await asked(product, subject)
    found = {project["projectNo"]: project for project in enterprise["projects"]}
    readings = {m["recordNo"]: m["monitoring"] for project in found.values() for m in project["machines"]}
    masked = subject is MINISTRY
    for record_no, (moment, online, driver) in MACHINES.items():
        reading = readings[record_no]
        assert (_number(reading["momentPercent"]), reading["load"], reading["online"]) == (moment, "2.35", online)
        assert reading["driver"] == (driver if masked else None), record_no
    for record_no in (known.MACHINE_WUHAN, known.MACHINE_NANJING, known.MACHINE_FROM_ELSEWHERE):
        # Hubei and Jiangsu have no monitoring to offer, and a machine is its own region's, wherever it stands.
        assert readings[record_no] is None
    approvals = {number: found[number]["investmentApproval"] for number in (HANGZHOU, WUCHANG)}
    assert approvals[WUCHANG] == {"approvalLevel": "COUNTY", "totalInvestment": "48600", "approvedOn": "2026-03-18"}
    assert approvals[HANGZHOU] == {
        "approvalLevel": "CITY", "totalInvestment": "51200" if subject is MINISTRY else None, "approvedOn": None,
    }  # fmt: skip
    (latest,) = found[HANGZHOU]["liveInspections"]
    assert latest["inspectionNo"] == next(v.no for v in visits("33") if v.project_no == HANGZHOU)
    assert (latest["summary"] is None) == (subject is COUNTY)
    (own,) = found[WUCHANG]["liveInspections"]
    assert own["summary"] is not None


@pytest.mark.parametrize("subject", [COUNTY, MINISTRY], ids=lambda subject: subject.id)
async def test_the_national_platform_and_what_it_leads_to(product: Federation, subject: Subject):
    """Registration beside the ministry's row; credit records, the projects they name, and these projects' sites."""
    enterprise, _ = await asked(product, subject)
    assert enterprise["businessRegistration"] == {
        "name": "武汉衡砺澄建设工程有限公司", "state": "ACTIVE", "legalRepName": "李国梁", "registeredCapital": "30000",
        "conflicts": [{"attribute": "legalRepName", "ministry": "陈志远", "local": "李国梁"}],
    }  # fmt: skip
    listed = {record["recordNo"]: record for record in enterprise["creditRecords"]}
    assert list(listed) == [
        "XY2026-0042", "XY2026-0030", "XY2026-0031", "XY2026-0018", "XY2026-0009", "XY2025-0077", "XY2025-0054",
    ]  # fmt: skip
    assert {no: _number(record["penalty"]) for no, record in listed.items()} == {
        "XY2026-0042": 3, "XY2026-0030": 1.00005, "XY2026-0031": None, "XY2026-0018": None, "XY2026-0009": 5,
        "XY2025-0077": None, "XY2025-0054": 0,
    }  # fmt: skip
    assert listed["XY2025-0077"]["kind"] is None
    assert [listed[no]["project"] for no in ("XY2026-0009", "XY2025-0077", "XY2025-0054")] == [None, None, None]
    site = listed["XY2026-0031"]["project"]["siteStatus"]
    assert site == {
        "state": "SUSPENDED",
        **(CLEAR[HANGZHOU] if subject is MINISTRY else HIDDEN),
        "safetyOfficer": "郑**" if subject is MINISTRY else None,
    }
    own = listed["XY2026-0018"]["project"]["siteStatus"]
    assert own == {"state": "UNDER_CONSTRUCTION", **CLEAR[WUCHANG], "safetyOfficer": "郑**"}


async def test_a_list_across_provinces_is_one_list(product: Federation):
    """The latest of five systems in one order; what is conditional only where the whole system is below the caller."""
    everywhere = [(visit, name) for name, number in PROVINCES.items() for visit in visits(number[:2])]
    everywhere.sort(key=lambda one: (-one[0].on.toordinal(), one[0].no))
    latest = [(visit.no, name) for visit, name in everywhere][:8]
    assert len({name for _, name in latest}) > 2
    for subject, sees in ((COUNTY, set()), (PROVINCE, {"hubei"}), (MINISTRY, set(PROVINCES))):
        enterprise, _ = await asked(product, subject)
        walk = enterprise["liveInspections"]
        assert walk["sources"] == sorted(PROVINCES)
        assert [(n["inspectionNo"], n["provenance"]["source"]) for n in walk["nodes"]] == latest
        assert {n["provenance"]["source"] for n in walk["nodes"] if n["summary"]} == sees & {n for _, n in latest}


async def test_only_regions_without_a_system_are_missed(product: Federation):
    """Every error is of a project or machine whose region nobody covers, at its own path."""
    enterprise, failed = await asked(product, MINISTRY)
    assert set(failed.values()) == {"SOURCE_NOT_CONNECTED"}
    for path in failed:
        root, projects, number, *rest = path
        assert (root, projects) == ("enterprise", "projects")
        assert isinstance(number, int)
        if rest[-1] != "monitoring":
            manage = await product.ask(
                MINISTRY, "query($k: ProjectNo!) { project(projectNo: $k) { manageRegionNodeId } }",
                k=enterprise["projects"][number]["projectNo"],
            )  # fmt: skip
            assert manage["data"]["project"]["manageRegionNodeId"][:2] not in {"33", "42", "32", "44", "37"}


async def test_the_public_sees_the_ministrys_public_rows_alone(product: Federation):
    """Every remote value is denied, is said to be, and costs no call anywhere."""
    answer = await product.ask(PUBLIC_SUBJECT, DOCUMENT, uscc=known.CONTRACTOR)
    enterprise = answer["data"]["enterprise"]
    assert enterprise["name"] == "武汉衡砺澄建设工程有限公司"
    remote = ("businessRegistration", "creditRecords", "liveInspections")
    assert [enterprise[name] for name in remote] == [None, None, None]
    assert len(enterprise["projects"]) > 20
    for project in enterprise["projects"]:
        assert project["siteStatus"] is None
        assert project["liveInspections"] is None
        assert project["investmentApproval"] is None
        assert all(machine["monitoring"] is None for machine in project["machines"])
    assert "errors" not in answer
    denied = {one["coordinate"] for one in answer["extensions"]["disclosure"] if one["verdict"] == "DENIED"}
    assert denied == {
        "Enterprise.businessRegistration", "Enterprise.creditRecords", "Enterprise.liveInspections",
        "LiftingMachine.monitoring", "Project.investmentApproval", "Project.liveInspections", "Project.siteStatus",
    }  # fmt: skip
    assert not any(product.calls(name) for name in product.counterparts.systems)


def outline(explained: str) -> str:
    """The stable part of an explanation: stages, nodes and slots, without the declarations that a slot holds."""
    lines = []
    for line in explained.split("\n"):
        if line.startswith("-- parameters"):
            break
        if line.lstrip().startswith("slot "):
            head, _, rest = line.partition(", parts=(")
            parts = " ".join(part.split("'", 1)[0] for part in rest.split("Shown(key='")[1:])
            lines.append(f"{head} parts {parts}")
        else:
            lines.append(line)
    return "\n".join(line for line in lines if not line.startswith("revision ")) + "\n"


@pytest.mark.parametrize("subject", [COUNTY, MINISTRY, PUBLIC_SUBJECT], ids=lambda subject: subject.id)
async def test_the_plan(product: Federation, subject: Subject):
    """Verdicts, stages and slots as they were reviewed; a snapshot is made anew by deleting its file and running this
    test, which then fails once and leaves what it found."""
    question = Question(DOCUMENT, {"uscc": known.CONTRACTOR}, None)
    found = outline(await product.service.explain(question, subject))
    file = SNAPSHOTS / f"{subject.id}.txt"
    if not file.exists():
        file.write_text(found, encoding="utf-8")
        pytest.fail(f"{file.name} was missing and has been written: review it")
    kept = file.read_text(encoding="utf-8")
    diff = "\n".join(difflib.unified_diff(kept.split("\n"), found.split("\n"), file.name, "found", lineterm=""))
    assert not diff, f"\n{diff}"
    assert not any(product.calls(name) for name in product.counterparts.systems)
