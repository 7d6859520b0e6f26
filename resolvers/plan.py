"""The plan of an operation: a DAG of stages as plain, printable data; `resolvers.planner` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql.language import FieldNode

from adapters.base import Node, SourceQuery
from resolvers.slots import RemoteSlot
from schema.predicate import Always, Ref


@dataclass(frozen=True, slots=True)
class Statement:
    """One stage sent to the ministry's database: the query, its slots in the audit record, and cursors to write."""

    query: SourceQuery
    nodes: tuple[Node, ...]
    slots: tuple[RemoteSlot, ...]
    cursor: CursorPlan | None = None
    after: tuple[str | int, ...] | None = None
    """Where the records stand that remote values lead to; `None` for what runs at once."""

    @property
    def has_tokens(self) -> bool:
        """Whether its answer must be cut at tokens."""
        return bool(self.slots) or (self.cursor is not None and self.cursor.written)


@dataclass(frozen=True, slots=True)
class CursorPlan:
    """How a page's cursors are bound: the walk they belong to, and the one that came with the request."""

    walk: str
    """What the cursors belong to: the entity and the order."""
    written: bool
    """Whether the answer shows a page boundary, so that it holds tokens."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A root field whose bytes are known when the plan is made."""

    key: str
    json: bytes


@dataclass(frozen=True, slots=True)
class Introspection:
    """`__schema` or `__type`, answered from the schema alone."""

    key: str
    node: FieldNode


@dataclass(frozen=True, slots=True)
class One:
    """A root field answered by one record or one connection of one statement."""

    key: str
    statement: int
    within: str = ""
    """The response key of the record whose value alone is the answer."""


@dataclass(frozen=True, slots=True)
class Many:
    """A root field answered by keys of several types, in the order given: (statement, position) or null."""

    key: str
    statements: Mapping[str, int]
    given: tuple[Ref, ...]
    items: str
    """"ids" or "representations": how an item tells its type and key."""


Root = Literal | Introspection | One | Many


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to answer, for every subject and request of one shape."""

    roots: tuple[Root, ...]
    statements: tuple[Statement, ...]
    names: tuple[str, ...]
    """Response key of the root behind each statement."""
    constants: tuple[Any, ...]
    extensions: bytes
    cost: int

    def __str__(self) -> str:
        lines = [f"cost {self.cost}"]
        for i, statement in enumerate(self.statements):
            when = " when its keys have come" if statement.after is not None else ""
            lines.append(f"statement {i} for {self.names[i]}: {type(statement.query).__name__}{when}")
            for node in statement.nodes:
                lines.append(f"  {node.letter} {node.entity.name}: rows {node.row}")
                lines += [f"      {output}" for output in map(_describe, node.outputs) if output]
            lines += [f"  slot {n}: {slot}" for n, slot in enumerate(statement.slots)]
        return "\n".join(lines)


def _describe(output: Any) -> str:
    clear, masked = getattr(output, "clear", None), getattr(output, "masked", None)
    if clear is None:
        return ""
    text = "clear" if isinstance(clear, Always) else f"clear where {clear}"
    if masked is not None and masked != clear:
        text += "; masked" if isinstance(masked, Always) else f"; masked where {masked}"
    return f"{output.key}: {text}"
