"""Random predicates and rows over a few attributes of each kind, from small pools so that they meet."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from hypothesis import strategies as st

from schema.predicate import (
    ALWAYS,
    NEVER,
    Eq,
    In,
    Not,
    Predicate,
    Range,
    all_of,
    any_of,
    negate,
)

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
