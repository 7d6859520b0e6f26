"""`sources.toml`: which systems answer which remote fields, how they are spoken to, and how their words become ours.

A province is added here, not in code. Every table is one of the structures below; a key that none of them knows is
refused, with the line it stands on. `adapters.configured` reads the file; bounds and forms of single values stand here,
at the value, and what several values say together is checked in `adapters.agreement`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, dataclass_transform

import msgspec
from msgspec import Meta

PLACEHOLDERS = ("", "无", "无数据", "暂无", "/", "-", "--", "null", "NULL", "None", "1900-01-01", "1900-01-01 00:00:00")
"""What local systems write to satisfy a mandatory field; always read as missing."""

Title = Annotated[str, Meta(min_length=1, max_length=100, description="a text of 1 to 100 characters")]
RawPath = Annotated[str, Meta(pattern=r"^[^.]+(\.[^.]+)*\Z", description="names with single dots between")]
Reference = Annotated[
    str,
    Meta(
        pattern=r"^(env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\x00-\x1f]+)\Z",
        description='"env:NAME" or "file:/absolute/path", never the secret itself,',
    ),
]
"""Where a credential is kept; see `adapters.credentials`."""
Column = Annotated[
    str, Meta(pattern=r"^[A-Za-z0-9_]{1,63}\Z", description="a name of 1 to 63 letters, digits and underscores")
]
"""A table, schema or column; real tables begin with a region's digits, as 370800_SPGL_XMJBXXB."""
UrlPath = Annotated[str, Meta(pattern=r"^/[!-~]*\Z", description="a path that begins with / and has no blanks")]
GraphQLName = Annotated[str, Meta(pattern=r"^[_A-Za-z][_0-9A-Za-z]*\Z", description="a GraphQL name")]
GraphQLPath = Annotated[
    str,
    Meta(
        pattern=r"^[_A-Za-z][_0-9A-Za-z]*(\.[_A-Za-z][_0-9A-Za-z]*)*\Z", description="GraphQL names with dots between"
    ),
]
Texts = Annotated[tuple[str, ...], Meta(min_length=1)]


def between(least: float, most: float) -> Meta:
    """Bounds of a number, both included."""
    return Meta(ge=least, le=most, description=f"a number from {least:,} to {most:,}")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of which every key is known."""


class AttributeMapping(Strict):
    """How one declared attribute is read from a local record; at most one of the conversions."""

    source: RawPath = msgspec.field(name="from")
    """Path of the raw value in the record, dots between."""
    codes: Mapping[str, str] | None = None
    """Local code or word to the official code of the attribute's code list; without it the raw value is that code."""
    dates: tuple[str, ...] = ()
    """Formats of a date (`strptime`, numbers only), tried in order; without them YYYY-MM-DD."""
    instants: tuple[str, ...] = ()
    """Formats of an instant; "epoch_ms" and "epoch_s" are numbers. Without an offset, `zone` of the source holds;
    without formats ISO 8601."""
    times: str = ""
    """Decimal factor from the local unit to the declared one, e.g. "0.0001" for 元 to 万元."""
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()
    """Words for true and false."""
    split: str = ""
    """Separator of a list in one text; how its items are converted may be said beside it."""
    brackets: Literal["", "（）", "()", "[]", "〔〕", "【】"] = ""
    """The pair that every variant of brackets in a text becomes."""
    placeholders: tuple[str, ...] = ()
    """Further texts that mean nothing."""


class Condition(Strict):
    """A raw value that must be one of these texts."""

    path: RawPath = msgspec.field(name="from")
    values: Texts = msgspec.field(name="is")


class Service(Strict):
    """One remote field: how its records are found in the answer and read. Kinds add how it is asked."""

    key: RawPath
    """Raw name of the key in each record of the answer (REST, front-end database) or of a representation (subgraph)."""
    fields: Mapping[str, AttributeMapping]
    """Declared attribute name (snake case) to its mapping."""
    as_of: AttributeMapping | None = None
    """When the record was last changed over there: `from`, `instants` and `placeholders` only."""
    region: str = ""
    """Raw name of the record's own supervision code; one outside the source's coverage is dropped and counted."""
    valid: Condition | None = None
    """Records that count; others are dropped (soft deletes)."""
    keys_per_call: Annotated[int, between(1, 1_000)] = 50
    items_at_most: Annotated[int, between(1, 1_000)] = 100
    """Most records of a list for one key."""
    ordinary: bool = False
    """Whether the provider offers published records only: required for a list across sources, which no local record
    governs."""
    probe: str = ""
    """A key that `zlaq source check` may ask for."""


class RestService(Service, kw_only=True):
    """One interface of a REST system. `query` and `body` are templates: see `adapters.rest.template`."""

    path: UrlPath
    method: Literal["GET", "POST"] = "POST"
    query: Mapping[str, Any] = {}
    body: Mapping[str, Any] | None = None
    form: bool = False
    """Whether the body is a form instead of JSON."""
    success: Condition | None = None
    """When the envelope says that it worked; what else it says is never shown to anybody."""
    busy: Condition | None = None
    """When the envelope says that we ask too often."""
    rows: str = ""
    """Path of the list of records (or the single record) in the answer."""
    last_page: str = ""
    """Path of the number of pages (then the template uses {page}, from 1); pages are read until a window is full."""
    sid: str = ""
    """National gateway: the service id, part of the signature."""


