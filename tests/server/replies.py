"""What every reply of the interface must say, an operation to ask for one, and how a refusal looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from demo.seed import wellknown
from server.catalogue import CATALOGUE

if TYPE_CHECKING:
    import httpx

PROJECT = {"query": f'{{ project(projectNo: "{wellknown.PROJECT_COUNTY}") {{ projectNo }} }}'}
ANSWER = {"project": {"projectNo": wellknown.PROJECT_COUNTY}}
JSON, GRAPHQL = "application/json", "application/graphql-response+json"
ERROR_FACTS = {"code", "name", "messageZh", "hint", "retryable", "requestId"}


def refused(reply: httpx.Response, name: str) -> dict[str, Any]:
    """Assert a refusal as the catalogue has it, and return its error."""
    entry = CATALOGUE[name]
    body = orjson.loads(reply.content)
    assert (reply.status_code, body.keys()) == (entry.status, {"errors"}), reply.text
    error: dict[str, Any] = body["errors"][0]
    assert error["message"].startswith(entry.message)
    assert error.keys() <= {"message", "locations", "path", "extensions"}
    facts = error["extensions"]
    assert facts.keys() == ERROR_FACTS
    assert (facts["code"], facts["name"], facts["messageZh"]) == (entry.code, name, entry.message_zh)
    assert facts["requestId"] == reply.headers["x-request-id"]
    assert facts["retryable"] is entry.retryable
    common(reply)
    return error


def common(reply: httpx.Response) -> None:
    """What every answer of the interface says in its headers, and what it does not."""
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["content-type"] in (f"{JSON}; charset=utf-8", f"{GRAPHQL}; charset=utf-8")
    assert len(reply.headers["x-request-id"]) == 16
    assert int(reply.headers["content-length"]) == len(reply.content)
    assert not {"server", "server-timing", "x-powered-by", "set-cookie", "access-control-allow-origin"} & (
        reply.headers.keys()
    )
