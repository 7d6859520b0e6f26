"""Compiled predicates against `enforce()` and against what the policy means; and bugs put in on purpose."""

from __future__ import annotations

import logging.config
from collections.abc import Callable, Sequence
from dataclasses import replace

import casbin
import pytest

from policy.compile import Compiler, PolicyRefused, Signature
from policy.enforcer import MODEL, build_enforcer
from policy.revision import Revision, Rule
from policy.row import Row
from policy.subject import PUBLIC_SUBJECT
from schema.predicate import ALWAYS, And, Eq, Not, Or, Predicate, Range, all_of, any_of, negate
from tests.policy.cells import Make, as_shipped, objects, parsed_once, prove

PER_CELL = 4 * 2 * 8 * 2


def test_compiled_equals_enforced_equals_meant_on_random_cells():
    assert prove(as_shipped, 60) == 60 * PER_CELL


@pytest.mark.prove
def test_compiled_equals_enforced_equals_meant_on_many_random_cells():
    compared = prove(as_shipped, 6000)
    print(f"\n{compared:,} comparisons of compiled, enforced and meant, none different")  # noqa: T201
    assert compared == 6000 * PER_CELL


def of_model(old: str, new: str, times: int = 1) -> Make:
    """The same mistake in the model, so that enforcer and compiler agree and only the meaning differs."""
    assert MODEL.count(old) == times, f"the model no longer says {old}"

    def make(revision: Revision) -> tuple[casbin.Enforcer, Compiler]:
        enforcer = build_enforcer(revision, objects(), MODEL.replace(old, new))
        compiler = Compiler(enforcer, revision, objects())
        return parsed_once(enforcer), compiler

    return make


def of_compiler(kind: type[Compiler]) -> Make:
    """A mistake in the compiler alone."""

    def make(revision: Revision) -> tuple[casbin.Enforcer, Compiler]:
        enforcer = build_enforcer(revision, objects())
        compiler = kind(enforcer, revision, objects())
        return parsed_once(enforcer), compiler

    return make


def of_revision(change: Callable[[Revision], Revision]) -> Make:
    """A mistake in what reaches Casbin."""

    def make(revision: Revision) -> tuple[casbin.Enforcer, Compiler]:
        enforcer = build_enforcer(change(revision), objects())
        compiler = Compiler(enforcer, revision, objects())
        return parsed_once(enforcer), compiler

    return make


Found = Sequence[tuple[Rule, Predicate]]


class DenyLost(Compiler):
    def combine(self, found: Found) -> Predicate:
        return any_of(where for rule, where in found if rule.eft == "allow")


class FirstMatch(Compiler):
    def combine(self, found: Found) -> Predicate:
        earlier: list[Predicate] = []
        allowed = []
        for rule, where in found:
            if rule.eft == "allow":
                allowed.append(all_of([where, *(negate(p) for p in earlier)]))
            earlier.append(where)
        return any_of(allowed)


class DenyOnlyWhole(Compiler):
    """Not (a and b) taken for (not a) and (not b)."""

    def combine(self, found: Found) -> Predicate:
        allowed = any_of(where for rule, where in found if rule.eft == "allow")
        denied = [where for rule, where in found if rule.eft == "deny"]
        atoms = [p for where in denied for p in (where.operands if isinstance(where, And) else [where])]
        return all_of([allowed, *(negate(p) for p in atoms)])


class NegationsDropped(Compiler):
    def reduce(self, predicate: Predicate, premise: Predicate) -> Predicate:
        return _without_negations(super().reduce(predicate, premise))


def _without_negations(predicate: Predicate) -> Predicate:
    match predicate:
        case Not():
            return ALWAYS
        case And(operands):
            return all_of(_without_negations(p) for p in operands)
        case Or(operands):
            return any_of(_without_negations(p) for p in operands)
        case _:
            return predicate


class PrefixTakenForCode(Compiler):
    """A law of simplification that loses the difference between a region and what lies below it."""

    def reduce(self, predicate: Predicate, premise: Predicate) -> Predicate:
        return super().reduce(_padded(predicate), premise)


