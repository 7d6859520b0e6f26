"""Adding an entity touches its file, a migration and a policy revision; everything else derives from it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from demo.seed import wellknown
from policy.revision import load_default
from policy.subject import PUBLIC_SUBJECT, Level, Subject, territory_of
from server.pipeline import Question
from server.service import SchemaDrift, Service
from server.settings import Settings
from tests.conftest import publish
from tests.declared.tables import PACKAGE, another_database, create_tables, insert, opened

if TYPE_CHECKING:
    from pathlib import Path

    from demo.embedded import EmbeddedPostgres

COUNTY = Subject("county", Level.COUNTY, "HOUSING", territory_of([wellknown.WUCHANG]), dept=wellknown.HOUSING_WUCHANG)
ID = base64.b64encode(b"Crane:T1").decode()
HOME, AWAY = wellknown.WUCHANG, "330106"
CRANES: list[dict[str, object]] = [
    {
        "crane_no": "T1", "name": "一号塔吊", "height": Decimal("45.50"), "floors": 15, "erected_on": date(2026, 1, 31),
        "checked_at": datetime(2026, 2, 3, 4, 5, 6, 789, UTC), "hazard": "2", "tags": ["甲", "乙\"丙"], "in_use": True,
        "manager": "欧阳明", "price": Decimal(120), "serial": "S-1", "twin_no": "T2", "manage": HOME,
        "owner_dept": wellknown.HOUSING_WUCHANG,
    },
    {
        "crane_no": "T2", "name": "二号塔吊", "height": Decimal("45.5"), "floors": None, "manager": "李四",
        "serial": "S-2", "price": Decimal(130), "twin_no": "T3", "manage": HOME,
    },
    {"crane_no": "T3", "name": "三号塔吊", "floors": 7, "manager": "张三", "price": Decimal(140), "manage": AWAY},
    {"crane_no": "T4", "name": "四号塔吊", "manage": AWAY, "sens": 6},
]  # fmt: skip
LIFTS: list[dict[str, object]] = [
    {"lift_no": f"{crane}-{number}", "crane_no": crane, "name": f"{number}", "manage": region}
    for crane, region in (("T1", HOME), ("T3", AWAY))
    for number in range(1, 4)
]
EVERYTHING = """
    __typename id craneNo name height floors erectedOn checkedAt hazard tags inUse manager price serial
    manageRegionNodeId version updatedAt provenance { source asOf } twin { craneNo name } region { nodeId }
    lifts { liftNo name crane { craneNo } } _disclosure { field verdict }
"""


@pytest.fixture(scope="module")
async def declared_database(postgres: EmbeddedPostgres) -> str:
    """A database with the entity's table, and the policy that the product ships with."""
    dsn = await another_database(postgres.dsn, "declared")
    await create_tables(dsn)
    await insert(dsn, "crane", CRANES)
    await insert(dsn, "lift", LIFTS)
    await publish(dsn, load_default())
    return dsn


