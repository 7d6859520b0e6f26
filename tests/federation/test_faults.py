"""The fault sheet: every way in which a system misbehaves, against every kind of system.

Whatever one source does, the rest of the answer is the undisturbed one, the loss has its code at its path, the deadline
holds, and no value of the disturbed source differs from the undisturbed one.
"""

from __future__ import annotations

import copy
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from demo.seed import wellknown as known
from server.catalogue import CATALOGUE
from tests.federation.asking import FRONT_TABLES, MINISTRY, PROVINCES, Federation, Variant, errors, federation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from demo.counterparts import Counterparts

DEADLINE_MS, MARGIN_S = 600, 0.6
"""Of the disturbed source; the margin is for two busy cores, on which a whole answer takes a tenth of a second."""
KINDS: Mapping[str, str] = {
    "zhejiang": "irs", "hubei": "x-client", "jiangsu": "x-client", "national": "gateway", "guangdong": "subgraph",
    "shandong": "front",
}  # fmt: skip
STATUS, VISITS, WALK = "Project.siteStatus", "Project.liveInspections", "Enterprise.liveInspections"
REGISTRATION, CREDIT = "Enterprise.businessRegistration", "Enterprise.creditRecords"
SITE = "siteStatus { state name totalArea progress stopWork stopWorkReason workersOnSite safetyOfficer }"
LIST = "liveInspections(first: 3) { inspectionNo inspectedOn kind disposal summary inspectors }"
DOCUMENT = (
    "query($u: Uscc!) { "
    + " ".join(
        f'{name}: project(projectNo: "{number}") {{ name totalInvestment {SITE} {LIST} }}'
        for name, number in PROVINCES.items()
    )
    + " enterprise(uscc: $u) { name legalRepName"
    " businessRegistration { name state legalRepName registeredCapital foundedOn }"
    " creditRecords(first: 5) { recordNo kind decidedOn title penalty }"
    " liveInspections(first: 40) { nodes { inspectionNo kind summary provenance { source } } incompleteSources } } }"
)


@dataclass(frozen=True)
class Fault:
    """A misbehaviour of a system in one of its services, and the code of what is lost; "" where nothing is."""

    system: str
    service: str
    behaviour: str
    code: str
    params: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        told = ",".join(f"{name}={value}" for name, value in self.params)
        return f"{KINDS[self.system]}-{self.service}-{self.behaviour}{'-' if told else ''}{told}"

    @property
    def path(self) -> tuple[str, str]:
        """Where its values stand in the answer."""
        root = self.system if self.service.startswith("Project.") else "enterprise"
        return root, self.service.split(".")[1]


TIMEOUT, REFUSED, SHAPE, GONE, BUSY = (
    "SOURCE_TIMEOUT", "SOURCE_REFUSED", "SOURCE_BAD_SHAPE", "SOURCE_UNAVAILABLE", "SOURCE_BUSY",
)  # fmt: skip
WIRE: tuple[tuple[str, str, tuple[tuple[str, Any], ...]], ...] = (
    ("slow", TIMEOUT, (("seconds", 20),)),
    ("drip", TIMEOUT, (("seconds", 0.05),)),
    ("cut", GONE, ()),
    ("error", GONE, ()),
    ("error", GONE, (("status", 500),)),
    ("error", GONE, (("status", 503),)),
    ("error", REFUSED, (("status", 404),)),
    ("busy", BUSY, ()),
    ("html", SHAPE, ()),
    ("redirect", REFUSED, ()),
    ("success_error", REFUSED, ()),
    ("expired", REFUSED, ()),
    ("charset", SHAPE, ()),
    ("gigantic", SHAPE, (("megabytes", 8),)),
    ("bomb", SHAPE, (("megabytes", 64),)),
    ("deep", SHAPE, ()),
    ("deep", SHAPE, (("depth", 60),)),
    ("extra", "", ()),
    ("reorder", "", ()),
    ("reorder", "", (("seed", 5),)),
    ("wrong_key", "", ()),
    ("duplicate", "", ()),
    ("empty", "", ()),
)
FRONT: tuple[tuple[str, str, tuple[tuple[str, Any], ...]], ...] = (
    ("slow", TIMEOUT, (("seconds", 20),)),
    ("drip", TIMEOUT, (("seconds", 0.05),)),
    ("cut", GONE, ()),
    ("freeze", TIMEOUT, ()),
    ("refuse", GONE, ()),
    ("expired", REFUSED, ()),
    ("gigantic", SHAPE, (("megabytes", 16),)),
    ("missing", SHAPE, ()),
    ("drift", "", ()),
    ("extra", "", ()),
    ("duplicate", "", ()),
    ("empty", "", ()),
)
SERVICES: Mapping[str, tuple[str, ...]] = {
    "zhejiang": (STATUS, VISITS, WALK), "hubei": (STATUS, VISITS, WALK), "guangdong": (STATUS, VISITS, WALK),
    "shandong": (STATUS, VISITS), "national": (REGISTRATION, CREDIT),
}  # fmt: skip


