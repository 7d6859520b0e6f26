"""The third stage form: values of other systems stand exactly where they belong, and a bad source spoils only itself.

The sources are in this process and behave as told. What is expected is computed here from the rows and from what the
sources know, by rules written out by hand, so that neither the splice nor the policy is asked about itself.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson
import pytest

from adapters.base import Fetch, Rows, SourceError, SourceTimeout
from demo.seed import wellknown
from policy.subject import PUBLIC_SUBJECT, Level, Subject, territory_of
from server.pipeline import Question
from server.service import Service
from server.settings import Settings
from tests.conftest import publish
from tests.declared.tables import PACKAGE, another_database, create_tables, insert, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from demo.embedded import EmbeddedPostgres

HOME, AWAY, DEPT = wellknown.WUCHANG, "330106", wellknown.HOUSING_WUCHANG
COUNTY = Subject("county", Level.COUNTY, "HOUSING", territory_of([HOME]), dept=DEPT)
HOSTILE = (
    '"', '\\', '\\"', '"}]},{"reading":null', "0123456789abcdef0123456789abcdef|0|0.0.0||K1",
    '"deadbeef|c|["x"]"', "|0|",
    "\\u0022|0|", "第一行\n第二行\t\x01", "𠮷\u202e\u2028", "{}", "null", "%s%(x)s{0}$1", "'", "]", "c|", "",
)  # fmt: skip
"""Names of the rows around the tokens."""


@dataclass
class Monitor:
    """A source that knows a record of every key but some, notes what it is asked, and misbehaves as told."""

    name: str
    deadline_seconds: float = 1.0
    unknown: frozenset[str] = frozenset({"K9"})
    behave: Callable[[Fetch, dict[str, Any]], Any] | None = None
    delay: float = 0.0
    asked: list[Fetch] = field(default_factory=list)

    def answers(self, type_name: str, fields: Sequence[str]) -> bool:  # noqa: ARG002 - the port's signature
        """It can be asked for anything."""
        return True

    async def fetch(self, fetch: Fetch) -> Rows:
        """Records in another order than asked, with fields that nobody asked for."""
        self.asked.append(fetch)
        await asyncio.sleep(self.delay)
        values = {key: self.record(fetch.type, key) for key in sorted(fetch.keys, reverse=True)}
        values = {key: value for key, value in values.items() if key not in self.unknown}
        if self.behave is not None:
            answer: Rows = self.behave(fetch, values)
            return answer
        return Rows(values)

    @staticmethod
    def record(type_name: str, key: str) -> dict[str, Any]:
        """What the source knows by a key: everything, whatever was asked."""
        if type_name == "Alarm":
            return {"items": [alarm(key, number) for number in range(int(key[1:]) % 3)]}
        return reading(key)

    def calls(self) -> Counter[tuple[str, tuple[str, ...]]]:
        """How often each group of type and fields was asked for."""
        return Counter((fetch.type, fetch.fields) for fetch in self.asked)


def reading(key: str) -> dict[str, Any]:
    """A reading, hostile text included."""
    number = int(key[1:])
    return {
        "weight": f"{number}.50",
        "count": number,
        "taken_at": "2026-05-06T07:08:09+08:00",
        "note": HOSTILE[number % len(HOSTILE)] or "空",
        "operator": "欧阳" + key,
        "operator_no": "110101190001010014",
        "fault": "CANARY-" + key,
        "points": number * 1000,
        "unasked": "UNASKED-" + key,
    }


def alarm(key: str, number: int) -> dict[str, Any]:
    """One alarm of a key."""
    return {"code": f"{key}/{number}", "level": "1", "remark": f"REMARK-{key}", "unasked": "UNASKED"}


def rows() -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Cranes and lifts: two regions, two owners, keys in no order, several rows of one key, some without one."""
    chance = random.Random(7)
    cranes: list[dict[str, object]] = []
    lifts: list[dict[str, object]] = []
    for number in range(8):
        region = (HOME, AWAY)[number % 2]
        cranes.append({"crane_no": f"T{number}", "name": HOSTILE[number], "manage": region})
        for lift in range(1 + number % 4 * 2):
            key = chance.choice([*(f"K{n}" for n in range(12)), None])
            lifts.append(
                {
                    "lift_no": f"T{number}-{lift}", "crane_no": f"T{number}", "name": chance.choice(HOSTILE),
                    "sensor_no": key, "manage": chance.choice((HOME, AWAY)), "owner_dept": chance.choice((DEPT, "-")),
                }
            )  # fmt: skip
    return cranes, lifts


