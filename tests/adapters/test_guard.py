"""The guard around a source: what it lets through, for how long, how often, and what it does when the source fails."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest

from adapters.base import (
    Breaker,
    Fetch,
    Health,
    OfficerMissing,
    SourceBadShape,
    SourceBusy,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
)
from adapters.configuration import BreakerLimits, Condition
from adapters.driver import Answer
from schema.officer import Officer
from tests.adapters.scripted import (
    ABSENT,
    CHANGED,
    IDENTITY,
    INSPECTIONS,
    KEYS,
    STATUS,
    answering,
    everything,
    failing,
    guarded,
    hanging,
    service,
    site,
)

OFFICER = Officer("110101199001010014", "李警官", "浙江省住建厅", "10.0.0.1")
DOWN = SourceUnreachable("zhejiang", "503")


async def test_an_answer_is_mapped_and_observed_once():
    """The driver is asked for what is wanted, the mapping makes declared records of it."""
    it = guarded()
    rows = await it.ask(KEYS[0], ABSENT)
    assert set(rows.values) == {KEYS[0]}
    assert rows.values[KEYS[0]]["state"] == "2"
    assert rows.fetched_at is not None
    assert datetime.now(UTC) - rows.fetched_at < timedelta(seconds=5)
    assert not rows.stale
    ((asked, wanted),) = it.script.asked
    assert asked.keys == (KEYS[0], ABSENT)
    assert set(wanted) == {"bh", "zt", "mc", "gxsj"}
    assert [(name, kind, outcome) for name, kind, outcome, _ in it.seen] == [("zhejiang", STATUS, "ok")]


async def test_more_keys_than_a_call_takes_are_the_callers_mistake():
    """Nothing is split and nothing is asked."""
    it = guarded(service={STATUS: service(STATUS, keys_per_call=2)})
    assert it.source.services == {STATUS: 2}
    with pytest.raises(ValueError, match="2 keys"):
        await it.ask(*KEYS[:3])
    assert it.script.asked == []


class TestBulkhead:
    """At most so many calls at once, so many waiting; the rest is refused at once."""

    async def test_calls_inside_and_waiting_are_bounded(self):
        """Two inside, three waiting, the others busy without a wait; what waited is served when there is room."""
        it = guarded(concurrency=2, queue=3)
        gate = asyncio.Event()

        async def step(fetch: Fetch) -> Answer:
            await gate.wait()
            return await everything(fetch)

        it.script.then(*[step] * 5)
        calls = [asyncio.create_task(it.ask()) for _ in range(9)]
        await asyncio.sleep(0.02)
        refused = [call for call in calls if call.done()]
        assert [type(call.exception()) for call in refused] == [SourceBusy] * 4
        assert it.script.inside == 2
        gate.set()
        answered = await asyncio.gather(*(call for call in calls if call not in refused))
        assert len(answered) == 5
        assert it.script.most_inside == 2

    async def test_waiting_counts_against_the_deadline(self):
        """A call that gets no turn in time never reaches the source, and is no proof against it."""
        it = guarded(concurrency=1, breaker=BreakerLimits(failures=2, open_s=10))

        async def lingering(_fetch: Fetch) -> Answer:
            try:
                return await hanging(_fetch)
            finally:
                await asyncio.sleep(0.05)

        it.script.then(lingering)
        began = time.monotonic()
        failures = await asyncio.gather(*(it.fails() for _ in range(4)))
        assert time.monotonic() - began < 0.6
        assert [type(failure) for failure in failures] == [SourceTimeout] * 4
        assert len(it.script.asked) == 1
        assert it.source.state().breaker is Breaker.CLOSED
        assert it.source.state().calls == 1

    async def test_nobody_waits_for_a_turn_behind_an_open_breaker(self):
        """However full it is: the failure is known."""
        it = guarded(concurrency=1, queue=0, attempts=1, breaker=BreakerLimits(failures=1, open_s=10))
        late = asyncio.Event()

        async def refusing_late(_fetch: Fetch) -> Answer:
            await late.wait()
            raise DOWN

        it.script.then(failing(DOWN), refusing_late)
        await it.fails()
        it.clock.now += 10
        probe = asyncio.create_task(it.fails())
        await asyncio.sleep(0.01)
        assert type(await it.fails()) is SourceBusy
        it.clock.now -= 1
        assert (await it.fails()).reason == "open breaker"
        late.set()
        await probe

    async def test_cancelled_callers_leave_room(self):
        """Inside or waiting: afterwards all turns are free."""
        it = guarded(concurrency=2, queue=8, breaker=BreakerLimits(failures=99, open_s=10))
        it.script.then(hanging, hanging)
        calls = [asyncio.create_task(it.ask()) for _ in range(6)]
        await asyncio.sleep(0.02)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)
        assert it.outcomes == ["cancelled"] * 6
        await asyncio.gather(*(it.ask() for _ in range(10)))
        assert it.script.most_inside == 2


class TestDeadline:
    """One fetch takes no longer, whatever happens inside."""

    async def test_a_slow_source_times_out(self):
        """At the deadline, with the driver's call ended."""
        it = guarded(deadline_ms=120)
        it.script.then(hanging)
        began = time.monotonic()
        assert type(await it.fails()) is SourceTimeout
        assert 0.1 < time.monotonic() - began < 0.2
        assert it.script.inside == 0
        assert it.outcomes == ["SOURCE_TIMEOUT"]
        assert it.source.deadline_seconds > 0.12

    async def test_a_slow_opening_times_out(self):
        """Opening is part of the fetch."""
        it = guarded(deadline_ms=100)
        it.script.openings.append(asyncio.Event().wait)
        assert type(await it.fails()) is SourceTimeout
        assert (await it.ask()).values, "even who comes while the first opening is about to fail"
        assert it.script.opened == 2


