"""What the comparison does not show, one module each: `run` measures, prints a table and returns its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from bench.rounds import Rounds
from bench.scenarios import audit, cold, growth, memory, policy, subjects
from bench.stage import Stage

SCENARIOS: Final[Mapping[str, Callable[[Stage, Rounds], Any]]] = {
    "subjects": subjects.run,
    "cold": cold.run,
    "memory": memory.run,
    "growth": growth.run,
    "policy": policy.run,
    "audit": audit.run,
}