CRANES, LIFTS = rows()
BY_NO: Mapping[str, Mapping[str, Any]] = {str(lift["lift_no"]): lift for lift in LIFTS}


def seen_reading(lift: Mapping[str, Any], *, inner: bool = False, unknown: frozenset[str] = frozenset({"K9"})) -> Any:
    """What the county sees of a lift's reading: public and shared anywhere, the rest within, restricted as owner."""
    key, mine, owned = lift["sensor_no"], lift["manage"] == HOME, lift["owner_dept"] == DEPT
    if key is None or key in unknown or (inner and not (mine or owned)):
        return None
    known = reading(key)
    return {
        "weight": known["weight"],
        "count": known["count"],
        "takenAt": "2026-05-05T23:08:09.000000Z",
        "note": known["note"] if mine or owned else None,
        "operator": "欧**" if mine or owned else None,
        "operatorNo": "110101************" if mine or owned else None,
        "fault": known["fault"] if owned else None,
        "__typename": "Reading",
    }


def seen_alarms(lift: Mapping[str, Any]) -> Any:
    """The same of its alarms: a list, empty where there is none, null where there is no record or no key."""
    key = lift["sensor_no"]
    if key is None:
        return None
    within = lift["manage"] == HOME or lift["owner_dept"] == DEPT
    return [
        {"code": item["code"], "remark": item["remark"] if within else None}
        for item in ([] if key == "K9" else Monitor.record("Alarm", key)["items"])
    ]


READING = "{ weight count takenAt note operator operatorNo fault __typename }"
ALARMS = "{ code remark }"


@pytest.fixture(scope="module")
async def remote_database(postgres: EmbeddedPostgres) -> str:
    """A database with the tests' entities, opened by the revision that their declarations propose."""
    dsn = await another_database(postgres.dsn, "remote")
    await create_tables(dsn)
    await insert(dsn, "crane", CRANES)
    await insert(dsn, "lift", LIFTS)
    await publish(dsn, opened())
    return dsn


@dataclass
class Remote:
    """The product with two sources, and where its audit can be read."""

    service: Service
    monitor: Monitor
    alarms: Monitor
    dsn: str
    serial: int = 0

    async def ask(self, query: str, subject: Subject = COUNTY, **variables: Any) -> dict[str, Any]:
        """The decoded answer; what sources did before is forgotten."""
        self.monitor.asked.clear()
        self.alarms.asked.clear()
        self.serial += 1
        answer = await self.service.answer(Question(query, variables, None), subject, self.request_id)
        assert answer.status == 200, answer.body
        decoded: dict[str, Any] = orjson.loads(answer.body)
        return decoded

    @property
    def request_id(self) -> str:
        """Of the last request."""
        return f"remote-{id(self)}-{self.serial}"

    async def records(self) -> list[tuple[str, str]]:
        """Root and sources of the last request's audit records, in order."""
        connection = await asyncpg.connect(self.dsn)
        try:
            found = await connection.fetch(
                "select root, sources from audit.record where request_id = $1 order by seq", self.request_id
            )
        finally:
            await connection.close()
        return [(row["root"], row["sources"]) for row in found]


