"""Valid values for any column, drawn at random: what a province could have delivered instead."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg

from schema.declare import Mask
from schema.predicate import POLICY_ATTRIBUTES
from schema.registry import TypeKind
from schema.scalars import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from schema.registry import Entity, Field, Registry
    from tests.reference_rows import Tables

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_LETTERS = "武汉江城建设工程有限公司张李王赵欧阳AZaz09 %_\\'\"|𠮷\n"
_FIRST = date(1950, 1, 1)


def citizen_no(rng: Random, head: str = "") -> str:
    """A number with a right check digit (GB 11643-1999) that begins with `head`, at most six digits."""
    region = head or rng.choice(("420106", "110101", "330106", "652324"))
    born = _FIRST + timedelta(rng.randrange(20_000))
    digits = f"{region}{born:%Y%m%d}{rng.randrange(1000):03}"
    return digits + "10X98765432"[sum(int(d) * w for d, w in zip(digits, _WEIGHTS, strict=True)) % 11]


@dataclass(frozen=True)
class Column:
    """A stored column: what a client can ask it by, and whether it may be NULL."""

    name: str
    readers: tuple[Field, ...]
    """Attributes whose value it is, or part of it; none for what is the policy's or internal."""
    parts: tuple[Field, ...]
    """For a column of a spread value type: its own attribute there."""
    policy: str
    """The policy attribute it carries, "" for none."""
    nullable: bool
    generated: str
    """The column that this one is generated from, "" for an ordinary one."""


async def columns_of(dsn: str, registry: Registry) -> Mapping[str, tuple[Column, ...]]:
    """The columns of every entity's table, as the catalogue of the database and the declarations have them."""
    connection = await asyncpg.connect(dsn)
    try:
        found = {entity.name: tuple(await _columns(connection, entity, registry)) for entity in entities(registry)}
    finally:
        await connection.close()
    return found


def entities(registry: Registry) -> list[Entity]:
    """All entities, in one order."""
    return [registry.entities[name] for name in sorted(registry.entities)]


async def _columns(connection: asyncpg.Connection, entity: Entity, registry: Registry) -> list[Column]:
    listed = await connection.fetch(
        "select a.attname as name, not a.attnotnull as nullable, a.attgenerated <> '' as generated,"
        " coalesce(pg_get_expr(d.adbin, d.adrelid), '') as made from pg_attribute a"
        " left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum"
        " where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped order by a.attnum",
        f"zlaq.{entity.table}",
    )
    names = [row["name"] for row in listed]
    carried = {entity.governed.column(attr): attr for attr in POLICY_ATTRIBUTES if entity.governed.column(attr)}
    found = []
    for row in listed:
        name = row["name"]
        readers, parts = [], []
        for one in entity.fields.values():
            if getattr(one.member, "column", None) is None:
                continue
            spread = one.attribute.columns or {}
            if name in spread.values() or (not spread and one.attribute.column == name):
                readers.append(one)
            inner = registry.values[one.type.name].fields.values() if spread else ()
            parts += [p for p in inner if spread.get(p.name) == name]
        origin = next((n for n in names if row["generated"] and n != name and re.search(rf"\b{n}\b", row["made"])), "")
        found.append(Column(name, tuple(readers), tuple(parts), carried.get(name, ""), row["nullable"], origin))
    return found


