"""Verify an exported audit trail against the heads published outside the database; one file, standard library only.

    python audit_verifier.py EXPORT HEADS

Exit codes: 0 nothing was changed, 1 the findings printed, 2 the files cannot be judged. The rules stated here (digests,
packed rows) are the ones the sealer and the readers of the trail use.
"""

import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

_T = TypeVar("_T")

GENESIS = "0" * 64
"""The hash before the first seal, and that of head 0, published when the chain is started."""
MARK = 8
"""How many bytes of a record's digest a seal keeps, to tell which record changed; nothing rests on them."""
VERDICTS_PER_CHARACTER = 6
"""A verdict character is one of the 64 from "0" to "o"; its lowest bit is the first of its predicates."""


class AuditUnreadable(ValueError):
    """An export or a heads file is not what it should be, or not all of it: nothing can be said about the trail."""


class MalformedPack(ValueError):
    """The packed rows of a record do not follow its decision's slot table."""


class MalformedDecision(ValueError):
    """A decision's text has no readable slot table."""


class Record(NamedTuple):
    """One audit record; `at` in microseconds since 1970, UTC. Ordered, as the chain is, by transaction and sequence."""

    xid: int
    seq: int
    at: int
    request_id: str
    root: str
    subject: str
    document: str
    revision: str
    decision: str
    rows: str
    sources: str


class Seal(NamedTuple):
    """A link of the chain: covers the records after the previous seal's last one, up to its own."""

    no: int
    previous: str
    hash: str
    first_xid: int
    first_seq: int
    last_xid: int
    last_seq: int
    records: int
    total: int
    marks: bytes
    sealed_at: int


class Head(NamedTuple):
    """What is published of a seal outside the database; `records` counts all records sealed up to it."""

    no: int
    hash: str
    records: int
    sealed_at: int


def digest_record(record: Record) -> bytes:
    """SHA-256 over the lengths of all fields in octets, then the fields: no two records give the same octets."""
    parts = [str(value).encode() for value in record]
    lengths = ",".join([str(len(part)) for part in parts])
    return hashlib.sha256(f"{lengths};".encode() + b"".join(parts)).digest()


def link(no: int, previous: str, total: int, sealed_at: int, digests: Sequence[bytes]) -> str:
    """Hash of a seal over its predecessor's hash and its records' digests."""
    start = f"zlaq audit seal 1\n{no}\n{previous}\n{len(digests)}\n{total}\n{sealed_at}\n".encode()
    return hashlib.sha256(start + b"".join(digests)).hexdigest()


def decision_hash(body: str) -> str:
    """The name under which a decision is stored and referred to."""
    return hashlib.sha256(body.encode()).hexdigest()


def parse_head(line: str) -> Head:
    """Read a line of the heads file; raises `AuditUnreadable`."""
    return _build(Head, _object(line, "a published head"))


class Slot(NamedTuple):
    """A type at one place of an operation, and the predicates on which its decision depends, row by row."""

    letter: str
    type: str
    verdicts: tuple[str, ...]
    chars: int


class RowCounts(NamedTuple):
    """What a record says was disclosed: rows by (type, managing region), and by (type, predicate) those it held for."""

    regions: Mapping[tuple[str, str], int]
    verdicts: Mapping[tuple[str, str], int]


