"""The miniature of the demo's data: the same every time, valid throughout, and with every awkward row."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import click.testing
import pytest

from adapters.postgres.columns import expected_columns
from adapters.postgres.indexes import index_statements
from demo.seed import load as loading
from demo.seed import wellknown as known
from demo.seed.awkward import NAMES, RECORDED, awkward_list
from demo.seed.command import NOT_EMPTY, UNREACHABLE, seed
from demo.seed.generate import Sizes, all_batches, digest
from demo.seed.load import MISMATCHES, NotEmpty, load, loaded_scale
from demo.seed.rows import TABLES
from schema.registry import load_registry
from schema.scalars import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.embedded import EmbeddedPostgres

SCALE = 0.001
REGISTRY = load_registry()
ROOT = Path(loading.__file__).parents[2]
CERTIFICATE = "zlaq.safety_manager_certificate"


@pytest.fixture(scope="module")
async def address(postgres: EmbeddedPostgres) -> str:
    """Address of a database that only this file loads."""
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("DROP DATABASE IF EXISTS seeded")
    await connection.execute("CREATE DATABASE seeded TEMPLATE template0")
    await connection.close()
    return postgres.dsn.replace("/postgres?", "/seeded?")


@pytest.fixture(scope="module")
async def seeded(address: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the miniature."""
    assert await loaded_scale(address) is None
    told: dict[str, tuple[int, int]] = {}
    began = time.monotonic()

    await load(address, SCALE, lambda phase, done, total: told.__setitem__(phase, (done, total)))

    assert time.monotonic() - began < 30
    assert set(told) == {"copy", "index", "vacuum", "verify"}
    assert all(done == total for done, total in told.values())
    connection = await asyncpg.connect(address)
    yield connection
    await connection.close()


def test_the_same_rows_every_time() -> None:
    """Equal digests here and in a process with another hash seed; another scale is other data."""
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "4711", "PATH": os.environ["PATH"]}
    script = f"from demo.seed.generate import digest; print(digest({SCALE}))"
    other = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert digest(SCALE) == digest(SCALE) == other.stdout.strip()
    assert digest(2 * SCALE) != digest(SCALE)


def test_batches_are_independent() -> None:
    """A batch has the same rows whether or not those before it were made."""
    batches = all_batches(Sizes.of(0.03))
    last = batches[-1]
    forwards = [list(batch.rows()) for batch in batches][-1]

    assert [batch.kind for batch in batches].count("works") > 1
    assert list(last.rows()) == forwards
    keys = Counter((type(row), row[0]) for batch in batches for rows in batch.rows() for row in rows)
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("scale", [0, -1, float("nan"), 1e9])
def test_scales_without_sense_are_refused(scale: float) -> None:
    """Only a positive number of reasonable size."""
    with pytest.raises(ValueError, match="scale"):
        Sizes.of(scale)


async def test_sizes(seeded: Any) -> None:
    """As many rows as the scale says."""
    counts = {table: await seeded.fetchval(f"SELECT count(*) FROM zlaq.{table}") for table in TABLES.values()}

    assert 200 < counts["project"] < 260
    assert 250 < counts["person"] < 280
    assert 250 < counts["safety_manager_certificate"] < 400
    assert 900 < counts["safety_inspection"] < 1600
    assert counts["department"] > 2 * 3200


async def test_denormalised_columns_equal_the_parents(seeded: Any) -> None:
    """The one query that load itself ends with; it does see a difference."""
    assert await seeded.fetchval(MISMATCHES) == 0

    transaction = seeded.transaction()
    await transaction.start()
    await seeded.execute("SET LOCAL session_replication_role = replica")
    await seeded.execute("UPDATE zlaq.finding SET manage = '110000' WHERE finding_no = $1", known.FINDING)
    assert await seeded.fetchval(MISMATCHES) == 1
    await transaction.rollback()


async def test_every_identifier_is_canonical(seeded: Any) -> None:
    """Each value of an identifier scalar is what its parser makes of it, check digits included."""
    checked = 0
    for entity in REGISTRY.entities.values():
        for field in entity.fields.values():
            if field.scalar is None or field.scalar.kind is not Kind.TEXT or field.scalar.name in ("String", "ID"):
                continue
            column = field.attribute.column
            source = f"unnest({column})" if field.type.is_list else column
            rows = await seeded.fetch(f"SELECT DISTINCT {source} FROM zlaq.{entity.table} WHERE {column} IS NOT NULL")
            for row in rows:
                if row[0] is not None:
                    assert field.scalar.parse(row[0]) == row[0], field.coordinate
                    checked += 1
    assert checked > 30_000


