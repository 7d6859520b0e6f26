"""From an exception to what the client is told; the only place where the two are brought together.

An exception is defined where it occurs and knows nothing of HTTP or codes. Those of `resolvers.errors`, of sources and
of the database carry the name of their entry; the others are listed here.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from graphql import GraphQLError

from adapters.base import SourceError
from adapters.postgres.database import DatabaseError
from resolvers.errors import InvalidDocument, RequestError
from schema.identifiers import InvalidIdentifier
from schema.scalars import InvalidScalar
from server.catalogue import CATALOGUE, Entry
from server.claims import ClaimsRefused
from server.identity import (
    AuthorizationRepeated,
    CaseClosed,
    CaseNotInToken,
    PurposeNotInToken,
    TokenExpired,
    TokenNotYetValid,
    WrongAudience,
)
from server.keys import SignatureRefused, TokenMalformed
from server.limits import (
    BadEnvelope,
    BodyAborted,
    BodyNotJson,
    BodyTooLarge,
    MethodNotAllowed,
    NotAcceptable,
    TooBusy,
    UnsupportedMediaType,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAMED = (RequestError, SourceError, DatabaseError)
"""Families whose classes carry the name of their entry."""

NAMES: Mapping[type[Exception], str] = MappingProxyType(
    {
        BodyTooLarge: "BODY_TOO_LARGE",
        BodyAborted: "BODY_ABORTED",
        UnsupportedMediaType: "UNSUPPORTED_MEDIA_TYPE",
        MethodNotAllowed: "METHOD_NOT_ALLOWED",
        NotAcceptable: "NOT_ACCEPTABLE",
        BodyNotJson: "BODY_NOT_JSON",
        BadEnvelope: "BAD_ENVELOPE",
        TooBusy: "TOO_BUSY",
        TokenMalformed: "TOKEN_MALFORMED",
        SignatureRefused: "TOKEN_SIGNATURE",
        TokenExpired: "TOKEN_EXPIRED",
        TokenNotYetValid: "TOKEN_NOT_YET_VALID",
        WrongAudience: "TOKEN_AUDIENCE",
        ClaimsRefused: "CLAIMS_REFUSED",
        AuthorizationRepeated: "AUTHORIZATION_REPEATED",
        PurposeNotInToken: "PURPOSE_NOT_IN_TOKEN",
        CaseNotInToken: "CASE_NOT_IN_TOKEN",
        CaseClosed: "CASE_CLOSED",
        InvalidScalar: "BAD_ARGUMENT",
        InvalidIdentifier: "BAD_ARGUMENT",
        GraphQLError: "VALIDATION_ERROR",
        TimeoutError: "DEADLINE_EXCEEDED",
    }
)

ABOVE: Mapping[str, str] = MappingProxyType(
    {
        "server.pipeline.NoPolicy": "NO_POLICY",
        "server.service.AuditUnavailable": "AUDIT_UNAVAILABLE",
    }
)
"""The same for modules that import this one."""

NEVER_CROSS: Mapping[str, str] = MappingProxyType(
    {
        "adapters.audit_verifier.AuditUnreadable": "verification is a command",
        "adapters.audit_verifier.MalformedDecision": "verification is a command",
        "adapters.audit_verifier.MalformedPack": "verification is a command",
        "adapters.configured.ConfigurationRefused": "the configuration is read at start",
        "adapters.credentials.CredentialMissing": "becomes SourceError where a source is opened",
        "adapters.front.meter.TooMuchSent": "becomes SourceBadShape",
        "adapters.front.sql.ColumnUnfit": "becomes SourceBadShape",
        "adapters.postgres.audit.AuditNotDurable": "checked at start",
        "adapters.postgres.audit.AuditTampered": "stops the sealer, after which requests meet AuditUnavailable",
        "adapters.postgres.audit.HeadsUnavailable": "stops the sealer, after which requests meet AuditUnavailable",
        "adapters.postgres.audit.PrivilegesTooWide": "checked at start",
        "adapters.postgres.migrate.MigrationRefused": "migration is a command",
        "adapters.rest.template.TemplateRefused": "templates are checked when the configuration is read",
        "adapters.subgraph._NotRecords": "becomes SourceBadShape",
        "adapters.subgraph.contract.ContractBroken": "becomes SourceBadShape",
        "policy.compile.PolicyRefused": "a revision is compiled before it is taken up",
        "policy.revision.InvalidRevision": "a revision is read before it is taken up",
        "policy.subject.InvalidTerritory": "claims are checked against the tree before",
        "schema.registry.RegistryError": "declarations are resolved at start",
        "server.commands.serve.PortTaken": "before the server listens",
        "server.commands.source.SourceFailed": "a command's own",
        "server.issuer.IssuerUnreadable": "the demo's issuer is read at start",
        "server.issuer.UnknownRole": "roles are named on the command line",
        "server.keys.KeysRefused": "keys are read at start",
        "server.keys._Unfit": "becomes KeysRefused",
        "server.service.SchemaDrift": "checked at start",
        "server.settings.SettingRefused": "settings are read at start",
        "server.settings._Unreadable": "becomes SettingRefused",
    }
)
"""Exceptions of our packages that no request meets, each with the reason; should one come nevertheless, it is INTERNAL.

