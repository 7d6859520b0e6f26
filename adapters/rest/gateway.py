"""The family of the national gateway (国家数据共享交换平台): four headers, the key given for good or renewed.

Where keys are renewed, a secret service hands out the current one, encrypted with a key that follows from the appkey as
Java's SHA1PRNG derives it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from adapters.base import SourceBadShape
from adapters.configuration import GatewaySigner
from adapters.http import HttpDoor
from adapters.rest.secret import Held, Secret, held
from adapters.rest.signer import Signature, Signer

_EARLY_S = 120


class NationalSigner(Signer):
    """gjzwfwpt_sign = Base64(HMAC-SHA256(key, sid + rid + rtime)), rtime in milliseconds."""

    def __init__(self, name: str, door: HttpDoor, config: GatewaySigner, key: str) -> None:
        super().__init__(door, Secret(name, self._obtain, door.now_ms) if config.renew else None)
        self._name = name
        self._config = config
        self._key = key.encode()

    async def sign(self, sid: str) -> Signature:
        """The four headers."""
        key, number = self._key, 0
        if self._renewable is not None:
            current = await self._renewable.current()
            key, number = current.value, current.number
        return Signature(self._signed(sid, key), skew_ms=self._door.skew_ms, secret=number)

    def _signed(self, sid: str, key: bytes) -> dict[str, str]:
        stamp = str(self._door.now_ms())
        sign = base64.b64encode(hmac.digest(key, f"{sid}{self._config.rid}{stamp}".encode(), "sha256")).decode()
        return {
            "gjzwfwpt_rid": self._config.rid,
            "gjzwfwpt_sid": sid,
            "gjzwfwpt_rtime": stamp,
            "gjzwfwpt_sign": sign,
        }

    async def _obtain(self) -> Held:
        answer = await self._issued(self._ask_secret)
        data = answer.get("data") if isinstance(answer, dict) else None
        sealed = data.get("secret") if isinstance(data, dict) else None
        if not isinstance(sealed, str):
            raise SourceBadShape(self._name, "the secret service gave no secret")
        try:
            value = opened(sealed, self._key)
        except ValueError:
            raise SourceBadShape(self._name, "the secret does not open with the appkey") from None
        now = self._door.now_ms()
        return held(value, now, now + self._config.life_s * 1000, _EARLY_S)

    async def _ask_secret(self) -> Any:
        signed = self._signed(self._config.renew_sid, self._key)
        return await self._door.ask(
            "POST",
            self._config.renew,
            query={},
            headers=signed,
            body=msgspec.json.encode(signed),
            content_type="application/json",
        )


def opened(sealed: str, appkey: bytes) -> bytes:
    """The secret in a Base64 AES-128-ECB-PKCS5 text; raises `ValueError` if it is none of this appkey."""
    key = hashlib.sha1(hashlib.sha1(appkey, usedforsecurity=False).digest(), usedforsecurity=False).digest()[:16]
    # The platform's choice of mode, not ours.
    decryptor = Cipher(algorithms.AES128(key), modes.ECB()).decryptor()  # noqa: S305
    padded = decryptor.update(base64.b64decode(sealed, validate=True)) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()
