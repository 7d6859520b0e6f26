"""Two databases that differ only in what a caller may not see answer that caller alike, byte for byte.

Bodies, headers, errors, statements with their values and calls of other systems are compared, under one clock, request
id and cursor key. Whatever differs is a leak, wherever it comes from.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.interference.questions import Questions, scripts
from tests.interference.twins import Sight
from tests.interference.worlds import hostile
from tests.resolvers.world import NOW

if TYPE_CHECKING:
    from collections import Counter

    from tests.interference.askers import Asker
    from tests.interference.worlds import Worlds

SAMPLED = ("public", "county elsewhere", "enterprise elsewhere")


@dataclass(frozen=True)
class Series:
    """So many documents, walks and wrong requests of each caller, with this share of all rows changed."""

    seed: int
    many: int
    walks: int
    wrong: int
    share: float


async def compare(worlds: Worlds, askers: list[Asker], series: Series) -> str:
    """The whole series as each asker, whose own twin the other world is; answers the figures."""
    began, worked = time.monotonic(), time.process_time()
    questions = Questions(worlds.tables, worlds.registry, worlds.one.service.schema.graphql)
    listed = scripts(questions, series.seed, series.many, series.walks)
    told: list[str] = []
    for number, asker in enumerate(askers):
        worlds.counts.clear()
        worlds.statuses.clear()
        sight = Sight(worlds.snapshot, asker.subject, NOW)
        await worlds.become(sight, Random(series.seed + number), series.share)
        await worlds.all(asker, listed, series.wrong, Random(series.seed + number))
        worlds.total += worlds.counts
        worlds.answers += worlds.statuses
        counts = ", ".join(f"{count} {what}" for what, count in sorted(worlds.counts.items()))
        told.append(f"  {asker.name}: {counts}; answered {dict(sorted(worlds.statuses.items()))}")
    return "\n".join([*told, f"  {time.monotonic() - began:.0f} s, {time.process_time() - worked:.0f} s of it at work"])


def summed(worlds: Worlds) -> str:
    """The figures of all series so far."""
    counts = ", ".join(f"{count} {what}" for what, count in sorted(worlds.total.items()))
    return f"in all: {counts}; answered {dict(sorted(worlds.answers.items()))}; 0 differences"


def answered(statuses: Counter[int]) -> float:
    """The part of all requests that was answered."""
    return statuses[200] / sum(statuses.values())


async def test_what_is_hidden_changes_nothing(worlds: Worlds, everybody: dict[str, Asker]) -> None:
    """A sample: three callers, a tenth of all rows changed."""
    askers = [everybody[name] for name in SAMPLED]
    print("\n" + await compare(worlds, askers, Series(seed=1, many=20, walks=4, wrong=20, share=0.1)))  # noqa: T201
    assert worlds.total["operations"] > 150
    assert answered(worlds.answers) > 0.4


@pytest.mark.prove
async def test_what_is_hidden_changes_nothing_at_length(worlds: Worlds, everybody: dict[str, Asker]) -> None:
    """Ten thousand requests: every caller under the default policy, some under ones that nobody would write."""
    worlds.total.clear()
    worlds.answers.clear()
    default = worlds.snapshot
    series = Series(seed=10_000, many=370, walks=45, wrong=100, share=1.0)
    print("\n" + await compare(worlds, [*everybody.values()], series))  # noqa: T201
    for turn, names in enumerate((SAMPLED, ("province elsewhere", "case handler", "person elsewhere"))):
        worlds.under(hostile(worlds, Random(turn)))
        series = Series(seed=20_000 + 1_000 * turn, many=130, walks=20, wrong=20, share=0.5)
        told = await compare(worlds, [everybody[name] for name in names], series)
        print(f"under a policy drawn at random:\n{told}")  # noqa: T201
    worlds.under(default)
    print(summed(worlds))  # noqa: T201
    assert worlds.total["operations"] >= 10_000
    assert worlds.total["remote calls compared"] > 500
    assert answered(worlds.answers) > 0.4
