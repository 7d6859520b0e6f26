"""A decided query tree into one SQL statement whose result is the bytes of the answer, and what the audit keeps of it.

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
from adapters.postgres.objects import Renderer
from adapters.postgres.pages import PageRenderer
from adapters.postgres.predicates import BatchParameters, Parameters, parameter_type
from schema.predicate import Ref
from schema.registry import Registry


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement ready to be prepared: `batched` takes arrays, one element a request; else scalars.

    Each row is an answer's bytes and, for the audit, the packed regions and verdicts of the records in it.
    """

    sql: str
    parameters: tuple[Ref, ...]
    batched: bool


def compile_query(query: SourceQuery, registry: Registry) -> Compiled:
    """Render one query; pure."""
    if isinstance(query, PageQuery):
        return _compile_page(query, registry)
    return _compile_batch(query, registry) if query.single else _compile_keys(query, registry)


def _compile_page(query: PageQuery, registry: Registry) -> Compiled:
    parameters = _numbered()
    ctes = PageRenderer(registry, parameters).page(query)
    return Compiled(f"with {ctes} {_answer('d.body', 'd.pack')} from d", tuple(parameters.refs), batched=False)


def _compile_keys(query: KeyQuery, registry: Registry) -> Compiled:
    """Many keys of one request: rows come back in the order asked, absent and hidden ones alike as NULL."""
    parameters = _numbered()
    keys, positions = parameters.use(query.keys), parameters.use(query.positions or query.keys)
    inner = Renderer(registry, parameters).one(query.node, "k.key", "k.position::text")
    sql = (
        f"{_RECORD} from unnest({keys}, {positions}) with ordinality k(key, position, ord)"
        f" left join lateral ({inner}) l on true order by k.ord"
    )
    return Compiled(sql, tuple(parameters.refs), batched=False)


def _compile_alone(query: KeyQuery, registry: Registry) -> Compiled:
    """One key of one request."""
    parameters = _numbered()
    inner = Renderer(registry, parameters).one(query.node, parameters.use(query.keys), "''")
    sql = f"{_RECORD} from (values (0)) z left join lateral ({inner}) l on true"
    return Compiled(sql, tuple(parameters.refs), batched=False)


def _compile_batch(query: KeyQuery, registry: Registry) -> Compiled:
    """One key a request, many requests a statement: every parameter is a column of the batch."""
    parameters = BatchParameters()
    inner = Renderer(registry, parameters).one(query.node, parameters.use(query.keys), "''")
    if parameters.has_lists:
        return _compile_alone(query, registry)
    arrays = ", ".join(f"${i + 1}::{parameter_type(ref)}[]" for i, ref in enumerate(parameters.refs))
    names = ", ".join(f"p{i}" for i in range(len(parameters.refs)))
    sql = (
        f"{_RECORD} from unnest({arrays}) with ordinality b({names}, ord)"
        f" left join lateral ({inner}) l on true order by b.ord"
    )
    return Compiled(sql, tuple(parameters.refs), batched=True)


def _numbered() -> Parameters:
    parameters = Parameters(lambda i: f"${i + 1}::{parameter_type(parameters.refs[i])}")
    return parameters


def _answer(body: str, pack: str) -> str:
    return f"select convert_to({body}, 'UTF8'), coalesce({pack}, '')"


_RECORD = _answer("l.j::text", "l.a")
