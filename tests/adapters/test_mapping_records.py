"""Whole records: whose they are, which of several counts, in what order and how many of a list are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import AS_OF, REGION, UNMAPPED, Fetch, Rows, SourceBadShape, Window
from adapters.configuration import AttributeMapping, Condition, NoSigner, RestService, RestSource
from adapters.driver import Answer
from adapters.mapping import RecordMapping
from schema.registry import load_registry

REGISTRY = load_registry()
NOW = datetime(2026, 9, 17, 4, tzinfo=UTC)
KEY, OTHER = "4201022603180101", "4201022603180102"
STATUS, LIST, REGISTRATION = "Project.siteStatus", "Project.liveInspections", "Enterprise.businessRegistration"
FIELDS = {
    STATUS: {"name": "mc", "progress": "jd", "workers_on_site": "rs"},
    LIST: {"inspection_no": "bh", "inspected_on": "rq", "summary": "qk"},
    REGISTRATION: {"name": "mc", "address": "dz"},
}
CHANGED = AttributeMapping(source="gx.sj", instants=("%Y-%m-%d",))


def mapping(coordinate: str, covers: tuple[str, ...] = ("420000",), **service: Any) -> RecordMapping:
    fields = {name: AttributeMapping(source=path) for name, path in FIELDS[coordinate].items()}
    described: dict[str, Any] = {"key": "bm", "fields": fields, "path": "/x", "as_of": CHANGED}
    asked = RestService(**described | service)
    source = RestSource(
        title="湖北", covers=covers, address="http://127.0.0.1:1", networks=("127.0.0.0/8",), signer=NoSigner(),
        service={coordinate: asked},
    )  # fmt: skip
    return RecordMapping("hubei", coordinate, asked, source, REGISTRY)


def rows(
    made: RecordMapping,
    records: Sequence[Mapping[str, Any]],
    keys: tuple[str, ...] = (KEY,),
    window: Window | None = None,
    ended: bool = True,
    fields: tuple[str, ...] = (),
) -> Rows:
    fetch = Fetch(made.coordinate, keys, fields or tuple(FIELDS[made.coordinate]), window)
    return made.rows(fetch, Answer(records, ended), NOW)


def test_only_what_is_needed_is_asked_for():
    """First steps of paths, each once; those of the key, the time, the region and the condition always."""
    made = mapping(STATUS, region="xzqh", valid=Condition(path="zt.yx", values=("1",)))
    assert made.wanted(["workers_on_site", "name"]) == ("bm", "gx", "mc", "rs", "xzqh", "zt")
    assert made.wanted(["stop_work"]) == ("bm", "gx", "xzqh", "zt")
    assert mapping(STATUS, as_of=None).wanted(["name"]) == ("bm", "mc")
    assert mapping(LIST, as_of=None).wanted(["summary"]) == ("bh", "bm", "qk", "rq")


def test_a_record_holds_what_was_asked_and_nothing_more():
    """Unasked raw values are dropped; an attribute that the source does not offer is missing, but not unmapped."""
    raw = {"bm": KEY, "mc": "一号", "jd": "主体", "rs": 5, "gx": {"sj": "2026-09-01"}, "aqy": "张三"}
    record = rows(mapping(STATUS), [raw], fields=("name", "stop_work")).values[KEY]
    assert record == {"name": "一号", "stop_work": None, AS_OF: "2026-09-01T00:00:00+08:00", UNMAPPED: ()}


# --- keys


@pytest.mark.parametrize("raw", [KEY, f" {KEY}　", int(KEY), "４２０１０２２６０３１８０１０１"])
def test_keys_are_found_as_local_systems_write_them(raw):
    """The answer is under the key as it was asked."""
    assert rows(mapping(STATUS), [{"bm": raw, "mc": "一号"}]).values[KEY]["name"] == "一号"


def test_keys_of_ours_are_compared_in_the_same_form():
    """An old record number of ours may be the one with full-width characters."""
    old = " ４２０１022603180101"
    assert rows(mapping(STATUS), [{"bm": KEY, "mc": "一号"}], (old,)).values.keys() == {old}


@pytest.mark.parametrize(
    ("asked", "sent", "shown"),
    [
        (("鄂A-1", "鄂Ａ-1"), ("鄂A-1", "鄂Ａ-1"), {"鄂A-1": "0", "鄂Ａ-1": "1"}),
        (("鄂A-1", "鄂Ａ-1"), ("鄂Ａ-1",), {"鄂Ａ-1": "0"}),
        (("T-102", "T-10²"), ("T-102",), {"T-102": "0"}),
        (("T1", "T1 "), ("T1 ",), {"T1 ": "0"}),
        (("T1", "T1 "), (" T1",), {}),
        (("T1",), ("Ｔ1 ", "T1"), {"T1": "1"}),
        (("T1",), ("Ｔ1 ",), {"T1": "0"}),
        (("1", "１"), (1,), {"1": "0"}),
    ],
)
def test_keys_that_differ_in_width_or_blanks_alone_are_never_mixed_up(asked, sent, shown):
    """Exactly the key that was asked goes first; what may be another's is dropped and counted."""
    made = mapping(STATUS)
    found = rows(made, [{"bm": key, "mc": str(at)} for at, key in enumerate(sent)], asked).values
    assert {key: record["name"] for key, record in found.items()} == shown
    assert sum(made.unmapped.values()) == made.unmapped.get((STATUS, "UNASKED_KEY"), 0) == len(sent) - len(shown)


