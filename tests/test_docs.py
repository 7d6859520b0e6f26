"""The documentation is complete, and what it shows is what happens: every example is parsed or executed."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import click
import orjson
import pytest
from graphql import parse, validate

from demo.tokens import AUDIENCE, ISSUER, ISSUER_FILE, JWKS_FILE, prepare
from policy.decide import build_snapshot
from policy.lint import lint
from policy.revision import load_default, parse_revision, revision_texts
from policy.row import Row
from policy.subject import PUBLIC_SUBJECT, Subject
from policy.sync import unopened, with_proposals
from schema.predicate import holds
from schema.registry import load_registry
from schema.sdl import build_schema
from server.catalogue import CATALOGUE
from server.cli import main
from server.identity import Authenticator, NoCases
from server.pipeline import Question
from server.service import Service
from server.settings import Settings, variable
from tests.conftest import publish
from tests.declared.tables import another_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.embedded import EmbeddedPostgres
    from tests.conftest import Asker

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
README, ENTITY, RULE = ROOT / "README.md", ROOT / "docs/howto/add-an-entity.md", ROOT / "docs/howto/add-a-rule.md"
OPERATIONS, GLOSSARY = ROOT / "docs/operations.md", ROOT / "docs/glossary.md"
PACKAGE = "documented_entities"
WRITTEN_BY_READERS = {"query.graphql", "schema/entities/safety/safety_licence.py"}
"""Files that an example tells its reader to make."""


def blocks(page: Path) -> list[tuple[str, str]]:
    """(info string, text) of each fenced block."""
    return re.findall(r"^```([^\n]+)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def block(page: Path, info: str, number: int = 0) -> str:
    """One fenced block by its info string."""
    return [text for found, text in blocks(page) if found == info][number]


def commands(group: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that name it."""
    if path:
        yield path, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            yield from commands(command, *path, name)


COMMANDS = dict(commands(main))


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo's issuer."""
    folder = tmp_path_factory.mktemp("issuer")
    prepare(folder)
    return folder


async def caller(issuer: Path, role: str) -> Subject:
    """A caller of the demo, by the way that its token goes."""
    if role == "public":
        return PUBLIC_SUBJECT
    settings = Settings(
        database_url="postgresql://", jwks=str(issuer / JWKS_FILE), issuer=ISSUER, audience=AUDIENCE,
        demo_issuer=issuer / ISSUER_FILE,
    )  # fmt: skip
    token = prepare(issuer).mint(role)
    authenticator = Authenticator.from_settings(settings, NoCases())
    return await authenticator.authenticate([(b"authorization", b"Bearer " + token.encode())])


def test_every_setting_is_documented():
    """By its variable, in the table of the operations guide."""
    text = OPERATIONS.read_text(encoding="utf-8")
    assert [variable(spec) for spec in fields(Settings) if f"| `{variable(spec)}` |" not in text] == []


def test_every_error_is_documented():
    """By code and name, in the rendered catalogue."""
    text = (ROOT / "docs/errors.md").read_text(encoding="utf-8")
    assert [entry.code for entry in CATALOGUE.values() if f"| {entry.code} | {entry.name} |" not in text] == []


def test_every_command_is_documented():
    """A member of a group by its own name in the group's line."""
    lines = [line for line in OPERATIONS.read_text(encoding="utf-8").splitlines() if line.startswith("| `zlaq ")]
    documented = {word for line in lines for word in re.findall(r"`(?:zlaq )?([a-z ]+)`", line.split(" | ")[0])}
    words = {part for entry in documented for part in entry.split()}
    assert [path for path in COMMANDS if path[-1] not in words] == []


def test_every_entity_is_in_the_glossary():
    """Its English name and Chinese title on one line, with the file that declares it."""
    lines = GLOSSARY.read_text(encoding="utf-8").splitlines()
    for entity in load_registry().entities.values():
        (line,) = [line for line in lines if line.startswith(f"| {entity.name} | {entity.title} |")]
        (path,) = re.findall(r"`(schema/entities/[^`]+)`", line)
        assert f"class {entity.name}:" in (ROOT / path).read_text(encoding="utf-8")


def test_the_schema_in_git_is_the_declared_one():
    """`make schema` writes it."""
    assert (ROOT / "schema.graphql").read_text(encoding="utf-8") == build_schema(load_registry()).sdl


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_what_is_referred_to_exists(page: Path):
    """Linked files, files in backticks, and targets of make."""
    text = page.read_text(encoding="utf-8")
    missing = [link for link in re.findall(r"\]\((?!https?:)([^)#]+)", text) if not (page.parent / link).exists()]
    for name in set(re.findall(r"`([\w./-]+\.(?:py|md|csv|tsv|conf|graphql|toml|txt))`", text)) - WRITTEN_BY_READERS:
        near = name.removeprefix("/")
        if not (ROOT / near).exists() and not any(ROOT.glob(f"[a-z]*/**/{Path(near).name}")):
            missing.append(name)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    missing += [
        f"make {target}" for target in re.findall(r"\bmake ([a-z]+)\b(?=[`\s]*)", _code(text)) if target not in targets
    ]
    assert missing == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.stem)
