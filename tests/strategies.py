"""Random operations, subjects and policies over the whole schema, drawn from the data so that they meet hidden values.

Everything comes from a `random.Random`, so a seed names an operation. Each operation is written twice: with its values
as literals, and with some of them as variables; both ask the same.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    get_named_type,
)

from policy.revision import Revision, Rule, load_default
from policy.subject import PUBLIC_SUBJECT, Country, Level, NoTerritory, Subject, territory_of
from schema.declare import Relation
from schema.regions import MINISTRY, UNRESOLVED, ancestors, load_regions
from schema.registry import Entity, Field, Registry, TypeKind
from schema.scalars import InvalidScalar
from tests.reference import Tables, written

FAR = 4_000_000_000
"""A time that no run of the tests reaches; `BEGUN` is one that all have passed."""
BEGUN = 1_000_000_000


class Name(str):
    """An enum value, which a document writes without quotes."""

    __slots__ = ()


@dataclass
class Pick:
    """A selected field with its arguments."""

    name: str
    alias: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    below: list[Pick | Spread] | None = None
    parent: str = ""
    when: tuple[str, bool] | None = None


@dataclass
class Spread:
    """A fragment: named or inline, with or without a type condition."""

    condition: str
    named: bool
    below: list[Pick | Spread]
    when: tuple[str, bool] | None = None


@dataclass(frozen=True)
class Operation:
    """One operation as text and variables."""

    query: str
    variables: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.query}\nvariables {json.dumps(self.variables, ensure_ascii=False)}"


class Operations:
    """Draws operations; `cursors` are page cursors of earlier answers with the walk they belong to."""

    def __init__(self, tables: Tables, registry: Registry, schema: GraphQLSchema) -> None:
        self.tables, self.registry, self.schema = tables, registry, schema
        self.kinds: Any = schema.type_map
        self.cursors: list[tuple[str, Any, str]] = []
        """Entity, `orderBy` as it was given, and a cursor."""

    def draw(self, rng: Random) -> tuple[Operation, Operation]:
        """The same operation with literals and with variables."""
        self.rng, self._aliases = rng, 0
        picks = [self.root() for _ in range(rng.choice((1, 1, 1, 2, 3)))]
        seed = rng.getrandbits(32)
        return tuple(_Text(self.kinds, Random(seed), lift).operation(picks) for lift in (False, True))  # type: ignore[return-value]

    def chance(self, percent: int) -> bool:
        return self.rng.randrange(100) < percent

    def alias(self) -> str:
        self._aliases += 1
        return f"a{self._aliases}"

    def varied(self, operation: Operation, rng: Random) -> Operation:
        """The same document with other variables: booleans, enums and sizes changed, some left out or null."""
        found: dict[str, Any] = {}
        for name, kind, default in re.findall(r"\$(\w+): ([^,)=]+?)( = |, |\))", operation.query.split("{", 1)[0]):
            if name in operation.variables:
                value = self._vary(self.kinds.get(kind.strip("[]!")), operation.variables[name], rng)
                if kind.endswith("!") or rng.randrange(10):
                    found[name] = value
                elif default != " = " and rng.randrange(2):
                    found[name] = None
        return Operation(operation.query, found)

    def _vary(self, kind: Any, value: Any, rng: Random) -> Any:
        if isinstance(value, list):
            return [self._vary(kind, item, rng) for item in value[: rng.randint(0, len(value))]] if value else value
        if isinstance(kind, GraphQLInputObjectType) and isinstance(value, dict):
            types = {name: get_named_type(one.type) for name, one in kind.fields.items()}
            kept = [name for name in value if name == "field" or rng.randrange(8)]
            return {name: self._vary(types[name], value[name], rng) for name in kept}
        if isinstance(value, bool):
            return rng.randrange(2) == 0
        if isinstance(kind, GraphQLEnumType) and value is not None:
            return rng.choice([*kind.values])
        return rng.choice((0, 1, 2, 5, 7, 30)) if isinstance(value, int) else value

    # Roots

    def root(self) -> Pick:
        entity = self.rng.choice([*self.registry.entities.values()])
        what = self.rng.randrange(100)
        if what < 45:
            return self.page(entity)
        if what < 70:
            below = self.fields(entity, self.rng.choice((1, 2, 3, 4)))
            return Pick(entity.root, self.alias(), {entity.key.field: self.key(entity)}, below, "Query")
        if what < 80:
            identifier = encoded(entity.name, self.key(entity)) if self.chance(95) else self.rng.choice(BAD_IDS)
            return Pick("node", self.alias(), {"id": identifier}, self.abstract([entity.name], 3), "Query")
        if what < 99:
            entities = [self.rng.choice([*self.registry.entities.values()]) for _ in range(self.rng.randrange(5))]
            names = sorted({e.name for e in entities} | {entity.name})
            if what < 90:
                ids = [encoded(e.name, self.key(e)) for e in entities]
                return Pick("nodes", self.alias(), {"ids": ids}, self.abstract(names, 2), "Query")
            given: list[Any] = [{"__typename": e.name, e.key.field: self.key(e)} for e in entities]
            return Pick("_entities", self.alias(), {"representations": given}, self.abstract(names, 2), "Query")
        return Pick("__typename", self.alias())

    def page(self, entity: Entity) -> Pick:
        arguments: dict[str, Any] = {}
        if self.chance(60):
            arguments["where"] = self.where(entity, 2)
        if self.chance(45):
            arguments["orderBy"] = self.order(entity)
        cursor = self.cursor(entity, arguments) if self.chance(30) else None
        if self.chance(30):
            arguments["last"] = self.size()
            arguments |= {"before": cursor} if cursor else {}
        else:
            arguments |= {"first": self.size()} if self.chance(80) else {}
            arguments |= {"after": cursor} if cursor else {}
        if self.chance(2):
            arguments["last"] = self.size()
        below: list[Pick | Spread] = []
        wanted = self.rng.sample(("nodes", "edges", "pageInfo", "totalCount", "__typename"), self.rng.choice((1, 2, 3)))
        for part in wanted:
            inner: list[Pick | Spread] | None = None
            if part == "nodes":
                inner = self.fields(entity, self.rng.choice((0, 1, 2, 3)))
            elif part == "edges":
                inner = [Pick("cursor")] if self.chance(80) else []
                inner += [Pick("__typename", self.alias())] if self.chance(10) else []
                if self.chance(80) or not inner:
                    inner.append(Pick("node", below=self.fields(entity, self.rng.choice((0, 1, 2)))))
                if self.chance(10):
                    inner.append(Pick("node", self.alias(), below=self.fields(entity, 0)))
                inner = self.wrapped(inner, f"{entity.name}Edge")
            elif part == "pageInfo":
                names = ("hasNextPage", "hasPreviousPage", "startCursor", "endCursor", "__typename")
                inner = [Pick(n) for n in self.rng.sample(names, self.rng.choice((1, 2, 4, 5)))]
                inner = self.wrapped(inner, "PageInfo")
            below.append(Pick(part, self.alias() if self.chance(15) else "", below=inner))
        return Pick(entity.plural, self.alias(), arguments, self.wrapped(below, f"{entity.name}Connection"), "Query")

    def cursor(self, entity: Entity, arguments: dict[str, Any]) -> str:
        issued = [(order, cursor) for name, order, cursor in self.cursors if name == entity.name]
        if issued and self.chance(60):
            order, cursor = self.rng.choice(issued)
            if self.chance(90):
                arguments.pop("orderBy", None)
                arguments |= {"orderBy": order} if order else {}
            return cursor
        if self.chance(8):
            return self.rng.choice(("", "k", "e", "kÄ", "k====", "eAAAA", "x" * 80))
        return "k" + base64.b64encode(self.key(entity).encode()).decode()

    # Selections

    def fields(self, entity: Entity, depth: int) -> list[Pick | Spread]:
        """Some fields of a type, a few of them twice, some in fragments."""
        listed = [*entity.fields.values()]
        plain = [f for f in listed if not isinstance(f.member, Relation)]
        links = [f for f in listed if isinstance(f.member, Relation)]
        chosen = self.rng.sample(plain, min(len(plain), self.rng.choice((0, 1, 2, 3, 5, 8))))
        chosen += self.rng.sample(links, min(len(links), self.rng.choice((0, 1, 1, 2)))) if depth else []
        found: list[Pick | Spread] = []
        for one in chosen:
            pick = self.pick(entity, one, depth)
            found.append(pick)
            if self.chance(6):
                # Once more under the same name, which merges, or under another, which does not.
                again = self.pick(entity, one, depth) if self.chance(50) else pick
                found.append(replace(again, alias=pick.alias, arguments=pick.arguments))
                found += [replace(again, alias=self.alias())] if self.chance(50) else []
        for extra, percent in (("id", 30), (entity.key.field, 40), ("__typename", 10), ("_disclosure", 35)):
            if self.chance(percent):
                found.append(self.extra(entity, extra))
        self.rng.shuffle(found)
        return self.wrapped(found, entity.name) or [Pick("__typename")]

    def extra(self, entity: Entity, name: str) -> Pick:
        below: list[Pick | Spread] | None = None
        if name == "_disclosure":
            parts = self.rng.sample(("field", "verdict", "__typename"), self.rng.choice((1, 2, 2, 3)))
            below = [Pick(n) for n in parts]
        return Pick(name, self.alias() if self.chance(10) else "", below=below, parent=entity.name)

    def pick(self, entity: Entity, one: Field, depth: int) -> Pick:
        arguments: dict[str, Any] = {}
        below: list[Pick | Spread] | None = None
        if one.type.kind is TypeKind.VALUE:
            parts = [*self.registry.values[one.type.name].fields]
            below = [Pick(n) for n in self.rng.sample(parts, self.rng.randint(1, len(parts)))]
            below += [Pick("__typename")] if self.chance(15) else []
            below = self.wrapped(below, one.type.name)
        elif isinstance(one.member, Relation):
            target = self.registry.entity(one.type.name)
            below = self.fields(target, depth - 1)
            if one.type.is_list:
                arguments |= {"first": self.size(nested=True)} if self.chance(70) else {}
                arguments |= {"where": self.where(target, 1)} if self.chance(40) else {}
                arguments |= {"orderBy": self.order(target)} if self.chance(30) else {}
        aliased = arguments or self.chance(12)
        return Pick(one.field, self.alias() if aliased else "", arguments, below, entity.name)

    def wrapped(self, found: list[Pick | Spread], type_name: str) -> list[Pick | Spread]:
        """Some of the selections moved into fragments or put under @skip and @include, now and then all of them."""
        shown: list[Pick | Spread] = []
        for one in found:
            one.when = self.condition()
            if self.chance(12):
                shares = type_name in self.registry.entities
                abstract = shares and isinstance(one, Pick) and one.name == "__typename"
                interfaces = ("Node", "_Entity") if abstract else ()
                condition = self.rng.choice((type_name, type_name, "", *interfaces))
                one = Spread(condition, bool(condition) and self.chance(50), [one], self.condition())  # noqa: PLW2901
            shown.append(one)
        if shown and self.chance(4):
            for one in shown:
                one.when = ("skip", True)
        return shown

    def condition(self) -> tuple[str, bool] | None:
        if self.chance(92):
            return None
        return self.rng.choice(("skip", "include")), self.chance(50)

    def abstract(self, names: list[str], depth: int) -> list[Pick | Spread]:
        """Selections on `Node` or `_Entity`: fragments on some of the types and on one that does not occur."""
        others = [n for n in self.registry.entities if n not in names]
        found: list[Pick | Spread] = [Pick("__typename")] if self.chance(40) else []
        for name in [*names, *self.rng.sample(others, min(1, len(others)))]:
            below = self.fields(self.registry.entity(name), depth)
            _unique(below, self)
            found.append(Spread(name, self.chance(40), below, self.condition()))
        if self.chance(30):
            below = [Pick("__typename", self.alias())]
            found.append(Spread("Node", self.chance(50), [*below, Pick("id", self.alias(), parent="Node")]))
        if self.chance(20):
            found.append(Spread("_Entity", self.chance(50), [Pick("__typename", self.alias())]))
        return found

    # Arguments

    def size(self, *, nested: bool = False) -> int:
        if self.chance(2):
            return self.rng.choice((-1, 101, 1001))
        return self.rng.choice((0, 1, 1, 2, 3, 5, 7) if nested else (0, 1, 2, 3, 4, 5, 10, 20, 21, 50, 100))

    def order(self, entity: Entity) -> list[Any]:
        fields = [Name(n) for n in self.kinds[f"{entity.name}SortField"].values]
        terms: list[Any] = []
        for _ in range(self.rng.choice((0, 1, 1, 2, 2, 3))):
            direction = {"direction": Name(self.rng.choice(("ASC", "DESC")))} if self.chance(75) else {}
            terms.append({"field": self.rng.choice(fields)} | direction)
        return terms

    def where(self, entity: Entity, depth: int) -> dict[str, Any]:
        """A tree of conditions whose operands stand somewhere in the data."""
        found: dict[str, Any] = {}
        names = [n for n in self.kinds[f"{entity.name}Where"].fields if n not in ("and", "or", "not")]
        for name in self.rng.sample(names, min(len(names), self.rng.choice((0, 1, 1, 1, 2)))):
            one = entity.fields[name]
            if not isinstance(one.member, Relation):
                found[name] = self.operators(entity, one)
            elif depth and one.type.is_list:
                quantifiers = self.rng.sample(("some", "none", "every"), self.rng.choice((1, 1, 2)))
                found[name] = {q: self.where(self.registry.entity(one.type.name), depth - 1) for q in quantifiers}
            elif depth:
                found[name] = self.where(self.registry.entity(one.type.name), depth - 1)
        if depth and self.chance(25):
            found["not"] = self.where(entity, depth - 1)
        for name in ("and", "or"):
            if depth and self.chance(15):
                found[name] = [self.where(entity, depth - 1) for _ in range(self.rng.randrange(4))]
        if self.chance(3):
            found[self.rng.choice(names)] = None
        return found

    def operators(self, entity: Entity, one: Field) -> dict[str, Any]:
        offered = [*self.kinds[self.kinds[f"{entity.name}Where"].fields[one.field].type.name].fields]
        if "under" in offered and one.attribute.column != "manage" and self.chance(95):
            offered.remove("under")
        found: dict[str, Any] = {}
        for name in self.rng.sample(offered, min(len(offered), self.rng.choice((1, 1, 1, 2)))):
            match name:
                case "isNull":
                    found[name] = self.chance(50)
                case "in":
                    found[name] = [self.value(entity, one) for _ in range(self.rng.choice((0, 1, 3, 12)))]
                case "startsWith":
                    found[name] = str(self.value(entity, one))[: self.rng.choice((0, 1, 1, 2, 4))]
                case "under":
                    code = str(self.value(entity, one))
                    found[name] = self.rng.choice((code, *ancestors(code)))
                case _:
                    found[name] = self.value(entity, one)
            if self.chance(2):
                found[name] = None
        return found

    def value(self, entity: Entity, one: Field) -> Any:
        """A value of some row, hidden ones too, or one beside it; as a client writes it."""
        column, rows = one.attribute.column, self.tables.rows[entity.name]
        present = next((v for _ in range(20) if (v := self.rng.choice(rows)[column]) is not None), None)
        if present is None:
            return {"Boolean": True, "Int": 1, "Decimal": "1", "Date": "2024-01-01"}.get(one.type.name, "")
        if one.codes is not None:
            return Name(one.codes.by_code[present].name if self.chance(70) else self.rng.choice(one.codes.entries).name)
        if self.chance(25):
            if isinstance(present, date) and not isinstance(present, datetime):
                present += timedelta(self.rng.choice((-40, -1, 1, 40)))
            elif isinstance(present, int | Decimal) and not isinstance(present, bool):
                present += self.rng.choice((-1, 1))
        answer = written(one, present)
        if one.scalar is not None and isinstance(answer, str):
            try:
                one.scalar.parse(answer)
            except InvalidScalar:
                return self.value(entity, one) if self.chance(90) else answer
        return answer

    def key(self, entity: Entity) -> str:
        """A key that exists (visible or not), one that could, one written otherwise, or none at all."""
        rows, column = self.tables.rows[entity.name], entity.key.attribute.column
        key = str(self.rng.choice(rows)[column])
        if self.chance(85):
            return key
        if self.chance(10):
            return self.rng.choice(("", "x", "0", key + "0", "张"))
        if self.chance(15):
            return self.rng.choice((key.lower(), f" {key}", key.upper()))
        known = {str(row[column]) for row in rows}
        for _ in range(300):
            place = self.rng.randrange(len(key))
            drawn = self.rng.choice("0123456789" if key[place].isdigit() else "abcdXYZ")
            other = key[:place] + drawn + key[place + 1 :]
            if other not in known and _parses(entity, other):
                return other
        return key


BAD_IDS = ("", "!", "UHJvamVjdA==", encoded_unknown := base64.b64encode(b"Nothing:1").decode(), "UHJvamVjdDo=")


def encoded(type_name: str, key: str) -> str:
    return base64.b64encode(f"{type_name}:{key}".encode()).decode()


def _parses(entity: Entity, key: str) -> bool:
    try:
        return entity.key.scalar is not None and entity.key.scalar.parse(key) == key
    except InvalidScalar:
        return False


def _unique(found: Iterable[Pick | Spread], operations: Operations) -> None:
    """Own names for all fields of a fragment, since two types may give one name to different types of value."""
    names: dict[str, str] = {}
    for one in found:
        if isinstance(one, Spread):
            _unique(one.below, operations)
        elif not one.alias.startswith("u"):
            one.alias = names.setdefault(one.alias or one.name, f"u{operations.alias()}")


class _Text:
    """Writes one operation; with `lift`, some values become variables, given, defaulted or left out."""

    def __init__(self, kinds: Any, rng: Random, lift: bool) -> None:
        self.kinds, self.rng, self.lift = kinds, rng, lift
        self.declared: list[str] = []
        self.variables: dict[str, Any] = {}
        self.fragments: list[str] = []
        self.written: dict[int, str] = {}

    def operation(self, picks: list[Pick]) -> Operation:
        body = " ".join(self.selection(pick) for pick in picks)
        head = f"query ({', '.join(self.declared)}) " if self.declared else "query "
        return Operation("\n".join((f"{head}{{ {body} }}", *self.fragments)), self.variables)

    def selection(self, one: Pick | Spread) -> str:
        when = ""
        if one.when is not None:
            flag = self.value(GraphQLNonNull(self.kinds["Boolean"]), one.when[1])
            when = f" @{one.when[0]}(if: {flag})"
        below = f" {{ {' '.join(map(self.selection, one.below))} }}" if one.below is not None else ""
        if isinstance(one, Spread):
            on = f"on {one.condition}" if one.condition else ""
            if not one.named:
                return f"... {on}{when}{below}"
            self.fragments.append(f"fragment F{len(self.fragments) + 1} {on}{below}")
            return f"...F{len(self.fragments)}{when}"
        declared = self.kinds[one.parent].fields[one.name].args if one.arguments else {}
        if id(one.arguments) not in self.written:
            given = [f"{name}: {self.value(declared[name].type, value)}" for name, value in one.arguments.items()]
            # A field that is selected twice must have the same arguments, so the same variables, both times.
            self.written[id(one.arguments)] = f"({', '.join(given)})" if given else ""
        arguments = self.written[id(one.arguments)]
        alias = f"{one.alias}: " if one.alias else ""
        return f"{alias}{one.name}{arguments}{when}{below}"

    def value(self, kind: Any, value: Any) -> str:
        if self.lift and self.rng.randrange(100) < 45:
            return self.variable(kind, value)
        if value is None:
            return "null"
        inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if isinstance(inner, GraphQLList) and isinstance(value, list):
            return "[" + ", ".join(self.value(inner.of_type, item) for item in value) + "]"
        if isinstance(value, dict):
            fields = inner.fields if isinstance(inner, GraphQLInputObjectType) else {}
            parts = (f"{k}: {self.value(fields[k].type, v) if fields else _literal(v)}" for k, v in value.items())
            return "{" + ", ".join(parts) + "}"
        return _literal(value)

    def variable(self, kind: Any, value: Any) -> str:
        name = f"v{len(self.declared) + 1}"
        default = ""
        if value is not None and self.rng.randrange(100) < 12:
            default = f" = {_literal(value)}"
        else:
            self.variables[name] = json.loads(json.dumps(value))
        self.declared.append(f"${name}: {kind}{default}")
        return f"${name}"


def _literal(value: Any) -> str:
    match value:
        case Name():
            return str(value)
        case list():
            return "[" + ", ".join(map(_literal, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{k}: {_literal(v)}" for k, v in value.items()) + "}"
        case _:
            return json.dumps(value, ensure_ascii=False)


# Subjects and policies


def subjects(tables: Tables, rng: Random, many: int) -> list[Subject]:
    """Callers of every level and kind; territories, departments, holders and cases are those of some rows."""
    rows = [row["@"] for listed in tables.rows.values() for row in listed]
    regions = sorted({r.manage for r in rows} | {r.site for r in rows} - {"-"})
    nodes = sorted({c for r in regions for c in (r, *ancestors(r))} - {MINISTRY, UNRESOLVED, "-"})
    owners = sorted({r.owner_dept for r in rows} - {"-"})
    cases = sorted({r.case_no for r in rows} - {"-"})
    firms = sorted({r.holder_uscc for r in rows} - {"-"})
    people = sorted({r.holder_person for r in rows} - {"-"})
    kinds = ("HOUSING", "HOUSING", "HOUSING", "SUPERVISION_AGENCY", "EMERGENCY", "PLANNING", "DISCIPLINE", "DATA_AUTH")
    territorial = {
        Level.PROVINCE: [n for n in nodes if n.endswith("0000")],
        Level.CITY: [n for n in nodes if n.endswith("00") and not n.endswith("0000")],
        Level.COUNTY: [n for n in nodes if not n.endswith("00")],
    }
    fixed = [
        PUBLIC_SUBJECT,
        Subject("ministry", Level.MINISTRY, "HOUSING", Country(), dept="AJ000000-1"),
        Subject("corps", Level.PROVINCE, "HOUSING", territory_of(["660000"]), dept="AJ660000-1"),
        Subject("two", Level.PROVINCE, "HOUSING", territory_of(["420000", "330100", "320591"])),
        Subject("firm", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise=rng.choice(firms)),
        Subject("self", Level.PERSON, "PERSON", NoTerritory(), person=rng.choice(people)),
    ]
    for number in range(many - len(fixed)):
        level = rng.choice([*territorial, *territorial, Level.ENTERPRISE, Level.PERSON, Level.MINISTRY])
        own = sorted(rng.sample(territorial.get(level, nodes), rng.choice((1, 1, 1, 2, 3))))
        territory = NoTerritory() if level in (Level.ENTERPRISE, Level.PERSON) else territory_of(own)
        official = level in territorial or level is Level.MINISTRY
        near = [r for r in rows if r.case_no != "-" and any(r.manage.startswith(c.rstrip("0")) for c in own)]
        fixed.append(
            Subject(
                f"s{number}",
                level,
                rng.choice(kinds) if official else level.value,
                Country() if level is Level.MINISTRY else territory,
                roles=("case_handler",) if rng.randrange(2) else (),
                dept=rng.choice(owners) if official and rng.randrange(3) else None,
                enterprise=rng.choice(firms) if level is Level.ENTERPRISE else None,
                person=rng.choice(people) if level is Level.PERSON else None,
                purpose=rng.choice((None, "CASE", "CASE", "PLAN")),
                case_no=rng.choice(near).case_no if near and rng.randrange(3) else rng.choice(cases),
            )
        )
    return fixed


RELATIONS = ("any", "within", "own", "sub", "sup", "located", "other", "unknown", "owner", "holder", "case", "in")
CLASSES = ("PUBLIC", "SHARED", "CONDITIONAL", "RESTRICTED", "PERSONAL")


def rule(number: int, **cells: str) -> Rule:
    """A rule that applies to everyone at any time, but for the cells given."""
    usual = dict.fromkeys(("role", "level", "kind", "dept", "system", "purpose"), "*")
    usual |= {"obj": "PUBLIC", "act": "clear", "rel": "any", "scope": "-", "smin": "0", "smax": "9"}
    usual |= {"valid_from": "-", "valid_to": "-", "eft": "allow", "reason": "test"}
    return Rule(id=f"T{number}", **(usual | cells))


def open_revision() -> Revision:
    """Everything clear for everyone, unresolved rows for whoever has a territory."""
    pairs = [(name, rel) for name in CLASSES for rel in ("any", "unknown")]
    opened = [rule(i, obj=name, rel=rel) for i, (name, rel) in enumerate(pairs)]
    default = load_default()
    return Revision(tuple(opened), default.classes, default.kinds)


def hostile_revision(rng: Random, registry: Registry, nodes: list[str]) -> Revision:
    """A policy that nobody would write: shuffled classes, denies, windows, purposes, rules for single fields."""
    default = load_default()
    classes = {obj: rng.choice(CLASSES[:3]) if rng.randrange(6) == 0 else name for obj, name in default.classes.items()}
    classes = {obj: name for obj, name in classes.items() if obj.endswith("__row__") or rng.randrange(25)}
    objects = sorted(registry.proposals())
    governed = [o for o in objects if registry.entity_of(o).governed.by != "none"]
    rules = [rule(0, smax=rng.choice(("0", "6"))), rule(1, obj="SHARED", rel=rng.choice(("any", "within", "other")))]
    for number in range(2, rng.randrange(8, 30)):
        rel = rng.choice(RELATIONS)
        obj = rng.choice(CLASSES) if rng.randrange(3) else rng.choice(objects if rel == "any" else governed)
        denied = rng.randrange(4) == 0
        act = "mask" if rng.randrange(2) and not (obj.endswith("__row__") and not denied) else "clear"
        if rel == "in" and (obj == "RESTRICTED" or classes.get(obj) == "RESTRICTED"):
            rel = "within"
        cells = {"obj": obj, "act": act, "rel": rel, "eft": "deny" if denied else "allow"}
        cells |= {"scope": "|".join(rng.sample(nodes, 2)) if rel == "in" else "-"}
        low = rng.choice((0, 0, 0, 3, 6))
        cells |= {"smin": str(low), "smax": str(rng.randrange(low, 10))}
        for column, values in (
            ("level", ("PROVINCE", "CITY", "COUNTY", "PUBLIC")), ("kind", ("HOUSING", "ENTERPRISE")),
            ("system", ("SAFETY", "SHARED")), ("purpose", ("CASE",)), ("role", ("case_handler",)),
            ("valid_from", (str(BEGUN), str(FAR))), ("valid_to", (str(BEGUN), str(FAR + 1))),
        ):  # fmt: skip
            if rng.randrange(10) == 0:
                cells[column] = rng.choice(values)
        if cells.get("valid_from", "-") != "-" and cells.get("valid_to") == str(BEGUN):
            del cells["valid_to"]
        rules.append(rule(number, **cells))
    return Revision(tuple(rules), classes, default.kinds)


def nodes_of(tables: Tables) -> list[str]:
    """Supervision nodes that manage some row."""
    known = load_regions()
    found = {row["@"].manage for rows in tables.rows.values() for row in rows}
    return sorted(code for code in found if known.is_node(code) and code != MINISTRY)
