"""Statements on the tables of a front-end database: identifiers quoted, every value a parameter; pure.

Columns are what the provider made them (`sjsczt` is a number here and a text there), so a statement is written for the
types that the catalogue of the database tells. Nothing is compared through a cast that would keep an index from use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from adapters.configuration import PLACEHOLDERS, AttributeMapping, Condition
from schema.registry import Field
from schema.scalars import Kind

COLUMNS = """SELECT a.attname::text AS name,
    CASE WHEN b.typnamespace = 'pg_catalog'::regnamespace THEN b.typname::text ELSE '' END AS type,
    has_column_privilege(c.oid, a.attnum, 'SELECT') AS readable,
    has_column_privilege(c.oid, a.attnum, 'UPDATE') AS writable,
    CASE WHEN b.typname IN ('varchar', 'bpchar') AND a.atttypmod > 4 THEN a.atttypmod - 4 END AS width
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid JOIN pg_type b ON b.oid = coalesce(nullif(t.typbasetype, 0), t.oid)
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""

BLANKS = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""What `str.strip` takes away, so that both sides order and compare the same text."""
_WIDE_DIGITS = "０１２３４５６７８９"


class Comparable(StrEnum):
    """The type as which a column is compared and read."""

    TEXT = "text"
    PADDED = "bpchar"
    INTEGER = "bigint"
    NUMERIC = "numeric"
    DATE = "date"
    TIMESTAMP = "timestamp"
    INSTANT = "timestamptz"
    BOOLEAN = "boolean"
    OTHER = "other"
    """Read as text, and no key."""


_TYPES = {
    "text": Comparable.TEXT, "varchar": Comparable.TEXT, "bpchar": Comparable.PADDED, "int2": Comparable.INTEGER,
    "int4": Comparable.INTEGER, "int8": Comparable.INTEGER, "numeric": Comparable.NUMERIC, "date": Comparable.DATE,
    "timestamp": Comparable.TIMESTAMP, "timestamptz": Comparable.INSTANT, "bool": Comparable.BOOLEAN,
}  # fmt: skip
_KEYS = (Comparable.TEXT, Comparable.PADDED, Comparable.INTEGER, Comparable.NUMERIC)
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


class ColumnUnfit(ValueError):
    """A column that does not serve its purpose; the text names it as our configuration does."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table as the catalogue of its database has it."""

    name: str
    type: Comparable
    readable: bool
    writable: bool
    width: int | None = None
    """Most characters of a text, where its type limits them."""

    @property
    def sql(self) -> str:
        """The column of the table `t`."""
        return f"t.{quoted(self.name)}"

    @property
    def output(self) -> str:
        """The column in a type that every version of the protocol knows."""
        if self.type is Comparable.DATE or self.type is Comparable.BOOLEAN or self.type is Comparable.NUMERIC:
            return self.sql
        return f"{self.sql}::{Comparable.TEXT if self.type in _AS_TEXT else self.type}"

    @property
    def serial(self) -> str:
        """The column as a number by which windows go, null where it holds none; by an index if it is a number."""
        if self.type is Comparable.INTEGER:
            return self.sql
        if self.type not in _KEYS:
            raise ColumnUnfit(f"column {self.name} is no serial number")
        return f"(CASE WHEN {self.sql}::text ~ '^[0-9]{{1,18}} *$' THEN {self.sql}::text::bigint END)"

    @property
    def size(self) -> str:
        """Bytes of its value, estimated where they are few."""
        if self.type in _AS_TEXT or self.type is Comparable.NUMERIC:
            return f"coalesce(octet_length({self.sql}::text), 0)::bigint"
        return "16"

    def check_key(self) -> None:
        """Raise `ColumnUnfit` for a column by which no row can be found."""
        if self.type not in _KEYS:
            raise ColumnUnfit(f"column {self.name} is neither text nor a whole number")

    def among(self, texts: Sequence[str], parameters: Parameters) -> str:
        """That the column is one of these."""
        return f"{self.sql} = ANY({parameters.add(self.values(texts))}::{self.type}[])"

    def values(self, texts: Sequence[str]) -> list[str] | list[int] | list[Decimal]:
        """Texts in the column's type, those left out that no number of it is written as."""
        if self.type is Comparable.INTEGER:
            return [int(text) for text in texts if _WHOLE.fullmatch(text)]
        if self.type is Comparable.NUMERIC:
            return [Decimal(text) for text in texts if _WHOLE.fullmatch(text)]
        return list(texts)


