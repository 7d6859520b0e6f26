"""`zlaq seed`: fill a database with the demo's data."""

from __future__ import annotations

import asyncio
import sys

import asyncpg
import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from adapters.postgres.migrate import MigrationRefused
from demo.seed import load as loading

NOT_EMPTY, UNREACHABLE, REFUSED = 3, 4, 5
"""Exit codes beside 0 (done), 1 (a defect) and 2 (wrong usage)."""


@click.command()
@click.option(
    "--scale", type=click.FloatRange(0.0005, 10), default=0.001, show_default=True, help="1 = 200,000 projects."
)
@click.option("--database-url", envvar="ZLAQ_DATABASE_URL", required=True, help="Superuser's address of the database.")
@click.option("--replace", is_flag=True, help="Remove whatever data are there. Never on a database that matters.")
def seed(scale: float, database_url: str, *, replace: bool) -> None:
    """Fill a database with made-up data, the same on every run.

    Exit codes: 0 done, 2 wrong usage, 3 the database is not empty, 4 it cannot be reached or has not the rights,
    5 its migrations are not those of this version.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>7}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as bars:

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total)
            bars.update(tasks[phase], completed=done)

        try:
            seconds = asyncio.run(loading.load(database_url, scale, show, replace=replace))
        except loading.NotEmpty:
            console.print("The database has data already; --replace would remove them.")
            sys.exit(NOT_EMPTY)
        except MigrationRefused as refused:
            console.print(f"The database does not fit this version: {refused}")
            sys.exit(REFUSED)
        except (OSError, asyncpg.InsufficientPrivilegeError, asyncpg.InvalidAuthorizationSpecificationError) as error:
            # Without the address, which may hold a password.
            console.print(f"The database cannot be used: {type(error).__name__}")
            sys.exit(UNREACHABLE)
    console.print(", ".join(f"{phase} {duration:.1f} s" for phase, duration in seconds.items()))
