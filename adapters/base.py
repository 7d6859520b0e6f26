"""The port of every source, and the decided query tree: what was asked, already authorised, in the source's terms.

Everything here is plain data. A tree carries predicates whose values are `Ref`s, so one tree serves every subject
whose decision has the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from schema.officer import Officer
from schema.predicate import Predicate, Ref
from schema.registry import Entity, Field


@dataclass(frozen=True, slots=True)
class Constant:
    """An output that does not depend on the row: `__typename`, or null for what is denied."""

    key: str
    json: str


@dataclass(frozen=True, slots=True)
class Cell:
    """An attribute: clear where `clear` holds, else masked where `masked` holds, else null."""

    key: str
    field: Field
    clear: Predicate
    masked: Predicate


@dataclass(frozen=True, slots=True)
class Group:
    """A value type's selected parts, shown only where `clear` holds."""

    key: str
    field: Field
    clear: Predicate
    parts: tuple[Cell | Constant, ...]


@dataclass(frozen=True, slots=True)
class GlobalId:
    """The Relay identifier, made of the type's name and the key."""

    key: str


@dataclass(frozen=True, slots=True)
class DisclosureList:
    """Per object: the fragments of those fields whose predicate holds, in selection order."""

    key: str
    items: tuple[tuple[Predicate, str], ...]


@dataclass(frozen=True, slots=True)
class Linked:
    """A to-one relation; `clear` decides about the local foreign key, the node's row about the other side."""

    key: str
    field: Field
    clear: Predicate
    node: Node


@dataclass(frozen=True, slots=True)
class Listed:
    """A to-many relation, limited and ordered."""

    key: str
    field: Field
    node: Node
    where: Predicate
    order: tuple[Sort, ...]
    limit: Limit


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A remote value below this row: an in-band token, written where `clear` holds, else null.

    `bits` are the predicates of the remote parts, evaluated on the governing local row and carried in the token; with
    `beside`, values of the row to compare with, the token's last part is a JSON array of the key and these.
    """

    key: str
    slot: int
    by: Field
    clear: Predicate
    bits: tuple[Predicate, ...]
    beside: tuple[Cell, ...] = ()


Output = Constant | Cell | Group | GlobalId | DisclosureList | Linked | Listed | Placeholder


@dataclass(frozen=True, slots=True)
class Sort:
    """One term of an order; NULLs come last whatever the direction."""

    field: Field
    descending: bool


@dataclass(frozen=True, slots=True)
class Limit:
    """How many rows: `literal` stands in the statement; `exact`, where the document uses a variable, narrows it."""

    literal: int
    exact: Ref | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One entity in the tree: which rows (`row`, from policy), what of them (`outputs`), how audited.

    `letter` names the node in the packed rows of the audit record; `verdicts` are the distinct conditional predicates
    of its cells, whose truth is recorded per row.
    """

    entity: Entity
    row: Predicate
    outputs: tuple[Output, ...]
    letter: str
    path: str
    """Where the node stands in the answer: response keys, dots between."""
    verdicts: tuple[Predicate, ...] = ()
    ordinal: bool = False
    """Whether rows must carry their position, because a remote value lies below."""


class PageItem(StrEnum):
    """What a connection may be asked for."""

    EDGES = "edges"
    NODES = "nodes"
    PAGE_INFO = "pageInfo"
    TOTAL_COUNT = "totalCount"


@dataclass(frozen=True, slots=True)
class PageOutput:
    """One selected field of a connection; `parts` are the selected fields below, by response key."""

    key: str
    item: PageItem | None
    json: str = ""
    parts: tuple[tuple[str, str], ...] = ()
    nodes: tuple[tuple[str, Node], ...] = ()
    """The rows' own selection (of `nodes`), or each selection of an edge's `node` by response key."""

    @property
    def ordinal(self) -> bool:
        """Whether rows must carry their position."""
        return any(node.ordinal for _, node in self.nodes)


@dataclass(frozen=True, slots=True)
class Boundary:
    """A cursor: the sort values (last is the key), or by key alone where `by_key` is true when bound."""

    by_key: Ref
    values: tuple[Ref, ...]


@dataclass(frozen=True, slots=True)
class PageQuery:
    """A root connection: rows that satisfy `where`, in `order` (the key last), from a boundary on."""

    entity: Entity
    row: Predicate
    where: Predicate
    order: tuple[Sort, ...]
    limit: Limit
    backward: bool
    boundary: Boundary | None
    outputs: tuple[PageOutput, ...]


@dataclass(frozen=True, slots=True)
class KeyQuery:
    """Records by key: `single` for one key a request, whose statement many requests share; else one list of keys."""

    node: Node
    keys: Ref
    single: bool
    positions: Ref | None = None
    """Where each key of a list stands in the answer, for the paths of remote values below."""


SourceQuery = PageQuery | KeyQuery
VERDICTS_PER_CHARACTER = 6
"""Verdicts of a row that one character of the packed audit rows holds: from '0' on, the first in the lowest bit."""
CURSOR_SLOT = "c"
"""Kind of an in-band token that carries a page boundary; remote values use their slot number."""


