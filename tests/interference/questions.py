"""What is asked of both worlds: random operations with remote fields, walks by cursors, and requests that are wrong."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from schema.declare import Attribute, Relation, Remote
from tests.interference.product import Request
from tests.operation_text import Name, Operation, Pick, Spread
from tests.strategies import Operations, encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from schema.registry import Entity, Field

EXTREMES: tuple[Any, ...] = (
    None, True, 0, -1, 2**31, -(2**31) - 1, 2**53 + 1, 2**64, 10**300, 1.5, 1e308, float("nan"), float("-inf"),
    "", " ", "x", "x" * 4_001, "𠮷" * 4_000, "\0", "4201\0", "\ud800", "\udfff\ud800", "\uffff", "%", "\\", "'",
    '"', "$1", "NaN", "Infinity", "1e999", "1e-999", "0x10", "0000-00-00", "9999-12-31", "0001-01-01", "2026-13-45",
    "k", "e", "kÄ", "k====", "k" + base64.b64encode(b"\xff\xfe").decode(), "e" + "A" * 400, "e" * 7_000,
    encoded("Project", "x"), encoded("Nothing", "1"), encoded("Person", "\0"), "UNKNOWN_ENUM", "VALID",
    [], {}, [None], [[]], {"": 1}, {"eq": None}, {"__typename": "Person"}, {"__typename": 1}, ["x"] * 101,
)  # fmt: skip
"""Values of no type in particular, for any argument."""
ENVELOPES: tuple[bytes, ...] = (
    b"", b"{", b"null", b"[]", b'"x"', b"{}", b'{"query":1}', b'{"query":"{ __typename }","more":1}',
    b'[{"query":"{ __typename }"}]', b'{"query":"{ __typename }","variables":[]}', b'{"query":"\\ud800"}',
    b'{"query":"{ __typename }","operationName":"X"}', b'{"query":"","variables":null}', b"\xff\xfe{}",
    b'{"query":"{ projects { nodes { name } }"}', b'{"query":"{ nothing }"}', b'{"query":"mutation { x }"}',
    b'{"query":"{ project { name } }"}', b'{"query":"query A { __typename } query B { __typename }"}',
    b'{"query":"{ projects(first: 99999999999999999999) { totalCount } }"}', b'{"query":"' + b"{a" * 3_000 + b'"}',
    b'{"query":"{ projects(where: {idNo: {eq: \\"x\\"}}) { totalCount } }"}', b"{" * 5_000,
    b'{"query":' + b"9" * 500 + b"}",
    b'{"query":"{ persons(orderBy: [{field: ID_NO}]) { totalCount } }"}',
    b'{"query":"{ __schema { types { name } } }"}', b'{"query":"{ _service { sdl } }"}',
)  # fmt: skip
"""Bodies that are no request, or hardly one."""
HEADERS: tuple[dict[str, str], ...] = (
    {"content-type": "text/plain"}, {"content-type": "application/json; charset=gbk"}, {"accept": "text/html"},
    {"accept": "application/graphql-response+json"}, {"authorization": "Bearer x"}, {"authorization": "Basic eDp5"},
    {"x-zlaq-purpose": "CASE"}, {"x-zlaq-case": "WH-2026-0007"}, {"x-zlaq-case": "WH-2025-0031"},
    {"x-request-id": "mine"}, {"x-forwarded-for": "10.0.0.1"},
)  # fmt: skip
"""Headers that stand for themselves."""


class Questions(Operations):
    """The operations of the comparison with the reference, and remote fields among them."""

    _within = False

    def root(self) -> Pick:
        """A root field, the register of sources now and then."""
        if self.chance(3):
            parts: list[Pick | Spread] = [
                Pick(name) for name in ("name", "covers", "services", "health", "calls", "latencyMs")
            ]
            return Pick("sources", self.alias(), {"first": self.size(nested=True)}, parts, "Query")
        return super().root()

    def fields(self, entity: Entity, depth: int) -> list[Pick | Spread]:
        """Fields of a type; one or two remote ones among them where it has any."""
        found = super().fields(entity, depth)
        remotes = [one for one in entity.fields.values() if isinstance(one.member, Remote)]
        if remotes and self.chance(10 if self._within else 55):
            chosen = self.rng.sample(remotes, min(len(remotes), self.rng.choice((1, 1, 2))))
            found += [self.remote(entity, one, depth) for one in chosen]
        return found

    def remote(self, entity: Entity, one: Field, depth: int) -> Pick:
        """A remote field with its arguments and parts, and the local records that these lead to."""
        member = one.member
        arguments: dict[str, Any] = {}
        if one.type.is_list and self.chance(70):
            arguments["first"] = self.size(nested=True)
        if isinstance(member, Remote) and member.across and self.chance(15):
            arguments["after"] = self.rng.choice(("e", "", "k", "e" + "A" * 60))
        if isinstance(member, Remote) and member.officer:
            arguments["reason"] = self.rng.choice(("核验持证人身份", "办案", "", " ", "x" * 201))
        within, self._within = self._within, True
        below = self.parts(one, depth)
        self._within = within
        if isinstance(member, Remote) and member.across:
            info = Pick("pageInfo", below=[Pick("endCursor"), Pick("hasNextPage")])
            below = [Pick("nodes", below=below), info, Pick("sources"), Pick("incompleteSources")]
        return Pick(one.field, self.alias(), arguments, below, entity.name)

    def parts(self, one: Field, depth: int) -> list[Pick | Spread]:
        """Some parts of a remote value."""
        value = self.registry.values[one.type.name]
        listed = [*value.fields.values()]
        found: list[Pick | Spread] = [Pick("__typename", self.alias())]
        for part in self.rng.sample(listed, self.rng.randint(1, len(listed))):
            if isinstance(part.member, Relation):
                target = self.registry.entity(part.type.name)
                found.append(Pick(part.field, self.alias(), below=self.fields(target, min(depth, 1))))
            elif part.name == "provenance":
                found.append(Pick(part.field, below=[Pick("source"), Pick("asOf"), Pick("stale"), Pick("unmapped")]))
            elif isinstance(part.member, Attribute):
                found.append(Pick(part.field))
        if value.compared and self.chance(60):
            found.append(Pick("conflicts", below=[Pick("attribute"), Pick("ministry"), Pick("local")]))
        return found


@dataclass(frozen=True)
class Script:
    """One document, and the variables it is asked with in turn; with `walks`, cursors of the answers as well."""

    query: str
    variables: tuple[Mapping[str, Any], ...]
    walks: bool = False


def scripts(questions: Questions, seed: int, many: int, walks: int) -> list[Script]:
    """Random documents: one in four with its values as literals, the others with variables; then walks, and links."""
    found = []
    for number in range(many):
        rng = Random(seed + number)
        literals, lifted = questions.draw(rng)
        if number % 4 == 0:
            found.append(Script(literals.query, (literals.variables,)))
            continue
        varied = [questions.varied(lifted, rng).variables] if lifted.variables and number % 5 == 0 else []
        found.append(Script(lifted.query, (lifted.variables, *varied)))
    found += [walk(questions, Random(seed + many + number)) for number in range(walks)]
    return found + [links(entity) for entity in questions.registry.entities.values()]


def links(entity: Entity) -> Script:
    """Many rows of a type and where their relations lead, so that every link to a hidden row is followed."""
    related = [one for one in entity.fields.values() if isinstance(one.member, Relation)]
    shown = " ".join(f"{one.field}{'(first: 9)' if one.type.is_list else ''} {{ id version }}" for one in related)
    return Script(f"query($n: Int) {{ {entity.plural}(first: $n) {{ nodes {{ id {shown} }} }} }}", ({"n": 300},))


def walk(questions: Questions, rng: Random) -> Script:
    """A page in any order under any condition, to be walked by cursors; its boundary is a hidden row's key, too."""
    questions.rng, questions._aliases = rng, 0
    entity = rng.choice([*questions.registry.entities.values()])
    order = ", ".join(
        f"{{field: {t['field']}, direction: {rng.choice(('ASC', 'DESC'))}}}" for t in questions.order(entity)
    )
    forward = rng.randrange(3) > 0
    sizes, border = ("first", "after") if forward else ("last", "before")
    query = (
        f"query($w: {entity.name}Where, $c: String, $n: Int) {{ page: {entity.plural}(orderBy: [{order}], where: $w,"
        f" {sizes}: $n, {border}: $c) {{ totalCount edges {{ cursor node {{ {entity.key.field} }} }}"
        " pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
    )
    where = json.loads(json.dumps(questions.where(entity, 1)))
    edge = "k" + base64.b64encode(questions.key(entity).encode()).decode()
    size = rng.choice((1, 2, 3, 10))
    first = {"w": where, "n": size} if forward or rng.randrange(2) else {"w": where, "n": size, "c": edge}
    return Script(query, (first, {"w": where, "c": edge, "n": size}), walks=True)


