"""Lists without page numbers: whatever a source sends at once, walking shows each record once, in order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from adapters.base import Fetch, Window
from adapters.configuration import AttributeMapping
from adapters.mapping import RecordMapping
from schema.registry import load_registry
from tests.adapters.rest.test_source import DAYS, VISITS, by_boundary, driving, read, source


async def walked(answer: Any, first: int, **more: Any) -> tuple[list[Any], list[Any]]:
    """Numbers of all records in the order shown, window by window, and what the platform was asked."""
    found: list[Any] = []
    async with driving(answer, VISITS, keys_per_call=1, **more) as (driver, platform):
        config = source(platform.address, VISITS, keys_per_call=1, **more)
        mapping = RecordMapping("zj", VISITS, config.service[VISITS], config, load_registry())
        after: tuple[str, ...] | None = None
        for _ in range(60):
            fetch = Fetch(VISITS, ("E",), ("inspected_on", "inspection_no"), Window(first, after))
            rows = mapping.rows(fetch, await driver.read(VISITS, fetch, ("no", "rq", "bh")), datetime.now(UTC))
            shown = rows.lists.get("E", [])
            found += [record["inspection_no"] for record in shown]
            if not shown or "E" in rows.ended:
                return found, platform.asked
            after = (str(shown[-1]["inspected_on"]), str(shown[-1]["inspection_no"]))
    raise AssertionError("no end")


BOUNDED = {"size": "{first}", "e": "{key}", "until": "{after.inspected_on}", "no": "{after.inspection_no}"}


@pytest.mark.parametrize("first", [7, 20, 60, 89, 90, 200])
@pytest.mark.parametrize(("sends_at_most", "items_at_most"), [(8, 100), (50, 100), (50, 50), (200, 50), (89, 90)])
async def test_a_source_with_a_limit_of_its_own_loses_nothing(first: int, sends_at_most: int, items_at_most: int):
    def limited(asked: dict[str, Any]) -> Any:
        return {"rows": by_boundary(asked)["rows"][:sends_at_most]}

    found, asked = await walked(limited, first, body=BOUNDED, items_at_most=items_at_most)
    assert found == [row["bh"] for row in DAYS]
    assert {one["size"] for one in asked} == {min(first, items_at_most)}


async def test_once_a_source_has_sent_more_a_short_answer_is_the_end():
    async with driving(by_boundary, VISITS, body=BOUNDED, keys_per_call=1) as (driver, platform):
        for window in (Window(100), Window(60, ("2026-08-11", "J085")), Window(60, ("2026-08-11", "J085"))):
            assert (await read(driver, VISITS, "E", window=window)).ended
        assert len(platform.asked) == 4


@pytest.mark.parametrize("first", [2, 4, 5, 13, 40])
async def test_days_written_with_a_time_lose_nothing_at_a_boundary(first: int):
    """A source that sorts by the time of day, which we do not know, and takes a moment for a boundary."""
    visits = [
        (f"N{day}{hour}", f"2026-09-{day:02} {hour:02}:30:00") for day in range(12, 0, -1) for hour in (15, 14, 9)
    ]

    def by_moment(asked: dict[str, Any]) -> Any:
        found = [{"no": "E", "bh": no, "rq": at} for no, at in visits if at <= asked.get("until", "9")]
        return {"rows": found[: asked["size"]]}

    fields = {
        "inspection_no": AttributeMapping(source="bh"),
        "inspected_on": AttributeMapping(source="rq", dates=("%Y-%m-%d %H:%M:%S",)),
    }
    body = {"size": "{first}", "e": "{key}", "until": "{after.inspected_on}"}
    found, asked = await walked(by_moment, first, body=body, fields=fields, items_at_most=10)
    assert found == [no for no, _ in sorted(visits, key=lambda visit: (-int(visit[1][8:10]), visit[0]))]
    assert all(one.get("until", " 23:59:59").endswith(" 23:59:59") for one in asked)