async def test_references_lead_somewhere(seeded: Any) -> None:
    """Departments, persons and superiors exist; only the one contractor of nobody does not."""
    missing = {
        "owner": "SELECT count(*) FROM zlaq.project p LEFT JOIN zlaq.department d ON d.dept_id = p.owner_dept"
        " WHERE d IS NULL AND p.owner_dept <> '-'",
        "superior": "SELECT count(*) FROM zlaq.department c"
        " LEFT JOIN zlaq.department d ON d.dept_id = c.superior_dept_id"
        " WHERE d IS NULL AND c.superior_dept_id IS NOT NULL",
        "agency": "SELECT count(*) FROM zlaq.safety_inspection i LEFT JOIN zlaq.department d ON d.uscc = i.agency_uscc"
        " WHERE d IS NULL AND i.agency_uscc IS NOT NULL",
        "person": f"SELECT count(*) FROM {CERTIFICATE} c LEFT JOIN zlaq.person p USING (person_no) WHERE p IS NULL",
        "region": "SELECT count(*) FROM zlaq.project p LEFT JOIN zlaq.region r ON r.node_id = p.manage WHERE r IS NULL",
        "employer": "SELECT count(*) FROM zlaq.person p"
        " LEFT JOIN zlaq.enterprise e ON e.uscc = p.current_enterprise_uscc"
        " WHERE e IS NULL AND p.current_enterprise_uscc IS NOT NULL",
    }
    for what, query in missing.items():
        assert await seeded.fetchval(query) == 0, what
    dangling = await seeded.fetch(
        "SELECT project_no FROM zlaq.project p WHERE contractor_uscc IS NOT NULL"
        " AND NOT EXISTS (SELECT FROM zlaq.enterprise e WHERE e.uscc = p.contractor_uscc)"
    )
    assert [row[0] for row in dangling] == [known.DANGLING_CONTRACTOR]


async def test_the_latest_certificate_governs_a_person(seeded: Any) -> None:
    """Never the ministry, and the issuer of the certificate that was first issued last."""
    wrong = await seeded.fetchval(
        f"SELECT count(*) FROM zlaq.person p JOIN LATERAL (SELECT manage FROM {CERTIFICATE} c"
        " WHERE c.person_no = p.person_no ORDER BY first_issued_on DESC NULLS LAST LIMIT 1) c ON c.manage <> p.manage"
    )
    assert wrong == 0


async def test_every_awkward_row_is_there(seeded: Any) -> None:
    """Each key of the list finds its row."""
    for awkward in awkward_list():
        entity = REGISTRY.entity(awkward.entity)
        key = entity.key.attribute.column
        assert await seeded.fetchval(f"SELECT count(*) FROM zlaq.{entity.table} WHERE {key} = $1", awkward.key) == 1


def test_the_document_lists_them() -> None:
    """README.md has one line for each, in the same words."""
    text = (ROOT / "demo/seed/README.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (\w+) \| `([^`]+)` \| (.+) \|$", text, re.MULTILINE)

    assert table == [(row.entity, row.key, row.what) for row in awkward_list()]


async def test_regions_resolve_as_of_the_record(seeded: Any) -> None:
    """Old, invented, split and unknown codes lead where the awkward list says."""
    rows = dict(await seeded.fetch("SELECT project_no, manage FROM zlaq.project"))
    expected = {
        known.CORPS_CITY: "660801",
        known.ZONE_SUZHOU: "320591",
        known.ZONE_XIONGAN: "139100",
        known.PROVINCE_DIRECT: "427400",
        known.MUNICIPALITY: "116100",
        known.ABOLISHED_CODE: "330105",
        known.ABOLISHED_CODE_LATE: "999999",
        known.LOCAL_CODE: "320213",
        known.SPLIT_CODE: "999999",
        known.ODD_CODE: "999999",
        known.NO_CODE: "999999",
    }
    assert {recorded.key: rows[recorded.key] for recorded in RECORDED} == expected
    owners = await seeded.fetch("SELECT owner_dept FROM zlaq.project WHERE manage = '999999' ORDER BY 1")
    assert [row[0] for row in owners] == ["-", "JS320200-1", "JS330100-1", "JS330100-1"]
    corps = await seeded.fetchrow(
        "SELECT manage_p2, site_p2 FROM zlaq.project WHERE project_no = $1", known.CORPS_IN_COUNTY
    )
    assert tuple(corps) == ("66", "65")