_AS_TEXT = (Comparable.TEXT, Comparable.PADDED, Comparable.OTHER)


@dataclass(slots=True)
class Parameters:
    """The values of one statement, in the order of their numbers."""

    values: list[Any] = field(default_factory=list)

    def add(self, value: object) -> str:
        """Number of a further value, as the statement writes it."""
        self.values.append(value)
        return f"${len(self.values)}"


@dataclass(frozen=True, slots=True)
class Term:
    """One attribute of a list's order: a text that sorts as the attribute does, null where that is missing."""

    attribute: Field
    mapping: AttributeMapping
    column: Column
    descending: bool

    def __post_init__(self) -> None:
        kind = self.attribute.scalar.kind if self.attribute.scalar else None
        mapping, name = self.mapping, self.attribute.coordinate
        if mapping.codes or mapping.times or mapping.yes or mapping.no or mapping.split or mapping.brackets:
            raise ColumnUnfit(f"{name} orders a list, so its column {self.column.name} cannot be converted")
        dated = kind is Kind.DATE and self.column.type in (
            Comparable.DATE, Comparable.TIMESTAMP, Comparable.INSTANT, Comparable.TEXT, Comparable.PADDED,
        )  # fmt: skip
        if not dated and not (kind is Kind.TEXT and self.column.type in _KEYS):
            raise ColumnUnfit(f"{name} orders a list, which its column {self.column.name} cannot by its type")
        for form in mapping.dates:
            date_pattern(form)

    def sql(self, parameters: Parameters, zone: str, *, wide: bool) -> str:
        """The expression over `t`; `wide` where the server knows characters beyond ASCII."""
        column = self.column
        if column.type in (Comparable.DATE, Comparable.TIMESTAMP):
            text = f"to_char({column.sql}, 'YYYY-MM-DD')"
        elif column.type is Comparable.INSTANT:
            text = f"to_char({column.sql} AT TIME ZONE {parameters.add(zone)}::text::interval, 'YYYY-MM-DD')"
        else:
            blanks = BLANKS if wide else BLANKS[:10]
            text = f"btrim({column.sql}::text, {parameters.add(blanks)})"
        nothing = parameters.add([*PLACEHOLDERS, *self.mapping.placeholders])
        text = f"CASE WHEN {text} <> ALL({nothing}::text[]) THEN {text} END"
        if self.attribute.scalar and self.attribute.scalar.kind is Kind.DATE and column.type in _AS_TEXT:
            if wide:
                text = f"translate({text}, {parameters.add(_WIDE_DIGITS)}, '0123456789')"
            forms = [_date(text, form, parameters) for form in self.mapping.dates or ("%Y-%m-%d",)]
            text = f"nullif(coalesce({', '.join(forms)}), '1900-01-01')"
        return f'({text}) COLLATE "C"'


_DIRECTIVES = {
    "%Y": "((?!0000)[0-9]{4})",
    "%m": "(1[0-2]|0[1-9])",
    "%d": "(3[01]|[12][0-9]|0[1-9])",
    "%H": "(?:2[0-3]|[01][0-9])",
    "%M": "(?:[0-5][0-9])",
    "%S": "(?:[0-5][0-9])",
    "%f": "(?:[0-9]{1,6})",
}


