"""`zlaq source` against the counterparts: check, sample, pull with receipts."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from click.testing import CliRunner

from demo.counterparts.facts import STRANGER, UNKNOWN_PROJECT, people
from demo.counterparts.front import front_dsn
from demo.seed import wellknown as known
from server.cli import main
from tests.declared.tables import another_database
from tests.federation.asking import Variant

if TYPE_CHECKING:
    from click.testing import Result

    from demo.counterparts import Counterparts
    from demo.embedded import EmbeddedPostgres

NAMES = ("zhejiang", "hubei", "jiangsu", "guangdong", "shandong", "national", "population")
CITIZEN_NO = re.compile(r"(?<!\d)\d{6}(?:19|20)\d{2}(?:0[1-9]|1[0-2])\d{5}[\dXx](?!\d)")


async def zlaq(dsn: str, sources: Path, *arguments: str) -> Result:
    """Run `zlaq source` with these settings, in a thread: the command has a loop of its own."""
    environment = {"ZLAQ_DATABASE_URL": dsn, "ZLAQ_SOURCES": str(sources)}
    return await asyncio.to_thread(CliRunner(env=environment).invoke, main, ["source", *arguments])


async def checked(dsn: str, sources: Path, name: str) -> Result:
    """`zlaq source check NAME`."""
    return await zlaq(dsn, sources, "check", name)


@pytest.mark.parametrize("name", NAMES)
async def test_a_healthy_source_passes_every_step(database: str, counterparts: Counterparts, name: str):
    """Exit code 0, every step named, and no secret or citizen number among what was found."""
    result = await checked(database, counterparts.sources, name)
    assert result.exit_code == 0, result.output
    steps = [line.removeprefix("ok").strip().split(":")[0] for line in result.output.splitlines()]
    assert steps[:3] == ["credentials", "address", "connection"]
    assert "failed" not in result.output
    assert any(step.startswith("mapping ") for step in steps)
    _silent(result.output, counterparts)


def _silent(output: str, counterparts: Counterparts) -> None:
    for secret in counterparts.sources.parent.glob("*-*"):
        if secret.suffix != ".log" and not secret.name.endswith(("-user", "-client_id")):
            assert secret.read_text(encoding="utf-8").strip() not in output, secret.name
    for number in (*people(), STRANGER):
        assert number not in output
    assert [found for found in CITIZEN_NO.findall(output) if not found.startswith(("91", "92"))] == []


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("zhejiang", "app_secret"), ("hubei", "secret"), ("guangdong", "secret"), ("shandong", "user"),
        ("national", "appsecret"),
    ],
)  # fmt: skip
async def test_a_wrong_or_missing_credential_is_named(
    database: str, counterparts: Counterparts, tmp_path: Path, name: str, file: str
):
    """A wrong secret is refused by the system at the first signed step, a missing file before anything is sent."""
    path = counterparts.sources.parent / f"{name}-{file}"
    wrong = tmp_path / path.name
    sources = tmp_path / "sources.toml"
    sources.write_text(counterparts.sources.read_text(encoding="utf-8").replace(str(path), str(wrong)), "utf-8")
    missing = await checked(database, sources, name)
    assert missing.exit_code == 1
    assert "ok" not in missing.output
    assert "credential" in missing.output
    assert counterparts.systems[name].calls() == []
    wrong.touch(mode=0o600)
    wrong.write_text("0123456789abcdef0123456789abcdef\n", encoding="utf-8")
    result = await checked(database, sources, name)
    assert result.exit_code == 1, result.output
    assert "ok      credentials" in result.output
    assert "SOURCE_REFUSED" in result.output, result.output
    assert "0123456789abcdef" not in result.output


@pytest.mark.parametrize("name", NAMES)
async def test_a_refused_port_is_named(database: str, counterparts: Counterparts, tmp_path: Path, name: str):
    """The steps before the connection are passed, and the connection is what failed."""
    kind = "postgresql" if name == "shandong" else "http"
    path = "/shandong_front" if name == "shandong" else ""
    own = {name: {"address": f'"{kind}://127.0.0.1:9{path}"'}}
    result = await checked(database, Variant(own=own).write(counterparts.sources, tmp_path), name)
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.output.splitlines() if line.startswith("ok")] == [
        "ok      credentials", "ok      address",
    ]  # fmt: skip
    assert "SOURCE_UNAVAILABLE" in result.output


async def test_an_address_outside_the_networks_is_named(database: str, counterparts: Counterparts, tmp_path: Path):
    """An address that is written out is refused with the file, a name's when it is looked up; nothing is sent."""
    for name, kind, path in (("hubei", "http", ""), ("shandong", "postgresql", "/shandong_front")):
        for host, code in (("127.0.0.1", 2), ("localhost", 1)):
            address = f'"{kind}://{host}:{counterparts.systems[name].port}{path}"'
            own = {name: {"networks": '["10.0.0.0/8"]', "address": address, "plain_http": "true"}}
            result = await checked(database, Variant(own=own).write(counterparts.sources, tmp_path), name)
            assert result.exit_code == code, result.output
            assert "networks" in result.output
            assert "ok      address" not in result.output
            assert counterparts.systems[name].calls() == []


