"""The way of one request in docs/architecture.md: which functions it names, and at which lines they stand.

    python tests/docs/way.py

writes the line numbers anew; whether the functions are called, and in this order, is for the test to say.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
_STEP = re.compile(r"^(\d+)\. \[`([\w/]+\.py):(\d+)`\]\(\.\./([\w/]+\.py)#L(\d+)\) `([\w.]+)`", re.MULTILINE)


class Step(NamedTuple):
    """A function on the way: its file below the root, and its qualified name."""

    path: str
    name: str


def steps(page: str) -> list[Step]:
    """The steps of a page, in its order."""
    return [Step(found[2], found[6]) for found in _STEP.finditer(page)]


def renumbered(page: str) -> str:
    """The page with steps counted from one and every line number as the file has it; raises `KeyError` for a name
    that the file does not define."""
    count = 0

    def line(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        path, name = found[2], found[6]
        number = _lines(path)[name]
        return f"{count}. [`{path}:{number}`](../{path}#L{number}) `{name}`"

    return _STEP.sub(line, page)


@lru_cache
def _lines(path: str) -> dict[str, int]:
    found: dict[str, int] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[prefix + child.name] = child.lineno
                visit(child, f"{prefix}{child.name}.")

    visit(ast.parse((ROOT / path).read_text()), "")
    return found


if __name__ == "__main__":
    PAGE.write_text(renumbered(PAGE.read_text()))
