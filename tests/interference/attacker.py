"""An attacker that knows the schema, one record's key, and two numbers of which one is that record's.

Everything it does follows from introspection: it has no list of our entities, and no word from our rules. It asks the
same in two worlds that differ in the number alone; whatever is answered differently tells the number. Where an answer
singles one digit out of ten, it goes on to the next.
"""

from __future__ import annotations

import base64
import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLScalarType,
    build_client_schema,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
)

from tests.interference.product import Product, Request
from tests.interference.questions import body_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEPTH = 3
"""Relations that a condition goes over."""
DIGITS = "0123456789X"
_TAKEN = {"and", "or", "not"}
_SOME_NO = "4201062603180101"


@dataclass(frozen=True)
class Target:
    """Whose number is wanted: a type, its key and what it is called by."""

    type: str
    field: str
    key: str
    wanted: str = "idNo"


@dataclass(frozen=True)
class Leaf:
    """An attribute that a condition can name: its root, the path of (relation, whether many), and its operators."""

    root: str
    entity: str
    path: tuple[tuple[str, bool], ...]
    owner: str
    field: str
    filter: GraphQLInputObjectType

    @property
    def name(self) -> str:
        """Where it stands."""
        return ".".join((self.root, *(step for step, _ in self.path), self.field))


@dataclass(frozen=True)
class Probe:
    """One question that could tell: what it plays with, and the request."""

    kind: str
    name: str
    request: Request
    questions: int = 1