class TestAttempts:
    """What may be repeated is repeated, a little later and never too late."""

    async def test_what_is_retryable_is_tried_again(self):
        """After a pause that grows; the fetch is one call to the counts."""
        it = guarded(attempts=3)
        it.script.then(failing(DOWN), failing(DOWN))
        began = time.monotonic()
        assert (await it.ask()).values
        assert time.monotonic() - began >= 0.04
        assert len(it.script.asked) == 3
        assert (it.source.state().calls, it.source.state().failures) == (1, 0)

    async def test_attempts_are_limited(self):
        """The last failure is the fetch's."""
        it = guarded(attempts=2)
        it.script.then(*[failing(DOWN)] * 5)
        assert type(await it.fails()) is SourceUnreachable
        assert len(it.script.asked) == 2

    @pytest.mark.parametrize("kind", [SourceError, SourceRefused, SourceBusy, SourceBadShape, SourceTimeout])
    async def test_what_is_not_retryable_is_not(self, kind: type[SourceError]):
        """One call."""
        it = guarded(attempts=5)
        it.script.then(failing(kind("zhejiang")))
        assert type(await it.fails()) is kind
        assert len(it.script.asked) == 1

    async def test_no_attempt_begins_that_cannot_end_in_time(self):
        """The failure keeps its name, and arrives before the deadline."""
        it = guarded(attempts=100, deadline_ms=200)
        it.script.then(*[failing(DOWN)] * 100)
        began = time.monotonic()
        assert type(await it.fails()) is SourceUnreachable
        assert time.monotonic() - began < 0.2
        assert 2 <= len(it.script.asked) < 10


class TestNames:
    """Whatever goes wrong has a name of the port, and shows nothing of the other side."""

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (RuntimeError("110101199001010014"), SourceError),
            (KeyError("110101199001010014"), SourceError),
            (OSError(5, "110101199001010014"), SourceError),
            (TimeoutError("110101199001010014"), SourceTimeout),
            (asyncio.CancelledError("110101199001010014"), SourceError),
        ],
    )
    async def test_a_drivers_own_exceptions(self, error: BaseException, kind: type[SourceError]):
        """Their text stays inside, also when it fails to open."""
        it = guarded()
        it.script.then(failing(error))
        reading = await it.fails()

        async def opening() -> None:
            raise error

        other = guarded()
        other.script.openings.append(opening)
        for failure in (reading, await other.fails()):
            assert type(failure) is kind
            assert "1101" not in str(failure) + repr(failure) + failure.reason
            assert failure.__suppress_context__ or failure.__context__ is None

    async def test_an_answer_that_cannot_be_mapped(self):
        """A driver that breaks its own promise spoils this fetch only."""
        it = guarded()
        it.script.then(answering(None))  # type: ignore[arg-type]
        assert (await it.fails()).name in ("SOURCE_UNAVAILABLE", "SOURCE_BAD_SHAPE")
        assert (await it.ask()).values


class TestOfficer:
    """Services on persons want an officer and a reason."""

    @pytest.mark.parametrize(("officer", "reason"), [(None, "办案"), (OFFICER, ""), (OFFICER, " "), (None, "")])
    async def test_without_either_nothing_is_asked(self, officer: Officer | None, reason: str):
        """And it is no failure of the source."""
        it = guarded()
        with pytest.raises(OfficerMissing):
            await it.ask(service=IDENTITY, fields=("name",), officer=officer, reason=reason)
        assert it.script.asked == []
        assert it.outcomes == ["OFFICER_MISSING"]
        assert it.source.state().health is Health.UNKNOWN

    async def test_with_both_it_is_asked(self):
        """The driver gets both."""
        it = guarded()
        await it.ask(service=IDENTITY, fields=("name",), officer=OFFICER, reason="办案")
        assert it.script.asked[0][0].officer == OFFICER
        assert it.script.asked[0][0].reason == "办案"


