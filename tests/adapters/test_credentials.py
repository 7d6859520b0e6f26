"""Credentials are found where their references lead, and nobody learns them from a complaint."""

from __future__ import annotations

import os
import re

import pytest

from adapters.credentials import CredentialMissing, read_credential

SECRET = "s3cr3t-Zx9"


@pytest.mark.parametrize(
    ("written", "found"), [("abc", "abc"), ("abc\n", "abc"), ("a\n\n", "a\n"), (" 密 \r\n", " 密 "), ("\nb", "\nb")]
)
def test_a_file_loses_the_one_newline_that_an_editor_adds(tmp_path, written, found):
    """And nothing else."""
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(written.encode())
    assert read_credential(f"file:{path}") == found


def test_a_variable_is_taken_as_it_is(monkeypatch):
    """No editor wrote it."""
    monkeypatch.setenv("JN_PASSWORD", " abc\n")
    assert read_credential("env:JN_PASSWORD") == " abc\n"


def test_where_nothing_is_the_reference_is_named(tmp_path, monkeypatch):
    """So that an operator knows where to look."""
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("MISSING", raising=False)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for reference, why in [
        ("env:MISSING", "nothing is there"),
        ("env:EMPTY", "nothing is there"),
        (f"file:{tmp_path}/key", "FileNotFoundError"),
        (f"file:{tmp_path}", "not a file"),
        (f"file:{tmp_path}/pipe", "not a file"),
    ]:
        with pytest.raises(CredentialMissing, match=rf"^{re.escape(reference)}: {why}\Z"):
            read_credential(reference)


@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [
        (SECRET.encode(), 0o644, "every user may read"),
        (SECRET.encode() + b"\xff", 0o600, "not UTF-8"),
        (SECRET.encode() * 9_000, 0o600, "larger than"),
        (b"\n", 0o600, "nothing is there"),
    ],
)
def test_a_bad_file_is_refused_without_its_content(tmp_path, content, mode, why):
    """Whatever is wrong with it."""
    path = tmp_path / "key"
    path.touch()
    path.chmod(mode)
    path.write_bytes(content)
    with pytest.raises(CredentialMissing, match=why) as caught:
        read_credential(f"file:{path}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("literal", [SECRET, f"file:{SECRET}", f"vault:{SECRET}", "env:", "file:", ""])
def test_what_is_no_reference_is_never_repeated(literal):
    """It may be the secret itself."""
    with pytest.raises(CredentialMissing, match=r"^a credential is given as ") as caught:
        read_credential(literal)
    assert SECRET not in str(caught.value)