@asynccontextmanager
async def opened_with(dsn: str, monitor: Monitor, alarms: Monitor, **settings: Any) -> AsyncIterator[Remote]:
    """The product with these sources."""
    chosen = Settings(database_url=dsn, entity_packages=(PACKAGE,), max_cost=100_000, **settings)
    async with Service.open(chosen, sources={"monitor": monitor, "alarms": alarms}) as service:
        yield Remote(service, monitor, alarms, dsn)


@pytest.fixture
async def remote(remote_database: str) -> AsyncIterator[Remote]:
    """The product with two sources that behave."""
    async with opened_with(remote_database, Monitor("monitor"), Monitor("alarms")) as found:
        yield found


async def test_every_value_stands_at_its_row(remote: Remote):
    """Lists in lists, hostile neighbours, keys that repeat or are missing: each value at the row it was asked for."""
    decoded = await remote.ask(
        f"{{ cranes(first: 100) {{ nodes {{ craneNo name lifts {{ liftNo name reading {READING} alarms {ALARMS}"
        f" inner: innerReading {READING} again: reading {{ w: weight }} }} }} }} }}"
    )
    assert "errors" not in decoded
    found = decoded["data"]["cranes"]["nodes"]
    assert [(crane["craneNo"], crane["name"]) for crane in found] == [(c["crane_no"], c["name"]) for c in CRANES]
    lifts = [lift for crane in found for lift in crane["lifts"]]
    assert [lift["liftNo"] for lift in lifts] == sorted(BY_NO)
    for lift in lifts:
        row = BY_NO[lift["liftNo"]]
        assert lift["name"] == row["name"]
        assert lift["reading"] == seen_reading(row), row
        assert lift["inner"] == seen_reading(row, inner=True), row
        assert lift["alarms"] == seen_alarms(row), row
        assert lift["again"] == (None if lift["reading"] is None else {"w": lift["reading"]["weight"]})


@pytest.mark.parametrize("seed", range(12))
async def test_any_way_to_the_rows_gives_the_same_values(remote: Remote, seed: int):
    """Pages both ways, orders, single keys, `nodes` and `_entities` in any order with repeats: the same splice."""
    chance = random.Random(seed)
    keys = [chance.choice([*BY_NO, "T99-0"]) for _ in range(chance.randrange(1, 40))]
    below = f"{{ liftNo reading {READING} alarms {ALARMS} crane {{ lifts(first: 3) {{ liftNo reading {READING} }} }} }}"
    decoded = await remote.ask(
        "query($r: [_Any!]!, $k: String!, $n: Int!) {"
        f" many: _entities(representations: $r) {{ ... on Lift {below} }}"
        f" one: lift(liftNo: $k) {below}"
        f" page: lifts(last: $n) {{ edges {{ node {below} cursor }} pageInfo {{ startCursor }} }} }}",
        r=[{"__typename": "Lift", "liftNo": key} for key in keys], k=keys[0], n=chance.randrange(1, 12),
    )  # fmt: skip
    data = decoded["data"]
    assert [item and item["liftNo"] for item in data["many"]] == [key if key in BY_NO else None for key in keys]
    every = [item for item in [*data["many"], data["one"], *(e["node"] for e in data["page"]["edges"])] if item]
    assert len(every) > len(data["page"]["edges"])
    for lift in every:
        assert lift["reading"] == seen_reading(BY_NO[lift["liftNo"]])
        assert lift["alarms"] == seen_alarms(BY_NO[lift["liftNo"]])
        for inner in lift["crane"]["lifts"]:
            assert inner["reading"] == seen_reading(BY_NO[inner["liftNo"]])


