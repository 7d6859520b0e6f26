"""Simplification of predicates by laws that look at values; exact: `simplify(p)` and `p` hold on the same rows.

Used where a decision is made, never where a statement is planned: a plan is shared by subjects that differ in
values, so whatever depends on values must already stand in the decision's shape.

The atoms over one attribute (a region code and its prefixes count as one) split its values into a few classes that no
atom tells apart. A predicate is then a set of *cells*, one class of each attribute, held as the bits of one integer:
whether it is constant, and whether it implies another, is integer arithmetic and has an exact answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache, reduce
from itertools import pairwise
from operator import and_, or_
from typing import Any

from schema.predicate import (
    ALWAYS,
    NEVER,
    PREFIXED,
    Always,
    And,
    Atom,
    Eq,
    In,
    Never,
    Not,
    Or,
    Predicate,
    Range,
    Ref,
    Some,
    Value,
    all_of,
    any_of,
    holds,
    negate,
)

_CELLS_AT_MOST = 1 << 20
"""A predicate over more cells is left as it stands: still exact, but not proved constant."""
_TERMS_AT_MOST = 256
"""Products of sums are multiplied out up to this many terms; a larger predicate is left as it stands."""


def simplify(predicate: Predicate) -> Predicate:
    """An equal predicate, usually smaller; `Always` or `Never` exactly if it is constant.

    Constancy is decided over all rows of the attribute's type: any text for a region, 0 to 9 for the sensitivity.
    Only a predicate over too many cells or behind a relation may stay unproved (callers then deny).
    """
    return assume(predicate, ALWAYS)


def implies(premise: Predicate, conclusion: Predicate) -> bool:
    """Whether every row of the premise satisfies the conclusion; false where that cannot be shown."""
    space = _space(premise, conclusion)
    return space is not None and not space.cells(premise) & ~space.cells(conclusion)


def assume(predicate: Predicate, premise: Predicate) -> Predicate:
    """A predicate that equals the given one on every row of the premise, usually smaller.

    What it says about other rows means nothing, so whoever uses it must have applied the premise. A premise that no
    row satisfies gives `Never`.
    """
    plain = _plain(predicate)
    space = _space(plain, premise)
    if space is None:
        return plain
    care = space.cells(premise)
    wanted = space.cells(plain)
    if not wanted & care:
        return NEVER
    if not care & ~wanted:
        return ALWAYS
    terms = _terms(plain, space, care)
    if terms is None:
        return plain
    primes = {_expanded(term, space, care, wanted) for term in terms}
    kept = _irredundant(sorted(primes, key=_term_order), space, care)
    shorter = _joined(kept)
    return shorter if _size(shorter) <= _size(plain) else plain


def _plain(predicate: Predicate) -> Predicate:
    """Negations at the atoms, memberships sorted, alternatives over one attribute joined."""
    match predicate:
        case Not(operand):
            inner = _plain(operand)
            return Not(inner) if isinstance(inner, Eq | In | Range | Some) else _plain(negate(inner))
        case And(operands):
            return all_of(_plain(p) for p in operands)
        case Or(operands):
            return any_of(_one_membership(_plain(p) for p in operands))
        case In(attr):
            values = _values(predicate)
            return predicate if values is None else _in(attr, values)
        case _:
            return predicate


def _values(literal: Predicate) -> tuple[Value, ...] | None:
    """The values of an equality or membership; `None` for anything else, and where a plan fills a value in."""
    match literal:
        case Eq(_, value) if value is not None:
            found: tuple[Value, ...] = (value,)
        case In(_, several):
            found = several
        case _:
            return None
    return None if any(isinstance(value, Ref) for value in found) else found


def _in(attr: str, values: Iterable[Value]) -> Predicate:
    listed = tuple(sorted(set(values), key=lambda v: (type(v).__name__, v)))
    return NEVER if not listed else Eq(attr, listed[0]) if len(listed) == 1 else In(attr, listed)


def _one_membership(operands: Iterable[Predicate]) -> Iterator[Predicate]:
    """Alternatives with the equalities and memberships over one attribute joined into one membership."""
    joined: dict[str, list[Value]] = {}
    for operand in operands:
        values = _values(operand)
        if values is None or not isinstance(operand, Eq | In):
            yield operand
        else:
            joined.setdefault(operand.attr, []).extend(values)
    for attr, several in joined.items():
        yield _in(attr, several)


def _atoms(predicate: Predicate) -> Iterator[Atom]:
    match predicate:
        case Always() | Never():
            return
        case Not(operand):
            yield from _atoms(operand)
        case And(operands) | Or(operands):
            for operand in operands:
                yield from _atoms(operand)
        case _:
            yield predicate


@dataclass(frozen=True, slots=True)
class _Space:
    """The cells that the atoms of some predicates tell apart; bit n of an integer stands for cell n."""

    everything: int
    atoms: dict[Atom, int]

    def cells(self, predicate: Predicate) -> int:
        """The cells in which the predicate holds."""
        match predicate:
            case Always():
                return self.everything
            case Never():
                return 0
            case Not(operand):
                return self.everything & ~self.cells(operand)
            case And(operands):
                return reduce(and_, map(self.cells, operands), self.everything)
            case Or(operands):
                return reduce(or_, map(self.cells, operands), 0)
            case _:
                return self.atoms[predicate]


def _space(*predicates: Predicate) -> _Space | None:
    """The common space of some predicates, or `None` if it has too many cells."""
    families: dict[str, dict[Atom, None]] = {}
    for predicate in predicates:
        for atom in _atoms(predicate):
            families.setdefault(_base(atom), {})[atom] = None
    columns: list[Column] = []
    for base, atoms in families.items():
        columns += (_policy_columns if base.startswith("@") else _columns)(base, tuple(atoms))
    size = 1
    for _, classes in columns:
        size *= len(classes)
        if size > _CELLS_AT_MOST:
            return None
    everything = (1 << size) - 1
    cells: dict[Atom, int] = {}
    stride = 1
    for together, classes in columns:
        block = (1 << stride) - 1
        width = stride * len(classes)
        repeat = everything // ((1 << width) - 1)
        for i, atom in enumerate(together):
            cells[atom] = repeat * sum(block << n * stride for n, truth in enumerate(classes) if truth[i])
        stride = width
    return _Space(everything, cells)


def _base(atom: Atom) -> str:
    if isinstance(atom, Some):
        return f"some {atom.relation}"
    attr = atom.attr
    return attr[:-1] if attr[:-1] in PREFIXED else attr


Column = tuple[tuple[Atom, ...], tuple[tuple[bool, ...], ...]]
"""Atoms over one attribute, and the classes of its values: for each class, which of the atoms hold."""


def _columns(base: str, atoms: tuple[Atom, ...]) -> tuple[Column, ...]:
    values = None if isinstance(atoms[0], Some) else _representatives(base, atoms)
    if values is None:
        # Atoms that cannot be compared count as independent of each other: fewer proofs, never a wrong one.
        return tuple(((atom,), ((False,), (True,))) for atom in atoms)
    classes = dict.fromkeys(tuple(holds(atom, {base: value}) for atom in atoms) for value in values)
    return ((atoms, tuple(classes)),)


# Only policy attributes: elsewhere two attributes of one name may differ in type, and 1 finds what True has stored.
_policy_columns = lru_cache(maxsize=8192)(_columns)


def _representatives(base: str, atoms: tuple[Atom, ...]) -> Sequence[Any] | None:
    """Values of the attribute such that every other value satisfies the same atoms as one of these."""
    constants = {value for atom in atoms for value in _constants(atom) if value is not None}
    kinds = {type(value) for value in constants}
    if base == "@sens":
        return range(10) if kinds <= {int} else None
    missing: list[Any] = [] if base.startswith("@") else [None]
    if base in PREFIXED:
        ordered = any(isinstance(atom, Range) for atom in atoms)
        return None if ordered or not kinds <= {str} else sorted(_codes({str(value) for value in constants}))
    if kinds <= {str}:
        # The text after t is t with a zero character: nothing lies between the two.
        return [*missing, "", *constants, *(str(value) + "\0" for value in constants)]
    if kinds == {bool}:
        return [*missing, False, True]
    if kinds <= {int, Decimal}:
        points = sorted(Fraction(value) for value in constants)  # type: ignore[arg-type]
        between = [(low + high) / 2 for low, high in pairwise(points)]
        return [*missing, points[0] - 1, *points, *between, points[-1] + 1]
    if kinds in ({date}, {datetime}):
        return [*missing, *_instants(constants, timedelta(days=1) if kinds == {date} else timedelta(microseconds=1))]
    return None


def _constants(atom: Atom) -> tuple[Value | None, ...]:
    match atom:
        case Eq(_, value):
            return (value,)
        case In(_, values):
            return values
        case Range(_, low, high):
            return low, high
        case _:
            return ()


def _codes(texts: set[str]) -> set[str]:
    """Each code and prefix, what continues it otherwise, and what begins otherwise."""
    unused = chr(max((ord(c) for text in texts for c in text), default=0) + 1)
    return texts | {text[:width] + unused * (6 - width) for text in texts for width in (2, 4)} | {unused * 6}


def _instants(constants: set[Any], step: timedelta) -> Iterator[Any]:
    for value in constants:
        for move in (-step, 0 * step, step):
            with suppress(OverflowError):
                yield value + move


Term = tuple[Predicate, ...]


def _terms(predicate: Predicate, space: _Space, care: int) -> list[Term] | None:
    """Disjunctive normal form on the rows that matter; `None` when it would grow too large."""
    match predicate:
        case Or(operands):
            found: list[Term] = []
            for operand in operands:
                inner = _terms(operand, space, care)
                if inner is None:
                    return None
                found += inner
                if len(found) > _TERMS_AT_MOST and len(found := _absorbed(found, space, care)) > _TERMS_AT_MOST:
                    return None
            return _absorbed(found, space, care)
        case And(operands):
            product: list[Term] = [()]
            for operand in operands:
                inner = _terms(operand, space, care)
                if inner is None or len(product) * len(inner) > _TERMS_AT_MOST * 4:
                    return None
                product = _absorbed([left + right for left in product for right in inner], space, care)
                if len(product) > _TERMS_AT_MOST:
                    return None
            return product
        case _:
            return [(predicate,)]


def _cells_of(term: Iterable[Predicate], space: _Space, care: int) -> int:
    for literal in term:
        care &= space.cells(literal)
    return care


def _absorbed(terms: list[Term], space: _Space, care: int) -> list[Term]:
    """The terms that some row satisfies, without those that lie inside another."""
    kept: list[tuple[int, Term]] = []
    for term in terms:
        cells = _cells_of(term, space, care)
        if not cells or any(not cells & ~other for other, _ in kept):
            continue
        kept = [(other, known) for other, known in kept if other & ~cells]
        kept.append((cells, term))
    return [term for _, term in kept]


def _expanded(term: Term, space: _Space, care: int, wanted: int) -> Term:
    """The term without the literals it does not need to stay inside what is wanted."""
    kept = sorted(dict.fromkeys(term), key=_literal_order)
    # Negations first, then the most specific: what remains is what an index serves best.
    for literal in sorted(kept, key=lambda p: (not isinstance(p, Not), -_width(p), _literal_order(p))):
        rest = [p for p in kept if p is not literal]
        if not _cells_of(rest, space, care) & ~wanted:
            kept = rest
    return tuple(kept)


def _width(literal: Predicate) -> int:
    inner = literal.operand if isinstance(literal, Not) else literal
    if not isinstance(inner, Eq | In | Range):
        return 0
    return int(inner.attr[-1]) if _base(inner) != inner.attr else 6


def _irredundant(terms: list[Term], space: _Space, care: int) -> list[Term]:
    kept = list(terms)
    for term in sorted(terms, key=len, reverse=True):
        covered = reduce(or_, (_cells_of(other, space, care) for other in kept if other is not term), 0)
        if not _cells_of(term, space, care) & ~covered:
            kept.remove(term)
    return kept


def _joined(terms: list[Term]) -> Predicate:
    """The terms as a predicate, what they have in common taken out."""
    common = [literal for literal in terms[0] if all(literal in term for term in terms[1:])]
    rests = [all_of(_tightened(literal for literal in term if literal not in common)) for term in terms]
    return all_of([*_tightened(common), any_of(_one_membership(rests))])


def _tightened(literals: Iterable[Predicate]) -> Iterator[Predicate]:
    """The same conjunction with exclusions over one attribute, and its two bounds, joined."""
    excluded: dict[str, list[Value]] = {}
    bounds: dict[str, Range] = {}
    for literal in literals:
        match literal:
            case Not(Eq(attr) | In(attr) as atom) if (values := _values(atom)) is not None:
                excluded.setdefault(attr, []).extend(values)
            case Range(attr, None, high, _, high_open) if attr in bounds and bounds[attr].high is None:
                bounds[attr] = Range(attr, bounds[attr].low, high, bounds[attr].low_open, high_open)
            case Range(attr, low, None, low_open, _) if attr in bounds and bounds[attr].low is None:
                bounds[attr] = Range(attr, low, bounds[attr].high, low_open, bounds[attr].high_open)
            case Range(attr) if attr not in bounds:
                bounds[attr] = literal
            case _:
                yield literal
    for attr, bound in bounds.items():
        point = bound.low is not None and bound.low == bound.high and not (bound.low_open or bound.high_open)
        yield Eq(attr, bound.low) if point else bound
    for attr, several in excluded.items():
        yield negate(_in(attr, several))


def _literal_order(literal: Predicate) -> tuple[str, str, bool, str]:
    """Shape before values, so that equal shapes of different subjects come out in the same order."""
    inner = literal.operand if isinstance(literal, Not) else literal
    attr = inner.attr if isinstance(inner, Eq | In | Range) else ""
    return attr, type(inner).__name__, isinstance(literal, Not), str(literal)


def _term_order(term: Term) -> tuple[list[tuple[str, str, bool]], list[str]]:
    orders = [_literal_order(literal) for literal in term]
    return [order[:3] for order in orders], [order[3] for order in orders]


def _size(predicate: Predicate) -> int:
    match predicate:
        case And(operands) | Or(operands):
            return 1 + sum(_size(p) for p in operands)
        case _:
            return 1
