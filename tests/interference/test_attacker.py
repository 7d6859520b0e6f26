"""What a program learns of a citizen number that is hidden from it, by asking all that the schema lets it ask."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from demo.seed import wellknown as known
from resolvers.decided import Recorder
from resolvers.filters import FilterReader
from schema.registry import Registry, TypeKind, TypeRef, load_registry
from schema.scalars import SCALARS
from tests.interference.askers import Asker, trust
from tests.interference.attacker import Attacker, Target
from tests.interference.game import Game
from tests.interference.omniscient import systems
from tests.interference.product import product
from tests.interference.worlds import copy_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

TARGETS = [Target("SafetyManagerCertificate", "certNo", known.CERTIFICATE), Target("Person", "personNo", known.PERSON)]
KEYS = {"safety_manager_certificate": known.CERTIFICATE, "person": known.PERSON}
HIDDEN, MASKED = ("420106198503121234", "531027207240908765"), ("420106198503121234", "420106279614230875")
"""Two numbers that share no digit in any place, or all six that a mask leaves and none of the others."""
CARELESS = ("Person", "SafetyManagerCertificate")


def careless(registry: Registry) -> Registry:
    """The product's schema with the citizen number declared as a text to be filtered and ordered by.

    The shipped schema offers no argument for it; so that the rights have something to withstand, this one does.
    """
    found = dict(registry.entities)
    for name in CARELESS:
        entity = registry.entity(name)
        declared = entity.by_name["id_no"]
        member = replace(declared.attribute, annotation="str | None", filterable=True, sortable=True)
        text = TypeRef(TypeKind.SCALAR, "String", is_list=False)
        opened = replace(declared, member=member, type=text, scalar=SCALARS["String"])
        fields, by_name = {**entity.fields, opened.field: opened}, {**entity.by_name, opened.name: opened}
        found[name] = replace(entity, fields=MappingProxyType(fields), by_name=MappingProxyType(by_name))
    return Registry(MappingProxyType(found), registry.values)


def forget_the_rights(patch: pytest.MonkeyPatch) -> None:
    """The naive build: a condition or an order may name anything, and is not confined to where the value is clear."""
    for name in ("_condition", "order"):
        original = getattr(FilterReader, name)

        def naive(self: FilterReader, *given: Any, original: Any = original, **how: Any) -> Any:
            decided, self.decided = self.decided, Recorder()
            try:
                return original(self, *given, **how)
            finally:
                self.decided = decided

        patch.setattr(FilterReader, name, naive)


@dataclass
class Lair:
    """Where the attacker works: a database with the country around two provinces cut off, for speed."""

    dsn: str
    directory: Path
    everybody: dict[str, Asker]

    @asynccontextmanager
    async def game(self, registry: Registry, role: str, numbers: tuple[str, str]) -> AsyncIterator[Game]:
        """A product with this schema, and an attacker that read it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("server.service.load_registry", lambda *_: registry)
            sources = systems(registry, [known.PROJECT_COUNTY, known.SEALED])
            given = trust(self.directory)
            async with product(self.dsn, given, sources, public_introspection=True) as opened:
                asker = self.everybody[role]
                attacker = Attacker(await Attacker.read(opened, asker.headers), TARGETS)
                yield Game(opened, self.dsn, attacker, asker.headers, numbers, KEYS)


@pytest.fixture(scope="module")
async def lair(seeded: str, issuer_directory: Path, everybody: dict[str, Asker], still: None) -> Lair:
    """A copy of the database of its own."""
    dsn = await copy_of(seeded, "lair")
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "set session_replication_role = replica;"
        " delete from zlaq.region where left(node_id, 2) not in ('42', '33', '00');"
        " delete from zlaq.department where left(region_node_id, 2) not in ('42', '33', '00'); analyze"
    )
    await connection.close()
    return Lair(dsn, issuer_directory, everybody)


async def play(lair: Lair, registry: Registry, role: str, numbers: tuple[str, str], build: str) -> tuple[Game, str]:
    """The whole game; prints what was asked and learnt, answers the digits learnt of those that are hidden."""
    began = time.monotonic()
    hidden = [place for place in range(18) if numbers[0][place] != numbers[1][place]]
    async with lair.game(registry, role, numbers) as game:
        await game.distinguish()
        learnt = f"{game.learnt(await game.recover(), hidden)} of {len(hidden)}"
    asked = ", ".join(f"{count} {kind}" for kind, count in sorted(game.asked.items()))
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(game.told.items())) or "none"
    print(  # noqa: T201
        f"\n{build}, {role}: asked {asked}; told the worlds apart: {told};"
        f" {learnt} hidden digits learnt, {time.monotonic() - began:.0f} s"
    )
    return game, learnt


@pytest.mark.prove
@pytest.mark.parametrize(
    ("role", "numbers"),
    [("public", HIDDEN), ("enterprise elsewhere", HIDDEN), ("province elsewhere", MASKED)],
)
async def test_nothing_is_learnt_of_a_hidden_number(lair: Lair, role: str, numbers: tuple[str, str]) -> None:
    """No probe tells the worlds apart, no digit is learnt, though the schema offers conditions and orders on it."""
    game, learnt = await play(lair, careless(load_registry()), role, numbers, "product, careless schema")
    assert game.told == {}, game.examples
    assert learnt in ("0 of 18", "0 of 12")
    assert game.asked["filter"] > 1_000


@pytest.mark.prove
async def test_nothing_is_learnt_through_the_schema_as_it_ships(lair: Lair) -> None:
    """The same without those arguments."""
    game, learnt = await play(lair, load_registry(), "public", HIDDEN, "product")
    assert game.told == {}, game.examples
    assert learnt in ("0 of 18", "0 of 12")


@pytest.mark.prove
async def test_the_same_attacker_reads_all_of_it_off_a_naive_build(lair: Lair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would prove nothing: where conditions and orders forget the rights, it has the whole number."""
    forget_the_rights(monkeypatch)
    game, learnt = await play(lair, careless(load_registry()), "public", HIDDEN, "naive build")
    assert learnt == "18 of 18"
    assert {"filter", "order"} <= game.told.keys()


@pytest.mark.prove
async def test_a_mask_hides_nothing_in_a_naive_build(lair: Lair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twelve digits that a province sees as stars are read off as well."""
    forget_the_rights(monkeypatch)
    async with lair.game(careless(load_registry()), "province elsewhere", MASKED) as game:
        learnt = game.learnt(await game.recover(), [*range(6, 18)])
    print(f"\nnaive build, province elsewhere: asked {game.asked['digit']} digit; {learnt} of 12 learnt")  # noqa: T201
    assert learnt == 12
