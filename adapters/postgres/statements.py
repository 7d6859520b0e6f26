"""A decided query tree into one SQL statement whose result is the bytes of the answer, audit record included.

Rows never reach Python: `row_to_json` over an aliased subselect per object, `json_agg` inside, `string_agg` on top.
To-one relations are laterals with LIMIT 1 and lists laterals with an ordered, limited inner select, so PostgreSQL can
neither flatten nor reorder them; the outer order is the order of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from adapters.base import (
    KeyQuery,
    PageQuery,
    SourceQuery,
)
from adapters.postgres.formats import identifier
from adapters.postgres.objects import Renderer
from adapters.postgres.pages import PageRenderer
from adapters.postgres.predicates import BatchParameters, Parameters, parameter_type
from schema.predicate import Ref
from schema.registry import Registry

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
    renderer = PageRenderer(registry, parameters)
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
    renderer = Renderer(registry, parameters)
    keys = parameters.use(query.keys)
    positions = parameters.use(query.positions or query.keys)
    inner = renderer.one(query.node, "k.key", "k.position::text")
    audit = ", ".join(parameters.use(_AUDIT[name]) for name in AUDIT_COLUMNS)
    sql = (
        f"with d as materialized (select k.ord, l.j::text as body, l.a as pack"
        f" from unnest({keys}, {positions}) with ordinality k(key, position, ord)"
        f" left join lateral ({inner}) l on true),"
        f" a as (insert into audit.record ({', '.join(AUDIT_COLUMNS)}, rows)"
        f" select {audit}, coalesce(string_agg(d.pack, ''), '') from d)"
        " select convert_to(d.body, 'UTF8') from d order by d.ord"
    )
    return Compiled(sql, tuple(parameters.refs), batched=False)


def _compile_batch(query: KeyQuery, registry: Registry) -> Compiled:
    """One key a request, many requests a statement: every parameter is a column of the batch."""
    parameters = BatchParameters()
    renderer = Renderer(registry, parameters)
    inner = renderer.one(query.node, parameters.use(query.keys), "''")
    if parameters.has_lists:
        return _compile_alone(query, registry)
    audit = [parameters.use(_AUDIT[name]) for name in AUDIT_COLUMNS]
    arrays = ", ".join(f"${i + 1}::{parameter_type(ref)}[]" for i, ref in enumerate(parameters.refs))
    names = ", ".join(f"p{i}" for i in range(len(parameters.refs)))
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
    renderer = Renderer(registry, parameters)
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
