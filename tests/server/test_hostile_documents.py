"""Hostile documents of at most 4 KB: each is refused or answered, cheaply, and never becomes a fault of ours.

What is measured is processor time of this process (`process_time`), best of three runs of differently spelt documents,
since a document that was seen before costs a look-up. The goal is 100 ms on the machine that DESIGN names; `MARGIN`
allows for slower ones and for background tasks of the same process, and still tells linear work from quadratic.
"""

from __future__ import annotations

import base64
import string
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from demo.seed import wellknown
from policy.subject import PUBLIC_SUBJECT, Country, Level, Subject
from server.pipeline import Question

if TYPE_CHECKING:
    from server.service import Service

MINISTRY = Subject("ministry", Level.MINISTRY, "HOUSING", Country(), dept=wellknown.HOUSING_MINISTRY)
GOAL_SECONDS, MARGIN = 0.100, 2.0
LONGEST = 4096
KEY = f'"{wellknown.PROJECT_COUNTY}"'
IN_VARIABLES = "query($w: ProjectWhere) { projects(where: $w, first: 1) { nodes { name } } }"


def name_of(number: int) -> str:
    """A short GraphQL name for a number."""
    letters = string.ascii_lowercase
    return (name_of(number // 26 - 1) if number >= 26 else "") + letters[number % 26]


def repeated(part: str, around: str = "{%s}", separator: str = " ", at_most: int = LONGEST) -> str:
    """As many copies of a part, `{n}` numbered, as a document of the largest size holds."""
    parts: list[str] = []
    room = at_most - len(around)
    for number in range(at_most):
        text = part.replace("{n}", name_of(number))
        room -= len(text.encode()) + len(separator)
        if room < 0:
            break
        parts.append(text)
    return around.replace("%s", separator.join(parts))


def nested(opening: str, closing: str, inner: str, times: int) -> str:
    """The opening so many times, the inside, and the closing as often."""
    return opening * times + inner + closing * times


def global_id(type_name: str, key: str) -> str:
    """A Relay identifier as the service writes it."""
    return base64.b64encode(f"{type_name}:{key}".encode()).decode()


def where_tree(depth: int, width: int = 1) -> dict[str, Any]:
    """Conditions nested by `and`, `or` and `not` in turn."""
    tree: dict[str, Any] = {"name": {"eq": "x"}}
    for level in range(depth):
        tree = {"not": tree} if level % 3 == 2 else {("and", "or")[level % 2]: [tree] * width}
    return tree


def deep_list(depth: int) -> Any:
    """A list in a list in a list."""
    value: Any = {"name": {"eq": "x"}}
    for _ in range(depth):
        value = [value]
    return value


DAG = " ".join(f"fragment f{n} on Project {{ ...f{n + 1} ...f{n + 1} }}" for n in range(60))
DAG_OF_FIELDS = " ".join(f"fragment f{n} on Project {{ a{n}: name ...f{n + 1} ...f{n + 1} }}" for n in range(60))
INNER = "{ projects { nodes { contractor { projects { contractor { %s } } } } } }"
OF_TYPE = nested("ofType { ", " }", "name", 60)

DOCUMENTS: dict[str, str | tuple[str, dict[str, Any]]] = {
    "one field 500 times": repeated("name", "{ project(projectNo: " + KEY + ") { %s } }"),
    "one root 80 times": repeated(f"project(projectNo: {KEY}) {{ name }}"),
    "__typename 300 times": repeated("__typename"),
    "aliases of a leaf": repeated("{n}: name", "{ project(projectNo: " + KEY + ") { %s } }"),
    "aliases of a root": repeated("{n}: projects { totalCount }"),
    "aliases of a list": repeated("{n}: inspections { projectNo }", "{ projects { nodes { %s } } }"),
    "selections nested 500 deep": "{" + nested("a {", "}", "a", 500) + "}",
    "relations to and fro": "{ projects { nodes " + nested("{ contractor { projects ", " } }", "{ name }", 90) + " } }",
    "inline fragments nested 300 deep": "{" + nested("...{", "}", "__typename", 700) + "}",
    "lists nested 2000 deep": "{ projects(where: {and: " + nested("[", "]", "", 1900) + "}) { totalCount } }",
    "objects nested 400 deep": "{ projects(where: " + nested("{not: ", "}", "{}", 450) + ") { totalCount } }",
    "where: and/or/not nested": "{ projects(where: "
    + nested("{and: [{or: [{not: ", "}]}]}", "{name: {eq: \"x\"}}", 100)
    + ") { totalCount } }",
    "where: wide and": repeated(
        '{name: {startsWith: "a"}}', "{ projects(where: {and: [%s]}) { totalCount } }", ", "
    ),
    "where: relations in relations": "{ projects(where: "
    + nested("{contractor: {projects: {some: ", "}}}", "{}", 80)
    + ") { totalCount } }",
    "where: every of every": "{ projects(where: {inspections: {every: {findings: {every: {inspection: {project: "
    "{inspections: {every: {findings: {none: {closed: {eq: true}}}}}}}}}}}}) { totalCount } }",
    "where tree in variables": (IN_VARIABLES, {"w": where_tree(2_000)}),
    "where tree that doubles": (IN_VARIABLES, {"w": where_tree(11, 2)}),
    "lists nested in variables": (IN_VARIABLES, {"w": {"and": deep_list(2_000)}}),
    "unknown keys in variables": (IN_VARIABLES, {"w": {name_of(n): None for n in range(500)}}),
    "fragment that spreads itself": "{ ...f } fragment f on Query { ...f }",
    "fragments in a cycle of 60": repeated(
        "fragment f{n} on Query { ...fa ...fb __typename }", "{ ...fa } %s"
    ),
    "exponential fragments": f"{{ projects {{ nodes {{ ...f0 }} }} }} {DAG} fragment f60 on Project {{ name }}",
    "exponential fragments with fields": "{ projects { nodes { ...f0 } } } "
    + DAG_OF_FIELDS[:3800].rpartition(" fragment")[0],
    "fragments that double through relations": "{ projects { nodes { ...f0 } } } "
    + " ".join(f"fragment f{n} on Project {{ contractor {{ a: projects {{ ...f{n + 1} }} b: projects {{ ...f{n + 1} }}"
               f" }} }}" for n in range(20))
    + " fragment f20 on Project { name }",
    "overlapping inline fragments with different arguments": repeated(
        '... on Query { a: project(projectNo: "{n}") { name } }'
    ),
    "overlapping fields by one alias, 32 of them": "{ "
    + " ".join(f'a: inspections(first: {n}) {{ b: projectNo }}' for n in range(32)).join(
        ("projects { nodes { ", " } } }")
    ),
    "overlapping pairs in fragments": "{ projects { nodes { "
    + " ".join(f"...f{n}" for n in range(30))
    + " } } } "
    + " ".join(
        f"fragment f{n} on Project {{ x: contractor {{ y: projects(first: {n}) {{ name z: status }} }} }}"
        for n in range(30)
    ),
    "overlaps below overlaps": "{ projects { nodes { "
    + " ".join("contractor { projects { contractor { projects { name } } } }" for _ in range(30))
    + " } } }",
    "overlaps in every one of 30 scopes": INNER % " ".join(["name"] * 30 + ["uscc"] * 30),
    "variables: a list of 10,000": (
        "query($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": ["x"] * 10_000},
    ),
    "variables: 1,000 not defined": ("{ __typename }", {name_of(n): n for n in range(1_000)}),
    "variables: a text of 200 KB": (
        "query($s: String) { projects(where: {name: {startsWith: $s}}) { totalCount } }", {"s": "a" * 200_000},
    ),
    "4 KB of directives": repeated("@include(if: true)", "{ __typename %s }"),
    "4 KB of unknown directives": repeated("@{n}", "{ __typename %s }"),
    "many operations": repeated("query {n} { __typename }", "%s"),
    "many operations, one wanted": repeated("query {n} { project(projectNo: " + KEY + ") { name } }", "%s"),
    "many variable definitions with defaults": repeated("${n}: Int = 1", "query(%s) { __typename }", ", "),
    "variable definitions used once each": "query("
    + ", ".join(f"${name_of(n)}: Int = 1" for n in range(60))
    + ") { projects { nodes { "
    + " ".join(f"{name_of(n)}: inspections(first: ${name_of(n)}) {{ id }}" for n in range(60))
    + " } } }",
    "unused fragments": repeated("fragment {n} on Project { name }", "{ __typename } %s"),
    "unknown fields": repeated("{n}", "{ %s }"),
    "unknown fields near known ones": repeated("namee{n}", "{ projects { nodes { %s } } }"),
    "unknown arguments": repeated("{n}: 1", "{ projects(%s) { totalCount } }", ", "),
    "unknown types": repeated("... on {n} { name }", "{ projects { nodes { %s } } }"),
    "comments": repeated("# comment {n}", "{ __typename }\n%s", "\n"),
    "commas": "{" + "," * 4000 + "__typename}",
    "block strings": repeated('"""{n}\n  x\n"""', "{ projects(where: {name: {in: [%s]}}) { totalCount } }"),
    "a block string that never ends": '{ projects(where: {name: {eq: """' + '\\"""' * 900,
    "a number of 1,000 digits": "{ projects(first: " + "9" * 1000 + ") { totalCount } }",
    "a float of 1,000 digits": "{ projects(where: {totalArea: {eq: 1." + "9" * 3000 + "}}) { totalCount } }",
    "an exponent of 1,000 digits": "{ projects(where: {totalArea: {eq: 1e" + "9" * 1000 + "}}) { totalCount } }",
    "a decimal of 3,000 digits": "{ projects(where: {totalArea: {eq: " + "9" * 3000 + "}}) { totalCount } }",
    "an ID of 3,000 digits": '{ node(id: ' + "9" * 3000 + ") { id } }",
    "a decimal with a huge exponent": (
        IN_VARIABLES, {"w": {"totalArea": {"gte": "1e999999999", "lte": "-1e-999999999"}}},
    ),
    "an alias of 63 bytes": "{ " + "a" * 63 + ": __typename }",
    "an alias of 64 bytes": "{ " + "a" * 64 + ": __typename }",
    "a field name of 4,000 bytes": "{ " + "a" * 4000 + " }",
    "an operation name of 4,000 bytes": "query " + "a" * 4000 + " { __typename }",
    "a lone surrogate": '{ projects(where: {name: {eq: "\ud800"}}) { totalCount } }',
    "an escaped lone surrogate": r'{ projects(where: {name: {eq: "\uD800"}}) { totalCount } }',
    "an escaped surrogate pair": r'{ projects(where: {name: {eq: "\uD83D\uDE00"}}) { totalCount } }',
    "an escape beyond Unicode": r'{ projects(where: {name: {eq: "\u{110000}"}}) { totalCount } }',
    "NUL in the document": "{ __typename \0 }",
    "NUL in a string": r'{ projects(where: {name: {eq: "\u0000"}}) { totalCount } }',
    "NUL in a cursor": '{ projects(after: "k' + base64.b64encode(b"\0").decode() + '") { totalCount } }',
    "a cursor of 3,900 bytes": '{ projects(after: "e' + "A" * 3900 + '") { totalCount } }',
    "control characters": "{ \x01\x02\x7f }",
    "direction marks and joiners": "{ __typename \u202e\u200b\u200d }",
    "only opening braces": "{" * LONGEST,
    "only closing braces": "}" * LONGEST,
    "only brackets in a variable's type": "query($a: " + "[" * 4000 + "Int",
    "a variable's type nested 1,900 deep": "query($a: " + nested("[", "]", "Int", 1900) + ") { __typename }",
    "only quotes": '"' * LONGEST,
    "only dots": "." * LONGEST,
    "nothing": "",
    "introspection: nested ofType": "{ __schema { types { fields { type { " + OF_TYPE + " } } } } }",
    "introspection: fields of types of fields": "{ __schema { types { fields { type { fields { type { fields { type { "
    "fields { name } } } } } } } } } }",
    "introspection: aliased fields": repeated(
        "{n}: fields { type { fields { name } } }", "{ __schema { types { %s } } }", at_most=3_000
    ),
    "introspection: aliased schemas": repeated("{n}: __schema { types { fields { args { name } type { name } } } }"),
    "introspection: __type repeated": repeated('{n}: __type(name: "Query") { fields { name args { name } } }'),
    "introspection: possible types of interfaces": "{ __schema { types { possibleTypes { interfaces { possibleTypes { "
    "interfaces { possibleTypes { name } } } } } } } }",
    "nodes: 100 literal ids": '{ nodes(ids: ["' + '" "'.join(["UHJvamVjdDox"] * 100) + '"]) { id } }',
    "nodes: 100 ids, 20 roots": (
        "query($i: [ID!]!) { " + " ".join(f"{name_of(n)}: nodes(ids: $i) {{ id }}" for n in range(20)) + " }",
        {"i": [global_id("Project", wellknown.PROJECT_COUNTY)] * 100},
    ),
    "nodes: 100 ids of 100 unknown types": (
        "query($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": [global_id(f"T{n}", "1") for n in range(100)]},
    ),
    "_entities: 100 representations of 3 types": (
        "query($r: [_Any!]!) { _entities(representations: $r) { ... on Project { name } ... on Region { name } } }",
        {"r": [{"__typename": t, "projectNo": "1", "nodeId": "x"} for t in ("Project", "Region")] * 50},
    ),
    "_entities: representations nested 900 deep": "{ _entities(representations: [{__typename: \"Project\", projectNo: "
    + nested("{a: ", "}", "1", 700)
    + "}]) { __typename } }",
    "_entities: deep variables": (
        "query($r: [_Any!]!) { _entities(representations: $r) { __typename } }",
        {"r": [{"__typename": "Project", "projectNo": deep_list(900)}]},
    ),
    "totalCount by many roots": repeated("{n}: projects(first: 0) { totalCount }", at_most=3_500),
    "_service many times": repeated("{n}: _service { sdl }", at_most=1_500),
    "every root at once": "{ projects { nodes { id } } enterprises { nodes { id } } persons { nodes { id } } "
    "departments { nodes { id } } regions { nodes { id } } findings { nodes { id } } "
    "safetyInspections { nodes { id } } safetyManagerCertificates { nodes { id } } }",
    "disclosure of everything": repeated("{n}: _disclosure { field verdict }", "{ projects { nodes { %s } } }"),
}  # fmt: skip
ANSWERED = {
    "__typename 300 times": False,
    "an alias of 63 bytes": True,
    "commas": True,
    "comments": True,
    "an escaped surrogate pair": True,
    "variables: 1,000 not defined": True,
    "a variable's type nested 1,900 deep": False,
    "every root at once": True,
}
"""Documents whose fate is fixed here; of the others only how cheap it is."""
# What PostgreSQL and the answer's size cost, not refusal: the bound of each is the static cost, tested elsewhere.
EXECUTED = frozenset({"every root at once", "overlaps below overlaps"})


