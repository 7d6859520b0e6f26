"""In-band tokens: found once in the bytes of an answer, and replaced by what other systems said or by cursors.

A token is a JSON string `"<nonce>|slot|..."`; the nonce is random per request and known to the statement alone, so no
stored value can imitate one. Python touches tokens, never rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from adapters.base import CURSOR_SLOT

_REST = re.compile(rb'((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Token:
    """A remote value's place: its slot, the positions of the rows around it, the verdict bits, the managing region of
    the governing row, and the key to ask for (a JSON array with the values to compare with, where the slot compares).
    """

    slot: int
    ordinals: tuple[int, ...]
    bits: str
    manage: str
    key: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A page boundary's place: the JSON array of its sort values."""

    values: bytes


@dataclass(frozen=True, slots=True)
class Pieces:
    """An answer cut at its tokens: one more text than tokens."""

    texts: tuple[bytes, ...]
    tokens: tuple[Token | Cursor, ...]

    def joined(self, replacements: Sequence[bytes]) -> bytes:
        """The answer with each token replaced, in order."""
        parts = [self.texts[0]]
        for replacement, text in zip(replacements, self.texts[1:], strict=True):
            parts += (replacement, text)
        return b"".join(parts)


def cut(answer: bytes, nonce: str) -> Pieces:
    """Cut an answer at the tokens of this nonce."""
    first, *others = answer.split(b'"' + nonce.encode() + b"|")
    texts = [first]
    tokens: list[Token | Cursor] = []
    for piece in others:
        found = _REST.match(piece)
        if found is None:
            raise ValueError("a token is not closed")
        text: str = orjson.loads(b'"' + found[1] + b'"')
        texts.append(piece[found.end() :])
        slot, _, rest = text.partition("|")
        if slot == CURSOR_SLOT:
            tokens.append(Cursor(rest.encode()))
            continue
        ordinals, bits, manage, key = rest.split("|", 3)
        positions = tuple(int(n) for n in ordinals.split(".") if n)
        tokens.append(Token(int(slot), positions, bits, manage, key))
    return Pieces(tuple(texts), tuple(tokens))
