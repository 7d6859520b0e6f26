"""From one raw value of a local system to one declared value, or to the reason why there is none.

A converter is made once for each attribute and never raises, whatever it is given. It guesses nothing: what neither the
declared type nor the mapping says is not tried.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Context, Decimal
from enum import StrEnum

from adapters.configuration import PLACEHOLDERS, AttributeMapping
from adapters.time_formats import TimeReader, fold, time_format
from schema.codes import CodeList
from schema.scalars import InvalidScalar, Kind, Scalar


class Unmapped(StrEnum):
    """Why a raw value or a whole record is not shown; the last six are about records."""

    UNKNOWN_CODE = "UNKNOWN_CODE"
    NOT_A_DATE = "NOT_A_DATE"
    NOT_A_NUMBER = "NOT_A_NUMBER"
    NOT_A_BOOLEAN = "NOT_A_BOOLEAN"
    NOT_VALID = "NOT_VALID"
    """Refused by the declared type: a check digit, a length, a wrong kind of value, a character lost on the way."""
    OUTSIDE_COVERAGE = "OUTSIDE_COVERAGE"
    DUPLICATE = "DUPLICATE"
    NO_KEY = "NO_KEY"
    UNASKED_KEY = "UNASKED_KEY"
    INVALID = "INVALID"
    """Withdrawn over there (soft-deleted): no mistake."""


Converter = Callable[[object], object]
"""Raw value to the declared one as its scalar's `parse` takes it, `None` for a missing one, or `Unmapped`."""


def converter(
    mapping: AttributeMapping, zone: tzinfo, declared: Scalar | CodeList, *, is_list: bool = False
) -> Converter:
    """The converter of an attribute; raises `ValueError` for a format that `time_format` refuses."""
    words = frozenset((*PLACEHOLDERS, *(word.strip() for word in mapping.placeholders)))
    item = _missing(words, _converter(mapping, zone, declared))
    if isinstance(declared, CodeList):
        item = _known(_code_words(declared, mapping.codes), words, item)
    elif declared.kind is Kind.BOOLEAN:
        item = _known(_boolean_words(mapping.yes, mapping.no), words, item)
    return _listed(item, mapping.split) if is_list else item


def plain(raw: object) -> str | None:
    """A scalar as trimmed text, a whole number without a fraction; `None` for anything else, or a number whose digits
    are not exact (floats from 2^53 on) or too many."""
    if isinstance(raw, str):
        return raw.strip()
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, int):
        return str(raw) if raw.bit_length() <= 128 else None
    if isinstance(raw, date):
        return raw.isoformat()
    if isinstance(raw, float) and abs(raw) >= 2**53:
        return None
    number = _number(raw)
    if number is None or abs(number.adjusted()) > _DIGITS or len(number.as_tuple().digits) > 2 * _DIGITS:
        return None
    whole = number.to_integral_value()
    return format(whole if whole == number else number, "f")


_DIGITS = 30
_EXACT = Context(prec=200)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_NEVER = date(1900, 1, 1)
"""What databases put where a date is mandatory and unknown."""


def _number(raw: object) -> Decimal | None:
    """The exact number that a raw value is, not yet bounded; `None` if it is none."""
    match raw:
        case bool():
            return None
        case int():
            return Decimal(raw) if raw.bit_length() <= 256 else None
        case float():
            return Decimal(repr(raw)) if math.isfinite(raw) else None
        case Decimal():
            return raw if raw.is_finite() else None
        case str() if len(raw) <= 64 and _NUMBER.fullmatch(folded := fold(raw.strip())):
            return Decimal(folded)
    return None


def _converter(mapping: AttributeMapping, zone: tzinfo, declared: Scalar | CodeList) -> Converter:
    if isinstance(declared, CodeList):
        return _coded(declared, mapping.codes)
    match declared.kind:
        case Kind.INTEGER | Kind.LONG | Kind.DECIMAL:
            return _numeric(declared, mapping.times)
        case Kind.BOOLEAN:
            return _boolean(mapping.yes, mapping.no)
        case Kind.DATE:
            return _dated(declared, _readers(mapping.dates) or [_iso(_ISO_DATE)], zone)
        case Kind.INSTANT:
            return _instant(declared, _readers(mapping.instants) or [_iso(_ISO_INSTANT)], zone)
    return _text(declared, mapping.brackets) if declared.name in ("String", "ID") else _identifier(declared)


