"""Runs the policy's tests against one mutant after another, each in a process forked for it.

Pytest has collected the tests before the first fork. A mutant inside a function is compiled and put into the function
as it stands in memory, so that whoever has imported it has the mutant; one outside has the module and all that depend
on it imported anew, which takes longer. The tests run up to the first failure.
"""

from __future__ import annotations

import ast
import gc
import importlib.util
import json
import os
import resource
import signal
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

import hypothesis
import pytest

from tests.mutation.operators import Mutant, mutants

ROOT: Final = Path(__file__).parents[2]
POLICY: Final = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "policy").glob("[!_]*.py"))
FILES: Final = (*POLICY, "schema/predicate.py", "schema/simplify.py")
WATCHED_BY: Final = {
    "policy": ("tests/policy",),
    "schema": ("tests/schema/test_predicate.py", "tests/schema/test_simplify.py"),
}
"""The tests that must notice a mutant, by its folder: the nearest ones, none of which needs a database."""
CPU_SECONDS_AT_MOST = 60
WALL_SECONDS_AT_MOST = 600
MEMORY_AT_MOST = 4 << 30
AT_ONCE = 2
OPTIONS = [
    "-x",
    "--noconftest",
    "--assert=plain",
    *(f"-pno:{name}" for name in ("cacheprovider", "asyncio", "anyio", "terminal")),
]
CONFIGURATION = ["-c", os.devnull, "--rootdir", str(ROOT), "--import-mode=importlib", "-W", "ignore"]
MARKS = ["-m", "not prove", "-o", "markers=prove: a long proof"]


@dataclass(frozen=True)
class Equivalent:
    """Mutants of one line that no test can tell from the original, and why."""

    file: str
    line: str
    changes: tuple[str, ...]
    because: str


def equivalents() -> list[Equivalent]:
    """What equivalent.toml lists."""
    listed = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text(encoding="utf-8"))["mutant"]
    return [Equivalent(one["file"], one["line"], tuple(one["changes"]), one["because"]) for one in listed]


def mutants_of(file: str) -> tuple[ast.Module, list[Mutant]]:
    """Every mutant of a file of the checkout, equivalent ones included, and the tree that they change."""
    source = (ROOT / file).read_text(encoding="utf-8")
    tree = ast.parse(source)
    return tree, list(mutants(file, source, tree))


class Chosen:
    """Leaves the seeded bugs out: they are caught whatever the mutant does."""

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Pytest's hook; examples come before random ones."""
        kept = [item for item in items if item.originalname != "test_a_seeded_bug_is_caught"]
        items[:] = sorted(kept, key=lambda item: (hasattr(item.obj, "hypothesis"), "compile" in item.nodeid))


class Sweep(Chosen):
    """Runs the tests once as they stand, then for every mutant those that call the function it lies in."""

    def __init__(self, files: Iterable[str], seconds: float) -> None:
        known = {(one.file, one.line, change) for one in equivalents() for change in one.changes}
        self._trees, self._waiting = {}, []
        for file in files:
            self._trees[file], found = mutants_of(file)
            self._waiting += [one for one in found if (file, one.text, one.change) not in known]
        self._waiting.sort(key=lambda mutant: mutant.order, reverse=True)
        self._seconds = seconds
        self._calls: dict[str, dict[str, float]] = {}
        """Seconds that each test takes, by the functions it calls."""

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Pytest's hook; prints one line for each mutant."""
        reading, writing = os.pipe()
        self._fork(partial(_observe, session, writing))
        os.close(writing)
        with os.fdopen(reading) as report:
            written = report.read()
        if os.wait()[1]:
            raise RuntimeError("the tests fail without a mutant")
        self._calls = json.loads(written)
        gc.freeze()
        running: dict[int, Mutant] = {}
        until = time.monotonic() + self._seconds
        while True:
            while self._waiting and len(running) < AT_ONCE and time.monotonic() < until:
                mutant = self._waiting.pop()
                running[self._fork(partial(self._try, session, mutant))] = mutant
            if not running:
                return True
            child, status = os.wait()
            mutant = running.pop(child)
            outcome = "timeout" if os.WIFSIGNALED(status) else "killed" if status else "survived"
            print(outcome, mutant.file, mutant.line, mutant.text, mutant.change, sep="\t", flush=True)  # noqa: T201

    def _fork(self, work: Callable[[], int]) -> int:
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            status = work()
        finally:
            os._exit(status)

    def _try(self, session: pytest.Session, mutant: Mutant) -> int:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS_AT_MOST, CPU_SECONDS_AT_MOST))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_AT_MOST, MEMORY_AT_MOST))
        signal.alarm(WALL_SECONDS_AT_MOST)
        mutant.apply()
        code = compile(ast.fix_missing_locations(self._trees[mutant.file]), mutant.file, "exec")
        takes = self._calls.get(f"{mutant.file} {mutant.function}", {})
        # What no test calls may have been called when modules were imported.
        if not takes or not _swap(mutant, code):
            return _run_anew(mutant.file, code)
        folder = f"tests/{mutant.file.partition('/')[0]}/"
        watching = [item for item in session.items if item.nodeid in takes and item.nodeid.startswith(folder)]
        return _run(sorted(watching, key=lambda item: takes[item.nodeid]))


