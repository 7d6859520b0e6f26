"""Everything a process holds to answer operations: schema, database, policy snapshot, audit sealer. Wiring only."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Self

import orjson

from adapters.configured import load_configuration
from adapters.postgres.audit import AuditTampered, HeadsUnavailable, Sealer, check_durable
from adapters.postgres.cases import PostgresCases
from adapters.postgres.columns import drift
from adapters.postgres.database import Database, DatabaseUnavailable
from adapters.postgres.migrate import actual_columns
from adapters.postgres.policies import PostgresPolicyStore, StoredRevision
from adapters.register import SourceRegister
from adapters.sources import open_sources
from policy.compile import PolicyRefused
from policy.decide import Snapshot, build_snapshot
from policy.revision import InvalidRevision, parse_revision
from resolvers.document import DocumentCache
from resolvers.execute import Executor
from resolvers.extent import Limits
from resolvers.introspection import Introspector
from resolvers.outputs import Budget
from resolvers.planner import Planner
from resolvers.prepared import PreparedDocuments
from schema.registry import Registry, load_registry
from schema.sdl import build_schema
from server.errors import entry_for, errors_of
from server.observe import Event, Metrics, log, log_failure
from server.pipeline import Answer, Pipeline, Question

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from adapters.base import Source
    from policy.subject import Subject
    from server.settings import Settings

_READ_ROLE = "zlaq_read"
_DRAIN_SECONDS = 5


class AuditUnavailable(Exception):
    """The audit chain is broken or cannot be published, so nothing is disclosed."""


class SchemaDrift(Exception):
    """The database's tables are not what the declarations say; names each difference."""