def test_commands_that_are_shown_exist_with_their_options(page: Path):
    """Every `zlaq ...` in code names a command, and each of its options is one of that command's."""
    for shown in re.findall(r"\bzlaq (?!zlaq )([a-z]+\b[^`\n|;<#]*)", _code(page.read_text(encoding="utf-8"))):
        words = shlex.split(shown)
        grouped = isinstance(COMMANDS.get((words[0],)), click.Group) and len(words) > 1
        path = tuple(words[:2] if grouped else words[:1])
        assert path in COMMANDS, shown
        known = {option for parameter in COMMANDS[path].params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, shown


def _code(text: str) -> str:
    """What stands in backticks, in fenced blocks other than data, or indented."""
    fenced = "\n".join(b for i, b in re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if not i)
    rest = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    indented = "\n".join(line for line in rest.splitlines() if line.startswith("    "))
    inline = "\n".join(span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", rest))
    marked = "\n".join(re.findall(r"<code>(.*?)</code>", rest))
    return f"{fenced}\n{indented}\n{inline}\n{marked}"


@pytest.mark.parametrize("role", ["county", "public"])
async def test_the_readmes_query_has_the_printed_answers(ask: Asker, issuer: Path, role: str):
    """Executed on the demo's data, as the caller that stands above the answer."""
    answer = await ask(await caller(issuer, role), block(README, "graphql"))

    assert "errors" not in answer
    assert answer["data"] == orjson.loads(block(README, f"json {role}"))


async def test_the_readmes_difference_is_disclosed(ask: Asker, issuer: Path):
    """What is null for the public is named as denied."""
    answer = await ask(PUBLIC_SUBJECT, block(README, "graphql"))

    denied = {d["coordinate"] for d in answer["extensions"]["disclosure"] if d["verdict"] == "DENIED"}
    assert denied == {"Project.dataLevel", "Project.totalInvestment", "Enterprise.contactMobile"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The how-to's entity as a package."""
    folder = tmp_path / PACKAGE
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "safety_licence.py").write_text(block(ENTITY, "python"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield PACKAGE
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


async def test_the_howtos_entity_works(postgres: EmbeddedPostgres, package: str, issuer: Path, tmp_path: Path):
    """File, migration and revision as written, and the query answers what is said."""
    dsn = await another_database(postgres.dsn, "documented")
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(block(ENTITY, "sql", 0))
        await connection.execute("GRANT SELECT ON zlaq.safety_licence TO zlaq_read")
        await connection.execute(block(ENTITY, "sql", 1))
    finally:
        await connection.close()
    registry = load_registry(package)
    assert unopened(load_default(), registry)
    revision = with_proposals(load_default(), registry)
    assert lint(revision, registry) == []
    await publish(dsn, revision)
    query = block(ENTITY, "graphql")
    assert validate(build_schema(registry).graphql, parse(query)) == []

    settings = Settings(database_url=dsn, audit_heads=tmp_path / "heads.jsonl", entity_packages=(package,))
    answers: dict[str, Any] = {}
    async with Service.open(settings, package) as service:
        for role in ("province", "public"):
            answer = await service.answer(Question(query, {}, None), await caller(issuer, role), role)
            answers[role] = orjson.loads(answer.body)["data"]

    assert [answers[role]["safetyLicence"]["principal"] for role in ("province", "public")] == ["陈**", None]
    assert [answers[role]["safetyLicences"]["totalCount"] for role in ("province", "public")] == [1, 1]


async def test_the_howtos_rule_works(issuer: Path):
    """It may be published, and opens what it says to whom it says, until it ends."""
    row = block(RULE, "csv")
    default = load_default()
    rules, classes, kinds = revision_texts(default)
    registry = load_registry()
    revision = parse_revision(rules + row, classes, kinds)
    assert lint(revision, registry) == []
    ends = int(row.split(",")[14])
    project = registry.entity("Project")
    row_of_project = Row("330106", "330106", "JS330106-1").attributes
    field = project.fields["totalInvestment"]

    def clear(revised: bool, subject: Subject, now: int) -> bool:
        snapshot = build_snapshot(revision if revised else default, registry)
        return holds(snapshot.decide(subject, now).field(project, field).clear, row_of_project)

    county, city = await caller(issuer, "county"), await caller(issuer, "city")
    assert not clear(False, county, ends - 1)
    assert clear(True, county, ends - 1)
    assert not clear(True, replace(county, dept="JS420102-1"), ends - 1)
    assert not clear(True, city, ends - 1)
    assert not clear(True, county, ends)


@pytest.mark.parametrize("page", [page for page in DOCS if page != ENTITY], ids=lambda page: page.stem)
def test_operations_that_are_shown_are_valid(page: Path):
    """Every GraphQL block fits the schema."""
    schema = build_schema(load_registry()).graphql
    for info, text in blocks(page):
        if info == "graphql":
            assert validate(schema, parse(text)) == []