def _padded(predicate: Predicate) -> Predicate:
    match predicate:
        case Eq("@manage2" | "@manage4", value):
            return Eq("@manage", str(value).ljust(6, "0"))
        case Not(operand):
            return Not(_padded(operand))
        case And(operands):
            return all_of(_padded(p) for p in operands)
        case Or(operands):
            return any_of(_padded(p) for p in operands)
        case _:
            return predicate


class PremiseForgotten(Compiler):
    """The verdict of a field taken from the row's."""

    def reduce(self, predicate: Predicate, premise: Predicate) -> Predicate:
        return super().reduce(any_of([predicate, premise]) if premise != ALWAYS else predicate, ALWAYS)


class OnlyFirstOfMany(Compiler):
    def _value(self, node):
        value = super()._value(node)
        return value[:1] if isinstance(value, tuple) else value


class BoundsOffByOne(Compiler):
    def reduce(self, predicate: Predicate, premise: Predicate) -> Predicate:
        return super().reduce(_open(predicate), premise)


def _open(predicate: Predicate) -> Predicate:
    match predicate:
        case Range(attr, low, high) if high is not None and high != 9:
            return Range(attr, low, high, high_open=True)
        case And(operands):
            return all_of(_open(p) for p in operands)
        case Or(operands):
            return any_of(_open(p) for p in operands)
        case _:
            return predicate


class SignatureWithoutSystem(Compiler):
    def signature(self, coordinate: str) -> Signature | None:
        found = super().signature(coordinate)
        return found and replace(found, system="")


class SignatureWithoutName(Compiler):
    def signature(self, coordinate: str) -> Signature | None:
        found = super().signature(coordinate)
        return found and replace(found, named=None)


def _turned(revision: Revision) -> Revision:
    return Revision(revision.rules, revision.classes, tuple((parent, kind) for kind, parent in revision.kinds))


def _without_classes(revision: Revision) -> Revision:
    return Revision(revision.rules, dict.fromkeys(revision.classes, "PUBLIC"), revision.kinds)


