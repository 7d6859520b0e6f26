"""What a caller may not read reaches neither statements, answers, errors nor logs, and cannot be probed.

A database of its own has a recognisable text (a canary) in every personal, restricted and conditional column. Several
callers ask for everything there is, and then the hidden values are changed: whoever could not see them must get the
same bytes again.
"""

from __future__ import annotations

import base64
import logging
import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import orjson
import pytest

from adapters.postgres.audit import decode_rows
from demo.seed import wellknown as known
from demo.seed.load import load
from policy.revision import load_default
from policy.subject import PUBLIC_SUBJECT, Country, Level, NoTerritory, Subject, territory_of
from schema.declare import CONDITIONAL, PERSONAL, RESTRICTED, Attribute, Relation
from schema.predicate import Never
from schema.registry import Entity, Field, TypeKind, load_registry
from schema.scalars import Kind
from server.pipeline import Question
from server.service import Service
from server.settings import Settings
from tests.conftest import publish
from tests.declared.tables import another_database
from tests.drills.load import ServerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from demo.embedded import EmbeddedPostgres

AWAY, ENTERPRISE_AWAY = "330106", known.USCC_OF_NOBODY
SUBJECTS = {
    "public": PUBLIC_SUBJECT,
    "county": Subject("county", Level.COUNTY, "HOUSING", territory_of([known.WUCHANG]), dept=known.HOUSING_WUCHANG),
    "county elsewhere": Subject("away", Level.COUNTY, "HOUSING", territory_of([AWAY]), dept="JS330106-1"),
    "city": Subject("city", Level.CITY, "HOUSING", territory_of([known.WUHAN]), dept=known.HOUSING_WUHAN),
    "province": Subject("province", Level.PROVINCE, "HOUSING", territory_of([known.HUBEI]), dept=known.HOUSING_HUBEI),
    "ministry": Subject("ministry", Level.MINISTRY, "HOUSING", Country(), dept=known.HOUSING_MINISTRY),
    "data authority": Subject("data", Level.PROVINCE, "DATA_AUTH", territory_of([known.HUBEI]), dept="SJ420000-1"),
    "emergency": Subject("emergency", Level.CITY, "EMERGENCY", territory_of([known.WUHAN]), dept="YJ420100-1"),
    "other office": Subject("other", Level.CITY, "OTHER_GOV", territory_of([known.WUHAN]), dept="QT420100-1"),
    "enterprise": Subject("ent", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise=known.CONTRACTOR),
    "enterprise elsewhere": Subject("ent2", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise=ENTERPRISE_AWAY),
    "person": Subject("person", Level.PERSON, "PERSON", NoTerritory(), person=known.PERSON),
}
ATTACKERS = ("public", "county elsewhere", "enterprise elsewhere", "other office")
REGISTRY = load_registry()
CANARY = "CANARY"
CITIZEN_NO, OTHER_NO = "555555190001019999", "666666190001018888"
HIDDEN_CLASSES = (CONDITIONAL, PERSONAL, RESTRICTED)


def attributes(entity: Entity) -> list[Field]:
    """The attributes of an entity."""
    return [f for f in entity.fields.values() if isinstance(f.member, Attribute)]


def columns_of(field: Field) -> list[str]:
    """The columns that hold an attribute."""
    return list((field.attribute.columns or {}).values()) or [field.attribute.column]


def selection(field: Field) -> str:
    """The field with whatever must be selected below it."""
    if field.type.kind is not TypeKind.VALUE:
        return field.field
    return f"{field.field} {{ {' '.join(REGISTRY.values[field.type.name].fields)} }}"


def canaries(number: str, marker: str) -> list[str]:
    """The statements that put a recognisable value into every hidden column that can take one."""
    found = []
    for entity in REGISTRY.entities.values():
        for field in attributes(entity):
            attribute = field.attribute
            if attribute.sharing not in HIDDEN_CLASSES or field.codes or field.type.kind is TypeKind.VALUE:
                continue
            if field.scalar is None or field.scalar.kind is not Kind.TEXT or field.name == entity.key.name:
                continue
            value = f"'{number}'" if field.type.name == "CitizenNo" else f"'{marker}-{entity.name}-{field.field}'"
            value = f"array[{value}]" if field.type.is_list else value
            found.append(f"update zlaq.{entity.table} set {attribute.column} = {value}")
    return found


