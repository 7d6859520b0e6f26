"""Scalars by name: how each is read from a client, stored, and written in an answer (the golden table of formats).

| kind      | in PostgreSQL | in an answer                                                     |
|-----------|---------------|------------------------------------------------------------------|
| text      | text          | string                                                           |
| integer   | integer       | number (32 bits)                                                 |
| long      | bigint        | string of digits, since JSON numbers lose precision above 2^53   |
| decimal   | numeric       | string, as stored, never exponent, NaN or infinity               |
| boolean   | boolean       | true, false                                                      |
| date      | date          | string `YYYY-MM-DD`                                              |
| instant   | timestamptz   | string `YYYY-MM-DDTHH:MM:SS.ffffffZ`, UTC                        |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from schema import identifiers
from schema.predicate import Value


class Kind(StrEnum):
    """Storage and answer format of a scalar."""

    TEXT = "text"
    INTEGER = "integer"
    LONG = "long"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "instant"


class InvalidScalar(ValueError):
    """A client's value is not of the scalar; carries the scalar's name and a reason, never the value."""

    def __init__(self, scalar: str, reason: str) -> None:
        super().__init__(f"not a {scalar}: {reason}")
        self.scalar = scalar
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Scalar:
    """A GraphQL scalar; `parse` turns a client's JSON value into the value compared and stored."""

    name: str
    kind: Kind
    title: str
    parse: Callable[[object], Value]


_TEXT_AT_MOST = 4_000
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")


def parse_text(raw: object) -> str:
    """A string without NUL (PostgreSQL stores none) or lone surrogates, at most 4,000 characters."""
    if not isinstance(raw, str):
        raise InvalidScalar("String", "a string is expected")
    if len(raw) > _TEXT_AT_MOST:
        raise InvalidScalar("String", f"longer than {_TEXT_AT_MOST} characters")
    if _NOT_TEXT.search(raw):
        raise InvalidScalar("String", "has a character that is not text")
    return raw


def _parse_id(raw: object) -> str:
    if isinstance(raw, int) and not isinstance(raw, bool):
        return str(raw)
    return parse_text(raw)


def _parse_int(raw: object) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or (isinstance(raw, float) and not raw.is_integer()):
        raise InvalidScalar("Int", "an integer is expected")
    if not -(2**31) <= raw < 2**31:
        raise InvalidScalar("Int", "does not fit 32 bits")
    return int(raw)


def _parse_boolean(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise InvalidScalar("Boolean", "true or false is expected")
    return raw


def _parse_decimal(raw: object) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise InvalidScalar("Decimal", "a decimal string or number is expected")
    text = str(raw)
    if len(text) > 40:
        raise InvalidScalar("Decimal", "longer than 40 characters")
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise InvalidScalar("Decimal", "not a number") from None
    if not number.is_finite() or abs(number.adjusted()) > 30:
        raise InvalidScalar("Decimal", "out of range")
    return number


def _parse_date(raw: object) -> date:
    if not isinstance(raw, str) or len(raw) != 10:
        raise InvalidScalar("Date", "YYYY-MM-DD is expected")
    try:
        found = date.fromisoformat(raw)
    except ValueError:
        raise InvalidScalar("Date", "not a date of the calendar") from None
    if found in (date.min, date.max):
        # The driver sends these two as infinities, which no column holds.
        raise InvalidScalar("Date", "out of range")
    return found


def _parse_instant(raw: object) -> datetime:
    if not isinstance(raw, str) or len(raw) > 40:
        raise InvalidScalar("DateTime", "an ISO 8601 instant is expected")
    try:
        instant = datetime.fromisoformat(raw)
        if instant.tzinfo is None:
            raise InvalidScalar("DateTime", "the offset from UTC is missing")
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        if isinstance(error, InvalidScalar):
            raise
        raise InvalidScalar("DateTime", "not an instant") from None


def _identifier(name: str, title: str, parse: Callable[[str], str]) -> Scalar:
    def parse_identifier(raw: object) -> str:
        text = parse_text(raw)
        try:
            return parse(text)
        except identifiers.InvalidIdentifier as error:
            raise InvalidScalar(name, error.reason) from None

    return Scalar(name, Kind.TEXT, title, parse_identifier)


SCALARS: Mapping[str, Scalar] = {
    scalar.name: scalar
    for scalar in (
        Scalar("ID", Kind.TEXT, "标识", _parse_id),
        Scalar("String", Kind.TEXT, "文本", parse_text),
        Scalar("Int", Kind.INTEGER, "整数", _parse_int),
        Scalar("Boolean", Kind.BOOLEAN, "布尔值", _parse_boolean),
        Scalar("Decimal", Kind.DECIMAL, "十进制数，以文本表示", _parse_decimal),
        Scalar("Date", Kind.DATE, "日期 YYYY-MM-DD", _parse_date),
        Scalar("DateTime", Kind.INSTANT, "时刻，UTC", _parse_instant),
        _identifier("Uscc", "统一社会信用代码，GB 32100-2015", identifiers.parse_uscc),
        _identifier("OrgCode", "组织机构代码，GB 11714-1997", identifiers.parse_org_code),
        _identifier("CitizenNo", "公民身份号码，GB 11643-1999", identifiers.parse_citizen_no),
        _identifier("ProjectNo", "项目编号，区划6位+日期6位+类别2位+顺序2位", identifiers.parse_project_no),
        _identifier("ProjectCode", "投资项目代码，GB/T 40058-2021", identifiers.parse_project_code),
        _identifier("CertificateNo", "安管人员证书编号，建办质〔2004〕23号", identifiers.parse_certificate_no),
        _identifier("ECertId", "电子证照标识，ISO/IEC 7064 MOD 37,36", identifiers.parse_ecert_id),
        _identifier("DepartmentId", "部门标识，业务类+区划6位-序号", identifiers.parse_department_id),
        _identifier("RegionCode", "行政区划代码，6位", identifiers.parse_region_code),
        _identifier("InspectionNo", "抽查编号", identifiers.parse_inspection_no),
        _identifier("FindingNo", "问题编号", identifiers.parse_finding_no),
        _identifier("PersonNo", "人员代号，随机，不含身份信息", identifiers.parse_person_no),
    )
}
PYTHON_NAMES: Mapping[str, str] = {
    "str": "String",
    "int": "Int",
    "bool": "Boolean",
    "date": "Date",
    "datetime": "DateTime",
}
"""Annotation to scalar, for those written as Python types; every other scalar is annotated by its own name."""
