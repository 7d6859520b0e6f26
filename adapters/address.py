"""Where a source's address may lead: networks named in its configuration, checked again at every connection.

A name that resolves elsewhere tomorrow (DNS rebinding), or an address of our own house, is never connected to.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from adapters.base import SourceError

Network = IPv4Network | IPv6Network


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
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SourceError(source, f"name not resolved: {type(error).__name__}") from None
    addresses = tuple(dict.fromkeys(str(place[0]) for *_, place in found))
    if not addresses or not all(allowed(address, networks) for address in addresses):
        raise AddressRefused(source, "the address leads outside its networks")
    return addresses