class Attacker:
    """Reads the schema, makes the probes, plays the game."""

    def __init__(self, introspected: dict[str, Any], targets: list[Target]) -> None:
        self.schema = build_client_schema(introspected)  # type: ignore[arg-type]
        self.targets = {target.type: target for target in targets}
        self.roots = self.schema.query_type.fields if self.schema.query_type else {}

    @staticmethod
    async def read(product: Product, headers: Mapping[str, str]) -> dict[str, Any]:
        """The schema as anybody may read it who has a token."""
        observed = await product.observe(Request(body_of(get_introspection_query(), {})), headers)
        data: dict[str, Any] = json.loads(observed.body)["data"]
        return data

    # What can be asked

    def leaves(self) -> Iterator[Leaf]:
        """Every attribute of every condition, reached from every list over at most three relations."""
        for root, one in self.roots.items():
            if "where" in one.args:
                where = get_named_type(one.args["where"].type)
                entity = get_named_type(one.type).name.removesuffix("Connection")
                yield from self._below(root, entity, (), entity, where)

    def _below(self, root: str, entity: str, path: Any, owner: str, where: Any) -> Iterator[Leaf]:
        for name, one in where.fields.items():
            kind = get_named_type(one.type)
            if name in _TAKEN or not isinstance(kind, GraphQLInputObjectType):
                continue
            many = "some" in kind.fields
            if not many and not kind.name.endswith("Where"):
                yield Leaf(root, entity, path, owner, name, kind)
            elif len(path) < DEPTH:
                inner = get_named_type(kind.fields["some"].type) if many else kind
                target = inner.name.removesuffix("Where")
                yield from self._below(root, entity, (*path, (name, many)), target, inner)

    def guess(self, kind: Any, number: str) -> Any:
        """A value for an argument of a type: the number wherever one fits, or part of it."""
        inner = get_nullable_type(kind)
        if isinstance(inner, GraphQLList):
            return [self.guess(inner.of_type, number)]
        if isinstance(inner, GraphQLEnumType):
            return next(iter(inner.values))
        name = inner.name if isinstance(inner, GraphQLScalarType) else ""
        known = {
            "Int": int(number[6:10]), "Boolean": True, "Decimal": number[6:10], "RegionCode": number[:6],
            "Date": f"{number[6:10]}-{number[10:12]}-{number[12:14]}", "ProjectNo": _SOME_NO,
            "DateTime": f"{number[6:10]}-{number[10:12]}-{number[12:14]}T00:00:00Z",
        }  # fmt: skip
        return known.get(name, number)

    def conditions(self, leaf: Leaf, number: str) -> Iterator[tuple[str, Any]]:
        """Conditions on one attribute: every operator, over relations by every quantifier, plain, negated and in `or`.

        At the target's own type the record is pinned by its key. Every form for what is wanted; elsewhere they take
        turns, one for each operator.
        """
        forms = itertools.cycle(itertools.product(("some", "none", "every"), ("plain", "not", "or")))
        wanted = leaf.owner in self.targets and leaf.field == self.targets[leaf.owner].wanted
        for operator, one in leaf.filter.fields.items():
            chosen = (
                list(itertools.product(("some", "none", "every"), ("plain", "not", "or"))) if wanted else [next(forms)]
            )
            if not any(many for _, many in leaf.path):
                chosen = [form for form in chosen if form[0] == "some"] or [("some", chosen[0][1])]
            for quantifier, wrapped in chosen:
                value = self.guess(one.type, number)
                yield f"{operator} {quantifier} {wrapped}", self.condition(leaf, {operator: value}, quantifier, wrapped)

    def condition(self, leaf: Leaf, operators: Any, quantifier: str = "some", wrapped: str = "plain") -> Any:
        """The whole `where`."""
        inner: dict[str, Any] = {leaf.field: operators}
        if leaf.owner in self.targets:
            target = self.targets[leaf.owner]
            pin = {target.field: {"eq": target.key}}
            inner = pin if leaf.field == target.field else {**inner, **pin}
            if wrapped == "not":
                inner = {**pin, "not": {leaf.field: operators}}
        if wrapped == "or":
            inner = {"or": [inner, {**inner, "not": inner}]}
        elif wrapped == "not" and leaf.owner not in self.targets:
            inner = {"not": inner}
        for name, many in reversed(leaf.path):
            inner = {name: {quantifier: inner} if many else inner}
        return inner

    def page(self, leaf: Leaf, wheres: list[Any]) -> Request:
        """One operation with a page for every condition."""
        declared = ", ".join(f"$w{i}: {leaf.entity}Where" for i in range(len(wheres)))
        pages = " ".join(f"a{i}: {leaf.root}(first: 1, where: $w{i}) {{ ...P }}" for i in range(len(wheres)))
        shown = "totalCount pageInfo { hasNextPage startCursor } nodes { id }"
        query = f"query({declared}) {{ {pages} }} fragment P on {leaf.entity}Connection {{ {shown} }}"
        return Request(body_of(query, {f"w{i}": where for i, where in enumerate(wheres)}))

    # Probes

    def probes(self, number: str) -> Iterator[Probe]:
        """Everything worth asking with a number in mind."""
        for leaf in self.leaves():
            listed = list(self.conditions(leaf, number))
            for start in range(0, len(listed), 9):
                part = listed[start : start + 9]
                request = self.page(leaf, [where for _, where in part])
                yield Probe("filter", f"{leaf.name} {part[0][0]}", request, len(part))
        for root, one in self.roots.items():
            if "orderBy" in one.args:
                yield from self._orders(root, one)
                yield from self._cursors(root, number)
            elif len(one.args) == 1:
                yield from self._keys(root, one, number)
        yield from self._values(number)

    def _orders(self, root: str, one: Any) -> Iterator[Probe]:
        order = get_named_type(one.args["orderBy"].type)
        names = [*get_named_type(order.fields["field"].type).values]
        for name in names:
            for direction, border in itertools.product(("ASC", "DESC"), ("first", "last")):
                given = f"{border}: 7, orderBy: [{{field: {name}, direction: {direction}}}]"
                text = f"{{ {root}({given}) {{ nodes {{ id }} pageInfo {{ startCursor endCursor hasNextPage }} }} }}"
                yield Probe("order", f"{root} {name} {direction} {border}", Request(body_of(text, {})))

    def _cursors(self, root: str, number: str) -> Iterator[Probe]:
        """Boundaries that are keys of the record, the number itself, or nothing that was ever given out."""
        keys = [*(target.key for target in self.targets.values()), number, number[:17], number[6:14]]
        cursors = ["k" + base64.b64encode(key.encode()).decode() for key in keys]
        cursors += [
            "e" + base64.urlsafe_b64encode(f'["{number}"]'.encode()).decode(),
            number,
            "k" + number,
            "e" + number,
        ]
        for cursor, (size, border) in itertools.product(cursors, (("first", "after"), ("last", "before"))):
            query = (
                f"query($c: String) {{ {root}({size}: 2, {border}: $c) {{ nodes {{ id }} pageInfo {{ endCursor }} }} }}"
            )
            yield Probe("cursor", f"{root} {border} {cursor[:9]}", Request(body_of(query, {"c": cursor})))

    def _keys(self, root: str, one: Any, number: str) -> Iterator[Probe]:
        """Records by key, of every type, the number among the keys; representations that name more than a key."""
        (name, argument) = next(iter(one.args.items()))
        types = [t for t in self.schema.type_map.values() if isinstance(t, GraphQLObjectType) and t.interfaces]
        keys = [number, *(target.key for target in self.targets.values())]
        ids = [base64.b64encode(f"{t.name}:{key}".encode()).decode() for t in types for key in keys]
        found = [{"__typename": t.type, t.field: t.key, t.wanted: number} for t in self.targets.values()]
        found += [{"__typename": t.type, t.field: number, t.wanted: number} for t in self.targets.values()]
        listed: dict[str, list[Any]] = {"id": ids, "ids": [ids], "representations": [found, [*found, *found]]}
        kind = get_named_type(one.type)
        shown = "__typename" if not isinstance(kind, GraphQLObjectType) else "id"
        for i, value in enumerate(listed.get(name, keys)):
            query = f"query($v: {argument.type}) {{ {root}({name}: $v) {{ {shown} }} }}"
            yield Probe("key", f"{root} {i}", Request(body_of(query, {"v": value})))

    def _values(self, number: str) -> Iterator[Probe]:
        """The record itself with every field of its type, remote ones and their arguments included."""
        for target in self.targets.values():
            root, kind = target.type[0].lower() + target.type[1:], self.schema.type_map[target.type]
            fields = kind.fields if isinstance(kind, GraphQLObjectType) else {}
            for name, one in fields.items():
                arguments = {a: self.guess(arg.type, number) for a, arg in one.args.items() if a != "where"}
                declared = "".join(f", ${a}: {one.args[a].type}" for a in arguments if a != "orderBy")
                given = ", ".join(f"{a}: ${a}" for a in arguments if a != "orderBy")
                field = f"{name}({given})" if given else name
                below = "" if not isinstance(get_named_type(one.type), GraphQLObjectType) else self._all(one)
                query = (
                    f"query($k: {self.roots[root].args[target.field].type}{declared})"
                    f" {{ {root}({target.field}: $k) {{ {field} {below} _disclosure {{ field verdict }} }} }}"
                )
                variables = {a: v for a, v in arguments.items() if a != "orderBy"} | {"k": target.key}
                yield Probe("value", f"{target.type}.{name}", Request(body_of(query, variables)))

    def _all(self, one: Any) -> str:
        kind: Any = get_named_type(one.type)
        plain = [n for n, f in kind.fields.items() if not f.args and not hasattr(get_named_type(f.type), "fields")]
        return "{ " + " ".join(plain or ["__typename"]) + " }"
