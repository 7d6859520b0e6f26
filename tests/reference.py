"""What every answer must be, worked out naively: row by row, each cell asked of `enforce`, no plan, no SQL condition.

graphql-core executes the document, so that the rules of GraphQL are not ours; here is what each field resolves to. With
the product it shares only what is not under test: declarations, scalars and masks of other systems' values.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from graphql import GraphQLError, GraphQLResolveInfo, GraphQLSchema, execute_sync

from schema.declare import Relation
from schema.masks import MASKS
from schema.registry import Entity, Field, TypeKind
from schema.scalars import InvalidScalar
from tests.oracle import Oracle, Refused
from tests.reference_filters import check, satisfying
from tests.reference_graphql import Naive, Shown, valid
from tests.reference_pages import Boundary, Paging, bordering, edge_cursor, order, ordered
from tests.reference_rows import Record, written


@dataclass
class Reference:
    """The answers to one subject; `seen` are the verdicts met, by coordinate."""

    oracle: Oracle
    schema: GraphQLSchema
    issued: dict[str, Boundary]
    seen: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    supposed: bool = False
    """Whether there is one row of everything, of which nothing is known: all that can be refused is met."""

    def answer(self, query: str, variables: dict[str, Any]) -> Any:
        """The `data` of the answer, `Boundary` for page cursors; raises `Refused`."""
        self.seen.clear()
        document, data = valid(self.schema, query), None
        # What is refused whoever asks, what this subject is refused whatever the rows, and at last the answer.
        for self.oracle.anyone, self.supposed in ((True, True), (False, True), (False, False)):
            data, errors = execute_sync(
                self.schema, document, None, None, variables,
                field_resolver=self.resolve, type_resolver=lambda shown, *_: shown.entity.name, executor_class=Naive,
            )  # fmt: skip
            for error in errors or ():
                cause = error.original_error
                raise Refused(error.message) if isinstance(cause, Refused | GraphQLError | None) else cause
        return data

    def resolve(self, source: Any, info: GraphQLResolveInfo, **given: Any) -> Any:
        name = info.field_name
        if source is None:
            return self.root(name, given)
        return self.part(source, name, given) if isinstance(source, Shown) else source[name]

    def root(self, name: str, given: dict[str, Any]) -> Any:
        entities = self.oracle.registry.entities
        if name == "node":
            return self.by_key(*self.identified(given["id"]))
        if name in ("nodes", "_entities"):
            listed = given["ids"] if name == "nodes" else given["representations"]
            if len(listed) > 100:
                raise Refused(name)
            return [self.by_key(*(self.identified if name == "nodes" else self.represented)(item)) for item in listed]
        for entity in entities.values():
            if name == entity.root:
                return self.by_key(entity, given[entity.key.field])
        return self.page(next(entity for entity in entities.values() if name == entity.plural), given)

    def identified(self, text: str) -> tuple[Entity, Any]:
        try:
            name, colon, key = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            raise Refused("id") from None
        if not colon or name not in self.oracle.registry.entities or "\0" in key:
            raise Refused("id")
        return self.oracle.registry.entities[name], key

    def represented(self, item: Any) -> tuple[Entity, Any]:
        if not isinstance(item, dict) or item.get("__typename") not in self.oracle.registry.entities:
            raise Refused("representation")
        entity = self.oracle.registry.entities[item["__typename"]]
        return entity, item.get(entity.key.field)

    def by_key(self, entity: Entity, key: Any) -> Shown | None:
        """Hidden, missing and impossible keys are all null."""
        if self.supposed:
            return Shown(entity, None)
        assert entity.key.scalar is not None
        try:
            rows = self.oracle.tables.where(entity, entity.key, entity.key.scalar.parse(key))
        except InvalidScalar:
            return None
        return next((Shown(entity, row) for row in self.oracle.visible(entity, rows)), None)

    def page(self, entity: Entity, given: dict[str, Any]) -> Any:
        oracle, where, paging = self.oracle, given.get("where") or {}, Paging.of(given)
        terms = order(oracle, entity, given.get("orderBy"))
        check(oracle, entity, where)
        if self.supposed:
            item = Shown(entity, None)
            info: Any = dict.fromkeys(("hasNextPage", "hasPreviousPage", "startCursor", "endCursor"), False)
            return {"totalCount": 1, "pageInfo": info, "nodes": [item], "edges": [{"cursor": "", "node": item}]}
        if oracle.never_visible(entity):
            return None
        found = ordered(satisfying(oracle, entity, where, oracle.shown(entity)), terms)
        walk = (entity.name, *(f"{'-' if descending else ''}{f.name}" for f, descending in terms))
        border = None if paging.cursor is None else bordering(oracle, entity, paging.cursor, walk, self.issued)
        rows, after, before = paging.cut(found, terms, border)
        keys = [row[entity.key.attribute.column] for row in rows]
        ends: Any = [Boundary(oracle.subject.id, oracle.snapshot.revision.id, walk, key) for key in keys] or [None]
        info = {"hasNextPage": after, "hasPreviousPage": before, "startCursor": ends[0], "endCursor": ends[-1]}
        edges = [{"cursor": edge_cursor(entity, row), "node": Shown(entity, row)} for row in rows]
        return {"totalCount": len(found), "pageInfo": info, "nodes": [e["node"] for e in edges], "edges": edges}

    def part(self, shown: Shown, name: str, given: dict[str, Any]) -> Any:
        """A field of an object."""
        entity, row = shown.entity, shown.row
        if name in entity.fields and isinstance(entity.fields[name].member, Relation):
            return self.relation(entity, entity.fields[name], row, given)
        if row is None:
            return "" if name in ("id", entity.key.field) else [] if name == "_disclosure" else None
        if name == "id":
            return base64.b64encode(f"{entity.name}:{row[entity.key.attribute.column]}".encode()).decode()
        if name == "_disclosure":
            said = {n: self.said(entity, entity.fields[n], row) for n in shown.selected if n in entity.fields}
            return [{"field": n, "verdict": verdict} for n, verdict in said.items() if verdict != "CLEAR"]
        verdict = self.said(entity, entity.fields[name], row)
        self.seen[entity.fields[name].coordinate].add(verdict)
        return self.cell(entity.fields[name], row, verdict)

    def said(self, entity: Entity, one: Field, row: Record) -> str:
        asked = self.oracle.link_verdict if isinstance(one.member, Relation) else self.oracle.verdict
        return asked(entity, one, row)

    def cell(self, one: Field, row: Record, verdict: str) -> Any:
        attribute = one.attribute
        if one.type.kind is not TypeKind.VALUE:
            value = row[attribute.column]
            if value is None or verdict == "DENIED":
                return None
            return written(one, value) if verdict == "CLEAR" else MASKS[attribute.mask](value)
        if verdict != "CLEAR":
            return None
        parts = self.oracle.registry.values[one.type.name].fields.values()
        if attribute.columns is None:
            items = json.loads(row[attribute.column])
            return [{part.field: written(part, item.get(part.name)) for part in parts} for item in items]
        # What has no column (the parts of a provenance that only remote values have) is null.
        stored = {part: row[attribute.columns[part.name]] for part in parts if part.name in attribute.columns}
        found = {part.field: written(part, stored[part]) if part in stored else None for part in parts}
        return found if any(value is not None for value in found.values()) else None

    def relation(self, entity: Entity, link: Field, row: Record | None, given: dict[str, Any]) -> Any:
        assert isinstance(link.member, Relation)
        oracle, target = self.oracle, self.oracle.registry.entity(link.type.name)
        if oracle.never_linked(entity, link):
            return None
        if not link.type.is_list:
            found = oracle.linked(entity, link, row) if row is not None else [None]
            return Shown(target, found[0]) if found else None
        if not 0 <= given["first"] <= 100:
            raise Refused("first")
        where, terms = given.get("where") or {}, order(oracle, target, given.get("orderBy"), link.member.order)
        check(oracle, target, where)
        if row is None:
            return [Shown(target, None)]
        rows = ordered(satisfying(oracle, target, where, oracle.linked(entity, link, row)), terms)
        return [Shown(target, one) for one in rows[: given["first"]]]