async def test_a_source_is_asked_once_for_each_set_of_fields_and_key(remote: Remote):
    """Equal keys become one, keys of one verdict one call, and no field is asked for that may not be shown."""
    await remote.ask(f"{{ cranes {{ nodes {{ lifts {{ reading {READING} }} }} }} }}")
    assert all(len(set(fetch.keys)) == len(fetch.keys) for fetch in remote.monitor.asked)
    assert all(count == 1 for count in remote.monitor.calls().values())
    shown = {"weight", "count", "taken_at"}
    within = shown | {"note", "operator", "operator_no"}
    allowed: dict[frozenset[str], set[str]] = {}
    for lift in LIFTS:
        if lift["sensor_no"] is None:
            continue
        fields = shown if lift["manage"] != HOME else within
        fields = within | {"fault"} if lift["owner_dept"] == DEPT else fields
        allowed.setdefault(frozenset(fields), set()).add(str(lift["sensor_no"]))
    assert {frozenset(fetch.fields): set(fetch.keys) for fetch in remote.monitor.asked} == allowed
    assert {fetch.source for fetch in remote.monitor.asked} == {"monitor"}
    assert remote.alarms.asked == []


async def test_keys_go_in_batches_of_a_hundred(remote: Remote, remote_database: str):
    """150 keys are two calls, each of at most a hundred."""
    await insert(
        remote_database, "lift",
        [{"lift_no": f"X{n:03}", "crane_no": "X", "sensor_no": f"K{n}", "manage": HOME} for n in range(150)],
    )  # fmt: skip
    try:
        decoded = await remote.ask('{ lifts(first: 200, where: {craneNo: {eq: "X"}}) { nodes { reading { count } } } }')
        assert [lift["reading"] and lift["reading"]["count"] for lift in decoded["data"]["lifts"]["nodes"]] == [
            None if n == 9 else n for n in range(150)
        ]
        assert sorted(len(fetch.keys) for fetch in remote.monitor.asked) == [50, 100]
    finally:
        connection = await asyncpg.connect(remote_database)
        await connection.execute("delete from zlaq.lift where crane_no = 'X'")
        await connection.close()


async def test_what_is_denied_is_not_asked_for(remote: Remote):
    """Neither a constant denial nor one that depends on the row sends a key anywhere."""
    public = await remote.ask("{ lifts { nodes { liftNo score { points } innerReading { weight } } } }", PUBLIC_SUBJECT)
    assert all(lift["score"] is None and lift["innerReading"] is None for lift in public["data"]["lifts"]["nodes"])
    assert remote.monitor.asked == []
    named = {(d["coordinate"], d["verdict"]) for d in public["extensions"]["disclosure"]}
    assert {("Score.points", "DENIED"), ("Lift.innerReading", "DENIED")} <= named
    assert await remote.records() == [("lifts", "")]
    # As owner the county sees the score of some rows: only their keys may leave.
    owner = await remote.ask("{ lifts(first: 100) { nodes { liftNo score { points } } } }")
    mine = {str(lift["sensor_no"]) for lift in LIFTS if lift["owner_dept"] == DEPT and lift["sensor_no"]}
    assert {key for fetch in remote.monitor.asked for key in fetch.keys} == mine
    assert {fetch.fields for fetch in remote.monitor.asked} == {("points",)}
    for lift in owner["data"]["lifts"]["nodes"]:
        row = BY_NO[lift["liftNo"]]
        points = (lift["score"] or {}).get("points")
        expected = row["owner_dept"] == DEPT and row["sensor_no"] not in (None, "K9")
        assert points == (reading(row["sensor_no"])["points"] if expected else None)


async def test_unasked_and_hidden_values_never_leave(remote: Remote):
    """Fields beyond those asked for are dropped, and a value that is masked for a row is nowhere clear."""
    decoded = await remote.ask(f"{{ lifts(first: 100) {{ nodes {{ liftNo reading {READING} alarms {ALARMS} }} }} }}")
    text = orjson.dumps(decoded).decode()
    assert "UNASKED" not in text
    assert "110101190001010014" not in text
    canaries = {f"CANARY-{lift['sensor_no']}" for lift in LIFTS if lift["owner_dept"] == DEPT}
    assert {part.split('"')[0] for part in text.split('"fault":"')[1:]} <= canaries


