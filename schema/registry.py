"""Declarations resolved: the immutable registry of entities, value types and code lists; all else derives from it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from types import MappingProxyType, ModuleType

from schema.codes import CODE_LISTS, CodeList
from schema.declare import SHARED, Attribute, Declaration, Governed, Relation, Remote, Sharing
from schema.scalars import PYTHON_NAMES, SCALARS, Scalar


class RegistryError(Exception):
    """A declaration contradicts itself or another; raised when the registry is built, never later."""


class TypeKind(StrEnum):
    """What an annotation names."""

    SCALAR = "scalar"
    CODES = "codes"
    VALUE = "value"
    ENTITY = "entity"


@dataclass(frozen=True, slots=True)
class TypeRef:
    """A resolved annotation."""

    kind: TypeKind
    name: str
    is_list: bool


@dataclass(frozen=True, slots=True)
class Field:
    """An attribute, relation or remote value in its place: GraphQL name, coordinate and resolved type."""

    owner: str
    name: str
    field: str
    type: TypeRef
    member: Attribute | Relation | Remote
    scalar: Scalar | None = None
    codes: CodeList | None = None

    @property
    def coordinate(self) -> str:
        """The GraphQL schema coordinate, which is also the policy object."""
        return f"{self.owner}.{self.field}"

    @property
    def attribute(self) -> Attribute:
        """The declared attribute; raises `TypeError` for a relation or a remote value."""
        if not isinstance(self.member, Attribute):
            raise TypeError(f"{self.coordinate} is not an attribute")
        return self.member


@dataclass(frozen=True, slots=True)
class ValueType:
    """A group of attributes without a key."""

    name: str
    title: str
    fields: Mapping[str, Field]

    @property
    def compared(self) -> tuple[Field, ...]:
        """The attributes of a remote value that the local record says too."""
        return tuple(f for f in self.fields.values() if isinstance(f.member, Attribute) and f.member.beside)


@dataclass(frozen=True, slots=True)
class Entity:
    """A declared entity; `fields` by GraphQL name, in declared order, common ones last."""

    name: str
    title: str
    table: str
    plural: str
    system: str
    owner: str
    key: Field
    key_sharing: Sharing
    governed: Governed
    fields: Mapping[str, Field]
    by_name: Mapping[str, Field]

    @property
    def root(self) -> str:
        """Name of the root field that finds one by key: `safetyInspection`."""
        return self.name[0].lower() + self.name[1:]

    @property
    def row(self) -> str:
        """The policy object that decides whether a row is visible at all."""
        return f"{self.name}.__row__"

    def policy_object(self, field: Field) -> str:
        """The coordinate whose verdict decides the field: the key (and `id`) carries that of the row."""
        return self.row if field.name in (self.key.name, "id") else field.coordinate


@dataclass(frozen=True, slots=True, eq=False)
class Registry:
    """All entities and value types, by name; the same declarations are one registry."""

    entities: Mapping[str, Entity]
    values: Mapping[str, ValueType]

    def entity(self, name: str) -> Entity:
        """The entity of that name; `KeyError` if there is none."""
        return self.entities[name]

    def proposals(self) -> Mapping[str, Sharing]:
        """Every policy object of the schema with the class its declaration proposes (a revision may differ)."""
        found: dict[str, Sharing] = {}
        for entity in self.entities.values():
            found[entity.row] = entity.key_sharing
            for field in entity.fields.values():
                if isinstance(field.member, Relation) or entity.policy_object(field) == entity.row:
                    continue
                if field.member.sharing is not None:
                    found[field.coordinate] = field.member.sharing
                if isinstance(field.member, Remote):
                    for part in self.values[field.type.name].fields.values():
                        if isinstance(part.member, Attribute) and part.attribute.sharing is not None:
                            found[part.coordinate] = part.attribute.sharing
        return found

    def entity_of(self, policy_object: str) -> Entity:
        """The entity whose row decides about a policy object; the first of several for a remote value's parts."""
        return self.hosts_of(policy_object)[0]

    def hosts_of(self, policy_object: str) -> tuple[Entity, ...]:
        """Every entity whose rows decide about a policy object: several may hang the same remote value."""
        owner = policy_object.split(".", 1)[0]
        if owner in self.entities:
            return (self.entities[owner],)
        return tuple(
            entity
            for entity in self.entities.values()
            if any(isinstance(f.member, Remote) and f.type.name == owner for f in entity.fields.values())
        )


