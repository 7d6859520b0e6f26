"""The wheel is whole: installed into an environment of its own, it migrates, seeds and serves from an empty folder."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
import time
import tomllib
import urllib.request
import zipfile
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from demo.seed import wellknown

if TYPE_CHECKING:
    from demo.embedded import EmbeddedPostgres

ROOT = Path(__file__).parents[1]
PACKAGES = ("schema", "policy", "adapters", "resolvers", "server", "demo")
DATA = (
    "policy/model.conf",
    "policy/revision/rules.csv",
    "policy/revision/classes.csv",
    "policy/revision/kinds.csv",
    "schema/codes.tsv",
    "schema/regions/nodes.tsv",
    "schema/regions/aliases.tsv",
    "schema/regions/LICENSE.quhua",
    "server/catalogue.tsv",
    "server/pages/index.html",
    "server/pages/vendor/graphiql/LICENSE",
)
ORIGINS = """
import importlib.metadata, importlib.util, json
found = importlib.metadata.packages_distributions()
print(json.dumps({name: [importlib.util.find_spec(name).origin, sorted(set(found[name]))] for name in %r}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = "pip wheel --quiet --no-deps --no-build-isolation --no-index --disable-pip-version-check --wheel-dir"
    subprocess.run([sys.executable, "-m", *command.split(), folder, ROOT], check=True)
    (built,) = folder.glob("zlaq-*.whl")
    return built


class Installed:
    """An environment that has the wheel, and this one's dependencies but not its checkout."""

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.python = folder / "bin/python"
        self.command = folder / "bin/zlaq"
        self.empty = folder / "empty"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        install = "install --quiet --no-deps --no-index --disable-pip-version-check"
        subprocess.run([sys.executable, "-m", "pip", "--python", self.python, *install.split(), wheel], check=True)
        # A .pth line adds a folder without following the .pth files in it, which lead back to the checkout.
        packages = next(folder.glob("lib/python*/site-packages"))
        (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.packages = packages
        self.empty.mkdir()

    def environment(self, **settings: str) -> dict[str, str]:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("ZLAQ_", "PYTHON"))}
        return kept | settings

    def run(self, *arguments: str | Path, **settings: str) -> str:
        """What the command prints."""
        done = subprocess.run(
            arguments, cwd=self.empty, env=self.environment(**settings), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed."""
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


def test_every_package_is_typed_and_nothing_is_left_out(wheel: Path):
    """`__init__.py` in every folder of code, `py.typed` in every top-level one, and all data that is read."""
    names = set(zipfile.ZipFile(wheel).namelist())
    folders = {str(Path(name).parent) for name in names if name.endswith(".py")}
    assert {folder for folder in folders if f"{folder}/__init__.py" not in names} == set()
    assert {name for name in PACKAGES if f"{name}/py.typed" not in names} == set()
    assert set(DATA) - names == set()
    migrations = {str(path.relative_to(ROOT)) for path in ROOT.glob("adapters/postgres/migrations/*.sql")}
    assert migrations
    assert migrations - names == set()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)


def test_the_wheel_is_never_uploaded(wheel: Path):
    """Its generic names would break other people's environments, so an index refuses it by this classifier."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        assert "Classifier: Private :: Do Not Upload" in archive.read(metadata).decode().splitlines()
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert tuple(declared["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES


def test_nothing_shadows_our_packages(installed: Installed):
    """Each comes from the wheel and belongs to it alone."""
    found: dict[str, Any] = json.loads(installed.run(installed.python, "-c", ORIGINS % (PACKAGES,)))
    assert found == {name: [str(installed.packages / name / "__init__.py"), ["zlaq"]] for name in PACKAGES}


def test_only_one_casbin_is_installed():
    """`casbin` and `pycasbin` both install the import name `casbin`; ours is `pycasbin`."""
    names = {distribution.metadata["Name"].lower() for distribution in distributions()}
    assert names & {"casbin", "pycasbin"} == {"pycasbin"}
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert [line.split(">")[0] for line in required if "casbin" in line] == ["pycasbin"]


@pytest.fixture
async def packaged(postgres: EmbeddedPostgres) -> str:
    """Address of an empty database."""
    connection = await asyncpg.connect(postgres.dsn)
    try:
        await connection.execute("CREATE DATABASE packaged")
    finally:
        await connection.close()
    return postgres.dsn.replace("/postgres?", "/packaged?")


def test_it_migrates_and_serves_from_an_empty_folder(packaged: str, installed: Installed):
    """Migration, data, policy and server come out of the wheel alone, and a query is answered."""
    zlaq = installed.command

    assert "applied 0001_foundation.sql" in installed.run(zlaq, "migrate", ZLAQ_DATABASE_URL=packaged)
    installed.run(zlaq, "seed", "--scale", "0.0005", ZLAQ_DATABASE_URL=packaged)
    assert "in force" in installed.run(zlaq, "policy", "publish", "--by", "tests", ZLAQ_DATABASE_URL=packaged)

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    heads = installed.empty / "heads.jsonl"
    settings = {"ZLAQ_DATABASE_URL": packaged, "ZLAQ_PORT": str(port), "ZLAQ_AUDIT_HEADS": str(heads)}
    server = subprocess.Popen(
        [zlaq, "serve"], cwd=installed.empty, env=installed.environment(**settings),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        answer = _ask(server, port, f'{{ project(projectNo: "{wellknown.PROJECT_COUNTY}") {{ projectNo status }} }}')
    finally:
        server.terminate()
        server.communicate(timeout=30)

    assert answer["data"] == {"project": {"projectNo": wellknown.PROJECT_COUNTY, "status": "UNDER_CONSTRUCTION"}}
    assert server.returncode == 0
    assert [path.name for path in installed.empty.iterdir()] == [heads.name]


def _ask(server: subprocess.Popen[str], port: int, query: str) -> dict[str, Any]:
    """The answer to a query, once the server listens."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    for _ in range(300):
        assert server.poll() is None, server.stderr and server.stderr.read()
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except urllib.error.URLError:
            time.sleep(0.1)
    pytest.fail("the server does not answer")
