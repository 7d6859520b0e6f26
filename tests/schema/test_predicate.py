"""The algebra: laws that hold on every row, and simplification that changes no row's answer."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.predicate import (
    ALWAYS,
    NEVER,
    Eq,
    In,
    Not,
    Predicate,
    Range,
    Some,
    all_of,
    any_of,
    attributes,
    holds,
    negate,
)
from schema.simplify import assume, implies, simplify

CODES = ("420000", "420100", "420102", "430000", "999999", "-", "42", "4201029")
VALUES: dict[str, tuple[object, ...]] = {
    "@manage": CODES,
    "@site": CODES,
    "@owner_dept": ("-", "D1", "D2"),
    "@sens": tuple(range(10)),
    "name": ("", "a", "ab", "b", None),
    "area": (1, 2, 3, Decimal("1.5"), Decimal("2.5"), None),
    "closed": (True, False, None),
    "since": (date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 4), None),
}
DERIVED = {"@manage2": ("42", "43", "-"), "@manage4": ("4201", "4202"), "@site2": ("42",), "@site4": ("4201",)}
CONSTANTS = {**{name: tuple(v for v in values if v is not None) for name, values in VALUES.items()}, **DERIVED}
ORDERED = ("@sens", "@manage", "name", "area", "since")


@st.composite
def atoms(draw: st.DrawFn) -> Predicate:
    attr = draw(st.sampled_from(sorted(CONSTANTS)))
    constants = st.sampled_from(CONSTANTS[attr])
    form = draw(st.integers(0, 3))
    if form == 0 and attr in ORDERED:
        low, high = draw(constants | st.none()), draw(constants | st.none())
        return Range(attr, low, high, draw(st.booleans()), draw(st.booleans()))  # type: ignore[arg-type]
    if form == 1:
        return In(attr, tuple(draw(st.lists(constants, max_size=3))))  # type: ignore[arg-type]
    if form == 2 and not attr.startswith("@"):
        return Eq(attr, None)
    return Eq(attr, draw(constants))  # type: ignore[arg-type]


PREDICATES = st.recursive(
    st.one_of(st.sampled_from((ALWAYS, NEVER)), atoms(), atoms(), atoms()),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(all_of),
        st.lists(inner, min_size=1, max_size=3).map(any_of),
        inner.map(negate),
        inner.map(Not),
    ),
    max_leaves=12,
)
ROWS = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()})


@given(PREDICATES, st.lists(ROWS, min_size=10, max_size=10))
@settings(max_examples=150, deadline=None)
def test_a_simplified_predicate_holds_on_the_same_rows(predicate, rows):
    shorter = simplify(predicate)
    assert [holds(predicate, row) for row in rows] == [holds(shorter, row) for row in rows]


@pytest.mark.prove
@given(PREDICATES, st.lists(ROWS, min_size=30, max_size=30))
@settings(max_examples=6_000, deadline=None)
def test_a_simplified_predicate_holds_on_the_same_rows_at_length(predicate, rows):
    shorter = simplify(predicate)
    assert [holds(predicate, row) for row in rows] == [holds(shorter, row) for row in rows]


@given(PREDICATES, PREDICATES, st.lists(ROWS, min_size=10, max_size=10))
@settings(max_examples=150, deadline=None)
def test_what_is_assumed_makes_no_difference_where_it_holds(predicate, premise, rows):
    shorter = assume(predicate, premise)
    for row in rows:
        if holds(premise, row):
            assert holds(predicate, row) == holds(shorter, row)


@given(PREDICATES, PREDICATES, st.lists(ROWS, min_size=10, max_size=10))
@settings(max_examples=150, deadline=None)
def test_an_implication_shown_is_true(premise, conclusion, rows):
    if implies(premise, conclusion):
        assert all(holds(conclusion, row) for row in rows if holds(premise, row))


@given(PREDICATES)
@settings(max_examples=150, deadline=None)
def test_constants_are_found_exactly_on_policy_attributes(predicate):
    names = attributes(predicate)
    if not names <= {"@manage", "@manage2", "@manage4", "@owner_dept", "@sens"}:
        return
    # Every value that differs from all constants behaves as one of these two.
    others = ("42????", "4201??", "43????", "4202??", "??????", "-?????")
    answers = {
        holds(predicate, {"@manage": manage, "@owner_dept": owner, "@sens": sens})
        for manage, owner, sens in product((*CODES, *others), ("-", "D1", "D2", "?"), range(10))
    }
    if not any(isinstance(part, Range) and part.attr == "@manage" for part in _parts(predicate)):
        assert (simplify(predicate) in (ALWAYS, NEVER)) == (len(answers) == 1)


def _parts(predicate):
    yield predicate
    for inner in getattr(predicate, "operands", None) or [getattr(predicate, "operand", None)]:
        if inner is not None:
            yield from _parts(inner)


@given(PREDICATES, PREDICATES, ROWS)
@settings(max_examples=100, deadline=None)
def test_joining_and_negating_mean_what_they_say(one, other, row):
    assert holds(all_of([one, other]), row) == (holds(one, row) and holds(other, row))
    assert holds(any_of([one, other]), row) == (holds(one, row) or holds(other, row))
    assert holds(negate(one), row) == (not holds(one, row))
    assert holds(negate(negate(one)), row) == holds(one, row)


def test_null_satisfies_no_comparison_but_every_negation_of_one():
    row = {"name": None}
    for atom in (Eq("name", "a"), In("name", ("a",)), Range("name", low="a")):
        assert not holds(atom, row)
        assert holds(negate(atom), row)
    assert holds(Eq("name", None), row)


MANAGE2, OWN = Eq("@manage2", "42"), Eq("@manage", "420000")
UNKNOWN = Eq("@manage", "999999")
EMPTY = Range("@manage", low="420000", high="420000", high_open=True)


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (any_of([UNKNOWN, Not(UNKNOWN)]), ALWAYS),
        (all_of([MANAGE2, UNKNOWN]), NEVER),
        (all_of([MANAGE2, Not(UNKNOWN)]), MANAGE2),
        (any_of([OWN, all_of([MANAGE2, Not(OWN)])]), MANAGE2),
        (any_of([OWN, MANAGE2]), MANAGE2),
        (all_of([Eq("@manage4", "4201"), MANAGE2]), Eq("@manage4", "4201")),
        (all_of([Eq("@manage4", "4301"), MANAGE2]), NEVER),
        (Range("@sens", low=0, high=9), ALWAYS),
        (any_of([Range("@sens", high=3), Range("@sens", low=4)]), ALWAYS),
        (all_of([Range("@sens", low=3), Range("@sens", high=3)]), Eq("@sens", 3)),
        (any_of([Eq("@manage", "1"), Eq("@manage", "2")]), In("@manage", ("1", "2"))),
        (In("name", ()), NEVER),
        (any_of([Eq("name", None), Not(Eq("name", None))]), ALWAYS),
        (any_of([Range("name", low="a"), Range("name", high="a", high_open=True)]), None),
        (all_of([Range("since", low=date(2026, 1, 1), low_open=True), Range("since", high=date(2026, 1, 1))]), NEVER),
        (EMPTY, EMPTY),
        (all_of([Some("inspections", OWN), Not(Some("inspections", OWN))]), NEVER),
    ],
)
def test_known_simplifications(predicate, expected):
    """`None`: not constant, because a missing name satisfies neither half."""
    if expected is None:
        assert simplify(predicate) not in (ALWAYS, NEVER)
    else:
        assert simplify(predicate) == expected


def test_order_of_operands_does_not_matter():
    parts = [all_of([OWN, Eq("@sens", 3)]), all_of([MANAGE2, Eq("@sens", 0)]), Eq("@owner_dept", "D1")]
    assert simplify(any_of(parts)) == simplify(any_of(reversed(parts)))


def test_too_many_cells_stay_as_they_are_and_stay_exact():
    wide = any_of(all_of([Eq(f"a{i}", "x"), Eq(f"b{i}", "y")]) for i in range(20))
    assert simplify(wide) == wide
    assert not implies(wide, NEVER)
