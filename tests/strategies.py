"""Random operations over the whole schema, drawn from the data so that they meet hidden values.

Everything comes from a `random.Random`, so a seed names an operation. Each operation is written twice: with its values
as literals, and with some of them as variables; both ask the same.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from random import Random
from typing import Any

from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLSchema, get_named_type

from schema.declare import Relation, Remote
from schema.regions import ancestors
from schema.registry import Entity, Field, Registry, TypeKind
from schema.scalars import InvalidScalar
from tests.operation_text import Name, Operation, Pick, Spread, Text
from tests.reference_rows import Tables, written


class Operations:
    """Draws operations; `cursors` are page cursors of earlier answers with the walk they belong to."""

    def __init__(self, tables: Tables, registry: Registry, schema: GraphQLSchema) -> None:
        self.tables, self.registry, self.schema = tables, registry, schema
        self.kinds: Any = schema.type_map
        # The long tables are drawn less often, since they would take most of the time.
        self.roots: list[Entity] = []
        for entity in registry.entities.values():
            self.roots += [entity] * (
                1 if len(tables.rows[entity.name]) > 2_000 else 3 if tables.rows[entity.name] else 0
            )
        self.cursors: list[tuple[str, Any, str]] = []
        """Entity, `orderBy` as it was given, and a cursor."""

    def draw(self, rng: Random) -> tuple[Operation, Operation]:
        """The same operation with literals and with variables."""
        self.rng, self._aliases = rng, 0
        picks = [self.root() for _ in range(rng.choice((1, 1, 1, 1, 2, 3)))]
        seed = rng.getrandbits(32)
        return tuple(Text(self.kinds, Random(seed), lift).operation(picks) for lift in (False, True))  # type: ignore[return-value]

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
        entity = self.rng.choice(self.roots)
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
            entities = [self.rng.choice(self.roots) for _ in range(self.rng.randrange(5))]
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
        # What other systems say has tests of its own: the reference knows the ministry's rows only.
        listed = [one for one in entity.fields.values() if not isinstance(one.member, Remote)]
        plain = [f for f in listed if not isinstance(f.member, Relation)]
        links = [f for f in listed if isinstance(f.member, Relation)]
        chosen = self.rng.sample(plain, min(len(plain), self.rng.choice((0, 1, 1, 2, 3, 6))))
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
                    found[name] = self.rng.choice((code, *ancestors(code))) if code else code
                case _:
                    found[name] = self.value(entity, one)
            if self.chance(2):
                found[name] = None
        return found

    def value(self, entity: Entity, one: Field) -> Any:
        """A value of some row, hidden ones too, or one beside it; as a client writes it."""
        column, rows = one.attribute.column, self.tables.rows[entity.name]
        drawn = (self.rng.choice(rows)[column] for _ in range(20 if rows else 0))
        present = next((value for value in drawn if value is not None), None)
        if present is None:
            return {"Boolean": True, "Int": 1, "Decimal": "1", "Date": "2024-01-01"}.get(one.type.name, "")
        if one.codes is not None:
            return Name(one.codes.by_code[present].name if self.chance(70) else self.rng.choice(one.codes.entries).name)
        if self.chance(25):
            if isinstance(present, date) and not isinstance(present, datetime):
                near = present.toordinal() + self.rng.choice((-40, -1, 1, 40))
                present = date.fromordinal(min(max(near, 1), date.max.toordinal()))
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


def encoded(type_name: str, key: str) -> str:
    return base64.b64encode(f"{type_name}:{key}".encode()).decode()


def _parses(entity: Entity, key: str) -> bool:
    try:
        return entity.key.scalar is not None and entity.key.scalar.parse(key) == key
    except InvalidScalar:
        return False


BAD_IDS = ("", "!", "UHJvamVjdA==", encoded("Nothing", "1"), "UHJvamVjdDo=")


def _unique(found: Iterable[Pick | Spread], operations: Operations) -> None:
    """Own names for all fields of a fragment, since two types may give one name to different types of value."""
    names: dict[str, str] = {}
    for one in found:
        if isinstance(one, Spread):
            _unique(one.below, operations)
        elif not one.alias.startswith("u"):
            one.alias = names.setdefault(one.alias or one.name, f"u{operations.alias()}")
