"""A policy revision: rules, classes of fields and groups of department kinds, as plain immutable data.

A revision is parsed strictly (a cell that could be anything but a word, a code or a number is refused with its line)
and says nothing about the schema; whether it fits a registry is `policy.lint`'s question.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, field, fields
from importlib.resources import files
from types import MappingProxyType
from typing import Final

WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
WORD_OR_ANY = re.compile(rf"\*|{WORD.pattern}")
COLUMNS: Final[Mapping[str, re.Pattern[str]]] = MappingProxyType(
    {
        "id": re.compile(r"[A-Z0-9]+(-[A-Z0-9]+)*"),
        "role": WORD_OR_ANY,
        "level": WORD_OR_ANY,
        "kind": WORD_OR_ANY,
        "dept": re.compile(r"\*|[A-Z0-9][A-Z0-9_-]*"),
        "system": WORD_OR_ANY,
        "purpose": re.compile(r"\*|[A-Z0-9][A-Z0-9_-]*"),
        "obj": re.compile(r"[A-Za-z][A-Za-z0-9]*(\.(__[a-z]+__|[a-z][A-Za-z0-9]*))?"),
        "act": WORD,
        "rel": WORD,
        "scope": re.compile(r"-|[0-9]{6}(\|[0-9]{6})*"),
        "smin": re.compile(r"[0-9]"),
        "smax": re.compile(r"[0-9]"),
        "valid_from": re.compile(r"-|[0-9]{1,15}"),
        "valid_to": re.compile(r"-|[0-9]{1,15}"),
        "eft": WORD,
        "reason": re.compile(r"[^\x00-\x1f]+"),
    }
)
"""What a cell of each column may hold; the meaning of a word is checked by lint."""


class InvalidRevision(ValueError):
    """A policy file that cannot be read; says where."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__(f"{file}, line {line}: {reason}")
        self.file = file
        self.line = line
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the policy: the columns of the model's `p` in their order, and why it exists.

    `*` means any and never stands in `obj`; `valid_from` and `valid_to` are UTC seconds or '-', the window half-open.
    """

    id: str
    role: str
    level: str
    kind: str
    dept: str
    system: str
    purpose: str
    obj: str
    act: str
    rel: str
    scope: str
    smin: str
    smax: str
    valid_from: str
    valid_to: str
    eft: str
    reason: str

    @property
    def values(self) -> tuple[str, ...]:
        """The row as Casbin reads it."""
        return tuple(getattr(self, name) for name in RULE_COLUMNS)


RULE_COLUMNS: Final = tuple(f.name for f in fields(Rule) if f.name != "reason")
"""The model's `p`, in order."""
_RULES, _CLASSES, _KINDS = "rules.csv", "classes.csv", "kinds.csv"
_HEADERS: Final = {_RULES: tuple(COLUMNS), _CLASSES: ("obj", "class"), _KINDS: ("kind", "counts_as")}


@dataclass(frozen=True)
class Revision:
    """Rules (sorted by id), policy object to class, department kind to kind. Equal content is the same revision."""

    rules: tuple[Rule, ...] = field(compare=False, repr=False)
    classes: Mapping[str, str] = field(compare=False, repr=False)
    kinds: tuple[tuple[str, str], ...] = field(compare=False, repr=False)
    id: str = field(init=False)
    """Digest of the content; the order of the rows has no meaning and no part in it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(sorted(self.rules, key=astuple)))
        object.__setattr__(self, "classes", MappingProxyType(dict(sorted(self.classes.items()))))
        object.__setattr__(self, "kinds", tuple(sorted(self.kinds)))
        content = [[list(astuple(rule)) for rule in self.rules], sorted(self.classes.items()), self.kinds]
        object.__setattr__(self, "id", hashlib.sha256(json.dumps(content).encode()).hexdigest())


def parse_revision(rules: str, classes: str, kinds: str) -> Revision:
    """Read the three CSV texts; raises `InvalidRevision` at the first cell that is not what its column holds."""
    listed = tuple(Rule(*cells) for _, cells in _rows(_RULES, rules, lambda column: COLUMNS[column]))
    mapped: dict[str, str] = {}
    for line, (obj, name) in _rows(_CLASSES, classes, lambda column: COLUMNS["obj"] if column == "obj" else WORD):
        if mapped.setdefault(obj, name) != name:
            raise InvalidRevision(_CLASSES, line, f"{obj} has a class already")
    pairs = tuple((kind, parent) for _, (kind, parent) in _rows(_KINDS, kinds, lambda _: WORD))
    return Revision(listed, mapped, pairs)


def revision_texts(revision: Revision) -> tuple[str, str, str]:
    """The CSV texts of rules, classes and kinds, as `parse_revision` reads them."""
    tables = {
        _RULES: [astuple(rule) for rule in revision.rules],
        _CLASSES: list(revision.classes.items()),
        _KINDS: list(revision.kinds),
    }
    texts = []
    for file, rows in tables.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_HEADERS[file])
        writer.writerows(rows)
        texts.append(text.getvalue())
    return texts[0], texts[1], texts[2]


def _rows(file: str, text: str, pattern: Callable[[str], re.Pattern[str]]) -> Iterable[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        header = next(reader, [])
        if tuple(header) != _HEADERS[file]:
            raise InvalidRevision(file, 1, f"the columns are {','.join(_HEADERS[file])}")
        for cells in reader:
            if len(cells) != len(header):
                raise InvalidRevision(file, reader.line_num, f"{len(cells)} cells for {len(header)} columns")
            for column, cell in zip(header, cells, strict=True):
                if pattern(column).fullmatch(cell) is None:
                    raise InvalidRevision(file, reader.line_num, f"{cell!r} cannot stand in the column {column}")
            yield reader.line_num, cells
    except csv.Error as error:
        raise InvalidRevision(file, reader.line_num, str(error)) from error


def load_default() -> Revision:
    """The revision that ships with the product: the default matrix (docs/adr/0002-default-matrix.md)."""
    folder = files("policy") / "revision"
    return parse_revision(*((folder / name).read_text(encoding="utf-8") for name in (_RULES, _CLASSES, _KINDS)))
