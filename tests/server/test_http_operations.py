"""Operations over HTTP, at a real process: mixed roots, fragments and directives, variables and conditions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import orjson

from demo.seed import wellknown
from tests.server.replies import refused

if TYPE_CHECKING:
    import httpx

MIXED = f"""{{
  z: __typename
  a: project(projectNo: "{wellknown.PROJECT_COUNTY}") {{ __typename name k: projectNo }}
  __typename
  _service {{ sdl }}
  missing: project(projectNo: "4201062604029999") {{ name }}
  denied: persons {{ nodes {{ name }} }}
  page: regions(first: 1) {{ totalCount nodes {{ nodeId }} }}
  ids: nodes(ids: []) {{ id }}
  b: _service {{ __typename sdl }}
}}"""


def test_mixed_operations_are_answered_in_document_order(client: httpx.Client, county: dict[str, str]):
    """Roots of every kind in one operation: their order is the document's, and null is null for each alike."""
    reply = client.post("/graphql", json={"query": MIXED})
    data = orjson.loads(reply.content)["data"]
    assert list(data) == ["z", "a", "__typename", "_service", "missing", "denied", "page", "ids", "b"]
    assert list(data["a"]) == ["__typename", "name", "k"]
    assert (data["z"], data["missing"], data["denied"], data["ids"]) == ("Query", None, None, [])
    assert data["b"]["__typename"] == "_Service"
    assert data["b"]["sdl"] == data["_service"]["sdl"]
    introspecting = MIXED.replace(
        "z: __typename", '__schema { queryType { name } } t: __type(name: "Project") { name }'
    )
    refused(client.post("/graphql", json={"query": introspecting}), "INTROSPECTION_OFF")
    data = orjson.loads(client.post("/graphql", json={"query": introspecting}, headers=county).content)["data"]
    assert list(data)[:3] == ["__schema", "t", "a"]
    assert data["__schema"] == {"queryType": {"name": "Query"}}
    assert data["t"] == {"name": "Project"}


def test_fragments_aliases_and_directives(client: httpx.Client):
    """Fields that merge are answered once, where they stand first; what is left out is not there at all."""
    query = """query($no: Boolean!, $k: ProjectNo!) {
      project(projectNo: $k) { ...F status @skip(if: true) ... on Node { id } }
      project(projectNo: $k) { ... @include(if: $no) { address } name contractor { uscc } }
      gone: projects @include(if: $no) { totalCount }
    }
    fragment F on Project { name contractor { name } again: name ... on Project { projectNo } }"""
    reply = client.post("/graphql", json={"query": query, "variables": {"no": False, "k": wellknown.PROJECT_COUNTY}})
    data = orjson.loads(reply.content)["data"]
    assert list(data) == ["project"]
    assert list(data["project"]) == ["name", "contractor", "again", "projectNo", "id"]
    assert list(data["project"]["contractor"]) == ["name", "uscc"]
    with_it = client.post("/graphql", json={"query": query, "variables": {"no": True, "k": wellknown.PROJECT_COUNTY}})
    assert list(orjson.loads(with_it.content)["data"]) == ["project", "gone"]
    assert list(orjson.loads(with_it.content)["data"]["project"])[-1] == "address"


def test_a_fragment_on_a_union_or_interface_applies(client: httpx.Client):
    """`_Entity` and `Node` are conditions that hold for every entity."""
    query = """query($r: [_Any!]!, $i: ID!) {
      _entities(representations: $r) { __typename ... on _Entity { t: __typename } ... on Node { id } }
      node(id: $i) { ... on Node { id } ... on Project { name } ... on Region { code6 } }
    }"""
    found = orjson.loads(
        client.post("/graphql", json={"query": "{ projects(first: 1) { nodes { id projectNo } } }"}).content
    )
    (project,) = found["data"]["projects"]["nodes"]
    variables = {"r": [{"__typename": "Project", "projectNo": project["projectNo"]}], "i": project["id"]}
    data = orjson.loads(client.post("/graphql", json={"query": query, "variables": variables}).content)["data"]
    assert data["_entities"] == [{"__typename": "Project", "t": "Project", "id": project["id"]}]
    assert list(data["node"]) == ["id", "name"]


def test_a_variable_within_a_representation(client: httpx.Client):
    """Answered as any input is, or refused; never read as if the variable were not there."""
    query = """query($k: String!) { _entities(representations: [{__typename: "Project", projectNo: $k}]) {
      ... on Project { projectNo } } }"""
    reply = client.post("/graphql", json={"query": query, "variables": {"k": wellknown.PROJECT_COUNTY}})
    if reply.status_code == 200:
        assert orjson.loads(reply.content)["data"] == {"_entities": [{"projectNo": wellknown.PROJECT_COUNTY}]}
    else:
        refused(reply, "BAD_VARIABLE")


def test_a_boolean_condition(client: httpx.Client, county: dict[str, str]):
    """Written out or as a variable; true and false together are all that is not NULL."""
    counts = {}
    for value in ("true", "false"):
        query = f"{{ findings(where: {{closed: {{eq: {value}}}}}) {{ totalCount }} }}"
        reply = client.post("/graphql", json={"query": query}, headers=county)
        assert reply.status_code == 200, reply.text
        counts[value] = orjson.loads(reply.content)["data"]["findings"]["totalCount"]
        query = "query($b: Boolean) { findings(where: {closed: {eq: $b}}) { totalCount } }"
        variables = {"b": json.loads(value)}
        reply = client.post("/graphql", json={"query": query, "variables": variables}, headers=county)
        assert orjson.loads(reply.content)["data"]["findings"]["totalCount"] == counts[value]
    query = "{ findings(where: {closed: {isNull: false}}) { totalCount } }"
    reply = client.post("/graphql", json={"query": query}, headers=county)
    assert orjson.loads(reply.content)["data"]["findings"]["totalCount"] == sum(counts.values()) > 0
