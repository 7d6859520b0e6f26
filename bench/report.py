"""Tables for people and results/latest.json for programs."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench.rounds import Cells, median, ratio
from bench.systems import PRODUCT

RESULTS: Final = Path(__file__).parent / "results" / "latest.json"
HEADLINE: Final = {"Q1": 32, "Q2": 16, "Q3": 16, "Q4": 16}
"""Connections of the figures that stand first: Q1 is batched across requests, which takes many of them."""
MEASURED: Final = (
    "One server process each, as the ministry; peers and F2 know no caller. 32 connections for Q1, 16 for Q2 to Q4. "
    "Ratios: requests a second of zlaq divided by those of the system, median of the ratios within interleaved rounds; "
    "above 1 zlaq answers more. zlaq with policy, identity and audit; F1 the same SQL without audit; F2 and peers "
    "without any of the three. rps, p50_ms, p99_ms: medians over rounds."
)
_FIGURES: Final = {"rps": 1, "p50_ms": 3, "p99_ms": 3}


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown; the first column is text, the others are numbers.

    >>> print(table("Sizes", ("what", "MiB"), [("a", 1.25)]))
    <BLANKLINE>
    ### Sizes
    <BLANKLINE>
    | what | MiB |
    |---|--:|
    | a | 1.25 |
    """
    lines = ["", f"### {title}", "", f"| {' | '.join(head)} |", f"|---{'|--:' * (len(head) - 1)}|"]
    lines += [f"| {' | '.join(_shown(value) for value in row)} |" for row in rows]
    return "\n".join(lines)


def _shown(value: object) -> str:
    """A number with three digits that mean something."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells_table(title: str, cells: Cells) -> str:
    """Every cell with what its system was capable of, beside the product in the same rounds."""
    head = ("", "role", "system", "rps", "p50 ms", "p99 ms", "server CPU ms", "PG CPU ms", "zlaq / it", "CPU it / zlaq")
    rows = []
    for cell, samples in cells.items():
        ours = cells.get(cell._replace(system=PRODUCT))
        figures = [median(samples, name) for name in ("rps", "p50_ms", "p99_ms", "server_ms", "postgres_ms")]
        compared = ["", ""]
        if ours is not None and cell.system != PRODUCT:
            compared = [f"{ratio(ours, samples):.2f}", f"{ratio(samples, ours, 'cpu_ms'):.2f}"]
        rows.append([cell.operation, cell.role, cell.system, *figures, *compared])
    return table(title, head, rows)


def headline(cells: Cells) -> dict[str, dict[str, dict[str, float]]]:
    """`ratios`, `rps`, `p50_ms` and `p99_ms` by operation and system, of the cells that `MEASURED` describes."""
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in ("ratios", *_FIGURES)}
    for cell, samples in cells.items():
        if cell[:2] != (1, HEADLINE.get(cell.operation)) or cell.role != "ministry":
            continue
        for name, digits in _FIGURES.items():
            found[name].setdefault(cell.operation, {})[cell.system] = round(median(samples, name), digits)
        ours = cells.get(cell._replace(system=PRODUCT))
        if ours is not None and cell.system != PRODUCT:
            found["ratios"].setdefault(cell.operation, {})[cell.system] = round(ratio(ours, samples), 3)
    return found


def results(cells: Cells, scenarios: Mapping[str, Any], setting: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a run, as results/latest.json holds it."""
    return {
        **headline(cells),
        "measured": MEASURED,
        "machine": machine(),
        "connections": HEADLINE,
        "processes": 1,
        **setting,
        "cells": [cell._asdict() | {"samples": _rounded(samples)} for cell, samples in cells.items()],
        "scenarios": dict(scenarios),
    }


def _rounded(samples: Iterable[Any]) -> list[dict[str, float]]:
    return [{name: round(value, 4) for name, value in asdict(sample).items()} for sample in samples]


def machine() -> dict[str, Any]:
    """What was measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = {line.partition(": ")[2] for line in lines if line.startswith("model name")}
    return {
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "cpu": ", ".join(sorted(models)),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "kernel": platform.release(),
    }


def write(record: Mapping[str, Any]) -> None:
    """Keep a whole run."""
    RESULTS.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
