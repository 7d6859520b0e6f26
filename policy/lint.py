"""What a revision must satisfy before it is published, checked against the schema it is for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from enum import StrEnum
from typing import Final

from policy.revision import COLUMNS, WORD, Revision, Rule
from policy.subject import Level
from policy.sync import stale, unopened
from schema.codes import CODE_LISTS
from schema.declare import Sharing
from schema.regions import UNRESOLVED, load_regions
from schema.registry import Registry

RULES_AT_MOST: Final = 2000
TERRITORIAL: Final = frozenset({"unknown", "own", "sub", "within", "sup", "located", "other", "case"})
RELATIONS: Final = TERRITORIAL | {"any", "owner", "holder", "in"}
ACTS: Final = ("clear", "mask")
EFFECTS: Final = ("allow", "deny")
WITHOUT_TERRITORY: Final = frozenset({Level.ENTERPRISE, Level.PERSON, Level.PUBLIC})
OTHER_KINDS: Final = frozenset({"ENTERPRISE", "PERSON", "PUBLIC"})
"""Kinds of subjects that are no departments; kinds of departments are the code list DeptKind."""


class Severity(StrEnum):
    """Whether a finding prevents publication."""

    REFUSED = "refused"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a revision; `rule` is the rule's id, or the object or file concerned."""

    severity: Severity
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


def lint(revision: Revision, registry: Registry) -> list[Finding]:
    """Everything to be said against the revision, refusals first."""
    refused = [Finding(Severity.REFUSED, rule, text) for rule, text in _refusals(revision, registry)]
    if refused:
        # What cannot be read cannot be compared with its neighbours.
        return refused
    return [Finding(Severity.WARNING, rule, text) for rule, text in _warnings(revision, registry)]


def _refusals(revision: Revision, registry: Registry) -> Iterator[tuple[str, str]]:
    if not revision.rules:
        yield "rules.csv", "a policy without rules"
    if len(revision.rules) > RULES_AT_MOST:
        yield "rules.csv", f"more than {RULES_AT_MOST} rules"
    for name, times in Counter(rule.id for rule in revision.rules).items():
        if times > 1:
            yield name, f"the id is used {times} times"
    words = _Words(revision, registry)
    for rule in revision.rules:
        unreadable = list(_unreadable(rule))
        yield from ((rule.id, text) for text in unreadable)
        if not unreadable:
            yield from ((rule.id, text) for text in words.against(rule))
    yield from _class_refusals(revision, registry)
    yield from _kind_refusals(revision)
    yield from _schema_refusals(registry)


def _unreadable(rule: Rule) -> Iterator[str]:
    for column, cell in zip(COLUMNS, astuple(rule), strict=True):
        if COLUMNS[column].fullmatch(cell) is None:
            yield f"{cell!r} cannot stand in the column {column}"


class _Words:
    """The words that a rule may use, in this revision and schema."""

    def __init__(self, revision: Revision, registry: Registry) -> None:
        self._kinds = {entry.name for entry in CODE_LISTS["DeptKind"].entries} | OTHER_KINDS
        self._kinds |= {parent for _, parent in revision.kinds}
        self._systems = {entry.name for entry in CODE_LISTS["BizSystem"].entries}
        self._systems |= {entity.system for entity in registry.entities.values()}
        self._objects = registry.proposals()
        self._classes = revision.classes
        self._registry = registry

    def against(self, rule: Rule) -> Iterator[str]:
        """What is wrong with a rule whose cells can be read."""
        if rule.eft not in EFFECTS:
            yield f"the effect {rule.eft} is neither {' nor '.join(EFFECTS)}"
        if rule.act not in ACTS:
            yield f"the act {rule.act} is neither {' nor '.join(ACTS)}"
        if rule.rel not in RELATIONS:
            yield f"unknown relation {rule.rel}"
        if rule.level != "*" and rule.level not in Level.__members__:
            yield f"unknown level {rule.level}"
        if rule.kind != "*" and rule.kind not in self._kinds:
            yield f"unknown kind {rule.kind}"
        if rule.system != "*" and rule.system not in self._systems:
            yield f"unknown system {rule.system}"
        if int(rule.smin) > int(rule.smax):
            yield f"no sensitivity lies between {rule.smin} and {rule.smax}"
        if rule.valid_from != "-" and rule.valid_to != "-" and int(rule.valid_from) >= int(rule.valid_to):
            yield "its window ends before it begins, or is empty"
        yield from self._against_object(rule)
        yield from self._against_scope(rule)

    def _against_object(self, rule: Rule) -> Iterator[str]:
        if rule.obj in self._objects:
            if rule.rel != "any" and self._registry.entity_of(rule.obj).governed.by == "none":
                yield f"{rule.obj} belongs to no region, owner or holder, so only `any` can be asked of it"
        elif rule.obj not in Sharing.__members__:
            yield f"{rule.obj} is neither a field of the schema nor a class"
        if rule.obj.endswith(".__row__") and rule.act == "mask" and rule.eft == "allow":
            yield "a row cannot be masked"
        if rule.rel == "in" and rule.eft == "allow" and self._classes.get(rule.obj, rule.obj) == Sharing.RESTRICTED:
            yield "an agreement never opens what is restricted"

    def _against_scope(self, rule: Rule) -> Iterator[str]:
        if (rule.rel == "in") != (rule.scope != "-"):
            yield "a scope belongs to the relation `in`, and only to it"
        for code in rule.scope.split("|") if rule.scope != "-" else ():
            if code == UNRESOLVED or not load_regions().is_node(code):
                yield f"{code} is no node of the supervision tree"


