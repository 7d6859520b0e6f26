"""One request and its answer, with every way of spoiling the answer between envelope and wire."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from demo.counterparts.distort import Raw, distorted
from demo.counterparts.facts import STRANGER

if TYPE_CHECKING:
    from demo.counterparts.record import Book

NETWORK_FAULT = "<html><head><title>网络故障</title></head><body>网络故障，请稍后再试</body></html>"
LEAKING = f"查询失败：身份证号 {STRANGER} 的记录已锁定"
"""A message with a person's citizen number in it, as local systems send them."""
_MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Envelope:
    """How a service wraps what it says: records by `wrap`, a failure with its message, too many calls."""

    key: str
    wrap: Callable[[Sequence[Raw]], object]
    failure: Callable[[str], object]
    busy: tuple[int, object] = (429, {})
    charset: str = "utf-8"


class Exchange:
    """One request: written down when it comes, completed when it has been answered or the caller has gone."""

    def __init__(self, request: web.Request, book: Book, now: Callable[[], float], **facts: Any) -> None:
        self._request, self._book, self._now = request, book, now
        self._behaviours = book.take(facts["service"])
        self._number = book.received(**facts)

    @property
    def expired(self) -> bool:
        """Whether this call's key must be refused as expired, however good it is."""
        return "expired" in self._behaviours

    async def refuse(self, reason: str, status: int, document: object) -> web.StreamResponse:
        """Refuse the call in the counterpart's own envelope."""
        return await self._guarded(self._send(status, _dump(document).encode()), f"refused: {reason}")

    async def busy(self, envelope: Envelope) -> web.StreamResponse:
        """The rate limit."""
        status, document = envelope.busy
        return await self._guarded(self._send(status, _dump(document).encode(envelope.charset)), "busy")

    async def answer(self, envelope: Envelope, records: Sequence[Raw], *, compress: bool = False) -> web.StreamResponse:
        """Answer with records, or misbehave."""
        outcome = "+".join(self._behaviours) or "answered"
        return await self._guarded(self._answer(envelope, records, compress), outcome)

    async def _guarded(self, sending: Awaitable[web.StreamResponse], outcome: str) -> web.StreamResponse:
        try:
            response = await sending
        except (asyncio.CancelledError, ConnectionError):
            self._book.ended(self._number, "abandoned")
            raise
        self._book.ended(self._number, outcome)
        return response

    async def _answer(self, envelope: Envelope, records: Sequence[Raw], compress: bool) -> web.StreamResponse:
        asked = self._behaviours
        if "slow" in asked:
            await asyncio.sleep(float(asked["slow"].get("seconds", 1)))
        if instead := self._instead(envelope):
            return await self._send(*instead)
        text = _dump(envelope.wrap(distorted(records, envelope.key, asked)), ascii_only="hostile" in asked)
        if "deep" in asked:
            depth = int(asked["deep"].get("depth", 100_000))
            text = f'{text[:-1]},"shen":{"[" * depth}{"]" * depth}}}'
        body = text.encode(envelope.charset)
        if "charset" in asked:
            body = body.replace(b'"', b'"\xff', 1)
        return await self._deliver(
            body, compress=compress and "gzip" in self._request.headers.get("Accept-Encoding", "")
        )

    def _instead(self, envelope: Envelope) -> tuple[int, bytes, dict[str, str]] | None:
        """An answer that has nothing to do with what was asked: status, body, headers."""
        asked = self._behaviours
        if "error" in asked:
            return int(asked["error"].get("status", 502)), NETWORK_FAULT.encode(), {"Content-Type": "text/html"}
        if "busy" in asked:
            status, document = envelope.busy
            return status, _dump(document).encode(envelope.charset), {}
        if "html" in asked:
            return 200, NETWORK_FAULT.encode(envelope.charset), {"Content-Type": "text/html"}
        if "redirect" in asked:
            return 302, b"", {"Location": str(asked["redirect"].get("to", "http://elsewhere.invalid/"))}
        if "success_error" in asked:
            return 200, _dump(envelope.failure(LEAKING)).encode(envelope.charset), {}
        return None

    async def _deliver(self, body: bytes, *, compress: bool) -> web.StreamResponse:
        asked = self._behaviours
        if "cut" in asked:
            return await self._cut(body)
        if "drip" in asked:
            return await self._drip(body, float(asked["drip"].get("seconds", 0.05)))
        size = int(asked.get("gigantic", {}).get("megabytes", 64)) * _MEGABYTE
        if "gigantic" in asked and "records" not in asked["gigantic"]:
            return await self._stream(_padded(body, size), {})
        if "bomb" in asked:
            size = int(asked["bomb"].get("megabytes", 64)) * _MEGABYTE
            return await self._stream(_gzipped(_padded(body, size)), {"Content-Encoding": "gzip"})
        if compress:
            return await self._send(200, gzip.compress(body, 1), {"Content-Encoding": "gzip"})
        return await self._send(200, body)

    async def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> web.StreamResponse:
        response = web.Response(status=status, body=body, headers=self._headers(headers or {}))
        await response.prepare(self._request)
        await response.write_eof()
        return response

    def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        return {hdrs.DATE: formatdate(self._now(), usegmt=True), "Content-Type": "application/json", **more}

    async def _cut(self, body: bytes) -> web.StreamResponse:
        """Promise the whole length, send half, drop the connection."""
        response = web.StreamResponse(headers=self._headers({hdrs.CONTENT_LENGTH: str(len(body))}))
        await response.prepare(self._request)
        await response.write(body[: len(body) // 2])
        if self._request.transport:
            self._request.transport.abort()
        return response

    async def _drip(self, body: bytes, seconds: float) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._headers({hdrs.CONTENT_LENGTH: str(len(body))}))
        await response.prepare(self._request)
        for byte in body:
            await response.write(bytes((byte,)))
            await asyncio.sleep(seconds)
        await response.write_eof()
        return response

    async def _stream(self, chunks: AsyncIterator[bytes], headers: Mapping[str, str]) -> web.StreamResponse:
        response = web.StreamResponse(headers=self._headers(headers))
        await response.prepare(self._request)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response


async def _padded(body: bytes, size: int) -> AsyncIterator[bytes]:
    """The document with a field of `size` bytes at its end."""
    yield body[:-1] + b',"tianchong":"'
    for _ in range(size // 65536 + 1):
        yield b"0" * 65536
    yield b'"}'


async def _gzipped(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(9, wbits=31)
    async for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def _dump(document: object, *, ascii_only: bool = False) -> str:
    return json.dumps(document, ensure_ascii=ascii_only, separators=(",", ":"))
