"""A recognisable text (a canary) for every personal, restricted and conditional column, and callers to ask for them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import asyncpg

from demo.seed import wellknown as known
from policy.subject import PUBLIC_SUBJECT, Country, Level, NoTerritory, Subject, territory_of
from schema.declare import CONDITIONAL, PERSONAL, RESTRICTED, Attribute
from schema.registry import Entity, Field, TypeKind, load_registry
from schema.scalars import Kind
from server.pipeline import Question

if TYPE_CHECKING:
    from server.service import Service

AWAY, ENTERPRISE_AWAY = "330106", known.USCC_OF_NOBODY
SUBJECTS = {
    "public": PUBLIC_SUBJECT,
    "county": Subject("county", Level.COUNTY, "HOUSING", territory_of([known.WUCHANG]), dept=known.HOUSING_WUCHANG),
    "county elsewhere": Subject("away", Level.COUNTY, "HOUSING", territory_of([AWAY]), dept="JS330106-1"),
    "city": Subject("city", Level.CITY, "HOUSING", territory_of([known.WUHAN]), dept=known.HOUSING_WUHAN),
    "province": Subject("province", Level.PROVINCE, "HOUSING", territory_of([known.HUBEI]), dept=known.HOUSING_HUBEI),
    "ministry": Subject("ministry", Level.MINISTRY, "HOUSING", Country(), dept=known.HOUSING_MINISTRY),
    "data authority": Subject("data", Level.PROVINCE, "DATA_AUTH", territory_of([known.HUBEI]), dept="SJ420000-1"),
    "emergency": Subject("emergency", Level.CITY, "EMERGENCY", territory_of([known.WUHAN]), dept="YJ420100-1"),
    "other office": Subject("other", Level.CITY, "OTHER_GOV", territory_of([known.WUHAN]), dept="QT420100-1"),
    "enterprise": Subject("ent", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise=known.CONTRACTOR),
    "enterprise elsewhere": Subject("ent2", Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), enterprise=ENTERPRISE_AWAY),
    "person": Subject("person", Level.PERSON, "PERSON", NoTerritory(), person=known.PERSON),
}
ATTACKERS = ("public", "county elsewhere", "enterprise elsewhere", "other office")
REGISTRY = load_registry()
CANARY = "CANARY"
CITIZEN_NO, OTHER_NO = "555555190001019999", "666666190001018888"
HIDDEN_CLASSES = (CONDITIONAL, PERSONAL, RESTRICTED)


def attributes(entity: Entity) -> list[Field]:
    """The attributes of an entity."""
    return [f for f in entity.fields.values() if isinstance(f.member, Attribute)]


def columns_of(field: Field) -> list[str]:
    """The columns that hold an attribute."""
    return list((field.attribute.columns or {}).values()) or [field.attribute.column]


def selection(field: Field) -> str:
    """The field with whatever must be selected below it."""
    if field.type.kind is not TypeKind.VALUE:
        return field.field
    return f"{field.field} {{ {' '.join(REGISTRY.values[field.type.name].fields)} }}"


def canaries(number: str, marker: str) -> list[str]:
    """The statements that put a recognisable value into every hidden column that can take one."""
    found = []
    for entity in REGISTRY.entities.values():
        for field in attributes(entity):
            attribute = field.attribute
            if attribute.sharing not in HIDDEN_CLASSES or field.codes or field.type.kind is TypeKind.VALUE:
                continue
            if field.scalar is None or field.scalar.kind is not Kind.TEXT or field.name == entity.key.name:
                continue
            value = f"'{number}'" if field.type.name == "CitizenNo" else f"'{marker}-{entity.name}-{field.field}'"
            value = f"array[{value}]" if field.type.is_list else value
            found.append(f"update zlaq.{entity.table} set {attribute.column} = {value}")
    return found


async def execute(dsn: str, *statements: str) -> None:
    """Run statements as the owner, no trigger firing."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("set session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def ask(service: Service, subject: Subject, query: str, **variables: Any) -> tuple[int, bytes]:
    """Status and bytes, under one request id."""
    answer = await service.answer(Question(query, variables, None), subject, "fixed")
    return answer.status, answer.body


def global_id(type_name: str, key: str) -> str:
    """A Relay identifier."""
    return base64.b64encode(f"{type_name}:{key}".encode()).decode()
