"""The same database once more, different in nothing that one subject may see.

What it may see is asked of `enforce`, row by row and cell by cell; every other cell gets another valid value, every
hidden row may go, change or come. What a mask leaves is left, whatever it hides is changed. Cells that decide about
rights change where the subject's verdicts stay the same.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import asyncpg

from policy.row import Row
from schema.declare import Attribute, Mask, Remote
from schema.masks import MASKS
from schema.predicate import POLICY_ATTRIBUTES
from tests.interference.drawing import Column, Drawing, entities
from tests.reference_rows import Tables, written

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from policy.decide import Snapshot
    from policy.subject import Subject
    from schema.registry import Entity, Field, Registry
    from tests.reference_rows import Record

Verdicts = dict[str, str]
"""CLEAR, MASKED or DENIED by attribute or remote field of one visible row."""


@dataclass
class Sight:
    """What one subject sees of rows at one time, asked of `enforce`; what it cannot tell apart is asked once."""

    snapshot: Snapshot
    subject: Subject
    now: int
    _verdicts: dict[tuple[str, Row], Verdicts | None] = field(default_factory=dict)
    _allowed: dict[tuple[Any, str, Row], bool] = field(default_factory=dict)
    _alike: dict[str, Any] = field(default_factory=dict)
    """All that `model.conf` reads of an object."""
    _disclosed: dict[tuple[str, Row], tuple[tuple[str, Field | None], ...]] = field(default_factory=dict)
    """The columns of a row that are seen, with the attribute whose mask hides part of it."""

    def of(self, entity: Entity, row: Record) -> Verdicts | None:
        """The verdicts of a row, `None` where it is hidden."""
        key = entity.name, row["@"]
        if key not in self._verdicts:
            visible = self._may(entity, entity.row, "clear", row["@"])
            asked = [f for f in entity.fields.values() if isinstance(f.member, Attribute | Remote)]
            self._verdicts[key] = {f.field: self._verdict(entity, f, row["@"]) for f in asked} if visible else None
        return self._verdicts[key]

    def _verdict(self, entity: Entity, one: Field, row: Row) -> str:
        obj = entity.policy_object(one)
        if self._may(entity, obj, "clear", row):
            return "CLEAR"
        return "MASKED" if obj != entity.row and self._may(entity, obj, "mask", row) else "DENIED"

    def _may(self, entity: Entity, obj: str, act: str, row: Row) -> bool:
        if obj not in self._alike:
            revision = self.snapshot.revision
            named = obj if any(rule.obj == obj for rule in revision.rules) else ""
            self._alike[obj] = revision.classes.get(obj), entity.system, entity.governed.by != "none", named
        key = self._alike[obj], act, row
        if key not in self._allowed:
            self._allowed[key] = self.snapshot.enforcer.enforce(self.subject, obj, act, row, self.now)
        return self._allowed[key]

    def shown(self, entity: Entity, row: Record) -> tuple[Any, ...] | None:
        """What the row comes to for the subject: its verdicts, and every cell as far as it is disclosed."""
        verdicts = self.of(entity, row)
        if verdicts is None:
            return None
        key = entity.name, row["@"]
        if key not in self._disclosed:
            self._disclosed[key] = tuple(
                (column, one if verdicts[one.field] == "MASKED" else None)
                for one in entity.fields.values()
                if isinstance(one.member, Attribute) and verdicts[one.field] != "DENIED"
                for column in (one.attribute.columns or {"": one.attribute.column}).values()
            )
        cells = (row[column] if one is None else masked(one, row[column]) for column, one in self._disclosed[key])
        return (tuple(verdicts.items()), *cells)


def masked(one: Field, value: Any) -> Any:
    """What the attribute's mask leaves of a stored value."""
    return None if value is None else MASKS[one.attribute.mask](str(written(one, value)))


