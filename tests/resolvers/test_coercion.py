"""Our validation and our coercion of variables accept and refuse what graphql-core accepts and refuses."""

from __future__ import annotations

import copy
import re
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from graphql import (
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    get_variable_values,
    parse,
    print_ast,
    validate,
)

from resolvers.document import Document, read_document
from resolvers.errors import BadVariable, InvalidDocument, RequestError, SyntaxRefused
from resolvers.extent import Limits
from resolvers.variables import VariableReader
from schema.registry import load_registry
from schema.sdl import build_schema
from tests.operation_text import Operation
from tests.reference_rows import Tables
from tests.strategies import Operations

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(tokens=20_000, depth=40, repeats_in_scope=200, repeats_in_document=2_000, aliases=2_000)
ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 1.0, 1.5, 2**31, -(2**31), 2**53, 1e300, "", "0", "x", "true", "null", "张", "a\x00b",
    "\ud800", "2024-02-30", "2024-02-29", "420000", "UNDER_CONSTRUCTION", [], [None], [[]], {}, {"eq": None}, {"x": 1},
    {"and": None}, {"and": {}}, {"and": [None]}, {"in": "420000"}, ["420000"], {"__typename": "Project"},
)  # fmt: skip
DOCUMENTS = (
    "query ($n: Int, $w: ProjectWhere) { projects(where: $w, first: $n) { totalCount } }",
    "query ($n: Int = 3, $w: ProjectWhere = {}) { projects(where: $w, first: $n) { totalCount } }",
    'query ($n: Int!, $w: ProjectWhere! = {totalArea: {gt: "1.50"}}) { projects(where: $w, first: $n) { totalCount } }',
    "query ($w: ProjectWhere! = {status: {in: [COMPLETED]}}) { projects(where: $w) { totalCount } }",
    'query ($w: ProjectWhere = {plannedStart: {lt: "2024-01-31"}}) { projects(where: $w, first: 1) { totalCount } }',
    "query ($n: Int = null) { projects(first: $n) { totalCount } }",
    'query ($d: DateTime = "2024-01-31T08:00:00+08:00") { __typename @include(if: true) }',
    "query ($k: ProjectNo!) { project(projectNo: $k) { id } }",
    'query ($k: Uscc! = "91420106DEMWH0016L") { enterprise(uscc: $k) { id } }',
    "query ($k: RegionCode!) { region(nodeId: $k) { id } }",
    "query ($i: ID!) { node(id: $i) { id } }",
    "query ($i: [ID!]!) { nodes(ids: $i) { id } }",
    "query ($o: [ProjectOrder!]) { projects(orderBy: $o) { totalCount } }",
    "query ($o: ProjectOrder!) { projects(orderBy: [$o]) { totalCount } }",
    "query ($f: ProjectSortField!) { projects(orderBy: [{field: $f, direction: DESC}]) { totalCount } }",
    "query ($d: SortDirection! = DESC) { projects(orderBy: {field: PROJECT_NO, direction: $d}) { totalCount } }",
    "query ($s: [ProjectState!]) { projects(where: {status: {in: $s}}) { totalCount } }",
    "query ($b: Boolean!) { __typename @skip(if: $b) }",
    "query ($b: Boolean! = true) { __typename @include(if: $b) }",
    "query ($b: Boolean) { projects(where: {name: {isNull: $b}}) { totalCount } }",
    "query ($n: Int!) { project(projectNo: \"x\") { inspections(first: $n) { id } } }",
    "query ($n: Int) { project(projectNo: \"4201062604039907\") { inspections(first: $n) { id } } }",
    "query ($n: Int, $n: Int) { __typename }",
    "query ($n: Nothing) { __typename }",
    "query ($n: Project) { __typename }",
    "query ($w: [[ProjectWhere]]) { __typename }",
    "query ($w: Int) { projects(where: $w) { totalCount } }",
    "query ($w: Int) { projects(where: $missing) { totalCount } }",
    "query ($w: String) { projects(first: 1, after: $w, first: 2) { totalCount } }",
    "{ projects(where: {nothing: 1}) { totalCount } }",
    "{ projects(where: {totalArea: {gt: \"NaN\"}}) { totalCount } }",
    "{ projects(where: {totalArea: {gt: 1.5}, plannedStart: {gt: \"2024-02-30\"}}) { totalCount } }",
    "{ projects(orderBy: [{direction: ASC}]) { totalCount } }",
    "{ projects(orderBy: {field: PROJECT_NO}) { totalCount } }",
    "{ projects(orderBy: [{field: NAME}]) { totalCount } }",
    "{ projects { nodes } }", "{ projects { totalCount { x } } }", "{ __typename { x } }", "{ nothing }",
    "{ }", "{", "",
    "{ ...F } fragment F on Query { ...F }", "{ ...F }", "fragment F on Query { __typename }",
    "{ a: __typename a: project(projectNo: \"4201062604039907\") { id } }",
    "{ node(id: \"x\") { ... on Region { name } ... on String { x } } }",
    "{ node(id: \"x\") { ... on _Entity { __typename } ... on Query { __typename } } }",
    "query A { __typename } query A { __typename }", "query A { __typename } { __typename }",
    "mutation { x }", "subscription { x }", "{ __typename @skip }", "{ __typename @nothing }",
    "{ __typename @skip(if: 1) @include(if: true) @skip(if: true) }", "type Query { x: Int }",
    "{ project(projectNo: null) { id } }", "{ project { id } }", "{ nodes(ids: [null]) { id } }",
    "{ nodes(ids: 5) { id } }",
    "{ _entities(representations: {__typename: \"Project\"}) { __typename } }", "{ _service { sdl } }",
    "{ __schema { types { name } } __type(name: \"Project\") { name } }",
)  # fmt: skip


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema(load_registry()).graphql