async def execute(dsn: str, *statements: str) -> None:
    """Run statements as the owner, no trigger firing."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="module")
async def leak_database(postgres: EmbeddedPostgres) -> str:
    """The miniature of the demo with canaries in it."""
    dsn = await another_database(postgres.dsn, "leak")
    await load(dsn, 0.001)
    await execute(dsn, *canaries(CITIZEN_NO, CANARY))
    await publish(dsn, load_default())
    return dsn


@pytest.fixture(scope="module")
async def leaky(leak_database: str) -> AsyncIterator[Service]:
    """The product on that database."""
    async with Service.open(Settings(database_url=leak_database, max_cost=100_000)) as service:
        yield service


@pytest.fixture(scope="module")
def process(leak_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The same as a process that logs all it can."""
    directory: Path = tmp_path_factory.mktemp("leak")
    with ServerProcess(leak_database, directory, {"LOG_LEVEL": "DEBUG"}) as running:
        yield running


async def ask(service: Service, subject: Subject, query: str, **variables: Any) -> tuple[int, bytes]:
    """Status and bytes, under one request id."""
    answer = await service.answer(Question(query, variables, None), subject, "fixed")
    return answer.status, answer.body


def global_id(type_name: str, key: str) -> str:
    """A Relay identifier."""
    return base64.b64encode(f"{type_name}:{key}".encode()).decode()


@pytest.mark.parametrize("entity", REGISTRY.entities)
@pytest.mark.parametrize("role", SUBJECTS)
async def test_a_denied_column_stands_in_no_statement(leaky: Service, role: str, entity: str):
    """Whatever is denied for every row: not in the SQL at all (policy columns aside), null, and said to be denied."""
    subject, declared = SUBJECTS[role], REGISTRY.entities[entity]
    assert leaky.snapshot is not None
    decision = leaky.snapshot.decide(subject, 1_780_000_000)
    policy = {declared.governed.column(f"@{name}") for name in (
        "manage", "manage2", "manage4", "site", "site2", "site4", "owner_dept", "holder_uscc", "holder_person",
        "case_no", "sens",
    )}  # fmt: skip
    hidden = isinstance(decision.row(declared).clear, Never)
    for field in attributes(declared):
        if field.name == declared.key.name and not hidden:
            continue
        verdict = decision.field(declared, field)
        if not (isinstance(verdict.clear, Never) and isinstance(verdict.masked, Never)):
            continue
        query = f"{{ all: {declared.plural}(first: 30) {{ nodes {{ it: {selection(field)} }} }} }}"
        granted, _ = leaky.pipeline.grant(Question(query, {}, None), subject, leaky.snapshot, "fixed", 0)
        statements = [statement.compiled.sql for statement in granted.ready.statements]  # type: ignore[attr-defined]
        assert (len(statements) == 0) is hidden
        for column in columns_of(field):
            if column not in policy and column != declared.key.attribute.column:
                assert not any(re.search(rf"\b{column}\b", sql) for sql in statements), (column, statements)
        sent = leaky.database.statements_sent
        status, body = await ask(leaky, subject, query)
        assert status == 200
        assert leaky.database.statements_sent - sent == len(statements)
        decoded = orjson.loads(body)
        if hidden:
            assert decoded["data"]["all"] is None
            continue
        assert {node["it"] for node in decoded["data"]["all"]["nodes"]} <= {None}
        assert {"coordinate": field.coordinate, "verdict": "DENIED"} in decoded["extensions"]["disclosure"]
        assert CANARY not in body.decode()


@pytest.mark.parametrize("role", SUBJECTS)
async def test_everything_at_once_shows_only_what_the_verdicts_say(leaky: Service, role: str):
    """All attributes of all entities in one go, nested ones included: no canary of a coordinate that is denied."""
    subject = SUBJECTS[role]
    assert leaky.snapshot is not None
    decision = leaky.snapshot.decide(subject, 1_780_000_000)
    denied = {
        field.coordinate
        for entity in REGISTRY.entities.values()
        for field in attributes(entity)
        if isinstance(decision.field(entity, field).clear, Never)
    }
    for entity in REGISTRY.entities.values():
        own = " ".join(selection(field) for field in attributes(entity))
        below = " ".join(
            f"{field.field} {{ {' '.join(selection(f) for f in attributes(REGISTRY.entity(field.type.name)))} }}"
            for field in entity.fields.values()
            if isinstance(field.member, Relation)
        )
        status, body = await ask(leaky, subject, f"{{ {entity.plural}(first: 5) {{ nodes {{ {own} {below} }} }} }}")
        assert status == 200
        for name in re.findall(rf"{CANARY}-(\w+-\w+)", body.decode()):
            assert name.replace("-", ".") not in denied
        if role not in ("enterprise", "person"):
            # Nobody but holders (and case handlers) ever sees a whole citizen number.
            assert CITIZEN_NO not in body.decode()


