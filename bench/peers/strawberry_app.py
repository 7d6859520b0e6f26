"""Plain Strawberry with one dataloader a relation: an ASGI application that answers the product's documents unchanged.

`PEER_DSN` comes from the environment. Written as its best users would: parsed and validated documents are kept, a batch
of keys is one statement whose nested lists PostgreSQL cuts off, and a row of asyncpg is itself the source of its
fields, so that no object is built for it and no code is translated but by GraphQL's enums.

It does no authentication, no policy, no masking, no audit, no limits and no `totalCount`; it knows only the measured
fields, and pages go forward only, after the cursor of an edge (`k` and the key in base64).
"""

from __future__ import annotations

import base64
import os
from datetime import date
from decimal import Decimal
from enum import Enum
from functools import cached_property
from operator import getitem
from typing import Any, NewType

import asyncpg
import orjson
import strawberry
from aiodataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig

from schema.codes import CODE_LISTS

CONNECTIONS = 10
SETTINGS = {
    "search_path": "zlaq",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",
}
_PROJECT = (
    "select project_no, name, project_type, status, total_area, planned_start, planned_end, developer_name,"
    " county_code, contractor_uscc from project"
)
_PROJECT_BY_KEY = f"{_PROJECT} where project_no = $1"
_PROJECTS = _PROJECT + " where project_no > $1 order by project_no limit {first}"
_ENTERPRISES = "select uscc, name, registered_address from enterprise where uscc = any($1::text[])"
_PERSONS = "select person_no, name, mobile, birth_year from person where person_no = any($1::text[])"
_SAFETY_MANAGERS = (
    "select c.* from unnest($1::text[]) k(uscc) cross join lateral (select enterprise_uscc, cert_no, category_code,"
    " state, valid_to, name, id_no, person_no from safety_manager_certificate where enterprise_uscc = k.uscc"
    " order by cert_no limit {first}) c"
)
_INSPECTIONS = (
    "select i.* from unnest($1::text[]) k(project_no) cross join lateral (select project_no, inspection_no,"
    " inspected_on, kind, finding_count, major_hazard_count, disposal from safety_inspection"
    " where project_no = k.project_no order by inspected_on desc, inspection_no desc limit {first}) i"
)


def _code(name: str) -> Any:
    """A field of a code list, as a GraphQL enum: names outside, stored codes inside."""
    enum: Any = Enum(name, {entry.name: entry.code for entry in CODE_LISTS[name].entries})  # type: ignore[misc]
    return strawberry.field(graphql_type=strawberry.enum(enum) | None)


ProjectNo = NewType("ProjectNo", str)

Row = Any
"""A record of asyncpg, which `getitem` reads as the source of a type's fields."""


class Loaders:
    """The dataloaders of one request, one a relation and page size."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self._lists: dict[str, DataLoader[str, list[Row]]] = {}

    @cached_property
    def enterprises(self) -> DataLoader[str, Row | None]:
        """By `uscc`."""
        return self._by_key(_ENTERPRISES)

    @cached_property
    def persons(self) -> DataLoader[str, Row | None]:
        """By `person_no`."""
        return self._by_key(_PERSONS)

    def lists(self, sql: str) -> DataLoader[str, list[Row]]:
        """The rows of each parent's key, which is the first column."""
        if sql not in self._lists:

            async def load(keys: list[str]) -> list[list[Row]]:
                found: dict[str, list[Row]] = {key: [] for key in keys}
                for row in await self.pool.fetch(sql, keys):
                    found[row[0]].append(row)
                return list(found.values())

            self._lists[sql] = DataLoader(load)
        return self._lists[sql]

    def _by_key(self, sql: str) -> DataLoader[str, Row | None]:
        async def load(keys: list[str]) -> list[Row | None]:
            found = {row[0]: row for row in await self.pool.fetch(sql, keys)}
            return [found.get(key) for key in keys]

        return DataLoader(load)


