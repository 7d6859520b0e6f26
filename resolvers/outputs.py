"""A selection on an entity into the outputs of a decided tree: what is denied never gets further than a constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from adapters.base import (
    Cell,
    Constant,
    DisclosureList,
    GlobalId,
    Group,
    Limit,
    Linked,
    Listed,
    Node,
    Output,
    Placeholder,
)
from resolvers.decided import Decided, Seen
from resolvers.errors import BadPageSize, TooCostly, TooManyRows
from resolvers.filters import FilterReader
from resolvers.selection import Leaf, Selected, SelectionReader
from resolvers.slots import RemoteSlot
from resolvers.variables import bucket_of
from schema.declare import Attribute, Relation, Remote
from schema.predicate import ALWAYS, NEVER, Always, Never, Predicate, Ref, all_of, negate
from schema.registry import Entity, Field, Registry, TypeKind
from schema.sdl import NESTED_AT_MOST

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VERDICTS_AT_MOST = 12
WIDTH, _WIDTH_PER_COST = 100, 2_500
"""Bytes reckoned for a field with its key, and more for one that declares a cost (a photo: 20, so about 50 KB)."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most an operation may cost, and the most bytes its answer could have."""

    cost: int
    bytes: int


@dataclass(slots=True)
class Drafted:
    """What one plan gathers while its outputs are made."""

    letters: int = 0
    cost: int = 0
    size: int = 0
    """Bytes that the answer could have."""
    disclosure: dict[str, str] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    slots: list[RemoteSlot] = field(default_factory=list)

    def letter(self) -> str:
        """The next slot letter of an audit record."""
        if self.letters == len(_LETTERS):
            raise TooCostly(f"more than {len(_LETTERS)} objects in one root field")
        self.letters += 1
        return _LETTERS[self.letters - 1]

    def disclose(self, coordinate: str, verdict: str | None) -> None:
        """Note a coordinate that is not clear throughout; several places keep the weakest statement."""
        if verdict is not None:
            known = self.disclosure.setdefault(coordinate, verdict)
            if known != verdict:
                self.disclosure[coordinate] = "CONDITIONAL"


def charge(drafted: Drafted, budget: Budget, amount: int, width: int = 0) -> None:
    """Reckon cost and bytes of a part of the answer; raises `TooCostly` or `TooManyRows` where the budget ends."""
    drafted.cost += amount
    drafted.size += width
    if drafted.cost > budget.cost:
        raise TooCostly(f"the static cost exceeds {budget.cost}")
    if drafted.size > budget.bytes:
        raise TooManyRows(f"the answer could exceed {budget.bytes} bytes")


class RemoteOutputs(Protocol):
    """What makes the outputs of remote fields."""

    def output(
        self,
        entity: Entity,
        declared: Field,
        seen: Seen,
        selected: Selected,
        path: tuple[str | int, ...],
        multiplicity: int,
    ) -> Output: ...


