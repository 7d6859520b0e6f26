"""The policy's meaning once more, naively and without Casbin: what model.conf and the compiler are compared with."""

from __future__ import annotations

from collections.abc import Mapping

from policy.enforcer import PolicyObject
from policy.revision import Revision, Rule
from policy.row import Row
from policy.subject import Country, Prefixes, Subject
from schema.regions import ancestors


def permitted(
    revision: Revision, objects: Mapping[str, PolicyObject], subject: Subject, obj: str, act: str, row: Row, now: int
) -> bool:
    """Some rule allows and no rule denies."""
    matching = [r for r in revision.rules if applies(r, revision, objects[obj], subject, act, row, now)]
    return any(r.eft == "allow" for r in matching) and not any(r.eft == "deny" for r in matching)


def applies(rule: Rule, revision: Revision, obj: PolicyObject, subject: Subject, act: str, row: Row, now: int) -> bool:
    if rule.eft == "allow":
        acts = {"clear": ("clear", "mask"), "mask": ("mask",)}
    else:
        acts = {"mask": ("mask", "clear"), "clear": ("clear",)}
    if act not in acts[rule.act] or rule.obj not in (obj.coordinate, revision.classes.get(obj.coordinate)):
        return False
    for wanted, actual in (
        (rule.level, subject.level), (rule.dept, subject.dept), (rule.system, obj.system),
        (rule.purpose, subject.purpose),
    ):  # fmt: skip
        if wanted not in ("*", actual):
            return False
    if rule.role != "*" and rule.role not in subject.roles:
        return False
    if rule.kind != "*" and rule.kind not in kinds_of(subject.kind, revision):
        return False
    if rule.valid_from != "-" and now < int(rule.valid_from):
        return False
    if rule.valid_to != "-" and now >= int(rule.valid_to):
        return False
    return int(rule.smin) <= row.sens <= int(rule.smax) and holds_between(rule, obj, subject, row)


def kinds_of(kind: str, revision: Revision) -> set[str]:
    found = {kind}
    for _ in revision.kinds:
        found |= {parent for child, parent in revision.kinds if child in found}
    return found


def holds_between(rule: Rule, obj: PolicyObject, subject: Subject, row: Row) -> bool:
    unresolved = row.manage == "999999"
    if rule.rel == "any":
        return not unresolved
    if not obj.governed:
        return False
    if rule.rel == "owner":
        return row.owner_dept != "-" and row.owner_dept == subject.dept
    if rule.rel == "holder":
        mine = row.holder_uscc != "-" and row.holder_uscc == subject.enterprise
        return mine or (row.holder_person != "-" and row.holder_person == subject.person)
    if rule.rel == "in":
        return not unresolved and any(lies_in(row.manage, code) for code in rule.scope.split("|") if code != "-")
    relation = relation_between(subject, row)
    if rule.rel == "within":
        return relation in ("own", "sub")
    if rule.rel == "case":
        return relation in ("own", "sub") and row.case_no != "-" and row.case_no == subject.case_no
    return relation == rule.rel


def lies_in(code: str, node: str) -> bool:
    """At or below a node of the tree, by comparing pairs of digits."""
    pairs = [node[i : i + 2] for i in (0, 2, 4)]
    while pairs and pairs[-1] == "00":
        pairs.pop()
    return code == node or (len(pairs) < 3 and [code[i : i + 2] for i in range(0, 2 * len(pairs), 2)] == pairs)


def relation_between(subject: Subject, row: Row) -> str | None:
    """The partition, first match wins."""
    match subject.territory:
        case Country():
            nodes: tuple[str, ...] = ("000000",)
        case Prefixes(codes):
            nodes = codes
        case _:
            return None
    if row.manage == "999999":
        return "unknown"
    if row.manage in nodes:
        return "own"
    if any(lies_in(row.manage, node) for node in nodes):
        return "sub"
    if any(row.manage in ancestors(node) for node in nodes):
        return "sup"
    if any(lies_in(row.site, node) for node in nodes):
        return "located"
    return "other"