def _known(words: Mapping[str, object], missing: frozenset[str], inner: Converter) -> Converter:
    """Words exactly as the mapping has them need no further look."""
    known = {word: value for word, value in words.items() if word not in missing}

    def convert(raw: object) -> object:
        if isinstance(raw, str):
            found = known.get(raw)
            if found is not None:
                return found
        return inner(raw)

    return convert


def _missing(words: frozenset[str], inner: Converter) -> Converter:
    longest, firsts = max(map(len, words)), {word[:1] for word in words}

    def convert(raw: object) -> object:
        if raw is None:
            return None
        if isinstance(raw, str):
            raw = text = raw.strip()
        else:
            text = plain(raw) or "?"
        if len(text) <= longest:
            if text in words:
                return None
            # Folding is dear: Latin texts and the common ideographs are as they are.
            if not text.isascii():
                first = text[0]
                first = first if "\u4e00" <= first <= "\u9fff" else fold(first)[0]
                if first in firsts and fold(text) in words:
                    return None
        return inner(raw)

    return convert


_ITEMS_AT_MOST = 1_000
"""Items of one list in one record."""


def _listed(item: Converter, split: str) -> Converter:
    """A list is shown whole or not at all: one without the items that could not be read would look complete."""

    def convert(raw: object) -> object:
        if raw is None:
            return None
        if isinstance(raw, str):
            if item(raw) is None:
                return None
            if split and raw.count(split) < _ITEMS_AT_MOST:
                raw = raw.split(split)
        if not isinstance(raw, list | tuple) or len(raw) > _ITEMS_AT_MOST:
            return Unmapped.NOT_VALID
        found = [value for value in map(item, raw) if value is not None]
        return next((value for value in found if value.__class__ is Unmapped), found)

    return convert


def _parsed(declared: Scalar, value: object, canonical: bool = False) -> object:
    try:
        parsed = declared.parse(value)
    except InvalidScalar:
        return Unmapped.NOT_VALID
    return parsed if canonical else value


_BRACKETS = ("（〔[(【［", "）〕])】］")
_ANY_BRACKET = re.compile("[（〔[(【［）〕\\])】］]")


def _text(declared: Scalar, brackets: str) -> Converter:
    table = {ord(old): new for olds, new in zip(_BRACKETS, brackets, strict=False) for old in olds}

    def convert(raw: object) -> object:
        text = raw if isinstance(raw, str) else plain(raw)
        # The replacement character stands where a wrong charset lost something.
        if text is None or isinstance(raw, bool) or "\ufffd" in text:
            return Unmapped.NOT_VALID
        # Printable text has neither NUL nor lone surrogates, for which `parse` looks.
        if (len(text) > 1_000 or not text.isprintable()) and _parsed(declared, text) is Unmapped.NOT_VALID:
            return Unmapped.NOT_VALID
        # Looking first costs a tenth of translating Chinese text.
        return text.translate(table) if table and _ANY_BRACKET.search(text) else text

    return convert


def _identifier(declared: Scalar) -> Converter:
    """Full-width characters, blanks and hyphens are the parser's own business."""

    def convert(raw: object) -> object:
        text = raw.strip() if isinstance(raw, str) else plain(raw)
        return Unmapped.NOT_VALID if text is None else _parsed(declared, text, canonical=True)

    return convert


def _code_words(codes: CodeList, local: Mapping[str, str] | None) -> dict[str, str]:
    return {word.strip(): code for word, code in (local or dict(zip(codes.codes, codes.codes, strict=True))).items()}


def _coded(codes: CodeList, local: Mapping[str, str] | None) -> Converter:
    exact = _code_words(codes, local)
    # The words as they stand go first: two that differ in width only are told apart.
    table = {fold(word): code for word, code in exact.items()} | exact

    def convert(raw: object) -> object:
        text = plain(raw)
        if text is None:
            return Unmapped.UNKNOWN_CODE
        return table.get(text) or table.get(fold(text)) or Unmapped.UNKNOWN_CODE

    return convert


