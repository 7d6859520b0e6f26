"""The port of every source, and the decided query tree: what was asked, already authorised, in the source's terms.

Everything here is plain data. A tree carries predicates whose values are `Ref`s, so one tree serves every subject
whose decision has the same shape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

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

    `bits` are the predicates of the remote parts, evaluated on the governing local row and carried in the token.
    """

    key: str
    slot: int
    by: Field
    clear: Predicate
    bits: tuple[Predicate, ...]


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


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """What the audit keeps of one root: never a personal value. `rows` is written by the data statement."""

    request_id: str
    root: str
    subject: str
    document: str
    revision: str
    decision: str
    sources: str = ""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One batch for a remote source: keys asked, fields asked (never more than may be shown)."""

    source: str
    type: str
    keys: tuple[str, ...]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """A source's answer: key to fields; a missing key is a record that the source does not have."""

    values: Mapping[str, Mapping[str, object]]
    as_of: str | None = None


class SourceError(Exception):
    """Base of what can go wrong with a source; `name` is the entry of the error catalogue."""

    name = "SOURCE_UNAVAILABLE"

    def __init__(self, source: str) -> None:
        super().__init__(f"source {source}")
        self.source = source


class SourceTimeout(SourceError):
    """The source did not answer before its deadline."""

    name = "SOURCE_TIMEOUT"


class SourceBadShape(SourceError):
    """The source's answer is not of the declared types."""

    name = "SOURCE_BAD_SHAPE"


@dataclass(frozen=True, slots=True)
class SourceFailure:
    """A batch that failed, as a value: it spoils its own keys only."""

    source: str
    error: SourceError


class Source(Protocol):
    """A system that answers by key."""

    name: str
    deadline_seconds: float

    def answers(self, type_name: str, fields: Sequence[str]) -> bool:
        """Whether the source can be asked for these fields of a type."""
        ...

    async def fetch(self, fetch: Fetch) -> Rows:
        """Answer one batch; raises `SourceError`."""
        ...
