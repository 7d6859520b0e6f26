"""What a subgraph's SDL says, against what our configuration asks of it. Pure.

Complaints name our configured coordinates and paths only: the SDL is the other side's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from graphql import GraphQLError, parse, print_ast
from graphql.language import (
    DefinitionNode,
    DirectiveNode,
    EnumTypeDefinitionNode,
    EnumTypeExtensionNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    InterfaceTypeExtensionNode,
    ListTypeNode,
    NamedTypeNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    StringValueNode,
    TypeNode,
    UnionTypeDefinitionNode,
)

from adapters.configuration import AttributeMapping, SubgraphService
from schema.registry import Field
from schema.scalars import Kind

SDL_AT_MOST = 400_000
"""Characters; parsing that many takes about half a second."""
_TOKENS_AT_MOST = 100_000
_TEXT = frozenset({"String", "ID"})
_NUMBER = frozenset({"Int", "Float"})
_FITTING: Mapping[Kind, frozenset[str]] = {
    Kind.TEXT: _TEXT | {"Int"},
    Kind.INTEGER: _TEXT | _NUMBER,
    Kind.LONG: _TEXT | _NUMBER,
    Kind.DECIMAL: _TEXT | _NUMBER,
    Kind.BOOLEAN: _TEXT | {"Int", "Boolean"},
    Kind.DATE: _TEXT | {"Int"},
    Kind.INSTANT: _TEXT | _NUMBER,
}
_BUILT_IN = _TEXT | _NUMBER | {"Boolean"}
_WORDS = (Kind.TEXT, Kind.BOOLEAN)


class ContractBroken(ValueError):
    """The SDL does not offer what our configuration asks for, or cannot be read; the text may be shown to operators."""


class Contract:
    """The types of one SDL; raises `ContractBroken` for one that is none, too large or too deep."""

    def __init__(self, sdl: str) -> None:
        if len(sdl) > SDL_AT_MOST:
            raise ContractBroken("contract: the SDL is too large")
        try:
            definitions = parse(sdl, no_location=True, max_tokens=_TOKENS_AT_MOST).definitions
        except (GraphQLError, RecursionError):
            raise ContractBroken("contract: the SDL cannot be read") from None
        self._fields: dict[str, dict[str, FieldDefinitionNode]] = {}
        self._directives: dict[str, list[DirectiveNode]] = {}
        self._enums: dict[str, list[str]] = {}
        self._inputs: set[str] = set()
        self._unions: set[str] = set()
        for definition in definitions:
            self._take(definition)

    def check(self, coordinate: str, service: SubgraphService, parts: Mapping[str, Field], *, is_list: bool) -> None:
        """Raise `ContractBroken` for the first thing that a service needs and the SDL does not offer."""
        self._check_key(coordinate, service)
        field, record = self._descend(service.type, service.at.split("."), f"{coordinate}.at", service.arguments)
        if (_listed(field.type) is not None) != is_list:
            expected = "a list is expected" if is_list else "a single record is expected"
            raise ContractBroken(f"contract: {coordinate}.at leads elsewhere, {expected}")
        for name, value in service.arguments.items():
            argument = _argument(field, name)
            if argument is None or not self._takes(argument.type, value):
                what = "is missing" if argument is None else "is of a type that our template does not fit"
                raise ContractBroken(f"contract: {coordinate}.arguments.{name} {what}")
        for name, mapping in service.fields.items():
            self._check_leaf(record, f"{coordinate}.{name}", mapping, parts[name])
        others = [service.region, service.valid.path if service.valid else ""]
        others += [service.as_of.source] if service.as_of else []
        for path in filter(None, others):
            found, _ = self._descend(record, path.split("."), f"{coordinate}.{path}")
            self._leaf_name(found, f"{coordinate}.{path}", many=False)

    def variables(self, service: SubgraphService, names: Iterable[str]) -> dict[str, str]:
        """The types of arguments, as the SDL writes them, by name; the service has been checked."""
        field, _ = self._descend(service.type, service.at.split("."), "", service.arguments)
        types = ((name, _argument(field, name)) for name in names)
        return {name: print_ast(argument.type) for name, argument in types if argument is not None}

    def unmatched(self, service: SubgraphService, parts: Mapping[str, Field]) -> Iterator[tuple[str, list[str]]]:
        """Attributes of code lists with the enum values over there that no mapping covers."""
        _, record = self._descend(service.type, service.at.split("."), "", service.arguments)
        for name, mapping in service.fields.items():
            codes = parts[name].codes
            if codes is None:
                continue
            field, _ = self._descend(record, mapping.source.split("."), "")
            known = mapping.codes if mapping.codes is not None else codes.by_code
            words = self._enums.get(_named(field.type), [])
            if missing := [word for word in words if word not in known and word not in mapping.placeholders]:
                yield parts[name].coordinate, missing

    def _take(self, definition: DefinitionNode) -> None:
        match definition:
            case (
                ObjectTypeDefinitionNode()
                | ObjectTypeExtensionNode()
                | InterfaceTypeDefinitionNode()
                | InterfaceTypeExtensionNode()
            ):
                fields = self._fields.setdefault(definition.name.value, {})
                fields.update((field.name.value, field) for field in definition.fields or ())
                self._directives.setdefault(definition.name.value, []).extend(definition.directives or ())
            case EnumTypeDefinitionNode() | EnumTypeExtensionNode():
                words = self._enums.setdefault(definition.name.value, [])
                words.extend(value.name.value for value in definition.values or ())
            case InputObjectTypeDefinitionNode():
                self._inputs.add(definition.name.value)
            case UnionTypeDefinitionNode():
                self._unions.add(definition.name.value)

    def _check_key(self, coordinate: str, service: SubgraphService) -> None:
        if service.type not in self._fields:
            raise ContractBroken(f"contract: {coordinate}.type is missing")
        keys = [
            argument.value.value.strip()
            for directive in self._directives[service.type]
            if directive.name.value == "key"
            for argument in directive.arguments or ()
            if argument.name.value == "fields" and isinstance(argument.value, StringValueNode)
        ]
        if service.key not in keys or service.key not in self._fields[service.type]:
            raise ContractBroken(f"contract: {coordinate}.key is no key of its type")

    def _descend(
        self, type_name: str, steps: Sequence[str], where: str, arguments: Mapping[str, Any] | None = None
    ) -> tuple[FieldDefinitionNode, str]:
        """The last field of a path and the name of its type; `arguments` are those that the last one is given."""
        first, *further = steps
        field = self._fields.get(type_name, {}).get(first)
        if field is None:
            raise ContractBroken(f"contract: {where} is missing")
        if further and _listed(field.type) is not None:
            raise ContractBroken(f"contract: {where} goes through a list")
        given = {} if further else arguments or {}
        if any(_required(argument) and argument.name.value not in given for argument in field.arguments or ()):
            raise ContractBroken(f"contract: {where} requires an argument that is not configured")
        if not further:
            return field, _named(field.type)
        return self._descend(_named(field.type), further, where, arguments)

    def _check_leaf(self, record: str, where: str, mapping: AttributeMapping, part: Field) -> None:
        field, _ = self._descend(record, mapping.source.split("."), where)
        name = self._leaf_name(field, where, many=part.type.is_list)
        if name in self._enums:
            fits = part.scalar is None or part.scalar.kind in _WORDS
        elif name in _BUILT_IN:
            fits = name in (_TEXT | {"Int"} if part.scalar is None else _FITTING[part.scalar.kind])
        else:
            # A scalar of their own may be anything; the mapping looks at its values.
            fits = True
        if not fits:
            raise ContractBroken(f"contract: {where} is of a type that the attribute cannot be read from")

    def _leaf_name(self, field: FieldDefinitionNode, where: str, *, many: bool) -> str:
        name = _named(field.type)
        if name in self._fields or name in self._unions:
            raise ContractBroken(f"contract: {where} is not a leaf")
        inner = _listed(field.type)
        if inner is not None and (not many or _listed(inner) is not None):
            raise ContractBroken(f"contract: {where} is a list")
        return name

    def _takes(self, kind: TypeNode, value: Any) -> bool:
        """Whether an argument takes what a template becomes; boundaries take the source's own form."""
        name, inner = _named(kind), _listed(kind)
        if isinstance(value, list | tuple) or inner is not None:
            return isinstance(value, list | tuple) and inner is not None and all(self._takes(inner, v) for v in value)
        if isinstance(value, Mapping):
            return name in self._inputs
        if name in self._inputs:
            return False
        if name in self._enums:
            return value in self._enums[name]
        if name not in _BUILT_IN or (isinstance(value, str) and value.startswith("{after.")):
            return True
        if isinstance(value, bool):
            return name == "Boolean"
        if isinstance(value, int) or value == "{first}":
            return name in _NUMBER
        return name == "Float" if isinstance(value, float) else name in _TEXT


def _named(kind: TypeNode) -> str:
    """The type's name without lists and exclamation marks."""
    while isinstance(kind, ListTypeNode | NonNullTypeNode):
        kind = kind.type
    return kind.name.value if isinstance(kind, NamedTypeNode) else ""


def _listed(kind: TypeNode) -> TypeNode | None:
    """The type of a list's items, None if it is no list."""
    kind = kind.type if isinstance(kind, NonNullTypeNode) else kind
    return kind.type if isinstance(kind, ListTypeNode) else None


def _required(argument: InputValueDefinitionNode) -> bool:
    return isinstance(argument.type, NonNullTypeNode) and argument.default_value is None


def _argument(field: FieldDefinitionNode, name: str) -> InputValueDefinitionNode | None:
    return next((argument for argument in field.arguments or () if argument.name.value == name), None)
