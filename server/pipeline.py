"""The way of one request, one line a step; everything else in the house is called from here.

    authenticate -> parse+validate (cached) -> select -> decide -> cost+plan (cached) -> execute (with audit)
      -> assemble -> respond

`authenticate` happens in `server.app`, before the body is looked at; `respond` after.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from policy.subject import Level, Subject
from resolvers.errors import IntrospectionOff
from resolvers.execute import Asked, Executed, Executor
from resolvers.places import FieldError
from resolvers.plan import Introspection
from server.catalogue import CATALOGUE
from server.errors import error_json

if TYPE_CHECKING:
    from policy.decide import Snapshot
    from resolvers.document import DocumentCache
    from resolvers.planner import Planner
    from resolvers.prepared import Compiler, Granted, PreparedDocuments


@dataclass(frozen=True, slots=True)
class Question:
    """An operation as the client sent it."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: HTTP status, body, and the catalogue code for metrics and log (`OK` if nothing was refused)."""

    status: int
    body: bytes
    code: str
    document: str


class NoPolicy(Exception):
    """No policy revision is in force, so everything is closed."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The steps and what they work with; immutable, shared by all requests of a process."""

    documents: DocumentCache
    prepared: PreparedDocuments
    planner: Planner
    compiler: Compiler
    executor: Executor
    deadline_seconds: float
    public_introspection: bool

    async def answer(
        self,
        question: Question,
        subject: Subject,
        snapshot: Snapshot | None,
        request_id: str,
        until: float | None = None,
    ) -> Answer:
        """Answer one operation under one snapshot; raises what is refused, and then nothing was disclosed.

        `until`, in the event loop's time, is when the caller stops waiting: other systems have a share of what is left.
        """
        until = until or asyncio.get_running_loop().time() + self.deadline_seconds
        granted, asked = self.grant(question, subject, snapshot, request_id, until)
        executed = await self.executor.execute(granted, asked)
        return Answer(200, assemble(executed, request_id), "OK", asked.document)

    def grant(
        self, question: Question, subject: Subject, snapshot: Snapshot | None, request_id: str, until: float
    ) -> tuple[Granted, Asked]:
        """Everything before the first statement: pure but for caches."""
        if snapshot is None:
            raise NoPolicy
        document = self.documents.get(question.query)
        prepared = self.prepared.get(document, question.operation_name)
        variables, shape = prepared.reader.read(question.variables)
        variant = prepared.variant(self.planner, self.compiler, variables, shape)
        decision = snapshot.decide(subject, int(time.time()))
        granted = variant.grant(decision, snapshot.revision.id, variables)
        if subject.level is Level.PUBLIC and not self.public_introspection:
            refuse_introspection(granted)
        # What is kept of the subject for later requests must not hold the officer.
        who = audit_subject(replace(subject, officer=None) if subject.officer else subject)
        asked = Asked(
            request_id,
            who,
            subject.id,
            document.hash,
            snapshot.revision.id,
            variables,
            until,
            subject.officer,
        )
        return granted, asked


def refuse_introspection(granted: Granted) -> None:
    """Refuse `__schema` and `__type`; `__typename` is part of every answer."""
    if any(isinstance(root, Introspection) for root in granted.ready.plan.roots):
        raise IntrospectionOff


@lru_cache(maxsize=4096)
def audit_subject(subject: Subject) -> str:
    """Who asked, as the audit keeps it: no personal value but the account's own id."""
    facts = {
        "id": subject.id,
        "level": subject.level,
        "kind": subject.kind,
        "territory": str(subject.territory),
        "dept": subject.dept,
        "enterprise": subject.enterprise,
        "person": subject.person,
        "purpose": subject.purpose,
        "case": subject.case_no,
    }
    return orjson.dumps({name: value for name, value in facts.items() if value is not None}).decode()


def assemble(executed: Executed, request_id: str) -> bytes:
    """The body: data, field errors if any, extensions; by bytes, since the data never were anything else."""
    parts = [b'{"data":', *executed.data]
    if executed.errors:
        parts += [b',"errors":', orjson.dumps([_field_error(error, request_id) for error in executed.errors])]
    extensions = executed.extensions
    if executed.sources:
        extensions = extensions[:-1] + b',"sources":' + orjson.dumps(executed.sources) + b"}"
    parts += [b',"extensions":', extensions, b"}"]
    return b"".join(parts)


def _field_error(failure: FieldError, request_id: str) -> dict[str, Any]:
    return error_json(CATALOGUE[failure.error.name], request_id, path=failure.path)
