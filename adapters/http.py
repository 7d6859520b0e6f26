"""The one door to systems over HTTP: where it may lead, how much it lets in, and what each failure is called.

An answer is read with bounds on everything that the other side decides: addresses, redirects, headers, bytes on the
wire, bytes after decompression, nesting, charset. Nothing of what it says enters an exception.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from ipaddress import ip_network
from typing import Any

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from adapters.address import AddressRefused, Network, allowed, resolve
from adapters.base import (
    SourceBadShape,
    SourceBusy,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
)
from adapters.configuration import SourceBase

_LINE_AT_MOST, _HEADERS_AT_MOST = 8190, 64
_RATIO_AT_MOST, _RATIO_FROM = 200, 100_000
"""JSON of equal records shrinks to a fiftieth at best; deflate's own limit, which bombs come near, is 1:1032."""
_SKEW_FROM_MS, _SKEW_AT_MOST_MS = 1000, 86_400_000
"""A Date header has whole seconds; one that is days off is no clock."""
_CONTAINERS_AT_MOST, _HALVES_AT_MOST = 200_000, 10_000
"""Decoding blocks everybody else: a million empty arrays, 4 MB, would take it more than a second."""
_UNREACHABLE = frozenset({500, 502, 503, 504})
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_MARKS = bytes(set(range(256)) - set(b'[]{}"'))
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_HIGH_HALF = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_LOW_HALF = re.compile(rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}(?<!\\u[dD][89abAB][0-9a-fA-F]{2}.{6})", re.DOTALL)
_LOST = rb"\\ufffd"
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "zlaq"}


