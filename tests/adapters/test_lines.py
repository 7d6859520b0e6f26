"""Keys of TOML texts are found on their lines."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters.lines import KeyPath, key_lines

KEYS = st.from_regex(r"[A-Za-z0-9_-]{1,5}|[^\x00-\x1f\x7f\ud800-\udfff]{0,5}", fullmatch=True)
LEAVES = st.sampled_from([
    "1", "true", "1979-05-27 07:32:00", "-0.5e3", "inf", "0x1F", "''", '"#]}"', "'\"[{'", r'"\"=\\"', "'''\n]\n'''",
    '"""a\n\\""" # "}\n"""', '""""a"\n"""""', "''''\n'''''", '""""""', '"""\\\n  """',
])  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: ("[", items)),
        st.dictionaries(KEYS, inner, max_size=3).map(lambda items: ("{", items)),
    ),
    max_leaves=8,
)


class Writer:
    """Writes TOML and remembers on which line it put what."""

    def __init__(self) -> None:
        self.text = ""
        self.lines: dict[KeyPath, int] = {}

    def note(self, path: KeyPath) -> None:
        self.lines[path] = self.text.count("\n") + 1

    def key(self, name: str) -> None:
        quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        self.text += name if re.fullmatch("[A-Za-z0-9_-]+", name) else quoted

    def value(self, value: Any, path: KeyPath) -> None:
        if isinstance(value, str):
            self.text += value
            return
        opening, items = value
        space = "\n  # ], }\n" if opening == "[" else " "
        self.text += opening
        for position, (key, item) in enumerate(enumerate(items) if opening == "[" else items.items()):
            self.text += ("," if position else "") + space
            self.note((*path, key))
            if opening == "{":
                self.key(key)
                self.text += " = "
            self.value(item, (*path, key))
        self.text += space + ("]" if opening == "[" else "}")


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=3), max_size=4), st.booleans())
def test_every_key_is_found_on_its_line(tables, many):
    """Strings of four kinds, arrays over several lines, inline tables and comments notwithstanding."""
    writer = Writer()
    for name, entries in tables.items():
        path: KeyPath = (name, 0) if many else (name,)
        writer.text += "# [x]\n\n" + ("[[ " if many else "[ ")
        writer.note(path)
        writer.key(name)
        writer.text += " ]]#\n" if many else "\t] # x = 1\n"
        for key, value in entries.items():
            writer.note((*path, key))
            writer.key(key)
            writer.text += " = "
            writer.value(value, (*path, key))
            writer.text += "\n"
    found = key_lines(writer.text)
    assert {path: found.get(path) for path in writer.lines} == writer.lines
    assert paths(tomllib.loads(writer.text)) == found.keys()


def paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    """Of every key and element below a value, and its own."""
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {path}.union(*(paths(inner, (*path, key)) for key, inner in pairs))


def test_tables_without_header_stand_where_their_first_key_does():
    """Dotted keys and headers of children make tables too; a header of their own is better."""
    text = 'a . "b.c".d = 1\n[e.f]\ng.h = 1\n[e]\ni = 1\n[[j.k]]\n[[j.k]]\nl = 1\n[j.k.m]\n'
    lines = key_lines(text)
    assert lines["a", "b.c"] == lines["a", "b.c", "d"] == 1
    assert (lines["e", "f"], lines["e", "f", "g"], lines["e",]) == (2, 3, 4)
    assert (lines["j", "k", 0], lines["j", "k", 1], lines["j", "k", 1, "l"], lines["j", "k", 1, "m"]) == (6, 7, 8, 9)
    assert paths(tomllib.loads(text)) == lines.keys()
