"""Check digits of random identifiers: what the standards say is detected is refused, and every spelling comes back.

The identifiers are made by python-stdnum and by the standard's own sum, so that ours does not judge what it made.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

import pytest
from stdnum.cn import ric, uscc
from stdnum.iso7064 import mod_37_36

from schema import identifiers
from schema.identifiers import InvalidIdentifier

DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"
ROOT = "1.2.156.3005.2."
PROVINCES = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川蜀贵黔云滇藏陕秦甘陇青宁新兵"
POSTS = ("A", "B", "C1", "C2", "C3")


def text(rng: Random, alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


def day(rng: Random) -> str:
    return (
        f"{dt.date.fromordinal(rng.randrange(dt.date(1800, 1, 1).toordinal(), dt.date(2200, 1, 1).toordinal())):%Y%m%d}"
    )


def organisation(body: str, check: str) -> bool:
    """Whether the nine characters of an organisation code sum to a multiple of 11 (GB 11714-1997, 5.2)."""
    values = [int(char, 36) for char in body] + [10 if check == "X" else int(check, 36)]
    return sum(weight * value for weight, value in zip((3, 7, 9, 10, 5, 8, 4, 2, 1), values, strict=True)) % 11 == 0


def org_code(rng: Random, alphabet: str = DIGITS + LETTERS) -> str:
    body = text(rng, alphabet, 8)
    return body + next(check for check in "0123456789X" if organisation(body, check))


def social_credit_code(rng: Random) -> str:
    body = rng.choice("1591AN") + rng.choice("1239") + text(rng, DIGITS, 6) + org_code(rng, USCC)
    return body + uscc.calc_check_digit(body)


def citizen_no(rng: Random) -> str:
    body = text(rng, DIGITS, 6) + day(rng) + text(rng, DIGITS, 3)
    return body + ric.calc_check_digit(f"{body}?")


def certificate_id(rng: Random) -> str:
    body = f"{text(rng, USCC, 18)}{text(rng, DIGITS, 3)}.{text(rng, USCC, 18)}"
    body += f".{text(rng, DIGITS + LETTERS, rng.randint(1, 40))}.{text(rng, DIGITS, 3)}"
    return f"{ROOT}{body}.{mod_37_36.calc_check_digit(body.replace('.', ''))}"


@dataclass(frozen=True)
class Checked:
    """A kind with a check digit: how one is made and read, and whether a wrong spelling passes its standard's check."""

    make: Callable[[Random], str]
    parse: Callable[[str], str]
    passes: Callable[[str], bool]
    alphabet: str
    head: str = ""
    """What stands before the part that is checked."""


CHECKED = {
    "uscc": Checked(
        social_credit_code,
        identifiers.parse_uscc,
        lambda wrong: wrong[-1] == uscc.calc_check_digit(wrong[:-1]) and organisation(wrong[8:16], wrong[16]),
        USCC,
    ),
    "orgCode": Checked(
        org_code,
        lambda text: identifiers.parse_org_code(text).replace("-", ""),
        lambda wrong: wrong[-1] in DIGITS + "X" and organisation(wrong[:-1], wrong[-1]),
        DIGITS + LETTERS,
    ),
    "citizenNo": Checked(
        citizen_no,
        identifiers.parse_citizen_no,
        lambda wrong: wrong[:-1].isdigit() and wrong[-1] == ric.calc_check_digit(wrong),
        DIGITS,
    ),
    "ecertId": Checked(
        certificate_id,
        identifiers.parse_ecert_id,
        lambda wrong: bool(mod_37_36.is_valid(wrong.removeprefix(ROOT).replace(".", ""))),
        DIGITS + LETTERS,
        ROOT,
    ),
}


def substituted(rng: Random, right: str, kind: Checked) -> str:
    """One character replaced, a digit by a digit as a rule, so that the form alone does not tell."""
    places = [place for place in range(len(kind.head), len(right)) if right[place] != "."]
    place = rng.choice(places)
    offered = DIGITS if right[place] in DIGITS and rng.random() < 0.8 else kind.alphabet
    other = rng.choice([char for char in offered if char != right[place]])
    return right[:place] + other + right[place + 1 :]