def test_letters_of_identifiers_match_in_any_case_and_of_other_keys_do_not():
    """A record number of one owner may differ from another's by case alone."""
    uscc = "91000000MADEM002XR"
    made = mapping(REGISTRATION)
    assert rows(made, [{"bm": uscc.lower(), "mc": "甲"}], (uscc,)).values.keys() == {uscc}
    fields = {"device_no": AttributeMapping(source="sb")}
    asked = RestService(key="bm", fields=fields, path="/x")
    source = RestSource(
        title="浙江", covers=("330000",), address="http://127.0.0.1:1", networks=("127.0.0.0/8",), signer=NoSigner(),
        service={"LiftingMachine.monitoring": asked},
    )  # fmt: skip
    machines = RecordMapping("zhejiang", "LiftingMachine.monitoring", asked, source, REGISTRY)
    fetch = Fetch(machines.coordinate, ("浙AA-T00001",), ("device_no",))
    assert machines.rows(fetch, Answer([{"bm": "浙aa-T00001", "sb": "1"}]), NOW).values == {}
    assert machines.unmapped == {("LiftingMachine.monitoring", "UNASKED_KEY"): 1}


def test_records_of_nobody_and_of_others_are_dropped_and_counted():
    """What was not asked for is not shown, whatever the source thinks."""
    made = mapping(STATUS)
    records: list[dict[str, Any]] = [
        {"bm": OTHER, "mc": "别人"},
        {"mc": "?"},
        {"bm": [KEY]},
        {"bm": " "},
        {"bm": {"a": KEY}},
        {"bm": KEY},
    ]
    assert rows(made, records).values.keys() == {KEY}
    assert made.unmapped == {(STATUS, "UNASKED_KEY"): 1, (STATUS, "NO_KEY"): 4}


def test_a_key_without_record_is_missing():
    """In a list it has no records."""
    assert rows(mapping(STATUS), []).values == {}
    found = rows(mapping(LIST), [], (KEY, OTHER))
    assert found.lists == {KEY: [], OTHER: []}
    assert found.ended == {KEY, OTHER}


# --- validity and region


def test_withdrawn_records_are_dropped_and_counted_apart():
    """An update over there is often an invalid record and a valid one."""
    made = mapping(STATUS, valid=Condition(path="yx", values=("1", "有效")))
    records: list[dict[str, Any]] = [
        {"bm": KEY, "mc": "旧", "yx": "0"},
        {"bm": KEY, "mc": "新", "yx": 1},
        {"bm": OTHER, "mc": "旧"},
    ]
    found = rows(made, records, (KEY, OTHER))
    assert {key: record["name"] for key, record in found.values.items()} == {KEY: "新"}
    assert made.unmapped == {(STATUS, "INVALID"): 2}


