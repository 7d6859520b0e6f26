"""Reads `sources.toml` and refuses what is wrong in it, all at once, each with its line."""

from __future__ import annotations

import json
import re
import tomllib
import types
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from adapters.agreement import disagreements, unknown
from adapters.configuration import Configuration, Strict
from adapters.lines import KeyPath, key_lines
from schema.registry import Registry


class ConfigurationRefused(ValueError):
    """What is wrong in the file, one line each: `sources.toml:LINE: key: what is wrong, what is expected`.

    Values of credentials never appear.
    """

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = tuple(complaints)


def load_configuration(path: Path, registry: Registry) -> Configuration:
    """The configuration in a file; raises `ConfigurationRefused`."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigurationRefused([f"{path.name}: cannot be read, {type(error).__name__}"]) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationRefused([f"{path.name}:{line}: not UTF-8"]) from None
    return parse_configuration(text, registry, path.name)


def parse_configuration(text: str, registry: Registry, name: str = "sources.toml") -> Configuration:
    """The configuration that a text says; `name` stands before each complaint of `ConfigurationRefused`.

    A source with a mistake in its form is not checked further, the others are.
    """
    reading = _Reading()
    document = _document(text, name)
    configuration = reading.table((Configuration,), {**document, "source": {}}, ())
    sources = reading.value(_hints(Configuration)["source"], document.get("source", {}), ("source",))
    if isinstance(sources, dict):
        complete = {key: source for key, source in sources.items() if source is not None}
        reading.complaints += disagreements(complete, registry)
    if reading.complaints or not isinstance(configuration, Configuration):
        lines = key_lines(text.replace("\r\n", "\n"))
        placed = sorted(((_line(lines, path), path, said) for path, said in reading.complaints), key=lambda c: c[0])
        raise ConfigurationRefused([f"{name}:{line}: {_written(path)}: {said}" for line, path, said in placed])
    return msgspec.structs.replace(configuration, source=sources)


_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")


def _document(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        place = _PLACE.search(said)
        line = (place and place[1]) or text.rstrip("\n").count("\n") + 1
        raise ConfigurationRefused([f"{name}:{line}: not TOML: {_PLACE.sub('', said)}"]) from None
    except (ValueError, RecursionError):
        # A number of thousands of digits, or thousands of brackets: nobody's mistake, but no traceback either.
        raise ConfigurationRefused([f"{name}:1: not TOML: a number or a nesting beyond all bounds"]) from None


def _line(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    while path not in lines:
        path = path[:-1]
    return lines[path]


_BARE = re.compile(r"[A-Za-z0-9_-]+")


def _written(path: KeyPath) -> str:
    """A key path as the file would write it: `source.hubei.service."Project.siteStatus".covers[0]`."""
    parts = [
        f"[{part}]"
        if isinstance(part, int)
        else f".{part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False)}"
        for part in path
    ]
    return "".join(parts).removeprefix(".") or "file"


@cache
def _hints(kind: type[Strict]) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _tables(expected: Any) -> tuple[type[Strict], ...]:
    """The structures that a type names: itself, or the members of a union."""
    members = get_args(expected) if get_origin(expected) in (Union, types.UnionType) else (expected,)
    return tuple(member for member in members if isinstance(member, type) and issubclass(member, Strict))


class _Reading:
    """Tables become structures here, one by one, so that every mistake has its place; `msgspec` reads the leaves."""

    def __init__(self) -> None:
        self.complaints: list[tuple[KeyPath, str]] = []

    def _complain(self, path: KeyPath, said: str) -> None:
        self.complaints.append((path, said))

    def value(self, expected: Any, raw: Any, path: KeyPath) -> object:
        """What a TOML value means for a declared type; `None`, with a complaint, if nothing."""
        if tables := _tables(expected):
            return self.table(tables, raw, path)
        if get_origin(expected) in (Union, types.UnionType):
            expected = next(member for member in get_args(expected) if member is not types.NoneType)
        if get_origin(expected) is Mapping:
            if not isinstance(raw, dict):
                self._complain(path, f"{_given(raw)} is given, a table is expected")
                return None
            return {key: self.value(get_args(expected)[1], inner, (*path, key)) for key, inner in raw.items()}
        try:
            return msgspec.convert(raw, expected, strict=True)
        except msgspec.ValidationError as error:
            within = re.search(r" - at `\$\[(\d+)\]`\Z", str(error))
            place = (int(within[1]),) if within else ()
            self._complain(
                (*path, *place), _mistake(expected, raw[place[0]] if place else raw, str(error), bool(within))
            )
            return None

    def table(self, kinds: tuple[type[Strict], ...], raw: Any, path: KeyPath) -> Strict | None:
        """The structure that a table fills, of those that may stand here; `None` if there was a complaint."""
        if not isinstance(raw, dict):
            self._complain(path, f"{_given(raw)} is given, a table is expected")
            return None
        before = len(self.complaints)
        tag = kinds[0].__struct_config__.tag_field
        kind = self._kind(kinds, tag, raw, path) if tag else kinds[0]
        if kind is None:
            return None
        fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
        for key in raw.keys() - fields.keys() - {tag}:
            self._complain((*path, key), unknown("key", key, fields))
        for key, field in fields.items():
            if field.required and key not in raw:
                self._complain(path, f'the key "{key}" is missing')
        values = {
            field.name: self.value(_hints(kind)[field.name], raw[key], (*path, key))
            for key, field in fields.items()
            if key in raw
        }
        return kind(**values) if len(self.complaints) == before else None

    def _kind(
        self, kinds: tuple[type[Strict], ...], tag: str, raw: Mapping[str, Any], path: KeyPath
    ) -> type[Strict] | None:
        named: dict[Any, type[Strict]] = {kind.__struct_config__.tag: kind for kind in kinds}
        said = raw.get(tag)
        if isinstance(said, str) and said in named:
            return named[said]
        where, wrong = ((*path, tag), "no such name") if tag in raw else (path, f'the key "{tag}" is missing')
        self._complain(where, f"{wrong}, one of {', '.join(named)} is expected")
        return None


_WORDS = {
    "str": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "list": "a list",
    "dict": "a table",
}


def _given(raw: object) -> str:
    return _WORDS.get(type(raw).__name__, "a date or time")


def _mistake(expected: Any, raw: object, said: str, within: bool) -> str:
    """A complaint about a leaf; `said` by msgspec names types and bounds, and would name a wrong choice."""
    if not within and get_origin(expected) is Literal:
        choices = ", ".join(json.dumps(choice, ensure_ascii=False) for choice in get_args(expected))
        return f"no such choice, one of {choices} is expected"
    kind = re.match(r"Expected `(\w+)`", said)
    wanted = _WORDS.get(kind[1], kind[1]) if kind else "another value"
    if not within and get_origin(expected) is Annotated:
        described = [meta.description for meta in expected.__metadata__ if getattr(meta, "description", None)]
        wanted = described[0] if described else wanted
    wrong = f"{_given(raw)} is given" if ", got " in said else "empty" if raw == [] else "this value does not fit"
    return f"{wrong}, {wanted} is expected"
