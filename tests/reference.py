"""What every answer must be, worked out naively: row by row, each cell asked of `enforce`, no plan, no SQL condition.

It shares with the product only what is not under test here: declarations, scalars, masks of other systems' values, and
graphql-core for parsing and coercion. From the compiled decision it takes two bits that no row can tell: whether
something is never clear (null rather than empty, refused rather than unsatisfied), and whether it may order.
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import asyncpg
import casbin
from casbin.util import generate_g_function
from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLIncludeDirective,
    GraphQLSchema,
    GraphQLSkipDirective,
    OperationDefinitionNode,
    get_argument_values,
    get_directive_values,
    get_variable_values,
    parse,
    validate,
)
from graphql.language import FieldNode, FragmentSpreadNode, SelectionSetNode

from policy.decide import Snapshot
from policy.row import Row
from policy.subject import Subject
from schema.declare import Attribute, Relation
from schema.masks import MASKS
from schema.predicate import NEVER, POLICY_ATTRIBUTES
from schema.regions import prefix
from schema.registry import Entity, Field, Registry, TypeKind
from schema.scalars import InvalidScalar

Record = dict[str, Any]
Sets = list[SelectionSetNode]


class Refused(Exception):
    """The operation is refused as a whole."""


@dataclass(frozen=True)
class Boundary:
    """Stands where an encrypted cursor is expected: whose it is, of which walk, and the key of the row it means."""

    subject: str
    revision: str
    walk: tuple[str, ...]
    key: str


class Tables:
    """All rows of all entities, by entity; the policy's view of a row stands in it as "@"."""

    def __init__(self, rows: dict[str, list[Record]]) -> None:
        self.rows = rows
        self._by: dict[tuple[str, str], dict[Any, list[Record]]] = {}
        self._documents: dict[str, tuple[DocumentNode, list[GraphQLError]]] = {}

    @classmethod
    async def read(cls, dsn: str, registry: Registry) -> Tables:
        connection = await asyncpg.connect(dsn)
        rows = {}
        for entity in registry.entities.values():
            found = [dict(r) for r in await connection.fetch(f"select * from zlaq.{entity.table}")]
            for row in found:
                columns = {a: entity.governed.column(a) for a in POLICY_ATTRIBUTES}
                row["@"] = Row.of({a: row[c] if c else entity.governed.constant(a) for a, c in columns.items()})
            rows[entity.name] = found
        await connection.close()
        return cls(rows)

    def document(self, schema: GraphQLSchema, query: str) -> tuple[DocumentNode, list[GraphQLError]]:
        """The text parsed, and what is wrong with it; the last few are kept, since many ask the same."""
        if query not in self._documents:
            if len(self._documents) > 20:
                self._documents.clear()
            parsed = parse(query)
            self._documents[query] = (parsed, validate(schema, parsed))
        return self._documents[query]

    def where(self, entity: Entity, attribute: Field, value: Any) -> list[Record]:
        """The rows whose attribute has a value; NULL equals nothing."""
        column = attribute.attribute.column
        if (entity.name, column) not in self._by:
            self._by[entity.name, column] = defaultdict(list)
            for row in self.rows[entity.name]:
                self._by[entity.name, column][row[column]].append(row)
        return [] if value is None else self._by[entity.name, column].get(value, [])


