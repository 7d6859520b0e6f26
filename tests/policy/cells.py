"""Random policies, subjects and rows, from small pools so that they meet; and the comparison that every proof makes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import casbin
from casbin.util import generate_g_function

from policy.compile import Compiler
from policy.decide import Decision
from policy.enforcer import PolicyObject, build_enforcer, policy_objects
from policy.revision import Revision, Rule
from policy.row import Row
from policy.subject import Country, Level, NoTerritory, Prefixes, Subject, territory_of
from schema.predicate import holds
from schema.registry import Registry, load_registry
from tests.policy.reference import permitted


@cache
def registry() -> Registry:
    return load_registry()


@cache
def objects() -> Mapping[str, PolicyObject]:
    return policy_objects(registry())


NODES = ("420000", "420100", "420102", "421000", "421100", "421102", "430000", "430100")
REGIONS = (*NODES, "000000", "999999", "-", "420199", "42", "4201029", "429900")
OBJECTS = (
    "Project.name", "Project.location", "Project.localProjectId", "SafetyManagerCertificate.idNo",
    "SafetyManagerCertificate.birthYear", "SafetyInspection.photos", "Finding.description", "Finding.__row__",
    "Department.name", "Department.contactName", "Person.mobile",
)  # fmt: skip
CLASSES = ("PUBLIC", "SHARED", "CONDITIONAL", "PERSONAL", "RESTRICTED")
KINDS = ("HOUSING", "SUPERVISION_AGENCY", "EMERGENCY", "ENTERPRISE")
RELATIONS = (
    "any", "within", "own", "sub", "sup", "located", "other", "unknown", "owner", "holder", "case", "in",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One policy, and what is asked of it."""

    revision: Revision
    subjects: tuple[Subject, ...]
    objects: tuple[str, ...]
    rows: tuple[Row, ...]
    now: int


RESTRICTIONS: Mapping[str, tuple[str, ...]] = {
    "role": ("case_handler",),
    "level": ("MINISTRY", "COUNTY", "PUBLIC"),
    "kind": KINDS[:3],
    "dept": ("D1",),
    "system": ("SAFETY", "SHARED"),
    "purpose": ("CASE",),
    "valid_from": ("100",),
    "valid_to": ("200",),
    "smin": ("0", "3", "5"),
    "smax": ("5", "6", "8"),
}


TERRITORIES = (
    Country(), NoTerritory(), *(territory_of([code]) for code in NODES), territory_of(NODES[1:4]),
    territory_of(["421000", "430100"]),
    # Never built by `territory_of`: the first match must win even so.
    Prefixes(("420000", "420102")),
)  # fmt: skip


def random_cell(random: Random) -> Cell:
    """Everything at random, but seldom so restricted that no rule applies: such a cell proves nothing."""
    pick = random.choice
    objects_ = (pick(OBJECTS), pick(OBJECTS))
    named = {*objects_, *(registry().entity_of(obj).row for obj in objects_)}
    classes = {obj: pick(CLASSES[:2]) for obj in sorted(named) if random.random() < 0.9}
    rules = [_rule(random, f"R{i}", objects_) for i in range(pick((1, 1, 2, 3)))]
    if random.random() < 0.3:
        # Rules meet more often than chance would have it: the same one again, with another effect.
        rules.append(replace(rules[0], id="R9", act=pick(("clear", "mask")), eft=pick(("allow", "deny", "deny"))))
    pairs = (("SUPERVISION_AGENCY", "HOUSING"), ("EMERGENCY", "SUPERVISION_AGENCY"))
    kinds = pick((pairs, pairs[:1], pairs[1:]))
    return Cell(
        Revision(tuple(rules), classes, kinds),
        tuple(_subject(random) for _ in range(4)),
        objects_,
        tuple(_row(random) for _ in range(8)),
        pick((99, 100, 150, 199, 200)),
    )


def _rule(random: Random, name: str, objects_: tuple[str, ...]) -> Rule:
    pick = random.choice
    rel = pick(RELATIONS)
    rule = Rule(
        id=name, role="*", level="*", kind="*", dept="*", system="*", purpose="*",
        obj=pick((*CLASSES[:2], *CLASSES[:2], *objects_)), act=pick(("clear", "mask")), rel=rel,
        scope="|".join(random.sample(pick((NODES, ("430100", "000000"))), 2)) if rel == "in" else "-",
        smin="0", smax="9", valid_from="-", valid_to="-", eft=pick(("allow", "allow", "deny")), reason="random",
    )  # fmt: skip
    columns = random.sample(sorted(RESTRICTIONS), pick((0, 1, 2)))
    return replace(rule, **{column: pick(RESTRICTIONS[column]) for column in columns})


