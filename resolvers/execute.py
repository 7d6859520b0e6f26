"""A granted plan into the bytes of an answer: statements side by side, then remote values, then assembly."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from adapters.base import AuditRecord, Source
from resolvers.bind import Binding
from resolvers.complete import Completion
from resolvers.cursors import Cursors
from resolvers.errors import CursorExpired
from resolvers.introspection import Introspector
from resolvers.places import Answers, FieldError, together
from resolvers.plan import Introspection, Literal, Many, One, Root
from resolvers.prepared import Granted
from resolvers.remote import RemoteRecords, Sources
from resolvers.variables import Coerced
from schema.officer import Officer
from schema.registry import Registry

_SHARE_OF_SOURCES = 0.9
"""Of the time that a request has left, what its sources may take together."""


class RecordStore(Protocol):
    """The ministry's database as execution uses it: an answer is given out once its record is durable."""

    async def run(self, statement: Any, arguments: Sequence[Any], record: AuditRecord) -> Sequence[bytes | None]: ...
    async def record(self, record: AuditRecord) -> None: ...
    async def store_decision(self, digest: str, body: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Asked:
    """What execution knows of a request: nothing that could decide a right."""

    request_id: str
    subject: str
    """The audit's compact JSON of who asks."""
    subject_id: str
    document: str
    revision: str
    variables: Coerced
    until: float
    """Deadline, in the event loop's time."""
    officer: Officer | None = None


@dataclass(frozen=True, slots=True)
class Executed:
    """The `data` of an answer in pieces, its field errors, and the plan's extensions."""

    data: Sequence[bytes]
    errors: tuple[FieldError, ...]
    extensions: bytes
    sources: Mapping[str, str]
    """How it went with each source asked: "OK", "STALE" or a name of the error catalogue."""


class Executor:
    """Executes plans; one per process."""

    def __init__(
        self,
        registry: Registry,
        store: RecordStore,
        sources: Mapping[str, Source],
        cursor_key: bytes,
        introspector: Introspector,
    ) -> None:
        self._registry = registry
        self._store = store
        self._sources = Sources(sources)
        self._cipher = AESSIV(cursor_key)
        self._introspector = introspector

    async def execute(self, granted: Granted, asked: Asked) -> Executed:
        """Answer one request; raises `RequestError` or what the store raises, and then nothing was disclosed."""
        ready = granted.ready
        plan = ready.plan
        nonce = secrets.token_hex(16) if ready.has_tokens else ""
        cursors = Cursors(self._cipher, asked.subject_id, asked.revision)
        binding = Binding(self._registry, plan, asked.variables, granted.lifted.values, nonce, cursors, {})
        binding.read()
        bound = {index: self._arguments(granted, binding, index) for index in ready.at_once}
        if not granted.stored:
            await self._store.store_decision(granted.digest, granted.body)
            granted.stored = True

        def record(root: str, sources: str = "") -> AuditRecord:
            return AuditRecord(
                asked.request_id, root, asked.subject, asked.document, asked.revision, granted.digest, "", sources
            )

        async def run(index: int) -> Sequence[bytes | None]:
            arguments = bound[index] if index in bound else self._arguments(granted, binding, index)
            return await self._store.run(ready.statements[index], arguments, record(plan.names[index]))

        answers = await together(run, ready.at_once)
        for index, answer in answers.items():
            if plan.statements[index].cursor is not None and answer[0] is None:
                raise CursorExpired
        if ready.has_record:
            await self._store.record(record(""))
        if not ready.has_tokens:
            return Executed(self._assemble(granted, binding, answers, asked), (), plan.extensions, {})
        now = asyncio.get_running_loop().time()
        # What is left afterwards serves the statements that follow, and the answer itself.
        records = RemoteRecords(now + (asked.until - now) * _SHARE_OF_SOURCES)
        completion = Completion(
            plan.statements, plan.names, binding, cursors, nonce, self._sources, records, granted.decision.covered,
            asked.officer, run,
        )  # fmt: skip
        try:
            answers = await completion.complete(answers, {})
        finally:
            # Whatever becomes of the answer: who was asked on whose behalf is on record.
            used = records.used
            if used:
                sources = orjson.dumps(used, option=orjson.OPT_SORT_KEYS).decode()
                await asyncio.shield(self._store.record(record("sources", sources)))
        outcomes = {name: use.outcome for name, use in used.items()}
        errors = sorted(completion.errors, key=lambda failed: [(str(type(step)), step) for step in failed.path])
        return Executed(self._assemble(granted, binding, answers, asked), tuple(errors), plan.extensions, outcomes)

    @staticmethod
    def _arguments(granted: Granted, binding: Binding, index: int) -> list[Any]:
        cursor = granted.ready.plan.statements[index].cursor
        return binding.arguments(granted.ready.statements[index].parameters, cursor.walk if cursor else "")

    def _assemble(self, granted: Granted, binding: Binding, answers: Answers, asked: Asked) -> list[bytes]:
        parts = [b"{"]
        for root in granted.ready.plan.roots:
            before = b'"' if len(parts) == 1 else b',"'
            parts += [before + root.key.encode() + b'":', self._root(root, granted, binding, answers, asked)]
        return [*parts, b"}"]

    def _root(self, root: Root, granted: Granted, binding: Binding, answers: Answers, asked: Asked) -> bytes:
        match root:
            case Literal():
                return root.json
            case One():
                answer = answers[root.statement][0] or b"null"
                # The record holds nothing else, so its value stands between the key and the closing brace.
                return answer[len(root.within) + 4 : -1] if root.within and answer != b"null" else answer
            case Many():
                return self._many(root, binding, answers)
            case Introspection():
                return self._introspector.answer(root, granted.operation, asked.variables)

    @staticmethod
    def _many(root: Many, binding: Binding, answers: Answers) -> bytes:
        by_type = {name: iter(answers[statement]) for name, statement in root.statements.items()}
        values = [next(by_type[name]) or b"null" if name in by_type else b"null" for name, _ in binding.items[root.key]]
        return b"[" + b",".join(values) + b"]"
