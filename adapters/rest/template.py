"""Bodies and queries as an operator writes them, with placeholders where a call's values go.

A text that is exactly a placeholder becomes the value with its JSON type, so "{keys}" a list and "{first}" a number; in
a longer text, where only values of our own may stand, it becomes text. A value is put in once and never read again as a
template. `{keys:,}` and `{fields:,}` are the list as one text. An entry with `{after.ATTRIBUTE}` is left out while a
list is read from its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.:,]+)\}")
_AFTER = re.compile(r"after\.[a-z][a-z0-9_]*")
NAMES = frozenset(
    {
        "keys", "keys:,", "key", "fields", "fields:,", "first", "page", "reason", "uuid", "now", "now_ms",
        "officer.id_no", "officer.name", "officer.department", "officer.address",
    }
)  # fmt: skip
"""Every placeholder but `after.ATTRIBUTE`."""
_LISTS = frozenset({"keys", "fields"})
_WITHIN_TEXT = frozenset({"fields:,", "first", "page", "uuid", "now", "now_ms"})
"""Ours: numbers, times and configured names. Anybody else's value could break out of whatever language the text is."""
_OMITTED = object()


class TemplateRefused(ValueError):
    """A template that cannot be filled; the text names the placeholder."""


def placeholders(template: Any) -> set[str]:
    """The names of a template's placeholders, known or not."""
    if isinstance(template, str):
        return set(_PLACEHOLDER.findall(template))
    if isinstance(template, Mapping):
        return set().union(*(placeholders(key) | placeholders(item) for key, item in template.items()))
    if isinstance(template, list | tuple):
        return set().union(*map(placeholders, template))
    return set()


def check_template(template: Any) -> None:
    """Raise `TemplateRefused` for an unknown placeholder, or one that stands where no value can be put safely."""
    for name in sorted(placeholders(template)):
        if name not in NAMES and not _AFTER.fullmatch(name):
            raise TemplateRefused(f"unknown placeholder {{{name}}}")
    _check_places(template)


def fill(template: Any, values: Mapping[str, object]) -> Any:
    """The template with its placeholders replaced, as plain dicts and lists; one without a value omits its entry."""
    filled = _filled(template, values)
    return None if filled is _OMITTED else filled


def as_text(value: object) -> str:
    """A JSON scalar as it stands in a text or query; a list's items with commas between."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(map(as_text, value))
    return "" if value is None else str(value)


def _check_places(template: Any) -> None:
    if isinstance(template, Mapping):
        for key, item in template.items():
            if placeholders(key):
                raise TemplateRefused("a placeholder in a name; only values are filled")
            _check_places(item)
    elif isinstance(template, list | tuple):
        for item in template:
            _check_places(item)
    elif isinstance(template, str) and not _PLACEHOLDER.fullmatch(template):
        names = placeholders(template)
        for name in sorted(names & _LISTS):
            raise TemplateRefused(f"{{{name}}} is a list: within a text write {{{name}:,}}")
        for name in sorted(names - _WITHIN_TEXT):
            raise TemplateRefused(f"{{{name}}} within a longer text, where its value could mean something else")


def _filled(template: Any, values: Mapping[str, object]) -> Any:
    if isinstance(template, str):
        return _filled_text(template, values)
    if isinstance(template, Mapping):
        entries = ((key, _filled(item, values)) for key, item in template.items())
        return {key: item for key, item in entries if item is not _OMITTED}
    if isinstance(template, list | tuple):
        return [item for item in (_filled(item, values) for item in template) if item is not _OMITTED]
    return template


def _filled_text(template: str, values: Mapping[str, object]) -> Any:
    if "{" not in template:
        return template
    if whole := _PLACEHOLDER.fullmatch(template):
        return values.get(whole[1], _OMITTED)
    parts = _PLACEHOLDER.split(template)
    if any(name not in values for name in parts[1::2]):
        return _OMITTED
    return "".join(as_text(values[part]) if at % 2 else part for at, part in enumerate(parts))
