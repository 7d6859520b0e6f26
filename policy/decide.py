"""From a policy revision to decisions: an immutable `Snapshot`, and what a subject may see according to it.

A `Decision` is filled lazily and shared by all callers with equal rights; it belongs to exactly one revision and one
interval between validity boundaries, and never changes what it has once said.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from typing import Final

import casbin

from policy.compile import DENIED, Compiled, Compiler, PolicyRefused, Signature
from policy.enforcer import PolicyObject, build_enforcer, policy_objects
from policy.lint import Severity, lint
from policy.revision import Revision
from policy.row import Row
from policy.subject import Subject
from schema.declare import Relation
from schema.predicate import ALWAYS, NEVER, Predicate, Value, holds
from schema.regions import prefix
from schema.registry import Entity, Field, Registry

DECISIONS_AT_MOST: Final = 8_000
"""About 20 KB each once four types have been asked of it."""
END_OF_TIME: Final = 10**15
"""End of the last interval; no rule's window can reach it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a subject sees of one object; the predicates suppose that the row itself is visible.

    `masked` is "at least masked", so it holds wherever `clear` does. `provable_clear`: every visible row is clear, so
    ordering and grouping by it tell nothing.
    """

    clear: Predicate
    masked: Predicate
    rules: tuple[str, ...] = ()

    @property
    def provable_clear(self) -> bool:
        """Whether the value is clear in every row the subject sees (and it may see some)."""
        return self.clear == ALWAYS

    def __str__(self) -> str:
        return f"clear {self.clear}; masked {self.masked}; rules {', '.join(self.rules) or 'none'}"


_rights = attrgetter(*(f.name for f in fields(Subject) if f.name not in ("id", "officer")))
"""What two callers with the same rights have in common."""
CLOSED: Final = Verdict(NEVER, NEVER)


class Decision:
    """What one subject (or any with the same rights) may see; built by `Snapshot.decide`, filled as it is asked."""

    def __init__(
        self, compiler: Compiler, objects: Mapping[str, PolicyObject], subject: Subject, revision: str,
        interval: tuple[int, int],
    ) -> None:  # fmt: skip
        self.revision: Final = revision
        """Id of the revision it belongs to."""
        self.interval: Final = interval
        """UTC seconds [start, end) in which it is what the revision says."""
        self._compiler = compiler
        self._objects = objects
        self._rights = compiler.rights(subject, interval[0])
        self._nodes = subject.nodes
        self._compiled: dict[tuple[Signature, tuple[tuple[str, Value], ...], str], Compiled] = {}
        self._rows: dict[str, Verdict] = {}
        self._verdicts: dict[tuple[str, Signature | None], Verdict] = {}

    def row(self, entity: Entity) -> Verdict:
        """Which rows of the entity are visible: the only verdict that supposes nothing. Masks of rows do not exist."""
        found = self._rows.get(entity.name)
        if found is None:
            compiled = self._compile(entity.row, "clear")
            found = self._rows[entity.name] = Verdict(compiled.where, NEVER, compiled.rules)
        return found

    def field(self, entity: Entity, field: Field) -> Verdict:
        """What is seen of a field in a visible row.

        A to-one relation is as open as the attribute that holds its key. A to-many relation may always be asked of a
        visible row: which children appear is a question of their own rows and of the attribute that links them.
        """
        if isinstance(field.member, Relation):
            if field.type.is_list:
                return self._visible(entity)
            linked = self.field(entity, entity.by_name[field.member.by])
            return Verdict(linked.clear, linked.clear, linked.rules)
        if entity.policy_object(field) == entity.row:
            return self._visible(entity)
        return self.part(entity, field.coordinate)

    def part(self, entity: Entity, coordinate: str) -> Verdict:
        """The same for a policy object by its coordinate, such as an attribute of a remote value."""
        key = entity.name, self._compiler.signature(coordinate)
        found = self._verdicts.get(key)
        if found is None:
            found = self._verdicts[key] = self._supposing_row(entity, coordinate)
        return found

    def check(self, coordinate: str, act: str, row: Row) -> bool:
        """Whether the act on the object is allowed for one row, the row's own visibility not considered."""
        return holds(self._compile(coordinate, act).where, row.attributes)

    def covered(self, coordinate: str, act: str, codes: Sequence[str]) -> bool:
        """Whether the act is allowed for whatever a source has of these regions: ordinary records of no known holder.

        For remote values without a governing record: every relation that a record of the regions could have to the
        subject must allow it, and what only an owner, holder or case could open is denied.
        """
        return codes != () and all(
            self.check(coordinate, act, row) for code in codes for row in _representatives(code, self._nodes)
        )

    def _visible(self, entity: Entity) -> Verdict:
        row = self.row(entity)
        return CLOSED if row.clear == NEVER else Verdict(ALWAYS, ALWAYS, row.rules)

    def _supposing_row(self, entity: Entity, coordinate: str) -> Verdict:
        row = self.row(entity).clear
        clear, masked = self._compile(coordinate, "clear"), self._compile(coordinate, "mask")
        reduce = self._compiler.reduce
        rules = tuple(sorted({*clear.rules, *masked.rules}))
        return Verdict(reduce(clear.where, row), reduce(masked.where, row), rules)

    def _compile(self, coordinate: str, act: str) -> Compiled:
        signature = self._compiler.signature(coordinate)
        if signature is None:
            return DENIED
        key = signature, self._objects[coordinate].constants, act
        found = self._compiled.get(key)
        if found is None:
            found = self._compiler.compile(self._rights, coordinate, signature, act)
            self._compiled[key] = found
        return found