@dataclass
class Twins:
    """Makes the rows of the other database; `share` is the part of all rows that it changes, `counts` what it did."""

    tables: Tables
    registry: Registry
    columns: Mapping[str, tuple[Column, ...]]
    rng: Random
    share: float = 1.0
    counts: Counter[str] = field(default_factory=Counter)
    others: dict[str, str] = field(default_factory=dict)
    """Hidden texts of the one database, and one that stands there instead in the other."""

    def rows(self, sight: Sight) -> dict[str, list[Record]]:
        """Every entity's rows, for the other database of this subject."""
        drawing = Drawing(self.tables, self.rng)
        return {entity.name: list(self._of(entity, sight, drawing)) for entity in entities(self.registry)}

    def _of(self, entity: Entity, sight: Sight, drawing: Drawing) -> list[Record]:
        made: list[Record] = []
        hidden: list[Record] = []
        for row in self.tables.rows[entity.name]:
            if self.rng.random() >= self.share:
                made.append(row)
                continue
            verdicts = sight.of(entity, row)
            if verdicts is not None:
                made.append(self._visible(entity, row, verdicts, sight, drawing))
                continue
            hidden.append(row)
            if self.rng.randrange(5) == 0:
                self.counts["rows removed"] += 1
                continue
            made.append(self._hidden(entity, row, sight, drawing))
        made += self._inserted(entity, hidden, sight, drawing, {row[entity.key.attribute.column] for row in made})
        self.rng.shuffle(made)
        return made

    def _inserted(
        self, entity: Entity, hidden: list[Record], sight: Sight, drawing: Drawing, keys: set[Any]
    ) -> list[Record]:
        """New hidden rows, some under keys that visible rows already name though there was no such row."""
        if not hidden:
            return []
        wanted = {key for key in self._dangling(entity) if key not in keys and self.rng.randrange(2)}
        wanted |= {drawing.text_key(entity) for _ in range(len(hidden) // 5 + 1)}
        found = []
        for key in sorted(wanted):
            pattern = self.rng.choice(hidden)
            row = self._hidden(entity, pattern, sight, drawing) | {entity.key.attribute.column: key}
            row = self._generated(entity, row)
            if sight.of(entity, row) is None:
                found.append(row)
                self.counts["rows inserted"] += 1
        return found

    def _dangling(self, entity: Entity) -> set[Any]:
        """Keys of this entity that stand in rows of others and belong to nobody."""
        known = {row[entity.key.attribute.column] for row in self.tables.rows[entity.name]}
        found: set[Any] = set()
        for other in entities(self.registry):
            for one in other.fields.values():
                by = getattr(one.member, "by", None)
                if by is not None and one.type.name == entity.name and not one.type.is_list:
                    column = other.by_name[by].attribute.column
                    found |= {row[column] for row in self.tables.rows[other.name]} - {None}
        parse = entity.key.scalar.parse if entity.key.scalar else str
        return {key for key in found - known if parse(key) == key}

    def _hidden(self, entity: Entity, row: Record, sight: Sight, drawing: Drawing) -> Record:
        """A hidden row with other values throughout, still hidden; its key remains."""
        made = dict(row)
        for column in self.columns[entity.name]:
            if column.name != entity.key.attribute.column and not column.generated:
                made[column.name] = drawing.value(entity, column)
        made = self._generated(entity, made)
        if sight.of(entity, made) is not None:
            for column in self.columns[entity.name]:
                if column.policy:
                    made[column.name] = row[column.name]
                    made[column.generated or column.name] = row[column.generated or column.name]
            made = self._generated(entity, made)
        for column in self.columns[entity.name]:
            self._note(row[column.name], made[column.name])
        self.counts["cells of hidden rows"] += sum(made[c.name] != row[c.name] for c in self.columns[entity.name])
        self.counts["rows changed"] += 1
        return made

    def _visible(self, entity: Entity, row: Record, verdicts: Verdicts, sight: Sight, drawing: Drawing) -> Record:
        """A visible row whose hidden cells are others."""
        made = dict(row)
        deciding = [column.name for column in self.columns[entity.name] if self._decides(entity, column)]
        # One of those that decide, now and then: each makes a row that `enforce` must be asked about anew.
        tried = self.rng.choice(deciding) if deciding and self.rng.randrange(3) else ""
        for column in self.columns[entity.name]:
            if column.generated or column.name == entity.key.attribute.column:
                continue
            if column.name in deciding and column.name != tried:
                continue
            value = self._replaced(entity, column, row, verdicts, drawing)
            changed = made | {column.name: value}
            if column.name == tried:
                changed = self._generated(entity, changed)
                # A cell that decides about rights, or that another is made of, stays where the subject could tell.
                if sight.shown(entity, changed) != sight.shown(entity, row):
                    continue
            if value != row[column.name]:
                self.counts[f"{_kind(column, verdicts)} cells"] += 1
                self._note(row[column.name], value)
            made = changed
        return made

    def _note(self, one: Any, other: Any) -> None:
        if isinstance(one, str | date) and isinstance(other, str | date) and one != other:
            self.others[str(one)] = str(other)

    def _decides(self, entity: Entity, column: Column) -> bool:
        return bool(column.policy) or any(other.generated == column.name for other in self.columns[entity.name])

    def _replaced(self, entity: Entity, column: Column, row: Record, verdicts: Verdicts, drawing: Drawing) -> Any:
        seen = {verdicts[one.field] for one in column.readers}
        if "CLEAR" in seen or self._asks(entity, column, verdicts):
            return row[column.name]
        if "MASKED" in seen and column.readers[0].attribute.mask is not Mask.NOTHING:
            return drawing.under_mask(column.readers[0], row[column.name])
        value = drawing.value(entity, column)
        if column.name == "birth_date" and verdicts["birthYear"] != "DENIED" and row[column.name] and value:
            # The year is an attribute of its own, which may be clear where the date is not.
            value = row[column.name].replace(month=value.month, day=min(value.day, 28))
        return value

    @staticmethod
    def _asks(entity: Entity, column: Column, verdicts: Verdicts) -> bool:
        """Whether a source is asked by it, or found by it, for what the subject may see: a join key, not a value."""
        remotes = [f for f in entity.fields.values() if isinstance(f.member, Remote) and verdicts[f.field] == "CLEAR"]
        by = {entity.by_name[f.member.by].attribute.column for f in remotes if isinstance(f.member, Remote)}
        return column.name in by or bool(remotes and column.policy == "@manage")

    def _generated(self, entity: Entity, row: Record) -> Record:
        """The row with what the database will generate of it, and the policy's view of it."""
        made = dict(row)
        for column in self.columns[entity.name]:
            if column.policy and column.generated:
                made[column.name] = "-" if made[column.generated] is None else made[column.generated]
            elif column.generated and column.name.endswith("_year"):
                made[column.name] = made[column.generated].year if made[column.generated] else None
        governed = entity.governed
        carried = {attr: governed.column(attr) for attr in POLICY_ATTRIBUTES}
        made["@"] = Row.of({a: made[c] if c else governed.constant(a) for a, c in carried.items()})
        return made


def _kind(column: Column, verdicts: Verdicts) -> str:
    if not column.readers:
        return "policy and internal"
    return "masked" if any(verdicts[one.field] == "MASKED" for one in column.readers) else "denied"


async def rewrite(
    dsn: str, registry: Registry, columns: Mapping[str, tuple[Column, ...]], rows: Mapping[str, list[Record]]
) -> None:
    """Put these rows in the place of all that a database has; no trigger fires, every CHECK holds."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        for entity in entities(registry):
            names = [column.name for column in columns[entity.name] if not column.generated]
            await connection.execute(f"truncate zlaq.{entity.table}")
            await connection.copy_records_to_table(
                entity.table,
                schema_name="zlaq",
                columns=names,
                records=[tuple(row[name] for name in names) for row in rows[entity.name]],
            )
        await connection.execute("analyze")
    finally:
        await connection.close()


async def told_apart(dsn: str, sight: Sight, tables: Tables, registry: Registry) -> list[str]:
    """Where the subject would see another value in the other database: nowhere, or the twin is none.

    Read from the database anew and judged by `enforce`, so that nothing rests on how the rows were made.
    """
    other = await Tables.read(dsn, registry)
    found = []
    for entity in entities(registry):
        key = entity.key.attribute.column
        one, two = ({row[key]: row for row in listed.rows[entity.name]} for listed in (tables, other))
        for name in one.keys() | two.keys():
            rows = one.get(name), two.get(name)
            if _cells(rows[0]) == _cells(rows[1]):
                continue
            seen = [sight.shown(entity, row) if row is not None else None for row in rows]
            if seen[0] != seen[1]:
                found.append(f"{entity.name} {name}")
    return found


def _cells(row: Record | None) -> Record | None:
    """What is stored of a row."""
    return row and {name: value for name, value in row.items() if name.isidentifier()}
