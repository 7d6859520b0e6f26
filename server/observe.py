"""What a process tells its operators: a closed set of events in the log, and metrics.

Never the text of a document, a variable, a value, a token or a subject's id: documents and subjects appear as digests.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from datetime import UTC, datetime
from enum import Enum, unique
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOGGER = logging.getLogger("zlaq")
Fact = str | int | float | bool | None


@unique
class Event(Enum):
    """What is logged: the level, and the names of its facts; each of them is always given."""

    STARTED = (logging.INFO, ("address", "revision"))
    STOPPED = (logging.INFO, ())
    REQUEST = (logging.INFO, ("request", "subject", "document", "status", "code", "ms"))
    FAILED = (logging.ERROR, ("request", "code", "exception"))
    SOURCE_FAILED = (logging.WARNING, ("source", "service", "code", "ms"))
    POLICY_PUBLISHED = (logging.INFO, ("revision", "rules"))
    POLICY_REFUSED = (logging.ERROR, ("revision", "findings"))
    AUDIT_FAILED = (logging.ERROR, ("exception",))

    def __init__(self, level: int, facts: tuple[str, ...]) -> None:
        self.level = level
        self.facts = facts


def logged(event: Event) -> bool:
    """Whether an event of this level is written at all."""
    return _LOGGER.isEnabledFor(event.level)


def log(event: Event, **facts: Fact) -> None:
    """Write an event. Raises `TypeError` unless exactly its facts are given: a log is an interface too."""
    if facts.keys() != set(event.facts):
        raise TypeError(f"{event.name} has the facts {', '.join(event.facts) or 'none'}")
    if logged(event):
        _LOGGER.log(event.level, event.name.lower(), extra={"facts": facts})


def log_failure(request: str, code: str, exception: BaseException) -> None:
    """Write that a request failed within: the type of the exception and where it arose, without its text.

    An exception's text may quote a row or a variable, so it is never written.
    """
    log(Event.FAILED, request=request, code=code, exception=outline(exception))


def outline(exception: BaseException) -> str:
    """The types and places of an exception and its causes, without any text of theirs.

    >>> outline(ValueError("the secret"))
    'ValueError'
    """
    parts: list[str] = []
    link: BaseException | None = exception
    while link is not None and len(parts) < 5:
        place, trace = "", link.__traceback__
        while trace is not None:
            code = trace.tb_frame.f_code
            place = f" at {trace.tb_frame.f_globals.get('__name__')}.{code.co_name}:{trace.tb_lineno}"
            trace = trace.tb_next
        parts.append(type(link).__name__ + place)
        link = link.__cause__ or link.__context__
    return "; from ".join(parts)


def digest(text: str) -> str:
    """Twelve characters that tell subjects and documents apart in a log without saying which they are."""
    return hashlib.blake2b(text.encode(), digest_size=6, person=b"zlaq-log").hexdigest()


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event and its facts.

    Records of other libraries keep their text only where the library logs no requests' data; they are marked.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Fact] = {"at": at, "level": record.levelname}
        facts: Mapping[str, Fact] | None = getattr(record, "facts", None)
        if record.name == _LOGGER.name and facts is not None:
            line |= {"event": record.getMessage(), **facts}
        else:
            line |= {"event": "library", "logger": record.name, "text": record.getMessage()}
            if record.exc_info and record.exc_info[1]:
                line["exception"] = outline(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False)


def configure(level: str) -> None:
    """Send all logging of the process to standard error as JSON lines; other libraries from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    _LOGGER.setLevel(level)


_EDGES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter("zlaq_requests", "Requests answered.", ("status", "code"), registry=own)
        self.seconds = Histogram("zlaq_request_seconds", "Time to answer a request.", registry=own, buckets=_EDGES)
        self.in_flight = Gauge("zlaq_requests_in_flight", "Requests being executed.", registry=own)
        self.waiting = Gauge("zlaq_requests_waiting", "Requests waiting for a turn.", registry=own)
        self.fetches = Counter("zlaq_source_fetches", "Batches asked of sources.", ("source", "outcome"), registry=own)
        self.fetch_seconds = Histogram(
            "zlaq_source_seconds", "Time of a batch.", ("source",), registry=own, buckets=_EDGES
        )
        self._counters: dict[tuple[int, str], Counter] = {}
        self.policy = Info("zlaq_policy", "The policy revision in force.", registry=own)

    def answered(self, status: int, code: str, seconds: float) -> None:
        """Count a request; `code` is of the error catalogue, or `OK`."""
        counter = self._counters.get((status, code))
        if counter is None:
            # Looking labels up costs as much as the rest of a small request's bookkeeping.
            counter = self._counters[status, code] = self.requests.labels(str(status), code)
        counter.inc()
        self.seconds.observe(seconds)

    def fetched(self, source: str, service: str, outcome: str, seconds: float) -> None:
        """Count a batch asked of a source; what failed is logged, without a word of the source's."""
        self.fetches.labels(source, outcome).inc()
        self.fetch_seconds.labels(source).observe(seconds)
        if outcome not in ("ok", "stale", "cancelled"):
            log(Event.SOURCE_FAILED, source=source, service=service, code=outcome, ms=round(seconds * 1000, 3))

    def exposition(self) -> bytes:
        """The body of `/metrics`, as text/plain; version=0.0.4."""
        return generate_latest(self.registry)
