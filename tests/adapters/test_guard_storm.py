"""Everything at once: many callers, failures of all kinds, cancellations; whatever the order, the promises hold."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from adapters.base import (
    Breaker,
    Fetch,
    Rows,
    SourceBadShape,
    SourceBusy,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
)
from adapters.configuration import BreakerLimits
from adapters.driver import Answer
from tests.adapters.scripted import ABSENT, KEYS, Guarded, everything, guarded

CALLERS, TURNS, QUEUE, DEADLINE_MS, OPEN_S = 150, 4, 20, 60, 5.0
FAILURES = [SourceUnreachable, SourceRefused, SourceBusy, SourceBadShape, SourceTimeout, RuntimeError]


def weather(chance: random.Random):
    """A step of a driver in a bad mood: good, late, hanging or failing."""

    async def step(fetch: Fetch) -> Answer:
        mood = chance.random()
        if mood < 0.1:
            await asyncio.sleep(10)
        if mood < 0.5:
            await asyncio.sleep(chance.random() * 0.03)
        if 0.4 < mood < 0.65:
            raise chance.choice(FAILURES)("zhejiang")
        return await everything(fetch)

    return step


async def caller(it: Guarded, chance: random.Random) -> str:
    """One caller with a patience of its own: how it ended."""
    keys = (*chance.sample(KEYS, chance.randint(1, 4)), ABSENT)
    await asyncio.sleep(chance.random() * 0.3)
    patience = chance.choice([0.01, 0.03, 1, 1, 1])
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(patience):
            rows = await it.ask(*keys)
    except TimeoutError:
        return "cancelled"
    except SourceError as error:
        return error.name
    finally:
        it.clock.now += chance.random() * 0.5
        assert asyncio.get_running_loop().time() - began < min(patience, DEADLINE_MS / 1000) + 1
    assert set(rows.values) == set(keys) - {ABSENT}, "all of it or nothing"
    return "stale" if rows.stale else "ok"


@pytest.mark.parametrize("seed", range(6))
async def test_a_storm_leaves_nothing_behind(seed: int):
    """Every fetch ends in time and is observed once; never too many inside; afterwards the source is as new."""
    chance = random.Random(seed)
    it = guarded(
        concurrency=TURNS, queue=QUEUE, deadline_ms=DEADLINE_MS, attempts=2, stale_s=30 if seed % 2 else 0,
        breaker=BreakerLimits(failures=3, open_s=OPEN_S),
    )  # fmt: skip
    it.script.steps.extend(weather(chance) for _ in range(10_000))
    ends = Counter(await asyncio.gather(*(caller(it, chance) for _ in range(CALLERS))))
    assert it.script.most_inside == TURNS
    assert it.script.inside == 0
    assert len(it.seen) == CALLERS
    assert ends["ok"] > 0
    assert ends.keys() <= {"ok", "stale", "cancelled", "SOURCE_UNAVAILABLE", "SOURCE_TIMEOUT", "SOURCE_REFUSED",
                           "SOURCE_BUSY", "SOURCE_BAD_SHAPE"}  # fmt: skip
    assert bool(ends["stale"]) == bool(seed % 2)
    assert not it.source._turns.locked()
    assert it.source._waiting == 0

    it.script.steps.clear()
    it.clock.now += OPEN_S
    await it.ask()
    assert it.source.state().breaker is Breaker.CLOSED
    answers = await asyncio.gather(*(it.ask(key) for key in KEYS * 4))
    assert all(isinstance(rows, Rows) and rows.values for rows in answers)
