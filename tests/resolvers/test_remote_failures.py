"""A bad source spoils only its own values: whatever it answers, however slow it is, and when it is not there."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from adapters.base import Fetch, Rows, SourceError, SourceTimeout
from server.pipeline import Question
from server.service import Service
from server.settings import Settings
from tests.declared.tables import PACKAGE
from tests.resolvers.sources import (
    ALARMS,
    BY_NO,
    COUNTY,
    READING,
    Monitor,
    opened_with,
    seen_alarms,
    seen_reading,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def fails(error: BaseException | Callable[[], BaseException]) -> Callable[[Fetch, dict[str, Any]], Rows]:
    """A source that raises."""

    def behave(_fetch: Fetch, _values: dict[str, Any]) -> Rows:
        raise error if isinstance(error, BaseException) else error()

    return behave


def answers(change: Callable[[dict[str, Any]], Any]) -> Callable[[Fetch, dict[str, Any]], Rows]:
    """A source whose records are changed."""
    return lambda _, values: Rows({key: change(value) for key, value in values.items()})


UNAVAILABLE = {
    "a declared failure": (fails(SourceError("monitor")), "SOURCE_UNAVAILABLE"),
    "a timeout of its own": (fails(SourceTimeout("monitor")), "SOURCE_TIMEOUT"),
    "TimeoutError": (fails(TimeoutError()), "SOURCE_TIMEOUT"),
    "an exception": (fails(ValueError("4201061990010100")), "SOURCE_UNAVAILABLE"),
    "KeyError": (fails(KeyError("x")), "SOURCE_UNAVAILABLE"),
    "RecursionError": (fails(RecursionError()), "SOURCE_UNAVAILABLE"),
    "CancelledError": (fails(asyncio.CancelledError), "SOURCE_UNAVAILABLE"),
    "nothing": (lambda _f, _v: None, "SOURCE_BAD_SHAPE"),
    "a bare mapping": (lambda _f, v: v, "SOURCE_BAD_SHAPE"),
    "a list": (lambda _f, v: list(v), "SOURCE_BAD_SHAPE"),
    "rows that are no mapping": (lambda _f, _v: Rows([1, 2]), "SOURCE_BAD_SHAPE"),  # type: ignore[arg-type]
    "records that are texts": (answers(lambda _: "x"), "SOURCE_BAD_SHAPE"),
    "records that are lists": (answers(lambda v: [v]), "SOURCE_BAD_SHAPE"),
    "a number that is none": (answers(lambda v: v | {"count": "many"}), "SOURCE_BAD_SHAPE"),
    "infinity": (answers(lambda v: v | {"count": float("inf")}), "SOURCE_BAD_SHAPE"),
    "NaN": (answers(lambda v: v | {"count": float("nan")}), "SOURCE_BAD_SHAPE"),
    "a decimal that is none": (answers(lambda v: v | {"weight": "NaN"}), "SOURCE_BAD_SHAPE"),
    "a lone surrogate": (answers(lambda v: v | {"operator": "\ud800"}), "SOURCE_BAD_SHAPE"),
    "an object in a text's place": (answers(lambda v: v | {"operator": {"a": 1}}), "SOURCE_BAD_SHAPE"),
    "an identifier with a wrong check digit": (
        answers(lambda v: v | {"operator_no": "110101190001010015"}), "SOURCE_BAD_SHAPE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNAVAILABLE)
async def test_a_failing_source_spoils_only_its_own_values(remote_database: str, name: str):
    """Its values are null with an error at each exact path; the other source's and the ministry's own are all there."""
    behave, code = UNAVAILABLE[name]
    monitor, alarms = Monitor("monitor", behave=behave), Monitor("alarms")
    async with opened_with(remote_database, monitor, alarms, request_deadline_ms=4_000) as remote:
        began = time.monotonic()
        decoded = await remote.ask(
            f"{{ cranes(first: 100) {{ edges {{ n: node {{ l: lifts {{"
            f" liftNo r: reading {READING} alarms {ALARMS} }} }} }} }} }}"
        )
        assert time.monotonic() - began < 3
        wrong = {tuple(error["path"]): error["extensions"]["name"] for error in decoded.get("errors", ())}
        expected: set[tuple[str | int, ...]] = set()
        for i, edge in enumerate(decoded["data"]["cranes"]["edges"]):
            for j, lift in enumerate(edge["n"]["l"]):
                row = BY_NO[lift["liftNo"]]
                assert lift["alarms"] == seen_alarms(row)
                path = ("cranes", "edges", i, "n", "l", j, "r")
                if row["sensor_no"] is None or (path not in wrong and code == "SOURCE_BAD_SHAPE"):
                    # A value that this row may not see was not asked for, so it cannot be of a wrong shape either.
                    assert lift["r"] == seen_reading(row)
                    continue
                expected.add(path)
                assert lift["r"] is None
        assert wrong == dict.fromkeys(expected, code)
        assert expected
        text = orjson.dumps(decoded["errors"]).decode()
        assert "4201061990010100" not in text
        assert "K1" not in text
        said = dict(await remote.records())
        used = {name: use["outcome"] for name, use in orjson.loads(said["sources"]).items()}
        assert used == {"alarms": "OK", "monitor": code} == decoded["extensions"]["sources"]


async def test_paths_of_a_backward_page(remote_database: str):
    """A page from the end on is shown in order, and the paths of its errors are those of what is shown."""
    monitor = Monitor("monitor", behave=fails(SourceError("monitor")))
    async with opened_with(remote_database, monitor, Monitor("alarms")) as remote:
        for arguments, more in (("last: 25", ""), ("last: 100", ""), ("last: 25", "pageInfo { hasPreviousPage }")):
            decoded = await remote.ask(f"{{ lifts({arguments}) {{ nodes {{ liftNo reading {{ count }} }} {more} }} }}")
            shown = decoded["data"]["lifts"]["nodes"]
            keyed = [i for i, lift in enumerate(shown) if BY_NO[lift["liftNo"]]["sensor_no"] is not None]
            assert 0 < len(keyed) < len(shown)
            assert sorted(error["path"] for error in decoded["errors"]) == [
                ["lifts", "nodes", i, "reading"] for i in keyed
            ]


async def test_a_bad_list_spoils_only_its_own_values(remote_database: str):
    """A list's record without items, or with items that are none."""
    wrong: list[Any] = [None, "x", 1, {"items": "x"}, [1], [[]], ["items"], [{"code": 1}]]
    for items in wrong:
        alarms = Monitor("alarms", behave=lambda _, values, items=items: Rows({}, dict.fromkeys(values, items)))  # type: ignore[misc,arg-type]
        async with opened_with(remote_database, Monitor("monitor"), alarms) as remote:
            decoded = await remote.ask("{ lifts(first: 100) { nodes { liftNo reading { count } alarms { code } } } }")
            for lift in decoded["data"]["lifts"]["nodes"]:
                known = seen_reading(BY_NO[lift["liftNo"]])
                assert lift["reading"] == (known and {"count": known["count"]})
                assert lift["alarms"] in (None, [])
            names = {error["extensions"]["name"] for error in decoded.get("errors", ())}
            assert names <= {"SOURCE_BAD_SHAPE"}


