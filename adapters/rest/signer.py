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
_PAUSE_S = 2.0
"""A service that refuses for another reason renews no more often, and a secret that ends early is missed no longer."""
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
        self._paused: dict[str, float] = {}

    async def sign(self, sid: str) -> Signature:  # noqa: ARG002 - only the gateway signs the service
        """The signature for a call of a service; raises `SourceError` if there is no secret to sign with."""
        return Signature(skew_ms=self._door.skew_ms)

    async def close(self) -> None:
        """Cancel a renewal under way."""
        if self._renewable is not None:
            await self._renewable.close()

    async def ask(self, service: str, sid: str, send: Callable[[Signature], Awaitable[Answered]]) -> Answered:
        """Send a signed call of a service; again with a new signature where it is refused and that may help."""
        refused: set[int] = set()
        for left in reversed(range(_TIMES)):
            signature = await self.sign(sid)
            try:
                answer = await send(signature)
            except SourceRefused:
                if not left or not await self._renew(service, signature):
                    raise
                refused.add(signature.secret)
            else:
                if refused - {signature.secret}:
                    # The renewal helped this very call; that others succeed says nothing about it.
                    self._paused.pop(service, None)
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

        Refusals seldom say why. Unless a renewal helps, the service's next one is a few seconds off: it may refuse for
        another reason, and the secret may end all the same.
        """
        if abs(self._door.skew_ms - refused.skew_ms) > _CLOCK_MOVED_MS:
            return True
        secret = self._renewable
        if secret is None:
            return False
        if secret.number == refused.secret:
            now = asyncio.get_running_loop().time()
            if now < self._paused.get(service, now):
                return False
            await secret.replace(refused.secret)
            self._paused[service] = now + _PAUSE_S
        return True
