"""The interface over HTTP, at a real process: statuses, headers, media types and refusals.

Everything here goes through a socket of the loopback address; what a raw socket sends is what a hostile client would.
"""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import orjson
import pytest

from demo.seed import wellknown
from tests.declared.tables import another_database
from tests.drills.load import ServerProcess
from tests.server.replies import ANSWER, GRAPHQL, JSON, PROJECT, common, refused

if TYPE_CHECKING:
    from pathlib import Path

    from demo.embedded import EmbeddedPostgres


def test_an_answer(client: httpx.Client):
    """200, data first, then the plan's extensions; a request id of its own for each request."""
    reply = client.post("/graphql", json=PROJECT)
    assert reply.status_code == 200
    body = orjson.loads(reply.content)
    assert list(body) == ["data", "extensions"]
    assert body["data"] == ANSWER
    assert body["extensions"].keys() == {"cost", "disclosure"}
    common(reply)
    assert reply.headers["x-request-id"] != client.post("/graphql", json=PROJECT).headers["x-request-id"]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}, {JSON};q=0.9", GRAPHQL),
        (f"{JSON}, {GRAPHQL};q=0.9", JSON),
        (f"text/html, {GRAPHQL.upper()};charset=utf-8", GRAPHQL),
        ("text/html, */*;q=0.1", JSON),
    ],
)
def test_the_media_type_is_negotiated(client: httpx.Client, accept: str | None, expected: str):
    """GraphQL's own where it is named no less gladly than plain JSON, for answers and refusals alike."""
    headers = {"accept": accept} if accept is not None else {}
    request = client.build_request("POST", "/graphql", json=PROJECT, headers=headers)
    if accept is None:
        del request.headers["accept"]
    assert client.send(request).headers["content-type"] == f"{expected}; charset=utf-8"
    bad = client.post("/graphql", json={"query": "{"}, headers=headers)
    refused(bad, "SYNTAX_ERROR")


@pytest.mark.parametrize("accept", ["text/html", "application/xml", f"{JSON};q=0", "image/*", f"{JSON};q=2"])
def test_what_is_not_acceptable(client: httpx.Client, accept: str):
    """406, and the refusal itself is JSON, for there is nothing else."""
    refused(client.post("/graphql", json=PROJECT, headers={"accept": accept}), "NOT_ACCEPTABLE")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_operations_are_sent_by_post_alone(client: httpx.Client, method: str):
    """405 that says which method is allowed; no preflight is answered, so no foreign page may ask."""
    reply = client.request(method, "/graphql", params={"query": "{ __typename }"})
    refused(reply, "METHOD_NOT_ALLOWED")
    assert reply.headers["allow"] == "POST"


def test_head_is_refused_without_a_body(client: httpx.Client):
    """As GET, but for the body, which HEAD never has."""
    reply = client.head("/graphql")
    assert (reply.status_code, reply.content) == (405, b"")


