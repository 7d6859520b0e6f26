"""Keys that go out in one text."""

from __future__ import annotations

import pytest

from tests.adapters.rest.test_source import STATUS, driving, read


@pytest.mark.parametrize(
    ("asked", "sent"), [(("A1", "B,2", "C3"), ["A1", "C3"]), (("B,2", ",", "x,"), None), (("A1",), ["A1"])]
)
async def test_a_key_that_holds_the_separator_is_not_sent(asked: tuple[str, ...], sent: list[str] | None):
    """It would go out as two others; where keys are a JSON list, it is a key like any other."""
    rows = {"rows": [{"no": "A1", "mc": "甲"}]}
    async with driving(rows, body={"nos": "{keys:,}"}) as (driver, platform):
        answer = await read(driver, STATUS, *asked)
        assert [question["nos"].split(",") for question in platform.asked] == ([] if sent is None else [sent])
        assert len(answer.records) == (0 if sent is None else 1)
    async with driving(rows, body={"nos": "{keys}"}) as (driver, platform):
        await read(driver, STATUS, *asked)
        assert platform.asked[0]["nos"] == [*asked]
