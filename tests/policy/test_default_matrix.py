"""What the shipped revision says, in rows that a policy officer can read; and its grid against `enforce()`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from random import Random
from typing import Any

import pytest

from policy.decide import Snapshot, build_snapshot
from policy.lint import WITHOUT_TERRITORY
from policy.revision import load_default
from policy.row import Row
from policy.subject import PUBLIC_SUBJECT, Country, Level, NoTerritory, Subject, territory_of
from schema.declare import Sharing
from schema.predicate import ALWAYS, NEVER
from tests.policy.cells import objects, of_entity, parsed_once, registry
from tests.policy.reference import permitted


@cache
def default() -> Snapshot:
    return build_snapshot(load_default(), registry())


def officer(kind: str, code: str, **more) -> Subject:
    if code == "000000":
        return Subject("x", Level.MINISTRY, kind, Country(), dept=f"{kind}-{code}", **more)
    level = Level.PROVINCE if code[2:] == "0000" else Level.CITY if code[4:] == "00" else Level.COUNTY
    return Subject("x", level, kind, territory_of([code]), dept=f"{kind}-{code}", **more)


CASE = {"roles": ("case_handler",), "purpose": "CASE", "case_no": "AJ-1"}
WHO = {
    "ministry housing": officer("HOUSING", "000000"),
    "province housing 420000": officer("HOUSING", "420000"),
    "city housing 420100": officer("HOUSING", "420100"),
    "county housing 420102": officer("HOUSING", "420102"),
    "county agency 420102": officer("SUPERVISION_AGENCY", "420102"),
    "county case handler 420102": officer("HOUSING", "420102", **CASE),
    "case handler without purpose": officer("HOUSING", "420102", **{**CASE, "purpose": None}),
    "case handler on another case": officer("HOUSING", "420102", **{**CASE, "case_no": "AJ-2"}),
    "ministry case handler": officer("HOUSING", "000000", **CASE),
    "province planning 420000": officer("PLANNING", "420000"),
    "county emergency 420102": officer("EMERGENCY", "420102"),
    "province police 420000": officer("PUBLIC_SECURITY", "420000"),
    "city fire 420100": officer("FIRE", "420100"),
    "city transport 420100": officer("TRANSPORT", "420100"),
    "ministry audit": officer("AUDIT", "000000"),
    "province data authority 420000": officer("DATA_AUTH", "420000"),
    "its enterprise": Subject("x", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise="E1"),
    "another enterprise": Subject("x", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise="E2"),
    "the person": Subject("x", Level.PERSON, "PERSON", NoTerritory(), person="P1"),
    "another person": Subject("x", Level.PERSON, "PERSON", NoTerritory(), person="P2"),
    "the public": PUBLIC_SUBJECT,
}
HELD: dict[str, Any] = {"holder_uscc": "E1", "holder_person": "P1", "case_no": "AJ-1"}
COUNTY = Row("420102", "420102", "HOUSING-420102", **HELD)
PROVINCIAL = Row("420000", "420102", "HOUSING-420000", **HELD)
WHERE = {
    "own county": COUNTY,
    "own county, unpublished": replace(COUNTY, sens=3),
    "own county, unpublished major accident": replace(COUNTY, sens=6),
    "own county, sealed": replace(COUNTY, sens=9),
    "its province": PROVINCIAL,
    "its province, unpublished": replace(PROVINCIAL, sens=3),
    "another county of the city": replace(COUNTY, manage="420103", site="420103", owner_dept="HOUSING-420103"),
    "another province": Row("430100", "430100", "HOUSING-430100", **HELD),
    "managed elsewhere, site in the county": Row("660000", "420102", "HOUSING-660000", **HELD),
    "the ministry": Row("000000", "110000", "HOUSING-000000", **HELD),
    "unresolved": Row("999999", "420102", "HOUSING-420102", **HELD),
    "unresolved, of nobody": Row("999999", "420102", "-", **HELD),
}

NAME, NODE, AREA, PLACE = "Project.name", "Project.dataLevel", "Project.__row__", "Project.location"
LOCAL, ID_NO, BIRTH = "Project.localProjectId", "SafetyManagerCertificate.idNo", "SafetyManagerCertificate.birthYear"
CERT_NAME, PHOTO, HAZARD = "SafetyManagerCertificate.name", "SafetyManagerCertificate.photo", "Finding.description"
EXPECTED = [
    # who, what, where, what is seen
    ("the public", NAME, "own county", "clear"),
    ("the public", NAME, "own county, unpublished", "nothing"),
    ("the public", NAME, "unresolved", "nothing"),
    ("the public", NODE, "own county", "nothing"),
    ("the public", ID_NO, "own county", "nothing"),
    ("the public", "Finding.__row__", "own county", "nothing"),
    ("ministry housing", AREA, "own county, unpublished major accident", "clear"),
    ("ministry housing", AREA, "own county, sealed", "nothing"),
    ("ministry housing", AREA, "unresolved, of nobody", "clear"),
    ("ministry housing", PLACE, "another province", "clear"),
    ("ministry housing", ID_NO, "own county", "mask"),
    ("ministry housing", LOCAL, "own county", "nothing"),
    ("ministry housing", LOCAL, "the ministry", "clear"),
    ("ministry case handler", ID_NO, "own county", "clear"),
    ("province housing 420000", NODE, "another province", "clear"),
    ("province housing 420000", PLACE, "own county", "clear"),
    ("province housing 420000", PLACE, "own county, unpublished", "clear"),
    ("province housing 420000", PLACE, "own county, unpublished major accident", "nothing"),
    ("province housing 420000", PLACE, "managed elsewhere, site in the county", "clear"),
    ("province housing 420000", PLACE, "another province", "nothing"),
    ("province housing 420000", PLACE, "the ministry", "mask"),
    ("province housing 420000", ID_NO, "another province", "mask"),
    ("province housing 420000", CERT_NAME, "another province", "mask"),
    ("province housing 420000", PHOTO, "another province", "nothing"),
    ("province housing 420000", "Person.mobile", "another province", "nothing"),
    ("province housing 420000", LOCAL, "its province", "clear"),
    ("province housing 420000", LOCAL, "own county", "nothing"),
    ("city housing 420100", PLACE, "own county", "clear"),
    ("city housing 420100", PLACE, "its province", "mask"),
    ("city housing 420100", PLACE, "managed elsewhere, site in the county", "mask"),
    ("city housing 420100", ID_NO, "another province", "nothing"),
    ("county housing 420102", ID_NO, "own county", "mask"),
    ("county housing 420102", ID_NO, "its province", "mask"),
    ("county housing 420102", ID_NO, "another county of the city", "nothing"),
    ("county housing 420102", PLACE, "its province", "nothing"),
    ("county housing 420102", PLACE, "managed elsewhere, site in the county", "mask"),
    ("county housing 420102", "Person.mobile", "managed elsewhere, site in the county", "nothing"),
    ("county housing 420102", NODE, "another county of the city", "clear"),
    ("county housing 420102", NODE, "its province, unpublished", "nothing"),
    ("county housing 420102", PLACE, "own county, unpublished major accident", "clear"),
    ("county housing 420102", PLACE, "own county, sealed", "clear"),
    ("county housing 420102", PLACE, "unresolved", "clear"),
    ("county housing 420102", ID_NO, "unresolved", "mask"),
    ("county housing 420102", PLACE, "unresolved, of nobody", "nothing"),
    ("county housing 420102", LOCAL, "own county", "clear"),
    ("county housing 420102", "Department.contactMobile", "own county", "nothing"),
    ("county agency 420102", PLACE, "own county", "clear"),
    ("county agency 420102", LOCAL, "own county", "nothing"),
    ("county agency 420102", PLACE, "own county, sealed", "nothing"),
    ("county case handler 420102", ID_NO, "own county", "clear"),
    ("county case handler 420102", ID_NO, "its province", "mask"),
    ("county case handler 420102", ID_NO, "another county of the city", "nothing"),
    ("case handler without purpose", ID_NO, "own county", "mask"),
    ("case handler on another case", ID_NO, "own county", "mask"),
    ("province planning 420000", NODE, "another province", "clear"),
    ("province planning 420000", PLACE, "own county", "nothing"),
    ("province planning 420000", ID_NO, "own county", "mask"),
    ("county emergency 420102", HAZARD, "own county", "clear"),
    ("county emergency 420102", HAZARD, "own county, unpublished", "nothing"),
    ("county emergency 420102", HAZARD, "own county, unpublished major accident", "clear"),
    ("county emergency 420102", HAZARD, "another county of the city", "nothing"),
    ("county emergency 420102", PLACE, "own county", "nothing"),
    ("county emergency 420102", ID_NO, "own county", "nothing"),
    ("province police 420000", NODE, "own county", "clear"),
    ("province police 420000", ID_NO, "own county", "nothing"),
    ("city fire 420100", NODE, "own county", "clear"),
    ("city fire 420100", PLACE, "own county", "nothing"),
    ("city transport 420100", NAME, "own county", "clear"),
    ("city transport 420100", NODE, "own county", "nothing"),
    ("ministry audit", NAME, "own county", "clear"),
    ("ministry audit", NODE, "own county", "nothing"),
    ("province data authority 420000", NODE, "own county", "clear"),
    ("province data authority 420000", PLACE, "own county", "nothing"),
    ("its enterprise", PLACE, "another province", "clear"),
    ("its enterprise", ID_NO, "another province", "clear"),
    ("its enterprise", PLACE, "own county, unpublished", "nothing"),
    ("its enterprise", LOCAL, "own county", "nothing"),
    ("another enterprise", PLACE, "own county", "nothing"),
    ("another enterprise", NAME, "own county", "clear"),
    ("the person", ID_NO, "own county", "clear"),
    ("the person", "Person.mobile", "own county", "clear"),
    ("another person", ID_NO, "own county", "nothing"),
    ("another person", "Person.__row__", "own county", "nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("who", "what", "where", "expected"), EXPECTED)
def test_an_officer_s_table(who, what, where, expected):
    decision = default().decide(WHO[who], 0)
    row = of_entity(WHERE[where], what)
    seen = [act for act in ("clear", "mask") if decision.check(what, act, row)]
    assert expected == (seen[0] if seen else "nothing")


@pytest.mark.parametrize("entity", ["Region", "Department", "Enterprise", "Person", "SafetyManagerCertificate"])
def test_the_ministry_sees_every_row_of_what_has_no_sensitivity(entity):
    assert default().decide(WHO["ministry housing"], 0).row(registry().entity(entity)).clear == ALWAYS


def test_without_token_nothing_but_public_classes_is_open():
    decision = default().decide(PUBLIC_SUBJECT, 0)
    classes = default().revision.classes
    for coordinate in objects():
        entity = registry().entity_of(coordinate)
        verdict = decision.row(entity) if coordinate == entity.row else decision.part(entity, coordinate)
        if classes[coordinate] != Sharing.PUBLIC or classes[entity.row] != Sharing.PUBLIC:
            assert (verdict.clear, verdict.masked) == (NEVER, NEVER), coordinate


def test_every_rule_says_why():
    assert all(len(rule.reason) >= 6 for rule in default().revision.rules)


TERRITORIES = {
    Level.MINISTRY: Country(), Level.PROVINCE: territory_of(["420000"]), Level.CITY: territory_of(["420100"]),
    Level.COUNTY: territory_of(["420102"]), Level.ENTERPRISE: NoTerritory(), Level.PERSON: NoTerritory(),
    Level.PUBLIC: NoTerritory(),
}  # fmt: skip
KINDS = (
    "HOUSING", "SUPERVISION_AGENCY", "PLANNING", "TRANSPORT", "EMERGENCY", "PUBLIC_SECURITY", "FIRE", "DISCIPLINE",
    "AUDIT", "DATA_AUTH", "OTHER_GOV", "ENTERPRISE",
)  # fmt: skip
REGIONS = (
    ("420102", "420102"), ("420103", "420103"), ("420100", "420102"), ("420000", "-"), ("430100", "420102"),
    ("430100", "430100"), ("000000", "110000"), ("999999", "420102"),
)  # fmt: skip


def subjects(level: Level) -> list[Subject]:
    """Every kind of a level, with what the rules can ask of a subject and without."""
    kinds = (str(level),) if level in WITHOUT_TERRITORY else KINDS
    plain = [Subject("x", level, kind, TERRITORIES[level], dept="D1") for kind in kinds]
    full: dict[str, Any] = {
        "roles": ("case_handler",),
        "purpose": "CASE",
        "case_no": "C1",
        "enterprise": "E1",
        "person": "P1",
    }
    return [subject for one in plain for subject in (one, replace(one, **full))]


def representatives() -> list[str]:
    """One object of every class and system, the fields that rules name, and the rows."""
    named = {rule.obj for rule in default().revision.rules} & set(objects())
    found: dict[object, str] = {}
    for coordinate, known in objects().items():
        key = default().revision.classes[coordinate], known.system, known.constants
        found.setdefault(key, coordinate)
    return sorted({*found.values(), *named, *(c for c in objects() if c.endswith(".__row__"))})


def rows() -> list[Row]:
    held = (("-", "-", "-", "-"), ("D1", "-", "-", "-"), ("-", "E1", "-", "C1"), ("-", "-", "P1", "-"))
    return [Row(manage, site, *rest, sens=sens) for (manage, site), rest, sens in product(REGIONS, held, (0, 3, 6, 9))]


def compare(snapshot: Snapshot, cells) -> int:
    enforcer, compared = parsed_once(snapshot.enforcer), 0
    for subject, obj, row in cells:
        decision = snapshot.decide(subject, 0)
        for act in ("clear", "mask"):
            meant = permitted(snapshot.revision, objects(), subject, obj, act, row, 0)
            assert meant == enforcer.enforce(subject, obj, act, row, 0) == decision.check(obj, act, row)
            compared += 1
    return compared


def test_a_sample_of_the_grid_equals_enforce():
    random = Random(7)
    everyone = [subject for level in Level for subject in subjects(level)]
    everything, anywhere = representatives(), rows()
    drawn = [(random.choice(everyone), random.choice(everything), random.choice(anywhere)) for _ in range(400)]
    cells = [(subject, obj, of_entity(row, obj)) for subject, obj, row in drawn]
    assert compare(build_snapshot(load_default(), registry()), cells) == 800


@pytest.mark.prove
@pytest.mark.parametrize("level", Level)
def test_the_whole_grid_equals_enforce(level):
    cells = [
        (subject, obj, row)
        for subject, obj in product(subjects(level), representatives())
        for row in {of_entity(row, obj): None for row in rows()}
    ]
    compared = compare(build_snapshot(load_default(), registry()), cells)
    print(f"\n{level}: {compared:,} comparisons of compiled, enforced and meant, none different")  # noqa: T201
    assert compared == 2 * len(cells)
