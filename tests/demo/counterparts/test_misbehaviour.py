"""Every way in which a counterpart over HTTP answers badly."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from typing import Any

import aiohttp
import pytest

from demo.counterparts.facts import STRANGER
from demo.seed import wellknown as known
from tests.demo.counterparts.stranger import STATUS, last


@pytest.mark.parametrize(
    ("behaviour", "params", "expected"),
    [
        ("error", {"status": 503}, lambda status, body, _: status == 503 and "网络故障".encode() in body),
        ("busy", {}, lambda status, *_: status == 429),
        ("html", {}, lambda status, body, headers: (status, headers["Content-Type"], body[:1])
         == (200, "text/html", b"<")),
        ("redirect", {"to": "http://a.invalid/"}, lambda *got: (got[0], got[2]["Location"]) == (302, "http://a.invalid/")),
        ("success_error", {}, lambda status, body, _: status == 200 and STRANGER.encode() in body),
        ("expired", {}, lambda status, *_: status == 401),
        ("charset", {}, lambda _, body, __: b"\xff" in body),
        ("deep", {"depth": 9000}, lambda _, body, __: b"[" * 9000 in body),
        ("gigantic", {"megabytes": 5}, lambda _, body, __: len(body) > 5_000_000),
        ("gigantic", {"records": 1000}, lambda _, body, __: body.count(b'"xmbm"') == 1000),
        ("bomb", {"megabytes": 20}, lambda _, body, __: len(body) < 50_000 and len(gzip.decompress(body)) > 20_000_000),
        ("empty", {}, lambda _, body, __: json.loads(body)["data"]["rows"] == []),
        ("duplicate", {}, lambda _, body, __: body.count(known.PROJECT_NANJING.encode()) == 2),
        ("wrong_key", {}, lambda _, body, __: known.PROJECT_NANJING.encode() not in body),
        ("extra", {}, lambda _, body, __: body.count(b'"xmbm":"999999') == 3 and b"weiqingqiu" in body),
        ("hostile", {"variant": 3}, lambda _, body, __: b"\\ud800" in body and b"1" + b"0" * 400 in body),
    ],
)  # fmt: skip
async def test_misbehaviour(stranger: Any, behaviour: str, params: dict[str, Any], expected: Any) -> None:
    """Once, as told, and named in the record of calls; the next call is answered as ever."""
    jiangsu = stranger("jiangsu")
    jiangsu.system.behave(behaviour, times=1, **params)
    body = {"xmbmList": [known.PROJECT_NANJING]}

    assert expected(*await jiangsu.post(STATUS, headers=jiangsu.client_headers(), json=body))
    assert behaviour in last(jiangsu.system).outcome
    (row,) = await jiangsu.sites(known.PROJECT_NANJING)
    assert (row["xmbm"], row["zt"]) == (known.PROJECT_NANJING, "已竣工")
    assert last(jiangsu.system).outcome == "answered"


async def test_misbehaviour_of_the_connection(stranger: Any) -> None:
    """Late headers, single bytes, half an answer; a caller who goes away is written down as gone."""
    jiangsu = stranger("jiangsu")
    body = {"xmbmList": [known.PROJECT_NANJING], "zds": "xmbm"}
    jiangsu.system.behave("slow", times=1, seconds=0.2)
    began = time.monotonic()
    await jiangsu.post(STATUS, headers=jiangsu.client_headers(), json=body)
    assert time.monotonic() - began > 0.2
    jiangsu.system.behave("drip", times=1, seconds=0.002)
    began = time.monotonic()
    _, answer, _ = await jiangsu.post(STATUS, headers=jiangsu.client_headers(), json=body)
    assert json.loads(answer)["data"]["rows"] == [{"xmbm": known.PROJECT_NANJING}]
    assert time.monotonic() - began > 0.002 * len(answer)
    jiangsu.system.behave("cut", times=1)
    with pytest.raises(aiohttp.ClientPayloadError):
        await jiangsu.post(STATUS, headers=jiangsu.client_headers(), json=body)
    jiangsu.system.behave("slow", times=1, seconds=30)
    with pytest.raises(TimeoutError):
        await jiangsu.post(
            STATUS, headers=jiangsu.client_headers(), json=body, timeout=aiohttp.ClientTimeout(total=0.1)
        )
    # The connection is closed in the next turns of this loop.
    await asyncio.sleep(0.05)
    assert last(jiangsu.system).outcome == "abandoned"
