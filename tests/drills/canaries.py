"""Twenty callers, each with a text in the database that nobody else of them may read, and what they all ask."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from demo.seed import wellknown as known
from schema.regions import RegionLevel, load_regions
from server.issuer import Issuer, Role
from tests.drills.load import Operation
from tests.drills.trail import execute

OFFICES = {RegionLevel.COUNTY: 8, RegionLevel.PREFECTURE: 5, RegionLevel.PROVINCE: 3}
LEVELS = {RegionLevel.COUNTY: "COUNTY", RegionLevel.PREFECTURE: "CITY", RegionLevel.PROVINCE: "PROVINCE"}
HOLDERS, PERSONS = 2, 2
NOBODYS = "640000"
"""A province of no caller: there are the records that only their holders may read."""
ENTERPRISE = "query($u: Uscc!) { enterprise(uscc: $u) { name email contactName contactMobile projects { name } } }"
PERSON = "query($p: PersonNo!) { person(personNo: $p) { name idNo mobile } }"
ALL = (
    "query($r: [_Any!]!) { _entities(representations: $r) { ... on Enterprise { name email }"
    " ... on Person { name idNo } } }"
)
PAGE = (
    "{ enterprises(first: 40) { nodes { uscc email contactName } totalCount } persons(first: 40) { nodes { name } } }"
)
REMOTE = (
    "query($k: ProjectNo!) { project(projectNo: $k) { name totalInvestment"
    " siteStatus { state workersOnSite safetyOfficer safetyOfficerMobile } } }"
)
PROJECTS = (known.PROJECT_ELSEWHERE, known.PROJECT_COUNTY, known.PROJECT_NANJING)
"""Each has a local system that says more of it."""


@dataclass(frozen=True)
class Caller:
    """Who asks: the claims of its token, the record that holds its canary, and the canary."""

    name: str
    claims: Mapping[str, Any]
    region: str
    key: str
    canary: str

    @property
    def person(self) -> bool:
        """Whether its canary stands in the record of a person, not of an enterprise."""
        return bool(self.claims["level"] == "PERSON")

    @property
    def planted(self) -> str:
        """The statement that writes the canary into its record."""
        if self.person:
            return f"update zlaq.person set name = '{self.canary}' where person_no = '{self.key}'"
        return (
            f"update zlaq.enterprise set email = '{self.canary}@example.com', contact_name = '{self.canary}',"
            f" manage = '{self.region}' where uscc = '{self.key}'"
        )

    @property
    def representation(self) -> dict[str, str]:
        """Its record, as `_entities` is asked for it."""
        kind, key = ("Person", "personNo") if self.person else ("Enterprise", "uscc")
        return {"__typename": kind, key: self.key}

    @property
    def asked_alone(self) -> tuple[str, dict[str, str]]:
        """The document and the variables that ask for its record by key."""
        return (PERSON, {"p": self.key}) if self.person else (ENTERPRISE, {"u": self.key})


def offices() -> list[tuple[str, str]]:
    """Level and region of the offices, each in a province of its own."""
    regions = load_regions()
    taken = {NOBODYS[:2], known.HUBEI[:2]}
    # Wuchang, where the demo's records are, has its caller as well.
    found = [("COUNTY", known.WUCHANG)]
    for level, number in OFFICES.items():
        for code, node in sorted(regions.nodes.items()):
            if sum(name == LEVELS[level] for name, _ in found) == number:
                break
            if node.level is level and node.in_scope and code[:2] not in taken:
                taken.add(code[:2])
                found.append((LEVELS[level], code))
    assert len(found) == sum(OFFICES.values())
    return found


async def plant(dsn: str) -> list[Caller]:
    """Write the canaries into records of the demo, and say who may read which."""
    enterprises = await execute(dsn, 'select uscc from zlaq.enterprise order by uscc collate "C"')
    persons = await execute(dsn, "select person_no from zlaq.person order by person_no")
    keys, people = iter([row[0] for row in enterprises]), iter([row[0] for row in persons])
    callers = []
    for number, (level, region) in enumerate(offices()):
        claims = {"level": level, "kind": "HOUSING", "dept": f"JS{region}-1", "regions": [region]}
        callers.append(Caller(f"{level}-{region}", claims, region, next(keys), f"canary{number:02}office"))
    for number in range(HOLDERS):
        key = next(keys)
        claims = {"level": "ENTERPRISE", "kind": "ENTERPRISE", "enterprise": key}
        callers.append(Caller(f"ENTERPRISE-{number}", claims, NOBODYS, key, f"canary{number:02}holder"))
    for number in range(PERSONS):
        key = next(people)
        claims = {"level": "PERSON", "kind": "PERSON", "person": key}
        callers.append(Caller(f"PERSON-{number}", claims, NOBODYS, key, f"canary{number:02}person"))
    owned = f"manage = '{NOBODYS}', owner_dept = '{known.HOUSING_MINISTRY}'"
    statements = [
        "set session_replication_role = replica",
        f"update zlaq.enterprise set email = null, {owned}",
        f"update zlaq.person set {owned}, current_enterprise_uscc = null",
    ]
    await execute(dsn, *statements, *(one.planted for one in callers))
    return callers


def tokens(issuer: Issuer, callers: Sequence[Caller]) -> dict[str, str]:
    """A token for each."""
    roles = {one.name: Role(one.name, one.name, one.claims) for one in callers}
    return {name: replace(issuer, roles=roles).mint(name) for name in roles}


def operations(callers: Sequence[Caller], token: Mapping[str, str], *, full: bool) -> dict[Operation, Caller]:
    """What is asked by whom: the same few documents by all, about their own records and those of others.

    In full, about more of others, and about projects of which local systems say more.
    """
    chance = random.Random(20)
    found: dict[Operation, Caller] = {}
    for one in callers:
        others = chance.sample([other for other in callers if other is not one], 3 if full else 1)
        asked: list[tuple[str, Mapping[str, Any]]] = [other.asked_alone for other in (one, *others)]
        asked.append((ALL, {"r": [other.representation for other in callers]}))
        asked.append((PAGE, {}))
        asked += [(REMOTE, {"k": key}) for key in PROJECTS if full]
        found |= {Operation(document, variables, token[one.name]): one for document, variables in asked}
    return found


def shows_own(operation: Operation, one: Caller) -> bool:
    """Whether what is asked includes the record with the caller's own canary, as it may see it."""
    if operation.query == PAGE:
        return True
    return operation.query == ALL or (operation.query, operation.variables) == one.asked_alone
