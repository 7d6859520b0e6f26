"""`zlaq schema`: the interface as text."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from schema.registry import Registry, load_registry
from schema.sdl import build_schema

SHOWN = 40


def registry_of(packages: str) -> Registry:
    """The product's entities and those of further packages, comma between them."""
    return load_registry(*(name for name in packages.split(",") if name))


entities = click.option(
    "--entity-packages", "packages", envvar="ZLAQ_ENTITY_PACKAGES", default="", metavar="NAMES",
    help="Packages with further entities, comma between them.",
)  # fmt: skip
"""The option of every command that reads declarations but needs no other setting."""


@click.command()
@click.option(
    "--check",
    "kept",
    is_flag=False,
    flag_value="schema.graphql",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Print nothing, but compare with a file (schema.graphql unless named); exit code 1 if they differ.",
)
@entities
@click.pass_context
def schema(context: click.Context, kept: Path | None, packages: str) -> None:
    """Print the GraphQL schema that the declarations give."""
    text = build_schema(registry_of(packages)).sdl
    if kept is None:
        click.echo(text, nl=False)
        return
    before = kept.read_text(encoding="utf-8") if kept.exists() else ""
    if before != text:
        changes = list(difflib.unified_diff(before.splitlines(), text.splitlines(), str(kept), "declared", lineterm=""))
        click.echo("\n".join(changes[:SHOWN]), err=True)
        if len(changes) > SHOWN:
            click.echo(f"... and {len(changes) - SHOWN} more lines", err=True)
        click.echo(f"{kept} is not what the declarations give: run `make schema`", err=True)
        context.exit(1)
