"""From what local systems send to declared records: nothing raises, nothing is guessed, everything is counted."""

from __future__ import annotations

import math
import time
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import AS_OF, UNMAPPED, Fetch, Rows, Window
from adapters.configuration import (
    PLACEHOLDERS,
    AttributeMapping,
    NoSigner,
    RestService,
    RestSource,
    Service,
)
from adapters.conversions import Unmapped
from adapters.driver import Answer
from adapters.mapping import RecordMapping
from schema.codes import CODE_LISTS
from schema.declare import Remote
from schema.registry import load_registry

REGISTRY = load_registry()
NOW = datetime(2026, 9, 17, 4, tzinfo=UTC)
KEY = "4201022603180101"
STATUS, LIST = "Project.siteStatus", "Project.liveInspections"


def read(path: str, **how: Any) -> AttributeMapping:
    return AttributeMapping(source=path, **how)


SITE = {
    "state": read("xmzt", codes={"在建": "2", "停工（整改）": "3", "07": "4"}),
    "name": read("xm.mc", brackets="（）"),
    "contractor_uscc": read("sgdw"),
    "total_area": read("mj"),
    "progress": read("jd", placeholders=("未知",)),
    "stop_work": read("tg", yes=("是", "1"), no=("否", "0")),
    "stop_work_reason": read("tgyy"),
    "workers_on_site": read("rs"),
    "safety_officer": read("aqy"),
    "safety_officer_mobile": read("sj"),
    "reported_at": read("sbsj", instants=("%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S", "epoch_ms")),
}
INSPECTION = {
    "inspection_no": read("bh"),
    "project_no": read("xmbh"),
    "inspected_on": read("rq", dates=("%Y%m%d", "%Y年%m月%d日")),
    "kind": read("lx"),
    "finding_count": read("wts"),
    "disposal": read("cl"),
    "summary": read("qk"),
    "inspectors": read("ry", split="、"),
}


def mapping(coordinate: str = STATUS, **service: Any) -> RecordMapping:
    fields = SITE if coordinate == STATUS else INSPECTION
    asked = RestService(**{"key": "xmbm", "fields": fields, "path": "/x"} | service)
    source = RestSource(
        title="湖北", covers=("420000",), address="http://127.0.0.1:1", networks=("127.0.0.0/8",), signer=NoSigner(),
        service={coordinate: asked},
    )  # fmt: skip
    return RecordMapping("hubei", coordinate, asked, source, REGISTRY)


CHANGED = read("gxsj", instants=("%Y-%m-%d %H:%M:%S",))


def single(
    raw: dict[str, Any], field: str, **service: Any
) -> tuple[object, tuple[str, ...], dict[tuple[str, str], int]]:
    made = mapping(**service)
    record = rows(made, [{"xmbm": KEY, **raw}], [field]).values[KEY]
    return record[field], tuple(record[UNMAPPED]), dict(made.unmapped)  # type: ignore[arg-type]


def rows(
    made: RecordMapping, records: list[dict[str, Any]], fields: Any, keys: tuple[str, ...] = (KEY,), **window: Any
) -> Rows:
    ended = window.pop("ended", True)
    fetch = Fetch(made.coordinate, keys, tuple(fields), Window(**window) if window else None)
    return made.rows(fetch, Answer(records, ended), NOW)


# --- single values

