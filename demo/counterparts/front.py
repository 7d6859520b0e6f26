"""Shandong's front-end database (前置库): tables as a vendor left them, a role for us that may read and write receipts.

Everything is text, the local key is `dfsjzj`, an update is a withdrawal (`sjyxbs` 0) and a new row. `sjsczt` is the
state of the upload: -1 draft, 0 new, 1 taken, 2 refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from demo.counterparts.facts import READINGS, SITES, STRANGER, UNKNOWN_PROJECT, Reading, Site, Visit, visits
from demo.counterparts.record import Behaviour
from demo.seed import wellknown as known

DATABASE, OWNER, READER = "shandong_front", "shandong_owner", "shandong_zlaq"
SITE_TABLE, VISIT_TABLE = "370000_SPGL_XMJGXXB", "370000_SPGL_XMJCXXB"
READING_TABLE = "370000_SPGL_QZJXJCB"
_COMMON = (
    "lsh bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, dfsjzj text NOT NULL, xzqhdm text, sjyxbs text NOT NULL"
    " DEFAULT '1', sjwxyy text, sjsczt smallint NOT NULL DEFAULT 0, sbyy text, sync smallint NOT NULL DEFAULT 1,"
    " gxsj timestamp NOT NULL"
)
_COLUMNS = {
    SITE_TABLE: "xmdm text, xmmc text, xmzt text, sgdwdm text, zjzmj text, xxjd text, tgbs text, tgyy text, zcrs text,"
    " aqyxm text, aqylxdh text",
    VISIT_TABLE: "jcbh text, xmdm text, sgdwdm text, jcrq text, jclx text, jcjg text, wtsl text, zdyhsl text,"
    " clcs text, jcqk text, jcry text",
    READING_TABLE: "babh text, sbbh text, zxzt text, cjsj timestamp, fs text, ljbfb text, dz text, gd text, bjcs text,"
    " sjxm text",
}
_STATES = {"1": "WKG", "2": "ZJ", "3": "TG", "4": "JG", "5": "ZZ"}


def front_dsn(dsn: str) -> str:
    """Address of the front-end database in the same server, for whom `dsn` names."""
    parts = urlsplit(dsn)
    return f"{parts.scheme}://{parts.netloc}/{DATABASE}" + (f"?{parts.query}" if parts.query else "")


async def create_shandong(dsn: str, password: str) -> None:
    """Make the database anew in the server at `dsn` (a superuser's address), with its roles; `password` is the
    reader's."""
    connection = await asyncpg.connect(dsn)
    try:
        for role in (OWNER, READER):
            if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", role):
                await connection.execute(f"CREATE ROLE {role} LOGIN")
        await connection.execute(f"ALTER ROLE {READER} PASSWORD {_literal(password)}")
        await connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER} TEMPLATE template0")
    finally:
        await connection.close()
    await fill_shandong(dsn)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


async def fill_shandong(dsn: str) -> None:
    """Put tables, rows and rights back to the beginning."""
    connection = await asyncpg.connect(front_dsn(dsn))
    try:
        async with connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '5s'")
            for table, columns in _COLUMNS.items():
                await connection.execute(f'DROP TABLE IF EXISTS "{table}"')
                await connection.execute(f'CREATE TABLE "{table}" ({_COMMON}, {columns})')
                await connection.execute(f'ALTER TABLE "{table}" OWNER TO {OWNER}')
                await connection.execute(f'GRANT SELECT, UPDATE (sjsczt, sbyy) ON "{table}" TO {READER}')
                await connection.execute(f'CREATE INDEX ON "{table}" ({columns.split()[0]})')
            for table, rows in _rows().items():
                for row in rows:
                    await _insert(connection, table, row)
    finally:
        await connection.close()


async def _insert(connection: asyncpg.Connection[asyncpg.Record], table: str, row: Mapping[str, object]) -> None:
    names = ", ".join(row)
    values = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({values})', *row.values())


def _rows() -> dict[str, list[dict[str, Any]]]:
    jinan = _site(SITES["37"][0], "XM-0001")
    return {
        SITE_TABLE: [
            # Sent, withdrawn and sent again under the same local key; only the last row counts.
            jinan | {"sjyxbs": "0", "sjwxyy": "名称录入有误", "xmmc": "济南历下星河学校", "xmzt": "TG"},
            jinan,
            jinan | {
                "dfsjzj": "XM-0002", "xmdm": UNKNOWN_PROJECT, "xmmc": "渝中区来源不明工程", "sgdwdm": STRANGER,
                "xmzt": "其他", "zjzmj": "/", "zcrs": "一百余人", "aqyxm": "暂无",
            },
            # Lies in Zhengzhou, by its own code: outside what Shandong answers for.
            jinan | {"dfsjzj": "XM-0003", "xmdm": known.CORPS_CITY, "xzqhdm": "410102"},
            jinan | {"dfsjzj": "XM-0004", "xmdm": "", "xmmc": "无编号工程", "sync": -1, "sjsczt": -1},
        ],
        VISIT_TABLE: [_visit(visit, f"JC-{number:04d}") for number, visit in enumerate(visits("37")[::-1], start=1)],
        READING_TABLE: [_reading(reading, f"QZ-{reading.device}") for reading in READINGS["37"]],
    }  # fmt: skip


