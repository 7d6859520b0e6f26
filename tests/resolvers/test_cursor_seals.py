"""The seal of a page cursor, at length: its own caller reads what was written, and everything else is expired."""

from __future__ import annotations

import base64
from collections import Counter
from random import Random
from string import printable
from typing import TYPE_CHECKING

import orjson
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from resolvers.cursors import Cursors
from resolvers.errors import CursorExpired

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY, OTHER_KEY = AESSIV(bytes(range(64))), AESSIV(bytes(range(32)))
VALUES = (None, "", "甲", "𠮷", '"]', "\\", "2026-01-01", "-1.50", "a" * 200, "\u202e|", "null", "0")
NAMES = ("", "a", "ab", "b", "county", "Project -name", "x" * 64, "甲")
MANY = [300, pytest.param(100_000, marks=pytest.mark.prove)]


def verdict(cursors: Cursors, cursor: str, walk: str) -> list[str | None] | None:
    """What is read, `None` where it is expired; anything else that is raised fails the test."""
    try:
        return cursors.read(cursor, walk)
    except CursorExpired:
        return None


def spelt(sealed: bytes) -> str:
    return "e" + base64.urlsafe_b64encode(sealed).decode()


def altered(rng: Random, cursor: str, sealed: bytes) -> Iterator[tuple[str, str]]:
    """The cursor with a bit, a byte or an end of it changed, under what was done."""
    bit = rng.randrange(8 * len(sealed))
    number = int.from_bytes(sealed, "big")
    yield "bit of the seal", spelt((number ^ 1 << bit).to_bytes(len(sealed), "big"))
    yield "cut", spelt(sealed[: rng.randrange(len(sealed))])
    yield "extended", spelt(sealed + rng.randbytes(rng.randint(1, 3)))
    place = rng.randrange(len(cursor))
    wrong = chr(ord(cursor[place]) ^ 1 << rng.randrange(7))
    yield "bit of the text", cursor[:place] + wrong + cursor[place + 1 :]
    yield "cut text", cursor[: rng.randrange(len(cursor))]


@pytest.mark.parametrize("many", MANY)
def test_a_cursor_is_its_own_callers_walks_and_revisions(many: int) -> None:
    """Round trips of random boundaries; expired for another subject, walk, revision or key, and after any change.

    A text that is changed where base64 ignores it spells the same seal; it may be read, as what it is.
    """
    rng = Random(many)
    found: Counter[str] = Counter()
    for _ in range(many):
        values = rng.choices(VALUES, k=rng.randint(1, 4))
        subject, walk, revision = (rng.choice(NAMES) + mark for mark in "123")
        mine = Cursors(KEY, subject, revision)
        cursor = mine.write(orjson.dumps(values), walk)
        assert mine.read(cursor, walk) == values
        assert cursor == mine.write(orjson.dumps(values), walk)
        found["round trips"] += 1
        for what, reader, along in (
            ("other subject", Cursors(KEY, rng.choice(NAMES), revision), walk),
            ("other revision", Cursors(KEY, subject, rng.choice(NAMES)), walk),
            ("other walk", mine, rng.choice(NAMES)),
            # The same characters in all, with the border elsewhere.
            ("other border", Cursors(KEY, subject + walk[0], revision), walk[1:]),
            ("parts exchanged", Cursors(KEY, revision, subject), walk),
            ("other key", Cursors(OTHER_KEY, subject, revision), walk),
        ):
            assert verdict(reader, cursor, along) is None, (what, subject, walk, revision)
            found[what] += 1
        sealed = base64.urlsafe_b64decode(cursor[1:])
        for what, wrong in altered(rng, cursor, sealed):
            read = verdict(mine, wrong, walk)
            same = what == "bit of the text" and read == values and base64.urlsafe_b64decode(wrong[1:]) == sealed
            assert read is None or same, (what, cursor, wrong)
            found[f"{what}, ignored by base64" if same else what] += 1
    print(", ".join(f"{count} {what}" for what, count in found.items()))  # noqa: T201


def test_every_bit_of_a_seal_counts() -> None:
    """None of them can be changed, one by one, in cursors of several lengths."""
    for length in (1, 7, 64, 300):
        mine = Cursors(KEY, "county", "revision")
        sealed = base64.urlsafe_b64decode(mine.write(orjson.dumps(["a" * length]), "walk")[1:])
        number = int.from_bytes(sealed, "big")
        for bit in range(8 * len(sealed)):
            assert verdict(mine, spelt((number ^ 1 << bit).to_bytes(len(sealed), "big")), "walk") is None


@pytest.mark.parametrize("many", MANY)
def test_no_text_is_more_than_expired(many: int) -> None:
    """Whatever is sent as a cursor is a key's, or expired: nothing else is raised, and no seal is guessed."""
    rng = Random(many)
    found: Counter[str] = Counter()
    mine = Cursors(KEY, "county", "revision")
    for _ in range(many):
        head = rng.choice(("", "e", "e", "k", "k", "E", "\u0435"))
        raw = rng.randbytes(rng.choice((0, 1, 15, 16, 17, 33, 200)))
        body = rng.choice(
            (
                base64.b64encode(raw).decode(),
                base64.urlsafe_b64encode(raw).decode(),
                base64.b64encode("".join(rng.choices(printable + "甲𠮷\0", k=8)).encode()).decode(),
                "".join(rng.choices(printable + "甲𠮷\0\ud800é", k=rng.choice((0, 1, 3, 30)))),
                "A" * rng.choice((5_998, 5_999, 6_000, 100_000)),
            )
        )
        text = head + body
        read = verdict(mine, text, "walk")
        if read is None:
            found["expired"] += 1
            continue
        assert text[0] == "k"
        assert read == [base64.b64decode(text[1:]).decode()]
        assert "\0" not in str(read[0])
        found["keys"] += 1
    print(f"{many} texts: {', '.join(f'{count} {what}' for what, count in sorted(found.items()))}")  # noqa: T201
