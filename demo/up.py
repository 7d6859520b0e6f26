"""`zlaq up`: database, data, policy, keys and server of the demo, started together and ended together."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adapters.postgres.migrate import migrate
from demo import counterparts
from demo.embedded import EmbeddedPostgres, PostgresUnavailable
from demo.seed import load as loading
from demo.seed import wellknown
from demo.tokens import AUDIENCE, ISSUER, ISSUER_FILE, JWKS_FILE, prepare
from server import observe
from server.commands.policy import publish_if_none
from server.commands.serve import listen, run
from server.issuer import PUBLIC
from server.settings import Settings

if TYPE_CHECKING:
    from server.issuer import Issuer

MINIATURE = 0.001
ASKED = (
    f'{{ own: project(projectNo: "{wellknown.PROJECT_COUNTY}") {{ name totalInvestment }} '
    f'elsewhere: project(projectNo: "{wellknown.PROJECT_ELSEWHERE}") {{ name totalInvestment }} }}'
)


@click.command()
@click.option(
    "--scale", type=click.FloatRange(0.0005, 10), default=MINIATURE, show_default=True, help="1 = 200,000 projects."
)
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), help="Another demo, with data of its own.")
def up(scale: float, root: Path | None) -> None:
    """Start everything with demo data; Ctrl-C or SIGTERM stops it all.

    The data survive. ZLAQ_DATABASE_URL uses a PostgreSQL that runs already, ZLAQ_PORT another port.
    """
    try:
        database = EmbeddedPostgres("demo", root=root)
    except PostgresUnavailable as unavailable:
        raise click.ClickException(str(unavailable)) from unavailable
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    state = database.data_directory.parent / "demo-state"
    # A terminal that has read the environment file names the demo's own database and sources, as if it had not.
    own = os.environ.get("ZLAQ_DATABASE_URL", database.dsn) == database.dsn
    ours = str(state / "counterparts" / "sources.toml")
    try:
        # Before anything is started: nothing would have to be taken back.
        listening = listen(_settings("postgresql://", state))
        if own:
            click.echo("starting PostgreSQL ...", err=True)
        dsn = database.start() if own else os.environ["ZLAQ_DATABASE_URL"]
        asyncio.run(_fill(dsn, scale, own=own))
        issuer = prepare(state)
        with contextlib.ExitStack() as stack:
            connected = {}
            # One of them makes a database, which is not for somebody else's server; and an operator's own file wins.
            if own and os.environ.get("ZLAQ_SOURCES", ours) == ours:
                click.echo("starting counterparts ...", err=True)
                systems = stack.enter_context(counterparts.start(state / "counterparts", dsn))
                connected = {"ZLAQ_SOURCES": str(systems.sources)}
            settings = _settings(dsn, state, **connected)
            observe.configure(settings.log_level)
            run(settings, listening, lambda: _welcome(settings, issuer, state))
    except KeyboardInterrupt:
        pass
    except (PostgresUnavailable, counterparts.CounterpartUnavailable) as unavailable:
        raise click.ClickException(str(unavailable)) from unavailable
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        database.stop()
    click.echo("stopped; the data are kept", err=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _settings(dsn: str, state: Path, **connected: str) -> Settings:
    """The settings of the environment, with the demo's own issuer."""
    # Heads belong to one database: those of another one would look like tampering.
    heads = state / f"audit-heads-{_place(dsn)}.jsonl"
    own = {
        "ZLAQ_DATABASE_URL": dsn,
        "ZLAQ_ISSUER": ISSUER,
        "ZLAQ_AUDIENCE": AUDIENCE,
        "ZLAQ_JWKS": str(state / JWKS_FILE),
        "ZLAQ_DEMO_ISSUER": str(state / ISSUER_FILE),
        "ZLAQ_AUDIT_HEADS": str(heads),
    }
    return Settings.from_environment({"ZLAQ_LOG_LEVEL": "WARNING", **os.environ, **own, **connected})


def _place(dsn: str) -> str:
    """What tells the files of one database from those of another."""
    return hashlib.sha256(dsn.encode()).hexdigest()[:12]


async def _fill(dsn: str, scale: float, *, own: bool) -> None:
    """Migrate; load the data unless there are some; publish the product's policy unless there is one.

    An interrupted load is started again in the demo's `own` database; in another one data are left as they are.
    """
    await migrate(dsn)
    if await loading.loaded_scale(dsn) is None:
        click.echo("loading demo data ...", err=True)
        with contextlib.suppress(loading.NotEmpty):
            await loading.load(dsn, scale, replace=own)
    await publish_if_none(dsn, "demo")


def _welcome(settings: Settings, issuer: Issuer, state: Path) -> None:
    tokens = {name: issuer.mint(name) for name in issuer.roles}
    address = f"http://{settings.host}:{settings.port}"
    environment = _environment_file(settings, state)
    program = Path(sys.executable).with_name("zlaq")
    lines = [
        "",
        f"质安 zlaq answers at {address}/graphql; query page: {address}/",
        "",
        "Tokens (no token is the public):",
    ]
    lines += [f"\n  {name:10} {role.title}\n  {tokens[name]}" for name, role in issuer.roles.items()]
    lines += [
        "",
        "Ask as the county, then leave the Authorization line out:",
        "",
        f"  curl -s {address}/graphql \\",
        "    -H 'Content-Type: application/json' \\",
        f"    -H 'Authorization: Bearer {tokens['county']}' \\",
        f"    -d {shlex.quote(json.dumps({'query': ASKED}))}",
        "",
        "In another terminal:",
        "",
        f"  set -a; . {environment}; set +a",
        f"  echo {shlex.quote(ASKED)} | {program} query --as county -   # or {', '.join((PUBLIC, *issuer.roles))}",
        "",
        "Ctrl-C stops everything; the data are kept.",
    ]
    click.echo("\n".join(lines))


def _environment_file(settings: Settings, state: Path) -> Path:
    """A file with the settings that other commands need to work on this demo; the address may hold a password."""
    path = state / f"environment-{_place(settings.database_url)}"
    values = {
        "ZLAQ_DATABASE_URL": settings.database_url,
        "ZLAQ_ISSUER": settings.issuer,
        "ZLAQ_AUDIENCE": settings.audience,
        "ZLAQ_JWKS": settings.jwks,
        "ZLAQ_DEMO_ISSUER": settings.demo_issuer,
        "ZLAQ_SOURCES": settings.sources,
    }
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items() if value))
    return path
