"""Operations as trees of selections, and as text with its variables."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphql import GraphQLInputObjectType, GraphQLList, GraphQLNonNull

if TYPE_CHECKING:
    from random import Random


class Name(str):
    """An enum value, which a document writes without quotes."""

    __slots__ = ()


@dataclass
class Pick:
    """A selected field with its arguments."""

    name: str
    alias: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    below: list[Pick | Spread] | None = None
    parent: str = ""
    when: tuple[str, bool] | None = None


@dataclass
class Spread:
    """A fragment: named or inline, with or without a type condition."""

    condition: str
    named: bool
    below: list[Pick | Spread]
    when: tuple[str, bool] | None = None


@dataclass(frozen=True)
class Operation:
    """One operation as text and variables."""

    query: str
    variables: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.query}\nvariables {json.dumps(self.variables, ensure_ascii=False)}"


class Text:
    """Writes one operation; with `lift`, some values become variables, given, defaulted or left out."""

    def __init__(self, kinds: Any, rng: Random, lift: bool) -> None:
        self.kinds, self.rng, self.lift = kinds, rng, lift
        self.declared: list[str] = []
        self.variables: dict[str, Any] = {}
        self.fragments: list[str] = []
        self.written: dict[int, str] = {}

    def operation(self, picks: list[Pick]) -> Operation:
        body = " ".join(self.selection(pick) for pick in picks)
        head = f"query ({', '.join(self.declared)}) " if self.declared else "query "
        return Operation("\n".join((f"{head}{{ {body} }}", *self.fragments)), self.variables)

    def selection(self, one: Pick | Spread) -> str:
        when = ""
        if one.when is not None:
            flag = self.value(GraphQLNonNull(self.kinds["Boolean"]), one.when[1])
            when = f" @{one.when[0]}(if: {flag})"
        below = f" {{ {' '.join(map(self.selection, one.below))} }}" if one.below is not None else ""
        if isinstance(one, Spread):
            on = f"on {one.condition}" if one.condition else ""
            if not one.named:
                return f"... {on}{when}{below}"
            self.fragments.append(f"fragment F{len(self.fragments) + 1} {on}{below}")
            return f"...F{len(self.fragments)}{when}"
        declared = self.kinds[one.parent].fields[one.name].args if one.arguments else {}
        if id(one.arguments) not in self.written:
            given = [f"{name}: {self.value(declared[name].type, value)}" for name, value in one.arguments.items()]
            # A field that is selected twice must have the same arguments, so the same variables, both times.
            self.written[id(one.arguments)] = f"({', '.join(given)})" if given else ""
        arguments = self.written[id(one.arguments)]
        alias = f"{one.alias}: " if one.alias else ""
        return f"{alias}{one.name}{arguments}{when}{below}"

    def value(self, kind: Any, value: Any) -> str:
        if self.lift and self.rng.randrange(100) < 45:
            return self.variable(kind, value)
        if value is None:
            return "null"
        inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
        if isinstance(inner, GraphQLList) and isinstance(value, list):
            return "[" + ", ".join(self.value(inner.of_type, item) for item in value) + "]"
        if isinstance(value, dict):
            fields = inner.fields if isinstance(inner, GraphQLInputObjectType) else {}
            parts = (f"{k}: {self.value(fields[k].type, v) if fields else _literal(v)}" for k, v in value.items())
            return "{" + ", ".join(parts) + "}"
        return _literal(value)

    def variable(self, kind: Any, value: Any) -> str:
        name = f"v{len(self.declared) + 1}"
        default = ""
        if value is not None and self.rng.randrange(100) < 12:
            default = f" = {_literal(value)}"
        else:
            self.variables[name] = json.loads(json.dumps(value))
        self.declared.append(f"${name}: {kind}{default}")
        return f"${name}"


def _literal(value: Any) -> str:
    match value:
        case Name():
            return str(value)
        case list():
            return "[" + ", ".join(map(_literal, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{k}: {_literal(v)}" for k, v in value.items()) + "}"
        case _:
            return json.dumps(value, ensure_ascii=False)
