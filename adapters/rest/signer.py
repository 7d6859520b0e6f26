"""What every signing family has: a signature for a call, and another try after the source refused one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from adapters.base import SourceRefused
from adapters.http import HttpDoor
from adapters.rest.secret import Secret

_CLOCK_MOVED_MS = 30_000
"""Platforms accept five to ten minutes, so a smaller difference refuses nobody."""
_FRUITLESS_S = 60.0
_TIMES = 3
"""A call may be refused for the clock, and then for the secret."""
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True)
class Signature:
    """What is added to one call, and what it was made with."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    skew_ms: int = 0
    secret: int = 0
    """Which of the secrets that follow each other; 0 where there is one for good."""


class Signer:
    """Signs calls of one source, which knows us by the network alone where this class itself is used."""

    def __init__(self, door: HttpDoor, secret: Secret | None = None) -> None:
        self._door = door
        self._renewable = secret
        self._fruitless: dict[str, float] = {}

    async def sign(self, sid: str) -> Signature:  # noqa: ARG002 - only the gateway signs the service
        """The signature for a call of a service; raises `SourceError` if there is no secret to sign with."""
        return Signature(skew_ms=self._door.skew_ms)

    async def close(self) -> None:
        """Cancel a renewal under way."""
        if self._renewable is not None:
            await self._renewable.close()

    async def ask(self, service: str, sid: str, send: Callable[[Signature], Awaitable[Answered]]) -> Answered:
        """Send a signed call of a service; again with a new signature where it is refused and that may help."""
        for left in reversed(range(_TIMES)):
            signature = await self.sign(sid)
            try:
                answer = await send(signature)
            except SourceRefused:
                if not left or not await self._renew(service, signature):
                    raise
            else:
                self._fruitless.pop(service, None)
                return answer
        raise AssertionError("the last time either answers or raises")

    async def _issued(self, send: Callable[[], Awaitable[Answered]]) -> Answered:
        """A call for a secret; once more if it is refused and the source's clock proves to differ."""
        skew = self._door.skew_ms
        try:
            return await send()
        except SourceRefused:
            if abs(self._door.skew_ms - skew) <= _CLOCK_MOVED_MS:
                raise
            return await send()

    async def _renew(self, service: str, refused: Signature) -> bool:
        """Whether the source refused for its clock, which it has told since, or for a secret, which is renewed.

        Refusals seldom say why. A renewal that did not help a service is not tried again for a minute, so that a
        service that refuses for another reason does not renew with each call.
        """
        if abs(self._door.skew_ms - refused.skew_ms) > _CLOCK_MOVED_MS:
            return True
        secret = self._renewable
        if secret is None:
            return False
        if secret.number == refused.secret:
            now = asyncio.get_running_loop().time()
            if now - self._fruitless.get(service, -_FRUITLESS_S) < _FRUITLESS_S:
                return False
            await secret.replace(refused.secret)
            self._fruitless[service] = now
        return True
