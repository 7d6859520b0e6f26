"""Objects of a decided tree as SQL expressions: one JSON object, and its packed audit rows, per row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.base import (
    VERDICTS_PER_CHARACTER,
    Cell,
    Constant,
    DisclosureList,
    GlobalId,
    Group,
    Linked,
    Listed,
    Node,
    Output,
    Placeholder,
)
from adapters.postgres import candidates
from adapters.postgres.formats import global_id, identifier, literal, masked, output, scalar
from adapters.postgres.predicates import Conditions, Parameters, join
from schema.predicate import Always, Never, Predicate, Ref, attributes
from schema.registry import Entity, Field, Registry

NONCE = Ref("nonce", ())
"""The secret that marks in-band tokens, random per request."""


@dataclass(slots=True)
class Rendered:
    """One object: its joins, the JSON expression, and the expression of its packed audit rows."""

    joins: list[str]
    json: str
    pack: str


class Renderer:
    """Renders one statement; aliases are numbered so that every level is unambiguous."""

    def __init__(self, registry: Registry, parameters: Parameters) -> None:
        self.registry = registry
        self.parameters = parameters
        self.conditions = Conditions(registry, parameters)
        self.columns: dict[str, dict[str, None]] = {}
        self._aliases = 0

    def alias(self, prefix: str) -> str:
        self._aliases += 1
        return f"{prefix}{self._aliases}"

    def _use(self, alias: str, column: str) -> str:
        """A column of a limited subselect: noted, so that the subselect fetches no other."""
        if alias in self.columns:
            self.columns[alias][column] = None
        return f"{alias}.{column}"

    def attribute(self, alias: str, field: Field) -> str:
        return self._use(alias, field.attribute.column)

    def _condition(self, predicate: Predicate, entity: Entity, alias: str) -> str:
        for attr in attributes(predicate):
            column = entity.governed.column(attr) if attr.startswith("@") else entity.by_name[attr].attribute.column
            if column:
                self._use(alias, column)
        return self.conditions.sql(predicate, entity, alias)

    def one(self, node: Node, key: str, ordinals: str) -> str:
        """A select of one record by key: (j, a), no row where it is absent or hidden."""
        alias = self.alias("t")
        rendered = self.object(node, alias, ordinals)
        row = self._condition(node.row, node.entity, alias)
        return (
            f"select {rendered.json} as j, {rendered.pack} as a from {node.entity.table} {alias}"
            f" {' '.join(rendered.joins)} where {alias}.{node.entity.key.attribute.column} = {key} and {row} limit 1"
        )

    def object(self, node: Node, alias: str, ordinals: str) -> Rendered:
        joins: list[str] = []
        packs = [self._pack(node, alias)]
        listed: list[str] = []
        for out in node.outputs:
            expression = self._output(node, out, alias, ordinals, joins, packs)
            listed.append(f"{expression} as {identifier(out.key)}")
        row = self.alias("o")
        joins.append(f"cross join lateral (select {', '.join(listed)}) {row}")
        return Rendered(joins, f"row_to_json({row})", " || ".join(packs))

    def _pack(self, node: Node, alias: str) -> str:
        governed = node.entity.governed
        manage = self._use(alias, governed.manage) if governed.manage else literal("000000")
        parts = [literal(node.letter), manage]
        # What held for this row, so that the audit can say why.
        for start in range(0, len(node.verdicts), VERDICTS_PER_CHARACTER):
            bits = [
                f"case when {self._condition(p, node.entity, alias)} then {1 << i} else 0 end"
                for i, p in enumerate(node.verdicts[start : start + VERDICTS_PER_CHARACTER])
            ]
            parts.append(f"chr(48 + {' + '.join(bits)})")
        return " || ".join(parts)

    def _output(self, node: Node, out: Output, alias: str, ordinals: str, joins: list[str], packs: list[str]) -> str:
        match out:
            case Constant(_, json):
                return f"{literal(json)}::json"
            case GlobalId():
                return global_id(node.entity.name, self.attribute(alias, node.entity.key))
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
        column = self.attribute(alias, cell.field)
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
        return (
            self._stored_group(entity, group, alias)
            if spread is None
            else self._spread_group(entity, group, spread, alias)
        )

    def _spread_group(self, entity: Entity, group: Group, spread: Mapping[str, str], alias: str) -> str:
        """A value type over columns: null where all of them are."""
        row = self.alias("g")
        listed = []
        for part in group.parts:
            if isinstance(part, Constant):
                expression = f"{literal(part.json)}::json"
            elif part.field.name not in spread or part.field.scalar is None:
                expression = "null"
            else:
                expression = scalar(part.field.scalar.kind, self._use(alias, spread[part.field.name]))
            listed.append(f"{expression} as {identifier(part.key)}")
        present = " or ".join(f"{self._use(alias, column)} is not null" for column in spread.values())
        condition = f"({present})"
        if not isinstance(group.clear, Always):
            condition += f" and {self._condition(group.clear, entity, alias)}"
        return f"case when {condition} then (select row_to_json({row}) from (select {', '.join(listed)}) {row}) end"

    def _stored_group(self, entity: Entity, group: Group, alias: str) -> str:
        """A list of a value type in one jsonb column."""
        column, element, row = self.attribute(alias, group.field), self.alias("e"), self.alias("g")
        listed = []
        for part in group.parts:
            if isinstance(part, Constant):
                expression = f"{literal(part.json)}::json"
            else:
                expression = f"{element}.value ->> {literal(part.field.name)}"
            listed.append(f"{expression} as {identifier(part.key)}")
        # The CHECK on the column makes it an array; the guard keeps a statement from raising should it ever not be.
        items = f"jsonb_array_elements(case when jsonb_typeof({column}) = 'array' then {column} else '[]' end)"
        array = (
            f"(select coalesce(json_agg(row_to_json({row})), '[]'::json) from {items} {element}(value)"
            f" cross join lateral (select {', '.join(listed)}) {row})"
        )
        if isinstance(group.clear, Always):
            return array
        return f"case when {self._condition(group.clear, entity, alias)} then {array} end"

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
        by = self.attribute(alias, placeholder.by)
        governed = entity.governed
        manage = self._use(alias, governed.manage) if governed.manage else literal("000000")
        tail = by
        if placeholder.beside:
            cells = ", ".join(self._cell(entity, cell, alias) for cell in placeholder.beside)
            tail = f"case when {by} is not null then json_build_array({by}, {cells})::text end"
        token = (
            f"{self.parameters.use(NONCE)} || {literal(f'|{placeholder.slot}|')} || {ordinals} || '|' ||"
            f" {bits or literal('')} || '|' || {manage} || '|' || {tail}"
        )
        if isinstance(placeholder.clear, Always):
            return token
        return f"case when {self._condition(placeholder.clear, entity, alias)} then {token} end"

    def _linked(
        self, entity: Entity, linked: Linked, alias: str, ordinals: str, joins: list[str], packs: list[str]
    ) -> str:
        target, inner, lateral = linked.node.entity, self.alias("t"), self.alias("l")
        rendered = self.object(linked.node, inner, ordinals)
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
        target, inner, lateral = listed.node.entity, self.alias("t"), self.alias("l")
        self.columns[inner] = {}
        below = f"{ordinals} || '.' || {inner}.ordinal" if listed.node.ordinal else ordinals
        rendered = self.object(listed.node, inner, below)
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
