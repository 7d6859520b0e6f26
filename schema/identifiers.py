"""Parse the identifiers of the supervision domain into one canonical form each.

Everything here is pure and takes time linear in a capped input. A parser accepts what people and local systems type
(full-width characters, blanks, kinds of hyphen and bracket) and answers the only spelling that is stored, compared and
joined on; anything else is `InvalidIdentifier`, which carries no part of the text, since the text may be personal.
"""

import calendar
import re
from collections.abc import Mapping
from operator import mul
from typing import Final, Literal

Reason = Literal["length", "form", "date", "check", "inner check", "tail"]

_CAP: Final = 64
# A certificate identifier is 62 characters before its serial, and serials of 20 are in use.
_ECERT_CAP: Final = 128


class InvalidIdentifier(ValueError):
    """A text that is not an identifier of `kind`; both facts come from closed sets, never from the text."""

    def __init__(self, kind: str, reason: Reason) -> None:
        super().__init__(kind, reason)
        self.kind = kind
        self.reason = reason

    def __str__(self) -> str:
        return f"not a {self.kind}: {self.reason}"


def _folding() -> Mapping[int, str | None]:
    # The full-width block is the part of NFKC that is safe: all of it would also turn a superscript into a digit and
    # one character into eighteen. `str.upper` is avoided alike, it makes an S of U+017F.
    table: dict[int, str | None] = {}
    for code in range(0x21, 0x7F):
        upper = chr(code - 0x20) if 0x61 <= code <= 0x7A else chr(code)
        table[code] = upper
        table[code + 0xFEE0] = upper
    # Spreadsheets and dialogs leave invisible direction marks (U+200E, U+202D) around what is copied from them.
    table |= dict.fromkeys([*b"\t\n\r ", 0xA0, *range(0x2000, 0x2010), *range(0x202A, 0x2030), 0x2060, 0x3000, 0xFEFF])
    table |= dict.fromkeys([*range(0x2010, 0x2016), 0x2043, 0x2212, 0xFE58, 0xFE63], "-")
    table |= dict.fromkeys(map(ord, "[［〔【"), "(")
    table |= dict.fromkeys(map(ord, "]］〕】"), ")")
    return table


_FOLD: Final = _folding()


def _fold(kind: str, text: str, cap: int = _CAP) -> str:
    if len(text) > cap:
        raise InvalidIdentifier(kind, "length")
    return text.translate(_FOLD)


def _match(kind: str, pattern: re.Pattern[str], text: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise InvalidIdentifier(kind, "form")
    return match


def _is_date(digits: str) -> bool:
    # Nobody who lived to be numbered (from 1984) was born before 1800, and no inspection is older.
    year, month, day = int(digits[:4]), int(digits[4:6]), int(digits[6:])
    return year >= 1800 and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]


_USCC_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUES: Final = {char: value for value, char in enumerate(_USCC_ALPHABET)}
_USCC_WEIGHTS: Final = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_USCC_BODY: Final = re.compile(f"[{_USCC_ALPHABET}]{{17}}")
# Registering departments N (village collectives) and Y are letters, so only the region is all digits.
_USCC: Final = re.compile(f"[{_USCC_ALPHABET}]{{2}}[0-9]{{6}}[{_USCC_ALPHABET}]{{8}}[0-9X][{_USCC_ALPHABET}]")
_ORG_WEIGHTS: Final = (3, 7, 9, 10, 5, 8, 4, 2)
_ORG_BODY: Final = re.compile("[0-9A-Z]{8}")
_ORG_CODE: Final = re.compile("([0-9A-Z]{8})-?([0-9X])")
_DEPARTMENT_ID: Final = re.compile("[A-Z]{2}[0-9]{6}-[1-9][0-9]{0,3}")


def uscc_check_digit(body17: str) -> str:
    """The 18th character of a unified social credit code, GB 32100-2015 (weights 3^i, modulus 31)."""
    _match("uscc", _USCC_BODY, body17)
    return _USCC_ALPHABET[-sum(map(mul, _USCC_WEIGHTS, map(_USCC_VALUES.__getitem__, body17))) % 31]


def org_code_check_digit(body8: str) -> str:
    """The ninth character of an organisation code, GB 11714-1997 (modulus 11, ten is written X)."""
    _match("orgCode", _ORG_BODY, body8)
    return "0123456789X"[-sum(weight * int(char, 36) for weight, char in zip(_ORG_WEIGHTS, body8, strict=True)) % 11]


def parse_uscc(text: str) -> str:
    """A unified social credit code (统一社会信用代码), GB 32100-2015: 18 upper-case characters.

    Positions 9 to 17 are an organisation code with a check of its own (GB 11714-1997), verified for every class of
    organisation.

    >>> parse_uscc(" 91000000-madem002-xr ")
    '91000000MADEM002XR'
    """
    uscc = _match("uscc", _USCC, _fold("uscc", text).replace("-", ""))[0]
    if uscc[17] != uscc_check_digit(uscc[:17]):
        raise InvalidIdentifier("uscc", "check")
    if uscc[16] != org_code_check_digit(uscc[8:16]):
        raise InvalidIdentifier("uscc", "inner check")
    return uscc


