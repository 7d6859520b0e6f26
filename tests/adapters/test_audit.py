"""The audit trail on a real server: rights, sealing under concurrency, and every kind of tampering named."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
import json
import subprocess
import sys
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import asyncpg
import pytest

from adapters import audit_verifier
from adapters.audit_verifier import GENESIS, AuditUnreadable, Kind, Record, Report, decode_rows, digest_record, link
from adapters.postgres import audit
from adapters.postgres.audit import AuditTampered, PrivilegesTooWide, Sealer
from demo.embedded import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

Connection = asyncpg.Connection
MIGRATION = files("adapters.postgres") / "migrations" / "0001_foundation.sql"
SLOTS = [
    {"letter": "A", "type": "Project", "root": "projects", "verdicts": [], "chars": 0},
    {"letter": "B", "type": "Person", "root": "projects", "verdicts": list("pqrstuv"), "chars": 2},
]
BODY = json.dumps({"slots": SLOTS})
STORED = ("INSERT INTO audit.decision VALUES ($1, $2) ON CONFLICT DO NOTHING", audit_verifier.decision_hash(BODY), BODY)
PACK = "A420100B42010011A000000"
COLUMNS = ", ".join(audit.RECORD_COLUMNS)
INSERT = f"""INSERT INTO audit.record ({COLUMNS}) VALUES ($1, 'project', '{{"id":"u1"}}', 'd', 'r', $2, $3, '')"""
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres("audit", root=tmp_path_factory.mktemp("audit"), settings={"shared_buffers": "32MB"})
    server.start()
    yield server
    server.kill()  # spares the checkpoint
    server.destroy()


class Trail(NamedTuple):
    """A database with the first migration, its owner's connection, and where its heads are published."""

    dsn: str
    owner: Connection
    heads: Path
    decision: str

    async def write(self, count: int = 1, connection: Connection | None = None) -> None:
        for _ in range(count):
            await (connection or self.owner).execute(INSERT, f"q{next(numbers)}", self.decision, PACK)

    async def seal(self, batch: int = 3) -> int | None:
        sealer = Sealer(self.dsn, self.heads, batch=batch)
        try:
            return await sealer.seal_pending()
        finally:
            await sealer.close()

    async def verified(self) -> Report:
        path = self.heads.with_name("export.jsonl")
        await audit.export(self.owner, path)
        return audit_verifier.verify(path, self.heads)

    async def named(self) -> set[tuple[Kind, int | None]]:
        return {(finding.kind, finding.seal) for finding in (await self.verified()).findings}


@pytest.fixture
async def trail(server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Trail]:
    dsn = server.dsn.replace("/postgres?", f"/audit_{(number := next(numbers))}?")
    connection = await asyncpg.connect(server.dsn)
    await connection.execute(f"CREATE DATABASE audit_{number}")
    await connection.close()
    owner = await asyncpg.connect(dsn)
    await owner.execute(MIGRATION.read_text())
    await owner.execute(*STORED)
    yield Trail(dsn, owner, tmp_path / "heads.jsonl", STORED[1])
    await owner.close()


@pytest.fixture
async def sealed(trail: Trail) -> Trail:
    """Seven records, in seals of three, three and one."""
    await trail.write(7)
    await trail.seal()
    return trail


async def act_as(trail: Trail, role: str) -> Connection:
    return await asyncpg.connect(trail.dsn, server_settings={"role": role})


READER_MAY_NOT = f"""SELECT FROM audit.record; SELECT FROM audit.record_rest; SELECT FROM audit.decision
    UPDATE audit.record SET rows = ''; DELETE FROM audit.record; TRUNCATE audit.record; DELETE FROM audit.decision
    SELECT FROM audit.seal; INSERT INTO audit.seal SELECT 1, '', '', '1', 1, '1', 1, 1, 1, '', now()
    INSERT INTO audit.record ({COLUMNS}) VALUES ('', '', '', '', '', '', '', '') RETURNING root
    INSERT INTO audit.record (xid, {COLUMNS}) VALUES ('3', '', '', '', '', '', '', '', '')
    INSERT INTO audit.record (at, {COLUMNS}) VALUES (now(), '', '', '', '', '', '', '', '')"""