SUBGRAPH: Mapping[str, str] = {"extra": SHAPE, "duplicate": SHAPE, "empty": SHAPE}
"""Where a subgraph differs: as many entities must come as were asked for."""

COLUMNS: Mapping[str, tuple[tuple[str, Any], ...]] = {
    "missing": (("column", "jcjg"),), "gigantic": (("column", "jcqk"),), "duplicate": (("column", "jcqk"),),
}  # fmt: skip
"""What a misbehaviour of Shandong's table of visits is about; the table of sites has the columns meant by default."""


def _sheet() -> list[Fault]:
    sheet = []
    for system, services in SERVICES.items():
        for service in services:
            for behaviour, code, params in FRONT if system == "shandong" else WIRE:
                expected = SUBGRAPH.get(behaviour, code) if system == "guangdong" else code
                column = COLUMNS.get(behaviour, ()) if (system, service) == ("shandong", VISITS) else ()
                sheet.append(Fault(system, service, behaviour, expected, (*params, *column)))
    return sheet


SHEET = _sheet()
SAMPLE = (
    Fault("zhejiang", STATUS, "drip", TIMEOUT, (("seconds", 0.05),)),
    Fault("zhejiang", VISITS, "duplicate", ""),
    Fault("hubei", STATUS, "charset", SHAPE),
    Fault("hubei", VISITS, "cut", GONE),
    Fault("hubei", WALK, "success_error", REFUSED),
    Fault("guangdong", STATUS, "html", SHAPE),
    Fault("guangdong", WALK, "slow", TIMEOUT, (("seconds", 20),)),
    Fault("shandong", STATUS, "freeze", TIMEOUT),
    Fault("shandong", STATUS, "missing", SHAPE),
    Fault("national", REGISTRATION, "busy", BUSY),
    Fault("national", CREDIT, "bomb", SHAPE, (("megabytes", 64),)),
    Fault("national", CREDIT, "wrong_key", ""),
)


@asynccontextmanager
async def over(dsn: str, counterparts: Counterparts, directory: Path, disturbed: str) -> AsyncIterator[Federation]:
    """The product with patience for all but one source, without copies, and with breakers that never open."""
    limits = {"deadline_ms": 8000, "stale_s": 0, "breaker": "{ failures = 100, open_s = 0.01 }"}
    sources = Variant(limits, {disturbed: {"deadline_ms": DEADLINE_MS}}).write(counterparts.sources, directory)
    async with federation(dsn, counterparts, sources) as opened:
        await opened.ask(MINISTRY, DOCUMENT, u=known.CONTRACTOR)
        yield opened


@dataclass(frozen=True)
class Outcome:
    """One line of the printed sheet."""

    fault: Fault
    code: str
    seconds: float
    lost: int
    wrong: list[str]
    broken: list[str]
    """What else is not as the undisturbed answer."""

    def __str__(self) -> str:
        code = f"{CATALOGUE[self.code].code} {self.code}" if self.code else "-"
        return (
            f"{self.fault!s:66} {code:26} {self.seconds * 1000:6.0f} ms, values lost {self.lost:3}, "
            f"wrong cells {len(self.wrong)}"
        )


