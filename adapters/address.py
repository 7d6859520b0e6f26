"""Where a source's address may lead: networks named in its configuration, checked again at every connection.

A name that resolves elsewhere tomorrow (DNS rebinding), or an address of our own house, is never connected to.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from ipaddress import IPv4Network, IPv6Network, ip_address

from adapters.base import SourceError

Network = IPv4Network | IPv6Network
_Place = tuple[str, str, int]

_looking: dict[_Place, Future[tuple[str, ...]]] = {}
"""Names that are being looked up, by source, host and port."""


class AddressRefused(SourceError):
    """The address leads outside the source's networks; no byte was sent."""


def allowed(address: str, networks: Sequence[Network]) -> bool:
    """Whether an IP address lies in one of the networks; an IPv4 address in IPv6's clothes counts as IPv4."""
    try:
        found = ip_address(address.split("%", 1)[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return any(mapped.version == network.version and mapped in network for network in networks)


async def resolve(source: str, host: str, port: int, networks: Sequence[Network]) -> tuple[str, ...]:
    """The addresses of a host that may be connected to; raises `AddressRefused` if one of them may not be.

    One bad address among good ones is refused too: which of them is used would be a matter of chance.
    """
    addresses: tuple[str, ...]
    try:
        addresses = (str(ip_address(host)),)
    except ValueError:
        try:
            addresses = await asyncio.wrap_future(_looked_up((source, host, port)))
        except OSError as error:
            raise SourceError(source, f"name not resolved: {type(error).__name__}") from None
    if not addresses or not all(allowed(address, networks) for address in addresses):
        raise AddressRefused(source, "the address leads outside its networks")
    return addresses


def _looked_up(place: _Place) -> Future[tuple[str, ...]]:
    """The one lookup of a name for a source: begun now in a thread of its own, unless one is under way.

    A name server that does not answer blocks `getaddrinfo` for many seconds, whoever still waits for it. In threads
    shared with other sources it would soon hold them all; here it holds one, and the process can end without it.
    """
    found = _looking.get(place)
    if found is None:
        found = _looking[place] = Future()
        # A caller that gives up must not cancel it for the others.
        found.set_running_or_notify_cancel()
        threading.Thread(target=_look_up, args=(place, found), name="resolve", daemon=True).start()
    return found


def _look_up(place: _Place, found: Future[tuple[str, ...]]) -> None:
    _, host, port = place
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is for those who wait
        del _looking[place]
        found.set_exception(error)
    else:
        del _looking[place]
        found.set_result(tuple(dict.fromkeys(str(answer[0]) for *_, answer in answers)))
