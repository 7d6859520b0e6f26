"""What the counterparts were really asked: batches, fields, keys, officers; by their own record."""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from demo.seed import wellknown as known
from policy.revision import load_default
from policy.subject import PUBLIC_SUBJECT, Level, Subject, territory_of
from tests.conftest import publish
from tests.declared.tables import another_database
from tests.federation.asking import CHECK, COUNTY, HANDLER, MINISTRY, OFFICER, federation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from demo.counterparts import Call, Counterparts
    from demo.embedded import EmbeddedPostgres
    from tests.federation.asking import Federation

# A project's number, an enterprise's or a project's code, a machine's record: a front-end database's record of calls
# has other parameters of its statements among them.
KEY = re.compile(r"[0-9]{16,18}|[0-9A-Z]{18}|[0-9-]{24}|[\u4e00-\u9fff][A-Z]{2}-[A-Z][0-9]{5}")
ELSEWHERE = Subject("hangzhou", Level.COUNTY, "HOUSING", territory_of(["330106"]))


def keys(calls: Iterable[Call]) -> list[str]:
    """The keys of some calls, in order, repeated ones too."""
    return [key for call in calls for key in call.keys if KEY.fullmatch(key)]


async def test_a_batch_is_one_call_and_a_key_is_asked_once(product: Federation):
    """The same records under three roots and two aliases: every source is called once for as many keys as it takes."""
    document = """query($uscc: Uscc!, $no: ProjectNo!) {
      a: enterprise(uscc: $uscc) { projects(first: 100) { first: siteStatus { state } machines { monitoring { online } }
        again: siteStatus { state } approval: investmentApproval { approvalLevel } } }
      b: project(projectNo: $no) { siteStatus { state } machines { monitoring { online } } }
      c: project(projectNo: $no) { other: siteStatus { state } investmentApproval { approvalLevel } }
    }"""
    answer = await product.ask(MINISTRY, document, uscc=known.CONTRACTOR, no=known.PROJECT_ELSEWHERE)
    configured = tomllib.loads(product.counterparts.sources.read_text(encoding="utf-8"))["source"]
    seen = 0
    for name in product.counterparts.systems:
        by_service: dict[tuple[str, tuple[str, ...]], list[Call]] = defaultdict(list)
        for call in product.calls(name):
            by_service[call.service, call.fields].append(call)
        for (service, _), calls in by_service.items():
            asked = keys(calls)
            assert len(asked) == len(set(asked)), (name, service)
            most = configured[name]["service"].get(service, {}).get("keys_per_call", 50)
            assert len(calls) == math.ceil(len(asked) / most), (name, service)
            seen += 1
    assert seen == 5 + 3 + 1
    for alias in ("b", "c"):
        assert answer["data"][alias].get("siteStatus", answer["data"][alias].get("other")) == {"state": "SUSPENDED"}
    assert keys(product.calls("zhejiang", "LiftingMachine.monitoring")) == [
        known.MACHINE_HANGZHOU_HOIST, known.MACHINE_HANGZHOU,
    ]  # fmt: skip


async def test_a_thousand_keys(postgres: EmbeddedPostgres, counterparts: Counterparts, capsys: Any):
    """Twenty calls of fifty keys, each machine's reading in its own place and in nobody else's."""
    dsn = await another_database(postgres.dsn, "federation_many")
    await publish(dsn, load_default())
    numbers = [f"粤BN-T{number:05}" for number in range(1, 1001)]
    connection = await asyncpg.connect(dsn)
    try:
        await connection.executemany(
            "insert into zlaq.lifting_machine (record_no, kind, state, manage) values ($1, 'T', '3', '440305')",
            [(number,) for number in numbers],
        )
    finally:
        await connection.close()
    document = "{ a: liftingMachines(first: 1000) { nodes { recordNo monitoring { deviceNo } } } }"
    async with federation(dsn, counterparts) as many:
        await many.ask(MINISTRY, document)
        cold = many.took
        many.forget()
        answer = await many.ask(MINISTRY, document)
        nodes = answer["data"]["a"]["nodes"]
        calls = many.calls("guangdong")
    assert "errors" not in answer
    assert sorted(node["recordNo"] for node in nodes) == sorted(numbers)
    found = {node["recordNo"]: node["monitoring"]["deviceNo"] for node in nodes if node["monitoring"]}
    assert found == {known.MACHINE_SHENZHEN: "SZ-TC-1180"}
    assert [len(call.keys) for call in calls] == [50] * 20
    assert sorted(keys(calls)) == sorted(numbers)
    with capsys.disabled():
        print(f"\n1,000 keys: {len(calls)} calls, {many.took * 1000:.0f} ms, the first time {cold * 1000:.0f} ms")  # noqa: T201


