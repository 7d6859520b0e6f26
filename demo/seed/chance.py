"""Reproducible chance: everything rests on `Random.random()`, the one method whose values Python promises to keep."""

from __future__ import annotations

import math
from bisect import bisect
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from random import Random
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
_SEED = 20260930
_FIRST = date(1950, 1, 1)
DAYS = tuple(_FIRST + timedelta(days) for days in range(36525))
"""The days of a century from 1950 on, so that one object serves all rows of a day."""
STAMPS = tuple(datetime(day.year, day.month, day.day, 10, 30, tzinfo=UTC) for day in DAYS)
COMPACT = tuple(f"{day:%Y%m%d}" for day in DAYS)


def day_number(day: date) -> int:
    """Where a day stands in `DAYS`, `STAMPS` and `COMPACT`."""
    return day.toordinal() - _FIRST.toordinal()


def chance(kind: int, index: int) -> Callable[[], float]:
    """An own sequence for every batch, so that batches can be made in any order and by any process."""
    return Random(_SEED * 1_000_003 + kind * 100_000_007 + index).random


def bell(random: Callable[[], float]) -> float:
    """Nearly normal, mean 0 and deviation 1."""
    return 2 * (random() + random() + random() - 1.5)


class Weighted(Generic[T]):
    """Choices by weight."""

    def __init__(self, things: Sequence[T], weights: Sequence[float]) -> None:
        self._things = things
        self._sums = list(accumulate(weights))
        self._last = len(things) - 1

    def pick(self, random: Callable[[], float]) -> T:
        """One of the things."""
        return self._things[min(bisect(self._sums, random() * self._sums[-1]), self._last)]


def skewed(random: Callable[[], float], low: int, high: int) -> int:
    """A whole number from `low` to `high`, most often near `high`."""
    u = random()
    return high - int((high - low) * u * u)


def lognormal(random: Callable[[], float], deviation: float) -> float:
    """A few large, many small."""
    return math.exp(deviation * bell(random))
