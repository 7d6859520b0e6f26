"""Two hundred requests at a time, of callers who may see different things: nobody gets a word of another's.

They ask the same documents over connections that are kept, so that they share plans, batches and statements, and some
of them leave in the middle. An answer must be, byte by byte, what its caller gets alone; whose canary may stand in it
is known beforehand; and its audit record must name its caller.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from demo.counterparts import start
from tests.drills.canaries import ENTERPRISE, REMOTE, Caller, operations, plant, shows_own, tokens
from tests.drills.load import Operation, Outcome, ServerProcess
from tests.drills.trail import execute, forget, run, seed
from tests.drills.workload import SETTINGS, Refusal, alone, refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from demo.embedded import EmbeddedPostgres

AT_A_TIME = 200
ABORTED_SHARE = 0.08
HOT_SHARE = 0.5
"""How many of a round ask for the same record with the same document, so that they meet in its statements."""
WIDE = {**SETTINGS, "MAX_CONCURRENT": str(AT_A_TIME), "REQUEST_DEADLINE_MS": "20000", "STATEMENT_TIMEOUT_MS": "10000"}
HASTY = {**WIDE, "REQUEST_DEADLINE_MS": "400"}
"""A deadline that cuts many requests off while their batch is on its way."""


@dataclass
class Crowd:
    """Clients of one server, each with connections that it keeps."""

    served: ServerProcess
    asked: Mapping[Operation, Caller]
    expected: Mapping[Operation, bytes]
    seed: int = 1
    aborted: int = 0
    outcomes: list[Outcome] = field(default_factory=list)

    async def rounds(self, number: int) -> None:
        """So many rounds of two hundred requests at a time."""
        # The server closes what has been idle for five seconds.
        connector = aiohttp.TCPConnector(limit=AT_A_TIME, keepalive_timeout=2)
        chance = random.Random(self.seed)
        listed = list(self.asked)
        async with aiohttp.ClientSession(self.served.address, connector=connector) as client:
            for _ in range(number):
                hot = chance.choice([operation for operation in listed if operation.query == ENTERPRISE])
                same = [o for o in listed if (o.query, o.variables) == (hot.query, hot.variables)]
                chosen = [chance.choice(same if chance.random() < HOT_SHARE else listed) for _ in range(AT_A_TIME)]
                leaving = [chance.uniform(0, 0.4) if chance.random() < ABORTED_SHARE else None for _ in chosen]
                await asyncio.gather(*map(self._one, [client] * AT_A_TIME, chosen, leaving))

    async def _one(self, client: aiohttp.ClientSession, operation: Operation, leave_after: float | None) -> None:
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(leave_after),
                client.post("/graphql", data=operation.body, headers=operation.headers) as reply,
            ):
                body = await reply.read()
        except TimeoutError:
            self.aborted += 1
            return
        spent = time.monotonic() - began
        self.outcomes.append(Outcome(operation, began, spent, reply.status, reply.headers["x-request-id"], body))


@dataclass(frozen=True)
class Judged:
    """What became of the requests: those that are wrong, and how many were right or refused."""

    foreign: list[tuple[str, bytes]]
    other: list[tuple[str, bytes]]
    same: int
    partly: int
    refused: Mapping[Refusal, int]


def judge(crowd: Crowd, callers: Sequence[Caller]) -> Judged:
    """Look for canaries of others in every answer, and compare it with what its caller gets alone.

    `partly` are answers in which a local system's value is missing, with an error in its place: only their canaries can
    be judged.
    """
    foreign, other, same, partly = [], [], 0, 0
    refused: Counter[Refusal] = Counter()
    for outcome in crowd.outcomes:
        one = crowd.asked[outcome.operation]
        if strangers(outcome.body, one, callers):
            foreign.append((one.name, outcome.body))
        if outcome.status != 200:
            refused[refusal(outcome.status, outcome.body)] += 1
        elif outcome.body == crowd.expected[outcome.operation]:
            same += 1
        elif outcome.operation.query == REMOTE and "errors" in orjson.loads(outcome.body):
            partly += 1
        else:
            other.append((one.name, outcome.body))
    return Judged(foreign, other, same, partly, refused)


def strangers(body: bytes, one: Caller, callers: Sequence[Caller]) -> list[str]:
    """Whose canaries stand in an answer, but for the caller's own."""
    return [other.canary for other in callers if other is not one and other.canary.encode() in body]


def alone_each(
    served: ServerProcess, asked: Mapping[Operation, Caller], callers: Sequence[Caller]
) -> dict[Operation, bytes]:
    """What each gets alone; its own canary is there exactly where it asks for it, and nobody else's."""
    found = {operation: alone(served, operation) for operation in asked}
    for operation, body in found.items():
        one = asked[operation]
        assert strangers(body, one, callers) == []
        assert (one.canary.encode() in body) is shows_own(operation, one), (one, operation.query, body)
        assert b'"errors"' not in body
    return found


