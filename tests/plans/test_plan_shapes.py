"""The plan-shape gate: every benchmark shape as ministry, province and county, on a database large enough to matter.

Counts and shapes only, never milliseconds: an index serves every table, one statement a root field, and no Python
runs per row.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from adapters.postgres.migrate import migrate
from demo.seed import wellknown
from demo.seed.load import load
from policy.revision import load_default
from policy.subject import Country, Level, NoTerritory, Subject, territory_of
from server.pipeline import Question
from server.service import Service
from server.settings import Settings
from tests.conftest import publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from demo.embedded import EmbeddedPostgres

OPERATIONS = Path(__file__).parents[2] / "bench" / "operations"
SUBJECTS = {
    "ministry": Subject("m", Level.MINISTRY, "HOUSING", Country(), (), wellknown.HOUSING_MINISTRY),
    "province": Subject("p", Level.PROVINCE, "HOUSING", territory_of(["420000"]), (), wellknown.HOUSING_HUBEI),
    "county": Subject("c", Level.COUNTY, "HOUSING", territory_of(["420106"]), (), wellknown.HOUSING_WUCHANG),
    "enterprise": Subject("e", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise=wellknown.CONTRACTOR),
}
AFTER = "k" + base64.b64encode(wellknown.PROJECT_COUNTY.encode()).decode()
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        path.stem: (path.read_text(), {"no": wellknown.PROJECT_COUNTY} if path.stem == "Q1" else {"after": AFTER})
        for path in sorted(OPERATIONS.glob("Q*.graphql"))
    },
    "entities": (
        "query($r: [_Any!]!) { _entities(representations: $r) { ... on Project { name contractor { name } } } }",
        {"r": [{"__typename": "Project", "projectNo": wellknown.PROJECT_COUNTY}]},
    ),
    "sorted by a nullable date": (
        "{ projects(first: 50, orderBy: [{field: PLANNED_START, direction: DESC}]) { nodes { name plannedStart } } }",
        {},
    ),
    "sorted backward": (
        "{ projects(last: 50, orderBy: [{field: PLANNED_START}]) { pageInfo { startCursor } nodes { name } } }",
        {},
    ),
    "of an enterprise": (
        "query($u: Uscc!) { projects(where: {contractorUscc: {eq: $u}}, first: 50) { nodes { name } } }",
        {"u": wellknown.CONTRACTOR},
    ),
}
GOVERNMENT_SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "below a province": (
        "query($c: RegionCode!) { projects(where: {manageRegionNodeId: {under: $c}}, first: 50) { nodes { name } } }",
        {"c": "420000"},
    ),
    "below a city": (
        "query($c: RegionCode!) { projects(where: {manageRegionNodeId: {under: $c}}, first: 50) { nodes { name } } }",
        {"c": "420100"},
    ),
    "of a county, latest first": (
        (
            "query($c: RegionCode!) { safetyInspections(where: {manageRegionNodeId: {under: $c}}, first: 50,"
            " orderBy: [{field: INSPECTED_ON, direction: DESC}]) { nodes { inspectedOn findings { hazardLevel } } } }"
        ),
        {"c": "420106"},
    ),
    "with a hazard": (
        "{ projects(first: 20, where: {inspections: {some: {majorHazardCount: {gte: 1}}}}) { nodes { name } } }",
        {},
    ),
}
CASES = [
    *((shape, role) for shape in SHAPES for role in SUBJECTS),
    *((shape, role) for shape in GOVERNMENT_SHAPES for role in ("ministry", "province", "county")),
]


@pytest.fixture(scope="module")
async def large(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service on a database of 10,000 projects: the least at which the planner's choice means something."""
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("create database large")
    await connection.close()
    dsn = postgres.dsn.replace("/postgres?", "/large?")
    await migrate(dsn)
    await load(dsn, 0.05)
    await publish(dsn, load_default())
    heads = tmp_path_factory.mktemp("large") / "heads.jsonl"
    async with Service.open(Settings(database_url=dsn, audit_heads=heads, max_cost=100_000)) as service:
        yield service


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


@pytest.mark.parametrize(("shape", "role"), CASES)
async def test_every_table_is_read_by_an_index(large: Service, shape: str, role: str) -> None:
    """No sequential scan of a business table, no sort of more than a page's candidates."""
    query, variables = (SHAPES | GOVERNMENT_SHAPES)[shape]

    granted, _ = large.pipeline.grant(Question(query, variables, None), SUBJECTS[role], large.snapshot, "plan", 0)

    for statement in granted.ready.statements:
        plan: Any = await large.database.explain(statement)  # type: ignore[arg-type]
        nodes = list(_nodes(plan[0]["Plan"]))
        assert [n["Relation Name"] for n in nodes if n["Node Type"] == "Seq Scan"] == []
        read = {n["Relation Name"] for n in nodes if "Index" in n["Node Type"] and "Relation Name" in n}
        assert "project" in read or "safety_inspection" in read
        assert [n["Plan Rows"] for n in nodes if n["Node Type"] == "Sort" and n["Plan Rows"] > 2_002] == []


@pytest.mark.parametrize("role", SUBJECTS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_one_statement_a_root(large: Service, shape: str, role: str) -> None:
    """Each root field sends exactly one statement, whatever is nested below."""
    query, variables = SHAPES[shape]
    subject = SUBJECTS[role]
    await large.answer(Question(query, variables, None), subject, f"warm-{shape}-{role}")
    before = large.database.statements_sent

    answer = await large.answer(Question(query, variables, None), subject, f"count-{shape}-{role}")

    assert (answer.status, large.database.statements_sent - before) == (200, 1)


@pytest.mark.parametrize("role", SUBJECTS)
async def test_no_python_per_row(large: Service, role: str) -> None:
    """A page of a thousand rows costs as many Python calls as a page of ten."""
    query = "query($n: Int!) { projects(first: $n) { nodes { projectNo name status contractor { name } } } }"
    calls = {}
    for size in (10, 1000):
        question = Question(query, {"n": size}, None)
        for _ in range(5):
            await large.answer(question, SUBJECTS[role], "warm")
        # The least of several: the sealer works in the same process.
        calls[size] = min([await _python_calls(large, question, SUBJECTS[role]) for _ in range(5)])

    # The driver reads a longer answer from its socket in more pieces; a call per row would be 990.
    assert abs(calls[1000] - calls[10]) <= 100, calls


async def _python_calls(service: Service, question: Question, subject: Subject) -> int:
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        answer = await service.answer(question, subject, "counted")
    finally:
        sys.setprofile(None)
    assert answer.status == 200
    return count
