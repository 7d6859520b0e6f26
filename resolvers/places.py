"""Places in an answer that wait for other systems, and what comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.base import Fetch, Source, SourceError
from resolvers.plan import Statement
from resolvers.remote_values import Lead
from resolvers.slots import RemoteSlot, Sight, path_of
from resolvers.splice import Token

Path = tuple[str | int, ...]
Answers = dict[int, Sequence[bytes | None]]
"""What each statement that has run answered, by its place in the plan."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """A remote value that could not be had."""

    path: Path
    error: SourceError


@dataclass(slots=True)
class Value:
    """What a token is replaced by: ready to be written once its leads are filled."""

    shown: Any = None
    leads: Sequence[Lead] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A token's place in the answer; where it stands is worked out only when it must be said."""

    statement: Statement
    slot: RemoteSlot
    token: Token
    places: Sequence[Path]

    @property
    def path(self) -> Path:
        """The response path."""
        if self.statement.after is None:
            return tuple(path_of(self.slot.path, self.token.ordinals))
        # The first position is that of the record that was led to; its own place was noted when its key came.
        position, *rest = self.token.ordinals
        return (*self.places[position], *path_of(self.slot.path[len(self.statement.after) :], rest))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a token's key is asked of, for what, and what may be seen of the answer."""

    source: Source
    fetch: Fetch
    sight: Sight


@dataclass(frozen=True, slots=True)
class Begun:
    """A token whose key has been asked for; without `wanted` it is a walk, whose future is its value."""

    place: Place
    wanted: Wanted | None
    future: asyncio.Future[Any]


async def together(
    run: Callable[[int], Coroutine[Any, Any, Sequence[bytes | None]]], indexes: Sequence[int]
) -> Answers:
    """Statements side by side. All end before the first failure is reported, so that none runs on behind a finished
    request."""
    if len(indexes) == 1:
        return {indexes[0]: await run(indexes[0])}
    results = await asyncio.gather(*(run(index) for index in indexes), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return {i: r for i, r in zip(indexes, results, strict=True) if not isinstance(r, BaseException)}