@dataclass
class Reference:
    """The answers to one subject under one revision at one time; `seen` are the verdicts met, by coordinate."""

    tables: Tables
    registry: Registry
    schema: GraphQLSchema
    snapshot: Snapshot
    subject: Subject
    now: int
    issued: dict[str, Boundary]
    seen: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    cells: int = 0
    anyone: bool = False
    """Whether the operation is only looked at, as for someone who may see everything."""
    _known: dict[tuple[Any, str, Row], bool] = field(default_factory=dict)
    _alike: dict[str, Any] = field(default_factory=dict)

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` of the answer, `Boundary` for page cursors; raises `Refused`."""
        self.seen.clear()
        answer: dict[str, Any] = {}
        try:
            document, problems = self.tables.document(self.schema, query)
            if problems:
                raise Refused(problems[0].message)
            (operation,) = (d for d in document.definitions if isinstance(d, OperationDefinitionNode))
            self.fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
            coerced: Any = get_variable_values(self.schema, operation.variable_definitions or (), variables)
            if isinstance(coerced, list):
                raise Refused(coerced[0].message)
            self.variables = coerced
            roots = self.collect("Query", [operation.selection_set])
            # What is wrong with the operation whoever asks is refused whoever asks.
            for self.anyone in (True, False):
                answer = {key: self.root(node, sets) for key, (node, sets) in roots.items()}
        except GraphQLError as error:
            raise Refused(error.message) from error
        return answer

    # Policy

    def allowed(self, obj: str, act: str, row: Record) -> bool:
        key = (self.alike(obj), act, row["@"])
        if key not in self._known:
            enforcer = self.snapshot.enforcer
            self._known[key] = enforcer.enforce(self.subject, obj, act, row["@"], self.now)
        return self._known[key]

    def alike(self, obj: str) -> Any:
        """What the model can tell of an object (`model.conf`: its class, system and governance, or its own name)."""
        if obj not in self._alike:
            entity, revision = self.registry.entity_of(obj), self.snapshot.revision
            named = obj if any(rule.obj == obj for rule in revision.rules) else ""
            self._alike[obj] = (revision.classes.get(obj), entity.system, entity.governed.by != "none", named)
        return self._alike[obj]

    def visible(self, entity: Entity, row: Record) -> bool:
        return self.allowed(entity.row, "clear", row)

    def verdict(self, entity: Entity, attribute: Field, row: Record) -> str:
        """Of an attribute of a visible row."""
        obj = entity.policy_object(attribute)
        self.cells += 1
        if self.allowed(obj, "clear", row):
            return "CLEAR"
        return "MASKED" if obj != entity.row and self.allowed(obj, "mask", row) else "DENIED"

    def clear(self, entity: Entity, attribute: Field, row: Record) -> bool:
        return self.verdict(entity, attribute, row) == "CLEAR"

    def never_visible(self, entity: Entity) -> bool:
        return not self.anyone and self.snapshot.decide(self.subject, self.now).row(entity).clear == NEVER

    def never(self, entity: Entity, attribute: Field) -> bool:
        if self.anyone or attribute.name == entity.key.name:
            return False
        return bool(self.snapshot.decide(self.subject, self.now).field(entity, attribute).clear == NEVER)

    def may_order(self, entity: Entity, attribute: Field) -> bool:
        if self.anyone or attribute.name == entity.key.name:
            return True
        provable = self.snapshot.decide(self.subject, self.now).field(entity, attribute).provable_clear
        if provable:
            shown = (row for row in self.tables.rows[entity.name] if self.visible(entity, row))
            assert all(self.clear(entity, attribute, row) for row in shown), f"{attribute.coordinate} is not clear"
        return provable

    # Selections

    def collect(self, type_name: str, sets: Sets) -> dict[str, tuple[FieldNode, Sets]]:
        """Response key to its first field and all the selection sets below it."""
        found: dict[str, tuple[FieldNode, Sets]] = {}
        expanded: set[str] = set()

        def walk(selection_set: SelectionSetNode) -> None:
            for node in selection_set.selections:
                skip = get_directive_values(GraphQLSkipDirective, node, self.variables)
                include = get_directive_values(GraphQLIncludeDirective, node, self.variables)
                if (skip and skip["if"]) or (include and not include["if"]):
                    continue
                if isinstance(node, FieldNode):
                    _, below = found.setdefault((node.alias or node.name).value, (node, []))
                    below += [node.selection_set] if node.selection_set else []
                    continue
                target: Any = node
                if isinstance(node, FragmentSpreadNode):
                    if node.name.value in expanded:
                        continue
                    expanded.add(node.name.value)
                    target = self.fragments[node.name.value]
                if target.type_condition is None or self.applies(target.type_condition.name.value, type_name):
                    walk(target.selection_set)

        for selection_set in sets:
            walk(selection_set)
        return found

    def applies(self, condition: str, type_name: str) -> bool:
        kinds: Any = self.schema.type_map
        return condition == type_name or (
            hasattr(kinds[condition], "resolve_type") and self.schema.is_sub_type(kinds[condition], kinds[type_name])
        )

    def arguments(self, parent: str, node: FieldNode) -> dict[str, Any]:
        kinds: Any = self.schema.type_map
        return get_argument_values(kinds[parent].fields[node.name.value], node, self.variables)

    # Roots

    def root(self, node: FieldNode, sets: Sets) -> Any:
        name = node.name.value
        if name == "__typename":
            return "Query"
        given = self.arguments("Query", node)
        if name == "node":
            return self.by_key(*self.identified(given["id"]), sets)
        if name in ("nodes", "_entities"):
            listed = given["ids"] if name == "nodes" else given["representations"]
            if len(listed) > 100:
                raise Refused(name)
            items = [self.identified(i) if name == "nodes" else self.represented(i) for i in listed]
            return [self.by_key(entity, key, sets) for entity, key in items]
        for entity in self.registry.entities.values():
            if name == entity.root:
                return self.by_key(entity, given[entity.key.field], sets)
            if name == entity.plural:
                return self.page(entity, given, sets)
        raise AssertionError(name)

    def identified(self, text: str) -> tuple[Entity, Any]:
        try:
            name, colon, key = base64.b64decode(text, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            raise Refused("id") from None
        if not colon or name not in self.registry.entities or "\0" in key:
            raise Refused("id")
        return self.registry.entities[name], key

    def represented(self, item: Any) -> tuple[Entity, Any]:
        if not isinstance(item, dict) or item.get("__typename") not in self.registry.entities:
            raise Refused("representation")
        entity = self.registry.entities[item["__typename"]]
        return entity, item.get(entity.key.field)

    def by_key(self, entity: Entity, key: Any, sets: Sets) -> Any:
        """Hidden, missing and impossible keys are all null."""
        self.object(entity, None, sets)
        try:
            parsed = entity.key.scalar.parse(key) if entity.key.scalar else None
        except InvalidScalar:
            return None
        found = [] if self.anyone else self.tables.where(entity, entity.key, parsed)
        return next((self.object(entity, row, sets) for row in found if self.visible(entity, row)), None)

    def page(self, entity: Entity, given: dict[str, Any], sets: Sets) -> Any:
        where, terms = given.get("where") or {}, self.order(entity, given.get("orderBy"), ())
        self.satisfies(entity, where, None)
        first, last, after, before = (given.get(name) for name in ("first", "last", "after", "before"))
        if (first is not None and last is not None) or (after is not None and last is not None):
            raise Refused("paging")
        size: Any = 20 if first is None and last is None else first if last is None else last
        if (before is not None and last is None) or not 0 <= size <= 1000:
            raise Refused("paging")
        for part, below in self.collect(f"{entity.name}Connection", sets).values():
            if part.name.value in ("nodes", "edges"):
                self.page_item(entity, part.name.value, None, below)
        if self.anyone or self.never_visible(entity):
            return None
        shown = [row for row in self.tables.rows[entity.name] if self.visible(entity, row)]
        found = self.ordered([row for row in shown if self.satisfies(entity, where, row)], terms)
        walk = (entity.name, *(f"{'-' if descending else ''}{f.name}" for f, descending in terms))
        cursor = after if after is not None else before
        rest = found
        if cursor is not None:
            border = self.border(entity, cursor, walk)
            both = self.ordered([border, *(row for row in found if row is not border)], terms)
            place = next(i for i, row in enumerate(both) if row is border)
            rest = both[place + 1 :] if before is None else both[:place]
        window = rest[:size] if last is None else rest[len(rest) - min(size, len(rest)) :]
        more, given_cursor = len(rest) > size, cursor is not None

        def boundary(row: Record) -> Boundary:
            return Boundary(self.subject.id, self.snapshot.revision.id, walk, row[entity.key.attribute.column])

        info = {
            "hasNextPage": more if last is None else given_cursor,
            "hasPreviousPage": given_cursor if last is None else more,
            "startCursor": boundary(window[0]) if window else None,
            "endCursor": boundary(window[-1]) if window else None,
            "__typename": "PageInfo",
        }
        answer: dict[str, Any] = {}
        for key, (part, below) in self.collect(f"{entity.name}Connection", sets).items():
            match part.name.value:
                case "__typename":
                    answer[key] = f"{entity.name}Connection"
                case "totalCount":
                    answer[key] = len(found)
                case "pageInfo":
                    answer[key] = {k: info[n.name.value] for k, (n, _) in self.collect("PageInfo", below).items()}
                case item:
                    answer[key] = [self.page_item(entity, item, row, below) for row in window]
        return answer

    def page_item(self, entity: Entity, item: str, row: Record | None, sets: Sets) -> Any:
        if item == "nodes":
            return self.object(entity, row, sets)
        edge: dict[str, Any] = {}
        for key, (node, below) in self.collect(f"{entity.name}Edge", sets).items():
            if node.name.value == "node":
                edge[key] = self.object(entity, row, below)
            elif node.name.value == "cursor" and row is not None:
                edge[key] = "k" + base64.b64encode(row[entity.key.attribute.column].encode()).decode()
            else:
                edge[key] = f"{entity.name}Edge"
        return edge

    def border(self, entity: Entity, cursor: str, walk: tuple[str, ...]) -> Record:
        """The row that a cursor stands for: an edge's names its key, which must be visible; a page's was issued."""
        if cursor.startswith("k"):
            try:
                key = base64.b64decode(cursor[1:], validate=True).decode()
            except (binascii.Error, ValueError):
                raise Refused("cursor") from None
            rows = [row for row in self.tables.where(entity, entity.key, key) if self.visible(entity, row)]
        else:
            meant = self.issued.get(cursor)
            if meant is None or meant != Boundary(self.subject.id, self.snapshot.revision.id, walk, meant.key):
                raise Refused("cursor")
            rows = self.tables.where(entity, entity.key, meant.key)
        if not rows:
            raise Refused("cursor")
        return rows[0]

    # Objects

    def object(self, entity: Entity, row: Record | None, sets: Sets) -> Any:
        """One visible row; without a row nothing but what is refused whatever the rows."""
        shown: dict[str, Any] = {}
        judged: dict[str, str] = {}
        lists: list[tuple[str, Sets]] = []
        for key, (node, below) in self.collect(entity.name, sets).items():
            name = node.name.value
            shown[key] = None
            if name == "__typename":
                shown[key] = entity.name
            elif name == "id":
                text = f"{entity.name}:{row[entity.key.attribute.column]}" if row else ""
                shown[key] = base64.b64encode(text.encode()).decode()
            elif name == "_disclosure":
                lists.append((key, below))
            elif isinstance(entity.fields[name].member, Relation):
                shown[key], judged[name] = self.relation(entity, entity.fields[name], node, row, below)
            elif row is not None:
                attribute = entity.fields[name]
                judged[name] = self.verdict(entity, attribute, row)
                self.seen[attribute.coordinate].add(judged[name])
                shown[key] = self.cell(attribute, row, judged[name], below)
        for key, below in lists:
            items = [(name, said) for name, said in judged.items() if said in ("MASKED", "DENIED")]
            parts = self.collect("Disclosure", below)
            shown[key] = [
                {k: {"field": f, "verdict": v, "__typename": "Disclosure"}[n.name.value] for k, (n, _) in parts.items()}
                for f, v in items
            ]
        return shown

    def cell(self, attribute: Field, row: Record, said: str, below: Sets) -> Any:
        member, kind = attribute.attribute, attribute.type.name
        if attribute.type.kind is TypeKind.VALUE:
            if said != "CLEAR":
                return None
            if member.columns is not None:
                values = {part: row[column] for part, column in member.columns.items()}
                return self.parts(kind, values, below) if any(v is not None for v in values.values()) else None
            return [self.parts(kind, item, below) for item in json.loads(row[member.column])]
        value = row[member.column]
        if value is None or said == "DENIED":
            return None
        return written(attribute, value) if said == "CLEAR" else MASKS[member.mask](value)

    def parts(self, type_name: str, values: dict[str, Any], below: Sets) -> dict[str, Any]:
        fields = self.registry.values[type_name].fields
        return {
            key: type_name if n.name.value == "__typename" else written(f, values.get(f.name))
            for key, (n, _) in self.collect(type_name, below).items()
            for f in [fields.get(n.name.value) or next(iter(fields.values()))]
        }

    def relation(
        self, entity: Entity, link: Field, node: FieldNode, row: Record | None, below: Sets
    ) -> tuple[Any, str]:
        """The value, and what `_disclosure` says of it."""
        target, member = self.registry.entity(link.type.name), link.member
        assert isinstance(member, Relation)
        side = target if link.type.is_list else entity
        by = side.by_name[member.by]
        if self.never_visible(target) or self.never(side, by):
            return None, "DENIED"
        if not link.type.is_list:
            self.object(target, None, below)
            said = self.verdict(entity, by, row) if row is not None else "CLEAR"
            other = self.target(entity, link, row) if row is not None else None
            return self.object(target, other, below) if other is not None else None, said
        given = self.arguments(entity.name, node)
        if not 0 <= given["first"] <= 100:
            raise Refused("first")
        where = given.get("where") or {}
        terms = self.order(target, given.get("orderBy"), member.order)
        self.satisfies(target, where, None)
        self.object(target, None, below)
        if row is None:
            return [], "CLEAR"
        children = [child for child in self.children(entity, link, row) if self.satisfies(target, where, child)]
        return [self.object(target, c, below) for c in self.ordered(children, terms)[: given["first"]]], "CLEAR"

    def target(self, entity: Entity, link: Field, row: Record) -> Record | None:
        """The other side of a to-one relation, where it may be shown."""
        assert isinstance(link.member, Relation)
        by, target = entity.by_name[link.member.by], self.registry.entity(link.type.name)
        if not self.clear(entity, by, row):
            return None
        found = self.tables.where(target, target.key, row[by.attribute.column])
        return next((other for other in found if self.visible(target, other)), None)

    def children(self, entity: Entity, link: Field, row: Record) -> list[Record]:
        """The rows of a to-many relation that may be shown."""
        assert isinstance(link.member, Relation)
        target = self.registry.entity(link.type.name)
        by = target.by_name[link.member.by]
        found = self.tables.where(target, by, row[entity.key.attribute.column])
        return [child for child in found if self.visible(target, child) and self.clear(target, by, child)]

    # Order and conditions

    def order(self, entity: Entity, given: Any, default: tuple[str, ...]) -> list[tuple[Field, bool]]:
        terms: list[tuple[Field, bool]] = []
        for item in given or ():
            by_constant = {f.name.upper(): f for f in entity.fields.values()}
            term = by_constant[plain(item["field"])], plain(item["direction"]) == "DESC"
            if not self.may_order(entity, term[0]):
                raise Refused("order")
            # What was named before decides; to name it again says nothing.
            terms += [] if any(term[0].name == known.name for known, _ in terms) else [term]
        if not given:
            named = [(entity.by_name[name.removeprefix("-")], name.startswith("-")) for name in default]
            terms = [term for term in named if self.may_order(entity, term[0])]
        names = [f.name for f, _ in terms]
        if entity.key.name in names:
            return terms[: names.index(entity.key.name) + 1]
        return [*terms, (entity.key, bool(terms) and terms[-1][1])]

    @staticmethod
    def ordered(rows: list[Record], terms: list[tuple[Field, bool]]) -> list[Record]:
        for attribute, descending in reversed(terms):
            column = attribute.attribute.column
            present = [row for row in rows if row[column] is not None]
            absent = [row for row in rows if row[column] is None]
            rows = [*sorted(present, key=lambda row: row[column], reverse=descending), *absent]
        return rows

    def satisfies(self, entity: Entity, given: Any, row: Record | None, positive: bool = True) -> bool:
        """Whether a row satisfies a condition, or its negation; without a row nothing but what is refused."""
        found = []
        for written_name, value in given.items():
            name = written_name.removesuffix("_")
            if value is None:
                continue
            if name in ("and", "or"):
                inner = [self.satisfies(entity, item, row, positive) for item in value]
                found.append(all(inner) if (name == "and") is positive else any(inner))
            elif name == "not":
                found.append(self.satisfies(entity, value, row, not positive))
            else:
                attribute = entity.fields.get(name) or entity.by_name[name]
                about = self.about_relation if isinstance(attribute.member, Relation) else self.about_attribute
                found.append(about(entity, attribute, value, row, positive))
        return all(found) if positive else any(found)

    def about_attribute(self, entity: Entity, attribute: Field, given: Any, row: Record | None, positive: bool) -> bool:
        assert isinstance(attribute.member, Attribute)
        if self.never(entity, attribute):
            raise Refused("filter")
        if given.get("under") is not None and attribute.member.column != "manage":
            raise Refused("under")
        clear = row is not None and self.clear(entity, attribute, row)
        value = row[attribute.member.column] if row is not None else None
        if value is not None and attribute.codes is not None:
            value = attribute.codes.by_code[value].name
        operators = [(name, operand) for name, operand in given.items() if operand is not None]
        leaves = [clear and leaf(name, value, operand) is positive for name, operand in operators]
        # Without any operator it still asks for the attribute, so for rows where it is clear.
        return (clear and all(leaves)) if positive else any(leaves)

    def about_relation(self, entity: Entity, link: Field, given: Any, row: Record | None, positive: bool) -> bool:
        target, member = self.registry.entity(link.type.name), link.member
        assert isinstance(member, Relation)
        side = target if link.type.is_list else entity
        if self.never_visible(target) or self.never(side, side.by_name[member.by]):
            raise Refused("filter")
        if not link.type.is_list:
            self.satisfies(target, given, None)
            other = self.target(entity, link, row) if row is not None else None
            return other is not None and self.satisfies(target, given, other, positive)
        children = self.children(entity, link, row) if row is not None else []
        found = []
        for name, condition in given.items():
            if condition is not None:
                self.satisfies(target, condition, None)
                true_of = [self.satisfies(target, condition, child) for child in children]
                found.append({"some": any(true_of), "none": not any(true_of), "every": all(true_of)}[name])
        return all(found) if positive else not all(found)


class Matcher:
    """The model's matcher compiled once by Python, which Casbin parses and interprets anew for every question."""

    def __init__(self, enforcer: casbin.Enforcer) -> None:
        functions = dict(enforcer.fm.get_functions())
        functions.update({name: generate_g_function(section.rm) for name, section in enforcer.model["g"].items()})
        tree = enforcer._get_expression(enforcer.model["m"]["m"].value, functions).ast_parsed_value
        self._code = compile(ast.Expression(tree), "matcher", "eval")
        self._functions: dict[str, Any] = {name: cache(function) for name, function in functions.items()}

    @classmethod
    def install(cls, enforcer: casbin.Enforcer) -> None:
        matcher = cls(enforcer)
        enforcer._get_expression = lambda _text, _functions: matcher

    def eval(self, names: dict[str, Any]) -> Any:
        return eval(self._code, self._functions, names)


def plain(value: Any) -> Any:
    """An enum value as graphql-core coerces it, by its name."""
    return getattr(value, "name", value)


def leaf(written_name: str, value: Any, operand: Any) -> bool | None:
    """True or false; `None` where the value is NULL, which satisfies neither a condition nor its negation."""
    name = written_name.removesuffix("_")
    if name in ("isNull", "is_null"):
        return (value is None) is operand
    if value is None:
        return None
    match name:
        case "eq":
            return bool(value == plain(operand))
        case "in":
            return value in [plain(item) for item in operand]
        case "startsWith" | "starts_with":
            return bool(value.startswith(operand))
        case "under":
            return bool(value.startswith(prefix(operand)))
    return bool({"gt": value > operand, "gte": value >= operand, "lt": value < operand, "lte": value <= operand}[name])


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
