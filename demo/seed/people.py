"""Persons, and their certificates as safety managers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo.seed import make
from demo.seed.chance import COMPACT, DAYS, STAMPS, Weighted, chance, day_number, skewed
from demo.seed.enterprises import market, person_name
from demo.seed.places import department_id, department_uscc
from demo.seed.rows import TODAY, CertificateRow, EnterpriseRow, PersonRow
from demo.seed.words import MINORITY, PROVINCE_SIGNS, PROVINCE_WEIGHTS, ROADS

if TYPE_CHECKING:
    from collections.abc import Callable

BATCH = 2500
VALIDITY = 1095
_TODAY = day_number(TODAY)
_POSTS = Weighted(("A", "B", "C1", "C2", "C3"), (8, 34, 10, 18, 30))
_APPOINTMENTS = {"A": ("01", "02", "03", "04", "05", "06"), "B": ("07",)}
_PROVINCES = Weighted(tuple(PROVINCE_WEIGHTS), tuple(PROVINCE_WEIGHTS.values()))
_UNUSUAL_STATES = Weighted(("02", "03", "04", "06", "07", "99"), (3, 1, 5, 2, 1, 1))
_EDUCATIONS = Weighted(("10", "20", "30", "40", "60", "70"), (2, 25, 40, 20, 10, 3))
_TITLES = Weighted(("1", "2", "3", "4", "5", "9"), (1, 8, 30, 30, 11, 20))
_CERTIFICATES = Weighted((1, 2, 3), (82, 15, 3))


def people(batch: int, persons: int, companies: int) -> tuple[list[PersonRow], list[CertificateRow]]:
    """One batch of persons with all their certificates."""
    random = chance(3, batch)
    found: list[PersonRow] = []
    certificates: list[CertificateRow] = []
    for number in range(batch * BATCH, min(persons, (batch + 1) * BATCH)):
        employer = market(companies).employer(random)
        person = _person(random, number + 1000, employer)
        held = _certificates(random, number + 1000, person, employer, companies)
        # The latest certificate's issuer governs the person.
        latest = max(held, key=lambda row: row.first_issued_on or TODAY)
        found.append(person._replace(manage=latest.manage, owner_dept=latest.owner_dept))
        certificates += held
    return found, certificates


def _person(random: Callable[[], float], number: int, employer: EnterpriseRow) -> PersonRow:
    # A walk through all pairs of birthday and serial, so that no citizen number comes twice.
    born, serial = divmod(number * 1_000_003 % (14_600 * 1000), 1000)
    born += 5000
    missing = random()
    name = MINORITY[int(random() * 6)] if employer.manage[:2] in ("54", "65", "15") and missing < 0.3 else None
    citizen = make.citizen_no(employer.manage[:2], DAYS[born], serial)
    return PersonRow(
        person_no=make.person_no(number),
        manage=employer.manage[:2] + "0000",
        real_name_verified=missing > 0.1,
        name=name or person_name(random),
        gender="21"[serial % 2],
        birth_date=DAYS[born],
        id_type="111",
        id_no=citizen,
        mobile=make.mobile(20_000_000 + number) if missing > 0.05 else None,
        photo=f"photo/{number:08d}.jpg" if missing > 0.2 else None,
        education=_EDUCATIONS.pick(random) if missing > 0.04 else None,
        technical_title=_TITLES.pick(random) if missing > 0.15 else None,
        current_enterprise_uscc=employer.uscc if missing > 0.02 else None,
        address=f"{employer.registered_address}附{int(random() * 60)}号" if missing > 0.3 else ROADS[number % 12],
        id_hash=make.id_hash(citizen),
        version=1 + int(random() * 3),
        updated_at=STAMPS[_TODAY - int(random() * 900)],
        source_id=f"safety-{employer.manage[:2]}",
        data_as_of=STAMPS[_TODAY - int(random() * 30)],
    )


def _certificates(
    random: Callable[[], float], number: int, person: PersonRow, employer: EnterpriseRow, companies: int
) -> list[CertificateRow]:
    found: list[CertificateRow] = []
    for nth in range(_CERTIFICATES.pick(random)):
        province, company = person.manage[:2], employer
        if nth and random() < 0.12:
            province = _PROVINCES.pick(random)
            company = market(companies).contractor(random, province)
        row = certificate(random, province, number * 3 + nth, person, company)
        if nth and province != person.manage[:2]:
            row = row._replace(operate_type="08", transfer_from_cert_no=found[0].cert_no)
        found.append(row)
    return found


def certificate(
    random: Callable[[], float],
    province: str,
    serial: int,
    person: PersonRow,
    company: EnterpriseRow,
    post: str = "",
) -> CertificateRow:
    """A certificate of a person; `serial` is unique in the country."""
    post = post or _POSTS.pick(random)
    issued = skewed(random, _TODAY - 2600, _TODAY - 5)
    # What was not renewed has run out; a few provinces forget to say so.
    renewed = issued + VALIDITY * int((_TODAY - issued) / VALIDITY) if random() < 0.75 else issued
    ends = renewed + VALIDITY - 1
    state = "05" if ends < _TODAY and random() < 0.93 else "01"
    if random() < 0.03:
        state = _UNUSUAL_STATES.pick(random)
    missing = random()
    year = COMPACT[issued][:4]
    manage = province + "0000"
    issuer = department_uscc("HOUSING", manage)
    return CertificateRow(
        cert_no=f"{PROVINCE_SIGNS[province]}建安{post}（{year}）{serial:07d}",
        category_code=post,
        person_no=person.person_no,
        valid_to=DAYS[ends],
        state=state,
        manage=manage,
        e_cert_id=make.e_cert_id(issuer, f"{post}{year}{serial:07d}") if missing > 0.08 else None,
        name=person.name,
        id_no=person.id_no,
        gender=person.gender,
        birth_date=person.birth_date,
        photo=person.photo,
        enterprise_uscc=company.uscc if missing > 0.015 else None,
        enterprise_name=company.name if missing > 0.025 else None,
        appointment=_appointment(random, post) if missing > 0.06 else None,
        technical_title=person.technical_title,
        education_degree=person.education,
        first_issued_on=DAYS[issued],
        issued_on=DAYS[renewed],
        valid_from=DAYS[renewed],
        operate_type="02" if renewed > issued else "08" if missing > 0.97 else "01",
        check_result="1" if missing > 0.05 else "02"[int(missing * 40)],
        owner_dept=department_id("HOUSING", manage),
        version=1 + (renewed - issued) // VALIDITY,
        updated_at=STAMPS[renewed],
        source_id=f"safety-{province}",
        data_as_of=STAMPS[_TODAY - int(random() * 30)],
    )


def _appointment(random: Callable[[], float], post: str) -> str:
    choices = _APPOINTMENTS.get(post, ("08",))
    return choices[int(random() * len(choices))]