def transposed(rng: Random, right: str, kind: Checked) -> str | None:
    """Two neighbours exchanged, across a dot too; nothing where all are alike."""
    places = [place for place in range(len(kind.head), len(right)) if right[place] != "."]
    pairs = [pair for pair in pairwise(places) if right[pair[0]] != right[pair[1]]]
    if not pairs:
        return None
    one, other = rng.choice(pairs)
    return right[:one] + right[other] + right[one + 1 : other] + right[one] + right[other + 1 :]


def respelt(rng: Random, right: str) -> str:
    """The same, as people type it: full-width or lower-case characters, blanks and direction marks around it."""
    shown = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" and rng.random() < 0.2 else c for c in right)
    return (
        rng.choice(("", " ", "\u3000", "\u202d")) + (shown.lower() if rng.random() < 0.5 else shown) + rng.choice(" \t")
    )


def refusal(parse: Callable[[str], str], wrong: str) -> str:
    try:
        parse(wrong)
    except InvalidIdentifier as error:
        return error.reason
    return "accepted"


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("many", [500, pytest.param(25_000, marks=pytest.mark.prove)])
def test_an_error_that_the_standard_detects_is_refused(name: str, many: int) -> None:
    """One character wrong, or two neighbours exchanged, in each of many identifiers: refused unless the check agrees.

    The checks of citizen numbers and social credit codes (modulus a prime above every difference) miss neither error,
    and that of MOD 37,36 no single character.
    """
    rng, kind = Random(many), CHECKED[name]
    found: Counter[str] = Counter()
    for _ in range(many):
        right = kind.make(rng)
        assert right == kind.parse(right) == kind.parse(respelt(rng, right))
        for error, wrong in (
            ("substituted", substituted(rng, right, kind)),
            ("transposed", transposed(rng, right, kind)),
        ):
            if wrong is None:
                continue
            reason = refusal(kind.parse, wrong)
            assert reason != "accepted" or kind.passes(wrong), (right, wrong)
            found[f"{error}: {reason}"] += 1
            assert reason not in ("check", "inner check") or not kind.passes(wrong), (right, wrong)
    assert found["substituted: accepted"] == 0 or name == "orgCode"
    assert found["transposed: accepted"] == 0 or name in ("orgCode", "ecertId")
    assert found["substituted: check"] > many / 2
    assert found["transposed: check"] > many / 4
    print(f"{name}: {many} round trips, {', '.join(f'{count} {what}' for what, count in sorted(found.items()))}")  # noqa: T201


FORMS: dict[Callable[[str], str], Callable[[Random], str]] = {
    identifiers.parse_project_no: lambda rng: text(rng, DIGITS, rng.randint(16, 18)),
    identifiers.parse_project_code: lambda rng: "-".join(text(rng, DIGITS, n) for n in (4, 6, 2, 2, 6)),
    identifiers.parse_region_code: lambda rng: text(rng, DIGITS, 6),
    identifiers.parse_department_id: lambda rng: (
        f"{text(rng, LETTERS, 2)}{text(rng, DIGITS, 6)}-{rng.randint(1, 9999)}"
    ),
    identifiers.parse_inspection_no: lambda rng: f"JC{text(rng, DIGITS, 6)}{day(rng)}-{text(rng, DIGITS, 6)}",
    identifiers.parse_finding_no: lambda rng: (
        f"JC{text(rng, DIGITS, 6)}{day(rng)}-{text(rng, DIGITS, 6)}-{text(rng, DIGITS, 2)}"
    ),
    identifiers.parse_person_no: lambda rng: "P" + text(rng, LETTERS.lower() + "234567", 24),
    identifiers.parse_certificate_no: lambda rng: (
        f"{rng.choice(PROVINCES)}建安{rng.choice(POSTS)}（20{text(rng, DIGITS, 2)}）{text(rng, DIGITS, 7)}"
    ),
    identifiers.parse_licence_no: lambda rng: (
        f"（{rng.choice(PROVINCES)}）JZ安许证字[20{text(rng, DIGITS, 2)}]{text(rng, DIGITS, 6)}"
    ),
}


@pytest.mark.parametrize("many", [1_000, pytest.param(100_000, marks=pytest.mark.prove)])
def test_every_spelling_comes_back_to_one(many: int) -> None:
    """Those without a check digit: what is canonical stays so, and is what every other spelling of it becomes."""
    rng = Random(many)
    for number in range(many):
        parse, make = [*FORMS.items()][number % len(FORMS)]
        right = make(rng)
        assert right == parse(right) == parse(respelt(rng, right))
    print(f"{many} round trips of {len(FORMS)} kinds")  # noqa: T201
