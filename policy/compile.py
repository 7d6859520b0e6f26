"""Partial evaluation: the model's matcher, with subject, object and rule known, becomes a predicate over the row.

The tree walked here is the one Casbin itself walks, and each part that does not read the row is evaluated by Casbin's
own evaluator. What remains must be and/or/not, comparisons, membership and `under`; a matcher with anything else is
refused when the policy is published. All atoms are two-valued, so `OR(allows) AND NOT OR(denies)` is exactly what the
effect computes.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import casbin
from casbin.util import generate_g_function

from policy.enforcer import PolicyObject
from policy.revision import RULE_COLUMNS, Revision, Rule
from policy.subject import Subject
from schema.predicate import (
    ALWAYS,
    NEVER,
    PREFIXED,
    Always,
    And,
    Eq,
    In,
    Never,
    Not,
    Or,
    Predicate,
    Range,
    Value,
    all_of,
    any_of,
    holds,
    negate,
)
from schema.simplify import assume

_RESULTS_AT_MOST = 1 << 16
_OBJECT_READS: Final = ("r_obj == p_obj", "g2(r_obj, p_obj)", "system(r_obj)", "governed(r_obj)")
"""How a matcher may read the object, so that one compilation serves all fields of a class."""

Residual = Callable[[], Predicate]


class PolicyRefused(Exception):
    """A policy that cannot be published; says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What tells policy objects apart: their class, or their own name where a rule names them."""

    cls: str | None
    system: str
    governed: bool
    named: str | None


@dataclass(frozen=True, slots=True)
class Compiled:
    """Rows for which an act is allowed, and the ids of the rules that can matter to that."""

    where: Predicate
    rules: tuple[str, ...]


DENIED: Final = Compiled(NEVER, ())


@dataclass(frozen=True, slots=True)
class Rights:
    """A subject at a moment: the rules (by position) that may apply whatever the object, and what they read of it."""

    parts: Mapping[str, Any]
    rules: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Conjunct:
    """One operand of the matcher's outermost `and`, with the parts of rule and request that it reads."""

    residual: Residual
    of_rule: tuple[int, ...]
    of_subject: tuple[str, ...]
    of_object: tuple[str, ...]
    reads_row: bool


