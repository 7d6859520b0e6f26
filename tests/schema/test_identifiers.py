"""Identifiers: against python-stdnum both ways, and on hostile text."""

import datetime as dt
import pickle
from collections.abc import Callable
from typing import get_args

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from stdnum.cn import ric as stdnum_ric
from stdnum.cn import uscc as stdnum_uscc
from stdnum.iso7064 import mod_37_36

from schema import identifiers
from schema.identifiers import InvalidIdentifier, Reason

DIGITS = "0123456789"
ALPHANUMERIC = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}

CANONICAL = {
    identifiers.parse_uscc: [
        "91000000MADEM00112",
        "91000000MADEM002XR",
        "11000000000000019Q",
        "12000000MB0000019T",
        "11100000000013338W",
    ],
    identifiers.parse_org_code: ["MADEM001-1", "MADEM002-X", "00000001-9"],
    identifiers.parse_citizen_no: ["110101190001010014", "659001190003150035", "11010119000101009X"],
    identifiers.parse_project_no: ["3202111901010101", "32021119010101011", "320211190101010112"],
    identifiers.parse_project_code: ["2101-320200-04-01-123456", "2019-320200-48-03-012345"],
    identifiers.parse_region_code: ["320211", "000000", "660000"],
    identifiers.parse_department_id: ["AJ320211-1", "ZJ110000-12"],
    identifiers.parse_certificate_no: ["京建安C3（2024）0000001", "苏建安A（2004）0123456", "黔建安B（2013）0000002"],
    identifiers.parse_licence_no: ["（苏）JZ安许证字[2005]010203"],
    identifiers.parse_ecert_id: [
        "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
        "1.2.156.3005.2.11100000000013338W087.11370800MB28559184.37080001202411010001.001.3",
    ],
    identifiers.parse_inspection_no: ["JC32021120250228-000001"],
    identifiers.parse_finding_no: ["JC32021120250228-000001-01"],
    identifiers.parse_person_no: ["Pabcdefghijklmnopqrstuvwx", "P" + "2" * 24],
}
SAMPLES = [(parse, text) for parse, texts in CANONICAL.items() for text in texts]
MAKERS = [
    identifiers.uscc_check_digit,
    identifiers.org_code_check_digit,
    identifiers.citizen_check_digit,
    identifiers.iso7064_mod37_36,
]
OTHERS = [identifiers.org_code_of_uscc, identifiers.project_no_flags]

regions = st.text(DIGITS, min_size=6, max_size=6)
org_bodies = st.text(USCC_ALPHABET, min_size=8, max_size=8)


@st.composite
def usccs(draw: st.DrawFn) -> str:
    org = draw(org_bodies)
    body = draw(st.text(DIGITS, min_size=2, max_size=2)) + draw(regions) + org + identifiers.org_code_check_digit(org)
    return body + identifiers.uscc_check_digit(body)


@st.composite
def citizen_nos(draw: st.DrawFn) -> str:
    # stdnum looks the region up, for the year of birth; both of these have stood since 1949.
    region = draw(st.sampled_from(["110101", "320200"]))
    born = draw(st.dates(dt.date(1800, 1, 1), dt.date(2199, 12, 31)))
    body = region + born.strftime("%Y%m%d") + draw(st.text(DIGITS, min_size=3, max_size=3))
    return body + identifiers.citizen_check_digit(body)


def mutations(valid: st.SearchStrategy[str], alphabet: str) -> st.SearchStrategy[str]:
    """One to three characters replaced, or one dropped or added."""

    @st.composite
    def mutate(draw: st.DrawFn) -> str:
        text = draw(valid)
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(text) - 1))
            text = text[:at] + draw(st.text(alphabet, max_size=2)) + text[at + 1 :]
        return text

    return mutate()


