"""Walks by cursor: every row exactly once and in order, whatever is NULL, equal, inserted or deleted on the way.

A cursor tells nobody anything: of another caller, order, type or revision, altered, or of a row that is hidden or gone,
it is one uniform error.
"""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from demo.seed import wellknown
from policy.revision import Revision
from policy.subject import Country, Level, Subject, territory_of
from resolvers.cursors import Cursors
from resolvers.errors import CursorExpired
from server.pipeline import Question
from server.service import Service
from server.settings import Settings
from tests.conftest import publish
from tests.declared.tables import PACKAGE, another_database, create_tables, insert, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.embedded import EmbeddedPostgres

HOME = wellknown.WUCHANG
COUNTY = Subject("county", Level.COUNTY, "HOUSING", territory_of([HOME]), dept=wellknown.HOUSING_WUCHANG)
# The same rights under another name: cursors belong to the caller, not to the rights.
TWIN = Subject("twin", Level.COUNTY, "HOUSING", territory_of([HOME]), dept=wellknown.HOUSING_WUCHANG)
MINISTRY = Subject("ministry", Level.MINISTRY, "HOUSING", Country(), dept=wellknown.HOUSING_MINISTRY)
COUNT = 41


def crane(number: int) -> dict[str, object]:
    """A row with ties, NULLs and awkward text in every sortable attribute."""
    return {
        "crane_no": f"C{number:02}",
        "name": (None, "", "甲", "乙", "a\"'\\", "𠮷", "甲")[number % 7],
        "height": (None, Decimal("1.0"), Decimal("1.00"), Decimal(-3), Decimal("1e20"))[number % 5],
        "floors": (None, 3, 3, -1)[number % 4],
        "erected_on": (date(2026, 1, 1), None, date(1000, 1, 1))[number % 3],
        "checked_at": (None, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, UTC))[number % 3],
        "manage": (HOME, "420107", "330106")[number % 3],
    }


ROWS = [crane(number) for number in range(COUNT)]
SORTABLE = {
    "CRANE_NO": "crane_no", "NAME": "name", "HEIGHT": "height", "FLOORS": "floors", "ERECTED_ON": "erected_on",
    "CHECKED_AT": "checked_at",
}  # fmt: skip


@pytest.fixture(scope="module")
async def dsn(postgres: EmbeddedPostgres) -> str:
    """A database of the tests' cranes."""
    address = await another_database(postgres.dsn, "cursors")
    await create_tables(address)
    await insert(address, "crane", ROWS)
    await insert(address, "lift", [{"lift_no": "L1", "crane_no": "C01", "manage": HOME}])
    await publish(address, opened())
    return address


@pytest.fixture(scope="module")
async def service(dsn: str) -> AsyncIterator[Service]:
    """The product on that database."""
    async with Service.open(Settings(database_url=dsn, entity_packages=(PACKAGE,), max_cost=100_000)) as found:
        yield found