class Compiler:
    """Compiles one revision; one per snapshot. Results that depend on values are shared by whoever has these values."""

    def __init__(self, enforcer: casbin.Enforcer, revision: Revision, objects: Mapping[str, PolicyObject]) -> None:
        """Raises `PolicyRefused` for a matcher beyond what can be compiled."""
        functions = dict(enforcer.fm.get_functions())
        functions.update({name: generate_g_function(section.rm) for name, section in enforcer.model["g"].items()})
        # The expression is made as `enforce` makes it, so that both walk the same tree.
        self._evaluator = enforcer._get_expression(enforcer.model["m"]["m"].value, functions)  # noqa: SLF001
        tree = self._evaluator.ast_parsed_value
        _refuse_what_signatures_hide(tree)
        self._leaves: dict[str, ast.expr] = {}
        operands = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
        conjuncts = [self._conjunct(operand) for operand in operands]
        self._of_subject = [c for c in conjuncts if not c.of_object and not c.reads_row]
        self._of_object = [c for c in conjuncts if not c.of_subject and not c.reads_row]
        self._rest = [c for c in conjuncts if c.reads_row or (c.of_object and c.of_subject)]
        self._rules = tuple((rule, rule.values) for rule in revision.rules)
        named = {rule.obj for rule in revision.rules}
        self._signatures = {
            name: Signature(revision.classes.get(name), known.system, known.governed, name if name in named else None)
            for name, known in objects.items()
        }
        self._objects = objects
        self._results: dict[tuple[object, ...], Predicate] = {}
        self._for_object: dict[tuple[Signature, str], tuple[int, ...]] = {}
        self._lock = threading.RLock()

    def signature(self, coordinate: str) -> Signature | None:
        """The signature of a policy object, or `None` if the schema has no such object."""
        return self._signatures.get(coordinate)

    def rights(self, subject: Subject, now: int) -> Rights:
        """What all compilations for the subject have in common."""
        with self._lock:
            bound: dict[str, Any] = {"r_sub": subject, "r_now": now}
            rules = frozenset(i for i in range(len(self._rules)) if self._passes(self._of_subject, i, bound))
            for conjunct in self._rest:
                for name in conjunct.of_subject:
                    self._read(name, bound)
            return Rights(bound, rules)

    def compile(self, rights: Rights, coordinate: str, signature: Signature, act: str) -> Compiled:
        """Rows for which the act on the object is allowed."""
        with self._lock:
            bound = {**rights.parts, "r_obj": coordinate, "r_act": act}
            key = (signature, act)
            if key not in self._for_object:
                every = range(len(self._rules))
                self._for_object[key] = tuple(i for i in every if self._passes(self._of_object, i, bound))
            constants = dict(self._objects[coordinate].constants)
            found: list[tuple[Rule, Predicate]] = []
            for i in self._for_object[key]:
                if i in rights.rules:
                    where = ground(self._where(i, bound), constants)
                    if where != NEVER:
                        found.append((self._rules[i][0], where))
        return Compiled(self.reduce(self.combine(found), ALWAYS), tuple(sorted(rule.id for rule, _ in found)))

    def combine(self, found: Sequence[tuple[Rule, Predicate]]) -> Predicate:
        """The effect of the model: some allow, and no deny."""
        allowed = any_of(where for rule, where in found if rule.eft == "allow")
        denied = any_of(where for rule, where in found if rule.eft == "deny")
        return all_of([allowed, negate(denied)])

    def reduce(self, predicate: Predicate, premise: Predicate) -> Predicate:
        """The smallest form known that is equal on the rows of the premise."""
        return _assumed(predicate, premise)

    def _where(self, rule: int, bound: dict[str, Any]) -> Predicate:
        parts = []
        for conjunct in self._rest:
            part = self._result(conjunct, rule, bound)
            if part == NEVER:
                return NEVER
            parts.append(part)
        return all_of(parts)

    def _passes(self, conjuncts: Iterable[_Conjunct], rule: int, bound: dict[str, Any]) -> bool:
        return all(self._result(conjunct, rule, bound) != NEVER for conjunct in conjuncts)

    def _result(self, conjunct: _Conjunct, rule: int, bound: dict[str, Any]) -> Predicate:
        values = self._rules[rule][1]
        key = (
            id(conjunct),
            *(values[i] for i in conjunct.of_rule),
            *(self._read(name, bound) for name in (*conjunct.of_subject, *conjunct.of_object)),
        )
        found = self._results.get(key)
        if found is None:
            if len(self._results) >= _RESULTS_AT_MOST:
                self._results.clear()
            self._evaluator.names = {**bound, **dict(zip(_P_NAMES, values, strict=True))}
            found = self._results[key] = conjunct.residual()
        return found

    def _read(self, name: str, bound: dict[str, Any]) -> object:
        """The value of a part of the request such as `r_sub.level` or `governed(r_obj)`, kept with the binding."""
        if name not in bound:
            self._evaluator.names = bound
            bound[name] = self._value(self._leaves[name])
        return bound[name]

    def _conjunct(self, node: ast.expr) -> _Conjunct:
        leaves = {ast.unparse(leaf): leaf for leaf in _leaves(node)}
        self._leaves.update(leaves)
        of_rule = tuple(_P_NAMES.index(name) for name in leaves if name in _P_NAMES)
        of_subject = tuple(name for name in leaves if "r_sub" in name or name == "r_now")
        of_object = tuple(name for name in leaves if "r_obj" in name or name == "r_act")
        return _Conjunct(self._residual(node), of_rule, of_subject, of_object, _reads_row(node))

    def _residual(self, node: ast.expr) -> Residual:
        if not _reads_row(node):
            return lambda: self._constant(node)
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self._residual(value) for value in values]
                return (lambda: _conjunction(parts)) if isinstance(op, ast.And) else (lambda: _disjunction(parts))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                inner = self._residual(operand)
                return lambda: negate(inner())
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                sides = [left, *comparators]
                pairs = [self._comparison(sides[i], op, sides[i + 1]) for i, op in enumerate(ops)]
                return lambda: _conjunction(pairs)
            case ast.Call(func=ast.Name(id="under"), args=[code, prefixes], keywords=[]) if not _reads_row(prefixes):
                attr = _attribute(code)
                return lambda: _subtrees(attr, self._value(prefixes))
        raise PolicyRefused(f"the matcher cannot be compiled: {ast.unparse(node)}")

    def _comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> Residual:
        if _reads_row(left) and not _reads_row(right) and type(op) in _COMPARISONS:
            compare, attr = _COMPARISONS[type(op)], _attribute(left)
            return lambda: compare(attr, self._value(right))
        if _reads_row(right) and not _reads_row(left) and type(op) in _TURNED:
            compare, attr = _COMPARISONS[_TURNED[type(op)]], _attribute(right)
            return lambda: compare(attr, self._value(left))
        raise PolicyRefused(f"the matcher cannot be compiled: {ast.unparse(ast.Compare(left, [op], [right]))}")

    def _constant(self, node: ast.expr) -> Predicate:
        value = self._value(node)
        if not isinstance(value, bool):
            raise PolicyRefused(f"neither true nor false: {ast.unparse(node)}")
        return ALWAYS if value else NEVER

    def _value(self, node: ast.expr) -> Any:
        return self._evaluator._eval(node)  # noqa: SLF001


_P_NAMES: Final = tuple(f"p_{name}" for name in RULE_COLUMNS)


