"""In-band tokens: found once in the bytes of an answer, and replaced by what other systems said or by cursors.

A token is a JSON string `"<nonce>|slot|..."`; the nonce is random per request and known to the statement alone, so no
stored value can imitate one. Python touches tokens, never rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from adapters.base import CURSOR_SLOT, Rows, SourceBadShape
from resolvers.outputs import Part, RemoteSlot
from schema.masks import MASKS
from schema.registry import Field, TypeKind
from schema.scalars import InvalidScalar, Kind

_REST = re.compile(rb'((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Token:
    """A remote value's place: its slot, the positions of the rows around it, the verdict bits, the key to ask for."""

    slot: int
    ordinals: tuple[int, ...]
    bits: str
    key: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A page boundary's place: the JSON array of its sort values."""

    values: bytes


@dataclass(frozen=True, slots=True)
class Pieces:
    """An answer cut at its tokens: one more text than tokens."""

    texts: tuple[bytes, ...]
    tokens: tuple[Token | Cursor, ...]

    def joined(self, replacements: Sequence[bytes]) -> bytes:
        """The answer with each token replaced, in order."""
        parts = [self.texts[0]]
        for replacement, text in zip(replacements, self.texts[1:], strict=True):
            parts += (replacement, text)
        return b"".join(parts)


def cut(answer: bytes, nonce: str) -> Pieces:
    """Cut an answer at the tokens of this nonce."""
    first, *others = answer.split(b'"' + nonce.encode() + b"|")
    texts = [first]
    tokens: list[Token | Cursor] = []
    for piece in others:
        found = _REST.match(piece)
        if found is None:
            raise ValueError("a token is not closed")
        text: str = orjson.loads(b'"' + found[1] + b'"')
        texts.append(piece[found.end() :])
        slot, _, rest = text.partition("|")
        if slot == CURSOR_SLOT:
            tokens.append(Cursor(rest.encode()))
            continue
        ordinals, bits, key = rest.split("|", 2)
        positions = tuple(int(n) for n in ordinals.split(".") if n)
        tokens.append(Token(int(slot), positions, bits, key))
    return Pieces(tuple(texts), tuple(tokens))


def path_of(slot: RemoteSlot, ordinals: Sequence[int]) -> list[str | int]:
    """The response path of a remote value: response keys with the rows' positions in their places."""
    positions = iter(ordinals)
    return [next(positions) if step == 0 and isinstance(step, int) else step for step in slot.path]


def visible(part: Part, bits: str) -> tuple[bool, bool]:
    """(clear, masked) of a part for the row behind a token."""
    clear = part.clear if isinstance(part.clear, bool) else bits[part.clear] == "1"
    masked = part.masked if isinstance(part.masked, bool) else bits[part.masked] == "1"
    return clear, masked


def asked_fields(slot: RemoteSlot, bits: str) -> tuple[str, ...]:
    """The names that a source is asked for: those which may be shown at least masked."""
    names = {p.field.name for p in slot.parts if p.field is not None and any(visible(p, bits))}
    return tuple(sorted(names))


def remote_json(slot: RemoteSlot, bits: str, rows: Rows, key: str) -> bytes:
    """What a token is replaced by; raises `SourceBadShape` where a value is not of its declared type."""
    found: Any = rows.values.get(key)
    if found is None:
        return b"[]" if slot.is_list else b"null"
    if slot.is_list:
        items = found.get("items") if isinstance(found, Mapping) else None
        if not isinstance(items, list):
            raise SourceBadShape(slot.source)
        return b"[" + b",".join(_object(slot, bits, item) for item in items) + b"]"
    return _object(slot, bits, found)


def _object(slot: RemoteSlot, bits: str, values: object) -> bytes:
    if not isinstance(values, Mapping):
        raise SourceBadShape(slot.source)
    shown: dict[str, object] = {}
    for part in slot.parts:
        if part.field is None:
            shown[part.key] = orjson.Fragment(part.json)
            continue
        clear, masked = visible(part, bits)
        value = values.get(part.field.name) if clear or masked else None
        if value is not None:
            value = _checked(part.field, value, slot.source)
            if not clear:
                value = MASKS[part.field.attribute.mask](str(value))
        shown[part.key] = value
    return orjson.dumps(shown)


def _checked(field: Field, value: object, source: str) -> object:
    """The value in the answer's format; a source's word is data like a client's."""
    try:
        if field.type.kind is TypeKind.CODES and field.codes is not None:
            entry = field.codes.by_code.get(str(value))
            return entry.name if entry else None
        if field.scalar is None:
            raise SourceBadShape(source)
        parsed = field.scalar.parse(value)
    except InvalidScalar:
        raise SourceBadShape(source) from None
    return _WRITERS.get(field.scalar.kind, _as_is)(parsed)


def _as_is(value: object) -> object:
    return value


_WRITERS: Mapping[Kind, Callable[[object], object]] = {
    Kind.DECIMAL: lambda v: format(v, "f"),
    Kind.LONG: str,
    Kind.DATE: lambda v: v.isoformat(),  # type: ignore[attr-defined]
    Kind.INSTANT: lambda v: v.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),  # type: ignore[attr-defined]
}