@pytest.mark.parametrize(
    ("covers", "raw", "changed", "region"),
    [
        ("420000", "420102", "2026-09-01", "420102"),
        ("420000", "４２０１０２００００００", "2026-09-01", "420102"),
        ("420100", "420100", "2026-09-01", "420100"),
        ("420100", "420000", "2026-09-01", None),
        ("420000", "330102", "2026-09-01", None),
        ("000000", "330102", "2026-09-01", "330102"),
        ("000000", "429999", "2026-09-01", None),
        ("000000", "无", "2026-09-01", None),
        ("000000", None, "2026-09-01", None),
        ("000000", "999999", "2026-09-01", None),
        ("330000", "330103", "2020-09-01", "330105"),
        ("330000", "330103", "2026-09-01", None),
    ],
)
def test_records_outside_of_the_coverage_are_dropped(covers, raw, changed, region):
    """By what the code meant when the record was last changed: 下城区 was merged into 拱墅区 in 2021."""
    made = mapping(STATUS, covers=(covers,), region="xzqh")
    found = rows(made, [{"bm": KEY, "xzqh": raw, "gx": {"sj": changed}}]).values
    assert (found[KEY][REGION] if found else None) == region
    assert made.unmapped == ({} if found else {(STATUS, "OUTSIDE_COVERAGE"): 1})


def test_without_time_of_change_a_region_is_resolved_for_today():
    """The day on which the answer came, where the source is."""
    made = mapping(STATUS, covers=("330000",), region="xzqh")
    assert rows(made, [{"bm": KEY, "xzqh": "330102"}]).values[KEY][REGION] == "330102"
    assert rows(made, [{"bm": KEY, "xzqh": "330103"}]).values == {}


# --- several records of one key


def test_the_newer_of_two_records_is_shown():
    """And that there were two is counted."""
    made = mapping(STATUS)
    records = [{"bm": KEY, "mc": f"第{day}", "gx": {"sj": f"2026-09-{day:02}"}} for day in (2, 3, 1)]
    assert rows(made, records).values[KEY]["name"] == "第3"
    assert made.unmapped == {(STATUS, "DUPLICATE"): 2}


@pytest.mark.parametrize("times", [(None, None), ("2026-09-01", None), ("2026-09-01", "2026-09-01")])
def test_of_two_records_that_contradict_each_other_neither_is_shown(times):
    """Where their order is unknown; copies of each other are one."""
    first, second = (
        {"bm": KEY, "mc": name, "jd": "主体", "gx": {"sj": at}} for name, at in zip("甲乙", times, strict=True)
    )
    made = mapping(STATUS)
    record = rows(made, [first, second], fields=("progress", "name")).values[KEY]
    assert (record["name"], record["progress"], record[UNMAPPED]) == (None, None, ("name", "progress"))
    assert record[AS_OF] == ("2026-09-01T00:00:00+08:00" if times[0] == times[1] and times[0] else None)
    assert made.unmapped == {(STATUS, "DUPLICATE"): 1}


@pytest.mark.parametrize("times", [(None, None), ("2026-09-01", None), ("?", None), ("2026-09-01", "2026-09-02")])
def test_copies_of_each_other_are_one_record(times):
    """Whatever is known of when they were changed."""
    made = mapping(STATUS)
    record = rows(made, [{"bm": KEY, "mc": "甲", "gx": {"sj": at}} for at in times], fields=("name",)).values[KEY]
    assert (record["name"], record[UNMAPPED]) == ("甲", ())
    assert made.unmapped[STATUS, "DUPLICATE"] == 1


def test_records_of_two_regions_are_no_copies():
    """One of them is elsewhere, and which is unknown."""
    made = mapping(STATUS, region="xzqh")
    records = [{"bm": KEY, "mc": "甲", "xzqh": code} for code in ("420102", "420103")]
    record = rows(made, records, fields=("name",)).values[KEY]
    assert (record["name"], record[UNMAPPED]) == (None, ("name",))
    assert REGION not in record


