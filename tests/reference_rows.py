"""All rows of all entities as Python objects, and how their values are written in an answer."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import asyncpg

from policy.row import Row
from schema.predicate import POLICY_ATTRIBUTES

if TYPE_CHECKING:
    from schema.registry import Entity, Field, Registry

Record = dict[str, Any]


class Tables:
    """The rows by entity; the policy's view of a row stands in it as "@", and equal views have one number, "#"."""

    def __init__(self, rows: dict[str, list[Record]]) -> None:
        self.rows = rows
        self._by: dict[tuple[str, str], dict[Any, list[Record]]] = {}

    @classmethod
    async def read(cls, dsn: str, registry: Registry) -> Tables:
        connection = await asyncpg.connect(dsn)
        rows, numbers = {}, defaultdict[Row, int](count().__next__)
        for entity in registry.entities.values():
            statement = f"select * from zlaq.{entity.table} order by {entity.key.attribute.column}"
            found = [dict(r) for r in await connection.fetch(statement)]
            for row in found:
                columns = {a: entity.governed.column(a) for a in POLICY_ATTRIBUTES}
                row["@"] = Row.of({a: row[c] if c else entity.governed.constant(a) for a, c in columns.items()})
                row["#"] = numbers[row["@"]]
            rows[entity.name] = found
        await connection.close()
        return cls(rows)

    def where(self, entity: Entity, attribute: Field, value: Any) -> list[Record]:
        """The rows whose attribute has a value; NULL equals nothing."""
        column = attribute.attribute.column
        if (entity.name, column) not in self._by:
            self._by[entity.name, column] = defaultdict(list)
            for row in self.rows[entity.name]:
                self._by[entity.name, column][row[column]].append(row)
        return [] if value is None else self._by[entity.name, column].get(value, [])


def written(attribute: Field, value: Any) -> Any:
    """The golden table of formats (`schema.scalars`)."""
    if isinstance(value, list):
        return [written(attribute, item) for item in value]
    if value is None:
        return None
    if attribute.codes is not None:
        return attribute.codes.by_code[value].name
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else value
