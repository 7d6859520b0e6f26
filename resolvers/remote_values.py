"""A source's record into what is shown of it: read by the declared types, masked, compared, and led on from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson

from adapters.base import AS_OF, REGION, UNMAPPED, Record, Rows, SourceBadShape
from resolvers.slots import Compared, Led, Origin, RemoteSlot, Shown, Sight, Told
from schema.masks import MASKS
from schema.registry import Field, TypeKind, camel
from schema.scalars import InvalidScalar, Kind


@dataclass(frozen=True, slots=True)
class Lead:
    """A place in a shown value where a local record belongs, once it has come."""

    statement: int
    entity: str
    key: str
    shown: dict[str, Any]
    response_key: str
    path: tuple[str | int, ...]


@dataclass(slots=True)
class Showing:
    """One remote value being shown: where it came from, what may be seen of it, and the places to be filled later."""

    slot: RemoteSlot
    source: str
    rows: Rows
    ministry: Sequence[Any] = ()
    """The ministry's values to compare with."""
    leads: list[Lead] = field(default_factory=list)

    @property
    def leads_on(self) -> bool:
        """Whether local records hang on it, so that its place must be known."""
        return any(isinstance(part, Led) for part in self.slot.parts)

    def shown(
        self, record: object, sight: Sight, path: tuple[str | int, ...], *, duplicated: bool | None = None
    ) -> dict[str, Any]:
        """The object shown for a record, `path` its place; raises `SourceBadShape` if it is not as declared.

        An adapter is trusted with its types no more than its source is.
        """
        if not isinstance(record, Mapping):
            raise SourceBadShape(self.source, "a record is no object")
        shown: dict[str, Any] = {}
        for part in self.slot.parts:
            value: Any = None
            match part:
                case Told(_, json):
                    value = orjson.Fragment(json)
                case Shown():
                    value = self._attribute(part, record, sight)
                case Origin(_, declared, clear, parts):
                    if sight.holds(clear, declared.coordinate):
                        value = self._origin(record, parts, sight, duplicated=duplicated)
                case Compared():
                    value = self._conflicts(part, record, sight)
                case Led():
                    self._lead(part, record, sight, shown, (*path, part.key))
            shown[part.key] = value
        return shown

    def _attribute(self, part: Shown, record: Record, sight: Sight) -> object:
        clear, masked = sight.verdict(part)
        value = record.get(part.field.name) if masked else None
        if value is None:
            return None
        checked = self.checked(part.field, value)
        if clear or checked is None:
            return checked
        return MASKS[part.field.attribute.mask](str(checked))

    def _origin(
        self, record: Record, parts: Sequence[tuple[str, str]], sight: Sight, *, duplicated: bool | None
    ) -> dict[str, Any]:
        told_of = record.get(UNMAPPED)
        unmapped = told_of if isinstance(told_of, list | tuple) else ()
        names = {p.field.name for p in self.slot.parts if isinstance(p, Shown) and sight.shows(p)}
        told = {
            "source": self.source,
            "asOf": _instant(record.get(AS_OF)),
            "fetchedAt": _instant(self.rows.fetched_at),
            "stale": self.rows.stale,
            "unmapped": [camel(name) for name in unmapped if isinstance(name, str) and name in names],
            "duplicated": duplicated,
            "__typename": "Provenance",
        }
        return {key: told[name] for key, name in parts}

    def _conflicts(self, part: Compared, record: Record, sight: Sight) -> list[dict[str, Any]]:
        found = []
        for item in part.items:
            local = record.get(item.local.name) if sight.compares(item) else None
            if local is None:
                # What the source does not know contradicts nothing.
                continue
            checked, ministry = self.checked(item.local, local), self.ministry[item.place]
            if not _same(item.local, checked, ministry):
                told = {
                    "attribute": item.ministry.field,
                    "ministry": _text(ministry),
                    "local": _text(checked),
                    "__typename": "Conflict",
                }
                found.append({key: told[name] for key, name in part.parts})
        return found

    def _lead(
        self, part: Led, record: Record, sight: Sight, shown: dict[str, Any], path: tuple[str | int, ...]
    ) -> None:
        key = record.get(part.by.name) if sight.holds(part.clear, part.by.coordinate) else None
        if key is None:
            return
        try:
            target = part.entity.key.scalar
            parsed = target.parse(self.checked(part.by, key)) if target else None
        except InvalidScalar:
            return
        if parsed is not None:
            self.leads.append(Lead(part.statement, part.entity.name, str(parsed), shown, part.key, path))

    def checked(self, declared: Field, value: object) -> object:
        """A value in the answer's format, whatever the adapter made of it; raises `SourceBadShape`."""
        if not declared.type.is_list:
            return _one(declared, value, self.source)
        if not isinstance(value, list | tuple):
            raise SourceBadShape(self.source, f"{declared.coordinate} is no list")
        return [_one(declared, item, self.source) for item in value]


def record_region(record: object) -> str | None:
    """The record's own supervision code, where its source tells it."""
    found = record.get(REGION) if isinstance(record, Mapping) else None
    return found if isinstance(found, str) else None


def _one(declared: Field, value: object, source: str) -> object:
    """A source's word is data like a client's: read by the declared type, written in the answer's format."""
    if declared.type.kind is TypeKind.CODES and declared.codes is not None:
        entry = declared.codes.by_code.get(str(value))
        if entry is None:
            raise SourceBadShape(source, f"{declared.coordinate} is no code of its list")
        return entry.name
    if declared.scalar is None:
        raise SourceBadShape(source, f"{declared.coordinate} is no scalar")
    try:
        parsed = declared.scalar.parse(value)
    except InvalidScalar:
        raise SourceBadShape(source, f"{declared.coordinate} is not of its type") from None
    return _WRITERS.get(declared.scalar.kind, _as_is)(parsed)


def _as_is(value: object) -> object:
    return value


def _utc(instant: datetime) -> str:
    # Not strftime, which writes the year 1 without its noughts.
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


_WRITERS: Mapping[Kind, Callable[[Any], object]] = {
    Kind.DECIMAL: lambda v: format(v, "f"),
    Kind.LONG: str,
    Kind.DATE: lambda v: v.isoformat(),
    Kind.INSTANT: _utc,
}


def _instant(value: object) -> str | None:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else value
        return _utc(instant) if isinstance(instant, datetime) and instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _same(declared: Field, local: object, ministry: object) -> bool:
    if local is None or ministry is None:
        return local is ministry
    if declared.scalar is not None and declared.scalar.kind is Kind.DECIMAL:
        return Decimal(str(local)) == Decimal(str(ministry))
    return local == ministry


def _text(value: object) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)