def _refuse_what_signatures_hide(tree: ast.AST) -> None:
    """A compilation is shared by fields of one signature and by subjects that differ in nothing but the id."""
    nodes = list(ast.walk(tree))
    names = [node.id for node in nodes if isinstance(node, ast.Name)]
    reads = [ast.unparse(node) for node in nodes if isinstance(node, ast.Compare | ast.Call)]
    if names.count("r_obj") != sum(reads.count(read) for read in _OBJECT_READS):
        raise PolicyRefused(f"the matcher reads the object otherwise than by {', '.join(_OBJECT_READS)}")
    parts = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    subjects = [node.attr for node in parts if isinstance(node.value, ast.Name) and node.value.id == "r_sub"]
    if "id" in subjects or names.count("r_sub") != len(subjects):
        raise PolicyRefused("the matcher reads the subject's id, or the subject as a whole")


def _leaves(node: ast.AST) -> Iterable[ast.expr]:
    """The smallest parts that rule and request are read by: `p_rel`, `r_sub.level`, `governed(r_obj)`."""
    match node:
        case ast.Name(id=name):
            if name.startswith(("p_", "r_")) and name != "r_row":
                yield node
        case ast.Attribute(value=ast.Name(id=name)):
            if name != "r_row":
                yield node
        case ast.Call(args=[ast.Name(id="r_obj")]):
            yield node
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _leaves(child)


def _reads_row(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id == "r_row"
    return any(_reads_row(child) for child in ast.iter_child_nodes(node))


def _attribute(node: ast.expr) -> str:
    match node:
        case ast.Attribute(value=ast.Name(id="r_row"), attr=name):
            return f"@{name}"
    raise PolicyRefused(f"not an attribute of the row: {ast.unparse(node)}")


def _conjunction(parts: Iterable[Residual]) -> Predicate:
    found = []
    for part in parts:
        where = part()
        if where == NEVER:
            return NEVER
        found.append(where)
    return all_of(found)


def _disjunction(parts: Iterable[Residual]) -> Predicate:
    found = []
    for part in parts:
        where = part()
        if where == ALWAYS:
            return ALWAYS
        found.append(where)
    return any_of(found)


def _equal(attr: str, value: Any) -> Predicate:
    # No policy attribute is NULL, and in the algebra None asks for NULL.
    return NEVER if value is None else Eq(attr, value)


def _member(attr: str, values: Any) -> Predicate:
    if not isinstance(values, tuple) or not all(isinstance(value, str | int) for value in values):
        raise PolicyRefused(f"{attr} is compared with something that is no set of values")
    listed = tuple(sorted(set(values)))
    return NEVER if not listed else Eq(attr, listed[0]) if len(listed) == 1 else In(attr, listed)


def _bound(build: Callable[[str, int], Predicate]) -> Callable[[str, Any], Predicate]:
    def compare(attr: str, value: Any) -> Predicate:
        if not isinstance(value, int):
            raise PolicyRefused(f"{attr} is compared with something that is no number")
        return build(attr, value)

    return compare


_COMPARISONS: Final[Mapping[type[ast.cmpop], Callable[[str, Any], Predicate]]] = {
    ast.Eq: _equal,
    ast.NotEq: lambda attr, value: negate(_equal(attr, value)),
    ast.In: _member,
    ast.NotIn: lambda attr, values: negate(_member(attr, values)),
    ast.Lt: _bound(lambda attr, value: Range(attr, high=value, high_open=True)),
    ast.LtE: _bound(lambda attr, value: Range(attr, high=value)),
    ast.Gt: _bound(lambda attr, value: Range(attr, low=value, low_open=True)),
    ast.GtE: _bound(lambda attr, value: Range(attr, low=value)),
}
_TURNED: Final[Mapping[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Eq: ast.Eq, ast.NotEq: ast.NotEq, ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE,
}  # fmt: skip


def _subtrees(attr: str, prefixes: Any) -> Predicate:
    """`under`: a prefix is an equality on the derived attribute, which is what the indexes serve."""
    if attr not in PREFIXED or not isinstance(prefixes, tuple):
        raise PolicyRefused(f"{attr} is no region, or is compared with something that is no set of prefixes")
    names = dict(zip((2, 4, 6), (*PREFIXED[attr], attr), strict=True))
    found: list[Predicate] = []
    for start in prefixes:
        if not start:
            return ALWAYS
        if len(start) not in names:
            raise PolicyRefused(f"{start!r} is no prefix of a supervision code")
        found.append(Eq(names[len(start)], start))
    return any_of(found)


def ground(predicate: Predicate, constants: Mapping[str, Value]) -> Predicate:
    """The predicate with the attributes replaced that are the same in every row of an entity."""
    match predicate:
        case Always() | Never():
            return predicate
        case Not(operand):
            return negate(ground(operand, constants))
        case And(operands):
            return all_of(ground(p, constants) for p in operands)
        case Or(operands):
            return any_of(ground(p, constants) for p in operands)
        case Eq(attr) | In(attr) | Range(attr) if attr in constants:
            return ALWAYS if holds(predicate, constants) else NEVER
        case _:
            return predicate


_assumed = lru_cache(maxsize=1 << 14)(assume)
