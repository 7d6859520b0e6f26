"""The algebra: laws that hold on every row, and how a predicate is built and printed."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given

from schema.declare import Governed
from schema.predicate import (
    ALWAYS,
    NEVER,
    POLICY_ATTRIBUTES,
    PREFIXED,
    And,
    Eq,
    In,
    Not,
    Or,
    Range,
    Ref,
    Some,
    all_of,
    any_of,
    attributes,
    holds,
    negate,
)
from tests.schema.predicates import PREDICATES, ROWS


@given(PREDICATES, PREDICATES, ROWS)
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


A, B, C = Eq("name", "a"), Eq("area", 1), Eq("@sens", 3)


@pytest.mark.parametrize(
    ("predicate", "text"),
    [
        (ALWAYS, "always"),
        (NEVER, "never"),
        (A, "name = 'a'"),
        (Eq("name", None), "name is null"),
        (In("area", (1, 2)), "area in (1, 2)"),
        (Range("area", 1, 2), "1 <= area <= 2"),
        (Range("area", 1, 2, low_open=True, high_open=True), "1 < area < 2"),
        (Range("area", low=1), "1 <= area"),
        (Range("area", high=1), "area <= 1"),
        (Some("inspections", A), "some inspections (name = 'a')"),
        (Not(A), "not (name = 'a')"),
        (And((A, Or((B, C)))), "name = 'a' and (area = 1 or @sens = 3)"),
        (Or((A, And((B, C)))), "name = 'a' or (area = 1 and @sens = 3)"),
        (Eq("name", Ref("variable", ("ids", 0, "key"))), "name = <variable ids.0.key>"),
    ],
)
def test_a_predicate_is_printed_as_it_reads(predicate, text):
    assert str(predicate) == text


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (lambda: all_of([]), ALWAYS),
        (lambda: any_of([]), NEVER),
        (lambda: all_of([A]), A),
        (lambda: any_of([A]), A),
        (lambda: all_of([A, ALWAYS, A, B]), And((A, B))),
        (lambda: any_of([A, NEVER, A, B]), Or((A, B))),
        (lambda: all_of([A, And((A, B)), C]), And((A, B, C))),
        (lambda: any_of([A, Or((A, B)), C]), Or((A, B, C))),
        (lambda: all_of([A, NEVER, B]), NEVER),
        (lambda: any_of([A, ALWAYS, B]), ALWAYS),
        (lambda: negate(ALWAYS), NEVER),
        (lambda: negate(NEVER), ALWAYS),
        (lambda: negate(Not(A)), A),
        (lambda: negate(And((A, Not(B)))), Or((Not(A), B))),
        (lambda: negate(Or((A, Not(B)))), And((Not(A), B))),
        (lambda: negate(Some("inspections", A)), Not(Some("inspections", A))),
    ],
)
def test_constants_and_repetitions_are_folded(build, expected):
    assert build() == expected


def test_a_predicate_reads_the_attributes_of_its_own_row():
    predicate = And((A, Or((Not(B), In("closed", (True,)))), Range("since"), Some("inspections", C), ALWAYS, NEVER))
    assert attributes(predicate) == {"name", "area", "closed", "since"}


def test_a_row_cannot_answer_for_what_it_does_not_hold():
    with pytest.raises(TypeError, match="inspections"):
        holds(Some("inspections", A), {"name": "a"})
    with pytest.raises(KeyError, match="name"):
        holds(A, {"area": 1})
    with pytest.raises(KeyError, match="@manage"):
        holds(Eq("@manage2", "42"), {"@site": "420000"})


@pytest.mark.parametrize("value", [0, 1, 2, 3, 4, None])
@pytest.mark.parametrize("low", [1, None])
@pytest.mark.parametrize("high", [3, None])
@pytest.mark.parametrize(("low_open", "high_open"), [(True, False), (False, True), (False, False), (True, True)])
def test_a_range_holds_between_its_bounds(value, low, high, low_open, high_open):
    lowest = 0 if low is None else 2 if low_open else 1
    highest = 4 if high is None else 2 if high_open else 3
    expected = value is not None and lowest <= value <= highest
    assert holds(Range("area", low, high, low_open, high_open), {"area": value}) is expected


def test_the_policy_attributes_are_those_that_a_declaration_can_give_a_column():
    names = {f"@{one.name}" for one in fields(Governed) if one.name != "by"}
    assert (set(POLICY_ATTRIBUTES), len(POLICY_ATTRIBUTES)) == (names, len(names))
    derived = {name: (f"{name}2", f"{name}4") for name in ("@manage", "@site")}
    assert derived == PREFIXED
    assert holds(Eq("@site4", "4201"), {"@site": "420102"})
    assert not holds(Eq("@manage2", "42"), {"@manage": "430000"})
