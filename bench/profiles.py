"""Where the time of one operation goes: the steps in this process, its Python, and the nodes of its statement."""

from __future__ import annotations

import cProfile
import json
import pstats
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from bench.floors import SETTINGS
from bench.report import table
from bench.statements import KEY, recorded
from bench.workload import OPERATIONS, variables
from server.pipeline import Question
from server.service import Service

if TYPE_CHECKING:
    from adapters.base import AuditRecord
    from bench.stage import Stage
    from bench.statements import Sent
    from policy.subject import Subject

REQUESTS: Final = 400
_HERE: Final = Path(__file__).parents[1]
_SHOWN: Final = 10
_EXECUTION: Final = "the statement's execution"
_Row = tuple[str, float, float, int, int]
"""A node: what it is, own milliseconds over all loops, rows a loop, loops, buffers found in memory."""


async def profiled(stage: Stage, operation: str, role: str) -> str:
    """Three tables in Markdown, and the slowest step in a line; on uvloop, as the product runs."""
    subject = await stage.subject(role)
    sent = (await recorded(stage, subject, {operation: OPERATIONS[operation]}))[operation]
    async with Service.open(stage.settings) as service:
        steps = await _steps(service, stage, operation, subject)
        python = await _python(service, stage, operation, subject)
    execution, nodes = await _nodes(stage, sent)
    steps = {
        "grant": steps["grant"],
        _EXECUTION: execution,
        "transport, the record's commit": max(0.0, steps["statement"] - execution),
        "bind, assemble, account": steps["rest"],
    }
    total = sum(steps.values())
    slowest = max(steps, key=lambda step: steps[step])
    within = f"; in it {nodes[0][0]}, {nodes[0][1]:.2f} ms" if slowest == _EXECUTION else ""
    return "\n".join(
        [
            table(f"{operation} as {role}: steps, one at a time", ("step", "ms"), [*steps.items(), ("all", total)]),
            table("Python under cProfile, which slows it down", ("where", "CPU us a request"), python),
            table("Statement: nodes by own time", ("node", "own ms", "rows", "loops", "buffers hit"), nodes[:_SHOWN]),
            "",
            f"Slowest step: {slowest}, {steps[slowest]:.2f} of {total:.2f} ms{within}",
        ]
    )


async def _asked(service: Service, stage: Stage, operation: str, subject: Subject) -> list[float]:
    """Milliseconds of each of many requests, one after the other."""
    found = []
    for number in range(REQUESTS):
        key = stage.keys[number % len(stage.keys)]
        question = Question(OPERATIONS[operation], dict(variables(operation, key)), None)
        began = time.perf_counter()
        answer = await service.answer(question, subject, f"profile-{number}")
        found.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise AssertionError(answer.body[:500])
    return found


async def _steps(service: Service, stage: Stage, operation: str, subject: Subject) -> dict[str, float]:
    """Medians in milliseconds: until the plan is granted, waiting for the statement and its record, the rest."""
    run, waited = service.database.run, list[float]()

    async def timing(statement: Any, arguments: Sequence[Any], record: AuditRecord) -> Sequence[bytes | None]:
        began = time.perf_counter()
        try:
            return await run(statement, arguments, record)
        finally:
            waited.append((time.perf_counter() - began) * 1000)

    await _asked(service, stage, operation, subject)
    granting = []
    for key in stage.keys[:REQUESTS]:
        question = Question(OPERATIONS[operation], dict(variables(operation, key)), None)
        began = time.perf_counter()
        service.pipeline.grant(question, subject, service.snapshot, "profile", 0)
        granting.append((time.perf_counter() - began) * 1000)
    service.database.run = timing  # type: ignore[method-assign]
    whole = statistics.median(await _asked(service, stage, operation, subject))
    service.database.run = run  # type: ignore[method-assign]
    steps = {"grant": statistics.median(granting), "statement": statistics.median(waited)}
    return {**steps, "rest": whole - sum(steps.values())}


async def _python(service: Service, stage: Stage, operation: str, subject: Subject) -> list[tuple[str, float]]:
    """Own CPU by file of the product or by library, microseconds a request, most first."""
    # CPU time, or what PostgreSQL does meanwhile would count where this process was interrupted for it.
    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    await _asked(service, stage, operation, subject)
    profile.disable()
    spent: dict[str, float] = defaultdict(float)
    for (file, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[_place(file, name)] += own
    return sorted(((where, own / REQUESTS * 1e6) for where, own in spent.items()), key=lambda w: -w[1])[:_SHOWN]


def _place(file: str, name: str) -> str:
    path = Path(file)
    if path.is_relative_to(_HERE) and ".venv" not in path.parts:
        return str(path.relative_to(_HERE))
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1]
    return f"built-in {name}" if file == "~" else f"library {path.stem}"


async def _nodes(stage: Stage, sent: Sent) -> tuple[float, list[_Row]]:
    """Milliseconds to execute the generic plan that requests get, and its nodes, slowest first."""
    connection = await asyncpg.connect(stage.dsn, statement_cache_size=0, server_settings=SETTINGS)
    try:
        await connection.execute(f"prepare profiled as {sent.sql}")
        given = [stage.keys[0] if argument == KEY else argument for argument in sent.arguments]
        values = ", ".join(_literal([g] if sent.batched else g) for g in given)
        found = []
        # Looking at the clock for every row slows execution down, so its time is taken without.
        for options in ("timing off", "timing on, buffers"):
            explain = f"explain (analyze, {options}, format json) execute profiled({values})"
            # The least disturbed of several; the first ones find nothing in this connection's caches.
            texts = [json.loads(await connection.fetchval(explain))[0] for _ in range(9)]
            found.append(min(texts, key=lambda text: text["Execution Time"]))
    finally:
        await connection.close()
    whole, timed = found
    return whole["Execution Time"], sorted(_own(timed["Plan"]), key=lambda node: -node[1])


def _own(node: dict[str, Any]) -> Iterator[_Row]:
    below = node.get("Plans", [])
    total = node["Actual Total Time"] * node["Actual Loops"]
    inside = sum(child["Actual Total Time"] * child["Actual Loops"] for child in below)
    hit = node.get("Shared Hit Blocks", 0) - sum(child.get("Shared Hit Blocks", 0) for child in below)
    # What reads a CTE contains the time of making it, which is a node elsewhere.
    own = 0.0 if node["Node Type"] == "CTE Scan" else max(0.0, total - inside)
    yield f"{node['Node Type']}{_read(node)}", own, node["Actual Rows"], node["Actual Loops"], max(0, hit)
    for child in below:
        yield from _own(child)


def _read(node: dict[str, Any]) -> str:
    """What a node reads, or the first thing read below it."""
    own = node.get("Index Name") or node.get("Relation Name") or node.get("CTE Name")
    return f" of {own}" if own else next((name for child in node.get("Plans", []) if (name := _read(child))), "")


def _literal(value: Any) -> str:
    """A value as SQL; the statement's parameters have their own casts."""
    match value:
        case None:
            return "null"
        case bool() | int():
            return str(value)
        case list():
            return f"array[{', '.join(map(_literal, value))}]" if value else "'{}'"
        case _:
            return "'" + str(value).replace("'", "''") + "'"
