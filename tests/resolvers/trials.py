"""Trials: random operations asked of the engine and of the reference. A series of them is one process's work.

A series depends on its number alone, so one that fails is repeated by asking for it alone (`test_equivalence.py`).
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from policy.revision import load_default
from tests.operation_text import Name
from tests.resolvers.world import Different, World, hostile, opened
from tests.revisions import open_revision
from tests.strategies import Operations
from tests.subjects import subjects

if TYPE_CHECKING:
    from policy.decide import Snapshot
    from policy.subject import Subject


@dataclass
class Compared:
    """What was compared: how much of what, in how many distinct documents (by hash), in how many seconds of work."""

    counts: Counter[str] = field(default_factory=Counter)
    documents: set[bytes] = field(default_factory=set)
    seconds: float = 0.0

    def add(self, other: Compared) -> None:
        """Count what another process compared too."""
        self.counts += other.counts
        self.documents |= other.documents
        self.seconds += other.seconds

    def __str__(self) -> str:
        parts = [f"{count} {what}" for what, count in sorted(self.counts.items())]
        return f"equal: {', '.join(parts)}, {len(self.documents)} distinct documents, {self.seconds:.0f} s"


def remember(operations: Operations, world: World) -> None:
    """Offer the latest page cursors of earlier answers to later operations, with the order they walk in."""
    operations.cursors = [
        (boundary.walk[0], [_term(name) for name in boundary.walk[1:]], cursor)
        for cursor, boundary in list(world.issued.items())[-300:]
    ]


def _term(name: str) -> dict[str, Name]:
    return {"field": Name(name.removeprefix("-").upper()), "direction": Name("DESC" if name[0] == "-" else "ASC")}


async def trial(world: World, operations: Operations, snapshot: Snapshot, askers: list[Subject], seed: int) -> None:
    """One random operation in both its forms, asked by several subjects in turn; then its document with other values.

    The two forms are one question, which the reference is asked once; the engine is asked both.
    """
    rng = Random(seed)
    remember(operations, world)
    world.kept.clear()
    literals, lifted = operations.draw(rng)
    one, other, third, fourth = rng.sample(askers, 4)
    asked = [(one, literals), (other, lifted), (third, lifted), (fourth, literals)]
    if lifted.variables:
        asked += [(one, lifted), (other, literals)]
    varied = [operations.varied(lifted, rng) for _ in range(3 if lifted.variables else 0)]
    try:
        for subject, form in asked:
            await world.compare(snapshot, subject, form, literals)
        for form in varied:
            for subject in (one, third):
                await world.compare(snapshot, subject, form)
    except Exception as error:
        raise Different(f"seed {seed}: {type(error).__name__}: {error}") from error


async def run(world: World, snapshot: Snapshot, askers: list[Subject], seeds: range) -> None:
    """Trials by seed, on one set of caches."""
    operations = world.operations()
    for seed in seeds:
        await trial(world, operations, snapshot, askers, seed)


def series(database: str, number: int) -> Compared:
    """Thousands of operations under the default policy, one that opens everything and two hostile ones."""
    return asyncio.run(_series(database, number))


async def _series(database: str, number: int) -> Compared:
    began = time.monotonic()
    async with opened(database) as world:
        # Rows and documents live as long as the process: collections that look at them took a sixth of the time.
        gc.collect()
        gc.freeze()
        gc.disable()
        rng = Random(number)
        policies = [
            (world.snapshot(load_default()), 150), (world.snapshot(open_revision()), 50), (hostile(world, rng), 150),
            (hostile(world, rng), 150),
        ]  # fmt: skip
        for turn, (snapshot, many) in enumerate(policies):
            first = 10_000 * (number + 1) + 1_000 * turn
            await run(world, snapshot, subjects(world.tables, rng, 12), range(first, first + many))
            world.references.clear()
            gc.collect()
        return Compared(world.counts, world.documents, time.monotonic() - began)
