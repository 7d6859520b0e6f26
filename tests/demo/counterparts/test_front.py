"""Shandong's database through its proxy: rights, what is written down, what goes wrong on the wire and in the data."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from demo.counterparts import Counterparts
from demo.counterparts.facts import STRANGER
from demo.counterparts.front import SITE_TABLE, VISIT_TABLE
from demo.seed import wellknown as known
from tests.demo.counterparts.stranger import last


async def shandong(running: Counterparts) -> asyncpg.Connection[asyncpg.Record]:
    """A connection as zlaq's role, through the proxy."""
    directory = running.sources.parent
    return await asyncpg.connect(
        host="127.0.0.1", port=running.systems["shandong"].port, database="shandong_front",
        user=(directory / "shandong-user").read_text().strip(),
        password=(directory / "shandong-password").read_text().strip(), timeout=5,
    )  # fmt: skip


async def test_shandong_reads_along(running: Counterparts) -> None:
    """The role may read, and write receipts but nothing else; statements are written down with their keys."""
    system = running.systems["shandong"]
    connection = await shandong(running)
    query = f'SELECT "xmmc", sjyxbs FROM "{SITE_TABLE}" WHERE "xmdm" = ANY($1) ORDER BY lsh'
    rows = await connection.fetch(query, [known.PROJECT_JINAN, "x"])

    assert [tuple(row) for row in rows] == [("济南历下星河学校", "0"), ("济南历下星河实验学校教学楼工程", "1")]
    call = last(system, SITE_TABLE)
    assert call.fields == ("xmmc", "xmdm")
    assert (call.keys, call.outcome, call.sent) == ((known.PROJECT_JINAN, "x"), "answered", query)
    assert await connection.execute(f"UPDATE \"{SITE_TABLE}\" SET sjsczt = 2, sbyy = 'x' WHERE lsh = 3") == "UPDATE 1"
    for refused in (f"UPDATE \"{SITE_TABLE}\" SET xmmc = 'x'", f'DELETE FROM "{SITE_TABLE}"', "CREATE TABLE x ()"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(refused)
    await connection.close()
    system.reset()
    connection = await shandong(running)
    assert await connection.fetchval(f'SELECT count(*) FROM "{SITE_TABLE}" WHERE sjsczt = 2') == 0
    await connection.close()


async def test_shandong_on_the_wire(running: Counterparts) -> None:
    """Late, byte by byte, cut, frozen and refused, for the province's tables only."""
    system = running.systems["shandong"]
    query = f'SELECT * FROM "{VISIT_TABLE}"'
    connection = await shandong(running)
    assert len(await connection.fetch(query)) == 90
    system.behave("slow", seconds=0.3, times=1)
    began = time.monotonic()
    assert await connection.fetchval("SELECT 1") == 1
    assert time.monotonic() - began < 0.25
    assert len(await connection.fetch(query)) == 90
    assert time.monotonic() - began > 0.3
    system.behave("drip", seconds=0.0001, times=1)
    assert await connection.fetchval(f'SELECT count(*) FROM "{VISIT_TABLE}"') == 90
    system.behave("freeze", times=1)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await connection.fetch(query)
    connection.terminate()
    connection = await shandong(running)
    await connection.fetch(query)
    system.behave("cut", times=1)
    with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
        await connection.fetch(query)
    assert last(system, VISIT_TABLE).outcome == "cut"
    connection = await shandong(running)
    system.behave("refuse", times=1)
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")
    with pytest.raises((OSError, asyncpg.PostgresError)):
        await shandong(running)
    await (await shandong(running)).close()


@pytest.mark.parametrize(
    ("behaviour", "query", "expected"),
    [
        ("drift", "SELECT sjsczt FROM {} WHERE lsh = 2", "0"),
        ("missing", "SELECT count(*) FROM information_schema.columns WHERE column_name = 'xmmc'", 0),
        ("empty", "SELECT count(*) FROM {}", 0),
        ("extra", "SELECT sfzhm FROM {} WHERE lsh = 2", STRANGER),
        ("gigantic", "SELECT octet_length(xmmc) > 15000000 FROM {} WHERE lsh = 2", True),
        ("hostile", "SELECT xmzt FROM {} WHERE lsh = 2", '"},{"name":"不该出现"'),
        ("duplicate", "SELECT count(*) FROM {} WHERE xmdm = '3701022603180101' AND sjyxbs = '1'", 2),
    ],
)
async def test_shandong_data(running: Counterparts, behaviour: str, query: str, expected: object) -> None:
    """What goes wrong in the tables themselves, and is right again after the reset."""
    running.systems["shandong"].behave(behaviour)
    connection = await shandong(running)
    assert await connection.fetchval(query.format(f'"{SITE_TABLE}"')) == expected
    await connection.close()
    running.systems["shandong"].reset()
    connection = await shandong(running)
    assert await connection.fetchval(query.format(f'"{SITE_TABLE}"').replace("sfzhm", "xmmc")) != expected
    await connection.close()


async def test_shandong_refuses_to_be_read(running: Counterparts) -> None:
    """A right that was taken away comes back with the reset."""
    running.systems["shandong"].behave("expired", service=VISIT_TABLE)
    connection = await shandong(running)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch(f'SELECT lsh FROM "{VISIT_TABLE}"')
    assert await connection.fetchval(f'SELECT count(*) FROM "{SITE_TABLE}"') == 5
    await connection.close()