DAYS = st.sampled_from([None, "2026-09-01", "2026-09-02", "?"])
RECORDS = st.lists(
    st.fixed_dictionaries({
        "bm": st.sampled_from([KEY, OTHER, f"{KEY} ", "x", None]),
        "mc": st.sampled_from(["甲", "乙", "无", "\ufffd"]),
        "rs": st.sampled_from([1, "1", "一", None]),
        "gx": st.fixed_dictionaries({"sj": DAYS}),
        "xzqh": st.sampled_from(["420102", "420103", "330102"]),
        "bh": st.sampled_from(["a", "b", "c", None]),
        "rq": st.sampled_from(["2026-09-01", "2026-09-02", "?", None]),
        "qk": st.sampled_from(["一", "二"]),
    }),
    max_size=8,
)  # fmt: skip


@pytest.mark.parametrize("coordinate", [STATUS, LIST])
@given(records=RECORDS, rng=st.randoms(use_true_random=False), region=st.booleans())
def test_the_order_of_the_answer_does_not_matter(coordinate, records, rng, region):
    """Neither for what is shown nor for what is counted."""
    shuffled = list(records)
    rng.shuffle(shuffled)
    one, other = (mapping(coordinate, region="xzqh" if region else "") for _ in range(2))
    assert rows(one, records, (KEY, OTHER)) == rows(other, shuffled, (KEY, OTHER))
    assert one.unmapped == other.unmapped


# --- lists


def visit(number: str | None, day: str | None, text: str = "好", changed: str | None = None) -> dict[str, Any]:
    return {"bm": KEY, "bh": number, "rq": day, "qk": text, "gx": {"sj": changed}}


def test_a_list_is_in_its_declared_order():
    """The newest day first, what has none last, numbers upwards; without a number there is no place."""
    made = mapping(LIST)
    records = [
        visit("b", "2026-09-01"), visit("d", None), visit("a", "2026-09-01"), visit("c", "2026-09-02"),
        visit("无", "2026-09-09"), visit("a0", "?"),
    ]  # fmt: skip
    found = rows(made, records, fields=("summary",)).lists[KEY]
    assert [record["inspection_no"] for record in found] == ["c", "a", "b", "a0", "d"]
    assert [record["inspected_on"] for record in found[-2:]] == [None, None]
    assert all(record[UNMAPPED] == () for record in found)
    assert made.unmapped == {(LIST, "NO_KEY"): 1, ("LiveInspection.inspectedOn", "NOT_A_DATE"): 1}


def test_a_natural_key_stands_once_in_a_list():
    """Of two records the newer; where that is unknown, that in which they agree."""
    made = mapping(LIST)
    records = [
        visit("a", "2026-09-01", "旧", "2026-09-01"), visit("a", "2026-09-03", "新", "2026-09-02"),
        visit("b", "2026-09-02", "甲"), visit("b", "2026-09-02", "乙"),
        visit("c", "2026-09-01"), visit("c", "2026-09-01"),
    ]  # fmt: skip
    found = rows(made, records).lists[KEY]
    shown = [(r["inspection_no"], r["inspected_on"], r["summary"], r[UNMAPPED]) for r in found]
    assert shown == [
        ("a", "2026-09-03", "新", ()),
        ("b", "2026-09-02", None, ("summary",)),
        ("c", "2026-09-01", "好", ()),
    ]
    assert made.unmapped == {(LIST, "DUPLICATE"): 3}


def test_what_does_not_fit_is_cut_off_and_the_list_has_not_ended():
    """By the window, by the service's bound, or by the source itself."""
    records = [visit(f"{number:02}", None) for number in range(12)]
    for window, bound, ended, length, over in [
        (Window(5), 100, True, 5, False),
        (Window(12), 100, True, 12, True),
        (Window(12), 100, False, 12, False),
        (Window(50), 10, True, 10, False),
        (None, 10, True, 10, False),
        (None, 100, True, 12, True),
    ]:
        found = rows(mapping(LIST, items_at_most=bound), records, window=window, ended=ended)
        assert (len(found.lists[KEY]), KEY in found.ended) == (length, over)


def test_of_a_list_only_what_is_shown_is_mapped():
    """A long list costs what its window does; contradictions within it are seen all the same."""
    made = mapping(LIST)
    records = [visit(f"{at:02}", None, "\ufffd") for at in (*range(12), 9)]
    assert len(rows(made, records, window=Window(2)).lists[KEY]) == 2
    assert made.unmapped == {(LIST, "DUPLICATE"): 1, ("LiveInspection.summary", "NOT_VALID"): 4}


