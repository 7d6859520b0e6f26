"""The demo's own token issuer: a file with a private key and, by role, the claims of its tokens.

Whoever reads the file is everybody; so the demo mode listens on the loopback address only, and nothing but a demo has
such a file.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import jwt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PUBLIC = "public"
"""The role that has no token."""
TTL_S = 8 * 3600


class IssuerUnreadable(ValueError):
    """The demo issuer's file is missing or not what the demo writes."""


class UnknownRole(LookupError):
    """The demo issuer has no such role; the text lists those it has."""


@dataclass(frozen=True, slots=True)
class Role:
    """A caller of the demo: its Chinese title, subject id and the claim `zlaq`."""

    title: str
    subject: str
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Issuer:
    """What mints the demo's tokens; `query` is what its page shows first."""

    issuer: str
    audience: str
    kid: str
    private_key: str = field(repr=False)
    roles: Mapping[str, Role]
    query: str

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `demo.tokens` wrote; raises `IssuerUnreadable`."""
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            roles = {name: Role(**role) for name, role in told.pop("roles").items()}
            return cls(roles=roles, **told)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise IssuerUnreadable(f"not the file of a demo issuer: {path}") from None

    def mint(self, role: str, ttl_s: int = TTL_S) -> str:
        """A token of a role; raises `UnknownRole`."""
        if role not in self.roles:
            raise UnknownRole(f"no role {role!r}; there are {', '.join((PUBLIC, *self.roles))}")
        chosen = self.roles[role]
        now = int(time.time())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": chosen.subject,
            "iat": now,
            "nbf": now,
            "exp": now + ttl_s,
            "zlaq": dict(chosen.claims),
        }
        return jwt.encode(claims, self.private_key, "EdDSA", headers={"kid": self.kid})
