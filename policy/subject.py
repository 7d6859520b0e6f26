"""Who asks: the subject of a decision, already authenticated and parsed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from schema.officer import Officer
from schema.regions import MINISTRY, UNRESOLVED, ancestors, prefix

ABSENT = "-"
"""How a row says that it has no owner, holder or case; a subject says `None`, and neither ever equals the other."""


class Level(StrEnum):
    """Where a subject stands; the last three have no territory."""

    MINISTRY = "MINISTRY"
    PROVINCE = "PROVINCE"
    CITY = "CITY"
    COUNTY = "COUNTY"
    ENTERPRISE = "ENTERPRISE"
    PERSON = "PERSON"
    PUBLIC = "PUBLIC"


class InvalidTerritory(ValueError):
    """A territory's codes are not nodes of the supervision tree, contradict each other or the level."""


@dataclass(frozen=True, slots=True)
class Country:
    """The whole tree: the ministry alone."""

    def __str__(self) -> str:
        return MINISTRY


@dataclass(frozen=True, slots=True)
class Prefixes:
    """One or more subtrees: supervision codes, sorted, none inside another. Build with `territory_of`."""

    codes: tuple[str, ...]

    def __str__(self) -> str:
        return ",".join(self.codes)


@dataclass(frozen=True, slots=True)
class NoTerritory:
    """No region at all (public, enterprises, persons): every territorial relation is false."""

    def __str__(self) -> str:
        return "none"


Territory = Country | Prefixes | NoTerritory


def territory_of(codes: Iterable[str]) -> Territory:
    """Merge supervision codes into a territory: nested codes collapse into the outer one.

    Raises `InvalidTerritory` for an empty set, the ministry's or the unresolved code, or anything not six digits.
    Whether a code is a node of the tree is the caller's check (`schema.regions`).
    """
    listed = sorted(set(codes))
    if not listed:
        raise InvalidTerritory("no region")
    for code in listed:
        if len(code) != 6 or not (code.isascii() and code.isdigit()) or code in (MINISTRY, UNRESOLVED):
            raise InvalidTerritory("not a region that can be a territory")
    return Prefixes(tuple(code for code in listed if not any(up in listed for up in ancestors(code))))


@dataclass(frozen=True, slots=True)
class Subject:
    """An authenticated caller. `roles` are sorted; `purpose` and `case_no` are the ones chosen for this request.

    `case_no` is set only if the case was open when the request was authenticated. The attributes below the line are
    derived once and are what the policy model's matcher reads.
    """

    id: str
    level: Level
    kind: str
    territory: Territory
    roles: tuple[str, ...] = ()
    dept: str | None = None
    enterprise: str | None = None
    person: str | None = None
    purpose: str | None = None
    case_no: str | None = None
    officer: Officer | None = field(default=None, compare=False, repr=False)
    """Who asks in person; gives no right, so two callers with equal rights share a decision."""

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Code prefixes of the territory: ("",) for the whole country, () without territory."""
        match self.territory:
            case Country():
                return ("",)
            case Prefixes(codes):
                return tuple(prefix(code) for code in codes)
            case NoTerritory():
                return ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes that the subject's department manages itself."""
        match self.territory:
            case Country():
                return (MINISTRY,)
            case Prefixes(codes):
                return codes
            case NoTerritory():
                return ()

    @property
    def superiors(self) -> tuple[str, ...]:
        """Strict ancestors of the nodes, the ministry included, outside the territory itself."""
        above = {up for code in self.nodes for up in ancestors(code)}
        return tuple(sorted(above - set(self.nodes)))

    @property
    def has_territory(self) -> bool:
        """Whether territorial relations can hold at all."""
        return not isinstance(self.territory, NoTerritory)


PUBLIC_SUBJECT = Subject("public", Level.PUBLIC, "PUBLIC", NoTerritory())
"""A caller without a token."""
