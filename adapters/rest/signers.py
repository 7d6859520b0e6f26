"""The signer of a source by the family that its configuration names."""

from __future__ import annotations

from collections.abc import Callable

from adapters.configuration import ClientSigner, GatewaySigner, IrsSigner, NoSigner
from adapters.http import HttpDoor
from adapters.rest.client import XClientSigner
from adapters.rest.gateway import NationalSigner
from adapters.rest.irs import IrsTokenSigner
from adapters.rest.signer import Signer

SignerConfiguration = GatewaySigner | IrsSigner | ClientSigner | NoSigner


def open_signer(name: str, config: SignerConfiguration, door: HttpDoor, credentials: Callable[[str], str]) -> Signer:
    """The signer of the source `name`; raises what `credentials` raises for a reference that cannot be read."""
    match config:
        case GatewaySigner():
            return NationalSigner(name, door, config, credentials(config.key))
        case IrsSigner():
            return IrsTokenSigner(name, door, config, credentials(config.app_key), credentials(config.app_secret))
        case ClientSigner():
            return XClientSigner(door, credentials(config.client_id), credentials(config.secret))
        case NoSigner():
            return Signer(door)
