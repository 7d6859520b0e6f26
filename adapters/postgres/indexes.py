"""The indexes that declarations imply: scoped key orders, sortable and filterable attributes, to-many relations.

Pure. `adapters.postgres.migrate` creates what is listed here and drops what no longer is; migrations contain no index
of an entity's table but its primary key, which also serves the to-one relations.

A list is ordered by `a, key` or by `a DESC, key DESC`: the tie-breaker follows the direction, so one index read either
way serves both. An attribute that may be missing comes last in both directions, which one index cannot do, so it has a
second one with `DESC NULLS LAST`. Where data is never missing a statement must not say `NULLS LAST`: PostgreSQL would
not use the index then.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.postgres.columns import SCHEMA, policy_columns
from schema.declare import Attribute, Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from schema.registry import Entity, Field, Registry

_NAME_AT_MOST = 63
PREFIX = "ix_"
"""Every derived index has a name that begins so, and nothing else in the schema has."""


@dataclass(frozen=True, slots=True)
class Index:
    """One derived index; `keys` are columns with their direction as written in SQL."""

    name: str
    table: str
    keys: tuple[str, ...]
    include: tuple[str, ...] = ()

    @property
    def definition(self) -> str:
        """What follows `CREATE INDEX name`; kept as the index's comment, so that a changed one is rebuilt."""
        include = f" INCLUDE ({', '.join(self.include)})" if self.include else ""
        return f"ON {SCHEMA}.{self.table} ({', '.join(self.keys)}){include}"

    @property
    def statement(self) -> str:
        """Creates the index."""
        return f"CREATE INDEX IF NOT EXISTS {self.name} {self.definition}"


def index_statements(registry: Registry) -> list[Index]:
    """All derived indexes, by table and name, without those whose keys another one begins with."""
    wanted = [index for entity in registry.entities.values() for index in _of_entity(entity)]
    wanted += [index for entity in registry.entities.values() for index in _of_relations(entity, registry)]
    unique = {index.name: index for index in wanted}
    kept = [
        index
        for index in unique.values()
        if index.include or not any(_begins(other, index) for other in unique.values() if other is not index)
    ]
    return sorted(kept, key=lambda index: (index.table, index.name))


def _begins(longer: Index, index: Index) -> bool:
    return longer.table == index.table and longer.keys[: len(index.keys)] == index.keys


def _of_entity(entity: Entity) -> Iterator[Index]:
    key = entity.key.attribute.column
    manage = entity.governed.manage
    scopes = (f"{manage}_p2", f"{manage}_p4", manage) if manage else ()
    governed = entity.governed
    for scope in (*scopes, governed.owner_dept, governed.holder_uscc, governed.holder_person):
        if scope and scope != key:
            yield _index(entity, (scope, key))
    for field in entity.fields.values():
        if not isinstance(field.member, Attribute) or field.name == entity.key.name:
            continue
        column = field.member.column
        if field.member.sortable:
            orders = [(column, key)] if field.member.always else [(column, key), (_descending(field), f"{key} DESC")]
            for order in orders:
                yield _index(entity, order)
                for scope in scopes:
                    yield _index(entity, (scope, *order))
        elif field.member.filterable and field.member.columns is None and not field.type.is_list:
            yield _index(entity, (column, key))


def _of_relations(entity: Entity, registry: Registry) -> Iterator[Index]:
    for field in entity.fields.values():
        if not isinstance(field.member, Relation) or not field.type.is_list:
            continue
        target = registry.entity(field.type.name)
        columns = {name: f for name, f in target.by_name.items() if isinstance(f.member, Attribute)}
        keys = [columns[field.member.by].attribute.column]
        for order in field.member.order:
            ordered = columns[order.removeprefix("-")]
            keys.append(_descending(ordered) if order.startswith("-") else ordered.attribute.column)
        if field.member.order[-1].removeprefix("-") != target.key.name:
            keys.append(target.key.attribute.column)
        covered = [columns[name].attribute.column for name in field.member.covering]
        if covered:
            # Without these every row of the list would be read from the table only to ask who may see it.
            policy = policy_columns(target)
            governed = target.governed
            scope = (
                governed.manage, f"{governed.manage}_p2", f"{governed.manage}_p4",
                governed.sens, governed.owner_dept, governed.site,
            )  # fmt: skip
            covered += [column for column in scope if column in policy]
        bare = {key.removesuffix(" NULLS LAST").removesuffix(" DESC") for key in keys}
        yield _index(target, tuple(keys), tuple(column for column in dict.fromkeys(covered) if column not in bare))


def _descending(field: Field) -> str:
    return f"{field.attribute.column} DESC" + ("" if field.attribute.always else " NULLS LAST")


def _index(entity: Entity, keys: tuple[str, ...], include: tuple[str, ...] = ()) -> Index:
    return Index(_name(entity, keys, bool(include)), entity.table, keys, include)


def _name(entity: Entity, keys: Iterable[str], covering: bool) -> str:
    parts = [key.removesuffix(" NULLS LAST").replace(" DESC", "_desc") for key in keys]
    key = entity.key.attribute.column
    directions = [part.endswith("_desc") for part in parts]
    if len(parts) > 1 and parts[-1].removesuffix("_desc") == key and directions[-1] == directions[-2]:
        parts.pop()
    manage = entity.governed.manage
    words = [part.removeprefix(f"{manage}_") if part in (f"{manage}_p2", f"{manage}_p4") else part for part in parts]
    name = f"{PREFIX}{entity.table}_{'_'.join(words)}" + ("_covering" if covering else "")
    if len(name) <= _NAME_AT_MOST:
        return name
    return f"{name[:54]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
