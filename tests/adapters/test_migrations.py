"""Migrations apply once and whole, the tables are what the declarations imply, and children follow their parents."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from adapters.postgres.columns import Column, drift, expected_columns, policy_columns
from adapters.postgres.indexes import index_statements
from adapters.postgres.migrate import Migration, MigrationRefused, actual_columns, migrate, packaged_migrations
from schema.declare import Attribute, Governed
from schema.registry import RegistryError, load_registry
from schema.scalars import Kind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from demo.embedded import EmbeddedPostgres

REGISTRY = load_registry()
CITIZEN = "110101199003078574"
USCC = "91420106DEMWH0016L"


async def fresh_database(postgres: EmbeddedPostgres, name: str) -> str:
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute(f"DROP DATABASE IF EXISTS {name}")
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    await connection.close()
    return postgres.dsn.replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="module")
async def empty(postgres: EmbeddedPostgres) -> str:
    """Address of a migrated database without rows."""
    dsn = await fresh_database(postgres, "migrated")
    await migrate(dsn)
    return dsn


@pytest.fixture
async def db(empty: str) -> AsyncIterator[Any]:
    """A connection to it, in a transaction that is rolled back."""
    connection = await asyncpg.connect(empty)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()


async def refused(db: Any, statement: str, *arguments: Any) -> bool:
    try:
        async with db.transaction():
            await db.execute(statement, *arguments)
    except asyncpg.CheckViolationError:
        return True
    return False


async def test_migrations_apply_once(postgres: EmbeddedPostgres) -> None:
    """A fresh database takes every file in order; a second run does nothing; two at once do the work once."""
    dsn = await fresh_database(postgres, "twice")

    applied = await asyncio.gather(migrate(dsn), migrate(dsn))

    names = [migration.name for migration in packaged_migrations()]
    assert sorted(applied, key=len) == [[], names]
    assert names == sorted(names)
    assert await migrate(dsn) == []


async def test_a_changed_or_unknown_migration_is_refused(empty: str) -> None:
    """A file that was edited after it was applied, or that this version does not know, stops everything."""
    packaged = packaged_migrations()
    edited = [
        *packaged[:-1],
        replace(packaged[-1], sql=packaged[-1].sql + "\n"),
        Migration("9999_new.sql", "SELECT 1/0"),
    ]

    with pytest.raises(MigrationRefused, match="changed after it was applied"):
        await migrate(empty, edited)
    with pytest.raises(MigrationRefused, match="unknown to this version"):
        await migrate(empty, packaged[:-1])


async def test_a_failing_migration_leaves_nothing(postgres: EmbeddedPostgres) -> None:
    """Each file is one transaction, its entry in the ledger included."""
    dsn = await fresh_database(postgres, "failing")
    broken = [*packaged_migrations(), Migration("9999_broken.sql", "CREATE TABLE zlaq.half (); SELECT 1/0")]

    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(dsn, broken)

    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT to_regclass('zlaq.half')") is None
    assert await connection.fetchval("SELECT count(*) FROM zlaq.migration") == len(packaged_migrations())
    await connection.close()


@pytest.mark.parametrize("name", REGISTRY.entities)
async def test_tables_are_what_declarations_imply(db: Any, name: str) -> None:
    """No difference between declaration and table, for every entity."""
    entity = REGISTRY.entity(name)

    assert drift(entity, REGISTRY.values, await actual_columns(db, entity.table)) == []


async def test_drift_names_each_difference() -> None:
    """Missing, mistyped, nullable, not generated, undeclared, no key: each is said of the column concerned."""
    entity = REGISTRY.entity("Project")
    actual = dict(expected_columns(entity, REGISTRY.values))
    del actual["name"]
    actual["project_no"] = replace(actual["project_no"], key=False)
    actual["total_area"] = replace(actual["total_area"], type="double precision")
    actual["manage"] = replace(actual["manage"], not_null=False)
    actual["address"] = replace(actual["address"], not_null=True)
    actual["site_p2"] = replace(actual["site_p2"], generated='"left"(manage, 2)')
    actual["extra"] = Column("extra", "text")
    actual["hidden"] = Column("hidden", "text", internal=True)

    assert drift(entity, REGISTRY.values, actual) == [
        "project.project_no: must be the primary key",
        "project.name: missing, text expected",
        "project.manage: must be NOT NULL",
        "project.address: is NOT NULL, but the declaration does not say `always`",
        "project.total_area: numeric expected, double precision found",
        'project.site_p2: must be GENERATED ALWAYS AS ("left"(site, 2)) STORED',
        "project.extra: neither declared nor commented as internal",
    ]
    assert drift(entity, REGISTRY.values, {}) == ["project: there is no such table"]
    with pytest.raises(RegistryError, match="no column says which region"):
        policy_columns(replace(entity, governed=Governed(by="own")))


CHECKS = """
SELECT string_agg(substr(pg_get_constraintdef(c.oid), 6), ' AND ')
FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
WHERE c.contype = 'c' AND c.conrelid = $1::text::regclass AND a.attname = $2
"""
BAD = {
    Kind.DECIMAL: ("numeric 'NaN'", "numeric 'Infinity'", "numeric '-Infinity'", "1e31"),
    Kind.DATE: ("date 'infinity'", "date '-infinity'", "date '0044-03-15 BC'"),
    Kind.INSTANT: ("timestamptz 'infinity'", "timestamptz '-infinity'"),
    Kind.TEXT: ("repeat('9', 4001)",),
}


async def test_code_checks_are_the_code_lists(db: Any) -> None:
    """Every column of a code list has a CHECK with exactly the codes of `schema.codes`."""
    for entity in REGISTRY.entities.values():
        for field in entity.fields.values():
            if field.codes is not None:
                check = await db.fetchval(CHECKS, f"zlaq.{entity.table}", field.attribute.column)
                assert set(re.findall(r"'([^']*)'::text", check)) == set(field.codes.codes), field.coordinate


async def test_every_number_date_and_text_is_bounded(db: Any) -> None:
    """NaN, infinities and texts too long for an index are refused whatever the column."""
    for entity in REGISTRY.entities.values():
        for field in entity.fields.values():
            if not isinstance(field.member, Attribute) or field.scalar is None or field.type.is_list:
                continue
            column = field.member.column
            for value in BAD.get(field.scalar.kind, ()):
                check = await db.fetchval(CHECKS, f"zlaq.{entity.table}", column)
                assert check, f"{entity.table}.{column} has no CHECK"
                holds = await db.fetchval(f"SELECT {check} FROM (SELECT {value} AS {column}) AS row")
                assert holds is False, f"{entity.table}.{column} takes {value}"


async def test_policy_columns_are_checked(db: Any) -> None:
    """Neither a region of another form, nor a sensitivity out of range, nor an empty case."""
    await add_project(db, FIRST)

    for change in ("manage = '42010'", "manage = '42010a'", "site = ''", "sens = 10", "sens = -1", "case_no = ''",
                   "owner_dept = ''"):  # fmt: skip
        assert await refused(db, f"UPDATE zlaq.project SET {change}"), change
    with pytest.raises(asyncpg.NotNullViolationError):
        async with db.transaction():
            await db.execute("UPDATE zlaq.project SET manage = NULL")


async def test_citizen_numbers_stay_out_of_enterprise_columns(db: Any) -> None:
    """A valid citizen number is refused, a code of an enterprise that merely looks like one is not."""
    assert await refused(db, "INSERT INTO zlaq.enterprise (uscc, name, manage) VALUES ($1, '', '420106')", CITIZEN)
    for code, verdict in ((CITIZEN, True), (CITIZEN[:-1] + "5", False), (USCC, False)):
        assert await db.fetchval("SELECT zlaq.is_citizen_no($1)", code) is verdict


async def test_generated_columns(db: Any) -> None:
    """Prefixes, holders and birth years follow from other columns, and absent is '-'."""
    await add_project(db, FIRST, contractor=USCC)
    await add_project(db, SECOND, "440106")
    person = (
        "INSERT INTO zlaq.person (person_no, real_name_verified, manage, birth_date) VALUES ($1, true, '420000', $2)"
    )
    await db.execute(person, "Ptzxuxwqicjbhjaxufiilhjlp", date(1987, 5, 6))

    rows = await db.fetch("SELECT holder_uscc, manage_p2, manage_p4, site_p2 FROM zlaq.project ORDER BY project_no")
    assert [tuple(row) for row in rows] == [(USCC, "42", "4201", "42"), ("-", "44", "4401", "44")]
    assert tuple(await db.fetchrow("SELECT birth_year, holder_uscc FROM zlaq.person")) == (1987, "-")
    assert await refused(db, "UPDATE zlaq.person SET manage = '000000'")


async def add_project(db: Any, no: str, manage: str = "420106", contractor: str | None = None) -> None:
    project = "INSERT INTO zlaq.project (project_no, name, manage, site, contractor_uscc) VALUES ($1, '', $2, $2, $3)"
    await db.execute(project, no, manage, contractor)


# What a writer says about inherited columns is overruled.
INSPECTION = """INSERT INTO zlaq.safety_inspection (inspection_no, project_no, inspected_on, manage, site, holder_uscc,
owner_dept, sens) VALUES ($1, $2, '2026-01-02', '110000', '110000', '-', 'AJ420106-1', 3)"""
FINDING = """INSERT INTO zlaq.finding (finding_no, parent_no, parent_type, manage, site, holder_uscc)
VALUES ($1, $2, $3, '110000', '110000', '-')"""


async def add_inspection(db: Any, no: str, project: str) -> None:
    await db.execute(INSPECTION, no, project)


async def add_finding(db: Any, no: str, kind: str = "SAFETY") -> None:
    await db.execute(FINDING, no, no[:-3], kind)


INHERITED = "SELECT manage, site, holder_uscc, case_no, sens, owner_dept, version FROM zlaq."
FIRST, SECOND = "4201062601010101", "4401062601010101"
VISIT = "JC42010620260102-000001"


async def test_children_inherit_and_follow(db: Any) -> None:
    """Inserted, re-parented, restamped, orphaned by a deletion: inspection and finding say what the project says."""
    await add_project(db, FIRST, contractor=USCC)
    await add_project(db, SECOND, "440106")
    await add_inspection(db, VISIT, FIRST)
    await add_finding(db, f"{VISIT}-01")
    owner = "AJ420106-1"

    async def expect(*values: object) -> None:
        inspection = tuple(await db.fetchrow(INHERITED + "safety_inspection"))
        finding = tuple(await db.fetchrow(INHERITED + "finding"))
        assert inspection == finding == values

    await expect("420106", "420106", USCC, "-", 0, owner, 1)

    await db.execute("UPDATE zlaq.project SET sens = 9, case_no = 'X-1' WHERE project_no = $1", FIRST)
    await expect("420106", "420106", USCC, "X-1", 9, owner, 2)

    await db.execute("UPDATE zlaq.project SET name = 'other' WHERE project_no = $1", FIRST)
    await expect("420106", "420106", USCC, "X-1", 9, owner, 2)

    await db.execute("UPDATE zlaq.safety_inspection SET project_no = $1", SECOND)
    await expect("440106", "440106", "-", "-", 0, owner, 3)

    await db.execute(
        "UPDATE zlaq.project SET manage = '440100', contractor_uscc = $1 WHERE project_no = $2", USCC, SECOND
    )
    await expect("440100", "440106", USCC, "-", 0, owner, 4)

    await db.execute("UPDATE zlaq.safety_inspection SET manage = '110000', sens = 0, holder_uscc = '-'")
    assert await db.fetchval("SELECT manage FROM zlaq.safety_inspection") == "440100"

    # The inspecting department is the inspection's own; a finding takes it from there.
    await db.execute("UPDATE zlaq.safety_inspection SET owner_dept = 'AJ420100-1'")
    assert await db.fetchval("SELECT owner_dept FROM zlaq.finding") == "AJ420100-1"

    await db.execute("UPDATE zlaq.project SET project_no = '4401062601010102' WHERE project_no = $1", SECOND)
    assert await db.fetchval("SELECT manage FROM zlaq.finding") == "999999"

    await db.execute("UPDATE zlaq.project SET project_no = $1 WHERE project_no = '4401062601010102'", SECOND)
    assert await db.fetchval("SELECT manage FROM zlaq.finding") == "440100"

    await db.execute("UPDATE zlaq.project SET sens = 6 WHERE project_no = $1", SECOND)
    await db.execute("DELETE FROM zlaq.project WHERE project_no = $1", SECOND)
    row = await db.fetchrow("SELECT manage, site, holder_uscc, sens FROM zlaq.finding")
    # Its sensitivity is not forgotten with the parent.
    assert tuple(row) == ("999999", "999999", "-", 6)


async def test_late_parents_adopt(db: Any) -> None:
    """Children that came first are governed by 999999 until the parent comes; only safety inspections are parents."""
    await add_finding(db, f"{VISIT}-01")
    await add_finding(db, f"{VISIT}-02", "ENFORCEMENT")
    assert await db.fetchval("SELECT array_agg(DISTINCT manage) FROM zlaq.finding") == ["999999"]

    await add_inspection(db, VISIT, FIRST)
    assert await db.fetchval("SELECT array_agg(manage) FROM zlaq.safety_inspection") == ["999999"]

    await add_project(db, FIRST)

    assert await db.fetchval("SELECT manage FROM zlaq.safety_inspection") == "420106"
    rows = await db.fetch("SELECT manage FROM zlaq.finding ORDER BY finding_no")
    assert [row[0] for row in rows] == ["420106", "999999"]


@pytest.fixture
async def pair(empty: str) -> AsyncIterator[tuple[Any, Any]]:
    """Two connections whose rows are removed afterwards."""
    one, other = await asyncpg.connect(empty), await asyncpg.connect(empty)
    yield one, other
    await other.close()
    await one.execute("TRUNCATE zlaq.project, zlaq.safety_inspection, zlaq.finding")
    await one.close()


async def test_orphans_of_a_race_are_adopted(pair: tuple[Any, Any]) -> None:
    """Parent and child written at the same moment leave an orphan, and `adopt_orphans` finds it."""
    one, other = pair
    async with one.transaction():
        await add_inspection(one, VISIT, FIRST)
        await add_finding(one, f"{VISIT}-01")
        await add_project(other, FIRST)
    assert await one.fetchval("SELECT manage FROM zlaq.finding") == "999999"

    assert await one.fetchval("SELECT zlaq.adopt_orphans()") == 1
    assert await one.fetchval("SELECT manage FROM zlaq.finding") == "420106"
    assert await one.fetchval("SELECT zlaq.adopt_orphans()") == 0


async def test_a_child_waits_for_a_restamping(pair: tuple[Any, Any]) -> None:
    """An inspection inserted while its project moves takes the region the project moves to."""
    one, other = pair
    await add_project(one, FIRST)
    async with one.transaction():
        await one.execute("UPDATE zlaq.project SET manage = '420107'")
        child = asyncio.create_task(add_inspection(other, VISIT, FIRST))
        await asyncio.sleep(0.05)
        assert not child.done()
    await child

    assert await one.fetchval("SELECT manage FROM zlaq.safety_inspection") == "420107"


async def test_versions_count(db: Any) -> None:
    """Every update counts one up and stamps the time, whatever the writer says."""
    await add_project(db, FIRST)
    await db.execute("UPDATE zlaq.project SET updated_at = '2001-01-01', version = 77")
    await db.execute("UPDATE zlaq.project SET name = 'again'")

    assert tuple(await db.fetchrow("SELECT version, updated_at = now() FROM zlaq.project")) == (3, True)


async def test_readers_may_not_name_internal_columns(db: Any) -> None:
    """zlaq_read selects every declared column and no internal one, writes nothing, and sees no raw codes."""
    await db.execute("SET LOCAL ROLE zlaq_read")
    for entity in REGISTRY.entities.values():
        columns = ", ".join(expected_columns(entity, REGISTRY.values))
        await db.execute(f"SELECT {columns} FROM zlaq.{entity.table}")

    for statement in ("SELECT id_hash FROM zlaq.person", "SELECT * FROM zlaq.person", "TABLE zlaq.unmapped_code",
                      "DELETE FROM zlaq.project", "UPDATE zlaq.project SET name = ''"):  # fmt: skip
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with db.transaction():
                await db.execute(statement)


async def test_derived_indexes_are_kept_in_step(postgres: EmbeddedPostgres) -> None:
    """What the declarations imply exists; what was changed is rebuilt, what is no longer implied is dropped."""
    dsn = await fresh_database(postgres, "indexes")
    await migrate(dsn)
    connection = await asyncpg.connect(dsn)
    query = "SELECT indexname FROM pg_indexes WHERE schemaname = 'zlaq' AND starts_with(indexname, 'ix_') ORDER BY 1"
    wanted = sorted(index.name for index in index_statements(REGISTRY))
    assert [row[0] for row in await connection.fetch(query)] == wanted

    await connection.execute(
        "CREATE INDEX ix_project_forgotten ON zlaq.project (address); DROP INDEX zlaq.ix_project_p2;"
        " COMMENT ON INDEX zlaq.ix_project_p4 IS 'ON zlaq.project (another)'"
    )
    await migrate(dsn)
    assert [row[0] for row in await connection.fetch(query)] == wanted
    rebuilt = await connection.fetchval("SELECT obj_description('zlaq.ix_project_p4'::regclass)")
    assert rebuilt == "ON zlaq.project (manage_p4, project_no)"
    await connection.close()


def test_indexes_follow_from_declarations() -> None:
    """Names, directions and covered columns of some; no name too long, no index that another one begins with."""
    indexes = {index.name: index for index in index_statements(REGISTRY)}

    assert indexes["ix_project_p2_planned_start"].keys == ("manage_p2", "planned_start", "project_no")
    assert indexes["ix_project_planned_start_desc"].keys == ("planned_start DESC NULLS LAST", "project_no DESC")
    nested = indexes["ix_safety_inspection_project_no_inspected_on_desc_covering"]
    assert nested.keys == ("project_no", "inspected_on DESC", "inspection_no DESC")
    assert {"kind", "progress", "manage", "manage_p2", "manage_p4", "sens"} <= set(nested.include)
    assert indexes["ix_project_owner_dept"].keys == ("owner_dept", "project_no")
    assert indexes["ix_person_holder_uscc"].keys == ("holder_uscc", "person_no")
    assert max(len(name) for name in indexes) <= 63
    for index in indexes.values():
        longer = [o.name for o in indexes.values() if o is not index and o.table == index.table
                  and o.keys[: len(index.keys)] == index.keys and not index.include]  # fmt: skip
        assert longer == [], index.name
