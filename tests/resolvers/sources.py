"""Other systems' sources, in this process and behaving as told, the rows that refer to them, and what may be seen.

What is expected is computed here from the rows and from what the sources know, by rules written out by hand, so that
neither the splice nor the policy is asked about itself.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
import orjson

from adapters.base import Fetch, Health, Rows, SourceState
from demo.seed import wellknown
from policy.subject import Level, Subject, territory_of
from server.pipeline import Question
from server.service import Service
from server.settings import Settings
from tests.declared.tables import PACKAGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

HOME, AWAY, DEPT = wellknown.WUCHANG, "330106", wellknown.HOUSING_WUCHANG
COUNTY = Subject("county", Level.COUNTY, "HOUSING", territory_of([HOME]), dept=DEPT)
HOSTILE = (
    '"', '\\', '\\"', '"}]},{"reading":null', "0123456789abcdef0123456789abcdef|0|0.0.0||K1",
    '"deadbeef|c|["x"]"', "|0|",
    "\\u0022|0|", "第一行\n第二行\t\x01", "𠮷\u202e\u2028", "{}", "null", "%s%(x)s{0}$1", "'", "]", "c|", "",
)  # fmt: skip
"""Names of the rows around the tokens."""
SERVICES = ("Lift.reading", "Lift.innerReading", "Lift.score")


@dataclass
class Monitor:
    """A source that knows a record of every key but some, notes what it is asked, and misbehaves as told."""

    name: str
    deadline_seconds: float = 1.0
    covers: tuple[str, ...] = ("000000",)
    unknown: frozenset[str] = frozenset({"K9"})
    behave: Callable[[Fetch, dict[str, Any]], Any] | None = None
    delay: float = 0.0
    asked: list[Fetch] = field(default_factory=list)

    @property
    def services(self) -> Mapping[str, int]:
        """Alarms from the source of that name, everything else from the other."""
        return {"Lift.alarms": 100} if self.name == "alarms" else dict.fromkeys(SERVICES, 100)

    def state(self) -> SourceState:
        """Nothing but who it is."""
        return SourceState(self.name, self.name, "rest", self.covers, tuple(self.services), Health.UP)

    async def fetch(self, fetch: Fetch) -> Rows:
        """Records in another order than asked, with fields that nobody asked for."""
        self.asked.append(fetch)
        await asyncio.sleep(self.delay)
        values = {key: self.record(fetch.service, key) for key in sorted(fetch.keys, reverse=True)}
        values = {key: value for key, value in values.items() if key not in self.unknown}
        if self.behave is not None:
            answer: Rows = self.behave(fetch, values)
            return answer
        return Rows({}, values, frozenset(fetch.keys)) if fetch.window else Rows(values)

    @staticmethod
    def record(service: str, key: str) -> Any:
        """What the source knows by a key: everything, whatever was asked."""
        if service == "Lift.alarms":
            return [alarm(key, number) for number in range(int(key[1:]) % 3)]
        return reading(key)

    def calls(self) -> Counter[tuple[str, tuple[str, ...]]]:
        """How often each group of service and fields was asked for."""
        return Counter((fetch.service, fetch.fields) for fetch in self.asked)


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
        for item in ([] if key == "K9" else Monitor.record("Lift.alarms", key))
    ]


READING = "{ weight count takenAt note operator operatorNo fault __typename }"
ALARMS = "{ code remark }"


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
