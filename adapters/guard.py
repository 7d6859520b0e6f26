"""What stands around every source, whatever its kind: deadline, bulkhead, breaker, retries, copies, mapping, counts.

A driver speaks to one system; a `GuardedSource` makes of it a source that answers in time or fails with a name, and
that harms neither the other sources nor the system behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from statistics import median

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_before_delay, wait_random_exponential

from adapters.base import (
    AS_OF,
    Breaker,
    Fetch,
    Health,
    OfficerMissing,
    Record,
    Rows,
    SourceBusy,
    SourceError,
    SourceState,
    SourceTimeout,
)
from adapters.breaker import CircuitBreaker
from adapters.configuration import SourceConfiguration
from adapters.conversions import Unmapped
from adapters.copies import Copies
from adapters.driver import Driver
from adapters.mapping import RecordMapping
from schema.declare import Remote
from schema.registry import Registry

Observe = Callable[[str, str, str, float], None]
"""Called once a fetch: source, service, outcome ("ok", "stale", "cancelled" or the failure's name), seconds."""

_GRACE = 0.05
"""Seconds that a caller grants beyond the deadline, so that the source's own verdict (or a stale copy) arrives."""
_PAUSE, _LONGEST_PAUSE = 0.02, 0.2
"""Seconds between attempts, growing with jitter: calls that failed together must not come back together."""
_FULL = 0.8
"""Of the deadline: who gave the source less than this and got no answer has learnt nothing about the source."""
_OUTCOMES, _LATENCIES = 20, 100
_REMARKS = frozenset({Unmapped.INVALID})
"""What the mapping counts although nothing is wrong."""


class GuardedSource:
    """One source of any kind; made inside a running loop. `clock` counts seconds, the loop's unless given."""

    def __init__(
        self,
        name: str,
        config: SourceConfiguration,
        driver: Driver,
        registry: Registry,
        observe: Observe,
        clock: Callable[[], float] | None = None,
    ) -> None:
        clock = clock or asyncio.get_running_loop().time
        self._name = name
        self._config = config
        self._driver = driver
        self._observe = observe
        self._clock = clock
        self._deadline = config.deadline_ms / 1000
        self._services = {coordinate: service.keys_per_call for coordinate, service in config.service.items()}
        self._for_officers = frozenset(
            filter(lambda coordinate: _bound_to_officer(registry, coordinate), config.service)
        )
        self._mappings = {
            coordinate: RecordMapping(name, coordinate, service, config, registry)
            for coordinate, service in config.service.items()
        }
        self._turns = asyncio.Semaphore(config.concurrency)
        self._waiting = 0
        # One each: a service that is refused, or answers what nobody can read, says nothing of those beside it.
        self._breakers = {coordinate: CircuitBreaker(config.breaker, clock) for coordinate in config.service}
        self._copies = Copies(config.stale_s, config.service, registry, clock)
        self._tally = _Tally()
        self._opening: asyncio.Task[SourceError | None] | None = None
        self._closed = False

    @property
    def name(self) -> str:
        """Its name in the configuration and in `provenance`."""
        return self._name

    @property
    def deadline_seconds(self) -> float:
        """The longest that one fetch may take, and a moment for what it ends with to arrive."""
        return self._deadline + _GRACE

    @property
    def covers(self) -> tuple[str, ...]:
        """Supervision codes of the regions whose records it has."""
        return self._config.covers

    @property
    def services(self) -> Mapping[str, int]:
        """The services it offers, by coordinate, with the most keys of one call."""
        return self._services

    def state(self) -> SourceState:
        """What operators may know of it now; counts are of fetches that were put to the source."""
        tally = self._tally
        unmapped = tuple(
            sorted(
                (coordinate, str(reason), count)
                for mapping in self._mappings.values()
                for (coordinate, reason), count in mapping.unmapped.items()
            )
        )
        breaker = self._breaker()
        return SourceState(
            name=self._name,
            title=self._config.title,
            kind=str(self._config.__struct_config__.tag),
            covers=self._config.covers,
            services=tuple(sorted(self._services)),
            health=tally.health(breaker, any(reason not in _REMARKS for _, reason, _ in unmapped)),
            breaker=breaker,
            calls=tally.calls,
            failures=tally.failures,
            latency_ms=round(median(tally.seconds) * 1000) if tally.seconds else None,
            last_success_at=tally.last_success_at,
            last_failure=tally.last_failure,
            fresh_as_of=tally.fresh_as_of,
            unmapped=unmapped,
        )

    def _breaker(self) -> Breaker:
        """That of the services asked so far together: between open and closed unless they are all the same."""
        states = {breaker.state for breaker in self._breakers.values() if breaker.asked}
        if states == {Breaker.OPEN}:
            return Breaker.OPEN
        return Breaker.HALF_OPEN if states - {Breaker.CLOSED} else Breaker.CLOSED

    def open_soon(self) -> asyncio.Task[SourceError | None]:
        """The one opening of the driver, begun now unless it is under way or done; what failed is begun again.

        The task belongs to the source: wait for it shielded, so that a caller that goes away harms no other.
        """
        opening = self._opening
        if opening is None or (opening.done() and opening.result() is not None):
            opening = self._opening = asyncio.create_task(self._open_driver())
        return opening

    async def close(self) -> None:
        """Give everything back; every fetch fails afterwards."""
        self._closed = True
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        # A system that does not let go must not hold the process; what it says to a farewell interests nobody.
        with suppress(Exception):
            async with asyncio.timeout(self._deadline):
                await self._driver.close()

    async def fetch(self, fetch: Fetch) -> Rows:
        """Answer one batch within the deadline, with a copy if it must be and may be.

        Raises `SourceError`; `ValueError` for more keys than the service takes, which is the caller's mistake.
        """
        if len(fetch.keys) > self._services[fetch.service]:
            raise ValueError(f"{fetch.service} takes {self._services[fetch.service]} keys a call")
        began, outcome = self._clock(), "cancelled"
        try:
            rows = await self._answer(fetch)
            outcome = "stale" if rows.stale else "ok"
        except SourceError as error:
            outcome = error.name
            raise
        finally:
            self._observe(self._name, fetch.service, outcome, self._clock() - began)
        return rows

    async def _answer(self, fetch: Fetch) -> Rows:
        if fetch.service in self._for_officers and (fetch.officer is None or not fetch.reason.strip()):
            raise OfficerMissing(self._name, "no officer" if fetch.officer is None else "no reason")
        try:
            rows = await self._in_time(fetch)
        except SourceError as error:
            copy = self._copies.find(fetch) if _unavailable(error) else None
            if copy is None:
                raise
            return copy
        self._copies.keep(fetch, rows)
        return rows

    async def _in_time(self, fetch: Fetch) -> Rows:
        until = asyncio.get_running_loop().time() + self._deadline
        try:
            async with asyncio.timeout_at(until):
                # Asked before the turn too: a service that is known to be down must not make anybody wait for one.
                if self._breakers[fetch.service].state is Breaker.OPEN:
                    raise SourceError(self._name, "open breaker")
                async with self._turn():
                    return await self._call(fetch, until)
        except TimeoutError:
            raise SourceTimeout(self._name, "deadline") from None

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._turns.locked() and self._waiting >= self._config.queue:
            raise SourceBusy(self._name, "too many calls wait")
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turns.release()

    async def _call(self, fetch: Fetch, until: float) -> Rows:
        breaker, now = self._breakers[fetch.service], asyncio.get_running_loop().time
        ticket = breaker.admit()
        if ticket is None:
            raise SourceError(self._name, "open breaker")
        sent, began = self._clock(), now()
        # What it is if nothing else is said: from here on a cancellation, by our deadline or by the caller's, means
        # that there was no answer in the time that was left.
        failure: SourceError | None = (late := SourceTimeout(self._name, "deadline"))
        self._tally.calls += 1
        try:
            rows = await self._attempts(fetch, until)
            # Mapping is not interrupted by the deadline, but nobody waits for it any longer either.
            if now() > until:
                raise late
            failure = None
        except SourceError as error:
            failure = error
            raise
        finally:
            if failure is late and now() - began < _FULL * self._deadline:
                # Most of the time went in a queue, or the caller had little: the source cannot help that.
                breaker.settle(ticket, None)
            else:
                breaker.settle(ticket, failure is None if failure is None or _unavailable(failure) else None)
                self._tally.count(failure, self._clock() - sent)
        self._tally.see(rows)
        return rows

    async def _open_driver(self) -> SourceError | None:
        failure: SourceError
        try:
            async with asyncio.timeout(self._deadline):
                await self._driver.open()
        except SourceError as error:
            failure = error
        except TimeoutError:
            failure = SourceTimeout(self._name, "opening")
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, it must have a name
            failure = SourceError(self._name, f"opening: {type(error).__name__}")
        else:
            return None
        self._tally.last_failure = failure.name
        return failure

    async def _opened(self) -> None:
        """Wait for the shared opening; who came to one under way, and it failed, gets another."""
        for late in (self._opening is not None and not self._opening.done(), False):
            if self._closed:
                raise SourceError(self._name, "closed")
            failure = await asyncio.shield(self.open_soon())
            if failure is None:
                return
            if not late:
                raise failure

    async def _attempts(self, fetch: Fetch, until: float) -> Rows:
        retrying = AsyncRetrying(
            sleep=asyncio.sleep,
            retry=retry_if_exception(lambda error: isinstance(error, SourceError) and error.retryable),
            stop=stop_after_attempt(self._config.attempts)
            | stop_before_delay(until - asyncio.get_running_loop().time()),
            wait=wait_random_exponential(multiplier=2 * _PAUSE, min=_PAUSE, max=_LONGEST_PAUSE),
            reraise=True,
        )
        return await retrying(self._attempt, fetch)

    async def _attempt(self, fetch: Fetch) -> Rows:
        mapping = self._mappings[fetch.service]
        await self._opened()
        try:
            answer = await self._driver.read(fetch.service, fetch, mapping.wanted(fetch.fields))
            return mapping.rows(fetch, answer, datetime.now(UTC))
        except SourceError:
            raise
        except asyncio.CancelledError:
            # Of the driver's own making, unless somebody cancels this call.
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise SourceError(self._name, "cancelled by the driver") from None
        except TimeoutError:
            raise SourceTimeout(self._name, "the driver's own limit") from None
        except Exception as error:  # noqa: BLE001 - whatever a driver does wrong must have a name, and show no text
            raise SourceError(self._name, type(error).__name__) from None


class _Tally:
    """Counts of one source since the process started, and how its latest calls went."""

    def __init__(self) -> None:
        self.calls = 0
        self.failures = 0
        self.seconds: deque[float] = deque(maxlen=_LATENCIES)
        self.last_success_at: datetime | None = None
        self.last_failure: str | None = None
        self.fresh_as_of: datetime | None = None
        self._worked: deque[bool] = deque(maxlen=_OUTCOMES)

    def count(self, failure: SourceError | None, seconds: float) -> None:
        """How one call ended that says something of the source."""
        self.seconds.append(seconds)
        self._worked.append(failure is None)
        if failure is None:
            self.last_success_at = datetime.now(UTC)
        else:
            self.failures += 1
            self.last_failure = failure.name

    def see(self, rows: Rows) -> None:
        """Note the newest data; what claims to be of the future is a wrong clock or a wrong date, not fresh."""
        now = datetime.now(UTC)
        texts = (record.get(AS_OF) for record in _records(rows))
        for stamp in (datetime.fromisoformat(text) for text in texts if isinstance(text, str)):
            if stamp <= now and (self.fresh_as_of is None or stamp > self.fresh_as_of):
                self.fresh_as_of = stamp

    def health(self, breaker: Breaker, unmapped: bool) -> Health:
        """The whole in one word, where `breaker` is that of all services together."""
        if breaker is Breaker.OPEN:
            return Health.DOWN
        if not self._worked:
            return Health.UNKNOWN
        well = breaker is Breaker.CLOSED and all(self._worked) and not unmapped
        return Health.UP if well else Health.DEGRADED


def _records(rows: Rows) -> Iterable[Record]:
    yield from rows.values.values()
    for records in rows.lists.values():
        yield from records


def _unavailable(error: SourceError) -> bool:
    """Whether a failure says that the source is not to be had; being busy, or asked wrongly, does not."""
    return not isinstance(error, SourceBusy | OfficerMissing)


def _bound_to_officer(registry: Registry, coordinate: str) -> bool:
    entity, name = coordinate.split(".")
    remote = registry.entity(entity).fields[name].member
    return isinstance(remote, Remote) and remote.officer
