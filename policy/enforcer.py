"""A Casbin enforcer over one revision: built once, never changed, never logging.

Casbin answers single questions slowly; here it is the authority that `policy.compile` walks and is proved against.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any, Final

import casbin
from casbin.persist import Adapter

from policy.revision import Revision
from schema.predicate import POLICY_ATTRIBUTES, PREFIXED, Value
from schema.regions import ancestors, prefix
from schema.registry import Registry

MODEL: Final = (files("policy") / "model.conf").read_text(encoding="utf-8")
"""Text of the model."""
POLICY_NAMES: Final = (*POLICY_ATTRIBUTES, *(name for names in PREFIXED.values() for name in names))
"""The policy attributes of a row with their derived prefixes."""


@dataclass(frozen=True, slots=True)
class PolicyObject:
    """What is static about a policy object: its system, and what its entity's rows have no column for."""

    coordinate: str
    system: str
    governed: bool
    constants: tuple[tuple[str, Value], ...]


def policy_objects(registry: Registry) -> Mapping[str, PolicyObject]:
    """Every policy object of the schema by coordinate."""
    found = {}
    for coordinate in registry.proposals():
        hosts = registry.hosts_of(coordinate)
        # What one host has a column for is not constant, though another host's rows have none.
        constants = tuple(
            (name, hosts[0].governed.constant(name))
            for name in POLICY_NAMES
            if all(host.governed.column(name) is None for host in hosts)
        )
        found[coordinate] = PolicyObject(coordinate, hosts[0].system, hosts[0].governed.by != "none", constants)
    return found


def under(code: str, prefixes: Iterable[str]) -> bool:
    """Whether a region code lies in one of the subtrees; a prefix of all six digits is the code itself."""
    return any(code == start if len(start) == 6 else code[: len(start)] == start for start in prefixes)


@lru_cache(maxsize=4096)
def codes(scope: str) -> tuple[str, ...]:
    """The prefixes of an agreement's scope ("420000|430100"), nested ones merged; none for '-'."""
    listed = {code for code in scope.split("|") if code != "-"}
    return tuple(sorted(prefix(code) for code in listed if not any(up in listed for up in ancestors(code))))


class _Rows(Adapter):  # type: ignore[misc]
    """Hands the revision to Casbin as lists: its own CSV reader gives meaning to brackets and hashes."""

    def __init__(self, revision: Revision) -> None:
        self._revision = revision

    def load_policy(self, model: Any) -> None:
        for rule in self._revision.rules:
            model.add_policy("p", "p", list(rule.values))
        for kind, parent in self._revision.kinds:
            model.add_policy("g", "g", [kind, parent])
        for coordinate, name in self._revision.classes.items():
            model.add_policy("g", "g2", [coordinate, name])


def build_enforcer(revision: Revision, objects: Mapping[str, PolicyObject], model: str = MODEL) -> casbin.Enforcer:
    """A new enforcer with the functions that the model names; `system` and `governed` are static in the object."""
    enforcer = casbin.Enforcer(casbin.Enforcer.new_model(text=model), _Rows(revision))
    # Casbin would log each request, personal attributes of the row included, and any later logging configuration of
    # the process enables its named loggers again; this one belongs to nobody.
    enforcer.logger = logging.Logger("policy.silent", level=logging.CRITICAL + 1)  # noqa: LOG001
    enforcer.add_function("num", int)
    enforcer.add_function("under", under)
    enforcer.add_function("codes", codes)
    enforcer.add_function("system", lambda obj: objects[obj].system if obj in objects else "-")
    enforcer.add_function("governed", lambda obj: obj in objects and objects[obj].governed)
    return enforcer
