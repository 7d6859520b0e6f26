"""Sizes and names that swell unnoticed: files, the pipeline, the schema; and what no file here may hold."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from schema.registry import load_registry
from schema.sdl import build_schema

ROOT = Path(__file__).parents[1]
LINES = 400
"""A file is split by noun before it passes them, tests too."""
BANNED = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
VENDORED = ("server/pages/vendor/",)
# Folders of one machine, and where packages come from, have no place in a repository that others clone.
MACHINE = re.compile(r"(?<![\w.$}/])/(?:home|Users|root|work|mnt|workspace)/\w")
INDEX = re.compile(r"https?://[^\s\"'/]*(?:pypi|pythonhosted|npmjs|npmmirror|artifactory|nexus|devpi|mirrors?\.)")
INDEX_OPTION = re.compile(r"(?:--(?:extra-)?index-url|--find-links|^registry ?=)[ =]\S*https?:", re.MULTILINE)


def files() -> list[Path]:
    """What git tracks, or would: nothing that it ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_files_are_short():
    """No Python file has more lines than the budget."""
    long = {}
    for path in files():
        if path.suffix == ".py":
            lines = len(path.read_text(encoding="utf-8").splitlines())
            if lines > LINES:
                long[str(path.relative_to(ROOT))] = lines
    assert long == {}


def test_the_pipeline_is_a_table_of_contents():
    """One line a step: under 200 lines."""
    assert len((ROOT / "server/pipeline.py").read_text(encoding="utf-8").splitlines()) < 200


def test_no_file_is_named_after_nothing():
    """A helper lives beside its only caller, and has a noun for a home at the third."""
    listed = [path.relative_to(ROOT) for path in files()]
    assert [str(path) for path in listed if BANNED & {part.split(".")[0].lower() for part in path.parts}] == []


def test_no_machine_and_no_index_is_written_down():
    """Neither folders of somebody's machine nor addresses of package indexes."""
    found = []
    for path in files():
        name = str(path.relative_to(ROOT))
        if name.startswith(VENDORED) or path == Path(__file__):
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {hit[0]}" for rule in (MACHINE, INDEX, INDEX_OPTION) for hit in rule.finditer(text)]
    assert found == []


@pytest.mark.parametrize(
    "text",
    ["cd " + "/home/" + "li/zlaq", "https://" + "pypi.example/simple", "--index-url=https://" + "a.b/simple"],
)
def test_what_is_searched_for_would_be_found(text: str):
    """The patterns above find what they are for."""
    assert any(rule.search(text) for rule in (MACHINE, INDEX, INDEX_OPTION))


def test_the_schema_stays_small():
    """Under 900 types and 250 KB, so that clients can load it as a whole."""
    built = build_schema(load_registry())
    assert len(built.sdl.encode()) < 250_000
    assert len(built.graphql.type_map) < 900
