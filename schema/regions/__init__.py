"""The regions of the platform: one tree of supervision codes, and the dated aliases that lead into it.

A *supervision code* has six digits in three pairs and is assigned by the ministry. It is **not** the GB/T 2260 code,
although it has the same digits wherever the GB prefix already is the supervision tree. The parent of a node is its
code with the last non-zero pair set to zero, so a territory is a prefix. A GB code never reaches a policy: it goes
through `Regions.resolve` when a record is taken in, at the date of that record.

Source of nodes and aliases: MCA's list of 2026-09 and its change events, as described in README.md beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "MINISTRY",
    "SOURCE_VERSION",
    "UNRESOLVED",
    "AliasKind",
    "RegionAlias",
    "RegionKind",
    "RegionLevel",
    "RegionNode",
    "Regions",
    "ancestors",
    "load_regions",
    "parent",
    "prefix",
]

MINISTRY = "000000"
UNRESOLVED = "999999"
SOURCE_VERSION = "MCA 2026-09-11"


class RegionLevel(StrEnum):
    """What kind of tier a node is; source: catalogue entity Region (行政区划节点), attribute `level` (层级)."""

    COUNTRY = "COUNTRY"
    PROVINCE = "PROVINCE"
    PREFECTURE = "PREFECTURE"
    COUNTY = "COUNTY"
    ZONE = "ZONE"
    CORPS_DIVISION = "CORPS_DIVISION"


class RegionKind(StrEnum):
    """Who made the node; source: catalogue entity Region (行政区划节点), attribute `kind` (类型)."""

    GB = "GB"
    DEV_ZONE = "DEV_ZONE"
    XPCC = "XPCC"
    SAR = "SAR"
    PSEUDO = "PSEUDO"


class AliasKind(StrEnum):
    """Why a code leads to a node; source: the traps of code changes and zones in README.md."""

    GB = "GB"
    ABOLISHED = "ABOLISHED"
    SPLIT = "SPLIT"
    ZONE = "ZONE"
    LOCAL = "LOCAL"


@dataclass(frozen=True, slots=True)
class RegionNode:
    """One node of the supervision tree (entity Region, 行政区划节点); source: nodes.tsv and supervision.tsv.

    `parent_node_id` is the administrative parent and differs from the supervision parent for the Corps' cities and
    the counties under Xiong'an. `valid_from` is exact to the year only. Abolished nodes are aliases, not nodes.
    """

    node_id: str
    code6: str | None
    name: str
    level: RegionLevel
    kind: RegionKind
    parent_node_id: str | None
    supervision_parent_node_id: str | None
    valid_from: date | None
    valid_to: date | None
    successor_node_ids: tuple[str, ...]
    approval_doc_no: str | None
    source_version: str
    in_scope: bool

    @property
    def code12(self) -> str | None:
        """The twelve-digit form of the GB code (12位代码), six zeros down to the county; source: MCA's list."""
        return None if self.code6 is None else self.code6 + "000000"


@dataclass(frozen=True, slots=True)
class RegionAlias:
    """A code that meant one node during [valid_from, valid_to); source: aliases.tsv.

    None is an open end. A SPLIT alias leads to UNRESOLVED: its code alone cannot say which successor is meant.
    """

    code: str
    supervision_code: str
    valid_from: date | None
    valid_to: date | None
    kind: AliasKind
    note: str

    def covers(self, day: date) -> bool:
        """Whether the code had this meaning on that day; source: the half-open windows of aliases.tsv."""
        return (self.valid_from is None or self.valid_from <= day) and (self.valid_to is None or day < self.valid_to)


def _pairs(code: str) -> tuple[str, str, str]:
    if len(code) != 6 or not (code.isascii() and code.isdigit()):
        raise ValueError("a supervision code has six digits")
    return code[:2], code[2:4], code[4:]


def prefix(code: str) -> str:
    """The digits every code of this territory begins with; "" for the ministry. Source: the rule of three pairs."""
    first, second, third = _pairs(code)
    if third != "00":
        return code
    if second != "00":
        return first + second
    return "" if first == "00" else first


