"""The claim `zlaq` of a token: level, kind, territory, choices and officer, each parsed and allowed at its level.

No exception here carries a claim's value: what it names comes from a closed list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from policy.subject import Country, Level, NoTerritory, Subject, Territory, territory_of
from schema.codes import CODE_LISTS
from schema.identifiers import (
    InvalidIdentifier,
    parse_citizen_no,
    parse_department_id,
    parse_person_no,
    parse_uscc,
)
from schema.officer import Officer
from schema.regions import RegionLevel, Regions, prefix


class ClaimsRefused(Exception):
    """A claim is missing, unknown, malformed or contradicts another; `claim` names it from a closed list."""

    def __init__(self, claim: str) -> None:
        super().__init__(claim)
        self.claim = claim


SUB = re.compile(r"[!-)+-~]{1,64}")
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PURPOSE = re.compile(r"[A-Z0-9][A-Z0-9_-]{0,63}")
_CASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,63}")
_REGION = re.compile(r"[0-9]{6}")
_WORD = re.compile(r"[A-Z][A-Z_]{0,31}")
_NAME = re.compile(r"[^\W\d_][\w ·（）()-]{0,99}")
_LIST_AT_MOST = 32

_OFFICES = frozenset(CODE_LISTS["DeptKind"].by_name)
_KINDS: Mapping[Level, frozenset[str]] = {
    **dict.fromkeys((Level.MINISTRY, Level.PROVINCE, Level.CITY, Level.COUNTY), _OFFICES),
    **{level: frozenset({level.value}) for level in (Level.ENTERPRISE, Level.PERSON, Level.PUBLIC)},
}
"""The kinds of each level; who holds no office is of the kind of the level.

A role is written in lower case, so that none can be mistaken for a kind.
"""

_OFFICE = frozenset({"dept", "roles", "purposes", "cases", "officer"})
_ALLOWED: Mapping[Level, frozenset[str]] = {
    Level.MINISTRY: _OFFICE,
    **dict.fromkeys((Level.PROVINCE, Level.CITY, Level.COUNTY), _OFFICE | {"regions"}),
    Level.ENTERPRISE: frozenset({"enterprise", "roles", "purposes"}),
    Level.PERSON: frozenset({"person", "roles", "purposes"}),
    Level.PUBLIC: frozenset(),
}
_REQUIRED: Mapping[Level, str | None] = {
    **dict.fromkeys((Level.MINISTRY, Level.PROVINCE, Level.CITY, Level.COUNTY), "dept"),
    Level.ENTERPRISE: "enterprise",
    Level.PERSON: "person",
    Level.PUBLIC: None,
}


@dataclass(frozen=True, slots=True)
class Claims:
    """The claim `zlaq`, every member parsed and allowed at its level."""

    level: Level
    kind: str
    roles: tuple[str, ...]
    regions: tuple[str, ...]
    dept: str | None
    enterprise: str | None
    person: str | None
    purposes: tuple[str, ...]
    cases: tuple[str, ...]
    officer: Officer | None

    @classmethod
    def parse(cls, claim: object) -> Claims:
        """Parse the claim; anything not expected is `ClaimsRefused`, for it may be a right that was meant to narrow."""
        if not isinstance(claim, dict) or not claim.keys() <= set(cls.__slots__):
            raise ClaimsRefused("zlaq")
        word = one_text("zlaq.level", claim.get("level"), _WORD)
        if word not in Level.__members__:
            raise ClaimsRefused("zlaq.level")
        level = Level(word)
        kind = one_text("zlaq.kind", claim.get("kind"), _WORD)
        if kind not in _KINDS[level]:
            raise ClaimsRefused("zlaq.kind")
        parsed = cls(
            level,
            kind,
            _many("zlaq.roles", claim, _ROLE),
            _many("zlaq.regions", claim, _REGION),
            _identifier("zlaq.dept", claim, parse_department_id),
            _identifier("zlaq.enterprise", claim, parse_uscc),
            _identifier("zlaq.person", claim, parse_person_no),
            _many("zlaq.purposes", claim, _PURPOSE),
            _many("zlaq.cases", claim, _CASE),
            _officer(claim.get("officer")),
        )
        for name in ("roles", "regions", "dept", "enterprise", "person", "purposes", "cases", "officer"):
            missing = not getattr(parsed, name)
            if missing if name == _REQUIRED[level] else not missing and name not in _ALLOWED[level]:
                raise ClaimsRefused(f"zlaq.{name}")
        return parsed

    def subject(self, subject_id: str, regions: Regions) -> Subject:
        """The subject of these claims, without purpose or case."""
        return Subject(
            subject_id,
            self.level,
            self.kind,
            self._territory(regions),
            tuple(sorted(self.roles)),
            self.dept,
            self.enterprise,
            self.person,
            officer=self.officer,
        )

    def _territory(self, regions: Regions) -> Territory:
        if self.level is Level.MINISTRY:
            return Country()
        if "regions" not in _ALLOWED[self.level]:
            return NoTerritory()
        if not self.regions or not all(_stands_at(code, self.level, regions) for code in self.regions):
            raise ClaimsRefused("zlaq.regions")
        return territory_of(self.regions)


def _stands_at(code: str, level: Level, regions: Regions) -> bool:
    """Whether a department of this level may have this node as its territory: by the node's own level, not its digits.

    A Beijing district has a code of the second tier and is a county; a zone is a city or a county by its tier.
    """
    node = regions.nodes.get(code)
    if node is None or not node.in_scope:
        return False
    match node.level:
        case RegionLevel.PROVINCE:
            return level is Level.PROVINCE
        case RegionLevel.PREFECTURE | RegionLevel.CORPS_DIVISION:
            return level is Level.CITY
        case RegionLevel.COUNTY:
            return level is Level.COUNTY
        case RegionLevel.ZONE:
            return level is (Level.CITY if len(prefix(code)) == 4 else Level.COUNTY)
        case _:
            return False


def one_text(claim: str, value: object, form: re.Pattern[str]) -> str:
    """A text of this form; raises `ClaimsRefused`."""
    if not isinstance(value, str) or value == "-" or form.fullmatch(value) is None:
        raise ClaimsRefused(claim)
    return value


def _many(claim: str, claims: Mapping[str, object], form: re.Pattern[str]) -> tuple[str, ...]:
    listed = claims.get(claim.removeprefix("zlaq."), [])
    if not isinstance(listed, list) or len(listed) > _LIST_AT_MOST:
        raise ClaimsRefused(claim)
    values = tuple(one_text(claim, value, form) for value in listed)
    if len(set(values)) < len(values):
        raise ClaimsRefused(claim)
    return values


def _officer(claim: object) -> Officer | None:
    if claim is None:
        return None
    if not isinstance(claim, dict) or claim.keys() != {"idNo", "name", "department"}:
        raise ClaimsRefused("zlaq.officer")
    names = [one_text("zlaq.officer", claim[member], _NAME) for member in ("name", "department")]
    id_no = _identifier("zlaq.officer", {"officer": claim["idNo"]}, parse_citizen_no)
    return Officer(id_no or "", *names)


def _identifier(claim: str, claims: Mapping[str, object], parse: Callable[[str], str]) -> str | None:
    name = claim.removeprefix("zlaq.")
    if name not in claims:
        return None
    value = claims[name]
    try:
        # Only the canonical spelling: an issuer that writes another one has not parsed it.
        if isinstance(value, str) and parse(value) == value:
            return value
    except InvalidIdentifier:
        pass
    raise ClaimsRefused(claim)
