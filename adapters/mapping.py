"""How the records of one service of one source become declared ones. Pure: no clock, no socket.

What cannot be mapped is missing in the answer, is named there, and is counted for the operators; it is never guessed,
and never written down, but for the words of code lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from adapters.base import AS_OF, REGION, UNMAPPED, Fetch, Record, Rows, SourceBadShape, Window
from adapters.configuration import Service, SourceBase
from adapters.conversions import Converter, Unmapped, converter, plain
from adapters.driver import Answer, RawRecord
from adapters.time_formats import fold, offset
from schema.declare import Remote
from schema.regions import UNRESOLVED, load_regions, prefix
from schema.registry import Field, Registry
from schema.scalars import SCALARS

_UNKNOWN_CODES_AT_MOST = 50
_UNKNOWN_CODE_LENGTH = 40
_RECORDS_A_KEY, _RECORDS_MORE = 4, 100
_ITEMS_MORE, _RECORDS_AT_MOST = 1_000, 3_000
"""How many records a batch may bring: versions of each key, and for a list what is in front of a window, or behind one
that the source does not heed. Mapping holds up the process (3,000 records for about a tenth of a second), so that more
are refused before it begins."""


class _Reading(NamedTuple):
    """Where the raw value of an attribute stands, and what becomes of it."""

    name: str
    root: str
    below: tuple[str, ...]
    convert: Converter


@dataclass(slots=True)
class _Mapped:
    """A record after mapping; `unmapped` holds names of attributes, of those mapped so far."""

    raw: RawRecord
    values: dict[str, object]
    unmapped: set[str]
    as_of: str | None
    region: str | None

    @property
    def content(self) -> tuple[object, ...]:
        """What two records must share to say the same."""
        return (self.region or "", *sorted(self.unmapped), *map(repr, self.values.values()))

    @property
    def moment(self) -> datetime:
        """When it was last changed; before all others if that is unknown."""
        return datetime.min.replace(tzinfo=UTC) if self.as_of is None else datetime.fromisoformat(self.as_of)


class _Term:
    """One attribute of a list's order; comparison is that of its declared type."""

    def __init__(self, field: Field, descending: bool) -> None:
        if field.scalar is None:
            raise TypeError(f"{field.coordinate} has no order")
        self.name, self.descending = field.name, descending
        self.parse: Callable[[object], Any] = field.scalar.parse

    def value(self, record: _Mapped) -> Any:
        value = record.values[self.name]
        return None if value is None else self.parse(value)


