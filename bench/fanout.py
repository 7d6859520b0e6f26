"""Measures fan-out to many sources and many keys in one operation, beside bare calls of the same addresses.

    python -m bench.fanout [--rounds 60] [--delay-ms 50]

Starts an embedded PostgreSQL (seeded once), one process that plays 32 provinces, each answering after a delay, and the
product's service in this process; the bare calls share its event loop and are taken in turn with it. Prints a table and
writes bench/results/fanout.json. The overhead is the time of an operation beyond the delay of one source.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from adapters.postgres.migrate import migrate
from demo.counterparts import Counterparts, fan
from demo.counterparts.fan import PROVINCES
from demo.embedded import EmbeddedPostgres
from demo.seed import wellknown
from demo.seed.load import load, loaded_scale
from policy.subject import Country, Level, Subject
from server.commands.policy import publish_if_none
from server.pipeline import Question
from server.service import Service
from server.settings import Settings

SCALE = 0.01
MINISTRY = Subject("bench", Level.MINISTRY, "HOUSING", Country())
WALK = (
    f'{{ enterprise(uscc: "{wellknown.CONTRACTOR}") {{ liveInspections(first: 20) {{'
    " nodes { inspectionNo inspectedOn findingCount provenance { source } } incompleteSources } } }"
)
KEYS = "{ projects(first: 1000) { nodes { projectNo siteStatus { state progress provenance { source asOf } } } } }"
LOCAL = "{ projects(first: 1000) { nodes { projectNo name status } } }"


class Bench:
    """The service on some sources, and what is measured of it."""

    def __init__(self, service: Service, systems: Counterparts) -> None:
        self.service = service
        self.system = systems.systems["fan"]
        self.serial = 0

    async def ask(self, query: str) -> dict[str, Any]:
        """One operation, in process; its errors end the benchmark."""
        self.serial += 1
        answer = await self.service.answer(Question(query, {}, None), MINISTRY, f"bench-{self.serial}")
        decoded: dict[str, Any] = json.loads(answer.body)
        wrong = [e for e in decoded.get("errors", ()) if e["extensions"]["name"] != "SOURCE_NOT_CONNECTED"]
        if wrong:
            raise SystemExit(f"the answer has errors: {wrong[:3]}")
        return decoded


async def timed(what: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Milliseconds by the wall and of this process's CPU."""
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    await what()
    spent, now = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    return spent * 1000, (now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime) * 1000


def quantiles(values: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"p50": round(statistics.median(values), 2), "p95": round(statistics.quantiles(values, n=20)[-1], 2)}


async def measure(dsn: str, rounds: int, delay_ms: float) -> dict[str, Any]:
    """All figures."""
    results: dict[str, Any] = {"python": platform.python_version(), "delay_ms": delay_ms, "rounds": rounds}
    with tempfile.TemporaryDirectory() as directory:
        with fan(Path(directory) / "fan", 32, delay_ms / 1000, deadline_ms=3000) as systems:
            async with _opened(dsn, systems) as bench:
                results["fan_out_32"] = await fan_out(bench, rounds, delay_ms)
                results["keys_1000_of_32"] = await many_keys(bench, rounds // 3, delay_ms)
        with fan(Path(directory) / "one", 1, delay_ms / 1000, deadline_ms=3000) as systems:
            text = systems.sources.read_text(encoding="utf-8").replace(f'"{PROVINCES[0]}0000"', '"000000"')
            systems.sources.write_text(text, encoding="utf-8")
            async with _opened(dsn, systems) as bench:
                results["keys_1000_of_1"] = await many_keys(bench, rounds // 3, delay_ms)
    return results


async def fan_out(bench: Bench, rounds: int, delay_ms: float) -> dict[str, Any]:
    """One list merged from 32 sources, and 32 bare calls side by side, in turn."""
    address = f"http://127.0.0.1:{bench.system.port}"
    body = {"key": wellknown.CONTRACTOR, "first": 21}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(province: str) -> bytes:
            async with session.post(f"{address}/{province}/inspections", json=body) as response:
                return await response.read()

        async def bare() -> None:
            await asyncio.gather(*(call(province) for province in PROVINCES))

        taken: dict[str, list[tuple[float, float]]] = {"zlaq": [], "bare": []}
        for number in range(rounds + 5):
            for name, what in (("zlaq", lambda: bench.ask(WALK)), ("bare", bare)):
                spent = await timed(what)
                if number >= 5:
                    taken[name].append(spent)
    bench.system.reset()
    decoded = await bench.ask(WALK)
    calls = len(bench.system.calls())
    if decoded["data"]["enterprise"]["liveInspections"]["incompleteSources"] or calls != len(PROVINCES):
        raise SystemExit(f"{calls} calls instead of one a source")
    found: dict[str, Any] = {"calls": calls}
    for name, pairs in taken.items():
        found[name] = {
            "overhead_ms": quantiles([wall - delay_ms for wall, _ in pairs]),
            "cpu_ms": quantiles([cpu for _, cpu in pairs]),
        }
    return found


async def many_keys(bench: Bench, rounds: int, delay_ms: float) -> dict[str, Any]:
    """A page of 1,000 projects with the status of each site; the same page without it for comparison."""
    taken: dict[str, list[tuple[float, float]]] = {"remote": [], "local": []}
    for number in range(max(rounds, 5) + 2):
        for name, query in (("remote", KEYS), ("local", LOCAL)):
            spent = await timed(lambda query=query: bench.ask(query))  # type: ignore[misc]
            if number >= 2:
                taken[name].append(spent)
    bench.system.reset()
    decoded = await bench.ask(KEYS)
    nodes = decoded["data"]["projects"]["nodes"]
    calls = bench.system.calls()
    asked = [key for call in calls for key in call.keys]
    shown = [node["projectNo"] for node in nodes if node["siteStatus"] is not None]
    if len(nodes) != 1000 or sorted(asked) != sorted(shown):
        raise SystemExit("not every key was asked for exactly once")
    return {
        "calls": len(calls),
        "keys": len(asked),
        "remote_ms": quantiles([wall for wall, _ in taken["remote"]]),
        "remote_cpu_ms": quantiles([cpu for _, cpu in taken["remote"]]),
        "local_ms": quantiles([wall for wall, _ in taken["local"]]),
        "delay_ms": delay_ms,
    }


@contextlib.asynccontextmanager
async def _opened(dsn: str, systems: Counterparts) -> Any:
    settings = Settings(
        database_url=dsn,
        sources=systems.sources,
        max_cost=100_000,
        request_deadline_ms=60_000,
        statement_timeout_ms=60_000,
    )
    async with Service.open(settings) as service:
        yield Bench(service, systems)


async def prepare(dsn: str) -> None:
    """A migrated database with data and the product's policy."""
    await migrate(dsn)
    if await loaded_scale(dsn) is None:
        await load(dsn, SCALE)
    await publish_if_none(dsn, "bench")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--delay-ms", type=float, default=50)
    given = parser.parse_args()
    database = EmbeddedPostgres("bench-fanout")
    dsn = database.start()
    try:
        asyncio.run(prepare(dsn))
        results = uvloop.run(measure(dsn, given.rounds, given.delay_ms))
    finally:
        database.stop()
    text = json.dumps(results, indent=2)
    print(text)
    (Path(__file__).parent / "results" / "fanout.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
