"""How much a document asks for, by counts alone: linear in its length, whatever its fragments expand to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from graphql import ExecutableDefinitionNode, FragmentDefinitionNode, OperationDefinitionNode
from graphql.language import (
    DefinitionNode,
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    Node,
    ObjectValueNode,
    SelectionNode,
    SelectionSetNode,
)

from resolvers.errors import AliasTooLong, TooDeep, TooManyAliases, TooManyRepeats

_ALIAS_BYTES_AT_MOST = 63
_EXPANDED_FIELDS_AT_MOST = 3_000
_INTROSPECTION = ("__schema", "__type")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a document may ask for before it is looked at any closer."""

    tokens: int = 2_000
    depth: int = 12
    repeats_in_scope: int = 32
    repeats_in_document: int = 500
    aliases: int = 200


def refuse_hostile(definitions: Iterable[DefinitionNode], limits: Limits) -> None:
    """Refuse what later, costlier passes should never see; raises a `RequestError` that names the limit."""
    listed = [d for d in definitions if isinstance(d, ExecutableDefinitionNode)]
    _count_written(listed, limits)
    fragments = {d.name.value: d for d in listed if isinstance(d, FragmentDefinitionNode)}
    extents = _Extents(fragments, limits)
    for definition in listed:
        if isinstance(definition, FragmentDefinitionNode):
            extents.of_fragment(definition.name.value)
        elif extents.of(definition.selection_set).depth > limits.depth:
            raise TooDeep(f"nested more than {limits.depth} fields deep")


def _count_written(definitions: list[ExecutableDefinitionNode], limits: Limits) -> None:
    names: Counter[str] = Counter()
    aliases = 0
    for node in _nodes(definitions, limits):
        if not isinstance(node, FieldNode):
            continue
        name = (node.alias or node.name).value
        names[name] += 1
        if names[name] > limits.repeats_in_document:
            raise TooManyRepeats(f"a response name occurs more than {limits.repeats_in_document} times")
        if node.alias:
            aliases += 1
            if len(node.alias.value) > _ALIAS_BYTES_AT_MOST:
                raise AliasTooLong(f"an alias is longer than {_ALIAS_BYTES_AT_MOST} bytes")
    if aliases > limits.aliases:
        raise TooManyAliases(f"more than {limits.aliases} aliases")


@dataclass(slots=True)
class _Extent:
    """What a selection set amounts to when its fragments are expanded."""

    fields: int = 0
    depth: int = 0
    names: Counter[str] = field(default_factory=Counter)


class _Extents:
    """The extents of one document's selection sets, each fragment's computed once."""

    def __init__(self, fragments: dict[str, FragmentDefinitionNode], limits: Limits) -> None:
        self._fragments = fragments
        self._limits = limits
        self._known: dict[str, _Extent] = {}

    def of(self, selection_set: SelectionSetNode | None) -> _Extent:
        total = _Extent()
        for selection in selection_set.selections if selection_set else ():
            self._add(total, selection)
            if total.fields > _EXPANDED_FIELDS_AT_MOST:
                raise TooManyRepeats(f"fragments expand to more than {_EXPANDED_FIELDS_AT_MOST} fields")
        if total.names and max(total.names.values()) > self._limits.repeats_in_scope:
            raise TooManyRepeats(
                f"a response name is repeated more than {self._limits.repeats_in_scope} times in a scope"
            )
        return total

    def of_fragment(self, name: str) -> _Extent:
        if name not in self._known:
            # Stands in while the fragment is expanded: a cycle adds nothing here, and validation reports it by name.
            self._known[name] = _Extent()
            definition = self._fragments.get(name)
            self._known[name] = self.of(definition.selection_set if definition else None)
        return self._known[name]

    def _add(self, total: _Extent, selection: SelectionNode) -> None:
        if isinstance(selection, FieldNode):
            inner = self.of(selection.selection_set)
            total.fields += 1 + inner.fields
            # Introspection is deep by nature, and has a rule of its own against nesting lists in lists.
            total.depth = max(total.depth, 1 if selection.name.value in _INTROSPECTION else 1 + inner.depth)
            total.names[(selection.alias or selection.name).value] += 1
        elif isinstance(selection, FragmentSpreadNode):
            self._merge(total, self.of_fragment(selection.name.value))
        elif isinstance(selection, InlineFragmentNode):
            self._merge(total, self.of(selection.selection_set))

    @staticmethod
    def _merge(total: _Extent, spread: _Extent) -> None:
        total.fields += spread.fields
        total.depth = max(total.depth, spread.depth)
        total.names.update(spread.names)


def _nodes(definitions: list[ExecutableDefinitionNode], limits: Limits) -> Iterable[Node]:
    """Every node that can nest, without recursion, refusing what nests beyond the limit."""
    at_most = 2 * limits.depth + 8
    stack: list[tuple[Node, int]] = [(definition, 0) for definition in definitions]
    while stack:
        node, depth = stack.pop()
        yield node
        if depth > at_most:
            raise TooDeep(f"nested more than {limits.depth} fields deep")
        stack += [(child, depth + 1) for child in _children(node)]


def _children(node: Node) -> list[Node]:
    found: list[Node] = []
    if isinstance(node, OperationDefinitionNode | FragmentDefinitionNode | FieldNode | InlineFragmentNode):
        found += node.selection_set.selections if node.selection_set else ()
    if isinstance(node, OperationDefinitionNode):
        found += [v.default_value for v in node.variable_definitions or () if v.default_value]
    if isinstance(node, FieldNode):
        found += [argument.value for argument in node.arguments or ()]
    if isinstance(node, ListValueNode):
        found += node.values
    if isinstance(node, ObjectValueNode):
        found += [given.value for given in node.fields]
    return found