class RecordMapping:
    """The mapping of one service; made once, used for every answer. Counts since the process started."""

    def __init__(
        self, source_name: str, coordinate: str, service: Service, base: SourceBase, registry: Registry
    ) -> None:
        owner, _, name = coordinate.partition(".")
        entity = registry.entity(owner)
        field = entity.fields[name]
        if not isinstance(field.member, Remote):
            raise TypeError(f"{coordinate} is not remote")
        self.source_name = source_name
        self.coordinate, self._service = coordinate, service
        self._zone = offset(base.zone)
        parts = {part.name: part for part in registry.values[field.type.name].fields.values()}
        self._coordinates = {part.name: part.coordinate for part in parts.values()} | {AS_OF: f"{coordinate}.{AS_OF}"}
        self._readings: dict[str, _Reading] = {}
        for attribute, mapping in service.fields.items():
            declared = parts[attribute].scalar or parts[attribute].codes
            if declared is None:
                raise TypeError(f"{parts[attribute].coordinate} is neither a scalar nor of a code list")
            convert = converter(mapping, self._zone, declared, is_list=parts[attribute].type.is_list)
            self._readings[attribute] = _Reading(attribute, *_steps(mapping.source), convert)
        self._as_of = None
        if service.as_of is not None:
            convert = converter(service.as_of, self._zone, SCALARS["DateTime"])
            self._as_of = _Reading(AS_OF, *_steps(service.as_of.source), convert)
        self._key, self._region = _steps(service.key), _steps(service.region)
        self._valid = (*_steps(service.valid.path), frozenset(service.valid.values)) if service.valid else None
        self._is_list = field.type.is_list
        self._order = [_Term(parts[order.removeprefix("-")], order.startswith("-")) for order in field.member.order]
        self._placing = self._plan(())
        by = entity.by_name[field.member.by].scalar
        self._any_case = by is not None and by.name not in ("String", "ID")
        self._prefixes = tuple(map(prefix, base.covers))
        self._resolved = lru_cache(maxsize=1_000)(self._resolve)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._unknown: dict[str, dict[str, None]] = {}

    @property
    def unmapped(self) -> Mapping[tuple[str, str], int]:
        """How often what was not shown, by coordinate of the attribute (of the service, for a whole record) and reason,
        one of `Unmapped`."""
        return MappingProxyType(self._counts)

    @property
    def unknown_codes(self) -> Mapping[str, tuple[str, ...]]:
        """Local words of code lists that no mapping covers, by coordinate of the attribute: at most 50, cut to 40
        characters."""
        return {coordinate: tuple(words) for coordinate, words in self._unknown.items()}

    def wanted(self, fields: Sequence[str]) -> tuple[str, ...]:
        """The raw names to ask for so that these attributes can be answered: first steps of paths, sorted."""
        names = {reading.root for reading in self._plan(fields)} | {self._key[0]}
        names |= {self._as_of.root} if self._as_of else set()
        names |= {self._region[0]} if self._service.region else set()
        names |= {self._valid[0]} if self._valid else set()
        return tuple(sorted(names))

    def rows(self, fetch: Fetch, answer: Answer, fetched_at: datetime) -> Rows:
        """The declared records of an answer, by the keys asked; records of other keys are dropped and counted.

        A list's records carry the attributes of its order beside those asked for: merging needs them. Of a list only
        what is shown is mapped, and counted, beyond that order. Raises `SourceBadShape` for many more records than the
        keys can have, and for a window in another order than the declared one.
        """
        self._check_size(fetch, answer)
        today = fetched_at.astimezone(self._zone).date().isoformat()
        plan = self._plan(fetch.fields)
        found = self._by_key(fetch.keys, answer.records)
        if not self._is_list:
            single = {
                key: self._emit(self._only(mapped), fetch.fields)
                for key, raws in found.items()
                if (mapped := self._mapped(raws, plan, today))
            }
            return Rows(single, fetched_at=fetched_at)
        lists, ended = {}, set()
        rest = [reading for reading in plan if reading not in self._placing]
        for key, raws in found.items():
            records = self._mapped(raws, self._placing, today)
            if not answer.ended:
                self._check_order(records)
            ordered = self._ordered(records, rest, fetch.window)
            most = min(fetch.window.first, self._service.items_at_most) if fetch.window else self._service.items_at_most
            lists[key] = [self._emit(self._completed(record, rest), fetch.fields) for record in ordered[:most]]
            if answer.ended and len(ordered) <= most:
                ended.add(key)
        return Rows({}, lists, frozenset(ended), fetched_at)

    def sample(self, raw: RawRecord, fields: Sequence[str]) -> Record:
        """One raw record as it would be shown, without regard to key, validity and region, and not counted."""
        values, failures = _converted(raw, self._plan(fields))
        as_of = self._changed(raw)
        shown = None if isinstance(as_of, Unmapped) else as_of
        return self._emit(_Mapped(raw, values, set(failures), shown, None), fields)

    def _plan(self, fields: Iterable[str]) -> list[_Reading]:
        names = dict.fromkeys((*fields, *(term.name for term in self._order)))
        return [self._readings[name] for name in names if name in self._readings]

    def _count(self, coordinate: str, reason: Unmapped, times: int = 1) -> None:
        self._counts[coordinate, reason.value] += times

    def _check_size(self, fetch: Fetch, answer: Answer) -> None:
        keys, sent = len(fetch.keys), len(answer.records)
        most = _RECORDS_A_KEY * keys + _RECORDS_MORE
        if self._is_list:
            most = self._service.items_at_most * keys + _ITEMS_MORE
        most = min(most, _RECORDS_AT_MOST)
        if sent > most:
            raise SourceBadShape(self.source_name, f"{self.coordinate}: {sent} records, at most {most} are expected")

    def _check_order(self, records: Sequence[_Mapped]) -> None:
        """A source that pages in an order of its own would leave records out between two windows, unnoticed."""
        natural = self._order[-1].name
        places = [self._place(record) for record in records if record.values[natural] is not None]
        if any(self._behind(place, following) for place, following in pairwise(places)):
            raise SourceBadShape(self.source_name, f"{self.coordinate}: not in the declared order")

    def _by_key(self, keys: Sequence[str], records: Iterable[RawRecord]) -> dict[str, list[RawRecord]]:
        """Records of each key asked, in the order of the answer.

        Local systems write blanks, full-width characters and lower case, so that a key is found by what it becomes
        without them too; not where two keys asked, or another record, could be meant.
        """
        root, below = self._key
        found: dict[str, list[RawRecord]] = {key: [] for key in keys}
        forms: dict[str, str | None] = {}
        for key in found:
            form = self._form(key)
            forms[form] = None if form in forms else key
        alike: dict[str, list[RawRecord]] = {}
        for raw in records:
            value = _at(raw, root, below) if below else raw.get(root)
            text: str | None = value if isinstance(value, str) else plain(value)
            if text is not None and text in found:
                found[text].append(raw)
            elif text and (meant := forms.get(form := self._form(text))):
                alike.setdefault(meant, []).append(raw)
            else:
                self._count(self.coordinate, Unmapped.UNASKED_KEY if text and form else Unmapped.NO_KEY)
        for key, others in alike.items():
            if found[key]:
                self._count(self.coordinate, Unmapped.UNASKED_KEY, len(others))
            else:
                found[key] = others
        return found

    def _form(self, text: str) -> str:
        folded = fold(text.strip())
        return folded.upper() if self._any_case else folded

    def _mapped(self, raws: Iterable[RawRecord], plan: Sequence[_Reading], today: str) -> list[_Mapped]:
        """The records, counted, without those that do not count or lie outside the source's regions."""
        found = []
        for raw in raws:
            if self._valid is not None:
                root, below, words = self._valid
                if plain(_at(raw, root, below)) not in words:
                    self._count(self.coordinate, Unmapped.INVALID)
                    continue
            as_of = self._changed(raw)
            stamp = None if isinstance(as_of, Unmapped) else as_of
            region = None
            if self._service.region:
                text = plain(_at(raw, *self._region))
                # What changed is told in the source's zone: its day stands first.
                region = self._resolved(text, stamp[:10] if stamp else today) if text and len(text) <= 40 else None
                if region is None:
                    self._count(self.coordinate, Unmapped.OUTSIDE_COVERAGE)
                    continue
            if isinstance(as_of, Unmapped):
                self._count(self._coordinates[AS_OF], as_of)
            found.append(self._completed(_Mapped(raw, {}, set(), stamp, region), plan))
        return found

    def _completed(self, record: _Mapped, plan: Sequence[_Reading]) -> _Mapped:
        """The record with further attributes, counted, unless it has them."""
        if not plan or plan[0].name in record.values:
            return record
        values, failures = _converted(record.raw, plan)
        record.values |= values
        for name, reason in failures.items():
            record.unmapped.add(name)
            self._count(self._coordinates[name], reason)
            if reason is Unmapped.UNKNOWN_CODE:
                self._note_code(self._readings[name], record.raw)
        return record

    def _changed(self, raw: RawRecord) -> str | Unmapped | None:
        """When a record was last changed over there, as a text in the source's zone."""
        if self._as_of is None:
            return None
        found = self._as_of.convert(_at(raw, self._as_of.root, self._as_of.below))
        return found if found is None or isinstance(found, Unmapped) else str(found)

    def _note_code(self, reading: _Reading, raw: RawRecord) -> None:
        words = self._unknown.setdefault(self._coordinates[reading.name], {})
        text = plain(_at(raw, reading.root, reading.below))
        if text is not None and len(words) < _UNKNOWN_CODES_AT_MOST:
            words[text[:_UNKNOWN_CODE_LENGTH]] = None

    def _resolve(self, text: str, on: str) -> str | None:
        code = load_regions().resolve(fold(text), date.fromisoformat(on))
        return code if code != UNRESOLVED and code.startswith(self._prefixes) else None

    def _only(self, records: list[_Mapped]) -> _Mapped:
        """The record of a key: the newest; where that cannot be told, nothing but that there is one."""
        newest = self._newest(records)
        return newest[0] if len(newest) == 1 else _contradictory(newest, frozenset())

    def _ordered(self, records: list[_Mapped], rest: Sequence[_Reading], window: Window | None) -> list[_Mapped]:
        """Records of one key behind the boundary, in the declared order, each natural key once.

        In what two records of one natural key contradict each other, neither is shown.
        """
        natural = self._order[-1].name
        named: dict[object, list[_Mapped]] = {}
        for record in records:
            if record.values[natural] is None:
                self._count(self.coordinate, Unmapped.NO_KEY)
            else:
                named.setdefault(record.values[natural], []).append(record)
        found = [same[0] if len(same) == 1 else self._agreed(same, rest) for same in named.values()]
        if window is not None and window.after is not None:
            limits = [term.parse(text) if text else None for term, text in zip(self._order, window.after, strict=True)]
            found = [record for record in found if self._behind(self._place(record), limits)]
        for term in reversed(self._order):
            present = [record for record in found if record.values[term.name] is not None]
            present.sort(key=term.value, reverse=term.descending)
            found = present + [record for record in found if record.values[term.name] is None]
        return found

    def _agreed(self, records: list[_Mapped], rest: Sequence[_Reading]) -> _Mapped:
        """What records of one natural key say together: the newest, or that in which the newest agree."""
        newest = self._newest([self._completed(record, rest) for record in records])
        first = newest[0].values
        agreed = (name for name in first if all(record.values[name] == first[name] for record in newest))
        return newest[0] if len(newest) == 1 else _contradictory(newest, frozenset(agreed))

    def _place(self, record: _Mapped) -> list[Any]:
        return [term.value(record) for term in self._order]

    def _behind(self, place: Sequence[Any], limits: Sequence[Any]) -> bool:
        """Whether a place is strictly behind another; systems whose windows are days send what we had."""
        for term, value, limit in zip(self._order, place, limits, strict=True):
            if value == limit:
                continue
            if value is None or limit is None:
                return value is None
            return bool(value < limit) if term.descending else bool(value > limit)
        return False

    def _newest(self, records: list[_Mapped]) -> list[_Mapped]:
        """Of records with one key the newest: several if their order is unknown and they contradict each other."""
        if len(records) == 1:
            return records
        self._counts[self.coordinate, Unmapped.DUPLICATE.value] += len(records) - 1
        different = {record.content: record for record in sorted(records, key=lambda record: record.moment)}
        if all(record.as_of is not None for record in different.values()):
            latest = max(record.moment for record in different.values())
            different = {content: record for content, record in different.items() if record.moment == latest}
        return list(different.values())

    def _emit(self, record: _Mapped, fields: Sequence[str]) -> Record:
        shown = record.values
        for name in fields:
            shown.setdefault(name, None)
        shown[AS_OF] = record.as_of
        if record.region is not None:
            shown[REGION] = record.region
        shown[UNMAPPED] = tuple(sorted(record.unmapped.intersection(fields))) if record.unmapped else ()
        return shown