async def subjects(dsn: str) -> dict[str, set[str]]:
    """Request id to the accounts that its records name."""
    found: dict[str, set[str]] = {}
    for row in await execute(dsn, "select request_id, subject::json ->> 'id' from audit.record"):
        found.setdefault(row[0], set()).add(row[1])
    return found


SHARED = """select count(*), coalesce(max(callers), 0) from (
    select count(distinct request_id) as requests, count(distinct subject) as callers from audit.record group by xid
) s where requests > 1"""


def drill(
    crowd: Crowd, callers: Sequence[Caller], dsn: str, rounds: int, refusals: Collection[Refusal] = ()
) -> str:  # fmt: skip
    """Let the crowd ask, and judge what it got."""
    began = time.monotonic()
    run(crowd.rounds(rounds))
    spent = time.monotonic() - began
    judged = judge(crowd, callers)
    assert judged.foreign == []
    assert judged.other == []
    assert judged.refused.keys() <= set(refusals), judged.refused
    # A local system that is asked too much at a time may say so, now and then.
    assert judged.partly <= len(crowd.outcomes) // 20
    named = run(subjects(dsn))
    answered = [o for o in crowd.outcomes if o.status == 200]
    assert {o.request_id: named.get(o.request_id) for o in answered} == {
        o.request_id: {crowd.asked[o.operation].name} for o in answered
    }
    commits, most = run(execute(dsn, SHARED))[0]
    assert most > 1, "no batch was shared by two callers: nothing was proved"
    refused = ", ".join(f"{code} {number}" for (_, code), number in judged.refused.items()) or "none"
    return (
        f"{rounds} rounds of {AT_A_TIME} requests of {len(callers)} callers in {spent:.0f} s: {judged.same} answers as"
        f" alone, {judged.partly} with a source's error, foreign canaries 0, other answers 0, records of another caller"
        f" 0; refused: {refused}; {crowd.aborted} clients left; {commits} commits held records of several requests,"
        f" of up to {most} callers"
    )


@pytest.fixture(scope="module")
def planted(maltreated: EmbeddedPostgres) -> str:
    """Address of a database of its own, for the canaries."""
    maltreated.start()
    run(execute(maltreated.dsn, "create database crosstalk"))
    dsn = maltreated.dsn.replace("/postgres?", "/crosstalk?")
    run(seed(dsn))
    return dsn


@pytest.fixture(scope="module")
def callers(planted: str) -> list[Caller]:
    """Who asks, with a canary each."""
    found: list[Caller] = run(plant(planted))
    return found


@pytest.fixture
def database(planted: str, callers: list[Caller]) -> str:
    """That database, with an empty trail."""
    run(forget(planted))
    return planted


def test_callers_get_nothing_of_each_other(database: str, callers: list[Caller], tmp_path: Path):
    """A short form of the drill."""
    with ServerProcess(database, tmp_path, WIDE) as served:
        asked = operations(callers, tokens(served.issuer, callers), full=False)
        crowd = Crowd(served, asked, alone_each(served, asked, callers))
        drill(crowd, callers, database, 1)


@pytest.mark.prove
def test_callers_get_nothing_of_each_other_for_long(
    database: str, callers: list[Caller], maltreated: EmbeddedPostgres, tmp_path: Path
):
    """With values of local systems among the answers; then with a deadline that cuts many requests off."""
    with start(tmp_path / "counterparts", maltreated.dsn) as counterparts:
        sources = {"SOURCES": str(counterparts.sources)}
        with ServerProcess(database, tmp_path, WIDE | sources) as served:
            asked = operations(callers, tokens(served.issuer, callers), full=True)
            expected = alone_each(served, asked, callers)
            print(drill(Crowd(served, asked, expected), callers, database, 25))  # noqa: T201
        run(forget(database))
        (tmp_path / "heads.jsonl").unlink()
        with ServerProcess(database, tmp_path, HASTY | sources) as served:
            crowd = Crowd(served, asked, expected, seed=2)
            cut_off = {(504, "ZQ504"), (504, "ZQ505"), (503, "ZQ503")}
            print(f"in haste: {drill(crowd, callers, database, 10, cut_off)}")  # noqa: T201


def test_a_foreign_canary_would_be_found(callers: list[Caller]):
    """The judge of the drill: another's canary, and an answer that is anybody's but the caller's."""
    asked = operations(callers, {one.name: one.name for one in callers}, full=False)
    (operation, one), other = next(iter(asked.items())), callers[1]
    served = ServerProcess("", Path())
    bodies = (b'"x"', f'"{other.canary}"'.encode(), b'"y"')
    outcomes = [Outcome(operation, 0, 0, 200, "", body) for body in bodies]
    crowd = Crowd(served, asked, {operation: b'"x"'}, outcomes=outcomes)
    assert judge(crowd, callers) == Judged(
        [(one.name, bodies[1])], [(one.name, bodies[1]), (one.name, bodies[2])], 1, 0, {}
    )