def accepts(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except InvalidIdentifier:
        return False
    return True


def inner_check_holds(uscc: str) -> bool:
    weighted = zip((3, 7, 9, 10, 5, 8, 4, 2), uscc[8:16], strict=True)
    check = {"X": 10}.get(uscc[16]) or int(uscc[16], 36)
    return check <= 10 and (sum(weight * int(char, 36) for weight, char in weighted) + check) % 11 == 0


@pytest.mark.parametrize(("parse", "text"), SAMPLES)
def test_canonical_form_is_its_own_form(parse: Callable[[str], str], text: str) -> None:
    assert text == parse(text)


@pytest.mark.parametrize(("parse", "text"), SAMPLES)
def test_full_width_blank_and_lower_case_spellings_have_one_canonical_form(
    parse: Callable[[str], str], text: str
) -> None:
    assert text == parse(text.translate(FULL_WIDTH))
    assert text == parse(f"\u202d {text}\u3000\u200b")
    assert text == parse(text.lower())
    assert text == parse(text.upper())
    for hyphen in "－—–‐−":
        assert text == parse(text.replace("-", hyphen))


@given(text=usccs())
def test_made_uscc_is_accepted_here_and_by_stdnum(text: str) -> None:
    assert text == identifiers.parse_uscc(text) == stdnum_uscc.validate(text)
    assert identifiers.parse_org_code(text[8:17]) == identifiers.org_code_of_uscc(text)


@given(text=mutations(usccs(), USCC_ALPHABET + "IOSVZ -") | st.text(USCC_ALPHABET, min_size=18, max_size=18))
def test_uscc_verdict_is_that_of_stdnum_and_the_inner_check(text: str) -> None:
    compact = text.replace(" ", "").replace("-", "")
    assume(compact[:2].isdigit())
    expected = stdnum_uscc.is_valid(text) and inner_check_holds(compact)
    assert expected == accepts(identifiers.parse_uscc, text)


def test_uscc_registered_by_a_lettered_department_is_accepted_unlike_stdnum() -> None:
    body = "N2330106MADEM0011"
    text = body + identifiers.uscc_check_digit(body)
    assert text == identifiers.parse_uscc(text)
    assert not stdnum_uscc.is_valid(text)


def test_uscc_with_wrong_inner_check_is_refused_unlike_stdnum() -> None:
    body = "91000000MADEM0012"
    text = body + identifiers.uscc_check_digit(body)
    assert stdnum_uscc.is_valid(text)
    with pytest.raises(InvalidIdentifier, match="inner check"):
        identifiers.parse_uscc(text)


@given(body=st.text(USCC_ALPHABET, min_size=17, max_size=17))
def test_uscc_check_digit_is_that_of_stdnum(body: str) -> None:
    assert stdnum_uscc.calc_check_digit(body) == identifiers.uscc_check_digit(body)


@given(text=citizen_nos())
def test_made_citizen_no_is_accepted_here_and_by_stdnum(text: str) -> None:
    assert text == identifiers.parse_citizen_no(text) == stdnum_ric.validate(text)
    assert text == identifiers.parse_citizen_no(text.lower())


@given(text=mutations(citizen_nos(), DIGITS + "X"))
@example(text="320200190002290028")
def test_citizen_no_verdict_is_that_of_stdnum(text: str) -> None:
    assume(len(text) != 15)
    # Documented differences: no region look-up here, no date before 1800.
    assume(text[:6] in {"110101", "320200"} and text[6:10] >= "1800")
    assert stdnum_ric.is_valid(text) == accepts(identifiers.parse_citizen_no, text)


def test_citizen_no_of_an_unlisted_region_is_accepted_unlike_stdnum() -> None:
    body = "99999919900307857"
    text = body + identifiers.citizen_check_digit(body)
    assert text == identifiers.parse_citizen_no(text)
    assert not stdnum_ric.is_valid(text)


def test_citizen_no_with_right_check_and_impossible_date_is_refused() -> None:
    trap = "320200190002290028"
    assert trap[17] == identifiers.citizen_check_digit(trap[:17])
    with pytest.raises(InvalidIdentifier) as caught:
        identifiers.parse_citizen_no(trap)
    assert caught.value.reason == "date"


@given(born=st.dates(dt.date(1900, 1, 1), dt.date(1999, 12, 31)), serial=st.integers(0, 999))
def test_fifteen_digits_gain_the_century_and_the_check(born: dt.date, serial: int) -> None:
    legacy = f"110101{born:%y%m%d}{serial:03}"
    number = identifiers.parse_citizen_no(legacy)
    assert f"110101{born:%Y%m%d}{serial:03}" == number[:17]
    assert stdnum_ric.is_valid(number)


def test_fifteen_digits_with_impossible_date_are_refused() -> None:
    assert not accepts(identifiers.parse_citizen_no, "110101000229001")


@given(text=st.text(ALPHANUMERIC, max_size=80))
def test_mod_37_36_is_that_of_stdnum(text: str) -> None:
    assert mod_37_36.calc_check_digit(text) == identifiers.iso7064_mod37_36(text)
    assert mod_37_36.is_valid(text + identifiers.iso7064_mod37_36(text))


@given(
    text=mutations(
        st.sampled_from(CANONICAL[identifiers.parse_ecert_id]).map(lambda text: text.rpartition(".2.")[2]), ALPHANUMERIC
    )
)
def test_ecert_id_of_right_form_has_the_verdict_of_stdnum(text: str) -> None:
    ecert_id = f"1.2.156.3005.2.{text}"
    try:
        identifiers.parse_ecert_id(ecert_id)
    except InvalidIdentifier as error:
        reason: str | None = error.reason
    else:
        reason = None
    # Reasons but these are about what stdnum does not look at.
    if reason in (None, "check"):
        assert mod_37_36.is_valid(text.replace(".", "")) is (reason is None)


def test_ecert_id_of_the_shifted_local_algorithm_is_refused_for_its_check() -> None:
    with pytest.raises(InvalidIdentifier) as caught:
        identifiers.parse_ecert_id("1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.V")
    assert caught.value.reason == "check"


def test_organisation_code_is_accepted_with_and_without_hyphen() -> None:
    assert "MADEM002-X" == identifiers.parse_org_code("madem002x") == identifiers.parse_org_code("MADEM002－X")
    assert not accepts(identifiers.parse_org_code, "MADEM002-1")
    assert not accepts(identifiers.parse_org_code, "MADEM0-02X")


@pytest.mark.parametrize("brackets", ["()", "（）", "〔〕", "[]", "［］", "【】", "（]"])
def test_brackets_of_certificates_are_made_full_width(brackets: str) -> None:
    opening, closing = brackets[0], brackets[1]
    text = f"京建安C3{opening}2024{closing}0000001"
    assert identifiers.parse_certificate_no(text) == "京建安C3（2024）0000001"
    licence = f"{opening}苏{closing}JZ安许证字{opening}2005{closing}010203"
    assert identifiers.parse_licence_no(licence) == "（苏）JZ安许证字[2005]010203"


@pytest.mark.parametrize(("post", "length"), [("A", 22), ("B", 22), ("C1", 23), ("C2", 23), ("C3", 23)])
def test_certificate_number_fits_the_national_column(post: str, length: int) -> None:
    number = identifiers.parse_certificate_no(f"兵建安{post}(2024)0000001")
    assert length == len(number.encode("gbk"))


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        (identifiers.parse_uscc, "91000000MADEM00113", "check"),
        (identifiers.parse_uscc, "91000000MADEM0011", "form"),
        (identifiers.parse_uscc, "9100000OMADEM00112", "form"),
        (identifiers.parse_citizen_no, "110101190001010015", "check"),
        (identifiers.parse_citizen_no, "110101000101010016", "date"),
        (identifiers.parse_citizen_no, "11010119000101001²", "form"),
        (identifiers.parse_project_no, "320211190101010", "form"),
        (identifiers.parse_project_no, "3202111901010101-SX-001", "form"),
        (identifiers.parse_project_no, "3202111901010101-1", "form"),
        (identifiers.parse_project_code, "210132020004011234560000", "form"),
        (identifiers.parse_region_code, "320211001", "tail"),
        (identifiers.parse_region_code, "320211000010", "tail"),
        (identifiers.parse_region_code, "3205130", "form"),
        (identifiers.parse_region_code, "15454", "form"),
        (identifiers.parse_department_id, "AJ320211-01", "form"),
        (identifiers.parse_certificate_no, "京建安C4（2024）0000001", "form"),
        (identifiers.parse_certificate_no, "京建安A（2024）000001", "form"),
        (identifiers.parse_certificate_no, "国建安A（2024）0000001", "form"),
        (identifiers.parse_licence_no, "苏JZ安许证字[2005]010203", "form"),
        (identifiers.parse_inspection_no, "JC32021120250229-000001", "date"),
        (identifiers.parse_inspection_no, "JC32021120250228000001", "form"),
        (identifiers.parse_finding_no, "JC32021120250229-000001-01", "date"),
        (identifiers.parse_finding_no, "JC32021120250228-000001", "form"),
        (identifiers.parse_person_no, "P" + "1" * 24, "form"),
        (identifiers.parse_ecert_id, "1." * 65, "length"),
        (identifiers.parse_uscc, " " * 65, "length"),
    ],
)
def test_refusals_give_their_reason(parse: Callable[[str], str], text: str, reason: Reason) -> None:
    with pytest.raises(InvalidIdentifier) as caught:
        parse(text)
    assert reason == caught.value.reason


