"""Projects with their inspections and findings, place by place."""

from __future__ import annotations

from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from demo.seed.chance import COMPACT, DAYS, STAMPS, Weighted, chance, day_number, skewed
from demo.seed.enterprises import area, investment, market, person_name, position
from demo.seed.machines import machine
from demo.seed.places import Place, allocate, department_id, department_uscc, places
from demo.seed.rows import TODAY, FindingRow, InspectionRow, LiftingMachineRow, ProjectRow
from demo.seed.words import ESTATES, HAZARDS, PROGRESS, RECTIFIED, ROADS, WORKS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

BATCH = 2000
_PROJECTS_PER_MACHINE = 4
_TODAY = day_number(TODAY)
_FIRST_APPROVAL = day_number(TODAY.replace(year=2019))
_SENSITIVE = Weighted((3, 6, 9), (85, 12, 3))
_LEVELS = Weighted(("A", "B", "C", "D", None), (20, 30, 30, 17, 3))
_DISPOSALS = Weighted(("1", "2", "3", "4", "5"), (80, 9, 4, 5, 2))
_KINDS = Weighted(("1", "2", "3", "4", "5"), (62, 15, 14, 5, 4))
_FINDINGS = Weighted((1, 2, 3, 4), (38, 30, 20, 12))
_RATIOS = (Decimal(0), Decimal(0), Decimal(100), Decimal("51.00"), Decimal("33.3"))
_REVIEWERS = ("高建平", "欧阳岚", "沈志新", "卓玛·央金")
_PHOTOS = ((), (), ("site/1.jpg",), ("site/1.jpg", "site/2.jpg"))


class Works(NamedTuple):
    """The rows of a batch."""

    projects: list[ProjectRow]
    inspections: list[InspectionRow]
    findings: list[FindingRow]
    machines: list[LiftingMachineRow]


@cache
def batches(projects: int) -> tuple[tuple[tuple[Place, int], ...], ...]:
    """Places with their numbers of projects, cut into batches between places, so that a place's numbers are its own."""
    found: list[tuple[tuple[Place, int], ...]] = []
    batch: list[tuple[Place, int]] = []
    for share in allocate(projects):
        batch.append(share)
        if sum(count for _, count in batch) >= BATCH:
            found.append(tuple(batch))
            batch = []
    return (*found, tuple(batch)) if batch else tuple(found)


@cache
def _elsewhere() -> tuple[Place, ...]:
    return tuple(place for place in places() if place.node[:2] in ("42", "50", "43", "36"))


@cache
def _xinjiang() -> tuple[Place, ...]:
    return tuple(place for place in places() if place.node[:2] == "65")


def works(batch: int, projects: int, companies: int) -> Works:
    """One batch of places with all that was built and inspected there."""
    random = chance(4, batch)
    own = chance(5, batch)
    made = Works([], [], [], [])
    for place, count in batches(projects)[batch]:
        crew = [_inspector(random, place, number) for number in range(6)]
        numbers: dict[str, int] = {}
        for _ in range(count):
            project = _project(random, place, numbers, companies)
            made.projects.append(project)
            if len(made.projects) % _PROJECTS_PER_MACHINE == 0:
                made.machines.append(machine(own, place, project, companies))
            _inspect(random, place, project, crew, made)
    return made


def _inspector(random: Callable[[], float], place: Place, number: int) -> str:
    return f'{{"name": "{person_name(random)}", "enforcement_cert_no": "{place.node}{number + 1:05d}"}}'


def _number(approved: int, place: Place, kind: str, numbers: dict[str, int]) -> tuple[str, int]:
    """The next free project number, from 11 on: the first ten of each day are left to records made by hand."""
    while True:
        head = f"{place.number}{COMPACT[approved][2:]}{kind}"
        taken = numbers.get(head, 10)
        if taken < 99:
            numbers[head] = taken + 1
            return f"{head}{taken + 1:02d}", approved
        approved -= 1


def _where(random: Callable[[], float], place: Place) -> tuple[str, Place]:
    """Who manages it and where it lies: mostly the same county, but not always."""
    r = random()
    manage = place.managers[0 if r < 0.86 else 1 if r < 0.97 else 2]
    if place.node[:2] == "66" and random() < 0.6:
        return manage, _xinjiang()[int(random() * len(_xinjiang()))]
    if r > 0.995:
        return manage, _elsewhere()[int(random() * len(_elsewhere()))]
    return manage, place


