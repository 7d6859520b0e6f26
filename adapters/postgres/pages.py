"""A root connection as the CTEs of one statement: the page, its cursors, its total."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

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
        ordinal = paging or query.backward or any(out.ordinal for out in query.outputs)
        size = self.parameters.use(query.limit.exact) if query.limit.exact else str(query.limit.literal)
        # Where a row stands in the answer, which shows a backward page from its far end on.
        place = f"(least({alias}.n, {size}) - {alias}.rn)::text" if query.backward else f"({alias}.rn - 1)::text"
        joins, inner, packs = [], [], []
        for i, out in enumerate(query.outputs):
            if not out.nodes:
                continue
            rendered = {
                key: self.object(node, alias, place if node.ordinal else literal("")) for key, node in out.nodes
            }
            joins += [join for each in rendered.values() for join in each.joins]
            packs += [each.pack for each in rendered.values()]
            nodes = {key: each.json for key, each in rendered.items()}
            edge = self._edge(query.entity, out, nodes, alias) if out.item is PageItem.EDGES else nodes[""]
            inner.append(f"({edge})::text as j{i}")
        if paging:
            values = ", ".join(self.attribute(alias, s.field) + "::text" for s in query.order)
            inner.append(f"json_build_array({values})::text as boundary")
        if ordinal:
            inner.append(f"{alias}.rn")
        inner.append(f"{' || '.join(packs) or literal('')} as pack")
        source = candidates.page_candidates(
            query, self.conditions, tuple(self.columns[alias]), ahead=1 if paging else 0, size=size
        )
        if ordinal:
            counted = ", count(*) over () as n" if query.backward else ""
            source = f"select x.*, row_number() over () as rn{counted} from ({source}) x"
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
            f"d as (select {body} as body, string_agg(p.pack, '') {kept} as pack"
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

    def _edge(self, entity: Entity, out: PageOutput, nodes: Mapping[str, str], alias: str) -> str:
        key = self.attribute(alias, entity.key)
        cursor = f"'\"k' || translate(encode(convert_to({key}, 'UTF8'), 'base64'), E'\\n', '') || '\"'"
        parts = {"cursor": cursor, "__typename": literal(f'"{entity.name}Edge"')}
        return self._braced((key, nodes[key] if name == "node" else parts[name]) for key, name in out.parts)

    def _braced(self, parts: Iterable[tuple[str, str]]) -> str:
        """A JSON object of response keys and expressions; conditions may have left it without any."""
        text = " || ',' || ".join(f"{literal(self._key(key))} || {expression}" for key, expression in parts)
        return f"'{{' || {text or literal('')} || '}}'"

    def _page_info(self, query: PageQuery, out: PageOutput, size: str) -> str:
        beyond = f"case when count(p.rn) > {size} then 'true' else 'false' end"
        before = literal("true" if query.boundary else "false")
        nearest = f"max(p.boundary) filter (where p.rn = 1 and p.rn <= {size})"
        farthest = f"(array_agg(p.boundary order by p.rn) filter (where p.rn <= {size}))[least(count(p.rn), {size})]"
        start, end = (farthest, nearest) if query.backward else (nearest, farthest)
        parts: dict[str, Callable[[], str]] = {
            "hasNextPage": lambda: before if query.backward else beyond,
            "hasPreviousPage": lambda: beyond if query.backward else before,
            "startCursor": lambda: self._cursor(start),
            "endCursor": lambda: self._cursor(end),
            "__typename": lambda: literal('"PageInfo"'),
        }
        # Only what is selected: a parameter that the text does not use has no type.
        return self._braced((key, parts[name]()) for key, name in out.parts)

    def _cursor(self, boundary: str) -> str:
        token = f"{self.parameters.use(NONCE)} || {literal(f'|{CURSOR_SLOT}|')} || {boundary}"
        return f"coalesce(to_json({token})::text, 'null')"
