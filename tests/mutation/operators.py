"""Small mistakes that can be made in a syntax tree: what each operator puts in a node's place.

Left alone is what no test should hold: annotations, decorators, docstrings, formatted texts, texts of exceptions, and
bounds of caches and of work, which are named "at most".
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Pow: ast.Mult,
}  # fmt: skip
NAMES = {
    "all": "any", "any": "all", "max": "min", "min": "max", "sorted": "list", "all_of": "any_of", "any_of": "all_of",
    "and_": "or_", "or_": "and_", "ALWAYS": "NEVER", "NEVER": "ALWAYS", "startswith": "endswith", "add": "discard",
    "extend": "append", "fullmatch": "match",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One mistake: where it is made, and what is written there instead (`None` removes an element of a list)."""

    file: str
    line: int
    text: str
    """The line as it stands in the file, without its indentation."""
    change: str
    """The part that changes and what it becomes; numbered where a line has the same change twice."""
    function: str
    """Qualified name of the function or method it lies in; empty for what runs when the module is imported."""
    parent: ast.AST
    slot: str
    index: int | None
    put: Any

    @property
    def order(self) -> str:
        """Sorting by it draws a sample that does not depend on where in a file a mutant lies."""
        return hashlib.sha256(f"{self.file} {self.text} {self.change}".encode()).hexdigest()

    def apply(self) -> None:
        """Make the mistake in the tree that the mutant was found in."""
        if self.index is None:
            setattr(self.parent, self.slot, self.put)
        elif self.put is None:
            getattr(self.parent, self.slot).pop(self.index)
        else:
            getattr(self.parent, self.slot)[self.index] = self.put


def mutants(file: str, source: str, tree: ast.Module) -> Iterator[Mutant]:
    """Every mistake that the operators can make in a file, in the order of the file."""
    lines = source.splitlines()
    seen: Counter[tuple[str, str]] = Counter()
    for function, parent, slot, index, node in _places(tree, ()):
        for put in _replacements(parent, slot, node):
            line = getattr(node, "lineno", None) or getattr(parent, "lineno", 0) or _first_line(node)
            text = lines[line - 1].strip()
            change = f"{_shown(node)} -> {'nothing' if put is None else _shown(put)}"
            seen[text, change] += 1
            times = seen[text, change]
            yield Mutant(
                file, line, text, f"{change} #{times}" if times > 1 else change, function, parent, slot, index, put
            )


def _first_line(node: ast.AST) -> int:
    lines: list[int] = [inner.lineno for inner in ast.walk(node) if hasattr(inner, "lineno")]
    return min(lines)


def _shown(node: ast.AST) -> str:
    match node:
        case ast.match_case(pattern=pattern):
            return f"case {ast.unparse(pattern)}"
        case ast.cmpop() | ast.operator() | ast.boolop():
            return type(node).__name__
    return ast.unparse(node).splitlines()[0]


Place = tuple[str, ast.AST, str, int | None, ast.AST]
Outer = tuple[str | ast.FunctionDef, ...]
"""Names of the classes around, and the outermost function at the end."""


def _places(node: ast.AST, outer: Outer) -> Iterator[Place]:
    """Every node with the place it stands in, those left out that are of no interest."""
    inside = bool(outer) and isinstance(outer[-1], ast.FunctionDef)
    if not inside and isinstance(node, ast.ClassDef | ast.FunctionDef):
        outer = (*outer, node if isinstance(node, ast.FunctionDef) else node.name)
    for slot, value in ast.iter_fields(node):
        if slot in ("annotation", "returns", "decorator_list"):
            continue
        # Default values are computed when the function is defined.
        within = outer[:-1] if isinstance(node, ast.FunctionDef) and not inside and slot == "args" else outer
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST) and not _left_alone(node, slot, child, within):
                yield _qualified(within), node, slot, index, child
                yield from _places(child, within)


def _qualified(outer: Outer) -> str:
    if not outer or not isinstance(outer[-1], ast.FunctionDef):
        return ""
    return ".".join(one.name if isinstance(one, ast.FunctionDef) else one for one in outer)