@pytest.mark.parametrize("role", ATTACKERS)
async def test_a_condition_on_a_denied_attribute_is_refused_by_name(leaky: Service, role: str):
    """Before any statement, and without repeating the value that was tried."""
    subject = SUBJECTS[role]
    assert leaky.snapshot is not None
    decision = leaky.snapshot.decide(subject, 1_780_000_000)
    tried = 0
    for entity in REGISTRY.entities.values():
        for field in attributes(entity):
            # A key has no verdict of its own: where no row is visible, the list is null whatever the condition.
            if not field.attribute.filterable or field.name == entity.key.name:
                continue
            if not isinstance(decision.field(entity, field).clear, Never):
                continue
            for where in (
                {field.field: {"isNull": False}}, {"not": {field.field: {"isNull": True}}},
                {"or": [{}, {field.field: {"isNull": True}}]}, {"and": [{"not": {field.field: {"isNull": True}}}]},
            ):  # fmt: skip
                sent = leaky.database.statements_sent
                status, body = await ask(
                    leaky, subject, f"query($w: {entity.name}Where) {{ {entity.plural}(where: $w) {{ totalCount }} }}",
                    w=where,
                )  # fmt: skip
                name = orjson.loads(body)["errors"][0]["extensions"]["name"]
                assert (status, name) == (403, "FILTER_REFUSED"), (field.coordinate, where, body)
                assert field.coordinate in orjson.loads(body)["errors"][0]["message"]
                assert leaky.database.statements_sent == sent
                tried += 1
    assert tried >= (3 if role == "public" else 0)


HIDDEN = {
    "Project": ("projectNo", "ProjectNo", known.SEALED, "4201062604029999"),
    "Person": ("personNo", "PersonNo", known.PERSON, "Pseuvxi4t4ojycolzclftijcx"),
    "Finding": ("findingNo", "FindingNo", known.FINDING, "JC42010620260916-000006-99"),
    "SafetyInspection": ("inspectionNo", "InspectionNo", known.INSPECTION, "JC42010620260916-999999"),
}


def forms(type_name: str, key: str) -> list[tuple[str, dict[str, Any]]]:
    """Every way to ask by key."""
    field, scalar, *_ = HIDDEN[type_name]
    root = type_name[0].lower() + type_name[1:]
    row = "{ __typename id version provenance { source } }"
    return [
        (f"query($k: {scalar}!) {{ {root}({field}: $k) {row} }}", {"k": key}),
        (f"query($i: ID!) {{ node(id: $i) {{ id ... on {type_name} {row} }} }}", {"i": global_id(type_name, key)}),
        (f"query($i: [ID!]!) {{ nodes(ids: $i) {{ id ... on {type_name} {row} }} }}",
         {"i": [global_id(type_name, key), global_id("Region", known.WUCHANG), global_id(type_name, key)]}),
        (f"query($r: [_Any!]!) {{ _entities(representations: $r) {{ ... on {type_name} {row} }} }}",
         {"r": [{"__typename": type_name, field: key}]}),
    ]  # fmt: skip


@pytest.mark.parametrize("type_name", HIDDEN)
@pytest.mark.parametrize("role", ATTACKERS)
async def test_a_hidden_key_answers_as_a_missing_one(leaky: Service, role: str, type_name: str):
    """Byte for byte, with as many statements, by every way; also a key that cannot be one."""
    *_, hidden, missing = HIDDEN[type_name]
    subject = SUBJECTS[role]
    if role == "county elsewhere" and type_name != "Project":
        pytest.skip("departments see inspections, findings and persons of all regions")
    told = []
    for key in (hidden, missing):
        answers = []
        for query, variables in forms(type_name, key):
            sent = leaky.database.statements_sent
            status, body = await ask(leaky, subject, query, **variables)
            answers.append((status, body, leaky.database.statements_sent - sent))
            assert status == 200, body
        told.append(answers)
    assert told[0] == told[1]