MISSING = [*PLACEHOLDERS, "　", " 无　", "\t/\n", "－－", "ＮＵＬＬ", None]
GOOD = [
    ("state", {"xmzt": "在建"}, "2"),
    ("state", {"xmzt": " 停工(整改) "}, "3"),
    ("state", {"xmzt": "０７"}, "4"),
    ("name", {"xm": {"mc": "　一号楼【A】[二]〔三〕(四)［五］ "}}, "一号楼（A）（二）（三）（四）（五）"),
    ("name", {"xm": {"mc": 17}}, "17"),
    ("contractor_uscc", {"sgdw": "９１000000-madem00112"}, "91000000MADEM00112"),
    ("total_area", {"mj": "１２３４．50"}, "1234.50"),
    ("total_area", {"mj": 0.1}, "0.1"),
    ("total_area", {"mj": 1e16}, "10000000000000000"),
    ("total_area", {"mj": "1.2E+3"}, "1200"),
    ("total_area", {"mj": Decimal("7.10")}, "7.10"),
    ("progress", {"jd": "主体 "}, "主体"),
    ("progress", {"jd": "𠮷㛃"}, "𠮷㛃"),
    ("progress", {"jd": "第一行\n第二行"}, "第一行\n第二行"),
    ("progress", {"jd": "未知"}, None),
    ("stop_work", {"tg": "是"}, True),
    ("stop_work", {"tg": 0}, False),
    ("stop_work", {"tg": True}, True),
    ("workers_on_site", {"rs": "12.0"}, 12),
    ("workers_on_site", {"rs": 12.0}, 12),
    ("workers_on_site", {"rs": -3}, -3),
    ("reported_at", {"sbsj": "2026-09-17 08:00:01"}, "2026-09-17T08:00:01+08:00"),
    ("reported_at", {"sbsj": "２０２６-9-7 8:0:1"}, "2026-09-07T08:00:01+08:00"),
    ("reported_at", {"sbsj": 20260917080001}, "2026-09-17T08:00:01+08:00"),
    ("reported_at", {"sbsj": 1789603201000}, "2026-09-17T08:00:01+08:00"),
    ("reported_at", {"sbsj": datetime(2026, 9, 17)}, "2026-09-17T00:00:00+08:00"),  # noqa: DTZ001 - as columns have it
    ("reported_at", {"sbsj": datetime(2026, 9, 17, tzinfo=UTC)}, "2026-09-17T08:00:00+08:00"),
    ("reported_at", {"sbsj": "1900-01-01 00:00:00"}, None),
    ("reported_at", {"sbsj": "19000101000000"}, None),
    ("reported_at", {"sbsj": datetime(1900, 1, 1)}, None),  # noqa: DTZ001 - as columns have it
]


@pytest.mark.parametrize(("field", "raw", "value"), GOOD)
def test_what_local_systems_write_is_read(field, raw, value):
    """Full-width digits, brackets, units of time, columns of changed types."""
    assert single(raw, field) == (value, (), {})


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("field", SITE)
def test_placeholders_are_missing_values_and_no_mistake(field, missing):
    """Whatever the type of the attribute."""
    source = SITE[field].source
    raw = {"xm": {"mc": missing}} if "." in source else {source: missing}
    assert single(raw, field) == (None, (), {})
    assert single({}, field) == (None, (), {})


BAD = [
    ("state", "03", Unmapped.UNKNOWN_CODE),  # an official code, but this system has its own words
    ("state", {"a": 1}, Unmapped.UNKNOWN_CODE),
    ("contractor_uscc", "MADEM0011", Unmapped.NOT_VALID),  # organisation codes are no social credit codes
    ("contractor_uscc", "MADEM001-1", Unmapped.NOT_VALID),
    ("contractor_uscc", "110101190001010014", Unmapped.NOT_VALID),  # a citizen number in the company's column
    ("contractor_uscc", "91000000MADEM00113", Unmapped.NOT_VALID),
    ("total_area", "1,234.50", Unmapped.NOT_A_NUMBER),
    ("total_area", "约3万", Unmapped.NOT_A_NUMBER),
    ("total_area", "1_000", Unmapped.NOT_A_NUMBER),
    ("total_area", "NaN", Unmapped.NOT_A_NUMBER),
    ("total_area", math.inf, Unmapped.NOT_A_NUMBER),
    ("total_area", Decimal("sNaN"), Unmapped.NOT_A_NUMBER),
    ("total_area", True, Unmapped.NOT_A_NUMBER),
    ("total_area", "1e99", Unmapped.NOT_VALID),
    ("total_area", 10**4000, Unmapped.NOT_A_NUMBER),
    ("progress", "锟斤\ufffd", Unmapped.NOT_VALID),
    ("progress", "a\0b", Unmapped.NOT_VALID),
    ("progress", "\ud800", Unmapped.NOT_VALID),
    ("progress", "长" * 4001, Unmapped.NOT_VALID),
    ("progress", 2.0**53, Unmapped.NOT_VALID),  # a long number that JSON's reader rounded
    ("progress", ["a"], Unmapped.NOT_VALID),
    ("progress", True, Unmapped.NOT_VALID),
    ("progress", b"abc", Unmapped.NOT_VALID),
    ("stop_work", "2", Unmapped.NOT_A_BOOLEAN),
    ("stop_work", "true", Unmapped.NOT_A_BOOLEAN),
    ("workers_on_site", 1.5, Unmapped.NOT_VALID),
    ("workers_on_site", 2**31, Unmapped.NOT_VALID),
    ("workers_on_site", "十二", Unmapped.NOT_A_NUMBER),
    ("reported_at", "2026/09/17 08:00:00", Unmapped.NOT_A_DATE),
    ("reported_at", "2026-02-30 08:00:00", Unmapped.NOT_A_DATE),
    ("reported_at", 10**29, Unmapped.NOT_A_DATE),
    ("reported_at", date(2026, 9, 17), Unmapped.NOT_A_DATE),
]