async def test_awkward_facts(seeded: Any) -> None:
    """What the list says of the others holds in the database."""

    async def one(query: str, *arguments: object) -> Any:
        return await seeded.fetchval(query, *arguments)

    project = "SELECT {} FROM zlaq.project WHERE project_no = $1"
    assert [
        await one(project.format("sens"), no) for no in (known.UNPUBLISHED, known.MAJOR_ACCIDENT, known.SEALED)
    ] == [3, 6, 9]
    assert await one(project.format("manage"), known.PROJECT_MINISTRY) == "000000"
    assert await one(project.format("holder_uscc"), known.NO_CONTRACTOR) == "-"
    for no, name in NAMES.items():
        assert await one(project.format("name"), no) == name
    assert (
        await one(f"SELECT count(DISTINCT manage) FROM {CERTIFICATE} WHERE person_no = $1", known.PERSON_TWO_PROVINCES)
        == 2
    )
    cases = dict(await seeded.fetch("SELECT case_no, open FROM zlaq.open_case"))
    assert cases == {known.CASE_OPEN: True, known.CASE_CLOSED: False}
    assert await one("SELECT case_no FROM zlaq.person WHERE person_no = $1", known.PERSON_OPEN_CASE) == known.CASE_OPEN
    assert (
        await one("SELECT case_no FROM zlaq.person WHERE person_no = $1", known.PERSON_CLOSED_CASE) == known.CASE_CLOSED
    )
    nobody = known.ENTERPRISE_NO_PROJECTS
    assert await one("SELECT count(*) FROM zlaq.project WHERE contractor_uscc = $1", nobody) == 0
    many = "SELECT count(*) FROM zlaq.safety_inspection WHERE project_no = $1"
    assert await one(many, known.PROJECT_MANY_INSPECTIONS) > 100
    assert await one("SELECT count(*) FROM zlaq.finding WHERE parent_no = $1", known.INSPECTION_MANY_FINDINGS) == 99
    for table, key, no in (("safety_inspection", "inspection_no", known.INSPECTION_ORPHAN),
                           ("finding", "finding_no", known.FINDING_ORPHAN)):  # fmt: skip
        assert await one(f"SELECT manage FROM zlaq.{table} WHERE {key} = $1", no) == "999999"
    assert await one("SELECT count(*) FROM zlaq.unmapped_code") == 2


async def test_every_nullable_column_is_null_somewhere(seeded: Any) -> None:
    """And has a value somewhere."""
    for entity in REGISTRY.entities.values():
        for column in expected_columns(entity, REGISTRY.values).values():
            if column.not_null or (column.name in ("data_as_of", "source_id", "valid_to") and entity.table == "region"):
                continue
            query = (
                f"SELECT bool_or({column.name} IS NULL), bool_or({column.name} IS NOT NULL) FROM zlaq.{entity.table}"
            )
            both = tuple(await seeded.fetchrow(query))
            assert both == (True, True) or (entity.table == "department" and both[0]), f"{entity.table}.{column.name}"


async def test_wellknown_story(seeded: Any) -> None:
    """The projects of the contractor at every level, its safety managers, and the inspection with a major hazard."""
    levels = await seeded.fetch(
        "SELECT manage FROM zlaq.project WHERE contractor_uscc = $1 AND project_no = ANY($2) ORDER BY manage",
        known.CONTRACTOR,
        [
            known.PROJECT_COUNTY,
            known.PROJECT_CITY,
            known.PROJECT_PROVINCE,
            known.PROJECT_MINISTRY,
            known.PROJECT_ELSEWHERE,
            known.PROJECT_NANJING,
            known.PROJECT_JINAN,
            known.PROJECT_SHENZHEN,
        ],
    )
    managed = ["000000", "320104", "330106", "370102", "420000", "420100", "420106", "440305"]
    assert [row[0] for row in levels] == managed
    managers = "SELECT count(DISTINCT person_no) FROM zlaq.safety_manager_certificate WHERE enterprise_uscc = $1"
    assert await seeded.fetchval(managers, known.CONTRACTOR) == 10
    visit = await seeded.fetchrow("SELECT * FROM zlaq.safety_inspection WHERE inspection_no = $1", known.INSPECTION)
    assert (visit["project_no"], visit["finding_count"], visit["major_hazard_count"]) == (known.PROJECT_COUNTY, 3, 1)
    latest = "SELECT inspection_no FROM zlaq.safety_inspection WHERE project_no = $1 ORDER BY inspected_on DESC LIMIT 1"
    assert await seeded.fetchval(latest, known.PROJECT_COUNTY) == known.INSPECTION
    holder = "SELECT person_no FROM zlaq.safety_manager_certificate WHERE cert_no = $1"
    assert await seeded.fetchval(holder, known.CERTIFICATE) == known.PERSON
    assert await seeded.fetchval(holder, known.CERTIFICATE_ZHEJIANG) == known.PERSON_TWO_PROVINCES
    for name in ("HOUSING_MINISTRY", "HOUSING_HUBEI", "HOUSING_WUHAN", "HOUSING_WUCHANG", "AGENCY_WUCHANG"):
        assert (
            await seeded.fetchval("SELECT count(*) FROM zlaq.department WHERE dept_id = $1", getattr(known, name)) == 1
        )


