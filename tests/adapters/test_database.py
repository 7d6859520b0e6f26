"""Shared batches and connections: each caller gets its own answer and its own record, whatever befalls the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson

from demo.seed import wellknown
from policy.subject import PUBLIC_SUBJECT, Country, Level, Subject, territory_of
from server.pipeline import Question
from server.service import Service

if TYPE_CHECKING:
    from server.settings import Settings

QUERY = "query($no: ProjectNo!) { project(projectNo: $no) { projectNo totalInvestment _disclosure { field verdict } } }"
COUNTY = Subject("county", Level.COUNTY, "HOUSING", territory_of(["420106"]), (), wellknown.HOUSING_WUCHANG)
OTHER_COUNTY = Subject("other", Level.COUNTY, "HOUSING", territory_of(["420102"]), (), "JS420102-1")
MINISTRY = Subject("ministry", Level.MINISTRY, "HOUSING", Country(), (), wellknown.HOUSING_MINISTRY)
SUBJECTS = (COUNTY, OTHER_COUNTY, MINISTRY, PUBLIC_SUBJECT)
KEYS = (wellknown.PROJECT_COUNTY, wellknown.PROJECT_ELSEWHERE, "9999999999999999", wellknown.UNPUBLISHED)


async def _ask(service: Service, subject: Subject, key: str, request_id: str) -> Any:
    answer = await service.answer(Question(QUERY, {"no": key}, None), subject, request_id)
    assert answer.status == 200
    return orjson.loads(answer.body)["data"]["project"]


async def test_batched_callers_get_their_own_answers(service: Service, database: str) -> None:
    """Concurrent callers of different rights and keys share statements, never values; each has its record."""
    alone = {(s.id, key): await _ask(service, s, key, f"alone-{s.id}-{key}") for s in SUBJECTS for key in KEYS}
    before = service.database.statements_sent

    pairs = [(s, key) for _ in range(25) for s in SUBJECTS for key in KEYS]
    answers = await asyncio.gather(*(_ask(service, s, key, f"batch-{i}") for i, (s, key) in enumerate(pairs)))

    assert answers == [alone[s.id, key] for s, key in pairs]
    assert service.database.statements_sent - before < len(pairs) / 2
    connection = await asyncpg.connect(database)
    rows = await connection.fetch("select request_id, subject from audit.record where request_id like 'batch-%'")
    await connection.close()
    assert {row["request_id"]: orjson.loads(row["subject"])["id"] for row in rows} == {
        f"batch-{i}": s.id for i, (s, _) in enumerate(pairs)
    }


async def test_one_callers_cancellation_cancels_no_other(service: Service) -> None:
    """Callers that go away in the middle of a batch leave the rest of it whole."""
    expected = await _ask(service, COUNTY, wellknown.PROJECT_COUNTY, "expected")
    tasks = [asyncio.create_task(_ask(service, COUNTY, wellknown.PROJECT_COUNTY, f"cancel-{i}")) for i in range(60)]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()

    results = await asyncio.gather(*tasks, return_exceptions=True)

    kept = [result for i, result in enumerate(results) if i % 3]
    assert kept == [expected] * len(kept)


async def test_cancelled_statements_return_no_stale_rows(service: Service) -> None:
    """A connection whose statement was cancelled half-way is not used for the next caller."""
    page = "{ projects(first: 200) { nodes { name inspections { findings { itemCode } } } } }"
    for delay in (0.0, 0.001, 0.003, 0.01):
        task = asyncio.create_task(service.answer(Question(page, {}, None), MINISTRY, "cancelled"))
        await asyncio.sleep(delay)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    answer = await _ask(service, COUNTY, wellknown.PROJECT_COUNTY, "after")

    assert answer["projectNo"] == wellknown.PROJECT_COUNTY


async def test_a_lost_connection_is_replaced(settings: Settings, database: str) -> None:
    """Backends ended by the server cost the requests that were running on them, and no later one."""
    async with Service.open(settings) as service:
        await _ask(service, COUNTY, wellknown.PROJECT_COUNTY, "first")
        connection = await asyncpg.connect(database)
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'zlaq'"
        )
        await connection.close()
        await asyncio.sleep(0.1)

        answers = [
            (await service.answer(Question(QUERY, {"no": wellknown.PROJECT_COUNTY}, None), COUNTY, f"again-{i}")).status
            for i in range(10)
        ]

    assert answers[-5:] == [200] * 5


async def test_the_read_role_does_the_reading(service: Service) -> None:
    """The connections of requests work as the read role, whoever logged in."""
    rows = await service.database.fetch("select current_user, current_setting('synchronous_commit')")

    assert tuple(rows[0]) == ("zlaq_read", "on")
