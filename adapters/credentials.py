"""Credentials are named in the configuration and kept elsewhere: "env:NAME" or "file:/absolute/path"."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_BYTES_AT_MOST = 65_536


class CredentialMissing(ValueError):
    """A reference that leads to no credential; the text names the reference and never what is behind it."""


def read_credential(reference: str) -> str:
    """The credential behind a reference; of a file without one newline at its end.

    Raises `CredentialMissing` if there is none, or the file is open to every user of the machine.
    """
    kind, _, place = reference.partition(":")
    if kind == "env" and place:
        found = os.environ.get(place, "")
    elif kind == "file" and place.startswith("/"):
        found = _read(reference, Path(place))
    else:
        # What is no reference may be the secret itself.
        raise CredentialMissing('a credential is given as "env:NAME" or "file:/absolute/path"')
    if not found:
        raise CredentialMissing(f"{reference}: nothing is there")
    return found


def _read(reference: str, path: Path) -> str:
    try:
        # Opening a pipe would wait for whoever writes to it.
        if not path.is_file():
            path.stat()
            raise CredentialMissing(f"{reference}: not a file")
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                raise CredentialMissing(f"{reference}: every user may read this file; chmod o-r it")
            raw = file.read(_BYTES_AT_MOST + 1)
    except OSError as error:
        raise CredentialMissing(f"{reference}: {type(error).__name__}") from None
    if len(raw) > _BYTES_AT_MOST:
        raise CredentialMissing(f"{reference}: larger than {_BYTES_AT_MOST:,} bytes")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise CredentialMissing(f"{reference}: not UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")
