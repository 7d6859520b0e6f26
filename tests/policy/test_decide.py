"""Snapshots and decisions: intervals, sharing, closedness, constant verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy.compile import PolicyRefused
from policy.decide import CLOSED, DECISIONS_AT_MOST, END_OF_TIME, Decision, Snapshot, Verdict, build_snapshot
from policy.revision import Revision, Rule, load_default
from policy.row import Row
from policy.subject import PUBLIC_SUBJECT, Country, Level, NoTerritory, Subject, territory_of
from schema.officer import Officer
from schema.predicate import ALWAYS, NEVER, Eq, Not
from tests.policy.cells import objects, registry

MINISTRY = Subject("m", Level.MINISTRY, "HOUSING", Country(), dept="JS000000-1")
PROVINCE = Subject("p", Level.PROVINCE, "HOUSING", territory_of(["420000"]), dept="JS420000-1")
RULE = Rule("R1", "*", "*", "*", "*", "*", "*", "PUBLIC", "clear", "any", "-", "0", "9", "-", "-", "allow", "试")
CLASSES = dict.fromkeys(objects(), "PUBLIC")


def snapshot_of(*rules: Rule, classes=CLASSES) -> Snapshot:
    return build_snapshot(Revision(tuple(replace(r, id=f"R{i}") for i, r in enumerate(rules)), classes, ()), registry())


def verdicts(decision: Decision):
    for entity in registry().entities.values():
        yield decision.row(entity)
        yield from (decision.field(entity, field) for field in entity.fields.values())


def test_an_empty_policy_is_refused():
    with pytest.raises(PolicyRefused, match="without rules"):
        build_snapshot(Revision((), CLASSES, ()), registry())


def test_a_policy_whose_only_rule_denies_opens_nothing():
    decision = snapshot_of(replace(RULE, eft="deny")).decide(MINISTRY, 0)
    assert {verdict.clear for verdict in verdicts(decision)} == {NEVER}


def test_an_object_without_class_or_rule_is_closed():
    decision = snapshot_of(RULE, classes={"Region.__row__": "PUBLIC"}).decide(MINISTRY, 0)
    region = registry().entity("Region")
    assert decision.row(region).clear == ALWAYS
    assert decision.field(region, region.fields["name"]) == CLOSED
    assert decision.part(region, "Region.noSuchField") == CLOSED
    assert not decision.check("NoSuchType.name", "clear", Row())


def test_a_rule_may_name_an_object_that_has_no_class():
    named = replace(RULE, obj="Region.name")
    decision = snapshot_of(RULE, named, classes={"Region.__row__": "PUBLIC"}).decide(MINISTRY, 0)
    region = registry().entity("Region")
    assert decision.field(region, region.fields["name"]).provable_clear


@pytest.mark.parametrize("entity", ["Project", "Person", "SafetyManagerCertificate", "Finding", "Region"])
@pytest.mark.parametrize("relations", [("any", "unknown"), ("within", "unknown"), ("own", "sub", "unknown")])
def test_for_the_ministry_everything_is_a_constant(entity, relations):
    rules = [replace(RULE, rel=rel) for rel in relations]
    if entity == "Region":
        rules = [RULE]
    decision = snapshot_of(*rules).decide(MINISTRY, 0)
    assert decision.row(registry().entity(entity)).clear == ALWAYS


def test_the_relations_of_a_partition_cover_everything():
    parts = ("own", "sub", "sup", "located", "other", "unknown")
    decision = snapshot_of(*(replace(RULE, rel=rel) for rel in parts)).decide(PROVINCE, 0)
    assert decision.row(registry().entity("Project")).clear == ALWAYS


def test_any_leaves_out_what_is_unresolved():
    decision = snapshot_of(RULE).decide(PROVINCE, 0)
    assert decision.row(registry().entity("Project")).clear == Not(Eq("@manage", "999999"))


def test_what_belongs_to_no_region_is_open_only_to_rules_for_any():
    department = registry().entity("Department")
    assert snapshot_of(replace(RULE, rel="within")).decide(MINISTRY, 0).row(department).clear == NEVER
    assert snapshot_of(RULE).decide(PUBLIC_SUBJECT, 0).row(department).clear == ALWAYS


def test_verdicts_suppose_the_row():
    rules = (replace(RULE, rel="within"), replace(RULE, rel="own", obj="CONDITIONAL"))
    classes = {**CLASSES, "Project.location": "CONDITIONAL"}
    decision = snapshot_of(*rules, classes=classes).decide(PROVINCE, 0)
    project = registry().entity("Project")
    assert decision.row(project).clear == Eq("@manage2", "42")
    assert decision.field(project, project.fields["name"]).clear == ALWAYS
    assert decision.field(project, project.fields["location"]).clear == Eq("@manage", "420000")


def test_the_key_and_the_id_carry_the_verdict_of_the_row():
    project = registry().entity("Project")
    seen = snapshot_of(RULE).decide(PROVINCE, 0)
    assert seen.field(project, project.key) == Verdict(ALWAYS, ALWAYS, ("R0",))
    hidden = snapshot_of(replace(RULE, level="COUNTY")).decide(PROVINCE, 0)
    assert hidden.field(project, project.key) == CLOSED


def test_a_row_is_never_masked():
    decision = snapshot_of(RULE).decide(PROVINCE, 0)
    assert decision.row(registry().entity("Project")).masked == NEVER


def test_a_link_is_as_open_as_the_attribute_that_holds_its_key():
    certificate = registry().entity("SafetyManagerCertificate")
    classes = {**CLASSES, "SafetyManagerCertificate.personNo": "SHARED"}
    decision = snapshot_of(RULE, replace(RULE, obj="SHARED", act="mask"), classes=classes).decide(PROVINCE, 0)
    assert decision.field(certificate, certificate.fields["personNo"]).masked == ALWAYS
    assert decision.field(certificate, certificate.fields["person"]).masked == NEVER
    assert decision.field(certificate, certificate.fields["enterprise"]).clear == ALWAYS


def test_the_rules_that_took_part_are_named():
    rules = (RULE, replace(RULE, level="COUNTY"), replace(RULE, obj="SHARED"), replace(RULE, rel="own", eft="deny"))
    assert snapshot_of(*rules).decide(PROVINCE, 0).row(registry().entity("Project")).rules == ("R0", "R3")


def test_windows_are_half_open_and_split_time():
    snapshot = snapshot_of(replace(RULE, valid_from="100", valid_to="200"))
    assert [snapshot.interval(now) for now in (0, 99, 100, 199, 200)] == [
        (0, 100), (0, 100), (100, 200), (100, 200), (200, END_OF_TIME),
    ]  # fmt: skip
    project = registry().entity("Project")
    open_at = [now for now in (0, 99, 100, 199, 200) if snapshot.decide(PROVINCE, now).row(project).clear != NEVER]
    assert open_at == [100, 199]
    with pytest.raises(ValueError, match="UTC seconds"):
        snapshot.interval(-1)


def test_equal_rights_share_one_decision():
    snapshot = snapshot_of(RULE)
    other = replace(PROVINCE, id="someone else", officer=Officer("110101199003070000", "张三", "住建局"))
    assert snapshot.decide(PROVINCE, 0) is snapshot.decide(other, 5)
    assert snapshot.decide(PROVINCE, 0) is not snapshot.decide(replace(other, case_no="C1"), 5)


def test_a_shared_decision_knows_nobody():
    known = replace(PROVINCE, officer=Officer("110101199003070000", "张三", "住建局"))
    shared = snapshot_of(RULE).decide(known, 0)._rights.parts["r_sub"]
    assert (shared.id, shared.officer, shared.dept) == ("", None, PROVINCE.dept)


def test_a_decision_names_its_revision_and_interval():
    snapshot = snapshot_of(RULE)
    decision = snapshot.decide(PROVINCE, 7)
    assert (decision.revision, decision.interval) == (snapshot.revision.id, (0, END_OF_TIME))


def test_nothing_is_decided_by_the_order_of_rules():
    revision = load_default()
    turned = Revision(tuple(reversed(revision.rules)), revision.classes, revision.kinds)
    assert turned.id == revision.id
    one, other = (build_snapshot(r, registry()).decide(PROVINCE, 0) for r in (revision, turned))
    assert list(verdicts(one)) == list(verdicts(other))


def test_a_subject_of_many_regions_gets_one_predicate_per_width():
    codes = ["420000", *(f"4301{n:02}" for n in range(1, 30)), *(f"44{n:02}00" for n in range(1, 20))]
    subject = replace(PROVINCE, territory=territory_of(codes))
    decision = build_snapshot(load_default(), registry()).decide(subject, 0)
    inspection = registry().entity("SafetyInspection")
    assert len(str(decision.row(inspection).clear)) < 1500


def test_without_territory_no_territorial_relation_holds():
    parts = ("own", "sub", "within", "sup", "located", "other", "unknown", "case")
    subject = Subject("e", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise="E1", case_no="C1")
    decision = snapshot_of(*(replace(RULE, rel=rel) for rel in parts)).decide(subject, 0)
    assert {verdict.clear for verdict in verdicts(decision)} == {NEVER}


CITY = Subject("c", Level.CITY, "HOUSING", territory_of(["420100"]), dept="JS420100-1")
SEEN_FROM_A_CITY = {"sup", "other", "own", "sub", "located"}
"""Relations that records of the province may have to the city below it."""


def covered(subject: Subject, codes: tuple[str, ...], relations: set[str]) -> bool:
    decision = snapshot_of(*(replace(RULE, rel=rel) for rel in sorted(relations))).decide(subject, 0)
    return decision.covered("Project.name", "clear", codes)


@pytest.mark.parametrize("missing", sorted(SEEN_FROM_A_CITY))
def test_a_source_above_is_covered_only_if_every_relation_is_open(missing):
    assert covered(CITY, ("420000",), SEEN_FROM_A_CITY)
    assert not covered(CITY, ("420000",), SEEN_FROM_A_CITY - {missing})


def test_a_source_is_covered_in_all_its_regions_or_not_at_all():
    assert covered(CITY, ("420100",), {"own", "sub"})
    assert covered(CITY, ("420102",), {"sub"})
    assert covered(replace(CITY, territory=territory_of(["420102"])), ("420102",), {"own"})
    assert covered(CITY, ("430000", "440000"), {"other"})
    assert not covered(CITY, ("430000", "420100"), {"other"})
    assert not covered(CITY, (), SEEN_FROM_A_CITY)
    assert covered(PUBLIC_SUBJECT, ("430000",), {"any"})


def test_what_only_its_owner_or_holder_could_open_is_not_covered():
    assert not covered(replace(CITY, enterprise="-", person="-"), ("430000",), {"owner", "holder"})


def test_decisions_least_recently_asked_for_are_forgotten():
    snapshot = snapshot_of(RULE)
    kept, forgotten = snapshot.decide(CITY, 0), snapshot.decide(PROVINCE, 0)
    for n in range(DECISIONS_AT_MOST - 2):
        snapshot.decide(replace(CITY, dept=f"D{n}"), 0)
    assert snapshot.decide(CITY, 0) is kept
    snapshot.decide(replace(CITY, dept="one too many"), 0)
    assert snapshot.decide(CITY, 0) is kept
    assert snapshot.decide(PROVINCE, 0) is not forgotten


def test_boundaries_are_in_order_of_time():
    times = (1 << 40, 77, 5_000_000, 12_345, 8, 1)
    snapshot = snapshot_of(*(replace(RULE, valid_from=str(time)) for time in times), replace(RULE, valid_to="100"))
    assert snapshot.boundaries == (0, *sorted((*times, 100)))
    assert snapshot.interval(90) == (77, 100)


def test_time_ends_after_every_window():
    snapshot = snapshot_of(replace(RULE, valid_to="9" * 15))
    assert snapshot.interval(END_OF_TIME - 1) == (END_OF_TIME - 1, END_OF_TIME)
    with pytest.raises(ValueError, match="UTC seconds"):
        snapshot.interval(END_OF_TIME)


def test_a_verdict_is_printed_with_its_rules():
    assert str(CLOSED) == "clear never; masked never; rules none"
    assert str(Verdict(NEVER, ALWAYS, ("R1", "R2"))) == "clear never; masked always; rules R1, R2"


def test_a_snapshot_holds_its_revision_and_its_schema():
    snapshot = snapshot_of(RULE)
    assert (snapshot.revision.rules, snapshot.registry) == ((replace(RULE, id="R0"),), registry())


def test_everything_refused_is_named_at_once():
    with pytest.raises(PolicyRefused) as caught:
        snapshot_of(replace(RULE, rel="near"), replace(RULE, act="read"))
    assert str(caught.value) == "R0: unknown relation near; R1: the act read is neither clear nor mask"


def test_the_ids_of_a_decision_s_rules_are_sorted():
    masked = [replace(RULE, act="mask", smin=str(n)) for n in range(9)]
    decision = snapshot_of(*masked, RULE, replace(RULE, rel="unknown")).decide(PROVINCE, 0)
    rules = decision.part(registry().entity("Project"), "Project.name").rules
    assert len(rules) > 9
    assert list(rules) == sorted(set(rules))
