"""`python -m bench`: everything, or parts of it; `python -m bench profile Q3 --role county` for one operation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import click
import uvloop

from bench import peers, report, wrk
from bench.agreement import Agreement
from bench.profiles import profiled
from bench.report import HEADLINE, cells_table
from bench.rounds import Cells, Rounds
from bench.scenarios import SCENARIOS
from bench.stage import Stage, staged
from bench.systems import FLOORS, PRODUCT, SYSTEMS, running
from bench.workload import OPERATIONS, ROLES


def _listed(known: Iterable[str]) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    names = list(known)

    def parse(_context: click.Context, _option: click.Parameter, given: str) -> list[str]:
        chosen = [name for name in given.split(",") if name]
        if unknown := set(chosen) - set(names):
            raise click.BadParameter(f"{', '.join(sorted(unknown))}: choose among {', '.join(names)}")
        return chosen

    return parse


@click.group(invoke_without_command=True, help=__doc__)
@click.option("--only", default=",".join(SYSTEMS), callback=_listed(SYSTEMS), show_default=True, help="Systems.")
@click.option("--queries", default=",".join(OPERATIONS), callback=_listed(OPERATIONS), show_default=True)
@click.option("--scenarios", default=",".join(SCENARIOS), callback=_listed(SCENARIOS), show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="After one for warming up.")
@click.option("--seconds", type=click.IntRange(1), default=2, show_default=True, help="Of a cell.")
@click.option("--scale", type=float, default=1, show_default=True, help="Of the data; loaded once.")
@click.option("--database", default="bench", show_default=True, help="Name of the embedded database.")
@click.pass_context
def main(
    context: click.Context, only: list[str], queries: list[str], scenarios: list[str], rounds: int, seconds: int,
    scale: float, database: str,
) -> None:  # fmt: skip
    context.obj = (database, scale)
    if context.invoked_subcommand is not None:
        return
    if PRODUCT not in only:
        raise click.UsageError(f"everything is compared with {PRODUCT}")
    wrk.require_wrk()
    if set(only) & set(peers.PEERS):
        peers.install()
    began = time.monotonic()
    with staged(database, scale) as stage:
        cells, left_out = compare(stage, only, queries, rounds, seconds)
        found: dict[str, Any] = {}
        for name in scenarios:
            found[name] = SCENARIOS[name](stage, Rounds(rounds, 1))
    whole = (only, queries, scenarios) == (list(SYSTEMS), list(OPERATIONS), list(SCENARIOS))
    click.echo(f"\n{time.monotonic() - began:.0f} s")
    if whole:
        setting = {"scale": scale, "rounds": rounds, "seconds": seconds, "compared_only_with_F1": left_out}
        report.write(report.results(cells, found, setting))
        click.echo(f"written: {report.RESULTS}")
    else:
        click.echo("a part only, so nothing is written")


def compare(
    stage: Stage, names: list[str], operations: list[str], rounds: int, seconds: int
) -> tuple[Cells, dict[str, list[str]]]:
    """Check that all systems do the same work, then measure: everything as the ministry, product and floors as all."""
    agreement = Agreement()
    floors = [name for name in names if name in (PRODUCT, *FLOORS)]
    main_rounds, brief = Rounds(rounds, seconds, warm_up_s=2), Rounds(max(1, rounds - 2), 1)
    cells: Cells = {}

    def take(title: str, found: Cells) -> None:
        cells.update(found)
        click.echo(cells_table(title, found))

    with running(stage, names) as systems:
        agreement.check(systems, operations, stage.keys)
        bare = {name: systems[name] for name in floors}
        grid = [(name, "ministry", HEADLINE[name]) for name in operations]
        take("One process each, as the ministry; 32 connections for Q1, else 16",
             main_rounds.measure(stage, systems, 1, grid))  # fmt: skip
        grid = [(name, "ministry", 16 if HEADLINE[name] == 32 else 32) for name in operations]
        take("One process each, as the ministry; 16 connections for Q1, else 32", brief.measure(stage, bare, 1, grid))
        grid = [(name, "ministry", 1) for name in operations]
        take("One process each, as the ministry; 1 connection", brief.measure(stage, systems, 1, grid))
        grid = [(name, role, 16) for name in operations for role in ROLES[1:]]
        take("One process each, by role; 16 connections", Rounds(rounds, 1).measure(stage, bare, 1, grid))
    with running(stage, names, processes=2) as systems:
        agreement.check(systems, operations, stage.keys)
        grid = [(name, "ministry", HEADLINE[name]) for name in operations]
        take("Two processes each, as the ministry; 32 connections for Q1, else 16",
             brief.measure(stage, systems, 2, grid))  # fmt: skip
    return cells, agreement.left_out


@main.command()
@click.argument("operation", type=click.Choice(list(OPERATIONS)))
@click.option("--role", type=click.Choice(ROLES), default="ministry", show_default=True)
@click.pass_obj
def profile(place: tuple[str, float], operation: str, role: str) -> None:
    """Print where the time of one operation goes: in this process, and in its statement."""
    database, scale = place
    with staged(database, scale) as stage:
        click.echo(uvloop.run(profiled(stage, operation, role)))


if __name__ == "__main__":
    main()