@pytest.mark.parametrize(
    "content_type",
    [
        None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
        "application/graphql",
        "application/json; charset=gbk", "application/jsonx", "application/json, text/plain", "text/json",
    ],
)  # fmt: skip
def test_only_json_in_utf_8_is_read(client: httpx.Client, content_type: str | None):
    """What a browser sends to other sites without asking is never read as an operation."""
    headers = {} if content_type is None else {"content-type": content_type}
    refused(client.post("/graphql", content=orjson.dumps(PROJECT), headers=headers), "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; Charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_json_by_any_spelling(client: httpx.Client, content_type: str):
    """Case, blanks and quotes have no meaning there."""
    reply = client.post("/graphql", content=orjson.dumps(PROJECT), headers={"content-type": content_type})
    assert reply.status_code == 200


def post(client: httpx.Client, body: bytes, **headers: str) -> httpx.Response:
    """Any bytes as JSON."""
    return client.post("/graphql", content=body, headers={"content-type": JSON, **headers})


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b"", "BODY_NOT_JSON"),
        (b"{", "BODY_NOT_JSON"),
        (b"{} {}", "BODY_NOT_JSON"),
        (b"\xff\xfe{}", "BODY_NOT_JSON"),
        (b"\xef\xbb\xbf" + orjson.dumps(PROJECT), "BODY_NOT_JSON"),
        (b'{"query": "\xed\xa0\x80"}', "BODY_NOT_JSON"),
        (b'{"query": "\\ud800"}', "BODY_NOT_JSON"),
        (b'{"query": NaN}', "BODY_NOT_JSON"),
        (b"[" * 30_000, "BODY_NOT_JSON"),
        (b"null", "BAD_ENVELOPE"),
        (b"[]", "BAD_ENVELOPE"),
        (b"[" + orjson.dumps(PROJECT) + b"]", "BAD_ENVELOPE"),
        (b'"{ __typename }"', "BAD_ENVELOPE"),
        (b"{}", "BAD_ENVELOPE"),
        (b'{"query": null}', "BAD_ENVELOPE"),
        (b'{"query": 1}', "BAD_ENVELOPE"),
        (b'{"query": "{ __typename }", "variables": []}', "BAD_ENVELOPE"),
        (b'{"query": "{ __typename }", "variables": "{}"}', "BAD_ENVELOPE"),
        (b'{"query": "{ __typename }", "operationName": 1}', "BAD_ENVELOPE"),
        (b'{"query": "{ __typename }", "id": 1}', "BAD_ENVELOPE"),
        (b'{"query": ""}', "SYNTAX_ERROR"),
        (b'{"query": "{ nothing }"}', "VALIDATION_ERROR"),
        (b'{"query": "{ __typename }", "operationName": "other"}', "UNKNOWN_OPERATION"),
        (b'{"query": "query a { __typename } query b { __typename }"}', "UNKNOWN_OPERATION"),
        (b'{"query": "query($n: Int) { projects(first: $n) { totalCount } }", "variables": {"n": 1e999}}', None),
        (b'{"query": "query($n: Int) { projects(first: $n) { id } }", "variables": {"n": 1e5}}', "VALIDATION_ERROR"),
        (b'{"query": "query($n: Int){regions(first: $n){totalCount}}", "variables": {"n": 1e5}}', "BAD_PAGE_SIZE"),
        (b'{"query": "{ projects(first: 1, last: 1) { totalCount } }"}', "BAD_PAGE_SIZE"),
        (b'{"query": "{ node(id: \\"x\\") { id } }"}', "BAD_NODE_ID"),
        (b'{"query": "{ projects(after: \\"x\\") { totalCount } }"}', "CURSOR_EXPIRED"),
        (b'{"query": "{ __schema { queryType { name } } }"}', "INTROSPECTION_OFF"),
        (b'{"query": "{ projects(where: {manageRegionNodeId: {eq: \\"420106\\"}}) { totalCount } }"}', None),
        (b'{"query": "{ ' + b"a " * 600 + b'}"}', "TOO_MANY_REPEATS"),
        (b'{"query": "{ ' + b"a " * 2500 + b'}"}', "TOO_MANY_TOKENS"),
        (b'{"query": "{ ' + b"a{" * 60 + b"a" + b"}" * 60 + b'}"}', "TOO_DEEP"),
        (b'{"query": "{ ' + b"a" * 64 + b': __typename }"}', "ALIAS_TOO_LONG"),
    ],
)  # fmt: skip
def test_a_refusal_is_of_the_catalogue(client: httpx.Client, body: bytes, name: str | None):
    """Each refusal has its status and its shape; nothing a client sends is a fault of ours."""
    reply = post(client, body)
    if name is not None:
        refused(reply, name)
    assert reply.status_code < 500


def test_a_member_that_stands_twice_counts_once(client: httpx.Client):
    """Of two members of one name the last counts, for all that reads the body; there is no second reader."""
    body = b'{"query": "{ nothing }", "query": "{ __typename }", "variables": {"a": 1}, "variables": null}'
    assert orjson.loads(post(client, body).content)["data"] == {"__typename": "Query"}