async def execute(dsn: str, statement: str) -> None:
    """Change data as the owner."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def ask(service: Service, query: str, subject: Subject = COUNTY, **variables: Any) -> dict[str, Any]:
    """The decoded answer."""
    answer = await service.answer(Question(query, variables, None), subject, "cursors")
    decoded: dict[str, Any] = orjson.loads(answer.body)
    return decoded


def document(order: str, *, backward: bool = False, where: str = "") -> str:
    """A page of cranes with every kind of cursor."""
    size, cursor = ("last", "before") if backward else ("first", "after")
    ordered = f"orderBy: [{order}], " if order else ""
    condition = f"where: {where}, " if where else ""
    return (
        f"query($n: Int!, $c: String) {{ cranes({ordered}{condition}{size}: $n, {cursor}: $c) {{"
        " edges { cursor node { craneNo } }"
        " pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } }"
    )


async def walk(
    service: Service, query: str, size: int, *, backward: bool = False, edges: bool = False
) -> list[list[str]]:
    """Pages from one end to the other, by the cursors of pages or of edges."""
    pages: list[list[str]] = []
    cursor = None
    for _ in range(200):
        page = (await ask(service, query, n=size, c=cursor))["data"]["cranes"]
        pages.append([edge["node"]["craneNo"] for edge in page["edges"]])
        info = page["pageInfo"]
        # Whether anything lies behind is known from where one came.
        assert info["hasNextPage" if backward else "hasPreviousPage"] is (cursor is not None)
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            return pages
        assert len(pages[-1]) == size
        if edges:
            cursor = page["edges"][0 if backward else -1]["cursor"]
        else:
            cursor = info["startCursor" if backward else "endCursor"]
    pytest.fail("the walk does not end")


def expected(order: list[tuple[str, bool]]) -> list[str]:
    """The keys in order: NULLs last, text by code point, the key last in the direction of the term before it."""
    listed = sorted(ROWS, key=lambda row: str(row["crane_no"]), reverse=bool(order) and order[-1][1])
    for column, descending in reversed(order):
        present = [row for row in listed if row[column] is not None]
        absent = [row for row in listed if row[column] is None]
        present = _stable(present, column, descending)
        listed = present + absent
    return [str(row["crane_no"]) for row in listed]


def _stable(rows: list[dict[str, object]], column: str, descending: bool) -> list[dict[str, object]]:
    if not descending:
        return sorted(rows, key=lambda row: row[column])  # type: ignore[arg-type,return-value]
    return sorted(rows, key=lambda row: row[column], reverse=True)  # type: ignore[arg-type,return-value]


ORDERS: list[list[tuple[str, bool]]] = [
    [],
    *([(name, descending)] for name in SORTABLE for descending in (False, True)),
    [("NAME", False), ("FLOORS", False)],
    [("NAME", True), ("FLOORS", False)],
    [("FLOORS", False), ("NAME", True), ("HEIGHT", False)],
    [("HEIGHT", True), ("CHECKED_AT", True)],
    [("ERECTED_ON", True), ("CRANE_NO", False)],
    [("NAME", False), ("NAME", True)],
]


@pytest.mark.parametrize("edges", [False, True], ids=["by page", "by edge"])
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("order", ORDERS, ids=lambda o: " ".join(f"{'-' if d else ''}{n}" for n, d in o) or "default")
async def test_a_walk_meets_every_row_once_and_in_order(
    service: Service, order: list[tuple[str, bool]], backward: bool, edges: bool
):
    """Pages of 1, 7 and 20, put together, are the full listing, which is what the order says of the rows."""
    text = ", ".join(f"{{field: {name}, direction: {'DESC' if down else 'ASC'}}}" for name, down in order)
    distinct: dict[str, bool] = {}
    for name, down in order:
        distinct.setdefault(name, down)
    wanted = expected([(SORTABLE[name], down) for name, down in distinct.items()])
    full = await ask(service, document(text), n=1000)
    assert [edge["node"]["craneNo"] for edge in full["data"]["cranes"]["edges"]] == wanted
    for size in (1, 7, 20) if not edges else (7,):
        pages = await walk(service, document(text, backward=backward), size, backward=backward, edges=edges)
        assert [key for page in (reversed(pages) if backward else pages) for key in page] == wanted, size


async def test_pages_of_several_scopes_are_walked_alike(service: Service):
    """A condition, and a caller whose rows come from several branches of the row predicate, change nothing."""
    where = '{or: [{floors: {gte: 3}}, {name: {startsWith: "甲"}}, {height: {isNull: true}}]}'
    full = await ask(service, document("{field: NAME}", where=where), n=1000)
    wanted = [edge["node"]["craneNo"] for edge in full["data"]["cranes"]["edges"]]
    assert 10 < len(wanted) < COUNT
    pages = await walk(service, document("{field: NAME}", where=where), 3)
    assert [key for page in pages for key in page] == wanted


async def test_an_empty_page_and_a_page_of_none(service: Service):
    """No row: no cursor, nothing further; `first: 0` says whether there is anything."""
    none = await ask(service, document("", where='{name: {eq: "nothing"}}'), n=5)
    assert none["data"]["cranes"] == {
        "edges": [],
        "pageInfo": {"startCursor": None, "endCursor": None, "hasNextPage": False, "hasPreviousPage": False},
    }
    zero = await ask(service, document(""), n=0)
    assert zero["data"]["cranes"]["edges"] == []
    assert zero["data"]["cranes"]["pageInfo"]["hasNextPage"] is True
    assert zero["data"]["cranes"]["pageInfo"]["endCursor"] is None


async def cursors_of(service: Service, subject: Subject = COUNTY, order: str = "{field: NAME}") -> dict[str, str]:
    """A page's cursor and an edge's."""
    page = (await ask(service, document(order), subject, n=5))["data"]["cranes"]
    return {"page": page["pageInfo"]["endCursor"], "edge": page["edges"][-1]["cursor"]}


def expired(decoded: dict[str, Any]) -> bytes:
    """Assert the uniform error, and return it whole."""
    assert [error["extensions"]["name"] for error in decoded["errors"]] == ["CURSOR_EXPIRED"], decoded
    assert "data" not in decoded
    return orjson.dumps(decoded)


async def test_a_cursor_is_its_callers_and_its_walks(service: Service):
    """Another caller of the same rights, another order, direction or type: expired, all in the same words."""
    page = (await cursors_of(service))["page"]
    answers = {
        expired(await ask(service, document("{field: NAME}"), TWIN, n=5, c=page)),
        expired(await ask(service, document("{field: NAME}"), MINISTRY, n=5, c=page)),
        expired(await ask(service, document("{field: NAME, direction: DESC}"), n=5, c=page)),
        expired(await ask(service, document("{field: NAME}, {field: FLOORS}"), n=5, c=page)),
        expired(await ask(service, document("{field: FLOORS}"), n=5, c=page)),
        expired(await ask(service, document(""), n=5, c=page)),
        expired(await ask(service, "query($c: String) { lifts(after: $c) { nodes { id } } }", c=page)),
        expired(await ask(service, "query($c: String) { projects(after: $c) { nodes { id } } }", c=page)),
    }
    assert len(answers) == 1


async def test_a_cursor_says_nothing(service: Service):
    """It is sealed: no sort value can be read from it, and it is the same every time."""
    ones, others = await cursors_of(service), await cursors_of(service)
    assert ones == others
    sealed = base64.urlsafe_b64decode(ones["page"][1:])
    assert "甲".encode() not in sealed
    assert b"C0" not in sealed


async def test_an_altered_cursor_is_expired(service: Service):
    """Each byte altered, every length cut off, anything put before or after, and texts that never were a cursor."""
    page = (await cursors_of(service))["page"]
    sealed = base64.urlsafe_b64decode(page[1:])
    query = document("{field: NAME}")
    altered = [
        "e" + base64.urlsafe_b64encode(sealed[:i] + bytes([sealed[i] ^ 1]) + sealed[i + 1 :]).decode()
        for i in range(len(sealed))
    ]
    cut = [page[:length] for length in range(0, len(page), 3)]
    strange = [
        "", "e", "k", "x", "e=", "e" * 100, "k====", "k!", page + "A", "A" + page, page[1:], page.swapcase(),
        "é", "k\u00e9",
        "k" + base64.b64encode(b"\xff\xfe").decode(), "k" + base64.b64encode(b"C00\0").decode(),
        "k" + base64.b64encode(b"").decode(), "k" + base64.b64encode(b"Crane:C00").decode(),
        "k" + base64.b64encode(b"C" * 4000).decode()[:3990], "e" + "A" * 3990, "null", "[]", "0",
    ]  # fmt: skip
    answers = {expired(await ask(service, query, n=5, c=cursor)) for cursor in (*altered, *cut, *strange)}
    assert len(answers) == 1


async def test_an_edge_of_a_hidden_or_deleted_row_is_expired(service: Service, dsn: str):
    """As is that of a row that never was: a cursor does not tell the three apart."""
    query = document("{field: NAME}")
    key = base64.b64encode(b"C90").decode()
    never = expired(await ask(service, query, n=5, c=f"k{key}"))
    await insert(dsn, "crane", [crane(90) | {"sens": 9}])
    hidden = expired(await ask(service, query, n=5, c=f"k{key}"))
    await execute(dsn, "update zlaq.crane set sens = 0 where crane_no = 'C90'")
    visible = await ask(service, query, n=5, c=f"k{key}")
    assert visible["data"]["cranes"]["edges"]
    await execute(dsn, "delete from zlaq.crane where crane_no = 'C90'")
    deleted = expired(await ask(service, query, n=5, c=f"k{key}"))
    assert never == hidden == deleted


async def test_rows_that_come_and_go_between_pages(service: Service, dsn: str):
    """Rows that stay are met exactly once; one inserted ahead is met, one behind is not, one deleted never again."""
    query = document("{field: FLOORS}")
    first = (await ask(service, query, n=10))["data"]["cranes"]
    seen = [edge["node"]["craneNo"] for edge in first["edges"]]
    rest = expected([("floors", False)])[10:]
    try:
        await insert(
            dsn, "crane", [crane(1) | {"crane_no": "C70", "floors": -5}, crane(1) | {"crane_no": "C71", "floors": 99}]
        )
        # The row of the boundary itself goes too: a page's cursor holds values, not a row.
        await execute(dsn, f"delete from zlaq.crane where crane_no in ('{seen[-1]}', '{rest[3]}')")
        cursor, after = first["pageInfo"]["endCursor"], []
        while cursor is not None:
            page = (await ask(service, query, n=7, c=cursor))["data"]["cranes"]
            after += [edge["node"]["craneNo"] for edge in page["edges"]]
            cursor = page["pageInfo"]["endCursor"] if page["pageInfo"]["hasNextPage"] else None
        assert [key for key in after if key != "C71"] == [key for key in rest if key != rest[3]]
        assert after.count("C71") == 1
        assert "C70" not in after
    finally:
        await execute(dsn, "delete from zlaq.crane")
        await insert(dsn, "crane", ROWS)


async def test_a_cursor_ends_with_its_revision(service: Service, dsn: str):
    """What was sealed under one revision is expired under the next, though the caller's rights did not change."""
    page = (await cursors_of(service))["page"]
    query = document("{field: NAME}")
    assert "data" in await ask(service, query, n=5, c=page)
    known, changed = opened(), opened(to={"Lift.name": "RESTRICTED"})
    assert known.id != changed.id
    for revision in (changed, known):
        await publish(dsn, revision)
        await _follow(service, revision)
        if revision is changed:
            expired(await ask(service, query, n=5, c=page))
    # Deterministic: under the first revision again it is the same cursor.
    assert "data" in await ask(service, query, n=5, c=page)


