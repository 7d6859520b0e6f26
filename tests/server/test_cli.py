"""The command line: what it lists, what it refuses, and its exit codes; commands on a database are tested with `up`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import jwt
import pytest
from click.testing import CliRunner, Result

from adapters.audit_verifier import GENESIS
from demo.tokens import ISSUER_FILE, JWKS_FILE, prepare
from policy.revision import load_default, parse_revision, revision_texts
from schema.registry import load_registry
from schema.sdl import build_schema
from server.cli import COMMANDS, main
from server.commands.policy import FILES
from server.commands.prove import differences, grid
from server.identity import Authenticator, NoCases
from server.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = "postgresql://zlaq:pass-17@127.0.0.1:9/zlaq"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env={"ZLAQ_DATABASE_URL": None, **environment})


def commands(group: click.Command, *path: str) -> list[tuple[str, ...]]:
    found = [path]
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            found += commands(command, *path, name)
    return found


def test_every_command_explains_itself():
    listed = commands(main)
    assert {path[0] for path in listed if path} >= COMMANDS.keys()
    for path in listed:
        result = run(*path, "--help")
        assert result.exit_code == 0, path
        assert "Usage:" in result.output
    for name in COMMANDS:
        assert name in run("--help").output


def test_wrong_usage_and_wrong_settings_are_2():
    assert run("no-such-command").exit_code == 2
    result = run("migrate")
    assert result.exit_code == 2
    assert "ZLAQ_DATABASE_URL is not set" in result.output
    result = run("migrate", ZLAQ_DATABASE_URL="postgresql://h/d", ZLAQ_POTR="1")
    assert result.exit_code == 2
    assert "did you mean ZLAQ_PORT?" in result.output


@pytest.mark.parametrize("command", [("migrate",), ("policy", "lint", "--in-force"), ("audit", "export", "/dev/null")])
def test_a_database_out_of_reach_is_1_and_its_address_is_not_shown(command):
    result = run(*command, ZLAQ_DATABASE_URL=NOWHERE)
    assert result.exit_code == 1, result.output
    assert "pass-17" not in result.output


def test_schema_prints_what_declarations_give_and_checks_a_file(tmp_path):
    file = tmp_path / "schema.graphql"
    text = run("schema").output
    assert text == build_schema(load_registry()).sdl
    file.write_text(text)
    assert run("schema", "--check", str(file)).exit_code == 0
    file.write_text(text.replace("type Query", "type Question"))
    result = run("schema", "--check", str(file))
    assert result.exit_code == 1
    assert "-type Question" in result.output
    assert run("schema", "--check", str(tmp_path / "none")).exit_code == 1


@pytest.fixture
def demo(tmp_path: Path) -> dict[str, str]:
    prepare(tmp_path)
    return {
        "ZLAQ_DATABASE_URL": NOWHERE,
        "ZLAQ_DEMO_ISSUER": str(tmp_path / ISSUER_FILE),
        "ZLAQ_JWKS": str(tmp_path / JWKS_FILE),
        "ZLAQ_ISSUER": "https://issuer.demo.invalid",
        "ZLAQ_AUDIENCE": "zlaq-demo",
    }


async def test_each_role_of_the_demo_has_a_token_that_is_accepted(demo):
    authenticator = Authenticator.from_settings(Settings.from_environment(demo), NoCases())
    for role in ("county", "city", "province", "ministry", "enterprise", "person"):
        result = run("token", "--as", role, "--hours", "1", **demo)
        assert result.exit_code == 0, result.output
        token = result.output.strip()
        subject = await authenticator.authenticate([(b"authorization", b"Bearer " + token.encode())])
        assert subject.level == role.upper()
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 3600


def test_tokens_survive_a_restart_and_the_key_is_nobody_elses(tmp_path, demo):
    before = tmp_path.joinpath(JWKS_FILE).read_text()
    prepare(tmp_path)
    assert tmp_path.joinpath(JWKS_FILE).read_text() == before
    assert {path.name for path in tmp_path.iterdir() if path.stat().st_mode & 0o077} == {JWKS_FILE}
    assert '"d"' not in before


def test_a_token_needs_a_demo_and_a_role_of_it(demo):
    result = run("token", "--as", "mayor", **demo)
    assert (result.exit_code, "there are public, county" in result.output) == (2, True)
    result = run("token", "--as", "county", ZLAQ_DATABASE_URL=NOWHERE)
    assert (result.exit_code, "ZLAQ_DEMO_ISSUER is not set" in result.output) == (2, True)
    broken = {**demo, "ZLAQ_DEMO_ISSUER": demo["ZLAQ_JWKS"]}
    result = run("token", "--as", "county", **broken)
    assert (result.exit_code, "not the file of a demo issuer" in result.output) == (2, True)


def test_variables_are_a_json_object(tmp_path, demo):
    file = tmp_path / "q.graphql"
    file.write_text("{ __typename }")
    for value in ("[]", "{", "1"):
        result = run("query", str(file), "--variables", value, **demo)
        assert (result.exit_code, "must be a JSON object" in result.output) == (2, True)
    assert run("query", str(tmp_path / "none"), **demo).exit_code == 2


def write(folder: Path, *contents: str) -> str:
    folder.mkdir(exist_ok=True)
    for name, text in zip(FILES, contents, strict=True):
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def test_a_revision_as_text_is_the_same_revision():
    assert parse_revision(*revision_texts(load_default())).id == load_default().id


def test_policy_lint(tmp_path):
    assert run("policy", "lint").exit_code == 0
    rules, classes, kinds = revision_texts(load_default())
    result = run("policy", "lint", "--from", write(tmp_path / "p", rules.replace(",allow,", ",Allow,"), classes, kinds))
    assert (result.exit_code, "refused: " in result.output) == (1, True)
    result = run("policy", "lint", "--from", write(tmp_path / "p", "x", classes, kinds))
    assert (result.exit_code, "rules.csv, line 1" in result.output) == (1, True)
    (tmp_path / "p" / "kinds.csv").unlink()
    result = run("policy", "lint", "--from", str(tmp_path / "p"))
    assert (result.exit_code, "has no kinds.csv" in result.output) == (2, True)
    assert run("policy", "lint", "--in-force", "--from", str(tmp_path)).exit_code == 2


def test_policy_sync_opens_what_waits(tmp_path):
    rules, classes, kinds = revision_texts(load_default())
    without = "".join(line for line in classes.splitlines(keepends=True) if not line.startswith("Project.name,"))
    folder = write(tmp_path / "p", rules, without + "Project.gone,PUBLIC\n", kinds)
    result = run("policy", "sync", "--from", folder)
    assert result.exit_code == 1
    assert "closed: Project.name waits for a class, PUBLIC is proposed" in result.output
    assert "stale: Project.gone is not declared" in result.output
    assert run("policy", "sync", "--from", folder, "--write", str(tmp_path / "q")).exit_code == 0
    assert run("policy", "sync", "--from", str(tmp_path / "q")).exit_code == 0
    assert run("policy", "lint", "--from", str(tmp_path / "q")).exit_code == 0


def test_policy_prove_finds_a_difference(tmp_path):
    """The enforcer is given a rule that the compiled decisions do not have."""
    from policy.decide import build_snapshot

    snapshot = build_snapshot(load_default(), load_registry())
    cells = grid(snapshot)
    assert {subject.level.value for subject in cells.subjects} >= {"MINISTRY", "COUNTY", "ENTERPRISE", "PUBLIC"}
    few = type(cells)(cells.subjects[-1:], ("Project.__row__",), cells.rows, cells.moments)
    assert [found for found in differences(snapshot, few, 40) if found] == []
    rule = next(rule for rule in snapshot.revision.rules if rule.id == "ALL-ANY-PUB")
    snapshot.enforcer.add_policy(*["X", *rule.values[1:7], "RESTRICTED", *rule.values[8:]])
    snapshot.enforcer.remove_policy(*rule.values)
    assert any(differences(snapshot, few, 40))


def test_audit_verify(tmp_path):
    export, heads = tmp_path / "export", tmp_path / "heads"
    heads.write_text(json.dumps({"no": 0, "hash": GENESIS, "records": 0, "sealed_at": 0}) + "\n")
    export.write_text('{"kind":"export","from_seal":1}\n{"kind":"unsealed"}\n{"kind":"end"}\n')
    assert run("audit", "verify", str(export), str(heads)).exit_code == 0
    heads.write_text(json.dumps({"no": 1, "hash": "a" * 64, "records": 3, "sealed_at": 0}) + "\n")
    result = run("audit", "verify", str(export), str(heads))
    assert (result.exit_code, "cut tail" in result.output) == (1, True)
    export.write_text("nothing\n")
    assert run("audit", "verify", str(export), str(heads)).exit_code == 2
    assert run("audit", "verify", str(tmp_path / "none"), str(heads)).exit_code == 2
