"""The issuer's public keys: which there are, and which token was signed by one of them.

Keys are read once, from a local file or the setting itself; no address is ever fetched, least of all one that a token
names. To rotate keys, list both until the last token of the old one has expired, and restart.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

if TYPE_CHECKING:
    from jwt.algorithms import AllowedPublicKeys

ALGORITHMS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {"RS256": ("RSA", None), "PS256": ("RSA", None), "ES256": ("EC", "P-256"), "EdDSA": ("OKP", "Ed25519")}
)
"""What signs tokens: algorithm to key type and curve. Nothing symmetric, and never `none`."""
_DEFAULTS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
_PRIVATE = frozenset("dpqk") | {"dp", "dq", "qi", "oth"}
_KID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_DANGEROUS = ("jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc")
"""Header parameters that would bring their own key, or change what is signed."""
TOKEN_AT_MOST = 4096


class KeysRefused(ValueError):
    """A key set that cannot be trusted as it stands; raised at start, naming the key by its place in the list."""


class TokenMalformed(Exception):
    """Not a signed token in compact form."""


class SignatureRefused(Exception):
    """Not signed by a key that is listed, with the algorithm of that key."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the one algorithm it may verify."""

    algorithm: str
    public: AllowedPublicKeys


@dataclass(frozen=True, slots=True)
class KeySet:
    """All keys by `kid`; immutable, one for the life of a process."""

    keys: Mapping[str, Key]

    @classmethod
    def load(cls, jwks: str) -> Self:
        """Read a JWKS: the absolute path of a file, or its JSON.

        One unusable key refuses the whole set, since a set with a symmetric or private key in it is a mistake that
        somebody must hear about.
        """
        if jwks.startswith("/"):
            try:
                jwks = Path(jwks).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                raise KeysRefused("the JWKS file cannot be read") from None
        try:
            listed = json.loads(jwks)["keys"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise KeysRefused('not a JWKS: {"keys": [...]}') from None
        if not isinstance(listed, list) or not listed:
            raise KeysRefused("the JWKS lists no key")
        keys: dict[str, Key] = {}
        for number, entry in enumerate(listed, 1):
            try:
                kid, key = _key(entry)
            except _Unfit as why:
                raise KeysRefused(f"key {number} of the JWKS: {why}") from None
            if kid in keys:
                raise KeysRefused(f"key {number} of the JWKS: its kid is listed twice")
            keys[kid] = key
        return cls(MappingProxyType(keys))

    def verify(self, token: str) -> bytes:
        """The payload of a token whose signature holds; raises `TokenMalformed` or `SignatureRefused`."""
        if len(token) > TOKEN_AT_MOST or _TOKEN.fullmatch(token) is None:
            raise TokenMalformed
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise TokenMalformed from None
        if any(name in header for name in _DANGEROUS) or str(header.get("typ", "JWT")).lower() not in ("jwt", "at+jwt"):
            raise TokenMalformed
        kid = header.get("kid")
        key = self.keys.get(kid) if isinstance(kid, str) else None
        if key is None or header.get("alg") != key.algorithm:
            raise SignatureRefused
        try:
            payload: bytes = _SIGNATURES.decode_complete(token, key.public, [key.algorithm])["payload"]
        except jwt.PyJWTError:
            raise SignatureRefused from None
        return payload


_SIGNATURES = jwt.PyJWS(algorithms=list(ALGORITHMS))


class _Unfit(Exception):
    """Why an entry of a JWKS cannot be used."""


def _key(entry: object) -> tuple[str, Key]:
    if not isinstance(entry, dict):
        raise _Unfit("not an object")
    kid, kty, alg = entry.get("kid"), entry.get("kty"), entry.get("alg")
    if not isinstance(kid, str) or _KID.fullmatch(kid) is None:
        raise _Unfit("its kid must be 1 to 64 letters, digits, dots, colons, hyphens or underscores")
    if not isinstance(kty, str) or kty not in _DEFAULTS:
        raise _Unfit("only public keys of type RSA, EC and OKP verify tokens")
    if _PRIVATE & entry.keys():
        raise _Unfit("it is a private key")
    algorithm = _DEFAULTS[kty] if alg is None else alg
    if not isinstance(algorithm, str) or ALGORITHMS.get(algorithm) != (kty, entry.get("crv")):
        raise _Unfit(f"its alg and curve must be one of {', '.join(ALGORITHMS)} (P-256, Ed25519)")
    if entry.get("use", "sig") != "sig" or not _verifies(entry.get("key_ops", ["verify"])):
        raise _Unfit("it is not meant for signatures")
    return kid, Key(algorithm, _public(entry, algorithm))


def _verifies(key_ops: object) -> bool:
    return isinstance(key_ops, Sequence) and "verify" in key_ops


def _public(entry: dict[str, Any], algorithm: str) -> AllowedPublicKeys:
    try:
        public: AllowedPublicKeys = jwt.PyJWK(entry, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise _Unfit("it cannot be read") from None
    if isinstance(public, RSAPublicKey) and (public.key_size < 2048 or public.public_numbers().e < 65537):
        raise _Unfit("RSA keys have at least 2048 bits and an exponent of at least 65537")
    return public