FIELDS = "state stopWorkReason workersOnSite safetyOfficer"


async def test_only_what_may_be_shown_is_asked_for(product: Federation):
    """Two sites in one question: of the county's own its conditional and personal fields too, of the other none."""
    document = f"""query($a: ProjectNo!, $b: ProjectNo!, $c: ProjectNo!, $d: ProjectNo!) {{
      own: project(projectNo: $a) {{ siteStatus {{ {FIELDS} }} investmentApproval {{ totalInvestment authority }} }}
      jiangsu: project(projectNo: $b) {{ siteStatus {{ {FIELDS} }} }}
      guangdong: project(projectNo: $c) {{ siteStatus {{ {FIELDS} }} }}
      shandong: project(projectNo: $d) {{ siteStatus {{ {FIELDS} }}
        investmentApproval {{ totalInvestment authority }} }}
    }}"""
    given = {
        "a": known.PROJECT_COUNTY,
        "b": known.PROJECT_NANJING,
        "c": known.PROJECT_SHENZHEN,
        "d": known.PROJECT_JINAN,
    }
    service = "Project.siteStatus"
    expected = {
        COUNTY: {
            "hubei": {"aqy", "gxsj", "sfyx", "tgyy", "xmbm", "xzqh", "zcrs", "zt"},
            "jiangsu": {"gxsj", "sfyx", "xmbm", "xzqh", "zt"},
            "guangdong": {"projectNo", "region", "reportedAt", "state"},
            "shandong": {"gxsj", "sjyxbs", "xmdm", "xmzt", "xzqhdm", "public"},
        },
        MINISTRY: {
            "jiangsu": {"aqy", "gxsj", "sfyx", "tgyy", "xmbm", "xzqh", "zcrs", "zt"},
            "guangdong": {"projectNo", "region", "reportedAt", "state", "haltReason", "workers", "name"},
            "shandong": {"aqyxm", "gxsj", "sjyxbs", "tgyy", "xmdm", "xmzt", "xzqhdm", "zcrs", "public"},
        },
    }
    for subject, systems in expected.items():
        product.forget()
        answer = await product.ask(subject, document, **given)
        assert all(answer["data"][alias]["siteStatus"]["state"] for alias in answer["data"])
        for name, fields in systems.items():
            (call,) = product.calls(name, service)
            assert set(call.fields) == fields, (subject.id, name)
        asked = {call.keys[0]: set(call.fields) for call in product.calls("national")}
        assert asked["2603-420106-04-01-123456"] == {"xmdm", "pfjg", "ztz"}
        assert asked["2603-370102-04-01-123456"] == {"xmdm", "pfjg"} | ({"ztz"} if subject is MINISTRY else set())


async def test_what_is_denied_costs_no_call(product: Federation):
    """By the class alone, by the row, and by the parts selected: the key of such a record is sent nowhere."""
    document = (
        "query($k: ProjectNo!) { project(projectNo: $k) { projectNo siteStatus { stopWorkReason safetyOfficer } } }"
    )
    for subject, number in ((PUBLIC_SUBJECT, known.PROJECT_COUNTY), (COUNTY, known.PROJECT_NANJING)):
        answer = await product.ask(subject, document, k=number)
        assert answer["data"]["project"] == {"projectNo": number, "siteStatus": None}
        assert "errors" not in answer
        assert not any(product.calls(name) for name in product.counterparts.systems)
    both = (
        "query($u: Uscc!) { enterprise(uscc: $u) { projects(first: 100) { projectNo manageRegionNodeId"
        " siteStatus { workersOnSite } } } }"
    )
    answer = await product.ask(COUNTY, both, u=known.CONTRACTOR)
    own = {p["projectNo"] for p in answer["data"]["enterprise"]["projects"] if p["manageRegionNodeId"] == known.WUCHANG}
    asked = keys(product.calls("hubei"))
    assert known.PROJECT_COUNTY in asked
    assert known.PROJECT_CITY not in asked
    assert set(asked) >= own
    for name in ("jiangsu", "zhejiang", "guangdong", "shandong"):
        assert product.calls(name) == []


