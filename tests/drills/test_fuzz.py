"""Thousands of hostile documents and bodies: none costs more than the goal, none is a fault of ours.

What is measured is processor time of the thread that answers, of documents that no cache knows; a document that seems
too costly is measured again, spelt otherwise, since a collection of garbage may fall into any. The goal and its margin
are those of `tests/server/test_hostile_documents.py`.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from policy.subject import PUBLIC_SUBJECT
from server.app import build_app
from server.catalogue import CATALOGUE
from server.pipeline import Question
from server.service import Service
from server.settings import Settings
from tests.drills.hostile import INTROSPECTION, Generator, bodies
from tests.server.test_hostile_documents import GOAL_SECONDS, MARGIN, MINISTRY, spelt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from policy.subject import Subject
    from tests.drills.hostile import Hostile

DOCUMENTS, INTROSPECTIONS, BODIES = 2_200, 60, 500
CODES = {entry.code for entry in CATALOGUE.values()} | {"OK"}


@dataclass
class Costs:
    """Processor time and fate of everything that was asked."""

    seconds: list[float] = field(default_factory=list)
    codes: Counter[str] = field(default_factory=Counter)
    worst: tuple[float, str] = (0.0, "")

    def add(self, seconds: float, code: str, what: str) -> None:
        """Count one; raises `AssertionError` if it was a fault of ours or too costly."""
        assert code in CODES
        assert not code.startswith("ZQ5"), (code, what)
        assert seconds <= GOAL_SECONDS * MARGIN, f"{seconds:.3f} s, {code}: {what}"
        self.seconds.append(seconds)
        self.codes[code] += 1
        self.worst = max(self.worst, (seconds, what))

    def __str__(self) -> str:
        listed = sorted(second * 1000 for second in self.seconds)
        p99, median = listed[len(listed) * 99 // 100], listed[len(listed) // 2]
        codes = ", ".join(f"{code} {number}" for code, number in self.codes.most_common())
        return (
            f"{len(listed)}: worst {listed[-1]:.0f} ms ({self.worst[1][:60]!r}), p99 {p99:.1f} ms,"
            f" median {median:.2f} ms; {codes}"
        )


async def least(ask: Callable[[int], Awaitable[str]]) -> tuple[float, str]:
    """Processor time and code of a question; asked again, at most twice, while it seems too costly."""
    spent, code = [], ""
    for run in range(3):
        began = time.thread_time()
        code = await ask(run)
        spent.append(time.thread_time() - began)
        if spent[-1] <= GOAL_SECONDS:
            break
    return min(spent), code


@pytest.fixture
def limits(database: str) -> Settings:
    """The limits as delivered, but for time, which other processes of the machine may take."""
    return Settings(database_url=database, statement_timeout_ms=60_000, request_deadline_ms=120_000)


async def measure(service: Service, subject: Subject, asked: Iterable[Hostile]) -> Costs:
    """Ask each document as one subject; raises `AssertionError` at the first that is a fault or too costly."""
    costs = Costs()
    for hostile in asked:

        async def ask(run: int, hostile: Hostile = hostile) -> str:
            # Answers from the schema are kept by what is selected, however it is spelt.
            service.pipeline.executor._introspector._answers.clear()
            answer = await service.answer(Question(spelt(hostile.query, run), hostile.variables, None), subject, "fuzz")
            assert answer.status < 500, (answer.code, hostile.query)
            assert ("data" in orjson.loads(answer.body)) is (answer.code == "OK")
            return answer.code

        costs.add(*await least(ask), f"{hostile.family}: {hostile.query}")
    return costs


@pytest.mark.prove
@pytest.mark.parametrize("subject", [PUBLIC_SUBJECT, MINISTRY], ids=["public", "ministry"])
async def test_documents_are_refused_or_answered_cheaply(limits: Settings, subject: Subject):
    """As the public, who has no name to lose, and as the ministry, to whom most is open."""
    async with Service.open(limits) as service:
        generator = Generator(service.schema.graphql, 5 + len(subject.id))
        families = [family for family in generator.families if family != INTROSPECTION]
        costs = await measure(service, subject, generator.make(DOCUMENTS // 2, families))
    print(f"documents as {subject.id}, {costs}")  # noqa: T201
    assert costs.codes["OK"] > 50, "nothing got past the refusals: the generator does not fit the schema"


@pytest.mark.prove
@pytest.mark.xfail(reason="an introspection is not weighed by the types that it goes through", strict=True)
async def test_introspections_are_refused_or_answered_cheaply(limits: Settings):
    """As a caller with a name, since the public may not ask for the schema."""
    async with Service.open(limits) as service:
        generator = Generator(service.schema.graphql, 9)
        costs = await measure(service, MINISTRY, generator.make(INTROSPECTIONS, [INTROSPECTION]))
    print(f"introspections, {costs}")  # noqa: T201


@pytest.mark.prove
async def test_bodies_are_refused_or_answered_cheaply(limits: Settings):
    """Through the application as a server calls it: what is no JSON, no envelope, or one that nobody would write."""
    costs = Costs()
    app = build_app(limits)
    async with app.router.lifespan_context(app):
        schema = app.state.service.schema.graphql
        for body in bodies(Generator(schema, 6), 6, BODIES):

            async def ask(run: int, body: bytes = body) -> str:
                status, told = await post(app, body + b" " * run)
                assert status < 500, (status, body[:200])
                answer = orjson.loads(told)
                return "OK" if "data" in answer else str(answer["errors"][0]["extensions"]["code"])

            costs.add(*await least(ask), repr(body[:200]))
    print(f"bodies, {costs}")  # noqa: T201
    assert costs.codes["OK"] > 10


async def post(app: Any, body: bytes) -> tuple[int, bytes]:
    """One request, as uvicorn hands it over."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/graphql", "raw_path": b"/graphql", "query_string": b"", "root_path": "",
        "headers": [(b"content-type", b"application/json")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])
