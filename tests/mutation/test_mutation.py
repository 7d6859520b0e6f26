"""How many small mistakes in the policy and its algebra their tests notice."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter

import pytest

from tests.mutation.operators import mutants
from tests.mutation.sweep import FILES, ROOT, equivalents, mutants_of

SECONDS = 480
"""How long mutants are tried: all of them, or the sample that fits, always from the same end."""
SCORE = 0.95
"""Share of the mutants tried that must be noticed; those listed as equivalent are not tried."""
SAMPLE = 200
"""Fewer than these say nothing."""


@pytest.mark.prove
def test_mistakes_in_the_policy_are_noticed():
    """Each mutant that survives is a line that no test holds."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.mutation.sweep", str(SECONDS)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr
    tried = [line.split("\t") for line in run.stdout.splitlines()]
    counts = Counter((file, outcome) for outcome, file, *_ in tried)
    equivalent = Counter(one.file for one in equivalents() for _ in one.changes)
    print()  # noqa: T201
    for file in FILES:
        by = {outcome: counts[file, outcome] for outcome in ("killed", "timeout", "survived")}
        all_of_file = len(mutants_of(file)[1])
        figures = ", ".join(f"{times} {outcome}" for outcome, times in by.items())
        print(f"{file}: {all_of_file} mutants, {equivalent[file]} equivalent, {figures}")  # noqa: T201
    every = sum(len(mutants_of(file)[1]) for file in FILES) - equivalent.total()
    survivors = [rest for outcome, *rest in tried if outcome == "survived"]
    score = 1 - len(survivors) / len(tried)
    print(f"tried {len(tried)} of {every} ({len(tried) / every:.0%}), noticed {score:.1%}")  # noqa: T201
    for file, line, text, change in sorted(survivors):
        print(f"  {file}:{line}  {change}  in  {text}")  # noqa: T201
    assert len(tried) >= SAMPLE
    assert score >= SCORE


def test_what_is_listed_as_equivalent_exists():
    """An entry goes with the code it is about."""
    found = {(one.file, one.text, one.change) for file in FILES for one in mutants_of(file)[1]}
    listed = [(one.file, one.line, change) for one in equivalents() for change in one.changes]
    assert [entry for entry in listed if entry not in found] == []
    assert len(listed) == len(set(listed))
    assert all(one.because for one in equivalents())


SOURCE = '''
LIMIT = 2

def allowed(rows, role="x"):
    """Whether some row is."""
    for row in rows:
        if row.closed and not row.open:
            continue
        found = row.level < LIMIT
    return any(row.id in rows for row in rows) or found
'''
ANSWER = "any((row.id in rows for row in rows)) or found"
MADE = [
    (2, "", "2 -> 3"),
    (2, "", "2 -> 1"),
    (4, "", "'x' -> ''"),
    (7, "allowed", "row.closed and (not row.open) -> True"),
    (7, "allowed", "row.closed and (not row.open) -> False"),
    (7, "allowed", "row.closed and (not row.open) -> not row.open"),
    (7, "allowed", "row.closed and (not row.open) -> row.closed"),
    (7, "allowed", "And -> Or"),
    (7, "allowed", "not row.open -> row.open"),
    (8, "allowed", "continue -> pass"),
    (9, "allowed", "Lt -> LtE"),
    (9, "allowed", "Lt -> GtE"),
    (10, "allowed", f"return {ANSWER} -> return None"),
    (10, "allowed", f"return {ANSWER} -> return not ({ANSWER})"),
    (10, "allowed", f"{ANSWER} -> found"),
    (10, "allowed", f"{ANSWER} -> any((row.id in rows for row in rows))"),
    (10, "allowed", "Or -> And"),
    (10, "allowed", "any -> all"),
    (10, "allowed", "In -> NotIn"),
]


def test_the_operators_make_these_mistakes():
    """Every kind of place, and what is written there."""
    found = mutants("x.py", SOURCE, ast.parse(SOURCE))
    assert [(mutant.line, mutant.function, mutant.change) for mutant in found] == MADE


def test_a_mutant_changes_its_own_place_and_nothing_else():
    """Applied to a tree, the text differs in one line."""
    for n in range(len(MADE)):
        tree = ast.parse(SOURCE)
        before = ast.unparse(tree).splitlines()
        list(mutants("x.py", SOURCE, tree))[n].apply()
        after = ast.unparse(ast.fix_missing_locations(tree)).splitlines()
        assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
