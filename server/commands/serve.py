"""`zlaq serve` and `zlaq migrate`: what an operator runs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from typing import TYPE_CHECKING

import click
import uvicorn
import uvloop

from adapters.postgres.migrate import migrate as apply_migrations
from server import observe
from server.app import build_app
from server.settings import SettingRefused, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

DRAIN_S = 10
"""How long requests that are being answered may go on after the process was asked to stop."""


class PortTaken(click.ClickException):
    """Another process listens on the address already, or nobody may."""


def listen(settings: Settings) -> socket.socket:
    """The listening socket, opened before anything else is started; raises `PortTaken`."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise PortTaken(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Stop the other process, or set ZLAQ_PORT"
        ) from None
    listening.set_inheritable(True)
    return listening


def run(settings: Settings, listening: socket.socket, started: Callable[[], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM: then stop accepting, finish what is being answered, and return.

    Raises what the service refuses to start for. `started` is called once requests are answered.
    """
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS}
    try:
        uvloop.run(_serve(settings, listening, started))
    except KeyboardInterrupt:
        click.echo("stopped before it had started", err=True)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _ignore(*_: object) -> None:
    """The server sends itself, once it has drained, the signal that it was stopped by."""


async def _serve(settings: Settings, listening: socket.socket, started: Callable[[], None] | None) -> None:
    app = build_app(settings)
    config = uvicorn.Config(
        app,
        http="httptools",
        # Entered here, so that what it refuses to start for arrives as an exception.
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    async with app.router.lifespan_context(app):
        # What exists now lives as long as the process: going through it again at each collection stops everyone.
        gc.collect()
        gc.freeze()
        for number in _SIGNALS:
            signal.signal(number, _ignore)
        await _Server(config, started).serve(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None] | None) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._tell is not None:
            self._tell()


@click.command()
def serve() -> None:
    """Answer requests until SIGINT or SIGTERM.

    \b
    POST /graphql   the interface        GET /         the query page
    GET  /health    the process lives    GET /ready    it can answer
    GET  /metrics   for Prometheus
    """
    settings = Settings.from_environment(os.environ)
    if settings.audit_heads is None:
        raise SettingRefused(
            "ZLAQ_AUDIT_HEADS is not set: without published heads a lost tail of the audit is not seen"
        )
    observe.configure(settings.log_level)
    for line in settings.describe():
        click.echo(line, err=True)
    run(settings, listen(settings))


@click.command()
def migrate() -> None:
    """Bring the database to the state that this version expects; harmless to repeat."""
    settings = Settings.from_environment(os.environ)
    applied = asyncio.run(apply_migrations(settings.database_url, entity_packages=settings.entity_packages))
    for name in applied:
        click.echo(f"applied {name}")
    click.echo("the database is up to date")
