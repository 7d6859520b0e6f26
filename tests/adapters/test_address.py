"""Where an address leads, and what becomes of everybody else while one source's name server is silent."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

import pytest

from adapters.address import AddressRefused, resolve
from adapters.base import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

NETWORKS = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
CALLERS = 60
"""More than the loop's own executor has threads."""


class NameServer:
    """Answers at once, but for silent.example, of which it says nothing until it may."""

    def __init__(self) -> None:
        self.speaks = threading.Event()
        self.asked: list[str] = []
        self.addresses = ["127.0.0.1"]

    def getaddrinfo(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        """In place of the system's."""
        self.asked.append(host)
        if host == "silent.example":
            self.speaks.wait(10)
        if host == "unknown.example":
            raise socket.gaierror(socket.EAI_NONAME, "unknown.example")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in self.addresses * 2]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """Name resolution of this process."""
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.speaks.set()


@pytest.mark.parametrize(("host", "found"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("0:0::1", "::1")])
async def test_addresses_need_no_name_server(names: NameServer, host: str, found: str):
    """They are checked like those that a name leads to."""
    assert await resolve("a", host, 80, NETWORKS) == (found,)
    with pytest.raises(AddressRefused):
        await resolve("a", host, 80, [ip_network("10.0.0.0/8")])
    assert names.asked == []


async def test_every_address_of_a_name_is_checked(names: NameServer):
    """Each once; a bad one among good ones spoils them all, and so does a name without any."""
    names.addresses = ["127.0.0.1", "127.0.0.2"]
    assert await resolve("a", "good.example", 80, NETWORKS) == ("127.0.0.1", "127.0.0.2")
    for addresses in (["127.0.0.1", "169.254.169.254"], ["::ffff:10.0.0.1"], []):
        names.addresses = addresses
        with pytest.raises(AddressRefused):
            await resolve("a", "good.example", 80, NETWORKS)
    for _ in range(2):
        with pytest.raises(SourceError, match="name not resolved: gaierror"):
            await resolve("a", "unknown.example", 80, NETWORKS)
    assert names.asked == ["good.example"] * 4 + ["unknown.example"] * 2, "anew each time"


async def test_a_silent_name_server_holds_its_own_source_only(names: NameServer):
    """One thread however many wait; others resolve at once; who gives up takes nothing from those who go on."""
    threads = threading.active_count()
    waiting = [asyncio.create_task(resolve("silent", "silent.example", 80, NETWORKS)) for _ in range(CALLERS)]
    await asyncio.sleep(0.05)
    assert threading.active_count() <= threads + 1
    assert names.asked == ["silent.example"]
    began = time.monotonic()
    assert await resolve("other", "good.example", 80, NETWORKS) == ("127.0.0.1",)
    await asyncio.to_thread(lambda: None)
    assert time.monotonic() - began < 0.5
    for task in waiting[: CALLERS // 2]:
        task.cancel()
    done, _ = await asyncio.wait(waiting[: CALLERS // 2], timeout=1)
    assert len(done) == CALLERS // 2
    names.speaks.set()
    assert await asyncio.gather(*waiting[CALLERS // 2 :]) == [("127.0.0.1",)] * (CALLERS // 2)
    await resolve("silent", "silent.example", 80, NETWORKS)
    assert names.asked.count("silent.example") == 2
