"""Load by wrk, one thread: requests a second, latency, and the CPU that a request has cost server and PostgreSQL."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench import consumption
from bench.stage import Stage
from bench.systems import Request, System

_SCRIPT: Final = """
local function lines(name)
  local found = {}
  for line in io.lines(os.getenv(name)) do found[#found + 1] = line end
  return found
end
local bodies, tokens = lines("BODIES"), lines("TOKENS")
turn = tonumber(io.open(os.getenv("TURN")):read("a*"))
math.randomseed(tonumber(os.getenv("SEED")))
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  turn = turn + 1
  if #tokens > 0 then wrk.headers["Authorization"] = "Bearer " .. tokens[turn % #tokens + 1] end
  return wrk.format(nil, nil, nil, bodies[math.random(#bodies)])
end
local only
setup = function(thread) only = thread end
done = function(summary, latency, requests)
  local file = io.open(os.getenv("TURN"), "w")
  file:write(only:get("turn"))
  file:close()
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %f %f %d\\n", summary.requests, summary.duration,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""
_SECONDS_AT_MOST = 30
_RESULT = re.compile(r"RESULT (\d+) (\d+) (\S+) (\S+) (\d+)")


class LoadFailed(RuntimeError):
    """wrk is missing, or a request of the load was not answered with 200."""


class NothingAnswered(LoadFailed):
    """No request failed, and none was answered in time."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of load on one system: requests a second, milliseconds, and milliseconds of CPU a request."""

    rps: float
    p50_ms: float
    p99_ms: float
    server_ms: float
    postgres_ms: float

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of CPU a request, server and PostgreSQL together."""
        return self.server_ms + self.postgres_ms


def require_wrk() -> None:
    """Raise `LoadFailed` if there is no wrk."""
    if shutil.which("wrk") is None:
        raise LoadFailed("wrk is missing: apt-get install wrk")


def read_result(output: str) -> tuple[int, float, float, float]:
    """Requests, seconds, p50 and p99 in ms of wrk's output; raises `LoadFailed` if one failed, `NothingAnswered`.

    >>> read_result("RESULT 300 2000000 1.5 9.25 0")
    (300, 2.0, 1.5, 9.25)
    """
    found = _RESULT.search(output)
    if found is None or found[5] != "0":
        raise LoadFailed(output)
    if found[1] == "0":
        raise NothingAnswered(output)
    return int(found[1]), int(found[2]) / 1e6, float(found[3]), float(found[4])


def load(
    stage: Stage, system: System, requests: Sequence[Request], *, connections: int, seconds: int, seed: int
) -> Sample:
    """Ask for so many seconds; raises `LoadFailed` or `NotAnswering`.

    All requests go to one path. Bodies come at random, tokens in turn, each run going on where the last one ended. What
    a system does after its answers is awaited and counted as CPU. One too slow to answer at all gets twice the time.
    """
    (path,) = {request.path for request in requests}
    script, bodies, tokens, turn = (stage.folder / name for name in ("load.lua", "bodies", "tokens", "turn"))
    script.write_text(_SCRIPT)
    if not turn.exists():
        turn.write_text("0")
    bodies.write_text("".join(f"{request.body}\n" for request in requests))
    tokens.write_text("".join(f"{token}\n" for token in dict.fromkeys(r.token for r in requests) if token))
    postgres = stage.postgres.pid or 0
    servers, database = consumption.usage(*system.pids), consumption.usage(postgres)
    ran = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(script),
         f"http://127.0.0.1:{system.port}{path}"],
        env=os.environ | {"BODIES": str(bodies), "TOKENS": str(tokens), "TURN": str(turn), "SEED": str(seed)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    try:
        count, took, p50, p99 = read_result(ran.stdout)
    except NothingAnswered:
        if seconds > _SECONDS_AT_MOST:
            raise
        return load(stage, system, requests, connections=connections, seconds=2 * seconds, seed=seed)
    except LoadFailed as failed:
        # wrk only counts; whichever request fails alone says more.
        for request in requests[:200]:
            system.ask(request)
        raise LoadFailed(f"{system.name}{path}: {failed}{ran.stderr}") from None
    if system.seals:
        stage.await_sealed()
    spent = [
        consumption.spent_ms(servers, consumption.usage(*system.pids)) / count,
        consumption.spent_ms(database, consumption.usage(postgres)) / count,
    ]
    return Sample(count / took, p50, p99, *spent)
