"""A decided query tree into one SQL statement whose result is the bytes of the answer, audit record included.

Rows never reach Python: `row_to_json` over an aliased subselect per object, `json_agg` inside, `string_agg` on top.
To-one relations are laterals with LIMIT 1 and lists laterals with an ordered, limited inner select, so PostgreSQL can
neither flatten nor reorder them; the outer order is the order of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base import (
    CURSOR_SLOT,
    Cell,
    Constant,
    DisclosureList,
    GlobalId,
    Group,
    KeyQuery,
    Linked,
    Listed,
    Node,
    Output,
    PageItem,
    PageOutput,
    PageQuery,
    Placeholder,
    SourceQuery,
)
from adapters.postgres import candidates
from adapters.postgres.formats import global_id, identifier, literal, masked, output, scalar
from adapters.postgres.predicates import Conditions, Parameters, join, parameter_type
from schema.predicate import Always, Never, Predicate, Ref, attributes
from schema.registry import Entity, Field, Registry

NONCE = Ref("nonce", ())
AUDIT_COLUMNS = ("request_id", "root", "subject", "document", "revision", "decision")
_AUDIT = {name: Ref("audit", (name,)) for name in AUDIT_COLUMNS}


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement ready to be prepared: `batched` takes arrays, one element a request; else scalars."""

    sql: str
    parameters: tuple[Ref, ...]
    batched: bool


def compile_query(query: SourceQuery, registry: Registry) -> Compiled:
    """Render one query; pure."""
    if isinstance(query, PageQuery):
        return _compile_page(query, registry)
    return _compile_batch(query, registry) if query.single else _compile_keys(query, registry)


def _compile_page(query: PageQuery, registry: Registry) -> Compiled:
    parameters = Parameters(lambda i: f"${i + 1}::{parameter_type(parameters.refs[i])}")
    renderer = _Renderer(registry, parameters)
    inner = renderer.page(query)
    audit = ", ".join(parameters.use(_AUDIT[name]) for name in AUDIT_COLUMNS)
    sql = (
        f"with {inner}, a as (insert into audit.record ({', '.join(AUDIT_COLUMNS)}, rows)"
        f" select {audit}, coalesce(d.pack, '') from d)"
        " select convert_to(d.body, 'UTF8') from d"
    )
    return Compiled(sql, tuple(parameters.refs), batched=False)


def _compile_keys(query: KeyQuery, registry: Registry) -> Compiled:
    """Many keys of one request: rows come back in the order asked, absent and hidden ones alike as NULL."""
    parameters = Parameters(lambda i: f"${i + 1}::{parameter_type(parameters.refs[i])}")
    renderer = _Renderer(registry, parameters)
    keys = parameters.use(query.keys)
    positions = parameters.use(query.positions or query.keys)
    inner = renderer.one(query.node, "k.key", "k.position::text")
    audit = ", ".join(parameters.use(_AUDIT[name]) for name in AUDIT_COLUMNS)
    sql = (
        f"with d as materialized (select k.ord, l.j::text as body, l.a as pack"
        f" from unnest({keys}, {positions}) with ordinality k(key, position, ord) left join lateral ({inner}) l on true),"
        f" a as (insert into audit.record ({', '.join(AUDIT_COLUMNS)}, rows)"
        f" select {audit}, coalesce(string_agg(d.pack, ''), '') from d)"
        " select convert_to(d.body, 'UTF8') from d order by d.ord"
    )
    return Compiled(sql, tuple(parameters.refs), batched=False)


