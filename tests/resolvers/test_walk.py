"""Lists across sources: ordered and free of duplicates over the sources that answered, page by page."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import REGION, Rows, SourceTimeout, Window
from demo.seed import wellknown as known
from policy.subject import PUBLIC_SUBJECT, Level, Subject, territory_of
from resolvers.walk import Position, merge
from tests.resolvers.systems import System, behind, inspection
from tests.resolvers.test_federation import COUNTY, MINISTRY, federation

ORDER = ("-inspected_on", "inspection_no")
Record = Mapping[str, Any]
SERVICE = "Enterprise.liveInspections"
PROVINCES = {
    "guangdong": "440000", "hubei": "420000", "jiangsu": "320000", "shandong": "370000", "zhejiang": "330000",
}  # fmt: skip

numbers = st.integers(0, 30).map(lambda n: f"N{n:02}")
days = st.integers(1, 9).map(lambda n: f"2026-09-0{n}")
listings = st.lists(st.builds(inspection, numbers, days), max_size=12, unique_by=lambda r: r["inspection_no"])


def in_order(one: Record, other: Record) -> int:
    """Latest first, then by number."""
    place = (one["inspected_on"], one["inspection_no"])
    if place == (other["inspected_on"], other["inspection_no"]):
        return 0
    return -1 if behind(other, place) else 1


def answer(listed: Sequence[Record], window: Window, at_most: int) -> Rows:
    """What a source with these records says; `at_most` is as many as it is willing to send at a time."""
    rest = [r for r in sorted(listed, key=cmp_to_key(in_order)) if window.after is None or behind(r, window.after)]
    sent = rest[: min(window.first, at_most)]
    return Rows({}, {"K": sent}, frozenset({"K"}) if len(sent) == len(rest) else frozenset())


@given(
    st.dictionaries(st.sampled_from(list(PROVINCES)), listings, min_size=1),
    st.integers(1, 5),
    st.integers(1, 7),
    st.dictionaries(st.sampled_from(list(PROVINCES)), st.integers(0, 4), max_size=2),
)
def test_pages_put_together_are_the_whole_list(
    held: Mapping[str, Sequence[Record]], first: int, at_most: int, failing: Mapping[str, int]
):
    """Whatever the sources send at a time; one that fails on some page keeps what it had shown, and is named."""
    position = Position(None, tuple(sorted(held)), ())
    shown: list[tuple[str, ...]] = []
    more, number = True, 0
    while more:
        assert number < 200
        window = Window(first + 1, position.after)
        answers = {
            name: None if failing.get(name) == number else answer(held[name], window, at_most)
            for name in position.sources
        }
        page = merge(ORDER, first, position, "K", answers)
        shown += [(item.source, *item.place) for item in page.items]
        assert page.items or not page.more
        position = Position.read([str(v) for v in orjson.loads(page.position.written())], ORDER) if (
            page.position.after
        ) else page.position  # fmt: skip
        more, number = page.more, number + 1
    places = [{"inspected_on": day, "inspection_no": no} for _, day, no in shown]
    assert all(in_order(one, other) <= 0 for one, other in pairwise(places))
    assert len(set(shown)) == len(shown)
    for name, listed in held.items():
        own = [(day, no) for source, day, no in shown if source == name]
        whole = [(r["inspected_on"], r["inspection_no"]) for r in sorted(listed, key=cmp_to_key(in_order))]
        # Of one that failed, what was shown is the beginning of its list.
        assert own == (whole[: len(own)] if name in position.failed else whole)
        assert name not in position.failed or name in failing


@given(st.lists(listings, min_size=2, max_size=4))
def test_the_same_number_in_two_sources_is_marked(held: Sequence[Sequence[Record]]):
    """Both records are shown, and both say so; a number of one source is never marked."""
    answers = {str(n): answer(listed, Window(100), 100) for n, listed in enumerate(held)}
    page = merge(ORDER, 100, Position(None, tuple(answers), ()), "K", answers)
    assert len(page.items) == sum(map(len, held))
    for item in page.items:
        holders = sum(any(r["inspection_no"] == item.place[-1] for r in listed) for listed in held)
        assert item.duplicated == (holders > 1)


def provinces(count: int = 30) -> list[System]:
    """Five provinces with inspections of one enterprise, some numbers in two of them."""
    chance = random.Random(5)
    systems = []
    for name, code in PROVINCES.items():
        listed = [
            inspection(
                f"{code[:2]}-{n:03}" if n % 10 else f"SAME-{n:03}",
                f"2026-{chance.randrange(1, 10):02}-{chance.randrange(1, 29):02}",
                summary=f"{name} {n}", project_no=known.PROJECT_ELSEWHERE,
                **({} if n % 4 else {REGION: code}),
            )
            for n in range(count)
        ]  # fmt: skip
        systems.append(System(name, (code,), {SERVICE: {known.CONTRACTOR: sorted(listed, key=cmp_to_key(in_order))}}))
    return systems


QUERY = (
    "query($k: Uscc!, $n: Int!, $a: String) { enterprise(uscc: $k) { live: liveInspections(first: $n, after: $a) {"
    " nodes { inspectionNo inspectedOn summary provenance { source duplicated } project { name } }"
    " pageInfo { hasNextPage hasPreviousPage endCursor } sources incompleteSources __typename } } }"
)


async def test_inspections_of_an_enterprise_in_five_provinces(database: str):
    """Page by page, each source asked once a page, from where the last page ended; the whole is there, in order."""
    systems = provinces()
    async with federation(database, *systems) as found:
        shown: list[Any] = []
        after, pages = None, 0
        while pages == 0 or after:
            decoded = await found.ask(QUERY, MINISTRY, k=known.CONTRACTOR, n=40, a=after)
            live = decoded["data"]["enterprise"]["live"]
            assert live["sources"] == sorted(PROVINCES)
            assert live["incompleteSources"] == []
            shown += live["nodes"]
            pages += 1
            after = live["pageInfo"]["endCursor"] if live["pageInfo"]["hasNextPage"] else None
    expected = [(system.name, record) for system in systems for record in system.known[SERVICE][known.CONTRACTOR]]

    def before(one: tuple[str, Record], other: tuple[str, Record]) -> int:
        return in_order(one[1], other[1]) or (one[0] > other[0]) - (one[0] < other[0])

    expected.sort(key=cmp_to_key(before))
    assert [(i["provenance"]["source"], i["inspectionNo"]) for i in shown] == [
        (name, record["inspection_no"]) for name, record in expected
    ]
    assert all(i["summary"] and i["project"]["name"] == "杭州西湖梧桐广场商业综合体" for i in shown)
    assert {i["inspectionNo"][:4] for i in shown if i["provenance"]["duplicated"]} == {"SAME"}
    assert pages == 4
    assert all(len(system.asked) == pages for system in systems)


async def test_what_may_be_seen_is_decided_by_coverage(database: str):
    """A county sees of other provinces' records what is shared; of its own province's too, since it is not theirs."""
    systems = provinces(8)
    async with federation(database, *systems) as found:
        decoded = await found.ask(QUERY, COUNTY, k=known.CONTRACTOR, n=50, a=None)
        assert all(i["inspectionNo"] and i["summary"] is None for i in decoded["data"]["enterprise"]["live"]["nodes"])
        assert all("summary" not in fetch.fields for system in systems for fetch in system.asked)
        assert {"coordinate": "LiveInspection.summary", "verdict": "CONDITIONAL"} in decoded["extensions"]["disclosure"]
        for system in systems:
            system.asked.clear()
        public = await found.ask(QUERY, PUBLIC_SUBJECT, k=known.CONTRACTOR, n=50, a=None)
        assert public["data"]["enterprise"]["live"] is None
        assert not any(system.asked for system in systems)


async def test_a_source_that_fails_mid_walk_is_named_and_left(database: str):
    """The others go on in order; later pages neither ask it again nor show anything of it."""
    systems = provinces()
    zhejiang = systems[-1]
    async with federation(database, *systems) as found:
        one = await found.ask(QUERY, MINISTRY, k=known.CONTRACTOR, n=20, a=None)

        def fail(_: object) -> Rows:
            raise SourceTimeout("zhejiang")

        zhejiang.behave = fail
        first = one["data"]["enterprise"]["live"]
        two = await found.ask(QUERY, MINISTRY, k=known.CONTRACTOR, n=20, a=first["pageInfo"]["endCursor"])
        zhejiang.behave = None
        asked = len(zhejiang.asked)
        second = two["data"]["enterprise"]["live"]
        three = await found.ask(QUERY, MINISTRY, k=known.CONTRACTOR, n=20, a=second["pageInfo"]["endCursor"])
    third = three["data"]["enterprise"]["live"]
    assert [e["path"] for e in two["errors"]] == [["enterprise", "live"]]
    assert "errors" not in three
    for page in (second, third):
        assert page["incompleteSources"] == ["zhejiang"]
        assert page["sources"] == sorted(set(PROVINCES) - {"zhejiang"})
        assert len(page["nodes"]) == 20
        assert all(i["provenance"]["source"] != "zhejiang" for i in page["nodes"])
    assert len(zhejiang.asked) == asked


async def test_cursors_of_a_walk_are_the_callers_own(database: str):
    """Of another caller, another enterprise, changed, or invented: one uniform refusal."""
    async with federation(database, *provinces()) as found:
        page = await found.ask(QUERY, MINISTRY, k=known.CONTRACTOR, n=5, a=None)
        cursor = page["data"]["enterprise"]["live"]["pageInfo"]["endCursor"]
        for subject, key, after in (
            (COUNTY, known.CONTRACTOR, cursor),
            (MINISTRY, known.DEVELOPER, cursor),
            (MINISTRY, known.CONTRACTOR, cursor[:-3] + "AAA"),
            (MINISTRY, known.CONTRACTOR, "kMQ=="),
            (MINISTRY, known.CONTRACTOR, ""),
        ):
            refused = await found.ask(QUERY, subject, k=key, n=5, a=after)
            assert [e["extensions"]["name"] for e in refused["errors"]] == ["CURSOR_EXPIRED"]


@pytest.mark.parametrize("first", [-1, 101])
async def test_the_size_of_a_page_is_bounded(database: str, first: int):
    """As of any nested list."""
    systems = provinces(1)
    async with federation(database, *systems) as found:
        refused = await found.ask(QUERY, MINISTRY, k=known.CONTRACTOR, n=first, a=None)
    assert [e["extensions"]["name"] for e in refused["errors"]] == ["BAD_PAGE_SIZE"]
    assert not any(system.asked for system in systems)


@pytest.mark.parametrize(
    "wrong",
    [
        {"finding_count": "abc"}, {"kind": "99"}, {"summary": "长" * 5000}, {"inspected_on": "2026-9-1"},
        {"finding_count": 2**40},
    ],
)  # fmt: skip
async def test_a_record_that_cannot_be_shown_costs_its_source_only(database: str, wrong: dict[str, Any]):
    """The others are merged anew, in order; the source is named, in the page, the errors and the audit's outcomes."""
    systems = provinces(6)
    records = systems[2].known[SERVICE][known.CONTRACTOR]
    records[1] = {**records[1], "kind": "1", **wrong}
    query = QUERY.replace("summary", "summary kind findingCount")
    async with federation(database, *systems) as found:
        decoded = await found.ask(query, MINISTRY, k=known.CONTRACTOR, n=100, a=None)
    live = decoded["data"]["enterprise"]["live"]
    assert len(live["nodes"]) == 24
    assert live["incompleteSources"] == ["jiangsu"]
    assert [(e["path"], e["extensions"]["name"]) for e in decoded["errors"]] == [
        (["enterprise", "live"], "SOURCE_BAD_SHAPE")
    ]
    assert decoded["extensions"]["sources"]["jiangsu"] == "SOURCE_BAD_SHAPE"


