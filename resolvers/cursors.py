"""Cursors of a connection: opaque, deterministic, and useless to anyone but the caller they were given to.

A page boundary holds sort values, so it is encrypted with AES-SIV (deterministic, so equal answers are equal bytes),
bound to subject, walk and revision. An edge's cursor is only the encoded key, which its holder was shown anyway.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from resolvers.errors import CursorExpired

_LONGEST = 6_000


@dataclass(frozen=True, slots=True)
class Cursors:
    """The cursors of one subject under one revision."""

    cipher: AESSIV
    subject: str
    revision: str

    def _context(self, walk: str) -> list[bytes]:
        return [self.subject.encode(), walk.encode(), self.revision.encode()]

    def write(self, values: bytes, walk: str) -> str:
        """The cursor of a boundary, from the JSON array of its sort values."""
        return "e" + base64.urlsafe_b64encode(self.cipher.encrypt(values, self._context(walk))).decode()

    @staticmethod
    def by_key(cursor: str) -> bool:
        """Whether a cursor is an edge's (the key alone)."""
        return cursor.startswith("k")

    def read(self, cursor: str, walk: str) -> list[str | None]:
        """The sort values behind a cursor (the key alone for an edge's); raises `CursorExpired` for any mismatch."""
        if len(cursor) > _LONGEST:
            raise CursorExpired
        try:
            if self.by_key(cursor):
                key = base64.b64decode(cursor[1:], validate=True).decode()
                if "\0" in key:
                    # PostgreSQL takes no such text, not even to compare with.
                    raise CursorExpired
                return [key]
            sealed = base64.b64decode(cursor[1:].encode(), altchars=b"-_", validate=True)
            found = orjson.loads(self.cipher.decrypt(sealed, self._context(walk)))
        except (InvalidTag, binascii.Error, ValueError):
            raise CursorExpired from None
        if not cursor.startswith("e"):
            raise CursorExpired
        return list(found)
