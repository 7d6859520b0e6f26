"""Equal work is checked before anything is timed; here, that the check can fail, and that F1's SQL is the product's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import orjson
import pytest

from bench.agreement import coded, coordinates, difference, without
from bench.floors import SETTINGS
from bench.stage import Stage
from bench.statements import BEST, KEY, StatementChanged, recorded
from bench.workload import OPERATIONS, ROLES, variables
from demo.seed import wellknown
from demo.tokens import prepare
from schema.registry import load_registry
from schema.sdl import build_schema
from server.pipeline import Question

if TYPE_CHECKING:
    from pathlib import Path

    from demo.embedded import EmbeddedPostgres
    from server.service import Service

PAGE = [{"projectNo": "1", "contractor": {"name": "甲", "people": [{"idNo": "11*", "state": "VALID"}]}}]


@pytest.mark.parametrize(
    ("theirs", "where"),
    [
        (PAGE, ""),
        ([], "the root"),
        ([*PAGE, *PAGE], "the root"),
        ([{"projectNo": 1, "contractor": PAGE[0]["contractor"]}], "[0].projectNo"),
        ([{"projectNo": "1", "contractor": None}], "[0].contractor"),
        ([{"projectNo": "1", "contractor": {"name": "甲", "people": []}}], "[0].contractor.people"),
        ([{"projectNo": "1"}], "[0]"),
    ],
)
def test_a_difference_is_found_where_it_is(theirs: object, where: str):
    """Values by type too, lists by length, objects by their keys."""
    assert difference(PAGE, theirs).removeprefix("at ").partition(" ")[0] == where.partition(" ")[0]


def test_masked_leaves_are_left_out_and_codes_translated():
    """At their places only, in every object of a list."""
    shown = without(PAGE, {("contractor", "people", "idNo")})
    assert shown == [{"projectNo": "1", "contractor": {"name": "甲", "people": [{"state": "VALID"}]}}]
    stored = coded(shown, {("contractor", "people", "state"): {"VALID": "01"}})
    assert stored[0]["contractor"]["people"] == [{"state": "01"}]


def test_places_are_those_of_the_answer():
    """A page's nodes are no step, as in the answers compared."""
    schema = build_schema(load_registry()).graphql
    found = coordinates(schema, OPERATIONS["Q3"])
    assert found["contractor", "safetyManagers", "idNo"] == "SafetyManagerCertificate.idNo"
    assert found["projectNo",] == "Project.projectNo"
    assert coordinates(schema, OPERATIONS["Q1"])["name",] == "Project.name"


@pytest.mark.parametrize("role", ROLES)
async def test_f1_answers_as_the_product_does(
    postgres: EmbeddedPostgres, database: str, service: Service, tmp_path: Path, role: str
):
    """Its statements are recorded from the product; run alone they give the same, and write no record."""
    stage = Stage(postgres, database, tmp_path, prepare(tmp_path), [wellknown.PROJECT_COUNTY], 0.001)
    subject = await stage.subject(role)
    sent = await recorded(stage, subject, OPERATIONS)
    connection = await asyncpg.connect(database, server_settings=SETTINGS)
    try:
        for name, query in OPERATIONS.items():
            key = wellknown.PROJECT_CITY
            question = Question(query, dict(variables(name, key)), None)
            answer = orjson.loads((await service.answer(question, subject, f"bench-{role}-{name}")).body)
            records = await connection.fetchval("select count(*) from audit.record")
            given = [key if argument == KEY else argument for argument in sent[name].arguments]
            body = await connection.fetchval(sent[name].sql, *([[g] for g in given] if sent[name].batched else given))
            assert difference(next(iter(answer["data"].values())), orjson.loads(body)) == ""
            assert await connection.fetchval("select count(*) from audit.record") == records
    finally:
        await connection.close()


async def test_f2_is_valid_sql(database: str):
    """On the tables as they are."""
    connection = await asyncpg.connect(database, server_settings=SETTINGS)
    try:
        for sql in BEST.values():
            assert (await connection.fetchval(sql, wellknown.PROJECT_COUNTY)).startswith((b"{", b"["))
    finally:
        await connection.close()


async def test_two_statements_are_not_taken_for_one(postgres: EmbeddedPostgres, database: str, tmp_path: Path):
    """F1 would do less than the product."""
    stage = Stage(postgres, database, tmp_path, prepare(tmp_path), [wellknown.PROJECT_COUNTY], 0.001)
    twice = "query($no: ProjectNo!) { a: project(projectNo: $no) { name } b: project(projectNo: $no) { name } }"
    with pytest.raises(StatementChanged):
        await recorded(stage, await stage.subject("ministry"), {"Q1": twice})
