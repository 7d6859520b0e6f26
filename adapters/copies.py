"""Last good copies of one source's answers, to be served as stale while it fails; only where its operator says so."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from adapters.base import Fetch, Record, Rows, Window
from schema.declare import Attribute, Remote, Sharing
from schema.registry import Registry

COPIES_AT_MOST = 10_000
"""Records (or lists) kept of one source, the least recently used dropped first."""
_KEPT = frozenset({Sharing.PUBLIC, Sharing.SHARED, Sharing.CONDITIONAL})
_Key = tuple[str, str, tuple[str, ...], Window | None]


@dataclass(frozen=True, slots=True)
class _Copy:
    """What the source said of one key: its record, its list, or neither if it has nothing."""

    record: Record | None
    records: Sequence[Record] | None
    ended: bool
    fetched_at: datetime | None
    until: float


class Copies:
    """Answers by (service, key, fields, window), each for `life_s` seconds of `clock`; none at all if that is 0.

    Nothing PERSONAL or RESTRICTED is kept, nothing that was asked for an officer, and no page but the first.
    """

    def __init__(self, life_s: float, services: Iterable[str], registry: Registry, clock: Callable[[], float]) -> None:
        self._life = life_s
        self._clock = clock
        self._kept: OrderedDict[_Key, _Copy] = OrderedDict()
        self._attributes = {
            service: kept for service in services if life_s > 0 and (kept := _kept_attributes(registry, service))
        }

    def keep(self, fetch: Fetch, rows: Rows) -> None:
        """Remember a good answer, absent records too."""
        if not self._may_keep(fetch):
            return
        until = self._clock() + self._life
        for key in fetch.keys:
            place = _place(fetch, key)
            self._kept[place] = _Copy(
                rows.values.get(key), rows.lists.get(key), key in rows.ended, rows.fetched_at, until
            )
            self._kept.move_to_end(place)
        while len(self._kept) > COPIES_AT_MOST:
            self._kept.popitem(last=False)

    def find(self, fetch: Fetch) -> Rows | None:
        """A stale answer as old as its oldest copy, or None unless there is a copy for every key."""
        if not self._may_keep(fetch):
            return None
        found: dict[str, _Copy] = {}
        now = self._clock()
        for key in fetch.keys:
            place = _place(fetch, key)
            copy = self._kept.get(place)
            if copy is None or copy.until < now:
                self._kept.pop(place, None)
                return None
            self._kept.move_to_end(place)
            found[key] = copy
        return Rows(
            values={key: copy.record for key, copy in found.items() if copy.record is not None},
            lists={key: copy.records for key, copy in found.items() if copy.records is not None},
            ended=frozenset(key for key, copy in found.items() if copy.ended),
            fetched_at=min((copy.fetched_at for copy in found.values() if copy.fetched_at is not None), default=None),
            stale=True,
        )

    def _may_keep(self, fetch: Fetch) -> bool:
        attributes = self._attributes.get(fetch.service)
        first_page = fetch.window is None or fetch.window.after is None
        return attributes is not None and first_page and fetch.officer is None and attributes.issuperset(fetch.fields)


def _place(fetch: Fetch, key: str) -> _Key:
    return fetch.service, key, tuple(sorted(fetch.fields)), fetch.window


def _kept_attributes(registry: Registry, service: str) -> frozenset[str]:
    """Names of the attributes of which copies may be kept; empty for a service bound to an officer."""
    entity, name = service.split(".")
    field = registry.entity(entity).fields[name]
    if not isinstance(field.member, Remote) or field.member.officer or field.member.sharing not in _KEPT:
        return frozenset()
    return frozenset(
        part.name
        for part in registry.values[field.type.name].fields.values()
        if isinstance(part.member, Attribute) and part.member.sharing in _KEPT
    )