def fails(error: BaseException | Callable[[], BaseException]) -> Callable[[Fetch, dict[str, Any]], Rows]:
    """A source that raises."""

    def behave(_fetch: Fetch, _values: dict[str, Any]) -> Rows:
        raise error if isinstance(error, BaseException) else error()

    return behave


def answers(change: Callable[[dict[str, Any]], Any]) -> Callable[[Fetch, dict[str, Any]], Rows]:
    """A source whose records are changed."""
    return lambda _, values: Rows({key: change(value) for key, value in values.items()})


UNAVAILABLE = {
    "a declared failure": (fails(SourceError("monitor")), "SOURCE_UNAVAILABLE"),
    "a timeout of its own": (fails(SourceTimeout("monitor")), "SOURCE_TIMEOUT"),
    "TimeoutError": (fails(TimeoutError()), "SOURCE_TIMEOUT"),
    "an exception": (fails(ValueError("4201061990010100")), "SOURCE_UNAVAILABLE"),
    "KeyError": (fails(KeyError("x")), "SOURCE_UNAVAILABLE"),
    "RecursionError": (fails(RecursionError()), "SOURCE_UNAVAILABLE"),
    "CancelledError": (fails(asyncio.CancelledError), "SOURCE_UNAVAILABLE"),
    "nothing": (lambda _f, _v: None, "SOURCE_BAD_SHAPE"),
    "a bare mapping": (lambda _f, v: v, "SOURCE_BAD_SHAPE"),
    "a list": (lambda _f, v: list(v), "SOURCE_BAD_SHAPE"),
    "rows that are no mapping": (lambda _f, _v: Rows([1, 2]), "SOURCE_BAD_SHAPE"),  # type: ignore[arg-type]
    "records that are texts": (answers(lambda _: "x"), "SOURCE_BAD_SHAPE"),
    "records that are lists": (answers(lambda v: [v]), "SOURCE_BAD_SHAPE"),
    "a number that is none": (answers(lambda v: v | {"count": "many"}), "SOURCE_BAD_SHAPE"),
    "infinity": (answers(lambda v: v | {"count": float("inf")}), "SOURCE_BAD_SHAPE"),
    "NaN": (answers(lambda v: v | {"count": float("nan")}), "SOURCE_BAD_SHAPE"),
    "a decimal that is none": (answers(lambda v: v | {"weight": "NaN"}), "SOURCE_BAD_SHAPE"),
    "a lone surrogate": (answers(lambda v: v | {"operator": "\ud800"}), "SOURCE_BAD_SHAPE"),
    "an object in a text's place": (answers(lambda v: v | {"operator": {"a": 1}}), "SOURCE_BAD_SHAPE"),
    "an identifier with a wrong check digit": (
        answers(lambda v: v | {"operator_no": "110101190001010015"}), "SOURCE_BAD_SHAPE",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNAVAILABLE)
async def test_a_failing_source_spoils_only_its_own_values(remote_database: str, name: str):
    """Its values are null with an error at each exact path; the other source's and the ministry's own are all there."""
    behave, code = UNAVAILABLE[name]
    monitor, alarms = Monitor("monitor", behave=behave), Monitor("alarms")
    async with opened_with(remote_database, monitor, alarms, request_deadline_ms=4_000) as remote:
        began = time.monotonic()
        decoded = await remote.ask(
            f"{{ cranes(first: 100) {{ edges {{ n: node {{ l: lifts {{"
            f" liftNo r: reading {READING} alarms {ALARMS} }} }} }} }} }}"
        )
        assert time.monotonic() - began < 3
        wrong = {tuple(error["path"]): error["extensions"]["name"] for error in decoded.get("errors", ())}
        expected: set[tuple[str | int, ...]] = set()
        for i, edge in enumerate(decoded["data"]["cranes"]["edges"]):
            for j, lift in enumerate(edge["n"]["l"]):
                row = BY_NO[lift["liftNo"]]
                assert lift["alarms"] == seen_alarms(row)
                path = ("cranes", "edges", i, "n", "l", j, "r")
                if row["sensor_no"] is None or (path not in wrong and code == "SOURCE_BAD_SHAPE"):
                    # A value that this row may not see was not asked for, so it cannot be of a wrong shape either.
                    assert lift["r"] == seen_reading(row)
                    continue
                expected.add(path)
                assert lift["r"] is None
        assert wrong == dict.fromkeys(expected, code)
        assert expected
        text = orjson.dumps(decoded["errors"]).decode()
        assert "4201061990010100" not in text
        assert "K1" not in text
        said = dict(await remote.records())
        assert orjson.loads(said["sources"]) == {"alarms": "ok", "monitor": code}


async def test_paths_of_a_backward_page(remote_database: str):
    """A page from the end on is shown in order, and the paths of its errors are those of what is shown."""
    monitor = Monitor("monitor", behave=fails(SourceError("monitor")))
    async with opened_with(remote_database, monitor, Monitor("alarms")) as remote:
        for arguments, more in (("last: 25", ""), ("last: 100", ""), ("last: 25", "pageInfo { hasPreviousPage }")):
            decoded = await remote.ask(f"{{ lifts({arguments}) {{ nodes {{ liftNo reading {{ count }} }} {more} }} }}")
            shown = decoded["data"]["lifts"]["nodes"]
            keyed = [i for i, lift in enumerate(shown) if BY_NO[lift["liftNo"]]["sensor_no"] is not None]
            assert 0 < len(keyed) < len(shown)
            assert sorted(error["path"] for error in decoded["errors"]) == [
                ["lifts", "nodes", i, "reading"] for i in keyed
            ]


async def test_a_bad_list_spoils_only_its_own_values(remote_database: str):
    """A list's record without items, or with items that are none."""
    wrong: list[Any] = [None, "x", {"items": "x"}, {"items": [1]}, {"items": [[]]}, "items", ["items"]]
    for items in wrong:
        alarms = Monitor("alarms", behave=answers(lambda _, items=items: items))  # type: ignore[misc]
        async with opened_with(remote_database, Monitor("monitor"), alarms) as remote:
            decoded = await remote.ask("{ lifts(first: 100) { nodes { liftNo reading { count } alarms { code } } } }")
            for lift in decoded["data"]["lifts"]["nodes"]:
                known = seen_reading(BY_NO[lift["liftNo"]])
                assert lift["reading"] == (known and {"count": known["count"]})
                assert lift["alarms"] in (None, [])
            names = {error["extensions"]["name"] for error in decoded.get("errors", ())}
            assert names <= {"SOURCE_BAD_SHAPE"}


async def test_an_unknown_code_is_null(remote_database: str):
    """A source's code that no list knows is no value, and no error."""
    alarms = Monitor("alarms", behave=answers(lambda _: {"items": [{"level": "1"}, {"level": "99"}, {"level": 7}]}))
    async with opened_with(remote_database, Monitor("monitor"), alarms) as remote:
        decoded = await remote.ask("{ lifts { nodes { alarms { level } } } }")
        levels = [
            tuple(a["level"] for a in lift["alarms"]) for lift in decoded["data"]["lifts"]["nodes"] if lift["alarms"]
        ]
        assert "errors" not in decoded
        assert levels
        assert all(first and not second and not third for first, second, third in levels)


async def test_a_slow_source_has_its_own_deadline(remote_database: str):
    """It costs its own deadline and no more, and names itself."""
    monitor = Monitor("monitor", deadline_seconds=0.2, delay=5)
    async with opened_with(remote_database, monitor, Monitor("alarms")) as remote:
        began = time.monotonic()
        decoded = await remote.ask("{ lifts { nodes { liftNo reading { count } alarms { code } } } }")
        assert time.monotonic() - began < 1.5
        assert {error["extensions"]["name"] for error in decoded["errors"]} == {"SOURCE_TIMEOUT"}
        assert any(lift["alarms"] for lift in decoded["data"]["lifts"]["nodes"])


async def test_the_requests_deadline_bounds_every_source(remote_database: str):
    """A source that allows itself more than the request has gets what remains, and the answer still comes."""
    monitor = Monitor("monitor", deadline_seconds=60, delay=60)
    async with opened_with(remote_database, monitor, Monitor("alarms"), request_deadline_ms=800) as remote:
        began = time.monotonic()
        answer = await remote.service.answer(
            Question("{ lifts { nodes { liftNo reading { count } } } }", {}, None), COUNTY, "bounded"
        )
        assert time.monotonic() - began < 2
        assert answer.code in ("OK", "ZQ504")


async def test_a_source_that_is_not_there_spoils_only_its_own_values(remote_database: str):
    """A declared source without an adapter is one that cannot be reached."""
    chosen = Settings(database_url=remote_database, entity_packages=(PACKAGE,))
    async with Service.open(chosen, sources={"alarms": Monitor("alarms")}) as service:
        answer = await service.answer(
            Question("{ lifts { nodes { liftNo reading { count } alarms { code } } } }", {}, None), COUNTY, "absent"
        )
        decoded = orjson.loads(answer.body)
        assert {error["extensions"]["name"] for error in decoded["errors"]} == {"SOURCE_UNAVAILABLE"}
        assert any(lift["alarms"] for lift in decoded["data"]["lifts"]["nodes"])


async def test_one_callers_departure_hangs_nobody(remote_database: str):
    """A request that is cancelled while a source is being asked leaves others, and the process, as they were."""
    monitor = Monitor("monitor", delay=0.3)
    async with opened_with(remote_database, monitor, Monitor("alarms")) as remote:
        query = "{ lifts { nodes { liftNo reading { count } } } }"

        def one(number: int) -> asyncio.Task[Any]:
            question = Question(query, {}, None)
            return asyncio.ensure_future(remote.service.answer(question, COUNTY, f"cancelled-{number}"))

        requests = [one(number) for number in range(10)]
        await asyncio.sleep(0.15)
        for request in requests[::2]:
            request.cancel()
        async with asyncio.timeout(5):
            finished = await asyncio.gather(*requests, return_exceptions=True)
        assert [isinstance(found, asyncio.CancelledError) for found in finished] == [True, False] * 5
        assert [getattr(found, "code", None) for found in finished[1::2]] == ["OK"] * 5
        assert (await remote.ask(query))["data"]["lifts"]["nodes"]


async def test_sources_are_recorded_before_the_answer_leaves(remote: Remote):
    """Beside the data statement's record stands one that names every source asked, and how it went."""
    await remote.ask("{ lifts(first: 1) { nodes { liftNo } } }")
    assert await remote.records() == [("lifts", "")]
    await remote.ask("{ a: lifts { nodes { reading { count } } } b: lifts { nodes { alarms { code } } } }")
    found = await remote.records()
    assert sorted(root for root, _ in found) == ["a", "b", "sources"]
    assert orjson.loads(dict(found)["sources"]) == {"alarms": "ok", "monitor": "ok"}
    assert found[-1][0] == "sources"


async def test_an_answer_that_cannot_be_recorded_does_not_leave(remote_database: str):
    """If the second record cannot be written, the remote values do not leave, nor anything else."""
    connection = await asyncpg.connect(remote_database)
    async with opened_with(remote_database, Monitor("monitor"), Monitor("alarms")) as remote:
        await remote.ask("{ lifts { nodes { reading { count } } } }")
        await connection.execute("alter table audit.record add constraint no_sources check (sources = '') not valid")
        try:
            question = Question("{ lifts { nodes { liftNo reading { count } } } }", {}, None)
            answer = await remote.service.answer(question, COUNTY, "unrecorded")
            assert answer.status >= 500
            assert b'"data"' not in answer.body
        finally:
            await connection.execute("alter table audit.record drop constraint no_sources")
            await connection.close()