async def test_no_key_of_a_hidden_row_leaves_the_house(product: Federation):
    """Rows that the caller may not know of: not in lists, not by key, not by `nodes`, not behind a remote record."""
    hidden = (known.SEALED, known.UNPUBLISHED, known.MAJOR_ACCIDENT)
    document = """query($u: Uscc!, $a: ProjectNo!, $b: ProjectNo!, $c: ProjectNo!, $r: [_Any!]!) {
      enterprise(uscc: $u) { projects(first: 100) { projectNo siteStatus { state } liveInspections { kind }
          investmentApproval { authority } }
        creditRecords { project { siteStatus { progress } } } }
      a: project(projectNo: $a) { siteStatus { state } liveInspections { kind } }
      b: project(projectNo: $b) { siteStatus { state } liveInspections { kind } }
      c: project(projectNo: $c) { siteStatus { state } liveInspections { kind } }
      _entities(representations: $r) { ... on Project { siteStatus { state } } }
    }"""
    representations = [{"__typename": "Project", "projectNo": number} for number in (*hidden, known.PROJECT_COUNTY)]
    answer = await product.ask(
        ELSEWHERE, document, u=known.CONTRACTOR, r=representations, **dict(zip("abc", hidden, strict=True))
    )
    data = answer["data"]
    assert [data[alias] for alias in "abc"] == [None, None, None]
    assert data["_entities"] == [None, None, None, {"siteStatus": {"state": "UNDER_CONSTRUCTION"}}]
    told = [call.sent for name in product.counterparts.systems for call in product.calls(name)]
    asked = [key for name in product.counterparts.systems for key in keys(product.calls(name))]
    assert known.PROJECT_COUNTY in asked
    assert not set(hidden) & set(asked)
    # As whole numbers: a visible project's longer one begins with the digits of a hidden one.
    assert not any(re.search(rf"(?<!\d){number}(?!\d)", text) for number in hidden for text in told)


@pytest.mark.parametrize(
    ("subject", "person", "reason", "names"),
    [
        (HANDLER, known.PERSON_OPEN_CASE, "办案核验", ["OFFICER_MISSING"]),
        (replace(HANDLER, officer=OFFICER), known.PERSON_OPEN_CASE, " \u3000\t", ["OFFICER_MISSING"]),
        (replace(HANDLER, officer=OFFICER), known.PERSON, "办案核验", []),
        (replace(COUNTY, officer=OFFICER), known.PERSON_OPEN_CASE, "办案核验", []),
        (replace(PUBLIC_SUBJECT, officer=OFFICER), known.PERSON_OPEN_CASE, "办案核验", []),
    ],
)
async def test_no_person_is_checked_without_right_officer_and_reason(
    product: Federation, subject: Subject, person: str, reason: str, names: list[str]
):
    """No officer, a blank reason, a person of no case of the caller's, no case handler, nobody: zero calls."""
    answer = await product.ask(subject, CHECK % "name gender birthDate", k=person, r=reason)
    assert (answer["data"]["person"] or {}).get("identityCheck") is None
    assert [error["extensions"]["name"] for error in answer.get("errors", [])] == names
    assert product.counterparts.systems["national"].calls("Person.identityCheck") == []


async def test_a_check_names_the_officer_and_asks_for_no_more_than_is_selected(product: Federation):
    """A complete end user, one person, the selected items and the key."""
    subject = replace(HANDLER, officer=OFFICER)
    for selected, items, shown in (
        ("name", {"GMSFHM", "XM"}, {"name": "李国梁"}),
        ("state", {"GMSFHM", "RKZT"}, {"state": "NORMAL"}),
    ):
        product.forget()
        answer = await product.ask(subject, CHECK % selected, k=known.PERSON_OPEN_CASE, r="办案核验持证人身份")
        assert "errors" not in answer, answer["errors"]
        assert answer["data"]["person"]["identityCheck"] == shown
        (call,) = product.calls("national", "Person.identityCheck")
        assert (call.officer, call.signed, call.outcome, len(call.keys)) == (True, True, "answered", 1)
        assert set(call.fields) == items
        assert json.loads(call.sent)["EndUser"] == {
            "UserCardId": OFFICER.id_no, "UserName": OFFICER.name, "UserDept": OFFICER.department,
            "UserIp": OFFICER.address, "CallReason": "办案核验持证人身份",
        }  # fmt: skip
