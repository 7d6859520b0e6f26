"""Every trap in which a prefix of a GB code is wrong."""

from __future__ import annotations

from datetime import date

import pytest

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


def children(code: str) -> list[str]:
    return [other for other in NODES if parent(other) == code]


# --- trap 1: counties directly below a province


@pytest.mark.parametrize(
    ("province", "gb_prefix", "count"), [("420000", "4290", 4), ("410000", "4190", 1), ("460000", "4690", 15)]
)
def test_direct_counties_share_no_city(province: str, gb_prefix: str, count: int) -> None:
    direct = [code for code, node in NODES.items() if (node.code6 or "").startswith(gb_prefix)]
    assert len(direct) == count
    for code in direct:
        assert parent(code) == province
        assert REGIONS.level_of(code) is RegionLevel.COUNTY
        assert not children(code)
    assert REGIONS.resolve(gb_prefix + "00", TODAY) == UNRESOLVED


def test_direct_counties_keep_their_documented_codes() -> None:
    expected = {"429004": "427400", "429021": "428100", "419001": "417100", "469029": "468900", "469030": "469100"}
    assert {code: REGIONS.resolve(code, TODAY) for code in expected} == expected


# --- trap 2: municipalities


@pytest.mark.parametrize(("municipality", "count"), [("110000", 16), ("120000", 16), ("310000", 16), ("500000", 37)])
def test_municipalities_have_no_city_level(municipality: str, count: int) -> None:
    below = [code for code in NODES if code.startswith(prefix(municipality)) and code != municipality]
    assert len(below) == count
    assert {parent(code) for code in below} == {municipality}
    assert {REGIONS.level_of(code) for code in below} == {RegionLevel.COUNTY}
    for fake in ("01", "02", "03"):
        assert REGIONS.resolve(f"{municipality[:2]}{fake}00", TODAY) == UNRESOLVED
        assert not REGIONS.is_node(f"{municipality[:2]}{fake}00")


def test_municipality_districts_keep_their_documented_codes() -> None:
    expected = {"110101": "116100", "310151": "315100", "500120": "508000", "500157": "505700", "500229": "502900"}
    assert {code: REGIONS.resolve(code, TODAY) for code in expected} == expected


# --- trap 3: the Corps


def test_the_corps_has_fourteen_divisions() -> None:
    assert NODES["660000"].kind is RegionKind.XPCC
    assert NODES["660000"].level is RegionLevel.PROVINCE
    assert NODES["660000"].code6 is None
    assert children("660000") == [f"66{number:02}00" for number in range(1, 15)]
    assert {REGIONS.level_of(code) for code in children("660000")} == {RegionLevel.CORPS_DIVISION}


def test_corps_cities_are_not_xinjiangs() -> None:
    cities = {node.code6: code for code, node in NODES.items() if (node.code6 or "").startswith("6590")}
    assert set(cities) == {f"6590{number:02}" for number in range(1, 14)}
    assert cities["659001"] == "660801"
    assert ancestors("660801") == ("660800", "660000", MINISTRY)
    for code6, code in cities.items():
        assert code6 is not None
        assert REGIONS.resolve(code6, TODAY) == code
        assert not code.startswith(prefix("650000"))
        assert NODES[code].parent_node_id == "650000"
    assert REGIONS.resolve("659000", TODAY) == UNRESOLVED


# --- trap 4: zones


def test_zones_have_nodes_of_their_own() -> None:
    zones = {"320190": "320190", "320191": "320191", "320291": "320291", "320513": "320591", "3205130": "320591"}
    for invented, code in zones.items():
        assert REGIONS.resolve(invented, TODAY) == code
        assert NODES[code].kind is RegionKind.DEV_ZONE
        assert NODES[code].level is RegionLevel.ZONE
        assert NODES[code].code6 is None
        assert parent(code) == invented[:4] + "00"


def test_the_zone_block_is_free_of_gb_codes() -> None:
    assert not [node.code6 for node in NODES.values() if node.code6 and node.code6[4:] >= "90"]


def test_xiongan_is_the_provinces_and_has_its_three_counties() -> None:
    assert REGIONS.resolve("133100", TODAY) == "139100"
    assert parent("139100") == "130000"
    assert {NODES[code].code6 for code in children("139100")} == {"130629", "130632", "130638"}


# --- trap 5: changes of codes


