"""Sources that know a record of almost every key, which follows from service and key alone: the same in both worlds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any

from adapters.base import AS_OF, REGION, UNMAPPED
from demo.seed import wellknown as known
from schema.declare import Attribute, Remote
from schema.registry import TypeKind
from schema.scalars import Kind
from tests.interference.drawing import citizen_no
from tests.resolvers.systems import System

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schema.registry import Field, Registry

COVERED: Mapping[str, tuple[str, ...]] = {
    "hubei": (known.HUBEI,),
    "zhejiang": ("330000",),
    "national": ("000000",),
}
"""Sources and their regions; elsewhere only the national one answers."""


class Knowledge(Mapping[str, Any]):
    """A service's records by key; of one key in eight there is none."""

    def __init__(self, registry: Registry, service: str, projects: Sequence[str]) -> None:
        owner, _, name = service.partition(".")
        self.declared = registry.entity(owner).fields[name]
        self.service, self.projects = service, projects
        self.parts = [p for p in registry.values[self.declared.type.name].fields.values() if p.name != "provenance"]

    def __contains__(self, key: object) -> bool:
        return self._rng(key).randrange(8) > 0

    def __getitem__(self, key: str) -> Any:
        rng = self._rng(key)
        remote = self.declared.member
        if not isinstance(remote, Remote) or not remote.order:
            return self._record(rng)
        listed = [self._record(rng) for _ in range(rng.randrange(9))]
        for name in reversed(remote.order):
            listed.sort(key=lambda record: str(record[name.removeprefix("-")]), reverse=name.startswith("-"))
        return listed

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def _rng(self, key: object) -> Random:
        return Random(hashlib.sha256(f"{self.service} {key}".encode()).digest())

    def _record(self, rng: Random) -> dict[str, Any]:
        record = {p.name: self._value(rng, p) for p in self.parts if isinstance(p.member, Attribute)}
        if rng.randrange(4) == 0:
            record[REGION] = rng.choice((known.WUCHANG, "330106", "320104"))
        return record | {AS_OF: "2026-09-20T10:00:00+08:00", UNMAPPED: ["name"]}

    def _value(self, rng: Random, part: Field) -> Any:
        remote = self.declared.member
        ordered = isinstance(remote, Remote) and part.name in {name.removeprefix("-") for name in remote.order}
        if rng.randrange(7) == 0 and not ordered:
            return None
        one = self._one(rng, part)
        return [one] if part.type.is_list else one

    def _one(self, rng: Random, part: Field) -> Any:
        if part.type.kind is TypeKind.CODES and part.codes is not None:
            return rng.choice(part.codes.entries).code
        by_name = {"ProjectNo": rng.choice(self.projects), "CitizenNo": citizen_no(rng), "Uscc": known.CONTRACTOR}
        if part.type.name in by_name:
            return by_name[part.type.name]
        match part.scalar.kind if part.scalar else Kind.TEXT:
            case Kind.INTEGER | Kind.LONG:
                return rng.randrange(1000)
            case Kind.DECIMAL:
                return f"{rng.randrange(10**6)}.{rng.randrange(100):02}"
            case Kind.BOOLEAN:
                return rng.randrange(2) == 0
            case Kind.DATE:
                return (date(2020, 1, 1) + timedelta(rng.randrange(2500))).isoformat()
            case Kind.INSTANT:
                return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=rng.randrange(5000))).isoformat()
            case _:
                return f"{part.name} {rng.randrange(10**6)}"


def systems(registry: Registry, projects: Sequence[str]) -> list[System]:
    """New sources of all services of the registry; `projects` are numbers that their records may name."""
    services = [
        field.coordinate
        for entity in registry.entities.values()
        for field in entity.fields.values()
        if isinstance(field.member, Remote) and field.type.name != "DataSource"
    ]
    return [
        System(name, covers, {service: Knowledge(registry, service, projects) for service in services}, 60.0)
        for name, covers in COVERED.items()
    ]
