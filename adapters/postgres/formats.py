"""How a stored value is written in an answer, in SQL: the twin of `schema.scalars` (formats) and `schema.masks`."""

from __future__ import annotations

from schema.codes import CodeList
from schema.declare import Mask
from schema.registry import Field
from schema.scalars import Kind

PARAMETER_TYPES = {
    "text": "text",
    "integer": "integer",
    "long": "bigint",
    "decimal": "numeric",
    "boolean": "boolean",
    "date": "date",
    "instant": "timestamptz",
}
"""Kind of a scalar to the type its parameters are cast to."""


def literal(text: str) -> str:
    """A string constant of the schema or the document's names; never a value."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """A quoted identifier; response keys are GraphQL names of at most 63 bytes."""
    return '"' + name.replace('"', '""') + '"'


def output(field: Field, column: str) -> str:
    """The expression whose JSON is the field's clear value."""
    if field.codes is not None:
        if field.type.is_list:
            names = code_names(field.codes, "u.code")
            return f"(select coalesce(json_agg({names}), '[]'::json) from unnest({column}) u(code))"
        return code_names(field.codes, column)
    return column if field.type.is_list or field.scalar is None else scalar(field.scalar.kind, column)


def scalar(kind: Kind, column: str) -> str:
    """The golden table of formats: text for what JSON numbers would spoil, UTC instants to the microsecond."""
    match kind:
        case Kind.DECIMAL | Kind.LONG:
            return f"{column}::text"
        case Kind.INSTANT:
            return f"to_char({column} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        case _:
            return column


def code_names(codes: CodeList, column: str) -> str:
    """Official code to GraphQL enum value; a code outside the list (a CHECK prevents it) would be null."""
    whens = " ".join(f"when {literal(entry.code)} then {literal(entry.name)}" for entry in codes.entries)
    return f"case {column} {whens} end"


def masked(mask: Mask, column: str) -> str:
    """What remains of a value; NULL stays NULL."""
    match mask:
        case Mask.CITIZEN_NO:
            return f"left({column}, 6) || '************'"
        case Mask.PERSON_NAME:
            return f"left({column}, 1) || '**'"
        case Mask.PHONE:
            return (
                f"case when length({column}) >= 11 then left({column}, 3) || '****' || right({column}, 4)"
                f" when {column} is not null then '****' end"
            )
        case Mask.NOTHING:
            return "null"


def global_id(type_name: str, column: str) -> str:
    """The Relay identifier: base64 of "Type:key" (PostgreSQL breaks lines after 76 characters; we join them)."""
    return f"translate(encode(convert_to({literal(type_name + ':')} || {column}, 'UTF8'), 'base64'), E'\\n', '')"
