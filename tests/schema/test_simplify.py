"""Simplification: it changes no row's answer, proves what is constant, and leaves little."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.predicate import (
    ALWAYS,
    NEVER,
    And,
    Eq,
    In,
    Not,
    Or,
    Predicate,
    Range,
    Ref,
    Some,
    all_of,
    any_of,
    attributes,
    holds,
    negate,
)
from schema.simplify import assume, implies, simplify
from tests.schema.predicates import CODES, PREDICATES, ROWS


@given(PREDICATES, st.lists(ROWS, min_size=10, max_size=10))
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
def test_what_is_assumed_makes_no_difference_where_it_holds(predicate, premise, rows):
    shorter = assume(predicate, premise)
    for row in rows:
        if holds(premise, row):
            assert holds(predicate, row) == holds(shorter, row)


@given(PREDICATES, PREDICATES, st.lists(ROWS, min_size=10, max_size=10))
def test_an_implication_shown_is_true(premise, conclusion, rows):
    if implies(premise, conclusion):
        assert all(holds(conclusion, row) for row in rows if holds(premise, row))


@given(PREDICATES)
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


A, B, C = Eq("name", "a"), Eq("area", 1), Eq("@sens", 3)
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
        (Range("@manage", "420000", "420000", low_open=True), Range("@manage", "420000", "420000", low_open=True)),
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
    assert not implies(NEVER, wide)
    alternatives = Or((wide, In("d", ()), Eq("c", "x"), Eq("c", "y")))
    assert simplify(alternatives) == any_of([wide, In("c", ("x", "y"))])
    assert simplify(And((wide, Or((Eq("c", "x"), Eq("c", "y")))))) == all_of([wide, In("c", ("x", "y"))])


def test_numbers_and_truth_of_the_same_name_are_not_confused():
    assert implies(Not(Eq("flag", None)), any_of([Eq("flag", True), Eq("flag", False)]))
    assert not implies(Not(Eq("flag", None)), any_of([Eq("flag", 1), Eq("flag", 0)]))


@pytest.mark.parametrize("other", [Eq("@owner_dept", "D1"), In("@owner_dept", ("D1", "D2")), Range("@sens", low=5)])
def test_of_two_that_hold_together_the_wider_is_kept(other):
    together = any_of([all_of([MANAGE2, other]), all_of([Not(MANAGE2), negate(other)])])
    assert assume(all_of([MANAGE2, other]), together) == MANAGE2
    excluded = any_of([all_of([Not(MANAGE2), Not(other)]), all_of([MANAGE2, other])])
    assert assume(all_of([Not(MANAGE2), Not(other)]), excluded) == Not(MANAGE2)


def test_of_two_that_hold_together_what_is_said_without_not_is_kept():
    either = any_of([all_of([Not(A), B]), all_of([A, Not(B)])])
    assert assume(all_of([Not(A), B]), either) == B
    assert assume(all_of([A, Not(B)]), either) == A


DAY, NEXT, AFTER = date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def known(attr: str) -> Predicate:
    return Not(Eq(attr, None))


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        # Numbers lie between any two, text follows text at once, days and microseconds follow each other.
        (any_of([Range("area", high=1), Range("area", low=1, low_open=True)]), known("area")),
        (any_of([Range("area", high=2), Range("area", low=Decimal("1.5"))]), known("area")),
        (any_of([Range("area", high=1), Range("area", low=2)]), None),
        (any_of([Range("area", high=1), Range("area", low=Decimal("1.5"))]), None),
        (any_of([Range("area", low=1), Eq("area", None)]), None),
        (any_of([Range("area", high=1), Eq("area", None)]), None),
        (any_of([Range("name", high="a"), Range("name", low="a\0")]), known("name")),
        (any_of([Range("name", high="a"), Range("name", low="a\1")]), None),
        (Range("name", low=""), known("name")),
        (Range("name", low="\0"), None),
        (any_of([Eq("name", ""), Range("name", low="\0")]), known("name")),
        (any_of([Range("since", high=DAY), Range("since", low=NEXT)]), known("since")),
        (any_of([Range("since", high=DAY), Range("since", low=AFTER)]), None),
        (any_of([Range("since", low=DAY), Eq("since", None)]), None),
        (any_of([Range("since", high=DAY), Eq("since", None)]), None),
        (Range("since", low=date.min), known("since")),
        (Range("since", high=date.max), known("since")),
        (any_of([Range("at", high=NOON), Range("at", low=NOON + timedelta(microseconds=1))]), known("at")),
        (any_of([Range("at", high=NOON), Range("at", low=NOON + timedelta(microseconds=2))]), None),
        (any_of([Range("area", low=1), Eq("area", 8), Eq("area", None)]), None),
        (any_of([Eq("closed", True), Eq("closed", False)]), known("closed")),
        (any_of([Eq("closed", True), Eq("closed", None)]), None),
        (any_of([Eq("closed", False), Eq("closed", None)]), None),
        (any_of([Not(MANAGE2), Eq("@manage4", "4233"), Eq("@manage", "42")]), None),
        (Range("@owner_dept", low=""), ALWAYS),
        # A region may be any text: what a prefix leaves open is not the prefix itself.
        (any_of([Not(MANAGE2), Eq("@manage4", "4201"), Eq("@manage", "42")]), None),
        (any_of([Not(Eq("@manage4", "4201")), Eq("@manage", "4201")]), None),
        (Range("@sens", low=1), None),
        (Range("@sens", high=8), None),
        (Range("@sens", low=0, low_open=True), None),
        (any_of([In("@manage2", ("42", "43")), Not(Eq("@manage2", "42"))]), ALWAYS),
        # Between two texts lie others, of which the codes and prefixes named here are no fair sample.
        (any_of([Range("@manage", high="421"), Range("@manage", low="4211"), Not(MANAGE2)]), None),
    ],
)
def test_constancy_is_decided_by_the_values_a_type_has(predicate, expected):
    """`None`: neither constant nor anything that is known of the attribute."""
    if expected is None:
        assert simplify(predicate) not in (ALWAYS, NEVER)
        assert not implies(known(min(attributes(predicate))), predicate)
    else:
        assert implies(expected, predicate)
        assert implies(predicate, expected)
        assert (simplify(predicate) == ALWAYS) == (expected == ALWAYS)


FEW, MANY = (all_of(any_of([Eq(f"a{i}", 1), Eq(f"b{i}", 1)]) for i in range(n)) for n in (2, 3))
TOO_MANY = all_of(any_of(Range(name, i, i) for i in range(33)) for name in ("area", "size"))
SUBJECT = Ref("subject", (0,))


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (all_of([Not(Eq("@owner_dept", "D1")), Not(Eq("@owner_dept", "D2"))]), "not (@owner_dept in ('D1', 'D2'))"),
        (all_of([Not(In("name", ("b", "a"))), Not(Eq("name", "c"))]), "not (name in ('a', 'b', 'c'))"),
        (Not(In("name", ("b", "a", "b"))), "not (name in ('a', 'b'))"),
        (In("name", ("b", "a", "b")), "name in ('a', 'b')"),
        (In("name", ("a",)), "name = 'a'"),
        (all_of([Range("area", low=1), Range("area", high=2)]), "1 <= area <= 2"),
        (all_of([Range("area", high=2), Range("area", low=1)]), "1 <= area <= 2"),
        (all_of([Range("area", 1, None, True), Range("area", None, 2, False, True)]), "1 < area < 2"),
        (all_of([Range("area", None, 2, False, True), Range("area", 1, None, True)]), "1 < area < 2"),
        (all_of([Range("area", 1, None, True), Range("area", high=2)]), "1 < area <= 2"),
        (all_of([Range("area", low=1), Range("area", None, 2, False, True)]), "1 <= area < 2"),
        (all_of([Range("agreed", low=DAY), Range("agreed", high=AFTER)]), f"{DAY!r} <= agreed <= {AFTER!r}"),
        (all_of([Range("area", low=1), Range("area", low=2)]), "2 <= area"),
        (all_of([Range("area", low=1), Range("area", high=1)]), "area = 1"),
        (all_of([Range("area", low=1), Range("area", None, 1, False, True)]), "never"),
        (all_of([Range("area", 1, 5), Range("area", 2, 9)]), "2 <= area <= 9 and 1 <= area <= 5"),
        (any_of([all_of([A, B]), all_of([A, C])]), "name = 'a' and (@sens = 3 or area = 1)"),
        (any_of([all_of([A, C]), all_of([A, Eq("@sens", 4)])]), "name = 'a' and @sens in (3, 4)"),
        (any_of([all_of([A, B]), all_of([A, Not(B)])]), "name = 'a'"),
        (any_of([A, all_of([Not(A), B])]), "area = 1 or name = 'a'"),
        # What the two others cover together goes.
        (
            any_of([all_of([A, B]), all_of([Not(A), C]), all_of([B, C])]),
            "(@sens = 3 and not (name = 'a')) or (area = 1 and name = 'a')",
        ),
        # A negation goes before what an index serves, and what is wide before what is narrow stays.
        (any_of([all_of([MANAGE2, Not(OWN)]), OWN]), "@manage2 = '42'"),
        (Not(And((A, B))), "not (area = 1) or not (name = 'a')"),
        (all_of([any_of([A, B]), any_of([A, C])]), "(@sens = 3 and area = 1) or name = 'a'"),
        (all_of([Eq("@manage4", "4201"), MANAGE2, A]), "@manage4 = '4201' and name = 'a'"),
        (
            all_of([Range("since", low=DAY), In("area", (1, 2)), C]),
            f"@sens = 3 and area in (1, 2) and {DAY!r} <= since",
        ),
        (any_of([Range("since", low=DAY), A]), f"{DAY!r} <= since or name = 'a'"),
        (any_of([Range("area", low=5), Range("@sens", low=7), A]), "7 <= @sens or 5 <= area or name = 'a'"),
        (any_of([Eq("name", 1), A]), "name in (1, 'a')"),
        # Constant, but with more terms than are multiplied out.
        (all_of(any_of([Eq(f"a{i}", 1), Not(Eq(f"a{i}", 1))]) for i in range(9)), "always"),
        # Multiplied out they are longer.
        (FEW, str(FEW)),
        (MANY, str(MANY)),
        (TOO_MANY, str(TOO_MANY)),
        (any_of([TOO_MANY, A]), str(any_of([TOO_MANY, A]))),
        (all_of([any_of([TOO_MANY, A]), C]), str(all_of([any_of([TOO_MANY, A]), C]))),
        (all_of([Range("area", 1, 5), Range("area", high=3)]), "area <= 3 and 1 <= area <= 5"),
        (all_of([Range("area", 1, 5), Range("area", low=3)]), "3 <= area and 1 <= area <= 5"),
        (Eq("@manage", 7), "@manage = 7"),
        # What a plan fills in may be any value, NULL is none, and what cannot be compared is kept apart.
        (any_of([Eq("name", SUBJECT), A, Eq("name", "b")]), "name = <subject 0> or name in ('a', 'b')"),
        (any_of([In("name", ("a", SUBJECT)), Eq("name", "b")]), "name in ('a', <subject 0>) or name = 'b'"),
        (any_of([Eq("name", None), A]), "name is null or name = 'a'"),
        (all_of([Eq("name", 1), A]), "name = 'a' and name = 1"),
        (all_of([B, Eq("area", 2)]), "never"),
        (any_of([Some("x", A), Not(Some("y", A))]), "some x (name = 'a') or not (some y (name = 'a'))"),
        (any_of([Some("x", A), Some("x", B)]), "some x (area = 1) or some x (name = 'a')"),
        (all_of([Some("x", A), Not(Eq("x", 1))]), "some x (name = 'a') and not (x = 1)"),
        (any_of([Range("@manage", low="42"), Not(Range("@manage", low="42"))]), "always"),
    ],
)
def test_what_is_left_is_short_and_always_the_same(predicate, text):
    assert str(simplify(predicate)) == text


def test_what_a_sensitivity_cannot_be_compared_with_is_left_as_it_is():
    odd = all_of([Range("@sens", low="x"), Eq("@sens", 3)])
    assert simplify(odd) == all_of([Eq("@sens", 3), Range("@sens", low="x")])
