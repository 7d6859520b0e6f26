"""A row as the policy sees it refuses what a policy attribute cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from policy.row import Row
from schema.predicate import POLICY_ATTRIBUTES

ATTRIBUTES: dict[str, Any] = {**dict.fromkeys(POLICY_ATTRIBUTES, "-"), "@manage": "420102", "@sens": 3}


def test_a_row_is_read_from_its_attributes_and_gives_them_back():
    row = Row.of({**ATTRIBUTES, "@manage2": "42"})
    assert row == Row(manage="420102", sens=3)
    assert row.attributes == ATTRIBUTES


@pytest.mark.parametrize("changes", [{"@owner_dept": None}, {"@sens": "3"}, {"@sens": None}, {"@sens": True}])
def test_null_and_other_types_are_refused(changes):
    with pytest.raises(TypeError):
        Row.of({**ATTRIBUTES, **changes})


@pytest.mark.parametrize("sens", [-1, 10])
def test_a_sensitivity_outside_the_scale_is_refused(sens):
    with pytest.raises(ValueError, match="0 to 9"):
        Row(sens=sens)


def test_a_missing_attribute_is_refused():
    with pytest.raises(KeyError):
        Row.of({"@manage": "420102"})
