"""How cost grows: with the size of a page, and with ten times the data, which should change nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from bench.report import table
from bench.rounds import Rounds, median
from bench.stage import Stage, staged_beside
from bench.systems import PRODUCT, running
from bench.workload import OPERATIONS, variables

SIZES = (10, 100, 1000)
SMALLER = 10
"""The data set to compare with is smaller by this factor."""


def run(stage: Stage, rounds: Rounds) -> dict[str, Any]:
    """By page size: milliseconds and microseconds of CPU a row; by operation: p50 on both data sets."""
    found = {"page": _pages(stage, rounds), "data": _data(stage, rounds)}
    head = ("rows a page", "p50 ms", "CPU ms", "CPU us a row")
    print(
        table(
            "Growth with the page: Q4's fields, 1 connection",
            head,
            [(n, *f.values()) for n, f in found["page"].items()],
        )
    )
    head = ("", f"p50 ms, scale {stage.scale / SMALLER:g}", f"p50 ms, scale {stage.scale:g}", "ratio")
    print(table("Growth with the data, 1 connection", head, [(q, *f.values()) for q, f in found["data"].items()]))
    return found


def _pages(stage: Stage, rounds: Rounds) -> dict[str, Any]:
    query = OPERATIONS["Q4"]
    found: dict[str, Any] = {}
    with running(stage, (PRODUCT,)) as systems:
        product = systems[PRODUCT]
        plain = product.request("Q4", stage.keys[0], "ministry")
        asked = {}
        for size in SIZES:
            sized = query.replace("first: 1000", f"first: {size}")
            bodies = [json.dumps({"query": sized, "variables": variables("Q4", key)}) for key in stage.keys]
            requests = [replace(plain, body=body) for body in bodies]
            rows = product.value("Q4", product.ask(requests[0]))
            if len(rows) != size:
                raise AssertionError(f"{len(rows)} rows instead of {size}")
            asked[str(size)] = (product, requests)
        for rows_a_page, samples in rounds.interleaved(stage, asked, 1).items():
            cpu = median(samples, "cpu_ms")
            found[rows_a_page] = {
                "p50_ms": median(samples, "p50_ms"),
                "cpu_ms": cpu,
                "cpu_us_a_row": cpu * 1000 / int(rows_a_page),
            }
    return found


def _data(stage: Stage, rounds: Rounds) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with (
        staged_beside(stage, "smaller", stage.scale / SMALLER) as small,
        running(stage, (PRODUCT,)) as large_systems,
        running(small, (PRODUCT,)) as small_systems,
    ):
        pair = {"small": (small, small_systems[PRODUCT]), "large": (stage, large_systems[PRODUCT])}
        for operation in OPERATIONS:
            asked = {
                name: (system, [system.request(operation, key, "ministry") for key in own.keys])
                for name, (own, system) in pair.items()
            }
            samples = rounds.interleaved(stage, asked, 1)
            p50 = {name: median(measured, "p50_ms") for name, measured in samples.items()}
            found[operation] = {**p50, "ratio": p50["large"] / p50["small"]}
    return found
