"""Who asks: territories, and what the matcher reads of a subject."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy.subject import (
    PUBLIC_SUBJECT,
    Country,
    InvalidTerritory,
    Level,
    NoTerritory,
    Prefixes,
    Subject,
    territory_of,
)
from schema.officer import Officer

OFFICER = Subject("x", Level.PROVINCE, "HOUSING", NoTerritory())


def test_nested_regions_merge_into_the_outer_one_and_are_sorted():
    assert territory_of(["430100", "420102", "420000", "420000"]) == Prefixes(("420000", "430100"))
    # Enough of them that no set gives them back in order by chance.
    cities = [f"4201{n:02}" for n in range(30, 1, -1)]
    assert territory_of(cities) == Prefixes(tuple(reversed(cities)))


@pytest.mark.parametrize(
    "codes", [[], ["000000"], ["999999"], ["42"], ["4201000"], ["42010a"], ["４２００００"], ["²²²²²²"]]
)
def test_what_is_no_region_is_no_territory(codes):
    with pytest.raises(InvalidTerritory):
        territory_of(codes)


@pytest.mark.parametrize(
    ("territory", "text", "prefixes", "nodes", "superiors"),
    [
        (Country(), "000000", ("",), ("000000",), ()),
        (NoTerritory(), "none", (), (), ()),
        (territory_of(["420102"]), "420102", ("420102",), ("420102",), ("000000", "420000", "420100")),
        (Prefixes(("420100", "430000")), "420100,430000", ("4201", "43"), ("420100", "430000"), ("000000", "420000")),
        # Never built by `territory_of`, but a node is not its own superior even so.
        (Prefixes(("420000", "420102")), "420000,420102", ("42", "420102"), ("420000", "420102"), ("000000", "420100")),
    ],
)  # fmt: skip
def test_what_is_derived_from_a_territory(territory, text, prefixes, nodes, superiors):
    subject = replace(OFFICER, territory=territory)
    assert str(territory) == text
    assert (subject.prefixes, subject.nodes, subject.superiors) == (prefixes, nodes, superiors)
    assert subject.has_territory == (nodes != ())


def test_superiors_are_sorted():
    many = replace(OFFICER, territory=territory_of([f"{n}0102" for n in range(11, 66)]))
    assert list(many.superiors) == sorted(many.superiors)


def test_who_asks_in_person_neither_tells_subjects_apart_nor_shows():
    known = replace(OFFICER, officer=Officer("110101199003070000", "张三", "住建局"))
    assert known == OFFICER
    assert "officer" not in repr(known)
    assert "张三" not in repr(known)


def test_the_public_is_nobody():
    public = PUBLIC_SUBJECT
    assert (public.id, public.level, public.kind, public.territory) == (
        "public", Level.PUBLIC, "PUBLIC", NoTerritory(),
    )  # fmt: skip
    assert (PUBLIC_SUBJECT.roles, PUBLIC_SUBJECT.has_territory) == ((), False)