def onward(variables: Mapping[str, Any], body: bytes, foreign: str | None, rng: Random) -> list[Mapping[str, Any]]:
    """The same page from the cursors of an answer on, from another caller's, and from ones that were tampered with."""
    found = [match.decode() for match in re.findall(rb'"(?:startCursor|endCursor)":"([^"]+)"', body)]
    if not found:
        return [{**variables, "c": foreign}] if foreign else []
    place = rng.randrange(1, len(found[-1]))
    tampered = found[-1][:place] + rng.choice("AQgw_-") + found[-1][place + 1 :]
    told = [found[-1], tampered, *([foreign] if foreign else [])]
    return [{**variables, "c": cursor} for cursor in told]


def spoiled(asked: Sequence[Operation | Script], rng: Random) -> Request:
    """A request in which something is wrong: a variable, the text, the envelope or a header."""
    one = rng.choice(asked)
    variables = one.variables if isinstance(one, Operation) else one.variables[0]
    match rng.randrange(10):
        case 0:
            return Request(rng.choice(ENVELOPES))
        case 1:
            return Request(body_of(one.query, variables), rng.choice(HEADERS))
        case 2:
            return Request(body_of(one.query, variables), method=rng.choice(("GET", "PUT", "OPTIONS", "HEAD")))
        case 3:
            place = rng.randrange(len(one.query))
            return Request(body_of(one.query[:place] + rng.choice(("", '"', "{", "}", "\0", "$x")), variables))
        case 4:
            text = re.sub(
                r"\b\d+\b", lambda _: rng.choice(("-1", "99999999999", "1.5", "null", '"x"')), one.query, count=1
            )
            return Request(body_of(text, variables))
        case _:
            return Request(body_of(one.query, _spoiled(dict(variables), rng)))


def _spoiled(value: Any, rng: Random) -> Any:
    """The value with an extreme one in some place of it."""
    if isinstance(value, dict) and value and rng.randrange(8):
        name = rng.choice([*value])
        return {**value, name: _spoiled(value[name], rng)}
    if isinstance(value, list) and value and rng.randrange(4):
        place = rng.randrange(len(value))
        return [*value[:place], _spoiled(value[place], rng), *value[place + 1 :]]
    return rng.choice(EXTREMES)


def body_of(query: str, variables: Any) -> bytes:
    """The envelope as a careless client writes it: NaN and lone surrogates included."""
    return json.dumps({"query": query, "variables": variables}).encode()


def exchanged(value: Any, others: Mapping[str, Any]) -> Any:
    """Variables in which hidden values of one world are those of the other."""
    if isinstance(value, dict):
        return {name: exchanged(item, others) for name, item in value.items()}
    if isinstance(value, list):
        return [exchanged(item, others) for item in value]
    return others.get(value, value) if isinstance(value, str) and not isinstance(value, Name) else value