NOT_UNKNOWN = 'r.row.manage != "999999"'
WITHIN = "!(r.row.manage in r.sub.nodes || under(r.row.manage, r.sub.prefixes)) && ("
BUGS: dict[str, Make] = {
    "absent owner equals absent department": of_model('r.row.owner_dept != "-" && ', ""),
    "absent holder equals absent enterprise": of_model('r.row.holder_uscc != "-" && ', ""),
    "absent holder equals absent person": of_model('r.row.holder_person != "-" && ', ""),
    "absent case equals absent case": of_model('r.row.case_no != "-" && ', ""),
    "deny override lost in the effect": of_model(" && !some(where (p.eft == deny))", ""),
    "deny override lost in the compiler": of_compiler(DenyLost),
    "first match decides": of_compiler(FirstMatch),
    "deny of a conjunction denies each part": of_compiler(DenyOnlyWhole),
    "mask opens clear": of_model(
        'p.act == "clear" && r.act == "mask" || p.eft == "deny"',
        'p.act == "mask" && r.act == "clear" || p.eft == "deny"',
    ),
    "denied mask leaves clear": of_model('p.eft == "deny" && p.act == "mask" && r.act == "clear"', 'p.id == "-"'),
    "act is not asked": of_model("m = (p.act == r.act ||", "m = (p.act == p.act ||"),
    "sub includes own": of_model(" && !(r.row.manage in r.sub.nodes) ", " "),
    "within forgets own": of_model(
        'p.rel == "within" && (r.row.manage in r.sub.nodes || under(r.row.manage, r.sub.prefixes))',
        'p.rel == "within" && (under(r.row.manage, r.sub.prefixes) && !(r.row.manage in r.sub.nodes))',
    ),
    "any includes unknown": of_model(f'p.rel == "any" && {NOT_UNKNOWN}', 'p.rel == "any"'),
    "agreements include unknown": of_model(f'p.rel == "in" && {NOT_UNKNOWN} && ', 'p.rel == "in" && '),
    "relations include unknown": of_model(f"|| {NOT_UNKNOWN} && (", "|| ("),
    "no territory has others": of_model("|| r.sub.has_territory && (", "|| ("),
    "sup does not exclude within": of_model(
        WITHIN + ' \\\n                        p.rel == "sup" &&', '(p.rel == "sup" &&'
    ),
    "located and other do not exclude within": of_model(WITHIN, "("),
    "located does not exclude sup": of_model("|| !(r.row.manage in r.sub.superiors) && (", "|| ("),
    "located looks at the manager": of_model("under(r.row.site,", "under(r.row.manage,", 2),
    "window closed at the end": of_model("r.now < num(p.valid_to)", "r.now <= num(p.valid_to)"),
    "window open at the start": of_model("num(p.valid_from) <= r.now", "num(p.valid_from) < r.now"),
    "sensitivity off by one above": of_model("r.row.sens <= num(p.smax)", "r.row.sens < num(p.smax)"),
    "sensitivity off by one below": of_model("num(p.smin) <= r.row.sens", "num(p.smin) < r.row.sens"),
    "sensitivity off by one in the compiler": of_compiler(BoundsOffByOne),
    "prefix of the padded code instead of the tree": of_model(
        "under(r.row.manage, r.sub.prefixes)", "under(r.row.manage, r.sub.nodes)", 4
    ),
    "only the first of several regions": of_compiler(OnlyFirstOfMany),
    "kinds count the wrong way round": of_model("g(r.sub.kind, p.kind)", "g(p.kind, r.sub.kind)"),
    "kinds reach Casbin the wrong way round": of_revision(_turned),
    "classes reach Casbin wrong": of_revision(_without_classes),
    "purpose ignored": of_model('(p.purpose == "*" || p.purpose == r.sub.purpose)', "(p.id == p.id)"),
    "role ignored": of_model('(p.role == "*" || p.role in r.sub.roles)', "(p.id == p.id)"),
    "department ignored": of_model('(p.dept == "*" || p.dept == r.sub.dept)', "(p.id == p.id)"),
    "level ignored": of_model('(p.level == "*" || p.level == r.sub.level)', "(p.id == p.id)"),
    "system ignored": of_model('(p.system == "*" || p.system == system(r.obj))', "(p.id == p.id)"),
    "scope ignored": of_model("&& under(r.row.manage, codes(p.scope))", ""),
    "relations asked of what belongs to no region": of_model("|| governed(r.obj) && (", "|| ("),
    "negations dropped by simplification": of_compiler(NegationsDropped),
    "a prefix taken for a code by simplification": of_compiler(PrefixTakenForCode),
    "a field as open as its row": of_compiler(PremiseForgotten),
    "systems share a compilation": of_compiler(SignatureWithoutSystem),
    "a named field shares its class's compilation": of_compiler(SignatureWithoutName),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_caught(bug):
    with pytest.raises(AssertionError):
        prove(BUGS[bug], 500, ask_casbin=8)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("r.row.sens <= num(p.smax)", "r.row.sens + 1 <= num(p.smax)"),
        ("r.row.sens <= num(p.smax)", "num(r.row.sens) <= num(p.smax)"),
        ("r.row.owner_dept == r.sub.dept", "r.row.owner_dept == r.row.case_no"),
        ("r.row.owner_dept == r.sub.dept", "regexMatch(r.row.owner_dept, r.sub.dept)"),
        ("p.level == r.sub.level", "p.level == r.sub.id"),
        ("p.level == r.sub.level", "p.level == level(r.sub)"),
        ("p.system == system(r.obj)", "p.system == r.obj"),
        ("under(r.row.site, r.sub.prefixes)))", "under(r.row, r.sub.prefixes)))"),
    ],
)
def test_a_model_beyond_the_residual_grammar_is_refused(old, new):
    revision = Revision((), {}, ())
    model = MODEL.replace(old, new)
    assert model != MODEL
    with pytest.raises(PolicyRefused):
        Compiler(build_enforcer(revision, objects(), model), revision, objects())


def test_casbin_logs_no_request_even_if_logging_is_configured_later(caplog):
    enforcer = build_enforcer(Revision((), {}, ()), objects())
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "root": {"level": "DEBUG"}})
    with caplog.at_level(logging.DEBUG):
        enforcer.enforce(PUBLIC_SUBJECT, "Project.name", "clear", Row(holder_person="P-SECRET"), 0)
    assert "P-SECRET" not in caplog.text
