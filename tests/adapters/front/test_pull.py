"""Pulling between two real databases: windows, receipts, pairs, crashes, two at once."""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.base import SourceBadShape, SourceRefused, SourceUnreachable
from adapters.front.landing import Landing
from adapters.front.pull import Mapped, Pulled, counts, mapper_of, pull
from adapters.mapping import RecordMapping
from adapters.postgres.migrate import migrate
from schema.registry import load_registry
from tests.adapters.front.province import STATUS, add_status, local

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from adapters.front.driver import FrontDriver
    from demo.embedded import EmbeddedPostgres
    from tests.adapters.front.wire import Wire

TABLE = '"370000_SPGL_XMJGXXB"'
CITIZEN = "110101199003078574"


@pytest.fixture(scope="module")
async def ministry(postgres: EmbeddedPostgres) -> str:
    """Address of a migrated database of the ministry's."""
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("DROP DATABASE IF EXISTS front_ministry")
    await connection.execute("CREATE DATABASE front_ministry TEMPLATE template0")
    await connection.close()
    dsn = postgres.dsn.replace("/postgres?", "/front_ministry?")
    await migrate(dsn)
    return dsn


@pytest.fixture
async def ours(ministry: str) -> AsyncIterator[Any]:
    """The ministry's side as its owner sees it, empty."""
    connection = await asyncpg.connect(ministry)
    await connection.execute("TRUNCATE exchange.landing, exchange.window")
    yield connection
    await connection.close()


@pytest.fixture
def landing(ministry: str) -> Landing:
    return Landing(ministry)


def mapper(driver: FrontDriver) -> Any:
    service = driver.config.service[STATUS]
    return mapper_of(RecordMapping("shandong", STATUS, service, driver.config, load_registry()), STATUS, service)


async def pulled(driver: FrontDriver, landing: Landing, rows: int = 500) -> Pulled:
    return await pull(driver, STATUS, landing, mapper(driver), rows_per_window=rows)


async def receipts(owner: Any) -> list[tuple[int, Any, str | None]]:
    rows = await owner.fetch(f"SELECT lsh, sjsczt, sbyy FROM {TABLE} ORDER BY lsh::bigint, sjsczt")
    return [tuple(row) for row in rows]


async def landed(ours: Any) -> list[tuple[str, int, bool]]:
    rows = await ours.fetch("SELECT local_key, serial, withdrawn_at IS NULL FROM exchange.landing ORDER BY serial")
    return [tuple(row) for row in rows]


async def test_rows_land_and_receipts_are_written(
    owner: Any, ours: Any, drive: Callable[..., FrontDriver], landing: Landing
) -> None:
    """Accepted, accepted with an unknown word, refused by rule and attribute; drafts and others are left alone."""
    await add_status(owner, 1, "P1", gxsj=local(2026, 9, 16, 8))
    await add_status(owner, 2, "P2", xmzt="神秘")
    await add_status(owner, 3, "P3", sgdw=CITIZEN)
    await add_status(owner, 4, "P4", xzqhdm="330102")
    await add_status(owner, 5, "P5", dfsjzj=None)
    await add_status(owner, 6, "P6", sjsczt=-1)
    await add_status(owner, 7, "P7", sjsczt=2, sbyy="older")
    await add_status(owner, 8, "")
    driver = drive()

    done = await pulled(driver, landing, 3)

    assert done == Pulled(windows=2, accepted=2, refused=4, unacknowledged=0)
    assert await receipts(owner) == [
        (1, 1, None),
        (2, 1, None),
        (3, 2, "NOT_VALID contractorUscc"),
        (4, 2, "OUTSIDE_COVERAGE siteStatus"),
        (5, 2, "NO_LOCAL_KEY"),
        (6, -1, None),
        (7, 2, "older"),
        (8, 2, "NO_KEY"),
    ]
    rows = await ours.fetch("SELECT * FROM exchange.landing ORDER BY serial")
    assert [(r["local_key"], r["region"], r["unmapped"]) for r in rows] == [
        ("L-P1", "370102", []), ("L-P2", "370102", ["state"]),
    ]  # fmt: skip
    assert rows[0]["as_of"] == datetime(2026, 9, 16, 0, tzinfo=UTC)
    assert '"name": "项目P1"' in rows[0]["body"]
    assert "@" not in rows[0]["body"]
    window = await ours.fetchrow("SELECT source, service, last_serial, accepted, refused FROM exchange.window")
    assert tuple(window) == ("shandong", STATUS, 8, 2, 4)
    assert await pulled(driver, landing) == Pulled(0, 0, 0, 0)


