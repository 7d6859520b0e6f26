"""What a caller may not read cannot be probed: keys, conditions, orders, cursors and counts tell nothing of it.

Hidden keys are asked for beside missing ones, and hidden values are changed: whoever could not see them must get the
same bytes again.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from demo.seed import wellknown as known
from policy.subject import PUBLIC_SUBJECT, Subject
from schema.declare import Relation
from tests.server.leaks import (
    ATTACKERS,
    AWAY,
    CANARY,
    ENTERPRISE_AWAY,
    OTHER_NO,
    REGISTRY,
    SUBJECTS,
    ask,
    attributes,
    canaries,
    execute,
    global_id,
    selection,
)

if TYPE_CHECKING:
    from server.service import Service
    from tests.drills.load import ServerProcess

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


def test_a_hidden_key_answers_as_a_missing_one_in_all_headers(leaky_process: ServerProcess):
    """Over HTTP: the same status, headers and body but for request id and date."""
    with httpx.Client(base_url=leaky_process.address) as client:
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
    # Rows that the attackers govern or own, or that their superiors govern, would be theirs to see or to see masked.
    await execute(
        leak_database,
        *(
            f"update zlaq.{table} set manage = '420106' where manage in ('{AWAY}', '330100', '330000')"
            for table in (entity.table for entity in REGISTRY.entities.values() if entity.governed.manage)
        ),
        *(
            f"update zlaq.{table} set owner_dept = '-' where owner_dept = '{SUBJECTS['county elsewhere'].dept}'"
            for table in (entity.table for entity in REGISTRY.entities.values() if entity.governed.owner_dept)
        ),
        f"update zlaq.project set contractor_uscc = null where contractor_uscc = '{ENTERPRISE_AWAY}'",
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
