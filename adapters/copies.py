"""Last good copies of one source's answers, to be served as stale while it fails; only where its operator says so."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from adapters.base import Fetch, Record, Rows, Window
from schema.declare import Attribute, Remote, Sharing
from schema.registry import Registry

KEYS_AT_MOST, VARIANTS_AT_MOST = 10_000, 8
"""Keys of which one source's answers are kept, and for each in how many sets of fields and windows; the least recently
used dropped first."""
BYTES_AT_MOST = 32_000_000
"""Of all copies of one source, as `_weight` estimates it."""
_ONE_AT_MOST = BYTES_AT_MOST // 8
_OVERHEAD = 500
"""Bytes of a record, or of a copy, beyond its values as JSON."""
_KEPT = frozenset({Sharing.PUBLIC, Sharing.SHARED, Sharing.CONDITIONAL})
_Key = tuple[str, str]
_Variant = tuple[tuple[str, ...], Window | None]


@dataclass(frozen=True, slots=True)
class _Copy:
    """What the source said of one key: its record, its list, or neither if it has nothing."""

    record: Record | None
    records: Sequence[Record] | None
    ended: bool
    fetched_at: datetime | None
    until: float
    weight: int


class Copies:
    """Answers by (service, key, fields, window), each for `life_s` seconds of `clock`; none at all if that is 0.

    Nothing PERSONAL or RESTRICTED is kept, nothing that was asked for an officer, and no page but the first.
    """

    def __init__(self, life_s: float, services: Iterable[str], registry: Registry, clock: Callable[[], float]) -> None:
        self._life = life_s
        self._clock = clock
        self._kept: OrderedDict[_Key, dict[_Variant, _Copy]] = OrderedDict()
        self._bytes = 0
        self._attributes = {
            service: kept for service in services if life_s > 0 and (kept := _kept_attributes(registry, service))
        }

    def keep(self, fetch: Fetch, rows: Rows) -> None:
        """Remember a good answer, absent records too."""
        if not self._may_keep(fetch):
            return
        until, variant = self._clock() + self._life, _variant(fetch)
        for key in fetch.keys:
            record, records = rows.values.get(key), rows.lists.get(key)
            weight = _weight(record, records)
            self._drop((fetch.service, key), variant)
            if weight > _ONE_AT_MOST:
                continue
            variants = self._kept.setdefault((fetch.service, key), {})
            self._kept.move_to_end((fetch.service, key))
            variants[variant] = _Copy(record, records, key in rows.ended, rows.fetched_at, until, weight)
            self._bytes += weight
            if len(variants) > VARIANTS_AT_MOST:
                self._drop((fetch.service, key), next(iter(variants)))
        while len(self._kept) > KEYS_AT_MOST or self._bytes > BYTES_AT_MOST:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= sum(copy.weight for copy in oldest.values())

    def find(self, fetch: Fetch) -> Rows | None:
        """A stale answer as old as its oldest copy, or None unless there is a copy for every key."""
        if not self._may_keep(fetch):
            return None
        found: dict[str, _Copy] = {}
        now, variant = self._clock(), _variant(fetch)
        for key in fetch.keys:
            variants = self._kept.get((fetch.service, key), {})
            copy = variants.get(variant)
            if copy is None or copy.until < now:
                self._drop((fetch.service, key), variant)
                return None
            self._kept.move_to_end((fetch.service, key))
            variants[variant] = variants.pop(variant)
            found[key] = copy
        return Rows(
            values={key: copy.record for key, copy in found.items() if copy.record is not None},
            lists={key: copy.records for key, copy in found.items() if copy.records is not None},
            ended=frozenset(key for key, copy in found.items() if copy.ended),
            fetched_at=min((copy.fetched_at for copy in found.values() if copy.fetched_at is not None), default=None),
            stale=True,
        )

    def _drop(self, key: _Key, variant: _Variant) -> None:
        variants = self._kept.get(key, {})
        if variant in variants:
            self._bytes -= variants.pop(variant).weight
            if not variants:
                del self._kept[key]

    def _may_keep(self, fetch: Fetch) -> bool:
        attributes = self._attributes.get(fetch.service)
        first_page = fetch.window is None or fetch.window.after is None
        return attributes is not None and first_page and fetch.officer is None and attributes.issuperset(fetch.fields)


def _variant(fetch: Fetch) -> _Variant:
    return tuple(sorted(fetch.fields)), fetch.window


def _weight(record: Record | None, records: Sequence[Record] | None) -> int:
    every = (*(() if record is None else (record,)), *(records or ()))
    return _OVERHEAD + sum(_OVERHEAD + len(msgspec.json.encode(one, enc_hook=str)) for one in every)


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
