"""The third stage form: values of other systems stand exactly where they belong, and only those that may be seen."""

from __future__ import annotations

import random

import asyncpg
import orjson
import pytest

from policy.subject import PUBLIC_SUBJECT
from server.pipeline import Question
from tests.declared.tables import insert
from tests.resolvers.sources import (
    ALARMS,
    BY_NO,
    COUNTY,
    CRANES,
    DEPT,
    HOME,
    LIFTS,
    READING,
    Monitor,
    Remote,
    opened_with,
    reading,
    seen_alarms,
    seen_reading,
)


async def test_every_value_stands_at_its_row(remote: Remote):
    """Lists in lists, hostile neighbours, keys that repeat or are missing: each value at the row it was asked for."""
    decoded = await remote.ask(
        f"{{ cranes(first: 100) {{ nodes {{ craneNo name lifts {{ liftNo name reading {READING} alarms {ALARMS}"
        f" inner: innerReading {READING} again: reading {{ w: weight }} }} }} }} }}"
    )
    assert "errors" not in decoded
    found = decoded["data"]["cranes"]["nodes"]
    assert [(crane["craneNo"], crane["name"]) for crane in found] == [(c["crane_no"], c["name"]) for c in CRANES]
    lifts = [lift for crane in found for lift in crane["lifts"]]
    assert [lift["liftNo"] for lift in lifts] == sorted(BY_NO)
    for lift in lifts:
        row = BY_NO[lift["liftNo"]]
        assert lift["name"] == row["name"]
        assert lift["reading"] == seen_reading(row), row
        assert lift["inner"] == seen_reading(row, inner=True), row
        assert lift["alarms"] == seen_alarms(row), row
        assert lift["again"] == (None if lift["reading"] is None else {"w": lift["reading"]["weight"]})


@pytest.mark.parametrize("seed", range(12))
async def test_any_way_to_the_rows_gives_the_same_values(remote: Remote, seed: int):
    """Pages both ways, orders, single keys, `nodes` and `_entities` in any order with repeats: the same splice."""
    chance = random.Random(seed)
    keys = [chance.choice([*BY_NO, "T99-0"]) for _ in range(chance.randrange(1, 40))]
    below = f"{{ liftNo reading {READING} alarms {ALARMS} crane {{ lifts(first: 3) {{ liftNo reading {READING} }} }} }}"
    decoded = await remote.ask(
        "query($r: [_Any!]!, $k: String!, $n: Int!) {"
        f" many: _entities(representations: $r) {{ ... on Lift {below} }}"
        f" one: lift(liftNo: $k) {below}"
        f" page: lifts(last: $n) {{ edges {{ node {below} cursor }} pageInfo {{ startCursor }} }} }}",
        r=[{"__typename": "Lift", "liftNo": key} for key in keys], k=keys[0], n=chance.randrange(1, 12),
    )  # fmt: skip
    data = decoded["data"]
    assert [item and item["liftNo"] for item in data["many"]] == [key if key in BY_NO else None for key in keys]
    every = [item for item in [*data["many"], data["one"], *(e["node"] for e in data["page"]["edges"])] if item]
    assert len(every) > len(data["page"]["edges"])
    for lift in every:
        assert lift["reading"] == seen_reading(BY_NO[lift["liftNo"]])
        assert lift["alarms"] == seen_alarms(BY_NO[lift["liftNo"]])
        for inner in lift["crane"]["lifts"]:
            assert inner["reading"] == seen_reading(BY_NO[inner["liftNo"]])


async def test_a_source_is_asked_once_for_each_set_of_fields_and_key(remote: Remote):
    """Equal keys become one, keys of one verdict one call, and no field is asked for that may not be shown."""
    await remote.ask(f"{{ cranes {{ nodes {{ lifts {{ reading {READING} }} }} }} }}")
    assert all(len(set(fetch.keys)) == len(fetch.keys) for fetch in remote.monitor.asked)
    assert all(count == 1 for count in remote.monitor.calls().values())
    shown = {"weight", "count", "taken_at"}
    within = shown | {"note", "operator", "operator_no"}
    allowed: dict[frozenset[str], set[str]] = {}
    for lift in LIFTS:
        if lift["sensor_no"] is None:
            continue
        fields = shown if lift["manage"] != HOME else within
        fields = within | {"fault"} if lift["owner_dept"] == DEPT else fields
        allowed.setdefault(frozenset(fields), set()).add(str(lift["sensor_no"]))
    assert {frozenset(fetch.fields): set(fetch.keys) for fetch in remote.monitor.asked} == allowed
    assert remote.alarms.asked == []


