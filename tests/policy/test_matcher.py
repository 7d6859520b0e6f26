"""Matchers other than the shipped one: each part of the residual grammar against Casbin, and what is refused late."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policy.compile import Compiled, Compiler, PolicyRefused, ground
from policy.decide import Decision
from policy.enforcer import MODEL, build_enforcer
from policy.revision import Revision, Rule
from policy.row import Row
from policy.subject import Country, Level, Subject
from schema.predicate import ALWAYS, NEVER, And, Eq, In, Not, Or, Range, Value
from tests.policy.cells import objects, parsed_once, registry

RULE = Rule("R1", "*", "*", "*", "*", "*", "*", "PUBLIC", "clear", "any", "-", "3", "6", "-", "-", "allow", "试")
REVISION = Revision((RULE,), dict.fromkeys(objects(), "PUBLIC"), ())
SUBJECT = Subject("s", Level.MINISTRY, "HOUSING", Country(), ("D1", "D2", "D2"), dept="D1", case_no=None)
SHIPPED = "num(p.smin) <= r.row.sens && r.row.sens <= num(p.smax)"
ROWS = [
    Row(manage, site, owner, case_no=case, sens=sens)
    for manage, site in (("420102", "430000"), ("430000", "420102"))
    for owner, case in (("D1", "-"), ("D3", "C1"), ("-", "D1"))
    for sens in range(10)
]


def built(part: str) -> Compiler:
    """A compiler of the shipped matcher with another part about the row's sensitivity."""
    assert SHIPPED in MODEL
    return Compiler(build_enforcer(REVISION, objects(), MODEL.replace(SHIPPED, part)), REVISION, objects())


def compiled(part: str, subject: Subject = SUBJECT, coordinate: str = "Project.name") -> Compiled:
    compiler = built(part)
    signature = compiler.signature(coordinate)
    assert signature is not None
    return compiler.compile(compiler.rights(subject, 0), coordinate, signature, "clear")


@pytest.mark.parametrize(
    "part",
    [
        *(f"r.row.sens {op} num(p.smax)" for op in ("<", "<=", ">", ">=", "==", "!=")),
        *(f"num(p.smax) {op} r.row.sens" for op in ("<", "<=", ">", ">=", "==", "!=")),
        "num(p.smin) < r.row.sens < num(p.smax)",
        "!(r.row.sens < num(p.smin))",
        "(r.row.sens < num(p.smin) || num(p.smax) < r.row.sens)",
        "(p.smin == p.smax || r.row.sens == num(p.smin))",
        "(p.smin == p.smin || r.row.sens == num(p.smin))",
        "(r.row.sens == num(p.smin) || p.smin == p.smin)",
        "(r.row.sens == num(p.smin) && p.smin == p.smax || r.row.sens == num(p.smax))",
        "r.row.sens in (3, 5)",
        "r.row.owner_dept in r.sub.roles",
        "r.row.owner_dept not in r.sub.roles",
        "r.row.owner_dept == r.sub.dept",
        "r.sub.dept != r.row.owner_dept",
        "r.row.case_no == r.sub.case_no",
        "r.row.case_no != r.sub.case_no",
        "under(r.row.site, codes('420000|430100'))",
        "!(under(r.row.manage, codes('420102')))",
        "under(r.row.manage, codes('420100'))",
        "under(r.row.manage, r.sub.prefixes)",
    ],
)
def test_a_part_of_a_matcher_means_what_casbin_says(part):
    enforcer = parsed_once(build_enforcer(REVISION, objects(), MODEL.replace(SHIPPED, part)))
    decision = Decision(built(part), objects(), SUBJECT, "", (0, 1))
    answers = [decision.check("Project.name", "clear", row) for row in ROWS]
    assert answers == [enforcer.enforce(SUBJECT, "Project.name", "clear", row, 0) for row in ROWS]
    constant = "p.smin == p.smin" in part or "case_no" in part or part == "under(r.row.manage, r.sub.prefixes)"
    assert len(set(answers)) == (1 if constant else 2)


