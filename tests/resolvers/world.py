"""The engine and the naive reference side by side: both are asked, and must say the same."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from policy.compile import PolicyRefused
from policy.decide import Snapshot, build_snapshot
from schema.sdl import build_schema
from server.pipeline import Question
from server.service import Service, refusal
from server.settings import Settings
from tests.operation_text import Operation
from tests.oracle import Matcher, Oracle, Refused
from tests.reference import Reference
from tests.reference_graphql import bare
from tests.reference_pages import Boundary
from tests.reference_rows import Tables
from tests.revisions import hostile_revision, nodes_of
from tests.strategies import Operations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from random import Random

    from graphql import GraphQLSchema

    from policy.revision import Revision
    from policy.subject import Subject

NOW = 1_800_000_000
"""The server's clock while answers are compared; one test moves it."""
LIMITS: Any = {"max_cost": 10_000_000, "max_aliases": 1_000, "max_tokens": 20_000, "max_depth": 30}
Seen = dict[str, set[str]]


@dataclass
class World:
    """One service, all its rows in memory, and what was compared so far."""

    service: Service
    tables: Tables
    schema: GraphQLSchema
    now: int = NOW
    issued: dict[str, Boundary] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    references: dict[tuple[Snapshot, Subject, int], Reference] = field(default_factory=dict)
    kept: dict[tuple[Snapshot, Subject, int, str], tuple[Any, Seen]] = field(default_factory=dict)
    documents: set[bytes] = field(default_factory=set)

    def snapshot(self, revision: Revision) -> Snapshot:
        """A snapshot of its own, whose enforcer answers fast."""
        made = build_snapshot(revision, self.service.registry)
        Matcher.install(made.enforcer)
        return made

    def operations(self) -> Operations:
        return Operations(self.tables, self.service.registry, self.service.schema.graphql)

    def reference(self, snapshot: Snapshot, subject: Subject) -> Reference:
        key = (snapshot, subject, self.now)
        if key not in self.references:
            oracle = Oracle(self.tables, self.service.registry, snapshot, subject, self.now)
            self.references[key] = Reference(oracle, self.schema, self.issued)
        self.references[key].issued = self.issued
        return self.references[key]

    async def engine(self, snapshot: Snapshot, subject: Subject, operation: Operation) -> dict[str, Any]:
        question = Question(operation.query, operation.variables, None)
        try:
            answer = await self.service.pipeline.answer(question, subject, snapshot, "equivalence")
        except Exception as error:  # as the service does
            answer = refusal(error, "equivalence")
            if answer.code.startswith("ZQ5"):
                raise Different(f"CRASHED {type(error).__name__}: {error}\n{operation}\n{subject}") from error
        decoded: dict[str, Any] = json.loads(answer.body, object_pairs_hook=_distinct)
        return decoded

    def expected(self, reference: Reference, operation: Operation) -> tuple[Any, Seen]:
        """The reference's answer or refusal with the verdicts it met; kept for those who ask the same again."""
        key = (reference.oracle.snapshot, reference.oracle.subject, self.now, str(operation))
        if key in self.kept:
            return self.kept[key]
        cells = reference.oracle.cells
        try:
            answer: Any = reference.answer(operation.query, operation.variables)
        except Refused as refused:
            answer = refused
        self.counts["cells"] += reference.oracle.cells - cells
        self.kept[key] = (answer, dict(reference.seen))
        return self.kept[key]

    async def compare(
        self, snapshot: Snapshot, subject: Subject, operation: Operation, question: Operation | None = None
    ) -> dict[str, Any]:
        """One operation as one subject: same data in the same order, or refused by both; returns the data.

        The reference is asked `question`, the same in other words, if that is given.
        """
        reference = self.reference(snapshot, subject)
        self.counts["operations"] += 1
        self.documents.add(sha256(operation.query.encode()).digest()[:8])
        actual = await self.engine(snapshot, subject, operation)
        expected, seen = self.expected(reference, question or operation)
        if isinstance(expected, Refused):
            self.counts["refused"] += 1
            if "data" in actual:
                raise Different(f"answered what is to be refused ({expected})\n{operation}\n{subject}")
            return {}
        if "data" not in actual:
            (error, *_) = actual["errors"]
            if error["extensions"]["code"] in TOO_COSTLY:
                self.counts["too costly"] += 1
                return {}
            raise Different(f"refused what is to be answered: {error}\n{operation}\n{subject}")
        if "errors" in actual:
            raise Different(f"{actual['errors']}\n{operation}\n{subject}")
        place = self.difference(expected, actual["data"], ())
        if place is not None:
            raise Different(f"at {place}\n{operation}\n{subject}\nat {self.now} under {snapshot.revision.id[:8]}")
        self.disclosed(seen, actual["extensions"]["disclosure"], f"{operation}\n{subject}")
        data: dict[str, Any] = actual["data"]
        return data

    def difference(self, expected: Any, actual: Any, path: tuple[Any, ...]) -> str | None:
        """The first place where the answers differ, the order of keys included; new page cursors are noted."""
        if isinstance(expected, Boundary):
            if not isinstance(actual, str) or self.issued.setdefault(actual, expected) != expected:
                return f"{path}: {actual!r} for {expected}"
            return None
        if isinstance(expected, dict) and isinstance(actual, dict):
            if list(expected) != list(actual):
                return f"{path}: expected keys {list(expected)}, got {list(actual)}"
            pairs = [(expected[key], actual[key], key) for key in expected]
        elif isinstance(expected, list) and isinstance(actual, list):
            if len(expected) != len(actual):
                return f"{path}: expected {len(expected)} items {expected!r:.600}, got {len(actual)} {actual!r:.600}"
            pairs = [(one, other, i) for i, (one, other) in enumerate(zip(expected, actual, strict=True))]
        else:
            self.counts["values"] += 1
            same = expected == actual and type(expected) is type(actual)
            return None if same else f"{path}: expected {expected!r}, got {actual!r}"
        return next((d for e, a, step in pairs if (d := self.difference(e, a, (*path, step)))), None)

    @staticmethod
    def disclosed(seen: Seen, said: list[dict[str, str]], asked: str) -> None:
        """`extensions.disclosure` never says more than the cells: what it leaves out is clear wherever it stands."""
        named = {item["coordinate"]: item["verdict"] for item in said}
        allowed = {None: {"CLEAR"}, "DENIED": {"DENIED"}, "MASKED": {"MASKED"}}
        for coordinate, verdicts in seen.items():
            verdict = named.get(coordinate)
            if verdict != "CONDITIONAL" and not verdicts <= allowed[verdict]:
                raise Different(f"{coordinate} is {verdicts}, disclosed as {verdict}\n{asked}")


@asynccontextmanager
async def opened(database: str, *packages: str) -> AsyncIterator[World]:
    """A service of our own with a clock of our own, and the rows of its database; with entities of these packages."""
    settings = Settings(database_url=database, entity_packages=packages, **LIMITS)
    async with Service.open(settings) as service:
        schema = bare(build_schema(service.registry).graphql)
        found = World(service, await Tables.read(database, service.registry), schema)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("server.pipeline.time", SimpleNamespace(time=lambda: found.now))
            yield found


class Different(AssertionError):
    """The engine and the reference disagree."""


TOO_COSTLY = ("ZQ117", "ZQ118")
"""Refusals by what an answer could cost or weigh, which the reference does not reckon."""


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a response key occurs twice"
    return found


def hostile(world: World, rng: Random) -> Snapshot:
    """A random policy that lint lets through."""
    while True:
        try:
            return world.snapshot(hostile_revision(rng, world.service.registry, nodes_of(world.tables)))
        except PolicyRefused:
            continue
