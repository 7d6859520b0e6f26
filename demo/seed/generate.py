"""All rows of the demo at a scale, in batches that any process can make alone and that are the same on every run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.seed.awkward import awkward_rows
from demo.seed.enterprises import enterprises
from demo.seed.people import BATCH, people
from demo.seed.places import department_rows
from demo.seed.projects import batches, works
from demo.seed.story import story_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from demo.seed.rows import Row


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many of each there are beside the rows made by hand; inspections and findings follow from the projects."""

    projects: int
    enterprises: int
    persons: int

    @classmethod
    def of(cls, scale: float) -> Sizes:
        """Scale 1 has 200,000 projects; raises `ValueError` where nothing would be left."""
        if not 0.0005 <= scale <= 10:
            raise ValueError("the scale is a number from 0.0005 to 10")
        return cls(round(200_000 * scale), max(20, round(20_000 * scale)), round(250_000 * scale))


@dataclass(frozen=True, slots=True)
class Batch:
    """A part of the rows: "registers" (once), "people" or "works" by number."""

    kind: str
    number: int
    sizes: Sizes

    def rows(self) -> Iterator[list[Row]]:
        """Lists of rows, each of one table."""
        sizes = self.sizes
        parts: Iterable[Iterable[Row]]
        match self.kind:
            case "registers":
                by_hand = [*story_rows(), *awkward_rows()]
                kinds = dict.fromkeys(type(row) for row in by_hand)
                hand_made = ([row for row in by_hand if type(row) is kind] for kind in kinds)
                parts = (department_rows(), enterprises(sizes.enterprises), *hand_made)
            case "people":
                parts = people(self.number, sizes.persons, sizes.enterprises)
            case _:
                parts = works(self.number, sizes.projects, sizes.enterprises)
        return (rows for part in parts if (rows := list(part)))


def all_batches(sizes: Sizes) -> list[Batch]:
    """Every batch, in the order of the digest."""
    return [
        Batch("registers", 0, sizes),
        *(Batch("people", number, sizes) for number in range(-(-sizes.persons // BATCH))),
        *(Batch("works", number, sizes) for number in range(len(batches(sizes.projects)))),
    ]


def digest(scale: float) -> str:
    """SHA-256 over all rows: equal digests mean equal data."""
    summed = hashlib.sha256()
    for batch in all_batches(Sizes.of(scale)):
        for rows in batch.rows():
            for row in rows:
                summed.update(repr(row).encode())
    return summed.hexdigest()
