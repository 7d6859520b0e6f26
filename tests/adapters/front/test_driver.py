"""The driver of front-end databases on a real server: what it asks, what it brings, and what each failure is called."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.base import (
    Fetch,
    SourceBadShape,
    SourceRefused,
    Window,
)
from adapters.driver import Answer
from adapters.mapping import RecordMapping
from schema.registry import load_registry
from tests.adapters.front.province import STATUS, TABLES, VISITS, WANTED, add_status, add_visit, keys_of, local, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.front.driver import FrontDriver
    from demo.embedded import EmbeddedPostgres
    from tests.adapters.front.wire import Wire


async def test_records_are_typed_and_only_the_wanted_columns_leave(
    owner: Any, drive: Callable[..., FrontDriver], wire: Wire
) -> None:
    """Python values by column name; invalid rows and other keys stay; no other column stands in the statement."""
    await add_status(owner, 1, "P1", zmj=Decimal("1234.50"), gxsj=local(2026, 9, 16, 8))
    await add_status(owner, 2, "P2", sjyxbs=0)
    await add_status(owner, 3, "P3")
    driver = drive()
    await driver.open()
    wire.sent.clear()

    answer = await driver.read(STATUS, status("P1", "P2", "P9", "'); DROP TABLE jdjc; --"), WANTED)

    assert answer.records == [
        {
            "gxsj": local(2026, 9, 16, 8), "sjyxbs": 1, "xmbh": "P1", "xmmc": "项目P1", "xzqhdm": "370102",
            "zmj": Decimal("1234.50"),
        }
    ]  # fmt: skip
    assert answer.ended
    assert b'"xmmc"' in wire.sent
    assert b'"sgdw"' not in wire.sent
    assert b'"sbyy"' not in wire.sent
    assert await owner.fetchval("SELECT count(*) FROM jdjc") == 0


@pytest.mark.parametrize("drift", ["bigint USING 10", "text", "numeric USING 10", "char(12)", "integer USING 10"])
async def test_a_key_of_any_type_is_found_by_its_index(
    owner: Any, drive: Callable[..., FrontDriver], drift: str
) -> None:
    """Text, padded text and numbers; the statement that is sent uses the index for each."""
    await add_status(owner, 1, "10")
    await owner.execute(f'ALTER TABLE "370000_SPGL_XMJGXXB" ALTER xmbh TYPE {drift}')
    await owner.execute(
        'INSERT INTO "370000_SPGL_XMJGXXB" (lsh, xmbh, sjyxbs) SELECT 100 + n, (100 + n)::text::'
        f"{drift.partition(' ')[0]}, 1 FROM generate_series(1, 5000) n"
    )
    await owner.execute('ANALYZE "370000_SPGL_XMJGXXB"')
    driver = drive()

    answer = await driver.read(STATUS, status("10", "010", "1e1", "x", "99999999999999999999"), WANTED)
    assert [str(record["xmbh"]).strip() for record in answer.records] == ["10"]

    plans = await plans_of(owner, driver)
    assert "Index" in plans
    assert "Seq Scan" not in plans


async def plans_of(owner: Any, driver: FrontDriver) -> str:
    """The plan of the statement that the driver prepared, as its own session has it."""
    async with driver._readers.borrowed() as connection:
        sql = await connection.fetchval(
            "SELECT statement FROM pg_prepared_statements WHERE statement LIKE 'SELECT nth%' ORDER BY prepare_time DESC"
        )
        name = await connection.fetchval("SELECT name FROM pg_prepared_statements WHERE statement = $1", sql)
        types = await connection.fetchval(
            "SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = $1", name
        )
        given = ", ".join("'{10}'" if kind.endswith("[]") else "1000" for kind in types)
        rows = await connection.fetch(f"EXPLAIN EXECUTE {name} ({given})")
        return "\n".join(row[0] for row in rows)


async def test_it_cannot_write(owner: Any, drive: Callable[..., FrontDriver]) -> None:
    """The session of reading is read-only, though the login may write receipts."""
    await add_status(owner, 1, "P1")
    driver = drive()
    with pytest.raises(SourceRefused):
        async with driver._readers.borrowed() as connection:
            await connection.execute('UPDATE public."370000_SPGL_XMJGXXB" SET sjsczt = 5')
    assert await owner.fetchval('SELECT sjsczt FROM "370000_SPGL_XMJGXXB"') == 0


async def test_the_contract_is_checked_at_opening(owner: Any, drive: Callable[..., FrontDriver]) -> None:
    """A missing table or column, a column without right, a column that is no key: each by our configured name."""
    await owner.execute("ALTER TABLE jdjc DROP COLUMN jcjg")
    with pytest.raises(SourceBadShape, match=r"Project\.liveInspections: jdjc has no column jcjg"):
        await drive().open()
    await owner.execute("ALTER TABLE jdjc ADD COLUMN jcjg text; ALTER TABLE jdjc ALTER xmbh TYPE date USING NULL")
    with pytest.raises(SourceBadShape, match="column xmbh is neither text nor a whole number"):
        await drive().open()
    await owner.execute("ALTER TABLE jdjc ALTER xmbh TYPE text; ALTER TABLE jdjc ALTER jcrq TYPE int USING 1")
    with pytest.raises(SourceBadShape, match=r"LiveInspection\.inspectedOn orders a list, which its column jcrq"):
        await drive().open()
    await owner.execute("ALTER TABLE jdjc ALTER jcrq TYPE date USING NULL; REVOKE SELECT ON jdjc FROM front_reader")
    await owner.execute("GRANT SELECT (xmbh, jcbh, jcrq, jcjg, wtsl, gxsj) ON jdjc TO front_reader")
    with pytest.raises(SourceRefused, match=r"no right to read jdjc\.sjyxbs"):
        await drive().open()
    await owner.execute("DROP TABLE jdjc")
    with pytest.raises(SourceBadShape, match=r"no table public\.jdjc"):
        await drive().open()


async def test_drift_under_an_open_driver_is_seen_and_healed(owner: Any, drive: Callable[..., FrontDriver]) -> None:
    """A column that becomes another type or goes spoils one call; the next one looks again."""
    await add_status(owner, 1, "10")
    driver = drive()
    await driver.open()
    assert await keys_of(driver, "10") == ["10"]

    await owner.execute('ALTER TABLE "370000_SPGL_XMJGXXB" ALTER xmbh TYPE bigint USING xmbh::bigint')
    with pytest.raises(SourceBadShape):
        await keys_of(driver, "10")
    assert await keys_of(driver, "10") == [10]

    await owner.execute('ALTER TABLE "370000_SPGL_XMJGXXB" DROP COLUMN zmj')
    for _ in range(2):
        with pytest.raises(SourceBadShape):
            await keys_of(driver, "10")
    await owner.execute('ALTER TABLE "370000_SPGL_XMJGXXB" ADD COLUMN zmj numeric')
    assert await keys_of(driver, "10") == [10]


async def test_a_date_that_python_has_not_spoils_the_fetch_and_nothing_else(
    owner: Any, drive: Callable[..., FrontDriver]
) -> None:
    """Before our era: bad shape, and the session is not used again."""
    await add_status(owner, 1, "P1", gxsj=local(9999, 12, 31))
    await add_status(owner, 2, "P2")
    await owner.execute("""UPDATE "370000_SPGL_XMJGXXB" SET gxsj = '0044-03-15 BC' WHERE xmbh = 'P2'""")
    driver = drive()
    assert await keys_of(driver, "P1") == ["P1"]
    with pytest.raises(SourceBadShape, match="while reading"):
        await keys_of(driver, "P1", "P2")
    assert await keys_of(driver, "P1") == ["P1"]


async def test_answers_are_capped_before_they_leave(owner: Any, drive: Callable[..., FrontDriver], wire: Wire) -> None:
    """A text larger than a whole answer is refused without being sent; so are more rows than a key may have."""
    await add_status(owner, 1, "P1", xmmc="x" * 3_000_000)
    await add_status(owner, 2, "P2")
    driver = drive(max_bytes=100_000)
    assert await keys_of(driver, "P2") == ["P2"]
    with pytest.raises(SourceBadShape, match="more than 100000 bytes"):
        await keys_of(driver, "P1", "P2")
    assert wire.received < 20_000
    await owner.execute(
        "INSERT INTO \"370000_SPGL_XMJGXXB\" (xmbh, sjyxbs) SELECT 'P3', 1 FROM generate_series(1, 101)"
    )
    with pytest.raises(SourceBadShape, match="more than 100 rows a key"):
        await keys_of(driver, "P3")


VISIT = ("gxsj", "jcbh", "jcrq", "sjyxbs", "xmbh")


async def walk(driver: FrontDriver, first: int, key: str = "P1") -> list[tuple[str | None, str]]:
    """All pages of a list, each from where the one before ended, as (date, number)."""
    registry = load_registry()
    mapping = RecordMapping("shandong", VISITS, driver.config.service[VISITS], driver.config, registry)
    found: list[tuple[str | None, str]] = []
    after: tuple[str, ...] | None = None
    for _ in range(100):
        fetch = Fetch(VISITS, (key,), ("inspected_on", "inspection_no"), Window(first, after))
        answer = await driver.read(VISITS, fetch, mapping.wanted(fetch.fields))
        assert len(answer.records) <= first
        page = mapping.rows(fetch, answer, datetime.now(UTC)).lists[key]
        found += [(str(r["inspected_on"]) if r["inspected_on"] else None, str(r["inspection_no"])) for r in page]
        if answer.ended:
            return found
        after = (found[-1][0] or "", found[-1][1])
    raise AssertionError("no end")


CELLS = st.one_of(
    st.dates(date(1990, 1, 1), date(2030, 12, 31)).map(lambda d: d.strftime("%Y%m%d")),
    st.dates(date(2026, 1, 1), date(2026, 1, 5)).map(lambda d: f" {d.isoformat()}\u3000"),
    st.sampled_from(
        ["19000101", "20260230", "20261301", "2026-1-5", "无", "", "２０２６０１０４", "00000101", None, "x"]
    ),
)
NUMBERS = st.one_of(
    st.text("AB张\U00020bb7~ ", min_size=1, max_size=3), st.sampled_from(["/", " 1", "1 ", "10", "9", "a", "A"])
)


# One driver and one table serve all examples.
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(CELLS, NUMBERS), max_size=25), st.integers(1, 7))
async def test_windows_walk_a_dirty_list_in_the_declared_order(
    walked: tuple[Any, FrontDriver], rows: list[tuple[str | None, str]], first: int
) -> None:
    """Latest first, missing dates last, each number once: whatever stands in the cells and wherever pages end."""
    owner, driver = walked
    await owner.execute("TRUNCATE jdjc")
    for number, (on, name) in enumerate(rows):
        await add_visit(owner, f"{name.strip()}{number % 9 if len(name) > 1 else number}{name[-1:].strip()}", on)

    expected = [(None if on is None else str(on), number) for on, number in await stored(owner, driver)]
    found = await walk(driver, first)

    assert found == expected


async def stored(owner: Any, driver: FrontDriver) -> list[tuple[str | None, str]]:
    """What the mapping makes of all rows at once, in Python's order."""
    raw = [dict(row) for row in await owner.fetch("SELECT * FROM jdjc")]
    mapping = RecordMapping("shandong", VISITS, driver.config.service[VISITS], driver.config, load_registry())
    fetch = Fetch(VISITS, ("P1",), ("inspected_on", "inspection_no"), Window(1000))
    records = mapping.rows(fetch, Answer(raw), datetime.now(UTC)).lists["P1"]
    rows = [(str(r["inspected_on"]) if r["inspected_on"] else None, str(r["inspection_no"])) for r in records]
    rows.sort(key=lambda row: row[1])
    return sorted((r for r in rows if r[0]), key=lambda row: row[0] or "", reverse=True) + [r for r in rows if not r[0]]


