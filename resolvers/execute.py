"""A granted plan into the bytes of an answer: statements side by side, then remote values, then assembly."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from adapters.base import AuditRecord, Source, SourceBadShape, SourceError, SourceFailure
from resolvers.bind import Binding
from resolvers.cursors import Cursors
from resolvers.errors import CursorExpired
from resolvers.introspection import Introspector
from resolvers.plan import Introspection, Literal, Many, One, Root
from resolvers.prepared import Granted, PreparedStatement
from resolvers.remote import RemoteRecords
from resolvers.splice import Cursor, Pieces, Token, asked_fields, cut, path_of, remote_json
from resolvers.variables import Coerced
from schema.registry import Registry


class RecordStore(Protocol):
    """The ministry's database as execution uses it; every statement carries its own audit record."""

    async def run(self, statement: Any, arguments: Sequence[Any]) -> list[bytes | None]: ...
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


@dataclass(frozen=True, slots=True)
class FieldError:
    """A remote value that could not be had."""

    path: tuple[str | int, ...]
    error: SourceError


@dataclass(frozen=True, slots=True)
class Executed:
    """The `data` of an answer, its field errors, and the plan's extensions."""

    data: bytes
    errors: tuple[FieldError, ...]
    extensions: bytes


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
        self._sources = sources
        self._cipher = AESSIV(cursor_key)
        self._introspector = introspector

    async def execute(self, granted: Granted, asked: Asked) -> Executed:
        """Answer one request; raises `RequestError` or what the store raises, and then nothing was disclosed."""
        plan = granted.ready.plan
        nonce = secrets.token_hex(16)
        cursors = Cursors(self._cipher, asked.subject_id, asked.revision)
        audit = {
            "request_id": asked.request_id,
            "subject": asked.subject,
            "document": asked.document,
            "revision": asked.revision,
            "decision": granted.digest,
        }
        binding = Binding(self._registry, plan, asked.variables, granted.lifted.values, nonce, audit, cursors, {})
        binding.read()
        bound = [
            binding.arguments(statement.parameters, planned.cursor.walk if planned.cursor else "", name)
            for statement, planned, name in zip(granted.ready.statements, plan.statements, plan.names, strict=True)
        ]
        if not granted.stored:
            await self._store.store_decision(granted.digest, granted.body)
            granted.stored = True
        answers = await self._run(granted.ready.statements, bound)
        for planned, answer in zip(plan.statements, answers, strict=True):
            if planned.cursor is not None and answer[0] is None:
                raise CursorExpired
        if not plan.statements and any(
            isinstance(root, Many) or (isinstance(root, Literal) and root.json == b"null") for root in plan.roots
        ):
            await self._store.record(AuditRecord(root="", **audit))
        errors: list[FieldError] = []
        if any(statement.has_tokens for statement in plan.statements):
            answers = await self._splice(granted, answers, nonce, cursors, audit, asked, errors)
        return Executed(self._assemble(granted, binding, answers, asked), tuple(errors), plan.extensions)

    async def _run(
        self, statements: Sequence[PreparedStatement], bound: Sequence[list[Any]]
    ) -> list[list[bytes | None]]:
        if len(statements) == 1:
            return [await self._store.run(statements[0], bound[0])]
        tasks = [
            asyncio.ensure_future(self._store.run(statement, arguments))
            for statement, arguments in zip(statements, bound, strict=True)
        ]
        # All end before the first failure is reported, so that no statement runs on behind a finished request.
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]

    async def _splice(
        self,
        granted: Granted,
        answers: list[list[bytes | None]],
        nonce: str,
        cursors: Cursors,
        audit: Mapping[str, str],
        asked: Asked,
        errors: list[FieldError],
    ) -> list[list[bytes | None]]:
        plan = granted.ready.plan
        pieces: list[list[Pieces | None]] = [
            [cut(blob, nonce) if blob is not None and planned.has_tokens else None for blob in answer]
            for planned, answer in zip(plan.statements, answers, strict=True)
        ]
        remote = RemoteRecords(self._sources, asked.until)
        placed = [
            (planned, token)
            for planned, answer in zip(plan.statements, pieces, strict=True)
            for piece in answer
            if piece is not None
            for token in piece.tokens
            if isinstance(token, Token) and asked_fields(planned.slots[token.slot], token.bits)
        ]
        outcomes = await remote.load(
            [
                (slot.source, slot.type, asked_fields(slot, token.bits), token.key)
                for planned, token in placed
                for slot in (planned.slots[token.slot],)
            ]
        )
        known = iter(outcomes)
        replaced: list[list[bytes | None]] = []
        for planned, name, answer, cut_answer in zip(plan.statements, plan.names, answers, pieces, strict=True):
            row: list[bytes | None] = []
            for blob, piece in zip(answer, cut_answer, strict=True):
                if piece is None:
                    row.append(blob)
                    continue
                replacements = []
                for token in piece.tokens:
                    if isinstance(token, Cursor):
                        walk = planned.cursor.walk if planned.cursor else name
                        replacements.append(b'"' + cursors.write(token.values, walk).encode() + b'"')
                        continue
                    slot = planned.slots[token.slot]
                    if not asked_fields(slot, token.bits):
                        # Nothing of it may be shown for this row, so its key was not sent anywhere.
                        replacements.append(b"null")
                        continue
                    outcome = next(known)
                    try:
                        if isinstance(outcome, SourceFailure):
                            raise outcome.error
                        replacements.append(remote_json(slot, token.bits, outcome, token.key))
                    except SourceError as error:
                        if isinstance(error, SourceBadShape):
                            remote.outcomes[slot.source] = error.name
                        errors.append(FieldError(tuple(path_of(slot, token.ordinals)), error))
                        replacements.append(b"null")
                row.append(piece.joined(replacements))
            replaced.append(row)
        if remote.outcomes:
            sources = orjson.dumps(remote.outcomes, option=orjson.OPT_SORT_KEYS).decode()
            await self._store.record(AuditRecord(root="sources", sources=sources, **audit))
        return replaced

    def _assemble(self, granted: Granted, binding: Binding, answers: list[list[bytes | None]], asked: Asked) -> bytes:
        parts = [
            b'"' + root.key.encode() + b'":' + self._root(root, granted, binding, answers, asked)
            for root in granted.ready.plan.roots
        ]
        return b"{" + b",".join(parts) + b"}"

    def _root(
        self, root: Root, granted: Granted, binding: Binding, answers: list[list[bytes | None]], asked: Asked
    ) -> bytes:
        match root:
            case Literal():
                return root.json
            case One():
                return answers[root.statement][0] or b"null"
            case Many():
                return self._many(root, binding, answers)
            case Introspection():
                return self._introspector.answer(root, granted.operation, asked.variables)

    @staticmethod
    def _many(root: Many, binding: Binding, answers: list[list[bytes | None]]) -> bytes:
        by_type = {name: iter(answers[statement]) for name, statement in root.statements.items()}
        values = [next(by_type[name]) or b"null" if name in by_type else b"null" for name, _ in binding.items[root.key]]
        return b"[" + b",".join(values) + b"]"