def test_a_hidden_key_answers_as_a_missing_one_in_all_headers(process: ServerProcess):
    """Over HTTP: the same status, headers and body but for request id and date."""
    with httpx.Client(base_url=process.address) as client:
        for type_name, (*_, hidden, missing) in HIDDEN.items():
            replies = [
                [client.post("/graphql", json={"query": q, "variables": v}) for q, v in forms(type_name, key)]
                for key in (hidden, missing)
            ]
            for one, other in zip(*replies, strict=True):
                assert (one.status_code, one.content) == (other.status_code, other.content)
                assert headers(one) == headers(other)


def headers(reply: httpx.Response) -> list[tuple[str, str]]:
    """The headers in their order, without what differs between any two requests."""
    return [(name, value) for name, value in reply.headers.multi_items() if name not in ("x-request-id", "date")]


SPECIAL = ("%", "_", "\\", "\\\\", "'", '"', "张\\", "%%", "_%", "[", "(", "*", "\\u0000", "𠮷", "\U0010ffff", "\ud7ff",
           "\ue000", "", " ", "\n", "--", "$1", "%s", "路径\\张\\")  # fmt: skip


@pytest.mark.parametrize("text", SPECIAL)
async def test_no_text_is_special_to_a_condition(leaky: Service, text: str):
    """`startsWith`, `eq` and `in` compare characters: nothing raises on any row, hidden ones included."""
    query = "query($w: ProjectWhere) { projects(where: $w, first: 1000) { nodes { name } } }"
    _, everything = await ask(leaky, PUBLIC_SUBJECT, query)
    every = [node["name"] for node in orjson.loads(everything)["data"]["projects"]["nodes"]]
    assert len(every) > 100
    for where, expected in (
        ({"name": {"startsWith": text}}, [name for name in every if name.startswith(text)]),
        ({"not": {"name": {"startsWith": text}}}, [name for name in every if not name.startswith(text)]),
        ({"name": {"eq": text}}, [name for name in every if name == text]),
        ({"name": {"in": [text, text]}}, [name for name in every if name == text]),
    ):
        status, body = await ask(leaky, PUBLIC_SUBJECT, query, w=where)
        assert status == 200, body
        assert [node["name"] for node in orjson.loads(body)["data"]["projects"]["nodes"]] == expected


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("query($k: Uscc!) { enterprise(uscc: $k) { name } }", {"k": "91420106SECRET0000"}),
    ("query($k: ProjectNo!) { project(projectNo: $k) { name } }", {"k": "SECRET"}),
    ("query($k: PersonNo!) { person(personNo: $k) { name } }", {"k": "SECRET"}),
    ("query($k: CertificateNo!) { safetyManagerCertificate(certNo: $k) { name } }", {"k": "SECRET"}),
    ("query($k: ID!) { node(id: $k) { id } }", {"k": "SECRET"}),
    ("query($k: [ID!]!) { nodes(ids: $k) { id } }", {"k": ["SECRET", "SECRET"]}),
    ("query($k: [_Any!]!) { _entities(representations: $k) { __typename } }", {"k": [{"__typename": "SECRET"}]}),
    ("query($k: [_Any!]!) { _entities(representations: $k) { __typename } }", {"k": ["SECRET"]}),
    ("query($k: ProjectWhere) { projects(where: $k) { totalCount } }", {"k": {"SECRET": 1}}),
    ("query($k: ProjectWhere) { projects(where: $k) { totalCount } }", {"k": {"plannedStart": {"eq": "SECRET"}}}),
    ("query($k: ProjectWhere) { projects(where: $k) { totalCount } }", {"k": {"totalArea": {"eq": "SECRET"}}}),
    ("query($k: ProjectWhere) { projects(where: $k) { totalCount } }", {"k": {"status": {"eq": "SECRET"}}}),
    ("query($k: ProjectWhere) { projects(where: $k) { totalCount } }", {"k": {"countyCode": {"under": "SECRET"}}}),
    ("query($k: Int) { projects(first: $k) { totalCount } }", {"k": "SECRET"}),
    ("query($k: String) { projects(after: $k) { totalCount } }", {"k": "SECRET"}),
    ("query($k: [ProjectOrder!]) { projects(orderBy: $k) { totalCount } }", {"k": [{"field": "SECRET"}]}),
    ("query One { __typename } query Other { __typename }", {"SECRET": "SECRET"}),
    ('{ project(projectNo: "SECRET") { name } }', {}),
    ('{ projects(where: {plannedStart: {eq: "SECRET"}}) { totalCount } }', {}),
    ('{ enterprise(uscc: "91420106SECRET0000") { name } }', {}),
]