@dataclass
class Drawing:
    """Draws values; what stands in the tables is drawn again now and then, so that links meet."""

    tables: Tables
    rng: Random
    pools: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    identifiers: dict[str, list[Any]] = field(default_factory=dict)

    def value(self, entity: Entity, column: Column) -> Any:
        """Any value that the column takes."""
        if column.nullable and self.rng.randrange(6) == 0:
            return None
        if column.parts:
            return self._scalar(entity, column, column.parts[0])
        if column.policy == "@sens":
            return self.rng.randrange(10)
        if column.policy or not column.readers:
            return self._internal(entity, column)
        return self._scalar(entity, column, column.readers[0])

    def under_mask(self, one: Field, value: Any) -> Any:
        """Another value that the attribute's mask makes the same of."""
        match one.attribute.mask:
            case Mask.CITIZEN_NO if value is not None:
                return citizen_no(self.rng, value[:6])
            case Mask.PERSON_NAME if value:
                return value[:1] + self._text()[:20]
            case Mask.PHONE if value is not None and len(value) >= 11:
                return value[:3] + "".join(self.rng.choices("0123456789", k=len(value) - 7)) + value[-4:]
            case Mask.PHONE if value is not None:
                return self._text()[: self.rng.randrange(11)]
            case _:
                return value

    def text_key(self, entity: Entity) -> str:
        """A key of the entity's form that no row has."""
        keys = self.pool(entity, entity.key.attribute.column)
        parse = entity.key.scalar.parse if entity.key.scalar else str
        while True:
            key = list(self.rng.choice(keys))
            for _ in range(3):
                place = self.rng.randrange(len(key))
                drawn = self.rng.choice("0123456789" if key[place].isdigit() else "abcdefgh234567")
                key[place] = drawn if key[place].isalnum() and key[place].isascii() else key[place]
            made = "".join(key)
            try:
                if made not in keys and parse(made) == made:
                    return made
            except ValueError:
                continue

    def pool(self, entity: Entity, column: str) -> list[Any]:
        """What stands in a column."""
        if (entity.name, column) not in self.pools:
            values = {row[column] for row in self.tables.rows[entity.name] if not isinstance(row[column], list)}
            self.pools[entity.name, column] = sorted((v for v in values if v is not None), key=str)
        return self.pools[entity.name, column]

    def _internal(self, entity: Entity, column: Column) -> Any:
        if column.name == "id_hash":
            return f"{self.rng.getrandbits(256):064x}"
        return self.rng.choice(self.pool(entity, column.name) or ["-"])

    def _scalar(self, entity: Entity, column: Column, one: Field) -> Any:
        if one.type.is_list:
            return self._list(one)
        if one.codes is not None:
            return self.rng.choice(one.codes.entries).code
        if one.type.name == "CitizenNo":
            return citizen_no(self.rng)
        if one.scalar is not None and one.scalar.kind is Kind.TEXT and one.type.name != "String":
            listed = self._identifiers(entity, column, one)
            return self.rng.choice(listed) if listed else None
        own = self.pool(entity, column.name)
        if own and all(isinstance(value, str) and value.isdigit() for value in own):
            # A number of a form of its own, such as a code of twelve digits.
            return self.rng.choice(own)
        return self._plain(one.scalar.kind if one.scalar else Kind.TEXT)

    def _plain(self, kind: Kind) -> Any:
        match kind:
            case Kind.INTEGER | Kind.LONG:
                return self.rng.randint(1, 3) if self.rng.randrange(2) else self.rng.randint(1, 10**6)
            case Kind.DECIMAL:
                return Decimal(self.rng.randint(-900_000, 900_000)).scaleb(-4)
            case Kind.BOOLEAN:
                return self.rng.randrange(2) == 0
            case Kind.DATE:
                return _FIRST + timedelta(self.rng.randrange(30_000))
            case Kind.INSTANT:
                return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=self.rng.randrange(10**8))
            case _:
                return self._text()

    def _list(self, one: Field) -> Any:
        many = self.rng.randrange(4)
        if one.type.kind is TypeKind.VALUE:
            return json.dumps([{"name": self._text(), "enforcement_cert_no": self._text()} for _ in range(many)])
        if one.codes is not None:
            return [entry.code for entry in self.rng.sample(one.codes.entries, min(many, len(one.codes.entries)))]
        if one.type.name == "RegionCode":
            return [f"{self.rng.randrange(10**6):06}" for _ in range(many)]
        return [self._text() for _ in range(many)]

    def _identifiers(self, entity: Entity, column: Column, one: Field) -> list[Any]:
        own = self.pool(entity, column.name)
        if one.type.name == "RegionCode":
            return own
        if one.type.name not in self.identifiers:
            found = {value for (_, name), pool in self.pools.items() if name == column.name for value in pool}
            self.identifiers[one.type.name] = sorted(found | set(own))
        return self.identifiers[one.type.name]

    def _text(self) -> str:
        return "".join(self.rng.choices(_LETTERS, k=self.rng.randrange(25)))
