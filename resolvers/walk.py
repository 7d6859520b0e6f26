"""A list merged from several sources: forward only, in one declared order.

What is promised: ordered and free of duplicates over the sources that answered for this walk. The set of sources is
fixed in the cursor; one that fails is named from then on and asked no more, since its records could no longer come in
their places. The same natural key in two sources gives both records, marked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from adapters.base import Record, Rows
from resolvers.errors import CursorExpired


@dataclass(frozen=True, slots=True)
class Position:
    """Where a walk stands: the last record's order values (`None` at first), and how its sources are doing."""

    after: tuple[str, ...] | None
    sources: tuple[str, ...]
    failed: tuple[str, ...] = ()
    """Those asked no more."""
    partial: tuple[str, ...] = ()
    """Those that had a record without a place in the order, which is not shown."""

    def written(self) -> bytes:
        """The JSON array of texts that a cursor holds."""
        names = (self.sources, self.failed, self.partial)
        return orjson.dumps([*(self.after or ()), *(",".join(listed) for listed in names)])

    @staticmethod
    def read(values: Sequence[str | None], order: Sequence[str]) -> Position:
        """The position behind a cursor's values; raises `CursorExpired`."""
        if len(values) != len(order) + 3 or any(value is None for value in values):
            raise CursorExpired
        texts = [str(value) for value in values]
        names = [tuple(name for name in text.split(",") if name) for text in texts[-3:]]
        return Position(tuple(texts[:-3]), *names)


@dataclass(frozen=True, slots=True)
class Item:
    """One record of the page, and the source it came from."""

    source: str
    record: Record
    place: tuple[str, ...]
    duplicated: bool


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a walk."""

    items: tuple[Item, ...]
    more: bool
    position: Position
    given_up: tuple[str, ...] = ()
    """Sources whose answer could not be gone on with; they are among the position's failed ones."""


_PLACE_AT_MOST = 300
"""Characters of a place, so that cursors stay short."""
_Entry = tuple[tuple[str, ...], str, Record]
"""A record with its order values and its source."""


def merge(order: Sequence[str], first: int, before: Position, key: str, answers: Mapping[str, Rows | None]) -> Page:
    """The next page from what each source of the walk answered (`None` where it failed).

    Each was asked for one record more than the page holds, so that `more` is known and a duplicate behind its end too.
    """
    failed = {*before.failed, *(name for name, rows in answers.items() if rows is None)}
    partial, given_up = set(before.partial), []
    found: list[_Entry] = []
    unfinished: list[str] = []
    for name, rows in answers.items():
        if rows is None:
            continue
        listed = rows.lists.get(key, ())
        if not isinstance(listed, list | tuple):
            given_up.append(name)
            continue
        own, placeless = _behind(order, before.after, name, listed)
        if placeless:
            partial.add(name)
        if key not in rows.ended:
            if not own:
                # What does not go on from where it was asked to would be lost unsaid.
                given_up.append(name)
                continue
            unfinished.append(name)
        found += own
    failed |= set(given_up)
    for place in range(len(order) - 1, -1, -1):
        found.sort(key=lambda entry: entry[0][place], reverse=order[place].startswith("-"))
    holders = Counter(natural for natural, _ in {(place[-1], name) for place, name, _ in found})
    # Behind the last record of a source that has more, a record of its own might belong before another's.
    lasts = {name: index for index, (_, name, _) in enumerate(found)}
    sure = _whole(found, min((lasts[name] + 1 for name in unfinished), default=len(found)))
    end = _whole(found, min(first, sure))
    items = tuple(Item(name, record, place, holders[place[-1]] > 1) for place, name, record in found[:end])
    sources = tuple(name for name in before.sources if name not in failed)
    last = items[-1].place if items else before.after
    position = Position(last, sources, tuple(sorted(failed)), tuple(sorted(partial - failed)))
    return Page(items, end < sure or bool(unfinished), position, tuple(given_up))


def _behind(
    order: Sequence[str], after: tuple[str, ...] | None, name: str, records: Sequence[Record]
) -> tuple[list[_Entry], bool]:
    """A source's records behind the boundary, and whether there were some without a place in the order."""
    found: list[_Entry] = []
    placeless = False
    for record in records:
        place = _place(order, record)
        if place is None:
            placeless = True
        elif after is None or _follows(order, place, after):
            found.append((place, name, record))
    return found, placeless


def _whole(found: Sequence[_Entry], end: int) -> int:
    """The end moved behind records of the same place: a page that began between them would pass over them."""
    while 0 < end < len(found) and found[end][0] == found[end - 1][0]:
        end += 1
    return end


def _place(order: Sequence[str], record: object) -> tuple[str, ...] | None:
    """A record's order values; `None` if one is missing, or too long for a cursor to hold."""
    if not isinstance(record, Mapping):
        return None
    values = [record.get(name.removeprefix("-")) for name in order]
    place = tuple(str(value) for value in values)
    return None if None in values or sum(map(len, place)) > _PLACE_AT_MOST else place


def _follows(order: Sequence[str], place: Sequence[str], boundary: Sequence[str]) -> bool:
    for name, own, other in zip(order, place, boundary, strict=True):
        if own != other:
            return (own < other) if name.startswith("-") else (own > other)
    return False