A test finds every exception class that is neither here nor mapped.
"""


def entry_for(exception: BaseException) -> Entry:
    """The catalogue's entry of an exception; whatever is not known is INTERNAL."""
    if isinstance(exception, NAMED):
        return CATALOGUE[exception.name]
    for cls in type(exception).__mro__:
        if cls in NAMES:
            return CATALOGUE[NAMES[cls]]
    return CATALOGUE[ABOVE.get(qualified(type(exception)), "INTERNAL")]


def qualified(cls: type) -> str:
    """Module and name of a class, as the lists above write them."""
    return f"{cls.__module__}.{cls.__qualname__}"


def errors_of(exception: BaseException, request_id: str) -> list[dict[str, Any]]:
    """The `errors` of an answer to a request that was refused or failed as a whole."""
    entry = entry_for(exception)
    match exception:
        case InvalidDocument():
            return [
                error_json(entry, request_id, locations=locations, detail=text)
                for text, locations in exception.problems
            ]
        case RequestError():
            return [error_json(entry, request_id, locations=exception.locations, detail=exception.detail)]
        case InvalidScalar() | InvalidIdentifier():
            return [error_json(entry, request_id, detail=str(exception))]
        case GraphQLError():
            places = [(place.line, place.column) for place in exception.locations or ()]
            return [error_json(entry, request_id, locations=places, detail=exception.message)]
        case _:
            return [error_json(entry, request_id)]


def error_json(
    entry: Entry,
    request_id: str,
    path: Sequence[str | int] | None = None,
    locations: Sequence[tuple[int, int]] | None = None,
    detail: str | None = None,
) -> dict[str, Any]:
    """One error of a GraphQL answer; `detail` derives from what the client sent and is dropped for internal entries."""
    message = entry.message
    if detail and entry.audience == "client":
        message = f"{message}: {without_suggestions(detail)}"
    error: dict[str, Any] = {"message": message}
    if locations:
        error["locations"] = [{"line": line, "column": column} for line, column in locations]
    if path is not None:
        error["path"] = list(path)
    error["extensions"] = {
        "code": entry.code,
        "name": entry.name,
        "messageZh": entry.message_zh,
        "hint": entry.hint,
        "retryable": entry.retryable,
        "requestId": request_id,
    }
    return error


_SUGGESTION = re.compile(r"\s*Did you mean\b.*", re.DOTALL)
_DETAIL_AT_MOST = 300


def without_suggestions(text: str) -> str:
    """A validation text without the names that the client did not say itself.

    >>> without_suggestions("Cannot query field 'idNo' on type 'Person'. Did you mean 'citizenNo'?")
    "Cannot query field 'idNo' on type 'Person'."
    """
    return _SUGGESTION.sub("", text)[:_DETAIL_AT_MOST]


def render() -> str:
    """`docs/errors.md`."""
    origins = {"1": "The request", "2": "Who asks", "3": "The policy", "4": "A source", "5": "Ourselves"}
    lines = [
        "# Errors",
        "",
        "Rendered from the catalogue by `python -m server.errors`; do not edit.",
        "",
        "Every error has `extensions { code name messageZh hint retryable requestId }`. Codes keep their meaning for",
        "ever. *Detail* says whether the message may go on with what is wrong in the client's own document; the others",
        "are fixed sentences, and what lies behind them is in the log under the `requestId`.",
    ]
    for digit, title in origins.items():
        lines += ["", f"## {title}", "", "| code | name | HTTP | retry | detail | message | 提示 | what to do |"]
        lines.append("|---|---|---|---|---|---|---|---|")
        for entry in CATALOGUE.values():
            if entry.code[2] == digit:
                retry, detail = ("yes" if given else "no" for given in (entry.retryable, entry.audience == "client"))
                cells = (entry.code, entry.name, str(entry.status), retry, detail)
                lines.append("| " + " | ".join((*cells, entry.message, entry.message_zh, entry.hint)) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(render(), end="")  # noqa: T201 - this is what the module does when run
