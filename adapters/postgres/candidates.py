"""Which rows a page shows: ordered, limited branches that an index serves, whatever the caller's region scope.

One filtered scan in sort order is right where nearly all rows qualify; where each alternative of the row predicate
is an equality on a scope column, a UNION ALL of ordered, limited branches is (`bench/sql`). A nullable sort column
splits into its not-null and its null part, since one index scan cannot put NULLs last in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.base import PageQuery, Sort
from adapters.postgres.predicates import Conditions, Parameters, parameter_type
from schema.predicate import And, Eq, In, Not, Or, Predicate, all_of
from schema.registry import Entity

_SCOPES = ("@manage", "@manage2", "@manage4", "@owner_dept", "@holder_uscc", "@holder_person", "@case_no")


def order_by(order: Sequence[Sort], alias: str, *, reverse: bool) -> str:
    """The ORDER BY list; NULLs come last going forward, so first going backward."""
    terms = []
    for term in order:
        descending = term.descending is not reverse
        text = f"{alias}.{term.field.attribute.column}{' desc' if descending else ''}"
        if not term.field.attribute.always:
            text += " nulls first" if reverse else " nulls last"
        terms.append(text)
    return ", ".join(terms)


def branches(row: Predicate) -> tuple[Predicate, ...]:
    """The row predicate as disjoint alternatives that scope indexes serve, or as the one predicate it is."""
    alternatives = row.operands if isinstance(row, Or) else (row,)
    if len(alternatives) == 1 or not all(_is_scope(p) for p in alternatives):
        return (row,)
    # Each excludes those before it, so that no row comes twice.
    return tuple(all_of([p, *(Not(earlier) for earlier in alternatives[:i])]) for i, p in enumerate(alternatives))


def _is_scope(predicate: Predicate) -> bool:
    literals = predicate.operands if isinstance(predicate, And) else (predicate,)
    return any(isinstance(p, Eq | In) and p.attr in _SCOPES for p in literals)


def page_candidates(
    query: PageQuery, conditions: Conditions, columns: tuple[str, ...], *, ahead: int, size: str
) -> str:
    """The select of a page's rows in walking order, `ahead` more than the page holds."""
    entity = query.entity
    sorts = [term.field.attribute.column for term in query.order]
    wanted = ", ".join(f"c.{column}" for column in dict.fromkeys((*columns, *sorts)))
    literal = query.limit.literal + ahead
    order = order_by(query.order, "c", reverse=query.backward)
    selects = []
    for branch in branches(query.row):
        base = [conditions.sql(branch, entity, "c"), conditions.sql(query.where, entity, "c")]
        for part in _walk_parts(query):
            text = " and ".join(t for t in (*base, *part) if t != "true") or "true"
            selects.append(f"select {wanted} from {entity.table} c where {text} order by {order} limit {literal}")
    exact = f"{size} + {ahead}" if ahead else size
    if len(selects) == 1:
        if query.limit.exact is None:
            return selects[0]
        return f"select * from ({selects[0]}) c limit {exact}"
    union = " union all ".join(f"({select})" for select in selects)
    return f"select * from ({union}) c order by {order} limit {exact}"


def _walk_parts(query: PageQuery) -> list[list[str]]:
    """Conditions of the index-served parts of the walk: from the boundary on, not-null rows and null rows apart."""
    lead = query.order[0]
    column = f"c.{lead.field.attribute.column}"
    if len(query.order) > 2:
        return [[_beyond_general(query)] if query.boundary else []]
    if lead.field.attribute.always:
        return [[_beyond(query)] if query.boundary else []]
    present, absent = [f"{column} is not null"], [f"{column} is null"]
    if query.boundary is not None:
        present.append(_beyond(query))
        absent.append(_beyond_null(query))
    return [present, absent]


def _beyond(query: PageQuery) -> str:
    """Strictly past the boundary among rows whose sort values are present."""
    walked = [(s.field.attribute.column, s.descending is not query.backward) for s in query.order]
    if len({descending for _, descending in walked}) == 1:
        operator = "<" if walked[0][1] else ">"
        columns = ", ".join(f"c.{column}" for column, _ in walked)
        values = ", ".join(f"v{i}" for i in range(len(walked)))
        past = f"({columns}) {operator} (select {values} from b)"
    else:
        past = _beyond_general(query)
    if query.order[0].field.attribute.always or not query.backward:
        return past
    # Going backward NULLs come first, so every present value lies past a boundary that is NULL.
    return f"({past} or (select v0 from b) is null)"


def _beyond_null(query: PageQuery) -> str:
    """Strictly past the boundary among rows whose leading sort value is NULL."""
    key = query.order[-1]
    operator = "<" if key.descending is not query.backward else ">"
    past = f"c.{key.field.attribute.column} {operator} (select v{len(query.order) - 1} from b)"
    at_null = "(select v0 from b) is null"
    return f"({at_null} and {past})" if query.backward else f"(not {at_null} or {past})"


def _beyond_general(query: PageQuery) -> str:
    """Lexicographic comparison term by term, for mixed directions and several nullable terms."""
    alternatives, equal = [], ""
    for i, term in enumerate(query.order):
        column, value = f"c.{term.field.attribute.column}", f"(select v{i} from b)"
        operator = "<" if term.descending is not query.backward else ">"
        past = f"{column} {operator} {value}"
        if not term.field.attribute.always:
            null_side = f"{value} is null and {column} is not null"
            past = (
                f"({past} or ({null_side}))"
                if query.backward
                else f"({past} or ({column} is null and {value} is not null))"
            )
        alternatives.append(f"{equal}{past}")
        same = f"{column} = {value}" if term.field.attribute.always else f"{column} is not distinct from {value}"
        equal = f"{equal}{same} and "
    return "(" + " or ".join(f"({a})" for a in alternatives) + ")"


def boundary(query: PageQuery, conditions: Conditions, parameters: Parameters) -> str:
    """The CTE with the boundary's sort values: from the cursor, or looked up under the caller's row predicate."""
    if query.boundary is None:
        raise TypeError("the page starts at no boundary")
    entity: Entity = query.entity
    by_key = parameters.use(query.boundary.by_key)
    given = ", ".join(f"{parameters.use(ref)} as v{i}" for i, ref in enumerate(query.boundary.values))
    found = ", ".join(
        f"c.{s.field.attribute.column}::{parameter_type(ref)}"
        for s, ref in zip(query.order, query.boundary.values, strict=True)
    )
    key = f"c.{entity.key.attribute.column} = {parameters.use(query.boundary.values[-1])}"
    row = conditions.sql(query.row, entity, "c")
    return (
        f"b as materialized (select {given} where not {by_key}"
        f" union all select {found} from {entity.table} c where {by_key} and {key} and {row})"
    )
