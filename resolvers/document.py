"""A document, parsed and validated once; hostile ones are refused by linear passes before any quadratic rule runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    OperationType,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import ValuesOfCorrectTypeRule
from graphql.validation.rules import overlapping_fields_can_be_merged

from resolvers.errors import (
    InvalidDocument,
    RequestError,
    SyntaxRefused,
    TooDeep,
    TooManyTokens,
    UnknownOperation,
    UnsupportedOperation,
)
from resolvers.extent import Limits, refuse_hostile
from schema.scalars import InvalidScalar

_PROBLEMS_SHOWN = 5

overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 20_000
# Half a million (the library's own) is a second of CPU on the overlap rule; a document of the largest size that the
# linear passes let through needs less than this one.


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of a valid document."""

    node: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]


@dataclass(frozen=True, slots=True)
class Document:
    """A valid document; `hash` is what logs and the audit know it by."""

    hash: str
    operations: Mapping[str, Operation]

    def operation(self, name: str | None) -> Operation:
        """The operation to run; raises `UnknownOperation`, or `UnsupportedOperation` for what is not a query."""
        if name is None:
            if len(self.operations) != 1:
                raise UnknownOperation("several operations and no operationName")
            operation = next(iter(self.operations.values()))
        elif name in self.operations:
            operation = self.operations[name]
        else:
            raise UnknownOperation("no operation of that name")
        if operation.node.operation is not OperationType.QUERY:
            raise UnsupportedOperation(f"{operation.node.operation.value} is not offered")
        return operation


def read_document(schema: GraphQLSchema, query: str, limits: Limits) -> Document:
    """Parse and validate; raises a `RequestError` whose text never suggests names or repeats values."""
    try:
        ast = parse(query, max_tokens=limits.tokens)
    except GraphQLSyntaxError as error:
        if "tokens" in error.message:
            raise TooManyTokens(f"more than {limits.tokens} tokens") from None
        raise SyntaxRefused("syntax error", _locations(error)) from None
    except RecursionError:
        raise TooDeep("nested too deeply to be read") from None
    refuse_hostile(ast.definitions, limits)
    errors = validate(schema, ast, _RULES, max_errors=_PROBLEMS_SHOWN, hide_suggestions=True)
    if errors:
        raise InvalidDocument([(_text(error), _locations(error)) for error in errors[:_PROBLEMS_SHOWN]])
    fragments = {d.name.value: d for d in ast.definitions if isinstance(d, FragmentDefinitionNode)}
    operations = {
        d.name.value if d.name else "": Operation(d, fragments)
        for d in ast.definitions
        if isinstance(d, OperationDefinitionNode)
    }
    if not operations:
        raise UnknownOperation("the document has no operation")
    return Document(sha256(query.encode("utf-8", "surrogatepass")).hexdigest(), operations)


class _ValuesRule(ValuesOfCorrectTypeRule):
    """The library's rule, with texts that name the type and the reason but never the value."""

    def report_error(self, error: GraphQLError) -> None:
        cause = error.original_error
        if isinstance(cause, InvalidScalar):
            text = str(cause)
        elif "nknown field" in error.message or "not defined by type" in error.message:
            text = "an input object has a field that its type does not define"
        elif "was not provided" in error.message:
            text = "an input object lacks a required field"
        else:
            text = "a value is not of the type that its position requires"
        super().report_error(GraphQLError(text, error.nodes))


_RULES = tuple(_ValuesRule if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules)


def _text(error: GraphQLError) -> str:
    """The message; what it quotes are names of the client's own document, since values have their own rule."""
    return error.message if len(error.message) <= 300 else error.message[:300] + "…"


def _locations(error: GraphQLError) -> list[tuple[int, int]]:
    return [(place.line, place.column) for place in error.locations or ()][:3]


class DocumentCache:
    """Documents by text, least recently used dropped; refusals are kept too, so a repeat costs a look-up.

    One per process. Bounded by the characters held, since a text is the larger part of what an entry costs.
    """

    def __init__(self, schema: GraphQLSchema, limits: Limits, characters: int = 8_000_000) -> None:
        self._schema = schema
        self._limits = limits
        self._room = characters
        self._entries: dict[str, Document | RequestError] = {}

    def get(self, query: str) -> Document:
        """The document of a text; raises what `read_document` raises."""
        found = self._entries.pop(query, None)
        if found is None:
            try:
                found = read_document(self._schema, query, self._limits)
            except RequestError as refusal:
                found = refusal.with_traceback(None)
            self._room -= len(query) + 2_000
            while self._room < 0 and self._entries:
                oldest = next(iter(self._entries))
                del self._entries[oldest]
                self._room += len(oldest) + 2_000
        self._entries[query] = found
        if isinstance(found, Document):
            return found
        raise found.with_traceback(None)
