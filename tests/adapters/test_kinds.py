"""The contract of sources, run for every kind against a counterpart system in a process of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from adapters.configuration import BreakerLimits, Configuration, FrontSource
from adapters.configured import load_configuration
from adapters.guard import GuardedSource
from adapters.mapping import RecordMapping
from adapters.sources import check, driver_of
from demo.counterparts.facts import visits
from demo.seed import wellknown as known
from tests.adapters.contract import REGISTRY, Listed, Peer, Single, SourceContract

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.counterparts import Counterparts

STATUS, MONITORING, INSPECTIONS = "Project.siteStatus", "LiftingMachine.monitoring", "Enterprise.liveInspections"
FAILURES, REST_S = 3, 1.0
OVER_HTTP: dict[str, tuple[str, dict[str, Any]]] = {
    "slow": ("SOURCE_TIMEOUT", {"seconds": 5}),
    "drip": ("SOURCE_TIMEOUT", {}),
    "error": ("SOURCE_UNAVAILABLE", {"status": 503}),
    "busy": ("SOURCE_BUSY", {}),
    "cut": ("SOURCE_UNAVAILABLE", {}),
    "html": ("SOURCE_BAD_SHAPE", {}),
    "charset": ("SOURCE_BAD_SHAPE", {}),
    "gigantic": ("SOURCE_BAD_SHAPE", {"megabytes": 6}),
    "bomb": ("SOURCE_BAD_SHAPE", {"megabytes": 16}),
    "deep": ("SOURCE_BAD_SHAPE", {"depth": 1000}),
    "redirect": ("SOURCE_REFUSED", {}),
    "expired": ("SOURCE_REFUSED", {}),
    "success_error": ("SOURCE_REFUSED", {}),
}
OVER_SQL: dict[str, tuple[str, dict[str, Any]]] = {
    "slow": ("SOURCE_TIMEOUT", {"seconds": 5}),
    "drip": ("SOURCE_TIMEOUT", {}),
    "freeze": ("SOURCE_TIMEOUT", {}),
    "cut": ("SOURCE_UNAVAILABLE", {}),
    "refuse": ("SOURCE_UNAVAILABLE", {}),
    "expired": ("SOURCE_REFUSED", {}),
    "gigantic": ("SOURCE_BAD_SHAPE", {"megabytes": 6}),
    "missing": ("SOURCE_BAD_SHAPE", {"column": "xmmc"}),
}


@pytest.fixture(scope="module")
def configuration(counterparts: Counterparts) -> Configuration:
    """What leads to them."""
    return load_configuration(counterparts.sources, REGISTRY)


class OfKind(SourceContract):
    """The contract for one counterpart."""

    name: str
    province: str
    single_fields: tuple[str, ...] = ("state", "name", "progress")
    service: str = STATUS
    keys: tuple[str, ...]
    absent: str = known.PROJECT_ELSEWHERE
    there: tuple[str, str] = (STATUS, INSPECTIONS)
    first: int
    peculiar: ClassVar[dict[str, Any]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Each failure that the kind can have."""
        if "misbehaviour" in metafunc.fixturenames:
            metafunc.parametrize("misbehaviour", sorted(self.peculiar.get("misbehaviours", OVER_HTTP)))

    @pytest.fixture
    async def peer(self, counterparts: Counterparts, configuration: Configuration) -> AsyncIterator[Peer]:
        """The counterpart as new, and a source of ours over it."""
        handle = counterparts.systems[self.name]
        handle.reset()
        config = msgspec.structs.replace(
            configuration.source[self.name],
            deadline_ms=900, stale_s=0, breaker=BreakerLimits(failures=FAILURES, open_s=REST_S),
        )  # fmt: skip
        source = GuardedSource(self.name, config, driver_of(self.name, config, REGISTRY), REGISTRY, lambda *_: None)
        # Of a statement, the counterpart notes the schema's name as it does a column's.
        schema = frozenset({config.schema} if isinstance(config, FrontSource) else ())
        mapping = RecordMapping(self.name, self.service, config.service[self.service], config, REGISTRY)
        peer = Peer(
            source,
            handle,
            Single(
                self.service, self.there[0], self.keys, self.absent, self.single_fields,
                schema.union(mapping.wanted(self.single_fields[:1])),
            ),
            Listed(
                INSPECTIONS, known.CONTRACTOR, known.ENTERPRISE_NO_PROJECTS, ("inspected_on", "inspection_no"),
                tuple(visit.no for visit in visits(self.province)), self.first,
            ),
            failures=FAILURES,
            rest_s=REST_S,
            misbehaviours=OVER_HTTP,
        )  # fmt: skip
        yield replace(peer, **self.peculiar)
        await source.close()
        handle.reset()

    async def test_an_operator_can_check_it(self, peer: Peer, configuration: Configuration):
        """Every step, down to the mapping of each service's probe."""
        found = {step: said async for step, said in check(self.name, configuration, REGISTRY)}
        mapped = [said for step, said in found.items() if step.startswith("mapping")]
        assert len(mapped) == len(peer.source.services)
        assert not any(": 0;" in said for said in mapped), "every probe is found"


class TestZhejiang(OfKind):
    """REST, secrets that expire, nested records."""

    name, province, first = "zhejiang", "33", 13
    service, there = MONITORING, (MONITORING, INSPECTIONS)
    single_fields = ("device_no", "online", "wind_speed", "measured_at")
    keys, absent = (known.MACHINE_HANGZHOU,), known.MACHINE_SHENZHEN


class TestHubei(OfKind):
    """REST in GB18030, by pages, asked for fields by name."""

    name, province, first = "hubei", "42", 35
    keys = (known.PROJECT_COUNTY, known.PROJECT_CITY, known.PROJECT_MANY_INSPECTIONS, known.NAME_EMOJI)


@pytest.mark.prove
class TestJiangsu(OfKind):
    """The same make in other words."""

    name, province, first = "jiangsu", "32", 7
    keys = (known.PROJECT_NANJING,)


class TestGuangdong(OfKind):
    """A subgraph."""

    name, province, first = "guangdong", "44", 11
    keys = (known.PROJECT_SHENZHEN,)
    # What it is asked are references to records, one each: more than those were not asked, and none is another's.
    peculiar: ClassVar[dict[str, Any]] = {
        "misbehaviours": OVER_HTTP | {"extra": ("SOURCE_BAD_SHAPE", {})},
        "harmless": ("reorder",),
        "mixes_keys": False,
    }


class TestShandong(OfKind):
    """A front-end database."""

    name, province, first = "shandong", "37", 23
    keys = (known.PROJECT_JINAN,)
    there = ("370000_SPGL_XMJGXXB", "370000_SPGL_XMJCXXB")
    peculiar: ClassVar[dict[str, Any]] = {
        "misbehaviours": OVER_SQL,
        "down": "refuse",
        "harmless": ("extra",),
        "mixes_keys": False,
    }
