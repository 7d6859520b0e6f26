"""A source of one kind of our own: a driver that answers from a script, and the configuration around it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.base import Fetch, SourceError
from adapters.configuration import AttributeMapping, BreakerLimits, NoSigner, RestService, RestSource
from adapters.driver import Answer, RawRecord
from adapters.guard import GuardedSource
from schema.registry import Registry, load_registry

REGISTRY = load_registry()
STATUS, INSPECTIONS, IDENTITY = "Project.siteStatus", "Project.liveInspections", "Person.identityCheck"
KEYS = tuple(f"33010626031801{n:02}" for n in range(1, 6))
ABSENT = "3301062603180199"
CHANGED = "2026-09-16T08:30:00+08:00"

Step = Callable[[Fetch], Awaitable[Answer]]


def site(key: str, **changed: object) -> RawRecord:
    """A site's status in local words."""
    raw: dict[str, object] = {"bh": key, "zt": "在建", "mc": f"工程{key[-2:]}", "aqy": "王小明", "gxsj": CHANGED}
    return raw | changed


def inspection(key: str, number: int, day: str) -> RawRecord:
    """A visit to a site in local words."""
    return {"bh": key, "jcbh": f"JC{number:04}", "jcrq": day, "jg": "安监站"}


def service(kind: str, **limits: Any) -> RestService:
    """How one of the three services is read."""
    by_kind = {
        STATUS: {"state": AttributeMapping(source="zt", codes={"在建": "2"}), "name": AttributeMapping(source="mc"),
                 "safety_officer": AttributeMapping(source="aqy")},
        INSPECTIONS: {"inspection_no": AttributeMapping(source="jcbh"), "inspected_on": AttributeMapping(source="jcrq"),
                      "agency": AttributeMapping(source="jg")},
        IDENTITY: {"name": AttributeMapping(source="mc")},
    }  # fmt: skip
    as_of = AttributeMapping(source="gxsj") if kind == STATUS else None
    return RestService(path=f"/{kind}", key="bh", fields=by_kind[kind], as_of=as_of, **limits)


def configured(**changed: Any) -> RestSource:
    """A source of 浙江 with all three services and a short deadline."""
    given: dict[str, Any] = {
        "title": "浙江省工程质量安全监管系统",
        "covers": ("330000",),
        "address": "http://127.0.0.1:1",
        "networks": ("127.0.0.0/8",),
        "deadline_ms": 300,
        "breaker": BreakerLimits(failures=3, open_s=10),
        "signer": NoSigner(),
        "service": {STATUS: service(STATUS), INSPECTIONS: service(INSPECTIONS), IDENTITY: service(IDENTITY)},
    }
    return RestSource(**(given | changed))


@dataclass
class Script:
    """A driver that does the next step of its script at each call, and afterwards has all records."""

    steps: deque[Step] = field(default_factory=deque)
    openings: deque[Callable[[], Awaitable[object]]] = field(default_factory=deque)
    farewells: deque[Callable[[], Awaitable[object]]] = field(default_factory=deque)
    asked: list[tuple[Fetch, Sequence[str]]] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    inside: int = 0
    most_inside: int = 0

    def then(self, *steps: Step) -> None:
        """What it does next."""
        self.steps.extend(steps)

    async def open(self) -> None:
        """Open as the script says."""
        self.opened += 1
        if self.openings:
            await self.openings.popleft()()

    async def close(self) -> None:
        """Close as the script says."""
        self.closed += 1
        if self.farewells:
            await self.farewells.popleft()()

    async def read(self, _service: str, fetch: Fetch, wanted: Sequence[str]) -> Answer:
        """Note what is asked and do the next step."""
        self.asked.append((fetch, wanted))
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        try:
            return await (self.steps.popleft() if self.steps else everything)(fetch)
        finally:
            self.inside -= 1

    async def check(self) -> AsyncIterator[tuple[str, str]]:
        """One step."""
        yield "address", "loopback"


async def everything(fetch: Fetch) -> Answer:
    """Every asked record but the absent one."""
    await asyncio.sleep(0)
    keys = [key for key in fetch.keys if key != ABSENT]
    if fetch.service == INSPECTIONS:
        return Answer([inspection(key, n, f"2026-09-{n:02}") for key in keys for n in range(1, 4)])
    return Answer([site(key) for key in keys])


def answering(*records: RawRecord) -> Step:
    """A step that answers these."""

    async def step(_fetch: Fetch) -> Answer:
        return Answer(records)

    return step


def failing(error: BaseException) -> Step:
    """A step that fails."""

    async def step(_fetch: Fetch) -> Answer:
        raise error

    return step


async def hanging(_fetch: Fetch) -> Answer:
    """A step that never ends by itself."""
    await asyncio.Event().wait()
    raise AssertionError


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Guarded:
    """A guarded source over a script, with what its observer was told."""

    script: Script
    source: GuardedSource
    clock: Clock
    seen: list[tuple[str, str, str, float]]

    @property
    def outcomes(self) -> list[str]:
        """Outcomes in order."""
        return [outcome for _, _, outcome, _ in self.seen]

    async def ask(self, *keys: str, fields: tuple[str, ...] = ("state", "name"), **more: Any) -> Any:
        """A fetch of the sites' status, or of another `service`."""
        kind = more.pop("service", STATUS)
        return await self.source.fetch(Fetch(kind, keys or KEYS[:1], fields, **more))

    async def fails(self, **more: Any) -> SourceError:
        """The failure of a fetch."""
        try:
            await self.ask(**more)
        except SourceError as error:
            return error
        raise AssertionError("it was answered")


def lone(**changed: Any) -> Guarded:
    """A guarded source of one service, whose breaker is therefore the source's."""
    return guarded(service={STATUS: service(STATUS)}, **changed)


def guarded(registry: Registry = REGISTRY, **changed: Any) -> Guarded:
    """A guarded source whose breaker and copies go by a clock of their own."""
    script, clock, seen = Script(), Clock(), list[tuple[str, str, str, float]]()
    config = configured(**changed)
    source = GuardedSource("zhejiang", config, script, registry, lambda *told: seen.append(told), clock)
    return Guarded(script, source, clock, seen)