class SubgraphService(Service, kw_only=True):
    """One field below an entity of a federated subgraph, asked by `_entities`."""

    type: GraphQLName
    """The entity's type name over there."""
    at: GraphQLPath
    """Path of fields below the entity to the record or records."""
    arguments: Mapping[str, Any] = {}
    """Arguments of the last field of `at`; templates as in REST, e.g. first = "{first}"."""


class FrontService(Service, kw_only=True):
    """One table of a front-end database (前置库): `key` and every `from` are column names."""

    table: Column
    serial: Column = "lsh"
    """Column of the ever increasing serial number, by which windows are read."""
    state: Column = "sjsczt"
    reason: Column = "sbyy"
    """Columns for the receipt: state of the upload, and why it failed."""
    receipts: bool = False
    """Whether the table is pulled by window and receipts are written back."""
    local_key: str = "dfsjzj"
    """Column of the provider's own primary key (地方数据主键), by which a pulled row replaces its predecessor."""


class GatewaySigner(Strict, tag_field="family", tag="gateway"):
    """National gateway: gjzwfwpt_* headers, Base64(HMAC-SHA256(key, sid + rid + rtime))."""

    rid: Title
    key: Reference
    """The appsecret, or the appkey where `renew` is given."""
    renew: str = ""
    """Path of the secret service: its `data.secret` is Base64 AES-128-ECB, opened with a key made of the appkey."""
    renew_sid: str = ""
    life_s: Annotated[int, between(1, 86_400)] = 3600


class IrsSigner(Strict, tag_field="family", tag="irs"):
    """Zhejiang IRS: appKey, sign = MD5(appKey + requestSecret + requestTime); refreshSecret for 48 h, requestSecret for
    15 min."""

    app_key: Reference
    app_secret: Reference
    by_key: UrlPath = "/gateway/app/refreshTokenByKey.htm"
    by_secret: UrlPath = "/gateway/app/refreshTokenBySec.htm"  # noqa: S105 - the path that gives one
    early_s: Annotated[int, between(0, 600)] = 170
    """How long before its end a secret is renewed."""


class ClientSigner(Strict, tag_field="family", tag="x-client"):
    """X-Client-Id, X-Timestamp (ms), X-Nonce, X-Signature = Base64(HMAC-SHA256(secret, clientId + ts + nonce))."""

    client_id: Reference
    secret: Reference


class NoSigner(Strict, tag_field="family", tag="none"):
    """An address that knows us by the network alone."""


class BreakerLimits(Strict):
    """Opens after `failures` in a row, lets one call through after `open_s`."""

    failures: Annotated[int, between(1, 100)] = 5
    open_s: Annotated[float, between(0.01, 600)] = 10.0


class SourceBase(Strict):
    """What every kind has."""

    title: Title
    covers: Texts
    """Supervision codes; "000000" for the whole country."""
    address: str
    """http(s)://host:port, or for a front-end database postgresql://host:port/database."""
    networks: Texts
    """CIDR networks that the address may lead to; checked again at every connection."""
    charset: Literal["utf-8", "gb18030", "gbk", "gb2312"] = "utf-8"
    """gbk and gb2312 are what systems say of themselves; both are read as gb18030, which contains them."""
    zone: Annotated[str, Meta(pattern=r"^[+-](0[0-9]|1[0-4]):[0-5][0-9]\Z", description="an offset such as +08:00")] = (
        "+08:00"
    )
    deadline_ms: Annotated[int, between(10, 60_000)] = 800
    attempts: Annotated[int, between(1, 5)] = 2
    concurrency: Annotated[int, between(1, 256)] = 8
    queue: Annotated[int, between(0, 10_000)] = 64
    breaker: BreakerLimits = BreakerLimits()
    stale_s: Annotated[int, between(0, 86_400)] = 0
    """How old a last good copy may be served while the source fails; 0 is never. Services bound to the officer and
    personal or restricted attributes are never kept, whatever stands here."""
    max_bytes: Annotated[int, between(1_000, 64_000_000)] = 4_000_000
    """Largest answer, decompressed."""
    max_depth: Annotated[int, between(2, 64)] = 16
    plain_http: bool = False
    """Whether http:// is allowed outside loopback."""
    ca: Annotated[str, Meta(pattern=r"^(/.*)?\Z", description="an absolute path")] = ""
    """File of the certificate authority, where it is not a public one."""


class RestSource(SourceBase, kw_only=True, tag_field="kind", tag="rest"):
    """A REST system."""

    signer: GatewaySigner | IrsSigner | ClientSigner | NoSigner
    service: Mapping[str, RestService]


class SubgraphSource(SourceBase, kw_only=True, tag_field="kind", tag="subgraph"):
    """A federated GraphQL subgraph."""

    path: UrlPath = "/graphql"
    signer: ClientSigner | NoSigner = NoSigner()
    service: Mapping[str, SubgraphService]


class FrontSource(SourceBase, kw_only=True, tag_field="kind", tag="front"):
    """A front-end database."""

    user: Reference
    password: Reference
    schema: Column = "public"
    service: Mapping[str, FrontService]


SourceConfiguration = RestSource | SubgraphSource | FrontSource


class Configuration(Strict):
    """The whole file: `[source.NAME]` tables; names go into `provenance` and the audit."""

    source: Mapping[str, SourceConfiguration]