def date_pattern(form: str) -> tuple[str, tuple[int, int, int]]:
    """A format of `strptime` as a regular expression of PostgreSQL, and its groups of year, month and day.

    Between other characters a number may lack its leading zero, as in `adapters.conversions`. Raises `ColumnUnfit` for
    a format that names no whole date, or more than numbers.
    """
    parts = re.findall(r"%.|[^%]+", form)
    named = [part for part in parts if part in ("%Y", "%m", "%d")]
    if sorted(named) != ["%Y", "%d", "%m"] or any(p.startswith("%") and p not in _DIRECTIVES for p in parts):
        raise ColumnUnfit(f"a list cannot be ordered by dates of the format {form}")
    pattern = "".join(_DIRECTIVES.get(part) or re.sub(r"(\W)", r"\\\1", part) for part in parts)
    if not re.search("%.%", form):
        pattern = pattern.replace("0[", "0?[").replace("[01][", "[01]?[").replace("[0-5][", "[0-5]?[")
    return f"^{pattern}$", (named.index("%Y") + 1, named.index("%m") + 1, named.index("%d") + 1)


def _date(text: str, form: str, parameters: Parameters) -> str:
    """The ISO form of a text's date, null for what is no date of the calendar: no step of it can raise."""
    pattern, (year, month, day) = date_pattern(form)
    return (
        "(SELECT to_char(d.day, 'YYYY-MM-DD') FROM (SELECT"
        f" make_date(m.g[{year}]::int, m.g[{month}]::int, 1) + m.g[{day}]::int - 1 AS day, m.g[{month}]::int AS month"
        f" FROM (SELECT regexp_match({text}, {parameters.add(pattern)}) AS g OFFSET 0) m OFFSET 0) d"
        " WHERE extract(month FROM d.day) = d.month)"
    )


def quoted(name: str) -> str:
    """An identifier that PostgreSQL takes as it is."""
    return '"' + name.replace('"', '""') + '"'


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Column]:
    """Columns by name, from rows of `COLUMNS`."""
    return {row["name"]: Column(**{**row, "type": _TYPES.get(row["type"], Comparable.OTHER)}) for row in rows}


@dataclass(frozen=True, slots=True)
class Table:
    """A table with the columns that a service uses, checked to exist; `key` among them."""

    schema: str
    name: str
    columns: Mapping[str, Column]
    wide: bool
    """Whether the server knows characters beyond ASCII."""

    @property
    def sql(self) -> str:
        """The table's name in a statement."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def valid(self, condition: Condition | None, parameters: Parameters) -> str:
        """That a row counts; the column is compared as text, since the key has found the few rows concerned."""
        if condition is None:
            return "true"
        column = self.columns[condition.path]
        return f"btrim({column.sql}::text) = ANY({parameters.add(list(condition.values))}::text[])"

    def outputs(self, wanted: Sequence[str]) -> tuple[str, str]:
        """The wanted columns as c0, c1 and so on, and the bytes of all of them."""
        outputs = ", ".join(f"{self.columns[name].output} AS c{number}" for number, name in enumerate(wanted))
        return outputs, " + ".join(self.columns[name].size for name in wanted)


def select_by_key(
    table: Table, key: str, wanted: Sequence[str], valid: Condition | None, keys: Sequence[str], at_most: int
) -> tuple[str, Parameters]:
    """Rows of any of the keys, in no order."""
    parameters = Parameters()
    outputs, size = table.outputs(wanted)
    among = table.columns[key].among(keys, parameters)
    return (
        f"SELECT 1 AS nth, {outputs}, {size} AS size FROM {table.sql} t"
        f" WHERE {among} AND {table.valid(valid, parameters)} LIMIT {parameters.add(at_most)}::bigint"
    ), parameters


def select_window(
    table: Table,
    key: str,
    wanted: Sequence[str],
    valid: Condition | None,
    keys: Sequence[str],
    order: Sequence[Term],
    *,
    zone: str,
    latest: str | None,
    after: Sequence[str] | None,
    at_most: int,
) -> tuple[str, Parameters]:
    """The first rows of each key in order, strictly after a boundary; of equals the one with the `latest` time first.

    A row without its natural key (last of the order) has no place and is left out. A boundary's empty text is a missing
    value, behind which only other missing ones come.
    """
    parameters = Parameters()
    outputs, size = table.outputs(wanted)
    column = table.columns[key]
    asked = parameters.add(column.values(keys))
    terms = ", ".join(f"{term.sql(parameters, zone, wide=table.wide)} AS {_place(n)}" for n, term in enumerate(order))
    where = table.valid(valid, parameters)
    ordered = [f"t.{_place(n)} {'DESC' if term.descending else 'ASC'} NULLS LAST" for n, term in enumerate(order)]
    ordered += [f"t.{quoted(latest)} DESC NULLS LAST"] if latest else []
    beyond = "true" if after is None else _after(order, after, parameters)
    return (
        f"SELECT asked.nth, l.* FROM unnest({asked}::{column.type}[]) WITH ORDINALITY AS asked (key, nth)"
        f" CROSS JOIN LATERAL (SELECT {outputs}, {size} AS size FROM (SELECT t.*, {terms} FROM {table.sql} t"
        # Without the fences every mention of a term computes it again: 51 ms instead of 9 for 100 rows.
        f" WHERE {column.sql} = asked.key AND {where} OFFSET 0) t"
        f" WHERE t.{_place(len(order) - 1)} IS NOT NULL AND {beyond}"
        f" ORDER BY {', '.join(ordered)} LIMIT {parameters.add(at_most)}::bigint) l"
    ), parameters


def _after(order: Sequence[Term], values: Sequence[str], parameters: Parameters) -> str:
    clause = "false"
    for number, (term, value) in reversed(list(enumerate(zip(order, values, strict=True)))):
        place = f"t.{_place(number)}"
        if not value:
            clause = f"({place} IS NULL AND {clause})"
            continue
        bound = f"{parameters.add(value)}::text"
        further = f"({place} {'<' if term.descending else '>'} {bound} OR {place} IS NULL)"
        clause = f"({further} OR ({place} = {bound} AND {clause}))"
    return clause


def _place(number: int) -> str:
    """Name of a term's value, which no column of a configured table can have."""
    return f'"@{number}"'


