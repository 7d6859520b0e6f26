"""The circuit breaker of a source's service: after failures in a row calls fail at once, then one goes to see."""

from __future__ import annotations

from collections.abc import Callable

from adapters.base import Breaker
from adapters.configuration import BreakerLimits


class CircuitBreaker:
    """Closed, open for `open_s`, then half-open: a single call decides. `clock` counts seconds and never goes back.

    Every admitted call holds a ticket and settles it once. A ticket from before the last change of state counts for
    nothing: what was sent to a source while it still worked says nothing about the source that has failed since.
    """

    def __init__(self, limits: BreakerLimits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._failures = 0
        self._again_at = 0.0
        self._shut = False
        self._probing = False
        self._epoch = 0
        self.asked = False
        """Whether a call has ever been admitted."""

    @property
    def state(self) -> Breaker:
        """HALF_OPEN from the moment on at which a call would go through."""
        if not self._shut:
            return Breaker.CLOSED
        return Breaker.OPEN if self._clock() < self._again_at else Breaker.HALF_OPEN

    def admit(self) -> int | None:
        """A ticket for one call, or None while calls fail at once."""
        state = self.state
        if state is Breaker.OPEN or self._probing:
            return None
        self._probing = state is Breaker.HALF_OPEN
        self.asked = True
        return self._epoch

    def settle(self, ticket: int, worked: bool | None) -> None:
        """How the call ended; None says nothing of the source, and leaves the next probe to another call."""
        if ticket != self._epoch:
            return
        probed, self._probing = self._probing, False
        if worked is None:
            return
        self._failures = 0 if worked else self._failures + 1
        if probed or self._failures >= self._limits.failures:
            self._shut = not worked
            self._again_at = self._clock() + self._limits.open_s
            self._epoch += 1
