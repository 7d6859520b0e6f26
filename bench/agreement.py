"""Equal work: before anything is timed, every system must give the product's answer.

F1 must equal it exactly, as each role. F2 and the peers know no policy: they are compared with what the ministry is
shown, without the leaves that the answer itself says are masked or denied (`extensions.disclosure`); F2 leaves codes as
they are stored, so the product's names are translated. Keys are chosen so that no row is hidden (`bench.workload`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLSchema, TypeInfo, TypeInfoVisitor, Visitor, parse, visit
from graphql.language import FieldNode

from bench.systems import PRODUCT, System
from bench.workload import OPERATIONS, ROLES
from schema.registry import Registry, load_registry
from schema.sdl import build_schema

Place = tuple[str, ...]
"""Response keys from the root field's value down; lists have no step, nor has the connection around a page's nodes."""
KEYS_COMPARED = 5


class Disagreement(AssertionError):
    """A system's answer is not the product's; says where they part."""


def coordinates(schema: GraphQLSchema, document: str) -> dict[Place, str]:
    """The schema coordinate of every field of a document with one root, by its place."""
    info = TypeInfo(schema)
    found: dict[Place, str] = {}
    keys: list[str] = []

    class Fields(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            keys.append(node.alias.value if node.alias else node.name.value)
            parent = info.get_parent_type()
            place = tuple(keys[1:])
            found[place[1:] if place[:1] == ("nodes",) else place] = f"{parent}.{node.name.value}"

        def leave_field(self, *_: Any) -> None:
            keys.pop()

    visit(parse(document), TypeInfoVisitor(info, Fields()))
    return found


def without(value: Any, places: set[Place], here: Place = ()) -> Any:
    """A copy of an answer without the leaves at these places."""
    if isinstance(value, list):
        return [without(item, places, here) for item in value]
    if isinstance(value, dict):
        return {key: without(v, places, (*here, key)) for key, v in value.items() if (*here, key) not in places}
    return value


def coded(value: Any, lists: Mapping[Place, Mapping[str, str]], here: Place = ()) -> Any:
    """A copy of an answer with enum names at these places as stored codes."""
    if isinstance(value, list):
        return [coded(item, lists, here) for item in value]
    if isinstance(value, dict):
        return {key: coded(v, lists, (*here, key)) for key, v in value.items()}
    return lists[here][value] if here in lists and value is not None else value


def difference(ours: Any, theirs: Any, here: str = "") -> str:
    """Where two answers part first, or nothing."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ours.keys() == theirs.keys():
        return next((found for key in ours if (found := difference(ours[key], theirs[key], f"{here}.{key}"))), "")
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return next((found for i, (a, b) in pairs if (found := difference(a, b, f"{here}[{i}]"))), "")
    return "" if ours == theirs else f"at {here or 'the root'} {repr(ours)[:200]} is not {repr(theirs)[:200]}"


class Agreement:
    """Compares systems with the product."""

    def __init__(self) -> None:
        self._registry = load_registry()
        self._schema = build_schema(self._registry).graphql
        self.left_out: dict[str, list[str]] = {}
        """By operation, the coordinates that the ministry is not shown clear, which only F1 is compared on."""

    def check(self, systems: Mapping[str, System], operations: list[str], keys: list[str]) -> None:
        """Compare all with the product, for some keys; raises `Disagreement`."""
        chosen = keys[:: max(1, len(keys) // KEYS_COMPARED)][:KEYS_COMPARED]
        for operation in operations:
            for key in chosen:
                for role in ROLES:
                    self._compare(systems, operation, key, role)

    def _compare(self, systems: Mapping[str, System], operation: str, key: str, role: str) -> None:
        product = systems[PRODUCT]
        decoded = product.ask(product.request(operation, key, role))
        ours = product.value(operation, decoded)
        if not ours:
            raise Disagreement(f"{operation} of {key} as {role} is empty")
        named = coordinates(self._schema, OPERATIONS[operation])
        verdicts = {entry["coordinate"]: entry["verdict"] for entry in decoded["extensions"]["disclosure"]}
        masked = {place for place, name in named.items() if verdicts.get(name) in ("MASKED", "DENIED")}
        shown = without(ours, masked)
        if role == "ministry":
            self.left_out[operation] = sorted(named[place] for place in masked)
        for name, system in systems.items():
            exact = name.startswith("F1")
            if name == PRODUCT or (role != "ministry" and not exact):
                continue
            theirs = system.value(operation, system.ask(system.request(operation, key, role)))
            expected = coded(shown, self._codes(named)) if name == "F2" else shown
            found = difference(ours, theirs) if exact else difference(expected, without(theirs, masked))
            if found:
                raise Disagreement(f"{name}, {operation} of {key} as {role}: {found}")

    def _codes(self, named: Mapping[Place, str]) -> dict[Place, dict[str, str]]:
        lists = {}
        for place, coordinate in named.items():
            codes = _codes_of(self._registry, coordinate)
            if codes:
                lists[place] = codes
        return lists


def _codes_of(registry: Registry, coordinate: str) -> dict[str, str]:
    """Enum name to stored code of an attribute, if it has a code list."""
    owner, _, name = coordinate.partition(".")
    entity = registry.entities.get(owner)
    field = entity.fields.get(name) if entity else None
    return {entry.name: entry.code for entry in field.codes.entries} if field and field.codes else {}
