"""Ways to change an exported trail, each with the words by which the verifier must name it."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from adapters.audit_verifier import GENESIS, MARK, Kind, Record, decision_hash, digest_record, link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Line = dict[str, Any]
SEAL_FIELDS = (
    "no",
    "previous",
    "hash",
    "first_xid",
    "first_seq",
    "last_xid",
    "last_seq",
    "records",
    "total",
    "sealed_at",
)
"""All but `marks`, on which nothing rests: they only tell which record changed."""


@dataclass(frozen=True)
class Tampering:
    """A changed export; the verifier must name one of these kinds, in the seal if one is given."""

    name: str
    lines: list[Line]
    kinds: frozenset[Kind]
    seal: int | None = None

    def named_in(self, report: str) -> bool:
        """Whether a report of the verifier says so."""
        where = "" if self.seal is None else f" in seal {self.seal}:"
        return any(f"{kind}{where}" in report for kind in self.kinds)


def text(lines: Sequence[Line]) -> bytes:
    """The lines as an export has them."""
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


def flipped(value: str | int, chance: random.Random) -> str | int:
    """The value with one bit of one character changed, or a number by one; an empty text gets a character."""
    if isinstance(value, int):
        return value + chance.choice((-1, 1))
    if not value:
        return "x"
    at = chance.randrange(len(value))
    return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]


class Tamperer:
    """Makes tamperings of one export, repeatably."""

    def __init__(self, exported: bytes, seed: int) -> None:
        self.lines: list[Line] = [orjson.loads(line) for line in exported.splitlines()]
        self._chance = random.Random(seed)
        self._seals = [at for at, line in enumerate(self.lines) if line["kind"] == "seal"]
        self._end = next(at for at, line in enumerate(self.lines) if line["kind"] == "unsealed")
        # Those of more than two records, so that there are neighbours to swap.
        self._wide = [at for at in self._seals[:-1] if self.lines[at]["records"] > 2]
        assert len(self._wide) > 10

    def all(self, each: int) -> Iterator[Tampering]:
        """Every kind of tampering so many times, each at another place."""
        for _ in range(each):
            for field in Record._fields:
                yield self._record(field)
            for field in SEAL_FIELDS:
                yield self._seal(field)
            yield from (make() for make in self._moves())
            yield from (make() for make in self._decisions())
            yield from (make() for make in self._chains())

    def _moves(self) -> Sequence[Callable[[], Tampering]]:
        return (
            self._dropped, self._duplicated, self._swapped, self._exchanged, self._moved, self._invented,
            self._unsealed, self._headless, self._hole, self._cut_records, self._cut_seals, self._emptied,
        )  # fmt: skip

    def _decisions(self) -> Sequence[Callable[[], Tampering]]:
        return (self._other_decision, self._renamed_decision, self._lost_decision)

    def _chains(self) -> Sequence[Callable[[], Tampering]]:
        return (self._own_chain, self._own_chain_cut)

    def _copy(self) -> list[Line]:
        return copy.deepcopy(self.lines)

    def _place(self) -> tuple[int, int]:
        """A seal with several records, and one of these that is not its last."""
        seal = self._chance.choice(self._wide)
        return seal, seal + 1 + self._chance.randrange(self.lines[seal]["records"] - 1)

    def _made(self, name: str, lines: list[Line], *kinds: Kind, seal: int | None = None) -> Tampering:
        return Tampering(name, lines, frozenset(kinds), self.lines[seal]["no"] if seal is not None else None)

    def _record(self, field: str) -> Tampering:
        lines, (seal, at) = self._copy(), self._place()
        lines[at][field] = flipped(lines[at][field], self._chance)
        return self._made(f"record.{field} changed", lines, Kind.ALTERED_RECORD, seal=seal)

    def _seal(self, field: str) -> Tampering:
        lines, (seal, _) = self._copy(), self._place()
        lines[seal][field] = flipped(lines[seal][field], self._chance)
        kinds = (Kind.ALTERED_SEAL, Kind.MISSING_SEAL, Kind.REWRITTEN_CHAIN)
        return self._made(f"seal.{field} changed", lines, *kinds)

    def _dropped(self) -> Tampering:
        lines, (seal, at) = self._copy(), self._place()
        del lines[at]
        return self._made("record dropped", lines, Kind.DROPPED_RECORD, seal=seal)

    def _duplicated(self) -> Tampering:
        lines, (seal, at) = self._copy(), self._place()
        lines.insert(at, dict(lines[at]))
        # The verifier knows records by their digests, so the same one twice looks like another order.
        return self._made("record duplicated", lines, Kind.INSERTED_RECORD, Kind.REORDERED, seal=seal)

    def _swapped(self) -> Tampering:
        lines, (seal, at) = self._copy(), self._place()
        lines[at], lines[at + 1] = lines[at + 1], lines[at]
        return self._made("neighbours swapped", lines, Kind.REORDERED, seal=seal)

    def _exchanged(self) -> Tampering:
        lines, (seal, at), (_, other) = self._copy(), self._place(), self._place()
        if lines[other]["seq"] == lines[at]["seq"] or self._seal_of(other) == seal:
            return self._exchanged()
        lines[at], lines[other] = lines[other], lines[at]
        return self._made("records of two seals exchanged", lines, Kind.ALTERED_RECORD, seal=seal)

    def _moved(self) -> Tampering:
        lines, (seal, at), (_, other) = self._copy(), self._place(), self._place()
        if self._seal_of(other) == seal:
            return self._moved()
        moved = lines[at]
        lines.insert(other, moved)
        del lines[at + (other <= at)]
        return self._made("record moved into another seal", lines, Kind.DROPPED_RECORD, seal=seal)

    def _seal_of(self, record: int) -> int:
        return max(at for at in self._seals if at < record)

    def _invented(self) -> Tampering:
        lines, (seal, at) = self._copy(), self._place()
        lines.insert(at, lines[at] | {"seq": lines[at]["seq"] + 10**6, "request_id": "0" * 16})
        return self._made("record invented", lines, Kind.INSERTED_RECORD, seal=seal)

    def _unsealed(self) -> Tampering:
        lines, (seal, at) = self._copy(), self._place()
        lines.insert(self._end, lines.pop(at))
        lines[self._end - 1], lines[self._end] = lines[self._end], lines[self._end - 1]
        return self._made("record called unsealed", lines, Kind.DROPPED_RECORD, seal=seal)

    def _headless(self) -> Tampering:
        lines, (seal, _) = self._copy(), self._place()
        del lines[seal]
        return self._made("seal dropped, its records kept", lines, Kind.MISSING_SEAL)

    def _hole(self) -> Tampering:
        lines, (seal, _) = self._copy(), self._place()
        del lines[seal : seal + 1 + lines[seal]["records"]]
        return self._made("seal dropped with its records", lines, Kind.MISSING_SEAL)

    def _cut_records(self) -> Tampering:
        lines, last = self._copy(), self._seals[-1]
        # The last record of all goes, and whatever else of its seal chance says.
        del lines[last + 1 + self._chance.randrange(lines[last]["records"]) : self._end]
        return self._made("last records cut off", lines, Kind.DROPPED_RECORD, seal=last)

    def _cut_seals(self) -> Tampering:
        lines = self._copy()
        del lines[self._chance.choice(self._seals[1:]) : self._end]
        return self._made("last seals cut off", lines, Kind.CUT_TAIL)

    def _emptied(self) -> Tampering:
        lines = self._copy()
        del lines[self._seals[0] : self._end]
        return self._made("everything cut off", lines, Kind.CUT_TAIL)

    def _decision(self) -> tuple[list[Line], int]:
        lines = self._copy()
        used = {line["decision"] for line in lines if line["kind"] == "record"}
        listed = [at for at, line in enumerate(lines) if line["kind"] == "decision" and line["hash"] in used]
        return lines, self._chance.choice(listed)

    def _other_decision(self) -> Tampering:
        lines, at = self._decision()
        lines[at]["body"] = flipped(lines[at]["body"], self._chance)
        return self._made("decision's text changed", lines, Kind.ALTERED_DECISION)

    def _renamed_decision(self) -> Tampering:
        lines, at = self._decision()
        lines[at]["body"] += " "
        lines[at]["hash"] = decision_hash(lines[at]["body"])
        return self._made("decision replaced", lines, Kind.UNKNOWN_DECISION)

    def _lost_decision(self) -> Tampering:
        lines, at = self._decision()
        del lines[at]
        return self._made("decision lost", lines, Kind.UNKNOWN_DECISION)

    def _own_chain(self) -> Tampering:
        lines, (seal, at) = self._copy(), self._place()
        lines[at]["subject"] = flipped(lines[at]["subject"], self._chance)
        resealed(lines)
        return self._made("rewritten with an own chain", lines, Kind.REWRITTEN_CHAIN, seal=seal)

    def _own_chain_cut(self) -> Tampering:
        lines, (seal, at) = self._copy(), self._place()
        del lines[at]
        resealed(lines)
        return self._made("record dropped and the chain made anew", lines, Kind.REWRITTEN_CHAIN, seal=seal)


def resealed(lines: list[Line]) -> None:
    """Make every seal anew, so that the export fits together again."""
    previous, total = GENESIS, 0
    listed = [at for at, line in enumerate(lines) if line["kind"] == "seal"]
    ends = [*listed[1:], next(at for at, line in enumerate(lines) if line["kind"] == "unsealed")]
    for seal, end in zip((lines[at] for at in listed), ends, strict=True):
        start = next(at for at, line in enumerate(lines) if line is seal) + 1
        records = [Record(**{name: line[name] for name in Record._fields}) for line in lines[start:end]]
        digests = [digest_record(record) for record in records]
        total += len(records)
        seal |= {
            "previous": previous, "hash": link(seal["no"], previous, total, seal["sealed_at"], digests),
            "first_xid": records[0].xid, "first_seq": records[0].seq, "last_xid": records[-1].xid,
            "last_seq": records[-1].seq, "records": len(records), "total": total,
            "marks": b"".join(digest[:MARK] for digest in digests).hex(),
        }  # fmt: skip
        previous = seal["hash"]
