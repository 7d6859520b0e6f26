"""Mistakes of the engine, one each, which the comparison with the reference must catch."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from graphql.language import FieldNode, InlineFragmentNode

from resolvers.decided import Recorder
from schema.declare import Mask, Relation
from schema.predicate import ALWAYS, Never, attributes, negate
from server.service import Service
from tests.resolvers.world import Different, World
from tests.subjects import subjects

if TYPE_CHECKING:
    from policy.decide import Snapshot
    from policy.subject import Subject


def drop_the_guard_of_a_condition(original: Any, self: Any, entity: Any, field: Any, *rest: Any) -> Any:
    decided = self.decided
    if isinstance(field.member, Relation) or isinstance(decided.field(entity, field).clear, Never):
        return original(self, entity, field, *rest)
    self.decided = Recorder()
    try:
        return original(self, entity, field, *rest)
    finally:
        self.decided = decided


def negate_as_a_whole(original: Any, self: Any, entity: Any, given: Any, **how: Any) -> Any:
    positive = how.pop("positive", True)
    found = original(self, entity, given, **how)
    return found if positive else negate(found)


def let_null_satisfy_a_negation(_: Any, _self: Any, _field: Any, condition: Any) -> Any:
    return negate(condition)


def put_nulls_first(original: Any, *given: Any, **how: Any) -> Any:
    return original(*given, **how).replace("nulls last", "nulls first")


def limit_before_policy(original: Any, query: Any, conditions: Any, columns: Any, **how: Any) -> Any:
    used = [query.entity.governed.column(attr) for attr in attributes(query.row)]
    wanted = (*columns, *(column for column in used if column))
    inner = original(replace(query, row=ALWAYS), conditions, wanted, **how)
    return f"select * from ({inner}) c where {conditions.sql(query.row, query.entity, 'c')}"


def swap_clear_and_masked(original: Any, self: Any, entity: Any, cell: Any, alias: Any) -> Any:
    return original(self, entity, replace(cell, clear=cell.masked, masked=cell.clear), alias)


def mask_with_another_mask(original: Any, mask: Any, column: Any) -> Any:
    return original(Mask.PERSON_NAME if mask in (Mask.CITIZEN_NO, Mask.PHONE) else mask, column)


def show_hidden_targets(original: Any, self: Any, entity: Any, linked: Any, *rest: Any) -> Any:
    return original(self, entity, replace(linked, node=replace(linked.node, row=ALWAYS)), *rest)


def follow_a_hidden_link(original: Any, self: Any, entity: Any, linked: Any, *rest: Any) -> Any:
    return original(self, entity, replace(linked, clear=ALWAYS), *rest)


def show_hidden_rows_by_key(original: Any, self: Any, node: Any, *rest: Any) -> Any:
    return original(self, replace(node, row=ALWAYS), *rest)


def count_hidden_rows(original: Any, self: Any, query: Any, *rest: Any) -> Any:
    return original(self, replace(query, row=ALWAYS), *rest)


def start_at_hidden_rows(original: Any, query: Any, *rest: Any) -> Any:
    return original(replace(query, row=ALWAYS), *rest)


def order_by_anything(original: Any, self: Any, *given: Any) -> Any:
    decided, self.decided = self.decided, Recorder()
    try:
        return original(self, *given)
    finally:
        self.decided = decided


def apply_fragments_of_other_types(original: Any, self: Any, type_name: Any, sets: Any, applies: Any = None) -> Any:
    known = {"__typename", *self.schema.type_map[type_name].fields}
    conditions = {type_name, "Node", "_Entity"}
    for one in (one for selection_set in sets for one in selection_set.selections):
        if isinstance(one, InlineFragmentNode) and one.type_condition:
            inner = one.selection_set.selections
            if all(isinstance(f, FieldNode) and f.name.value in known and not f.selection_set for f in inner):
                conditions.add(one.type_condition.name.value)
    return original(self, type_name, sets, applies or (lambda name: name in conditions))


def ignore_fragments_on_interfaces(original: Any, self: Any, type_name: Any, sets: Any, applies: Any = None) -> Any:
    return original(self, type_name, sets, applies or (lambda name: name == type_name))


def turn_conditions_round(original: Any, self: Any, selection: Any) -> Any:
    return bool(not selection.directives) or not original(self, selection)


def share_plans_between_decisions(original: Any, *given: Any) -> Any:
    lifted = original(*given)
    return replace(lifted, shape=str([type(value) for value in lifted.values]))


def share_plans_between_conditions(original: Any, self: Any, raw: Any) -> Any:
    values, shape = original(self, raw)
    return values, tuple("boolean" if isinstance(kept, bool) else kept for kept in shape)


def forget_what_is_masked(original: Any, template: Any, disclosable: Any) -> Any:
    return tuple(item for item in original(template, disclosable) if "MASKED" not in item[1])


MISTAKES: dict[str, Any] = {
    "resolvers.filters:FilterReader._condition": drop_the_guard_of_a_condition,
    "resolvers.filters:FilterReader.where": negate_as_a_whole,
    "resolvers.filters:FilterReader._complement": let_null_satisfy_a_negation,
    "resolvers.filters:FilterReader.order": order_by_anything,
    "resolvers.selection:SelectionReader.below": apply_fragments_of_other_types,
    "resolvers.selection:SelectionReader.below again": ignore_fragments_on_interfaces,
    "resolvers.selection:SelectionReader._included": turn_conditions_round,
    "resolvers.prepared:lift": share_plans_between_decisions,
    "resolvers.variables:VariableReader.read": share_plans_between_conditions,
    "resolvers.outputs:_disclosure_items": forget_what_is_masked,
    "adapters.postgres.candidates:order_by": put_nulls_first,
    "adapters.postgres.candidates:page_candidates": limit_before_policy,
    "adapters.postgres.candidates:boundary": start_at_hidden_rows,
    "adapters.postgres.objects:Renderer._cell": swap_clear_and_masked,
    "adapters.postgres.objects:masked": mask_with_another_mask,
    "adapters.postgres.objects:Renderer.one": show_hidden_rows_by_key,
    "adapters.postgres.objects:Renderer._linked": show_hidden_targets,
    "adapters.postgres.objects:Renderer._linked again": follow_a_hidden_link,
    "adapters.postgres.pages:PageRenderer._page_output": count_hidden_rows,
}


SHOWN: dict[Any, int] = {
    drop_the_guard_of_a_condition: 232,
    negate_as_a_whole: 213,
    let_null_satisfy_a_negation: 213,
    order_by_anything: 98,
    apply_fragments_of_other_types: 209,
    ignore_fragments_on_interfaces: 18,
    turn_conditions_round: 2,
    share_plans_between_decisions: 0,
    share_plans_between_conditions: 8,
    forget_what_is_masked: 8,
    put_nulls_first: 408,
    limit_before_policy: 79,
    start_at_hidden_rows: 300,
    swap_clear_and_masked: 8,
    mask_with_another_mask: 12,
    show_hidden_rows_by_key: 8,
    show_hidden_targets: 65,
    follow_a_hidden_link: 10,
    count_hidden_rows: 26,
}
"""Where a mistake shows, so that the series need not be searched; a wrong number costs time only."""


SAMPLED = 8
"""Mistakes that show within so many operations are made in every run, the others where there is time to look."""


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(place, marks=() if SHOWN.get(mistake, 0) <= SAMPLED else pytest.mark.prove)
        for place, mistake in MISTAKES.items()
    ],
)
async def test_a_mistake_is_caught(world: World, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """Some operation of a fixed series shows the mistake, whichever it is."""
    mistake = MISTAKES[place]
    module, _, path = place.removesuffix(" again").partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for step in owners:
        owner = getattr(owner, step)
    original = getattr(owner, name)

    def mistaken(*given: Any, **how: Any) -> Any:
        return mistake(original, *given, **how)

    monkeypatch.setattr(owner, name, mistaken)
    askers = subjects(world.tables, Random(7), 14)[:8]
    snapshots = [world.snapshots["default"], world.snapshots["hostile"]]
    async with Service.open(world.service.settings) as service:
        # Plans are cached, so the mistake is made in a service of its own; what the reference answered is kept.
        twin = replace(world, service=service, issued={}, counts=Counter())
        with pytest.raises(Different) as caught:
            await caught_by(twin, snapshots, askers, [SHOWN.get(mistake, 0), *range(1000)])
    assert "CRASHED" not in str(caught.value), "the mistake breaks the engine instead of changing an answer"
    print(f"\n{mistake.__name__} {caught.value!s:.140}")  # noqa: T201


async def caught_by(world: World, snapshots: list[Snapshot], askers: list[Subject], seeds: list[int]) -> None:
    """A short trial per seed, always the same ones: page cursors of earlier answers are not used."""
    operations = world.operations()
    for seed in seeds:
        rng = Random(seed)
        literals, lifted = operations.draw(rng)
        one, other = rng.sample(askers, 2)
        snapshot = snapshots[seed % len(snapshots)]
        asked = [(one, literals), (other, lifted), (one, lifted)]
        if lifted.variables:
            asked.append((one, operations.varied(lifted, rng)))
        for subject, operation in asked:
            try:
                await world.compare(snapshot, subject, operation)
            except Different as different:
                raise Different(f"seed {seed}: {different}") from different