@pytest.fixture(scope="module")
async def operations(database: str, schema: GraphQLSchema) -> Operations:
    registry = load_registry()
    return Operations(await Tables.read(database, registry), registry, schema)


def ours(schema: GraphQLSchema, text: str) -> Document | None:
    """The document, or `None` where it is refused as no valid GraphQL."""
    try:
        return read_document(schema, text, LIMITS)
    except (SyntaxRefused, InvalidDocument):
        return None


def theirs(schema: GraphQLSchema, text: str) -> bool:
    try:
        return not validate(schema, parse(text))
    except GraphQLError:
        return False


def mutilated(text: str, rng: Random) -> str:
    """One token left out, doubled, exchanged with another, or altered."""
    tokens = re.findall(r'"(?:[^"\\]|\\.)*"|\.\.\.|\w+|\S', text)
    i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
    match rng.randrange(4):
        case 0:
            del tokens[i]
        case 1:
            tokens.insert(i, tokens[i])
        case 2:
            tokens[i], tokens[j] = tokens[j], tokens[i]
        case _:
            tokens[i] = rng.choice(("null", "1", '"x"', "x", "$x", "[", "}", "Project", "id", "true", "...", "{"))
    return " ".join(tokens)


def test_documents_of_the_corpus(schema: GraphQLSchema) -> None:
    """Valid for us exactly where graphql-core says so."""
    for text in DOCUMENTS:
        try:
            accepted = read_document(schema, text, LIMITS) is not None
        except RequestError:
            accepted = False
        # Documents without an operation are refused at once, which graphql-core leaves to execution.
        assert accepted is theirs(schema, text), text


def test_random_documents(operations: Operations, schema: GraphQLSchema) -> None:
    """Mutilated documents are refused exactly where graphql-core refuses them."""
    counts: Counter[bool] = Counter()
    for seed in range(150):
        rng = Random(seed)
        literals, lifted = operations.draw(rng)
        for text in (literals.query, lifted.query, *(mutilated(lifted.query, rng) for _ in range(2))):
            verdict = theirs(schema, text)
            counts[verdict] += 1
            assert (ours(schema, text) is not None) is verdict, f"seed {seed}: {text}"
    assert min(counts[True], counts[False]) > 150


def values(schema: GraphQLSchema, document: Document, given: dict[str, Any]) -> tuple[Any, Any]:
    """Coerced variables by both, `None` where they are refused."""
    (operation,) = document.operations.values()
    coerced: Any = get_variable_values(schema, operation.node.variable_definitions or (), copy.deepcopy(given))
    try:
        mine: Any = VariableReader(schema, operation).read(copy.deepcopy(given))[0]
    except BadVariable:
        mine = None
    return mine, None if isinstance(coerced, list) else plain(coerced.coerced)


