"""The game: two worlds, one number in each, and what an attacker learns of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg

from tests.interference.attacker import DIGITS, Attacker, Leaf

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.interference.product import Observed, Product

COLUMNS = (("safety_manager_certificate", "cert_no"), ("person", "person_no"))


@dataclass
class Game:
    """One attacker against one product; the world is the number that stands in the rows."""

    product: Product
    dsn: str
    attacker: Attacker
    headers: Mapping[str, str]
    numbers: tuple[str, str]
    keys: Mapping[str, str]
    """The record's key by table."""
    asked: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    async def enter(self, number: str) -> None:
        """Make the world the one of this number: nothing else changes, no trigger fires."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("set session_replication_role = replica")
            for table, key in COLUMNS:
                await connection.execute(
                    f"update zlaq.{table} set id_no = $1 where {key} = $2", number, self.keys[table]
                )
        finally:
            await connection.close()

    async def distinguish(self) -> None:
        """Every probe in both worlds; what differs is counted by its kind."""
        probes = [probe for number in self.numbers[:1] for probe in self.attacker.probes(number)]
        observed: list[list[Observed]] = []
        for number in self.numbers:
            await self.enter(number)
            observed.append([await self.product.observe(probe.request, self.headers) for probe in probes])
        for probe, one, other in zip(probes, *observed, strict=True):
            self.asked[probe.kind] += 2 * probe.questions
            difference = one.difference(other)
            if difference:
                self.told[probe.kind] += 1
                self.examples.setdefault(probe.kind, f"{probe.name}: {difference}")

    async def recover(self) -> list[str]:
        """What is read off digit by digit in each world, by the attribute that tells most; "" for nothing."""
        found = []
        for number in self.numbers:
            await self.enter(number)
            read = [await self._read(leaf) for leaf in self.attacker.leaves() if "startsWith" in leaf.filter.fields]
            found.append(read)
        # A guess counts only if it is right in both worlds, so that what is no secret is none.
        scores = [
            [sum(a == b for a, b in zip(read, number, strict=False)) for read in listed]
            for listed, number in zip(found, self.numbers, strict=True)
        ]
        best = max(range(len(found[0])), key=lambda place: min(scores[0][place], scores[1][place]))
        return [listed[best] for listed in found]

    async def _read(self, leaf: Leaf) -> str:
        """As much of a text as answers single out, one digit at a time."""
        known = ""
        while len(known) < 18:
            wheres = [self.attacker.condition(leaf, {"startsWith": known + digit}) for digit in DIGITS]
            observed = await self.product.observe(self.attacker.page(leaf, wheres), self.headers)
            self.asked["digit"] += len(wheres)
            answers = self._answers(observed, len(wheres))
            odd = [digit for digit, answer in zip(DIGITS, answers, strict=True) if answers.count(answer) == 1]
            if len(odd) != 1:
                return known
            known += odd[0]
        return known

    @staticmethod
    def _answers(observed: Observed, many: int) -> list[str]:
        data: Any = json.loads(observed.body).get("data")
        return [json.dumps(data[f"a{i}"]) if data else "" for i in range(many)]

    def learnt(self, read: list[str], hidden: list[int]) -> int:
        """Digits known for sure: right in both worlds, of those that are hidden."""
        return sum(
            all(
                place < len(text) and text[place] == number[place]
                for text, number in zip(read, self.numbers, strict=True)
            )
            for place in hidden
        )
