"""From a request's headers to a `Subject`: a bearer token is verified and its claims parsed, or the request is refused.

A token is valid until it expires and cannot be revoked before; that is why its life is at most twelve hours. A caller
without a token is the public; one with a bad token is refused, and never becomes the public. No exception here carries
a claim's value: what it names comes from a closed list.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, Self

from policy.subject import PUBLIC_SUBJECT, Subject
from schema.regions import Regions, load_regions
from server.claims import SUB, Claims, ClaimsRefused, one_text
from server.keys import TOKEN_AT_MOST, KeySet, TokenMalformed

if TYPE_CHECKING:
    from server.settings import Settings

LIFE_AT_MOST_S = 12 * 3600
CACHED_TOKENS = 4096
Headers = Iterable[tuple[bytes, bytes]]


class TokenExpired(Exception):
    """Its `exp` has passed."""


class TokenNotYetValid(Exception):
    """Its `nbf` or `iat` lies ahead."""


class WrongAudience(Exception):
    """Issued by somebody else, or for somebody else."""


class AuthorizationRepeated(Exception):
    """More than one Authorization, purpose or case header: no two parties may read different ones."""


class PurposeNotInToken(Exception):
    """The header chooses a purpose that the token does not carry."""


class CaseNotInToken(Exception):
    """The header chooses a case that the token does not carry."""


class CaseClosed(Exception):
    """The chosen case is closed, or not known here."""


class CaseStore(Protocol):
    """Where the open state of a case is read, once a request."""

    async def is_open(self, case_no: str, nodes: Sequence[str]) -> bool:
        """Whether a case is known, open, and within one of these supervision codes."""
        ...


class NoCases:
    """The `CaseStore` of a process that knows no cases: none is open."""

    async def is_open(self, case_no: str, nodes: Sequence[str]) -> bool:  # noqa: ARG002 - the port's signature
        """Never."""
        return False


@dataclass(frozen=True, slots=True)
class Identity:
    """A verified token: its subject without purpose or case, the choices it carries, and its end."""

    subject: Subject
    purposes: frozenset[str]
    cases: frozenset[str]
    expires: int


@dataclass(slots=True)
class Authenticator:
    """One per process. Verified tokens are kept by their digest until they expire, at most `CACHED_TOKENS` of them.

    `keys` is `None` where no issuer is set: then every token is refused.
    """

    keys: KeySet | None
    issuer: str
    audience: str
    regions: Regions
    cases: CaseStore
    leeway_s: int = 30
    clock: Callable[[], float] = time.time
    _verified: OrderedDict[bytes, Identity] = field(default_factory=OrderedDict, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings, cases: CaseStore) -> Self:
        """The authenticator of a process; raises `KeysRefused`."""
        keys = None if settings.jwks is None else KeySet.load(settings.jwks)
        return cls(
            keys, settings.issuer or "", settings.audience or "", load_regions(), cases, leeway_s=settings.leeway_s
        )

    async def authenticate(self, headers: Headers) -> Subject:
        """Say who asks, from ASGI headers; raises one of this module's exceptions, or those of `server.keys`."""
        found = _read(headers)
        purpose, case_no = found.get(b"x-zlaq-purpose"), found.get(b"x-zlaq-case")
        if b"authorization" not in found:
            if purpose is not None:
                raise PurposeNotInToken
            if case_no is not None:
                raise CaseNotInToken
            return PUBLIC_SUBJECT
        identity = self.identify(_bearer(found[b"authorization"]))
        if purpose is None and case_no is None:
            return identity.subject
        if purpose is not None and purpose not in identity.purposes:
            raise PurposeNotInToken
        if case_no is not None:
            if case_no not in identity.cases:
                raise CaseNotInToken
            if not await self.cases.is_open(case_no, identity.subject.nodes):
                raise CaseClosed
        return replace(identity.subject, purpose=purpose, case_no=case_no)

    def identify(self, token: str) -> Identity:
        """Verify a token, or remember that it was; one that has expired since is refused."""
        # A digest, so that a dump of this memory holds no token.
        digest = hashlib.sha256(token.encode()).digest()
        identity = self._verified.get(digest)
        if identity is None:
            if self.keys is None:
                raise WrongAudience
            identity = self._parse(_payload(self.keys.verify(token)))
            self._verified[digest] = identity
            if len(self._verified) > CACHED_TOKENS:
                self._verified.popitem(last=False)
        elif self._expired(identity.expires):
            del self._verified[digest]
            raise TokenExpired
        else:
            self._verified.move_to_end(digest)
        return identity

    def _expired(self, expires: int) -> bool:
        return expires + self.leeway_s <= self.clock()

    def _parse(self, payload: Mapping[str, object]) -> Identity:
        if payload.get("iss") != self.issuer or not _names(payload.get("aud"), self.audience):
            raise WrongAudience
        expires, begins, issued = (_instant(payload, claim) for claim in ("exp", "nbf", "iat"))
        if self._expired(expires):
            raise TokenExpired
        if max(begins, issued) > self.clock() + self.leeway_s:
            raise TokenNotYetValid
        if not 0 < expires - issued <= LIFE_AT_MOST_S:
            raise ClaimsRefused("exp")
        subject_id = one_text("sub", payload.get("sub"), SUB)
        if subject_id == PUBLIC_SUBJECT.id:
            raise ClaimsRefused("sub")
        claims = Claims.parse(payload.get("zlaq"))
        return Identity(
            claims.subject(subject_id, self.regions), frozenset(claims.purposes), frozenset(claims.cases), expires
        )


def _read(headers: Headers) -> dict[bytes, str]:
    wanted = (b"authorization", b"x-zlaq-purpose", b"x-zlaq-case")
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name in wanted:
            if name in found:
                raise AuthorizationRepeated
            found[name] = value.decode("latin-1")
    return found


def _bearer(authorization: str) -> str:
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token or len(token) > TOKEN_AT_MOST or not token.isascii():
        raise TokenMalformed
    return token


def _payload(payload: bytes) -> Mapping[str, object]:
    try:
        parsed = json.loads(payload, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise TokenMalformed from None
    if not isinstance(parsed, dict):
        raise TokenMalformed
    return parsed


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member stands twice")
    return members


def _refuse_constant(_name: str) -> object:
    raise ValueError("not a JSON number")


def _instant(payload: Mapping[str, object], claim: str) -> int:
    value = payload.get(claim)
    # A bool is an int to Python, and a float loses seconds.
    if type(value) is not int or not 0 < value < 2**40:
        raise ClaimsRefused(claim)
    return value


def _names(aud: object, audience: str) -> bool:
    if isinstance(aud, list):
        return all(isinstance(one, str) for one in aud) and audience in aud
    return aud == audience
