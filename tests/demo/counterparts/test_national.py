"""The national platform: two kinds of key, four words for success, a limit, and the officer behind a question."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from adapters.configuration import RestService, RestSource
from adapters.configured import load_configuration
from demo.counterparts import Counterparts
from demo.counterparts.facts import STRANGER
from demo.seed import wellknown as known
from demo.seed.story import person
from schema.registry import load_registry
from tests.demo.counterparts.stranger import last

RID = "XX1110000000013338@3f1c9a7be2d04568b1a7c05e9d82f640"


def interfaces(running: Counterparts) -> Mapping[str, RestService]:
    """The services as the configuration has them."""
    source = load_configuration(running.sources, load_registry()).source["national"]
    assert isinstance(source, RestSource)
    return source.service


async def test_national_static_key(running: Counterparts, stranger: Any) -> None:
    """Signature, clock and lower-case names are checked; each service has its own word for success."""
    national = stranger("national")
    services = interfaces(running)
    key = national.credential("appsecret")

    async def ask(path: str, sid: str, body: dict[str, Any], **more: Any) -> tuple[int, dict[str, Any]]:
        headers = national.gateway(RID, sid, more.pop("key", key), **more)
        status, answer, _ = await national.post(path, headers=headers, json=body)
        return status, json.loads(answer)

    registration = services["Enterprise.businessRegistration"]
    path, sid, body = registration.path, registration.sid, {"tyshxydm": known.CONTRACTOR, "cxzd": "qymc"}
    assert await ask(path, sid, body) == (
        200,
        {"code": "200", "message": "成功", "data": {"qymc": "武汉衡砺澄建设工程有限公司"}},
    )
    for wrong in ({"key": "wrong"}, {"skew_s": 400}):
        assert (await ask(path, sid, body, **wrong))[0] == 401
    assert (await ask(path, "s_1100000000013021_0004", body))[0] == 401
    assert (await ask(path, sid, {"TYSHXYDM": known.CONTRACTOR}))[1]["code"] == "300"
    assert last(national.system).outcome == "refused: names must be lower-case"
    credit = services["Enterprise.creditRecords"]
    found = (await ask(credit.path, credit.sid, {"tyshxydm": known.CONTRACTOR, "pagesize": 3}))[1]
    assert (found["code"], len(found["biz_data"]["rows"]), found["biz_data"]["totalpage"]) == ("1", 3, 3)
    until = (await ask(credit.path, credit.sid, {"tyshxydm": known.CONTRACTOR, "jzrq": "2025-12-31"}))[1]
    assert [row["rdrq"][:4] for row in until["biz_data"]["rows"]] == ["2025", "2025"]


async def test_national_rate_limit(running: Counterparts, stranger: Any) -> None:
    """Too many calls of one service in a second: 429, or the service's own word for it; other services go on."""
    national = stranger("national")
    services = interfaces(running)
    key = national.credential("appsecret")
    national.system.limit(2)
    found = []
    for coordinate in ("Enterprise.businessRegistration", "Enterprise.creditRecords"):
        service = services[coordinate]
        for _ in range(3):
            headers = national.gateway(RID, service.sid, key)
            status, body, _ = await national.post(service.path, headers=headers, json={"tyshxydm": known.CONTRACTOR})
            found.append((status, json.loads(body)["code"]))
    assert found == [(200, "200")] * 2 + [(429, "api-029")] + [(200, "1")] * 2 + [(200, "-29")]


def open_secret(sealed: str, appkey: str) -> str:
    """AES-128/ECB/PKCS5 with the first sixteen bytes of SHA1(SHA1(appkey))."""
    key = hashlib.sha1(hashlib.sha1(appkey.encode()).digest()).digest()[:16]
    decryptor = Cipher(algorithms.AES128(key), modes.ECB()).decryptor()
    plain = decryptor.update(base64.b64decode(sealed)) + decryptor.finalize()
    return plain[: -plain[-1]].decode()


async def test_population_needs_a_renewed_secret_and_a_whole_officer(stranger: Any) -> None:
    """The appkey opens a secret that signs; without officer, address or reason there is no answer; items are few."""
    national = stranger("national")
    rid, sid = "XX1110000000013338@b80e5d2f6c914a37a9e1d4c7f0362b58", "c2a91f77d05b4e83a1c6e94d20b7f358"
    appkey = national.credential("appkey")

    async def secret() -> str:
        _, body, _ = await national.post(
            "/gateway/httpproxy/secret", json=national.gateway(rid, "s_1100000000013338_0001", appkey)
        )
        return open_secret(json.loads(body)["data"]["secret"], appkey)

    async def ask(key: str, **changed: str) -> tuple[int, dict[str, Any]]:
        officer = {"UserCardId": STRANGER, "UserName": "何松", "UserDept": known.AGENCY_WUCHANG, "UserIp": "127.0.0.1"}
        body = {
            "SenderId": "JS000000", "ServiceId": sid, "AuthorizeInfo": "x", "Method": "Query",
            "EndUser": officer | {"CallReason": "安管人员考核"} | changed,
            "Params": {"Condition": {"GMSFHM": person(1, None).id_no}, "RequiredItems": ["XM", "GMSFHM"]},
        }  # fmt: skip
        status, answer, _ = await national.post(
            "/gateway/httpproxy/rk/query", headers=national.gateway(rid, sid, key), json=body
        )
        return status, json.loads(answer)

    assert (await ask(appkey))[0] == 401
    current = await secret()
    _, answer = await ask(current)
    assert answer["Code"] == "0001"
    assert answer["PayLoad"]["Data"]["Result"] == [{"GMSFHM": person(1, None).id_no, "XM": "陈致远"}]
    assert (last(national.system).officer, last(national.system).fields) == (True, ("XM", "GMSFHM"))
    for changed in ({"CallReason": "  "}, {"UserCardId": ""}, {"UserIp": "somewhere"}):
        assert (await ask(current, **changed))[1]["Code"] == "0500"
    national.system.expire_secrets()
    assert (await ask(current))[0] == 401
