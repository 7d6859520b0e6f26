"""The signing families from the other side: each signature is made again, compared, and refused by the server's clock.

Written from the published descriptions alone, so that the product's signers are checked by other code than their own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

REQUEST_LIFE_S, REFRESH_LIFE_S = 15 * 60.0, 48 * 3600.0


class Refused(Exception):
    """The signature, the key or the time does not hold; the text is for the record of calls."""


def _equal(found: str, expected: str) -> None:
    if not hmac.compare_digest(found.encode(), expected.encode()):
        raise Refused("signature")


def _fresh(milliseconds: str, now: float, tolerance_s: float) -> None:
    if not milliseconds.isdecimal() or abs(int(milliseconds) / 1000 - now) > tolerance_s:
        raise Refused("clock")


@dataclass
class Lives:
    """How long issued secrets hold, and those that were issued, with their ends."""

    request_s: float = REQUEST_LIFE_S
    refresh_s: float = REFRESH_LIFE_S
    request: dict[str, float] = field(default_factory=dict)
    refresh: dict[str, float] = field(default_factory=dict)

    def expire(self, *, everything: bool) -> None:
        """End the request secrets now, and the refresh secrets too if `everything`."""
        self.request.clear()
        if everything:
            self.refresh.clear()


@dataclass
class ClientFamily:
    """X-Client: static secret, time within ten minutes, every nonce once."""

    client_id: str
    secret: str
    now: Callable[[], float]
    nonces: set[str] = field(default_factory=set)

    def verify(self, headers: Mapping[str, str]) -> None:
        """Raise `Refused` unless the four headers hold."""
        client, stamp = headers.get("X-Client-Id", ""), headers.get("X-Timestamp", "")
        nonce = headers.get("X-Nonce", "")
        if client != self.client_id or not nonce:
            raise Refused("client")
        digest = hmac.digest(self.secret.encode(), f"{client}{stamp}{nonce}".encode(), "sha256")
        _equal(headers.get("X-Signature", ""), base64.b64encode(digest).decode())
        _fresh(stamp, self.now(), 600)
        if nonce in self.nonces:
            raise Refused("nonce used before")
        self.nonces.add(nonce)

    async def forget(self) -> None:
        """Take any nonce again."""
        self.nonces.clear()


@dataclass
class IrsFamily:
    """Zhejiang IRS: MD5 of key, secret and time; request secrets are renewed by a refresh secret, that by the key."""

    app_key: str
    app_secret: str
    now: Callable[[], float]
    lives: Lives = field(default_factory=Lives)

    def verify(self, asked: Mapping[str, str]) -> None:
        """Raise `Refused` unless a data call is signed with a living request secret."""
        self._signed(asked, self.lives.request)

    def by_key(self, asked: Mapping[str, str]) -> dict[str, object]:
        """Both secrets anew, for a call signed with the application's secret."""
        self._signed(asked, {self.app_secret: float("inf")})
        refresh = secrets.token_hex(16)
        self.lives.refresh[refresh] = self.now() + self.lives.refresh_s
        return self._issue(refresh)

    def by_secret(self, asked: Mapping[str, str]) -> dict[str, object]:
        """A request secret anew, for a call signed with a living refresh secret."""
        return self._issue(self._signed(asked, self.lives.refresh))

    def _signed(self, asked: Mapping[str, str], living: Mapping[str, float]) -> str:
        stamp, sign = asked.get("requestTime", ""), asked.get("sign", "").lower()
        if asked.get("appKey") != self.app_key:
            raise Refused("appKey")
        _fresh(stamp, self.now(), 600)
        for secret, end in living.items():
            # The family prescribes MD5.
            expected = hashlib.md5(f"{self.app_key}{secret}{stamp}".encode(), usedforsecurity=False).hexdigest()
            if hmac.compare_digest(sign.encode(), expected.encode()):
                if end <= self.now():
                    raise Refused("secret expired")
                return secret
        raise Refused("signature")

    def _issue(self, refresh: str) -> dict[str, object]:
        request = secrets.token_hex(16)
        self.lives.request[request] = self.now() + self.lives.request_s
        return {
            "refreshSecret": refresh,
            "refreshSecretEndTime": int(self.lives.refresh[refresh] * 1000),
            "requestSecret": request,
            "requestSecretEndTime": int(self.lives.request[request] * 1000),
        }


@dataclass
class GatewayFamily:
    """National gateway: gjzwfwpt_* headers, with a static appsecret or with secrets that an appkey opens."""

    rid: str
    key: str
    now: Callable[[], float]
    renewed: bool = False
    """Whether `key` is an appkey and calls are signed with issued secrets."""
    lives: Lives = field(default_factory=Lives)

    def verify(self, given: Mapping[str, str], sid: str) -> None:
        """Raise `Refused` unless a call of service `sid` is signed with a living secret."""
        living = self.lives.request if self.renewed else {self.key: float("inf")}
        self._signed(given, sid, living)

    def issue(self, given: Mapping[str, str], sid: str) -> str:
        """A new secret, sealed with a key derived from the appkey, for a call signed with the appkey itself."""
        self._signed(given, sid, {self.key: float("inf")})
        secret = secrets.token_hex(16)
        self.lives.request[secret] = self.now() + self.lives.request_s
        return seal(self.key, secret)

    def _signed(self, given: Mapping[str, str], sid: str, living: Mapping[str, float]) -> None:
        rid, stamp = given.get("gjzwfwpt_rid", ""), given.get("gjzwfwpt_rtime", "")
        if rid != self.rid or given.get("gjzwfwpt_sid") != sid:
            raise Refused("rid or sid")
        _fresh(stamp, self.now(), 300)
        sign = given.get("gjzwfwpt_sign", "")
        for secret, end in living.items():
            digest = hmac.digest(secret.encode(), f"{sid}{rid}{stamp}".encode(), "sha256")
            if hmac.compare_digest(sign.encode(), base64.b64encode(digest)):
                if end <= self.now():
                    raise Refused("secret expired")
                return
        raise Refused("signature")


def seal(appkey: str, secret: str) -> str:
    """AES-128/ECB/PKCS5 in Base64, the key as Java's SHA1PRNG makes it of the appkey."""
    # SHA-1 and ECB are what the gateway prescribes.
    once = hashlib.sha1(appkey.encode(), usedforsecurity=False).digest()
    key = hashlib.sha1(once, usedforsecurity=False).digest()[:16]
    padder = padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
    padded = padder.update(secret.encode()) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()