async def _follow(service: Service, revision: Revision) -> None:
    for _ in range(200):
        if service.snapshot is not None and service.snapshot.revision.id == revision.id:
            return
        await asyncio.sleep(0.05)
    pytest.fail("the revision was not taken up")


async def test_a_page_is_cut_one_way(service: Service):
    """`first` goes with `after`, `last` with `before`, and neither beyond its bounds."""
    page = (await cursors_of(service, order=""))["page"]
    for arguments in (
        "first: 1, last: 1", f'last: 1, after: "{page}"', f'before: "{page}"', f'first: 1, before: "{page}"',
        "first: -1", "first: 1001", "last: -1", "last: 1001",
    ):  # fmt: skip
        decoded = await ask(service, f"{{ cranes({arguments}) {{ nodes {{ id }} }} }}")
        assert decoded["errors"][0]["extensions"]["name"] == "BAD_PAGE_SIZE", arguments


@pytest.mark.parametrize("fields", ["hasNextPage", "hasPreviousPage", "startCursor", "endCursor", "__typename"])
async def test_any_part_of_the_page_info_alone(service: Service, fields: str):
    """Each can be asked for without the others, with and without rows, forward and backward."""
    for arguments in ("", "(first: 3)", "(last: 3)", "(first: 0)", '(where: {name: {eq: "nothing"}})'):
        decoded = await ask(service, f"{{ cranes{arguments} {{ pageInfo {{ {fields} }} }} }}")
        assert list(decoded["data"]["cranes"]["pageInfo"]) == [fields], (arguments, decoded)


