"""The contract of sources, run against a system on loopback; and all sources of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.configuration import BreakerLimits
from adapters.guard import GuardedSource
from tests.adapters.contract import Listed, Peer, Single, SourceContract
from tests.adapters.scripted import ABSENT, INSPECTIONS, KEYS, REGISTRY, STATUS, configured
from tests.adapters.wire import LineDriver, LineSystem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VISITS = 20
MISBEHAVIOURS = {
    "slow": ("SOURCE_TIMEOUT", {"seconds": 3}),
    "drip": ("SOURCE_TIMEOUT", {}),
    "error": ("SOURCE_UNAVAILABLE", {"status": 503}),
    "busy": ("SOURCE_BUSY", {}),
    "expired": ("SOURCE_REFUSED", {}),
    "cut": ("SOURCE_UNAVAILABLE", {}),
    "charset": ("SOURCE_BAD_SHAPE", {}),
    "html": ("SOURCE_BAD_SHAPE", {}),
    "gigantic": ("SOURCE_BAD_SHAPE", {}),
}


class TestLines(SourceContract):
    """The simplest real kind."""

    @pytest.fixture(params=sorted(MISBEHAVIOURS))
    def misbehaviour(self, request: pytest.FixtureRequest) -> str:
        """Each failure of this kind."""
        return str(request.param)

    @pytest.fixture
    async def peer(self) -> AsyncIterator[Peer]:
        """A system that listens, and a source over it."""
        system = LineSystem(KEYS, VISITS)
        await system.start()
        config = configured(deadline_ms=300, concurrency=3, breaker=BreakerLimits(failures=3, open_s=0.3))
        source = GuardedSource("lines", config, LineDriver("lines", system.port), REGISTRY, lambda *_: None)
        visits = sorted(range(VISITS), key=lambda n: (-(n // 3), n))
        yield Peer(
            source,
            system,
            Single(STATUS, STATUS, KEYS, ABSENT, ("state", "name"), frozenset({"bh", "zt", "gxsj"})),
            Listed(
                INSPECTIONS, KEYS[2], ABSENT, ("inspected_on", "inspection_no"),
                tuple(f"JC{n * 10 + 2:04}" for n in visits), 6,
            ),
            failures=3,
            rest_s=0.3,
            misbehaviours=MISBEHAVIOURS,
        )  # fmt: skip
        await source.close()
        await system.stop()