def _boolean_words(yes: Iterable[str], no: Iterable[str]) -> dict[str, bool]:
    return {word.strip(): value for words, value in ((yes, True), (no, False)) for word in words}


def _boolean(yes: Iterable[str], no: Iterable[str]) -> Converter:
    table = {fold(word): value for word, value in _boolean_words(yes, no).items()}

    def convert(raw: object) -> object:
        if isinstance(raw, bool):
            return raw
        text = plain(raw)
        return Unmapped.NOT_A_BOOLEAN if text is None else table.get(fold(text), Unmapped.NOT_A_BOOLEAN)

    return convert


def _numeric(declared: Scalar, times: str) -> Converter:
    factor = Decimal(times) if times else None
    whole = declared.kind is not Kind.DECIMAL

    def convert(raw: object) -> object:
        if whole and factor is None and raw.__class__ is str and len(raw) < 10 and raw.isascii() and raw.isdigit():
            return int(raw)
        number = _number(raw)
        if number is None:
            return Unmapped.NOT_A_NUMBER
        if abs(number.adjusted()) > _DIGITS:
            return Unmapped.NOT_VALID
        if factor is not None:
            number = _EXACT.multiply(number, factor)
        if whole:
            return _parsed(declared, int(number)) if number == number.to_integral_value() else Unmapped.NOT_VALID
        text = format(number, "f")
        # The factor's own digits say nothing of the number's precision.
        text = text.rstrip("0").rstrip(".") if factor is not None and "." in text else text
        return _parsed(declared, text)

    return convert


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _since_epoch(unit: timedelta) -> TimeReader:
    def read(text: str, _zone: tzinfo) -> datetime | None:
        number = _number(text)
        if number is None or abs(number.adjusted()) > _DIGITS:
            return None
        try:
            return _EPOCH + timedelta(microseconds=int(number * (unit // timedelta(microseconds=1))))
        except OverflowError:
            return None

    return read


_COUNTED = {"epoch_ms": _since_epoch(timedelta(milliseconds=1)), "epoch_s": _since_epoch(timedelta(seconds=1))}


def _readers(formats: Iterable[str]) -> list[TimeReader]:
    return [_COUNTED.get(text) or time_format(text) for text in formats]


_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ISO_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}.{0,24}")


def _iso(form: re.Pattern[str]) -> TimeReader:
    """ISO 8601 as far as the form goes, which is less than Python reads."""

    def read(text: str, zone: tzinfo) -> datetime | None:
        try:
            found = datetime.fromisoformat(text) if form.fullmatch(text) else None
        except ValueError:
            return None
        return found if found is None or found.tzinfo else found.replace(tzinfo=zone)

    return read


def _local(readers: list[TimeReader], raw: object, zone: tzinfo) -> datetime | Unmapped:
    """The instant that a raw value names, in the source's zone."""
    found = raw if isinstance(raw, datetime) else None
    text = None if found else plain(raw)
    if text is not None and len(text) <= 64:
        text = fold(text)
        for read in readers:
            if (found := read(text, zone)) is not None:
                break
    if found is None:
        return Unmapped.NOT_A_DATE
    if found.tzinfo is zone:
        return found
    try:
        return found.astimezone(zone) if found.tzinfo else found.replace(tzinfo=zone)
    except OverflowError:
        return Unmapped.NOT_VALID


def _shown(declared: Scalar, found: date, day: date) -> object:
    if day == _NEVER:
        return None
    # Only the calendar's first and last years hold days that a scalar refuses; parsing would take twice as long.
    text = found.isoformat()
    return text if 1 < found.year < 9999 else _parsed(declared, text)


def _dated(declared: Scalar, readers: list[TimeReader], zone: tzinfo) -> Converter:
    def convert(raw: object) -> object:
        if isinstance(raw, date) and not isinstance(raw, datetime):
            return _shown(declared, raw, raw)
        found = _local(readers, raw, zone)
        return found if isinstance(found, Unmapped) else _shown(declared, found.date(), found.date())

    return convert


def _instant(declared: Scalar, readers: list[TimeReader], zone: tzinfo) -> Converter:
    def convert(raw: object) -> object:
        found = _local(readers, raw, zone)
        return found if isinstance(found, Unmapped) else _shown(declared, found, found.date())

    return convert
