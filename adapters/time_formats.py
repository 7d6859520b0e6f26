"""Formats of dates and instants as operators write them, in the manner of `strptime`, but exact and of numbers only.

Python's own reads "2026111" as the 11th of January, and names of months by the locale of the process.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from operator import itemgetter

TimeReader = Callable[[str, tzinfo], datetime | None]
"""The instant that a text names, in the zone given if it has no offset; `None` if it is not of the format."""
_PARTS = {
    "Y": "([0-9]{4})",
    "m": "([0-9]{2})",
    "d": "([0-9]{2})",
    "H": "([0-9]{2})",
    "M": "([0-9]{2})",
    "S": "([0-9]{2})",
    "f": "([0-9]{1,6})",
    "z": "(Z|[+-][0-9]{2}:?[0-9]{2})",
}


def time_format(text: str) -> TimeReader:
    """A reader of texts in a `strptime` format of numbers: %Y %m %d %H %M %S %f %z %%.

    Between other characters a number may lack its leading zero. Raises `ValueError`, in our words, for a format with
    anything else, with a part named twice, or without a whole date.
    """
    pieces = re.split(r"(%.?)", fold(text), flags=re.DOTALL)
    order: list[str] = []
    pattern = ""
    for before, directive, after in zip(pieces[::2], pieces[1::2], pieces[2::2], strict=False):
        pattern += re.escape(before)
        if directive == "%%":
            pattern += "%"
            continue
        name = directive[1:]
        if name not in _PARTS or name in order:
            raise ValueError(f"{directive} is not one of %Y %m %d %H %M %S %f %z, or stands twice")
        alone = not (before[-1:].isdigit() or after[:1].isdigit()) and (before or not order)
        alone = alone and (bool(after) or directive == pieces[-2])
        pattern += _PARTS[name].replace("{2})", "{1,2})") if alone and name in "mdHMS" else _PARTS[name]
        order.append(name)
    if not {"Y", "m", "d"} <= set(order):
        raise ValueError("no whole date")
    return _reader(re.compile(pattern + re.escape(pieces[-1])), order, _ISO_LENGTHS.get(text, 0))


_ISO_LENGTHS = {"%Y-%m-%d": 10, "%Y%m%d": 8, "%Y-%m-%d %H:%M:%S": 19, "%Y-%m-%dT%H:%M:%S": 19}
"""Formats that Python reads itself, four times as fast, where every number has all its digits: that long."""


def _reader(pattern: re.Pattern[str], order: list[str], iso_length: int) -> TimeReader:
    take = itemgetter(*(order.index(name) if name in order else -1 for name in "YmdHMS"))
    fraction, own_zone = (order.index(name) if name in order else None for name in "fz")

    def read(text: str, zone: tzinfo) -> datetime | None:
        found = pattern.fullmatch(text)
        if found is None:
            return None
        try:
            if len(text) == iso_length:
                return datetime.fromisoformat(text).replace(tzinfo=zone)
            parts = found.groups()
            microsecond = 0 if fraction is None else int(parts[fraction].ljust(6, "0"))
            zone = zone if own_zone is None else offset(parts[own_zone])
            year, month, day, hour, minute, second = map(int, take((*parts, "0")))
            return datetime(year, month, day, hour, minute, second, microsecond, zone)
        except ValueError:
            return None

    return read


def offset(text: str) -> tzinfo:
    """The zone of an offset from UTC: +08:00, +0800 or Z."""
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))


_FOLDED_AT_MOST = 200


def fold(text: str) -> str:
    """Full-width digits, letters and signs as their usual forms (NFKC); a text beyond 200 characters stays as it is.

    Normalisation sorts runs of combining marks in quadratic time: 200 KB of them would hold up the process for seconds.
    """
    return text if text.isascii() or len(text) > _FOLDED_AT_MOST else unicodedata.normalize("NFKC", text)