@pytest.mark.parametrize(("field", "raw", "reason"), BAD)
def test_what_cannot_be_read_is_missing_named_and_counted(field, raw, reason):
    """And never appears, in whatever we tell of it."""
    made = mapping()
    record = rows(made, [{"xmbm": KEY, SITE[field].source: raw}], [field]).values[KEY]
    assert (record[field], record[UNMAPPED]) == (None, (field,))
    camel = REGISTRY.values["SiteStatus"].fields
    coordinate = next(part.coordinate for part in camel.values() if part.name == field)
    assert made.unmapped == {(coordinate, reason.value): 1}
    if reason is not Unmapped.UNKNOWN_CODE:
        assert made.unknown_codes == {}


def test_units_are_converted_exactly():
    """元 to 万元 without binary fractions, and without digits that the factor brings."""
    fields = {"total_investment": read("ztz", times="0.0001")}
    made = RecordMapping(
        "national", "Project.investmentApproval", *_service("Project.investmentApproval", fields), REGISTRY
    )
    for raw, value in [("1200000", "120"), (100.5, "0.01005"), ("9" * 30 + ".12", "9" * 26 + ".999912")]:
        record = rows(made, [{"k": "1", "ztz": raw}], ["total_investment"], ("1",)).values["1"]
        assert record["total_investment"] == value


def _service(coordinate: str, fields: dict[str, AttributeMapping], **service: Any) -> tuple[Service, RestSource]:
    asked = RestService(key="k", fields=fields, path="/x", **service)
    source = RestSource(
        title="国家", covers=("000000",), address="http://127.0.0.1:1", networks=("127.0.0.0/8",), signer=NoSigner(),
        service={coordinate: asked},
    )  # fmt: skip
    return asked, source


CODED = [
    (remote, part)
    for entity in REGISTRY.entities.values()
    for remote in entity.fields.values()
    if isinstance(remote.member, Remote)
    for part in REGISTRY.values[remote.type.name].fields.values()
    if part.codes
]


@pytest.mark.parametrize(("remote", "part"), CODED, ids=lambda field: field.coordinate)
def test_every_code_of_a_list_comes_through(remote, part):
    """With local words for all of them, and as the official code itself; a code of ours is no word of theirs."""
    codes = CODE_LISTS[part.type.name].codes
    order = {name.removeprefix("-"): read(name.removeprefix("-")) for name in remote.member.order}
    for how in ({f"x{code}": code for code in codes}, None):
        service = _service(remote.coordinate, order | {part.name: read("raw", codes=how)})
        made = RecordMapping("s", remote.coordinate, *service, REGISTRY)
        for code in codes:
            shown = made.sample({"raw": f"x{code}" if how else code}, [part.name])
            assert (shown[part.name], shown[UNMAPPED]) == (code, ())
        for wrong in (codes[0] if how else f"x{codes[0]}", "x", 17):
            shown = made.sample({"raw": wrong}, [part.name])
            assert (shown[part.name], shown[UNMAPPED]) == (None, (part.name,))
        assert made.unmapped == {}


def test_words_that_differ_in_width_alone_may_mean_different_codes():
    """What is written exactly so in the file goes before its folded form."""
    made = mapping(fields={"state": read("xmzt", codes={"１": "1", "1": "2", "２": "3"})})
    assert [made.sample({"xmzt": raw}, ["state"])["state"] for raw in ("１", "1", 1, "２", "2")] == list("12233")


def test_unknown_codes_are_kept_for_operators_within_bounds():
    """Counted exactly; remembered cut to 40 characters and at most 50 of an attribute."""
    made = mapping()
    for number in range(70):
        rows(made, [{"xmbm": KEY, "xmzt": f"{number:02}" + "长" * 60}], ["state"])
    rows(made, [{"xmbm": KEY, "xmzt": "00" + "长" * 60}], ["state"])
    assert made.unmapped == {("SiteStatus.state", "UNKNOWN_CODE"): 71}
    words = made.unknown_codes["SiteStatus.state"]
    assert words == tuple(f"{number:02}" + "长" * 38 for number in range(50))


