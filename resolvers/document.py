"""A document, parsed and validated once; hostile ones are refused by linear passes before any quadratic rule runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from graphql import (
    ExecutableDefinitionNode,
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
from graphql.language import (
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    SelectionSetNode,
)
from graphql.validation import ValuesOfCorrectTypeRule
from graphql.validation.rules import overlapping_fields_can_be_merged

from resolvers.errors import (
    AliasTooLong,
    InvalidDocument,
    RequestError,
    SyntaxRefused,
    TooDeep,
    TooManyAliases,
    TooManyRepeats,
    TooManyTokens,
    UnknownOperation,
    UnsupportedOperation,
)
from schema.scalars import InvalidScalar

_ALIAS_BYTES_AT_MOST = 63
_EXPANDED_FIELDS_AT_MOST = 3_000
_PROBLEMS_SHOWN = 5

overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = 20_000
# Half a million (the library's own) is a second of CPU on the overlap rule; a document of the largest size that the
# linear passes let through needs less than this one.


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may ask for before it is looked at any closer."""

    tokens: int = 2_000
    depth: int = 12
    repeats_in_scope: int = 32
    repeats_in_document: int = 500
    aliases: int = 200


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
    _refuse_hostile(ast.definitions, limits)
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


@dataclass(slots=True)
class _Extent:
    """What a selection set amounts to when its fragments are expanded."""

    fields: int
    depth: int
    names: Counter[str]


def _refuse_hostile(definitions: Iterable[Any], limits: Limits) -> None:
    """Refuse by counts alone, in time linear in the document whatever its fragments expand to."""
    listed = list(definitions)
    fragments = {d.name.value: d for d in listed if isinstance(d, FragmentDefinitionNode)}
    known: dict[str, _Extent | None] = {}
    written: Counter[str] = Counter()
    aliases = 0
    for node in _nodes(listed, limits):
        if isinstance(node, FieldNode):
            name = (node.alias or node.name).value
            written[name] += 1
            if written[name] > limits.repeats_in_document:
                raise TooManyRepeats(f"a response name occurs more than {limits.repeats_in_document} times")
            if node.alias:
                aliases += 1
                if len(node.alias.value) > _ALIAS_BYTES_AT_MOST:
                    raise AliasTooLong(f"an alias is longer than {_ALIAS_BYTES_AT_MOST} bytes")
    if aliases > limits.aliases:
        raise TooManyAliases(f"more than {limits.aliases} aliases")

    def extent(selection_set: SelectionSetNode | None) -> _Extent:
        total = _Extent(0, 0, Counter())
        for selection in selection_set.selections if selection_set else ():
            if isinstance(selection, FieldNode):
                inner = extent(selection.selection_set)
                total.fields += 1 + inner.fields
                total.depth = max(total.depth, 1 + inner.depth)
                total.names[(selection.alias or selection.name).value] += 1
            else:
                spread = (
                    fragment(selection.name.value)
                    if isinstance(selection, FragmentSpreadNode)
                    else extent(selection.selection_set)
                    if isinstance(selection, InlineFragmentNode)
                    else _Extent(0, 0, Counter())
                )
                total.fields += spread.fields
                total.depth = max(total.depth, spread.depth)
                total.names.update(spread.names)
            if total.fields > _EXPANDED_FIELDS_AT_MOST:
                raise TooManyRepeats(f"fragments expand to more than {_EXPANDED_FIELDS_AT_MOST} fields")
        if total.names and max(total.names.values()) > limits.repeats_in_scope:
            raise TooManyRepeats(f"a response name is repeated more than {limits.repeats_in_scope} times in a scope")
        if total.depth > limits.depth:
            raise TooDeep(f"nested more than {limits.depth} fields deep")
        return total

    def fragment(name: str) -> _Extent:
        if name in known:
            # `None` marks one that is being expanded: a cycle, which validation reports by name.
            return known[name] or _Extent(0, 0, Counter())
        known[name] = None
        definition = fragments.get(name)
        known[name] = extent(definition.selection_set if definition else None)
        return known[name] or _Extent(0, 0, Counter())

    for definition in listed:
        if isinstance(definition, FragmentDefinitionNode):
            fragment(definition.name.value)
        elif isinstance(definition, ExecutableDefinitionNode):
            extent(definition.selection_set)


def _nodes(definitions: list[Any], limits: Limits) -> Iterable[Node]:
    """Every node that can nest, without recursion, refusing what nests beyond the limit."""
    at_most = 2 * limits.depth + 8
    stack: list[tuple[Node, int]] = [(d, 0) for d in definitions if isinstance(d, ExecutableDefinitionNode)]
    while stack:
        node, depth = stack.pop()
        yield node
        if depth > at_most:
            raise TooDeep(f"nested more than {limits.depth} fields deep")
        children: list[Node] = []
        if isinstance(node, OperationDefinitionNode | FragmentDefinitionNode | FieldNode | InlineFragmentNode):
            children += node.selection_set.selections if node.selection_set else ()
        if isinstance(node, OperationDefinitionNode):
            children += [v.default_value for v in node.variable_definitions or () if v.default_value]
        if isinstance(node, FieldNode):
            children += [a.value for a in node.arguments or ()]
        if isinstance(node, ListValueNode):
            children += node.values
        if isinstance(node, ObjectValueNode):
            children += [f.value for f in node.fields]
        stack += [(child, depth + 1) for child in children]


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
        raise found
