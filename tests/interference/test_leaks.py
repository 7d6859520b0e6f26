"""Leaks of the engine, one each, which the comparison of two worlds must show."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from resolvers.decided import Recorder
from schema.declare import Mask
from schema.predicate import ALWAYS, attributes
from tests.interference.askers import trust
from tests.interference.questions import Questions, scripts
from tests.interference.twins import Sight, Twins, rewrite
from tests.interference.worlds import ToldApart, both, hostile
from tests.resolvers.world import NOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.interference.askers import Asker
    from tests.interference.worlds import Worlds


def filter_by_anything(original: Any, self: Any, *given: Any, **how: Any) -> Any:
    decided, self.decided = self.decided, Recorder()
    try:
        return original(self, *given, **how)
    finally:
        self.decided = decided


order_by_anything = filter_by_anything


def count_hidden_rows(original: Any, self: Any, query: Any, *rest: Any) -> Any:
    return original(self, replace(query, row=ALWAYS), *rest)


def limit_before_policy(original: Any, query: Any, conditions: Any, columns: Any, **how: Any) -> Any:
    used = [query.entity.governed.column(attr) for attr in attributes(query.row)]
    wanted = (*columns, *(column for column in used if column))
    inner = original(replace(query, row=ALWAYS), conditions, wanted, **how)
    return f"select * from ({inner}) c where {conditions.sql(query.row, query.entity, 'c')}"


def start_at_hidden_rows(original: Any, query: Any, *rest: Any) -> Any:
    return original(replace(query, row=ALWAYS), *rest)


def show_hidden_rows_by_key(original: Any, self: Any, node: Any, *rest: Any) -> Any:
    return original(self, replace(node, row=ALWAYS), *rest)


def tell_missing_from_hidden(original: Any, self: Any, node: Any, key: str, ordinals: str) -> Any:
    known = f"select from {node.entity.table} h where h.{node.entity.key.attribute.column} = {key}"
    told = f"select '{{\"missing\":true}}'::json, '' where not exists ({known})"
    return f"({original(self, node, key, ordinals)}) union all {told} limit 1"


def show_hidden_targets(original: Any, self: Any, entity: Any, linked: Any, *rest: Any) -> Any:
    return original(self, entity, replace(linked, node=replace(linked.node, row=ALWAYS)), *rest)


def follow_a_hidden_link(original: Any, self: Any, entity: Any, linked: Any, *rest: Any) -> Any:
    return original(self, entity, replace(linked, clear=ALWAYS), *rest)


def call_for_hidden_keys(original: Any, self: Any, entity: Any, placeholder: Any, *rest: Any) -> Any:
    return original(self, entity, replace(placeholder, clear=ALWAYS, bits=(ALWAYS,) * len(placeholder.bits)), *rest)


def swap_clear_and_masked(original: Any, self: Any, entity: Any, cell: Any, alias: Any) -> Any:
    return original(self, entity, replace(cell, clear=cell.masked, masked=cell.clear), alias)


def mask_with_another_mask(original: Any, mask: Any, column: Any) -> Any:
    return original(Mask.PHONE if mask in (Mask.CITIZEN_NO, Mask.PERSON_NAME) else mask, column)


def share_plans_between_decisions(original: Any, *given: Any) -> Any:
    lifted = original(*given)
    return replace(lifted, shape=str([type(value) for value in lifted.values]))


@dataclass(frozen=True)
class Leak:
    """Where a mistake is made, and to whom it tells something."""

    place: str
    mistake: Callable[..., Any]
    asker: str
    at: int = 0
    """A document that shows it, so that the series need not be searched; a wrong number costs time only."""
    hostile: bool = False
    """Whether it takes a policy under which there is something to tell."""


RENDERER = "adapters.postgres.objects:Renderer"
LEAKS = (
    Leak("resolvers.filters:FilterReader._condition", filter_by_anything, "public", 281),
    Leak("resolvers.filters:FilterReader.order", order_by_anything, "county elsewhere", 14, hostile=True),
    Leak("adapters.postgres.pages:PageRenderer._page_output", count_hidden_rows, "public", 97),
    Leak("adapters.postgres.candidates:page_candidates", limit_before_policy, "public", 97),
    Leak("adapters.postgres.candidates:boundary", start_at_hidden_rows, "enterprise elsewhere", 260),
    Leak(f"{RENDERER}.one", show_hidden_rows_by_key, "county elsewhere", 64),
    Leak(f"{RENDERER}.one", tell_missing_from_hidden, "county elsewhere", 67),
    Leak(f"{RENDERER}._linked", show_hidden_targets, "county elsewhere", 428),
    Leak(f"{RENDERER}._linked", follow_a_hidden_link, "enterprise elsewhere", 33),
    Leak(f"{RENDERER}._placeholder", call_for_hidden_keys, "case handler", 164),
    Leak(f"{RENDERER}._cell", swap_clear_and_masked, "case handler", 17),
    Leak("adapters.postgres.objects:masked", mask_with_another_mask, "province elsewhere", 55),
)


@pytest.mark.prove
@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.mistake.__name__)
async def test_a_leak_is_found(
    worlds: Worlds,
    everybody: dict[str, Asker],
    issuer_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    leak: Leak,
) -> None:
    """Some document of a fixed series tells the worlds apart, whichever leak it is."""
    asker = everybody[leak.asker]
    snapshot = hostile(worlds, Random(1)) if leak.hostile else worlds.snapshot
    twins = Twins(worlds.tables, worlds.registry, worlds.columns, Random(1), 0.5)
    await rewrite(worlds.dsns[1], worlds.registry, worlds.columns, twins.rows(Sight(snapshot, asker.subject, NOW)))
    make(leak, monkeypatch)
    questions = Questions(worlds.tables, worlds.registry, worlds.one.service.schema.graphql)
    listed = scripts(questions, 10_000, 380, 45)
    # Plans are cached, so the leak is made in products of its own.
    async with both(worlds.dsns, trust(issuer_directory), worlds.registry, worlds.tables) as (one, other):
        leaky = replace(worlds, one=one, other=other, others=twins.others, cursors={}, statuses=Counter())
        leaky.under(snapshot)
        found = ""
        for number, script in [(leak.at, listed[leak.at]), *enumerate(listed)]:
            try:
                await leaky.follow(asker, script, Random(number))
            except ToldApart as told:
                found = f"by document {number}: {told!s:.500}"
                break
    print(f"\n{leak.mistake.__name__} {found}")  # noqa: T201
    assert found
    assert leaky.statuses[500] == 0, "the leak breaks the engine instead of telling something"


def make(leak: Leak, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the mistake in its place."""
    module, _, path = leak.place.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for step in owners:
        owner = getattr(owner, step)
    original = getattr(owner, name)

    def mistaken(*given: Any, **how: Any) -> Any:
        return leak.mistake(original, *given, **how)

    monkeypatch.setattr(owner, name, mistaken)
