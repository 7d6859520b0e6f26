"""The door lets in what a source declared and nothing else, and every failure has its name; on real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from adapters.address import AddressRefused
from adapters.base import (
    SourceBadShape,
    SourceBusy,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
)
from adapters.http import HttpDoor
from tests.adapters.rest.doors import SECRET, answered, ask, base, failure
from tests.adapters.rest.wire import Say, Wire, reply, saying, wire


async def test_a_call_carries_what_was_asked_and_nothing_of_ours_beside():
    async with wire(saying(reply(b'{"a": 1}', "Set-Cookie: session=1"))) as counterpart:
        door = HttpDoor("zj", base(counterpart.address))
        answer = await door.ask(
            "POST", "/q", query={"x": "甲 &"}, headers={"X-Sign": "s"}, body=b"[1]", content_type="application/json"
        )
        assert answer == {"a": 1}
        await ask(door)
        await door.aclose()
    first, second = counterpart.heads
    assert first.startswith("POST /q?x=%E7%94%B2+%26 HTTP/1.1\r\n")
    assert "X-Sign: s\r\n" in first
    assert "Content-Type: application/json\r\n" in first
    assert "Accept-Encoding: gzip\r\n" in first
    assert counterpart.bodies == [b"[1]", b""]
    assert "Cookie" not in second
    assert counterpart.connections == 1


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        ("301 Moved Permanently", SourceRefused, False),
        ("302 Found", SourceRefused, False),
        ("304 Not Modified", SourceRefused, False),
        ("307 Temporary Redirect", SourceRefused, False),
        ("400 Bad Request", SourceRefused, False),
        ("401 Unauthorized", SourceRefused, False),
        ("403 Forbidden", SourceRefused, False),
        ("404 Not Found", SourceRefused, False),
        ("429 Too Many Requests", SourceBusy, False),
        ("500 Internal Server Error", SourceUnreachable, True),
        ("502 Bad Gateway", SourceUnreachable, True),
        ("503 Service Unavailable", SourceUnreachable, True),
        ("504 Gateway Timeout", SourceUnreachable, True),
        ("501 Not Implemented", SourceError, False),
        ("204 No Content", SourceBadShape, False),
    ],
)
async def test_every_status_has_its_name(status: str, kind: type[SourceError], retryable: bool):
    found = await failure(saying(reply(SECRET.encode() * (not status.startswith(("304", "204"))), status=status)))
    assert type(found) is kind
    assert found.retryable is retryable


async def test_a_redirect_is_not_followed():
    async with wire(saying(reply(b"[]"))) as elsewhere:
        answer = reply(b"", f"Location: {elsewhere.address}/x", status="302 Found")
        found = await failure(saying(answer))
        assert (found.name, found.reason) == ("SOURCE_REFUSED", "redirect")
        assert elsewhere.connections == 0


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\nContent-", reply(b'{"a":', length=100)])
async def test_a_cut_answer_is_worth_another_try(after: bytes):
    found = await failure(saying(after, close=True))
    assert type(found) is SourceUnreachable
    assert found.retryable


async def test_a_reset_connection_and_a_closed_port_are_unreachable():
    async def say(writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.transport.abort()

    assert type(await failure(say)) is SourceUnreachable
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    door = HttpDoor("zj", base(f"http://127.0.0.1:{port}"))
    with pytest.raises(SourceUnreachable):
        await ask(door)
    await door.aclose()


async def slow_head(writer: asyncio.StreamWriter, head: bytes) -> None:
    """Never says anything."""
    await asyncio.sleep(30)


async def drip_head(writer: asyncio.StreamWriter, head: bytes) -> None:
    """A header, byte by byte."""
    for byte in reply(b"[]", "X-Pad: " + "x" * 500):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_body(writer: asyncio.StreamWriter, head: bytes) -> None:
    """A body, byte by byte."""
    writer.write(reply(b"", length=1000))
    for _ in range(1000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def interim_forever(writer: asyncio.StreamWriter, head: bytes) -> None:
    """Interim answers without end."""
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("say", [slow_head, drip_head, drip_body, interim_forever])
async def test_the_deadline_holds_however_slowly_it_speaks(say: Say):
    began = time.monotonic()
    found = await failure(say)
    assert type(found) is SourceTimeout
    assert 0.35 < time.monotonic() - began < 0.8


@pytest.mark.parametrize("say", [slow_head, drip_head, drip_body])
async def test_a_cancelled_call_closes_its_connection_and_harms_no_other(say: Say):
    turn = 0

    async def first_misbehaves(writer: asyncio.StreamWriter, head: bytes) -> None:
        nonlocal turn
        turn += 1
        await (say if turn == 1 else saying(reply(b"[2]")))(writer, head)

    async with wire(first_misbehaves) as counterpart:
        door = HttpDoor("zj", base(counterpart.address, deadline_ms=5000, concurrency=1))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.15):
                await ask(door)
        # With one connection allowed, a leaked one would leave no room, and a reused one would bring the first answer.
        assert await ask(door) == [2]
        assert counterpart.connections == 2
        await door.aclose()
        await counterpart.quiet()


async def test_bytes_behind_an_answer_are_not_the_next_answer():
    async with wire(saying(reply(b"[1]") + reply(b"[666]"))) as counterpart:
        door = HttpDoor("zj", base(counterpart.address))
        assert await ask(door) == [1]
        await asyncio.sleep(0.01)
        assert await ask(door) == [1]
        await door.aclose()


async def test_no_more_connections_than_declared():
    async def say(writer: asyncio.StreamWriter, head: bytes) -> None:
        await asyncio.sleep(0.01)
        writer.write(reply(b"[]"))

    async with wire(say) as counterpart:
        door = HttpDoor("zj", base(counterpart.address, concurrency=3, deadline_ms=3000))
        await asyncio.gather(*(ask(door) for _ in range(30)))
        assert counterpart.connections == 3
        await door.aclose()


@pytest.mark.parametrize(
    ("address", "networks"),
    [
        ("http://127.0.0.1:{port}", ("10.0.0.0/8",)),
        ("http://localhost:{port}", ("10.0.0.0/8",)),
        ("http://[::ffff:127.0.0.1]:{port}", ("10.0.0.0/8", "::/0")),
        ("http://127.1.2.3:{port}", ("127.0.0.0/24",)),
    ],
)
async def test_an_address_outside_the_networks_is_never_connected_to(address: str, networks: tuple[str, ...]):
    async with wire(saying(reply(b"[]"))) as counterpart:
        door = HttpDoor("zj", base(address.format(port=counterpart.port), networks=networks))
        with pytest.raises(AddressRefused):
            await ask(door)
        with pytest.raises(AddressRefused):
            [step async for step in door.check()]
        await door.aclose()
        assert counterpart.connections == 0


@contextmanager
def resolving(*answers: list[str]) -> Iterator[list[str]]:
    """Names are resolved to one answer after the other, as a hostile name server would; to none, not at all."""
    left, asked, true = list(answers), [], socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        if not left:
            raise socket.gaierror(socket.EAI_NONAME, SECRET)
        found = left.pop(0) if len(left) > 1 else left[0]
        family = {True: socket.AF_INET6, False: socket.AF_INET}
        return [(family[":" in text], socket.SOCK_STREAM, 6, "", (text, port)) for text in found]

    socket.getaddrinfo = getaddrinfo  # type: ignore[assignment]
    try:
        yield asked
    finally:
        socket.getaddrinfo = true


async def test_a_name_is_resolved_for_every_connection_and_checked_each_time():
    async with wire(saying(reply(b"[1]", "Connection: close"))) as counterpart:
        door = HttpDoor("zj", base(f"http://local.example:{counterpart.port}", networks=("127.0.0.1/32",)))
        with resolving(["127.0.0.1"], ["127.0.0.2"]) as asked:
            assert await ask(door) == [1]
            with pytest.raises(AddressRefused):
                await ask(door)
        assert asked == ["local.example"] * 2
        assert counterpart.connections == 1
        with resolving(["127.0.0.1", "169.254.169.254"]), pytest.raises(AddressRefused):
            await ask(door)
        with resolving(["::ffff:169.254.169.254"]), pytest.raises(AddressRefused):
            await ask(door)
        await door.aclose()


async def test_a_name_that_does_not_resolve_is_unreachable():
    door = HttpDoor("zj", base("http://local.example:80"))
    with resolving(), pytest.raises(SourceUnreachable) as caught:
        await ask(door)
    await door.aclose()
    assert SECRET not in str(caught.value)


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch):
    async with wire(saying(reply(b"[]"))) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.address)
        assert await answered(saying(reply(b"[1]"))) == [1]
        assert proxy.connections == 0


async def test_the_clock_of_the_source_is_measured():
    there = time.time() + 3600
    async with wire(saying(reply(b"[]", f"Date: {formatdate(there, usegmt=True)}"))) as counterpart:
        door = HttpDoor("zj", base(counterpart.address))
        assert abs(door.now_ms() - time.time() * 1000) < 50
        await ask(door)
        await door.aclose()
    assert abs(door.skew_ms - 3_600_000) <= 1000
    assert abs(door.now_ms() - there * 1000) < 2000


@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "tomorrow", "Mon, 99 Foo 99999 99:99:99 GMT", ""])
async def test_a_date_that_is_no_clock_changes_nothing(date: str):
    async with wire(saying(reply(b"[]", f"Date: {date}"))) as counterpart:
        door = HttpDoor("zj", base(counterpart.address))
        await ask(door)
        await door.aclose()
    assert door.skew_ms == 0


async def test_a_path_that_leads_elsewhere_is_refused():
    async with wire(saying(reply(b"[]"))) as counterpart:
        door = HttpDoor("zj", base(counterpart.address))
        with pytest.raises(SourceError):
            await ask(door, "@evil.example/x")
        await door.aclose()
        assert counterpart.connections == 0


async def test_check_tells_address_and_connection(quiet_wire: Wire):
    door = HttpDoor("zj", base(quiet_wire.address))
    assert [step async for step in door.check()] == [
        ("address", "127.0.0.1 within 127.0.0.0/8"),
        ("connection", "open, without TLS"),
    ]
    await quiet_wire.quiet()


async def test_the_certificate_is_verified(tmp_path: Path):
    authority, server = certified(tmp_path)
    async with wire(saying(reply(b"[1]")), tls=server) as counterpart:
        address = f"https://localhost:{counterpart.port}"
        door = HttpDoor("zj", base(address, ca=str(authority), networks=("127.0.0.0/8", "::1/128")))
        assert await ask(door) == [1]
        steps = [step async for step in door.check()]
        assert steps[1][1].startswith("TLSv1.3, certificate until ")
        await door.aclose()
        for wrong in (
            base(address, networks=("127.0.0.0/8", "::1/128")),
            base(f"https://127.0.0.1:{counterpart.port}", ca=str(authority)),
            base(address, ca=str(tmp_path / "absent.pem"), networks=("127.0.0.0/8", "::1/128")),
        ):
            door = HttpDoor("zj", wrong)
            with pytest.raises(SourceError) as caught:
                await ask(door)
            assert (caught.value.name, caught.value.retryable) == ("SOURCE_UNAVAILABLE", False)
            with pytest.raises(SourceError):
                [step async for step in door.check()]
            await door.aclose()
        assert len(counterpart.heads) == 1


def certified(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for "localhost" that is its own authority, and a server's settings with it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    pem, private = folder / "authority.pem", folder / "key.pem"
    pem.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return pem, context


@pytest.fixture
async def quiet_wire():
    """A counterpart that answers an empty list."""
    async with wire(saying(reply(b"[]"))) as counterpart:
        yield counterpart
