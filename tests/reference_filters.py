"""Conditions by three truth values: what is hidden or NULL is unknown, and so is its negation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schema.declare import Relation
from schema.regions import prefix
from tests.oracle import Oracle, Refused

if TYPE_CHECKING:
    from schema.registry import Entity, Field
    from tests.reference_rows import Record

Truth = bool | None


def every(truths: list[Truth]) -> Truth:
    return False if False in truths else None if None in truths else True


def some(truths: list[Truth]) -> Truth:
    return True if True in truths else None if None in truths else False


def inverse(truth: Truth) -> Truth:
    return None if truth is None else not truth


def check(oracle: Oracle, entity: Entity, where: dict[str, Any]) -> None:
    """Refuse a condition that asks for what is never clear, whatever the rows."""
    for name, given in where.items():
        if given is None:
            continue
        if name in ("and", "or", "not"):
            for item in given if isinstance(given, list) else [given]:
                check(oracle, entity, item)
            continue
        one = entity.fields[name]
        if isinstance(one.member, Relation):
            if oracle.never_linked(entity, one):
                raise Refused("filter")
            for condition in given.values() if one.type.is_list else [given]:
                check(oracle, oracle.registry.entity(one.type.name), condition or {})
        elif oracle.never(entity, one) or (given.get("under") is not None and one.attribute.column != "manage"):
            raise Refused("filter")


def satisfying(oracle: Oracle, entity: Entity, where: dict[str, Any], rows: list[Record]) -> list[Record]:
    return [row for row in rows if truth(oracle, entity, where, row) is True]


def truth(oracle: Oracle, entity: Entity, where: dict[str, Any], row: Record) -> Truth:
    """Of a condition about a row."""

    def about(name: str, given: Any) -> Truth:
        match name:
            case "and":
                return every([truth(oracle, entity, item, row) for item in given])
            case "or":
                return some([truth(oracle, entity, item, row) for item in given])
            case "not":
                return inverse(truth(oracle, entity, given, row))
        one = entity.fields[name]
        about_it = relation if isinstance(one.member, Relation) else attribute
        return about_it(oracle, entity, one, {n: v for n, v in given.items() if v is not None}, row)

    return every([about(name, given) for name, given in where.items() if given is not None])


def attribute(oracle: Oracle, entity: Entity, one: Field, given: dict[str, Any], row: Record) -> Truth:
    """Without any operator it still asks for the attribute, so for rows where it is clear."""
    if not oracle.clear(entity, one, row):
        return None
    value = row[one.attribute.column]
    if value is not None and one.codes is not None:
        value = one.codes.by_code[value].name
    return every([compared(name, value, operand) for name, operand in given.items()])


def relation(oracle: Oracle, entity: Entity, link: Field, given: dict[str, Any], row: Record) -> Truth:
    """Of one row, what is true of it; of many, whatever the quantifiers say of those that may be shown."""
    target, linked = oracle.registry.entity(link.type.name), oracle.linked(entity, link, row)
    if not link.type.is_list:
        return truth(oracle, target, given, linked[0]) if linked else None
    found: list[Truth] = []
    for name, condition in given.items():
        true_of = [truth(oracle, target, condition, child) is True for child in linked]
        found.append({"some": any(true_of), "none": not any(true_of), "every": all(true_of)}[name])
    return every(found)


def compared(name: str, value: Any, operand: Any) -> Truth:
    if name == "isNull":
        return (value is None) is operand
    if value is None:
        return None
    match name:
        case "eq":
            return bool(value == operand)
        case "in":
            return value in operand
        case "startsWith":
            return bool(value.startswith(operand))
        case "under":
            return bool(value.startswith(prefix(operand)))
    return bool({"gt": value > operand, "gte": value >= operand, "lt": value < operand, "lte": value <= operand}[name])
