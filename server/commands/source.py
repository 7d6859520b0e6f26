"""`zlaq source`: getting in touch with a connected system, looking at its data, and pulling what it delivers."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from adapters.base import SourceError
from adapters.configuration import FrontSource
from adapters.configured import load_configuration
from adapters.credentials import read_credential
from adapters.front.driver import FrontDriver
from adapters.front.landing import Landing
from adapters.front.pull import counts, mapper_of, pull
from adapters.mapping import RecordMapping
from adapters.sources import check as check_source
from adapters.sources import sample as sample_source
from schema.registry import Registry, load_registry
from server.settings import SettingRefused, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.configuration import Configuration


_NO_DATABASE = {"ZLAQ_DATABASE_URL": "postgresql://"}
"""For commands that speak to the source alone."""


class SourceFailed(click.ClickException):
    """A source did not do what was asked; the text is our own words."""

    def __init__(self, error: SourceError) -> None:
        super().__init__(f"{error.source}: {error.name}: {error.reason or 'no answer'}")


def _configured(**assumed: str) -> tuple[Settings, Registry, Configuration]:
    settings = Settings.from_environment({**assumed, **os.environ})
    if settings.sources is None:
        raise SettingRefused("ZLAQ_SOURCES is not set: no system is connected")
    registry = load_registry(*settings.entity_packages)
    return settings, registry, load_configuration(settings.sources, registry)


def _known(configuration: Configuration, name: str) -> None:
    if name not in configuration.source:
        raise click.BadParameter(f"no such source; there are {', '.join(sorted(configuration.source)) or 'none'}")


@click.group()
def source() -> None:
    """Check connected systems, look at their data, pull deliveries."""


@source.command("list")
def list_sources() -> None:
    """The systems of the configuration, and what each offers."""
    _, _, configuration = _configured(**_NO_DATABASE)
    for name, config in sorted(configuration.source.items()):
        click.echo(f"{name}  {config.title}  covers {', '.join(config.covers)}")
        for coordinate in sorted(config.service):
            click.echo(f"    {coordinate}")


@source.command()
@click.argument("name")
def check(name: str) -> None:
    """Get in touch with the source NAME step by step; ends at the first step that fails, with exit code 1."""
    _, registry, configuration = _configured(**_NO_DATABASE)
    _known(configuration, name)

    async def run() -> None:
        try:
            async for step, found in check_source(name, configuration, registry):
                click.echo(f"ok      {step}: {found}")
        except SourceError as error:
            click.echo(f"failed  {error.reason or error.name}")
            raise SourceFailed(error) from None

    asyncio.run(run())


@source.command()
@click.argument("name")
@click.option("--service", help="A field such as Project.siteStatus; every one with a probe unless given.")
@click.option("--key", "keys", multiple=True, help="A key to ask for, several times if need be; else the probe.")
def sample(name: str, service: str | None, keys: tuple[str, ...]) -> None:
    """A few records of the source NAME as it has them and as they are mapped, side by side.

    Personal, conditional and restricted values are masked on both sides.
    """
    _, registry, configuration = _configured(**_NO_DATABASE)
    _known(configuration, name)
    offered = configuration.source[name].service
    if service is not None and service not in offered:
        raise click.BadParameter(f"{name} offers {', '.join(sorted(offered))}")
    wanted: Mapping[str, tuple[str, ...]] = {
        coordinate: keys or ((offered[coordinate].probe,) if offered[coordinate].probe else ())
        for coordinate in ([service] if service else sorted(offered))
    }
    console = Console(soft_wrap=True)
    for coordinate, asked in wanted.items():
        if not asked:
            click.echo(f"{coordinate}: no probe in the configuration; give --key")
            continue
        try:
            pairs = asyncio.run(sample_source(name, configuration, registry, coordinate, asked))
        except SourceError as error:
            raise SourceFailed(error) from None
        table = Table("as the source has it", "as it is mapped", title=coordinate, show_lines=True)
        for raw, mapped in pairs:
            table.add_row(_lines(raw), _lines(mapped) if mapped else "dropped")
        console.print(table)


def _lines(record: Mapping[str, object]) -> str:
    return "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False, default=str)}" for name, value in record.items())


@source.command("pull")
@click.argument("name")
def pull_source(name: str) -> None:
    """Take what the front-end database NAME delivers, and write its receipts back."""
    settings, registry, configuration = _configured()
    _known(configuration, name)
    config = configuration.source[name]
    if not isinstance(config, FrontSource):
        raise click.BadParameter(f"{name} is no front-end database")

    async def run() -> None:
        driver = FrontDriver(name, config, read_credential, registry)
        landing = Landing(settings.database_url)
        try:
            await driver.open()
            for coordinate, service in config.service.items():
                if not service.receipts:
                    continue
                mapping = RecordMapping(name, coordinate, service, config, registry)
                done = await pull(driver, coordinate, landing, mapper_of(mapping, coordinate, service))
                both = await counts(driver, coordinate, landing)
                click.echo(f"{coordinate}: {done.accepted} accepted, {done.refused} refused in {done.windows} windows")
                click.echo(f"    front-end states {dict(both.front)}, landed {dict(both.landed)}")
        except SourceError as error:
            raise SourceFailed(error) from None
        finally:
            await driver.close()

    asyncio.run(run())
