"""The audit records what was answered: rows by type and region, the decision behind them, and what was denied."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest

from adapters.postgres.audit import decode_rows
from demo.seed import wellknown as known
from policy.subject import PUBLIC_SUBJECT
from server.pipeline import Question
from tests.server.leaks import SUBJECTS, global_id

if TYPE_CHECKING:
    from server.service import Service


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
