"""Every setting of a process, read once from environment variables named ZLAQ_*."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
from dataclasses import MISSING, Field, dataclass, field, fields
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "ZLAQ_"
ELSEWHERE = frozenset({"ZLAQ_PG_BIN"})
"""Variables of the demo's database launcher: not settings of the server, and no mistake either."""


class SettingRefused(ValueError):
    """A variable that is unknown, missing or not readable; the text names the variable, and never a secret's value."""


class _Unreadable(ValueError):
    """What a value should have been."""


def _text(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise _Unreadable("a text without line breaks")
    return value


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        # int() would also take "1_000", " 7" and digits of other scripts.
        if re.fullmatch("[0-9]{1,15}", value) is None or not least <= int(value) <= most:
            raise _Unreadable(f"a whole number from {least} to {most}")
        return int(value)

    return parse


def _flag(value: str) -> bool:
    if value not in ("0", "1"):
        raise _Unreadable("0 or 1")
    return value == "1"


def _database_url(value: str) -> str:
    expected = _Unreadable("postgresql://user:password@host:port/database, special characters written as %XX")
    try:
        parts = urlsplit(value)
        _port = parts.port
    except ValueError:
        raise expected from None
    # An unescaped character of a password moves the rest of it to where it would be printed.
    if parts.scheme not in ("postgresql", "postgres") or parts.fragment or "@" in parts.path + parts.query:
        raise expected
    if not value.isprintable():
        raise expected
    return value


def _path(value: str) -> Path:
    path = Path(value)
    if not path.is_absolute():
        raise _Unreadable("an absolute path")
    return path


def _jwks(value: str) -> str:
    if not value.startswith(("{", "/")):
        raise _Unreadable("the absolute path of a JWKS file, or the JWKS itself; never an address")
    return value


def _cursor_key(value: str) -> bytes:
    try:
        key = base64.b64decode(value, validate=True)
    except binascii.Error:
        key = b""
    if len(key) not in (32, 64):
        raise _Unreadable("32 or 64 bytes in base64")
    return key


def _log_level(value: str) -> str:
    levels = ("DEBUG", "INFO", "WARNING", "ERROR")
    if value not in levels:
        raise _Unreadable("one of " + ", ".join(levels))
    return value


def _packages(value: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    if not all(all(part.isidentifier() for part in name.split(".")) for name in names):
        raise _Unreadable("Python packages, comma between them, no blanks")
    return names


def _meta(doc: str, parse: Callable[[str], object], *, secret: bool = False) -> dict[str, Any]:
    return {"doc": doc, "parse": parse, "secret": secret}


_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One process's settings; `from_environment` is the only way that checks them."""

    database_url: str = field(
        repr=False, metadata=_meta("address of the PostgreSQL database, password included", _database_url, secret=True)
    )
    host: str = field(default="127.0.0.1", metadata=_meta("address to listen on", _text))
    port: int = field(default=8000, metadata=_meta("port to listen on", _number(1, 65535)))
    pool_size: int = field(default=4, metadata=_meta("database connections of this process", _number(1, 100)))
    statement_timeout_ms: int = field(
        default=5000, metadata=_meta("longest run of one SQL statement", _number(10, 600_000))
    )
    request_deadline_ms: int = field(
        default=10_000, metadata=_meta("longest time from a request's body to its answer", _number(10, 600_000))
    )
    max_body_bytes: int = field(default=256 * 1024, metadata=_meta("largest request body", _number(1024, 64 * _MIB)))
    max_tokens: int = field(default=2000, metadata=_meta("most tokens of a document", _number(10, 100_000)))
    max_depth: int = field(default=12, metadata=_meta("deepest nesting of selections", _number(1, 50)))
    max_repeats: int = field(
        default=32, metadata=_meta("most occurrences of one response name in one selection", _number(1, 10_000))
    )
    max_repeats_total: int = field(
        default=500, metadata=_meta("most repeated response names in a document", _number(1, 100_000))
    )
    max_aliases: int = field(default=100, metadata=_meta("most aliases in a document", _number(0, 10_000)))
    max_cost: int = field(default=10_000, metadata=_meta("highest static cost of an operation", _number(1, 10_000_000)))
    max_rows_bytes: int = field(
        default=64 * _MIB, metadata=_meta("largest answer, as rows times bytes estimated before", _number(1024, 2**40))
    )
    max_concurrent: int = field(default=64, metadata=_meta("requests executed at a time", _number(1, 10_000)))
    max_queued: int = field(
        default=128,
        metadata=_meta("requests that may wait for their turn; further ones are refused", _number(0, 100_000)),
    )
    queue_wait_ms: int = field(
        default=1000, metadata=_meta("longest wait for a turn before a request is refused", _number(0, 60_000))
    )
    jwks: str | None = field(
        default=None, repr=False,
        metadata=_meta("absolute path of the issuer's public keys (JWKS), or the JWKS itself", _jwks, secret=True),
    )  # fmt: skip
    issuer: str | None = field(default=None, metadata=_meta("`iss` that every token must carry", _text))
    audience: str | None = field(default=None, metadata=_meta("`aud` that every token must carry", _text))
    leeway_s: int = field(default=30, metadata=_meta("clock difference allowed in a token's times", _number(0, 300)))
    demo_issuer: Path | None = field(
        default=None,
        metadata=_meta("file with a demo issuer's private key; turns the demo mode on, loopback only", _path),
    )
    public_introspection: bool = field(
        default=False, metadata=_meta("1 lets callers without a token introspect the schema", _flag)
    )
    cursor_key: bytes | None = field(
        default=None, repr=False,
        metadata=_meta(
            "key of cursors, 32 or 64 bytes in base64, the same on all nodes; unset, cursors end with the process",
            _cursor_key, secret=True,
        ),
    )  # fmt: skip
    audit_heads: Path | None = field(
        default=None, metadata=_meta("file outside the database to which heads of the audit chain are appended", _path)
    )
    sources: Path | None = field(
        default=None, metadata=_meta("file that declares the connected systems (sources.toml)", _path)
    )
    log_level: str = field(default="INFO", metadata=_meta("DEBUG, INFO, WARNING or ERROR", _log_level))
    entity_packages: tuple[str, ...] = field(
        default=(), metadata=_meta("Python packages with an operator's own entities, comma between them", _packages)
    )

    @property
    def demo(self) -> bool:
        """Whether tokens of demo roles are served to whoever asks."""
        return self.demo_issuer is not None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read all ZLAQ_* variables; raises `SettingRefused` for the first one that is wrong.

        An empty variable is refused like any other unreadable value: unset it to get the default.
        """
        known = {variable(spec): spec for spec in fields(cls)}
        for name in sorted(environment):
            if name.startswith(PREFIX) and name not in known and name not in ELSEWHERE:
                raise SettingRefused(f"{name} is not a setting{_near(name, known)}")
        values: dict[str, Any] = {
            spec.name: _read(spec, name, environment) for name, spec in known.items() if _given(spec, name, environment)
        }
        settings = cls(**values)
        settings._check_together()
        return settings

    def _check_together(self) -> None:
        trust = {"ZLAQ_JWKS": self.jwks, "ZLAQ_ISSUER": self.issuer, "ZLAQ_AUDIENCE": self.audience}
        missing = [name for name, value in trust.items() if value is None]
        if missing and len(missing) < len(trust):
            raise SettingRefused(
                f"{' and '.join(missing)} must be set too: tokens are checked with all three or refused"
            )
        if self.demo and not _is_loopback(self.host):
            raise SettingRefused(
                "ZLAQ_DEMO_ISSUER gives every caller a token: ZLAQ_HOST must then be a loopback address"
            )

    def describe(self) -> list[str]:
        """One line a setting for the start of the log, without secrets."""
        lines = []
        for spec in fields(self):
            value = getattr(self, spec.name)
            if spec.name == "database_url":
                shown = _database_place(value)
            elif spec.metadata["secret"]:
                shown = "not set" if value is None else "set, not shown"
            else:
                shown = _plain(value)
            origin = " (default)" if value == spec.default else ""
            lines.append(f"{variable(spec)}={shown}{origin}")
        return lines


def variable(spec: Field[Any]) -> str:
    """The environment variable of a setting."""
    return PREFIX + spec.name.upper()


def _given(spec: Field[Any], name: str, environment: Mapping[str, str]) -> bool:
    if name in environment:
        return True
    if spec.default is MISSING:
        raise SettingRefused(f"{name} is not set: {spec.metadata['doc']}")
    return False


def _read(spec: Field[Any], name: str, environment: Mapping[str, str]) -> object:
    value = environment[name]
    try:
        return spec.metadata["parse"](value)
    except _Unreadable as expected:
        got = "" if spec.metadata["secret"] else f", not {value[:60]!r}"
        raise SettingRefused(f"{name} must be {expected}{got}") from None


def _near(name: str, known: Mapping[str, object]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else "; docs/operations.md lists them"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _plain(value: object) -> str:
    match value:
        case None | ():
            return "not set"
        case bool():
            return str(int(value))
        case tuple():
            return ",".join(value)
        case _:
            return str(value)


def _database_place(url: str) -> str:
    # Never the query: a password may stand there too.
    parts = urlsplit(url)
    return f"{parts.hostname or 'local socket'}{f':{parts.port}' if parts.port else ''}{parts.path}"


def render() -> str:
    """The table of settings in docs/operations.md."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for spec in fields(Settings):
        default = "required" if spec.default is MISSING else f"`{_plain(spec.default)}`"
        if spec.default is None or spec.default == ():
            default = "not set"
        secret = " (secret: never printed)" if spec.metadata["secret"] else ""
        rows.append(f"| `{variable(spec)}` | {default} | {spec.metadata['doc']}{secret} |")
    return "\n".join(rows) + "\n"