@lru_cache(maxsize=1024)
def slots(decision_body: str) -> tuple[Slot, ...]:
    """Read the slot table of a decision's text; raises `MalformedDecision`."""
    try:
        table = json.loads(decision_body)["slots"]
        found = tuple(Slot(s["letter"], s["type"], tuple(s["verdicts"]), s["chars"]) for s in table)
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        raise MalformedDecision(f"no slot table: {type(wrong).__name__}") from None
    for slot in found:
        if {type(text) for text in (*slot[:2], *slot.verdicts)} != {str} or not re.fullmatch("[A-Za-z]", slot.letter):
            raise MalformedDecision("a slot is named by one letter; type and verdicts are texts")
        if slot.chars != -(-len(slot.verdicts) // VERDICTS_PER_CHARACTER):
            raise MalformedDecision(f"slot {slot.letter}: {slot.chars} characters for {len(slot.verdicts)} verdicts")
    if len({slot.letter for slot in found}) != len(found):
        raise MalformedDecision("a letter names two slots")
    return found


@lru_cache(maxsize=1024)
def _pattern(decision_body: str) -> re.Pattern[str]:
    rows = [f"{slot.letter}[0-9]{{6}}[0-o]{{{slot.chars}}}" for slot in slots(decision_body)]
    return re.compile("|".join(rows) or "(?!)")


def decode_rows(packed: str, decision_body: str) -> RowCounts:
    """Count what packed rows say; raises `MalformedPack` naming the offset, `MalformedDecision`."""
    table, pattern = {slot.letter: slot for slot in slots(decision_body)}, _pattern(decision_body)
    rows: Counter[str] = Counter()
    offset = 0
    while offset < len(packed):
        found = pattern.match(packed, offset)
        if found is None:
            raise MalformedPack(f"at {offset} of {len(packed)}: no row of the decision's slots")
        rows[found[0]] += 1
        offset = found.end()
    regions: Counter[tuple[str, str]] = Counter()
    verdicts: Counter[tuple[str, str]] = Counter()
    for row, count in rows.items():
        slot = table[row[0]]
        regions[slot.type, row[1:7]] += count
        bits = sum(ord(char) - 48 << VERDICTS_PER_CHARACTER * at for at, char in enumerate(row[7:]))
        if bits >> len(slot.verdicts):
            raise MalformedPack(f"slot {slot.letter}: a verdict without a predicate")
        for index, predicate in enumerate(slot.verdicts):
            verdicts[slot.type, predicate] += count * (bits >> index & 1)
    return RowCounts(dict(regions), dict(verdicts))


class _Decision(NamedTuple):
    hash: str
    body: str


class Kind(StrEnum):
    """What may be wrong with a trail."""

    ALTERED_RECORD = "altered record"
    DROPPED_RECORD = "dropped record"
    INSERTED_RECORD = "inserted record"
    REORDERED = "reordered records"
    ALTERED_SEAL = "altered seal"
    MISSING_SEAL = "missing seal"
    REWRITTEN_CHAIN = "rewritten chain"
    CUT_TAIL = "cut tail"
    ALTERED_DECISION = "altered decision"
    UNKNOWN_DECISION = "unknown decision"
    MALFORMED_PACK = "malformed pack"


class Finding(NamedTuple):
    """One deviation, and the seal in which it lies (None: outside any)."""

    kind: Kind
    seal: int | None
    detail: str

    def __str__(self) -> str:
        where = "" if self.seal is None else f" in seal {self.seal}"
        return f"{self.kind}{where}: {self.detail}"


@dataclass(slots=True)
class Report:
    """What a verification found. `unpublished` seals are younger than the last head, `unsealed` records than both."""

    findings: list[Finding] = field(default_factory=list)
    first: int = 0
    last: int = 0
    records: int = 0
    unsealed: int = 0
    unpublished: int = 0

    @property
    def intact(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        sealed = f"seals {self.first} to {self.last}, {self.records} records"
        open_end = f"{self.unpublished} seals without a published head, {self.unsealed} records not yet sealed"
        verdict = f"{'intact' if self.intact else 'NOT INTACT'}: {sealed}; {open_end}"
        return "\n".join([*map(str, self.findings), verdict])


def verify(export: Path, heads: Path) -> Report:
    """Verify an export against published heads, one seal in memory at a time; raises `AuditUnreadable`, `OSError`."""
    with heads.open(encoding="utf-8") as published, export.open(encoding="utf-8") as exported:
        return _Verification(_heads(published)).run(exported)


def _heads(lines: Iterable[str]) -> dict[int, Head]:
    known: dict[int, Head] = {}
    for line in lines:
        head = parse_head(line)
        if known.setdefault(head.no, head) != head:
            raise AuditUnreadable(f"two published heads of seal {head.no}")
    if not known:
        raise AuditUnreadable("no published head")
    return known


class _Verification:
    """One pass over an export."""

    def __init__(self, heads: Mapping[int, Head]) -> None:
        self._heads = heads
        self._report = Report()
        self._decisions: dict[str, str] = {}
        self._seal: Seal | None = None
        self._previous: Seal | None = None
        self._batch: list[Record] = []

    def run(self, lines: Iterable[str]) -> Report:
        for number, line in enumerate(lines, 1):
            raw = _object(line, f"line {number} of the export")
            if (number == 1) != (raw.get("kind") == "export"):
                raise AuditUnreadable("an export begins with a line of its own")
            match raw.get("kind"):
                case "export" if type(raw.get("from_seal")) is int:
                    self._report.first = raw["from_seal"]
                case "decision":
                    self._decision(*_build(_Decision, raw))
                case "seal":
                    self._close()
                    self._open(_build(Seal, raw))
                case "unsealed":
                    self._close()
                    self._seal = None
                case "record":
                    self._record(_build(Record, raw))
                case "end":
                    self._close()
                    self._end()
                    return self._report
                case other:
                    raise AuditUnreadable(f"an export has no {other}")
        raise AuditUnreadable("the export is not complete")

    def _find(self, kind: Kind, detail: str, seal: int | None = None) -> None:
        self._report.findings.append(Finding(kind, seal, detail))

    def _decision(self, name: str, body: str) -> None:
        self._decisions[name] = body
        if decision_hash(body) != name:
            self._find(Kind.ALTERED_DECISION, name)

    def _open(self, seal: Seal) -> None:
        before, expected = self._previous, self._report.first if self._previous is None else self._previous.no + 1
        if seal.no != expected:
            self._find(Kind.MISSING_SEAL, f"{expected} to {seal.no - 1}" if seal.no > expected else f"{seal.no} again")
        elif before and (seal.previous, seal.total) != (before.hash, before.total + seal.records):
            self._find(Kind.ALTERED_SEAL, "does not continue the one before it", seal.no)
        elif seal.no == 1 and (seal.previous, seal.total) != (GENESIS, seal.records):
            self._find(Kind.ALTERED_SEAL, "does not start the chain", seal.no)
        own, parent = self._heads.get(seal.no), None if before else self._heads.get(seal.no - 1)
        foreign = bool((own and own.hash != seal.hash) or (parent and parent.hash != seal.previous))
        if foreign and not any(finding.kind is Kind.REWRITTEN_CHAIN for finding in self._report.findings):
            self._find(Kind.REWRITTEN_CHAIN, "from here on it is not the one whose heads were published", seal.no)
        self._report.unpublished += seal.no > max(self._heads)
        self._seal = self._previous = seal
        self._report.last = seal.no

    def _record(self, record: Record) -> None:
        report, no = self._report, self._seal.no if self._seal else None
        where = f"record {record.seq} of transaction {record.xid}"
        report.unsealed += no is None
        report.records += no is not None
        self._batch.append(record)
        try:
            decode_rows(record.rows, self._decisions[record.decision])
        except KeyError:
            self._find(Kind.UNKNOWN_DECISION, f"{where} refers to {record.decision!r}", no)
        except (MalformedPack, MalformedDecision) as wrong:
            self._find(Kind.MALFORMED_PACK, f"{where}: {wrong}", no)

    def _close(self) -> None:
        """Compare the records read with the seal that they stand under."""
        seal, batch, self._batch = self._seal, self._batch, []
        if seal is None:
            return
        digests = [digest_record(record) for record in batch]
        if batch and link(seal.no, seal.previous, seal.total, seal.sealed_at, digests) == seal.hash:
            if (*batch[0][:2], *batch[-1][:2], len(batch)) != seal[3:8]:
                self._find(Kind.ALTERED_SEAL, "its range is not that of its records", seal.no)
            return
        marks = [seal.marks[at : at + MARK] for at in range(0, len(seal.marks), MARK)]
        known = Counter(marks)
        lost = known - Counter(digest[:MARK] for digest in digests)
        unknown = [record.seq for record, digest in zip(batch, digests, strict=True) if digest[:MARK] not in known]
        altered, dropped = min(len(unknown), lost.total()), lost.total() - len(unknown)
        if altered:
            self._find(Kind.ALTERED_RECORD, f"{altered} of sequence {_list(unknown)}", seal.no)
        if dropped > 0:
            places = [at for at, mark in enumerate(marks, 1) if mark in lost]
            self._find(Kind.DROPPED_RECORD, f"{dropped} of places {_list(places)}", seal.no)
        if dropped < 0:
            self._find(Kind.INSERTED_RECORD, f"{-dropped} of sequence {_list(unknown)}", seal.no)
        if lost or unknown:
            return
        if [digest[:MARK] for digest in digests] == marks:
            self._find(Kind.ALTERED_SEAL, "its records are unchanged, its own hash or count is not", seal.no)
        else:
            self._find(Kind.REORDERED, "the records are those sealed, in another order", seal.no)

    def _end(self) -> None:
        last, head = self._report.last, max(self._heads)
        if head > max(last, self._report.first - 1):
            gone = self._heads[head].records - (self._previous.total if self._previous else 0)
            self._find(Kind.CUT_TAIL, f"the published head is seal {head}, the export ends at {last}: {gone} records")


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:10])) + (" ..." if len(numbers) > 10 else "")