@pytest.mark.parametrize("answered", [["x"], "abc", None, 5, [None], [[]], {"a": 1}])
async def test_an_answer_that_is_no_list_of_records_costs_its_source_only(database: str, answered: Any):
    """Whatever an adapter makes of it."""
    systems = provinces(6)
    systems[0].behave = lambda _: Rows({}, {known.CONTRACTOR: answered}, frozenset({known.CONTRACTOR}))
    async with federation(database, *systems) as found:
        decoded = await found.ask(QUERY, MINISTRY, k=known.CONTRACTOR, n=100, a=None)
    live = decoded["data"]["enterprise"]["live"]
    assert len(live["nodes"]) == 24
    assert live["incompleteSources"] == ["guangdong"]


@pytest.mark.parametrize("placeless", [{"inspected_on": None}, {"inspection_no": "长" * 1000}])
async def test_a_record_without_a_place_is_left_out_and_said(database: str, placeless: dict[str, Any]):
    """The source's other records are all there, on every page, and its name stands among the incomplete ones."""
    systems = provinces(6)
    records = systems[1].known[SERVICE][known.CONTRACTOR]
    systems[1].behave = lambda fetch: Rows(
        {},
        {
            known.CONTRACTOR: [{**records[0], **placeless}, *records[1:]]
            if fetch.window is None or fetch.window.after is None
            else [r for r in records[1:] if behind(r, fetch.window.after)]
        },
        frozenset({known.CONTRACTOR}),
    )
    async with federation(database, *systems) as found:
        shown: list[Any] = []
        after, more = None, True
        while more:
            decoded = await found.ask(QUERY, MINISTRY, k=known.CONTRACTOR, n=10, a=after)
            live = decoded["data"]["enterprise"]["live"]
            assert live["incompleteSources"] == ["hubei"]
            shown += live["nodes"]
            after, more = live["pageInfo"]["endCursor"], live["pageInfo"]["hasNextPage"]
    assert len(shown) == 29


async def test_a_city_is_not_shown_what_other_cities_may_hide(database: str):
    """A province's source has records of other cities: what these close to the city is not even asked for."""
    systems = provinces(4)
    city = Subject("city", Level.CITY, "HOUSING", territory_of([known.WUHAN]), dept=known.HOUSING_WUHAN)
    async with federation(database, *systems) as found:
        decoded = await found.ask(QUERY, city, k=known.CONTRACTOR, n=100, a=None)
    assert all("summary" not in fetch.fields for system in systems for fetch in system.asked)
    assert all(i["inspectionNo"] and i["summary"] is None for i in decoded["data"]["enterprise"]["live"]["nodes"])


async def test_walks_are_reckoned_with_all_their_sources(database: str):
    """Many records each asked of every source is too much at a time."""
    async with federation(database, *provinces(1), max_cost=10_000) as found:
        decoded = await found.ask(
            "{ enterprises(first: 40) { nodes { liveInspections { nodes { kind } } } } }", MINISTRY
        )
    assert [e["extensions"]["name"] for e in decoded["errors"]] == ["TOO_COSTLY"]
