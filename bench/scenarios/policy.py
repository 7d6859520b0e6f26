"""What the policy costs: the product under its own revision beside one that opens everything to everybody.

The revision in force is changed between the cells of a round, on the same server and data. Opened, every decision is
a constant and no row is hidden; the rest of the work is equal.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from bench.report import table
from bench.rounds import Rounds, median, ratio
from bench.stage import Stage
from bench.systems import PRODUCT, Request, System, running
from bench.workload import OPERATIONS
from bench.wrk import LoadFailed
from policy.revision import Revision, Rule, load_default
from schema.declare import Sharing

_COLUMNS: Final = {
    **dict.fromkeys(("role", "level", "kind", "dept", "system", "purpose"), "*"),
    **dict.fromkeys(("scope", "valid_from", "valid_to"), "-"),
    "act": "clear",
    "smin": "0",
    "smax": "9",
    "eft": "allow",
    "reason": "opened for a measurement",
}
"""Of a rule that holds for everyone, at any time, for rows of any sensitivity."""


ROLES: Final = ("ministry", "county")
"""For whom decisions are constants, and for whom they depend on the row."""


def opened() -> Revision:
    """Everything clear for everyone, rows of unresolved regions included."""
    default = load_default()
    pairs = [(sharing.name, rel) for sharing in Sharing for rel in ("any", "unknown")]
    rules = tuple(Rule(id=f"OPEN-{n}", obj=obj, rel=rel, **_COLUMNS) for n, (obj, rel) in enumerate(pairs))
    return Revision(rules, default.classes, default.kinds)


def run(stage: Stage, rounds: Rounds) -> dict[str, Any]:
    """By role and operation: CPU a request under both revisions, and their ratio."""
    revisions = {"default": load_default(), "open": opened()}
    found: dict[str, Any] = {}
    with running(stage, (PRODUCT,)) as systems:
        product = systems[PRODUCT]

        try:
            for role in ROLES:
                found[role] = {}
                for operation in OPERATIONS:
                    requests = [product.request(operation, key, role) for key in stage.keys]
                    asked = dict.fromkeys(revisions, (product, requests))
                    before = partial(_switch, stage, product, revisions, requests[:20])
                    samples = rounds.interleaved(stage, asked, 16, before)
                    found[role][operation] = {
                        "cpu_ms_open": median(samples["open"], "cpu_ms"),
                        "cpu_ms_default": median(samples["default"], "cpu_ms"),
                        "cpu_ratio": ratio(samples["default"], samples["open"], "cpu_ms"),
                        "rps_ratio": ratio(samples["default"], samples["open"]),
                    }
        finally:
            stage.publish(load_default())
    head = ("", "role", "CPU ms opened", "CPU ms default", "CPU default / opened", "rps default / opened")
    rows = [(q, role, *figures.values()) for role, by in found.items() for q, figures in by.items()]
    print(table("Policy: the product's revision beside one that opens everything", head, rows))
    return found


def _switch(
    stage: Stage, product: System, revisions: Mapping[str, Revision], first: Sequence[Request], name: str
) -> None:
    """Put a revision in force and wait until the process has taken it up; raises `LoadFailed`."""
    revision = revisions[name]
    stage.publish(revision)
    until = time.monotonic() + 20
    while revision.id not in _metrics(product.port):
        if time.monotonic() > until:
            raise LoadFailed(f"revision {revision.id[:12]} was not taken up")
        time.sleep(0.02)
    # Its decisions and plans are made with the first requests, which are not what is measured here.
    for request in first:
        product.ask(request)


def _metrics(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        text: str = reply.read().decode()
    return text
