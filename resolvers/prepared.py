"""What is kept of an operation between requests: plans by variable shape and decision shape, and nothing of a request.

Two look-ups answer the usual case: the variable shape, then the caller's decision object itself.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol, Self

import orjson
from graphql import GraphQLSchema

from adapters.base import VERDICTS_PER_CHARACTER, SourceQuery
from resolvers.decided import DecisionLike, LiftedDecision, PolicyObject, Recorder, lift
from resolvers.document import Document, Operation
from resolvers.plan import Literal, Many, Plan
from resolvers.planner import Planner
from resolvers.variables import Coerced, VariableReader
from schema.registry import Entity

_VARIANTS_AT_MOST = 64
_PLANS_AT_MOST = 256
_SUBJECTS_AT_MOST = 4_096


class PreparedStatement(Protocol):
    """A statement as the database adapter compiled it."""

    @property
    def parameters(self) -> tuple[Any, ...]: ...


class Compiler(Protocol):
    """Turns a decided query into a statement; pure."""

    def compile(self, query: SourceQuery) -> PreparedStatement: ...


@dataclass(frozen=True, slots=True)
class Ready:
    """A plan with its compiled statements, and what every execution of it asks about them."""

    plan: Plan
    statements: tuple[PreparedStatement, ...]
    at_once: tuple[int, ...]
    """The statements that wait for no other."""
    has_tokens: bool
    """Whether an answer of theirs may hold placeholders."""
    has_record: bool
    """Whether a record is written though no statement is sent."""

    @classmethod
    def of(cls, plan: Plan, statements: tuple[PreparedStatement, ...]) -> Self:
        """Look the plan over once."""
        at_once = tuple(index for index, planned in enumerate(plan.statements) if planned.after is None)
        has_tokens = any(plan.statements[index].has_tokens for index in at_once)
        denied = any(
            isinstance(root, Many) or (isinstance(root, Literal) and root.json == b"null") for root in plan.roots
        )
        return cls(plan, statements, at_once, has_tokens, has_record=denied and not plan.statements)


@dataclass(eq=False, slots=True)
class Granted:
    """A plan for one subject's decision: the subject's values, and the decision as the audit stores it."""

    operation: Operation
    ready: Ready
    decision: DecisionLike
    lifted: LiftedDecision
    digest: str
    body: str
    stored: bool = False
    """Whether the decision is durable in the audit, which must precede its first use."""


class PreparedOperation:
    """One operation of one document with its caches; dropped together with the document."""

    def __init__(self, schema: GraphQLSchema, operation: Operation) -> None:
        self.operation = operation
        self.reader = VariableReader(schema, operation)
        self._variants: dict[Hashable, Variant] = {}

    def variant(self, planner: Planner, compiler: Compiler, variables: Coerced, shape: Hashable) -> Variant:
        """The variant of a variable shape."""
        found = self._variants.pop(shape, None)
        if found is None:
            found = Variant(planner, compiler, self.operation, variables)
            _make_room(self._variants, _VARIANTS_AT_MOST)
        self._variants[shape] = found
        return found


class Variant:
    """One operation under one variable shape."""

    def __init__(self, planner: Planner, compiler: Compiler, operation: Operation, variables: Coerced) -> None:
        self._planner = planner
        self._compiler = compiler
        self._operation = operation
        recorder = Recorder()
        planner.plan(operation, variables, recorder)
        self._objects: tuple[PolicyObject, ...] = tuple(recorder.objects)
        self._plans: dict[Hashable, Ready] = {}
        self._granted: dict[tuple[str, DecisionLike], Granted] = {}

    def grant(self, decision: DecisionLike, revision: str, variables: Coerced) -> Granted:
        """The plan for a decision, made or found; raises `RequestError` for what the decision refuses."""
        found = self._granted.pop((revision, decision), None)
        if found is None:
            entities: dict[str, Entity] = dict(self._planner.registry.entities)
            lifted = lift(decision, entities, self._objects)
            ready = self._plans.pop(lifted.shape, None)
            if ready is None:
                plan = self._planner.plan(self._operation, variables, lifted.decided)
                ready = Ready.of(plan, tuple(self._compiler.compile(s.query) for s in plan.statements))
                _make_room(self._plans, _PLANS_AT_MOST)
            self._plans[lifted.shape] = ready
            body = _decision_body(ready.plan, lifted, revision)
            found = Granted(self._operation, ready, decision, lifted, sha256(body.encode()).hexdigest(), body)
            _make_room(self._granted, _SUBJECTS_AT_MOST)
        self._granted[revision, decision] = found
        return found


def _make_room(cache: dict[Any, Any], at_most: int) -> None:
    while len(cache) >= at_most:
        del cache[next(iter(cache))]


def _decision_body(plan: Plan, lifted: LiftedDecision, revision: str) -> str:
    """The decision as the audit stores it: every verdict with its rules, and how packed rows are read."""
    slots = [
        {
            "letter": node.letter,
            "type": node.entity.name,
            "path": node.path,
            "verdicts": [str(p) for p in node.verdicts],
            "chars": -(-len(node.verdicts) // VERDICTS_PER_CHARACTER),
        }
        for statement in plan.statements
        for node in statement.nodes
    ]
    fields = {
        coordinate: {"clear": clear, "masked": masked, "rules": list(lifted.rules[coordinate])}
        for coordinate, (clear, masked) in lifted.texts.items()
    }
    body = {"revision": revision, "fields": fields, "slots": slots, "values": lifted.values}
    return orjson.dumps(body, default=str, option=orjson.OPT_SORT_KEYS).decode()


class PreparedDocuments:
    """Prepared operations by document; a document that its cache drops takes its plans with it."""

    def __init__(self, schema: GraphQLSchema, documents_at_most: int = 2_000) -> None:
        self._schema = schema
        self._at_most = documents_at_most
        self._prepared: dict[tuple[str, str | None], PreparedOperation] = {}

    def get(self, document: Document, operation_name: str | None) -> PreparedOperation:
        """The prepared operation; raises `UnknownOperation`."""
        key = (document.hash, operation_name)
        found = self._prepared.pop(key, None)
        if found is None:
            found = PreparedOperation(self._schema, document.operation(operation_name))
            _make_room(self._prepared, self._at_most)
        self._prepared[key] = found
        return found