class HttpDoor:
    """Calls to one source; `aclose` at the end. One is made for each source, within a running loop or before it."""

    def __init__(self, name: str, config: SourceBase) -> None:
        self._name = name
        self._config = config
        self._base = URL(config.address)
        self._networks = [ip_network(text) for text in config.networks]
        self._resolver = _Resolver(name, self._networks)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False
        self._paths: dict[str, URL] = {}
        self._date = ""
        self.skew_ms = 0
        """How far the source's clock is ahead of ours, by its latest Date header."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 by the source's clock, as far as it differs from ours by more than a second."""
        return round(time.time() * 1000) + (self.skew_ms if abs(self.skew_ms) > _SKEW_FROM_MS else 0)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        content_type: str,
    ) -> Any:
        """The decoded JSON of one answer; raises `SourceError`. A cancelled or failed call closes its connection."""
        try:
            # Bounds also what no caller waits for, such as the renewal of a secret.
            async with asyncio.timeout(self._config.deadline_ms / 1000):
                return await self._ask(method, path, query, headers, body, content_type)
        except TimeoutError:
            raise SourceTimeout(self._name, "no answer in time") from None
        except aiohttp.ClientResponseError:
            raise SourceBadShape(self._name, "malformed or oversized HTTP header") from None
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch):
            raise SourceError(self._name, "TLS failed or certificate not accepted") from None
        except (aiohttp.ClientError, OSError) as error:
            raise SourceUnreachable(self._name, f"connection failed: {type(error).__name__}") from None

    async def check(self) -> AsyncIterator[tuple[str, str]]:
        """Address and connection as steps (title, what was found); raises `SourceError` at the one that fails."""
        host, port = self._base.raw_host or "", self._base.port or 0
        try:
            async with asyncio.timeout(self._config.deadline_ms / 1000):
                addresses = await self._resolver.addresses(host, port)
        except TimeoutError:
            raise SourceTimeout(self._name, "name not resolved in time") from None
        yield "address", f"{', '.join(addresses)} within {', '.join(self._config.networks)}"
        yield "connection", await self._connect(host, addresses[0], port)

    async def aclose(self) -> None:
        """Close every connection, for good."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: bytes | None,
        content_type: str,
    ) -> Any:
        if self._closed:
            raise SourceError(self._name, "closed")
        session = self._session or self._opened()
        sent = {**headers, "Content-Type": content_type} if body is not None else headers
        response = await session.request(
            method, self._url(path), params=query, headers=sent, data=body, allow_redirects=False
        )
        try:
            self._measure(response.headers.get("Date", ""))
            self._judge(response.status)
            data = await self._body(response)
        finally:
            # Once the body is read to its end the connection is back in the pool already, and this does nothing.
            response.close()
        return self._decoded(data, response.headers.get("Content-Type", ""))

    def _opened(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._config.concurrency,
            resolver=self._resolver,
            use_dns_cache=False,
            # With several attempts side by side a refusal of the address would be swallowed.
            happy_eyeballs_delay=None,
            socket_factory=self._socket,
            ssl=self._tls() or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=_LINE_AT_MOST,
            max_field_size=_LINE_AT_MOST,
            max_headers=_HEADERS_AT_MOST,
        )
        return self._session

    def _tls(self) -> ssl.SSLContext | None:
        if self._base.scheme != "https":
            return None
        try:
            return ssl.create_default_context(cafile=self._config.ca or None)
        except (OSError, ssl.SSLError):
            raise SourceError(self._name, "the file of the certificate authority cannot be read") from None

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """The last moment before a connection, and the only one that an address without a name passes."""
        family, kind, protocol, _, place = info
        if not allowed(str(place[0]), self._networks):
            raise AddressRefused(self._name, "the address leads outside its networks")
        return socket.socket(family, kind, protocol)

    def _url(self, path: str) -> URL:
        url = self._paths.get(path)
        if url is None:
            url = self._paths[path] = URL(self._config.address.rstrip("/") + path)
            if url.origin() != self._base.origin():
                raise SourceError(self._name, "a path that leads to another address")
        return url

    def _measure(self, date: str) -> None:
        if date == self._date:
            return
        self._date = date
        try:
            told = parsedate_to_datetime(date).timestamp() * 1000 + 500
        except (ValueError, OverflowError):
            return
        skew = round(told - time.time() * 1000)
        if abs(skew) < _SKEW_AT_MOST_MS:
            self.skew_ms = skew

    def _judge(self, status: int) -> None:
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            raise SourceRefused(self._name, "redirect")
        if status == 429:
            raise SourceBusy(self._name, "status 429")
        if status in _UNREACHABLE:
            raise SourceUnreachable(self._name, f"status {status}")
        if 400 <= status < 500:
            raise SourceRefused(self._name, f"status {status}")
        raise SourceError(self._name, "unexpected HTTP status")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = _Body(self._name, response.headers.get("Content-Encoding", ""), self._config.max_bytes)
        body.expect(response.content_length or 0)
        while chunk := await response.content.readany():
            body.feed(chunk)
        return body.whole()

    def _decoded(self, data: bytes, content_type: str) -> Any:
        if self._config.charset == "utf-8":
            data = data.removeprefix(b"\xef\xbb\xbf")
        else:
            try:
                # gbk and gb2312 are parts of gb18030, and what calls itself so often holds more.
                data = data.decode("gb18030").encode()
            except UnicodeError:
                raise SourceBadShape(self._name, "not of the declared charset") from None
        if data.count(b"[") + data.count(b"{") > _CONTAINERS_AT_MOST:
            raise SourceBadShape(self._name, "too many arrays and objects")
        if nested_deeper(data, self._config.max_depth):
            raise SourceBadShape(self._name, "nested too deep")
        try:
            try:
                # Not orjson, which rounds integers over 64 bits.
                return msgspec.json.decode(data)
            except msgspec.DecodeError:
                mended = _without_halves(data)
                if mended is data:
                    raise
                return msgspec.json.decode(mended)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            # Old systems label JSON as HTML too, so the label only explains what does not parse.
            html = "html" in content_type.lower() or data.lstrip()[:1] == b"<"
            raise SourceBadShape(self._name, "HTML instead of JSON" if html else "not JSON") from None

    async def _connect(self, host: str, address: str, port: int) -> str:
        tls = self._tls()
        try:
            async with asyncio.timeout(self._config.deadline_ms / 1000):
                _, writer = await asyncio.open_connection(address, port, ssl=tls, server_hostname=host if tls else None)
        except TimeoutError:
            raise SourceTimeout(self._name, "no connection in time") from None
        except ssl.SSLError:
            raise SourceError(self._name, "TLS failed or certificate not accepted") from None
        except OSError as error:
            raise SourceUnreachable(self._name, f"connection failed: {type(error).__name__}") from None
        secured = writer.get_extra_info("ssl_object")
        writer.transport.abort()
        if secured is None:
            return "open, without TLS"
        return f"{secured.version()}, certificate until {secured.getpeercert()['notAfter']}"


class _Resolver(AbstractResolver):
    """Names to addresses that may be connected to, anew for every connection."""

    def __init__(self, name: str, networks: Sequence[Network]) -> None:
        self._name = name
        self._networks = networks

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - the port's; networks decide, not families
    ) -> list[ResolveResult]:
        """The addresses of a host, of any family."""
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self.addresses(host, port)
        ]

    async def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """The same as texts; raises `AddressRefused` or `SourceUnreachable`."""
        try:
            return await resolve(self._name, host, port, self._networks)
        except AddressRefused:
            raise
        except SourceError as error:
            raise SourceUnreachable(self._name, error.reason) from None

    async def close(self) -> None:
        """Holds nothing."""


class _Body:
    """The bytes of one answer as they arrive: opened and bounded."""

    def __init__(self, name: str, encoding: str, max_bytes: int) -> None:
        self._name = name
        self._encoding = encoding.strip().lower()
        if self._encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise SourceBadShape(name, "unknown content encoding")
        self._packed = self._encoding not in {"", "identity"}
        self._max_bytes = max_bytes
        self._inflater: Any = None
        self._parts: list[bytes] = []
        self._wire = self._size = 0

    def expect(self, length: int) -> None:
        """Refuse by the announced length, before a byte is read."""
        if length > self._max_bytes:
            raise SourceBadShape(self._name, "answer too large")

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes from the wire; raises `SourceBadShape` at a bound."""
        self._wire += len(chunk)
        self.expect(self._wire)
        part = self._inflated(chunk) if self._packed else chunk
        self._size += len(part)
        self.expect(self._size)
        if self._size > max(_RATIO_FROM, self._wire * _RATIO_AT_MOST):
            raise SourceBadShape(self._name, "compressed beyond measure")
        self._parts.append(part)

    def whole(self) -> bytes:
        """All of it; raises `SourceBadShape` if compressed data are cut."""
        if self._inflater is not None and not self._inflater.eof:
            raise SourceBadShape(self._name, "compressed data are cut")
        return b"".join(self._parts)

    def _inflated(self, chunk: bytes) -> bytes:
        if self._inflater is None:
            # What is called deflate is zlib by the standard, and bare deflate from some servers.
            deflate = zlib.MAX_WBITS if chunk[0] & 15 == 8 else -zlib.MAX_WBITS
            self._inflater = zlib.decompressobj(deflate if self._encoding == "deflate" else zlib.MAX_WBITS + 16)
        try:
            part: bytes = self._inflater.decompress(chunk, self._max_bytes - self._size + 1)
        except zlib.error:
            raise SourceBadShape(self._name, "not compressed as it says") from None
        if self._inflater.unused_data:
            raise SourceBadShape(self._name, "data behind the compressed data")
        return part


def _without_halves(data: bytes) -> bytes:
    """JSON in which escaped halves of a surrogate pair are U+FFFD: programs that cut texts make them, and one name cut
    in the middle of a rare character must not spoil the records beside it."""
    if b"\0" in data or not _HALF.search(data):
        return data
    # An escaped backslash escapes nothing itself; a raw NUL, which no JSON has, holds its place meanwhile.
    held = data.replace(b"\\\\", b"\0")
    held = _HIGH_HALF.sub(_LOST, held, _HALVES_AT_MOST)
    return _LOW_HALF.sub(_LOST, held, _HALVES_AT_MOST).replace(b"\0", b"\\\\")


def nested_deeper(data: bytes, depth: int) -> bool:
    """Whether arrays and objects of a JSON text are nested deeper, or are not closed; linear in the text's length.

    Brackets in strings do not count: escaped quotes go first, then what stands between quotes. What is no JSON may be
    judged either way, but never passes a part that a parser would nest deeper.
    """
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side leave whatever follows inside or outside of a string, as it was.
    marks = data.translate(_TO_SQUARE, _NOT_MARKS).replace(b'""', b"")
    brackets = b"".join(marks.split(b'"')[::2])
    for _ in range(depth):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
