"""References of a plan into this request's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from resolvers.cursors import Cursors
from resolvers.errors import BadNodeId, CursorExpired
from resolvers.plan import Many, Plan
from resolvers.variables import Coerced, decode_id
from schema.codes import CODE_LISTS
from schema.predicate import Ref
from schema.registry import Registry
from schema.scalars import InvalidScalar

Item = tuple[str, str | None]
"""Type and key of one item of `nodes` or `_entities`; a key that cannot be one of ours is `None`."""


@dataclass(slots=True)
class Binding:
    """The values of one request; lives as long as the request."""

    registry: Registry
    plan: Plan
    variables: Coerced
    subject_values: tuple[Any, ...]
    nonce: str
    cursors: Cursors
    items: dict[str, list[Item]]

    def read(self) -> None:
        """Read what several statements share: the items of `nodes` and `_entities`."""
        for root in self.plan.roots:
            if isinstance(root, Many):
                given: list[Any] = []
                for ref in root.given:
                    value = self._source(ref)
                    given += value if ref.is_list else [value]
                self.items[root.key] = [_item(self.registry, v, root.items) for v in given]

    def arguments(self, refs: tuple[Ref, ...], walk: str) -> list[Any]:
        """Values for a statement's references, in order; raises `CursorExpired`."""
        return [self._value(ref, walk) for ref in refs]

    def value(self, ref: Ref) -> Any:
        """The value of a reference outside statements: an argument of a remote field."""
        return self._value(ref, "")

    def _source(self, ref: Ref) -> Any:
        match ref.source:
            case "subject":
                return self.subject_values[ref.path[0]]  # type: ignore[index]
            case "constant":
                return self.plan.constants[ref.path[0]]  # type: ignore[index]
            case "variable":
                value: Any = self.variables
                for step in ref.path:
                    value = value[step]
                return value
            case "nonce":
                return self.nonce
        raise ValueError(ref.source)

    def _value(self, ref: Ref, walk: str) -> Any:
        if ref.source == "keys":
            return [key for name, key in self.items[str(ref.path[0])] if name == ref.path[1]]
        if ref.source == "positions":
            return [i for i, (name, _) in enumerate(self.items[str(ref.path[0])]) if name == ref.path[1]]
        value = self._source(ref)
        if ref.type in _PLAIN:
            return list(value) if ref.is_list and isinstance(value, tuple) else value
        return self._converted(ref, value, walk)

    def _converted(self, ref: Ref, value: Any, walk: str) -> Any:
        if ref.type == "joined":
            return ",".join(value)
        if ref.type == "successor":
            return successor(value)
        if ref.type == "id":
            return _item(self.registry, value, "ids")[1]
        if ref.type == "cursor by key":
            return self.cursors.by_key(value)
        if ref.type.startswith("cursor "):
            position, kind = ref.type.removeprefix("cursor ").split(":")
            return _parsed(kind, self._boundary(value, walk, position))
        if ref.type.startswith("prefix:"):
            return str(value)[: int(ref.type.removeprefix("prefix:"))]
        if ref.type.startswith("codes:"):
            codes = CODE_LISTS[ref.type.removeprefix("codes:")].by_name
            return [codes[name].code for name in value] if ref.is_list else codes[value].code
        raise ValueError(ref.type)

    def _boundary(self, cursor: str, walk: str, position: str) -> str | None:
        found = self.cursors.read(cursor, walk)
        if position == "key":
            return found[-1]
        if self.cursors.by_key(cursor):
            # The statement looks the other sort values up itself, under the caller's row predicate.
            return None
        if int(position) >= len(found) - 1:
            raise CursorExpired
        return found[int(position)]


_PLAIN = frozenset({"text", "integer", "long", "decimal", "boolean", "date", "instant"})


def _parsed(kind: str, text: str | None) -> Any:
    if text is None:
        return None
    parse: Mapping[str, Callable[[str], Any]] = {
        "integer": int,
        "long": int,
        "decimal": Decimal,
        "date": date.fromisoformat,
        "instant": datetime.fromisoformat,
        "boolean": lambda t: t == "true",
    }
    return parse.get(kind, str)(text)


def successor(text: str) -> str:
    """The least text greater than every text with this prefix, by code point (for `startsWith`)."""
    for end in range(len(text), 0, -1):
        point = ord(text[end - 1])
        if point < 0x10FFFF:
            following = 0xE000 if point == 0xD7FF else point + 1
            return text[: end - 1] + chr(following)
    return chr(0x10FFFF) * (len(text) + 1)


def _item(registry: Registry, value: Any, items: str) -> Item:
    """Type and canonical key; an impossible key answers as a missing one does."""
    if items == "ids":
        name, raw = decode_id(str(value))
        if name not in registry.entities:
            raise BadNodeId("not an identifier of this schema")
        entity = registry.entity(name)
    else:
        entity = registry.entity(value["__typename"])
        raw = value.get(entity.key.field)
    try:
        return entity.name, str(entity.key.scalar.parse(raw)) if entity.key.scalar else None
    except InvalidScalar:
        return entity.name, None
