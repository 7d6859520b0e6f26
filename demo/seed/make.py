"""Made-up identifiers with right check digits, each from a range that no real person or body has.

Organisation codes begin with DEM or DEP, citizen numbers name a county 99 of a prefecture 99, mobile numbers lie in
154, which no operator has.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from schema.identifiers import citizen_check_digit, iso7064_mod37_36, org_code_check_digit, uscc_check_digit

if TYPE_CHECKING:
    from datetime import date

_BASE31 = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_HASH_KEY = b"demo data only: no secret"
# The ministry's own code and a type number, with which every certificate of this kind begins (C0304-2022 appendix A).
_ECERT_TYPE = "11100000000013338W011"


def base31(number: int, width: int) -> str:
    """A number in the characters of a social credit code."""
    text = ""
    for _ in range(width):
        number, digit = divmod(number, 31)
        text = _BASE31[digit] + text
    return text


def uscc(prefix: str, org8: str) -> str:
    """A social credit code: two characters for the registering body and class, six for the region, the organisation."""
    body = f"{prefix}{org8}{org_code_check_digit(org8)}"
    return body + uscc_check_digit(body)


def enterprise_uscc(region: str, number: int) -> str:
    """The code of a demo enterprise."""
    return uscc(f"91{region}", f"DEM{base31(number, 5)}")


def citizen_no(province: str, born: date, serial: int) -> str:
    """A citizen number of nobody; an odd serial is a man's. `province` is two digits."""
    body = f"{province}9999{born:%Y%m%d}{serial:03d}"
    return body + citizen_check_digit(body)


def id_hash(number: str) -> str:
    """The keyed hash by which a person is found again."""
    return hmac.digest(_HASH_KEY, number.encode(), "sha256").hex()


def person_no(number: int) -> str:
    """A surrogate key; real ones are random, these must be the same on every run."""
    return "P" + base64.b32encode(hashlib.sha256(b"person %d" % number).digest()[:15]).decode().lower()


def mobile(number: int) -> str:
    """Eleven digits, given a number below 10^8."""
    return f"154{number:08d}"


def e_cert_id(issuer: str, serial: str) -> str:
    """An electronic certificate identifier: type, issuer's code, serial, version, check character."""
    check = iso7064_mod37_36(f"{_ECERT_TYPE}{issuer}{serial}001")
    return f"1.2.156.3005.2.{_ECERT_TYPE}.{issuer}.{serial}.001.{check}"
