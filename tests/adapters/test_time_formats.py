"""Dates and instants are read in the declared formats, and in no other."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.configuration import AttributeMapping
from adapters.conversions import Unmapped, converter
from adapters.time_formats import offset
from schema.scalars import SCALARS

ZONE = offset("+08:00")
FORMATS = ["%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y年%m月%d日", "%Y-%m-%d %H:%M:%S", "%Y%m%d%H%M%S"]


@given(st.dates(date(1000, 1, 2), date(9999, 12, 30)), st.sampled_from(FORMATS))
def test_formats_read_what_strptime_writes(day, text):
    """Any day but the one that means nothing."""
    read = converter(AttributeMapping(source="rq", dates=(text,)), ZONE, SCALARS["Date"])
    assert read(day.strftime(text)) == (None if day == date(1900, 1, 1) else day.isoformat())


@given(
    st.datetimes(datetime(1901, 1, 1), datetime(9999, 12, 30), timezones=st.sampled_from([UTC, ZONE, offset("-0330")])),  # noqa: DTZ001
    st.sampled_from(["%Y-%m-%dT%H:%M:%S.%f%z", "%d/%m/%Y %H:%M:%S %z %f", "%Y%m%d%H%M%S%f%z"]),
)
def test_offsets_and_fractions_are_kept(instant, text):
    """The same instant comes back, in the zone of the source."""
    read = converter(AttributeMapping(source="sj", instants=(text,)), ZONE, SCALARS["DateTime"])
    assert read(instant.strftime(text)) == instant.astimezone(ZONE).isoformat()


@pytest.mark.parametrize(
    ("formats", "raw", "value"),
    [
        (("%Y%m%d",), "2026111", Unmapped.NOT_A_DATE),
        (("%Y-%m%d",), "2026-111", Unmapped.NOT_A_DATE),
        (("%Y-%m-%d",), "2026-9-7", "2026-09-07"),
        (("%Y-%m-%d",), "2026-9-31", Unmapped.NOT_A_DATE),
        (("%Y-%m-%d", "%Y%m%d"), 20260907, "2026-09-07"),
        (("%Y：%m：%d",), "2026:9:7", "2026-09-07"),
        ((), "2026-9-7", Unmapped.NOT_A_DATE),
        ((), "20260907", Unmapped.NOT_A_DATE),
        ((), "2026-09-07 00:00:00", Unmapped.NOT_A_DATE),
        ((), date(2026, 9, 7), "2026-09-07"),
        ((), date(1900, 1, 1), None),
        ((), datetime(2026, 9, 6, 17, tzinfo=UTC), "2026-09-07"),
        ((), datetime(2026, 9, 7, 17), "2026-09-07"),  # noqa: DTZ001 - as columns have it
        ((), datetime.max.replace(tzinfo=UTC), Unmapped.NOT_VALID),
        ((), date.max, Unmapped.NOT_VALID),
        ((), "0001-01-01", Unmapped.NOT_VALID),
        (("%Y%m%d",), "19000101", None),
        (("%Y-%m-%d %H:%M:%S%z",), "2026-09-06 17:00:00+0000", "2026-09-07"),
        (("%Y-%m-%d %H:%M:%S%z",), "2026-09-06 17:00:00Z", "2026-09-07"),
    ],
)
def test_no_format_but_the_declared_ones_is_tried(formats, raw, value):
    """Without any the standard one."""
    assert converter(AttributeMapping(source="rq", dates=formats), ZONE, SCALARS["Date"])(raw) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("2026-09-17T08:00:00Z", "2026-09-17T16:00:00+08:00"),
        ("2026-09-17 08:00", "2026-09-17T08:00:00+08:00"),
        ("2026-09-17T08:00:00.5-01:00", "2026-09-17T17:00:00.500000+08:00"),
        ("2026-09-17", Unmapped.NOT_A_DATE),
        ("20260917T080000", Unmapped.NOT_A_DATE),
        ("2026-W38-4T08:00", Unmapped.NOT_A_DATE),
        ("2026-09-31T08:00", Unmapped.NOT_A_DATE),
        ("9999-12-31T23:00:00-05:00", Unmapped.NOT_VALID),
        ("0001-01-01T01:00:00+14:00", Unmapped.NOT_VALID),
    ],
)
def test_instants_without_formats_are_iso_8601(raw, value):
    """With a time; without an offset in the zone of the source."""
    assert converter(AttributeMapping(source="sj"), ZONE, SCALARS["DateTime"])(raw) == value