async def test_every_alias_of_an_edges_node_has_its_own_selection(service: Service):
    """Two aliases of `node`, `nodes`, `pageInfo` and `cursor` in one connection are answered each as it asks."""
    decoded = await ask(
        service,
        "{ cranes(first: 1) { edges { a: node { craneNo } b: node { name floors } c: cursor d: cursor }"
        " more: edges { node { craneNo } } n: nodes { craneNo } m: nodes { name }"
        " p: pageInfo { hasNextPage } q: pageInfo { more: hasNextPage } s: totalCount t: totalCount } }",
    )
    cranes = decoded["data"]["cranes"]
    key = {"craneNo": "C00"}
    assert cranes["edges"][0]["a"] == key
    assert cranes["edges"][0]["b"] == {"name": None, "floors": None}
    assert cranes["edges"][0]["c"] == cranes["edges"][0]["d"]
    assert (cranes["more"], cranes["n"], cranes["m"]) == ([{"node": key}], [key], [{"name": None}])
    assert (cranes["p"], cranes["q"]) == ({"hasNextPage": True}, {"more": True})
    assert (cranes["s"], cranes["t"]) == (COUNT, COUNT)


def test_keys_of_both_lengths_seal():
    """A process's key is 32 or 64 bytes; a cursor of one key is nothing to another."""
    one, other = (Cursors(AESSIV(bytes([n]) * size), "s", "r") for n, size in ((1, 32), (2, 64)))
    cursor = one.write(b'["a",null]', "walk")
    assert one.read(cursor, "walk") == ["a", None]
    with pytest.raises(CursorExpired):
        other.read(cursor, "walk")
