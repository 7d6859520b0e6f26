"""Remote fields of a plan: whom to ask for what, and how the answer is shown. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from adapters.base import Limit
from schema.declare import Mask
from schema.predicate import Ref
from schema.registry import Entity, Field

Bit = int | bool
"""Whether something holds for the row behind a token: a place among the token's bits, or the same for every row."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An attribute of a remote value."""

    key: str
    field: Field
    clear: Bit
    masked: Bit


@dataclass(frozen=True, slots=True)
class Told:
    """What does not depend on the value: `__typename`, or null for what is denied."""

    key: str
    json: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The provenance of a remote value, with the selected parts: (response key, name)."""

    key: str
    field: Field
    clear: Bit
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Led:
    """A local record that a remote value leads to: its key is `by`, and a later statement answers it."""

    key: str
    by: Field
    clear: Bit
    entity: Entity
    statement: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """An attribute that source and ministry both have; compared only where both are clear."""

    local: Field
    local_clear: Bit
    ministry: Field
    ministry_clear: Bit
    place: int
    """Among the ministry's values that the token carries."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The conflict view of a remote value, with the selected parts."""

    key: str
    items: tuple[Comparison, ...]
    parts: tuple[tuple[str, str], ...]


Part = Shown | Told | Origin | Led | Compared


@dataclass(frozen=True, slots=True)
class Walk:
    """A list merged from several sources: what of its page is selected, as (response key, name, sub-selection)."""

    after: Ref | None
    outputs: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...]


@dataclass(frozen=True, slots=True)
class RemoteSlot:
    """One remote field of the document, and where it stands."""

    coordinate: str
    """Of the field; also the service that sources offer."""
    type: str
    """Name of the value type."""
    parts: tuple[Part, ...]
    path: tuple[str | int, ...]
    """Response keys from the root on; 0 stands where the token's ordinals go."""
    is_list: bool = False
    order: tuple[str, ...] = ()
    ordered_by: tuple[str, ...] = ()
    """Coordinates of the attributes of the order."""
    first: Limit | None = None
    walk: Walk | None = None
    reason: Ref | None = None
    officer: bool = False
    compares: bool = False
    """Whether the token's last part is a JSON array: the key, then the ministry's values to compare with."""

    def __str__(self) -> str:
        how = ["across its sources" if self.walk else "from the source closest to the row's region"]
        if self.order:
            how.append(f"ordered by {', '.join(self.order)}")
        if self.officer:
            how.append("for the officer, with a reason")
        shown = "; ".join(text for part in self.parts if (text := _describe(part)))
        return f"{self.coordinate} {', '.join(how)}: {shown or 'nothing of its records'}"


@dataclass(frozen=True, slots=True)
class Sight:
    """What may be seen of records: the bits of the governing row, narrowed by regions that policy decides on.

    One serves all rows of the same bits within a request, so it keeps what it has worked out.
    """

    bits: str = ""
    narrowed: Callable[[str, str], bool] | None = None
    """(coordinate, "clear" or "mask"): whether the regions allow it, where the record's own or its source's count."""
    _verdicts: dict[int, tuple[bool, bool]] = field(default_factory=dict, compare=False, repr=False)

    def holds(self, bit: Bit, coordinate: str = "", act: str = "clear") -> bool:
        """Whether the bit holds and, of a coordinate of the remote value, whether the regions allow it too."""
        held = bit if isinstance(bit, bool) else self.bits[bit] == "1"
        return held and (not coordinate or self.narrowed is None or self.narrowed(coordinate, act))

    def verdict(self, part: Shown) -> tuple[bool, bool]:
        """(clear, something of it shown) of an attribute."""
        found = self._verdicts.get(id(part))
        if found is None:
            coordinate = part.field.coordinate
            clear = self.holds(part.clear, coordinate)
            # What a mask leaves nothing of is as good as denied: it is not asked for, and nothing is told of it.
            maskable = part.field.attribute.mask is not Mask.NOTHING
            found = clear, clear or (maskable and self.holds(part.masked, coordinate, "mask"))
            self._verdicts[id(part)] = found
        return found

    def compares(self, item: Comparison) -> bool:
        """Whether both sides of a comparison are clear."""
        return self.holds(item.local_clear, item.local.coordinate) and self.holds(item.ministry_clear)

    def shows(self, part: Part) -> bool:
        """Whether anything of a part may be shown that only the source can say."""
        match part:
            case Shown():
                return any(self.verdict(part))
            case Origin(_, field, clear) | Led(_, field, clear):
                return self.holds(clear, field.coordinate)
            case Compared(_, items):
                return any(self.compares(item) for item in items)
            case Told():
                return False


def asked_fields(slot: RemoteSlot, sight: Sight) -> tuple[str, ...]:
    """The names that a source is asked for: those which may be shown at least masked, compared or followed."""
    names = {name.removeprefix("-") for name in slot.order} if slot.walk else set()
    for part in slot.parts:
        match part:
            case Shown(_, field) | Led(_, field) if sight.shows(part):
                names.add(field.name)
            case Compared(_, items):
                names.update(item.local.name for item in items if sight.compares(item))
            case _:
                pass
    return tuple(sorted(names))


def path_of(path: Sequence[str | int], ordinals: Sequence[int]) -> list[str | int]:
    """The response path of a remote value: response keys with the rows' positions in their places."""
    positions = iter(ordinals)
    return [next(positions) if step == 0 and isinstance(step, int) else step for step in path]


def _describe(part: Part) -> str:
    match part:
        case Shown(key, _, clear, masked):
            return f"{key} {_when('clear', clear)}" + ("" if masked == clear else f", {_when('masked', masked)}")
        case Origin(key, _, clear):
            return f"{key} {_when('clear', clear)}"
        case Led(key, by, clear, entity, statement):
            return f"{key} {_when('clear', clear)} -> {entity.name} by {by.name} in statement {statement}"
        case Compared(key, items):
            pairs = ", ".join(f"{item.local.name} with {item.ministry.coordinate}" for item in items)
            return f"{key} compares {pairs}"
        case Told(key, json):
            return f"{key} {json}"


def _when(what: str, bit: Bit) -> str:
    if isinstance(bit, bool):
        return what if bit else f"never {what}"
    return f"{what} where bit {bit}"