ENTITY_PACKAGE = "schema.entities"


@cache
def load_registry(*packages: str) -> Registry:
    """Import every module of the product's entity package and of those named, and resolve what they declare, once.

    Raises `RegistryError` naming the declaration that cannot be resolved.
    """
    declarations: dict[str, Declaration] = {}
    for package in (ENTITY_PACKAGE, *packages):
        for module in _modules(package):
            for thing in vars(module).values():
                declaration = getattr(thing, "__declaration__", None)
                if isinstance(declaration, Declaration) and declaration.cls is thing:
                    known = declarations.setdefault(thing.__name__, declaration)
                    if known is not declaration:
                        raise RegistryError(f"{thing.__name__} is declared twice")
    return resolve(declarations.values())


def _modules(package: str) -> Iterable[ModuleType]:
    root = importlib.import_module(package)
    yield root
    for found in sorted(pkgutil.walk_packages(getattr(root, "__path__", []), package + "."), key=lambda m: m.name):
        yield importlib.import_module(found.name)


def camel(name: str) -> str:
    """`valid_from` to `validFrom`."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


COMMON = (
    Attribute("version", "int", "版本号，每次变更加一", SHARED, "version", always=True),
    Attribute("updated_at", "datetime", "更新时间", SHARED, "updated_at", always=True),
    Attribute(
        "provenance",
        "Provenance",
        "数据来源",
        SHARED,
        columns={"source": "source_id", "as_of": "data_as_of"},
    ),
)
"""What every entity has beside its own attributes."""
REMOTE_COMMON = (Attribute("provenance", "Provenance", "数据来源", SHARED),)
"""What every remote value has beside its own attributes."""


def resolve(declarations: Iterable[Declaration]) -> Registry:
    """Resolve declarations that were collected; see `load_registry`."""
    listed = sorted(declarations, key=lambda d: d.cls.__name__)
    kinds = {d.cls.__name__: d.kind for d in listed}
    entities = {d.cls.__name__: _entity(d, kinds) for d in listed if d.kind == "entity"}
    remote: dict[str, Entity] = {}
    for entity in entities.values():
        for field in entity.fields.values():
            if isinstance(field.member, Remote):
                first = remote.setdefault(field.type.name, entity)
                if (first.system, first.governed.by == "none") != (entity.system, entity.governed.by == "none"):
                    raise RegistryError(
                        f"{field.coordinate}: hangs elsewhere in another system, or on a public register"
                    )
    values = {
        d.cls.__name__: ValueType(
            d.cls.__name__,
            d.title,
            _fields(d, (*d.members, *(REMOTE_COMMON if d.cls.__name__ in remote else ())), kinds),
        )
        for d in listed
        if d.kind == "value"
    }
    for entity in entities.values():
        _check_relations(entity, entities)
        for field in entity.fields.values():
            if isinstance(field.member, Remote):
                _check_remote(entity, field, values, entities)
            elif field.type.kind is TypeKind.VALUE and field.type.name in remote:
                raise RegistryError(f"{field.coordinate}: {field.type.name} is a remote value of other fields")
    for value_type in values.values():
        if value_type.name not in remote:
            _check_local(value_type)
    return Registry(MappingProxyType(entities), MappingProxyType(values))


def _entity(declaration: Declaration, kinds: Mapping[str, str]) -> Entity:
    name = declaration.cls.__name__
    members = [*declaration.members, *(m for m in COMMON if m.name not in {d.name for d in declaration.members})]
    by_field = _fields(declaration, members, kinds)
    by_name = {f.name: f for f in by_field.values()}
    if declaration.key not in by_name:
        raise RegistryError(f"{name}: its key {declaration.key} is not declared")
    declared = by_name[declaration.key]
    key = replace(declared, member=replace(declared.attribute, filterable=True, sortable=True, always=True))
    if key.type.kind is not TypeKind.SCALAR or key.attribute.sharing is None:
        raise RegistryError(f"{name}: a key is a scalar with a class")
    by_field = {**by_field, key.field: key}
    return Entity(
        name,
        declaration.title,
        declaration.table,
        declaration.plural,
        declaration.system,
        declaration.owner,
        key,
        declaration.key_sharing or key.attribute.sharing,
        declaration.governed,
        MappingProxyType(by_field),
        MappingProxyType({**by_name, key.name: key}),
    )


def _fields(
    declaration: Declaration, members: Iterable[Attribute | Relation | Remote], kinds: Mapping[str, str]
) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for member in members:
        owner = declaration.cls.__name__
        type_ref = _type(f"{owner}.{member.name}", member.annotation, kinds)
        codes = CODE_LISTS[type_ref.name] if type_ref.kind is TypeKind.CODES else None
        scalar = SCALARS[type_ref.name] if type_ref.kind is TypeKind.SCALAR else None
        found[camel(member.name)] = Field(owner, member.name, camel(member.name), type_ref, member, scalar, codes)
    return found


_ANNOTATION = re.compile(r"(?:list\[(\w+)\]|(\w+))(?: \| None)?")


def _type(where: str, annotation: str, kinds: Mapping[str, str]) -> TypeRef:
    parsed = _ANNOTATION.fullmatch(annotation.strip())
    if parsed is None:
        raise RegistryError(f"{where}: cannot read the annotation {annotation!r}")
    name = parsed[1] or parsed[2]
    is_list = parsed[1] is not None
    name = PYTHON_NAMES.get(name, name)
    if name in kinds:
        return TypeRef(TypeKind.ENTITY if kinds[name] == "entity" else TypeKind.VALUE, name, is_list)
    if name in SCALARS:
        return TypeRef(TypeKind.SCALAR, name, is_list)
    if name in CODE_LISTS:
        return TypeRef(TypeKind.CODES, name, is_list)
    raise RegistryError(f"{where}: {name} is neither a scalar, a code list, a value type nor an entity")


def _check_relations(entity: Entity, entities: Mapping[str, Entity]) -> None:
    for field in entity.fields.values():
        if not isinstance(field.member, Relation):
            continue
        if field.type.kind is not TypeKind.ENTITY:
            raise RegistryError(f"{field.coordinate}: a relation leads to an entity")
        side = entities[field.type.name] if field.type.is_list else entity
        for name in (field.member.by, *(o.removeprefix("-") for o in field.member.order), *field.member.covering):
            if name not in side.by_name:
                raise RegistryError(f"{field.coordinate}: {side.name} has no attribute {name}")


def _check_local(value_type: ValueType) -> None:
    for field in value_type.fields.values():
        if not isinstance(field.member, Attribute) or field.type.kind is TypeKind.VALUE or field.member.beside:
            raise RegistryError(f"{field.coordinate}: only a remote value has relations, values or comparisons")


def _check_remote(
    entity: Entity, field: Field, values: Mapping[str, ValueType], entities: Mapping[str, Entity]
) -> None:
    remote = field.member
    if not isinstance(remote, Remote) or field.type.kind is not TypeKind.VALUE:
        raise RegistryError(f"{field.coordinate}: a remote value is of a value type")
    by = entity.by_name.get(remote.by)
    if by is None or by.scalar is None or by.type.is_list:
        raise RegistryError(f"{field.coordinate}: {entity.name} has no scalar attribute {remote.by}")
    if field.type.is_list != bool(remote.order) or (remote.across and not field.type.is_list):
        raise RegistryError(f"{field.coordinate}: a list has an order, and only a list goes across sources")
    parts = {part.name: part for part in values[field.type.name].fields.values()}
    for name in (order.removeprefix("-") for order in remote.order):
        if name not in parts or parts[name].type.is_list or parts[name].scalar is None:
            raise RegistryError(f"{field.coordinate}: cannot be ordered by {name}")
    for part in parts.values():
        if isinstance(part.member, Relation):
            by = parts.get(part.member.by)
            if part.type.is_list or part.type.name not in entities or by is None or by.scalar is None:
                raise RegistryError(f"{part.coordinate}: leads to one entity by a scalar attribute of its own")
            continue
        if part.type.kind is TypeKind.VALUE and part.name != "provenance":
            raise RegistryError(f"{part.coordinate}: a remote value holds no further values")
        beside = part.attribute.beside
        if beside and (field.type.is_list or beside not in entity.by_name or entity.by_name[beside].type != part.type):
            raise RegistryError(f"{part.coordinate}: {entity.name}.{beside} does not say the same")
