"""A door to a counterpart of exact bytes, for tests of what it lets in."""

from __future__ import annotations

import pytest

from adapters.base import SourceError
from adapters.configuration import SourceBase
from adapters.http import HttpDoor
from tests.adapters.rest.wire import Say, wire

LOOPBACK = ("127.0.0.0/8",)
SECRET = "citizen-110101199003070000"  # stands for whatever a source must not get into our logs


def base(address: str, **more: object) -> SourceBase:
    """A source's settings."""
    settings = {"title": "试", "covers": ("330000",), "address": address, "networks": LOOPBACK, "deadline_ms": 400}
    return SourceBase(**{**settings, **more})  # type: ignore[arg-type]


async def ask(door: HttpDoor, path: str = "/records", **query: str) -> object:
    """One plain call."""
    return await door.ask("GET", path, query=query, headers={}, body=None, content_type="")


async def answered(say: Say, **more: object) -> object:
    """What the door makes of one answer, by the declared settings."""
    async with wire(say) as counterpart:
        door = HttpDoor("zj", base(counterpart.address, **more))
        try:
            return await ask(door, id=SECRET)
        finally:
            await door.aclose()
            await counterpart.quiet()


async def failure(say: Say, **more: object) -> SourceError:
    """The error that one answer gives."""
    with pytest.raises(SourceError) as caught:
        await answered(say, **more)
    assert SECRET not in str(caught.value)
    return caught.value
