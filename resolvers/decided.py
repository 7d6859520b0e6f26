"""A decision in the form that plans are made from: values lifted out, so that subjects of one shape share a plan."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from schema.predicate import (
    ALWAYS,
    Always,
    And,
    Eq,
    In,
    Never,
    Not,
    Or,
    Predicate,
    Range,
    Ref,
    Some,
    Value,
)
from schema.registry import Entity, Field


@dataclass(frozen=True, slots=True)
class Seen:
    """A verdict with its values lifted: clear, at least masked, and whether clear is certain for every visible row."""

    clear: Predicate
    masked: Predicate
    certain: bool

    @property
    def name(self) -> str | None:
        """What `extensions.disclosure` says of it; `None` for what is always clear."""
        if isinstance(self.clear, Always):
            return None
        if isinstance(self.masked, Never) and isinstance(self.clear, Never):
            return "DENIED"
        return "MASKED" if isinstance(self.masked, Always) and isinstance(self.clear, Never) else "CONDITIONAL"


CLEAR = Seen(ALWAYS, ALWAYS, True)


class VerdictLike(Protocol):
    """What the policy package answers for one policy object."""

    @property
    def clear(self) -> Predicate: ...
    @property
    def masked(self) -> Predicate: ...
    @property
    def rules(self) -> tuple[str, ...]: ...
    @property
    def provable_clear(self) -> bool: ...


class DecisionLike(Protocol):
    """A decision as `policy` makes it; resolvers only read it."""

    def row(self, entity: Entity) -> VerdictLike: ...
    def field(self, entity: Entity, field: Field) -> VerdictLike: ...
    def part(self, entity: Entity, coordinate: str) -> VerdictLike: ...
    def covered(self, coordinate: str, act: str, codes: tuple[str, ...]) -> bool: ...


PolicyObject = tuple[str, str]
"""(entity name, coordinate): a remote part is decided on the row of the entity it hangs on."""


class Decided:
    """Answers the planner: verdicts of the policy objects that the operation needs."""

    def __init__(self, seen: dict[PolicyObject, Seen]) -> None:
        self._seen = seen

    def row(self, entity: Entity) -> Predicate:
        """The lifted row predicate."""
        return self._seen[entity.name, entity.row].clear

    def field(self, entity: Entity, field: Field) -> Seen:
        """The lifted verdict of an attribute; the key carries the row's, so it is clear for every visible row."""
        governing = entity.policy_object(field)
        return CLEAR if governing == entity.row else self._seen[entity.name, governing]

    def part(self, entity: Entity, coordinate: str) -> Seen:
        """The lifted verdict of a remote value's part."""
        return self._seen[entity.name, coordinate]


class Recorder(Decided):
    """Allows everything and notes what was asked: which policy objects an operation needs, whoever the caller."""

    def __init__(self) -> None:
        super().__init__({})
        self.objects: dict[PolicyObject, None] = {}

    def _note(self, entity: Entity, coordinate: str) -> Seen:
        self.objects[entity.name, coordinate] = None
        return CLEAR

    def row(self, entity: Entity) -> Predicate:
        return self._note(entity, entity.row).clear

    def field(self, entity: Entity, field: Field) -> Seen:
        return self._note(entity, entity.policy_object(field))

    def part(self, entity: Entity, coordinate: str) -> Seen:
        return self._note(entity, coordinate)


@dataclass(frozen=True, slots=True)
class LiftedDecision:
    """The shape that a plan is made for and cached by, and this subject's values for its references."""

    shape: Hashable
    values: tuple[Any, ...]
    decided: Decided
    rules: dict[str, tuple[str, ...]]
    texts: dict[str, tuple[str, str]]


def lift(decision: DecisionLike, entities: dict[str, Entity], objects: Iterable[PolicyObject]) -> LiftedDecision:
    """Lift the verdicts of these policy objects; equal values share a reference, so equality is part of the shape."""
    values: list[Value] = []
    seen: dict[PolicyObject, Seen] = {}
    rules: dict[str, tuple[str, ...]] = {}
    texts: dict[str, tuple[str, str]] = {}
    for name, coordinate in objects:
        entity = entities[name]
        if coordinate == entity.row:
            verdict = decision.row(entity)
            lifted = _lifted(verdict.clear, values)
            found = Seen(lifted, lifted, True)
        else:
            owner, field = coordinate.split(".", 1)
            verdict = (
                decision.field(entity, entity.fields[field]) if owner == name else decision.part(entity, coordinate)
            )
            found = Seen(_lifted(verdict.clear, values), _lifted(verdict.masked, values), verdict.provable_clear)
        seen[name, coordinate] = found
        rules[coordinate] = verdict.rules
        texts[coordinate] = (str(verdict.clear), str(verdict.masked))
    shape = tuple((key, s.clear, s.masked, s.certain) for key, s in seen.items())
    return LiftedDecision(shape, tuple(values), Decided(seen), rules, texts)


def _lifted(predicate: Predicate, values: list[Value]) -> Predicate:
    def reference(value: Value, *, is_list: bool = False) -> Ref:
        for i, known in enumerate(values):
            if known == value and type(known) is type(value):
                return Ref("subject", (i,), _type(value), is_list)
        values.append(value)
        return Ref("subject", (len(values) - 1,), _type(value), is_list)

    match predicate:
        case Always() | Never() | Eq(_, None):
            return predicate
        case Not(operand):
            return Not(_lifted(operand, values))
        case And(operands):
            return And(tuple(_lifted(p, values) for p in operands))
        case Or(operands):
            return Or(tuple(_lifted(p, values) for p in operands))
        case Eq(attr, value) if value is not None:
            return Eq(attr, reference(value))
        case In(attr, listed):
            return In(attr, (reference(tuple(listed), is_list=True),))  # type: ignore[arg-type]
        case Range(attr, low, high, low_open, high_open):
            return Range(
                attr,
                None if low is None else reference(low),
                None if high is None else reference(high),
                low_open,
                high_open,
            )
        case Some() | Eq():
            raise TypeError("a policy predicate names no relation")


def _type(value: object) -> str:
    sample = value[0] if isinstance(value, tuple) else value
    return "integer" if isinstance(sample, int) else "text"
