"""Measures Q1 to Q4 against the floors F1 and F2 in one interleaved run; needs the Debian package `wrk`.

    python -m bench.floors_run [--rounds 3] [--seconds 2] [--connections 16]

Starts an embedded PostgreSQL (seeded at scale 1 on first use), the product and two floors on loopback, one process
each, checks that the answers agree, then measures them in turn. CPU is read from schedstat (nanoseconds). Prints
ratios and writes bench/results/floors.json.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import asyncpg

from adapters.postgres.migrate import migrate
from demo.embedded import EmbeddedPostgres
from demo.seed.load import load
from demo.tokens import AUDIENCE, ISSUER, ISSUER_FILE, JWKS_FILE, prepare
from policy.subject import Subject
from server.commands.policy import publish_if_none
from server.identity import Authenticator, NoCases
from server.pipeline import Question
from server.service import Service
from server.settings import Settings

HERE = Path(__file__).parent
ROLES = ("ministry", "province", "county")
PORTS = {"zlaq": 8101, "F1": 8102, "F2": 8103}
MALLOC = {"MALLOC_TRIM_THRESHOLD_": "67108864", "MALLOC_MMAP_THRESHOLD_": "67108864", "MALLOC_TOP_PAD_": "4194304"}
SCRIPT = """
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
math.randomseed(tonumber(os.getenv("SEED")))
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
if os.getenv("TOKEN") ~= "" then wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN") end
request = function() return wrk.format(nil, nil, nil, bodies[math.random(#bodies)]) end
done = function(summary, latency, requests)
  io.write(string.format("RESULT %f %f %f %d\\n", summary.requests / summary.duration * 1e6,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


@dataclass
class Cell:
    """Measurements of one server, operation and role, one entry a round."""

    rps: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    postgres_ms: list[float] = field(default_factory=list)


def operations() -> dict[str, str]:
    """The measured documents by name."""
    return {path.stem: path.read_text() for path in sorted((HERE / "operations").glob("Q*.graphql"))}


def cpu_seconds(pid: int, *, children: bool) -> float:
    """CPU used by a process (and its children) so far."""
    pids = [pid]
    if children:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        pids = [pid, *map(int, listed)]
    total = 0.0
    for each in pids:
        for path in Path(f"/proc/{each}/task").glob("*/schedstat"):
            total += int(path.read_text().split()[0]) / 1e9
    return total


async def keys_of(dsn: str) -> list[str]:
    """Project numbers to ask for, spread over the table, with a thousand rows behind each."""
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(
        "select project_no from (select project_no, row_number() over (order by project_no) n,"
        " count(*) over () c from zlaq.project where sens = 0 and manage <> '999999') p"
        " where n < c - 1100 and n % 97 = 0"
    )
    await connection.close()
    return [row[0] for row in rows]


def body(name: str, query: str, key: str) -> str:
    """One request body."""
    cursor = "k" + base64.b64encode(key.encode()).decode()
    variables = {"no": key} if name == "Q1" else {"after": cursor}
    return json.dumps({"query": query, "variables": variables})


async def same_sql(settings: Settings, subject: Subject) -> dict[str, Any]:
    """The product's statements, without the audit's part, with this subject's values as constants."""
    found: dict[str, Any] = {}
    async with Service.open(settings) as service:
        for name, query in operations().items():
            key = "KEY"
            variables = json.loads(body(name, query, "1101012604019901"))["variables"]
            granted, _ = service.pipeline.grant(Question(query, variables, None), subject, service.snapshot, "floor", 0)
            statement: Any = granted.ready.statements[0]
            sql = re.sub(r", a as \(insert into audit\.record .*?\)(?= select convert_to)", "", statement.compiled.sql)
            arguments: list[Any] = []
            for ref in statement.parameters:
                if ref.source == "subject":
                    value = granted.lifted.values[ref.path[0]]
                    arguments.append(list(value) if isinstance(value, tuple) else value)
                elif ref.source == "constant":
                    arguments.append(granted.ready.plan.constants[ref.path[0]])
                elif ref.type == "cursor by key":
                    arguments.append(True)
                elif ref.source == "variable":
                    arguments.append(key)
                else:
                    arguments.append("x")
            # The audit's parameters come last; without its part the statement has no place for them.
            used = max(int(n) for n in re.findall(r"\$(\d+)", sql))
            found[name] = (sql, arguments[:used], statement.compiled.batched)
    return found


def post(port: int, path: str, text: str, token: str) -> Any:
    """One request, decoded."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", text.encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())


def wait_for(port: int) -> None:
    """Until a server accepts requests."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens on {port}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--scale", type=float, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(given, Path(folder))


def _measure(given: argparse.Namespace, folder: Path) -> None:
    postgres = EmbeddedPostgres("bench", settings={"shared_buffers": "3GB", "max_wal_size": "8GB"})
    dsn = postgres.start()
    processes: list[subprocess.Popen[bytes]] = []
    try:
        asyncio.run(_prepare(dsn, given.scale))
        issuer = prepare(folder)
        environment = {
            "ZLAQ_DATABASE_URL": dsn,
            "ZLAQ_ISSUER": ISSUER,
            "ZLAQ_AUDIENCE": AUDIENCE,
            "ZLAQ_JWKS": str(folder / JWKS_FILE),
            "ZLAQ_DEMO_ISSUER": str(folder / ISSUER_FILE),
            "ZLAQ_AUDIT_HEADS": str(folder / "heads.jsonl"),
            "ZLAQ_MAX_COST": "100000",
            "ZLAQ_LOG_LEVEL": "WARNING",
            "ZLAQ_PORT": str(PORTS["zlaq"]),
        }
        asyncio.run(_forget_seals(dsn))
        settings = Settings.from_environment(environment)
        tokens = {role: issuer.mint(role) for role in ROLES}
        keys = asyncio.run(keys_of(dsn))
        python = [sys.executable, "-m"]
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("zlaq")), "serve"], env=os.environ | environment | MALLOC
        )
        processes.append(server)
        pids = {"zlaq": server.pid}
        wait_for(PORTS["zlaq"])
        results: dict[str, dict[str, dict[str, Cell]]] = {}
        for role in ROLES:
            statements = folder / f"{role}.json"
            statements.write_text(json.dumps(asyncio.run(_statements_as(settings, tokens[role]))))
            floors = {}
            for floor in ("F1", "F2"):
                env = os.environ | MALLOC | {"FLOOR": floor, "FLOOR_DSN": dsn, "FLOOR_STATEMENTS": str(statements)}
                command = [*python, "uvicorn", "bench.floors:app", "--port", str(PORTS[floor]), "--loop", "uvloop",
                           "--http", "httptools", "--no-access-log", "--log-level", "warning"]  # fmt: skip
                floors[floor] = subprocess.Popen(command, env=env, cwd=HERE.parent)
                processes.append(floors[floor])
                pids[floor] = floors[floor].pid
                wait_for(PORTS[floor])
            for name, query in operations().items():
                bodies = folder / "bodies"
                bodies.write_text("\n".join(body(name, query, key) for key in keys))
                _check_agreement(name, query, keys[len(keys) // 2], tokens[role])
                cells = results.setdefault(name, {}).setdefault(role, {})
                for round_ in range(given.rounds + 1):
                    for target in ("zlaq", "F1", "F2"):
                        cell = cells.setdefault(target, Cell())
                        _load(given, target, name, tokens[role], bodies, round_, pids[target], postgres, cell, folder)
            for process in floors.values():
                process.terminate()
                process.wait()
        _report(results, given)
    finally:
        for process in processes:
            process.terminate()
            process.wait()
        postgres.stop()


async def _prepare(dsn: str, scale: float) -> None:
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    empty = not await connection.fetchval("select exists (table zlaq.project)")
    await connection.close()
    if empty:
        print("loading the data set", file=sys.stderr)
        await load(dsn, scale)
    await publish_if_none(dsn, "bench")


async def _forget_seals(dsn: str) -> None:
    """Each run keeps its own heads, so the chain of an earlier run is dropped with its records."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("truncate audit.record, audit.seal")
    await connection.close()


async def _statements_as(settings: Settings, token: str) -> dict[str, Any]:
    authenticator = Authenticator.from_settings(settings, NoCases())
    subject = await authenticator.authenticate([(b"authorization", b"Bearer " + token.encode())])
    return await same_sql(replace(settings, audit_heads=None), subject)


def _check_agreement(name: str, query: str, key: str, token: str) -> None:
    """The product and F1 must say the same, byte for byte once decoded; F2 the same keys."""
    text = body(name, query, key)
    ours = next(iter(post(PORTS["zlaq"], "/graphql", text, token)["data"].values()))
    floor = post(PORTS["F1"], f"/{name}", text, token)["data"]["x"]
    best = post(PORTS["F2"], f"/{name}", text, token)["data"]["x"]
    if ours != floor:
        raise AssertionError(f"{name}: F1 answers something else")
    rows = ours.get("nodes", [ours])
    listed = best if isinstance(best, list) else [best]
    if [r["projectNo"] for r in rows][:20] != [r["projectNo"] for r in listed][:20]:
        print(f"note: {name}: F2, which knows no policy, shows other rows", file=sys.stderr)


def _load(
    given: argparse.Namespace, target: str, name: str, token: str, bodies: Path, round_: int, pid: int,
    postgres: EmbeddedPostgres, cell: Cell, folder: Path,
) -> None:  # fmt: skip
    script = folder / "load.lua"
    script.write_text(SCRIPT)
    path = "/graphql" if target == "zlaq" else f"/{name}"
    seconds = 1 if round_ == 0 else given.seconds
    before = cpu_seconds(pid, children=False), cpu_seconds(postgres.pid or 0, children=True)
    started = time.perf_counter()
    output = subprocess.run(
        ["wrk", "-t1", f"-c{given.connections}", f"-d{seconds}s", "-s", str(script),
         f"http://127.0.0.1:{PORTS[target]}{path}"],
        env=os.environ | {"BODIES": str(bodies), "SEED": str(round_), "TOKEN": token if target == "zlaq" else ""},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    elapsed = time.perf_counter() - started
    after = cpu_seconds(pid, children=False), cpu_seconds(postgres.pid or 0, children=True)
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\d+)", output)
    if found is None or found[4] != "0":
        raise AssertionError(f"{target} {name}: {output}")
    if round_ == 0:
        return
    rps = float(found[1])
    cell.rps.append(rps)
    cell.p50.append(float(found[2]))
    cell.p99.append(float(found[3]))
    cell.server_ms.append((after[0] - before[0]) / (rps * elapsed) * 1000)
    cell.postgres_ms.append((after[1] - before[1]) / (rps * elapsed) * 1000)


def _report(results: dict[str, dict[str, dict[str, Cell]]], given: argparse.Namespace) -> None:
    print(f"\n{given.connections} connections, one process each, medians of {given.rounds} interleaved rounds")
    print("| | role | rps | p50 ms | p99 ms | server ms | PG ms | F1 rps | / F1 | F2 rps | / F2 |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    ratios: dict[str, dict[str, dict[str, float]]] = {}
    for name, by_role in results.items():
        for role, cells in by_role.items():
            ours = cells["zlaq"]
            rps = {target: statistics.median(cell.rps) for target, cell in cells.items()}
            ratio = {
                floor: statistics.median(a / b for a, b in zip(ours.rps, cells[floor].rps, strict=True))
                for floor in ("F1", "F2")
            }
            ratios.setdefault(name, {})[role] = ratio
            numbers = [statistics.median(v) for v in (ours.p50, ours.p99)]
            cpu = [min(ours.server_ms), min(ours.postgres_ms)]
            print(
                f"| {name} | {role} | {rps['zlaq']:.0f} | {numbers[0]:.2f} | {numbers[1]:.2f} | {cpu[0]:.3f} |"
                f" {cpu[1]:.3f} | {rps['F1']:.0f} | {ratio['F1']:.2f} | {rps['F2']:.0f} | {ratio['F2']:.2f} |"
            )
    record = {
        "machine": {"python": platform.python_version(), "cpus": os.cpu_count(), "kernel": platform.release()},
        "connections": given.connections,
        "ratios": ratios,
        "cells": {n: {r: {t: vars(c) for t, c in cs.items()} for r, cs in rs.items()} for n, rs in results.items()},
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "floors.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
