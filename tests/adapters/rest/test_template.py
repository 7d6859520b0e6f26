"""Templates put values in with their types, and never read a value as a template."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.rest.template import NAMES, TemplateRefused, as_text, check_template, fill, placeholders

VALUES = {"keys": ["A1", "B2"], "keys:,": "A1,B2", "key": "A1", "first": 20, "page": 3, "now_ms": 1717200000000}


def test_a_text_that_is_a_placeholder_becomes_the_value_with_its_type():
    template = {"codes": "{keys}", "page": {"size": "{first}", "no": "{page}"}, "fixed": [1, None, True, "x"]}
    assert fill(template, VALUES) == {
        "codes": ["A1", "B2"],
        "page": {"size": 20, "no": 3},
        "fixed": [1, None, True, "x"],
    }


def test_within_a_text_it_becomes_text():
    assert fill("codes={keys:,};p={page}", VALUES) == "codes=A1,B2;p=3"
    assert fill("{page}{page}", VALUES) == "33"


def test_an_entry_without_value_is_left_out():
    template = {"from": "{after.decided_on}", "id": "> {after.record_no}", "in": [{"x": "{after.x}", "y": 1}, "{key}"]}
    assert fill(template, VALUES) == {"in": [{"y": 1}, "A1"]}
    assert fill(template, VALUES | {"after.decided_on": "20260101"})["from"] == "20260101"
    assert fill("{after.decided_on}", VALUES) is None


def test_braces_that_name_nothing_are_literal():
    template = {"filter": '{"a": {}}', "set": "{ }", "json": "{'x'}"}
    check_template(template)
    assert fill(template, VALUES) == template


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ({"a": "{kyes}"}, "unknown placeholder {kyes}"),
        ({"a": ["x {Key}"]}, "unknown placeholder {Key}"),
        ({"a": "{officer.phone}"}, "unknown placeholder {officer.phone}"),
        ({"a": "{after.}"}, "unknown placeholder {after.}"),
        ({"a": "{first:,}"}, "unknown placeholder {first:,}"),
        ({"{key}": "a"}, "a placeholder in a name; only values are filled"),
        ({"a": "in ({keys})"}, "{keys} is a list: within a text write {keys:,}"),
        ({"a": '{"code": "{key}"}'}, "{key} within a longer text"),
        ({"a": "bh gt {after.record_no} and qy eq 420100"}, "{after.record_no} within a longer text"),
        ({"a": "lsh={keys:,};n=1"}, "{keys:,} within a longer text"),
        ({"a": ["{reason}\n"]}, "{reason} within a longer text"),
        ({"a": "{officer.name}|{page}"}, "{officer.name} within a longer text"),
    ],
)
def test_what_cannot_be_filled_safely_is_refused(template: Any, said: str):
    with pytest.raises(TemplateRefused, match=re.escape(said)):
        check_template(template)


def test_values_of_our_own_may_stand_within_a_text():
    check_template({"a": "{page}/{first}", "b": "t={now}&n={now_ms}", "c": "urn:uuid:{uuid}", "d": "select {fields:,}"})


def test_every_documented_placeholder_is_known():
    template = [f"{{{name}}}" for name in NAMES] + ["{after.decided_on}"]
    check_template(template)
    assert placeholders(template) == NAMES | {"after.decided_on"}


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
SNIPPETS = st.sampled_from(["{key}", "{keys}", "{page}", "{after.x}", "a{key}b", "plain", "{", "}", "{}", "{{key}}"])
TEMPLATES = st.recursive(
    SNIPPETS | SCALARS.filter(lambda value: not isinstance(value, str)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=2), inner, max_size=3),
    max_leaves=12,
)
HOSTILE = st.sampled_from(["{key}", "{page}", "{after.x}", "{{key}}", "{", "}", '"', "}{", "%s", "\\"])


def reference(template: Any, values: dict[str, Any]) -> Any:
    """The same, slowly and with marks that no value holds: every placeholder is found before any value is put in."""
    if isinstance(template, dict):
        return {k: v for k, v in ((k, reference(v, values)) for k, v in template.items()) if v is not ...}
    if isinstance(template, list):
        return [v for v in (reference(v, values) for v in template) if v is not ...]
    if not isinstance(template, str):
        return template
    for name, value in values.items():
        if template == f"{{{name}}}":
            return value
    names = (*values, "after.x")
    starts = range(len(template))
    spots = sorted((at, name) for name in names for at in starts if template.startswith(f"{{{name}}}", at))
    if any(name not in values for _, name in spots):
        return ...
    text, done = "", 0
    for start, name in spots:
        text += template[done:start] + as_text(values[name])
        done = start + len(name) + 2
    return text + template[done:]


@given(TEMPLATES, st.lists(HOSTILE, min_size=1, max_size=4), HOSTILE | SCALARS, SCALARS)
def test_values_are_never_templates(template: Any, keys: list[str], key: Any, page: Any):
    values = {"keys": keys, "key": key, "page": page}
    expected = reference(template, values)
    assert fill(template, values) == (None if expected is ... else expected)


@given(SCALARS)
def test_types_are_kept(value: Any):
    filled = fill({"a": ["{key}"]}, {"key": value})["a"][0]
    assert filled == value
    assert type(filled) is type(value)