@pytest.mark.parametrize(
    "model",
    [
        MODEL.replace("m = (p.act", "m = r.row.sens == num(p.smax) || (p.act"),
        MODEL[: MODEL.index("m = (")] + "m = r.row.sens == num(p.smin)",
        MODEL[: MODEL.index("m = (")] + "m = r.row.sens == num(p.smin) || r.row.owner_dept == r.sub.dept",
    ],
)
def test_a_matcher_need_not_be_a_conjunction(model):
    enforcer = build_enforcer(REVISION, objects(), model)
    decision = Decision(Compiler(enforcer, REVISION, objects()), objects(), SUBJECT, "", (0, 1))
    answers = [decision.check("Project.name", "clear", row) for row in ROWS]
    assert answers == [enforcer.enforce(SUBJECT, "Project.name", "clear", row, 0) for row in ROWS]
    assert len(set(answers)) == 2


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ("r.row.sens < p.smax", "@sens is compared with something that is no number"),
        ("r.row.owner_dept in r.sub.dept", "@owner_dept is compared with something that is no set of values"),
        ("r.row.sens in (1.5, 2)", "@sens is compared with something that is no set of values"),
        ("under(r.row.owner_dept, r.sub.prefixes)", "@owner_dept is no region, or is compared"),
        ("under(r.row.manage, r.sub.dept)", "@manage is no region, or is compared"),
        ("under(r.row.manage, ('42', '420'))", "'420' is no prefix of a supervision code"),
        ("p.smin && r.row.sens == 3", "neither true nor false: p_smin"),
        ("(r.row.sens == 3 || p.smin)", "neither true nor false: p_smin"),
    ],
)
def test_what_a_matcher_compares_with_is_checked_when_it_is_known(part, reason):
    with pytest.raises(PolicyRefused) as caught:
        compiled(part)
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    "part",
    [
        "r.row.sens if r.sub.has_territory else True",
        "r.row.sens is 3",
        "r.row.sens + 1 == 4",
        "under(r.row.manage, codes(r.row.site))",
        "under(r.sub.dept, codes(r.row.site))",
        "under(r.row.manage)",
        "under(r.row.manage, prefixes=r.sub.prefixes)",
        "codes(r.row.manage, r.sub.prefixes)",
        "r.row.manage == r.row.site",
        "r.row == r.sub.dept",
        "p.smin in r.row.sens",
        "-r.row.sens == 3",
        "system(r.obj) == r.obj",
        "r.sub == r.row.owner_dept",
        "r.sub.id == r.row.owner_dept",
    ],
)
def test_what_is_no_residual_is_refused_before_anything_is_asked(part):
    with pytest.raises(PolicyRefused):
        built(part)


def test_who_has_nothing_in_a_set_gets_no_rule_of_it():
    part = "r.row.owner_dept in r.sub.roles"
    assert compiled(part).rules == ("R1",)
    assert compiled(part, replace(SUBJECT, roles=())) == Compiled(NEVER, ())
    assert compiled("r.row.case_no == r.sub.case_no") == Compiled(NEVER, ())
    assert In("@owner_dept", ("D1", "D2")) in compiled(part).where.operands  # type: ignore[union-attr]


def test_what_the_object_s_rows_have_no_column_for_is_known():
    # A department's rows lie nowhere; what asks for a place in the territory is known to fail or hold.
    assert compiled("r.row.site == '-'", coordinate="Department.name") == Compiled(ALWAYS, ("R1",))
    assert compiled("r.row.site == '420000'", coordinate="Department.name") == Compiled(NEVER, ())
    assert compiled("r.row.sens <= 0", coordinate="Department.name").where == ALWAYS


def test_a_part_that_reads_object_and_subject_but_no_row_is_asked_of_both():
    part = "governed(r.obj) != r.sub.has_territory"
    assert compiled(part).where == NEVER
    assert compiled(part, coordinate="Department.name") == Compiled(ALWAYS, ("R1",))


def test_grounding_replaces_constant_attributes_wherever_they_stand():
    known: dict[str, Value] = {"@site": "-", "@sens": 0}
    site, sens, owner = Eq("@site", "-"), Range("@sens", low=1), In("@owner_dept", ("D1", "D2"))
    assert ground(ALWAYS, known) == ALWAYS
    assert ground(NEVER, known) == NEVER
    assert ground(owner, known) == owner
    assert ground(And((site, owner)), known) == owner
    assert ground(And((sens, owner)), known) == NEVER
    assert ground(Or((site, owner)), known) == ALWAYS
    assert ground(Or((sens, owner)), known) == owner
    assert ground(Not(sens), known) == ALWAYS
    assert ground(Not(And((site, owner))), known) == Not(owner)
    assert ground(In("@site", ("-", "420000")), known) == ALWAYS


def test_an_object_of_no_class_that_no_rule_names_shares_its_signature():
    compiler = built(SHIPPED)
    assert compiler.signature("Project.name") == compiler.signature("Project.location")
    assert compiler.signature("Project.name") != compiler.signature("SafetyInspection.photos")
    assert compiler.signature("Project.nothing") is None
    assert registry().entity("Project").row in objects()