def parent(code: str) -> str | None:
    """The code with its last non-zero pair set to zero; None above the ministry. Source: the rule of three pairs.

    UNRESOLVED has no parent, so that no territory ever contains it.
    """
    own = prefix(code)
    return None if not own or code == UNRESOLVED else own[:-2].ljust(6, "0")


def ancestors(code: str) -> tuple[str, ...]:
    """All nodes strictly above, nearest first, the ministry last. Source: the rule of three pairs."""
    above: list[str] = []
    up = parent(code)
    while up is not None:
        above.append(up)
        up = parent(up)
    return tuple(above)


@dataclass(frozen=True, slots=True)
class Regions:
    """The tree and its aliases, read once by `load_regions`; source: the three tables beside this file."""

    nodes: Mapping[str, RegionNode]
    aliases: Mapping[str, tuple[RegionAlias, ...]]

    def resolve(self, code: str | None, on: date) -> str:
        """The supervision code that a GB code (6, 9 or 12 digits) or alias meant on the date of the record.

        Anything unknown, not valid on that day, out of the supervision's scope, split or ambiguous gives UNRESOLVED;
        nothing raises. A current code that never meant anything else resolves on any date, since local systems
        restamp old records; an abolished code resolves only while it was valid. Source: aliases.tsv.
        """
        if not code or not (code.isascii() and code.isdigit()):
            return UNRESOLVED
        # A datetime is a date to the type checker, but comparing the two raises.
        day = on.date() if isinstance(on, datetime) else on
        known = self.aliases.get(code[:6] if len(code) in (9, 12) else code, ())
        meant = {alias.supervision_code for alias in known if alias.covers(day)}
        return meant.pop() if len(meant) == 1 else UNRESOLVED

    def is_node(self, code: str) -> bool:
        """Whether this supervision code is assigned; source: nodes.tsv and supervision.tsv."""
        return code in self.nodes

    def level_of(self, code: str) -> RegionLevel:
        """The tier of an assigned code (KeyError otherwise); source: the column, never the digits.

        A Beijing district is a COUNTY although its code has the form of a prefecture.
        """
        return self.nodes[code].level

    # Kept on the class too, so that whoever holds the tree needs no second import.
    parent = staticmethod(parent)
    ancestors = staticmethod(ancestors)
    prefix = staticmethod(prefix)


def _rows(name: str) -> Iterator[dict[str, str]]:
    lines = files(__name__).joinpath(name).read_text(encoding="utf-8").splitlines()
    head = lines[0].split("\t")
    for line in lines[1:]:
        yield dict(zip(head, line.split("\t"), strict=True))


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None


def _node(row: Mapping[str, str]) -> RegionNode:
    code = row["supervision_code"]
    return RegionNode(
        node_id=code,
        code6=row["code6"] or None,
        name=row["name"],
        level=RegionLevel(row["level"]),
        kind=RegionKind(row["kind"]),
        parent_node_id=row["parent"] or None,
        supervision_parent_node_id=parent(code),
        valid_from=_day(row["valid_from"]),
        valid_to=_day(row["valid_to"]),
        successor_node_ids=tuple(row["successors"].split()),
        approval_doc_no=row["approval_doc_no"] or None,
        source_version=SOURCE_VERSION,
        in_scope=row["in_scope"] == "1",
    )


def _index(nodes: Iterable[RegionNode]) -> Mapping[str, RegionNode]:
    index: dict[str, RegionNode] = {}
    for node in nodes:
        if node.node_id in index:
            raise ValueError(f"supervision code {node.node_id} is assigned twice")
        index[node.node_id] = node
    return MappingProxyType(dict(sorted(index.items())))


@cache
def load_regions() -> Regions:
    """Reads the tables of the package, once per process; source: nodes.tsv, supervision.tsv and aliases.tsv."""
    aliases: dict[str, list[RegionAlias]] = {}
    for row in _rows("aliases.tsv"):
        span = _day(row["valid_from"]), _day(row["valid_to"])
        alias = RegionAlias(row["code"], row["supervision_code"], *span, AliasKind(row["kind"]), row["note"])
        aliases.setdefault(alias.code, []).append(alias)
    return Regions(
        nodes=_index(_node(row) for table in ("nodes.tsv", "supervision.tsv") for row in _rows(table)),
        aliases=MappingProxyType({code: tuple(rows) for code, rows in aliases.items()}),
    )