@pytest.mark.parametrize(
    ("code", "on", "expected"),
    [
        ("320124", date(2012, 6, 1), "320117"),
        ("320124", date(2017, 6, 1), "320117"),
        ("320721", date(2017, 6, 1), "320707"),
        ("320829", date(2017, 6, 1), "320813"),
        ("320982", date(2017, 6, 1), "320904"),
        ("320584", date(2010, 6, 1), "320509"),
        ("320509", date(2017, 6, 1), "320509"),
        ("320202", date(2010, 6, 1), "320213"),
        ("320203", date(2017, 6, 1), "320213"),
        ("320204", date(2017, 6, 1), "320213"),
        ("320207", date(2017, 6, 1), "320213"),
        ("320208", date(2017, 6, 1), "320214"),
        ("320207", date(2012, 6, 1), UNRESOLVED),
        ("330103", date(2015, 6, 1), "330105"),
        ("330103", date(2023, 6, 1), UNRESOLVED),
        ("330113", date(2023, 6, 1), "330113"),
        ("330114", date(2023, 6, 1), "330114"),
        ("350402", date(2015, 6, 1), "350404"),
        ("350427", date(2015, 6, 1), "350405"),
        ("371202", date(2015, 6, 1), "370116"),
        ("371203", date(2015, 6, 1), "370117"),
        ("410306", date(2015, 6, 1), "410308"),
        ("410322", date(2015, 6, 1), "410308"),
        ("410381", date(2015, 6, 1), "410307"),
        ("500105", date(2020, 6, 1), "505700"),
        ("500105", date(2026, 6, 1), UNRESOLVED),
        ("500157", date(2026, 6, 1), "505700"),
    ],
)
def test_changed_codes(code: str, on: date, expected: str) -> None:
    assert REGIONS.resolve(code, on) == expected


def test_a_code_ends_with_its_window() -> None:
    assert REGIONS.resolve("371202", date(2018, 12, 31)) == "370116"
    assert REGIONS.resolve("371202", date(2019, 1, 1)) == UNRESOLVED


def test_chains_lead_to_the_node_of_today() -> None:
    # 342601 巢湖市 -> 341402 居巢区 -> 340181 巢湖市, and 329018 吴江市 -> 320584 -> 320509 吴江区.
    assert REGIONS.resolve("342601", date(1995, 1, 1)) == "340181"
    assert REGIONS.resolve("341402", date(2005, 1, 1)) == "340181"
    assert REGIONS.resolve("329018", date(1993, 1, 1)) == "320509"


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [("410307", "410311", "410307"), ("469025", "468100", "468500"), ("469030", "468500", "469100")],
)
def test_a_reused_code_means_what_it_meant_on_the_day(code: str, before: str, after: str) -> None:
    assert REGIONS.resolve(code, date(2005, 6, 1)) == before
    assert REGIONS.resolve(code, TODAY) == after


def test_two_meanings_in_the_year_of_the_change_are_unresolved() -> None:
    assert REGIONS.resolve("469025", date(2007, 6, 1)) == UNRESOLVED


# --- trap 6: splits


@pytest.mark.parametrize(
    ("code", "on", "candidates"),
    [
        ("371200", date(2015, 6, 1), "370116 370117"),
        ("341400", date(2008, 6, 1), "340124 340181"),
        ("330104", date(2015, 6, 1), "330102 330114"),
        ("330110", date(2015, 6, 1), "330110 330113"),
        ("500112", date(2015, 6, 1), "505700 506900"),
    ],
)
def test_splits_are_unresolved_and_list_their_candidates(code: str, on: date, candidates: str) -> None:
    assert REGIONS.resolve(code, on) == UNRESOLVED
    (row,) = [row for row in REGIONS.aliases[code] if row.covers(on)]
    assert row.kind is AliasKind.SPLIT
    assert f"candidates: {candidates}" in row.note


def test_laiwu_as_a_city_is_unresolved_before_and_after_its_end() -> None:
    rows = REGIONS.aliases["371200"]
    assert [(row.kind, row.valid_to) for row in rows] == [(AliasKind.SPLIT, date(2019, 1, 1))]
    assert REGIONS.resolve("371200", date(2018, 6, 1)) == UNRESOLVED
    assert REGIONS.resolve("371200", date(2020, 6, 1)) == UNRESOLVED


# --- trap 7, and levels that do not exist


@pytest.mark.parametrize("code", ["210200", "330200", "350200", "370200", "440300"])
def test_separately_planned_cities_stay_below_their_province(code: str) -> None:
    assert REGIONS.level_of(code) is RegionLevel.PREFECTURE
    assert parent(code) == code[:2] + "0000"


@pytest.mark.parametrize("code", ["441900", "442000", "460400", "620200"])
def test_prefectures_without_counties_are_leaves(code: str) -> None:
    assert REGIONS.level_of(code) is RegionLevel.PREFECTURE
    assert children(code) == []
    assert REGIONS.resolve(code + "003", TODAY) == code


def test_a_supervision_code_is_never_the_gb_code_of_another_node() -> None:
    for code in REGIONS.aliases.keys() & NODES.keys():
        if NODES[code].in_scope:
            assert REGIONS.resolve(code, TODAY) == code
