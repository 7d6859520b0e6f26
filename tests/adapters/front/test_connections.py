"""Connections of the front-end driver: what each failure of the wire is called, and what it leaves behind."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.address import AddressRefused
from adapters.base import (
    SourceBadShape,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
)
from tests.adapters.front.province import STATUS, add_status, keys_of, status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from adapters.front.driver import FrontDriver
    from demo.embedded import EmbeddedPostgres
    from tests.adapters.front.wire import Wire


async def test_failures_of_connecting(owner: Any, drive: Callable[..., FrontDriver], wire: Wire) -> None:
    """Each has its name, and none of them the password or what the server said."""

    async def failure(**changes: Any) -> SourceError:
        with pytest.raises(SourceError) as caught:
            await drive(**changes).open()
        assert "secret" not in str(caught.value)
        assert "role" not in str(caught.value)
        return caught.value

    assert isinstance(await failure(user="front_nobody"), SourceRefused)
    assert isinstance(await failure(address=f"postgresql://127.0.0.1:{wire.port}/front_missing"), SourceRefused)
    before = wire.connections
    assert isinstance(await failure(networks=["10.0.0.0/8"]), AddressRefused)
    assert isinstance(
        await failure(address=f"postgresql://localhost:{wire.port}/x", networks=["::1/128"]), AddressRefused
    )
    assert wire.connections == before
    assert "credential of password" in str(await failure(password="env:FRONT_NOTHING"))
    wire.refuse = True
    unreachable = await failure()
    assert isinstance(unreachable, SourceUnreachable)
    assert unreachable.retryable
    wire.refuse, wire.frozen = False, True
    assert isinstance(await failure(deadline_ms=100), SourceTimeout)
    wire.frozen = False
    await wire.stop()
    assert isinstance(await failure(), SourceUnreachable)


async def test_a_password_that_is_not_accepted(
    postgres: EmbeddedPostgres, owner: Any, drive: Callable[..., FrontDriver]
) -> None:
    """SCRAM is spoken; a wrong password is a refusal."""
    rules = postgres.data_directory / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("local all front_reader scram-sha-256\n" + before)
    try:
        await owner.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(0.2)
        await drive().open()
        await owner.execute("ALTER ROLE front_reader PASSWORD 'another'")
        with pytest.raises(SourceRefused, match="InvalidPasswordError"):
            await drive().open()
    finally:
        rules.write_text(before)
        await owner.execute("ALTER ROLE front_reader PASSWORD 'secret'; SELECT pg_reload_conf()")
        await asyncio.sleep(0.2)


async def test_a_cut_answer_leaves_no_dead_connection(
    owner: Any, drive: Callable[..., FrontDriver], wire: Wire
) -> None:
    """What was cut is unreachable; after the wire recovers the next call has a new connection, others idle or not."""
    await add_status(owner, 1, "P1", xmmc="x" * 50_000)
    driver = drive()
    await asyncio.gather(*(keys_of(driver, "P1") for _ in range(3)))
    assert wire.connections == 3
    wire.cut_at = 0
    with pytest.raises(SourceUnreachable):
        await keys_of(driver, "P1")
    wire.cut_at = None
    wire.drop()
    for _ in range(2):
        try:
            assert await keys_of(driver, "P1") == ["P1"]
            break
        except SourceUnreachable:
            continue
    else:
        raise AssertionError("a dead connection was used twice")


async def test_cancellation_leaves_no_busy_connection(
    owner: Any, drive: Callable[..., FrontDriver], wire: Wire
) -> None:
    """A call cancelled while the wire is frozen takes its connection with it; answers are never mixed up."""
    for number in range(20):
        await add_status(owner, number, f"P{number}")
    driver = drive(concurrency=2)
    await keys_of(driver, "P0")
    wire.frozen = True
    calls = [asyncio.create_task(keys_of(driver, f"P{number}")) for number in range(5)]
    await asyncio.sleep(0.05)
    for call in calls:
        call.cancel()
    await asyncio.wait(calls, timeout=1)
    assert all(call.cancelled() for call in calls)
    wire.frozen = False
    answers = await asyncio.gather(*(keys_of(driver, f"P{number}") for number in range(20)))
    assert answers == [[f"P{number}"] for number in range(20)]
    await asyncio.sleep(0.05)
    assert wire.open <= 2


async def test_a_slow_statement_ends_at_the_deadline(owner: Any, drive: Callable[..., FrontDriver]) -> None:
    """The server itself ends a statement that waits for a lock; the connection stays in use."""
    await add_status(owner, 1, "P1")
    driver = drive(deadline_ms=300)
    await keys_of(driver, "P1")
    async with owner.transaction():
        await owner.execute('LOCK TABLE "370000_SPGL_XMJGXXB"')
        started = time.monotonic()
        with pytest.raises(SourceTimeout):
            await keys_of(driver, "P1")
        assert 0.2 < time.monotonic() - started < 1.0
    assert await keys_of(driver, "P1") == ["P1"]


async def test_drip_is_survived(owner: Any, drive: Callable[..., FrontDriver], wire: Wire) -> None:
    """Bytes one by one are put together."""
    await add_status(owner, 1, "P1", xmmc="项目𠮷")
    wire.drip = True
    answer = await drive(deadline_ms=20_000).read(STATUS, status("P1"), ("xmbh", "xmmc"))
    assert answer.records == [{"xmbh": "P1", "xmmc": "项目𠮷"}]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, ssl.SSLContext]]:
    """Makes certificates for a name, each its own authority, and a server's context with it."""
    folder = tmp_path_factory.mktemp("tls")

    def make(name: str) -> tuple[Path, ssl.SSLContext]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
            .serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )  # fmt: skip
        public, private = folder / f"{name}.pem", folder / f"{name}.key"
        public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                              serialization.NoEncryption()))  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(public, private)
        return public, context

    return make


