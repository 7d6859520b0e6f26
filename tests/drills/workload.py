"""The load of the drills: what is asked, what each operation answers while nothing is wrong, and how all is examined.

A request counts as answered when its whole body arrived with status 200. What is compared is request ids: the header
that the client saw against `audit.record`, read at the end, so a record that was only in memory would be missing.
"""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import orjson

from demo.seed import wellknown
from tests.drills.load import Load, Operation, ServerProcess
from tests.drills.trail import recorded, run

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

DEADLINE_MS = 3_000
SETTINGS = {
    "REQUEST_DEADLINE_MS": str(DEADLINE_MS),
    "STATEMENT_TIMEOUT_MS": "2000",
    "MAX_COST": "100000",
    # Cursors are compared too, and over restarts.
    "CURSOR_KEY": base64.b64encode(b"key of cursors of the drills 32b").decode(),
}
RECOVERY_SECONDS = 15
# A deadline, a statement that is being cancelled, and a connection attempt that ends with it.
HUNG_AFTER = DEADLINE_MS / 1000 + 4

ONE = Operation("query($k: ProjectNo!) { project(projectNo: $k) { name status } }", {"k": wellknown.PROJECT_COUNTY})
PAGE = Operation("{ projects(first: 20) { nodes { projectNo name contractor { name } } pageInfo { endCursor } } }")
TWO = Operation(
    "query($k: ProjectNo!) { a: project(projectNo: $k) { name } b: enterprises(first: 3) { nodes { name } } }",
    {"k": wellknown.PROJECT_COUNTY},
)
MANY = Operation(
    "query($r: [_Any!]!) { _entities(representations: $r) { ... on Project { name } ... on Enterprise { name } } }",
    {"r": [
        {"__typename": "Project", "projectNo": wellknown.PROJECT_COUNTY},
        {"__typename": "Enterprise", "uscc": wellknown.CONTRACTOR},
    ]},
)  # fmt: skip
DENIED = Operation("query($k: PersonNo!) { person(personNo: $k) { name } }", {"k": wellknown.PERSON})
ROOTS = {ONE: 1, PAGE: 1, TWO: 2, MANY: 2, DENIED: 1}
"""Records that an answer to the public leaves behind: one a statement, and one where there is none."""
CASE = {"x-zlaq-purpose": "CASE", "x-zlaq-case": wellknown.CASE_OPEN}

Refusal = tuple[int, str]
BUSY: frozenset[Refusal] = frozenset({(503, "ZQ502"), (503, "ZQ503"), (504, "ZQ504"), (504, "ZQ505")})
"""How a request may end while the database is away: each of them invites to try again."""
CRASHED = frozenset({"ClientConnectorError", "ClientOSError", "ServerDisconnectedError", "ClientPayloadError"})
"""What a client sees of a server that was killed."""


@dataclass(frozen=True)
class Workload:
    """Operations, with the number of records that each leaves behind and what each answers while nothing is wrong."""

    records: Mapping[Operation, int]
    answers: Mapping[Operation, bytes]

    @classmethod
    def of(cls, served: ServerProcess) -> Workload:
        """Each kind of statement as the public, and one key as a county."""
        county = Operation(ONE.query, ONE.variables, served.issuer.mint("county"))
        return cls.only(served, {**ROOTS, county: 1})

    @classmethod
    def only(cls, served: ServerProcess, records: Mapping[Operation, int]) -> Workload:
        """These operations, with the number of records that each leaves behind."""
        return cls(records, {operation: alone(served, operation) for operation in records})

    def load(self, served: ServerProcess, clients: int = 8, patience: float = 15) -> Load:
        """A load of all operations on one server; `patience` is how long a client waits, in seconds."""
        return Load(served.address, list(self.records), clients=clients, patience=patience)


def alone(served: ServerProcess, operation: Operation) -> bytes:
    """What an operation answers while nobody else asks."""
    reply = httpx.post(f"{served.address}/graphql", content=operation.body, headers=operation.headers, timeout=20)
    assert reply.status_code == 200, reply.text
    return reply.content


@dataclass(frozen=True)
class Examined:
    """What became of a load's requests; `slowest` in seconds."""

    answered: int
    refused: Mapping[Refusal, int]
    broken: Mapping[str, int]
    slowest: float

    def __str__(self) -> str:
        refused = ", ".join(f"{code} {number}" for (_, code), number in sorted(self.refused.items())) or "none"
        broken = ", ".join(f"{name} {number}" for name, number in sorted(self.broken.items())) or "none"
        return (
            f"{self.answered} answered, each recorded and as before; refused: {refused}; broken: {broken};"
            f" slowest {self.slowest:.2f} s"
        )


def examine(
    asked: Load, dsn: str, workload: Workload, *, at_least: int, refusals: Collection[Refusal] = BUSY,
    broken: Collection[str] = (), hung_after: float = HUNG_AFTER,
) -> Examined:  # fmt: skip
    """Every answer is right and has its records, every refusal is one of these, and nobody waited past the deadline."""
    trail = run(recorded(dsn))
    answered = asked.answered
    assert len(answered) >= at_least
    missing = [o for o in answered if len(trail.get(o.request_id, [])) < workload.records[o.operation]]
    assert [(o.request_id, o.operation.query, trail.get(o.request_id)) for o in missing] == []
    assert len({o.request_id for o in answered}) == len(answered)
    assert [(o.operation.query, o.body) for o in answered if o.body != workload.answers[o.operation]] == []
    found = Counter(refusal(o.status, o.body) for o in asked.outcomes if o.status not in (200, None))
    assert found.keys() <= set(refusals), found
    lost = Counter(o.error for o in asked.outcomes if o.error)
    assert lost.keys() <= set(broken), lost
    slowest = max(o.seconds for o in asked.outcomes)
    assert slowest < hung_after, Counter(
        (o.status, o.operation.choices != {}, round(o.seconds)) for o in asked.outcomes
    )
    return Examined(len(answered), found, lost, slowest)


def refusal(status: int | None, body: bytes) -> Refusal:
    """Status and code of a request that was refused as a whole, which says nothing else."""
    told = orjson.loads(body)
    assert told.keys() == {"errors"}
    return status or 0, told["errors"][0]["extensions"]["code"]
