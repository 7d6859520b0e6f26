"""What a caller may not read reaches neither statements, answers, errors nor logs.

A database of its own has canaries (`leaks.py`) in every hidden column, and several callers ask for everything there is.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from demo.seed import wellknown as known
from policy.subject import PUBLIC_SUBJECT
from schema.declare import Relation
from schema.predicate import Never
from server.pipeline import Question
from tests.server.leaks import (
    ATTACKERS,
    CANARY,
    CITIZEN_NO,
    REGISTRY,
    SUBJECTS,
    ask,
    attributes,
    columns_of,
    selection,
)

if TYPE_CHECKING:
    from server.service import Service
    from tests.drills.load import ServerProcess


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


def test_no_value_stands_in_the_log(leaky_process: ServerProcess):
    """A process that logs all it can: no data, no variable, no document, no token, no subject."""
    county = leaky_process.issuer.mint("county")
    enterprise = leaky_process.issuer.mint("enterprise")
    everything = "{ " + " ".join(
        f"{entity.plural}(first: 3) {{ nodes {{ {' '.join(selection(f) for f in attributes(entity))} }} }}"
        for entity in REGISTRY.entities.values()
    ) + " }"  # fmt: skip
    with httpx.Client(base_url=leaky_process.address) as client:
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
    log = leaky_process.log_file.read_text()
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
