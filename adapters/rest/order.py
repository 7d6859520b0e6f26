"""The declared order of a list in a source's own values: a boundary as it writes it, and what lies behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from decimal import Decimal
from typing import Any

from adapters.configuration import AttributeMapping, Service
from adapters.conversions import Converter, Unmapped, converter
from adapters.driver import RawRecord
from adapters.time_formats import offset
from schema.registry import Field
from schema.scalars import Kind


def at(record: object, path: str) -> object:
    """What stands at a dotted path of objects; None where nothing does. The empty path is the whole."""
    for step in path.split(".") if path else ():
        if not isinstance(record, Mapping):
            return None
        record = record.get(step)
    return record


@dataclass(frozen=True, slots=True)
class _Term:
    name: str
    descending: bool
    mapping: AttributeMapping
    kind: Kind
    convert: Converter
    parse: Callable[[object], Any]

    def value(self, record: RawRecord) -> Any:
        """The declared value in a raw record, None where there is none."""
        text = self.text(record)
        return self.parse(text) if text else None

    def text(self, record: RawRecord) -> str:
        """The same as a boundary has it, empty where there is none."""
        found = self.convert(at(record, self.mapping.source))
        return "" if found is None or isinstance(found, Unmapped) else str(found)


class LocalOrder:
    """One list's order: `terms` as declared ("-" before a descending attribute), `parts` by attribute name.

    A source that pages by number, or takes a boundary by its first attribute only, sends records again that an earlier
    window had. The mapping drops them; here they are told apart to know when a window is full.
    """

    def __init__(self, terms: Sequence[str], parts: Mapping[str, Field], service: Service, zone: str) -> None:
        self._zone: tzinfo = offset(zone)
        self._terms = [self._term(text, parts[text.removeprefix("-")], service) for text in terms]

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes of the order."""
        return tuple(term.name for term in self._terms)

    @property
    def coarse(self) -> bool:
        """Whether the list goes by days, and the source writes and sorts them with the time of day."""
        first = self._terms[0]
        return first.kind is Kind.DATE and any("%H" in form for form in first.mapping.dates)

    def end(self, records: Sequence[RawRecord]) -> tuple[str, ...] | None:
        """The boundary behind all of these records, None without any that has a place in the order."""
        end: tuple[str, ...] | None = None
        for record in records:
            if self._terms[-1].text(record) and (end is None or self.behind(record, end)):
                end = tuple(term.text(record) for term in self._terms)
        return end

    def without_last_day(self, records: Sequence[RawRecord]) -> Sequence[RawRecord]:
        """The records whose first attribute is not that of the last of them."""
        end, first = self.end(records), self._terms[0]
        return [record for record in records if end and first.text(record) != end[0]]

    def arranged(self, records: Sequence[RawRecord]) -> Sequence[RawRecord]:
        """The same records in this order."""
        found = list(records)
        for term in reversed(self._terms):
            there = [record for record in found if term.text(record)]
            without = [record for record in found if not term.text(record)]
            found = sorted(there, key=term.value, reverse=term.descending) + without
        return found

    def boundary(self, after: Sequence[str]) -> dict[str, object]:
        """Template values `after.ATTRIBUTE` for a boundary; a missing value has none.

        A day that the source writes with a time is the last moment of it in the order, so that none of it is lost.
        """
        pairs = zip(self._terms, after, strict=True)
        return {f"after.{term.name}": self._local(term, text) for term, text in pairs if text}

    def behind(self, record: RawRecord, after: Sequence[str]) -> bool:
        """Whether a raw record comes strictly after a boundary; missing values come last in either direction."""
        for term, text in zip(self._terms, after, strict=True):
            value, limit = term.value(record), term.parse(text) if text else None
            if value == limit:
                continue
            if value is None or limit is None:
                return value is None
            return bool(value < limit) if term.descending else bool(value > limit)
        return False

    def _term(self, text: str, field: Field, service: Service) -> _Term:
        mapping = service.fields[field.name]
        if field.scalar is None:
            raise TypeError(f"{field.coordinate} has no order")
        convert = converter(mapping, self._zone, field.scalar)
        return _Term(field.name, text.startswith("-"), mapping, field.scalar.kind, convert, field.scalar.parse)

    def _local(self, term: _Term, text: str) -> object:
        """A declared value in the first of the forms that the source writes it in."""
        mapping = term.mapping
        if term.kind is Kind.DATE and mapping.dates:
            moment = time.max if term.descending else time.min
            return datetime.combine(date.fromisoformat(text), moment).strftime(mapping.dates[0])
        if term.kind is Kind.INSTANT and mapping.instants:
            instant, form = datetime.fromisoformat(text).astimezone(self._zone), mapping.instants[0]
            per_second = _PER_SECOND.get(form)
            return instant.strftime(form) if per_second is None else round(instant.timestamp() * per_second)
        if mapping.times:
            return f"{Decimal(text) / Decimal(mapping.times):f}"
        return text


_PER_SECOND = {"epoch_ms": 1000, "epoch_s": 1}
