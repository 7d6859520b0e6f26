"""The declared order of a list in a source's own values: a boundary as it writes it, and what lies behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
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
        found = self.convert(at(record, self.mapping.source))
        return None if found is None or isinstance(found, Unmapped) else self.parse(found)


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

    def boundary(self, after: Sequence[str]) -> dict[str, object]:
        """Template values `after.ATTRIBUTE` for a boundary; a missing value has none."""
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
            return datetime.strptime(text, "%Y-%m-%d").strftime(mapping.dates[0])  # noqa: DTZ007 - a day has no zone
        if term.kind is Kind.INSTANT and mapping.instants:
            instant, form = datetime.fromisoformat(text).astimezone(self._zone), mapping.instants[0]
            per_second = _PER_SECOND.get(form)
            return instant.strftime(form) if per_second is None else round(instant.timestamp() * per_second)
        if mapping.times:
            return f"{Decimal(text) / Decimal(mapping.times):f}"
        return text


_PER_SECOND = {"epoch_ms": 1000, "epoch_s": 1}
