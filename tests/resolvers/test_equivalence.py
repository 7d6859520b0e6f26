"""The engine's answers equal those of the naive reference, for random operations, subjects and policies."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from random import Random
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from demo.seed.load import load
from policy.revision import Revision, load_default
from policy.subject import PUBLIC_SUBJECT
from tests.declared.tables import another_database
from tests.operation_text import Operation
from tests.resolvers.trials import Compared, run, series
from tests.resolvers.world import Different, World, hostile
from tests.revisions import rule
from tests.subjects import subjects

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from demo.embedded import EmbeddedPostgres


SERIES = 19


async def test_engine_equals_reference(world: World) -> None:
    """Data, order of keys and refusals agree under the default policy, hostile ones, and one that opens everything."""
    began = time.monotonic()
    askers = subjects(world.tables, Random(7), 14)
    await run(world, world.snapshots["default"], askers, range(30))
    await run(world, world.snapshots["hostile"], askers[:8], range(1000, 1015))
    await run(world, hostile(world, Random(2)), askers[:8], range(2000, 2015))
    await run(world, world.snapshots["open"], askers[:6], range(3000, 3010))
    assert world.counts["operations"] > 500
    assert world.counts["too costly"] < world.counts["operations"] / 50
    print(Compared(world.counts, world.documents, time.monotonic() - began))  # noqa: T201


SPARSE = """
    select format('update zlaq.%1$I set %2$I = null where mod(hashtext(%1$I::text || %2$L), 5) = 0',
                  table_name, column_name)
    from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
    where table_schema = 'zlaq' and table_type = 'BASE TABLE' and is_nullable = 'YES' and is_generated = 'NEVER'
