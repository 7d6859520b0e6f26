"""Ten thousand callers instead of one: every token is verified anew, and territories differ.

More tokens are asked with in turn than the product keeps verified, so none is found there again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bench import consumption, wrk
from bench.report import table
from bench.rounds import Rounds, median
from bench.stage import Stage
from bench.systems import PRODUCT, Request, System, running
from schema.regions import RegionLevel, load_regions
from server.issuer import Issuer, Role

CALLERS = 10_000
MEASURED = ("Q1", "Q2")
_FIRST_S, _FIRST_S_AT_MOST = 5, 40
"""How long is asked at a time, and at most, until every caller has asked once."""


def tokens_of(stage: Stage, count: int) -> list[str]:
    """Tokens of officials with ids of their own, each of one county, the counties in turn."""
    counties = [n.node_id for n in load_regions().nodes.values() if n.level is RegionLevel.COUNTY and n.in_scope]
    roles = {}
    for number in range(count):
        county = counties[number % len(counties)]
        claims = {"level": "COUNTY", "kind": "HOUSING", "dept": f"JS{county}-1", "regions": [county]}
        roles[str(number)] = Role("", f"official-{number}", claims)
    issuer: Issuer = replace(stage.issuer, roles=roles)
    return [issuer.mint(role) for role in roles]


def run(stage: Stage, rounds: Rounds) -> dict[str, Any]:
    """By number of callers and operation: rps, p50, p99, CPU a request, and the process's memory before and after."""
    tokens = tokens_of(stage, CALLERS)
    found: dict[str, Any] = {}
    for count in (1, CALLERS):
        with running(stage, (PRODUCT,)) as systems:
            found[str(count)] = _asked(stage, rounds, systems[PRODUCT], tokens[:count])
    head = ("", "callers", "rps", "p50 ms", "p99 ms", "server CPU ms", "first requests", "p50 ms", "p99 ms")
    rows = [
        (operation, callers, *figures[operation].values())
        for operation in MEASURED
        for callers, figures in found.items()
    ]
    print(table("Callers: one, and 10,000 of all counties in turn; 16 connections", head, rows))
    rows = [(callers, f["rss_before"], f["rss_after"]) for callers, f in found.items()]
    print(table("Memory of the process, MiB", ("callers", "RSS before", "RSS after"), rows))
    return found


def _asked(stage: Stage, rounds: Rounds, product: System, tokens: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"rss_before": consumption.memory(*product.pids).rss}
    for operation in MEASURED:
        bodies = [product.request(operation, key, "county").body for key in stage.keys]
        requests = [
            Request("/graphql", bodies[number % len(bodies)], tokens[number % len(tokens)])
            for number in range(max(len(bodies), len(tokens)))
        ]
        first = _first(stage, product, requests, len(tokens))
        samples = rounds.interleaved(stage, {"": (product, requests)}, 16)[""]
        figures = {name: median(samples, name) for name in ("rps", "p50_ms", "p99_ms", "server_ms")}
        found[operation] = figures | first
    found["rss_after"] = consumption.memory(*product.pids).rss
    return found


def _first(stage: Stage, product: System, requests: Sequence[Request], callers: int) -> dict[str, float]:
    """Ask as every caller once, if there is time for it: how many asked, and the latency of those who asked first."""
    samples: list[wrk.Sample] = []
    asked = 0.0
    while asked < callers and len(samples) * _FIRST_S < _FIRST_S_AT_MOST:
        samples.append(wrk.load(stage, product, requests, connections=16, seconds=_FIRST_S, seed=len(samples)))
        asked += samples[-1].rps * _FIRST_S
    return {"first_asked": round(asked), "first_p50_ms": samples[0].p50_ms, "first_p99_ms": samples[0].p99_ms}