def _compile_batch(query: KeyQuery, registry: Registry) -> Compiled:
    """One key a request, many requests a statement: every parameter is a column of the batch."""
    parameters = Parameters(lambda i: f"b.p{i}")
    renderer = _Renderer(registry, parameters)
    key = parameters.use(query.keys)
    inner = renderer.one(query.node, key, "''")
    audit = [parameters.use(_AUDIT[name]) for name in AUDIT_COLUMNS]
    arrays = ", ".join(f"${i + 1}::{parameter_type(ref)}[]" for i, ref in enumerate(parameters.refs))
    names = ", ".join(f"p{i}" for i in range(len(parameters.refs)))
    # A parameter that is itself a list cannot be unnested by element, so such a plan is not shared.
    if any(ref.is_list for ref in parameters.refs):
        return _compile_alone(query, registry)
    kept = ", ".join(f"{p} as {identifier(n)}" for p, n in zip(audit, AUDIT_COLUMNS, strict=True))
    columns = ", ".join(AUDIT_COLUMNS)
    sql = (
        f"with d as materialized (select b.ord, {kept}, l.j::text as body, l.a as pack"
        f" from unnest({arrays}) with ordinality b({names}, ord) left join lateral ({inner}) l on true),"
        f" a as (insert into audit.record ({columns}, rows)"
        f" select {columns}, coalesce(d.pack, '') from d order by d.ord)"
        " select convert_to(d.body, 'UTF8') from d order by d.ord"
    )
    return Compiled(sql, tuple(parameters.refs), batched=True)


def _compile_alone(query: KeyQuery, registry: Registry) -> Compiled:
    parameters = Parameters(lambda i: f"${i + 1}::{parameter_type(parameters.refs[i])}")
    renderer = _Renderer(registry, parameters)
    inner = renderer.one(query.node, parameters.use(query.keys), "''")
    audit = ", ".join(parameters.use(_AUDIT[name]) for name in AUDIT_COLUMNS)
    sql = (
        f"with d as materialized (select l.j::text as body, l.a as pack"
        f" from (values (0)) z left join lateral ({inner}) l on true),"
        f" a as (insert into audit.record ({', '.join(AUDIT_COLUMNS)}, rows)"
        f" select {audit}, coalesce(d.pack, '') from d)"
        " select convert_to(d.body, 'UTF8') from d"
    )
    return Compiled(sql, tuple(parameters.refs), batched=False)


@dataclass(slots=True)
class _Rendered:
    """One object: its joins, the JSON expression, and the expression of its packed audit rows."""

    joins: list[str]
    json: str
    pack: str