async def test_tls_verifies_the_name_though_the_address_is_connected_to(
    owner: Any, drive: Callable[..., FrontDriver], wire: Wire, authority: Callable[[str], tuple[Path, ssl.SSLContext]]
) -> None:
    """A certificate of the configured name is accepted; of another name, or another authority, nothing is sent."""
    await add_status(owner, 1, "P1")
    ca, wire.tls = authority("localhost")
    other, _ = authority("elsewhere")
    named = {"address": f"postgresql://localhost:{wire.port}/front_tests", "networks": ["127.0.0.0/8", "::1/128"]}

    assert await keys_of(drive(**named, ca=str(ca)), "P1") == ["P1"]
    assert b"P1" not in wire.sent or b"SELECT" in wire.sent
    wire.sent.clear()
    with pytest.raises(SourceError, match="certificate"):
        await drive(**named, ca=str(other)).open()
    with pytest.raises(SourceError, match="certificate"):
        await drive(ca=str(ca)).open()  # by its number, which the certificate does not name
    assert not wire.sent
    wire.tls = None
    with pytest.raises(SourceUnreachable):
        await drive(**named, ca=str(ca)).open()


@pytest.mark.parametrize("tls", [False, True])
async def test_a_message_without_end_ends_the_connection(
    owner: Any,
    drive: Callable[..., FrontDriver],
    wire: Wire,
    authority: Callable[[str], tuple[Path, ssl.SSLContext]],
    tls: bool,
) -> None:
    """While it comes in, not when it is whole: in an answer and in the login alike; afterwards all is well."""
    place, context = authority("localhost")
    wire.tls = context if tls else None
    named = {"address": f"postgresql://localhost:{wire.port}/front_tests", "networks": ["127.0.0.0/8", "::1/128"]}
    driver = drive(max_bytes=100_000, deadline_ms=20_000, **named, ca=str(place) if tls else "")
    await add_status(owner, 1, "P1")
    await driver.open()
    for _ in range(2):
        wire.flood, wire.received = True, 0
        with pytest.raises(SourceBadShape) as caught:
            await keys_of(driver, "P1")
        assert caught.value.reason == "more bytes than an answer can have"
        assert wire.received < 20_000_000
    wire.flood = False
    assert await keys_of(driver, "P1") == ["P1"]


async def test_check_tells_each_step(owner: Any, drive: Callable[..., FrontDriver], wire: Wire) -> None:
    """What an operator sees, up to the step that fails."""
    await add_status(owner, 1, "P1", xmmc="CANARY")
    steps = [step async for step in drive().check()]
    assert [title for title, _ in steps] == [
        "credentials", "address", "connection", "table 370000_SPGL_XMJGXXB", "table jdjc", f"probe {STATUS}",
        f"receipts {STATUS}",
    ]  # fmt: skip
    assert "sjsczt bigint" in steps[3][1]
    assert steps[5][1] == "1 rows"
    assert "CANARY" not in str(steps)

    await owner.execute('REVOKE UPDATE (sbyy) ON "370000_SPGL_XMJGXXB" FROM front_reader')
    checking = drive().check()
    for title, _ in steps[:-1]:
        assert (await anext(checking))[0] == title
    with pytest.raises(SourceRefused, match="no right to write column sbyy"):
        await anext(checking)


async def test_a_hundred_fetches_side_by_side(owner: Any, drive: Callable[..., FrontDriver], wire: Wire) -> None:
    """No more connections than configured, and each answer belongs to its question."""
    for number in range(100):
        await add_status(owner, number, f"P{number}")
    driver = drive()
    answers = await asyncio.gather(*(keys_of(driver, f"P{number}") for number in range(100)))
    assert answers == [[f"P{number}"] for number in range(100)]
    assert wire.connections == 3
