"""Interleaved rounds: systems take turns, so that what disturbs the machine disturbs all of them.

A ratio is the median over rounds of the ratio within a round; figures of one system are medians over its rounds.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench import wrk
from bench.stage import Stage
from bench.systems import Request, System
from bench.wrk import Sample

SECONDS_AT_MOST = 8
_LATENCIES_A_CELL = 6
"""So many typical answers fit into a cell; else what is cut off at its end would count against slow systems."""


class Cell(NamedTuple):
    """What was measured how: server processes of each system, connections, operation, role, system."""

    processes: int
    connections: int
    operation: str
    role: str
    system: str


Cells = dict[Cell, list[Sample]]
"""Samples in the order of the rounds."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """How long is measured: rounds after a first one for warming up, whose seconds are the same for quick systems."""

    count: int
    seconds: int
    warm_up_s: int = 1

    def interleaved(
        self,
        stage: Stage,
        systems: Mapping[str, tuple[System, Sequence[Request]]],
        connections: int,
        before: Callable[[str], None] = lambda _: None,
    ) -> dict[str, list[Sample]]:
        """Load each of these in turn; `before` is told the name of the next one. Raises what `wrk.load` raises."""
        seconds = {
            name: seconds_of(self.warm_up_s, 2 * connections * _alone_ms(system, requests[0]))
            for name, (system, requests) in systems.items()
        }
        samples: dict[str, list[Sample]] = {name: [] for name in systems}
        for number in range(self.count + 1):
            for name, (system, requests) in systems.items():
                before(name)
                sample = wrk.load(stage, system, requests, connections=connections, seconds=seconds[name], seed=number)
                if number == 0:
                    seconds[name] = seconds_of(self.seconds, _LATENCIES_A_CELL * sample.p50_ms)
                else:
                    samples[name].append(sample)
        return samples

    def measure(
        self,
        stage: Stage,
        systems: Mapping[str, System],
        processes: int,
        grid: Iterable[tuple[str, str, int]],
    ) -> Cells:
        """Samples of every system for each operation, role and number of connections of a grid."""
        cells: Cells = {}
        for operation, role, connections in grid:
            print(f"{operation} as {role}, {connections} connections, {processes} processes", file=sys.stderr)
            asked = {
                name: (system, [system.request(operation, key, role) for key in stage.keys])
                for name, system in systems.items()
            }
            for name, samples in self.interleaved(stage, asked, connections).items():
                cells[Cell(processes, connections, operation, role, name)] = samples
        return cells


def seconds_of(least: int, ms: float) -> int:
    """Whole seconds of a cell that should take so many milliseconds.

    >>> seconds_of(2, 240.0), seconds_of(2, 4200.0), seconds_of(2, 54000.0)
    (2, 5, 8)
    """
    return max(least, min(SECONDS_AT_MOST, math.ceil(ms / 1000)))


def _alone_ms(system: System, request: Request) -> float:
    """How long one request takes that is alone and not the first."""
    system.ask(request)
    began = time.perf_counter()
    system.ask(request)
    return (time.perf_counter() - began) * 1000


def median(samples: Sequence[Sample], figure: str) -> float:
    """The median of one figure of `Sample`."""
    return float(statistics.median(getattr(sample, figure) for sample in samples))


def ratio(ours: Sequence[Sample], theirs: Sequence[Sample], figure: str = "rps") -> float:
    """The median of the ratios within rounds; raises `ValueError` if the rounds are not the same."""
    return float(statistics.median(getattr(a, figure) / getattr(b, figure) for a, b in zip(ours, theirs, strict=True)))