@pytest.fixture
async def walked(owner: Any, drive: Callable[..., FrontDriver]) -> tuple[Any, FrontDriver]:
    """One driver for all examples."""
    return owner, drive()


@pytest.mark.parametrize("column", ["date USING NULL", "timestamp USING NULL", "timestamptz USING NULL"])
async def test_a_typed_date_column_orders_as_well(owner: Any, drive: Callable[..., FrontDriver], column: str) -> None:
    """The boundary is a date as declared, whatever the column is; instants count by the source's own zone."""
    await owner.execute(f"SET timezone TO 'UTC'; ALTER TABLE jdjc ALTER jcrq TYPE {column}")
    for number in range(9):
        on = local(2026, 9, 16, 20) + timedelta(days=number // 2)
        await add_visit(owner, f"N{number}", on.replace(tzinfo=UTC) if "tz" in column else on)
    await add_visit(owner, "N9", None)

    found = await walk(drive(), 2)

    late = 1 if "tz" in column else 0
    days = [str(date(2026, 9, 16) + timedelta(days=n // 2 + late)) for n in range(9)]
    assert [number for _, number in found] == ["N8", "N6", "N7", "N4", "N5", "N2", "N3", "N0", "N1", "N9"]
    assert [on for on, _ in found] == [*(days[int(number[1])] for _, number in found[:-1]), None]


async def test_lists_of_several_keys_have_each_their_window(owner: Any, drive: Callable[..., FrontDriver]) -> None:
    """The first of each key; not ended where one of them has more."""
    for key, count in (("P1", 5), ("P2", 1), ("P3", 2)):
        for number in range(count):
            await add_visit(owner, f"{key}-{number}", f"2026010{number + 1}", key)
    driver = drive()

    answer = await driver.read(VISITS, Fetch(VISITS, ("P2", "P1", "P9"), (), Window(2)), VISIT)
    assert [record["jcbh"] for record in answer.records] == ["P2-0", "P1-4", "P1-3"]
    assert not answer.ended

    answer = await driver.read(VISITS, Fetch(VISITS, ("P2", "P3"), (), Window(2)), VISIT)
    assert len(answer.records) == 3
    assert answer.ended


async def test_of_equal_numbers_the_newest_stands_on_the_page(owner: Any, drive: Callable[..., FrontDriver]) -> None:
    """A window that ends between two rows of one number has the later one."""
    await add_visit(owner, "N1", "20260101", gxsj=local(2026, 1, 1))
    await add_visit(owner, "N1", "20260101", gxsj=local(2026, 1, 3))
    await add_visit(owner, "N1", "20260101")
    answer = await drive().read(VISITS, Fetch(VISITS, ("P1",), (), Window(1)), VISIT)
    assert [record["gxsj"] for record in answer.records] == [local(2026, 1, 3)]


async def test_a_database_that_knows_no_charset(
    postgres: EmbeddedPostgres, wire: Wire, drive: Callable[..., FrontDriver]
) -> None:
    """UTF-8 is read as such, keys and order included; bytes of another charset are refused, not shown as mojibake."""
    admin = await asyncpg.connect(postgres.dsn)
    await admin.execute("DROP DATABASE IF EXISTS front_bytes WITH (FORCE)")
    await admin.execute("CREATE DATABASE front_bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    await admin.close()
    owner = await asyncpg.connect(postgres.dsn.replace("/postgres?", "/front_bytes?"))
    try:
        await owner.execute(TABLES)
        await add_status(owner, 1, "鲁1", xmmc="𠮷㛃大厦")
        await add_visit(owner, "检2", "20260102", "鲁1")
        await add_visit(owner, "检1", "20260102 ", "鲁1")
        driver = drive(address=f"postgresql://127.0.0.1:{wire.port}/front_bytes")
        answer = await driver.read(STATUS, status("鲁1"), ("xmbh", "xmmc"))
        assert answer.records == [{"xmbh": "鲁1", "xmmc": "𠮷㛃大厦"}]
        assert await walk(driver, 1, "鲁1") == [("2026-01-02", "检1"), ("2026-01-02", "检2")]

        await owner.execute("""UPDATE "370000_SPGL_XMJGXXB" SET xmmc = convert_from('\\xb4f3cfc3', 'SQL_ASCII')""")
        with pytest.raises(SourceBadShape, match="CharacterNotInRepertoireError"):
            await driver.read(STATUS, status("鲁1"), ("xmbh", "xmmc"))
    finally:
        await owner.close()
