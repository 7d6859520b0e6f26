"""Policies to compare under: random ones that nobody would write, and one that opens everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from policy.revision import Revision, Rule, load_default
from schema.regions import MINISTRY, load_regions

if TYPE_CHECKING:
    from random import Random

    from schema.registry import Registry
    from tests.reference_rows import Tables

FAR = 4_000_000_000
"""A time that no run of the tests reaches; `BEGUN` is one that all have passed."""
BEGUN = 1_000_000_000


RELATIONS = ("any", "within", "own", "sub", "sup", "located", "other", "unknown", "owner", "holder", "case", "in")
CLASSES = ("PUBLIC", "SHARED", "CONDITIONAL", "RESTRICTED", "PERSONAL")


def rule(number: int, **cells: str) -> Rule:
    """A rule that applies to everyone at any time, but for the cells given."""
    usual = dict.fromkeys(("role", "level", "kind", "dept", "system", "purpose"), "*")
    usual |= {"obj": "PUBLIC", "act": "clear", "rel": "any", "scope": "-", "smin": "0", "smax": "9"}
    usual |= {"valid_from": "-", "valid_to": "-", "eft": "allow", "reason": "test"}
    return Rule(id=f"T{number}", **(usual | cells))


def open_revision() -> Revision:
    """Everything clear for everyone, unresolved rows for whoever has a territory."""
    pairs = [(name, rel) for name in CLASSES for rel in ("any", "unknown")]
    opened = [rule(i, obj=name, rel=rel) for i, (name, rel) in enumerate(pairs)]
    default = load_default()
    return Revision(tuple(opened), default.classes, default.kinds)


def hostile_revision(rng: Random, registry: Registry, nodes: list[str]) -> Revision:
    """A policy that nobody would write: shuffled classes, denies, windows, purposes, rules for single fields."""
    default = load_default()
    classes = {obj: rng.choice(CLASSES[:3]) if rng.randrange(6) == 0 else name for obj, name in default.classes.items()}
    classes = {obj: name for obj, name in classes.items() if obj.endswith("__row__") or rng.randrange(25)}
    objects = sorted(registry.proposals())
    governed = [o for o in objects if registry.entity_of(o).governed.by != "none"]
    rules = [rule(0, smax=rng.choice(("0", "6"))), rule(1, obj="SHARED", rel=rng.choice(("any", "within", "other")))]
    for number in range(2, rng.randrange(8, 30)):
        rel = rng.choice(RELATIONS)
        obj = rng.choice(CLASSES) if rng.randrange(3) else rng.choice(objects if rel == "any" else governed)
        denied = rng.randrange(4) == 0
        act = "mask" if rng.randrange(2) and not (obj.endswith("__row__") and not denied) else "clear"
        if rel == "in" and (obj == "RESTRICTED" or classes.get(obj) == "RESTRICTED"):
            rel = "within"
        cells = {"obj": obj, "act": act, "rel": rel, "eft": "deny" if denied else "allow"}
        cells |= {"scope": "|".join(rng.sample(nodes, 2)) if rel == "in" else "-"}
        low = rng.choice((0, 0, 0, 3, 6))
        cells |= {"smin": str(low), "smax": str(rng.randrange(low, 10))}
        for column, values in (
            ("level", ("PROVINCE", "CITY", "COUNTY", "PUBLIC")), ("kind", ("HOUSING", "ENTERPRISE")),
            ("system", ("SAFETY", "SHARED")), ("purpose", ("CASE",)), ("role", ("case_handler",)),
            ("valid_from", (str(BEGUN), str(FAR))), ("valid_to", (str(BEGUN), str(FAR + 1))),
        ):  # fmt: skip
            if rng.randrange(10) == 0:
                cells[column] = rng.choice(values)
        if cells.get("valid_from", "-") != "-" and cells.get("valid_to") == str(BEGUN):
            del cells["valid_to"]
        rules.append(rule(number, **cells))
    return Revision(tuple(rules), classes, default.kinds)


def nodes_of(tables: Tables) -> list[str]:
    """Supervision nodes that manage some row."""
    known = load_regions()
    found = {row["@"].manage for rows in tables.rows.values() for row in rows}
    return sorted(code for code in found if known.is_node(code) and code != MINISTRY)
