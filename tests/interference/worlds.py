"""Two worlds and what is observed in each: the comparison itself."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import asyncpg

from policy.compile import PolicyRefused
from policy.decide import build_snapshot
from tests.interference.omniscient import systems
from tests.interference.product import Observed, Product, Request, product
from tests.interference.questions import Script, body_of, exchanged, onward, spoiled
from tests.interference.twins import Sight, Twins, rewrite, told_apart
from tests.oracle import Matcher
from tests.revisions import hostile_revision, nodes_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from policy.decide import Snapshot
    from schema.registry import Registry
    from tests.interference.askers import Asker
    from tests.interference.drawing import Column
    from tests.reference_rows import Tables


class ToldApart(AssertionError):
    """Somebody can tell the worlds apart who sees the same in both."""


@dataclass
class Worlds:
    """Two products over two databases; the second one's rows are made anew for each asker."""

    one: Product
    other: Product
    dsns: Sequence[str]
    """Of their databases."""
    tables: Tables
    registry: Registry
    snapshot: Snapshot
    columns: Mapping[str, tuple[Column, ...]]
    counts: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    """The same over all series."""
    cursors: dict[str, str] = field(default_factory=dict)
    """The last page cursor of a walk's document, whoever got it."""
    others: dict[str, str] = field(default_factory=dict)

    def under(self, snapshot: Snapshot) -> None:
        """Put a policy in force in both."""
        self.snapshot = self.one.service.snapshot = self.other.service.snapshot = snapshot

    async def become(self, sight: Sight, rng: Random, share: float = 1.0) -> Counter[str]:
        """Make the other world one that this sight cannot tell from the first; answers what was changed."""
        twins = Twins(self.tables, self.registry, self.columns, rng, share)
        await rewrite(self.dsns[1], self.registry, self.columns, twins.rows(sight))
        assert await told_apart(self.dsns[1], sight, self.tables, self.registry) == []
        self.others = twins.others
        self.counts += twins.counts
        return twins.counts

    async def ask(self, asker: Asker, request: Request) -> Observed:
        """One request in both worlds; raises `ToldApart` where anything differs."""
        one = await self.one.observe(request, asker.headers)
        other = await self.other.observe(request, asker.headers)
        difference = one.difference(other)
        if difference:
            raise ToldApart(f"{asker.name}: {difference}\n{request}")
        self.statuses[one.status] += 1
        self.counts["operations"] += 1
        self.counts["bytes compared"] += len(one.body) + sum(len(n) + len(v) for n, v in one.headers)
        self.counts["statements compared"] += len(one.statements)
        self.counts["remote calls compared"] += len(one.calls)
        return one

    async def follow(self, asker: Asker, script: Script, rng: Random) -> None:
        """A document with all its variables, with the other world's hidden values in them, and along its cursors."""
        for variables in script.variables:
            answer = await self.ask(asker, Request(body_of(script.query, variables)))
            swapped = exchanged(variables, self.others)
            if swapped != variables:
                self.counts["with the other world's hidden values"] += 1
                await self.ask(asker, Request(body_of(script.query, swapped)))
            if not script.walks:
                continue
            for further in onward(variables, answer.body, self.cursors.get(script.query), rng):
                told = await self.ask(asker, Request(body_of(script.query, further)))
                for cursor in (further["c"],) if told.status == 200 and str(further["c"]).startswith("e") else ():
                    self.cursors[script.query] = cursor

    async def all(self, asker: Asker, listed: Sequence[Script], wrong: int, rng: Random) -> None:
        """All documents, and so many wrong requests."""
        for script in listed:
            await self.follow(asker, script, rng)
        for _ in range(wrong):
            await self.ask(asker, spoiled(listed, rng))


@asynccontextmanager
async def both(
    dsns: Sequence[str], trust: Mapping[str, Any], registry: Registry, tables: Tables
) -> AsyncIterator[Sequence[Product]]:
    """A product over each of two databases, with sources of their own that know the same."""
    projects = sorted(row["project_no"] for row in tables.rows["Project"])
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(product(dsn, trust, systems(registry, projects))) for dsn in dsns]


async def copy_of(dsn: str, name: str) -> str:
    """A copy of a database on the same server, of which nobody may be connected to the original; its address."""
    place, _, rest = dsn.partition("?")
    original = place.rsplit("/", 1)[1]
    connection = await asyncpg.connect(f"{place.rsplit('/', 1)[0]}/postgres?{rest}")
    try:
        await connection.execute(f"drop database if exists {name} with (force)")
        await connection.execute(f"create database {name} template {original}")
    finally:
        await connection.close()
    return f"{place.rsplit('/', 1)[0]}/{name}?{rest}"


def hostile(worlds: Worlds, rng: Random) -> Snapshot:
    """A random policy that lint lets through."""
    while True:
        try:
            snapshot = build_snapshot(hostile_revision(rng, worlds.registry, nodes_of(worlds.tables)), worlds.registry)
        except PolicyRefused:
            continue
        Matcher.install(snapshot.enforcer)
        return snapshot
