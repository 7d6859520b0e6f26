"""What a kind of source brings: how to open it, ask it and check it. Everything around a call (deadline, retries,
breaker, bulkhead, mapping, counts) is the same for all kinds and stands in `adapters.guard`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from adapters.base import Fetch

RawRecord = Mapping[str, object]
"""A record as the source sent it, decoded: its own names, JSON values (texts from a front-end database)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one fetch brought: records of all its keys, in any order unless there is a window."""

    records: Sequence[RawRecord]
    ended: bool = True
    """With a window: whether there is nothing behind these records."""


class Driver(Protocol):
    """One source of one kind; every method raises `SourceError`, and nothing else that the source could cause."""

    async def open(self) -> None:
        """Prepare for calls and check the contract as far as the kind can; called again after it failed."""
        ...

    async def close(self) -> None:
        """Give everything back."""
        ...

    async def read(self, service: str, fetch: Fetch, wanted: Sequence[str]) -> Answer:
        """Ask for the records of `fetch.keys` (at most the service's `keys_per_call`), and of them the raw names
        `wanted` (the key among them). One call of the source, but for pages of a window and renewed secrets."""
        ...

    def check(self) -> AsyncIterator[tuple[str, str]]:
        """The steps of getting in touch, each (title, what was found), in order; raises at the step that fails."""
        ...
