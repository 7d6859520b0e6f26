"""The tables of a province, how they are configured, and rows of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from adapters.base import Fetch
from adapters.configuration import FrontSource
from adapters.credentials import CredentialMissing
from adapters.front.driver import FrontDriver
from schema.registry import load_registry

NAME = "front_tests"
STATUS, VISITS = "Project.siteStatus", "Project.liveInspections"
TABLES = """
CREATE TABLE "370000_SPGL_XMJGXXB" (
    lsh bigint, dfsjzj varchar(50), xmbh varchar(20), xzqhdm text, sjyxbs int, sjsczt int, sbyy varchar(60),
    xmmc text, xmzt text, zmj numeric, sgdw text, sbsj timestamp, gxsj timestamp
);
CREATE INDEX ON "370000_SPGL_XMJGXXB" (xmbh);
CREATE TABLE jdjc (xmbh text, jcbh text, jcrq text, jcjg text, wtsl int, gxsj timestamp, sjyxbs char(2));
CREATE INDEX ON jdjc (xmbh);
GRANT SELECT, UPDATE (sjsczt, sbyy) ON "370000_SPGL_XMJGXXB" TO front_reader;
GRANT SELECT ON jdjc TO front_reader;
"""


def source(port: int, **changes: Any) -> dict[str, Any]:
    """The configuration as an operator writes it."""
    valid = {"from": "sjyxbs", "is": ["1"]}
    status = {
        "table": "370000_SPGL_XMJGXXB", "key": "xmbh", "valid": valid, "region": "xzqhdm", "as_of": {"from": "gxsj"},
        "probe": "P1", "receipts": True,
        "fields": {
            "name": {"from": "xmmc"},
            "state": {"from": "xmzt", "codes": {"在建": "2", "停工": "3"}},
            "total_area": {"from": "zmj"},
            "contractor_uscc": {"from": "sgdw"},
            "reported_at": {"from": "sbsj"},
        },
    }  # fmt: skip
    visits = {
        "table": "jdjc", "key": "xmbh", "valid": valid, "as_of": {"from": "gxsj"},
        "fields": {
            "inspection_no": {"from": "jcbh"},
            "inspected_on": {"from": "jcrq", "dates": ["%Y%m%d", "%Y-%m-%d"]},
            "agency": {"from": "jcjg"},
            "finding_count": {"from": "wtsl"},
        },
    }  # fmt: skip
    written = {
        "title": "前置库", "covers": ["370000"], "address": f"postgresql://127.0.0.1:{port}/{NAME}",
        "networks": ["127.0.0.0/8"], "user": "env:FRONT_USER", "password": "env:FRONT_PASSWORD",
        "deadline_ms": 2000, "concurrency": 3,
        "service": {STATUS: status, VISITS: visits},
    }  # fmt: skip
    return written | changes


def driver_to(port: int, user: str = "front_reader", **changes: Any) -> FrontDriver:
    """A driver with that configuration."""
    config = msgspec.convert(source(port, **changes), FrontSource)

    def credential(reference: str) -> str:
        found = {"env:FRONT_USER": user, "env:FRONT_PASSWORD": "secret"}.get(reference)
        if found is None:
            raise CredentialMissing(reference)
        return found

    return FrontDriver("shandong", config, credential, load_registry())


async def add_status(owner: Any, serial: int, key: str, **changes: Any) -> None:
    """A row of a site's status; `key` is the project's number."""
    row = {
        "lsh": serial, "dfsjzj": f"L-{key}", "xmbh": key, "xzqhdm": "370102", "sjyxbs": 1, "sjsczt": 0,
        "xmmc": f"项目{key}", "xmzt": "在建",
    } | changes  # fmt: skip
    marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await owner.execute(f'INSERT INTO "370000_SPGL_XMJGXXB" ({", ".join(row)}) VALUES ({marks})', *row.values())


async def add_visit(owner: Any, number: object, on: object, key: str = "P1", **changes: Any) -> None:
    """A row of a visit to a project."""
    row = {"xmbh": key, "jcbh": number, "jcrq": on, "sjyxbs": "1"} | changes
    marks = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await owner.execute(f"INSERT INTO jdjc ({', '.join(row)}) VALUES ({marks})", *row.values())


def local(*parts: int) -> datetime:
    """A time as columns without zone have it."""
    year, month, day, hour = (*parts, 0)[:4]
    return datetime(year, month, day, hour, tzinfo=UTC).replace(tzinfo=None)


WANTED = ("gxsj", "sjyxbs", "xmbh", "xmmc", "xzqhdm", "zmj")


def status(*keys: str) -> Fetch:
    """A question for the state of sites."""
    return Fetch(STATUS, keys, ("name", "total_area"))


async def keys_of(driver: FrontDriver, *keys: str) -> list[Any]:
    """The keys of what the driver finds."""
    answer = await driver.read(STATUS, status(*keys), WANTED)
    return sorted(record["xmbh"] for record in answer.records)