def test_lists_of_texts_are_shown_whole_or_not_at_all():
    """A list without the item that could not be read would look complete."""
    made = mapping(LIST)
    for raw, shown, unmapped in [
        ("张三、 李四 、、无", ["张三", "李四"], ()),
        (["张三", None, "李四", 7], ["张三", "李四", "7"], ()),
        ([], [], ()),
        ("无", None, ()),
        (["张三", "\ufffd"], None, ("inspectors",)),
        ({"a": 1}, None, ("inspectors",)),
        (5, None, ("inspectors",)),
    ]:
        record = made.sample({"ry": raw}, ["inspectors"])
        assert (record["inspectors"], record[UNMAPPED]) == (shown, unmapped)
    for many in (["张三"] * 1_001, "张三、" * 1_001):
        assert made.sample({"ry": many}, ["inspectors"])[UNMAPPED] == ("inspectors",)
    assert made.sample({"ry": ["张三"] * 1_000}, ["inspectors"])["inspectors"] == ["张三"] * 1_000
    unsplit = mapping(LIST, fields=INSPECTION | {"inspectors": read("ry")})
    assert unsplit.sample({"ry": "张三、李四"}, ["inspectors"])[UNMAPPED] == ("inspectors",)


# --- anything at all

MARKS = "1" + "\u0301\u0316" * 50_000
"""Normalised, it would take seconds: sorting combining marks is quadratic."""


@pytest.mark.parametrize("field", SITE)
def test_no_text_holds_up_the_process(field):
    """Neither as a value nor as a key or region; what is too long to be a word is none."""
    source = SITE[field].source
    made = mapping(region="qh") if field == "state" else mapping()
    hostile = {"xm": {"mc": MARKS}} if "." in source else {source: MARKS}
    began = time.process_time()
    found = rows(made, [{"xmbm": KEY, "qh": MARKS, **hostile}, {"xmbm": MARKS}], [field])
    assert time.process_time() - began < 0.2
    assert [record[UNMAPPED] for record in found.values.values()] == ([] if field == "state" else [(field,)])
    assert made.unmapped[STATUS, "UNASKED_KEY"] == 1


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(), st.dates(),
    st.datetimes(), st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=14))])),
    st.from_regex(r"[0-9]{4}-?[0-9]{2}-?[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2})?", fullmatch=True),
    st.sampled_from(["在建", "是", "91000000MADEM00112", "1e30", "-.5", "\ud800", "１２", 10**400, -(10**31), 1e308]),
)  # fmt: skip
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5)


@given(st.dictionaries(st.sampled_from([*(m.source for m in SITE.values()), "xm", "gxsj"]), ANYTHING))
def test_nothing_raises_and_what_is_shown_is_of_its_type(raw):
    """Every value passes its declared scalar, or is missing."""
    made = mapping(as_of=CHANGED)
    record = rows(made, [{"xmbm": KEY, **raw}], SITE).values[KEY]
    check(record, "SiteStatus", SITE)
    of_values = {coordinate: count for (coordinate, _), count in made.unmapped.items() if AS_OF not in coordinate}
    assert set(of_values.values()) <= {1}
    assert len(of_values) == len(set(record[UNMAPPED]))  # type: ignore[call-overload]


@given(
    st.lists(
        st.dictionaries(st.sampled_from([m.source for m in INSPECTION.values()]), ANYTHING),
        min_size=1,
    ),
    st.randoms(use_true_random=False),
)
def test_lists_of_anything_are_ordered(records, rng):
    """Whatever their records hold beside what orders them."""
    numbered = []
    for number, record in enumerate(records):
        day = rng.choice(["20260917", "2026年9月7日", "无", "?"])
        numbered.append({"bh": f"JC{number}", "rq": day} | record | {"xmbm": KEY})
    made = mapping(LIST)
    found = rows(made, numbered, INSPECTION).lists[KEY]
    lost = made.unmapped.get((LIST, "NO_KEY"), 0) + made.unmapped.get((LIST, "DUPLICATE"), 0)
    assert len(found) == len(records) - lost
    for record in found:
        check(record, "LiveInspection", INSPECTION)
        assert record["inspection_no"] is not None
    places = [place(record) for record in found]
    assert all(one < other for one, other in pairwise(places))


def check(record: Any, type_name: str, fields: Any) -> None:
    parts = {part.name: part for part in REGISTRY.values[type_name].fields.values()}
    assert record.keys() == {*fields, AS_OF, UNMAPPED}
    for name in fields:
        if (value := record[name]) is None:
            continue
        assert name not in record[UNMAPPED]
        for item in value if parts[name].type.is_list else [value]:
            codes, scalar = parts[name].codes, parts[name].scalar
            assert (codes is None) != (scalar is None)
            if codes:
                assert item in codes.by_code
            if scalar:
                scalar.parse(item)
                assert "e" not in str(item).lower() or parts[name].type.name != "Decimal"


def place(record: Any) -> tuple[bool, int, str]:
    """Where a live inspection stands: the newest day first, without a day last, then by number."""
    day = record["inspected_on"]
    return day is None, -date.fromisoformat(day).toordinal() if day else 0, record["inspection_no"]
