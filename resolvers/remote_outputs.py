"""A selection on a remote field into its slot: what is denied is not asked for, local records come by a later stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from adapters.base import Cell, Constant, Output, Placeholder
from resolvers.errors import TooCostly
from resolvers.outputs import WIDTH, charge, nested_limit
from resolvers.slots import Bit, Compared, Comparison, Led, Origin, Part, RemoteSlot, Shown, Told, Walk
from schema.declare import Relation, Remote
from schema.predicate import NEVER, Always, Never, Predicate

if TYPE_CHECKING:
    from resolvers.decided import Decided, Seen
    from resolvers.outputs import Budget, Drafted
    from resolvers.selection import Leaf, Selected, SelectionReader
    from schema.registry import Entity, Field, Registry

_SOURCES_RECKONED = 32
"""About as many sources as a list across them may go to: one for each province."""
HOPS_AT_MOST = 3
"""Stages behind the first statement: remote, the local records it leads to, and what is remote of these."""
Follow = Callable[["Entity", Any, tuple[str | int, ...], int], int]
"""Plans a later statement for an entity's records by key: (entity, selection sets, path, how many) to its place."""


@dataclass(slots=True)
class RemoteReader:
    """Makes the slots of one statement; `hops` is how many stages lie before the values of these."""

    registry: Registry
    reader: SelectionReader
    decided: Decided
    drafted: Drafted
    follow: Follow
    hops: int
    budget: Budget
    bits: list[Predicate] = field(default_factory=list)

    def output(
        self,
        entity: Entity,
        declared: Field,
        seen: Seen,
        selected: Selected,
        path: tuple[str | int, ...],
        multiplicity: int,
    ) -> Output:
        """The placeholder of a remote field; null where nothing of it may ever be shown."""
        remote = declared.member
        if not isinstance(remote, Remote):
            raise TypeError(declared.coordinate)
        if isinstance(seen.clear, Never):
            return Constant(selected.key, "null")
        if self.hops > HOPS_AT_MOST:
            raise TooCostly(f"{declared.coordinate}: more than {HOPS_AT_MOST} stages behind the first")
        if remote.across and not self._ordered(entity, declared, remote):
            return Constant(selected.key, "null")
        self.bits = []
        walk, sets, place = self._walk(declared, remote, selected)
        first, size = nested_limit(selected) if remote.order else (None, 1)
        calls, records = (_SOURCES_RECKONED, size) if remote.across else (1, size if remote.order else 0)
        charge(self.drafted, self.budget, multiplicity * (calls * remote.cost + records))
        inner = (*path, selected.key, *place, *((0,) if remote.order else ()))
        beside: list[Cell] = []
        parts = tuple(
            self._part(entity, declared, part, inner, multiplicity * size, beside, across=remote.across)
            for part in self.reader.below(declared.type.name, sets)
        )
        charge(self.drafted, self.budget, 0, multiplicity * size * (1 + len(parts)) * WIDTH)
        if walk is None and all(isinstance(part, Told) for part in parts):
            return Constant(selected.key, "null")
        reason = selected.arguments.get("reason")
        self.drafted.slots.append(
            RemoteSlot(
                declared.coordinate,
                declared.type.name,
                parts,
                (*path, selected.key),
                is_list=declared.type.is_list,
                order=remote.order,
                ordered_by=tuple(part.coordinate for part in self._ordering(declared, remote)),
                first=first,
                walk=walk,
                reason=reason.ref if reason is not None else None,
                officer=remote.officer,
                compares=bool(beside),
            )
        )
        by = entity.by_name[remote.by]
        slot = len(self.drafted.slots) - 1
        return Placeholder(selected.key, slot, by, seen.clear, tuple(self.bits), tuple(beside))

    def _ordered(self, entity: Entity, declared: Field, remote: Remote) -> bool:
        """Whether a list may be shown in its order at all, which tells the values it is ordered by."""
        seen = [self._seen(entity, part) for part in self._ordering(declared, remote)]
        return not any(isinstance(verdict.clear, Never) for verdict in seen)

    def _ordering(self, declared: Field, remote: Remote) -> list[Field]:
        named = {part.name: part for part in self.registry.values[declared.type.name].fields.values()}
        return [named[name.removeprefix("-")] for name in remote.order]

    def _walk(self, declared: Field, remote: Remote, selected: Selected) -> tuple[Walk | None, Any, tuple[str, ...]]:
        """The page of a list across sources, with the selection sets of its nodes and the key they stand under."""
        if not remote.across:
            return None, selected.sets, ()
        outputs: list[tuple[str, str, tuple[tuple[str, str], ...]]] = []
        sets: list[Any] = []
        keys: list[str] = []
        name = f"{declared.type.name}Walk"
        for part in self.reader.below(name, selected.sets):
            inner: tuple[tuple[str, str], ...] = ()
            if part.name == "nodes":
                if keys:
                    raise TooCostly(f"{declared.coordinate}: nodes may be selected once")
                sets, keys = list(part.sets), [part.key]
            elif part.name == "pageInfo":
                inner = tuple((s.key, s.name) for s in self.reader.below("PageInfo", part.sets))
            outputs.append((part.key, part.name, inner))
        after: Leaf | None = selected.arguments.get("after")
        return Walk(after.ref if after else None, tuple(outputs)), sets, tuple(keys)

    def _part(
        self,
        entity: Entity,
        declared: Field,
        part: Selected,
        path: tuple[str | int, ...],
        multiplicity: int,
        beside: list[Cell],
        *,
        across: bool,
    ) -> Part:
        value_type = self.registry.values[declared.type.name]
        if part.name == "__typename":
            return Told(part.key, orjson.dumps(value_type.name).decode())
        if part.name == "conflicts":
            return self._compared(entity, declared, part, beside)
        found = value_type.fields[part.name]
        if isinstance(found.member, Relation):
            by = next(f for f in value_type.fields.values() if f.name == found.member.by)
            return self._led(entity, found, by, part, path, multiplicity, across=across)
        seen = self._seen(entity, found)
        if isinstance(seen.clear, Never) and isinstance(seen.masked, Never):
            return Told(part.key, "null")
        clear = self._bit(seen.clear, across=across)
        if part.name == "provenance":
            keys = tuple((s.key, s.name) for s in self.reader.below("Provenance", part.sets))
            return Origin(part.key, found, clear, keys)
        return Shown(part.key, found, clear, self._bit(seen.masked, across=across))

    def _seen(self, entity: Entity, found: Field) -> Seen:
        seen = self.decided.part(entity, found.coordinate)
        self.drafted.disclose(found.coordinate, seen.name)
        return seen

    def _led(
        self,
        entity: Entity,
        found: Field,
        by: Field,
        part: Selected,
        path: tuple[str | int, ...],
        multiplicity: int,
        *,
        across: bool,
    ) -> Part:
        """As a local relation: as open as the attribute that holds its key, and the target's row decides the rest."""
        seen = self.decided.part(entity, by.coordinate)
        target = self.registry.entity(found.type.name)
        if isinstance(seen.clear, Never) or isinstance(self.decided.row(target), Never):
            self.drafted.disclose(found.coordinate, "DENIED")
            return Told(part.key, "null")
        self.drafted.disclose(found.coordinate, seen.name)
        if self.hops + 1 > HOPS_AT_MOST:
            raise TooCostly(f"{found.coordinate}: more than {HOPS_AT_MOST} stages behind the first")
        statement = self.follow(target, part.sets, (*path, part.key), multiplicity)
        return Led(part.key, by, self._bit(seen.clear, across=across), target, statement)

    def _compared(self, entity: Entity, declared: Field, part: Selected, beside: list[Cell]) -> Part:
        items = []
        for local in self.registry.values[declared.type.name].compared:
            ministry = entity.by_name[local.attribute.beside]
            ours, theirs = self.decided.field(entity, ministry), self._seen(entity, local)
            self.drafted.disclose(ministry.coordinate, ours.name)
            if isinstance(ours.clear, Never) or isinstance(theirs.clear, Never):
                continue
            bits = self._bit(theirs.clear), self._bit(ours.clear)
            items.append(Comparison(local, bits[0], ministry, bits[1], len(beside)))
            beside.append(Cell(str(len(beside)), ministry, ours.clear, NEVER))
        parts = tuple((s.key, s.name) for s in self.reader.below("Conflict", part.sets))
        return Compared(part.key, tuple(items), parts) if items else Told(part.key, "null")

    def _bit(self, predicate: Predicate, *, across: bool = False) -> Bit:
        if isinstance(predicate, Always | Never):
            return isinstance(predicate, Always)
        if across:
            # No governing row: what may be seen is decided for each source, from the regions it covers.
            return True
        if predicate not in self.bits:
            self.bits.append(predicate)
        return self.bits.index(predicate)
