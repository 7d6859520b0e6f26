"""What is refused before publication, what is only remarked, and what a revision file may contain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy.compile import PolicyRefused
from policy.decide import build_snapshot
from policy.lint import RULES_AT_MOST, Severity, lint
from policy.revision import InvalidRevision, Revision, Rule, load_default, parse_revision
from policy.sync import differs, stale, unopened, with_proposals
from schema.declare import Governed
from schema.registry import Registry
from tests.policy.cells import objects, registry

RULE = Rule("R1", "*", "*", "*", "*", "*", "*", "PUBLIC", "clear", "any", "-", "0", "9", "-", "-", "allow", "试")
CLASSES = {coordinate: str(sharing) for coordinate, sharing in registry().proposals().items()}
KINDS = (("FIRE", "RELATED"),)


def revision_of(*rules: Rule, classes=None, kinds=KINDS) -> Revision:
    return Revision(rules, CLASSES if classes is None else classes, kinds)


REFUSED = {
    "effect in the wrong case": ({"eft": "Deny"}, "the effect Deny"),
    "effect unknown": ({"eft": "permit"}, "the effect permit"),
    "act unknown": ({"act": "read"}, "the act read"),
    "relation unknown": ({"rel": "near"}, "unknown relation near"),
    "level unknown": ({"level": "TOWN"}, "unknown level TOWN"),
    "level in the wrong case": ({"level": "County"}, "unknown level County"),
    "kind unknown": ({"kind": "ARMY"}, "unknown kind ARMY"),
    "system unknown": ({"system": "PAYROLL"}, "unknown system PAYROLL"),
    "class unknown": ({"obj": "SECRET"}, "neither a field of the schema nor a class"),
    "field unknown": ({"obj": "Project.nmae"}, "neither a field of the schema nor a class"),
    "type without field": ({"obj": "Project"}, "neither a field of the schema nor a class"),
    "wildcard as object": ({"obj": "*"}, "cannot stand in the column obj"),
    "relation to what belongs to no region": ({"obj": "Region.name", "rel": "within"}, "only `any`"),
    "sensitivities the wrong way round": ({"smin": "5", "smax": "3"}, "no sensitivity"),
    "sensitivity above nine": ({"smax": "10"}, "cannot stand in the column smax"),
    "window empty": ({"valid_from": "100", "valid_to": "100"}, "window"),
    "window the wrong way round": ({"valid_from": "200", "valid_to": "100"}, "window"),
    "window as a date": ({"valid_from": "2026-01-01"}, "cannot stand in the column valid_from"),
    "scope without agreement": ({"scope": "420000"}, "a scope belongs to"),
    "agreement without scope": ({"rel": "in"}, "a scope belongs to"),
    "scope that is no node": ({"rel": "in", "scope": "420000|420199"}, "420199 is no node"),
    "scope with the unresolved code": ({"rel": "in", "scope": "999999"}, "999999 is no node"),
    "scope as a prefix": ({"rel": "in", "scope": "42"}, "cannot stand in the column scope"),
    "agreement on what is restricted": ({"rel": "in", "scope": "420000", "obj": "RESTRICTED"}, "never opens"),
    "masked row": ({"obj": "Project.__row__", "act": "mask"}, "a row cannot be masked"),
    "expression as role": ({"role": "r.sub.id"}, "cannot stand in the column role"),
    "expression as department": ({"dept": "D1' or '1'=='1"}, "cannot stand in the column dept"),
    "pattern as object": ({"obj": "Project.*"}, "cannot stand in the column obj"),
    "call as purpose": ({"purpose": "eval(x)"}, "cannot stand in the column purpose"),
    "empty cell": ({"kind": ""}, "cannot stand in the column kind"),
    "no reason": ({"reason": ""}, "cannot stand in the column reason"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_rule_and_reason(case):
    changes, text = REFUSED[case]
    revision = revision_of(RULE, replace(RULE, **{"id": "BAD", **changes}))
    found = [finding for finding in lint(revision, registry()) if finding.rule == "BAD"]
    assert [finding.severity for finding in found] == [Severity.REFUSED]
    assert text in found[0].text
    with pytest.raises(PolicyRefused, match="BAD"):
        build_snapshot(revision, registry())


OTHERWISE_REFUSED = {
    "empty policy": (revision_of(), "rules.csv", "without rules"),
    "id used twice": (revision_of(RULE, replace(RULE, act="mask")), "R1", "used 2 times"),
    "too many rules": (
        revision_of(*(replace(RULE, id=f"R{i}") for i in range(RULES_AT_MOST + 1))), "rules.csv", "more than",
    ),
    "class of an unknown field": (
        revision_of(RULE, classes={**CLASSES, "Project.gone": "PUBLIC"}), "Project.gone", "does not have",
    ),
    "class unknown": (revision_of(RULE, classes={**CLASSES, "Project.name": "OPEN"}), "Project.name", "unknown class"),
    "kind that counts as itself": (
        revision_of(RULE, kinds=(("FIRE", "HR"), ("HR", "FIRE"))), "kinds.csv", "counts as itself",
    ),
    "kind that is no word": (revision_of(RULE, kinds=(("A-B", "HOUSING"),)), "kinds.csv", "A-B or HOUSING is no word"),
    "parent that is no word": (revision_of(RULE, kinds=(("FIRE", "9"),)), "kinds.csv", "FIRE or 9 is no word"),
    "kind unknown": (revision_of(RULE, kinds=(("ARMY", "HOUSING"),)), "kinds.csv", "unknown kind ARMY"),
}  # fmt: skip


@pytest.mark.parametrize("case", OTHERWISE_REFUSED)
def test_refused_as_a_whole(case):
    revision, rule, text = OTHERWISE_REFUSED[case]
    assert any(f.rule == rule and text in f.text and f.severity is Severity.REFUSED for f in lint(revision, registry()))


@pytest.mark.parametrize(
    "changes",
    [
        {"obj": "Project.__row__", "act": "mask", "eft": "deny"},
        {"obj": "Project.__row__"},
        {"obj": "Project.name", "act": "mask"},
        {"obj": "Region.name"},
        {"obj": "RESTRICTED", "rel": "in", "scope": "000000", "eft": "deny"},
        {"rel": "in", "scope": "420000|420100"},
        {"valid_from": "100"},
        {"valid_to": "100"},
        {"valid_from": "100", "valid_to": "101"},
        {"smin": "5", "smax": "5"},
        {"kind": "RELATED"},
        {"kind": "ENTERPRISE"},
        {"kind": "PERSON"},
        {"kind": "PUBLIC"},
        {"level": "COUNTY"},
        {"system": "SAFETY"},
        {"system": "SHARED"},
    ],
)
def test_what_a_rule_may_say(changes):
    revision = revision_of(replace(RULE, **{"role": "x", **changes}))
    assert [f for f in lint(revision, registry()) if f.severity is Severity.REFUSED] == []


def test_as_many_rules_as_there_may_be_are_not_too_many():
    most = [replace(RULE, id=f"R{i}", dept=f"D{i}") for i in range(RULES_AT_MOST)]
    # With one that is refused for another reason, none is compared with its neighbours.
    most[0] = replace(RULE, id="BAD", rel="near")
    assert [finding.rule for finding in lint(revision_of(*most), registry())] == ["BAD"]


def test_severities_are_written_out():
    assert [str(severity) for severity in Severity] == ["refused", "warning"]


def test_a_governed_entity_without_managing_region_is_refused():
    project = replace(registry().entity("Project"), governed=Governed(by="own", site="site"))
    broken = Registry({**registry().entities, "Project": project}, registry().values)
    assert "a governed entity without" in str(lint(revision_of(RULE), broken)[0])


WARNED = {
    "the same again": ({}, "adds nothing to R1"),
    "narrower in every column": (
        {"level": "COUNTY", "kind": "FIRE", "role": "x", "act": "mask", "rel": "own", "smin": "3", "valid_to": "9"},
        "adds nothing to R1",
    ),
    "always overridden": ({"id": "R0", "eft": "deny", "act": "mask"}, "is always overridden by R0"),
    "territory of those who have none": ({"level": "PUBLIC", "rel": "unknown"}, "never applies"),
}


@pytest.mark.parametrize("case", WARNED)
def test_remarked(case):
    changes, text = WARNED[case]
    found = lint(revision_of(RULE, replace(RULE, **{"id": "R2", **changes})), registry())
    assert any(text in finding.text and finding.severity is Severity.WARNING for finding in found)


@pytest.mark.parametrize(
    "changes",
    [{"rel": "owner"}, {"rel": "unknown"}, {"rel": "holder"}, {"eft": "deny", "act": "clear"}, {"obj": "SHARED"}],
)
def test_what_adds_something_is_not_remarked(changes):
    found = lint(revision_of(RULE, replace(RULE, **{"id": "R2", "level": "COUNTY", **changes})), registry())
    assert not [finding for finding in found if finding.rule == "R2"]


def test_a_declared_field_without_class_is_remarked_and_stays_closed():
    classes = {name: cls for name, cls in CLASSES.items() if name != "Project.name"}
    revision = revision_of(RULE, classes=classes)
    assert [f.rule for f in lint(revision, registry()) if "closed" in f.text] == ["Project.name"]
    assert unopened(revision, registry()) == ("Project.name",)
    assert with_proposals(revision, registry()).classes["Project.name"] == "PUBLIC"


def test_differences_are_sorted():
    gone = {f"Project.gone{n}": "PUBLIC" for n in range(30)}
    revision = revision_of(RULE, classes=gone)
    assert unopened(revision, registry()) == tuple(sorted(registry().proposals()))
    assert stale(revision, registry()) == tuple(sorted(gone))


def test_synchronising_keeps_what_the_revision_decided_and_drops_what_is_gone():
    revision = revision_of(RULE, classes={"Project.name": "RESTRICTED", "Project.gone": "PUBLIC"})
    assert stale(revision, registry()) == ("Project.gone",)
    assert differs(revision, registry()) == {"Project.name": ("RESTRICTED", "PUBLIC")}
    renewed = with_proposals(revision, registry())
    assert (renewed.classes["Project.name"], set(renewed.classes)) == ("RESTRICTED", set(objects()))
    assert renewed.id != revision.id


HEADER = "id,role,level,kind,dept,system,purpose,obj,act,rel,scope,smin,smax,valid_from,valid_to,eft,reason"
LINE = "R1,*,*,*,*,*,*,PUBLIC,clear,any,-,0,9,-,-,allow,试"
GOOD = (f"{HEADER}\n{LINE}\n", "obj,class\nProject.name,PUBLIC\n", "kind,counts_as\nFIRE,RELATED\n")


@pytest.mark.parametrize(
    ("changed", "old", "new", "message"),
    [
        (0, HEADER, f"p,{HEADER}", "rules.csv, line 1: the columns are"),
        (0, LINE, f"p,{LINE}", "rules.csv, line 2: 18 cells for 17 columns"),
        (0, LINE, f"{LINE}\n{LINE.replace('any', 'a b')}", "rules.csv, line 3: 'a b' cannot stand in the column rel"),
        (0, LINE, LINE.replace("试", '"试'), "rules.csv, line 2: unexpected end of data"),
        (0, LINE, LINE.replace("PUBLIC", "*"), "rules.csv, line 2: '*' cannot stand in the column obj"),
        (1, "PUBLIC", "PUBLIC\nProject.name,SHARED", "classes.csv, line 3: Project.name has a class already"),
        (1, "PUBLIC", "PUBLIC;", "classes.csv, line 2: 'PUBLIC;' cannot stand in the column class"),
        (2, "RELATED", "RELATED,x", "kinds.csv, line 2: 3 cells for 2 columns"),
        (2, "kind,counts_as\n", "", "kinds.csv, line 1: the columns are kind,counts_as"),
    ],
)
def test_a_file_is_refused_at_its_line(changed, old, new, message):
    texts = [text.replace(old, new) if i == changed else text for i, text in enumerate(GOOD)]
    with pytest.raises(InvalidRevision) as caught:
        parse_revision(*texts)
    assert message in str(caught.value)


def test_the_id_of_a_revision_is_its_content():
    one, other = parse_revision(*GOOD), parse_revision(*(text.replace("FIRE", "HR") for text in GOOD))
    assert one == parse_revision(*GOOD)
    assert one.id != other.id
    assert one.rules == (RULE,)


def test_the_default_revision_is_free_of_findings():
    assert [str(finding) for finding in lint(load_default(), registry())] == []