def _left_alone(parent: ast.AST, slot: str, child: ast.AST, outer: Outer) -> bool:
    if isinstance(child, ast.JoinedStr | ast.Import | ast.ImportFrom):
        return True
    if isinstance(parent, ast.Raise) and slot in ("exc", "cause"):
        return True
    if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
        return True
    if isinstance(parent, ast.Assign | ast.AnnAssign) and "_AT_MOST" in ast.unparse(parent).partition("=")[0]:
        return True
    # A union of types named at the top of a module is read by type checkers only.
    return not outer and isinstance(child, ast.BinOp) and isinstance(child.op, ast.BitOr)


def _replacements(parent: ast.AST, slot: str, node: ast.AST) -> Iterator[Any]:
    condition = slot == "test" or (slot == "ifs" and isinstance(parent, ast.comprehension))
    if condition and not isinstance(node, ast.Constant):
        yield from (ast.Constant(True), ast.Constant(False))
    if slot == "guard" and isinstance(node, ast.expr):
        yield from (ast.Constant(True), ast.UnaryOp(ast.Not(), deepcopy(node)))
    match node:
        case ast.Constant() | ast.Name() | ast.Attribute():
            yield from _words(slot, node)
        case ast.expr():
            yield from _expressions(node)
        case ast.stmt():
            yield from _statements(node)
        case ast.cmpop() | ast.boolop() | ast.operator():
            yield from _operators(parent, node)
        case ast.keyword():
            yield None
        case ast.match_case() if len(vars(parent)["cases"]) > 1:
            yield None
        case ast.MatchOr(patterns=patterns):
            for rest in _without_one(patterns):
                yield ast.MatchOr(rest) if len(rest) > 1 else rest[0]


def _without_one(parts: list[Any]) -> list[list[Any]]:
    return [[*parts[:i], *parts[i + 1 :]] for i in range(len(parts))]


def _words(slot: str, node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.Constant(value=bool(truth)):
            yield ast.Constant(not truth)
        case ast.Constant(value=int(number)):
            yield from (ast.Constant(number + 1), ast.Constant(number - 1))
        case ast.Constant(value=str(text)):
            yield ast.Constant("" if text else "?")
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield ast.Name(NAMES[name], ast.Load())
        case ast.Attribute(value=value, attr=name) if slot == "func" and name in NAMES:
            yield ast.Attribute(value, NAMES[name], ast.Load())


def _expressions(node: ast.expr) -> Iterator[ast.expr | None]:
    match node:
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.BoolOp(op=op, values=values):
            for rest in _without_one(values):
                yield ast.BoolOp(op, rest) if len(rest) > 1 else rest[0]
        case ast.BinOp(left=left, op=ast.BitOr(), right=right) if _of_types(node):
            yield from (left, right)
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, _]):
            yield ast.Call(node.func, node.args[:1], node.keywords)
        case ast.Starred():
            yield None
        case ast.Dict(keys=keys, values=values):
            for some, others in zip(_without_one(keys), _without_one(values), strict=True):
                yield ast.Dict(some, others)


def _operators(parent: ast.AST, node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.cmpop():
            yield from (other() for other in COMPARISONS[type(node)])
        case ast.And():
            yield ast.Or()
        case ast.Or():
            yield ast.And()
        case ast.operator() if type(node) in ARITHMETIC and not _of_types(parent):
            yield ARITHMETIC[type(node)]()


def _of_types(node: ast.AST) -> bool:
    """Whether a union is one of types, as in the second argument of `isinstance`."""
    names = [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    types = {"int", "str", "bool"}
    return isinstance(node, ast.BinOp) and bool(names) and all(n in types or n[0].isupper() for n in names)


def _statements(node: ast.stmt) -> Iterator[ast.stmt]:
    match node:
        case ast.Return(value=ast.expr() as value):
            if not (isinstance(value, ast.Constant) and value.value is None):
                yield ast.Return(ast.Constant(None))
            if isinstance(value, ast.Compare | ast.BoolOp) or _is_question(value):
                yield ast.Return(ast.UnaryOp(ast.Not(), value))
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.AugAssign() | ast.Expr():
            yield ast.Pass()
        case ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
            yield ast.Pass()


def _is_question(value: ast.expr) -> bool:
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id in ("all", "any")
