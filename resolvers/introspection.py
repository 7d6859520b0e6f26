"""`__schema` and `__type`: run once through graphql-core on the schema, and kept as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from graphql import GraphQLSchema, execute, print_ast
from graphql.language import DocumentNode, OperationDefinitionNode, OperationType, SelectionSetNode

from resolvers.document import Operation
from resolvers.plan import Introspection

_ANSWERS_AT_MOST = 256


class Introspector:
    """Answers introspection fields; the answers of (sub-selection, variables) are kept, bounded."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self._schema = schema
        self._answers: dict[tuple[str, bytes], bytes] = {}

    def answer(self, root: Introspection, operation: Operation, variables: Mapping[str, Any]) -> bytes:
        """The JSON of one introspection field."""
        document = DocumentNode(
            definitions=(
                OperationDefinitionNode(
                    operation=OperationType.QUERY,
                    variable_definitions=operation.node.variable_definitions,
                    directives=(),
                    selection_set=SelectionSetNode(selections=(root.node,)),
                ),
                *operation.fragments.values(),
            )
        )
        given = {k: v for k, v in variables.items() if isinstance(v, str | bool | int | None)}
        key = (print_ast(document), orjson.dumps(given, option=orjson.OPT_SORT_KEYS))
        found = self._answers.pop(key, None)
        if found is None:
            result: Any = execute(self._schema, document, variable_values=given)
            found = orjson.dumps((result.data or {}).get(root.key))
            while len(self._answers) >= _ANSWERS_AT_MOST:
                del self._answers[next(iter(self._answers))]
        self._answers[key] = found
        return found
