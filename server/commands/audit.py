"""`zlaq audit`: take the trail out of the database, and verify it without one."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from adapters.audit_verifier import verify as verify_trail
from adapters.postgres.audit import export as export_trail
from adapters.postgres.database import Database
from schema.registry import load_registry
from server.settings import Settings

_SEAL_ROLE = "zlaq_seal"
_EXPORT_MS = 24 * 3600 * 1000
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """Export and verify the audit trail."""


@audit.command()
@click.argument("export", type=_FILE)
@click.argument("heads", type=_FILE)
@click.pass_context
def verify(context: click.Context, export: Path, heads: Path) -> None:
    """Verify an EXPORT against the published HEADS. Needs no database.

    Exit code 0 if nothing was changed, 1 with every deviation found, 2 if the files cannot be judged.
    """
    report = verify_trail(export, heads)
    click.echo(str(report))
    context.exit(0 if report.intact else 1)


@audit.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--from-seal", type=click.IntRange(1), default=1, show_default=True, help="Leave out earlier seals.")
def export(target: Path, from_seal: int) -> None:
    """Write decisions, seals and records, as of one moment, to the file TARGET."""
    settings = Settings.from_environment(os.environ)

    def tell(count: int) -> None:
        click.echo(f"\r{count} records", nl=False, err=True)

    async def run() -> int:
        database = Database(
            settings.database_url, load_registry(), size=1, statement_timeout_ms=_EXPORT_MS, role=_SEAL_ROLE
        )
        try:
            async with database.borrowed() as connection:
                return await export_trail(connection, target, from_seal=from_seal, progress=tell)
        finally:
            await database.close()

    click.echo(f"\r{asyncio.run(run())} records written to {target}", err=True)