async def test_keys_go_in_batches_of_a_hundred(remote: Remote, remote_database: str):
    """150 keys are two calls, each of at most a hundred."""
    await insert(
        remote_database, "lift",
        [{"lift_no": f"X{n:03}", "crane_no": "X", "sensor_no": f"K{n}", "manage": HOME} for n in range(150)],
    )  # fmt: skip
    try:
        decoded = await remote.ask('{ lifts(first: 200, where: {craneNo: {eq: "X"}}) { nodes { reading { count } } } }')
        assert [lift["reading"] and lift["reading"]["count"] for lift in decoded["data"]["lifts"]["nodes"]] == [
            None if n == 9 else n for n in range(150)
        ]
        assert sorted(len(fetch.keys) for fetch in remote.monitor.asked) == [50, 100]
    finally:
        connection = await asyncpg.connect(remote_database)
        await connection.execute("delete from zlaq.lift where crane_no = 'X'")
        await connection.close()


async def test_what_is_denied_is_not_asked_for(remote: Remote):
    """Neither a constant denial nor one that depends on the row sends a key anywhere."""
    public = await remote.ask("{ lifts { nodes { liftNo score { points } innerReading { weight } } } }", PUBLIC_SUBJECT)
    assert all(lift["score"] is None and lift["innerReading"] is None for lift in public["data"]["lifts"]["nodes"])
    assert remote.monitor.asked == []
    named = {(d["coordinate"], d["verdict"]) for d in public["extensions"]["disclosure"]}
    assert {("Score.points", "DENIED"), ("Lift.innerReading", "DENIED")} <= named
    assert await remote.records() == [("lifts", "")]
    # As owner the county sees the score of some rows: only their keys may leave.
    owner = await remote.ask("{ lifts(first: 100) { nodes { liftNo score { points } } } }")
    mine = {str(lift["sensor_no"]) for lift in LIFTS if lift["owner_dept"] == DEPT and lift["sensor_no"]}
    assert {key for fetch in remote.monitor.asked for key in fetch.keys} == mine
    assert {fetch.fields for fetch in remote.monitor.asked} == {("points",)}
    for lift in owner["data"]["lifts"]["nodes"]:
        row = BY_NO[lift["liftNo"]]
        points = (lift["score"] or {}).get("points")
        expected = row["owner_dept"] == DEPT and row["sensor_no"] not in (None, "K9")
        assert points == (reading(row["sensor_no"])["points"] if expected else None)


async def test_unasked_and_hidden_values_never_leave(remote: Remote):
    """Fields beyond those asked for are dropped, and a value that is masked for a row is nowhere clear."""
    decoded = await remote.ask(f"{{ lifts(first: 100) {{ nodes {{ liftNo reading {READING} alarms {ALARMS} }} }} }}")
    text = orjson.dumps(decoded).decode()
    assert "UNASKED" not in text
    assert "110101190001010014" not in text
    canaries = {f"CANARY-{lift['sensor_no']}" for lift in LIFTS if lift["owner_dept"] == DEPT}
    assert {part.split('"')[0] for part in text.split('"fault":"')[1:]} <= canaries


async def test_sources_are_recorded_before_the_answer_leaves(remote: Remote):
    """Beside the data statement's record stands one that names every source asked, and how it went."""
    await remote.ask("{ lifts(first: 1) { nodes { liftNo } } }")
    assert await remote.records() == [("lifts", "")]
    await remote.ask("{ a: lifts { nodes { reading { count } } } b: lifts { nodes { alarms { code } } } }")
    found = await remote.records()
    assert sorted(root for root, _ in found) == ["a", "b", "sources"]
    assert orjson.loads(dict(found)["sources"]) == {
        "alarms": {"calls": 1, "outcome": "OK"},
        "monitor": {"calls": 1, "outcome": "OK"},
    }
    assert found[-1][0] == "sources"


async def test_an_answer_that_cannot_be_recorded_does_not_leave(remote_database: str):
    """If the second record cannot be written, the remote values do not leave, nor anything else."""
    connection = await asyncpg.connect(remote_database)
    async with opened_with(remote_database, Monitor("monitor"), Monitor("alarms")) as remote:
        await remote.ask("{ lifts { nodes { reading { count } } } }")
        await connection.execute("alter table audit.record add constraint no_sources check (sources = '') not valid")
        try:
            question = Question("{ lifts { nodes { liftNo reading { count } } } }", {}, None)
            answer = await remote.service.answer(question, COUNTY, "unrecorded")
            assert answer.status >= 500
            assert b'"data"' not in answer.body
        finally:
            await connection.execute("alter table audit.record drop constraint no_sources")
            await connection.close()
