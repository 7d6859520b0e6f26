"""Masks in Python, for values that come from other systems; PostgreSQL's twins stand in `adapters.postgres.formats`.

A mask never shows more of a shorter value: it is chosen so that masks of one person cannot be put together. A 6+4
citizen number beside a birth year leaves 34 candidates, so four digits at the end are never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schema.declare import Mask


def mask_citizen_no(text: str) -> str:
    """First six digits (the region of first registration) and twelve stars, always.

    >>> mask_citizen_no("110101190001010014")
    '110101************'
    """
    return text[:6] + "*" * 12


def mask_person_name(text: str) -> str:
    """First character and two stars, whatever the length.

    >>> mask_person_name("欧阳明")
    '欧**'
    """
    return text[:1] + "**"


def mask_phone(text: str) -> str:
    """First three and last four digits of a mobile number; nothing but stars of anything shorter than eleven.

    >>> mask_phone("13800008000"), mask_phone("8000")
    ('138****8000', '****')
    """
    return text[:3] + "****" + text[-4:] if len(text) >= 11 else "****"


def mask_nothing(_text: str) -> None:
    """No part of the value remains."""


MASKS: Mapping[Mask, Callable[[str], str | None]] = {
    Mask.NOTHING: mask_nothing,
    Mask.CITIZEN_NO: mask_citizen_no,
    Mask.PERSON_NAME: mask_person_name,
    Mask.PHONE: mask_phone,
}
