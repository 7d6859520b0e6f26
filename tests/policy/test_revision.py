"""A revision as text and as content: what a cell may hold, what comes back, and what makes two revisions the same."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest

from policy.revision import COLUMNS, InvalidRevision, Revision, Rule, load_default, parse_revision, revision_texts

RULE = Rule("R1", "*", "*", "*", "*", "*", "*", "PUBLIC", "clear", "any", "-", "0", "9", "-", "-", "allow", "试")
CLASSES = {"Project.name": "PUBLIC", "Project.__row__": "SHARED"}
KINDS = (("FIRE", "RELATED"), ("FIRE", "HOUSING"))
WORDS = {"a", "A_b9", "HOUSING"}
NO_WORDS = {"", "9a", "_a", "a-b", "a b", "a\n", "é", "a.b", "**"}
ACCEPTED = {
    "id": {"A", "R1", "A-B-9"}, "role": WORDS | {"*"}, "level": WORDS | {"*"}, "kind": WORDS | {"*"},
    "dept": {"*", "JS420000-1", "A_B", "9"}, "system": WORDS | {"*"}, "purpose": {"*", "CASE", "A-1_B"},
    "obj": {"PUBLIC", "Project.name", "Project.__row__", "P9.a9B"}, "act": WORDS, "rel": WORDS,
    "scope": {"-", "420000", "420000|430100|440000"}, "smin": {"0", "9"}, "smax": {"0", "9"},
    "valid_from": {"-", "0", "1" * 15}, "valid_to": {"-", "0", "1" * 15}, "eft": WORDS, "reason": {"试", "a b, c"},
}  # fmt: skip
REFUSED = {
    "id": {"", "a", "A--B", "A-", "-A", "A_B"}, "role": NO_WORDS, "level": NO_WORDS, "kind": NO_WORDS,
    "dept": {"", "a", "-A", "A B", "*A"}, "system": NO_WORDS, "purpose": {"", "case", "-A", "A B", "*A"},
    "obj": {"", "*", "project name", "Project.", "Project.__row", "Project._a", "Project.Name", "a.b.c", "9a"},
    "act": {"*", *NO_WORDS}, "rel": {"*", *NO_WORDS},
    "scope": {"", "*", "42", "420000|", "|420000", "420000|42", "4200000", "420000,430000"},
    "smin": {"", "10", "-", "-1", "a", "½"}, "smax": {"", "10", "-", "-1", "a"},
    "valid_from": {"", "*", "1" * 16, "-1", "1.5"}, "valid_to": {"", "*", "1" * 16, "-1", "1.5"},
    "eft": {"*", *NO_WORDS}, "reason": {"", "a\nb", "a\tb", "\0"},
}  # fmt: skip


@pytest.mark.parametrize("column", COLUMNS)
def test_a_cell_holds_what_its_column_says(column):
    pattern = COLUMNS[column]
    assert {cell for cell in ACCEPTED[column] | REFUSED[column] if pattern.fullmatch(cell)} == ACCEPTED[column]


def test_every_column_of_a_rule_has_a_pattern_in_its_place():
    assert RULE.values == astuple(RULE)[:-1]
    assert [*COLUMNS] == [*ACCEPTED] == [*REFUSED]


def test_texts_come_back_as_the_same_revision():
    revision = Revision((RULE, replace(RULE, id="R0", reason='a "b", c')), CLASSES, KINDS)
    texts = revision_texts(revision)
    assert texts[1:] == (
        "obj,class\nProject.__row__,SHARED\nProject.name,PUBLIC\n",
        "kind,counts_as\nFIRE,HOUSING\nFIRE,RELATED\n",
    )
    read = parse_revision(*texts)
    assert (read.rules, read.classes, read.kinds, read.id) == (
        revision.rules, revision.classes, revision.kinds, revision.id,
    )  # fmt: skip


def test_a_refusal_says_where():
    with pytest.raises(InvalidRevision) as caught:
        parse_revision("", "", "")
    assert (caught.value.file, caught.value.line) == ("rules.csv", 1)
    assert caught.value.reason.startswith("the columns are id,role,")
    rules, classes, kinds = revision_texts(Revision((RULE,), CLASSES, KINDS))
    with pytest.raises(InvalidRevision) as caught:
        parse_revision(rules, classes + "Project.x,9\n", kinds)
    assert str(caught.value) == "classes.csv, line 4: '9' cannot stand in the column class"
    with pytest.raises(InvalidRevision, match=r"classes\.csv, line 4: 'a b' cannot stand in the column obj"):
        parse_revision(rules, classes + "a b,PUBLIC\n", kinds)
    with pytest.raises(InvalidRevision, match=r"kinds\.csv, line 4: '9' cannot stand in the column kind"):
        parse_revision(rules, classes, kinds + "9,A\n")


def test_a_class_may_be_said_twice():
    rules, classes, kinds = revision_texts(Revision((RULE,), CLASSES, KINDS))
    assert parse_revision(rules, classes + "Project.name,PUBLIC\n", kinds).classes == CLASSES


def test_equal_content_in_any_order_is_the_same_revision():
    other = replace(RULE, id="R0")
    one = Revision((RULE, other), CLASSES, KINDS)
    turned = Revision((other, RULE), dict(reversed(CLASSES.items())), tuple(reversed(KINDS)))
    assert one == turned
    assert hash(one) == hash(turned)
    assert [*one.rules, *one.classes, *one.kinds] == [*turned.rules, *turned.classes, *turned.kinds]
    assert [rule.id for rule in one.rules] == ["R0", "R1"]
    assert "R0" not in repr(one)
    assert "Project.name" not in repr(one)
    assert "FIRE" not in repr(one)


@pytest.mark.parametrize(
    "other",
    [
        Revision((replace(RULE, reason="another"),), CLASSES, KINDS),
        Revision((RULE,), {**CLASSES, "Project.name": "SHARED"}, KINDS),
        Revision((RULE,), CLASSES, KINDS[:1]),
        Revision((RULE, replace(RULE, id="R0")), CLASSES, KINDS),
    ],
)
def test_other_content_is_another_revision(other):
    assert Revision((RULE,), CLASSES, KINDS) != other


def test_a_revision_cannot_be_changed():
    revision = Revision((RULE,), CLASSES, KINDS)
    with pytest.raises(TypeError):
        revision.classes["Project.name"] = "SHARED"  # type: ignore[index]


def test_the_shipped_revision_is_kept_as_it_is_written():
    assert parse_revision(*revision_texts(load_default())) == load_default()
    # Digest of sorted content: a database keeps it, so it may not change with the program.
    assert Revision((RULE,), CLASSES, KINDS).id == ("3f7eb1dd726110f49755ffc55c8b2e740eaecb30b4175201d476534a8b64b353")