class TestOpening:
    """The driver is opened when it is first needed, once."""

    async def test_concurrent_callers_share_one_opening(self):
        """And later ones need none."""
        it = guarded()
        it.script.openings.append(lambda: asyncio.sleep(0.05))
        await asyncio.gather(*(it.ask() for _ in range(5)))
        await it.ask()
        assert it.script.opened == 1

    async def test_a_failed_opening_is_tried_again_by_the_next_fetch(self):
        """Both by the callers who waited for it and by one that began before anybody asked."""

        async def refused() -> None:
            raise SourceRefused("zhejiang", "contract")

        it = guarded()
        it.script.openings.extend([refused, refused])
        it.source.open_soon()
        await asyncio.sleep(0.01)
        assert it.source.state().last_failure == "SOURCE_REFUSED"
        assert type(await it.fails()) is SourceRefused
        assert (await it.ask()).values
        assert it.script.opened == 3
        assert it.script.asked != []

    async def test_a_cancelled_caller_does_not_cancel_it_for_others(self):
        """Not even if it was the one who began."""
        it = guarded()
        it.script.openings.append(lambda: asyncio.sleep(0.05))
        first = asyncio.create_task(it.ask())
        await asyncio.sleep(0.01)
        second = asyncio.create_task(it.ask())
        await asyncio.sleep(0.01)
        first.cancel()
        assert (await second).values
        assert first.cancelled()
        assert it.script.opened == 1

    async def test_closing_ends_an_opening_under_way(self):
        """Nothing is left behind, whoever waits is told, and a farewell that hangs or fails keeps nobody."""
        it = guarded(deadline_ms=100)
        it.script.openings.append(asyncio.Event().wait)
        first, late = (asyncio.create_task(it.fails()) for _ in range(2))
        await asyncio.sleep(0.01)
        it.script.farewells.append(asyncio.Event().wait)
        began = time.monotonic()
        await it.source.close()
        assert time.monotonic() - began < 0.2
        assert {type(await waiting) for waiting in (first, late)} <= {SourceError, SourceTimeout}
        assert (await it.fails()).reason == "closed"
        assert it.script.opened == 1, "nobody opens what is closed"

        async def broken() -> None:
            raise OSError

        it.script.farewells.append(broken)
        await it.source.close()
        assert it.script.closed == 2


class TestState:
    """What operators see."""

    async def test_from_unknown_to_up(self):
        """Before any call nothing is claimed."""
        it = guarded()
        before = it.source.state()
        assert (before.health, before.calls, before.latency_ms, before.last_success_at) == (
            Health.UNKNOWN,
            0,
            None,
            None,
        )
        it.script.then(answering(site(KEYS[0]), site(KEYS[1], gxsj="2999-01-01T00:00:00+08:00")))
        await it.ask(*KEYS[:2])
        state = it.source.state()
        assert (state.name, state.kind, state.covers) == ("zhejiang", "rest", ("330000",))
        assert state.services == (IDENTITY, INSPECTIONS, STATUS)
        assert (state.health, state.breaker, state.calls, state.failures) == (Health.UP, Breaker.CLOSED, 1, 0)
        assert state.latency_ms is not None
        assert state.last_success_at is not None
        assert state.fresh_as_of == datetime.fromisoformat(CHANGED), "data of the future are not fresh"
        assert state.unmapped == ()

    async def test_a_failure_degrades_for_the_next_twenty(self):
        """Then it is forgotten by the health, but not by the counts."""
        it = guarded(attempts=1)
        it.script.then(failing(DOWN))
        await it.fails()
        for _ in range(19):
            await it.ask()
        assert it.source.state().health is Health.DEGRADED
        await it.ask()
        state = it.source.state()
        assert (state.health, state.calls, state.failures, state.last_failure) == (
            Health.UP, 21, 1, "SOURCE_UNAVAILABLE",
        )  # fmt: skip

    async def test_values_that_no_mapping_covers_degrade(self):
        """They are counted by attribute and reason."""
        it = guarded()
        it.script.then(answering(site(KEYS[0], zt="烂尾"), site(KEYS[1], zt="烂尾")))
        await it.ask(*KEYS[:2])
        state = it.source.state()
        assert state.health is Health.DEGRADED
        assert state.unmapped == (("SiteStatus.state", "UNKNOWN_CODE", 2),)

    async def test_what_was_withdrawn_over_there_is_no_mistake(self):
        """Counted, and all is well."""
        valid = Condition(path="sfyx", values=("是",))
        it = guarded(service={STATUS: service(STATUS, valid=valid)})
        it.script.then(answering(site(KEYS[0], sfyx="是"), site(KEYS[0], sfyx="否")))
        assert (await it.ask()).values
        state = it.source.state()
        assert state.unmapped == (("Project.siteStatus", "INVALID", 1),)
        assert state.health is Health.UP