def _object(line: str, what: str) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raise AuditUnreadable(f"{what} is not JSON") from None
    if not isinstance(raw, dict):
        raise AuditUnreadable(f"{what} is not an object")
    return raw


def _build(kind: type[_T], raw: Mapping[str, Any]) -> _T:
    values = []
    for name, wanted in kind.__annotations__.items():
        value = raw.get(name)
        if type(value) is not (str if wanted is bytes else wanted):
            raise AuditUnreadable(f"{kind.__name__}.{name} is missing or of a wrong type")
        try:
            values.append(bytes.fromhex(value) if wanted is bytes else value)
        except ValueError:
            raise AuditUnreadable(f"{kind.__name__}.{name} is not hexadecimal") from None
    return kind(*values)


def main(arguments: Sequence[str]) -> int:
    """Print what was found; 0 intact, 1 not, 2 cannot be judged."""
    if len(arguments) != 2:
        sys.stderr.write("usage: audit_verifier.py EXPORT HEADS\n")
        return 2
    try:
        report = verify(Path(arguments[0]), Path(arguments[1]))
    except (OSError, ValueError) as wrong:
        sys.stderr.write(f"cannot be judged: {wrong}\n")
        return 2
    sys.stdout.write(f"{report}\n")
    return 0 if report.intact else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
