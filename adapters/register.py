"""The register of sources as a source itself: what this process knows of the others, by region."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from adapters.base import Fetch, Health, Record, Rows, Source, SourceState
from schema.regions import MINISTRY, prefix

SERVICE: Final = "Region.sources"
_TRANSPORTS = {"rest": "REST", "subgraph": "SUBGRAPH", "front": "FRONT_DB"}


class SourceRegister:
    """Answers `Region.sources`: the sources that have records of a region; all of them for the whole country."""

    name = "zlaq"
    deadline_seconds = 5.0
    covers = (MINISTRY,)

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self._sources = sources
        self.services: Mapping[str, int] = {SERVICE: 100}

    def state(self) -> SourceState:
        """Always there, and never one of its own records."""
        return SourceState(self.name, "", "", self.covers, (SERVICE,), Health.UP)

    async def fetch(self, fetch: Fetch) -> Rows:
        """The states of this moment, by region."""
        states = [source.state() for _, source in sorted(self._sources.items())]
        lists = {
            code: [_record(state, fetch.fields) for state in states if _serves(state, code)] for code in fetch.keys
        }
        return Rows({}, lists, frozenset(fetch.keys), datetime.now(UTC))


def _serves(state: SourceState, code: str) -> bool:
    own = prefix(code)
    return any(own.startswith(prefix(covered)) or prefix(covered).startswith(own) for covered in state.covers)


def _record(state: SourceState, fields: tuple[str, ...]) -> Record:
    known: dict[str, object] = {
        "name": state.name,
        "title": state.title,
        "transport": _TRANSPORTS.get(state.kind),
        "covers": [*state.covers],
        "services": [*state.services],
        "health": state.health,
        "breaker": state.breaker,
        "calls": state.calls,
        "failures": state.failures,
        "latency_ms": state.latency_ms,
        "last_success_at": _text(state.last_success_at),
        "last_failure": state.last_failure,
        "fresh_as_of": _text(state.fresh_as_of),
        "unmapped": [" ".join((coordinate, why, str(count))) for coordinate, why, count in state.unmapped],
    }
    return {name: known[name] for name in fields}


def _text(instant: datetime | None) -> str | None:
    return instant.isoformat() if instant else None