async def test_a_broken_contract_is_named(database: str, counterparts: Counterparts, tmp_path: Path):
    """A field that the subgraph does not have, a column that the front-end database does not have any more, a right
    that was taken away."""
    sources = tmp_path / "sources.toml"
    text = counterparts.sources.read_text(encoding="utf-8").replace('from = "floorArea"', 'from = "grossArea"')
    sources.write_text(text, encoding="utf-8")
    result = await checked(database, sources, "guangdong")
    assert result.exit_code == 1
    assert "contract" not in [line.split()[1].rstrip(":") for line in result.output.splitlines() if line[:2] == "ok"]
    assert "Project.siteStatus.total_area" in result.output
    assert "SOURCE_BAD_SHAPE" in result.output
    counterparts.systems["shandong"].behave("missing", "370000_SPGL_XMJCXXB", column="jcjg")
    result = await checked(database, counterparts.sources, "shandong")
    assert result.exit_code == 1
    assert "ok      table 370000_SPGL_XMJGXXB" in result.output
    assert "jcjg" in result.output
    counterparts.systems["shandong"].reset()
    counterparts.systems["shandong"].behave("expired", "370000_SPGL_QZJXJCB")
    result = await checked(database, counterparts.sources, "shandong")
    assert result.exit_code == 1
    assert "370000_SPGL_QZJXJCB" in result.output
    assert "SOURCE_REFUSED" in result.output


@pytest.mark.parametrize("name", ["zhejiang", "hubei", "national"])
async def test_a_clock_that_differs_is_told(database: str, counterparts: Counterparts, name: str):
    """Half an hour ahead: the source passes, and the step says by how much."""
    counterparts.systems[name].clock(1800)
    result = await checked(database, counterparts.sources, name)
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("ok      clock")]
    told = re.search(r"([+-]\d+\.\d) s", line)
    assert told is not None
    assert abs(float(told[1]) - 1800) < 3


async def test_samples_show_no_citizen_number(database: str, counterparts: Counterparts):
    """Of Hubei's and Shandong's dirty records, which hold one where a contractor's code should stand, too."""
    asked = (
        ("hubei", "Project.siteStatus", known.PROJECT_PROVINCE), ("shandong", "Project.siteStatus", UNKNOWN_PROJECT),
        *((name, "", "") for name in NAMES if name != "population"),
    )  # fmt: skip
    for name, service, key in asked:
        more = ("--service", service, "--key", key) if service else ()
        result = await zlaq(database, counterparts.sources, "sample", name, *more)
        assert result.exit_code == 0, result.output
        assert "as it is mapped" in result.output
        _silent(result.output, counterparts)
        assert "郑凯" not in result.output
    result = await zlaq(
        database, counterparts.sources, "sample", "population", "--service", "Person.identityCheck", "--key", STRANGER
    )
    assert result.exit_code == 1
    assert counterparts.systems["national"].calls("Person.identityCheck") == []


async def test_pulling_leaves_receipts(postgres: EmbeddedPostgres, counterparts: Counterparts):
    """What was taken and what was refused stands in Shandong's own tables; drafts stay as they are; a second pull has
    nothing to do, and a row sent anew is taken alone."""
    dsn = await another_database(postgres.dsn, "federation_pull")
    first = await zlaq(dsn, counterparts.sources, "pull", "shandong")
    assert first.exit_code == 0, first.output
    assert "Project.siteStatus: 2 accepted, 2 refused in 1 windows" in first.output
    assert "Project.liveInspections: 90 accepted, 0 refused" in first.output
    theirs = await asyncpg.connect(front_dsn(postgres.dsn))
    ours = await asyncpg.connect(dsn)
    try:
        receipts = await theirs.fetch('select dfsjzj, sjyxbs, sjsczt, sbyy from "370000_SPGL_XMJGXXB" order by lsh')
        assert [(row["dfsjzj"], row["sjyxbs"], row["sjsczt"]) for row in receipts] == [
            ("XM-0001", "0", 1), ("XM-0001", "1", 1), ("XM-0002", "1", 2), ("XM-0003", "1", 2), ("XM-0004", "1", -1),
        ]  # fmt: skip
        assert [row["sbyy"] for row in receipts if row["sjsczt"] != 2] == [None, None, None]
        strange, outside = (row["sbyy"] for row in receipts if row["sjsczt"] == 2)
        assert "contractorUscc" in strange
        assert STRANGER not in strange
        assert "OUTSIDE_COVERAGE" in outside
        landed = (
            "select local_key, withdrawn_at is null as valid from exchange.landing where service = $1 order by serial"
        )
        rows = await ours.fetch(landed, "Project.siteStatus")
        assert [(row["local_key"], row["valid"]) for row in rows] == [("XM-0001", False), ("XM-0001", True)]
        assert (
            await ours.fetchval("select count(*) from exchange.landing where service = 'Project.liveInspections'") == 90
        )
        assert STRANGER not in str(await ours.fetch("select l::text from exchange.landing l"))
        second = await zlaq(dsn, counterparts.sources, "pull", "shandong")
        assert second.exit_code == 0
        assert second.output.count("0 accepted, 0 refused in 0 windows") == 2
        await theirs.execute(
            "update \"370000_SPGL_XMJGXXB\" set sgdwdm = null, xmzt = 'ZJ', zjzmj = null, zcrs = null, aqyxm = null,"
            " sjsczt = 0 where dfsjzj = 'XM-0002'"
        )
        third = await zlaq(dsn, counterparts.sources, "pull", "shandong")
        assert "Project.siteStatus: 1 accepted, 0 refused in 1 windows" in third.output
        corrected = await theirs.fetchrow("select sjsczt, sbyy from \"370000_SPGL_XMJGXXB\" where dfsjzj = 'XM-0002'")
        assert tuple(corrected or ()) == (1, None)
    finally:
        await theirs.close()
        await ours.close()