class Service:
    """One per process; made by `open`, closed by leaving it."""

    def __init__(self, settings: Settings, registry: Registry, sources: Mapping[str, Source], metrics: Metrics) -> None:
        self.settings = settings
        self.registry = registry
        self.metrics = metrics
        self.snapshot: Snapshot | None = None
        self.schema = build_schema(registry)
        self.database = Database(
            settings.database_url,
            registry,
            size=settings.pool_size,
            statement_timeout_ms=settings.statement_timeout_ms,
            role=_READ_ROLE,
        )
        self.cases = PostgresCases(self.database)
        self._policies = PostgresPolicyStore(settings.database_url, role=_READ_ROLE)
        self._audit_broken = False
        self._stopping = asyncio.Event()
        limits = Limits(
            settings.max_tokens,
            settings.max_depth,
            settings.max_repeats,
            settings.max_repeats_total,
            settings.max_aliases,
        )
        schema = self.schema.graphql
        cursor_key = settings.cursor_key or secrets.token_bytes(64)
        self.pipeline = Pipeline(
            DocumentCache(schema, limits),
            PreparedDocuments(schema),
            Planner(registry, schema, self.schema.sdl, Budget(settings.max_cost, settings.max_rows_bytes)),
            self.database,
            Executor(
                registry, self.database, {**sources, "zlaq": SourceRegister(sources)}, cursor_key, Introspector(schema)
            ),
            settings.request_deadline_ms / 1000,
            settings.public_introspection,
        )

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, *entity_packages: str, sources: Mapping[str, Source] | None = None
    ) -> AsyncIterator[Self]:
        """Check the database, read the policy in force, start sealing; everything is closed again at the end.

        Raises `SchemaDrift`, `DatabaseUnavailable`, `ConfigurationRefused`, or what the audit's checks raise; never
        starts half-ready.
        """
        registry = load_registry(*settings.entity_packages, *entity_packages)
        metrics = Metrics()
        async with AsyncExitStack() as stack:
            connected = dict(sources or {})
            if settings.sources is not None:
                configuration = load_configuration(settings.sources, registry)
                connected |= await stack.enter_async_context(open_sources(configuration, registry, metrics.fetched))
            service = cls(settings, registry, connected, metrics)
            await service.database.open()
            tasks = [asyncio.create_task(service._follow_policy())]
            try:
                await service._check()
                stored = await service._policies.current()
                if stored is not None:
                    service._take(stored)
                tasks.append(asyncio.create_task(service._seal()))
                yield service
            finally:
                service._stopping.set()
                tasks[0].cancel()
                await asyncio.wait(tasks, timeout=_DRAIN_SECONDS)
                await service.database.close()
                await service._policies.close()

    async def answer(self, question: Question, subject: Subject, request_id: str, until: float | None = None) -> Answer:
        """Answer one operation; what goes wrong is in the answer, as the error catalogue has it.

        `until`, in the event loop's time, is when the caller stops waiting.
        """
        try:
            self._require_audit()
            return await self.pipeline.answer(question, subject, self.snapshot, request_id, until)
        except Exception as error:  # noqa: BLE001 - everything becomes a catalogue error
            answer = refusal(error, request_id)
            # A refusal is kept with its document: it must not keep this request's frames.
            error.__traceback__ = None
            return answer

    def _require_audit(self) -> None:
        if self._audit_broken:
            raise AuditUnavailable

    async def explain(self, question: Question, subject: Subject) -> str:
        """The decision, the plan and its SQL with PostgreSQL's own plan, as text; nothing is executed."""
        granted, asked = self.pipeline.grant(question, subject, self.snapshot, "explain", 0)
        verdicts = [
            f"{coordinate}: clear {clear}; masked {masked}; rules {', '.join(granted.lifted.rules[coordinate]) or '-'}"
            for coordinate, (clear, masked) in granted.lifted.texts.items()
        ]
        sql = [self.database.describe(statement) for statement in granted.ready.statements]
        return "\n".join([f"revision {asked.revision}", *verdicts, "", str(granted.ready.plan), "", *sql])

    async def ready(self) -> Mapping[str, bool]:
        """Which parts can work now."""
        try:
            await asyncio.wait_for(self.database.fetch("select 1"), 2)
            database = True
        except (DatabaseUnavailable, TimeoutError):
            database = False
        return {"database": database, "policy": self.snapshot is not None, "audit": not self._audit_broken}

    async def _check(self) -> None:
        """Refuse to start on a database that is not what the declarations and the audit rely on."""
        async with self.database.borrowed() as connection:
            await check_durable(connection)
            found = []
            for entity in self.registry.entities.values():
                actual = await actual_columns(connection, entity.table)
                found += drift(entity, self.registry.values, actual)
        if found:
            raise SchemaDrift("; ".join(found[:10]))

    def _take(self, stored: StoredRevision) -> None:
        """Swap to a published revision, or keep the one in force if it is refused; one reference, so all or nothing."""
        try:
            revision = parse_revision(stored.rules, stored.classes, stored.kinds)
            snapshot = build_snapshot(revision, self.registry)
        except (PolicyRefused, InvalidRevision):
            log(Event.POLICY_REFUSED, revision=stored.id, findings=1)
            return
        self.snapshot = snapshot
        self.metrics.policy.info({"revision": stored.id})
        log(Event.POLICY_PUBLISHED, revision=stored.id, rules=len(revision.rules))

    async def _follow_policy(self) -> None:
        known = None
        while True:
            stored = await self._policies.wait_for_change(known)
            known = stored.id
            if self.snapshot is None or self.snapshot.revision.id != stored.id:
                self._take(stored)

    async def _seal(self) -> None:
        if self.settings.audit_heads is None:
            return
        sealer = Sealer(self.settings.database_url, self.settings.audit_heads)
        try:
            await sealer.run(self._stopping)
        except (AuditTampered, HeadsUnavailable, OSError) as error:
            self._audit_broken = True
            log(Event.AUDIT_FAILED, exception=type(error).__name__)


def refusal(error: BaseException, request_id: str) -> Answer:
    """The answer to a request that was refused or failed as a whole."""
    entry = entry_for(error)
    if entry.code.startswith("ZQ5"):
        log_failure(request_id, entry.code, error)
    body = orjson.dumps({"errors": errors_of(error, request_id)})
    return Answer(entry.status, body, entry.code, "")