def spelt(document: str, run: int) -> str:
    """The same document, spelt so that no cache knows it."""
    return f"{document}\n#{run}"


def test_documents_are_of_4_kilobytes_at_most():
    """Otherwise the body's limit would be what refuses them."""
    sizes = {}
    for name, case in DOCUMENTS.items():
        query = case if isinstance(case, str) else case[0]
        sizes[name] = len(query.encode("utf-8", "surrogatepass"))
    assert {name: size for name, size in sizes.items() if size > LONGEST} == {}
    assert len(sizes) >= 25


@pytest.mark.parametrize("name", DOCUMENTS)
async def test_refused_or_answered_cheaply(service: Service, name: str):
    """No document costs more than the goal before it is refused, none is a fault of ours, none breaks the recursion."""
    case = DOCUMENTS[name]
    query, variables = case if isinstance(case, tuple) else (case, {})
    for subject in (PUBLIC_SUBJECT, MINISTRY):
        spent, codes = [], set()
        for run in range(3):
            # Answers from the schema are kept by what is selected, however it is spelt.
            service.pipeline.executor._introspector._answers.clear()
            began = time.process_time()
            answer = await service.answer(Question(spelt(query, run), variables, None), subject, f"hostile-{run}")
            spent.append(time.process_time() - began)
            decoded = orjson.loads(answer.body)
            # A statement or a deadline that took too long is a limit at work; anything else of ours is a fault.
            assert answer.status < 500, (answer.code, decoded["errors"])
            assert (answer.code == "OK") == ("data" in decoded)
            codes.add(answer.code)
        if name in ANSWERED:
            assert (codes == {"OK"}) is ANSWERED[name], codes
        if name not in EXECUTED:
            assert min(spent) <= GOAL_SECONDS * MARGIN, f"{min(spent):.3f} s, {codes}"