def _class_refusals(revision: Revision, registry: Registry) -> Iterator[tuple[str, str]]:
    for coordinate in stale(revision, registry):
        yield coordinate, "a class for something the schema does not have"
    for coordinate, name in revision.classes.items():
        if name not in Sharing.__members__:
            yield coordinate, f"unknown class {name}"


def _kind_refusals(revision: Revision) -> Iterator[tuple[str, str]]:
    parents: dict[str, set[str]] = defaultdict(set)
    departments = {entry.name for entry in CODE_LISTS["DeptKind"].entries}
    for kind, parent in revision.kinds:
        parents[kind].add(parent)
        if WORD.fullmatch(kind) is None or WORD.fullmatch(parent) is None:
            yield "kinds.csv", f"{kind} or {parent} is no word"
    known = departments | {parent for _, parent in revision.kinds}
    for kind in parents:
        if kind not in known:
            yield "kinds.csv", f"unknown kind {kind}"
        if kind in _above(kind, parents):
            yield "kinds.csv", f"{kind} counts as itself by way of others"


def _above(kind: str, parents: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(parents[kind])
    while waiting:
        parent = waiting.pop()
        if parent not in found:
            found.add(parent)
            waiting.extend(parents.get(parent, ()))
    return found


def _schema_refusals(registry: Registry) -> Iterator[tuple[str, str]]:
    for entity in registry.entities.values():
        if entity.governed.by != "none" and not entity.governed.manage:
            yield entity.name, "a governed entity without a column for the managing region"


def _warnings(revision: Revision, registry: Registry) -> Iterator[tuple[str, str]]:
    used = set(revision.classes.values()) | set(registry.proposals())
    by_object: dict[str, list[Rule]] = defaultdict(list)
    for rule in revision.rules:
        by_object[rule.obj].append(rule)
        if rule.obj not in used:
            yield rule.id, f"no field has the class {rule.obj}"
        if rule.level in WITHOUT_TERRITORY and rule.rel in TERRITORIAL:
            yield rule.id, f"a subject of level {rule.level} has no territory, so it never applies"
    above: dict[str, set[str]] = {}
    parents: dict[str, set[str]] = defaultdict(set)
    for kind, parent in revision.kinds:
        parents[kind].add(parent)
    for kind in parents:
        above[kind] = _above(kind, parents)
    for rules in by_object.values():
        yield from _shadows(rules, above)
    for coordinate in unopened(revision, registry):
        yield coordinate, "declared, but without a class in this revision: closed"


def _shadows(rules: Iterable[Rule], above: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    listed = list(rules)
    for i, rule in enumerate(listed):
        for j, other in enumerate(listed):
            if i == j or not _covers(other, rule, above) or (j > i and _covers(rule, other, above)):
                continue
            if other.eft == rule.eft:
                yield rule.id, f"adds nothing to {other.id}"
            else:
                # Where one covers another of another effect, it is a denial.
                yield rule.id, f"is always overridden by {other.id}"


WIDER: Final[Mapping[str, frozenset[str]]] = {
    "any": frozenset({"own", "sub", "within", "case", "sup", "located", "other", "in"}),
    "within": frozenset({"own", "sub", "case"}),
}


def _covers(wide: Rule, narrow: Rule, above: Mapping[str, set[str]]) -> bool:
    """Whether wherever the narrow rule applies, the wide one applies too and decides at least as much."""
    if wide.eft == "allow" and narrow.eft == "deny":
        return False
    stronger = "clear" if wide.eft == "allow" else "mask"
    acts = wide.act in (stronger, narrow.act) if wide.eft == narrow.eft else wide.act == "mask"
    words = all(
        getattr(wide, column) in ("*", getattr(narrow, column))
        for column in ("role", "level", "dept", "system", "purpose")
    )
    kinds = wide.kind in ("*", narrow.kind) or wide.kind in above.get(narrow.kind, ())
    relations = (narrow.rel == wide.rel and narrow.scope == wide.scope) or narrow.rel in WIDER.get(wide.rel, ())
    sensitivities = int(wide.smin) <= int(narrow.smin) and int(narrow.smax) <= int(wide.smax)
    begins = wide.valid_from == "-" or (narrow.valid_from != "-" and int(wide.valid_from) <= int(narrow.valid_from))
    ends = wide.valid_to == "-" or (narrow.valid_to != "-" and int(narrow.valid_to) <= int(wide.valid_to))
    return acts and words and kinds and relations and sensitivities and begins and ends