def _project(random: Callable[[], float], place: Place, numbers: dict[str, int], companies: int) -> ProjectRow:
    pattern, kind, usage = WORKS[int(random() * len(WORKS))]
    no, approved = _number(skewed(random, _FIRST_APPROVAL, _TODAY - 20), place, kind, numbers)
    manage, site = _where(random, place)
    missing = random()
    start = approved + 30 + int(random() * 200)
    end = start + 180 + int(random() * 900)
    status = "1" if start > _TODAY else "4" if end < _TODAY else "2"
    if random() < 0.03:
        status = "35"[int(random() * 2)]
    developer = market(companies).contractor(random, place.node[:2])
    contractor = market(companies).contractor(random, place.node[:2])
    located: tuple[Decimal, Decimal] | None = None
    if missing > 0.25:
        located = position(random, 98, 122), position(random, 22, 45)
    title = ESTATES[int(random() * len(ESTATES))] + ESTATES[int(random() * len(ESTATES))]
    serial = int(random() * 100_000)
    return ProjectRow(
        project_no=no,
        name=site.town + pattern.format(title),
        manage=manage,
        site=site.node,
        project_code=_project_code(no, place, serial) if missing > 0.05 else None,
        local_project_id=f"{place.node[:4]}-{serial:06d}" if missing > 0.1 else None,
        project_type=kind,
        build_nature=("001", "001", "001", "002", "003")[int(random() * 5)] if missing > 0.02 else None,
        usage=usage if missing > 0.03 else None,
        approval_doc_no=f"发改审〔{COMPACT[approved][:4]}〕{serial % 900 + 1}号" if missing > 0.06 else None,
        approval_level=("004", "004", "003", "002")[int(random() * 4)] if missing > 0.04 else None,
        developer_uscc=developer.uscc if missing > 0.04 else None,
        developer_name=developer.name if missing > 0.01 else None,
        contractor_uscc=contractor.uscc if 0.03 < missing < 0.999 else None,
        province_code=site.province_gb,
        city_code=site.city_gb,
        county_code=site.county_gb,
        address=f"{site.address}{ROADS[int(random() * 12)]}{serial % 800 + 1}号" if missing > 0.02 else None,
        longitude=located and located[0],
        latitude=located and located[1],
        datum=("CGCS2000", "GCJ-02")[serial % 2] if located else None,
        total_investment=investment(random) if missing > 0.03 else None,
        state_invest_ratio=_RATIOS[int(random() * 5)] if missing > 0.1 else None,
        total_area=area(random) if kind != "02" and missing > 0.02 else None,
        planned_start=DAYS[start] if missing > 0.015 else None,
        planned_end=DAYS[end] if missing > 0.03 else None,
        status=status,
        data_level=_LEVELS.pick(random),
        owner_dept=department_id("HOUSING", manage),
        sens=_SENSITIVE.pick(random) if random() < 0.012 else 0,
        version=1 + int(random() * 5),
        updated_at=STAMPS[skewed(random, approved, _TODAY)],
        source_id=f"local-{place.node[:4]}",
        data_as_of=STAMPS[_TODAY - int(random() * 30)],
    )


def _project_code(project_no: str, place: Place, serial: int) -> str:
    return f"{project_no[6:10]}-{place.number}-04-0{1 + serial % 5}-{serial:05d}{serial * 7 % 10}"


def _inspect(random: Callable[[], float], place: Place, project: ProjectRow, crew: list[str], made: Works) -> None:
    if project.status == "1" and random() < 0.8:
        return
    began = project.planned_start or project.updated_at.date()
    first = min(day_number(began), _TODAY - 1)
    last = min(first + 900, _TODAY)
    agency = department_id("SUPERVISION_AGENCY", project.manage)
    agency_code = department_uscc("SUPERVISION_AGENCY", project.manage)
    reg_no = f"AJ{project.project_no}"
    for _ in range(1 + int(random() * 12.6 * min(1.0, (last - first + 200) / 500))):
        on = skewed(random, first, last)
        no = f"JC{place.node}{COMPACT[on]}-{1000 + len(made.inspections):06d}"
        count = _FINDINGS.pick(random) if random() < 0.4 else 0
        major, rectified = 0, None
        if count:
            major, rectified = _find(random, no, on, count, project, agency, made.findings)
        r = random()
        made.inspections.append(
            InspectionRow(
                no,
                project.project_no,
                DAYS[on],
                project.manage,
                project.site,
                agency,
                project.holder_uscc,
                project.case_no,
                project.sens,
                reg_no if r > 0.1 else None,
                _KINDS.pick(random) if r > 0.01 else None,
                agency_code,
                f"[{crew[int(r * 6)]}, {crew[int(random() * 6)]}]",
                PROGRESS[int(r * r * 10)],
                count,
                major,
                _DISPOSALS.pick(random) if count else "0",
                f"ZG{no[2:]}" if count else None,
                DAYS[on + 15] if count else None,
                rectified,
                ("1" if rectified else None),
                _PHOTOS[int(random() * 4)],
                1 + (count > 0),
                STAMPS[on],
                reg_no[:4] if r > 0.5 else None,
                STAMPS[_TODAY - int(r * 30)],
            )
        )


def _find(
    random: Callable[[], float],
    parent: str,
    on: int,
    count: int,
    project: ProjectRow,
    agency: str,
    found: list[FindingRow],
) -> tuple[int, date | None]:
    """The findings of an inspection; answers how many are major and when all were put right, if they were."""
    major = 0
    done = on + 3 + int(random() * 25)
    rectified = DAYS[done] if done < _TODAY and random() < 0.93 else None
    for nth in range(1, count + 1):
        item, text, article, mandatory = HAZARDS[int(random() * len(HAZARDS))]
        r = random()
        level = "2" if r < 0.06 else "1"
        major += level == "2"
        found.append(
            FindingRow(
                f"{parent}-{nth:02d}",
                parent,
                project.manage,
                project.site,
                agency,
                project.holder_uscc,
                project.case_no,
                project.sens,
                "SAFETY",
                item,
                text,
                article if r > 0.05 else None,
                mandatory,
                level,
                project.contractor_uscc,
                _PHOTOS[int(r * 4)],
                DAYS[on + 15],
                RECTIFIED[int(r * 5)] if rectified else None,
                rectified,
                _REVIEWERS[int(r * 4)] if rectified else None,
                rectified is not None,
                1 + (nth > 1),
                STAMPS[on],
                None,
                STAMPS[on],
            )
        )
    return major, rectified