@pytest.fixture(scope="module")
async def declared(declared_database: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """The product with the tests' package of entities."""
    heads: Path = tmp_path_factory.mktemp("declared") / "heads.jsonl"
    settings = Settings(database_url=declared_database, audit_heads=heads, entity_packages=(PACKAGE,))
    async with Service.open(settings) as service:
        yield service


async def ask(service: Service, subject: Subject, query: str, **variables: Any) -> dict[str, Any]:
    """The decoded answer."""
    answer = await service.answer(Question(query, variables, None), subject, "declared")
    decoded: dict[str, Any] = orjson.loads(answer.body)
    return decoded


async def follow(service: Service, revision: str) -> None:
    """Wait until the process has taken up a revision."""
    for _ in range(200):
        if service.snapshot is not None and service.snapshot.revision.id == revision:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the revision was not taken up")


def code(decoded: dict[str, Any]) -> str:
    """The code of the only error."""
    (error,) = decoded["errors"]
    found: str = error["extensions"]["name"]
    return found


# The tests of this file run in order: first before the revision, then after it.


async def test_without_its_table_the_server_does_not_start(postgres: EmbeddedPostgres):
    """A declaration whose migration is missing is noticed at start, by name."""
    dsn = await another_database(postgres.dsn, "declared_early")
    with pytest.raises(SchemaDrift, match="crane: there is no such table"):
        async with Service.open(Settings(database_url=dsn, entity_packages=(PACKAGE,))):
            pass


async def test_before_its_revision_everything_is_denied(declared: Service):
    """Closed by default: no row, no list, no count, no condition, by whatever way, and no statement is sent."""
    sent = declared.database.statements_sent
    for subject in (COUNTY, PUBLIC_SUBJECT):
        for query, expected in (
            ('{ crane(craneNo: "T1") { name } }', {"crane": None}),
            ("{ cranes { nodes { name } totalCount pageInfo { endCursor } } }", {"cranes": None}),
            (f'{{ node(id: "{ID}") {{ id }} }}', {"node": None}),
            (f'{{ nodes(ids: ["{ID}"]) {{ id }} }}', {"nodes": [None]}),
            (
                '{ _entities(representations: [{__typename: "Crane", craneNo: "T1"}]) { ... on Crane { name } } }',
                {"_entities": [None]},
            ),
        ):
            decoded = await ask(declared, subject, query)
            assert decoded["data"] == expected, query
            assert {"coordinate": "Crane.__row__", "verdict": "DENIED"} in decoded["extensions"]["disclosure"]
        assert code(await ask(declared, subject, '{ cranes(where: {name: {eq: "x"}}) { totalCount } }')) == (
            "FILTER_REFUSED"
        )
        assert code(await ask(declared, subject, "{ cranes(where: {lifts: {some: {}}}) { totalCount } }")) == (
            "FILTER_REFUSED"
        )
        assert code(await ask(declared, subject, "{ cranes(orderBy: [{field: NAME}]) { totalCount } }")) == (
            "ORDER_REFUSED"
        )
    assert declared.database.statements_sent == sent


async def test_the_revision_opens_it_as_its_classes_say(declared: Service, declared_database: str):
    """Nothing is restarted: the row is there, each attribute as its class and the row's region permit."""
    revision = opened()
    await publish(declared_database, revision)
    await follow(declared, revision.id)
    decoded = await ask(declared, COUNTY, "query($k: String!) { crane(craneNo: $k) {" + EVERYTHING + "} }", k="T1")
    assert decoded["data"]["crane"] == {
        "__typename": "Crane",
        "id": ID,
        "craneNo": "T1",
        "name": "一号塔吊",
        "height": "45.50",
        "floors": 15,
        "erectedOn": "2026-01-31",
        "checkedAt": "2026-02-03T04:05:06.000789Z",
        "hazard": decoded["data"]["crane"]["hazard"],
        "tags": ["甲", '乙"丙'],
        "inUse": True,
        "manager": "欧**",
        "price": "120",
        "serial": "S-1",
        "manageRegionNodeId": HOME,
        "version": 1,
        "updatedAt": "2026-01-01T00:00:00.000000Z",
        "provenance": None,
        "twin": {"craneNo": "T2", "name": "二号塔吊"},
        "region": {"nodeId": "420106"},
        "lifts": [{"liftNo": f"T1-{n}", "name": f"{n}", "crane": {"craneNo": "T1"}} for n in (1, 2, 3)],
        "_disclosure": [{"field": "manager", "verdict": "MASKED"}],
    }
    assert isinstance(decoded["data"]["crane"]["hazard"], str)
    away = (await ask(declared, COUNTY, '{ crane(craneNo: "T3") {' + EVERYTHING + "} }"))["data"]["crane"]
    assert (away["manager"], away["price"], away["serial"], away["floors"]) == (None, None, None, 7)
    assert {(d["field"], d["verdict"]) for d in away["_disclosure"]} == {
        ("manager", "DENIED"), ("price", "DENIED"), ("serial", "DENIED"),
    }  # fmt: skip
    hidden = await ask(declared, COUNTY, '{ crane(craneNo: "T4") {' + EVERYTHING + "} }")
    missing = await ask(declared, COUNTY, '{ crane(craneNo: "T5") {' + EVERYTHING + "} }")
    assert hidden == missing == {"data": {"crane": None}, "extensions": hidden["extensions"]}


async def test_every_way_to_it_works(declared: Service):
    """Root, page, filter, order, cursor, count, node, nodes, _entities and the relations of others."""
    one = await ask(declared, COUNTY, "query($i: ID!) { node(id: $i) { id ... on Crane { name } } }",
                    i=base64.b64encode(b"Crane:T2").decode())  # fmt: skip
    assert one["data"]["node"]["name"] == "二号塔吊"
    many = await ask(
        declared, COUNTY, "query($r: [_Any!]!) { _entities(representations: $r) { ... on Crane { craneNo } } }",
        r=[{"__typename": "Crane", "craneNo": key} for key in ("T3", "T4", "T1", "T9")],
    )  # fmt: skip
    assert many["data"]["_entities"] == [{"craneNo": "T3"}, None, {"craneNo": "T1"}, None]
    for where, expected in (
        ({}, ["T1", "T2", "T3"]),
        ({"name": {"startsWith": "二"}}, ["T2"]),
        ({"height": {"gte": "45.5", "lt": "45.51"}}, ["T1", "T2"]),
        ({"floors": {"isNull": True}}, ["T2"]),
        ({"not": {"floors": {"gt": 10}}}, ["T3"]),
        ({"or": [{"inUse": {"eq": True}}, {"craneNo": {"in": ["T3"]}}]}, ["T1", "T3"]),
        ({"manageRegionNodeId": {"under": "420000"}}, ["T1", "T2"]),
        ({"price": {"gt": "0"}}, ["T1", "T2"]),
        ({"serial": {"isNull": False}}, ["T1"]),
        ({"lifts": {"some": {"liftNo": {"eq": "T3-2"}}}}, ["T3"]),
        ({"lifts": {"none": {}}}, ["T2"]),
        ({"twin": {"craneNo": {"eq": "T3"}}}, ["T2"]),
        ({"twin": {}}, ["T1", "T2"]),
        ({"erectedOn": {"eq": "2026-01-31"}}, ["T1"]),
        ({"checkedAt": {"lte": "2026-02-03T04:05:06.000789Z"}}, ["T1"]),
    ):
        decoded = await ask(
            declared, COUNTY, "query($w: CraneWhere) { cranes(where: $w) { nodes { craneNo } totalCount } }", w=where
        )
        assert "errors" not in decoded, (where, decoded)
        assert decoded["data"]["cranes"] == {
            "nodes": [{"craneNo": key} for key in expected], "totalCount": len(expected),
        }, where  # fmt: skip
    for order, expected in (
        ("[{field: FLOORS}]", ["T3", "T1", "T2"]),
        ("[{field: FLOORS, direction: DESC}]", ["T1", "T3", "T2"]),
        ("[{field: HEIGHT}, {field: CRANE_NO, direction: DESC}]", ["T2", "T1", "T3"]),
        ("[{field: CHECKED_AT}]", ["T1", "T2", "T3"]),
    ):
        decoded = await ask(declared, COUNTY, f"{{ cranes(orderBy: {order}) {{ edges {{ node {{ craneNo }} }} }} }}")
        assert [e["node"]["craneNo"] for e in decoded["data"]["cranes"]["edges"]] == expected, order
    first = await ask(declared, COUNTY, "{ cranes(first: 2) { pageInfo { endCursor hasNextPage } } }")
    info = first["data"]["cranes"]["pageInfo"]
    assert info["hasNextPage"] is True
    rest = await ask(declared, COUNTY, "query($a: String) { cranes(first: 2, after: $a) { nodes { craneNo } } }",
                     a=info["endCursor"])  # fmt: skip
    assert rest["data"]["cranes"]["nodes"] == [{"craneNo": "T3"}]


async def test_a_personal_or_restricted_attribute_is_filtered_only_where_it_may_be_read(declared: Service):
    """The county owns one crane's record, so that one's number can be found; the public is refused by name."""
    query = "query($w: CraneWhere) { cranes(where: $w) { nodes { craneNo } } }"
    for serial, expected in (("S-1", [{"craneNo": "T1"}]), ("S-2", []), ("S-3", [])):
        decoded = await ask(declared, COUNTY, query, w={"serial": {"eq": serial}})
        assert decoded["data"]["cranes"]["nodes"] == expected
    sent = declared.database.statements_sent
    refused = await ask(declared, PUBLIC_SUBJECT, query, w={"serial": {"eq": "S-1"}})
    assert code(refused) == "FILTER_REFUSED"
    assert "Crane.serial" in refused["errors"][0]["message"]
    assert "S-1" not in orjson.dumps(refused).decode()
    assert declared.database.statements_sent == sent


async def test_it_stands_in_the_schema(declared: Service):
    """Type, roots, inputs, key and Chinese descriptions derive from the declaration."""
    sdl = (await ask(declared, PUBLIC_SUBJECT, "{ _service { sdl } }"))["data"]["_service"]["sdl"]
    for part in (
        'type Crane implements Node @key(fields: "craneNo")',
        "crane(",
        "cranes(",
        "input CraneWhere",
        "enum CraneSortField",
        "input CraneOrder",
        "type CraneConnection",
        '"""出厂编号"""',
        "reading: Reading",
        "alarms(first: Int! = 20): [Alarm!]",
    ):
        assert part in sdl, part


async def test_a_revision_closes_it_again(declared: Service, declared_database: str):
    """An answer belongs to one revision; the next one denies what the last had opened."""
    default = load_default()
    await publish(declared_database, default)
    await follow(declared, default.id)
    decoded = await ask(declared, COUNTY, '{ crane(craneNo: "T1") { name } }')
    assert decoded["data"] == {"crane": None}