def test_extensions_of_a_request_are_ignored(client: httpx.Client):
    """A client may send them, as automatic persisted queries do; a hash alone is no operation."""
    reply = client.post("/graphql", json={**PROJECT, "extensions": {"persistedQuery": {"version": 1}}})
    assert orjson.loads(reply.content)["data"] == ANSWER
    refused(client.post("/graphql", json={"extensions": {"persistedQuery": {}}}), "BAD_ENVELOPE")


def test_identity(client: httpx.Client, county: dict[str, str]):
    """No token is the public; a bad one is refused and never becomes the public; the reason is in the code."""
    assert client.post("/graphql", json=PROJECT, headers=county).status_code == 200
    token = county["authorization"].removeprefix("Bearer ")
    head, claims, _ = token.split(".")
    for value, name in (
        ("Bearer x", "TOKEN_MALFORMED"),
        ("Bearer", "TOKEN_MALFORMED"),
        ("Basic eDp5", "TOKEN_MALFORMED"),
        (f"Bearer {token} {token}", "TOKEN_MALFORMED"),
        (f"Bearer {head}.{claims}.{'A' * 85}A", "TOKEN_SIGNATURE"),
        ("Bearer " + "a" * 5000, "TOKEN_MALFORMED"),
    ):
        reply = client.post("/graphql", json=PROJECT, headers={"authorization": value})
        refused(reply, name)
        assert reply.headers["www-authenticate"] == "Bearer"
    twice = [("authorization", county["authorization"])] * 2
    refused(client.post("/graphql", json=PROJECT, headers=twice), "AUTHORIZATION_REPEATED")
    refused(client.post("/graphql", json=PROJECT, headers={"x-zlaq-purpose": "CASE"}), "PURPOSE_NOT_IN_TOKEN")
    refused(client.post("/graphql", json=PROJECT, headers={**county, "x-zlaq-purpose": "NONE"}), "PURPOSE_NOT_IN_TOKEN")
    refused(client.post("/graphql", json=PROJECT, headers={**county, "x-zlaq-case": "NONE"}), "CASE_NOT_IN_TOKEN")
    closed = {**county, "x-zlaq-case": wellknown.CASE_CLOSED}
    refused(client.post("/graphql", json=PROJECT, headers=closed), "CASE_CLOSED")


def test_a_body_that_is_too_large(client: httpx.Client):
    """By its declared length, or by count where it declares none; the connection is still of use, or closed."""
    large = orjson.dumps({**PROJECT, "variables": {"a": "x" * 70_000}})
    refused(post(client, large), "BODY_TOO_LARGE")
    assert client.post("/graphql", json=PROJECT).status_code == 200
    reply = client.post("/graphql", content=(large[i : i + 1000] for i in range(0, len(large), 1000)),
                        headers={"content-type": JSON})  # fmt: skip
    refused(reply, "BODY_TOO_LARGE")
    assert client.post("/graphql", json=PROJECT).status_code == 200
    at_the_limit = orjson.dumps({**PROJECT, "variables": {}})
    at_the_limit = at_the_limit[:-1] + b" " * (65_536 - len(at_the_limit)) + b"}"
    assert post(client, at_the_limit).status_code == 200


