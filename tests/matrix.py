"""The default tests on the other versions served, for `make matrix`; `make test` is Python 3.11 with PostgreSQL 18.

Each combination has an environment of its own below .matrix/, with the same locked packages. PYTHON312, PYTHON313 and
PYTHON311 name another interpreter, POSTGRESQL15 another folder of PostgreSQL's programs. Exits with 1 unless every
combination ran, on the versions asked for, and passed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".matrix"
WHEEL = "18"
"""PostgreSQL's major version in the wheel that the launcher takes unless told otherwise."""
COMBINATIONS = (("3.12", WHEEL), ("3.13", WHEEL), ("3.11", "15"))
"""Python, PostgreSQL."""


class Missing(Exception):
    """A combination cannot be run; the text says what to install."""


class Result(NamedTuple):
    """One line of the table; `counts` are passed, failed and skipped, `seen` what the tests themselves found."""

    passed: bool
    counts: tuple[int, int, int]
    seconds: float
    seen: str


def interpreter(version: str) -> Path:
    """The interpreter named by PYTHON3XX, on the PATH, or pyenv's newest; raises `Missing`."""
    variable = f"PYTHON{version.replace('.', '')}"
    for candidate in _candidates(version, variable):
        asked = "import sys; print('%d.%d' % sys.version_info[:2])"
        # One of pyenv's shims is on the PATH for versions that it then says it does not have.
        try:
            found = subprocess.run([candidate, "-c", asked], capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            continue
        if found == version:
            return Path(candidate)
    raise Missing(f"no Python {version}: pyenv install {version}, or make matrix {variable}=/path/to/python{version}")


def _candidates(version: str, variable: str) -> Iterator[str | Path]:
    if chosen := os.environ.get(variable):
        yield chosen
        return
    if found := shutil.which(f"python{version}"):
        yield found
    of_pyenv = Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}")
    yield from sorted(of_pyenv, key=lambda path: path.stat().st_mtime, reverse=True)


def programs(version: str) -> dict[str, str]:
    """The variable that makes the launcher take PostgreSQL of this major version; raises `Missing`."""
    if version == WHEEL:
        return {}
    variable = f"POSTGRESQL{version}"
    folder = Path(os.environ.get(variable, f"/usr/lib/postgresql/{version}/bin"))
    if not (folder / "postgres").is_file():
        raise Missing(
            f"no PostgreSQL {version} in {folder}: on Debian 12 apt-get install postgresql-{version},"
            f" or make matrix {variable}=/folder/of/its/programs"
        )
    return {"ZLAQ_PG_BIN": str(folder)}


def environment(version: str) -> Path:
    """The folder of an environment for this Python, made if it is missing or older than the locks; raises `Missing`."""
    folder = FOLDER / f"py{version}"
    command = ["make", "--no-print-directory", f"VENV={folder.relative_to(ROOT)}", f"PYTHON={interpreter(version)}"]
    FOLDER.mkdir(exist_ok=True)
    if subprocess.run([*command, f"{folder.relative_to(ROOT)}/ready"], cwd=ROOT, check=False).returncode:
        raise Missing(f"the environment for Python {version} could not be made")
    return folder


def run(python: str, postgresql: str) -> Result:
    """Run the default tests on one combination; raises `Missing`."""
    chosen = programs(postgresql)
    folder = environment(python)
    report = FOLDER / f"py{python}-pg{postgresql}.xml"
    report.unlink(missing_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ZLAQ_")}
    began = time.monotonic()
    command = [str(folder / "bin/python"), "-m", "pytest", f"--junitxml={report}"]
    code = subprocess.run(command, cwd=ROOT, env=kept | chosen, check=False).returncode
    seconds = time.monotonic() - began
    if not report.exists():
        return Result(False, (0, 0, 0), seconds, f"pytest ended with {code}")
    (suite,) = ET.parse(report).getroot()
    total, failed, errors, skipped = (int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped"))
    seen = {found.get("name"): found.get("value", "") for found in suite.findall("properties/property")}
    versions = seen.get("python", ""), seen.get("postgresql", "")
    asked = all(
        f"{found}.".startswith(f"{wanted}.") for found, wanted in zip(versions, (python, postgresql), strict=True)
    )
    counts = total - failed - errors - skipped, failed + errors, skipped
    return Result(code == 0 and asked, counts, seconds, f"Python {versions[0]}, PostgreSQL {versions[1]}")


def main() -> int:
    """Run all combinations, print the table, and return the exit code."""
    lines = []
    complete = True
    for python, postgresql in COMBINATIONS:
        name = f"Python {python}, PostgreSQL {postgresql}"
        print(f"=== {name}", flush=True)  # noqa: T201
        try:
            result = run(python, postgresql)
        except Missing as missing:
            complete = False
            lines.append(f"{name:<28} NOT RUN: {missing}")
            continue
        complete &= result.passed
        counts = "".join(f"{count:>8}" for count in result.counts)
        lines.append(f"{name:<28}{counts}{result.seconds:>9.0f}  {result.seen}{'' if result.passed else '  FAILED'}")
    heading = f"{'combination':<28}{'passed':>8}{'failed':>8}{'skipped':>8}{'seconds':>9}  versions seen"
    print("", heading, *lines, "Python 3.11, PostgreSQL 18: make test", sep="\n")  # noqa: T201
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
