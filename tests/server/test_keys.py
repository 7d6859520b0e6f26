"""Forged tokens, and key sets that must not be trusted."""

from __future__ import annotations

import hashlib
import hmac
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.keys import KeySet, KeysRefused
from tests.server.tokens import (
    ED,
    ED2,
    GOOD,
    P256,
    RSA,
    b64,
    bearer,
    jwk,
    jwks,
    payload,
    refusal,
    sign,
    without,
)

HEAD, BODY, SIGNATURE = GOOD.split(".")
PUBLIC_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_with(secret: bytes, kid: str) -> str:
    segments = b64(json.dumps({"alg": "HS256", "typ": "JWT", "kid": kid}).encode()) + b"." + BODY.encode()
    return (segments + b"." + b64(hmac.new(secret, segments, hashlib.sha256).digest())).decode()


def unsigned(alg: str, signature: str = "") -> str:
    return b64(json.dumps({"alg": alg, "typ": "JWT", "kid": "ed"}).encode()).decode() + f".{BODY}.{signature}"


def headed(header: object) -> str:
    return f"{b64(json.dumps(header).encode()).decode()}.{BODY}.{SIGNATURE}"


FORGED = {
    "empty": ("", "TOKEN_MALFORMED"),
    "one segment": (HEAD, "TOKEN_MALFORMED"),
    "two segments": (f"{HEAD}.{BODY}", "TOKEN_MALFORMED"),
    "four segments": (f"{GOOD}.x", "TOKEN_MALFORMED"),
    "blank inside": (f"{HEAD}. {BODY}.{SIGNATURE}", "TOKEN_MALFORMED"),
    "padding": (f"{GOOD}==", "TOKEN_MALFORMED"),
    "standard base64": (GOOD[:-1] + "+", "TOKEN_MALFORMED"),
    "not ASCII": (GOOD + "é", "TOKEN_MALFORMED"),
    "5 KB": (sign(payload(jti="x" * 5000)), "TOKEN_MALFORMED"),
    "header is no JSON": (f"eA.{BODY}.{SIGNATURE}", "TOKEN_MALFORMED"),
    "header is a list": (headed([]), "TOKEN_MALFORMED"),
    "encrypted": (sign(payload(), enc="A256GCM"), "TOKEN_MALFORMED"),
    "brings its own key": (sign(payload(), ED2, jwk=jwk(ED2, "ed")), "TOKEN_MALFORMED"),
    "names an address of keys": (sign(payload(), jku="https://evil.example/jwks"), "TOKEN_MALFORMED"),
    "names a certificate": (sign(payload(), x5u="https://evil.example/x"), "TOKEN_MALFORMED"),
    "carries a certificate": (sign(payload(), x5c=["x"]), "TOKEN_MALFORMED"),
    "critical extension": (sign(payload(), crit=["exp"], exp=1), "TOKEN_MALFORMED"),
    "detached payload": (sign(payload(), b64=False, crit=["b64"]), "TOKEN_MALFORMED"),
    "compressed": (sign(payload(), zip="DEF"), "TOKEN_MALFORMED"),
    "another kind of token": (sign(payload(), typ="secevent+jwt"), "TOKEN_MALFORMED"),
    "alg none": (unsigned("none"), "TOKEN_MALFORMED"),
    "alg none, some signature": (unsigned("none", "AAAA"), "TOKEN_SIGNATURE"),
    "alg None": (unsigned("None", "AAAA"), "TOKEN_SIGNATURE"),
    "no alg": (headed({"kid": "ed"}), "TOKEN_SIGNATURE"),
    "HMAC with the public key as PEM": (hmac_with(PUBLIC_PEM, "rsa"), "TOKEN_SIGNATURE"),
    "HMAC with the public key as JWK": (hmac_with(json.dumps(jwk(RSA, "rsa")).encode(), "rsa"), "TOKEN_SIGNATURE"),
    "HMAC with the raw Ed25519 key": (hmac_with(ED.public_key().public_bytes_raw(), "ed"), "TOKEN_SIGNATURE"),
    "HMAC with nothing": (hmac_with(b"", "ed"), "TOKEN_SIGNATURE"),
    "no kid": (sign(payload(), kid=...), "TOKEN_SIGNATURE"),
    "kid of no key": (sign(payload(), kid="nobody"), "TOKEN_SIGNATURE"),
    "kid is a path": (sign(payload(), kid="../../../../dev/null"), "TOKEN_SIGNATURE"),
    "kid is a file": (sign(payload(), kid="file:///etc/passwd"), "TOKEN_SIGNATURE"),
    "kid is SQL": (sign(payload(), kid="x' UNION SELECT 'ed"), "TOKEN_SIGNATURE"),
    "kid is a number": (headed({"alg": "EdDSA", "kid": 1}), "TOKEN_MALFORMED"),
    "kid of another key": (sign(payload(), kid="ec"), "TOKEN_SIGNATURE"),
    "algorithm of another key": (sign(payload(), P256, "ES256", kid="ed"), "TOKEN_SIGNATURE"),
    "RS256 with a key for PS256": (sign(payload(), RSA, "RS256", kid="pss"), "TOKEN_SIGNATURE"),
    "PS256 with a key for RS256": (sign(payload(), RSA, "PS256", kid="rsa"), "TOKEN_SIGNATURE"),
    "RS512": (sign(payload(), RSA, "RS512", kid="rsa"), "TOKEN_SIGNATURE"),
    "signed by another key": (sign(payload(), ED2), "TOKEN_SIGNATURE"),
    "payload exchanged": (f"{HEAD}.{sign(payload(sub='u2')).split('.')[1]}.{SIGNATURE}", "TOKEN_SIGNATURE"),
    "signature cut": (f"{HEAD}.{BODY}.{SIGNATURE[:-2]}", "TOKEN_SIGNATURE"),
    "signature of zeros": (f"{HEAD}.{BODY}.{'A' * 86}", "TOKEN_SIGNATURE"),
    "payload is no JSON": (sign(b"nothing"), "TOKEN_MALFORMED"),
    "payload is a list": (sign(b"[]"), "TOKEN_MALFORMED"),
    "payload with NaN": (sign(b'{"exp": NaN}'), "TOKEN_MALFORMED"),
    "payload nested 1,400 deep": (sign(b"[" * 1400), "TOKEN_MALFORMED"),
    "a member twice": (
        sign(json.dumps(payload()).replace('"sub"', '"sub": "admin", "sub"').encode()), "TOKEN_MALFORMED"
    ),
    "a member of zlaq twice": (
        sign(json.dumps(payload()).replace('"level"', '"level": "MINISTRY", "level"').encode()), "TOKEN_MALFORMED"
    ),
    "invalid UTF-8": (sign(b'{"sub": "\xff"}'), "TOKEN_MALFORMED"),
}  # fmt: skip


