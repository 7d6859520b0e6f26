"""A client's `where` and `orderBy` into predicates and sorts, each guarded by the caller's right to the attribute.

Every leaf is `V and (col op $)`, with V = "clear for this row"; a negation is pushed to the leaves, where NULL
satisfies neither a condition nor its negation. So nothing can be learnt by filtering that could not be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from adapters.base import Sort
from resolvers.decided import Decided
from resolvers.errors import BadVariable, FilterRefused, OrderRefused, TooCostly
from resolvers.selection import Leaf
from schema.declare import Relation
from schema.predicate import (
    ALWAYS,
    Eq,
    In,
    Never,
    Not,
    Predicate,
    Range,
    Ref,
    Some,
    all_of,
    any_of,
    negate,
)
from schema.regions import prefix
from schema.registry import Entity, Field, Registry, TypeKind

_LEAVES_AT_MOST = 60
_RELATIONS_DEEP = 3
_ORDER_TERMS = 3
Lift = Callable[[object], Ref]


class FilterReader:
    """Reads the conditions of one plan; counts them, since each costs."""

    def __init__(self, registry: Registry, decided: Decided, lift_constant: Lift) -> None:
        self.registry = registry
        self.decided = decided
        self.lift = lift_constant
        self.leaves = 0
        self.quantifiers = 0

    def where(self, entity: Entity, given: Any, *, positive: bool = True, depth: int = 0) -> Predicate:
        """The predicate of a `where` (or, negated, of its negation); raises `FilterRefused` by the attribute's name."""
        if given is None:
            return ALWAYS
        if depth > _RELATIONS_DEEP + 8:
            raise TooCostly("conditions are nested too deeply")
        found: list[Predicate] = []
        for name, value in given.items():
            if value is None:
                continue
            if name in ("and", "or"):
                inner = [self.where(entity, item, positive=positive, depth=depth + 1) for item in value]
                found.append(all_of(inner) if (name == "and") is positive else any_of(inner))
            elif name == "not":
                found.append(self.where(entity, value, positive=not positive, depth=depth + 1))
            else:
                found.append(self._condition(entity, entity.fields[name], value, positive, depth))
        return all_of(found) if positive else any_of(found)

    def _condition(self, entity: Entity, field: Field, given: Any, positive: bool, depth: int) -> Predicate:
        if isinstance(field.member, Relation):
            return self._relation(entity, field, given, positive, depth)
        seen = self.decided.field(entity, field)
        if isinstance(seen.clear, Never):
            raise FilterRefused(f"{field.coordinate} may not be used in a condition")
        conditions = [self._operator(field, name, value) for name, value in given.items() if value is not None]
        self.leaves += len(conditions)
        if self.leaves > _LEAVES_AT_MOST:
            raise TooCostly(f"more than {_LEAVES_AT_MOST} conditions")
        if positive:
            return all_of([seen.clear, *conditions])
        return any_of(all_of([seen.clear, self._complement(field, condition)]) for condition in conditions)

    def _complement(self, field: Field, condition: Predicate) -> Predicate:
        """The negation of a leaf: NULL satisfies neither, but `isNull` has a plain complement."""
        if condition in (Eq(field.name, None), Not(Eq(field.name, None))):
            return negate(condition)
        return all_of([Not(Eq(field.name, None)), negate(condition)])

    def _operator(self, field: Field, name: str, value: Any) -> Predicate:
        attr, kind = field.name, field.scalar.kind.value if field.scalar else "text"
        if name == "isNull":
            return Eq(attr, None) if value else Not(Eq(attr, None))
        if field.type.kind is TypeKind.CODES:
            return self._codes(field, name, value)
        if name == "in":
            if isinstance(value, list):
                return any_of(Eq(attr, _typed(leaf, kind)) for leaf in value)
            return In(attr, (_typed(value, kind),))
        if name == "startsWith":
            return Range(attr, _typed(value, kind), _typed(value, "text", "successor"), high_open=True)
        if name == "under":
            return self._under(field, value)
        # A boolean stands in the plan, as its shape knows it.
        ref = _typed(value, kind) if isinstance(value, Leaf) else replace(self.lift(value), type=kind)
        match name:
            case "eq":
                return Eq(attr, ref)
            case "gte":
                return Range(attr, low=ref)
            case "gt":
                return Range(attr, low=ref, low_open=True)
            case "lte":
                return Range(attr, high=ref)
            case _:
                return Range(attr, high=ref, high_open=True)

    def _codes(self, field: Field, name: str, value: Any) -> Predicate:
        codes = field.codes.by_name if field.codes else {}
        if isinstance(value, Leaf):
            return In(field.name, (_typed(value, "text", f"codes:{field.type.name}"),))
        names = value if name == "in" else [value]
        return any_of(Eq(field.name, self.lift(codes[n].code)) for n in names)

    def _under(self, field: Field, value: Leaf) -> Predicate:
        """A region and everything below it, by equality on the prefix column that its level has."""
        if field.attribute.column != "manage":
            raise BadVariable(f"{field.field}: under is offered for the managing region only")
        # The prefix length chooses the column, so the code's level must be part of the plan, not a parameter.
        width = len(prefix(str(value.value)))
        if width == 0:
            return ALWAYS
        attr = {2: "@manage2", 4: "@manage4"}.get(width, "@manage")
        return Eq(attr, _typed(value, "text", f"prefix:{width}"))

    def _relation(self, entity: Entity, field: Field, given: Any, positive: bool, depth: int) -> Predicate:
        target = self.registry.entity(field.type.name)
        relation = field.member
        self.quantifiers += 1
        if depth > _RELATIONS_DEEP or not isinstance(relation, Relation):
            raise TooCostly(f"conditions reach over more than {_RELATIONS_DEEP} relations")
        if not field.type.is_list:
            local = self.decided.field(entity, entity.by_name[relation.by])
            if isinstance(local.clear, Never) or isinstance(self.decided.row(target), Never):
                raise FilterRefused(f"{field.coordinate} may not be used in a condition")
            inner = self.where(target, given, positive=positive, depth=depth + 1)
            return all_of([local.clear, Some(field.name, all_of([self.decided.row(target), inner]))])
        visible = all_of([self.decided.row(target), self.decided.field(target, target.by_name[relation.by]).clear])
        if isinstance(visible, Never):
            raise FilterRefused(f"{field.coordinate} may not be used in a condition")
        found: list[Predicate] = []
        for name, condition in given.items():
            if condition is None:
                continue
            inner = self.where(target, condition, depth=depth + 1)
            match name:
                case "some":
                    found.append(Some(field.name, all_of([visible, inner])))
                case "none":
                    found.append(Not(Some(field.name, all_of([visible, inner]))))
                case _:
                    found.append(Not(Some(field.name, all_of([visible, negate(inner)]))))
        return all_of(found) if positive else negate(all_of(found))

    def order(self, entity: Entity, given: Any, default: tuple[str, ...]) -> tuple[Sort, ...]:
        """The sort terms, the key last; raises `OrderRefused` for an attribute that is not clear for certain."""
        terms: list[Sort] = []
        if given:
            if len(given) > _ORDER_TERMS:
                raise TooCostly(f"more than {_ORDER_TERMS} sort terms")
            by_constant = {f.name.upper(): f for f in entity.fields.values()}
            for item in given:
                field = by_constant[item["field"]]
                if not self.decided.field(entity, field).certain:
                    raise OrderRefused(f"{field.coordinate} may not be used to order")
                terms.append(Sort(field, item["direction"] == "DESC"))
        else:
            for name in default:
                field = entity.by_name[name.removeprefix("-")]
                if self.decided.field(entity, field).certain:
                    terms.append(Sort(field, name.startswith("-")))
        distinct: list[Sort] = []
        for term in terms:
            if all(term.field.name != kept.field.name for kept in distinct):
                distinct.append(term)
        if all(term.field.name != entity.key.name for term in distinct):
            distinct.append(Sort(entity.key, distinct[-1].descending if distinct else False))
        cut = next(i for i, term in enumerate(distinct) if term.field.name == entity.key.name)
        return tuple(distinct[: cut + 1])


def _typed(leaf: Leaf, kind: str, conversion: str = "") -> Ref:
    """The leaf's reference with the parameter's type; a conversion is applied when the plan is bound."""
    return Ref(leaf.ref.source, leaf.ref.path, conversion or kind, leaf.ref.is_list)
