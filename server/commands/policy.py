"""`zlaq policy`: lint, compare with the declarations, prove and publish a revision."""

from __future__ import annotations

import asyncio
import os
import time
from functools import update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapters.postgres.policies import PostgresPolicyStore
from policy.decide import build_snapshot
from policy.lint import Severity
from policy.lint import lint as findings_of
from policy.revision import Revision, load_default, parse_revision, revision_texts
from policy.sync import differs, stale, unopened, with_proposals
from server.commands.prove import differences, grid
from server.commands.schema import entities, registry_of
from server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from schema.registry import Registry

FILES = ("rules.csv", "classes.csv", "kinds.csv")
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def _chosen(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the revision and the registry that its options choose."""

    def choose(source: Path | None, in_force: bool, packages: str, **options: object) -> None:
        if in_force and source is not None:
            raise click.UsageError("--from and --in-force name different revisions")
        revision = asyncio.run(_in_force()) if in_force else load_default() if source is None else _read(source)
        command(revision, registry_of(packages), **options)

    choosing: Callable[..., None] = update_wrapper(choose, command)
    for decorate in (
        click.option("--from", "source", type=_FOLDER, metavar="FOLDER", help=f"A folder with {', '.join(FILES)}."),
        click.option("--in-force", is_flag=True, help="The revision that the database has in force."),
        entities,
    ):
        choosing = decorate(choosing)
    return choosing


def _read(folder: Path) -> Revision:
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise click.UsageError(f"{folder} has no {' and no '.join(missing)}")
    rules, classes, kinds = ((folder / name).read_text(encoding="utf-8") for name in FILES)
    return parse_revision(rules, classes, kinds)


async def _in_force() -> Revision:
    store = PostgresPolicyStore(Settings.from_environment(os.environ).database_url)
    try:
        stored = await store.current()
    finally:
        await store.close()
    if stored is None:
        raise click.ClickException("no revision is in force: everything is closed")
    return parse_revision(stored.rules, stored.classes, stored.kinds)


async def publish_if_none(dsn: str, by: str) -> str:
    """The id of the revision in force, which is the product's own if there was none."""
    store = PostgresPolicyStore(dsn, role="zlaq_write")
    try:
        known = await store.current()
        return known.id if known is not None else await _publish(store, load_default(), by)
    finally:
        await store.close()


async def _publish(store: PostgresPolicyStore, revision: Revision, by: str) -> str:
    rules, classes, kinds = revision_texts(revision)
    return (await store.publish(id=revision.id, rules=rules, classes=classes, kinds=kinds, by=by)).id


@click.group()
def policy() -> None:
    """Check, compare, prove and publish the policy.

    Unless said otherwise, it is about the revision that ships with the product.
    """


@policy.command()
@_chosen
def lint(revision: Revision, registry: Registry) -> None:
    """List everything to be said against a revision; exit code 1 if it could not be published."""
    findings = findings_of(revision, registry)
    for finding in findings:
        click.echo(f"{finding.severity}: {finding}")
    refused = any(finding.severity is Severity.REFUSED for finding in findings)
    verdict = "refused" if refused else "may be published"
    click.echo(f"revision {revision.id[:12]}, {len(revision.rules)} rules: {verdict}")
    click.get_current_context().exit(1 if refused else 0)


@policy.command()
@_chosen
@click.option(
    "--write", "target", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Write a revision that also opens what is declared, with the proposed classes.",
)  # fmt: skip
def sync(revision: Revision, registry: Registry, target: Path | None) -> None:
    """Compare a revision's classes with those that declarations propose; exit code 1 if something waits.

    A declared field stays closed until a revision gives it a class.
    """
    waiting, gone = unopened(revision, registry), stale(revision, registry)
    for coordinate in waiting:
        click.echo(f"closed: {coordinate} waits for a class, {registry.proposals()[coordinate]} is proposed")
    for coordinate in gone:
        click.echo(f"stale: {coordinate} is not declared")
    for coordinate, (given, proposed) in differs(revision, registry).items():
        click.echo(f"differs: {coordinate} is {given}, {proposed} is proposed")
    if target is not None:
        target.mkdir(parents=True, exist_ok=True)
        for name, text in zip(FILES, revision_texts(with_proposals(revision, registry)), strict=True):
            (target / name).write_text(text, encoding="utf-8")
        click.echo(f"written to {target}: read it, lint it, publish it")
        return
    click.echo(f"revision {revision.id[:12]}: {len(waiting)} closed, {len(gone)} stale")
    click.get_current_context().exit(1 if waiting or gone else 0)


@policy.command()
@_chosen
@click.option("--rows", type=click.IntRange(1), default=2, show_default=True, help="Rows for each subject and object.")
@click.option("--all", "everything", is_flag=True, help="Every row of the grid; takes hours, since Casbin is asked.")
def prove(revision: Revision, registry: Registry, rows: int, everything: bool) -> None:
    """Compare compiled decisions with Casbin's, cell by cell; exit code 1 if one differs.

    The grid holds a subject of each level and kind that rules tell apart, an object of each class and entity, and a
    row of each relation and sensitivity.
    """
    snapshot = build_snapshot(revision, registry)
    cells = grid(snapshot)
    began, wrong = time.monotonic(), 0
    size = len(cells.subjects) * len(cells.objects)
    each = len(cells.rows) if everything else min(rows, len(cells.rows))
    with click.progressbar(differences(snapshot, cells, each), length=size, label="comparing") as compared:
        for found in compared:
            for text in found:
                wrong += 1
                click.echo(f"\ndiffers: {text}", err=True)
    click.echo(
        f"revision {revision.id[:12]}: {len(cells.subjects)} subjects x {len(cells.objects)} objects x "
        f"{each} of {len(cells.rows)} rows x {len(cells.moments)} moments x 2 acts = "
        f"{size * each * len(cells.moments) * 2} cells compared in {time.monotonic() - began:.0f} s, "
        f"{wrong or 'none'} differ"
    )
    click.get_current_context().exit(1 if wrong else 0)


@policy.command()
@_chosen
@click.option("--by", required=True, metavar="ACCOUNT", help="Who answers for it; kept with the revision.")
def publish(revision: Revision, registry: Registry, by: str) -> None:
    """Put a revision in force on all nodes, after linting and compiling it; an earlier one may be published again."""
    build_snapshot(revision, registry)
    settings = Settings.from_environment(os.environ)

    async def run() -> str:
        store = PostgresPolicyStore(settings.database_url, role="zlaq_write")
        try:
            return await _publish(store, revision, by)
        finally:
            await store.close()

    click.echo(f"in force: revision {asyncio.run(run())}")