class _Renderer:
    """Renders one statement; aliases are numbered so that every level is unambiguous."""

    def __init__(self, registry: Registry, parameters: Parameters) -> None:
        self.registry = registry
        self.parameters = parameters
        self.conditions = Conditions(registry, parameters)
        self.columns: dict[str, dict[str, None]] = {}
        self._aliases = 0

    def _alias(self, prefix: str) -> str:
        self._aliases += 1
        return f"{prefix}{self._aliases}"

    def _use(self, alias: str, column: str) -> str:
        """A column of a limited subselect: noted, so that the subselect fetches no other."""
        if alias in self.columns:
            self.columns[alias][column] = None
        return f"{alias}.{column}"

    def _attribute(self, alias: str, field: Field) -> str:
        return self._use(alias, field.attribute.column)

    def _condition(self, predicate: Predicate, entity: Entity, alias: str) -> str:
        for attr in attributes(predicate):
            column = entity.governed.column(attr) if attr.startswith("@") else entity.by_name[attr].attribute.column
            if column:
                self._use(alias, column)
        return self.conditions.sql(predicate, entity, alias)

    def one(self, node: Node, key: str, ordinals: str) -> str:
        """A select of one record by key: (j, a), no row where it is absent or hidden."""
        alias = self._alias("t")
        rendered = self._object(node, alias, ordinals)
        row = self._condition(node.row, node.entity, alias)
        return (
            f"select {rendered.json} as j, {rendered.pack} as a from {node.entity.table} {alias}"
            f" {' '.join(rendered.joins)} where {alias}.{node.entity.key.attribute.column} = {key} and {row} limit 1"
        )

    def _object(self, node: Node, alias: str, ordinals: str) -> _Rendered:
        joins: list[str] = []
        packs = [self._pack(node, alias)]
        listed: list[str] = []
        for out in node.outputs:
            expression = self._output(node, out, alias, ordinals, joins, packs)
            listed.append(f"{expression} as {identifier(out.key)}")
        row = self._alias("o")
        joins.append(f"cross join lateral (select {', '.join(listed)}) {row}")
        return _Rendered(joins, f"row_to_json({row})", " || ".join(packs))

    def _pack(self, node: Node, alias: str) -> str:
        governed = node.entity.governed
        manage = self._use(alias, governed.manage) if governed.manage else literal("000000")
        parts = [literal(node.letter), manage]
        # Six predicates a character, from '0' on: what held for this row, so that the audit can say why.
        for start in range(0, len(node.verdicts), 6):
            bits = [
                f"case when {self._condition(p, node.entity, alias)} then {1 << i} else 0 end"
                for i, p in enumerate(node.verdicts[start : start + 6])
            ]
            parts.append(f"chr(48 + {' + '.join(bits)})")
        return " || ".join(parts)

    def _output(
        self, node: Node, out: Output, alias: str, ordinals: str, joins: list[str], packs: list[str]
    ) -> str:
        match out:
            case Constant(_, json):
                return f"{literal(json)}::json"
            case GlobalId():
                return global_id(node.entity.name, self._attribute(alias, node.entity.key))
            case Cell():
                return self._cell(node.entity, out, alias)
            case Group():
                return self._group(node.entity, out, alias)
            case DisclosureList():
                return self._disclosure(node.entity, out, alias)
            case Placeholder():
                return self._placeholder(node.entity, out, alias, ordinals)
            case Linked():
                return self._linked(node.entity, out, alias, ordinals, joins, packs)
            case Listed():
                return self._listed(node.entity, out, alias, ordinals, joins, packs)

    def _cell(self, entity: Entity, cell: Cell, alias: str) -> str:
        column = self._attribute(alias, cell.field)
        clear = output(cell.field, column)
        hidden = masked(cell.field.attribute.mask, column)
        if isinstance(cell.clear, Always):
            return clear
        whens = []
        if not isinstance(cell.clear, Never):
            whens.append(f"when {self._condition(cell.clear, entity, alias)} then {clear}")
        if cell.masked != cell.clear and hidden != "null":
            if isinstance(cell.masked, Always):
                return f"case {' '.join(whens)} else {hidden} end" if whens else hidden
            whens.append(f"when {self._condition(cell.masked, entity, alias)} then {hidden}")
        return f"case {' '.join(whens)} end" if whens else "null::text"

    def _group(self, entity: Entity, group: Group, alias: str) -> str:
        spread = group.field.attribute.columns
        row = self._alias("g")
        if spread is not None:
            listed = ", ".join(
                f"{literal(p.json) + '::json' if isinstance(p, Constant) else self._part(p, self._use(alias, spread[p.field.name]) if p.field.name in spread else 'null')}"
                f" as {identifier(p.key)}"
                for p in group.parts
            )
            present = " or ".join(f"{self._use(alias, column)} is not null" for column in spread.values())
            condition = f"({present})"
            if not isinstance(group.clear, Always):
                condition += f" and {self._condition(group.clear, entity, alias)}"
            return f"case when {condition} then (select row_to_json({row}) from (select {listed}) {row}) end"
        column = self._attribute(alias, group.field)
        element = self._alias("e")
        listed = ", ".join(
            f"{literal(p.json) + '::json' if isinstance(p, Constant) else f'{element}.value ->> {literal(p.field.name)}'}"
            f" as {identifier(p.key)}"
            for p in group.parts
        )
        # The CHECK on the column makes it an array; the guard keeps a statement from raising should it ever not be.
        items = f"jsonb_array_elements(case when jsonb_typeof({column}) = 'array' then {column} else '[]' end)"
        array = (
            f"(select coalesce(json_agg(row_to_json({row})), '[]'::json) from {items} {element}(value)"
            f" cross join lateral (select {listed}) {row})"
        )
        if isinstance(group.clear, Always):
            return array
        return f"case when {self._condition(group.clear, entity, alias)} then {array} end"

    @staticmethod
    def _part(part: Cell, column: str) -> str:
        return column if column == "null" or part.field.scalar is None else scalar(part.field.scalar.kind, column)

    def _disclosure(self, entity: Entity, disclosure: DisclosureList, alias: str) -> str:
        parts = [
            literal(fragment)
            if isinstance(when, Always)
            else f"case when {self._condition(when, entity, alias)} then {literal(fragment)} end"
            for when, fragment in disclosure.items
        ]
        if all(isinstance(when, Always) for when, _ in disclosure.items):
            return literal("[" + ",".join(fragment for _, fragment in disclosure.items) + "]") + "::json"
        return f"('[' || concat_ws(',', {', '.join(parts)}) || ']')::json"

    def _placeholder(self, entity: Entity, placeholder: Placeholder, alias: str, ordinals: str) -> str:
        bits = " || ".join(
            f"case when {self._condition(p, entity, alias)} then '1' else '0' end" for p in placeholder.bits
        )
        by = self._attribute(alias, placeholder.by)
        token = (
            f"{self.parameters.use(NONCE)} || {literal(f'|{placeholder.slot}|')} || {ordinals} || '|' ||"
            f" {bits or literal('')} || '|' || {by}"
        )
        if isinstance(placeholder.clear, Always):
            return token
        return f"case when {self._condition(placeholder.clear, entity, alias)} then {token} end"

    def _linked(
        self, entity: Entity, linked: Linked, alias: str, ordinals: str, joins: list[str], packs: list[str]
    ) -> str:
        target, inner, lateral = linked.node.entity, self._alias("t"), self._alias("l")
        rendered = self._object(linked.node, inner, ordinals)
        on = join(entity, linked.field.member, target, False, alias, inner)
        self._use(alias, entity.by_name[linked.field.member.by].attribute.column)  # type: ignore[union-attr]
        conditions = [on, self._condition(linked.node.row, target, inner)]
        if not isinstance(linked.clear, Always):
            conditions.append(self._condition(linked.clear, entity, alias))
        joins.append(
            f"left join lateral (select {rendered.json} as j, {rendered.pack} as a from {target.table} {inner}"
            f" {' '.join(rendered.joins)} where {' and '.join(conditions)} limit 1) {lateral} on true"
        )
        packs.append(f"coalesce({lateral}.a, '')")
        return f"{lateral}.j"

    def _listed(
        self, entity: Entity, listed: Listed, alias: str, ordinals: str, joins: list[str], packs: list[str]
    ) -> str:
        target, inner, lateral = listed.node.entity, self._alias("t"), self._alias("l")
        self.columns[inner] = {}
        below = f"{ordinals} || '.' || {inner}.ordinal" if listed.node.ordinal else ordinals
        rendered = self._object(listed.node, inner, below)
        on = join(entity, listed.field.member, target, True, alias, "c")
        self._use(alias, entity.key.attribute.column)
        conditions = [
            on,
            self.conditions.sql(listed.node.row, target, "c"),
            self.conditions.sql(listed.where, target, "c"),
        ]
        order = candidates.order_by(listed.order, "c", reverse=False)
        wanted = [f"c.{column}" for column in self.columns[inner]] or ["1 as one"]
        source = (
            f"select {', '.join(wanted)} from {target.table} c where {' and '.join(conditions)}"
            f" order by {order} limit {listed.limit.literal}"
        )
        if listed.limit.exact is not None:
            source = f"select * from ({source}) x limit {self.parameters.use(listed.limit.exact)}"
        if listed.node.ordinal:
            source = f"select x.*, row_number() over () - 1 as ordinal from ({source}) x"
        joins.append(
            f"left join lateral (select json_agg({rendered.json}) as j, string_agg({rendered.pack}, '') as a"
            f" from ({source}) {inner} {' '.join(rendered.joins)}) {lateral} on true"
        )
        packs.append(f"coalesce({lateral}.a, '')")
        return f"coalesce({lateral}.j, '[]'::json)"

    def page(self, query: PageQuery) -> str:
        """The CTEs of a root connection, `d(body, pack)` last."""
        alias = self._alias("t")
        self.columns[alias] = {}
        paging = any(out.item is PageItem.PAGE_INFO for out in query.outputs)
        ordinal = paging or query.backward or any(out.node and out.node.ordinal for out in query.outputs)
        joins, inner, packs = [], [], []
        for i, out in enumerate(query.outputs):
            if out.node is None:
                continue
            position = f"({alias}.rn - 1)::text" if out.node.ordinal else "''"
            rendered = self._object(out.node, alias, position)
            joins += rendered.joins
            packs.append(rendered.pack)
            edge = self._edge(query.entity, out, rendered.json, alias) if out.item is PageItem.EDGES else rendered.json
            inner.append(f"({edge})::text as j{i}")
        if paging:
            values = ", ".join(self._attribute(alias, s.field) + "::text" for s in query.order)
            inner.append(f"json_build_array({values})::text as boundary")
        if ordinal:
            inner.append(f"{alias}.rn")
        inner.append(f"{' || '.join(packs) or literal('')} as pack")
        size = self.parameters.use(query.limit.exact) if query.limit.exact else str(query.limit.literal)
        source = candidates.page_candidates(
            query, self.conditions, tuple(self.columns[alias]), ahead=1 if paging else 0, size=size
        )
        if ordinal:
            source = f"select x.*, row_number() over () as rn from ({source}) x"
        kept = f"filter (where p.rn <= {size})" if ordinal else ""
        body = " || ',' || ".join(
            f"{literal(self._key(out.key))} || {self._page_output(query, out, i, size, kept)}"
            for i, out in enumerate(query.outputs)
        )
        body = f"'{{' || {body} || '}}'" if body else "'{}'"
        ctes = []
        if query.boundary is not None:
            ctes.append(candidates.boundary(query, self.conditions, self.parameters))
            body = f"case when exists (select from b) then {body} end"
        ctes.append(
            f"d as materialized (select {body} as body, string_agg(p.pack, '') {kept} as pack"
            f" from (select {', '.join(inner)} from ({source}) {alias} {' '.join(joins)}) p)"
        )
        return ", ".join(ctes)

    @staticmethod
    def _key(key: str) -> str:
        return f'"{key}":'

    def _page_output(self, query: PageQuery, out: PageOutput, i: int, size: str, kept: str) -> str:
        match out.item:
            case None:
                return literal(out.json)
            case PageItem.TOTAL_COUNT:
                row = self.conditions.sql(query.row, query.entity, "c")
                where = self.conditions.sql(query.where, query.entity, "c")
                return f"(select count(*) from {query.entity.table} c where {row} and {where})::text"
            case PageItem.PAGE_INFO:
                return self._page_info(query, out, size)
            case _:
                order = " order by p.rn desc" if query.backward else ""
                return f"'[' || coalesce(string_agg(p.j{i}, ','{order}) {kept}, '') || ']'"

    def _edge(self, entity: Entity, out: PageOutput, node: str, alias: str) -> str:
        key = self._attribute(alias, entity.key)
        cursor = f"'\"k' || translate(encode(convert_to({key}, 'UTF8'), 'base64'), E'\\n', '') || '\"'"
        parts = {"cursor": cursor, "node": node, "__typename": literal(f'"{entity.name}Edge"')}
        text = " || ',' || ".join(f"{literal(self._key(key))} || {parts[name]}" for key, name in out.parts)
        return f"'{{' || {text} || '}}'"

    def _page_info(self, query: PageQuery, out: PageOutput, size: str) -> str:
        beyond = f"case when count(p.rn) > {size} then 'true' else 'false' end"
        before = literal("true" if query.boundary else "false")
        nearest = "max(p.boundary) filter (where p.rn = 1)"
        farthest = f"(array_agg(p.boundary order by p.rn) filter (where p.rn <= {size}))[least(count(p.rn), {size})]"
        start, end = (farthest, nearest) if query.backward else (nearest, farthest)
        parts = {
            "hasNextPage": before if query.backward else beyond,
            "hasPreviousPage": beyond if query.backward else before,
            "startCursor": self._cursor(start),
            "endCursor": self._cursor(end),
            "__typename": literal('"PageInfo"'),
        }
        text = " || ',' || ".join(f"{literal(self._key(key))} || {parts[name]}" for key, name in out.parts)
        return f"'{{' || {text} || '}}'"

    def _cursor(self, boundary: str) -> str:
        token = f"{self.parameters.use(NONCE)} || {literal(f'|{CURSOR_SLOT}|')} || {boundary}"
        return f"coalesce(to_json({token})::text, 'null')"
