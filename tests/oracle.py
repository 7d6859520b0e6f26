"""What one subject may see under one revision at one time, asked of `enforce` row by row and cell by cell.

From the compiled decision come two bits that no row can tell: whether something is never clear (null rather than
empty, refused rather than unsatisfied), and whether it may order.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from casbin.util import generate_g_function

from schema.declare import Relation
from schema.predicate import NEVER

if TYPE_CHECKING:
    import casbin

    from policy.decide import Snapshot
    from policy.subject import Subject
    from schema.registry import Entity, Field, Registry
    from tests.reference_rows import Record, Tables


class Refused(Exception):
    """The operation is refused as a whole."""


@dataclass
class Oracle:
    """The verdicts, each asked once; `cells` counts them."""

    tables: Tables
    registry: Registry
    snapshot: Snapshot
    subject: Subject
    now: int
    cells: int = 0
    anyone: bool = False
    """Whether it speaks for someone to whom nothing is closed."""
    _known: dict[tuple[Any, str, int], bool] = field(default_factory=dict)
    _alike: dict[str, Any] = field(default_factory=dict)
    _shown: dict[str, list[Record]] = field(default_factory=dict)
    _linked: dict[tuple[str, str, int], list[Record]] = field(default_factory=dict)
    _sorted: dict[str, bool] = field(default_factory=dict)

    def allowed(self, obj: str, act: str, row: Record) -> bool:
        key = (obj, act, row["#"])
        if key not in self._known:
            alike = (self.alike(obj), act, row["#"])
            if alike not in self._known:
                self._known[alike] = self.snapshot.enforcer.enforce(self.subject, obj, act, row["@"], self.now)
            self._known[key] = self._known[alike]
        return self._known[key]

    def alike(self, obj: str) -> Any:
        """What the model can tell of an object (`model.conf`: its class, system and governance, or its own name)."""
        if obj not in self._alike:
            entity, revision = self.registry.entity_of(obj), self.snapshot.revision
            named = obj if any(rule.obj == obj for rule in revision.rules) else ""
            self._alike[obj] = (revision.classes.get(obj), entity.system, entity.governed.by != "none", named)
        return self._alike[obj]

    def verdict(self, entity: Entity, attribute: Field, row: Record) -> str:
        """Of an attribute of a visible row."""
        obj = entity.policy_object(attribute)
        self.cells += 1
        if self.allowed(obj, "clear", row):
            return "CLEAR"
        return "MASKED" if obj != entity.row and self.allowed(obj, "mask", row) else "DENIED"

    def clear(self, entity: Entity, attribute: Field, row: Record) -> bool:
        return self.verdict(entity, attribute, row) == "CLEAR"

    def visible(self, entity: Entity, rows: list[Record]) -> list[Record]:
        return [row for row in rows if self.allowed(entity.row, "clear", row)]

    def shown(self, entity: Entity) -> list[Record]:
        """All rows that may be shown."""
        if entity.name not in self._shown:
            self._shown[entity.name] = self.visible(entity, self.tables.rows[entity.name])
        return self._shown[entity.name]

    def linked(self, entity: Entity, link: Field, row: Record) -> list[Record]:
        """The rows at the other end that may be shown: visible, and so is the attribute that links them."""
        # The tables keep their rows, so a row is known by its address.
        key = (entity.name, link.name, id(row))
        if key not in self._linked:
            self._linked[key] = self._follow(entity, link, row)
        return self._linked[key]

    def _follow(self, entity: Entity, link: Field, row: Record) -> list[Record]:
        target, by, listed = self._ends(entity, link)
        if listed:
            children = self.tables.where(target, by, row[entity.key.attribute.column])
            return [child for child in self.visible(target, children) if self.clear(target, by, child)]
        if not self.clear(entity, by, row):
            return []
        return self.visible(target, self.tables.where(target, target.key, row[by.attribute.column]))

    def link_verdict(self, entity: Entity, link: Field, row: Record) -> str:
        """What `_disclosure` says of a relation: of one to one, what it says of the attribute that links."""
        _, by, listed = self._ends(entity, link)
        if self.never_linked(entity, link):
            return "DENIED"
        return "CLEAR" if listed else self.verdict(entity, by, row)

    def never_linked(self, entity: Entity, link: Field) -> bool:
        target, by, listed = self._ends(entity, link)
        return self.never_visible(target) or self.never(target if listed else entity, by)

    def never_visible(self, entity: Entity) -> bool:
        return not self.anyone and self.snapshot.decide(self.subject, self.now).row(entity).clear == NEVER

    def never(self, entity: Entity, attribute: Field) -> bool:
        if self.anyone or attribute.name == entity.key.name:
            return False
        return bool(self.snapshot.decide(self.subject, self.now).field(entity, attribute).clear == NEVER)

    def may_order(self, entity: Entity, attribute: Field) -> bool:
        if self.anyone or attribute.name == entity.key.name:
            return True
        if attribute.coordinate not in self._sorted:
            provable = self.snapshot.decide(self.subject, self.now).field(entity, attribute).provable_clear
            if provable:
                clear = all(self.clear(entity, attribute, row) for row in self.shown(entity))
                assert clear, f"{attribute.coordinate} is not clear"
            self._sorted[attribute.coordinate] = provable
        return self._sorted[attribute.coordinate]

    def _ends(self, entity: Entity, link: Field) -> tuple[Entity, Field, bool]:
        """The target, the attribute that links (the target's, if there are many), and whether there are many."""
        assert isinstance(link.member, Relation)
        target, listed = self.registry.entity(link.type.name), link.type.is_list
        return target, (target if listed else entity).by_name[link.member.by], listed


class Matcher:
    """The model's matcher compiled once by Python, which Casbin parses and interprets anew for every question."""

    def __init__(self, enforcer: casbin.Enforcer) -> None:
        functions = dict(enforcer.fm.get_functions())
        functions.update({name: generate_g_function(section.rm) for name, section in enforcer.model["g"].items()})
        tree = enforcer._get_expression(enforcer.model["m"]["m"].value, functions).ast_parsed_value
        self._code = compile(ast.Expression(tree), "matcher", "eval")
        self._functions: dict[str, Any] = {name: cache(function) for name, function in functions.items()}

    @classmethod
    def install(cls, enforcer: casbin.Enforcer) -> None:
        matcher = cls(enforcer)
        enforcer._get_expression = lambda _text, _functions: matcher

    def eval(self, names: dict[str, Any]) -> Any:
        return eval(self._code, self._functions, names)
