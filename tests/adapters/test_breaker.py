"""The breaker against a naive account of what happened, for all orders of calls, ends and pauses; then in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from adapters.base import (
    Breaker,
    Fetch,
    Health,
    SourceBadShape,
    SourceBusy,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
)
from adapters.breaker import CircuitBreaker
from adapters.configuration import BreakerLimits
from adapters.driver import Answer, RawRecord
from tests.adapters.scripted import (
    INSPECTIONS,
    KEYS,
    STATUS,
    Clock,
    Guarded,
    everything,
    failing,
    guarded,
    hanging,
    lone,
    service,
    site,
)

DOWN = SourceUnreachable("zhejiang", "503")
LIMITS = BreakerLimits(failures=3, open_s=10)
ENDS = st.sampled_from([True, False, None])


class Calls(RuleBasedStateMachine):
    """Calls begin, end and overlap at will; `history` is how those ended that count, since the last change."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker(LIMITS, self.clock)
        self.history: list[bool] = []
        self.opened_at: float | None = None
        self.closed_calls: list[int] = []
        self.late_calls: list[int] = []
        self.probe: int | None = None

    def _resting(self) -> bool:
        return self.opened_at is not None and self.clock.now < self.opened_at + LIMITS.open_s

    @rule()
    def begin(self) -> None:
        """A call asks to go through."""
        ticket = self.breaker.admit()
        if self.opened_at is None:
            assert ticket is not None
            self.closed_calls.append(ticket)
        elif self._resting() or self.probe is not None:
            assert ticket is None
        else:
            assert ticket is not None
            self.probe = ticket

    @precondition(lambda self: self.closed_calls)
    @rule(end=ENDS, pick=st.integers(0, 99))
    def end(self, end: bool | None, pick: int) -> None:
        """A call ends that began while all was well."""
        self.breaker.settle(self.closed_calls.pop(pick % len(self.closed_calls)), end)
        if end is not None:
            self.history.append(end)
        if self.history[-3:] == [False] * 3:
            self._opens()

    @precondition(lambda self: self.late_calls)
    @rule(end=ENDS)
    def end_late(self, end: bool | None) -> None:
        """A call ends that began before the last change: it decides nothing."""
        self.breaker.settle(self.late_calls.pop(), end)

    @precondition(lambda self: self.probe is not None)
    @rule(end=ENDS)
    def end_probe(self, end: bool | None) -> None:
        """The probe decides, unless it says nothing."""
        assert self.probe is not None
        self.breaker.settle(self.probe, end)
        self.probe = None
        if end:
            self.opened_at = None
        elif end is False:
            self._opens()

    @rule(seconds=st.sampled_from([0.5, 9.5, 10.0, 60.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.now += seconds

    def _opens(self) -> None:
        self.opened_at = self.clock.now
        self.late_calls += self.closed_calls
        self.closed_calls, self.history = [], []

    @invariant()
    def it_says_what_it_is(self) -> None:
        """Its state is what happened."""
        if self.opened_at is None:
            assert self.breaker.state is Breaker.CLOSED
        else:
            assert self.breaker.state is (Breaker.OPEN if self._resting() else Breaker.HALF_OPEN)


TestCalls = Calls.TestCase


class TestAroundASource:
    """Failures in a row close the way; one call at a time tries it again."""

    async def test_it_opens_lets_one_through_and_closes(self):
        """While it is open or a probe is out, nothing reaches the source."""
        it = lone(attempts=1)
        it.script.then(*[failing(DOWN)] * 3)
        for _ in range(3):
            await it.fails()
        assert it.source.state().health is Health.DOWN
        assert (await it.fails()).reason == "open breaker"
        assert len(it.script.asked) == 3
        it.clock.now += 10
        assert (it.source.state().breaker, it.source.state().health) == (Breaker.HALF_OPEN, Health.DEGRADED)
        gate = asyncio.Event()

        async def probe(fetch: Fetch) -> Answer:
            await gate.wait()
            return await everything(fetch)

        it.script.then(probe)
        through = asyncio.create_task(it.ask())
        await asyncio.sleep(0.01)
        assert (await it.fails()).reason == "open breaker"
        assert len(it.script.asked) == 4
        gate.set()
        await through
        assert it.source.state().breaker is Breaker.CLOSED
        assert (await it.ask()).values

    async def test_a_probe_that_fails_opens_it_again(self):
        """For the whole time."""
        it = lone(attempts=1)
        it.script.then(*[failing(DOWN)] * 4)
        for _ in range(3):
            await it.fails()
        it.clock.now += 10
        assert await it.fails() is DOWN
        assert it.source.state().breaker is Breaker.OPEN
        it.clock.now += 10
        assert (await it.ask()).values

    async def test_a_busy_probe_says_nothing(self):
        """The next call is the probe."""
        it = lone(attempts=1)
        it.script.then(*[failing(DOWN)] * 3, failing(SourceBusy("zhejiang")))
        for _ in range(3):
            await it.fails()
        it.clock.now += 10
        assert type(await it.fails()) is SourceBusy
        assert it.source.state().breaker is Breaker.HALF_OPEN
        await it.ask()
        assert it.source.state().breaker is Breaker.CLOSED

    @pytest.mark.parametrize(
        ("kind", "opens"),
        [(SourceTimeout, True), (SourceUnreachable, True), (SourceBadShape, True), (SourceRefused, True),
         (SourceError, True), (SourceBusy, False)],
    )  # fmt: skip
    async def test_which_failures_count(self, kind: type[SourceError], opens: bool):
        """Being busy is not being down."""
        it = lone(attempts=1)
        it.script.then(*[failing(kind("zhejiang"))] * 3)
        for _ in range(3):
            await it.fails()
        assert (it.source.state().breaker is Breaker.OPEN) == opens

    async def test_a_success_between_starts_the_count_again(self):
        """In a row means in a row."""
        it = lone(attempts=1)
        it.script.then(failing(DOWN), failing(DOWN), everything, failing(DOWN), failing(DOWN))
        for _ in range(5):
            await asyncio.wait([asyncio.create_task(it.ask())])
        assert it.source.state().breaker is Breaker.CLOSED


async def cancelled_after(it: Guarded, seconds: float) -> None:
    """A caller who waits so long for a source that hangs."""
    it.script.then(hanging)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(seconds):
            await it.ask()


class TestTime:
    """Slow is who had the time; whoever gave less of it has learnt nothing."""

    async def test_callers_in_a_hurry_blame_nobody(self):
        """However many: neither breaker nor health nor counts of failures."""
        it = lone(deadline_ms=5000)
        for _ in range(5):
            await cancelled_after(it, 0.02)
        state = it.source.state()
        assert (state.breaker, state.health, state.calls, state.failures) == (Breaker.CLOSED, Health.UNKNOWN, 5, 0)

    async def test_a_caller_who_waited_long_enough_counts(self):
        """Callers' deadlines are often a little shorter than the source's, and a source that hangs is down."""
        it = lone(deadline_ms=100)
        for _ in range(3):
            await cancelled_after(it, 0.09)
        state = it.source.state()
        assert (state.breaker, state.failures, state.last_failure) == (Breaker.OPEN, 3, "SOURCE_TIMEOUT")

    async def test_a_probe_of_a_caller_in_a_hurry_is_given_back(self):
        """The next call is the probe."""
        it = lone(attempts=1, deadline_ms=5000)
        it.script.then(*[failing(DOWN)] * 3)
        for _ in range(3):
            await it.fails()
        it.clock.now += 10
        await cancelled_after(it, 0.02)
        assert it.source.state().breaker is Breaker.HALF_OPEN
        assert (await it.ask()).values
        assert it.source.state().breaker is Breaker.CLOSED

    async def test_time_in_the_queue_is_not_the_sources(self):
        """A burst on a source that takes half its deadline: those who come too late time out, and it stays closed."""
        it = lone(deadline_ms=200, concurrency=2, queue=50)

        async def usual(fetch: Fetch) -> Answer:
            await asyncio.sleep(0.11)
            return await everything(fetch)

        it.script.then(*[usual] * 50)
        ends = await asyncio.gather(*(it.ask() for _ in range(20)), return_exceptions=True)
        assert [type(end) for end in ends if isinstance(end, Exception)] == [SourceTimeout] * 18
        assert len(it.script.asked) >= 4, "some were sent, too late to be answered"
        state = it.source.state()
        assert (state.breaker, state.health, state.failures) == (Breaker.CLOSED, Health.UP, 0)

    async def test_an_answer_that_was_mapped_too_late_is_late(self):
        """The deadline cannot interrupt the mapping; what comes of it afterwards is no answer."""
        it = lone(deadline_ms=50)

        class Records(list[RawRecord]):
            def __iter__(self) -> Iterator[RawRecord]:
                time.sleep(0.06)
                return super().__iter__()

        async def large(_fetch: Fetch) -> Answer:
            return Answer(Records([site(KEYS[0])]))

        it.script.then(*[large] * 3)
        for _ in range(3):
            assert type(await it.fails()) is SourceTimeout
        assert it.source.state().breaker is Breaker.OPEN


class TestServices:
    """Each has a breaker of its own."""

    async def test_one_that_is_refused_leaves_the_others_open(self):
        """The source is not down before all its services are."""
        it = guarded(attempts=1, service={STATUS: service(STATUS), INSPECTIONS: service(INSPECTIONS)})
        it.script.then(*[failing(SourceRefused("zhejiang"))] * 3)
        for _ in range(3):
            await it.fails()
        assert (await it.fails()).reason == "open breaker"
        for _ in range(25):
            assert (await it.ask(service=INSPECTIONS, fields=("agency",))).lists
        state = it.source.state()
        assert (state.breaker, state.health) == (Breaker.HALF_OPEN, Health.DEGRADED)
        it.script.then(*[failing(DOWN)] * 3)
        for _ in range(3):
            await it.fails(service=INSPECTIONS, fields=("agency",))
        state = it.source.state()
        assert (state.breaker, state.health) == (Breaker.OPEN, Health.DOWN)
        it.clock.now += 10
        await it.ask()
        assert it.source.state().breaker is Breaker.HALF_OPEN
        await it.ask(service=INSPECTIONS, fields=("agency",))
        assert it.source.state().breaker is Breaker.CLOSED
