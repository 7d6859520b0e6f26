"""On which line each key of a TOML text stands: the parser of the standard library keeps no places."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

KeyPath = tuple[str | int, ...]
"""Keys from the top, positions in arrays among them."""

_BLANK = re.compile(r"[ \t]*")
_BETWEEN = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_LITERAL = re.compile(r"[^,\]}#\r\n]+")


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """The line, from 1, of every key, array element and table header of a text that `tomllib` has read without error.

    A table without a header of its own stands where its first key does.
    """
    return _Walk(text).lines


class _Walk:
    """One pass over the text. That it is valid is known, so nothing is checked here."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._arrays: dict[KeyPath, int] = {}
        self.lines: dict[KeyPath, int] = {(): 1}
        table: KeyPath = ()
        while self._skip(_BETWEEN) < len(text):
            if text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return self._at

    def _note(self, path: KeyPath) -> None:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], self._line)

    def _header(self) -> KeyPath:
        many = self._text.startswith("[[", self._at)
        self._at += 2 if many else 1
        keys = self._key()
        path: KeyPath = ()
        for key in keys[:-1]:
            path = self._last((*path, key))
        path = (*path, keys[-1])
        if many:
            self._arrays[path] = self._arrays.get(path, -1) + 1
            path = self._last(path)
        self._note(path)
        # A table may have been mentioned above by one of its children; its own header is the better place.
        self.lines[path] = self._line
        self._at = self._text.index("]", self._at) + (2 if many else 1)
        return path

    def _last(self, path: KeyPath) -> KeyPath:
        """The table that a header means: of an array of tables, the one opened last."""
        return (*path, self._arrays[path]) if path in self._arrays else path

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            start = self._at
            if self._text[start] in "\"'":
                self._skip(_STRING)
                parts.append(tomllib.loads(f"key = {self._text[start : self._at]}")["key"])
            else:
                self._skip(_BARE)
                parts.append(self._text[start : self._at])
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return tuple(parts)
            self._at += 1

    def _pair(self, table: KeyPath) -> None:
        path = (*table, *self._key())
        self._note(path)
        self._at += 1
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._skip(_STRING)
        elif first in "[{":
            self._members(path, "]" if first == "[" else "}")
        else:
            self._skip(_LITERAL)

    def _members(self, path: KeyPath, end: str) -> None:
        self._at += 1
        position = 0
        while self._text[self._skip(_BETWEEN)] != end:
            if end == "]":
                self._note((*path, position))
                self._value((*path, position))
                position += 1
            else:
                self._pair(path)
            if self._text[self._skip(_BETWEEN)] == ",":
                self._at += 1
        self._at += 1