class AuditRecord(NamedTuple):
    """What the audit keeps of one root, never a personal value: `rows` are regions and verdicts of what was
    disclosed, packed by the decision's slot table; `sources` the JSON of who was asked, and what came of it."""

    request_id: str
    root: str
    subject: str
    document: str
    revision: str
    decision: str
    rows: str = ""
    sources: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """One page of an ordered list: at most `first` records strictly after a boundary (the order's values) or from the
    beginning, in the order that the list declares."""

    first: int
    after: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """One batch for a source: keys asked, fields asked (never more than may be shown), by their declared names.

    `service` is the coordinate of the remote field ("Project.siteStatus"). A list of several sources is asked for one
    key at a time, with a `window`; other lists with a window without boundary. `officer` and `reason` are set only for
    services bound to the calling officer.
    """

    service: str
    keys: tuple[str, ...]
    fields: tuple[str, ...]
    window: Window | None = None
    officer: Officer | None = None
    reason: str = field(default="", repr=False)


Record = Mapping[str, object]
"""Declared attribute names to values as JSON has them (a code is the official code, a list a list of texts), read again
by the declared types. Beside them `AS_OF` (ISO 8601 instant or None), `REGION` (supervision code, where the source
tells it) and `UNMAPPED` (names of attributes whose local value could not be mapped, sorted)."""
AS_OF, REGION, UNMAPPED = "@as_of", "@region", "@unmapped"


@dataclass(frozen=True, slots=True)
class Rows:
    """A source's answer; a key that is missing is a record that the source does not have.

    `values` has one record a key; `lists`, for a list, the records of a key in the declared order, and `ended` the keys
    behind whose records there are no more.
    """

    values: Mapping[str, Record]
    lists: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()
    fetched_at: datetime | None = None
    stale: bool = False


class SourceError(Exception):
    """Base of what can go wrong with a source; `name` is the entry of the error catalogue, `retryable` whether the same
    call may be made again at once. `reason` is for the operator's log: never a value from the source."""

    name = "SOURCE_UNAVAILABLE"
    retryable = False

    def __init__(self, source: str, reason: str = "") -> None:
        super().__init__(f"source {source}{': ' if reason else ''}{reason}")
        self.source = source
        self.reason = reason


class SourceUnreachable(SourceError):
    """No connection, a cut answer, or 502 to 504: worth another try."""

    retryable = True


class SourceTimeout(SourceError):
    """The source did not answer before its deadline."""

    name = "SOURCE_TIMEOUT"


class SourceRefused(SourceError):
    """The source does not accept us: signature, key, clock, right, or its own code for failure."""

    name = "SOURCE_REFUSED"


class SourceBusy(SourceError):
    """The source's rate limit (429), or too many of our own calls wait for it."""

    name = "SOURCE_BUSY"


class SourceBadShape(SourceError):
    """The source's answer is not of the declared types, too large, too deep, or not what it says it is."""

    name = "SOURCE_BAD_SHAPE"


class SourceNotConnected(SourceError):
    """No source that covers the record's region offers the service."""

    name = "SOURCE_NOT_CONNECTED"


class OfficerMissing(SourceError):
    """A service on persons was asked without officer (from the token) or without a reason."""

    name = "OFFICER_MISSING"


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """A batch that failed, as a value: it spoils its own keys only."""

    source: str
    error: SourceError


class Health(StrEnum):
    """State of a source as operators see it (catalogue DataSource.health)."""

    UP = "UP"
    DEGRADED = "DEGRADED"
    DOWN = "DOWN"
    UNKNOWN = "UNKNOWN"


class Breaker(StrEnum):
    """Whether calls go through, fail at once, or one is let through to see."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


@dataclass(frozen=True, slots=True)
class SourceState:
    """What this process knows of one source; counts since the process started."""

    name: str
    title: str
    kind: str
    covers: tuple[str, ...]
    services: tuple[str, ...]
    health: Health
    breaker: Breaker = Breaker.CLOSED
    calls: int = 0
    failures: int = 0
    latency_ms: int | None = None
    """Median of the latest calls."""
    last_success_at: datetime | None = None
    last_failure: str | None = None
    """Name in the error catalogue."""
    fresh_as_of: datetime | None = None
    """The newest data seen."""
    unmapped: tuple[tuple[str, str, int], ...] = ()
    """(coordinate of the attribute, why, how often): local values that no mapping covers."""


class Source(Protocol):
    """A system that answers by key."""

    @property
    def name(self) -> str:
        """Its name in the configuration and in `provenance`."""
        ...

    @property
    def deadline_seconds(self) -> float:
        """The longest that one fetch may take, retries included."""
        ...

    @property
    def covers(self) -> tuple[str, ...]:
        """Supervision codes of the regions whose records it has; ("000000",) is the whole country."""
        ...

    @property
    def services(self) -> Mapping[str, int]:
        """The services it offers, by coordinate, with the most keys of one call."""
        ...

    def state(self) -> SourceState:
        """What operators may know of it now."""
        ...

    async def fetch(self, fetch: Fetch) -> Rows:
        """Answer one batch; raises `SourceError`."""
        ...
