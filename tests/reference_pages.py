"""Orders, and the part of a list that a page shows."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.oracle import Oracle, Refused

if TYPE_CHECKING:
    from schema.registry import Entity, Field
    from tests.reference_rows import Record

Terms = list[tuple["Field", bool]]
"""Attributes to order by, each with whether it descends."""


@dataclass(frozen=True)
class Boundary:
    """Stands where an encrypted cursor is expected: whose it is, of which walk, and the key of the row it means."""

    subject: str
    revision: str
    walk: tuple[str, ...]
    key: str


def order(oracle: Oracle, entity: Entity, given: list[dict[str, str]] | None, default: tuple[str, ...] = ()) -> Terms:
    """What was named before decides, to name it again says nothing; the key comes last, and nothing after it."""
    by_constant = {f.name.upper(): f for f in entity.fields.values()}
    terms = [(by_constant[item["field"]], item["direction"] == "DESC") for item in given or ()]
    if not all(oracle.may_order(entity, attribute) for attribute, _ in terms):
        raise Refused("order")
    if not given:
        named = [(entity.by_name[name.removeprefix("-")], name.startswith("-")) for name in default]
        terms = [term for term in named if oracle.may_order(entity, term[0])]
    distinct: Terms = []
    for term in terms:
        distinct += [] if any(term[0].name == known.name for known, _ in distinct) else [term]
    names = [attribute.name for attribute, _ in distinct]
    if entity.key.name in names:
        return distinct[: names.index(entity.key.name) + 1]
    return [*distinct, (entity.key, bool(distinct) and distinct[-1][1])]


def ordered(rows: list[Record], terms: Terms) -> list[Record]:
    """NULL stands last, whichever the direction."""
    for attribute, descending in reversed(terms):
        column = attribute.attribute.column
        present = [row for row in rows if row[column] is not None]
        absent = [row for row in rows if row[column] is None]
        rows = [*sorted(present, key=lambda row: row[column], reverse=descending), *absent]
    return rows


@dataclass(frozen=True)
class Paging:
    """The arguments of a page."""

    size: int
    cursor: str | None
    backward: bool

    @classmethod
    def of(cls, given: dict[str, Any]) -> Paging:
        first, last, after, before = (given.get(name) for name in ("first", "last", "after", "before"))
        backward = last is not None
        if (backward and (first is not None or after is not None)) or (before is not None and not backward):
            raise Refused("paging")
        size = last if last is not None else 20 if first is None else first
        if not 0 <= size <= 1000:
            raise Refused("paging")
        return cls(size, before if backward else after, backward)

    def cut(self, found: list[Record], terms: Terms, border: Record | None) -> tuple[list[Record], bool, bool]:
        """The rows of the page beyond the border (which need not be found itself); whether more come after, before."""
        rest = found
        if border is not None:
            both = ordered([border, *(row for row in found if row is not border)], terms)
            place = both.index(border)
            rest = both[:place] if self.backward else both[place + 1 :]
        more = len(rest) > self.size
        if self.backward:
            return rest[max(0, len(rest) - self.size) :], border is not None, more
        return rest[: self.size], more, border is not None


def edge_cursor(entity: Entity, row: Record) -> str:
    return "k" + base64.b64encode(row[entity.key.attribute.column].encode()).decode()


def bordering(
    oracle: Oracle, entity: Entity, cursor: str, walk: tuple[str, ...], issued: dict[str, Boundary]
) -> Record:
    """The row that a cursor stands for: an edge's names its key, which must be visible; a page's was issued."""
    if cursor.startswith("k"):
        try:
            key = base64.b64decode(cursor[1:], validate=True).decode()
        except (binascii.Error, ValueError):
            raise Refused("cursor") from None
        rows = oracle.visible(entity, oracle.tables.where(entity, entity.key, key))
    else:
        meant = issued.get(cursor)
        if meant is None or meant != Boundary(oracle.subject.id, oracle.snapshot.revision.id, walk, meant.key):
            raise Refused("cursor")
        rows = oracle.tables.where(entity, entity.key, meant.key)
    if not rows:
        raise Refused("cursor")
    return rows[0]
