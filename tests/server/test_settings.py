"""Settings: what is refused, what is never shown, and that the operations guide lists them all."""

from __future__ import annotations

import base64
from dataclasses import fields
from pathlib import Path

import pytest

from server.settings import SettingRefused, Settings, render, variable

URL = "postgresql://zlaq:pass-17@db.example:5433/zlaq?sslpassword=pass-18"
KEY = base64.b64encode(b"pass-19-" * 4).decode()
TRUST = {"ZLAQ_JWKS": '{"keys": "pass-20"}', "ZLAQ_ISSUER": "https://issuer.example", "ZLAQ_AUDIENCE": "zlaq"}


def read(**changes: str) -> Settings:
    return Settings.from_environment({"ZLAQ_DATABASE_URL": URL, "PATH": "/bin"} | changes)


def test_defaults():
    settings = read()
    assert (settings.host, settings.port, settings.pool_size) == ("127.0.0.1", 8000, 4)
    assert (settings.max_body_bytes, settings.max_tokens, settings.max_depth) == (256 * 1024, 2000, 12)
    assert (settings.max_repeats, settings.max_repeats_total, settings.max_concurrent) == (32, 500, 64)
    assert (settings.demo, settings.public_introspection, settings.jwks, settings.leeway_s) == (False, False, None, 30)


def test_every_setting_is_read():
    given = {
        "ZLAQ_HOST": "localhost",
        "ZLAQ_CURSOR_KEY": KEY,
        "ZLAQ_DEMO_ISSUER": "/run/issuer.json",
        "ZLAQ_AUDIT_HEADS": "/run/heads",
        "ZLAQ_PUBLIC_INTROSPECTION": "1",
        "ZLAQ_SOURCES": "/run/sources.toml",
        "ZLAQ_LOG_LEVEL": "DEBUG",
        "ZLAQ_ENTITY_PACKAGES": "own.entities,other",
    } | TRUST
    numbers = {spec.name for spec in fields(Settings) if spec.type == "int"}
    given |= {f"ZLAQ_{name.upper()}": "40" if name == "max_depth" else "90" for name in numbers - {"max_body_bytes"}}
    given |= {"ZLAQ_MAX_BODY_BYTES": "4096", "ZLAQ_MAX_ROWS_BYTES": "4096"}
    settings = read(**given)
    assert {variable(spec) for spec in fields(Settings)} == {*given, "ZLAQ_DATABASE_URL"}
    for spec in fields(Settings):
        assert getattr(settings, spec.name) != spec.default, spec.name
    assert settings.entity_packages == ("own.entities", "other")
    assert settings.demo_issuer == Path("/run/issuer.json")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"ZLAQ_MAX_DEPT": "1"}, "ZLAQ_MAX_DEPT is not a setting; did you mean ZLAQ_MAX_DEPTH?"),
        ({"ZLAQ_DATABSE_URL": "x"}, "ZLAQ_DATABSE_URL is not a setting; did you mean ZLAQ_DATABASE_URL?"),
        ({"ZLAQ_COLOUR": "x"}, "ZLAQ_COLOUR is not a setting; docs/operations.md lists them"),
        ({"ZLAQ_DEMO": "1"}, "ZLAQ_DEMO is not a setting; docs/operations.md lists them"),
        ({"ZLAQ_PORT": "0"}, "ZLAQ_PORT must be a whole number from 1 to 65535, not '0'"),
        ({"ZLAQ_PORT": "8_000"}, "ZLAQ_PORT must be a whole number from 1 to 65535, not '8_000'"),
        ({"ZLAQ_PORT": "８０００"}, "ZLAQ_PORT must be a whole number from 1 to 65535, not '８０００'"),
        ({"ZLAQ_PORT": ""}, "ZLAQ_PORT must be a whole number from 1 to 65535, not ''"),
        ({"ZLAQ_MAX_DEPTH": "9" * 5000}, f"ZLAQ_MAX_DEPTH must be a whole number from 1 to 50, not {'9' * 60!r}"),
        ({"ZLAQ_PUBLIC_INTROSPECTION": "true"}, "ZLAQ_PUBLIC_INTROSPECTION must be 0 or 1, not 'true'"),
        ({"ZLAQ_LOG_LEVEL": "info"}, "ZLAQ_LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, not 'info'"),
        ({"ZLAQ_AUDIT_HEADS": "heads"}, "ZLAQ_AUDIT_HEADS must be an absolute path, not 'heads'"),
        (
            {"ZLAQ_ENTITY_PACKAGES": "a, b"},
            "ZLAQ_ENTITY_PACKAGES must be Python packages, comma between them, no blanks, not 'a, b'",
        ),
        ({"ZLAQ_ISSUER": " "}, "ZLAQ_ISSUER must be a text without line breaks, not ' '"),
        (
            {"ZLAQ_ISSUER": "a"},
            "ZLAQ_JWKS and ZLAQ_AUDIENCE must be set too: tokens are checked with all three or refused",
        ),
        (
            {"ZLAQ_JWKS": "https://issuer.example/jwks", **{k: v for k, v in TRUST.items() if k != "ZLAQ_JWKS"}},
            "ZLAQ_JWKS must be the absolute path of a JWKS file, or the JWKS itself; never an address",
        ),
        ({"ZLAQ_CURSOR_KEY": "pass-21"}, "ZLAQ_CURSOR_KEY must be 32 or 64 bytes in base64"),
        (
            {"ZLAQ_DEMO_ISSUER": "/x", "ZLAQ_HOST": "0.0.0.0"},
            "ZLAQ_DEMO_ISSUER gives every caller a token: ZLAQ_HOST must then be a loopback address",
        ),
    ],
)
def test_refused(changes, text):
    with pytest.raises(SettingRefused) as raised:
        read(**changes)
    assert str(raised.value) == text


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:pass-17@h/d", "u:pass-17@h", "postgresql://u:pass#17@h/d", "postgresql://u:pass/17@h/d",
        "postgresql://u:1?pass-17@h/d", "postgresql://u:p@h:port/d", "postgresql://u:pass-17@[h/d", "",
    ],
)  # fmt: skip
def test_a_malformed_address_is_refused_without_being_shown(url):
    with pytest.raises(SettingRefused) as raised:
        read(ZLAQ_DATABASE_URL=url)
    assert "17" not in str(raised.value)


def test_the_database_is_required():
    with pytest.raises(SettingRefused, match="ZLAQ_DATABASE_URL is not set"):
        Settings.from_environment({})


def test_no_secret_is_shown():
    settings = read(ZLAQ_CURSOR_KEY=KEY, **TRUST)
    shown = repr(settings) + str(settings) + "\n".join(settings.describe())
    for secret in ("pass-", KEY, "keys"):
        assert secret not in shown
    assert "ZLAQ_DATABASE_URL=db.example:5433/zlaq" in settings.describe()
    assert "ZLAQ_CURSOR_KEY=set, not shown" in settings.describe()
    assert "ZLAQ_PORT=8000 (default)" in settings.describe()


def test_variables_of_the_demos_database_are_no_mistake():
    assert read(ZLAQ_PG_BIN="/usr/lib/postgresql/18/bin").port == 8000


def test_the_operations_guide_has_the_table_of_settings():
    guide = Path(__file__).parents[2].joinpath("docs/operations.md").read_text(encoding="utf-8")
    assert render() in guide
