"""Hostile documents, made at random but repeatably: most fit the schema, so that they get past the first refusals.

Each family takes one way to be costly and spends a document of the largest size on it; mutations of the corpus of
`tests/server/test_hostile_documents.py` take several at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    get_nullable_type,
    is_required_argument,
)

from demo.seed import wellknown
from tests.server.test_hostile_documents import DOCUMENTS, LONGEST, name_of, nested

NASTY_TEXTS = (
    r"\u0000", r"\uD83D\uDE00", r"\u{10FFFF}", r"\uD800", "%" * 50, "_" * 50, "\\\\" * 20, "'; drop table x; --",
    "\u202e", "a\u0301" * 30, "\ufdfa" * 20, "ﬀ" * 30, "𠮷" * 10, "{{}}", "$1", r"\n" * 40, "${x}", "0" * 200,
)  # fmt: skip
NASTY_NUMBERS = (
    "0", "-0", "1e309", "-1e309", "1" + "0" * 400, "0." + "0" * 400 + "1", "9" * 19, "1e-999999",
    "-9223372036854775809", "2147483648", "1.7976931348623159e308",
)  # fmt: skip
NASTY_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**31, 2**63, 1e308, "", "\0", "\ud83d\ude00", "x" * 5_000, [], [[]], {}, {"": {}}, [None] * 200,
    {"__proto__": 1}, {"constructor": {"prototype": 1}}, "1e999999999", "٣", "＋１", " 1", "0x10", "NaN", "Infinity",
)  # fmt: skip
INTROSPECTION = "introspection"
KEYS: Mapping[str, str] = {
    "ProjectNo": wellknown.PROJECT_COUNTY, "Uscc": wellknown.CONTRACTOR, "PersonNo": wellknown.PERSON,
    "InspectionNo": wellknown.INSPECTION, "FindingNo": wellknown.FINDING, "RegionCode": wellknown.WUCHANG,
    "DepartmentId": wellknown.HOUSING_WUCHANG, "ID": "UHJvamVjdDox",
}  # fmt: skip


@dataclass(frozen=True)
class Hostile:
    """A document with its variables, and the family that it is of."""

    family: str
    query: str
    variables: dict[str, Any]


class Generator:
    """Hostile documents for one schema."""

    def __init__(self, schema: GraphQLSchema, seed: int) -> None:
        assert schema.query_type is not None
        self._schema, self._query = schema, schema.query_type
        self._chance = random.Random(seed)
        self._families: Mapping[str, Callable[[], tuple[str, dict[str, Any]]]] = {
            "deep selections": lambda: self._selections(depth=12, width=3),
            "wide selections": lambda: self._selections(depth=4, width=30),
            "aliases": lambda: self._selections(depth=3, width=12, aliased=True),
            "repeats": self._repeats,
            "nesting": self._nesting,
            "overlaps": self._overlaps,
            "fragments": self._fragments,
            "filters": self._filters,
            "filters in variables": self._filters_in_variables,
            "hostile values": self._values,
            "hostile variables": self._variables,
            "directives": self._directives,
            INTROSPECTION: self._introspection,
            "entities": self._entities,
            "mutated": self._mutated,
            "spliced": self._spliced,
            "tokens": self._tokens,
        }

    @property
    def families(self) -> list[str]:
        """Names of the families."""
        return list(self._families)

    def make(self, number: int, families: Sequence[str]) -> Iterator[Hostile]:
        """So many documents of at most 4 KB, of these families in turn."""
        for count in range(number):
            family = families[count % len(families)]
            query, variables = self._families[family]()
            yield Hostile(family, _cut(query), variables)

    def _composite(self, parent: Any) -> list[str]:
        """The fields that have a selection, by their type."""
        kinds = (GraphQLObjectType, GraphQLInterfaceType)
        return [name for name, field in parent.fields.items() if isinstance(get_named_type(field.type), kinds)]

    def _leaves(self, parent: Any) -> list[str]:
        composite = (GraphQLObjectType, GraphQLInterfaceType, GraphQLUnionType)
        return [
            name
            for name, field in parent.fields.items()
            if not isinstance(get_named_type(field.type), composite)
            and not any(is_required_argument(argument) for argument in field.args.values())
        ]

    def _arguments(self, field: Any) -> str:
        """What the field requires, and now and then something that it does not."""
        given = []
        for name, argument in field.args.items():
            if is_required_argument(argument) or (self._chance.random() < 0.15 and name in ("first", "last")):
                given.append(f"{name}: {self._literal(argument.type)}")
        return f"({', '.join(given)})" if given else ""

    def _literal(self, kind: Any, depth: int = 2) -> str:
        kind = get_nullable_type(kind)
        if isinstance(kind, GraphQLList):
            # A single value stands for a list of one.
            inner = self._literal(kind.of_type, depth)
            return inner if self._chance.random() < 0.3 else f"[{', '.join([inner] * self._chance.randint(0, 5))}]"
        if isinstance(kind, GraphQLEnumType):
            return str(self._chance.choice(list(kind.values)))
        if isinstance(kind, GraphQLInputObjectType):
            return self._condition(kind, depth)
        if kind.name in ("Int", "Float", "Decimal", "Long"):
            return str(self._chance.randint(0, 20))
        if kind.name == "Boolean":
            return self._chance.choice(("true", "false"))
        if kind.name == "_Any":
            return '{__typename: "Project", projectNo: "1"}'
        return f'"{KEYS.get(kind.name, "x")}"'

    def _condition(self, kind: GraphQLInputObjectType, depth: int) -> str:
        if depth <= 0:
            return "{}"
        names = self._chance.sample(list(kind.fields), min(len(kind.fields), self._chance.randint(1, 3)))
        parts = [f"{name}: {self._literal(kind.fields[name].type, depth - 1)}" for name in names]
        return "{" + ", ".join(parts) + "}"

    def _selection(self, parent: Any, depth: int, width: int, *, aliased: bool = False, room: int = LONGEST) -> str:
        parts: list[str] = []
        for number in range(self._chance.randint(1, width)):
            if room < 40:
                break
            composite, leaves = self._composite(parent), self._leaves(parent) or ["__typename"]
            if composite and depth > 1 and self._chance.random() < 0.6:
                name = self._chance.choice(composite)
                field = parent.fields[name]
                inner = self._selection(get_named_type(field.type), depth - 1, width, aliased=aliased, room=room // 2)
                part = f"{name}{self._arguments(field)} {inner}"
            else:
                part = self._chance.choice(leaves)
            part = f"{name_of(number)}: {part}" if aliased else part
            room -= len(part) + 1
            parts.append(part)
        return "{ " + " ".join(parts or ["__typename"]) + " }"

    def _selections(self, depth: int, width: int, *, aliased: bool = False) -> tuple[str, dict[str, Any]]:
        return self._selection(self._query, depth, width, aliased=aliased), {}

    def _overlaps(self) -> tuple[str, dict[str, Any]]:
        inner = self._selection(self._schema.type_map["Project"], 2, 4)
        chance = self._chance
        parts = [
            f"{chance.choice(('a', 'b', ''))}{'' if chance.random() < 0.5 else 'c'}: contractor {{ projects {inner} }}"
            if chance.random() < 0.5
            else f"... on Project {inner}"
            for _ in range(chance.randint(5, 60))
        ]
        return "{ projects { nodes { " + " ".join(part.removeprefix(": ") for part in parts) + " } } }", {}

    def _repeats(self) -> tuple[str, dict[str, Any]]:
        """The same few response names over and over, which to merge costs the square of their number."""
        names = self._chance.sample(("name", "status", "x: name", "__typename", "contractor { name }", "...f"), 2)
        weight = self._chance.random()
        parts = [names[self._chance.random() < weight] for _ in range(self._chance.choice((40, 200, 1_200)))]
        around = self._chance.choice(("{ projects { nodes { %s } } }", '{ project(projectNo: "1") { %s } }'))
        fragment = " fragment f on Project { name x: name }" if "...f" in parts else ""
        return around.replace("%s", _whole(parts, 120)) + fragment, {}

    def _nesting(self) -> tuple[str, dict[str, Any]]:
        """Anything that opens, hundreds of times, closed as often or not."""
        opening, closing = self._chance.choice(
            (
                ("{a", "}"),
                ("[", "]"),
                ("{a:", "}"),
                ("...{", "}"),
                ("...on Query{", "}"),
                ("{not:", "}"),
                ("{or:[", "]}"),
            )
        )
        times = self._chance.randint(50, 900)
        closed = times if self._chance.random() < 0.7 else self._chance.randrange(times)
        inner = opening * times + " a " + closing * closed
        if opening == "{a":
            return "query " + inner, {}
        if opening.startswith("..."):
            return "query {" + inner + "}", {}
        return "{ projects(where: " + inner + ") { totalCount } }", {}

    def _fragments(self) -> tuple[str, dict[str, Any]]:
        count, fan = self._chance.randint(2, 50), self._chance.randint(1, 8)
        cyclic = self._chance.random() < 0.4
        texts = []
        for number in range(count):
            below = range(count) if cyclic else range(number + 1, count)
            spread = [f"...{name_of(self._chance.choice(below))}" for _ in range(fan)] if below else []
            parts = [*spread, self._chance.choice(("name", "x: name", "contractor { name }", "status"))]
            if self._chance.random() < 0.3:
                parts = [f"contractor {{ projects {{ {' '.join(parts)} }} }}"]
            texts.append(f"fragment {name_of(number)} on Project {{ {' '.join(parts)} }}")
        self._chance.shuffle(texts)
        return "{ projects { nodes { ...a } } } " + _whole(texts, 60), {}

    def _filters(self) -> tuple[str, dict[str, Any]]:
        name = self._chance.choice(("projects", "enterprises", "persons", "safetyInspections", "findings"))
        kind = get_named_type(self._query.fields[name].args["where"].type)
        assert isinstance(kind, GraphQLInputObjectType)
        clause = self._condition(kind, self._chance.randint(2, 8))
        for _ in range(self._chance.randint(0, 20)):
            clause = self._chance.choice(("{{not: {}}}", "{{and: [{}]}}", "{{or: [{}, {{}}]}}", "{{and: {}}}")).format(
                clause
            )
        return f"{{ {name}(where: {clause}, first: 1) {{ totalCount }} }}", {}

    def _filters_in_variables(self) -> tuple[str, dict[str, Any]]:
        tree: Any = {"name": {"startsWith": "x"}}
        for _ in range(self._chance.randint(1, 400)):
            copies = self._chance.choice((1, 1, 1, 1, 2)) if len(repr(tree)) < 50_000 else 1
            tree = self._chance.choice(({"not": tree}, {"and": [tree] * copies}, {"or": [{}, tree]}, {"and": tree}))
        wide = {"and": [tree] + [{"name": {"eq": "x"}}] * self._chance.choice((0, 0, 2_000))}
        return "query($w: ProjectWhere) { projects(where: $w, first: 1) { totalCount } }", {"w": wide}

    def _values(self) -> tuple[str, dict[str, Any]]:
        chance = self._chance
        texts = [f'"{text}"' for text in NASTY_TEXTS] + [f'"""{text}"""' for text in NASTY_TEXTS] + list(NASTY_NUMBERS)
        texts += ["null", "true", "[]", "{}", "$x", "ENUM", "[[[]]]", "{a: {a: {a: 1}}}"]
        roots = ("name: {{eq: {}}}", "name: {{in: [{}]}}", "totalArea: {{gte: {}}}", "status: {{eq: {}}}", "not: {}")
        conditions = ", ".join(
            f"{{{chance.choice(roots).format(chance.choice(texts))}}}" for _ in range(chance.randint(1, 25))
        )
        first = chance.choice(("1", *NASTY_NUMBERS))
        return f"{{ projects(where: {{and: [{conditions}]}}, first: {first}) {{ totalCount }} }}", {}

    def _variables(self) -> tuple[str, dict[str, Any]]:
        chance = self._chance
        kinds = {"Int": "first", "String": "after", "ProjectWhere": "where", "[ProjectOrder!]": "orderBy"}
        kind, argument = chance.choice(list(kinds.items()))
        value = chance.choice(NASTY_VALUES)
        for _ in range(chance.choice((0, 1, 3, 300))):
            value = chance.choice(([value], {"and": value}, {"name": value}, {"not": value}))
        more = {name_of(number): chance.choice(NASTY_VALUES) for number in range(chance.choice((0, 5, 500)))}
        return f"query($v: {kind}) {{ projects({argument}: $v) {{ totalCount }} }}", {"v": value, **more}

    def _directives(self) -> tuple[str, dict[str, Any]]:
        chance = self._chance
        kinds = (
            "@include(if: $t)",
            "@skip(if: $f)",
            "@include(if: true)",
            "@skip(if: false)",
            "@x",
            "@include",
            "@skip(if: 1)",
        )
        flood = [chance.choice(kinds[: chance.choice((2, 4, 7))]) for _ in range(chance.choice((1, 3, 30)))]
        fields = [f"{name_of(n)}: name {' '.join(flood)}" for n in range(chance.randint(1, 100))]
        inner = _whole([f"... {flood[0]} {{ {field} }}" if chance.random() < 0.2 else field for field in fields], 150)
        head = "query($t: Boolean = true, $f: Boolean! = false) { projects { nodes { "
        return head + inner + " } } }", {"t": chance.choice((True, None, 1)), "f": chance.random() < 0.5}

    def _introspection(self) -> tuple[str, dict[str, Any]]:
        # Lists three deep are refused by a rule of the library.
        chance = self._chance
        aliased = " ".join(f"{name_of(n)}: fields {{ name }}" for n in range(chance.randint(1, 20)))
        steps = (
            "{ fields { args { type { ofType { name } } } } }",
            "{ fields { type { fields { name } } } }",
            "{ possibleTypes { interfaces { name } } }",
            "{ inputFields { type { inputFields { name } } } }",
            "{ fields { type " + nested("{ ofType ", " }", "{ name }", chance.randint(1, 8)) + " } }",
            f"{{ {aliased} }}",
        )
        step = chance.choice(steps)
        parts = []
        for number in range(chance.randint(1, 10)):
            root = chance.choice(("__schema { types %s }", "__schema { types %s }", '__type(name: "Query") %s'))
            parts.append(f"{name_of(number)}: {root % (step if chance.random() < 0.9 else chance.choice(steps))}")
        return "{ " + _whole(parts, 4) + " }", {}

    def _entities(self) -> tuple[str, dict[str, Any]]:
        chance = self._chance
        one: Any = {"__typename": chance.choice(("Project", "Enterprise", "Nothing", "Query", "__Schema", "", 1, None))}
        one |= {chance.choice(("projectNo", "uscc", "x")): chance.choice((*NASTY_VALUES, *KEYS.values()))}
        inner = self._selection(self._schema.type_map["Project"], 3, 5)
        query = f"query($r: [_Any!]!) {{ _entities(representations: $r) {{ __typename ... on Project {inner} }} }}"
        return query, {"r": chance.choice((one, [one], [one] * 100, [one] * 5_000))}

    def _corpus(self) -> tuple[str, dict[str, Any]]:
        found = DOCUMENTS[self._chance.choice(list(DOCUMENTS))]
        return found if isinstance(found, tuple) else (found, {})

    def _mutated(self) -> tuple[str, dict[str, Any]]:
        query, variables = self._corpus()
        for _ in range(self._chance.randint(1, 6)):
            start = self._chance.randrange(len(query) + 1)
            piece = query[start : start + self._chance.choice((1, 1, 5, 40, 400))]
            match self._chance.randrange(4):
                case 0:
                    query = query[:start] + query[start + len(piece) :]
                case 1:
                    query = query[:start] + piece * self._chance.choice((2, 3, 20)) + query[start:]
                case 2:
                    query = query[:start] + self._chance.choice('{}[]()@$!:=|&"\\#,.\0\ufeffa1 \n') + query[start:]
                case _:
                    query = query[:start] + piece[::-1] + query[start + len(piece) :]
            query = query[: 3 * LONGEST]
        return query, variables

    def _spliced(self) -> tuple[str, dict[str, Any]]:
        (one, variables), (other, more) = self._corpus(), self._corpus()
        opening, closing = one.find("{"), other.rfind("}")
        return one[: opening + 1] + " " + other[1:closing] + " " + one[opening + 1 :], variables | more

    def _tokens(self) -> tuple[str, dict[str, Any]]:
        words = (
            "{", "}", "(", ")", "[", "]", ":", "$", "!", "=", "@", "...", "on", "query", "fragment", "mutation", "true",
            "null", "1", "-1.5e3", '"x"', '"""y"""', "projects", "nodes", "name", "first", "where", "a", "b", "# c\n",
            "Project", "&", "|", "extend", "type", "subscription", "input",
        )  # fmt: skip
        weights = [20 if word in "{}" else 5 for word in words]
        return " ".join(self._chance.choices(words, weights, k=self._chance.randint(1, 1_500))), {}


def _whole(parts: list[str], less: int) -> str:
    """As many of the parts as a document of the largest size holds, short of so many characters."""
    found: list[str] = []
    room = LONGEST - less
    for part in parts:
        room -= len(part.encode()) + 1
        if room < 0:
            break
        found.append(part)
    return " ".join(found)


def _cut(query: str) -> str:
    """The document within the largest size."""
    return query.encode("utf-8", "surrogatepass")[:LONGEST].decode("utf-8", "ignore")


def bodies(generator: Generator, seed: int, number: int) -> Iterator[bytes]:
    """Request bodies that are no envelope, nearly one, or one that is spelt oddly."""
    chance = random.Random(seed)
    shapes = (
        b"", b"null", b"[]", b"{}", b"\xef\xbb\xbf{}", b"\xff\xfe{\x00", b"{\"query\": 1}", b"[" * 100_000,
        b"{\"a\":" * 50_000, b"{\"query\":\"{ __typename }\",\"variables\":" + b"[" * 900 + b"]" * 900 + b"}",
        b"{\"query\":\"{ __typename }\",\"extensions\":" + b"{\"a\":" * 900 + b"1" + b"}" * 900 + b"}",
        b"{\"query\":\"{ __typename }\",\"query\":\"{ x }\"}", b"{\"query\":\"\\ud800\"}", b"{\"query\":\"\\u0000\"}",
        b"{\"query\":\"{ __typename }\",\"variables\":{\"a\":1e999}}",
        b"{\"query\":\"{ __typename }\",\"operationName\":[]}",
        b"{\"query\":\"" + b"\\u4e2d" * 40_000 + b"\"}", b"{\"query\":\"" + b"#\\n" * 60_000 + b"{ __typename }\"}",
        b"{\"query\":\"{ __typename }\"}" + b" " * 200_000, b"{\"query\":\"{ __typename }\"}{", b"NaN", b"-", b"\"",
        b"{" + b",".join(b"\"%d\":0" % n for n in range(20_000)) + b"}",
        b"{\"query\":\"{ __typename }\",\"variables\":{" + b",".join(b"\"%d\":[{}]" % n for n in range(15_000)) + b"}}",
    )  # fmt: skip
    yield from shapes
    for hostile in generator.make(number - len(shapes), [f for f in generator.families if f != INTROSPECTION]):
        envelope: dict[str, Any] = {"query": hostile.query, "variables": hostile.variables, "operationName": None}
        try:
            body = bytearray(orjson.dumps(envelope))
        except TypeError:
            continue  # what JSON cannot say, such as a lone surrogate or a number beyond 64 bits
        for _ in range(chance.choice((0, 1, 3, 10))):
            at = chance.randrange(len(body))
            match chance.randrange(3):
                case 0:
                    body[at] ^= 1 << chance.randrange(8)
                case 1:
                    del body[at : at + chance.choice((1, 10))]
                case _:
                    body[at:at] = bytes(body[at : at + chance.choice((1, 50))])
            if not body:
                break
        yield bytes(body[:250_000])