async def test_machines_stand_at_projects(seeded: Any) -> None:
    """One for about four projects; each owner is known; the well-known ones stand where their names say, but one."""
    rows = await seeded.fetch(
        "SELECT m.record_no, m.manage, p.manage AS at FROM zlaq.lifting_machine m"
        " JOIN zlaq.project p USING (project_no) JOIN zlaq.enterprise e ON e.uscc = m.owner_uscc"
        " JOIN zlaq.department d ON d.dept_id = m.owner_dept"
    )
    found = {row["record_no"]: (row["manage"], row["at"]) for row in rows}
    standing = "SELECT count(*) FROM zlaq.lifting_machine WHERE project_no IS NOT NULL"

    assert len(found) == await seeded.fetchval(standing)
    assert 40 < await seeded.fetchval("SELECT count(*) FROM zlaq.lifting_machine") < 80
    assert found[known.MACHINE_WUHAN] == (known.WUCHANG, known.WUCHANG)
    assert found[known.MACHINE_HANGZHOU] == found[known.MACHINE_HANGZHOU_HOIST] == ("330106", "330106")
    assert found[known.MACHINE_FROM_ELSEWHERE] == ("320104", "330106")
    assert found[known.MACHINE_NANJING] == ("320104", "320104")
    assert (found[known.MACHINE_JINAN][0], found[known.MACHINE_SHENZHEN][0]) == ("370102", "440305")


async def test_project_codes_of_the_story(seeded: Any) -> None:
    """The contractor's projects in other provinces have codes of their own, by which registers can be asked."""
    query = "SELECT count(*) FROM zlaq.project p JOIN zlaq.project o USING (project_code) WHERE o.project_no = $1"
    for no in (known.PROJECT_ELSEWHERE, known.PROJECT_NANJING, known.PROJECT_JINAN, known.PROJECT_SHENZHEN):
        assert await seeded.fetchval(query, no) == 1


async def test_ready_for_use(seeded: Any) -> None:
    """All derived indexes are there, triggers fire, tables are vacuumed, the load is marked as complete."""
    indexes = await seeded.fetch("SELECT indexname FROM pg_indexes WHERE schemaname = 'zlaq'")
    assert {index.name for index in index_statements(REGISTRY)} <= {row[0] for row in indexes}
    assert await seeded.fetchval("SELECT bool_and(tgenabled = 'O') FROM pg_trigger WHERE NOT tgisinternal")
    visible = "SELECT relallvisible > 0 FROM pg_class WHERE oid = 'zlaq.safety_inspection'::regclass"
    assert await seeded.fetchval(visible)


async def test_a_database_with_data_is_left_alone(seeded: Any, address: str) -> None:
    """Loading twice is refused unless told to replace; then the rows are the same again."""
    assert await loaded_scale(address) == SCALE
    with pytest.raises(NotEmpty):
        await load(address, SCALE)

    before = await seeded.fetchval("SELECT count(*) FROM zlaq.project")
    await load(address, SCALE, replace=True)

    assert await seeded.fetchval("SELECT count(*) FROM zlaq.project") == before


def test_command(seeded: Any, address: str) -> None:
    """Exit codes: wrong usage, not empty, out of reach; no address in the output."""
    run = click.testing.CliRunner().invoke

    assert run(seed, [], env={"ZLAQ_DATABASE_URL": ""}).exit_code == 2
    assert run(seed, ["--scale", "99"], env={"ZLAQ_DATABASE_URL": address}).exit_code == 2
    gone = run(seed, [], env={"ZLAQ_DATABASE_URL": "postgresql://u:secret@/x?host=/nonexistent"})
    assert (gone.exit_code, "secret" in gone.output) == (UNREACHABLE, False)
    full = run(seed, [], env={"ZLAQ_DATABASE_URL": address})
    assert (full.exit_code, "--replace" in full.output) == (NOT_EMPTY, True)


@pytest.mark.prove
async def test_several_processes_load_the_same(postgres: EmbeddedPostgres, address: str) -> None:
    """From a certain size on processes share the batches; nothing is lost or made twice."""
    sizes = Sizes.of(0.1)
    assert len(all_batches(sizes)) >= loading._WORTH_A_PROCESS
    wanted = Counter(TABLES[type(row)] for batch in all_batches(sizes) for rows in batch.rows() for row in rows)

    await load(address, 0.1, replace=True)

    connection = await asyncpg.connect(address)
    found = {table: await connection.fetchval(f"SELECT count(*) FROM zlaq.{table}") for table in TABLES.values()}
    await connection.close()
    assert found == wanted
