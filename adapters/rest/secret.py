"""A secret that ends: obtained by one task however many calls wait, and renewed while the old one still holds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from adapters.base import SourceError


@dataclass(frozen=True, slots=True)
class Held:
    """A secret and the instants, by the clock of `Secret`, from which it should be renewed and at which it ends."""

    value: bytes = field(repr=False)
    renew_ms: float
    ends_ms: float
    number: int = 0


def held(value: bytes, now_ms: float, ends_ms: float, early_s: float) -> Held:
    """A secret that is renewed `early_s` before its end, but not before half of its life has passed."""
    return Held(value, max(ends_ms - early_s * 1000, (now_ms + ends_ms) / 2), ends_ms)


class Secret:
    """The current secret of one source; `obtain` asks the source for another one."""

    def __init__(self, name: str, obtain: Callable[[], Awaitable[Held]], now_ms: Callable[[], int]) -> None:
        self._name = name
        self._obtain = obtain
        self._now_ms = now_ms
        self._held: Held | None = None
        self._number = 0
        self._task: asyncio.Task[Held] | None = None

    async def current(self) -> Held:
        """A secret that holds; raises `SourceError` if none can be had."""
        now, known = self._now_ms(), self._held
        if known is None or now >= known.ends_ms:
            return await self._renewed()
        if now >= known.renew_ms:
            # Nobody waits while the old one holds, nor fails because the renewal does.
            self._started()
        return known

    @property
    def number(self) -> int:
        """That of the current secret; 0 before the first."""
        return self._number

    async def replace(self, number: int) -> None:
        """Get another secret than the numbered one, which was refused; one that a concurrent call got will do."""
        if self._number == number:
            await self._renewed()

    async def close(self) -> None:
        """Cancel a renewal under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _renewed(self) -> Held:
        task = self._started()
        # Not awaited itself: a caller whose own deadline passes leaves the renewal to the others.
        await asyncio.wait([task])
        if task.cancelled():
            raise SourceError(self._name, "closed while a secret was renewed")
        return task.result()

    def _started(self) -> asyncio.Task[Held]:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._next())
            self._task.add_done_callback(_seen)
        return self._task

    async def _next(self) -> Held:
        obtained = await self._obtain()
        self._number += 1
        self._held = replace(obtained, number=self._number)
        return self._held


def _seen(task: asyncio.Task[Held]) -> None:
    """Fetch the failure, which asyncio would otherwise report where every caller has gone."""
    if not task.cancelled():
        task.exception()