def raw(served: ServerProcess, request: bytes, seconds: float = 5) -> bytes:
    """What comes back for bytes of any kind, until the server has said all it has to say."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=seconds) as connection:
        connection.sendall(request)
        received = b""
        connection.settimeout(1)
        try:
            while part := connection.recv(65_536):
                received += part
        except TimeoutError:
            pass
        return received


def test_requests_that_are_not_http(served: ServerProcess, client: httpx.Client):
    """Refused by the server or ignored; the process lives, and nothing of its insides comes back."""
    host = b"Host: 127.0.0.1\r\nContent-Type: application/json\r\n"
    for request in (
        b"\x00\x01\x02\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\n" + host + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ",
        b"POST /graphql HTTP/1.1\r\n" + host + b"Content-Length: 99999999999999999999\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /graphql HTTP/1.1\r\n" + host + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        b"POST /graphql HTTP/1.1\r\n" + host + b"Content-Length: 100\r\n\r\n{",
    ):
        received = raw(served, request)
        assert b"Traceback" not in received
        assert b" 200 " not in received.split(b"\r\n", 1)[0]
    assert client.get("/health").status_code == 200
    assert client.post("/graphql", json=PROJECT).status_code == 200


def test_health_ready_and_metrics(client: httpx.Client):
    """For probes and Prometheus; none of them tells data, and refusals are counted by their code."""
    assert (client.get("/health").status_code, client.get("/health").text) == (200, "ok\n")
    ready = client.get("/ready")
    assert (ready.status_code, ready.json()) == (200, {"database": True, "policy": True, "audit": True})
    client.post("/graphql", json=PROJECT)
    client.post("/graphql", json={"query": "{"})
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'zlaq_requests_total{code="OK",status="200"}' in metrics.text
    assert 'zlaq_requests_total{code="ZQ110",status="400"}' in metrics.text
    assert "zlaq_policy_info{revision=" in metrics.text
    for method in ("POST", "DELETE"):
        assert client.request(method, "/health").status_code == 405
    assert client.get("/nothing").status_code == 404


def test_the_query_page_is_there_and_tokens_are_not(client: httpx.Client):
    """The page comes from our own files under a strict policy; outside the demo nobody is handed a token."""
    page = client.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert client.get("/demo/tokens").status_code == 404


def test_before_a_policy_everything_is_closed(postgres: EmbeddedPostgres, tmp_path: Path):
    """A process without a revision lives, is not ready, and refuses with a status that says so."""
    with ThreadPoolExecutor(1) as pool:
        dsn = pool.submit(asyncio.run, another_database(postgres.dsn, "closed")).result()
    process = ServerProcess(dsn, tmp_path)
    try:
        with pytest.raises(AssertionError):
            # Ready never comes.
            process.start(seconds=1)
        with httpx.Client(base_url=process.address, transport=httpx.HTTPTransport(retries=7)) as asking:
            assert asking.get("/health").status_code == 200
            ready = asking.get("/ready")
            assert (ready.status_code, ready.json()["policy"]) == (503, False)
            refused(asking.post("/graphql", json=PROJECT), "NO_POLICY")
    finally:
        process.kill()


def test_more_requests_than_turns(http_database: str, tmp_path: Path):
    """Whoever finds no turn is told when to come again, and a sender that never ends loses its turn in time."""
    settings = {"MAX_CONCURRENT": "1", "MAX_QUEUED": "1", "QUEUE_WAIT_MS": "300", "REQUEST_DEADLINE_MS": "4000"}
    with ServerProcess(http_database, tmp_path, settings) as process:
        body = orjson.dumps(PROJECT)
        head = (
            b"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
            + str(len(body)).encode() + b"\r\n\r\n"
        )  # fmt: skip
        # A sender that stops half-way holds its turn: slow bodies count as requests.
        with socket.create_connection(("127.0.0.1", process.port), timeout=10) as slow:
            slow.sendall(head + body[:10])
            time.sleep(0.3)
            began = time.monotonic()
            with httpx.Client(base_url=process.address) as client:
                busy = client.post("/graphql", json=PROJECT)
                assert time.monotonic() - began < 2
                refused(busy, "TOO_BUSY")
                assert int(busy.headers["retry-after"]) >= 1
                # Probes need no turn.
                assert client.get("/health").status_code == 200
                assert client.get("/ready").status_code == 200
                slow.sendall(body[10:])
                assert slow.recv(65_536).startswith(b"HTTP/1.1 200")
                assert client.post("/graphql", json=PROJECT).status_code == 200
        # And one that never ends is ended by the deadline, so that its turn comes free.
        with socket.create_connection(("127.0.0.1", process.port), timeout=10) as never:
            never.sendall(head + body[:10])
            assert never.recv(65_536).startswith(b"HTTP/1.1 504")
        with httpx.Client(base_url=process.address) as client:
            assert client.post("/graphql", json=PROJECT).status_code == 200