def parse_org_code(text: str) -> str:
    """An organisation code (组织机构代码), GB 11714-1997: `XXXXXXXX-X`, the hyphen optional in the text.

    >>> parse_org_code("madem0011")
    'MADEM001-1'
    """
    body, check = _match("orgCode", _ORG_CODE, _fold("orgCode", text)).groups()
    if check != org_code_check_digit(body):
        raise InvalidIdentifier("orgCode", "check")
    return f"{body}-{check}"


def org_code_of_uscc(text: str) -> str:
    """The GB 11714-1997 organisation code inside a GB 32100-2015 code: the join to systems keyed by the older one.

    >>> org_code_of_uscc("91000000MADEM002XR")
    'MADEM002-X'
    """
    uscc = parse_uscc(text)
    return f"{uscc[8:16]}-{uscc[16]}"


def parse_department_id(text: str) -> str:
    """A department account (机构业务账号): two letters, region, `-`, running number, as `AJ320211-1`.

    Practice of Wuxi, where AJ is safety and ZJ quality supervision; no national document.
    """
    return _match("departmentId", _DEPARTMENT_ID, _fold("departmentId", text))[0]


_CITIZEN_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CITIZEN_BODY: Final = re.compile("[0-9]{17}")
_CITIZEN_NO: Final = re.compile("[0-9]{17}[0-9X]|[0-9]{15}")
_PERSON_NO: Final = re.compile("P([A-Z2-7]{24})")


def citizen_check_digit(body17: str) -> str:
    """The 18th character of a citizen number, GB 11643-1999 (ISO 7064 MOD 11-2)."""
    _match("citizenNo", _CITIZEN_BODY, body17)
    return "10X98765432"[sum(map(mul, _CITIZEN_WEIGHTS, map(int, body17))) % 11]


def parse_citizen_no(text: str) -> str:
    """A citizen number (公民身份号码), GB 11643-1999: 18 characters, X upper case; 15 digits are born in 19YY.

    The date must exist. The region may have been abolished long ago, so it is not looked up.

    >>> parse_citizen_no("110101 900307 857")
    '110101199003078574'
    """
    number = _match("citizenNo", _CITIZEN_NO, _fold("citizenNo", text).replace("-", ""))[0]
    if len(number) == 15:
        body = f"{number[:6]}19{number[6:]}"
        number = body + citizen_check_digit(body)
    if not _is_date(number[6:14]):
        raise InvalidIdentifier("citizenNo", "date")
    if number[17] != citizen_check_digit(number[:17]):
        raise InvalidIdentifier("citizenNo", "check")
    return number


def parse_person_no(text: str) -> str:
    """A person's surrogate key: `P` and 24 lower-case base32 characters (RFC 4648), random and without meaning.

    >>> parse_person_no("pabcdefghijklmnopqrstuvwx")
    'Pabcdefghijklmnopqrstuvwx'
    """
    return "P" + _match("personNo", _PERSON_NO, _fold("personNo", text))[1].lower()


_PROJECT_NO: Final = re.compile("[0-9]{16,18}")
# The alphabet of the check character is not published with the format: any is let through.
_PROJECT_CODE: Final = re.compile("[0-9]{4}-[0-9]{6}-[0-9]{2}-[0-9]{2}-[0-9]{5}[0-9A-Z]")
_REGION_CODE: Final = re.compile("([0-9]{6})([0-9]{3}|[0-9]{6})?")
_INSPECTION_NO: Final = re.compile("JC[0-9]{6}([0-9]{8})-[0-9]{6}")
_FINDING_NO: Final = re.compile("JC[0-9]{6}([0-9]{8})-[0-9]{6}-[0-9]{2}")


def parse_project_no(text: str) -> str:
    """A project number (项目编号) of the national building market platform: region, YYMMDD, class 2, sequence 2.

    16 digits by rule; 17 and 18 are in circulation and accepted, see `project_no_flags`.
    """
    return _match("projectNo", _PROJECT_NO, _fold("projectNo", text))[0]


def project_no_flags(text: str) -> frozenset[str]:
    """What is doubtful about an acceptable project number: `LENGTH` (not 16 digits) or `DATE` (no such day).

    >>> sorted(project_no_flags("32020019022901019"))
    ['LENGTH']
    """
    number = parse_project_no(text)
    if len(number) != 16:
        return frozenset({"LENGTH"})
    return frozenset() if _is_date("20" + number[6:12]) else frozenset({"DATE"})