@pytest.mark.parametrize(("token", "name"), FORGED.values(), ids=FORGED)
async def test_forged_token(token, name):
    assert await refusal(bearer(token)) == name


def test_keys_from_a_file(tmp_path):
    file = tmp_path / "jwks.json"
    file.write_text(jwks(jwk(ED, "ed")))
    assert list(KeySet.load(str(file)).keys) == ["ed"]


ED_JWK = jwk(ED, "ed")
OCT = {"kty": "oct", "k": "c2VjcmV0", "kid": "h", "alg": "HS256"}
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)
SMALL = rsa.generate_private_key(public_exponent=3, key_size=2048)
P384 = ec.generate_private_key(ec.SECP384R1())
KEY_SETS = {
    "not JSON": "{",
    "a list": "[]",
    "no keys": '{"keys": []}',
    "keys are an object": '{"keys": {}}',
    "key is a text": '{"keys": ["x"]}',
    "symmetric": jwks(OCT),
    "symmetric beside a good one": jwks(ED_JWK, OCT),
    "RSA declared HMAC": jwks(jwk(RSA, "a", alg="HS256")),
    "none": jwks(jwk(RSA, "a", alg="none")),
    "algorithm of another type": jwks(jwk(RSA, "a", alg="ES256")),
    "algorithm of another length": jwks(jwk(RSA, "a", alg="RS512")),
    "algorithm is a list": jwks(jwk(RSA, "a", alg=["RS256"])),
    "1,024 bits": jwks(jwk(WEAK, "a")),
    "exponent 3": jwks(jwk(SMALL, "a")),
    "another curve": jwks(jwk(P384, "a")),
    "private": jwks({**jwt.get_algorithm_by_name("EdDSA").to_jwk(ED, as_dict=True), "kid": "a"}),
    "private RSA": jwks({**jwt.get_algorithm_by_name("RS256").to_jwk(RSA, as_dict=True), "kid": "a"}),
    "for encryption": jwks(jwk(RSA, "a", use="enc")),
    "for signing only": jwks(jwk(ED, "a", key_ops=["sign"])),
    "no kid": jwks(without(ED_JWK, "kid")),
    "kid is a path": jwks(jwk(ED, "../a")),
    "kid twice": jwks(ED_JWK, jwk(ED2, "ed")),
    "cut": jwks({**ED_JWK, "x": "AAAA"}),
    "no file": "/nowhere/jwks.json",
}


@pytest.mark.parametrize("text", KEY_SETS.values(), ids=KEY_SETS)
def test_a_key_set_with_anything_wrong_is_refused(text):
    with pytest.raises(KeysRefused) as raised:
        KeySet.load(text)
    assert "c2VjcmV0" not in str(raised.value)