@pytest.mark.parametrize(
    "drift", ["lsh TYPE text", "lsh TYPE numeric", "sjsczt TYPE text", "sjsczt TYPE char(4)", "sjsczt TYPE numeric",
              "sbyy TYPE varchar(8)", "sjyxbs TYPE text", "dfsjzj TYPE bigint USING lsh"],
)  # fmt: skip
async def test_columns_of_any_type(
    owner: Any, ours: Any, drive: Callable[..., FrontDriver], landing: Landing, drift: str
) -> None:
    """The same table as another provider made it; serial numbers order as numbers; a reason is cut to its column."""
    await owner.execute(f"ALTER TABLE {TABLE} ALTER {drift}")
    text = "lsh TYPE text" in drift
    for serial in (9, 10, 100):
        given: Any = str(serial) if text else serial
        changes: dict[str, Any] = {"dfsjzj": serial} if "bigint" in drift else {}
        changes |= {"sjsczt": "0"} if "sjsczt TYPE text" in drift or "char(4)" in drift else {}
        changes |= {"sjyxbs": " 1"} if "sjyxbs" in drift else {}
        await add_status(owner, given, f"P{serial}", **changes, sgdw=CITIZEN if serial == 100 else None)
    if text:
        await add_status(owner, "A-1", "P0")  # type: ignore[arg-type]

    assert await pulled(drive(), landing, 1) == Pulled(3, 2, 1, 0)

    assert [serial for _, serial, _ in await landed(ours)] == [9, 10]
    found = await owner.fetch(
        f"SELECT btrim(sjsczt::text) AS s, sbyy FROM {TABLE} WHERE lsh::text <> 'A-1' ORDER BY xmbh"
    )
    reason = "NOT_VALI" if "varchar(8)" in drift else "NOT_VALID contractorUscc"
    assert [tuple(row) for row in found] == [("1", None), ("2", reason), ("1", None)]


async def test_pairs_are_taken_in_order(
    owner: Any, ours: Any, drive: Callable[..., FrontDriver], landing: Landing
) -> None:
    """Of one local key the latest serial is in force; an invalid row withdraws; what comes late replaces nothing."""
    driver = drive()
    await add_status(owner, 10, "P1")
    assert (await pulled(driver, landing)).accepted == 1
    assert await landed(ours) == [("L-P1", 10, True)]

    # The provider invalidates in place and sends the correction behind it.
    await owner.execute(f"UPDATE {TABLE} SET sjyxbs = 0, sjsczt = 0 WHERE lsh = 10")
    await add_status(owner, 11, "P1", xmmc="更正")
    await pulled(driver, landing, 1)
    assert await landed(ours) == [("L-P1", 10, False), ("L-P1", 11, True)]

    # An invalid row of its own withdraws, and a valid one that was sent before it but comes later changes nothing.
    await add_status(owner, 13, "P1", sjyxbs=0)
    await pulled(driver, landing)
    await add_status(owner, 12, "P1", xmmc="迟到")
    await pulled(driver, landing)
    assert await landed(ours) == [("L-P1", 10, False), ("L-P1", 11, False), ("L-P1", 12, False), ("L-P1", 13, False)]

    await add_status(owner, 14, "P1")
    await add_status(owner, 15, "P1", sjyxbs=0)
    await add_status(owner, 16, "P1")
    await pulled(driver, landing)
    assert [row for row in await landed(ours) if row[2]] == [("L-P1", 16, True)]
    assert {state for _, state, _ in await receipts(owner)} == {1}


