"""Values of other systems: keys grouped per source, batched and de-duplicated by aiodataloader, within one deadline.

A loader lives for one request. Its batch function never raises and owns the only deadline, because an exception or a
cancellation inside a batch would leave every other waiter of it hanging; callers await shielded futures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiodataloader import DataLoader

from adapters.base import Fetch, Rows, Source, SourceBadShape, SourceError, SourceFailure, SourceTimeout

_KEYS_PER_BATCH = 100
Outcome = Rows | SourceFailure


class RecordsBySource(DataLoader[str, Outcome]):
    """Records of one type from one source, with one set of fields, for one request."""

    def __init__(self, source: Source, type_name: str, fields: tuple[str, ...], until: float) -> None:
        super().__init__(max_batch_size=_KEYS_PER_BATCH)
        self._source = source
        self._type = type_name
        self._fields = fields
        self._until = until

    async def batch_load_fn(self, keys: list[str]) -> list[Outcome]:
        """One call for these keys; the outcome is shared, each caller takes its own key from it."""
        source = self._source
        deadline = min(source.deadline_seconds, self._until - asyncio.get_running_loop().time())
        outcome: Outcome
        try:
            async with asyncio.timeout(max(deadline, 0)):
                answer: Any = await source.fetch(Fetch(source.name, self._type, tuple(keys), self._fields))
            well_shaped = isinstance(answer, Rows) and isinstance(answer.values, Mapping)
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
        return [outcome] * len(keys)


class RemoteRecords:
    """The loaders of one request, made as they are needed."""

    def __init__(self, sources: Mapping[str, Source], until: float) -> None:
        self._sources = sources
        self._until = until
        self._loaders: dict[tuple[str, str, tuple[str, ...]], RecordsBySource] = {}
        self.outcomes: dict[str, str] = {}

    async def load(self, wanted: Sequence[tuple[str, str, tuple[str, ...], str]]) -> list[Outcome]:
        """Outcomes for (source, type, fields, key), in order; batches run side by side."""
        futures = [asyncio.ensure_future(self._one(*item)) for item in wanted]
        if futures:
            await asyncio.shield(asyncio.wait(futures))
        results = [future.result() for future in futures]
        for (source, *_), outcome in zip(wanted, results, strict=True):
            said = outcome.error.name if isinstance(outcome, SourceFailure) else "ok"
            self.outcomes[source] = said if self.outcomes.get(source, "ok") == "ok" else self.outcomes[source]
        return results

    async def _one(self, source_name: str, type_name: str, fields: tuple[str, ...], key: str) -> Outcome:
        source = self._sources.get(source_name)
        if source is None or not source.answers(type_name, fields):
            return SourceFailure(source_name, SourceError(source_name))
        loader = self._loaders.setdefault(
            (source_name, type_name, fields), RecordsBySource(source, type_name, fields, self._until)
        )
        return await asyncio.shield(loader.load(key))