async def test_a_refused_document_is_remembered_and_keeps_nothing_of_its_requests(service: Service):
    """A repeated refusal costs a look-up, and however often it is repeated nothing grows."""
    query = repeated("{n}", "{ remembered %s }")
    await service.answer(Question(query, {}, None), PUBLIC_SUBJECT, "first")
    began = time.process_time()
    for _ in range(199):
        await service.answer(Question(query, {"secret": "x" * 100}, None), PUBLIC_SUBJECT, "again")
    answer = await service.answer(Question(query, {"secret": "x" * 100}, None), PUBLIC_SUBJECT, "again")
    assert answer.status == 400
    assert time.process_time() - began < 200 * 0.002 * MARGIN
    kept = service.pipeline.documents._entries[query]
    assert isinstance(kept, Exception)
    frames, link = 0, kept.__traceback__
    while link is not None:
        frames, link = frames + 1, link.tb_next
    # Each frame would hold the variables of the request that raised it.
    assert frames <= 10
    assert kept.__context__ is None or kept.__context__ is not kept


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan"), 1e308, -0.5, 2**63, True, "1", [1]])
async def test_a_number_that_is_none_is_a_wrong_variable(service: Service, number: object):
    """JSON's 1e999 is read as infinity by some parsers: no number may pass for a page size by accident."""
    query = "query($n: Int) { projects(first: $n) { totalCount } }"
    answer = await service.answer(Question(query, {"n": number}, None), PUBLIC_SUBJECT, "number")
    assert (answer.status, answer.code) == (400, "ZQ122")


