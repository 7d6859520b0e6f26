"""The engine's answers equal those of the naive reference, for random operations, subjects and policies."""

from __future__ import annotations

import asyncio
import importlib
import json
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from graphql.language import FieldNode, InlineFragmentNode

from policy.compile import PolicyRefused
from policy.decide import Snapshot, build_snapshot
from policy.revision import Revision, load_default
from policy.subject import PUBLIC_SUBJECT, Subject
from resolvers.decided import Recorder
from schema.declare import Mask, Relation
from schema.predicate import ALWAYS, Never, attributes, negate
from server.pipeline import Question
from server.service import Service, refusal
from server.settings import Settings
from tests.reference import Boundary, Matcher, Reference, Refused, Tables
from tests.strategies import (
    Name,
    Operation,
    Operations,
    hostile_revision,
    nodes_of,
    open_revision,
    rule,
    subjects,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMITS: Any = {"max_cost": 10_000_000, "max_aliases": 1_000, "max_tokens": 20_000, "max_depth": 30}
NOW = 1_800_000_000
"""The server's clock while answers are compared; one test moves it."""


Seen = dict[str, set[str]]


@dataclass
class World:
    """One service, all its rows in memory, and what was compared so far."""

    service: Service
    tables: Tables
    now: int = NOW
    issued: dict[str, Boundary] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    references: dict[tuple[Snapshot, Subject, int], Reference] = field(default_factory=dict)
    keep: bool = False
    kept: dict[tuple[Snapshot, Subject, str], tuple[Any, Seen]] = field(default_factory=dict)

    def snapshot(self, revision: Revision) -> Snapshot:
        """A snapshot of its own, whose enforcer answers fast."""
        made = build_snapshot(revision, self.service.registry)
        Matcher.install(made.enforcer)
        return made

    def operations(self) -> Operations:
        return Operations(self.tables, self.service.registry, self.service.schema.graphql)

    def reference(self, snapshot: Snapshot, subject: Subject) -> Reference:
        key = (snapshot, subject, self.now)
        if key not in self.references:
            schema = self.service.schema.graphql
            self.references[key] = Reference(
                self.tables, self.service.registry, schema, snapshot, subject, self.now, self.issued
            )
        self.references[key].issued = self.issued
        return self.references[key]

    async def engine(self, snapshot: Snapshot, subject: Subject, operation: Operation) -> dict[str, Any]:
        question = Question(operation.query, operation.variables, None)
        try:
            answer = await self.service.pipeline.answer(question, subject, snapshot, "equivalence")
        except Exception as error:  # as the service does
            answer = refusal(error, "equivalence")
            if answer.code.startswith("ZQ5"):
                raise Different(f"CRASHED {type(error).__name__}: {error}\n{operation}\n{subject}") from error
        decoded: dict[str, Any] = json.loads(answer.body, object_pairs_hook=_distinct)
        return decoded

    def expected(self, reference: Reference, operation: Operation) -> tuple[Any, Seen]:
        """The reference's answer or refusal with the verdicts it met; kept where the same is asked again and again."""
        key = (reference.snapshot, reference.subject, str(operation))
        if key in self.kept:
            return self.kept[key]
        cells = reference.cells
        try:
            answer: Any = reference.answer(operation.query, operation.variables)
        except Refused as refused:
            answer = refused
        self.counts["cells"] += reference.cells - cells
        found = (answer, dict(reference.seen))
        if self.keep:
            self.kept[key] = found
        return found

    async def compare(self, snapshot: Snapshot, subject: Subject, operation: Operation) -> dict[str, Any]:
        """One operation as one subject: same data in the same order, or refused by both; returns the data."""
        reference = self.reference(snapshot, subject)
        self.counts["operations"] += 1
        actual = await self.engine(snapshot, subject, operation)
        expected, seen = self.expected(reference, operation)
        if isinstance(expected, Refused):
            self.counts["refused"] += 1
            if "data" in actual:
                raise Different(f"answered what is to be refused ({expected})\n{operation}\n{subject}")
            return {}
        if "data" not in actual:
            (error, *_) = actual["errors"]
            if error["extensions"]["code"] == TOO_COSTLY:
                self.counts["too costly"] += 1
                return {}
            raise Different(f"refused what is to be answered: {error}\n{operation}\n{subject}")
        if "errors" in actual:
            raise Different(f"{actual['errors']}\n{operation}\n{subject}")
        place = self.difference(expected, actual["data"], ())
        if place is not None:
            raise Different(f"at {place}\n{operation}\n{subject}\nat {self.now} under {snapshot.revision.id[:8]}")
        self.disclosed(seen, actual["extensions"]["disclosure"], f"{operation}\n{subject}")
        data: dict[str, Any] = actual["data"]
        return data

    def difference(self, expected: Any, actual: Any, path: tuple[Any, ...]) -> str | None:
        """The first place where the answers differ, the order of keys included; new page cursors are noted."""
        if isinstance(expected, Boundary):
            if not isinstance(actual, str) or self.issued.setdefault(actual, expected) != expected:
                return f"{path}: {actual!r} for {expected}"
            return None
        if isinstance(expected, dict) and isinstance(actual, dict):
            if list(expected) != list(actual):
                return f"{path}: expected keys {list(expected)}, got {list(actual)}"
            pairs = [(expected[key], actual[key], key) for key in expected]
        elif isinstance(expected, list) and isinstance(actual, list):
            if len(expected) != len(actual):
                return f"{path}: expected {len(expected)} items {expected!r:.600}, got {len(actual)} {actual!r:.600}"
            pairs = [(one, other, i) for i, (one, other) in enumerate(zip(expected, actual, strict=True))]
        else:
            self.counts["values"] += 1
            same = expected == actual and type(expected) is type(actual)
            return None if same else f"{path}: expected {expected!r}, got {actual!r}"
        return next((d for e, a, step in pairs if (d := self.difference(e, a, (*path, step)))), None)

    @staticmethod
    def disclosed(seen: Seen, said: list[dict[str, str]], asked: str) -> None:
        """`extensions.disclosure` never says more than the cells: what it leaves out is clear wherever it stands."""
        named = {item["coordinate"]: item["verdict"] for item in said}
        allowed = {None: {"CLEAR"}, "DENIED": {"DENIED"}, "MASKED": {"MASKED"}}
        for coordinate, verdicts in seen.items():
            verdict = named.get(coordinate)
            if verdict != "CONDITIONAL" and not verdicts <= allowed[verdict]:
                raise Different(f"{coordinate} is {verdicts}, disclosed as {verdict}\n{asked}")


class Different(AssertionError):
    """The engine and the reference disagree."""


TOO_COSTLY = "ZQ117"


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a response key occurs twice"
    return found


@pytest.fixture(scope="module")
async def world(database: str) -> AsyncIterator[World]:
    """A service of our own with a clock of our own, so that the shared one keeps its policy."""
    async with Service.open(Settings(database_url=database, **LIMITS)) as service:
        found = World(service, await Tables.read(database, service.registry))
        found.snapshots["default"] = found.snapshot(load_default())
        found.snapshots["open"] = found.snapshot(open_revision())
        found.snapshots["hostile"] = hostile(found, Random(1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("server.pipeline.time", SimpleNamespace(time=lambda: found.now))
            yield found


def hostile(world: World, rng: Random) -> Snapshot:
    """A random policy that lint lets through."""
    while True:
        try:
            return world.snapshot(hostile_revision(rng, world.service.registry, nodes_of(world.tables)))
        except PolicyRefused:
            continue


def remember(operations: Operations, world: World) -> None:
    """Offer the latest page cursors of earlier answers to later operations, with the order they walk in."""
    operations.cursors = [
        (boundary.walk[0], [_term(name) for name in boundary.walk[1:]], cursor)
        for cursor, boundary in list(world.issued.items())[-300:]
    ]


def _term(name: str) -> dict[str, Name]:
    return {"field": Name(name.removeprefix("-").upper()), "direction": Name("DESC" if name[0] == "-" else "ASC")}


async def trial(world: World, operations: Operations, snapshot: Snapshot, askers: list[Subject], seed: int) -> None:
    """One random operation in both its forms, asked by two subjects in turn; then its document with other values."""
    rng = Random(seed)
    remember(operations, world)
    literals, lifted = operations.draw(rng)
    one, other = rng.sample(askers, 2)
    try:
        for subject, form in ((one, literals), (other, lifted), (one, lifted), (other, literals)):
            await world.compare(snapshot, subject, form)
        if lifted.variables:
            await world.compare(snapshot, one, operations.varied(lifted, rng))
    except AssertionError as error:
        raise Different(f"seed {seed}: {error}") from error


async def run(world: World, snapshot: Snapshot, askers: list[Subject], seeds: range) -> None:
    """Trials by seed, on one set of caches."""
    operations = world.operations()
    for seed in seeds:
        await trial(world, operations, snapshot, askers, seed)


def told(world: World, began: float) -> str:
    """What was compared, for the printed figures."""
    parts = [f"{count} {what}" for what, count in sorted(world.counts.items())]
    return f"\nequal: {', '.join(parts)}, {time.monotonic() - began:.0f} s"


async def test_engine_equals_reference(world: World) -> None:
    """Data, order of keys and refusals agree under the default policy, hostile ones, and one that opens everything."""
    began = time.monotonic()
    askers = subjects(world.tables, Random(7), 14)
    await run(world, world.snapshots["default"], askers, range(80))
    await run(world, world.snapshots["hostile"], askers[:8], range(1000, 1030))
    await run(world, hostile(world, Random(2)), askers[:8], range(2000, 2030))
    await run(world, world.snapshots["open"], askers[:6], range(3000, 3030))
    assert world.counts["operations"] > 500
    assert world.counts["too costly"] < world.counts["operations"] / 50
    print(told(world, began))  # noqa: T201


@pytest.mark.prove
async def test_engine_equals_reference_at_length(world: World) -> None:
    """The same with thousands of operations, many more policies, and subjects of every kind."""
    began = time.monotonic()
    world.counts.clear()
    for turn in range(24):
        askers = subjects(world.tables, Random(100 + turn), 16)
        revisions = (load_default(), open_revision())
        snapshot = world.snapshot(revisions[turn % 2]) if turn < 8 else hostile(world, Random(50 + turn))
        await run(world, snapshot, askers, range(10_000 + 80 * turn, 10_000 + 80 * turn + 80))
        world.references.clear()
        print(told(world, began), flush=True)  # noqa: T201
    assert world.counts["operations"] > 5_000


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


# Mistakes of the engine, one each, which the comparison must catch


def drop_the_guard_of_a_condition(original: Any, self: Any, entity: Any, field: Any, *rest: Any) -> Any:
    decided = self.decided
    if isinstance(field.member, Relation) or isinstance(decided.field(entity, field).clear, Never):
        return original(self, entity, field, *rest)
    self.decided = Recorder()
    try:
        return original(self, entity, field, *rest)
    finally:
        self.decided = decided


def negate_as_a_whole(original: Any, self: Any, entity: Any, given: Any, **how: Any) -> Any:
    positive = how.pop("positive", True)
    found = original(self, entity, given, **how)
    return found if positive else negate(found)


def let_null_satisfy_a_negation(_: Any, _self: Any, _field: Any, condition: Any) -> Any:
    return negate(condition)


def put_nulls_first(original: Any, *given: Any, **how: Any) -> Any:
    return original(*given, **how).replace("nulls last", "nulls first")


def limit_before_policy(original: Any, query: Any, conditions: Any, columns: Any, **how: Any) -> Any:
    used = [query.entity.governed.column(attr) for attr in attributes(query.row)]
    wanted = (*columns, *(column for column in used if column))
    inner = original(replace(query, row=ALWAYS), conditions, wanted, **how)
    return f"select * from ({inner}) c where {conditions.sql(query.row, query.entity, 'c')}"


def swap_clear_and_masked(original: Any, self: Any, entity: Any, cell: Any, alias: Any) -> Any:
    return original(self, entity, replace(cell, clear=cell.masked, masked=cell.clear), alias)


def mask_with_another_mask(original: Any, mask: Any, column: Any) -> Any:
    return original(Mask.PERSON_NAME if mask in (Mask.CITIZEN_NO, Mask.PHONE) else mask, column)


def show_hidden_targets(original: Any, self: Any, entity: Any, linked: Any, *rest: Any) -> Any:
    return original(self, entity, replace(linked, node=replace(linked.node, row=ALWAYS)), *rest)


def follow_a_hidden_link(original: Any, self: Any, entity: Any, linked: Any, *rest: Any) -> Any:
    return original(self, entity, replace(linked, clear=ALWAYS), *rest)


def show_hidden_rows_by_key(original: Any, self: Any, node: Any, *rest: Any) -> Any:
    return original(self, replace(node, row=ALWAYS), *rest)


def count_hidden_rows(original: Any, self: Any, query: Any, *rest: Any) -> Any:
    return original(self, replace(query, row=ALWAYS), *rest)


def start_at_hidden_rows(original: Any, query: Any, *rest: Any) -> Any:
    return original(replace(query, row=ALWAYS), *rest)


def order_by_anything(original: Any, self: Any, *given: Any) -> Any:
    decided, self.decided = self.decided, Recorder()
    try:
        return original(self, *given)
    finally:
        self.decided = decided


def apply_fragments_of_other_types(original: Any, self: Any, type_name: Any, sets: Any, applies: Any = None) -> Any:
    known = {"__typename", *self.schema.type_map[type_name].fields}
    conditions = {type_name, "Node", "_Entity"}
    for one in (one for selection_set in sets for one in selection_set.selections):
        if isinstance(one, InlineFragmentNode) and one.type_condition:
            inner = one.selection_set.selections
            if all(isinstance(f, FieldNode) and f.name.value in known and not f.selection_set for f in inner):
                conditions.add(one.type_condition.name.value)
    return original(self, type_name, sets, applies or (lambda name: name in conditions))


def ignore_fragments_on_interfaces(original: Any, self: Any, type_name: Any, sets: Any, applies: Any = None) -> Any:
    return original(self, type_name, sets, applies or (lambda name: name == type_name))


def turn_conditions_round(original: Any, self: Any, selection: Any) -> Any:
    return bool(not selection.directives) or not original(self, selection)


def share_plans_between_decisions(original: Any, *given: Any) -> Any:
    lifted = original(*given)
    return replace(lifted, shape=str([type(value) for value in lifted.values]))


def share_plans_between_conditions(original: Any, self: Any, raw: Any) -> Any:
    values, shape = original(self, raw)
    return values, tuple("boolean" if isinstance(kept, bool) else kept for kept in shape)


def forget_what_is_masked(original: Any, template: Any, disclosable: Any) -> Any:
    return tuple(item for item in original(template, disclosable) if "MASKED" not in item[1])


MISTAKES: dict[str, Any] = {
    "resolvers.filters:FilterReader._condition": drop_the_guard_of_a_condition,
    "resolvers.filters:FilterReader.where": negate_as_a_whole,
    "resolvers.filters:FilterReader._complement": let_null_satisfy_a_negation,
    "resolvers.filters:FilterReader.order": order_by_anything,
    "resolvers.selection:SelectionReader.below": apply_fragments_of_other_types,
    "resolvers.selection:SelectionReader.below again": ignore_fragments_on_interfaces,
    "resolvers.selection:SelectionReader._included": turn_conditions_round,
    "resolvers.prepared:lift": share_plans_between_decisions,
    "resolvers.variables:VariableReader.read": share_plans_between_conditions,
    "resolvers.outputs:_disclosure_items": forget_what_is_masked,
    "adapters.postgres.candidates:order_by": put_nulls_first,
    "adapters.postgres.candidates:page_candidates": limit_before_policy,
    "adapters.postgres.candidates:boundary": start_at_hidden_rows,
    "adapters.postgres.objects:Renderer._cell": swap_clear_and_masked,
    "adapters.postgres.objects:masked": mask_with_another_mask,
    "adapters.postgres.objects:Renderer.one": show_hidden_rows_by_key,
    "adapters.postgres.objects:Renderer._linked": show_hidden_targets,
    "adapters.postgres.objects:Renderer._linked again": follow_a_hidden_link,
    "adapters.postgres.pages:PageRenderer._page_output": count_hidden_rows,
}


SHOWN: dict[Any, int] = {
    drop_the_guard_of_a_condition: 10,
    negate_as_a_whole: 62,
    let_null_satisfy_a_negation: 164,
    order_by_anything: 17,
    apply_fragments_of_other_types: 43,
    ignore_fragments_on_interfaces: 5,
    turn_conditions_round: 1,
    share_plans_between_decisions: 55,
    share_plans_between_conditions: 3,
    forget_what_is_masked: 208,
    put_nulls_first: 65,
    limit_before_policy: 14,
    start_at_hidden_rows: 32,
    swap_clear_and_masked: 18,
    mask_with_another_mask: 18,
    show_hidden_rows_by_key: 6,
    show_hidden_targets: 35,
    follow_a_hidden_link: 82,
    count_hidden_rows: 1,
}
"""Where a mistake shows, so that the series need not be searched; a wrong number costs time only."""


@pytest.mark.parametrize("place", MISTAKES)
async def test_a_mistake_is_caught(world: World, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Some operation of a fixed series shows the mistake, whichever it is."""
    mistake = MISTAKES[place]
    module, _, path = place.removesuffix(" again").partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for step in owners:
        owner = getattr(owner, step)
    original = getattr(owner, name)

    def mistaken(*given: Any, **how: Any) -> Any:
        return mistake(original, *given, **how)

    monkeypatch.setattr(owner, name, mistaken)
    askers = subjects(world.tables, Random(7), 14)[:8]
    snapshots = [world.snapshots["default"], world.snapshots["hostile"]]
    async with Service.open(world.service.settings) as service:
        # Plans are cached, so the mistake is made in a service of its own; what the reference answered is kept.
        twin = replace(world, service=service, issued={}, counts=Counter(), keep=True)
        with pytest.raises(Different) as caught:
            await caught_by(twin, snapshots, askers, [SHOWN.get(mistake, 0), *range(500)])
    assert "CRASHED" not in str(caught.value), "the mistake breaks the engine instead of changing an answer"
    print(f"\n{mistake.__name__} {caught.value!s:.140}")  # noqa: T201


async def caught_by(world: World, snapshots: list[Snapshot], askers: list[Subject], seeds: list[int]) -> None:
    """A short trial per seed, always the same ones: page cursors of earlier answers are not used."""
    operations = world.operations()
    for seed in seeds:
        rng = Random(seed)
        literals, lifted = operations.draw(rng)
        one, other = rng.sample(askers, 2)
        snapshot = snapshots[seed % len(snapshots)]
        asked = [(one, literals), (other, lifted), (one, lifted)]
        if lifted.variables:
            asked.append((one, operations.varied(lifted, rng)))
        for subject, operation in asked:
            try:
                await world.compare(snapshot, subject, operation)
            except Different as different:
                raise Different(f"seed {seed}: {different}") from different
