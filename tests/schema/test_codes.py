"""Code lists: well formed, and codes that mean something only within their list."""

import re

import pytest

from schema.codes import CODE_LISTS, CodeList

EXPECTED = {
    "RegionLevel",
    "RegionKind",
    "DeptKind",
    "DeptLevel",
    "BizSystem",
    "ActiveState",
    "EconomicType",
    "BusinessType",
    "IdType",
    "Gender",
    "Education",
    "TechnicalTitle",
    "ProjectType",
    "BuildNature",
    "ProjectUsage",
    "ApprovalLevel",
    "ProjectState",
    "DataLevel",
    "SafetyPost",
    "Appointment",
    "SafetyMgrState",
    "OperateType",
    "CheckResult",
    "InspectionKind",
    "Disposal",
    "ReviewResult",
    "FindingParentType",
    "HazardLevel",
    "MachineKind",
    "MachineState",
    "RegistrationState",
    "CreditRecordKind",
    "PopulationState",
    "Transport",
    "SourceHealth",
    "BreakerState",
}


def test_every_list_of_the_entities_is_declared() -> None:
    assert set(CODE_LISTS) == EXPECTED
    assert all(name == codes.name for name, codes in CODE_LISTS.items())


@pytest.mark.parametrize("codes", CODE_LISTS.values(), ids=lambda codes: codes.name)
def test_list_is_well_formed(codes: CodeList) -> None:
    assert re.fullmatch("[A-Z][A-Za-z]+", codes.name)
    assert codes.title
    assert codes.source
    assert len(codes.entries) >= 2
    for entry in codes.entries:
        # GraphQL reserves a leading double underscore and these three words.
        assert re.fullmatch("[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", entry.name)
        assert entry.name not in {"TRUE", "FALSE", "NULL"}
        assert re.fullmatch("[0-9A-Z_]+", entry.code)
        assert re.search("[\u4e00-\u9fff]", entry.term)
    for members in (codes.by_name, codes.by_code, {entry.term: entry for entry in codes.entries}):
        assert tuple(members.values()) == codes.entries
    assert codes.codes == tuple(codes.by_code)


@pytest.mark.parametrize("codes", CODE_LISTS.values(), ids=lambda codes: codes.name)
def test_numeric_codes_of_a_list_have_no_twin_but_for_leading_zeros(codes: CodeList) -> None:
    numbers = [int(code) for code in codes.codes if code.isdigit()]
    assert len(numbers) == len(set(numbers))


def test_same_digits_mean_different_things_in_different_lists() -> None:
    assert CODE_LISTS["SafetyMgrState"].by_code["03"].term == "撤销"
    assert CODE_LISTS["OperateType"].by_code["03"].term == "暂扣"
    assert CODE_LISTS["Appointment"].by_code["03"].term == "分管安全副总经理"


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("SafetyMgrState", "01 02 03 04 05 06 07 99"),
        ("Appointment", "01 02 03 04 05 06 07 08 99"),
        ("OperateType", "01 02 03 04 05 06 07 08 09 10"),
        ("SafetyPost", "A B C1 C2 C3"),
        ("BuildNature", "001 002 003 004 005 006 099"),
        ("ApprovalLevel", "001 002 003 004"),
        ("ProjectType", "01 02 99"),
        ("DataLevel", "A B C D"),
        ("Disposal", "0 1 2 3 4 5"),
        ("IdType", "111 999"),
    ],
)
def test_official_codes_are_complete(name: str, codes: str) -> None:
    assert codes.split() == list(CODE_LISTS[name].codes)


def test_lists_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        CODE_LISTS["Gender"].by_code["3"] = CODE_LISTS["Gender"].entries[0]  # type: ignore[index]
