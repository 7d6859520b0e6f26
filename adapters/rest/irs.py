"""The family of Zhejiang's IRS: a refresh secret of days gets request secrets of minutes, which sign the calls."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from adapters.base import SourceBadShape, SourceRefused
from adapters.configuration import IrsSigner
from adapters.http import HttpDoor
from adapters.rest.secret import Held, Secret, held
from adapters.rest.signer import Signature, Signer


class IrsTokenSigner(Signer):
    """Query parameters appKey, requestTime (ms) and sign = MD5(appKey + requestSecret + requestTime)."""

    def __init__(self, name: str, door: HttpDoor, config: IrsSigner, app_key: str, app_secret: str) -> None:
        self._request = Secret(name, self._obtain, door.now_ms)
        super().__init__(door, self._request)
        self._name = name
        self._config = config
        self._app_key = app_key
        self._app_secret = app_secret
        self._refresh: Held | None = None

    async def sign(self, sid: str) -> Signature:  # noqa: ARG002 - only the gateway signs the service
        """The three parameters, with a request secret that still holds."""
        secret = await self._request.current()
        query = self._signed(secret.value.decode())
        return Signature(query=query, skew_ms=self._door.skew_ms, secret=secret.number)

    def _signed(self, secret: str) -> dict[str, str]:
        stamp = str(self._door.now_ms())
        # MD5 is the platform's choice.
        sign = hashlib.md5(f"{self._app_key}{secret}{stamp}".encode(), usedforsecurity=False).hexdigest()
        return {"appKey": self._app_key, "sign": sign, "requestTime": stamp}

    async def _obtain(self) -> Held:
        if self._refresh is not None and self._door.now_ms() < self._refresh.renew_ms:
            try:
                return await self._exchanged(self._config.by_secret, self._refresh.value.decode())
            except SourceRefused:
                self._refresh = None
        return await self._exchanged(self._config.by_key, self._app_secret)

    async def _exchanged(self, path: str, secret: str) -> Held:
        datas = await self._issued(lambda: self._asked(path, secret))
        refresh, request = datas.get("refreshSecret"), datas.get("requestSecret")
        refresh_ends, request_ends = _instant(datas, "refreshSecretEndTime"), _instant(datas, "requestSecretEndTime")
        if not (isinstance(refresh, str) and isinstance(request, str) and refresh_ends and request_ends):
            raise SourceBadShape(self._name, "no secrets with end times where they are issued")
        now, early = self._door.now_ms(), self._config.early_s
        self._refresh = held(refresh.encode(), now, refresh_ends, early)
        return held(request.encode(), now, request_ends, early)

    async def _asked(self, path: str, secret: str) -> Mapping[str, Any]:
        answer = await self._door.ask(
            "POST", path, query=self._signed(secret), headers={}, body=None, content_type="application/json"
        )
        if not isinstance(answer, dict) or answer.get("code") != "00":
            raise SourceRefused(self._name, "no secret issued")
        datas = answer.get("datas")
        return datas if isinstance(datas, dict) else {}


def _instant(datas: Mapping[str, Any], name: str) -> int:
    """Milliseconds since 1970, which some releases write as a text; 0 where there are none."""
    value = datas.get(name)
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0