def select_new(
    table: Table, wanted: Sequence[str], *, serial: str, state: str, new: str, last: int, at_most: int
) -> tuple[str, Parameters]:
    """The next rows in the state `new` behind a serial number, with the version of each by which it is known again."""
    parameters = Parameters()
    outputs, size = table.outputs(wanted)
    number = table.columns[serial].serial
    return (
        f"SELECT {number} AS serial, t.xmin::text AS version, {table.columns[serial].output} AS number,"
        f" {outputs}, {size} AS size FROM {table.sql} t"
        f" WHERE {table.columns[state].among([new], parameters)} AND {number} > {parameters.add(last)}::bigint"
        f" ORDER BY {number} LIMIT {parameters.add(at_most)}::bigint"
    ), parameters


def write_receipts(table: Table, *, serial: str, state: str, reason: str) -> str:
    """Writes (raw serials, versions, states, reasons) into rows that are what they were when they were read.

    Gives back the state of each row written. The fifth parameter is the state that they still have.
    """
    key, said = table.columns[serial], table.columns[state]
    return (
        f"UPDATE {table.sql} t SET {quoted(state)} = r.state::{said.type}, {quoted(reason)} = r.reason"
        f" FROM unnest($1::{key.type}[], $2::text[], $3::text[], $4::text[]) AS r (serial, version, state, reason)"
        f" WHERE {key.sql} = r.serial AND t.xmin::text = r.version AND {said.sql} = ANY($5::{said.type}[])"
        " RETURNING r.state"
    )


def count_states(table: Table, state: str) -> str:
    """Rows by state."""
    return f"SELECT btrim({table.columns[state].sql}::text) AS state, count(*) AS rows FROM {table.sql} t GROUP BY 1"


def capped(statement: str, always: Sequence[str], wanted: int, max_bytes: int, parameters: Parameters) -> str:
    """The statement with its values c0, c1 and so on only as far as their bytes stay within the limit.

    Rows beyond it come without them, and `sent` is false: what is too large never leaves the database.
    """
    limit = parameters.add(max_bytes)
    outputs = ", ".join(f"CASE WHEN total <= {limit}::bigint THEN c{n} END AS c{n}" for n in range(wanted))
    kept = ", ".join(always)
    return (
        f"SELECT {kept}, total <= {limit}::bigint AS sent, {outputs} FROM"
        f" (SELECT f.*, sum(f.size) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM ({statement}) f) g"
    )