async def test_a_code_of_no_list_is_a_bad_shape(remote_database: str):
    """Adapters map codes; one that is no official code is never shown."""
    alarms = Monitor("alarms", behave=lambda _, values: Rows({}, {key: [{"level": "99"}] for key in values}))
    async with opened_with(remote_database, Monitor("monitor"), alarms) as remote:
        decoded = await remote.ask("{ lifts { nodes { alarms { level } } } }")
        assert not any(lift["alarms"] for lift in decoded["data"]["lifts"]["nodes"])
        assert {error["extensions"]["name"] for error in decoded["errors"]} == {"SOURCE_BAD_SHAPE"}


async def test_a_slow_source_has_its_own_deadline(remote_database: str):
    """It costs its own deadline and no more, and names itself."""
    monitor = Monitor("monitor", deadline_seconds=0.2, delay=5)
    async with opened_with(remote_database, monitor, Monitor("alarms")) as remote:
        began = time.monotonic()
        decoded = await remote.ask("{ lifts { nodes { liftNo reading { count } alarms { code } } } }")
        assert time.monotonic() - began < 1.5
        assert {error["extensions"]["name"] for error in decoded["errors"]} == {"SOURCE_TIMEOUT"}
        assert any(lift["alarms"] for lift in decoded["data"]["lifts"]["nodes"])


async def test_the_requests_deadline_bounds_every_source(remote_database: str):
    """A source that allows itself more than the request has gets what remains, and the answer still comes."""
    monitor = Monitor("monitor", deadline_seconds=60, delay=60)
    async with opened_with(remote_database, monitor, Monitor("alarms"), request_deadline_ms=800) as remote:
        began = time.monotonic()
        answer = await remote.service.answer(
            Question("{ lifts { nodes { liftNo reading { count } } } }", {}, None), COUNTY, "bounded"
        )
        assert time.monotonic() - began < 2
        assert answer.code in ("OK", "ZQ504")


async def test_a_source_that_is_not_there_spoils_only_its_own_values(remote_database: str):
    """A field that no source offers says so, and spoils nothing else."""
    chosen = Settings(database_url=remote_database, entity_packages=(PACKAGE,))
    async with Service.open(chosen, sources={"alarms": Monitor("alarms")}) as service:
        answer = await service.answer(
            Question("{ lifts { nodes { liftNo reading { count } alarms { code } } } }", {}, None), COUNTY, "absent"
        )
        decoded = orjson.loads(answer.body)
        assert {error["extensions"]["name"] for error in decoded["errors"]} == {"SOURCE_NOT_CONNECTED"}
        assert any(lift["alarms"] for lift in decoded["data"]["lifts"]["nodes"])


async def test_one_callers_departure_hangs_nobody(remote_database: str):
    """A request that is cancelled while a source is being asked leaves others, and the process, as they were."""
    monitor = Monitor("monitor", delay=0.3)
    async with opened_with(remote_database, monitor, Monitor("alarms")) as remote:
        query = "{ lifts { nodes { liftNo reading { count } } } }"

        def one(number: int) -> asyncio.Task[Any]:
            question = Question(query, {}, None)
            return asyncio.ensure_future(remote.service.answer(question, COUNTY, f"cancelled-{number}"))

        requests = [one(number) for number in range(10)]
        await asyncio.sleep(0.15)
        for request in requests[::2]:
            request.cancel()
        async with asyncio.timeout(5):
            finished = await asyncio.gather(*requests, return_exceptions=True)
        assert [isinstance(found, asyncio.CancelledError) for found in finished] == [True, False] * 5
        assert [getattr(found, "code", None) for found in finished[1::2]] == ["OK"] * 5
        assert (await remote.ask(query))["data"]["lifts"]["nodes"]