class OutputReader:
    """Makes the outputs of one statement."""

    def __init__(
        self,
        registry: Registry,
        reader: SelectionReader,
        decided: Decided,
        filters: FilterReader,
        drafted: Drafted,
        budget: Budget,
        remotes: RemoteOutputs,
    ) -> None:
        self.registry = registry
        self.reader = reader
        self.decided = decided
        self.filters = filters
        self.drafted = drafted
        self.budget = budget
        self.remotes = remotes

    def node(self, entity: Entity, sets: Any, path: tuple[str | int, ...], multiplicity: int) -> Node:
        """The node of an entity with all that is selected on it; rows hidden by policy are hidden by its `row`."""
        row = self.decided.row(entity)
        if not isinstance(row, Always):
            self.drafted.disclose(entity.row, "DENIED" if isinstance(row, Never) else "CONDITIONAL")
        letter = self.drafted.letter()
        charge(self.drafted, self.budget, multiplicity)
        slots_before = len(self.drafted.slots)
        disclosable: list[tuple[str, Seen]] = []
        drafts = [
            self._output(entity, selected, path, multiplicity, disclosable)
            for selected in self.reader.below(entity.name, sets)
        ]
        outputs: list[Output] = [
            DisclosureList(o.key, _disclosure_items(o, disclosable)) if isinstance(o, DisclosureList) else o
            for o in drafts
        ]
        verdicts = _conditional(outputs)
        if len(verdicts) > _VERDICTS_AT_MOST:
            raise TooCostly("too many different conditions on one object")
        where = ".".join(step for step in path if isinstance(step, str))
        node = Node(
            entity, row, tuple(outputs), letter, where, verdicts, ordinal=len(self.drafted.slots) > slots_before
        )
        self.drafted.nodes.append(node)
        return node

    def _output(
        self,
        entity: Entity,
        selected: Selected,
        path: tuple[str | int, ...],
        multiplicity: int,
        disclosable: list[tuple[str, Seen]],
    ) -> Output:
        key = selected.key
        if selected.name == "__typename":
            return Constant(key, orjson.dumps(entity.name).decode())
        if selected.name == "id":
            return GlobalId(key)
        if selected.name == "_disclosure":
            # Completed by `node`, when all other fields of the object are known.
            below = self.reader.below("Disclosure", selected.sets)
            return DisclosureList(key, tuple((ALWAYS, s.key + ":" + s.name) for s in below))
        declared = entity.fields[selected.name]
        if isinstance(declared.member, Relation):
            return self._relation(entity, declared, selected, path, multiplicity, disclosable)
        seen = self.decided.field(entity, declared)
        self.drafted.disclose(declared.coordinate, seen.name)
        disclosable.append((declared.field, seen))
        if isinstance(declared.member, Remote):
            return self.remotes.output(entity, declared, seen, selected, path, multiplicity)
        if isinstance(declared.member, Attribute):
            width = WIDTH + declared.member.cost * _WIDTH_PER_COST
            charge(self.drafted, self.budget, multiplicity * declared.member.cost, multiplicity * width)
        if isinstance(seen.masked, Never) and isinstance(seen.clear, Never):
            return Constant(key, "null")
        if declared.type.kind is TypeKind.VALUE:
            return self._group(declared, seen, selected)
        return Cell(key, declared, seen.clear, seen.masked)

    def _group(self, declared: Field, seen: Seen, selected: Selected) -> Output:
        if isinstance(seen.clear, Never):
            return Constant(selected.key, "null")
        fields = self.registry.values[declared.type.name].fields
        parts: list[Cell | Constant] = []
        for part in self.reader.below(declared.type.name, selected.sets):
            if part.name == "__typename":
                parts.append(Constant(part.key, orjson.dumps(declared.type.name).decode()))
            else:
                parts.append(Cell(part.key, fields[part.name], ALWAYS, ALWAYS))
        return Group(selected.key, declared, seen.clear, tuple(parts))

    def _relation(
        self,
        entity: Entity,
        declared: Field,
        selected: Selected,
        path: tuple[str | int, ...],
        multiplicity: int,
        disclosable: list[tuple[str, Seen]],
    ) -> Output:
        relation = declared.member
        if not isinstance(relation, Relation):
            raise TypeError(declared.coordinate)
        target = self.registry.entity(declared.type.name)
        row = self.decided.row(target)
        if not declared.type.is_list:
            local = self.decided.field(entity, entity.by_name[relation.by])
            if isinstance(local.clear, Never) or isinstance(row, Never):
                return self._denied(declared, selected, disclosable)
            self.drafted.disclose(declared.coordinate, local.name)
            disclosable.append((declared.field, local))
            node = self.node(target, selected.sets, (*path, selected.key), multiplicity)
            return Linked(selected.key, declared, local.clear, node)
        foreign = self.decided.field(target, target.by_name[relation.by])
        if isinstance(foreign.clear, Never) or isinstance(row, Never):
            return self._denied(declared, selected, disclosable)
        self.drafted.disclose(declared.coordinate, foreign.name)
        limit, size = nested_limit(selected)
        where = all_of([foreign.clear, self.filters.where(target, selected.arguments.get("where"))])
        order = self.filters.order(target, selected.arguments.get("orderBy"), relation.order)
        node = self.node(target, selected.sets, (*path, selected.key, 0), multiplicity * size)
        return Listed(selected.key, declared, node, where, order, limit)

    def _denied(self, declared: Field, selected: Selected, disclosable: list[tuple[str, Seen]]) -> Constant:
        self.drafted.disclose(declared.coordinate, "DENIED")
        disclosable.append((declared.field, Seen(NEVER, NEVER, False)))
        return Constant(selected.key, "null")


def _disclosure_items(
    template: DisclosureList, disclosable: Sequence[tuple[str, Seen]]
) -> tuple[tuple[Predicate, str], ...]:
    """The fragments of an object's `_disclosure`; a fragment holds field names only, so it is a plan's constant."""
    keys = [text.split(":", 1) for _, text in template.items]
    found: list[tuple[Predicate, str]] = []
    for name, seen in dict(disclosable).items():
        masked = NEVER if seen.masked == seen.clear else all_of([seen.masked, negate(seen.clear)])
        for verdict, when in (("MASKED", masked), ("DENIED", negate(seen.masked))):
            if not isinstance(when, Never):
                values = {"field": name, "verdict": verdict, "__typename": "Disclosure"}
                found.append((when, orjson.dumps({k: values[n] for k, n in keys}).decode()))
    return tuple(found)


def nested_limit(selected: Selected) -> tuple[Limit, int]:
    """The limit of a list below a record and the rows to reckon with; raises `BadPageSize`."""
    first: Leaf = selected.arguments["first"]
    size = int(first.value)
    if not 0 <= size <= NESTED_AT_MOST:
        raise BadPageSize(f"{selected.name}: first must be between 0 and {NESTED_AT_MOST}")
    return limit_of(first, size)


def limit_of(leaf: Leaf, size: int) -> tuple[Limit, int]:
    """The limit of a list and the rows to reckon with: a literal of the document is exact, a variable has a bucket."""
    if leaf.ref.source == "constant":
        return Limit(size), size
    bucket = bucket_of(size)
    return Limit(bucket, Ref(leaf.ref.source, leaf.ref.path, "integer")), bucket


def _conditional(outputs: Sequence[Output]) -> tuple[Predicate, ...]:
    """The distinct predicates over the row on which the cells of one object depend, in order."""
    found: dict[Predicate, None] = {}
    for output in outputs:
        predicates: tuple[Predicate, ...] = ()
        if isinstance(output, Cell):
            predicates = (output.clear, output.masked)
        elif isinstance(output, Group | Linked):
            predicates = (output.clear,)
        elif isinstance(output, Placeholder):
            predicates = (output.clear, *output.bits)
        for predicate in predicates:
            if not isinstance(predicate, Always | Never):
                found[predicate] = None
    return tuple(found)