def parse_project_code(text: str) -> str:
    """An investment project code (投资项目代码), GB/T 40058-2021: 24 characters, hyphens included.

    Form only: the check algorithm could not be verified and is not enforced. Codes from before the standard begin
    with a year instead of a year and month, so that part is not read either.

    >>> parse_project_code("2101－320200－04－01－123456")
    '2101-320200-04-01-123456'
    """
    return _match("projectCode", _PROJECT_CODE, _fold("projectCode", text))[0]


def parse_region_code(text: str) -> str:
    """A region code of six digits (GB/T 2260 shape); the longer forms (9 digits in 建办质〔2018〕5号, 12) lose zeros.

    A tail that says more than county is refused: cutting it would name another region.

    >>> parse_region_code("320211000000")
    '320211'
    """
    code, tail = _match("regionCode", _REGION_CODE, _fold("regionCode", text)).groups()
    if tail is not None and tail.strip("0"):
        raise InvalidIdentifier("regionCode", "tail")
    return str(code)


def parse_inspection_no(text: str) -> str:
    """An inspection number (抽查编号) of this platform: `JC`, region, yyyymmdd, `-`, six digits; the day exists."""
    return _dated("inspectionNo", _INSPECTION_NO, text)


def parse_finding_no(text: str) -> str:
    """A finding number (问题编号) of this platform: the inspection number, `-`, two digits."""
    return _dated("findingNo", _FINDING_NO, text)


def _dated(kind: str, pattern: re.Pattern[str], text: str) -> str:
    match = _match(kind, pattern, _fold(kind, text))
    if not _is_date(match[1]):
        raise InvalidIdentifier(kind, "date")
    return match[0]


# Five provinces sign with either of two characters; 兵 is the Corps.
_PROVINCES: Final = "京津冀晋蒙辽吉黑沪苏浙皖闽赣鲁豫鄂湘粤桂琼渝川蜀贵黔云滇藏陕秦甘陇青宁新兵"
_CERTIFICATE_NO: Final = re.compile(f"([{_PROVINCES}]建安(?:A|B|C[123]))\\((20[0-9]{{2}})\\)([0-9]{{7}})")
_LICENCE_NO: Final = re.compile(f"\\(([{_PROVINCES}])\\)JZ安许证字\\((20[0-9]{{2}})\\)([0-9]{{6}})")
_ECERT_ROOT: Final = "1.2.156.3005.2."
_ECERT_ID: Final = re.compile(
    re.escape(_ECERT_ROOT)
    + f"([{_USCC_ALPHABET}]{{18}}[0-9]{{3}}\\.[{_USCC_ALPHABET}]{{18}}\\.[0-9A-Z]{{1,40}}\\.[0-9]{{3}})\\.([0-9A-Z])"
)
_ALPHANUMERIC: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ALPHANUMERIC_TEXT: Final = re.compile("[0-9A-Z]*")


def parse_certificate_no(text: str) -> str:
    """A safety manager's certificate number (安管人员考核合格证书编号), 建办质〔2004〕23号: `京建安C3（2024）0000001`.

    At most 23 bytes of GBK, with full-width brackets whichever the text has.

    >>> parse_certificate_no("苏建安a[2004]0123456")
    '苏建安A（2004）0123456'
    """
    head, year, serial = _match("certificateNo", _CERTIFICATE_NO, _fold("certificateNo", text)).groups()
    return f"{head}（{year}）{serial}"


def parse_licence_no(text: str) -> str:
    """A safety production licence number (安全生产许可证编号), the form in use since 2004.

    >>> parse_licence_no("(苏)JZ安许证字〔2005〕010203")
    '（苏）JZ安许证字[2005]010203'
    """
    province, year, serial = _match("licenceNo", _LICENCE_NO, _fold("licenceNo", text)).groups()
    return f"（{province}）JZ安许证字[{year}]{serial}"


def iso7064_mod37_36(text: str) -> str:
    """The check character of ISO/IEC 7064 MOD 37,36 (GB/T 17710) over digits and upper-case letters.

    >>> iso7064_mod37_36("11100000000013338W01111430000006122244L20230000403001")
    'U'
    """
    if len(text) > _ECERT_CAP:
        raise InvalidIdentifier("mod37_36", "length")
    _match("mod37_36", _ALPHANUMERIC_TEXT, text)
    product = 36
    for char in text:
        product = ((product + int(char, 36)) % 36 or 36) * 2 % 37
    return _ALPHANUMERIC[(1 - product) % 36]


def parse_ecert_id(text: str) -> str:
    """An electronic certificate identifier (证照标识), C0304-2022 app. A: root, type, issuer, serial, version, check.

    The check is ISO/IEC 7064 MOD 37,36 over the four middle parts without dots. Some local systems shift the letter
    values by one: their identifiers are refused with the reason `check`, for the caller to keep aside and count.
    """
    folded = _fold("ecertId", text, _ECERT_CAP)
    body, check = _match("ecertId", _ECERT_ID, folded).groups()
    if check != iso7064_mod37_36(body.replace(".", "")):
        raise InvalidIdentifier("ecertId", "check")
    return folded
