"""The counterparts, put back to the beginning before each test, and the product over them as they are configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.federation.asking import Federation, federation, reset

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.counterparts import Counterparts


@pytest.fixture(autouse=True)
def _fresh(counterparts: Counterparts) -> None:
    reset(counterparts)


@pytest.fixture(scope="session")
async def product(database: str, counterparts: Counterparts) -> AsyncIterator[Federation]:
    """The product over sources.toml as it stands, for tests that spoil nothing."""
    async with federation(database, counterparts) as opened:
        yield opened
