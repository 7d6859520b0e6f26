"""graphql-core as the reference needs it: its rules of documents, selections and arguments, and resolvers of ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    is_abstract_type,
    is_object_type,
    parse,
    validate,
)
from graphql.execution.executor import Executor

from tests.oracle import Refused

if TYPE_CHECKING:
    from schema.registry import Entity
    from tests.reference_rows import Record


def bare(schema: GraphQLSchema) -> GraphQLSchema:
    """Take off a schema what Strawberry hangs on it, so that resolvers are ours and an enum's value is its name."""
    kinds: Any = schema.type_map
    for name, kind in kinds.items():
        if name.startswith("__"):
            continue  # graphql-core's own, which all schemas share
        if is_object_type(kind):
            kind.is_type_of = None
            for one in kind.fields.values():
                one.resolve = None
        elif is_abstract_type(kind):
            kind.resolve_type = None
        elif hasattr(kind, "wrapped_cls"):
            kind.wrapped_cls = str
    return schema


@lru_cache(20)
def valid(schema: GraphQLSchema, query: str) -> DocumentNode:
    """The text parsed; the last few are kept, since many ask the same."""
    try:
        document = parse(query)
    except GraphQLError as error:
        raise Refused(error.message) from error
    for problem in validate(schema, document):
        raise Refused(problem.message)
    return document


@dataclass(frozen=True)
class Shown:
    """An object of the answer and what is selected of it; without a row it stands for any that there might be."""

    entity: Entity
    row: Record | None
    selected: tuple[str, ...] = ()


class Naive(Executor):
    """Tells objects what is selected of them, and takes leaves as they are: the resolvers have written them."""

    def execute_fields(self, parent_type: Any, source_value: Any, path: Any, grouped_field_set: Any, *rest: Any) -> Any:
        if isinstance(source_value, Shown):
            names = tuple(details[0].node.name.value for details in grouped_field_set.values())
            source_value = replace(source_value, selected=names)
        return super().execute_fields(parent_type, source_value, path, grouped_field_set, *rest)

    @staticmethod
    def complete_leaf_value(_type: Any, result: Any) -> Any:
        return result
