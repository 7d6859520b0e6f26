"""`zlaq query`, `explain` and `token`: operations as a caller of the demo, without HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from dataclasses import dataclass
from functools import update_wrapper
from typing import TYPE_CHECKING

import click

from server import observe
from server.identity import Authenticator, NoCases
from server.issuer import PUBLIC, TTL_S, Issuer
from server.pipeline import Question
from server.service import Service
from server.settings import SettingRefused, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from io import TextIOWrapper

    from policy.subject import Subject


def _issuer(settings: Settings) -> Issuer:
    if settings.demo_issuer is None:
        raise SettingRefused("ZLAQ_DEMO_ISSUER is not set: roles are callers of the demo")
    return Issuer.load(settings.demo_issuer)


async def _subject(settings: Settings, role: str, purpose: str | None) -> Subject:
    """The caller, by the way that every token goes."""
    headers: list[tuple[bytes, bytes]] = []
    if role != PUBLIC:
        headers.append((b"authorization", b"Bearer " + _issuer(settings).mint(role).encode()))
    if purpose is not None:
        headers.append((b"x-zlaq-purpose", purpose.encode()))
    return await Authenticator.from_settings(settings, NoCases()).authenticate(headers)


def _variables(_context: click.Context, _option: click.Parameter, value: str) -> dict[str, object]:
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if not isinstance(parsed, dict):
        raise click.BadParameter("must be a JSON object")
    return parsed


@dataclass(frozen=True, slots=True)
class Asked:
    """An operation and who asks it, from the command line."""

    question: Question
    role: str
    purpose: str | None


def _asked(command: Callable[[Asked], None]) -> Callable[..., None]:
    """What `query` and `explain` have in common."""

    def collect(
        file: TextIOWrapper, role: str, variables: dict[str, object], operation: str | None, purpose: str | None
    ) -> None:
        command(Asked(Question(file.read(), variables, operation), role, purpose))

    collecting: Callable[..., None] = update_wrapper(collect, command)
    for decorate in (
        click.argument("file", type=click.File(encoding="utf-8")),
        click.option("--as", "role", default=PUBLIC, show_default=True, metavar="ROLE", help="A caller of the demo."),
        click.option("--variables", default="{}", callback=_variables, metavar="JSON", help="The variables."),
        click.option("--operation", metavar="NAME", help="The operation, if the document has several."),
        click.option("--purpose", metavar="CODE", help="One of the purposes of the caller's token."),
    ):
        collecting = decorate(collecting)
    return collecting


@click.command()
@_asked
def query(asked: Asked) -> None:
    """Execute the operation in FILE ("-" is the standard input) and print the answer.

    Exit code 1 if the answer has errors. Audited like any other request.
    """

    async def ask() -> bytes:
        settings = Settings.from_environment(os.environ)
        # What fails at a source stands in the answer.
        observe.configure("ERROR")
        subject = await _subject(settings, asked.role, asked.purpose)
        async with Service.open(settings, *settings.entity_packages) as service:
            return (await service.answer(asked.question, subject, f"cli-{secrets.token_hex(8)}")).body

    answer = json.loads(asyncio.run(ask()))
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    click.get_current_context().exit(1 if answer.get("errors") else 0)


@click.command()
@_asked
def explain(asked: Asked) -> None:
    """Print what would be done for the operation in FILE: decision, plan and SQL. Nothing is executed."""

    async def ask() -> str:
        settings = Settings.from_environment(os.environ)
        subject = await _subject(settings, asked.role, asked.purpose)
        async with Service.open(settings, *settings.entity_packages) as service:
            return await service.explain(asked.question, subject)

    click.echo(asyncio.run(ask()))


@click.command()
@click.option("--as", "role", required=True, metavar="ROLE", help="A caller of the demo.")
@click.option(
    "--hours", type=click.IntRange(1, 12), default=TTL_S // 3600, show_default=True, help="How long it is valid."
)
def token(role: str, hours: int) -> None:
    """Print a token of a demo's caller. Needs ZLAQ_DEMO_ISSUER: real tokens come from the issuer that is set."""
    settings = Settings.from_environment({"ZLAQ_DATABASE_URL": "postgresql://", **os.environ})
    click.echo(_issuer(settings).mint(role, hours * 3600))