def cells(value: object, path: tuple[object, ...] = ()) -> dict[tuple[object, ...], object]:
    """Every scalar of a value by its path; records of lists are known by their first field, not by their place."""
    found: dict[tuple[object, ...], object] = {}
    if isinstance(value, dict):
        for name, below in value.items():
            found |= cells(below, (*path, name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for below in value:
            found |= cells(below, (*path, next(iter(below.values()))))
    elif value is not None and value != []:
        found[path] = value
    return found


async def disturbed(product: Federation, fault: Fault, undisturbed: Mapping[str, Any]) -> Outcome:
    """Ask while the system misbehaves; what is not as the undisturbed answer is in the outcome."""
    system = product.counterparts.systems[fault.system]
    table = FRONT_TABLES[fault.service] if fault.system == "shandong" else fault.service
    system.behave(fault.behaviour, "*" if fault.behaviour == "refuse" else table, **dict(fault.params))
    try:
        answer = await product.ask(MINISTRY, DOCUMENT, u=known.CONTRACTOR)
        seconds = product.took
    finally:
        system.reset()
    failed = errors(answer)
    both = [copy.deepcopy(found["data"]) for found in (answer, undisturbed)]
    got, kept = (found[fault.path[0]].pop(fault.path[1]) for found in both)
    for path in _with_it(fault):
        failed.pop(path, None)
        for found in both:
            found[path[0]].pop(path[1])
    broken = ["the rest of the answer is not intact"] if both[0] != both[1] else []
    broken += [f"an error elsewhere: {path}" for path in failed if path != fault.path]
    code = failed.get(fault.path, "")
    if fault.service == WALK:
        silent = fault.behaviour in ("empty", "wrong_key")
        if got["incompleteSources"] != ([fault.system] if code else []) and not silent:
            broken.append(f"incompleteSources {got['incompleteSources']}")
        others = [[n for n in page["nodes"] if n["provenance"]["source"] != fault.system] for page in (got, kept)]
        if others[0][: len(others[1])] != others[1]:
            broken.append("records of other sources are missing from the list")
        got, kept = ([n for n in page["nodes"] if n["provenance"]["source"] == fault.system] for page in (got, kept))
    elif code and got is not None:
        broken.append("a value beside its error")
    before, after = cells(kept), cells(got)
    wrong = [
        f"{path}: {value!r}, was {before.get(path)!r}" for path, value in after.items() if before.get(path) != value
    ]
    return Outcome(fault, code, seconds, len(before.keys() - after.keys()), wrong, broken)


def _with_it(fault: Fault) -> set[tuple[str, str]]:
    """Paths of values that the fault takes with it: of the whole system, or of another service of the same table."""
    if fault.system != "shandong":
        return set()
    status, visits, walk = (
        ("shandong", "siteStatus"),
        ("shandong", "liveInspections"),
        ("enterprise", "liveInspections"),
    )
    if fault.behaviour == "refuse":
        return {status, visits, walk} - {fault.path}
    return {walk} if fault.service == VISITS else set()


LISTS, DISORDERED = (VISITS, WALK, CREDIT), ("reorder", "duplicate", "wrong_key")
"""An unfinished list that is not in its order cannot be gone on with: it is right, or refused as a whole."""


def judge(outcome: Outcome) -> list[str]:
    """What is not as promised."""
    fault, found = outcome.fault, [f"{outcome.fault}: {what}" for what in outcome.broken]
    refused = outcome.code == SHAPE and fault.service in LISTS and fault.behaviour in DISORDERED
    if outcome.code != fault.code and not refused:
        found.append(f"{fault}: {outcome.code or 'no error'} instead of {fault.code or 'none'}")
    if outcome.wrong:
        found.append(f"{fault}: wrong cells {outcome.wrong[:3]}")
    if outcome.seconds > DEADLINE_MS / 1000 + MARGIN_S:
        found.append(f"{fault}: {outcome.seconds:.3f} s")
    if fault.behaviour in ("extra", "reorder", "drift") and outcome.lost and not fault.code and not refused:
        found.append(f"{fault}: {outcome.lost} values lost")
    return found


async def _run(dsn: str, counterparts: Counterparts, directory: Path, faults: list[Fault]) -> list[Outcome]:
    outcomes = []
    for system in dict.fromkeys(fault.system for fault in faults):
        async with over(dsn, counterparts, directory, system) as product:
            undisturbed = await product.ask(MINISTRY, DOCUMENT, u=known.CONTRACTOR)
            assert errors(undisturbed) == {}
            outcomes += [await disturbed(product, fault, undisturbed) for fault in faults if fault.system == system]
            again = await product.ask(MINISTRY, DOCUMENT, u=known.CONTRACTOR)
            assert (errors(again), again["data"]) == ({}, undisturbed["data"]), f"{system} has not recovered"
    return outcomes


async def test_a_fault_spoils_only_its_own_values(database: str, counterparts: Counterparts, tmp_path: Path):
    """One misbehaviour of every kind of system at least, and every code of the catalogue that a system can cause."""
    outcomes = await _run(database, counterparts, tmp_path, list(SAMPLE))
    assert {outcome.code for outcome in outcomes} >= {TIMEOUT, REFUSED, SHAPE, GONE, BUSY}
    assert [line for outcome in outcomes for line in judge(outcome)] == []


@pytest.mark.prove
async def test_the_fault_sheet(database: str, counterparts: Counterparts, tmp_path: Path, capsys: Any):
    """All of them, printed."""
    outcomes = await _run(database, counterparts, tmp_path, SHEET)
    with capsys.disabled():
        print("", *outcomes, sep="\n")  # noqa: T201
    assert [line for outcome in outcomes for line in judge(outcome)] == []