SEALER_MAY_NOT = f"""DELETE FROM audit.record; DELETE FROM audit.decision; DELETE FROM audit.seal
    TRUNCATE audit.record; UPDATE audit.seal SET hash = ''; UPDATE audit.record SET rows = ''
    INSERT INTO audit.record ({COLUMNS}) VALUES ('', '', '', '', '', '', '', '')"""


async def test_roles_add_and_change_nothing(trail: Trail) -> None:
    """Readers add records and decisions, unread and without choosing number, transaction or time; the sealer seals."""
    reader, sealer = await act_as(trail, "zlaq_read"), await act_as(trail, "zlaq_seal")
    await trail.write(connection=reader)
    await reader.execute(*STORED)
    for connection, statements in ((reader, READER_MAY_NOT), (sealer, SEALER_MAY_NOT)):
        for statement in statements.replace("\n", ";").split(";"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    with pytest.raises(asyncpg.CheckViolationError):
        await reader.execute("INSERT INTO audit.decision (hash, body) VALUES ('another', 'body')")
    await reader.close()
    await sealer.close()


async def test_start_is_refused_without_durability_or_with_wider_rights(trail: Trail) -> None:
    """The read role passes; asynchronous commit, the owner, and each grant beyond the stated ones do not."""
    reader = await act_as(trail, "zlaq_read")
    await audit.check_durable(reader)
    await reader.execute("SET synchronous_commit = off")
    with pytest.raises(audit.AuditNotDurable, match="synchronous_commit=off"):
        await audit.check_durable(reader)
    await reader.execute("RESET synchronous_commit")
    with pytest.raises(PrivilegesTooWide, match=r"DELETE on audit\.record"):
        await audit.check_durable(trail.owner)
    await trail.owner.execute("CREATE TABLE zlaq.secret (open text, closed text)")
    rights = {"UPDATE (closed) ON": "zlaq.secret", "SELECT (subject) ON": "audit.record", "CREATE ON SCHEMA": "zlaq"}
    for right, named in {**rights, "INSERT (xid) ON": "audit.record", "DELETE ON": "audit.record_rest"}.items():
        await trail.owner.execute(f"GRANT {right} {named} TO zlaq_read")
        with pytest.raises(PrivilegesTooWide, match=rf"{right.split()[0]} on (schema )?{named}"):
            await audit.check_durable(reader)
        await trail.owner.execute(f"REVOKE {right} {named} FROM zlaq_read")
    await trail.owner.execute("CREATE FUNCTION zlaq.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'")
    with pytest.raises(PrivilegesTooWide, match=r"zlaq\.f"):
        await audit.check_durable(reader)
    await trail.owner.execute("DROP FUNCTION zlaq.f; GRANT SELECT ON zlaq.secret TO zlaq_read")
    await audit.check_durable(reader)
    await reader.close()


async def test_every_record_is_sealed_once_under_concurrent_writers(trail: Trail) -> None:
    """Writers commit in any order, roll back, and one commits long after younger ones were sealed."""
    stopping = asyncio.Event()
    sealing = asyncio.create_task(Sealer(trail.dsn, trail.heads, batch=7, interval=0.01).run(stopping))
    late = await act_as(trail, "zlaq_read")
    await late.execute("BEGIN")
    await trail.write(5, late)

    async def writer(seed: int) -> None:
        connection = await act_as(trail, "zlaq_read")
        for turn in range(30):
            await connection.execute("BEGIN")
            await trail.write(1 + (seed + turn) % 3, connection)
            await asyncio.sleep(0.001 * ((seed * turn) % 4))
            await connection.execute("ROLLBACK" if turn % 7 == seed else "COMMIT")
        await connection.close()

    await asyncio.gather(*(writer(seed) for seed in range(6)))
    await asyncio.sleep(0.1)
    await late.execute("COMMIT")
    await late.close()
    stopping.set()
    await sealing
    report = await trail.verified()

    assert (report.findings, report.unsealed) == ([], 0)
    assert report.records == await trail.owner.fetchval("SELECT count(*) FROM audit.record")


async def test_the_sealer_reads_by_index(trail: Trail) -> None:
    """However long the trail is."""
    await trail.owner.execute("SET enable_seqscan = off")
    query = audit._after(audit._DIGESTS, None, audit._ENDED)[0]
    query = query.replace("$1", "'0'").replace("$2", "0").replace("$3", "10")
    assert "Sort" not in str(await trail.owner.fetch(f"EXPLAIN {query}"))


async def test_a_second_sealer_stands_by(trail: Trail) -> None:
    """It seals nothing while the first lives, and goes on with the chain afterwards."""
    first = Sealer(trail.dsn, trail.heads)
    await trail.write(2)
    assert await first.seal_pending() == 2
    await trail.write()
    assert await trail.seal() is None
    await first.close()
    await asyncio.sleep(0.2)

    assert await trail.seal() == 1


async def test_records_are_sealed_within_a_second_also_after_a_lost_connection(trail: Trail) -> None:
    """With the interval as delivered; the server ends the sealer's session in between."""
    stopping = asyncio.Event()
    sealing = asyncio.create_task(Sealer(trail.dsn, trail.heads).run(stopping))
    await asyncio.sleep(0.3)
    await trail.write()
    await asyncio.sleep(1)
    assert await trail.owner.fetchval("SELECT count(*) FROM audit.seal") == 1

    sealers = "application_name = 'zlaq sealer' AND datname = current_database()"
    end = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {sealers}"
    assert await trail.owner.fetchval(end) == 1
    await trail.write(4)
    await asyncio.sleep(1)
    stopping.set()
    await sealing
    assert (await trail.verified()).records == 5


async def test_a_head_lost_between_commit_and_publication_is_published_later(sealed: Trail) -> None:
    """Killed after the commit or in the middle of the line: the next round publishes what the records prove."""
    lines = sealed.heads.read_text().splitlines(keepends=True)
    sealed.heads.write_text("".join(lines[:-2]) + lines[-2][:20])
    await sealed.seal()
    assert sealed.heads.read_text().splitlines(keepends=True) == lines

    await sealed.owner.execute("UPDATE audit.record SET rows = '' WHERE seq = (SELECT max(seq) FROM audit.record)")
    sealed.heads.write_text("".join(lines[:-1]))
    with pytest.raises(AuditTampered, match="seal 3 was changed"):
        await sealed.seal()


@pytest.mark.parametrize(
    ("tamper", "said"),
    {
        "DELETE FROM audit.seal WHERE no = 3": "seal 3 is missing",
        "DELETE FROM audit.seal": "seal 3 is missing",
        "UPDATE audit.seal SET hash = repeat('a', 64) WHERE no = 3": "is not the one whose head was published",
        # After a logical restore new records would sort before sealed ones and never be sealed.
        "UPDATE audit.seal SET last_xid = '999999999'": "another server's data",
    }.items(),
)
async def test_the_sealer_stops_when_the_chain_is_not_the_published_one(sealed: Trail, tamper: str, said: str) -> None:
    """A lost tail, a lost chain and a rewritten one are refused, and nothing is sealed on top of them."""
    await sealed.owner.execute(tamper)
    await sealed.write()
    heads = sealed.heads.read_text()
    with pytest.raises(AuditTampered, match=said):
        await asyncio.wait_for(Sealer(sealed.dsn, sealed.heads).run(asyncio.Event()), 10)

    assert sealed.heads.read_text() == heads


async def test_the_sealer_stops_without_its_heads(sealed: Trail) -> None:
    """A heads file that is gone, foreign or not writable is an error of its own, never a new beginning."""
    sealed.heads.with_name("foreign").write_text("x\n")
    for name, error in (("gone", AuditTampered), ("foreign", AuditTampered), ("", audit.HeadsUnavailable)):
        with pytest.raises(error):
            await sealed._replace(heads=sealed.heads.parent / name).seal()


async def test_an_untouched_trail_is_intact(sealed: Trail) -> None:
    """Also with records and seals younger than the last head."""
    heads = sealed.heads.read_text()
    await sealed.write(2)
    await sealed.seal()
    sealed.heads.write_text(heads)
    await sealed.write()

    assert await sealed.verified() == Report([], first=1, last=4, records=9, unsealed=1, unpublished=1)


NTH = "(SELECT seq FROM audit.record ORDER BY xid, seq LIMIT 1 OFFSET {})"
SET = f"UPDATE audit.record SET {{0}} = {{1}} || {{0}} WHERE seq = {NTH.format(4)}"
TEXTS = ("request_id", "root", "subject", "document", "revision", "sources")
TAMPER: dict[str, set[tuple[Kind, int | None]]] = {
    **{SET.format(column, "'x'"): {(Kind.ALTERED_RECORD, 2)} for column in TEXTS},
    SET.format("decision", "'f'"): {(Kind.ALTERED_RECORD, 2), (Kind.UNKNOWN_DECISION, 2)},
    SET.format("rows", "'A42010'"): {(Kind.ALTERED_RECORD, 2), (Kind.MALFORMED_PACK, 2)},
    SET.format("at", "").replace("||", "interval '1us' +"): {(Kind.ALTERED_RECORD, 2)},
    f"DELETE FROM audit.record WHERE seq = {NTH.format(4)}": {(Kind.DROPPED_RECORD, 2)},
    f"DELETE FROM audit.record WHERE seq = {NTH.format(6)}": {(Kind.DROPPED_RECORD, 3)},
    f"""INSERT INTO audit.record (seq, xid, {COLUMNS}) OVERRIDING SYSTEM VALUE
        SELECT seq + 1000, xid, {COLUMNS} FROM audit.record WHERE seq = {NTH.format(1)}""": {(Kind.INSERTED_RECORD, 1)},
    "DELETE FROM audit.record; DELETE FROM audit.seal": {(Kind.CUT_TAIL, None)},
    "UPDATE audit.seal SET hash = repeat('a', 64) WHERE no = 3": {(Kind.ALTERED_SEAL, 3), (Kind.REWRITTEN_CHAIN, 3)},
    "UPDATE audit.seal SET sealed_at = now() WHERE no = 2": {(Kind.ALTERED_SEAL, 2)},
    "UPDATE audit.seal SET first_seq = first_seq - 1 WHERE no = 2": {(Kind.ALTERED_SEAL, 2)},
    "UPDATE audit.seal SET previous = hash WHERE no = 1": {(Kind.ALTERED_SEAL, 1), (Kind.REWRITTEN_CHAIN, 1)},
    "DELETE FROM audit.seal WHERE no = 2": {(Kind.MISSING_SEAL, None), (Kind.INSERTED_RECORD, 3)},
    "DELETE FROM audit.decision": {(Kind.UNKNOWN_DECISION, seal) for seal in (1, 2, 3)},
    """ALTER TABLE audit.decision DROP CONSTRAINT decision_check;
        UPDATE audit.decision SET body = body || ' '""": {(Kind.ALTERED_DECISION, None)},
}


@pytest.mark.parametrize(("tamper", "expected"), TAMPER.items())
async def test_tampering_is_named(sealed: Trail, tamper: str, expected: set[tuple[Kind, int | None]]) -> None:
    """By its kind and the seal in which it lies, and nothing else is blamed."""
    await sealed.owner.execute(tamper)

    assert await sealed.named() == expected


async def test_findings_say_which_records(sealed: Trail) -> None:
    """Their numbers where they are there, their places where they are not, how many where the tail is cut."""
    seq = await sealed.owner.fetchval(f"SELECT {NTH.format(1)}")
    await sealed.owner.execute(f"DELETE FROM audit.record WHERE seq >= {NTH.format(5)}")
    await sealed.owner.execute("UPDATE audit.record SET rows = '' WHERE seq = $1", seq)
    await sealed.owner.execute("DELETE FROM audit.seal WHERE no = 3")

    assert [str(finding) for finding in (await sealed.verified()).findings] == [
        f"altered record in seal 1: 1 of sequence {seq}",
        "dropped record in seal 2: 1 of places 3",
        "cut tail: the published head is seal 3, the export ends at 2: 1 records",
    ]


async def test_a_chain_rewritten_without_the_head_is_named(sealed: Trail) -> None:
    """Sealed anew by whoever owns the database, everything fits together again, but it is not what was published."""
    await sealed.owner.execute(f"UPDATE audit.record SET rows = '' WHERE seq = {NTH.format(3)}; DELETE FROM audit.seal")
    another = sealed._replace(heads=sealed.heads.with_name("another"))
    await another.seal()
    assert (await another.named(), await sealed.named()) == (set(), {(Kind.REWRITTEN_CHAIN, 1)})


async def test_an_export_from_a_later_seal_continues_the_published_head(sealed: Trail) -> None:
    """What an operator has detached is left out, and the rest is still anchored."""
    await sealed.owner.execute(f"DELETE FROM audit.record WHERE seq < {NTH.format(3)}")
    path, seen = sealed.heads.with_name("export.jsonl"), list[int]()

    assert await audit.export(sealed.owner, path, from_seal=2, progress=seen.append) == 4
    assert seen == [3, 4]
    assert audit_verifier.verify(path, sealed.heads) == Report([], first=2, last=3, records=4)


async def test_the_verifier_runs_alone(sealed: Trail, tmp_path: Path) -> None:
    """Copied elsewhere, without site packages: 0 intact, 1 tampered, 2 cannot be judged."""
    program = tmp_path / "audit_verifier.py"
    program.write_text(inspect.getsource(audit_verifier))
    path = tmp_path / "export.jsonl"
    await audit.export(sealed.owner, path)

    def run(*arguments: Path) -> tuple[int, str]:
        command: list[str | Path] = [sys.executable, "-I", "-S", program, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    intact = "intact: seals 1 to 3, 7 records; 0 seals without a published head, 0 records not yet sealed\n"
    assert run(path, sealed.heads) == (0, intact)
    text = path.read_text()
    path.write_text(text.replace('"project"', '"projekt"', 1))
    assert run(path, sealed.heads)[1].startswith("altered record in seal 1")
    assert [run(path, sealed.heads)[0], run(path)[0], run(path, tmp_path / "gone")[0]] == [1, 2, 2]
    lines = text.splitlines(keepends=True)
    path.write_text("".join([*lines[:3], lines[4], lines[3], *lines[5:]]))
    assert run(path, sealed.heads)[1].startswith("reordered records in seal 1")
    for keep in range(len(lines)):
        path.write_text("".join(lines[:keep]))
        with pytest.raises(AuditUnreadable, match="not complete"):
            audit_verifier.verify(path, sealed.heads)


def test_rows_are_counted_by_type_region_and_verdict() -> None:
    """The first predicate is the lowest bit of the first character, the seventh that of the second."""
    counts = decode_rows("A420100B420100A1B420100B0B11010100A420100", BODY)

    assert counts.regions == {("Project", "420100"): 2, ("Person", "420100"): 2, ("Person", "110101"): 1}
    held = zip("pqrstuv", (1, 1, 0, 0, 2, 0, 1), strict=True)
    assert counts.verdicts == {("Person", predicate): count for predicate, count in held}
    assert decode_rows("", BODY).regions == {}


PACKS = ("A42010", "B420100", "B4201001", "C420100", "A42010x", "A\uff1420100", "B42010012", "B4201001p", "A420100 ")
ODD: tuple[dict[str, object], ...] = (dict(SLOTS[0], letter="AB"), dict(SLOTS[0], type=1), dict(SLOTS[1], chars=1), {})


def test_malformed_packs_and_decisions_are_refused() -> None:
    """Too short, of no slot, no digits, verdicts without a predicate; no slots, one letter twice, wrong parts."""
    for packed in PACKS:
        with pytest.raises(audit_verifier.MalformedPack):
            decode_rows(packed, BODY)
    for body in ("", "{}", "[]", json.dumps({"slots": SLOTS * 2}), *(json.dumps({"slots": [slot]}) for slot in ODD)):
        with pytest.raises(audit_verifier.MalformedDecision):
            decode_rows("A420100", body)


def test_digests_are_what_they_were() -> None:
    """Trails sealed by earlier versions must verify for ever; no text can be moved from one field into the next."""
    record = Record(7, 9, 1_700_000_000_000_001, "q", "project", "{}", "d", "r", "e", "A420100", "")
    plain = "1,1,16,1,7,2,1,1,1,7,0;791700000000000001qproject{}dreA420100"
    sealed = f"zlaq audit seal 1\n1\n{GENESIS}\n1\n1\n5\n".encode() + hashlib.sha256(plain.encode()).digest()

    assert digest_record(record) != digest_record(record._replace(request_id="qp", root="roject"))
    assert digest_record(record) == hashlib.sha256(plain.encode()).digest()
    assert link(1, GENESIS, 1, 5, [digest_record(record)]) == hashlib.sha256(sealed).hexdigest()
