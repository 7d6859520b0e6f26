"""Values of other systems: routed by region, batched and de-duplicated by aiodataloader, within one deadline.

A loader lives for one request. Its batch function never raises and owns the only deadline, because an exception or a
cancellation inside a batch would leave every other waiter of it hanging; callers await shielded futures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aiodataloader import DataLoader

from adapters.base import Fetch, Rows, Source, SourceBadShape, SourceError, SourceFailure, SourceTimeout
from schema.regions import MINISTRY, UNRESOLVED, ancestors

Outcome = Rows | SourceFailure


class Sources:
    """All sources of a process, and who answers for whom."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._by_service: dict[str, dict[str, Source]] = {}
        for source in sources.values():
            for service in source.services:
                for code in source.covers:
                    self._by_service.setdefault(service, {})[code] = source

    def route(self, service: str, manage: str) -> Source | None:
        """The source that covers a region most closely; `None` if none offers the service there."""
        offered = self._by_service.get(service, {})
        for code in (manage, *(ancestors(manage) if manage != UNRESOLVED else (MINISTRY,))):
            if code in offered:
                return offered[code]
        return None

    def across(self, service: str) -> dict[str, Source]:
        """Every source that offers the service, by name in order."""
        found = {source.name: source for source in self._by_service.get(service, {}).values()}
        return dict(sorted(found.items()))


class RecordsByKey(DataLoader[str, Outcome]):
    """Records of one service of one source, with one set of fields, for one request."""

    def __init__(
        self, source: Source, asked: Fetch, until: float, calls: dict[str, int], note: Callable[[str, Outcome], None]
    ) -> None:
        super().__init__(max_batch_size=source.services[asked.service])
        self._source = source
        self._asked = asked
        self._until = until
        self._calls = calls
        self._note = note

    async def batch_load_fn(self, keys: list[str]) -> list[Outcome]:
        """One call for these keys; the outcome is shared, each caller takes its own key from it."""
        source = self._source
        deadline = min(source.deadline_seconds, self._until - asyncio.get_running_loop().time())
        outcome: Outcome
        if deadline <= 0:
            # A call that could only be broken off would be held against the source.
            outcome = SourceFailure(source.name, SourceTimeout(source.name))
            self._note(source.name, outcome)
            return [outcome] * len(keys)
        self._calls[source.name] = self._calls.get(source.name, 0) + 1
        try:
            async with asyncio.timeout(deadline):
                answer: Any = await source.fetch(replace(self._asked, keys=tuple(keys)))
            well_shaped = isinstance(answer, Rows) and all(
                isinstance(given, Mapping) for given in (answer.values, answer.lists)
            )
            outcome = answer if well_shaped else SourceFailure(source.name, SourceBadShape(source.name))
        except asyncio.CancelledError:
            # Of the source's own making, unless somebody cancels this batch: left alone it would hang every waiter.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            outcome = SourceFailure(source.name, SourceError(source.name))
        except TimeoutError:
            outcome = SourceFailure(source.name, SourceTimeout(source.name))
        except SourceError as error:
            outcome = SourceFailure(source.name, error)
        except Exception:  # noqa: BLE001 - whatever an adapter does wrong must spoil its own keys only
            outcome = SourceFailure(source.name, SourceError(source.name))
        self._note(source.name, outcome)
        return [outcome] * len(keys)


@dataclass(frozen=True, slots=True)
class SourceUse:
    """What one request had of a source, for the audit and the answer's extensions."""

    outcome: str
    """"OK", "STALE", the catalogue's name of the first failure, or "ABANDONED" where nobody waited for the end."""
    calls: int


class RemoteRecords:
    """The loaders of one request, made as they are needed."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._loaders: dict[tuple[str, Fetch], RecordsByKey] = {}
        self._outcomes: dict[str, str] = {}
        self._calls: dict[str, int] = {}

    def load(self, source: Source, asked: Fetch, key: str) -> asyncio.Future[Outcome]:
        """The outcome of the batch that asks for this key; `asked` is the fetch without its keys. Await it shielded."""
        loader = self._loaders.get((source.name, asked))
        if loader is None:
            loader = RecordsByKey(source, asked, self._until, self._calls, self._note)
            self._loaders[source.name, asked] = loader
        return loader.load(key)

    def _note(self, source: str, outcome: Outcome) -> None:
        good = "STALE" if isinstance(outcome, Rows) and outcome.stale else "OK"
        said = outcome.error.name if isinstance(outcome, SourceFailure) else good
        if self._outcomes.get(source, "OK") in ("OK", "STALE"):
            self._outcomes[source] = said

    def spoiled(self, source: str, error: SourceError) -> None:
        """Note that a source's answer could not be shown."""
        self._note(source, SourceFailure(source, error))

    @property
    def used(self) -> dict[str, SourceUse]:
        """Every source asked, by name in order."""
        names = sorted(self._outcomes.keys() | self._calls.keys())
        return {name: SourceUse(self._outcomes.get(name, "ABANDONED"), self._calls.get(name, 0)) for name in names}
