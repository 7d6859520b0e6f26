"""Asks the counterparts as a stranger would, with signatures made by code of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

    from demo.counterparts import Call, Counterparts

STATUS = "/api/v1/project/status"


class Stranger:
    """Asks one counterpart with the credentials that lie beside its configuration."""

    def __init__(self, running: Counterparts, name: str, http: aiohttp.ClientSession) -> None:
        self.system, self._http = running.systems[name], http
        self._directory, self._name = running.sources.parent, name

    def credential(self, what: str) -> str:
        return (self._directory / f"{self._name}-{what}").read_text().strip()

    async def post(self, path: str, **more: Any) -> tuple[int, bytes, Any]:
        """Status, body and headers of an answer; redirects are not followed."""
        address = f"http://127.0.0.1:{self.system.port}{path}"
        async with self._http.post(address, allow_redirects=False, **more) as answer:
            return answer.status, await answer.read(), answer.headers

    def client_headers(self, *, skew_s: float = 0, nonce: str = "") -> dict[str, str]:
        stamp, nonce = str(int((time.time() + skew_s) * 1000)), nonce or uuid.uuid4().hex
        client = self.credential("client_id")
        digest = hmac.new(self.credential("secret").encode(), f"{client}{stamp}{nonce}".encode(), hashlib.sha256)
        sign = base64.b64encode(digest.digest()).decode()
        return {"X-Client-Id": client, "X-Timestamp": stamp, "X-Nonce": nonce, "X-Signature": sign}

    async def sites(self, *keys: str, fields: str = "", charset: str = "utf-8") -> list[dict[str, Any]]:
        _, body, _ = await self.post(STATUS, headers=self.client_headers(), json={"xmbmList": keys, "zds": fields})
        rows: list[dict[str, Any]] = json.loads(body.decode(charset))["data"]["rows"]
        return rows

    def irs(self, secret: str, *, skew_s: float = 0) -> dict[str, str]:
        stamp = str(int((time.time() + skew_s) * 1000))
        key = self.credential("app_key")
        return {"appKey": key, "requestTime": stamp, "sign": hashlib.md5(f"{key}{secret}{stamp}".encode()).hexdigest()}

    def gateway(self, rid: str, sid: str, key: str, *, skew_s: float = 0) -> dict[str, str]:
        stamp = str(int((time.time() + skew_s) * 1000))
        digest = hmac.new(key.encode(), f"{sid}{rid}{stamp}".encode(), hashlib.sha256).digest()
        sign = base64.b64encode(digest).decode()
        return {"gjzwfwpt_rid": rid, "gjzwfwpt_sid": sid, "gjzwfwpt_rtime": stamp, "gjzwfwpt_sign": sign}


def last(system: Any, service: str | None = None) -> Call:
    """The latest call, once it is over."""
    for _ in range(100):
        found: Call = system.calls(service)[-1]
        if found.outcome != "pending":
            return found
        time.sleep(0.01)
    raise AssertionError("still pending")
