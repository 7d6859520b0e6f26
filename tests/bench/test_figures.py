"""The benchmark's own arithmetic: ratios within rounds, the record of a run, CPU and memory from the kernel's files."""

from __future__ import annotations

import doctest
import json
import os
import time

import pytest

from bench import consumption, report, rounds, wrk
from bench.report import headline, results
from bench.rounds import Cell, Cells, median, ratio
from bench.wrk import LoadFailed, Sample, read_result


def sample(rps: float, cpu_ms: float = 1.0) -> Sample:
    """A sample of which only the rate and the CPU matter."""
    return Sample(rps, 2.0, 3.0, cpu_ms * 0.75, cpu_ms * 0.25)


def cells(operation: str, connections: int, *, processes: int = 1, role: str = "ministry") -> Cells:
    """The product twice as fast as F1 in every round, on a machine that slows down."""
    cell = Cell(processes, connections, operation, role, "zlaq")
    return {
        cell: [sample(200), sample(100), sample(20)],
        cell._replace(system="F1"): [sample(100), sample(50), sample(10)],
    }


@pytest.mark.parametrize("module", [consumption, report, rounds, wrk])
def test_examples_hold(module):
    """Those of the docstrings."""
    assert doctest.testmod(module).failed == 0


def test_a_ratio_is_taken_within_rounds():
    """A round in which everything was slow changes no ratio; medians of each alone would."""
    ours, theirs = [sample(200), sample(100), sample(20)], [sample(100), sample(10), sample(20)]
    assert ratio(ours, theirs) == 2.0
    assert median(ours, "rps") / median(theirs, "rps") == 5.0
    assert ratio([sample(1, cpu_ms=3)], [sample(1, cpu_ms=2)], "cpu_ms") == 1.5


def test_rounds_that_differ_in_number_are_no_pairs():
    """A lost round is an error, not another ratio."""
    with pytest.raises(ValueError, match="shorter"):
        ratio([sample(1), sample(1)], [sample(1)])


def test_the_headline_is_what_it_says():
    """One process, ministry, 32 connections for Q1 and 16 for the others; nothing else gets in."""
    measured = cells("Q1", 32) | cells("Q3", 16)
    beside = cells("Q1", 16) | cells("Q3", 16, processes=2) | cells("Q3", 16, role="county") | cells("Q2", 32)

    assert headline(measured | beside) == headline(measured) == {
        "ratios": {"Q1": {"F1": 2.0}, "Q3": {"F1": 2.0}},
        "rps": {"Q1": {"zlaq": 100, "F1": 50}, "Q3": {"zlaq": 100, "F1": 50}},
        "p50_ms": {"Q1": {"zlaq": 2.0, "F1": 2.0}, "Q3": {"zlaq": 2.0, "F1": 2.0}},
        "p99_ms": {"Q1": {"zlaq": 3.0, "F1": 3.0}, "Q3": {"zlaq": 3.0, "F1": 3.0}},
    }  # fmt: skip


def test_the_record_of_a_run_is_whole_and_json():
    """Figures first, then how they were measured, every sample, every scenario."""
    record = json.loads(json.dumps(results(cells("Q2", 16), {"memory": {"1": 90}}, {"rounds": 3})))

    assert list(record)[:4] == ["ratios", "rps", "p50_ms", "p99_ms"]
    assert {"measured", "machine", "connections", "processes", "cells", "scenarios", "rounds"} <= record.keys()
    assert record["cells"][0]["system"] == "zlaq"
    assert len(record["cells"][0]["samples"]) == 3
    assert record["machine"]["cpus"] == os.cpu_count()


@pytest.mark.parametrize("output", ["", "RESULT 300 2000000 1.5 9.2 1", "RESULT 0 2000000 0.0 0.0 0"])
def test_a_request_that_failed_fails_the_cell(output: str):
    """As does a run without any."""
    with pytest.raises(LoadFailed):
        read_result(output)


def test_cpu_is_read_from_the_kernel():
    """Of this process, in nanoseconds: work costs, and about what it takes."""
    before, began = consumption.usage(os.getpid()), time.thread_time()
    while time.thread_time() - began < 0.05:
        pass
    assert 45 < consumption.spent_ms(before, consumption.usage(os.getpid())) < 500
    assert os.getpid() in consumption.tree(os.getppid())


def test_a_process_that_has_ended_uses_nothing():
    """Whoever ends between two looks is no error."""
    assert consumption.usage(2**22 + 1) == {}


def test_memory_is_read_from_the_kernel():
    """Of this process, in MiB; what is shared is counted in part."""
    found = consumption.memory(os.getpid())
    assert 10 < found.pss <= found.rss < 10_000