@pytest.mark.parametrize("case", WRONG, ids=[q[:40] + str(n) for n, (q, _) in enumerate(WRONG)])
async def test_no_error_repeats_a_value(leaky: Service, case: tuple[str, dict[str, Any]]):
    """A refusal says what is wrong by names of the schema; the value stays with whoever sent it."""
    status, body = await ask(leaky, PUBLIC_SUBJECT, case[0], **case[1])
    assert 400 <= status < 500, body
    assert b"SECRET" not in body
    assert orjson.loads(body).keys() == {"errors"}


def test_no_value_stands_in_the_log(process: ServerProcess):
    """A process that logs all it can: no data, no variable, no document, no token, no subject."""
    county = process.issuer.mint("county")
    enterprise = process.issuer.mint("enterprise")
    everything = "{ " + " ".join(
        f"{entity.plural}(first: 3) {{ nodes {{ {' '.join(selection(f) for f in attributes(entity))} }} }}"
        for entity in REGISTRY.entities.values()
    ) + " }"  # fmt: skip
    with httpx.Client(base_url=process.address) as client:
        for token in (None, county, enterprise, "SECRETTOKEN", county[:-4] + "AAAA"):
            identity = {} if token is None else {"authorization": f"Bearer {token}"}
            replies = [
                client.post("/graphql", json={"query": query, "variables": variables}, headers=identity)
                for query, variables in [(everything, {}), *WRONG]
            ]
            client.post("/graphql", content=b'{"query": "SECRETBODY', headers=identity)
            client.get("/graphql?query=SECRETADDRESS", headers=identity)
            if token in (None, county, enterprise):
                assert replies[0].status_code == 200
                assert (CANARY in replies[0].text) is (token == enterprise)
    log = process.log_file.read_text()
    assert log.count('"event": "request"') + log.count('"event":"request"') >= 3 * len(WRONG)
    for forbidden in (CANARY, CITIZEN_NO, "SECRET", county, "Bearer", "demo-county", "safetyInspections", "postgres@"):
        assert forbidden not in log, forbidden


async def test_no_value_stands_in_any_librarys_log(leaky: Service, caplog: pytest.LogCaptureFixture):
    """The same with every logger of this process open, drivers and event loop included."""
    with caplog.at_level(logging.DEBUG):
        for query, variables in WRONG:
            await ask(leaky, SUBJECTS["county"], query, **variables)
        status, body = await ask(leaky, SUBJECTS["enterprise"], "{ persons(first: 50) { nodes { name idNo mobile } } }")
    assert (status, CITIZEN_NO in body.decode()) == (200, True)
    said = "\n".join(f"{record.getMessage()} {record.__dict__.get('facts')}" for record in caplog.records)
    for forbidden in (CANARY, CITIZEN_NO, "SECRET", known.PERSON):
        assert forbidden not in said


