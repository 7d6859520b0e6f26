"""The code lists that stored columns draw on, read from `codes.tsv`: pure data, loaded once at import.

The same digits mean different things in different lists (03 is rescinded for a safety manager, another state for other
certificates), so a code says nothing without its list and there is no lookup over all of them. A list whose source
reads "assumption [G]" has codes or members of our own until an official list is seen.

In the file a line `@name, title, source` opens a list and the lines `code, name, term` below it are its entries.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Code:
    """One entry: the GraphQL enum value, the code that columns and interfaces carry, the Chinese term."""

    name: str
    code: str
    term: str


@dataclass(frozen=True)
class CodeList:
    """A closed list of codes; `name` is its GraphQL enum type, `source` the document that defines it."""

    name: str
    title: str
    source: str
    entries: tuple[Code, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Code]:
        return MappingProxyType({entry.name: entry for entry in self.entries})

    @cached_property
    def by_code(self) -> Mapping[str, Code]:
        return MappingProxyType({entry.code: entry for entry in self.entries})

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(entry.code for entry in self.entries)


def _load() -> Mapping[str, CodeList]:
    lists: dict[str, CodeList] = {}
    text = files("schema").joinpath("codes.tsv").read_text(encoding="utf-8")
    for block in text.removeprefix("@").split("\n@"):
        head, *rows = block.splitlines()
        name, title, source = head.split("\t")
        entries = tuple(Code(word, code, term) for code, word, term in (row.split("\t") for row in rows))
        lists[name] = CodeList(name, title, source, entries)
    return MappingProxyType(lists)


CODE_LISTS: Final = _load()