"""


@pytest.fixture(scope="module")
async def sparse(postgres: EmbeddedPostgres) -> str:
    """A database with the miniature seed, where a fifth of all that may be NULL is."""
    dsn = await another_database(postgres.dsn, "sparse")
    await load(dsn, 0.001)
    connection = await asyncpg.connect(dsn)
    await connection.execute("set session_replication_role = replica")
    for (statement,) in await connection.fetch(SPARSE):
        await connection.execute(statement)
    await connection.close()
    return dsn


@pytest.fixture(scope="module")
def started(request: pytest.FixtureRequest, sparse: str) -> Iterator[dict[int, Future[Compared]]]:
    """The series that were asked for, on two processes."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = [item for item in items if item.function is test_engine_equals_reference_at_length]
    wanted: list[Any] = [item.callspec.params["number"] for item in asked]
    with ProcessPoolExecutor(2, get_context("spawn"), max_tasks_per_child=1) as pool:
        yield {number: pool.submit(series, sparse, number) for number in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def together() -> Compared:
    """What all series have compared."""
    return Compared()


@pytest.mark.prove
@pytest.mark.parametrize("number", range(SERIES))
async def test_engine_equals_reference_at_length(
    started: dict[int, Future[Compared]], together: Compared, number: int
) -> None:
    """The same with 100,000 operations, many more policies, and subjects of every kind.

    A series that fails says its seed and operation, and fails alone too: ask for this test with its number.
    """
    found = await asyncio.wrap_future(started[number])
    together.add(found)
    print(f"{found}\ntogether {together}")  # noqa: T201
    assert found.counts["operations"] > 100_000 / SERIES
    assert found.counts["too costly"] < found.counts["operations"] / 50


async def test_pages_of_a_walk(world: World) -> None:
    """Walking by page cursors or edge cursors, forward and backward, meets every visible row once, in order."""
    snapshot = world.snapshots["default"]
    askers = [s for s in subjects(world.tables, Random(7), 14) if s.id in ("public", "ministry", "two", "corps")]
    for entity, order in (
        ("projects", "[]"), ("projects", "[{field: PLANNED_START}]"),
        ("projects", "[{field: PLANNED_START, direction: DESC}]"),
        ("projects", "[{field: PLANNED_START}, {field: PROJECT_NO, direction: DESC}]"),
        ("safetyInspections", "[{field: INSPECTED_ON, direction: DESC}]"), ("findings", "[]"),
        ("safetyManagerCertificates", "[{field: VALID_TO}, {field: CERT_NO, direction: DESC}]"),
    ):  # fmt: skip
        for subject in askers:
            for size, border, page in ((97, "after", "first"), (97, "before", "last")):
                met: list[str] = []
                cursor = text = ""
                for step in range(30):
                    given = f"{page}: {size}, orderBy: {order}" + (f', {border}: "{cursor}"' if cursor else "")
                    text = (
                        f"{{ all: {entity}({given}) {{ totalCount pageInfo {{ hasNextPage hasPreviousPage startCursor"
                    )
                    text += " endCursor } edges { cursor node { id } } } }"
                    answer = (await world.compare(snapshot, subject, Operation(text, {}))).get("all")
                    if not answer:
                        break
                    ids = [edge["node"]["id"] for edge in answer["edges"]]
                    met = [*met, *ids] if page == "first" else [*ids, *met]
                    info, edges = answer["pageInfo"], answer["edges"]
                    if not info["hasNextPage" if page == "first" else "hasPreviousPage"]:
                        assert len(met) == len(set(met)) == answer["totalCount"]
                        break
                    place = -1 if page == "first" else 0
                    cursor = edges[place]["cursor"] if step % 2 else info["endCursor" if place else "startCursor"]
                else:
                    raise Different(f"the walk does not end: {text}")


async def test_requests_of_one_batch_stay_apart(world: World) -> None:
    """Many callers ask the same document at once, each for its own key: each gets what it would get alone."""
    snapshot = world.snapshots["default"]
    askers = subjects(world.tables, Random(7), 14)
    rng = Random(11)
    keys = [rng.choice(world.tables.rows["Project"])["project_no"] for _ in range(64)]
    text = "query ($key: ProjectNo!) { project(projectNo: $key) { id name stateInvestRatio _disclosure { field } } }"
    asked = [(rng.choice(askers), Operation(text, {"key": key})) for key in keys]
    for _ in range(3):
        answers = await asyncio.gather(*(world.engine(snapshot, subject, operation) for subject, operation in asked))
        for (subject, operation), answer in zip(asked, answers, strict=True):
            expected = world.reference(snapshot, subject).answer(operation.query, operation.variables)
            assert answer["data"] == expected


SHARP: tuple[tuple[str, dict[str, Any]], ...] = (
    ("{ projects(first: 2) { pageInfo { hasNextPage } } }", {}),
    ("{ projects(first: 0) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes { id } } }", {}),
    ("{ projects(last: 0) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor } nodes { id } } }", {}),
    ("{ projects(first: 2) { edges { a: node { id } b: node { name } cursor c: cursor } edges { __typename } } }", {}),
    ("{ projects(first: 2) { edges { cursor @skip(if: true) } pageInfo { endCursor @skip(if: true) } } }", {}),
    ("{ projects(first: 2) { totalCount @skip(if: true) } region(nodeId: \"420000\") { id @include(if: false) } }", {}),
    ("{ __typename @skip(if: true) }", {}),
    ('{ projects(first: 1, after: "kAA==") { totalCount } }', {}),
    ('{ projects(last: 1, before: "k/w==") { totalCount } }', {}),
    ('{ node(id: "UHJvamVjdDoA") { id } }', {}),
    ('{ _entities(representations: [{__typename: "Project", projectNo: "\\u0000"}]) { __typename } }', {}),
    ("query ($n: String) { projects(where: {name: {startsWith: $n}}) { totalCount } }", {"n": "\U0010ffff"}),
    ("query ($n: String) { projects(where: {name: {startsWith: $n}}) { totalCount } }", {"n": "\ud7ff"}),
    ("query ($n: Decimal) { projects(where: {totalArea: {lt: $n}}) { totalCount } }", {"n": "9.9E+30"}),
    ("query ($n: Decimal) { projects(where: {totalArea: {gt: $n}}) { totalCount } }", {"n": "-1E-30"}),
    ("query ($n: Date) { projects(where: {plannedStart: {gt: $n}}) { totalCount } }", {"n": "0001-01-01"}),
    ("query ($n: Int) { safetyInspections(where: {majorHazardCount: {gt: $n}}) { totalCount } }", {"n": -(2**31)}),
    ("query ($n: String) { projects(first: 1, after: $n) { totalCount } }", {"n": "e"}),
    ("{ findings(where: {closed: {eq: true}}) { totalCount } }", {}),
    ("query ($b: Boolean = false) { findings(where: {not: {closed: {eq: $b}}}) { totalCount } }", {"b": True}),
    ("{ persons(where: {currentEnterprise: {safetyManagers: {some: {}}}}) { totalCount } }", {}),
    ("{ enterprises(where: {safetyManagers: {every: {state: {eq: VALID}}}}) { totalCount nodes { name } } }", {}),
    ('query ($w: ProjectWhere = {totalArea: {gte: "1.5"}}) { projects(where: $w) { totalCount } }', {}),
    ('query ($w: ProjectWhere = {plannedStart: {gt: "2020-01-31"}}) { projects(where: $w) { totalCount } }', {}),
    ('{ node(id: "UmVnaW9uOjQyMDAwMA==") { ... on _Entity { __typename } ... on Node { ... on Region { id } } } }', {}),
    ('{ _entities(representations: {__typename: "Region", nodeId: "420000", x: [1]}) { __typename } }', {}),
    ('{ _entities(representations: [{__typename: "Region"}, {__typename: "Region", nodeId: 1}]) { __typename } }', {}),
    ("query ($n: Int) { region(nodeId: \"420000\") { children(first: $n) { nodeId } } }", {}),
    ("query ($n: Int) { region(nodeId: \"420000\") { children(first: $n) { nodeId } } }", {"n": None}),
    ("query ($b: Boolean = true) { __typename @include(if: $b) }", {"b": None}),
    ("query ($b: Boolean = true) { __typename @skip(if: $b) a: __typename }", {"b": None}),
    ('{ regions(where: {nodeId: {eq: "420000"}, and: [], or: null, not: {or: []}}) { totalCount } }', {}),
    ('{ projects(where: {name: {startsWith: ""}}) { totalCount } }', {}),
    ('{ projects(where: {name: {startsWith: "𠮷祥🏗️"}}) { totalCount nodes { name } } }', {}),
    ('{ projects(where: {not: {name: {startsWith: "路径\\\\张"}}}, last: 3) { nodes { name } } }', {}),
    ('{ projects(where: {manageRegionNodeId: {under: "000000"}}) { totalCount } }', {}),
    ('{ projects(where: {not: {manageRegionNodeId: {under: "000000"}}}) { totalCount } }', {}),
    ('{ projects(where: {manageRegionNodeId: {under: "999999"}}) { totalCount } }', {}),
)  # fmt: skip
"""Operations that once went wrong, or nearly."""


@pytest.mark.parametrize(("query", "variables"), SHARP, ids=[str(number) for number in range(len(SHARP))])
async def test_sharp_operations(world: World, query: str, variables: dict[str, Any]) -> None:
    """Each as callers of several levels, under the default policy and under one that opens everything."""
    askers = [s for s in subjects(world.tables, Random(7), 14) if s.id in ("public", "ministry", "two", "firm", "self")]
    for name in ("default", "open"):
        for subject in askers:
            await world.compare(world.snapshots[name], subject, Operation(query, variables))


async def test_validity_windows(world: World) -> None:
    """A rule holds from the second it begins to the second before it ends, also for operations asked before."""
    begins, ends = world.now + 100, world.now + 200
    rules = [
        rule(0), rule(1, obj="SHARED", valid_from=str(begins), valid_to=str(ends)),
        rule(2, obj="Project.name", eft="deny", act="mask", valid_from=str(ends)),
    ]  # fmt: skip
    default = load_default()
    snapshot = world.snapshot(Revision(tuple(rules), default.classes, default.kinds))
    operation = Operation("{ projects(first: 3) { nodes { name version _disclosure { field verdict } } } }", {})
    now, found = world.now, []
    try:
        for world.now in (begins - 1, begins, ends - 1, ends, begins - 1):
            data = await world.compare(snapshot, PUBLIC_SUBJECT, operation)
            node = data["projects"]["nodes"][0]
            found.append((node["name"] is not None, node["version"] is not None))
    finally:
        world.now = now
    assert found == [(True, False), (True, True), (True, True), (False, False), (True, False)]
