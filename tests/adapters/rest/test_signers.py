"""Every family's signature holds where it is verified; secrets are renewed once and early, whoever is cancelled."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from adapters.base import Fetch, SourceBadShape, SourceError, SourceRefused, SourceTimeout, SourceUnreachable
from adapters.configuration import (
    AttributeMapping,
    ClientSigner,
    Condition,
    GatewaySigner,
    IrsSigner,
    RestService,
    RestSource,
)
from adapters.http import HttpDoor
from adapters.rest.gateway import NationalSigner, opened
from adapters.rest.signers import SignerConfiguration
from adapters.rest.source import RestDriver
from tests.adapters.rest.platforms import CREDENTIALS, RENEW_SID, RID, SID, Platform, gateway, irs, x_client

IRS = IrsSigner(app_key="env:KEY", app_secret="env:SECRET")
CLIENT = ClientSigner(client_id="env:ID", secret="env:SECRET")
STATIC = GatewaySigner(rid=RID, key="env:SECRET")
RENEWED = GatewaySigner(rid=RID, key="env:KEY", renew="/secret", renew_sid=RENEW_SID)
STATUS = "Project.siteStatus"


@asynccontextmanager
async def driving(platform: Platform, signer: SignerConfiguration, **more: Any) -> AsyncIterator[RestDriver]:
    """An open driver of the platform."""
    service = RestService(
        path="/data",
        key="no",
        fields={"name": AttributeMapping(source="mc")},
        body={"nos": "{keys:,}"},
        form=isinstance(signer, IrsSigner),
        success=Condition(path="code", values=("00",)),
        rows="rows",
        sid=SID if isinstance(signer, GatewaySigner) else "",
    )
    config = RestSource(
        title="试", covers=("330000",), address=platform.address, networks=("127.0.0.0/8",), signer=signer,
        service={STATUS: service, "Project.investmentApproval": service}, **{"deadline_ms": 1000, **more},
    )  # fmt: skip
    driver = RestDriver("zj", config, CREDENTIALS.__getitem__)
    try:
        await driver.open()
        yield driver
    finally:
        await driver.close()


async def read(driver: RestDriver, service: str = STATUS) -> int:
    """Ask for two keys; how many records came."""
    return len((await driver.read(service, Fetch(service, ("A1", "B2"), ()), ("no", "mc"))).records)


async def test_the_published_vector_of_the_gateway_holds():
    """domain.md 4.1: secret, sid, rid and rtime with the signature they give; and the derived AES key."""
    door = HttpDoor(
        "n", RestSource(title="", covers=(), address="http://127.0.0.1", networks=(), signer=STATIC, service={})
    )
    config = GatewaySigner(rid="RID-DEMO-0001", key="")
    door.now_ms = lambda: 1717200000000  # type: ignore[method-assign]
    signature = await NationalSigner("n", door, config, "demo-appsecret-0001").sign("SID-DEMO-0001")
    assert signature.headers == {
        "gjzwfwpt_rid": "RID-DEMO-0001",
        "gjzwfwpt_sid": "SID-DEMO-0001",
        "gjzwfwpt_rtime": "1717200000000",
        "gjzwfwpt_sign": "IOu1mwX5g2nmRsZ6cQu2nxnLFV7U6baDX1Lyym6x9kc=",
    }
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    encryptor = Cipher(algorithms.AES128(bytes.fromhex("184cf440a649665776dd4583990aeab1")), modes.ECB()).encryptor()
    sealed = base64.b64encode(encryptor.update(b"secret-01234567" + b"\x01") + encryptor.finalize()).decode()
    assert opened(sealed, b"demo-appkey") == b"secret-01234567"


async def test_x_client_signs_each_call_anew():
    async with x_client() as (platform, family), driving(platform, CLIENT) as driver:
        assert await read(driver) == 1
        assert await asyncio.gather(*(read(driver) for _ in range(20))) == [1] * 20
        assert len(family.nonces) == 21
        assert platform.refusals == []


async def test_the_gateway_with_a_static_key_signs():
    async with gateway(renewed=False) as (platform, _), driving(platform, STATIC) as driver:
        assert await read(driver) == 1
        assert platform.refusals == []


async def test_the_gateway_with_renewed_keys_gets_one_secret_for_all():
    async with gateway(renewed=True) as (platform, _), driving(platform, RENEWED) as driver:
        assert await asyncio.gather(*(read(driver) for _ in range(20))) == [1] * 20
        assert (platform.count("secret"), platform.count("data")) == (1, 20)
        # What the secret service is sent, made again by hand.
        body = platform.asked[0]
        message = f"{RENEW_SID}{RID}{body['gjzwfwpt_rtime']}".encode()
        expected = base64.b64encode(hmac.digest(b"demo-appkey", message, "sha256")).decode()
        assert body["gjzwfwpt_sign"] == expected


@pytest.mark.parametrize(("family", "signer", "renewal"), [(gateway, RENEWED, "secret"), (irs, IRS, "by secret")])
async def test_a_refused_secret_is_renewed_once_for_all_and_the_calls_repeated(family: Any, signer: Any, renewal: str):
    given = {"renewed": True} if family is gateway else {}
    async with family(**given) as (platform, known), driving(platform, signer) as driver:
        assert await read(driver) == 1
        for _ in range(3):
            before = platform.count(renewal)
            known.lives.expire(everything=False)
            platform.delays[renewal] = 0.05
            assert await asyncio.gather(*(read(driver) for _ in range(20))) == [1] * 20
            assert platform.count(renewal) - before == 1


async def test_a_call_refused_after_the_others_renewed_is_repeated_without_another_renewal():
    async with irs() as (platform, family), driving(platform, IRS) as driver:
        platform.delays["data"] = 0.2
        late = asyncio.create_task(read(driver))
        await asyncio.sleep(0.05)
        platform.delays.clear()
        family.lives.expire(everything=False)
        assert await read(driver) == 1
        assert await late == 1
        assert (platform.count("by secret"), platform.count("data")) == (1, 4)


async def test_a_refused_refresh_secret_begins_again_by_key():
    async with irs() as (platform, family), driving(platform, IRS) as driver:
        assert (await read(driver), platform.count("by key")) == (1, 1)
        family.lives.expire(everything=True)
        assert await read(driver) == 1
        assert (platform.count("by secret"), platform.count("by key")) == (1, 2)


async def test_secrets_are_renewed_before_their_end_while_nobody_waits():
    async with irs() as (platform, family):
        family.lives.request_s = 0.6
        async with driving(platform, IRS) as driver:
            platform.delays["by secret"] = 0.1
            until, slowest = time.monotonic() + 2, 0.0
            while time.monotonic() < until:
                began = time.monotonic()
                assert await read(driver) == 1
                slowest = max(slowest, time.monotonic() - began)
                await asyncio.sleep(0.01)
            assert platform.refusals == []
            assert 3 <= platform.count("by secret") <= 8
            assert platform.count("by key") == 1
            assert slowest < 0.09


async def test_a_failing_renewal_spoils_nothing_while_the_old_secret_holds():
    async with irs() as (platform, family):
        family.lives.request_s = 0.8
        async with driving(platform, IRS) as driver:
            platform.failing |= {"by secret", "by key"}
            await asyncio.sleep(0.5)
            assert await read(driver) == 1
            await asyncio.sleep(0.4)
            with pytest.raises(SourceUnreachable):
                await read(driver)
            platform.failing.clear()
            assert await read(driver) == 1


async def test_a_cancelled_caller_cancels_nobodys_renewal():
    async with irs() as (platform, family), driving(platform, IRS) as driver:
        family.lives.expire(everything=True)
        platform.delays["by key"] = 0.3
        calls = [asyncio.create_task(read(driver)) for _ in range(5)]
        await asyncio.sleep(0.15)
        for call in calls[:3]:
            call.cancel()
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one).__name__ for one in found] == ["CancelledError"] * 3 + ["int"] * 2
        assert platform.count("by key") == 2


async def test_a_renewal_survives_all_its_callers():
    async with irs() as (platform, family), driving(platform, IRS) as driver:
        family.lives.expire(everything=True)
        platform.delays["by key"] = 0.3
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.15):
                await read(driver)
        await asyncio.sleep(0.3)
        assert await read(driver) == 1
        assert platform.count("by key") == 2


async def test_closing_ends_a_renewal_under_way():
    async with irs() as (platform, family), driving(platform, IRS) as driver:
        family.lives.expire(everything=True)
        platform.delays["by key"] = 0.5
        call = asyncio.create_task(read(driver))
        await asyncio.sleep(0.1)
        await driver.close()
        with pytest.raises(SourceError):
            await call


@pytest.mark.parametrize(
    ("family", "signer"),
    [
        (x_client, CLIENT),
        (lambda: gateway(renewed=False), STATIC),
        (lambda: gateway(renewed=True), RENEWED),
        (irs, IRS),
    ],
    ids=["x-client", "gateway", "gateway renewed", "irs"],
)
@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_an_hour_off_is_learned_from_the_first_refusal(family: Any, signer: Any, hours: int):
    async with family() as (platform, _):
        platform.offset_s = hours * 3600
        async with driving(platform, signer) as driver:
            assert await read(driver) == 1
            assert platform.refusals == ["clock"]
            assert await read(driver) == 1
            assert platform.refusals == ["clock"]
            # And when somebody sets it right.
            platform.offset_s = 0
            assert await read(driver) == 1


async def test_a_service_that_refuses_for_another_reason_does_not_renew_with_each_call():
    async with irs() as (platform, family), driving(platform, IRS) as driver:
        platform.answer = lambda _: {"code": "55"}
        for _ in range(10):
            with pytest.raises(SourceRefused):
                await read(driver, "Project.investmentApproval")
        assert platform.count("by secret") == 1
        assert platform.count("data") == 11
        # Another service is not held back by it.
        platform.answer = lambda _: {"code": "00", "rows": [{}]}
        family.lives.expire(everything=False)
        assert await read(driver) == 1


async def test_a_secret_that_ends_after_an_unrelated_refusal_is_renewed(monkeypatch: pytest.MonkeyPatch):
    """Within seconds, whatever the service refused for; meanwhile refusals do not renew with each call."""
    monkeypatch.setattr("adapters.rest.signer._PAUSE_S", 0.4)
    async with irs() as (platform, family), driving(platform, IRS) as driver:
        answer = platform.answer
        platform.answer = lambda _: {"code": "55"}
        for _ in range(5):
            with pytest.raises(SourceRefused):
                await read(driver)
        assert platform.count("by secret") == 1
        platform.answer = answer
        assert await read(driver) == 1
        family.lives.expire(everything=False)
        with pytest.raises(SourceRefused):
            await read(driver)
        await asyncio.sleep(0.4)
        assert await asyncio.gather(*(read(driver) for _ in range(5))) == [1] * 5
        assert platform.count("by secret") == 2
        # That renewal helped, so that the next one need not wait.
        family.lives.expire(everything=False)
        assert await read(driver) == 1


async def test_a_static_key_that_is_refused_is_refused():
    async with x_client() as (platform, family), driving(platform, CLIENT) as driver:
        family.secret = "another"
        with pytest.raises(SourceRefused) as caught:
            await read(driver)
        assert caught.value.reason == "status 401"
        assert platform.count("data") == 1


@pytest.mark.parametrize(
    "datas",
    [
        None, [], {"requestSecret": "x"},
        {"requestSecret": 1, "refreshSecret": "x", "requestSecretEndTime": 1, "refreshSecretEndTime": 1},
        {"requestSecret": "x", "refreshSecret": "x", "requestSecretEndTime": "soon", "refreshSecretEndTime": 1},
    ],
)  # fmt: skip
async def test_secrets_of_another_shape_are_refused(datas: Any):
    async with irs() as (platform, family):
        family._issue = lambda _: datas  # type: ignore[method-assign,assignment]
        with pytest.raises(SourceBadShape):
            async with driving(platform, IRS):
                pass


async def test_a_secret_sealed_with_another_appkey_is_refused():
    async with gateway(renewed=True) as (platform, family):
        sealing = family.issue

        def issue(given: Any, sid: str) -> str:
            sealing(given, sid)
            return "AAAAAAAAAAAAAAAAAAAAAA=="

        family.issue = issue  # type: ignore[method-assign]
        with pytest.raises(SourceBadShape) as caught:
            async with driving(platform, RENEWED):
                pass
        assert caught.value.reason == "the secret does not open with the appkey"


async def test_a_secret_service_that_hangs_is_bounded():
    async with gateway(renewed=True) as (platform, _):
        platform.delays["secret"] = 5
        began = time.monotonic()
        with pytest.raises(SourceTimeout):
            async with driving(platform, RENEWED, deadline_ms=300):
                pass
        assert time.monotonic() - began < 0.6
