"""What an operation selects: fragments merged, @skip and @include applied, arguments as values or references.

A selection belongs to one variable shape: whatever it read of the variables (conditions, nulls, what is given) is part
of that shape, and everything else is left as a `Ref`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    Undefined,
    is_abstract_type,
)
from graphql.language import (
    BooleanValueNode,
    EnumValueNode,
    FieldNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)
from graphql.utilities import value_from_ast_untyped

from resolvers.document import Operation
from resolvers.errors import BadVariable
from resolvers.variables import Coerced
from schema.predicate import Ref
from schema.scalars import SCALARS, InvalidScalar


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that a plan takes as a parameter, with the value it has now (for checks that its shape covers)."""

    ref: Ref
    value: Any


@dataclass(frozen=True, slots=True)
class Selected:
    """One response key of a selection set: the field, its arguments, and what is selected below it."""

    key: str
    name: str
    arguments: Mapping[str, Any]
    sets: tuple[SelectionSetNode, ...]
    node: FieldNode
    """The field where it stands first, its selection sets merged."""


class SelectionReader:
    """Reads the selection of one operation under one set of coerced variables; lives while a plan is made."""

    def __init__(self, schema: GraphQLSchema, operation: Operation, variables: Coerced) -> None:
        self.schema = schema
        self.operation = operation
        self.variables = variables
        self.constants: list[Any] = []

    def roots(self) -> list[Selected]:
        """The selected root fields, in document order."""
        return self.below("Query", (self.operation.node.selection_set,), lambda name: name == "Query")

    def below(
        self, type_name: str, sets: Iterable[SelectionSetNode], applies: Callable[[str], bool] | None = None
    ) -> list[Selected]:
        """What the selection sets select on one concrete object type, merged by response key in document order.

        `applies` says which type conditions hold; without it the type itself and `Node` do.
        """
        holds = applies or (lambda name: name == type_name or self._covers(name, type_name))
        merged: dict[str, tuple[FieldNode, list[SelectionSetNode]]] = {}
        self._collect(sets, holds, merged, set())
        fields = self.schema.type_map[type_name].fields  # type: ignore[attr-defined]
        return [
            Selected(
                key,
                node.name.value,
                {} if node.name.value.startswith("__") else self._arguments(node, fields[node.name.value].args),
                tuple(inner),
                _merged(node, inner),
            )
            for key, (node, inner) in merged.items()
        ]

    def _covers(self, abstract: str, concrete: str) -> bool:
        kinds: Any = self.schema.type_map
        return is_abstract_type(kinds[abstract]) and self.schema.is_sub_type(kinds[abstract], kinds[concrete])

    def _collect(
        self,
        sets: Iterable[SelectionSetNode],
        holds: Callable[[str], bool],
        merged: dict[str, tuple[FieldNode, list[SelectionSetNode]]],
        visited: set[str],
    ) -> None:
        for selection_set in sets:
            for selection in selection_set.selections:
                if not self._included(selection):
                    continue
                if isinstance(selection, FieldNode):
                    key = (selection.alias or selection.name).value
                    _, inner = merged.setdefault(key, (selection, []))
                    if selection.selection_set:
                        inner.append(selection.selection_set)
                    continue
                target: InlineFragmentNode | FragmentDefinitionNode
                if isinstance(selection, FragmentSpreadNode):
                    if selection.name.value in visited:
                        continue
                    visited.add(selection.name.value)
                    target = self.operation.fragments[selection.name.value]
                else:
                    target = selection  # type: ignore[assignment]
                condition = target.type_condition
                if condition is None or holds(condition.name.value):
                    self._collect((target.selection_set,), holds, merged, visited)

    def _included(self, selection: Any) -> bool:
        for directive in selection.directives or ():
            if directive.name.value in ("skip", "include"):
                value = directive.arguments[0].value
                flag = self.variables[value.name.value] if isinstance(value, VariableNode) else value.value
                if flag is None:
                    raise BadVariable(f"@{directive.name.value}: null is not allowed")
                if flag is (directive.name.value == "skip"):
                    return False
        return True

    def _arguments(self, node: FieldNode, declared: Mapping[str, Any]) -> Mapping[str, Any]:
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        found: dict[str, Any] = {}
        for name, argument in declared.items():
            if name in given:
                value = self._value(given[name], argument.type)
                if value is not Undefined:
                    if value is None and isinstance(argument.type, GraphQLNonNull):
                        raise BadVariable(f"{name}: null is not allowed")
                    found[name] = value
                    continue
            if argument.default_value is not Undefined and argument.default_value is not None:
                found[name] = self._constant(argument.default_value, argument.type)
        return found

    def _value(self, node: ValueNode, kind: Any) -> Any:
        """The argument as a tree of dicts and lists whose leaves are `Leaf`, enum names, booleans and None."""
        if isinstance(node, VariableNode):
            name = node.name.value
            if name not in self.variables:
                return Undefined
            return self._lift(self.variables[name], kind, ("variable", (name,)))
        if isinstance(node, NullValueNode):
            return None
        inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if isinstance(inner, GraphQLList):
            return self._list(node, inner)
        if isinstance(inner, GraphQLInputObjectType) and isinstance(node, ObjectValueNode):
            return self._object(node, inner)
        if isinstance(inner, GraphQLEnumType) and isinstance(node, EnumValueNode):
            return node.value
        if getattr(inner, "name", "") == "_Any" and _has_variable(node):
            raise BadVariable("a representation is written out or is a variable as a whole")
        if isinstance(node, BooleanValueNode):
            return node.value
        return self._constant(value_from_ast_untyped(node), inner)

    def _list(self, node: ValueNode, kind: GraphQLList[Any]) -> Any:
        nodes = node.values if isinstance(node, ListValueNode) else (node,)
        leaf = kind.of_type.of_type if isinstance(kind.of_type, GraphQLNonNull) else kind.of_type
        items = [self._value(item, kind.of_type) for item in nodes]
        if isinstance(leaf, GraphQLInputObjectType):
            return [item for item in items if item is not Undefined]
        if isinstance(leaf, GraphQLEnumType):
            return items
        if any(isinstance(item, Leaf) and item.ref.source == "variable" for item in items):
            return [item for item in items if item is not Undefined]
        return self.lift_constant([item.value if isinstance(item, Leaf) else item for item in items], is_list=True)

    def _object(self, node: ObjectValueNode, kind: GraphQLInputObjectType) -> Any:
        found: dict[str, Any] = {}
        given = {field.name.value: field.value for field in node.fields}
        for name, field in kind.fields.items():
            value = self._value(given[name], field.type) if name in given else Undefined
            if value is Undefined and field.default_value is not Undefined and field.default_value is not None:
                value = self._constant(field.default_value, field.type)
            if value is not Undefined:
                found[name] = value
        return found

    def _lift(self, value: Any, kind: Any, origin: tuple[str, tuple[str | int, ...]]) -> Any:
        inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if value is None:
            return None
        source, path = origin
        if isinstance(inner, GraphQLList):
            leaf = inner.of_type.of_type if isinstance(inner.of_type, GraphQLNonNull) else inner.of_type
            if isinstance(leaf, GraphQLInputObjectType):
                listed = value if isinstance(value, list) else [value]
                return [self._lift(item, leaf, (source, (*path, i))) for i, item in enumerate(listed)]
            return Leaf(Ref(source, path, is_list=True), value)
        if isinstance(inner, GraphQLInputObjectType):
            return {
                name: self._lift(value[name], field.type, (source, (*path, name)))
                for name, field in inner.fields.items()
                if name in value
            }
        if isinstance(inner, GraphQLEnumType) or isinstance(value, bool):
            return value
        return Leaf(Ref(source, path), value)

    def _constant(self, value: Any, kind: Any) -> Any:
        inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if isinstance(inner, GraphQLEnumType):
            return getattr(value, "name", value)
        scalar = SCALARS.get(getattr(inner, "name", ""))
        if scalar is not None:
            try:
                value = scalar.parse(value)
            except InvalidScalar as error:
                raise BadVariable(str(error)) from None
        return self.lift_constant(value, is_list=False)

    def lift_constant(self, value: Any, *, is_list: bool = False) -> Leaf:
        """Make a value a parameter of the plan."""
        self.constants.append(value)
        return Leaf(Ref("constant", (len(self.constants) - 1,), is_list=is_list), value)


def _has_variable(node: ValueNode) -> bool:
    stack = [node]
    while stack:
        value = stack.pop()
        if isinstance(value, VariableNode):
            return True
        if isinstance(value, ListValueNode):
            stack += value.values
        elif isinstance(value, ObjectValueNode):
            stack += [field.value for field in value.fields]
    return False


def _merged(node: FieldNode, sets: Iterable[SelectionSetNode]) -> FieldNode:
    selections = tuple(selection for selection_set in sets for selection in selection_set.selections)
    if not selections:
        return node
    return FieldNode(
        alias=node.alias,
        name=node.name,
        arguments=node.arguments,
        directives=(),
        selection_set=SelectionSetNode(selections=selections),
    )
