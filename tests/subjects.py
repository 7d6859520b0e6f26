"""Callers of every level and kind, drawn from the data so that they govern, own and hold some of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.subject import PUBLIC_SUBJECT, Country, Level, NoTerritory, Subject, territory_of
from schema.regions import MINISTRY, UNRESOLVED, ancestors

if TYPE_CHECKING:
    from random import Random

    from tests.reference_rows import Tables


def subjects(tables: Tables, rng: Random, many: int) -> list[Subject]:
    """Callers of every level and kind; territories, departments, holders and cases are those of some rows."""
    rows = [row["@"] for listed in tables.rows.values() for row in listed]
    regions = sorted({r.manage for r in rows} | {r.site for r in rows} - {"-"})
    nodes = sorted({c for r in regions for c in (r, *ancestors(r))} - {MINISTRY, UNRESOLVED, "-"})
    owners = sorted({r.owner_dept for r in rows} - {"-"})
    cases = sorted({r.case_no for r in rows} - {"-"})
    firms = sorted({r.holder_uscc for r in rows} - {"-"})
    people = sorted({r.holder_person for r in rows} - {"-"})
    kinds = ("HOUSING", "HOUSING", "HOUSING", "SUPERVISION_AGENCY", "EMERGENCY", "PLANNING", "DISCIPLINE", "DATA_AUTH")
    territorial = {
        Level.PROVINCE: [n for n in nodes if n.endswith("0000")],
        Level.CITY: [n for n in nodes if n.endswith("00") and not n.endswith("0000")],
        Level.COUNTY: [n for n in nodes if not n.endswith("00")],
    }
    fixed = [
        PUBLIC_SUBJECT,
        Subject("ministry", Level.MINISTRY, "HOUSING", Country(), dept="AJ000000-1"),
        Subject("corps", Level.PROVINCE, "HOUSING", territory_of(["660000"]), dept="AJ660000-1"),
        Subject("two", Level.PROVINCE, "HOUSING", territory_of(["420000", "330100", "320591"])),
        Subject("firm", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise=rng.choice(firms)),
        Subject("self", Level.PERSON, "PERSON", NoTerritory(), person=rng.choice(people)),
    ]
    for number in range(many - len(fixed)):
        level = rng.choice([*territorial, *territorial, Level.ENTERPRISE, Level.PERSON, Level.MINISTRY])
        own = sorted(rng.sample(territorial.get(level, nodes), rng.choice((1, 1, 1, 2, 3))))
        territory = NoTerritory() if level in (Level.ENTERPRISE, Level.PERSON) else territory_of(own)
        official = level in territorial or level is Level.MINISTRY
        near = [r for r in rows if r.case_no != "-" and any(r.manage.startswith(c.rstrip("0")) for c in own)]
        fixed.append(
            Subject(
                f"s{number}",
                level,
                rng.choice(kinds) if official else level.value,
                Country() if level is Level.MINISTRY else territory,
                roles=("case_handler",) if rng.randrange(2) else (),
                dept=rng.choice(owners) if official and rng.randrange(3) else None,
                enterprise=rng.choice(firms) if level is Level.ENTERPRISE else None,
                person=rng.choice(people) if level is Level.PERSON else None,
                purpose=rng.choice((None, "CASE", "CASE", "PLAN")),
                case_no=rng.choice(near).case_no if near and rng.randrange(3) else rng.choice(cases),
            )
        )
    return fixed
