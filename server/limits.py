"""What is refused before a request is looked at: its size, its media type, and its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import orjson

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
MediaType = Literal["application/json", "application/graphql-response+json"]
JSON: MediaType = "application/json"
GRAPHQL: MediaType = "application/graphql-response+json"


class BodyTooLarge(Exception):
    """The body is longer than allowed, by its own account or by count."""


class BodyAborted(Exception):
    """The client left before the end of the body; nobody reads the answer."""


class NotAcceptable(Exception):
    """The client accepts neither media type that is answered in."""


class UnsupportedMediaType(Exception):
    """The body is not declared as JSON in UTF-8.

    Never relaxed to text/plain or forms: a browser sends those to other sites without asking.
    """


class MethodNotAllowed(Exception):
    """Operations are sent by POST: a GET would stand in histories and logs with all its values."""


class BodyNotJson(Exception):
    """The body is not JSON."""


class BadEnvelope(Exception):
    """The body is JSON and no GraphQL request; batches are none either, for each operation has its own limits."""


class TooBusy(Exception):
    """No turn came free in time; `retry_after_s` is what the client is told."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


def content_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    """The declared length of the body, if it is a number; servers check that it is true."""
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) <= 15 else None
    return None


async def read_body(receive: Receive, headers: Iterable[tuple[bytes, bytes]], at_most: int) -> bytes:
    """Read a body and stop at the first byte too many; a declared length is refused before anything is read."""
    declared = content_length(headers)
    if declared is not None and declared > at_most:
        raise BodyTooLarge
    parts: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BodyAborted
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > at_most:
            raise BodyTooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def parse_envelope(body: bytes) -> tuple[str, dict[str, object], str | None]:
    """The document, the variables and the operation name of a body.

    >>> parse_envelope(b'{"query": "{ __typename }"}')
    ('{ __typename }', {}, None)
    """
    try:
        envelope = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise BodyNotJson from None
    if not isinstance(envelope, dict) or not envelope.keys() <= {"query", "variables", "operationName", "extensions"}:
        raise BadEnvelope
    query, variables, name = envelope.get("query"), envelope.get("variables"), envelope.get("operationName")
    if not isinstance(query, str) or not isinstance(variables, dict | None) or not isinstance(name, str | None):
        raise BadEnvelope
    return query, variables or {}, name


@lru_cache(maxsize=256)
def require_json(content_type: str | None) -> None:
    """Raise `UnsupportedMediaType` unless the body is JSON in UTF-8."""
    media, parameters = _parameters(content_type or "")
    if media != JSON or parameters.get("charset", "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType


@lru_cache(maxsize=256)
def negotiate(accept: str | None) -> MediaType:
    """The media type of the answer: GraphQL's own where the client names it no less gladly, else plain JSON.

    >>> negotiate("application/graphql-response+json, application/json;q=0.9")
    'application/graphql-response+json'
    >>> negotiate("*/*")
    'application/json'
    """
    if accept is None or not accept.strip():
        return JSON
    weights: dict[str, float] = {}
    for entry in accept.split(",")[:32]:
        media, parameters = _parameters(entry)
        weights[media] = max(weights.get(media, 0.0), _weight(parameters.get("q", "1")))
    anything = weights.get("application/*", weights.get("*/*", 0.0))
    plain, own = weights.get(JSON, anything), weights.get(GRAPHQL, 0.0)
    if max(plain, own) <= 0:
        raise NotAcceptable
    return GRAPHQL if own >= plain else JSON


def _parameters(entry: str) -> tuple[str, Mapping[str, str]]:
    media, *rest = entry.split(";")
    pairs = (part.partition("=") for part in rest)
    return media.strip().lower(), {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0 <= weight <= 1 else 0.0


@dataclass(slots=True)
class Gate:
    """At most so many requests at a time, and a short, bounded queue before them; one per process.

    A request that cannot be served soon is refused at once: a long queue only answers clients that have left.
    """

    at_most: int
    queued_at_most: int
    wait_ms: int
    running: int = 0
    waiting: int = 0
    _turns: asyncio.Semaphore = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._turns = asyncio.Semaphore(self.at_most)

    async def __aenter__(self) -> None:
        """Take one of the turns; raises `TooBusy`."""
        if self._turns.locked():
            await self._wait()
        else:
            # Does not suspend, so nobody comes between the look and the turn.
            await self._turns.acquire()
        self.running += 1

    async def __aexit__(self, *_: object) -> None:
        """Give it back."""
        self.running -= 1
        self._turns.release()

    async def _wait(self) -> None:
        if self.waiting >= self.queued_at_most:
            raise TooBusy(self._retry_after_s)
        self.waiting += 1
        try:
            async with asyncio.timeout(self.wait_ms / 1000):
                await self._turns.acquire()
        except TimeoutError:
            raise TooBusy(self._retry_after_s) from None
        finally:
            self.waiting -= 1

    @property
    def _retry_after_s(self) -> int:
        return max(1, -(-self.wait_ms // 1000))