EVENTS = st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.booleans()), min_size=1, max_size=14)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.integers(1, 5))
async def test_whatever_is_sent_the_latest_valid_one_is_in_force(
    steady: tuple[Any, Any, FrontDriver, Landing], events: list[tuple[int, bool, bool]], window: int
) -> None:
    """Serials in any order, sent again and altered in place, pulled now or later: as if all came in order at once."""
    owner, ours, driver, landing = steady
    await owner.execute(f"TRUNCATE {TABLE}")
    await ours.execute("TRUNCATE exchange.landing, exchange.window")
    rows: dict[tuple[str, int], bool] = {}
    for serial, valid, pause in events:
        key = "AB"[serial % 2]
        await owner.execute(f"DELETE FROM {TABLE} WHERE lsh = $1", serial)
        await add_status(owner, serial, key, sjyxbs=int(valid))
        rows[f"L-{key}", serial] = valid
        if pause:
            await pulled(driver, landing, window)
    await pulled(driver, landing, window)

    last = {key: max(serial for other, serial in rows if other == key) for key, _ in rows}
    expected = sorted((serial, key) for key, serial in last.items() if rows[key, serial])
    assert sorted((serial, key) for key, serial, in_force in await landed(ours) if in_force) == expected
    assert {state for _, state, _ in await receipts(owner)} <= {0, 1}


@pytest.fixture
async def steady(owner: Any, ours: Any, drive: Callable[..., FrontDriver], landing: Landing) -> Any:
    return owner, ours, drive(), landing


PULL = """
import asyncio, sys
from tests.adapters.front.province import driver_to
from tests.adapters.front.test_pull import pulled
from adapters.front.landing import Landing
async def main():
    driver = driver_to(int(sys.argv[1]))
    await pulled(driver, Landing(sys.argv[2]), 2)
    await driver.close()
asyncio.run(main())
"""


async def test_a_crash_between_the_sides_is_healed(
    owner: Any, ours: Any, ministry: str, wire: Wire, drive: Callable[..., FrontDriver], landing: Landing
) -> None:
    """A process killed after landing and before its receipts: the next pull lands nothing twice and acknowledges."""
    for serial in range(1, 6):
        await add_status(owner, serial, f"P{serial}")
    wire.hold = b"RETURNING r.state"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PULL, str(wire.port), ministry)
    await asyncio.wait_for(wire.held.wait(), 20)
    assert len(await landed(ours)) == 2
    process.send_signal(signal.SIGKILL)
    await process.wait()
    wire.hold = b""
    assert {state for _, state, _ in await receipts(owner)} == {0}
    before = await ours.fetch("SELECT serial, received_at FROM exchange.landing ORDER BY serial")

    assert await pulled(drive(), landing, 2) == Pulled(3, 5, 0, 0)

    assert await landed(ours) == [(f"L-P{serial}", serial, True) for serial in range(1, 6)]
    assert await ours.fetch("SELECT serial, received_at FROM exchange.landing WHERE serial < 3 ORDER BY 1") == before
    assert {state for _, state, _ in await receipts(owner)} == {1}


async def test_a_cut_while_receipts_are_written(
    owner: Any, ours: Any, wire: Wire, drive: Callable[..., FrontDriver], landing: Landing
) -> None:
    """The wire breaks at the receipts: the province is named, and the next pull goes on."""
    await add_status(owner, 1, "P1")
    driver = drive()
    wire.hold = b"RETURNING r.state"
    task = asyncio.create_task(pulled(driver, landing))
    await asyncio.wait_for(wire.held.wait(), 5)
    wire.drop()
    with pytest.raises(SourceUnreachable):
        await task
    wire.hold = b""
    assert (await pulled(driver, landing)).accepted == 1
    assert await landed(ours) == [("L-P1", 1, True)]


async def test_two_pulls_do_the_work_once(
    owner: Any, ours: Any, drive: Callable[..., FrontDriver], landing: Landing
) -> None:
    """The second waits for the first, and finds nothing left."""
    for serial in range(1, 41):
        await add_status(owner, serial, f"P{serial}")
    done = await asyncio.gather(*(pulled(drive(), landing, 7) for _ in range(3)))
    assert sorted(one.accepted for one in done) == [0, 0, 40]
    assert len(await landed(ours)) == 40
    assert await ours.fetchval("SELECT accepted FROM exchange.window") == 40


