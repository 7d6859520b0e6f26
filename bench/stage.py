"""What a measurement stands on: PostgreSQL with data, a policy in force, tokens, and a folder for the run's files."""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from adapters.postgres.migrate import migrate
from adapters.postgres.policies import PostgresPolicyStore
from bench.workload import ROLES, keys_of
from demo.embedded import EmbeddedPostgres
from demo.seed.load import load, loaded_scale
from demo.tokens import AUDIENCE, ISSUER, ISSUER_FILE, JWKS_FILE, prepare
from policy.revision import Revision, load_default, revision_texts
from policy.subject import Subject
from server.identity import Authenticator, NoCases
from server.issuer import Issuer
from server.settings import Settings

POSTGRES = {"shared_buffers": "3GB", "max_wal_size": "8GB", "max_connections": "250"}
"""Everything is in memory, and the peers' pools fit beside each other."""
CURSOR_KEY = base64.b64encode(bytes(64)).decode()
"""The same for all processes, as operators of several set it."""

_UNSEALED = """
select exists (
    select from audit.record r where (r.xid, r.seq) > (
        select coalesce(max(last_xid), '0'), coalesce(max(last_seq), 0)
        from (select last_xid, last_seq from audit.seal order by no desc limit 1) s
    ) and r.xid < pg_snapshot_xmin(pg_current_snapshot()))"""


class WrongScale(RuntimeError):
    """The database holds another amount of data than asked for."""


class NotSealed(RuntimeError):
    """The audit's sealer did not catch up."""


@dataclass(frozen=True)
class Stage:
    """One database and what is needed to serve and to ask it."""

    postgres: EmbeddedPostgres
    dsn: str
    folder: Path
    issuer: Issuer
    keys: list[str]
    scale: float
    tokens: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", {role: self.issuer.mint(role) for role in ROLES})

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a process that serves this database; no port."""
        return {
            "ZLAQ_DATABASE_URL": self.dsn,
            "ZLAQ_ISSUER": ISSUER,
            "ZLAQ_AUDIENCE": AUDIENCE,
            "ZLAQ_JWKS": str(self.folder / JWKS_FILE),
            "ZLAQ_DEMO_ISSUER": str(self.folder / ISSUER_FILE),
            "ZLAQ_AUDIT_HEADS": str(self.folder / "heads.jsonl"),
            "ZLAQ_CURSOR_KEY": CURSOR_KEY,
            "ZLAQ_MAX_COST": "100000",
            "ZLAQ_LOG_LEVEL": "WARNING",
        }

    @property
    def settings(self) -> Settings:
        """Settings of a service in this process, which seals nothing: a server process does."""
        without = {name: value for name, value in self.environment.items() if name != "ZLAQ_AUDIT_HEADS"}
        return Settings.from_environment(without)

    async def subject(self, role: str) -> Subject:
        """A caller, by the way that every token goes."""
        authenticator = Authenticator.from_settings(self.settings, NoCases())
        return await authenticator.authenticate([(b"authorization", b"Bearer " + self.tokens[role].encode())])

    def await_sealed(self, seconds: float = 60) -> None:
        """Until the sealer has caught up, so that its work is done within the cell that caused it; raises `NotSealed`.

        Needs a product that runs.
        """

        async def wait() -> None:
            connection = await asyncpg.connect(self.dsn)
            try:
                until = time.monotonic() + seconds
                while await connection.fetchval(_UNSEALED):
                    if time.monotonic() > until:
                        raise NotSealed(f"records of the audit are not sealed after {seconds} s")
                    await asyncio.sleep(0.05)
            finally:
                await connection.close()

        asyncio.run(wait())

    def publish(self, revision: Revision) -> None:
        """Put a revision in force."""
        asyncio.run(_publish(self.dsn, revision))


@contextmanager
def staged(database: str, scale: float) -> Iterator[Stage]:
    """Start PostgreSQL, load the data on first use; stops it again. Raises `WrongScale`."""
    postgres = EmbeddedPostgres(database, settings=POSTGRES)
    with postgres, tempfile.TemporaryDirectory(prefix="zlaq-bench-") as folder:
        yield _stage(postgres, postgres.dsn, Path(folder), scale)


@contextmanager
def staged_beside(stage: Stage, database: str, scale: float) -> Iterator[Stage]:
    """Another database of the same server, with another amount of data."""
    asyncio.run(_create(stage.dsn, database))
    folder = stage.folder / database
    yield _stage(stage.postgres, stage.dsn.replace("/postgres?", f"/{database}?"), folder, scale)


def _stage(postgres: EmbeddedPostgres, dsn: str, folder: Path, scale: float) -> Stage:
    asyncio.run(_fill(dsn, scale))
    issuer = prepare(folder)
    return Stage(postgres, dsn, folder, issuer, asyncio.run(keys_of(dsn)), scale)


async def _create(dsn: str, database: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        if not await connection.fetchval("select exists (select from pg_database where datname = $1)", database):
            await connection.execute(f"create database {database}")
    finally:
        await connection.close()


async def _fill(dsn: str, scale: float) -> None:
    await migrate(dsn)
    loaded = await loaded_scale(dsn)
    if loaded is None:
        print(f"loading data at scale {scale:g}, once ...", file=sys.stderr)
        # What an interrupted load has left behind goes.
        await load(dsn, scale, replace=True)
    elif loaded != scale:
        raise WrongScale(f"the database holds data at scale {loaded:g}, not {scale:g}: name another one")
    # An interrupted run may have left another revision in force.
    await _publish(dsn, load_default())
    connection = await asyncpg.connect(dsn)
    try:
        # Each run has its own heads, and a chain without them would look tampered with.
        await connection.execute("truncate audit.record, audit.seal")
    finally:
        await connection.close()


async def _publish(dsn: str, revision: Revision) -> None:
    store = PostgresPolicyStore(dsn, role="zlaq_write")
    rules, classes, kinds = revision_texts(revision)
    try:
        await store.publish(id=revision.id, rules=rules, classes=classes, kinds=kinds, by="bench")
    finally:
        await store.close()


def inherited() -> dict[str, str]:
    """This process's environment without settings of the product, which a measurement chooses itself."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ZLAQ_")}
