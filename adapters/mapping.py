"""How the records of one service of one source become declared ones. Pure: no clock, no socket.

What cannot be mapped is missing in the answer, is named there, and is counted for the operators; it is never guessed,
and never written down, but for the words of code lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Any

from adapters.base import AS_OF, REGION, UNMAPPED, Fetch, Record, Rows
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


@dataclass(frozen=True, slots=True)
class _Reading:
    """Where the raw value of an attribute stands, and what becomes of it."""

    name: str
    root: str
    below: tuple[str, ...]
    convert: Converter


@dataclass(frozen=True, slots=True)
class _Mapped:
    """A record after mapping; `unmapped` holds names of attributes, of those mapped here."""

    values: Mapping[str, object]
    unmapped: frozenset[str]
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


class _Asked:
    """The keys of a batch, found by what local systems make of them: blanks, full-width characters, lower case."""

    def __init__(self, keys: Iterable[str], *, any_case: bool) -> None:
        self._keys = {fold(key.strip()): key for key in keys}
        self._upper = {folded.upper(): key for folded, key in self._keys.items()} if any_case else {}

    def find(self, text: str) -> str | None:
        folded = fold(text)
        return self._keys.get(folded) or self._upper.get(folded.upper())


class _Term:
    """One attribute of a list's order; comparison is that of its declared type."""

    def __init__(self, field: Field, descending: bool) -> None:
        if field.scalar is None:
            raise TypeError(f"{field.coordinate} has no order")
        self.name, self.descending = field.name, descending
        self.parse: Callable[[object], Any] = field.scalar.parse

    def value(self, record: _Mapped) -> Any:
        return self.parse(record.values[self.name])


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
        by = entity.by_name[field.member.by].scalar
        self._any_case = by is not None and by.name not in ("String", "ID")
        self._prefixes = tuple(map(prefix, base.covers))
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

        A list's records carry the attributes of its order beside those asked for: merging needs them.
        """
        plan = self._plan(fetch.fields)
        asked = _Asked(fetch.keys, any_case=self._any_case)
        found: dict[str, list[_Mapped]] = {key: [] for key in fetch.keys} if self._is_list else {}
        for raw in answer.records:
            key = self._asked_key(raw, asked)
            if key is not None and (mapped := self._mapped(raw, plan, fetched_at)) is not None:
                found.setdefault(key, []).append(mapped)
        if not self._is_list:
            single = {key: self._emit(self._only(mapped), fetch.fields) for key, mapped in found.items()}
            return Rows(single, fetched_at=fetched_at)
        lists, ended = {}, set()
        for key, records in found.items():
            ordered = self._ordered(records, fetch.window.after if fetch.window else None)
            most = min(fetch.window.first, self._service.items_at_most) if fetch.window else self._service.items_at_most
            lists[key] = [self._emit(record, fetch.fields) for record in ordered[:most]]
            if answer.ended and len(ordered) <= most:
                ended.add(key)
        return Rows({}, lists, frozenset(ended), fetched_at)

    def sample(self, raw: RawRecord, fields: Sequence[str]) -> Record:
        """One raw record as it would be shown, without regard to key, validity and region, and not counted."""
        values, as_of, failures = self._converted(raw, self._plan(fields))
        return self._emit(_Mapped(values, frozenset(failures), as_of, None), fields)

    def _plan(self, fields: Iterable[str]) -> list[_Reading]:
        names = dict.fromkeys((*fields, *(term.name for term in self._order)))
        return [self._readings[name] for name in names if name in self._readings]

    def _count(self, coordinate: str, reason: Unmapped) -> None:
        self._counts[coordinate, reason.value] += 1

    def _asked_key(self, raw: RawRecord, asked: _Asked) -> str | None:
        text = plain(_at(raw, *self._key))
        key = asked.find(text) if text else None
        if key is None:
            self._count(self.coordinate, Unmapped.UNASKED_KEY if text else Unmapped.NO_KEY)
        return key

    def _mapped(self, raw: RawRecord, plan: list[_Reading], fetched_at: datetime) -> _Mapped | None:
        """The record, counted; `None` if it does not count or lies outside the source's regions."""
        if self._valid is not None:
            root, below, values = self._valid
            if plain(_at(raw, root, below)) not in values:
                self._count(self.coordinate, Unmapped.INVALID)
                return None
        converted, as_of, failures = self._converted(raw, plan)
        region = None
        if self._service.region:
            moment = fetched_at if as_of is None else datetime.fromisoformat(as_of)
            region = self._resolved(raw, moment.astimezone(self._zone).date())
            if region is None:
                self._count(self.coordinate, Unmapped.OUTSIDE_COVERAGE)
                return None
        for name, reason in failures.items():
            self._count(self._coordinates[name], reason)
            if reason is Unmapped.UNKNOWN_CODE:
                self._note_code(self._readings[name], raw)
        return _Mapped(converted, frozenset(failures.keys() - {AS_OF}), as_of, region)

    def _converted(
        self, raw: RawRecord, plan: list[_Reading]
    ) -> tuple[dict[str, object], str | None, dict[str, Unmapped]]:
        """Attributes, time of the last change, and why what is missing among them could not be mapped."""
        values: dict[str, object] = {}
        failures: dict[str, Unmapped] = {}
        for reading in plan:
            value = reading.convert(_at(raw, reading.root, reading.below) if reading.below else raw.get(reading.root))
            # Cheaper than `isinstance` by half for a class of an enumeration, and this is done for every value.
            if value.__class__ is Unmapped:
                failures[reading.name], value = Unmapped(value), None
            values[reading.name] = value
        as_of = self._as_of.convert(_at(raw, self._as_of.root, self._as_of.below)) if self._as_of else None
        if isinstance(as_of, Unmapped):
            failures[AS_OF], as_of = as_of, None
        return values, str(as_of) if as_of else None, failures

    def _note_code(self, reading: _Reading, raw: RawRecord) -> None:
        words = self._unknown.setdefault(self._coordinates[reading.name], {})
        text = plain(_at(raw, reading.root, reading.below))
        if text is not None and len(words) < _UNKNOWN_CODES_AT_MOST:
            words[text[:_UNKNOWN_CODE_LENGTH]] = None

    def _resolved(self, raw: RawRecord, on: date) -> str | None:
        text = plain(_at(raw, *self._region))
        code = load_regions().resolve(fold(text), on) if text else UNRESOLVED
        return code if code != UNRESOLVED and code.startswith(self._prefixes) else None

    def _only(self, records: list[_Mapped]) -> _Mapped:
        """The record of a key: the newest; where that cannot be told, nothing but that there is one."""
        newest = self._newest(records)
        return newest[0] if len(newest) == 1 else _contradictory(newest, frozenset())

    def _ordered(self, records: list[_Mapped], after: tuple[str, ...] | None) -> list[_Mapped]:
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
        found = []
        for same in named.values():
            newest = self._newest(same)
            first = newest[0].values
            agreed = (name for name in first if all(record.values[name] == first[name] for record in newest))
            found.append(newest[0] if len(newest) == 1 else _contradictory(newest, frozenset(agreed)))
        if after is not None:
            found = [record for record in found if self._behind(record, after)]
        for term in reversed(self._order):
            present = [record for record in found if record.values[term.name] is not None]
            present.sort(key=term.value, reverse=term.descending)
            found = present + [record for record in found if record.values[term.name] is None]
        return found

    def _behind(self, record: _Mapped, boundary: tuple[str, ...]) -> bool:
        """Whether a record stands strictly behind a boundary; systems whose windows are days send what we had."""
        for term, text in zip(self._order, boundary, strict=True):
            value = term.value(record) if record.values[term.name] is not None else None
            limit = term.parse(text) if text else None
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
        shown: dict[str, object] = {name: record.values.get(name) for name in fields}
        shown |= {term.name: record.values.get(term.name) for term in self._order}
        shown[AS_OF] = record.as_of
        if record.region is not None:
            shown[REGION] = record.region
        shown[UNMAPPED] = tuple(sorted(record.unmapped.intersection(fields))) if record.unmapped else ()
        return shown


def _contradictory(records: Sequence[_Mapped], agreed: frozenset[str]) -> _Mapped:
    """One record for several of which none is the right one: only the attributes in which they agree."""
    first, *others = records
    values = {name: value if name in agreed else None for name, value in first.values.items()}
    unmapped = first.unmapped.union(values.keys() - agreed, *(record.unmapped for record in others))
    as_of = first.as_of if all(record.as_of == first.as_of for record in others) else None
    region = first.region if all(record.region == first.region for record in others) else None
    return _Mapped(values, unmapped, as_of, region)


def _steps(path: str) -> tuple[str, tuple[str, ...]]:
    root, *below = path.split(".")
    return root, tuple(below)


def _at(record: RawRecord, root: str, below: Iterable[str]) -> object:
    """The raw value at a path; missing where there is no object to step into."""
    value = record.get(root)
    for step in below:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
