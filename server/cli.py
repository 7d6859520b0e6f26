"""The command line: `zlaq`.

A command is imported when it is called or listed, so that none waits for what another one needs.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import click

from adapters.audit_verifier import AuditUnreadable
from adapters.configured import ConfigurationRefused
from adapters.credentials import CredentialMissing
from adapters.postgres.audit import LOST, AuditNotDurable, AuditTampered, HeadsUnavailable, PrivilegesTooWide
from adapters.postgres.database import DatabaseError
from adapters.postgres.migrate import MigrationRefused
from policy.compile import PolicyRefused
from policy.revision import InvalidRevision
from schema.registry import RegistryError
from server.issuer import IssuerUnreadable, UnknownRole
from server.keys import KeysRefused
from server.service import AuditUnavailable, SchemaDrift
from server.settings import SettingRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMANDS: Mapping[str, str] = {
    "serve": "server.commands.serve:serve",
    "migrate": "server.commands.serve:migrate",
    "query": "server.commands.query:query",
    "explain": "server.commands.query:explain",
    "token": "server.commands.query:token",
    "schema": "server.commands.schema:schema",
    "policy": "server.commands.policy:policy",
    "audit": "server.commands.audit:audit",
    "source": "server.commands.source:source",
}
EXTENSIONS = "zlaq.commands"
"""Entry points of packages above this one, such as the demo: their commands stand beside ours and replace none."""

USAGE = (
    SettingRefused,
    ConfigurationRefused,
    CredentialMissing,
    IssuerUnreadable,
    UnknownRole,
    KeysRefused,
    RegistryError,
    AuditUnreadable,
)
"""What the caller has set wrong: exit code 2."""
FAILED = (
    MigrationRefused,
    SchemaDrift,
    AuditUnavailable,
    PolicyRefused,
    InvalidRevision,
    AuditNotDurable,
    AuditTampered,
    HeadsUnavailable,
    PrivilegesTooWide,
    DatabaseError,
    *LOST,
)
"""What was refused or is out of reach: exit code 1."""


class Commands(click.Group):
    """The group whose members are named above and by entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the library's signature
        """Ours in their order, then the others by name."""
        return [*COMMANDS, *sorted(_extensions().keys() - COMMANDS.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command."""
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].partition(":")
            found = getattr(import_module(module), name)
        elif cmd_name in _extensions():
            found = _extensions()[cmd_name].load()
        else:
            return None
        if not isinstance(found, click.Command):
            raise TypeError(f"{cmd_name} is not a command")
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it can be refused for becomes a line and an exit code."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise
        except USAGE as wrong:
            raise click.UsageError(_text(wrong)) from wrong
        except FAILED as failed:
            raise click.ClickException(_text(failed)) from failed


def _extensions() -> dict[str, Any]:
    return {point.name: point for point in entry_points(group=EXTENSIONS)}


def _text(exception: BaseException) -> str:
    if not isinstance(exception, LOST) or (isinstance(exception, OSError) and exception.filename):
        return str(exception)
    # A driver's text may quote the address of the database, password included.
    return f"the database cannot be reached ({type(exception).__name__})"


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done; 1 refused, failed, or a check that found something; 2 wrong usage or settings.",
)
@click.version_option(package_name="zlaq")
def main() -> None:
    """质安 zlaq: one governed GraphQL schema over the data of engineering quality and safety supervision.

    Settings are read from environment variables ZLAQ_*; docs/operations.md lists them.
    """