def _observe(session: pytest.Session, report: int) -> int:
    """Write which functions each test calls, nothing remembered from the one before; 1 if one fails."""
    calls: dict[str, dict[str, float]] = {}
    for item in session.items:
        _forget()
        called: set[CodeType] = set()
        before = time.process_time()
        sys.settrace(partial(_note, called))
        status = _run([item])
        sys.settrace(None)
        if status:
            return status
        for code in called:
            # A function inside another says nothing: the outer one may have been called long before.
            if code.co_filename.startswith(str(ROOT)) and "<" not in code.co_qualname:
                name = f"{Path(code.co_filename).relative_to(ROOT)} {code.co_qualname}"
                calls.setdefault(name, {})[item.nodeid] = time.process_time() - before
    with os.fdopen(report, "w") as stream:
        json.dump(calls, stream)
    return 0


def _note(called: set[CodeType], frame: FrameType, *_: object) -> None:
    """Called for each new frame; nothing is asked about its lines."""
    called.add(frame.f_code)


def _swap(mutant: Mutant, module: CodeType) -> bool:
    """Put the mutant's code into the function that everybody has imported; false where its closure has changed."""
    found: Any = sys.modules[_module(mutant.file)]
    code = module
    for name in mutant.function.split("."):
        found = vars(found)[name]
        code = next(inner for inner in code.co_consts if isinstance(inner, CodeType) and inner.co_name == name)
    if isinstance(found, property):
        found = found.fget
    found = getattr(found, "__wrapped__", getattr(found, "__func__", found))
    if found.__code__.co_freevars != code.co_freevars:
        return False
    found.__code__ = code
    _forget()
    return True


def _forget() -> None:
    """Empty what the policy, and the tests of it, remember of earlier calls."""
    for name, known in list(sys.modules.items()):
        if name.startswith(("policy.", "tests.policy.", "schema.simplify")):
            for one in vars(known).values():
                if hasattr(one, "cache_clear") and one.__module__ != "schema.registry":
                    one.cache_clear()


def _run(items: Sequence[pytest.Item]) -> int:
    for item, following in zip_longest(items, items[1:]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if item.session.testsfailed:
            return 1
    return 0


def _run_anew(file: str, code: CodeType) -> int:
    """The same with the module executed, and everything imported, from the beginning."""
    name = _module(file)
    for other in list(sys.modules):
        if other.startswith(("policy", "schema", "tests.policy", "tests.schema")):
            del sys.modules[other]
    spec = importlib.util.find_spec(name)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    package, _, own = name.partition(".")
    setattr(sys.modules[package], own, module)
    exec(code, module.__dict__)
    return collect(WATCHED_BY[package], Chosen())


def _module(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".")


def collect(paths: Iterable[str], plugin: Chosen) -> int:
    """Pytest's exit status for some of the tests."""
    return int(pytest.main([*OPTIONS, *CONFIGURATION, *MARKS, *(str(ROOT / path) for path in paths)], plugins=[plugin]))


def main(seconds: float, files: Iterable[str]) -> int:
    """Pytest's exit status, the mutants' having been printed."""
    hypothesis.settings.register_profile(
        "mutation", derandomize=True, deadline=None, database=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck), max_examples=60,
    )  # fmt: skip
    hypothesis.settings.load_profile("mutation")
    return collect(chain.from_iterable(WATCHED_BY.values()), Sweep(files, seconds))


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:] or FILES))
