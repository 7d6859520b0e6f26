"""The GraphQL schema, built by Strawberry from the registry: types, inputs, roots and federation keys.

Strawberry constructs the SDL and the schema that documents are validated against; no field has run-time logic here,
since the planner answers every query root. `schema.graphql` is this module's output, kept in git.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Any, NewType

import strawberry
from graphql import GraphQLSchema
from strawberry.federation import Schema
from strawberry.schema.config import StrawberryConfig
from strawberry.schema_directive import Location
from strawberry.types.scalar import ScalarDefinition

from schema.codes import CODE_LISTS
from schema.declare import Attribute, Relation, Remote
from schema.inputs import Inputs
from schema.namespace import BUILT_IN, Namespace, python_name
from schema.registry import Entity, Field, Registry, TypeKind, ValueType
from schema.scalars import SCALARS, Scalar

NESTED_DEFAULT, NESTED_AT_MOST = 20, 100
"""Items of a nested to-many list when the document does not say, and the most it may ask for."""
PAGE_DEFAULT, PAGE_AT_MOST = 20, 1000
"""The same for a root connection."""


@dataclass(frozen=True, slots=True)
class BuiltSchema:
    """The schema for validation and its text."""

    graphql: GraphQLSchema
    sdl: str


@cache
def build_schema(registry: Registry) -> BuiltSchema:
    """Build the schema of a registry, once: it takes half a second."""
    return _Builder(registry).build()


@strawberry.schema_directive(locations=[Location.FIELD_DEFINITION], name="semanticNonNull")
class _SemanticNonNull:
    """Null only where the caller has no right; GraphQL nullability working group, 2024."""


class _Builder:
    """Collects the generated classes in a namespace of their own, in which Strawberry resolves annotations."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.namespace = Namespace(f"schema.generated_{id(registry):x}")
        self.inputs = Inputs(self.namespace)
        self.scalars: dict[object, ScalarDefinition] = {}

    def build(self) -> BuiltSchema:
        sys.modules[self.namespace.name] = self.namespace.module
        try:
            self._scalars()
            self._code_lists()
            self._shared_types()
            for value_type in self.registry.values.values():
                self._value_type(value_type)
            entities = [self._entity(entity) for entity in self.registry.entities.values()]
            for entity in self.registry.entities.values():
                self.inputs.declare(entity)
                self._connection(entity)
            schema = Schema(
                query=self._query(),
                types=entities,
                config=StrawberryConfig(scalar_map=typing.cast("Any", self.scalars)),
            )
            return BuiltSchema(
                schema._schema,  # noqa: SLF001 - Strawberry has no public access to the graphql-core schema
                schema.as_str() + "\n",
            )
        finally:
            del sys.modules[self.namespace.name]

    def _scalars(self) -> None:
        for scalar in SCALARS.values():
            if scalar.name in BUILT_IN:
                continue
            marker = NewType(scalar.name, object)  # type: ignore[misc]
            self.namespace.bind(scalar.name, marker)
            self.scalars[marker] = strawberry.scalar(
                name=scalar.name, description=scalar.title, serialize=str, parse_value=_parser(scalar)
            )

    def _code_lists(self) -> None:
        for codes in CODE_LISTS.values():
            members = {entry.name: entry.name for entry in codes.entries}
            enum = Enum(codes.name, members, module=self.namespace.name)  # type: ignore[misc]
            for entry in codes.entries:
                enum[entry.name]._value_ = strawberry.enum_value(
                    entry.name, description=f"{entry.term}（{entry.code}）"
                )
            self.namespace.bind(
                codes.name, strawberry.enum(enum, name=codes.name, description=f"{codes.title}，{codes.source}")
            )

    def _shared_types(self) -> None:
        node = self.namespace.make("Node", {"id": "strawberry.ID"}, {"id": strawberry.field(description="全局标识")})
        self.namespace.bind("Node", strawberry.interface(node, description="可按全局标识取得的对象"))
        info = self.namespace.make(
            "PageInfo",
            {
                "has_next_page": "bool",
                "has_previous_page": "bool",
                "start_cursor": "str | None",
                "end_cursor": "str | None",
            },
            {
                "has_next_page": strawberry.field(description="之后还有"),
                "has_previous_page": strawberry.field(description="之前还有"),
                "start_cursor": strawberry.field(description="本页首条之游标"),
                "end_cursor": strawberry.field(description="本页末条之游标"),
            },
        )
        self.namespace.bind("PageInfo", strawberry.type(info, description="分页信息"))
        direction = Enum("SortDirection", {"ASC": "ASC", "DESC": "DESC"}, module=self.namespace.name)  # type: ignore[misc]
        self.namespace.bind("SortDirection", strawberry.enum(direction, description="升序、降序；空值总在最后"))
        verdict = Enum("DisclosureVerdict", {"MASKED": "MASKED", "DENIED": "DENIED"}, module=self.namespace.name)  # type: ignore[misc]
        self.namespace.bind("DisclosureVerdict", strawberry.enum(verdict, description="脱敏、不予显示"))
        disclosure = self.namespace.make(
            "Disclosure",
            {"field": "str", "verdict": "DisclosureVerdict"},
            {
                "field": strawberry.field(description="所选字段名"),
                "verdict": strawberry.field(description="对该对象之裁决"),
            },
        )
        self.namespace.bind(
            "Disclosure", strawberry.type(disclosure, description="某对象中未完整显示之字段，与其值无关")
        )

        conflict = self.namespace.make(
            "Conflict",
            {"attribute": "str", "ministry": "str | None", "local": "str | None"},
            {
                "attribute": strawberry.field(description="本平台数据项"),
                "ministry": strawberry.field(description="部级副本之值"),
                "local": strawberry.field(description="来源系统之值"),
            },
        )
        self.namespace.bind(
            "Conflict", strawberry.type(conflict, description="部级副本与来源系统不一致之处，两边均可明示者方比较")
        )

    def _annotation(self, field: Field) -> str:
        name = python_name(field.type.name) if field.type.kind is TypeKind.SCALAR else field.type.name
        return f"list[{name}] | None" if field.type.is_list else f"{name} | None"

    def _value_type(self, value_type: ValueType) -> None:
        annotations = {f.name: self._annotation(f) for f in value_type.fields.values()}
        members = {f.name: _plain(f) for f in value_type.fields.values()}
        if value_type.compared:
            annotations["conflicts"] = "list[Conflict] | None"
            members["conflicts"] = strawberry.field(description="与部级副本不一致之处")
        cls = self.namespace.make(value_type.name, annotations, members)
        self.namespace.bind(value_type.name, strawberry.type(cls, description=value_type.title))

    def _entity(self, entity: Entity) -> type:
        annotations, members = {"id": "strawberry.ID"}, {"id": strawberry.field(description="全局标识")}
        for field in entity.fields.values():
            if isinstance(field.member, Relation) and field.type.is_list:
                members[field.name] = self._to_many(field)
                continue
            if isinstance(field.member, Remote) and (field.type.is_list or field.member.officer):
                members[field.name] = self._remote(field, field.member)
                continue
            annotations[field.name] = (
                python_name(field.type.name) if field.name == entity.key.name else self._annotation(field)
            )
            members[field.name] = _plain(field, is_key=field.name == entity.key.name)
        annotations["disclosure_"] = "list[Disclosure]"
        members["disclosure_"] = strawberry.field(name="_disclosure", description="本对象所选字段中脱敏或不予显示者")
        cls = self.namespace.make(entity.name, annotations, members, self.namespace.module.Node)
        decorated = strawberry.federation.type(cls, name=entity.name, description=entity.title, keys=[entity.key.field])
        return typing.cast("type", self.namespace.bind(entity.name, decorated))

    def _to_many(self, field: Field) -> Any:
        target = field.type.name
        return strawberry.field(
            resolver=self._function(
                field.name,
                f"list[{target}] | None",
                {
                    "where": (f"{target}Where | None", None),
                    "order_by": (f"list[{target}Order] | None", None),
                    "first": ("int", NESTED_DEFAULT),
                },
                bound=True,
            ),
            name=field.field,
            description=f"{field.member.title}，至多{NESTED_AT_MOST}条",
        )

    def _remote(self, field: Field, remote: Remote) -> Any:
        name = field.type.name
        returns = f"list[{name}] | None" if field.type.is_list else f"{name} | None"
        parameters: dict[str, tuple[str, object]] = {}
        about = [remote.title]
        if field.type.is_list:
            parameters["first"] = ("int", NESTED_DEFAULT)
            about.append(f"至多{NESTED_AT_MOST}条")
        if remote.across:
            returns = f"{self._walk(field)} | None"
            parameters["after"] = ("str | None", None)
        if remote.officer:
            parameters["reason"] = ("str", _REQUIRED)
            about.append("须持经办人身份令牌并说明查询事由")
        about.append(f"拟定类别 {remote.sharing}")
        return strawberry.field(
            resolver=self._function(field.name, returns, parameters, bound=True),
            name=field.field,
            description="，".join(about),
        )

    def _walk(self, field: Field) -> str:
        """The type of a list merged from several sources."""
        name = f"{field.type.name}Walk"
        if name not in self.namespace:
            walk = self.namespace.make(
                name,
                {
                    "nodes": f"list[{field.type.name}]",
                    "page_info": "PageInfo",
                    "sources": "list[str]",
                    "incomplete_sources": "list[str]",
                },
                {
                    "nodes": strawberry.field(description="逐条"),
                    "page_info": strawberry.field(description="分页信息，只可向后"),
                    "sources": strawberry.field(description="本次浏览之来源"),
                    "incomplete_sources": strawberry.field(description="其中未能完整应答之来源"),
                },
            )
            self.namespace.bind(
                name,
                strawberry.type(walk, description=f"{field.member.title}，就已应答之来源有序、不重复"),
            )
        return name

    def _connection(self, entity: Entity) -> None:
        edge = self.namespace.make(
            f"{entity.name}Edge",
            {"cursor": "str", "node": entity.name},
            {"cursor": strawberry.field(description="游标"), "node": strawberry.field(description=entity.title)},
        )
        self.namespace.bind(f"{entity.name}Edge", strawberry.type(edge, description=f"{entity.title}及其游标"))
        connection = self.namespace.make(
            f"{entity.name}Connection",
            {
                "edges": f"list[{entity.name}Edge]",
                "nodes": f"list[{entity.name}]",
                "page_info": "PageInfo",
                "total_count": "int",
            },
            {
                "edges": strawberry.field(description="逐条带游标"),
                "nodes": strawberry.field(description="逐条"),
                "page_info": strawberry.field(description="分页信息"),
                "total_count": strawberry.field(description="可见且满足条件者总数，费用较高"),
            },
        )
        self.namespace.bind(f"{entity.name}Connection", strawberry.type(connection, description=f"{entity.title}分页"))

    def _query(self) -> type:
        members: dict[str, object] = {
            "node": strawberry.field(
                resolver=self._function("node", "Node | None", {"id": ("strawberry.ID", _REQUIRED)}),
                description="按全局标识取一个对象；不可见与不存在无异",
            ),
            "nodes": strawberry.field(
                resolver=self._function("nodes", "list[Node | None]", {"ids": ("list[strawberry.ID]", _REQUIRED)}),
                description="按全局标识取多个对象，至多100个",
            ),
        }
        members["sources"] = strawberry.field(
            resolver=self._function("sources", "list[DataSource] | None", {"first": ("int", NESTED_AT_MOST)}),
            description=f"各接入系统及其现状，至多{NESTED_AT_MOST}个",
        )
        for entity in self.registry.entities.values():
            key = python_name(entity.key.type.name)
            members[entity.root] = strawberry.field(
                resolver=self._function(entity.root, f"{entity.name} | None", {entity.key.name: (key, _REQUIRED)}),
                name=entity.root,
                description=f"按{entity.key.member.title}取{entity.title}；不可见与不存在无异",
            )
            members[entity.plural] = strawberry.field(
                resolver=self._function(
                    entity.plural,
                    f"{entity.name}Connection | None",
                    {
                        "where": (f"{entity.name}Where | None", None),
                        "order_by": (f"list[{entity.name}Order] | None", None),
                        "first": ("int | None", None),
                        "after": ("str | None", None),
                        "last": ("int | None", None),
                        "before": ("str | None", None),
                    },
                ),
                name=entity.plural,
                description=f"{entity.title}，每页至多{PAGE_AT_MOST}条",
            )
        made: type = strawberry.type(self.namespace.make("Query", {}, members), description="查询")
        return made

    def _function(
        self, name: str, returns: str, parameters: Mapping[str, tuple[str, object]], *, bound: bool = False
    ) -> Callable[..., None]:
        """A function with the signature that Strawberry reads; it is never called."""

        def never_called(*_: object) -> None:
            raise AssertionError("the planner answers every field")

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        signature = [inspect.Parameter("self", kind)] if bound else []
        for parameter, (annotation, default) in parameters.items():
            signature.append(inspect.Parameter(parameter, kind, annotation=annotation, default=default))
        never_called.__name__ = name
        never_called.__module__ = self.namespace.name
        never_called.__signature__ = inspect.Signature(signature, return_annotation=returns)  # type: ignore[attr-defined]
        never_called.__annotations__ = {p: a for p, (a, _) in parameters.items()} | {"return": returns}
        return never_called


_REQUIRED = inspect.Parameter.empty


def _plain(field: Field, *, is_key: bool = False) -> Any:
    member = field.member
    parts = [member.title]
    if isinstance(member, Attribute):
        parts += [part for part in (member.unit and f"单位：{member.unit}", member.standard) if part]
        if member.sharing:
            parts.append(f"拟定类别 {member.sharing}")
    # A right may be missing where data never are, so the type stays nullable and the directive says the rest.
    directives = [_SemanticNonNull()] if isinstance(member, Attribute) and member.always and not is_key else []
    return strawberry.field(name=field.field, description="，".join(parts), directives=directives)


def _parser(scalar: Scalar) -> Callable[[object], object]:
    def parse(raw: object) -> object:
        if isinstance(raw, date | datetime):
            return raw
        return scalar.parse(raw)

    return parse