@pytest.mark.parametrize("subject", [PUBLIC_SUBJECT, MINISTRY], ids=["public", "ministry"])
async def test_no_refusal_suggests_names_or_repeats_values(service: Service, subject: Subject):
    """Error texts say what the client wrote wrongly in names of its own, and never what would have been right."""
    secrets = ("4201061990010100", "S3CRET", "13800138000")
    for query in (
        '{ projects(where: {nam: {eq: "S3CRET"}}) { totalCount } }',
        "{ projects(where: {name: {eq: 4201061990010100}}) { totalCount } }",
        '{ projects(first: "13800138000") { totalCount } }',
        "{ projects(where: {status: {eq: S3CRET}}) { totalCount } }",
        '{ enterprise(uscc: "S3CRET") { name } }',
        "{ projects { nodes { nmae } } }",
        "{ projcets { nodes { name } } }",
        "{ projects { nodes { ... on Porject { name } } } }",
        "query($a: Projct) { __typename }",
        '{ person(personNo: "4201061990010100") { idNo } }',
        '{ node(id: "S3CRET") { id } }',
        '{ projects(after: "S3CRET") { totalCount } }',
    ):
        answer = await service.answer(Question(query, {}, None), subject, "hints")
        text = answer.body.decode()
        assert answer.status == 400, query
        assert "Did you mean" not in text
        assert not any(secret in text for secret in secrets), (query, text)
