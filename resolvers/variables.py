"""Variables of an operation: coerced once by the schema's input types, and their *shape*, which a plan depends on.

The shape keeps what changes a plan (what is given, nulls, enum and boolean values, page sizes by bucket, types behind
identifiers) and forgets what a plan takes as a parameter (every other value, and the length of value lists).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLSchema,
    Undefined,
    type_from_ast,
    value_from_ast_untyped,
)
from graphql.language import FieldNode, SelectionSetNode, VariableNode

from resolvers.document import Operation
from resolvers.errors import BadNodeId, BadVariable
from schema.regions import prefix
from schema.scalars import SCALARS, InvalidScalar

_LIST_AT_MOST = 100
_DEPTH_AT_MOST = 12
BUCKETS = (1, 5, 10, 20, 50, 100, 200, 500, 1000)
"""LIMIT literals: a page size uses the smallest that holds it."""


def bucket_of(size: int) -> int:
    """The LIMIT literal for a page size; sizes out of range are refused elsewhere."""
    return next((b for b in BUCKETS if size <= b), BUCKETS[-1])


def decode_id(text: str) -> tuple[str, str]:
    """(type name, key) of a Relay identifier; raises `BadNodeId`."""
    try:
        name, colon, key = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise BadNodeId("not an identifier of this schema") from None
    if not colon or not name.isalnum() or "\0" in key:
        raise BadNodeId("not an identifier of this schema")
    return name, key


def encode_id(type_name: str, key: str) -> str:
    """The Relay identifier of a record; the SQL adapter builds the same text."""
    return base64.b64encode(f"{type_name}:{key}".encode()).decode()


Coerced = Mapping[str, Any]
Coercer = Callable[[Any, int], tuple[Any, Hashable]]


class VariableReader:
    """Coerces the variables of one operation; built once per operation, holds no request."""

    def __init__(self, schema: GraphQLSchema, operation: Operation) -> None:
        self._paging = _paging_variables(operation)
        self._readers: list[tuple[str, Coercer, bool, Any]] = []
        for definition in operation.node.variable_definitions or ():
            name = definition.variable.name.value
            kind = type_from_ast(schema, definition.type)
            default: Any = Undefined
            if definition.default_value is not None:
                default = value_from_ast_untyped(definition.default_value)
            required = isinstance(kind, GraphQLNonNull) and default is Undefined
            self._readers.append((name, _coercer(kind, name in self._paging), required, default))  # type: ignore[arg-type]
        self._names = {name for name, *_ in self._readers}

    def read(self, raw: Mapping[str, Any]) -> tuple[Coerced, Hashable]:
        """Values by variable name and their shape; raises `BadVariable` naming the variable, never its value."""
        values: dict[str, Any] = {}
        shape: list[Hashable] = []
        for name, coerce, required, default in self._readers:
            given = raw.get(name, Undefined)
            if given is Undefined:
                if required:
                    raise BadVariable(f"${name} is required")
                if default is Undefined:
                    shape.append("absent")
                    continue
                # Defaults were coerced when the operation was read; coercing again gives their shape.
                given = default
            try:
                values[name], kept = coerce(given, 0)
            except InvalidScalar as error:
                raise BadVariable(f"${name}: {error}") from None
            shape.append(kept)
        return values, tuple(shape)


def _paging_variables(operation: Operation) -> frozenset[str]:
    """Variables used as `first` or `last` anywhere, whose size decides the LIMIT literal."""
    found: set[str] = set()

    def walk(selection_set: SelectionSetNode | None) -> None:
        for selection in selection_set.selections if selection_set else ():
            if isinstance(selection, FieldNode):
                for argument in selection.arguments or ():
                    if argument.name.value in ("first", "last") and isinstance(argument.value, VariableNode):
                        found.add(argument.value.name.value)
            walk(getattr(selection, "selection_set", None))

    walk(operation.node.selection_set)
    for fragment in operation.fragments.values():
        walk(fragment.selection_set)
    return frozenset(found)


def _coercer(kind: GraphQLInputType, paging: bool) -> Coercer:
    if isinstance(kind, GraphQLNonNull):
        inner = _coercer(kind.of_type, paging)

        def non_null(raw: Any, depth: int) -> tuple[Any, Hashable]:
            if raw is None:
                raise InvalidScalar("value", "null is not allowed")
            return inner(raw, depth)

        return non_null
    coerce = _nullable(kind, paging)

    def nullable(raw: Any, depth: int) -> tuple[Any, Hashable]:
        return (None, "null") if raw is None else coerce(raw, depth)

    return nullable


def _nullable(kind: GraphQLInputType, paging: bool) -> Coercer:
    if isinstance(kind, GraphQLList):
        return _list(kind)
    if isinstance(kind, GraphQLEnumType):
        return _enum(kind)
    if isinstance(kind, GraphQLInputObjectType):
        return _input_object(kind)
    if isinstance(kind, GraphQLScalarType):
        return _scalar(kind, paging)
    raise TypeError(f"not an input type: {kind}")


def _scalar(kind: GraphQLScalarType, paging: bool) -> Coercer:
    if kind.name == "_Any":
        return _representation
    parse = SCALARS[kind.name].parse
    if kind.name == "Boolean":
        return lambda raw, _: (parse(raw), raw)
    if kind.name == "RegionCode":

        def region(raw: Any, _: int) -> tuple[Any, Hashable]:
            code = str(parse(raw))
            return code, len(prefix(code))

        return region
    if kind.name == "ID":

        def identifier(raw: Any, _: int) -> tuple[Any, Hashable]:
            text = str(parse(raw))
            try:
                return text, decode_id(text)[0]
            except BadNodeId:
                return text, ""

        return identifier
    if paging:

        def page_size(raw: Any, _: int) -> tuple[Any, Hashable]:
            size = int(str(parse(raw)))
            return size, bucket_of(size) if 0 <= size <= BUCKETS[-1] else "out of range"

        return page_size
    return lambda raw, _: (parse(raw), "value")


def _representation(raw: Any, _: int) -> tuple[Any, Hashable]:
    if not isinstance(raw, dict):
        raise InvalidScalar("_Any", "an object is expected")
    name = raw.get("__typename")
    return raw, name if isinstance(name, str) else ""


def _enum(kind: GraphQLEnumType) -> Coercer:
    def coerce(raw: Any, _: int) -> tuple[Any, Hashable]:
        name = raw if isinstance(raw, str) else getattr(raw, "name", None)
        if name not in kind.values:
            raise InvalidScalar(kind.name, "not one of its values")
        return name, name

    return coerce


def _list(kind: GraphQLList[Any]) -> Coercer:
    inner = _coercer(kind.of_type, paging=False)
    leaf = kind.of_type.of_type if isinstance(kind.of_type, GraphQLNonNull) else kind.of_type
    typed = getattr(leaf, "name", "") in ("ID", "_Any")

    def coerce(raw: Any, depth: int) -> tuple[Any, Hashable]:
        items = raw if isinstance(raw, list) else [raw]
        if len(items) > _LIST_AT_MOST:
            raise InvalidScalar("list", f"more than {_LIST_AT_MOST} items")
        if depth > _DEPTH_AT_MOST:
            raise InvalidScalar("list", "nested too deeply")
        coerced = [inner(item, depth + 1) for item in items]
        values = [value for value, _ in coerced]
        if isinstance(leaf, GraphQLInputObjectType):
            return values, tuple(shape for _, shape in coerced)
        if typed:
            # Which types occur decides the statements; how many of each is a parameter, by bucket for the cost.
            return values, (frozenset(shape for _, shape in coerced), bucket_of(len(items)))
        return values, "values"

    return coerce


def _input_object(kind: GraphQLInputObjectType) -> Coercer:
    readers: dict[str, Coercer] = {}

    def coerce(raw: Any, depth: int) -> tuple[Any, Hashable]:
        if not isinstance(raw, dict):
            raise InvalidScalar(kind.name, "an object is expected")
        if depth > _DEPTH_AT_MOST:
            raise InvalidScalar(kind.name, "nested too deeply")
        if not readers:
            # Built at first use: input types refer to themselves.
            readers.update({name: _coercer(field.type, paging=False) for name, field in kind.fields.items()})
        if not raw.keys() <= readers.keys():
            raise InvalidScalar(kind.name, "has a field that it does not define")
        values: dict[str, Any] = {}
        shape: list[Hashable] = []
        for name, field in kind.fields.items():
            if name in raw:
                values[name], kept = readers[name](raw[name], depth + 1)
                shape.append((name, kept))
            elif field.default_value is not Undefined:
                default = field.default_value
                values[name] = getattr(default, "name", default)
                shape.append((name, values[name]))
            elif isinstance(field.type, GraphQLNonNull):
                raise InvalidScalar(kind.name, "lacks a required field")
        return values, tuple(shape)

    return coerce
