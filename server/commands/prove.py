"""The grid on which compiled decisions are compared with `enforcer.enforce`, for any revision."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice, product
from typing import TYPE_CHECKING

from policy.enforcer import policy_objects
from policy.row import Row
from policy.subject import Country, Level, NoTerritory, Prefixes, Subject, Territory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from policy.decide import Snapshot

COUNTY, CITY, PROVINCE, ELSEWHERE = "420106", "420100", "420000", "430100"
OWN_DEPT, OTHER_DEPT, OWN_CASE = "AJ420106-1", "AJ420106-2", "C-1"
OWN_FIRM, OWN_PERSON = "91000000MADEM002XR", "Pabcdefghijklmnopqrstuvwx"
_TERRITORIES: dict[Level, Territory] = {
    Level.MINISTRY: Country(),
    Level.PROVINCE: Prefixes((PROVINCE,)),
    Level.CITY: Prefixes((CITY,)),
    Level.COUNTY: Prefixes((COUNTY,)),
}


@dataclass(frozen=True, slots=True)
class Grid:
    """What is combined with what: subjects, objects, rows, at one moment in each interval of validity."""

    subjects: tuple[Subject, ...]
    objects: tuple[str, ...]
    rows: tuple[Row, ...]
    moments: tuple[int, ...]


def grid(snapshot: Snapshot) -> Grid:
    """One representative of everything that the revision's rules tell apart."""
    rules = snapshot.revision.rules
    kinds = _kinds(snapshot)
    roles = tuple(sorted({rule.role for rule in rules} - {"*"}))
    purposes = (None, *sorted({rule.purpose for rule in rules} - {"*"}))
    subjects = [
        subject
        for level, territory in _TERRITORIES.items()
        for kind in kinds
        for subject in _of_office(level, kind, territory, roles, purposes)
    ]
    subjects += [
        Subject("s", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise=OWN_FIRM),
        Subject("s", Level.PERSON, "PERSON", NoTerritory(), person=OWN_PERSON),
        Subject("s", Level.PUBLIC, "PUBLIC", NoTerritory()),
    ]
    return Grid(tuple(subjects), _objects(snapshot), _rows(snapshot), snapshot.boundaries)


def _kinds(snapshot: Snapshot) -> tuple[str, ...]:
    """One kind of office of each set of kinds that rules may name for it, and one that no rule names."""
    counted = snapshot.revision.kinds
    named = {rule.kind for rule in snapshot.revision.rules} - {"*", *(level.value for level in Level)}
    representatives: dict[frozenset[str], str] = {frozenset(): "NO_RULE_NAMES_IT"}
    for kind in sorted(named | {kind for kind, _ in counted}):
        reached = {kind}
        for _ in counted:
            reached |= {parent for child, parent in counted if child in reached}
        representatives.setdefault(frozenset(reached & named), kind)
    return tuple(representatives.values())


def _of_office(
    level: Level, kind: str, territory: Territory, roles: tuple[str, ...], purposes: tuple[str | None, ...]
) -> Iterator[Subject]:
    office = Subject("s", level, kind, territory, dept=OWN_DEPT)
    yield office
    for purpose, case_no in product(purposes, (None, OWN_CASE)) if roles else ():
        yield replace(office, roles=roles, purpose=purpose, case_no=case_no)


def _objects(snapshot: Snapshot) -> tuple[str, ...]:
    """An object of each class, system and form of governance, and each that a rule names."""
    classes, named = snapshot.revision.classes, {rule.obj for rule in snapshot.revision.rules}
    representatives: dict[object, str] = {}
    for coordinate, thing in policy_objects(snapshot.registry).items():
        own = coordinate if coordinate in named else None
        key = own, classes.get(coordinate), thing.system, thing.governed, thing.constants
        representatives.setdefault(key, coordinate)
    return tuple(sorted(representatives.values()))


def _rows(snapshot: Snapshot) -> tuple[Row, ...]:
    """A row of each relation, owner, holder, case and sensitivity that rules can tell apart."""
    bounds = {int(rule.smin) for rule in snapshot.revision.rules} | {
        int(rule.smax) + 1 for rule in snapshot.revision.rules if rule.smax != "9"
    }
    scopes = {code for rule in snapshot.revision.rules if rule.scope != "-" for code in rule.scope.split("|")}
    managed = sorted({COUNTY, CITY, PROVINCE, ELSEWHERE, "000000", "999999", "420102", *scopes})
    located = [(manage, manage) for manage in managed] + [(ELSEWHERE, COUNTY), ("999999", COUNTY), (COUNTY, ELSEWHERE)]
    belonging: tuple[dict[str, str], ...] = (
        {},
        {"owner_dept": OWN_DEPT},
        {"owner_dept": OTHER_DEPT},
        {"holder_uscc": OWN_FIRM},
        {"holder_person": OWN_PERSON},
        {"case_no": OWN_CASE},
        {"case_no": "C-2"},
    )
    return tuple(
        Row(manage=manage, site=site, sens=sens, **own)
        for (manage, site), own, sens in product(located, belonging, sorted(bounds | {0}))
    )


def sampled(cells: Grid, rows: int) -> Iterator[tuple[Subject, str, tuple[Row, ...]]]:
    """Each subject and object with so many rows of the grid, the same in every run; together they meet all rows."""
    every = cycle(cells.rows)
    for subject, coordinate in product(cells.subjects, cells.objects):
        yield subject, coordinate, tuple(islice(every, rows))


def differences(snapshot: Snapshot, cells: Grid, rows: int) -> Iterator[list[str]]:
    """For each subject and object, the cells in which the compiled decision is not Casbin's."""
    objects = policy_objects(snapshot.registry)
    for subject, coordinate, chosen in sampled(cells, rows):
        fixed = {name.removeprefix("@"): value for name, value in objects[coordinate].constants if name[-1] not in "24"}
        found = []
        for row, now, act in product(chosen, cells.moments, ("clear", "mask")):
            # An attribute without a column is the same in every row of the entity.
            real = replace(row, **fixed)  # type: ignore[arg-type]
            compiled = snapshot.decide(subject, now).check(coordinate, act, real)
            if compiled != snapshot.enforcer.enforce(subject, coordinate, act, real, now):
                found.append(f"{act} {coordinate} for {subject} of {real} at {now}: compiled says {compiled}")
        yield found