async def test_a_row_that_changes_meanwhile_keeps_its_state(
    owner: Any, ours: Any, drive: Callable[..., FrontDriver], landing: Landing
) -> None:
    """What was read is not acknowledged for what stands there now; the next pull takes the change."""
    await add_status(owner, 1, "P1")
    driver = drive()
    inner = mapper(driver)
    seen = asyncio.Event()

    def between(raw: Any) -> Mapped:
        seen.set()
        mapped: Mapped = inner(raw)
        return mapped

    async with ours.transaction():
        # Holds the pull between reading and landing.
        await ours.execute("LOCK TABLE exchange.landing IN ACCESS EXCLUSIVE MODE")
        task = asyncio.create_task(pull(driver, STATUS, landing, between))
        await seen.wait()
        await owner.execute(f"UPDATE {TABLE} SET xmmc = '改了' WHERE lsh = 1")
    assert await task == Pulled(1, 0, 0, 1)
    assert await receipts(owner) == [(1, 0, None)]
    assert (await pulled(driver, landing)).accepted == 1
    assert "改了" in await ours.fetchval("SELECT body::text FROM exchange.landing")


async def test_large_rows_do_not_stop_the_rest(
    owner: Any, ours: Any, drive: Callable[..., FrontDriver], landing: Landing, wire: Wire
) -> None:
    """Windows shrink to the source's limit; a row beyond it is refused unseen, and those behind it are taken."""
    for serial in range(1, 8):
        await add_status(owner, serial, f"P{serial}", xmmc="x" * (900_000 if serial == 4 else 3_000))
    done = await pulled(drive(max_bytes=10_000), landing)
    assert (done.accepted, done.refused) == (6, 1)
    assert done.windows == 3
    assert [row for row in await receipts(owner) if row[1] == 2] == [(4, 2, "TOO_LARGE")]
    assert wire.received < 200_000


async def test_rights_and_columns_are_checked_before_anything_is_landed(
    owner: Any, ours: Any, drive: Callable[..., FrontDriver], landing: Landing
) -> None:
    """Without the right to a receipt nothing is taken; a column that is missing is named."""
    await add_status(owner, 1, "P1")
    await owner.execute(f"REVOKE UPDATE (sbyy) ON {TABLE} FROM front_reader")
    with pytest.raises(SourceRefused, match="no right to write column sbyy"):
        await pulled(drive(), landing)
    await owner.execute(f"ALTER TABLE {TABLE} DROP COLUMN dfsjzj")
    with pytest.raises(SourceBadShape, match="has no column dfsjzj"):
        await pulled(drive(), landing)
    assert await landed(ours) == []


async def test_both_sides_are_counted(
    owner: Any, ours: Any, drive: Callable[..., FrontDriver], landing: Landing
) -> None:
    """By state, for the daily comparison."""
    await add_status(owner, 1, "P1")
    await add_status(owner, 2, "P2", sgdw=CITIZEN)
    await add_status(owner, 3, "P1")
    driver = drive()
    await pulled(driver, landing)
    await add_status(owner, 4, "P4")
    found = await counts(driver, STATUS, landing)
    assert found.front == {"0": 1, "1": 2, "2": 1}
    assert found.landed == {"in force": 1, "withdrawn": 1}


async def test_readers_may_not_even_name_what_landed(ours: Any) -> None:
    """zlaq_read has no right to the schema; zlaq_write removes nothing."""
    for role, statement in (
        ("zlaq_read", "SELECT source FROM exchange.landing"),
        ("zlaq_read", "SELECT 1 FROM exchange.window"),
        ("zlaq_write", "DELETE FROM exchange.landing"),
        ("zlaq_write", "TRUNCATE exchange.window"),
    ):
        async with ours.transaction():
            await ours.execute(f"SET LOCAL ROLE {role}")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with ours.transaction():
                    await ours.execute(statement)