Info = strawberry.Info[Loaders, None]
Parent = strawberry.Parent[Row]


@strawberry.type
class Person:
    """A practitioner."""

    person_no: str
    name: str | None
    mobile: str | None
    birth_year: int | None


def _person(certificate: Parent, info: Info) -> Any:
    return info.context.persons.load(certificate["person_no"])


@strawberry.type
class SafetyManagerCertificate:
    """A safety manager's certificate."""

    cert_no: str
    category_code: str | None = _code("SafetyPost")
    state: str | None = _code("SafetyMgrState")
    valid_to: date
    name: str | None
    id_no: str | None
    person: Person | None = strawberry.field(resolver=_person)


def _safety_managers(enterprise: Parent, info: Info, first: int = 20) -> Any:
    return info.context.lists(_SAFETY_MANAGERS.format(first=first)).load(enterprise["uscc"])


@strawberry.type
class Enterprise:
    """A contractor."""

    uscc: str
    name: str | None
    registered_address: str | None
    safety_managers: list[SafetyManagerCertificate] = strawberry.field(resolver=_safety_managers)


@strawberry.type
class SafetyInspection:
    """One visit to a site."""

    inspection_no: str
    inspected_on: date
    kind: str | None = _code("InspectionKind")
    finding_count: int | None
    major_hazard_count: int | None
    disposal: str | None = _code("Disposal")


def _contractor(project: Parent, info: Info) -> Any:
    uscc = project["contractor_uscc"]
    return None if uscc is None else info.context.enterprises.load(uscc)


def _inspections(project: Parent, info: Info, first: int = 20) -> Any:
    return info.context.lists(_INSPECTIONS.format(first=first)).load(project["project_no"])


@strawberry.type
class Project:
    """A construction project."""

    project_no: ProjectNo
    name: str | None
    project_type: str | None = _code("ProjectType")
    status: str | None = _code("ProjectState")
    total_area: Decimal | None
    planned_start: date | None
    planned_end: date | None
    developer_name: str | None
    county_code: str | None
    contractor_uscc: str | None
    contractor: Enterprise | None = strawberry.field(resolver=_contractor)
    inspections: list[SafetyInspection] = strawberry.field(resolver=_inspections)


@strawberry.type
class ProjectConnection:
    """A page."""

    nodes: list[Project]


async def _project(info: Info, project_no: ProjectNo) -> Any:
    return await info.context.pool.fetchrow(_PROJECT_BY_KEY, project_no)


async def _projects(info: Info, first: int, after: str) -> Any:
    key = base64.b64decode(after[1:]).decode()
    return {"nodes": await info.context.pool.fetch(_PROJECTS.format(first=first), key)}


@strawberry.type
class Query:
    """The measured roots."""

    project: Project | None = strawberry.field(resolver=_project)
    projects: ProjectConnection = strawberry.field(resolver=_projects)


schema = strawberry.Schema(
    Query,
    config=StrawberryConfig(default_resolver=getitem, scalar_map={ProjectNo: strawberry.scalar(name="ProjectNo")}),
    extensions=[ParserCache, ValidationCache],
)


class Application:
    """Bare ASGI: POST a JSON body with `query` and `variables`, whatever the path."""

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        asked = orjson.loads(body)
        result = await schema.execute(
            asked["query"], variable_values=asked.get("variables"), context_value=Loaders(self._pool)
        )
        errors = [error.formatted for error in result.errors] if result.errors else None
        answer = orjson.dumps({"data": result.data} | ({"errors": errors} if errors else {}))
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": answer})

    async def _live(self, receive: Any, send: Any) -> None:
        """Hold the pool from start to end; its connections have no state to reset."""
        await receive()
        async with asyncpg.create_pool(
            os.environ["PEER_DSN"], min_size=CONNECTIONS, max_size=CONNECTIONS, server_settings=SETTINGS, reset=_keep
        ) as self._pool:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


async def _keep(_: asyncpg.Connection) -> None:
    return


app = Application()
