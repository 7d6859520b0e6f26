"""Limits before a request is looked at: its size, its form, its turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.limits import (
    GRAPHQL,
    JSON,
    BadEnvelope,
    BodyAborted,
    BodyNotJson,
    BodyTooLarge,
    Gate,
    NotAcceptable,
    TooBusy,
    UnsupportedMediaType,
    negotiate,
    parse_envelope,
    read_body,
    require_json,
)


class Client:
    """Sends a body in parts and counts how many were taken."""

    def __init__(self, *parts: bytes, leaves: bool = False) -> None:
        self.messages: list[dict[str, Any]] = [{"type": "http.request", "body": p, "more_body": True} for p in parts]
        if leaves:
            self.messages.append({"type": "http.disconnect"})
        elif self.messages:
            self.messages[-1]["more_body"] = False
        else:
            self.messages.append({"type": "http.request"})
        self.taken = 0

    async def __call__(self) -> dict[str, Any]:
        self.taken += 1
        return self.messages[self.taken - 1]


def length(value: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", value)]


async def test_a_body_up_to_the_limit():
    assert await read_body(Client(b"ab", b"", b"cd"), length(b"4"), 4) == b"abcd"
    assert await read_body(Client(), [], 4) == b""


async def test_a_declared_length_is_refused_before_anything_is_read():
    client = Client(b"abcde")
    with pytest.raises(BodyTooLarge):
        await read_body(client, length(b"5"), 4)
    assert client.taken == 0


@pytest.mark.parametrize("headers", [[], length(b"1"), length(b"-1"), length(b"x"), length(b"9" * 400)])
async def test_a_streamed_body_is_cut_at_the_first_byte_too_many(headers):
    client = Client(b"ab", b"cd", b"e", b"never")
    with pytest.raises(BodyTooLarge):
        await read_body(client, headers, 4)
    assert client.taken == 3


async def test_a_client_that_leaves():
    with pytest.raises(BodyAborted):
        await read_body(Client(b"ab", leaves=True), [], 4)


def test_envelope():
    assert parse_envelope(b'{"query":"{a}","variables":null,"operationName":null,"extensions":{}}') == ("{a}", {}, None)
    assert parse_envelope(b'{"query":"q","variables":{"a":1},"operationName":"b"}') == ("q", {"a": 1}, "b")


@pytest.mark.parametrize("body", [b"", b"{", b"{a}", b"\xff", b'{"query": NaN}', b"query=x"])
def test_not_json(body):
    with pytest.raises(BodyNotJson):
        parse_envelope(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"null", b'"x"', b"{}", b'{"query":null}', b'{"query":["x"]}', b'{"query":"x","variables":[]}',
        b'{"query":"x","variables":"{}"}', b'{"query":"x","operationName":1}', b'[{"query":"x"}]',
        b'{"query":"x","id":"1"}',
    ],
)  # fmt: skip
def test_not_a_graphql_request(body):
    with pytest.raises(BadEnvelope):
        parse_envelope(body)


@pytest.mark.parametrize(
    "value", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"']
)
def test_media_types_of_bodies(value):
    require_json(value)


@pytest.mark.parametrize(
    "value",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/graphql", "text/plain; application/json", "application/json; charset=gbk", "application/jsonx"],
)  # fmt: skip
def test_media_types_that_a_foreign_page_could_send(value):
    with pytest.raises(UnsupportedMediaType):
        require_json(value)


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("application/json", JSON),
        ("application/graphql-response+json", GRAPHQL),
        ("application/graphql-response+json, application/json", GRAPHQL),
        ("application/graphql-response+json;q=0.5, application/json", JSON),
        ("application/graphql-response+json;q=0, application/json", JSON),
        ("text/html, */*;q=0.1", JSON),
        ("application/graphql-response+json; charset=utf-8, */*;q=0.1", GRAPHQL),
        ("application/graphql-response+json;q=x, */*;q=0.1", JSON),
    ],
)
def test_negotiation(accept, answer):
    assert negotiate(accept) == answer


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0", "application/json;q=nan", "a/b," * 5000]
)
def test_nothing_acceptable(accept):
    with pytest.raises(NotAcceptable):
        negotiate(accept)


async def hold(gate: Gate, until: asyncio.Event) -> None:
    async with gate:
        await until.wait()


async def test_turns_are_bounded_and_a_full_queue_refuses_at_once():
    gate, done = Gate(2, 1, 10_000), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(hold(gate, done))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert (gate.running, gate.waiting) == (2, 1)
        with pytest.raises(TooBusy) as raised:
            async with gate:
                pass
        assert raised.value.retry_after_s == 10
        done.set()
    assert (gate.running, gate.waiting) == (0, 0)


async def test_who_waits_too_long_is_refused():
    gate, done = Gate(1, 5, 20), asyncio.Event()
    holder = asyncio.create_task(hold(gate, done))
    await asyncio.sleep(0)
    with pytest.raises(TooBusy) as raised:
        async with gate:
            pass
    assert raised.value.retry_after_s == 1
    done.set()
    await holder
    async with gate:
        assert (gate.running, gate.waiting) == (1, 0)


async def test_a_failure_or_a_client_that_leaves_gives_the_turn_back():
    gate, done = Gate(1, 5, 10_000), asyncio.Event()
    with pytest.raises(ValueError, match="x"):
        async with gate:
            raise ValueError("x")
    holder, waiter = asyncio.create_task(hold(gate, done)), asyncio.create_task(hold(gate, done))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (gate.running, gate.waiting) == (1, 1)
    waiter.cancel()
    holder.cancel()
    await asyncio.gather(holder, waiter, return_exceptions=True)
    assert (gate.running, gate.waiting) == (0, 0)
    async with gate:
        pass


async def test_without_a_queue_nobody_waits():
    gate, done = Gate(1, 0, 10_000), asyncio.Event()
    holder = asyncio.create_task(hold(gate, done))
    await asyncio.sleep(0)
    with pytest.raises(TooBusy):
        async with gate:
            pass
    done.set()
    await holder