def _site(site: Site, local_key: str) -> dict[str, Any]:
    return {
        "dfsjzj": local_key,
        "xzqhdm": site.region,
        "gxsj": site.reported.replace(tzinfo=None),
        "xmdm": site.project_no,
        "xmmc": site.name,
        "xmzt": _STATES[site.state],
        "sgdwdm": site.contractor,
        "zjzmj": str(site.area),
        "xxjd": site.progress,
        "tgbs": "Y" if site.stopped_for else "N",
        "tgyy": site.stopped_for or "--",
        "zcrs": str(site.workers),
        "aqyxm": site.officer,
        "aqylxdh": site.mobile,
    }


def _visit(visit: Visit, local_key: str) -> dict[str, Any]:
    return {
        "dfsjzj": local_key,
        "xzqhdm": visit.region,
        "gxsj": visit.changed.replace(tzinfo=None),
        "jcbh": visit.no,
        "xmdm": visit.project_no,
        "sgdwdm": visit.contractor,
        "jcrq": f"{visit.on:%Y%m%d}",
        "jclx": visit.kind,
        "jcjg": visit.agency,
        "wtsl": str(visit.findings),
        "zdyhsl": str(visit.majors),
        "clcs": visit.disposal,
        "jcqk": visit.summary,
        "jcry": ";".join(visit.inspectors),
    }


def _reading(reading: Reading, local_key: str) -> dict[str, Any]:
    return {
        "dfsjzj": local_key,
        "xzqhdm": reading.region,
        "gxsj": reading.at.replace(tzinfo=None),
        "babh": reading.record_no,
        "sbbh": reading.device,
        "zxzt": "1" if reading.online else "0",
        "cjsj": reading.at.replace(tzinfo=None),
        "fs": str(reading.wind),
        "ljbfb": str(reading.moment),
        "dz": str(reading.load),
        "gd": str(reading.height),
        "bjcs": str(reading.alarms),
        "sjxm": reading.driver,
    }


async def alter_shandong(dsn: str, behaviour: Behaviour) -> None:
    """What goes wrong in a table (its name is the behaviour's service) until the database is filled again.

    Whatever is not a matter of the data is left to the wire.
    """
    table, params = SITE_TABLE if behaviour.service == "*" else behaviour.service, behaviour.params
    column = str(params.get("column", "xmmc"))
    where = "WHERE sjyxbs = '1'"
    statements = {
        "drift": [f'ALTER TABLE "{table}" ALTER COLUMN {params.get("column", "sjsczt")} TYPE text'],
        "missing": [f'ALTER TABLE "{table}" DROP COLUMN {column}'],
        "expired": [f'REVOKE ALL ON "{table}" FROM {READER}'],
        "empty": [f'DELETE FROM "{table}"'],
        "extra": [f'ALTER TABLE "{table}" ADD COLUMN sfzhm text DEFAULT {_literal(STRANGER)}'],
        "gigantic": [
            f"UPDATE \"{table}\" SET {column} = repeat('长', {int(params.get('megabytes', 16)) * 333_333}) {where}"
        ],
        "hostile": [_hostile(table, where)],
        "duplicate": [_copy(table, column)],
    }.get(behaviour.behaviour, [])
    if not statements:
        return
    connection = await asyncpg.connect(front_dsn(dsn))
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


_KEY_COLUMNS = {SITE_TABLE: ("xmdm",), VISIT_TABLE: ("xmdm", "sgdwdm"), READING_TABLE: ("babh",)}
_ODD = (
    "'; DROP TABLE zlaq.project; --",
    '"},{"name":"不该出现"',
    "\u202e倒\ufeff",
    "9999-99-99",
    "{keys:,}",
    "长" * 5000,
)


def _names(table: str) -> list[str]:
    return [part.split()[0] for part in _COLUMNS[table].split(", ")]


def _hostile(table: str, where: str) -> str:
    """Every text but the keys becomes something in the shape of something else."""
    names = [
        part.split()[0]
        for part in _COLUMNS[table].split(", ")
        if part.endswith("text") and part.split()[0] not in _KEY_COLUMNS[table]
    ]
    values = (f"{name} = {_literal(_ODD[number % len(_ODD)])}" for number, name in enumerate(names))
    return f'UPDATE "{table}" SET {", ".join(values)} {where}'


def _copy(table: str, column: str) -> str:
    """Every valid row a second time under its own local key, with another text in one column."""
    names = ["dfsjzj", "xzqhdm", "gxsj", *_names(table)]
    values = (f"{name} || '（重）'" if name == column else name for name in names)
    return (
        f'INSERT INTO "{table}" ({", ".join(names)}) SELECT {", ".join(values)} FROM "{table}"'
        " WHERE sjyxbs = '1' ORDER BY lsh"
    )
