"""Keys, tokens and an authenticator at a fixed time, for the tests of identity."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from schema.regions import load_regions
from server.errors import entry_for
from server.identity import Authenticator
from server.keys import KeySet

NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://issuer.example", "zlaq"
ED, P256, RSA = (
    ed25519.Ed25519PrivateKey.generate(),
    ec.generate_private_key(ec.SECP256R1()),
    rsa.generate_private_key(public_exponent=65537, key_size=2048),
)
ED2 = ed25519.Ed25519PrivateKey.generate()
USCC = "91000000MADEM002XR"
PERSON = "Pabcdefghijklmnopqrstuvwx"


def jwk(key: Any, kid: str, **more: object) -> dict[str, Any]:
    kinds = ((ed25519.Ed25519PrivateKey, "EdDSA"), (ec.EllipticCurvePrivateKey, "ES256"), (rsa.RSAPrivateKey, "RS256"))
    name = next(name for kind, name in kinds if isinstance(key, kind))
    algorithm = jwt.get_algorithm_by_name(name)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, **more}


def jwks(*keys: dict[str, Any]) -> str:
    return json.dumps({"keys": keys})


KEYS = KeySet.load(jwks(jwk(ED, "ed"), jwk(P256, "ec"), jwk(RSA, "rsa"), jwk(RSA, "pss", alg="PS256")))
COUNTY = {"level": "COUNTY", "kind": "HOUSING", "regions": ["420106"], "dept": "AJ420106-1"}
HANDLER = COUNTY | {"roles": ["case_handler"], "purposes": ["ACCIDENT", "PENALTY"], "cases": ["A-1", "A-2"]}


def payload(zlaq: object = COUNTY, **changes: object) -> dict[str, Any]:
    times = {"iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 3600}
    claims: dict[str, object] = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u1", **times, "zlaq": zlaq} | changes
    return {name: value for name, value in claims.items() if value is not ...}


def sign(claims: dict[str, Any] | bytes, key: Any = ED, alg: str = "EdDSA", **header: object) -> str:
    headers = {"kid": "ed", **header}
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    kept = {name: value for name, value in headers.items() if value is not ...}
    # PyJWT would put `crit` and `b64` to use; a forger writes what he likes, and signs that.
    segments = b".".join(b64(part) for part in (json.dumps({"alg": alg, "typ": "JWT"} | kept).encode(), body))
    algorithm = jwt.get_algorithm_by_name(alg)
    return (segments + b"." + b64(algorithm.sign(segments, algorithm.prepare_key(key)))).decode()


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


@dataclass
class Cases:
    """Which cases are open, and who asked."""

    open: frozenset[str] = frozenset({"A-1"})
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    async def is_open(self, case_no: str, nodes: Any) -> bool:
        self.asked.append((case_no, tuple(nodes)))
        return case_no in self.open


def authenticator(**changes: Any) -> Authenticator:
    given: dict[str, Any] = {
        "keys": KEYS,
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "regions": load_regions(),
        "cases": Cases(),
    }
    return Authenticator(**(given | {"clock": Clock()} | changes))


def bearer(token: str, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), (b"authorization", b"Bearer " + token.encode("latin-1")), *more]


async def refusal(headers: list[tuple[bytes, bytes]], with_: Authenticator | None = None) -> str:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever it is, the catalogue names it
        await (with_ or authenticator()).authenticate(headers)
    return entry_for(raised.value).name


GOOD = sign(payload())


def without(claims: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in claims.items() if key != name}
