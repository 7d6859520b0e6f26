"""First times: from the start of the process to its first answer, a document never seen, a subject never seen."""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bench.report import table
from bench.rounds import Rounds
from bench.scenarios.subjects import tokens_of
from bench.stage import Stage
from bench.systems import PRODUCT, Product, Request, System, free_port, running
from bench.workload import OPERATIONS, variables

FIRSTS = 30
"""Documents and subjects that are new."""


def run(stage: Stage, rounds: Rounds) -> dict[str, Any]:
    """Medians in milliseconds."""
    starts = [_start(stage) for _ in range(max(3, rounds.count))]
    found: dict[str, Any] = {"start_to_first_answer_ms": statistics.median(starts)}
    with running(stage, (PRODUCT,)) as systems:
        product = systems[PRODUCT]
        usual = {name: product.request(name, stage.keys[0], "county") for name in OPERATIONS}
        for name, request in usual.items():
            _timed(product, [request] * 20)
            documents = [f"{OPERATIONS[name]}# {number}\n" for number in range(FIRSTS)]
            written = [
                json.dumps({"query": document, "variables": variables(name, stage.keys[0])}) for document in documents
            ]
            found[name] = {
                "repeated_ms": statistics.median(_timed(product, [request] * FIRSTS)),
                "new_document_ms": statistics.median(_timed(product, [replace(request, body=b) for b in written])),
            }
        # Each subject is new to one operation only.
        tokens = tokens_of(stage, FIRSTS * len(usual))
        for number, (name, request) in enumerate(usual.items()):
            own = tokens[number * FIRSTS : (number + 1) * FIRSTS]
            found[name]["new_subject_ms"] = statistics.median(_timed(product, [replace(request, token=t) for t in own]))
    rows = [(name, *figures.values()) for name, figures in found.items() if isinstance(figures, dict)]
    print(table("First times, ms, 1 connection", ("", "repeated", "new document", "new subject"), rows))
    print(f"\nFrom the start of the process to its first answer: {found['start_to_first_answer_ms']:.0f} ms")
    return found


def _start(stage: Stage) -> float:
    """Milliseconds from starting `zlaq serve` to the answer to Q1."""
    product = Product(stage, free_port())
    began = time.perf_counter()
    try:
        product.start(1)
        product.ready()
        return (time.perf_counter() - began) * 1000
    finally:
        product.stop()


def _timed(system: System, requests: Iterable[Request]) -> list[float]:
    """Milliseconds of each request, over one connection; raises `AssertionError` for a refused one."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=30)
    found = []
    try:
        for request in requests:
            body = request.body.encode()
            began = time.perf_counter()
            connection.request("POST", request.path, body, request.headers)
            reply = connection.getresponse()
            text = reply.read()
            found.append((time.perf_counter() - began) * 1000)
            if reply.status != 200:
                raise AssertionError(text[:500])
    finally:
        connection.close()
    return found
