"""What the model's functions answer, and what is static about an object of the policy."""

from __future__ import annotations

import logging

import pytest

from policy.enforcer import POLICY_NAMES, build_enforcer, codes, under
from policy.revision import Revision
from tests.policy.cells import objects, registry


@pytest.mark.parametrize(
    ("code", "prefixes", "expected"),
    [
        ("420102", ("42",), True),
        ("420102", ("4201",), True),
        ("420102", ("420102",), True),
        ("420102", ("43", "4202", "420103"), False),
        ("420102", ("43", "4201"), True),
        # Six digits are the code itself, and no code is longer.
        ("4201029", ("420102",), False),
        ("4201029", ("4201",), True),
        ("42", ("4201",), False),
        ("430100", ("",), True),
        ("420102", (), False),
    ],
)
def test_a_code_lies_under_a_prefix(code, prefixes, expected):
    assert under(code, prefixes) is expected


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("-", ()),
        ("420000", ("42",)),
        ("430100|420000", ("42", "4301")),
        ("420102|420000|420100", ("42",)),
        ("420102|420103", ("420102", "420103")),
        ("000000|420000", ("",)),
        ("|".join(f"{n}0000" for n in range(65, 10, -1)), tuple(f"{n}" for n in range(11, 66))),
    ],
)
def test_an_agreement_s_scope_is_merged_and_sorted(scope, expected):
    assert codes(scope) == expected


def test_what_an_entity_has_no_column_for_is_constant():
    region, project, finding = (objects()[name] for name in ("Region.name", "Project.name", "Finding.description"))
    assert dict(region.constants) == {
        "@manage": "000000", "@manage2": "00", "@manage4": "0000", "@site": "-", "@site2": "-", "@site4": "-",
        "@owner_dept": "-", "@holder_uscc": "-", "@holder_person": "-", "@case_no": "-", "@sens": 0,
    }  # fmt: skip
    assert set(dict(region.constants)) == set(POLICY_NAMES)
    assert (region.governed, project.governed, finding.governed) == (False, True, True)
    assert "@manage" not in dict(project.constants)
    assert {known.coordinate for known in objects().values()} == set(objects())
    assert (project.system, objects()["SafetyInspection.photos"].system) == ("SHARED", "SAFETY")


def test_an_attribute_that_one_host_of_a_remote_value_has_is_not_constant():
    name = "LiveInspection.kind"
    first, second = (
        {attr for attr in POLICY_NAMES if host.governed.column(attr)} for host in registry().hosts_of(name)
    )
    assert first != second
    assert set(dict(objects()[name].constants)) == set(POLICY_NAMES) - first - second


def test_static_functions_know_no_object_that_the_schema_has_not():
    known = build_enforcer(Revision((), {}, ()), objects()).fm.get_functions()
    assert (known["system"]("Project.name"), known["system"]("Nothing.name")) == ("SHARED", "-")
    answers = [known["governed"](name) for name in ("Project.name", "Region.name", "Nothing.name")]
    assert answers == [True, False, False]
    assert known["num"]("9") == 9


def test_an_enforcer_logs_nothing_at_any_level():
    enforcer = build_enforcer(Revision((), {}, ()), objects())
    assert not enforcer.logger.isEnabledFor(logging.CRITICAL)