def _converted(raw: RawRecord, plan: Iterable[_Reading]) -> tuple[dict[str, object], dict[str, Unmapped]]:
    """Attributes, and why what is missing among them could not be mapped."""
    values: dict[str, object] = {}
    failures: dict[str, Unmapped] = {}
    for name, root, below, convert in plan:
        value = convert(_at(raw, root, below) if below else raw.get(root))
        # Cheaper than `isinstance` by half for a class of an enumeration, and this is done for every value.
        if value.__class__ is Unmapped:
            failures[name], value = Unmapped(value), None
        values[name] = value
    return values, failures


def _contradictory(records: Sequence[_Mapped], agreed: frozenset[str]) -> _Mapped:
    """One record for several of which none is the right one: only the attributes in which they agree."""
    first, *others = records
    values = {name: value if name in agreed else None for name, value in first.values.items()}
    unmapped = first.unmapped.union(values.keys() - agreed, *(record.unmapped for record in others))
    as_of = first.as_of if all(record.as_of == first.as_of for record in others) else None
    region = first.region if all(record.region == first.region for record in others) else None
    return _Mapped(first.raw, values, unmapped, as_of, region)


def _steps(path: str) -> tuple[str, tuple[str, ...]]:
    root, *below = path.split(".")
    return root, tuple(below)


def _at(record: RawRecord, root: str, below: Iterable[str]) -> object:
    """The raw value at a path; missing where there is no object to step into."""
    value = record.get(root)
    for step in below:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
