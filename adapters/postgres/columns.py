"""The table that a declared entity implies, and how far an actual table departs from it.

Pure: `ACTUAL_COLUMNS` is the text of the catalogue query, which `adapters.postgres.migrate` runs. A column that no
declaration knows must carry a comment that begins with "internal", so that none is there by oversight.

A value type without columns of its own is one jsonb column, a list of them one jsonb array; the names inside are the
`column` of the value type's attributes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from schema.declare import Attribute
from schema.predicate import POLICY_ATTRIBUTES, PREFIXED
from schema.registry import Entity, Field, RegistryError, TypeKind, ValueType
from schema.scalars import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA = "zlaq"

_TYPES: Mapping[Kind, str] = {
    Kind.TEXT: "text",
    Kind.INTEGER: "integer",
    Kind.LONG: "bigint",
    Kind.DECIMAL: "numeric",
    Kind.BOOLEAN: "boolean",
    Kind.DATE: "date",
    Kind.INSTANT: "timestamptz",
}

ACTUAL_COLUMNS = """
SELECT a.attname::text AS name,
       replace(format_type(a.atttypid, a.atttypmod), 'timestamp with time zone', 'timestamptz') AS type,
       a.attnotnull AS not_null,
       CASE a.attgenerated WHEN 's' THEN pg_get_expr(d.adbin, d.adrelid) WHEN 'v' THEN 'virtual' ELSE '' END
           AS generated,
       i.indrelid IS NOT NULL AS key,
       coalesce(col_description(a.attrelid, a.attnum) LIKE 'internal%', false) AS internal
FROM pg_attribute a
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
WHERE a.attrelid = to_regclass('zlaq.' || quote_ident($1)) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
"""One row per column of the table $1, in the shape of `Column`."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `generated` is the expression as PostgreSQL prints it, "" for an ordinary column."""

    name: str
    type: str
    not_null: bool = False
    generated: str = ""
    key: bool = False
    internal: bool = False


def column_type(field: Field) -> str:
    """The PostgreSQL type that stores a scalar, a code, a value type, or a list of them."""
    if field.type.kind is TypeKind.VALUE:
        return "jsonb"
    stored = _TYPES[field.scalar.kind] if field.scalar else "text"
    return f"{stored}[]" if field.type.is_list else stored


def policy_columns(entity: Entity) -> Mapping[str, Column]:
    """The columns behind the row's policy attributes, the generated prefixes included; all NOT NULL.

    Raises `RegistryError` for an entity that a region governs but that declares no column for it.
    """
    governed = entity.governed
    if governed.by != "none" and not governed.manage:
        raise RegistryError(f"{entity.name}: governed by {governed.by}, but no column says which region manages a row")
    found: dict[str, Column] = {}
    for attr in POLICY_ATTRIBUTES:
        column = governed.column(attr)
        if column is None:
            continue
        found[column] = Column(column, "integer" if attr == "@sens" else "text", not_null=True)
        for length, prefixed in zip((2, 4), PREFIXED.get(attr, ()), strict=False):
            name = governed.column(prefixed) or ""
            found[name] = Column(name, "text", not_null=True, generated=f'"left"({column}, {length})')
    return MappingProxyType(found)


def expected_columns(entity: Entity, values: Mapping[str, ValueType]) -> Mapping[str, Column]:
    """Every column of the entity's table, by name: what attributes are stored in, then what policies ask of a row."""
    found: dict[str, Column] = {}
    for field in entity.fields.values():
        if isinstance(field.member, Attribute):
            found |= {column.name: column for column in _stored(field, values)}
    for name, column in policy_columns(entity).items():
        found[name] = replace(found.get(name, column), not_null=True)
    key = entity.key.attribute.column
    found[key] = replace(found[key], key=True)
    return MappingProxyType(found)


def _stored(field: Field, values: Mapping[str, ValueType]) -> Iterable[Column]:
    attribute = field.attribute
    if attribute.columns is None:
        return (Column(attribute.column, column_type(field), not_null=attribute.always or field.type.is_list),)
    parts = {part.name: part for part in values[field.type.name].fields.values()}
    return tuple(Column(column, column_type(parts[name])) for name, column in attribute.columns.items())


def drift(entity: Entity, values: Mapping[str, ValueType], actual: Mapping[str, Column]) -> list[str]:
    """Each difference between the table that the declaration implies and the actual one, as a sentence."""
    if not actual:
        return [f"{entity.table}: there is no such table"]
    expected = expected_columns(entity, values)
    found: list[str] = []
    for name, column in expected.items():
        if name in actual:
            found += (f"{entity.table}.{name}: {what}" for what in _differences(column, actual[name]))
        else:
            found.append(f"{entity.table}.{name}: missing, {column.type} expected")
    found += (
        f"{entity.table}.{name}: neither declared nor commented as internal"
        for name, column in actual.items()
        if name not in expected and not column.internal
    )
    return found


def _differences(expected: Column, actual: Column) -> Iterable[str]:
    if actual.type != expected.type:
        yield f"{expected.type} expected, {actual.type} found"
    if expected.not_null and not actual.not_null:
        yield "must be NOT NULL"
    if actual.not_null and not expected.not_null:
        yield "is NOT NULL, but the declaration does not say `always`"
    if expected.generated and actual.generated != expected.generated:
        yield f"must be GENERATED ALWAYS AS ({expected.generated}) STORED"
    if actual.generated == "virtual":
        yield "is a virtual generated column, which no index can hold"
    if expected.key and not actual.key:
        yield "must be the primary key"
    if actual.internal:
        yield "is declared, so its comment must not call it internal"
