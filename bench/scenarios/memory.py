"""Memory of a worker: after its start and after work, one worker and two."""

from __future__ import annotations

from typing import Any

from bench import consumption
from bench.report import table
from bench.rounds import Rounds
from bench.stage import Stage
from bench.systems import PRODUCT, running
from bench.workload import OPERATIONS, ROLES


def run(stage: Stage, rounds: Rounds) -> dict[str, Any]:
    """MiB, by number of workers: all of them together, after start and after every operation as every role."""
    found: dict[str, Any] = {}
    for workers in (1, 2):
        with running(stage, (PRODUCT,), workers) as systems:
            product = systems[PRODUCT]
            started = consumption.memory(*product.pids)
            for operation in OPERATIONS:
                for role in ROLES:
                    requests = [product.request(operation, key, role) for key in stage.keys]
                    Rounds(1, rounds.seconds).interleaved(stage, {"": (product, requests)}, 32)
            worked = consumption.memory(*product.pids)
        found[str(workers)] = {"started": started._asdict(), "worked": worked._asdict()}
    rows = [
        (f"{workers}, {when}", figures["rss"], figures["pss"], figures["pss"] / int(workers))
        for workers, by in found.items()
        for when, figures in by.items()
    ]
    print(table("Memory of the product's workers, MiB", ("workers", "RSS", "PSS", "PSS a worker"), rows))
    return found
