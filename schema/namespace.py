"""The namespace in which Strawberry resolves the annotations of generated classes."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import strawberry

BUILT_IN = {"ID": "strawberry.ID", "String": "str", "Int": "int", "Boolean": "bool"}


def python_name(scalar: str) -> str:
    """How an annotation names a scalar."""
    return BUILT_IN.get(scalar, scalar)


class Namespace:
    """Classes made for one schema, bound by name; lives while the schema is built."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.module: Any = ModuleType(name)
        self.module.__dict__.update(strawberry=strawberry, typing=typing)

    def __contains__(self, name: str) -> bool:
        return hasattr(self.module, name)

    def bind(self, name: str, thing: Any) -> Any:
        """Bind a name, so that annotations can use it."""
        setattr(self.module, name, thing)
        return thing

    def make(
        self, name: str, annotations: Mapping[str, str], members: Mapping[str, object], base: type = object
    ) -> type:
        """A class with annotations as text, which may name what is bound only later."""
        body = {"__module__": self.name, "__annotations__": dict(annotations), **members}
        made: type = self.bind(name, type(name, (base,), body))
        return made
