"""From what an operation selects and what policy decided to a plan; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from graphql import GraphQLSchema
from graphql.language import FieldNode, FragmentSpreadNode, InlineFragmentNode, SelectionSetNode

from adapters.base import Boundary, KeyQuery, Limit, PageItem, PageOutput, PageQuery, SourceQuery
from resolvers.decided import Decided
from resolvers.document import Operation
from resolvers.errors import BadNodeId, BadPageSize, BadRepresentation, TooCostly
from resolvers.filters import FilterReader
from resolvers.outputs import Budget, Drafted, OutputReader, limit_of
from resolvers.plan import CursorPlan, Introspection, Literal, Many, One, Plan, Root, Statement
from resolvers.remote_outputs import RemoteReader
from resolvers.selection import Leaf, Selected, SelectionReader
from resolvers.variables import Coerced, bucket_of, decode_id
from schema.predicate import Always, Never, Ref
from schema.regions import MINISTRY
from schema.registry import Entity, Registry
from schema.sdl import PAGE_AT_MOST, PAGE_DEFAULT

_KEYS_AT_MOST = 100
_TOTAL_COUNT_COST = 2_000
_INTROSPECTION_AT_MOST, _INTROSPECTION_BASE = 250_000, 10_000
"""Values that introspection may select in one operation (what tools ask is about 115,000), and what a root counts."""
_WIDTHS = {"types": 0, "directives": 8, "fields": 8, "inputFields": 4, "enumValues": 4}
"""About how many items the lists of introspection have; 0 stands for the number of types."""
_QUANTIFIER_COST = 200


class Planner:
    """Makes plans; holds only what never changes (registry, schema, limits)."""

    def __init__(self, registry: Registry, schema: GraphQLSchema, sdl: str, budget: Budget) -> None:
        self.registry = registry
        self.schema = schema
        self.sdl = sdl
        self.budget = budget
        self._by_root: dict[str, tuple[str, Entity]] = {}
        for entity in registry.entities.values():
            self._by_root[entity.root] = ("one", entity)
            self._by_root[entity.plural] = ("page", entity)

    def plan(self, operation: Operation, variables: Coerced, decided: Decided) -> Plan:
        """The plan for one operation, one variable shape and one decision shape; raises `RequestError`."""
        return _Draft(self, SelectionReader(self.schema, operation, variables), decided).plan()

    def root(self, name: str) -> tuple[str, Entity] | None:
        """("one" | "page", entity) of a root field, or `None` for `node` and the like."""
        return self._by_root.get(name)


class _Draft:
    def __init__(self, planner: Planner, reader: SelectionReader, decided: Decided) -> None:
        self.planner = planner
        self.reader = reader
        self.decided = decided
        self.statements: list[Statement] = []
        self.names: list[str] = []
        self.disclosure: dict[str, str] = {}
        self.cost = 0
        self.size = 0
        self.letters = 0
        self.introspected = 0

    def plan(self) -> Plan:
        roots = tuple(self._root(selected) for selected in self.reader.roots())
        disclosure = [{"coordinate": c, "verdict": v} for c, v in sorted(self.disclosure.items())]
        extensions = orjson.dumps({"cost": self.cost, "disclosure": disclosure})
        return Plan(
            roots, tuple(self.statements), tuple(self.names), tuple(self.reader.constants), extensions, self.cost
        )

    def _root(self, selected: Selected) -> Root:
        match selected.name:
            case "__typename":
                return Literal(selected.key, b'"Query"')
            case "__schema" | "__type":
                self.introspected += _INTROSPECTION_BASE + self._introspected(selected.node.selection_set, 1)
                if self.introspected > _INTROSPECTION_AT_MOST:
                    raise TooCostly("introspection asks for too much at a time")
                return Introspection(selected.key, selected.node)
            case "_service":
                parts = {
                    s.key: "_Service" if s.name == "__typename" else self.planner.sdl
                    for s in self.reader.below("_Service", selected.sets)
                }
                return Literal(selected.key, orjson.dumps(parts))
            case "node":
                return self._node(selected)
            case "nodes":
                return self._many(selected, "ids")
            case "_entities":
                return self._many(selected, "representations")
            case "sources":
                return self._sources(selected)
        kind, entity = self.planner.root(selected.name) or ("", next(iter(self.planner.registry.entities.values())))
        return self._one(entity, selected) if kind == "one" else self._page(entity, selected)

    def _introspected(self, selection_set: SelectionSetNode | None, times: int) -> int:
        """About how many values an introspection selects; graphql-core answers some two million a second."""
        total = 0
        for selection in selection_set.selections if selection_set else ():
            if isinstance(selection, FieldNode):
                width = _WIDTHS.get(selection.name.value, 1)
                width = len(self.planner.schema.type_map) if width == 0 else width
                total += times + self._introspected(selection.selection_set, times * width)
            elif isinstance(selection, FragmentSpreadNode):
                spread = self.reader.operation.fragments[selection.name.value]
                total += self._introspected(spread.selection_set, times)
            elif isinstance(selection, InlineFragmentNode):
                total += self._introspected(selection.selection_set, times)
        return total

    def _outputs(self, hops: int = 0) -> tuple[OutputReader, Drafted]:
        drafted = Drafted(self.letters, self.cost, self.size)
        filters = FilterReader(self.planner.registry, self.decided, lambda v: self.reader.lift_constant(v).ref)

        def follow(entity: Entity, sets: Any, path: tuple[str | int, ...], multiplicity: int) -> int:
            return self._follow(entity, sets, path, multiplicity, drafted, hops + 2)

        registry, reader, decided = self.planner.registry, self.reader, self.decided
        remotes = RemoteReader(registry, reader, decided, drafted, follow, hops + 1, self.planner.budget)
        return OutputReader(registry, reader, decided, filters, drafted, self.planner.budget, remotes), drafted

    def _follow(
        self,
        entity: Entity,
        sets: Any,
        path: tuple[str | int, ...],
        multiplicity: int,
        before: Drafted,
        hops: int,
    ) -> int:
        """A later statement, whose keys remote values tell; it is drafted while the one before it is."""
        self.letters, self.cost, self.size = before.letters, before.cost, before.size
        outputs, drafted = self._outputs(hops)
        node = outputs.node(entity, sets, path, multiplicity)
        self._finish(drafted)
        before.letters, before.cost, before.size = self.letters, self.cost, self.size
        name = f"{node.path} {len(self.statements)}"
        keys = Ref("keys", (name, entity.name), is_list=True)
        positions = Ref("positions", (name, entity.name), "integer", is_list=True)
        return self._add(name, KeyQuery(node, keys, single=False, positions=positions), drafted, after=path)

    def _add(
        self,
        name: str,
        query: SourceQuery,
        drafted: Drafted,
        cursor: CursorPlan | None = None,
        after: tuple[str | int, ...] | None = None,
    ) -> int:
        self.statements.append(Statement(query, tuple(drafted.nodes), tuple(drafted.slots), cursor, after))
        self.names.append(name)
        return len(self.statements) - 1

    def _finish(self, drafted: Drafted) -> None:
        self.cost, self.size, self.letters = drafted.cost, drafted.size, drafted.letters
        for coordinate, verdict in drafted.disclosure.items():
            known = self.disclosure.setdefault(coordinate, verdict)
            if known != verdict:
                self.disclosure[coordinate] = "CONDITIONAL"

    def _one(self, entity: Entity, selected: Selected) -> Root:
        leaf: Leaf = selected.arguments[entity.key.field]
        return self._by_key(entity, selected, leaf.ref)

    def _by_key(self, entity: Entity, selected: Selected, key: Ref) -> Root:
        outputs, drafted = self._outputs()
        node = outputs.node(entity, selected.sets, (selected.key,), 1)
        self._finish(drafted)
        if isinstance(node.row, Never):
            return Literal(selected.key, b"null")
        return One(selected.key, self._add(selected.key, KeyQuery(node, key, single=True), drafted))

    def _sources(self, selected: Selected) -> Root:
        """Every source is one of the country's: the same field of the region that has them all."""
        region = self.planner.registry.entity("Region")
        outputs, drafted = self._outputs()
        sets = (SelectionSetNode(selections=(selected.node,)),)
        node = outputs.node(region, sets, (), 1)
        self._finish(drafted)
        if isinstance(node.row, Never) or not drafted.slots:
            return Literal(selected.key, b"null")
        key = self.reader.lift_constant(MINISTRY).ref
        query = KeyQuery(node, key, single=True)
        return One(selected.key, self._add(selected.key, query, drafted), within=selected.key)

    def _node(self, selected: Selected) -> Root:
        leaf: Leaf = selected.arguments["id"]
        name, _ = decode_id(str(leaf.value))
        entity = self.planner.registry.entities.get(name)
        if entity is None:
            raise BadNodeId("not an identifier of this schema")
        return self._by_key(entity, selected, Ref(leaf.ref.source, leaf.ref.path, "id"))

    def _many(self, selected: Selected, items: str) -> Root:
        argument = selected.arguments[items]
        leaves: list[Leaf] = argument if isinstance(argument, list) else [argument]
        given = tuple(leaf.ref for leaf in leaves)
        listed = [v for leaf in leaves for v in (leaf.value if leaf.ref.is_list else (leaf.value,))]
        if len(listed) > _KEYS_AT_MOST:
            raise BadRepresentation(f"{selected.name}: more than {_KEYS_AT_MOST} items")
        names = {decode_id(str(v))[0] if items == "ids" else _type_of(v) for v in listed}
        if not names <= self.planner.registry.entities.keys():
            raise (BadNodeId if items == "ids" else BadRepresentation)("an item is of no known type")
        statements: dict[str, int] = {}
        for name in sorted(names):
            outputs, drafted = self._outputs()
            entity = self.planner.registry.entity(name)
            node = outputs.node(entity, selected.sets, (selected.key, 0), bucket_of(len(listed)))
            self._finish(drafted)
            if not isinstance(node.row, Never):
                keys = Ref("keys", (selected.key, name), is_list=True)
                positions = Ref("positions", (selected.key, name), "integer", is_list=True)
                query = KeyQuery(node, keys, single=False, positions=positions)
                statements[name] = self._add(selected.key, query, drafted)
        return Many(selected.key, statements, given, items)

    def _page(self, entity: Entity, selected: Selected) -> Root:
        outputs, drafted = self._outputs()
        arguments = selected.arguments
        where = outputs.filters.where(entity, arguments.get("where"))
        order = outputs.filters.order(entity, arguments.get("orderBy"), ())
        limit, size, backward = _page_limit(arguments)
        page = self._page_outputs(entity, selected, outputs, size)
        drafted.cost += outputs.filters.quantifiers * _QUANTIFIER_COST
        row = self.decided.row(entity)
        if not isinstance(row, Always):
            drafted.disclose(entity.row, "DENIED" if isinstance(row, Never) else "CONDITIONAL")
        self._finish(drafted)
        if isinstance(row, Never):
            return Literal(selected.key, b"null")
        given = arguments.get("before" if backward else "after")
        kinds = tuple(term.field.scalar.kind.value if term.field.scalar else "text" for term in order)
        boundary = None
        if given is not None:
            ref = given.ref
            boundary = Boundary(
                Ref(ref.source, ref.path, "cursor by key"),
                tuple(
                    Ref(ref.source, ref.path, f"cursor {i if i + 1 < len(kinds) else 'key'}:{kind}")
                    for i, kind in enumerate(kinds)
                ),
            )
        walk = f"{entity.name} " + " ".join(f"{'-' if t.descending else ''}{t.field.name}" for t in order)
        query = PageQuery(entity, row, where, order, limit, backward, boundary, page)
        shown = any(name in ("startCursor", "endCursor") for out in page for _, name in out.parts)
        cursor = CursorPlan(walk, shown)
        return One(selected.key, self._add(selected.key, query, drafted, cursor))

    def _page_outputs(
        self, entity: Entity, selected: Selected, outputs: OutputReader, size: int
    ) -> tuple[PageOutput, ...]:
        found: list[PageOutput] = []
        for part in self.reader.below(f"{entity.name}Connection", selected.sets):
            if part.name == "__typename":
                found.append(PageOutput(part.key, None, json=f'"{entity.name}Connection"'))
                continue
            item = PageItem(part.name)
            path = (selected.key, part.key, 0)
            if item is PageItem.NODES:
                node = outputs.node(entity, part.sets, path, size)
                found.append(PageOutput(part.key, item, nodes=(("", node),)))
            elif item is PageItem.EDGES:
                below = self.reader.below(f"{entity.name}Edge", part.sets)
                nodes = [(s.key, outputs.node(entity, s.sets, (*path, s.key), size)) for s in below if s.name == "node"]
                # Cursors alone show keys, too: the audit counts their rows.
                nodes = nodes or [("", outputs.node(entity, (), path, size))]
                found.append(PageOutput(part.key, item, parts=_parts(below), nodes=tuple(nodes)))
            elif item is PageItem.PAGE_INFO:
                found.append(PageOutput(part.key, item, parts=_parts(self.reader.below("PageInfo", part.sets))))
            else:
                outputs.drafted.cost += _TOTAL_COUNT_COST
                found.append(PageOutput(part.key, item))
        return tuple(found)


def _parts(selected: list[Selected]) -> tuple[tuple[str, str], ...]:
    return tuple((s.key, s.name) for s in selected)


def _type_of(representation: Any) -> str:
    name = representation.get("__typename") if isinstance(representation, dict) else None
    if not isinstance(name, str):
        raise BadRepresentation("a representation lacks __typename")
    return name


def _page_limit(arguments: Mapping[str, Any]) -> tuple[Limit, int, bool]:
    first, last = arguments.get("first"), arguments.get("last")
    if first is not None and last is not None:
        raise BadPageSize("first and last exclude each other")
    if (arguments.get("after") is not None and last is not None) or (
        arguments.get("before") is not None and last is None
    ):
        raise BadPageSize("after goes with first, before with last")
    leaf: Leaf | None = last if last is not None else first
    if leaf is None:
        return Limit(PAGE_DEFAULT), PAGE_DEFAULT, False
    size = int(leaf.value)
    if not 0 <= size <= PAGE_AT_MOST:
        raise BadPageSize(f"first and last must be between 0 and {PAGE_AT_MOST}")
    return *limit_of(leaf, size), last is not None
