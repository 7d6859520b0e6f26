"""What the audit costs: F1 whose answers wait for their records beside F1 without.

The product has no switch for it, and must have none; so it is measured on the floor, where the rest is equal, and the
records are written by the product's own code, in shared commits. Not in the difference: packing the regions of the
rows, which the statement does on either side, and chaining the records, which the product's CPU contains.
"""

from __future__ import annotations

from typing import Any

from bench.report import table
from bench.rounds import Rounds, median, ratio
from bench.stage import Stage
from bench.systems import AUDITED, running
from bench.workload import OPERATIONS


def run(stage: Stage, rounds: Rounds) -> dict[str, Any]:
    """By operation: rps with and without, their ratio, and milliseconds of CPU a request more."""
    found: dict[str, Any] = {}
    with running(stage, ("F1", AUDITED)) as systems:
        for operation in OPERATIONS:
            asked = {
                name: (system, [system.request(operation, key, "ministry") for key in stage.keys])
                for name, system in systems.items()
            }
            samples = rounds.interleaved(stage, asked, 16)
            plain, audited = samples["F1"], samples[AUDITED]
            found[operation] = {
                "rps_without": median(plain, "rps"),
                "rps_with": median(audited, "rps"),
                "ratio": ratio(audited, plain),
                "cpu_ratio": ratio(audited, plain, "cpu_ms"),
                "cpu_ms_more": median(audited, "cpu_ms") - median(plain, "cpu_ms"),
            }
    head = ("", "rps without", "rps with", "with / without", "CPU with / without", "CPU ms more")
    print(table("Audit: F1 whose answers wait for their records", head, [(q, *f.values()) for q, f in found.items()]))
    return found
