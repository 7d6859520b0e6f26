"""A root connection as the CTEs of one statement: the page, its cursors, its total."""

from __future__ import annotations

from adapters.base import (
    CURSOR_SLOT,
    PageItem,
    PageOutput,
    PageQuery,
)
from adapters.postgres import candidates
from adapters.postgres.formats import literal
from adapters.postgres.objects import NONCE, Renderer
from schema.registry import Entity


class PageRenderer(Renderer):
    """Renders one connection; its text is assembled in SQL, since its rows never reach Python."""

    def page(self, query: PageQuery) -> str:
        """The CTEs of a root connection, `d(body, pack)` last."""
        alias = self.alias("t")
        self.columns[alias] = {}
        paging = any(out.item is PageItem.PAGE_INFO for out in query.outputs)
        ordinal = paging or query.backward or any(out.node and out.node.ordinal for out in query.outputs)
        joins, inner, packs = [], [], []
        for i, out in enumerate(query.outputs):
            if out.node is None:
                continue
            position = f"({alias}.rn - 1)::text" if out.node.ordinal else "''"
            rendered = self.object(out.node, alias, position)
            joins += rendered.joins
            packs.append(rendered.pack)
            edge = self._edge(query.entity, out, rendered.json, alias) if out.item is PageItem.EDGES else rendered.json
            inner.append(f"({edge})::text as j{i}")
        if paging:
            values = ", ".join(self.attribute(alias, s.field) + "::text" for s in query.order)
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
        key = self.attribute(alias, entity.key)
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