def _representatives(code: str, nodes: tuple[str, ...]) -> Iterator[Row]:
    """A row of each relation that records of a region may have to a subject: the region itself, one below that is
    nobody's node, and where the subject stands below, its own, one below it, and one that only lies there."""
    below = _below(code)
    yield Row(manage=code, site=code)
    yield Row(manage=below, site=below)
    for node in nodes:
        if node.startswith(prefix(code)):
            yield Row(manage=node, site=node)
            yield Row(manage=_below(node), site=_below(node))
            yield Row(manage=below, site=node)


def _below(code: str) -> str:
    """A code below a node that no node has; a county's own, below which there is nothing."""
    own = prefix(code)
    return (own + "98").ljust(6, "0") if len(own) < 6 else code


class Snapshot:
    """One revision ready to decide; immutable but for its bounded caches. Replaced as a whole, never reloaded."""

    def __init__(self, revision: Revision, registry: Registry, enforcer: casbin.Enforcer, compiler: Compiler) -> None:
        self.revision: Final = revision
        self.registry: Final = registry
        self.enforcer: Final = enforcer
        """The authority behind the decisions: for proofs and audits, far too slow for requests."""
        bounds = {int(bound) for rule in revision.rules for bound in (rule.valid_from, rule.valid_to) if bound != "-"}
        self.boundaries: Final = tuple(sorted({0, *bounds}))
        self._objects = policy_objects(registry)
        self._compiler = compiler
        self._decisions: OrderedDict[tuple[object, int], Decision] = OrderedDict()

    def interval(self, now: int) -> tuple[int, int]:
        """The UTC seconds [start, end) around `now` in which no rule begins or ends."""
        if not 0 <= now < END_OF_TIME:
            raise ValueError("now is UTC seconds")
        place = bisect_right(self.boundaries, now)
        end = self.boundaries[place] if place < len(self.boundaries) else END_OF_TIME
        return self.boundaries[place - 1], end

    def decide(self, subject: Subject, now: int) -> Decision:
        """What the subject may see at `now` (UTC seconds, pinned once per request)."""
        interval = self.interval(now)
        key = _rights(subject), interval[0]
        found = self._decisions.get(key)
        if found is None:
            rights = replace(subject, id="", officer=None)
            found = Decision(self._compiler, self._objects, rights, self.revision.id, interval)
            self._decisions[key] = found
            if len(self._decisions) > DECISIONS_AT_MOST:
                self._decisions.popitem(last=False)
        else:
            self._decisions.move_to_end(key)
        return found


def build_snapshot(revision: Revision, registry: Registry) -> Snapshot:
    """A new snapshot beside whatever is live; raises `PolicyRefused` with everything lint refuses."""
    refused = [finding for finding in lint(revision, registry) if finding.severity is Severity.REFUSED]
    if refused:
        raise PolicyRefused("; ".join(str(finding) for finding in refused))
    objects = policy_objects(registry)
    enforcer = build_enforcer(revision, objects)
    return Snapshot(revision, registry, enforcer, Compiler(enforcer, revision, objects))
