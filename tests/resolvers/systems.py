"""Local systems in this process, of the product's own remote fields: what they know is written out by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from adapters.base import Fetch, Health, Rows, SourceState

FETCHED = datetime(2026, 9, 30, 8, tzinfo=UTC)


@dataclass
class System:
    """A source that has records of some services by key, a list where the service is one."""

    name: str
    covers: tuple[str, ...]
    known: Mapping[str, Mapping[str, Any]]
    deadline_seconds: float = 1.0
    keys_per_call: int = 100
    stale: bool = False
    delay: float = 0.0
    behave: Callable[[Fetch], Rows] | None = None
    asked: list[Fetch] = field(default_factory=list)

    @property
    def services(self) -> Mapping[str, int]:
        """What it knows anything of."""
        return dict.fromkeys(self.known, self.keys_per_call)

    def state(self) -> SourceState:
        """Nothing but who it is."""
        return SourceState(
            self.name, f"{self.name}系统", "rest", self.covers, tuple(self.services), Health.UP, calls=len(self.asked)
        )

    async def fetch(self, fetch: Fetch) -> Rows:
        """Its records, with fields that nobody asked for."""
        self.asked.append(fetch)
        await asyncio.sleep(self.delay)
        if self.behave is not None:
            return self.behave(fetch)
        records = {key: self.known[fetch.service][key] for key in fetch.keys if key in self.known[fetch.service]}
        if fetch.window is None:
            return Rows(records, fetched_at=FETCHED, stale=self.stale)
        after = fetch.window.after
        lists = {key: [r for r in listed if after is None or behind(r, after)] for key, listed in records.items()}
        ended = frozenset(key for key in fetch.keys if len(lists.get(key, ())) <= fetch.window.first)
        cut = {key: listed[: fetch.window.first] for key, listed in lists.items()}
        return Rows({}, cut, ended, fetched_at=FETCHED, stale=self.stale)


def behind(record: Mapping[str, Any], after: Sequence[str]) -> bool:
    """Whether an inspection comes after a boundary: latest first, then by number."""
    day, number = str(record["inspected_on"]), str(record["inspection_no"])
    return day < after[0] or (day == after[0] and number > after[1])


def inspection(number: str, day: str, **facts: object) -> dict[str, Any]:
    """A live inspection."""
    return {"inspection_no": number, "inspected_on": day, "finding_count": 1, "unasked": "UNASKED", **facts}
