"""One small two-valued algebra over row attributes: policy rules, client filters and join keys are all written in it.

Every atom is true or false for every row: an atom over a NULL attribute is false, so its `Not` is true, and the
laws of Boolean algebra hold without exception. An attribute is a plain name; the closed policy attributes of a row
(`POLICY_ATTRIBUTES`) start with "@", so they can never be mistaken for declared ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Ref:
    """A value that is known only when a plan is bound: where it comes from, its type, and whether it is a list.

    `source` is "subject" (path: one number), "variable" (path: name and steps inside) or "constant" (one number).
    """

    source: str
    path: tuple[str | int, ...]
    type: str = "text"
    is_list: bool = False

    def __repr__(self) -> str:
        return f"<{self.source} {'.'.join(map(str, self.path))}>"


Value = str | int | bool | Decimal | date | datetime | Ref

POLICY_ATTRIBUTES = ("@manage", "@site", "@owner_dept", "@holder_uscc", "@holder_person", "@case_no", "@sens")
"""What a rule may ask of a row; all NOT NULL, absent is '-' (and sensitivity is 0 to 9)."""

PREFIXED = {"@manage": ("@manage2", "@manage4"), "@site": ("@site2", "@site4")}
"""Region attributes and their derived two- and four-digit prefixes, which are what indexes serve."""


@dataclass(frozen=True, slots=True)
class Always:
    """True for every row."""

    def __str__(self) -> str:
        return "always"


@dataclass(frozen=True, slots=True)
class Never:
    """True for no row."""

    def __str__(self) -> str:
        return "never"


@dataclass(frozen=True, slots=True)
class Eq:
    """The attribute equals the value; `None` asks whether it is NULL."""

    attr: str
    value: Value | None

    def __str__(self) -> str:
        return f"{self.attr} is null" if self.value is None else f"{self.attr} = {self.value!r}"


@dataclass(frozen=True, slots=True)
class In:
    """The attribute is one of the values (sorted, distinct, never NULL)."""

    attr: str
    values: tuple[Value, ...]

    def __str__(self) -> str:
        return f"{self.attr} in {self.values!r}"


@dataclass(frozen=True, slots=True)
class Range:
    """The attribute lies between two bounds; a bound of `None` is open, `low_open`/`high_open` exclude the bound.

    Text is compared by code point, as PostgreSQL does under COLLATE "C".
    """

    attr: str
    low: Value | None = None
    high: Value | None = None
    low_open: bool = False
    high_open: bool = False

    def __str__(self) -> str:
        low = "" if self.low is None else f"{self.low!r} {'<' if self.low_open else '<='} "
        high = "" if self.high is None else f" {'<' if self.high_open else '<='} {self.high!r}"
        return f"{low}{self.attr}{high}"


@dataclass(frozen=True, slots=True)
class Some:
    """At least one row of a to-one or to-many relation satisfies the predicate (`some` of the client's filters)."""

    relation: str
    where: Predicate

    def __str__(self) -> str:
        return f"some {self.relation} ({self.where})"


@dataclass(frozen=True, slots=True)
class Not:
    """True where the operand is false."""

    operand: Predicate

    def __str__(self) -> str:
        return f"not ({self.operand})"


@dataclass(frozen=True, slots=True)
class And:
    """True where all operands are; built by `all_of`."""

    operands: tuple[Predicate, ...]

    def __str__(self) -> str:
        return " and ".join(f"({p})" if isinstance(p, Or) else str(p) for p in self.operands)


@dataclass(frozen=True, slots=True)
class Or:
    """True where any operand is; built by `any_of`."""

    operands: tuple[Predicate, ...]

    def __str__(self) -> str:
        return " or ".join(f"({p})" if isinstance(p, And) else str(p) for p in self.operands)


Atom = Eq | In | Range | Some
Predicate = Always | Never | Atom | Not | And | Or

ALWAYS = Always()
NEVER = Never()


def all_of(operands: Iterable[Predicate]) -> Predicate:
    """Join by `and`, folding constants only (no law that depends on values)."""
    kept: list[Predicate] = []
    for operand in operands:
        match operand:
            case Never():
                return NEVER
            case Always():
                continue
            case And(inner):
                kept.extend(p for p in inner if p not in kept)
            case _ if operand not in kept:
                kept.append(operand)
    return ALWAYS if not kept else kept[0] if len(kept) == 1 else And(tuple(kept))


def any_of(operands: Iterable[Predicate]) -> Predicate:
    """Join by `or`, folding constants only (no law that depends on values)."""
    kept: list[Predicate] = []
    for operand in operands:
        match operand:
            case Always():
                return ALWAYS
            case Never():
                continue
            case Or(inner):
                kept.extend(p for p in inner if p not in kept)
            case _ if operand not in kept:
                kept.append(operand)
    return NEVER if not kept else kept[0] if len(kept) == 1 else Or(tuple(kept))


def negate(predicate: Predicate) -> Predicate:
    """The complement, with negations pushed down to the atoms."""
    match predicate:
        case Always():
            return NEVER
        case Never():
            return ALWAYS
        case Not(operand):
            return operand
        case And(operands):
            return any_of(negate(p) for p in operands)
        case Or(operands):
            return all_of(negate(p) for p in operands)
        case _:
            return Not(predicate)


def holds(predicate: Predicate, row: Mapping[str, Value | None]) -> bool:
    """Evaluate on one row: attribute name to value; policy attributes may omit the derived prefixes."""
    match predicate:
        case Always():
            return True
        case Never():
            return False
        case Not(operand):
            return not holds(operand, row)
        case And(operands):
            return all(holds(p, row) for p in operands)
        case Or(operands):
            return any(holds(p, row) for p in operands)
        case Some(relation, _):
            raise TypeError(f"a row alone cannot answer for its relation {relation}")
        case _:
            return _atom_holds(predicate, _value(row, predicate.attr))


def _value(row: Mapping[str, Value | None], attr: str) -> Value | None:
    if attr in row:
        return row[attr]
    if attr[-1] in "24":
        return str(row[attr[:-1]])[: int(attr[-1])]
    raise KeyError(attr)


def _atom_holds(atom: Eq | In | Range, value: Value | None) -> bool:
    match atom:
        case Eq(_, None):
            return value is None
        case Eq(_, wanted):
            return value is not None and value == wanted
        case In(_, values):
            return value is not None and value in values
        case Range(_, low, high, low_open, high_open):
            if value is None:
                return False
            above = low is None or (value > low if low_open else value >= low)  # type: ignore[operator]
            below = high is None or (value < high if high_open else value <= high)  # type: ignore[operator]
            return above and below


def attributes(predicate: Predicate) -> frozenset[str]:
    """The attribute names that a predicate reads (not those behind `Some`)."""
    match predicate:
        case Always() | Never() | Some():
            return frozenset()
        case Not(operand):
            return attributes(operand)
        case And(operands) | Or(operands):
            return frozenset().union(*(attributes(p) for p in operands))
        case _:
            return frozenset({predicate.attr})
