"""What a client's operation can be refused for; `name` is the entry of the error catalogue (`server.errors`).

Facts carried here derive only from the client's document, never from data or from values it sent.
"""

from __future__ import annotations

from collections.abc import Sequence


class RequestError(Exception):
    """Base: the operation is refused as a whole, before any statement is sent unless said otherwise."""

    name = "BAD_REQUEST"

    def __init__(self, detail: str = "", locations: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__(detail or self.name)
        self.detail = detail
        self.locations = tuple(locations)


class SyntaxRefused(RequestError):
    """The document is not GraphQL."""

    name = "SYNTAX_ERROR"


class InvalidDocument(RequestError):
    """The document does not fit the schema; `problems` are (text, locations), at most a few."""

    name = "VALIDATION_ERROR"

    def __init__(self, problems: Sequence[tuple[str, Sequence[tuple[int, int]]]]) -> None:
        super().__init__(problems[0][0], problems[0][1])
        self.problems = tuple(problems)


class TooManyTokens(RequestError):
    """The document is longer than the token limit."""

    name = "TOO_MANY_TOKENS"


class TooDeep(RequestError):
    """Fields, fragments expanded, or input objects are nested too deeply."""

    name = "TOO_DEEP"


class TooManyRepeats(RequestError):
    """One response name is repeated too often, or fragments expand to too many fields."""

    name = "TOO_MANY_REPEATS"


class AliasTooLong(RequestError):
    """An alias is longer than 63 bytes, which PostgreSQL would truncate."""

    name = "ALIAS_TOO_LONG"


class TooManyAliases(RequestError):
    """The document renames more fields than allowed."""

    name = "TOO_MANY_ALIASES"


class TooCostly(RequestError):
    """The static cost exceeds the limit."""

    name = "TOO_COSTLY"


class TooManyRows(RequestError):
    """The answer could be larger than allowed: rows by the widths of their fields, reckoned before execution."""

    name = "TOO_MANY_ROWS"


class UnknownOperation(RequestError):
    """No operation of that name, or several and no name."""

    name = "UNKNOWN_OPERATION"


class UnsupportedOperation(RequestError):
    """The document is neither a query nor something else this server executes."""

    name = "UNSUPPORTED_OPERATION"


class BadVariable(RequestError):
    """A variable is missing, unknown or not of its declared type."""

    name = "BAD_VARIABLE"


class BadPageSize(RequestError):
    """`first` and `last` are both given, or out of range."""

    name = "BAD_PAGE_SIZE"


class CursorExpired(RequestError):
    """The cursor is not of this walk: other subject, order or revision, altered, or its row is gone or hidden."""

    name = "CURSOR_EXPIRED"


class BadNodeId(RequestError):
    """A global identifier was not issued by this schema."""

    name = "BAD_NODE_ID"


class BadRepresentation(RequestError):
    """A federation representation has no known `__typename` or lacks the key."""

    name = "BAD_REPRESENTATION"


class FilterRefused(RequestError):
    """A condition names an attribute that is never clear for the caller."""

    name = "FILTER_REFUSED"


class OrderRefused(RequestError):
    """An order names an attribute that cannot be shown to be clear for every visible row."""

    name = "ORDER_REFUSED"


class IntrospectionOff(RequestError):
    """Introspection is for authenticated callers."""

    name = "INTROSPECTION_OFF"
