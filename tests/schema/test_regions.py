"""The supervision tree, its aliases, what is no code of it, and the arithmetic of codes."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.codes import CODE_LISTS
from schema.regions import (
    MINISTRY,
    UNRESOLVED,
    AliasKind,
    RegionKind,
    RegionLevel,
    ancestors,
    load_regions,
    parent,
    prefix,
)

REGIONS = load_regions()
NODES = REGIONS.nodes
TODAY = date(2026, 9, 30)
REAL = [code for code in NODES if code != UNRESOLVED]
CODES = st.from_regex(r"[0-9]{6}", fullmatch=True)
PP_NN = st.tuples(*[st.integers(1, 98)] * 3).map(lambda pairs: "".join(f"{pair:02}" for pair in pairs))


def by_code6(level: RegionLevel) -> list[str]:
    return [code for code, node in NODES.items() if node.level is level and node.code6]


def children(code: str) -> list[str]:
    return [other for other in NODES if parent(other) == code]


# --- the data


@pytest.mark.parametrize(
    ("level", "count"),
    [(RegionLevel.PROVINCE, 34), (RegionLevel.PREFECTURE, 333), (RegionLevel.COUNTY, 2847)],
)
def test_counts_of_the_list(level: RegionLevel, count: int) -> None:
    codes = by_code6(level)
    assert len(codes) == count
    assert len({NODES[code].code6 for code in codes}) == count


def test_thirty_two_province_level_nodes_are_in_scope() -> None:
    provinces = [node for node in NODES.values() if node.level is RegionLevel.PROVINCE and node.in_scope]
    assert len(provinces) == 32
    assert {node.parent_node_id for node in provinces} == {MINISTRY}


def test_every_node_stands_below_an_existing_node() -> None:
    for code in REAL:
        above = parent(code)
        assert NODES[code].supervision_parent_node_id == above
        if code == MINISTRY:
            assert above is None
            continue
        assert above is not None
        assert above in NODES
        assert code.startswith(prefix(above))
        assert NODES[code].parent_node_id in NODES


def test_administrative_and_supervision_parent_differ_only_where_the_readme_says() -> None:
    differing = {c for c in REAL if NODES[c].parent_node_id != NODES[c].supervision_parent_node_id}
    corps_cities = {c for c in REAL if c.startswith("66") and NODES[c].code6}
    assert differing == corps_cities | {"139101", "139102", "139103"}


def test_unresolved_is_no_real_node_and_below_nothing() -> None:
    assert NODES[UNRESOLVED].kind is RegionKind.PSEUDO
    assert not NODES[UNRESOLVED].in_scope
    assert parent(UNRESOLVED) is None
    assert ancestors(UNRESOLVED) == ()
    assert not any(code.startswith("99") for code in REAL)


def test_levels_and_kinds_are_the_code_lists() -> None:
    assert tuple(RegionLevel) == CODE_LISTS["RegionLevel"].codes
    assert tuple(RegionKind) == CODE_LISTS["RegionKind"].codes


def test_code12_is_code6_with_zeros() -> None:
    assert NODES["420102"].code12 == "420102000000"
    assert NODES["660000"].code12 is None


def test_every_current_code_in_scope_resolves_to_its_node_today() -> None:
    for code, node in NODES.items():
        if node.code6:
            assert REGIONS.resolve(node.code6, TODAY) == (code if node.in_scope else UNRESOLVED)


def test_aliases_lead_to_nodes_and_never_to_the_ministry() -> None:
    for code, rows in REGIONS.aliases.items():
        for row in rows:
            assert row.code == code
            assert row.supervision_code in NODES
            assert row.supervision_code != MINISTRY
            assert NODES[row.supervision_code].in_scope or row.supervision_code == UNRESOLVED
            assert row.valid_from is None or row.valid_to is None or row.valid_from < row.valid_to
            if row.kind is AliasKind.SPLIT:
                assert row.supervision_code == UNRESOLVED


def test_split_candidates_are_nodes() -> None:
    splits = [row for rows in REGIONS.aliases.values() for row in rows if row.kind is AliasKind.SPLIT]
    assert len(splits) > 40
    for row in splits:
        listed = row.note.split("candidates: ")[1].split(";")[0].split()
        assert len(listed) >= 2
        assert set(listed) <= set(REAL)


# --- out of scope, and wrong codes


@pytest.mark.parametrize(
    ("code", "kind"), [("710000", RegionKind.GB), ("810000", RegionKind.SAR), ("820000", RegionKind.SAR)]
)
def test_out_of_scope_nodes_exist_but_never_govern(code: str, kind: RegionKind) -> None:
    assert NODES[code].kind is kind
    assert not NODES[code].in_scope
    assert REGIONS.resolve(code, TODAY) == UNRESOLVED


@pytest.mark.parametrize(
    "code",
    [
        None,
        "",
        "0",
        "15454",
        "42010",
        "4201020",
        "4201020000000",
        "42010a",
        "-20102",
        "４２０１０２",
        " 420102",
        "420102\n",
        "000000",
        "100000",
        "990000",
        "999999",
        "116100",
        "427400",
    ],
)
def test_wrong_codes_are_unresolved(code: str | None) -> None:
    assert REGIONS.resolve(code, TODAY) == UNRESOLVED


@given(st.text(max_size=14) | st.from_regex(r"[0-9]{0,13}", fullmatch=True), st.dates())
def test_resolve_never_raises_and_answers_a_node_in_scope(code: str, on: date) -> None:
    answer = REGIONS.resolve(code, on)
    assert answer == UNRESOLVED or NODES[answer].in_scope
    assert answer != MINISTRY


@given(st.sampled_from(sorted(REGIONS.aliases)), st.dates(date(1984, 1, 1), TODAY))
def test_nine_and_twelve_digits_mean_their_first_six(code: str, on: date) -> None:
    if len(code) == 6:
        answer = REGIONS.resolve(code, on)
        assert REGIONS.resolve(code + "001", on) == answer
        assert REGIONS.resolve(code + "001002", on) == answer


def test_a_moment_counts_as_its_day() -> None:
    assert REGIONS.resolve("371202", datetime(2018, 12, 31, 23, 59, tzinfo=UTC)) == "370116"


# --- arithmetic


@given(PP_NN, st.sampled_from([0, 2, 4, 6]))
def test_prefix_is_the_significant_digits(digits: str, length: int) -> None:
    code = digits[:length].ljust(6, "0")
    assert prefix(code) == digits[:length]
    assert len(ancestors(code)) == length // 2


@given(CODES)
def test_ancestors_follow_parents_and_contain_the_code(code: str) -> None:
    above = ancestors(code)
    up = parent(code)
    assert above == (() if up is None else (up, *ancestors(up)))
    for node in above:
        assert code.startswith(prefix(node))
        assert len(prefix(node)) < len(prefix(code))
    if code not in {MINISTRY, UNRESOLVED}:
        assert above[-1] == MINISTRY


@pytest.mark.parametrize("code", ["", "42", "42010", "4201020", "42010a", "４２０１０２"])
def test_arithmetic_refuses_what_is_no_supervision_code(code: str) -> None:
    for function in (parent, prefix, ancestors):
        with pytest.raises(ValueError, match="six digits"):
            function(code)


@given(st.sampled_from(REAL), st.sampled_from(REAL))
def test_prefix_containment_is_ancestry(upper: str, lower: str) -> None:
    contains = lower.startswith(prefix(upper))
    assert contains == (upper == lower or upper in ancestors(lower))


def test_the_tree_offers_the_same_arithmetic() -> None:
    assert REGIONS.parent("660801") == parent("660801")
    assert REGIONS.ancestors("660801") == ancestors("660801")
    assert REGIONS.prefix("660801") == prefix("660801")


def test_the_tree_is_read_once_and_cannot_be_changed() -> None:
    assert load_regions() is REGIONS
    with pytest.raises(TypeError):
        NODES["000001"] = NODES[MINISTRY]  # type: ignore[index]