def plain(value: Any) -> Any:
    """Enum members by name, as ours are."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return getattr(value, "name", value)


def documented(document: Document, mine: Any, other: Any, given: dict[str, Any]) -> bool:
    """What we refuse on purpose: `_Any` that is no object, identifiers that are fractions, text we cannot store."""
    (operation,) = document.operations.values()
    declared = operation.node.variable_definitions or ()
    anything = [(print_ast(d.type), given.get(d.variable.name.value, {})) for d in declared]
    objects = [
        item
        for kind, value in anything
        if "_Any" in kind
        for item in (value if isinstance(value, list) and kind.startswith("[") else [value])
    ]
    stricter = any(not isinstance(item, dict) for item in objects) or any(
        isinstance(v, float) or (isinstance(v, str) and ("\0" in v or "\ud800" in v)) for v in _leaves(given)
    )
    return mine is None and other is not None and stricter


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def test_variables_of_the_corpus(schema: GraphQLSchema) -> None:
    """Every odd value for every variable: the same verdict and the same value, or a documented difference."""
    compared = Counter[str]()
    for text in DOCUMENTS:
        document = ours(schema, text)
        if document is None:
            continue
        names = [
            v.variable.name.value for op in document.operations.values() for v in op.node.variable_definitions or ()
        ]
        for name in names:
            for odd in (*ODD, *({"status": o} for o in ODD), *({"name": {"in": o, "isNull": o}} for o in ODD)):
                usual = {"n": 1, "k": "420000", "i": "x", "f": "PROJECT_NO", "b": True}
                given = {n: usual[n] for n in names if n in usual} | {name: odd}
                mine, other = values(schema, document, given)
                if not documented(document, mine, other, given):
                    assert mine == other, f"{text}\n{given}"
                compared["refused" if other is None else "accepted"] += 1
        mine, other = values(schema, document, {})
        assert mine == other, text
    assert min(compared.values()) > 100


def test_random_variables(operations: Operations, schema: GraphQLSchema) -> None:
    """Variables of random operations, whole and with one value replaced by an odd one."""
    compared = Counter[str]()
    for seed in range(200):
        rng = Random(seed)
        _, lifted = operations.draw(rng)
        document = ours(schema, lifted.query)
        if document is None or not lifted.variables:
            continue
        for given in (
            lifted.variables,
            operations.varied(lifted, rng).variables,
            *(spoilt(lifted, rng) for _ in range(4)),
        ):
            mine, other = values(schema, document, given)
            if not documented(document, mine, other, given):
                assert mine == other, f"seed {seed}: {lifted.query}\n{given}"
            compared["refused" if other is None else "accepted"] += 1
    assert min(compared.values()) > 100


def spoilt(operation: Operation, rng: Random) -> dict[str, Any]:
    """The variables with one of them, or something inside one, replaced."""
    given = copy.deepcopy(operation.variables)
    place: Any = given
    key: Any = rng.choice([*given])
    while isinstance(place[key], dict | list) and place[key] and rng.randrange(3):
        place = place[key]
        key = rng.choice([*place]) if isinstance(place, dict) else rng.randrange(len(place))
    place[key] = copy.deepcopy(rng.choice(ODD))
    return given


@pytest.mark.parametrize(("size", "accepted"), [(100, True), (101, False)])
def test_lists_are_limited(schema: GraphQLSchema, size: int, accepted: bool) -> None:
    """A hundred items are read and one more is refused, where graphql-core has no limit."""
    document = read_document(schema, "query ($i: [ID!]!) { nodes(ids: $i) { id } }", LIMITS)
    mine, other = values(schema, document, {"i": ["x"] * size})
    assert (mine is not None) is accepted
    assert other is not None


def test_conditions_are_limited_in_depth(schema: GraphQLSchema) -> None:
    """Thirteen levels of input objects are refused, where graphql-core has no limit."""
    document = read_document(schema, "query ($w: ProjectWhere) { projects(where: $w) { totalCount } }", LIMITS)
    deep: dict[str, Any] = {}
    for _ in range(13):
        deep = {"not": deep}
    mine, other = values(schema, document, {"w": deep})
    assert mine is None
    assert other is not None


def test_the_operation_is_found_by_name(schema: GraphQLSchema) -> None:
    """As in graphql-core: by name, or the only one; everything else is refused."""
    document = read_document(schema, "query A { __typename } query B { id: __typename }", LIMITS)
    assert isinstance(document.operation("B").node, OperationDefinitionNode)
    for name in (None, "", "C"):
        with pytest.raises(RequestError):
            document.operation(name)