def test_longer_region_codes_lose_only_zeros() -> None:
    assert "320211" == identifiers.parse_region_code("320211000") == identifiers.parse_region_code("320211000000")


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("3202111901010101", set()),
        ("3202112002290101", set()),
        ("3202111902290101", {"DATE"}),
        ("32021119010101011", {"LENGTH"}),
        ("320211190101010112", {"LENGTH"}),
    ],
)
def test_doubtful_project_numbers_are_accepted_and_flagged(text: str, flags: set[str]) -> None:
    assert text == identifiers.parse_project_no(text)
    assert flags == identifiers.project_no_flags(text)


hostile = (
    st.text(max_size=140)
    | st.text("0123456789XP-. （[）]JC建安京", max_size=80)
    | mutations(st.sampled_from([text for _, text in SAMPLES]), "0Ⅻ²ſß\u0660\ud800ﷺ\0-X")
)


@given(text=hostile)
@example(text="\ud800" * 18)
@example(text="٠" * 18)
@example(text="ﷺ" * 64)
@example(text="1" * 1_000_000)
@example(text="11010100000000000X")
def test_any_text_is_parsed_once_for_all_or_refused_without_an_echo(text: str) -> None:
    for parse in CANONICAL:
        try:
            canonical = parse(text)
        except InvalidIdentifier as error:
            assert_no_echo(error)
        else:
            assert canonical == parse(canonical)
    for make in (*MAKERS, *OTHERS):
        try:
            make(text)
        except InvalidIdentifier as error:
            assert_no_echo(error)


def assert_no_echo(error: InvalidIdentifier) -> None:
    """What the error says comes from closed sets, whatever the text was; nothing hangs on it either."""
    kinds = {"uscc", "orgCode", "citizenNo", "personNo", "projectNo", "projectCode", "regionCode", "departmentId"}
    kinds |= {"inspectionNo", "findingNo", "certificateNo", "licenceNo", "ecertId", "mod37_36"}
    assert error.kind in kinds
    assert error.reason in get_args(Reason)
    assert (error.kind, error.reason) == error.args
    assert f"not a {error.kind}: {error.reason}" == str(error)
    assert error.__context__ is None


def test_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(InvalidIdentifier("uscc", "check")))
    assert str(error) == "not a uscc: check"
