"""Where a revision and the declarations differ: fields wait closed until a revision takes up their proposed class."""

from __future__ import annotations

from collections.abc import Mapping

from policy.revision import Revision
from schema.declare import Sharing
from schema.registry import Registry


def unopened(revision: Revision, registry: Registry) -> tuple[str, ...]:
    """Declared policy objects without a class row, hence closed unless a rule names them."""
    return tuple(sorted(set(registry.proposals()) - set(revision.classes)))


def stale(revision: Revision, registry: Registry) -> tuple[str, ...]:
    """Class rows of objects that the schema does not (or no longer) have."""
    return tuple(sorted(set(revision.classes) - set(registry.proposals())))


def differs(revision: Revision, registry: Registry) -> Mapping[str, tuple[str, Sharing]]:
    """Objects whose class in the revision is not the proposed one: (in force, proposed)."""
    return {
        coordinate: (revision.classes[coordinate], proposed)
        for coordinate, proposed in registry.proposals().items()
        if coordinate in revision.classes and revision.classes[coordinate] != proposed
    }


def with_proposals(revision: Revision, registry: Registry) -> Revision:
    """A new revision that also opens what is declared and unopened, and drops stale class rows."""
    proposals = registry.proposals()
    classes = {coordinate: revision.classes.get(coordinate, str(cls)) for coordinate, cls in proposals.items()}
    return Revision(revision.rules, classes, revision.kinds)