def operation(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """An operation of an attacker: pages with any condition, order, count and cursor; keys; relations."""
    entity = chance.choice(list(REGISTRY.entities.values()))
    kind = chance.randrange(5)
    below = " ".join(selection(f) for f in chance.sample(attributes(entity), 5)) + " _disclosure { field verdict }"
    if kind == 0:
        name = chance.choice(list(HIDDEN))
        return chance.choice(forms(name, chance.choice(HIDDEN[name][2:])))
    filterable = [f for f in attributes(entity) if f.attribute.filterable or f.attribute.sortable]
    field = chance.choice(filterable)
    leaf: dict[str, Any] = {field.field: {"isNull": chance.random() < 0.5}}
    if field.type.name == "String":
        leaf = {field.field: {"startsWith": chance.choice(("", "武", CANARY[:3], "5"))}}
    if field.name == entity.key.name:
        leaf = {}
    where: dict[str, Any] = chance.choice(({}, leaf, {"not": leaf}, {"or": [leaf, {"not": leaf}]}))
    related = [f for f in entity.fields.values() if isinstance(f.member, Relation)]
    if related and chance.random() < 0.4:
        relation = chance.choice(related)
        where = {relation.field: {chance.choice(("some", "none", "every")): {}} if relation.type.is_list else {}}
    order = ""
    sortable = [f for f in attributes(entity) if f.attribute.sortable]
    if sortable and chance.random() < 0.5:
        term = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", chance.choice(sortable).field).upper()
        order = f"orderBy: [{{field: {term}, direction: {chance.choice(('ASC', 'DESC'))}}}], "
    return (
        (
            f"query($w: {entity.name}Where) {{ {entity.plural}({order}where: $w, first: {chance.choice((1, 3, 50))})"
            f" {{ totalCount edges {{ cursor node {{ {below} }} }} pageInfo {{ endCursor hasNextPage }} }} }}"
        ),
        {"w": where},
    )


async def walk(service: Service, subject: Subject, operations: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    """Everything that the attacker can observe: status, bytes, number of statements; pages are followed."""
    observed: list[Any] = []
    for query, variables in operations:
        sent = service.database.statements_sent
        status, body = await ask(service, subject, query, **variables)
        observed.append((query, variables, status, body, service.database.statements_sent - sent))
        cursor = re.search(rb'"endCursor":"([^"]+)"', body)
        if cursor:
            onward = query.replace("query(", "query($a: String, ", 1).replace("first:", "after: $a, first:", 1)
            observed.append((onward, await ask(service, subject, onward, a=cursor[1].decode(), **variables)))
    return observed


HIDDEN_CHANGES = [
    *canaries(OTHER_NO, "CHANGED"),
    f"update zlaq.project set name = 'CHANGED', planned_start = '1999-01-01' where project_no = '{known.SEALED}'",
    f"delete from zlaq.project where project_no = '{known.MAJOR_ACCIDENT}'",
    "update zlaq.person set birth_date = '1999-09-09', gender = '9'",
    "update zlaq.safety_manager_certificate set birth_date = '1999-09-09', check_result = '2', gender = '9'",
    "update zlaq.enterprise set legal_rep_id_type = '999'",
    "update zlaq.project set total_investment = 7, state_invest_ratio = 7, longitude = 7, latitude = 7",
]
"""Values and rows that no attacker may see (an owner's or a governor's rows are not theirs)."""


async def test_who_cannot_see_a_value_cannot_tell_that_it_changed(leaky: Service, leak_database: str):
    """Two states that differ in hidden values only: the same bytes, statuses and numbers of statements, for each."""
    chance = random.Random(20260701)
    operations = [operation(chance) for _ in range(110)]
    # Rows that the attackers govern or own would be theirs to see.
    await execute(
        leak_database,
        *(
            f"update zlaq.{table} set manage = '420106' where manage = '{AWAY}'"
            for table in (entity.table for entity in REGISTRY.entities.values() if entity.governed.manage)
        ),
        *(f"update zlaq.{table} set site = '420106' where site like '{AWAY}%'" for table in (
            "project", "safety_inspection", "finding")),
    )  # fmt: skip
    before = {role: await walk(leaky, SUBJECTS[role], operations) for role in ATTACKERS}
    governor = await ask(leaky, SUBJECTS["ministry"], "{ projects(first: 300) { nodes { totalInvestment } } }")
    await execute(leak_database, *HIDDEN_CHANGES)
    after = {role: await walk(leaky, SUBJECTS[role], operations) for role in ATTACKERS}
    for role in ATTACKERS:
        assert len(before[role]) >= len(operations)
        for one, other in zip(before[role], after[role], strict=True):
            assert one == other, role
    # The change is there for whoever may see it, or this test would prove nothing.
    assert await ask(leaky, SUBJECTS["ministry"], "{ projects(first: 300) { nodes { totalInvestment } } }") != governor
    statuses = Counter(entry[2] for entries in before.values() for entry in entries if len(entry) == 5)
    assert statuses[200] > 100
    assert sum(statuses.values()) - statuses[200] < statuses[200]


async def records(dsn: str, request_id: str) -> list[tuple[str, str, str]]:
    """Root, packed rows and decision body of a request's audit records."""
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch(
            "select r.root, r.rows, d.body from audit.record r join audit.decision d on d.hash = r.decision"
            " where r.request_id = $1 order by r.seq", request_id,
        )  # fmt: skip
    finally:
        await connection.close()
    return [(row["root"], row["rows"], row["body"]) for row in found]


AUDITED = f"""{{
  projects(first: 40) {{ nodes {{
    type: __typename manageRegionNodeId
    contractor {{ type: __typename manageRegionNodeId contactName }}
    region {{ type: __typename }}
    inspections(first: 3) {{ type: __typename manageRegionNodeId inspectors {{ name }} }}
  }} }}
  one: safetyManagerCertificate(certNo: "{known.CERTIFICATE}") {{
    type: __typename manageRegionNodeId name idNo birthYear
    person {{ type: __typename manageRegionNodeId mobile }} }}
  none: project(projectNo: "4201062604029999") {{ type: __typename manageRegionNodeId }}
}}"""


def governed(value: Any) -> Counter[tuple[str, str]]:
    """The objects of an answer, by type and managing region."""
    found: Counter[tuple[str, str]] = Counter()
    for item in value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else ():
        found += governed(item)
    if isinstance(value, dict) and "type" in value:
        found[value["type"], value.get("manageRegionNodeId", "000000")] += 1
    return found


@pytest.mark.parametrize("role", ["public", "county", "city", "ministry", "enterprise"])
async def test_the_record_counts_what_was_answered(leaky: Service, leak_database: str, role: str):
    """Decoded, each root's record has as many rows of each type and region as its part of the answer."""
    request_id = f"audited {role}"
    answer = await leaky.answer(Question(AUDITED, {}, None), SUBJECTS[role], request_id)
    data = orjson.loads(answer.body)["data"]
    written = await records(leak_database, request_id)
    assert sorted(root for root, *_ in written) == ["none", "one", "projects"]
    for root, packed, body in written:
        counted = Counter(decode_rows(packed, body).regions)
        expected = governed(data[root])
        if role in ("public", "enterprise"):
            # The region is a shared attribute, so the answer does not say it: only types can be compared.
            counted, expected = (_by_type(c) for c in (counted, expected))
        assert counted == expected, root


def _by_type(counts: Counter[tuple[str, str]]) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for (name, _), count in counts.items():
        found[name] += count
    return found


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ('{ person(personNo: "%s") { name } }' % known.PERSON, {}),  # noqa: UP031
        ("{ persons { nodes { name } } }", {}),
        ("query($i: ID!) { node(id: $i) { id } }", {"i": global_id("Person", known.PERSON)}),
        ("query($i: [ID!]!) { nodes(ids: $i) { id } }", {"i": [global_id("Person", known.PERSON)]}),
        (
            "query($r: [_Any!]!) { _entities(representations: $r) { ... on Person { name } } }",
            {"r": [{"__typename": "Person", "personNo": known.PERSON}]},
        ),
    ],
    ids=["key", "page", "node", "nodes", "_entities"],
)
async def test_a_denied_operation_is_recorded_without_a_statement(
    leaky: Service, leak_database: str, query: str, variables: dict[str, Any], request: pytest.FixtureRequest
):
    """Whoever tries what is denied altogether leaves a record, and no statement of theirs is sent."""
    request_id = f"denied {request.node.name}"
    sent = leaky.database.statements_sent
    answer = await leaky.answer(Question(query, variables, None), PUBLIC_SUBJECT, request_id)
    assert answer.status == 200
    assert leaky.database.statements_sent == sent
    written = await records(leak_database, request_id)
    assert [rows for _, rows, _ in written] == [""]


