"""Misbehaviour in the data: what a careless or hostile system puts into its records."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Raw = dict[str, Any]

HOSTILE: tuple[object, ...] = (
    "'; DROP TABLE zlaq.project; --",
    '"},{"name":"不该出现","sens":0',
    "00000000000000000000000000000000|0|0|4201062603180101|1",
    "\u0000起\u0000",
    "\ud800孤立代理",
    10**400,
    -(2**63),
    [],
    {"a": {"b": [None]}},
    True,
    ["在建", None, 1],
    "{keys:,}{officer.id_no}",
    "<script>alert('质安')</script>",
    "\u202e倒\ufeff\u200b",
    "１２３４５６７８９０",
    "9999-99-99",
    "长" * 5000,
    {"__proto__": {"admin": True}},
    "%s%n%00\\u0000",
)
"""Values of the wrong type or in the shape of something else; JSON can carry all of them."""


def hostile(records: Sequence[Raw], key: str, params: Mapping[str, Any]) -> list[Raw]:
    """Every value but the key replaced; `variant` says where in `HOSTILE` to begin, so that each meets each."""
    start = int(params.get("variant", 0))
    return [
        {
            name: value if name == key else _replaced(value, key, start + row + column)
            for column, (name, value) in enumerate(record.items())
        }
        for row, record in enumerate(records)
    ]


def _replaced(value: object, key: str, number: int) -> object:
    """Objects, and lists of them, keep their form, so that the values inside are reached too."""
    if isinstance(value, dict):
        return hostile([value], key, {"variant": number})[0]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return hostile(value, key, {"variant": number})
    return HOSTILE[number % len(HOSTILE)]


def extra(records: Sequence[Raw], key: str, params: Mapping[str, Any]) -> list[Raw]:
    """Fields nobody asked for, and `records` records of keys that nobody asked for."""
    more = [
        dict.fromkeys(record, "未请求") | {key: f"999999{number:012d}"}
        for record in records[:1]
        for number in range(int(params.get("records", 3)))
    ]
    return [record | {"sfzhm": "身份证号", "weiqingqiu": {"a": 1}} for record in records] + more


def wrong_key(records: Sequence[Raw], key: str, params: Mapping[str, Any]) -> list[Raw]:
    """Records of other keys than those asked."""
    return [record | {key: params.get("key", f"{str(record.get(key))[:-2]}99")} for record in records]


def duplicate(records: Sequence[Raw], key: str, params: Mapping[str, Any]) -> list[Raw]:
    """Every record twice; the second has other texts."""
    return [
        version
        for record in records
        for version in (
            record,
            {k: f"{v}（重）" if isinstance(v, str) and k != key else v for k, v in record.items()} | dict(params),
        )
    ]


def reorder(records: Sequence[Raw], key: str, params: Mapping[str, Any]) -> list[Raw]:
    """The same records in another order: reversed, or shuffled by `seed`."""
    del key
    if "seed" not in params:
        return [*reversed(records)]
    shuffled = [*records]
    random.Random(params["seed"]).shuffle(shuffled)
    return shuffled


def empty(records: Sequence[Raw], key: str, params: Mapping[str, Any]) -> list[Raw]:
    """No records at all."""
    del records, key, params
    return []


def gigantic(records: Sequence[Raw], key: str, params: Mapping[str, Any]) -> list[Raw]:
    """`records` copies of what there is, so that the list is huge."""
    del key
    return [*records] * max(1, int(params.get("records", 0)) // max(1, len(records)))


DISTORTIONS: Mapping[str, Callable[[Sequence[Raw], str, Mapping[str, Any]], list[Raw]]] = {
    "hostile": hostile,
    "extra": extra,
    "wrong_key": wrong_key,
    "duplicate": duplicate,
    "reorder": reorder,
    "empty": empty,
    "gigantic": gigantic,
}


def distorted(records: Sequence[Raw], key: str, behaviours: Mapping[str, Mapping[str, Any]]) -> list[Raw]:
    """The records after all misbehaviours that are about data."""
    found = list(records)
    for name, distort in DISTORTIONS.items():
        if name in behaviours:
            found = distort(found, key, behaviours[name])
    return found