def _subject(random: Random) -> Subject:
    pick = random.choice
    return Subject(
        id="s", level=pick(list(Level)), kind=pick(KINDS), territory=pick(TERRITORIES),
        roles=pick(((), ("case_handler",), ("auditor", "case_handler"))), dept=pick((None, "D1", "D2", "-")),
        enterprise=pick((None, "E1", "-")), person=pick((None, "P1", "-")), purpose=pick((None, "CASE", "OTHER")),
        case_no=pick((None, "C1", "C1", "-")),
    )  # fmt: skip


def _row(random: Random) -> Row:
    pick = random.choice
    return Row(
        manage=pick(REGIONS), site=pick(REGIONS), owner_dept=pick(("-", "D1", "D2")), holder_uscc=pick(("-", "E1")),
        holder_person=pick(("-", "P1")), case_no=pick(("-", "C1")), sens=pick((0, 3, 4, 5, 6, 8, 9)),
    )  # fmt: skip


Make = Callable[[Revision], tuple[casbin.Enforcer, Compiler]]
"""Builds what is compared; a seeded bug is another way of building it."""


def as_shipped(revision: Revision) -> tuple[casbin.Enforcer, Compiler]:
    enforcer = build_enforcer(revision, objects())
    compiler = Compiler(enforcer, revision, objects())
    return parsed_once(enforcer), compiler


class _RowByRow:
    """Casbin's evaluator over one matcher; what does not read the row is not asked again for the next row.

    The operands of the outermost `and` have no effects, so neither their order nor how often they are asked matters.
    """

    def __init__(self, expression: Any) -> None:
        tree = expression.ast_parsed_value
        operands = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
        reads_row = [any(isinstance(n, ast.Name) and n.id == "r_row" for n in ast.walk(one)) for one in operands]
        self._of_rows = [one for one, reads in zip(operands, reads_row, strict=True) if reads]
        self._of_others = [one for one, reads in zip(operands, reads_row, strict=True) if not reads]
        self._expression = expression
        self._subject: object = None
        self._answers: dict[tuple[object, ...], bool] = {}

    def eval(self, names: dict[str, Any]) -> bool:
        if names["r_sub"] is not self._subject:
            self._subject = names["r_sub"]
            self._answers.clear()
        self._expression.names = names
        key = names["p_id"], names["r_obj"], names["r_act"], names["r_now"]
        if key not in self._answers:
            self._answers[key] = self._all(self._of_others)
        return self._answers[key] and self._all(self._of_rows)

    def _all(self, operands: list[ast.expr]) -> bool:
        return all(self._expression._eval(one) for one in operands)


def parsed_once(enforcer: casbin.Enforcer) -> casbin.Enforcer:
    """The same enforcer without parsing its matcher again for every question, which takes nine tenths of the time."""
    functions = dict(enforcer.fm.get_functions())
    functions.update({name: generate_g_function(section.rm) for name, section in enforcer.model["g"].items()})
    expression = _RowByRow(enforcer._get_expression(enforcer.model["m"]["m"].value, functions))
    enforcer._get_expression = lambda _text, _functions: expression
    return enforcer


def of_entity(row: Row, obj: str) -> Row:
    """The row as the object's entity can have it: attributes without a column are constants."""
    fixed = {name.removeprefix("@"): value for name, value in objects()[obj].constants if name[-1] not in "24"}
    return replace(row, **fixed)  # type: ignore[arg-type]


def compare(make: Make, cell: Cell, ask_casbin: int = 1) -> int:
    """Compiled, enforced and meant must agree in every combination; returns how many were compared.

    `ask_casbin`: for every how many rows, since it takes longer than all the rest.
    """
    enforcer, compiler = make(cell.revision)
    compared = 0
    for subject in cell.subjects:
        decision = Decision(compiler, objects(), subject, "", (cell.now, cell.now + 1))
        for obj in cell.objects:
            entity = registry().entity_of(obj)
            verdict = None if obj == entity.row else decision.part(entity, obj)
            for i, row in enumerate(of_entity(row, obj) for row in cell.rows):
                found = {}
                for act in ("clear", "mask"):
                    meant = permitted(cell.revision, objects(), subject, obj, act, row, cell.now)
                    found[act] = decision.check(obj, act, row)
                    assert meant == found[act], (subject, obj, act, row, cell.now)
                    if i % ask_casbin == 0:
                        assert meant == enforcer.enforce(subject, obj, act, row, cell.now)
                    compared += 1
                if verdict is not None and holds(decision.row(entity).clear, row.attributes):
                    seen = holds(verdict.clear, row.attributes), holds(verdict.masked, row.attributes)
                    assert seen == (found["clear"], found["mask"]), (subject, obj, row)
                    assert seen[1] or not seen[0], "masked means at least masked"
    return compared


def prove(make: Make, cells: int, ask_casbin: int = 1) -> int:
    """Compare on random cells, the same ones in every run; returns how many comparisons were made."""
    return sum(compare(make, random_cell(Random(seed)), ask_casbin) for seed in range(cells))