@pytest.mark.parametrize(
    "query",
    ["{", "{ nothing }", '{ projects(after: "e") { totalCount } }', "{ projects(first: 2000) { totalCount } }"],
)
async def test_a_refused_document_leaves_no_record(leaky: Service, leak_database: str, query: str):
    """What is refused before there is a plan, or a cursor that is none, is for the log."""
    request_id = f"refused {query}"
    answer = await leaky.answer(Question(query, {}, None), PUBLIC_SUBJECT, request_id)
    assert answer.status == 400
    assert await records(leak_database, request_id) == []


async def test_a_decision_is_stored_once_and_says_which_rules(leaky: Service, leak_database: str):
    """Equal decisions share one body; it names verdicts and the rules behind them."""
    for number in range(3):
        await leaky.answer(Question("{ projects(first: 1) { nodes { totalInvestment } } }", {}, None),
                           SUBJECTS["county"], f"decision {number}")  # fmt: skip
    bodies = {body for number in range(3) for _, _, body in await records(leak_database, f"decision {number}")}
    (body,) = bodies
    told = orjson.loads(body)
    assert "H-ALL-WITHIN-CON" in told["fields"]["Project.totalInvestment"]["rules"]
    assert leaky.snapshot is not None
    assert told["revision"] == leaky.snapshot.revision.id