ORDERED = [
    visit("b", "2026-09-02"), visit("b", "2026-09-02", "新", "2026-09-03"), visit("a", "2026-09-01"),
    visit("无", "2026-09-09"), visit("c", "2026-09-01"), visit("0", None), visit("1", "?"),
]  # fmt: skip


def test_a_window_with_more_behind_it_must_be_in_the_declared_order():
    """Or records between two windows would be lost; the whole of a list may come in any order."""
    found = rows(mapping(LIST), ORDERED, window=Window(50), ended=False).lists[KEY]
    assert [record["inspection_no"] for record in found] == ["b", "a", "c", "0", "1"]
    for one, other in combinations([0, 2, 4, 5, 6], 2):
        records = list(ORDERED)
        records[one], records[other] = records[other], records[one]
        assert rows(mapping(LIST), records, window=Window(50)).lists[KEY][1:] == found[1:]
        with pytest.raises(
            SourceBadShape, match=r"^source hubei: Project\.liveInspections: not in the declared order\Z"
        ):
            rows(mapping(LIST), records, window=Window(50), ended=False)


def test_each_key_of_a_batch_has_an_order_of_its_own():
    """However its records are mixed with those of others."""
    records = [visit("b", "2026-09-02"), visit("a", "2026-09-01") | {"bm": OTHER}, visit("c", "2026-09-02")]
    assert rows(mapping(LIST), records, (KEY, OTHER), Window(5), ended=False).lists.keys() == {KEY, OTHER}


@pytest.mark.parametrize(("coordinate", "most"), [(STATUS, 108), (LIST, 1_200)])
def test_many_more_records_than_the_keys_can_have_are_refused(coordinate, most):
    """Before any of them is looked at."""
    made = mapping(coordinate)
    rows(made, [{"bm": "x"}] * most, (KEY, OTHER))
    for keys, bound in [((KEY, OTHER), most), (tuple(map(str, range(1_000))), 3_000)]:
        with pytest.raises(SourceBadShape, match=f"{bound + 1} records, at most {bound} are expected"):
            rows(made, [{"bm": "x"}] * (bound + 1), keys)
    assert made.unmapped == {(coordinate, "UNASKED_KEY"): most}


@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        st.none() | st.dates(date(2026, 9, 1), date(2026, 9, 5)).map(date.isoformat),
    ),
    st.integers(1, 5),
    st.booleans(),
)
def test_pages_together_are_the_list(visits, first, by_day):
    """Without gap or repetition, also from systems that can only be asked for whole days and send again what we had."""
    records = [visit(number, day) for number, day in visits.items()]
    Random(1).shuffle(records)
    whole = rows(mapping(LIST), records).lists[KEY]
    walked: list[Any] = []
    after: tuple[str, ...] | None = None
    for _ in range(len(records) + 2):
        day = after[0] if after else ""
        sent = [r for r in records if not day or r["rq"] is None or r["rq"] <= day] if by_day else records
        found = rows(mapping(LIST), sent, window=Window(first, after))
        walked += found.lists[KEY]
        if KEY in found.ended:
            break
        last = found.lists[KEY][-1]
        after = (str(last["inspected_on"] or ""), str(last["inspection_no"]))
    assert walked == whole
    assert len(whole) == len(visits)


def test_times_of_change_are_instants():
    """Compared as such, and shown with the source's offset."""
    made = mapping(STATUS, as_of=AttributeMapping(source="gx"))
    late, early = datetime(2026, 9, 1, 1, tzinfo=UTC), "2026-09-01T08:30:00+08:00"
    records: list[dict[str, Any]] = [{"bm": KEY, "mc": "早", "gx": early}, {"bm": KEY, "mc": "晚", "gx": late}]
    record = rows(made, records).values[KEY]
    assert (record["name"], record[AS_OF]) == ("晚", (late + timedelta(hours=8)).strftime("%Y-%m-%dT%H:%M:%S+08:00"))
    assert rows(made, [{"bm": KEY, "gx": "昨天"}]).values[KEY][AS_OF] is None
    assert made.unmapped[f"{STATUS}.{AS_OF}", "NOT_A_DATE"] == 1
