"""Conditions and orders as GraphQL inputs: one filter type per scalar or code list, shared by all entities."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import strawberry

from schema.declare import Attribute, Relation, Remote
from schema.namespace import Namespace, python_name
from schema.registry import Entity, Field, camel

OPERATORS: Mapping[str, tuple[str, ...]] = {
    "String": ("eq", "in", "starts_with", "is_null"),
    "ID": ("eq", "in"),
    "Int": ("eq", "in", "gte", "gt", "lte", "lt", "is_null"),
    "Decimal": ("eq", "in", "gte", "gt", "lte", "lt", "is_null"),
    "Date": ("eq", "in", "gte", "gt", "lte", "lt", "is_null"),
    "DateTime": ("eq", "in", "gte", "gt", "lte", "lt", "is_null"),
    "Boolean": ("eq", "is_null"),
    "RegionCode": ("eq", "in", "under", "is_null"),
}
"""What a filter of a scalar offers; identifiers and code lists offer `_IDENTIFIER_OPERATORS`."""
_IDENTIFIER_OPERATORS = ("eq", "in", "is_null")

_OPERATOR_TITLES = {
    "eq": "等于",
    "in": "在其中，至多100个",
    "starts_with": "以此开头",
    "gte": "不小于",
    "gt": "大于",
    "lte": "不大于",
    "lt": "小于",
    "under": "此区划及其下级",
    "is_null": "是否为空",
}


class Inputs:
    """Makes the input types of a schema's entities in its namespace."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace

    def declare(self, entity: Entity) -> None:
        """Make `<Entity>Where`, `<Entity>SortField` and `<Entity>Order`."""
        where = f"{entity.name}Where"
        annotations = {"and_": f"list[{where}] | None", "or_": f"list[{where}] | None", "not_": f"{where} | None"}
        members: dict[str, object] = {
            "and_": strawberry.field(name="and", description="全部满足", default=strawberry.UNSET),
            "or_": strawberry.field(name="or", description="至少满足一项", default=strawberry.UNSET),
            "not_": strawberry.field(name="not", description="不满足", default=strawberry.UNSET),
        }
        for field in entity.fields.values():
            annotation = self._condition(field)
            if annotation is not None:
                annotations[field.name] = f"{annotation} | None"
                members[field.name] = strawberry.field(
                    name=field.field, description=field.member.title, default=strawberry.UNSET
                )
        self.namespace.bind(
            where,
            strawberry.input(self.namespace.make(where, annotations, members), description=f"{entity.title}之条件"),
        )
        sortable = {
            f.name.upper(): f.field
            for f in entity.fields.values()
            if isinstance(f.member, Attribute) and f.member.sortable
        }
        by_name = Enum(f"{entity.name}SortField", {n: n for n in sortable}, module=self.namespace.name)  # type: ignore[misc]
        self.namespace.bind(
            f"{entity.name}SortField", strawberry.enum(by_name, description=f"{entity.title}可排序之字段")
        )
        order = self.namespace.make(
            f"{entity.name}Order",
            {"field": f"{entity.name}SortField", "direction": "SortDirection"},
            {
                "field": strawberry.field(description="字段"),
                "direction": strawberry.field(description="方向", default=self.namespace.module.SortDirection.ASC),
            },
        )
        self.namespace.bind(f"{entity.name}Order", strawberry.input(order, description=f"{entity.title}之排序"))

    def _condition(self, field: Field) -> str | None:
        member = field.member
        if isinstance(member, Remote):
            return None
        if isinstance(member, Relation):
            return f"{field.type.name}Where" if not field.type.is_list else self._quantifiers(field.type.name)
        if not member.filterable and not member.sortable:
            return None
        operators = OPERATORS.get(field.type.name, _IDENTIFIER_OPERATORS)
        return self._filter(field.type.name, python_name(field.type.name), operators, member.title)

    def _quantifiers(self, target: str) -> str:
        name = f"{target}ListFilter"
        if name not in self.namespace:
            cls = self.namespace.make(
                name,
                {"some": f"{target}Where | None", "none": f"{target}Where | None", "every": f"{target}Where | None"},
                {
                    "some": strawberry.field(description="可见者至少一条满足", default=strawberry.UNSET),
                    "none": strawberry.field(description="可见者无一满足", default=strawberry.UNSET),
                    "every": strawberry.field(description="可见者全部满足", default=strawberry.UNSET),
                },
            )
            self.namespace.bind(name, strawberry.input(cls, description="对关联对象之条件"))
        return name

    def _filter(self, name: str, annotation: str, operators: tuple[str, ...], title: str) -> str:
        filter_name = f"{name}Filter"
        if filter_name in self.namespace:
            return filter_name
        annotations, members = {}, {}
        for operator in operators:
            python = "in_" if operator == "in" else operator
            annotations[python] = {
                "in": f"list[{annotation}] | None",
                "is_null": "bool | None",
            }.get(operator, f"{annotation} | None")
            members[python] = strawberry.field(
                name=camel(operator), description=_OPERATOR_TITLES[operator], default=strawberry.UNSET
            )
        cls = self.namespace.make(filter_name, annotations, members)
        self.namespace.bind(filter_name, strawberry.input(cls, description=f"{title}之条件，各项须同时满足"))
        return filter_name
