"""Which of two rules makes the other superfluous, column by column; and what else is only remarked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy.lint import Severity, lint
from policy.revision import Revision, Rule
from tests.policy.cells import registry

WIDE = Rule("WIDE", "*", "*", "*", "*", "*", "*", "PUBLIC", "clear", "any", "-", "0", "9", "-", "-", "allow", "试")
CLASSES = {coordinate: str(sharing) for coordinate, sharing in registry().proposals().items()}
KINDS = (("FIRE", "EMERGENCY"), ("EMERGENCY", "RELATED"))
ADDS_NOTHING, OVERRIDDEN = "adds nothing to WIDE", "is always overridden by WIDE"


def remarks(*rules: Rule, classes=CLASSES) -> list[tuple[str, str]]:
    found = lint(Revision(rules, classes, KINDS), registry())
    assert {finding.severity for finding in found} <= {Severity.WARNING}
    return [(finding.rule, finding.text) for finding in found]


def remarks_on_narrow(wide: dict[str, str], narrow: dict[str, str]) -> list[str]:
    found = remarks(replace(WIDE, **wide), replace(WIDE, **{"id": "NARROW", **narrow}))
    assert "WIDE" not in {rule for rule, _ in found}
    return [text for rule, text in found if rule == "NARROW"]


IN, OUT = {"rel": "in", "scope": "420000"}, {"rel": "in", "scope": "430000"}
DENY = {"eft": "deny", "act": "mask"}
SUPERFLUOUS = [
    # what the wide rule says, what the narrow one says more narrowly
    *(({}, {column: word}) for column, word in (
        ("role", "x"), ("level", "COUNTY"), ("kind", "FIRE"), ("dept", "D1"), ("system", "SAFETY"), ("purpose", "CASE"),
        ("act", "mask"), ("smin", "1"), ("smax", "8"), ("valid_from", "5"), ("valid_to", "5"),
    )),
    *(({}, {"rel": rel}) for rel in ("own", "sub", "within", "case", "sup", "located", "other")),
    ({}, IN),
    *(({"rel": "within"}, {"rel": rel}) for rel in ("own", "sub", "case")),
    ({"kind": "EMERGENCY"}, {"kind": "FIRE"}),
    ({"kind": "RELATED"}, {"kind": "FIRE"}),
    ({"level": "COUNTY"}, {"level": "COUNTY", "role": "x"}),
    (IN, {**IN, "role": "x"}),
    ({"smin": "2", "smax": "7"}, {"smin": "2", "smax": "7", "role": "x"}),
    ({"valid_from": "5", "valid_to": "9"}, {"valid_from": "5", "valid_to": "9", "role": "x"}),
    ({"valid_from": "5", "valid_to": "90"}, {"valid_from": "50", "valid_to": "60"}),
    ({"valid_from": "9", "valid_to": "99"}, {"valid_from": "10", "valid_to": "98"}),
    ({"act": "mask"}, {"act": "mask", "role": "x"}),
    (DENY, {"eft": "deny", "act": "clear"}),
    ({"eft": "deny", "act": "clear"}, {"eft": "deny", "act": "clear", "role": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("wide", "narrow"), SUPERFLUOUS)
def test_a_rule_inside_another_adds_nothing(wide, narrow):
    assert remarks_on_narrow(wide, narrow) == [ADDS_NOTHING]


NEEDED = [
    *(({column: word}, {"role": "x"}) for column, word in (
        ("level", "COUNTY"), ("kind", "FIRE"), ("dept", "D1"), ("system", "SAFETY"), ("purpose", "CASE"),
        ("act", "mask"), ("smin", "1"), ("smax", "8"), ("valid_from", "5"), ("valid_to", "5"), ("rel", "own"),
    )),
    ({"role": "x"}, {"level": "COUNTY"}),
    *(({}, {"rel": rel}) for rel in ("unknown", "owner", "holder")),
    *(({"rel": "within"}, {"rel": rel}) for rel in ("sup", "located", "other", "unknown", "owner")),
    ({"rel": "own"}, {"rel": "sub"}),
    (IN, OUT),
    ({"kind": "FIRE"}, {"kind": "EMERGENCY", "role": "x"}),
    ({"smin": "3"}, {"smin": "2", "role": "x"}),
    ({"smax": "3"}, {"smax": "4", "role": "x"}),
    ({"valid_from": "10"}, {"valid_from": "9", "role": "x"}),
    ({"valid_to": "9"}, {"valid_to": "10", "role": "x"}),
    ({"obj": "SHARED"}, {"role": "x"}),
    ({"eft": "deny", "act": "clear"}, {"eft": "deny", "act": "mask", "role": "x"}),
    ({}, {"eft": "deny", "role": "x"}),
    # What denies the clear value leaves the masked one.
    ({"eft": "deny", "act": "clear"}, {"role": "x"}),
    ({"eft": "deny", "act": "clear"}, {"role": "x", "act": "mask"}),
]  # fmt: skip


@pytest.mark.parametrize(("wide", "narrow"), NEEDED)
def test_a_rule_that_reaches_beyond_another_is_not_remarked(wide, narrow):
    assert remarks_on_narrow(wide, narrow) == []


@pytest.mark.parametrize("act", ["clear", "mask"])
def test_a_rule_that_is_always_denied_is_remarked(act):
    assert remarks_on_narrow(DENY, {"role": "x", "act": act}) == [OVERRIDDEN]
    assert remarks_on_narrow(DENY, {"act": act}) == [OVERRIDDEN]


def test_of_two_equal_rules_the_later_is_superfluous():
    assert remarks(replace(WIDE, id="A"), replace(WIDE, id="B")) == [("B", "adds nothing to A")]
    three = [replace(WIDE, id=name) for name in "ABC"]
    assert remarks(*three) == [("B", "adds nothing to A"), ("C", "adds nothing to A"), ("C", "adds nothing to B")]


TERRITORIAL = ("unknown", "own", "sub", "within", "sup", "located", "other", "case")


@pytest.mark.parametrize("level", ["ENTERPRISE", "PERSON", "PUBLIC"])
@pytest.mark.parametrize("rel", TERRITORIAL)
def test_a_territorial_rule_for_those_without_territory_is_remarked(level, rel):
    rule = replace(WIDE, level=level, rel=rel)
    text = f"a subject of level {level} has no territory, so it never applies"
    assert remarks(rule) == [("WIDE", text)]
    assert remarks(replace(rule, level="COUNTY")) == []


@pytest.mark.parametrize("rel", ["any", "owner", "holder"])
def test_other_relations_do_without_a_territory(rel):
    assert remarks(replace(WIDE, level="PUBLIC", rel=rel)) == []


def test_a_class_that_no_field_has_is_remarked():
    classes = {name: cls for name, cls in CLASSES.items() if cls != "RESTRICTED"}
    found = remarks(replace(WIDE, obj="RESTRICTED"), classes=classes)
    assert found[0] == ("WIDE", "no field has the class RESTRICTED")
    assert {text for _, text in found[1:]} == {"declared, but without a class in this revision: closed"}
    # A field is named by its coordinate, whether it has a class or not.
    assert all(rule != "WIDE" for rule, _ in remarks(replace(WIDE, obj="Project.name"), classes={}))
