"""The golden table of formats: what SQL writes, what the Python masks write, and what the docs say are the same."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import asyncpg
import orjson
import pytest

from adapters.postgres.formats import code_names, global_id, masked, scalar
from resolvers.variables import decode_id, encode_id
from schema.codes import CODE_LISTS
from schema.declare import Mask
from schema.masks import MASKS
from schema.scalars import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TEXTS = [
    "",
    "a",
    "张",
    "张三",
    "欧阳明月",
    "𠮷野家",
    "13800008000",
    "8000",
    "1" * 18,
    'quo"te',
    "back\\slash",
    "😀" * 12,
    "\t\n",
]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    """A plain connection."""
    opened = await asyncpg.connect(database, server_settings={"timezone": "Asia/Shanghai"})
    yield opened
    await opened.close()


def _texts(count: int) -> list[str]:
    chance = random.Random(20260930)
    letters = "0123456789Xx张李王欧阳𠮷é 😀*\"'\\%_"
    return TEXTS + ["".join(chance.choices(letters, k=chance.randrange(0, 24))) for _ in range(count)]


@pytest.mark.parametrize("mask", list(Mask))
async def test_masks_of_sql_and_python_agree(connection: asyncpg.Connection, mask: Mask) -> None:
    """The two masks write the same of every text, and nothing of NULL."""
    texts = _texts(500)

    rows = await connection.fetch(f"select {masked(mask, 't.v')} as m from unnest($1::text[]) t(v)", texts)
    nothing = await connection.fetchval(f"select {masked(mask, 't.v')} from (select null::text as v) t")

    assert [row["m"] for row in rows] == [MASKS[mask](text) for text in texts]
    assert nothing is None


async def test_a_masked_citizen_number_shows_six_digits_whatever_the_length(connection: asyncpg.Connection) -> None:
    """The check digit and the birth date never remain, also of a number that is not one."""
    rows = await connection.fetch(
        f"select {masked(Mask.CITIZEN_NO, 't.v')} as m, v from unnest($1::text[]) t(v)", _texts(200)
    )

    assert all(row["m"] == row["v"][:6] + "*" * 12 for row in rows)


@pytest.mark.parametrize(
    ("kind", "sql_type", "value", "json"),
    [
        (Kind.DECIMAL, "numeric", Decimal("48600.0000"), '"48600.0000"'),
        (Kind.DECIMAL, "numeric", Decimal("1E-7"), '"0.0000001"'),
        (Kind.DECIMAL, "numeric", Decimal(123456789012345678901234567890), '"123456789012345678901234567890"'),
        (Kind.LONG, "bigint", 2**63 - 1, f'"{2**63 - 1}"'),
        (Kind.INTEGER, "integer", -(2**31), str(-(2**31))),
        (Kind.BOOLEAN, "boolean", True, "true"),
        (Kind.DATE, "date", date(1, 1, 2), '"0001-01-02"'),
        (Kind.DATE, "date", date(2024, 2, 29), '"2024-02-29"'),
        (Kind.INSTANT, "timestamptz", datetime(2026, 9, 30, 8, tzinfo=UTC), '"2026-09-30T08:00:00.000000Z"'),
        (
            Kind.INSTANT,
            "timestamptz",
            datetime(2026, 1, 1, tzinfo=UTC) - timedelta(microseconds=1),
            '"2025-12-31T23:59:59.999999Z"',
        ),
        (Kind.TEXT, "text", 'a"b\\c\n\u2028𠮷', None),
    ],
)
async def test_formats(
    connection: asyncpg.Connection, kind: Kind, sql_type: str, value: object, json: str | None
) -> None:
    """Each kind is written as the golden table says, whatever the session's time zone."""
    written = await connection.fetchval(
        f"select row_to_json(o)::text from (select {scalar(kind, 'v')} as x from (select $1::{sql_type} as v) t) o",
        value,
    )

    expected = value if json is None else orjson.loads(json)
    assert orjson.loads(written) == {"x": expected}


@pytest.mark.parametrize("name", sorted(CODE_LISTS))
async def test_code_names(connection: asyncpg.Connection, name: str) -> None:
    """Every official code is written as its enum value; another code as null."""
    codes = CODE_LISTS[name]
    given = [*codes.codes, "no such code", None]

    rows = await connection.fetch(f"select {code_names(codes, 't.v')} as n from unnest($1::text[]) t(v)", given)

    assert [row["n"] for row in rows] == [*(entry.name for entry in codes.entries), None, None]


async def test_global_ids_are_read_back(connection: asyncpg.Connection) -> None:
    """SQL and Python build the same identifier, also where base64 would break the line."""
    keys = ["1101012604019901", "鄂建安A（2025）0000001", "x" * 200]

    rows = await connection.fetch(
        f"select {global_id('SafetyManagerCertificate', 't.v')} as i from unnest($1::text[]) t(v)", keys
    )

    assert [row["i"] for row in rows] == [encode_id("SafetyManagerCertificate", key) for key in keys]
    assert [decode_id(row["i"]) for row in rows] == [("SafetyManagerCertificate", key) for key in keys]
