"""The error catalogue: every way a request can be refused or fail, as the data of `catalogue.tsv`.

Codes say where it went wrong and are never given to another meaning: ZQ1xx the request, ZQ2xx who asks, ZQ3xx the
policy, ZQ4xx a source, ZQ5xx ourselves. `docs/errors.md` is rendered from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Audience = Literal["client", "internal"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One error. `client`: a detail drawn from the client's own document may follow the message; `internal`: never."""

    code: str
    name: str
    status: int
    audience: Audience
    retryable: bool
    message: str
    message_zh: str
    hint: str


def _load() -> Mapping[str, Entry]:
    found: dict[str, Entry] = {}
    codes: set[str] = set()
    for line in files(__package__).joinpath("catalogue.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        code, name, status, audience, retryable, message, message_zh, hint = line.split("\t")
        if name in found or code in codes:
            raise ValueError(f"{code} {name} stands twice in the catalogue")
        for_whom: Audience = "client" if audience == "client" else "internal"
        found[name] = Entry(code, name, int(status), for_whom, retryable == "yes", message, message_zh, hint)
        codes.add(code)
    return MappingProxyType(found)


CATALOGUE = _load()
"""Every entry by its symbolic name, ordered by code."""
