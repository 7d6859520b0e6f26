"""The product over the counterparts' processes, who asks it, and what the counterparts write down of it."""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import orjson

from demo.seed import wellknown as known
from policy.subject import Country, Level, Subject, territory_of
from schema.officer import Officer
from server.pipeline import Question
from server.service import Service
from server.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from demo.counterparts import Call, Counterparts

COUNTY = Subject("county", Level.COUNTY, "HOUSING", territory_of([known.WUCHANG]), dept=known.HOUSING_WUCHANG)
PROVINCE = Subject("province", Level.PROVINCE, "HOUSING", territory_of([known.HUBEI]), dept=known.HOUSING_HUBEI)
MINISTRY = Subject("ministry", Level.MINISTRY, "HOUSING", Country(), dept=known.HOUSING_MINISTRY)
OFFICER = Officer("110101190001010014", "何松", "湖北省住房和城乡建设厅", "10.1.2.3")
HANDLER = replace(
    Subject("handler", Level.PROVINCE, "HOUSING", territory_of(["420000"]), roles=("case_handler",)),
    purpose="CASE", case_no=known.CASE_OPEN,
)  # fmt: skip
CHECK = "query($k: PersonNo!, $r: String!) { person(personNo: $k) { identityCheck(reason: $r) { %s } } }"
"""A check of identity: what is selected stands in for %s."""

PROVINCES: Mapping[str, str] = {
    "zhejiang": known.PROJECT_ELSEWHERE,
    "hubei": known.PROJECT_COUNTY,
    "jiangsu": known.PROJECT_NANJING,
    "guangdong": known.PROJECT_SHENZHEN,
    "shandong": known.PROJECT_JINAN,
}
"""A project of each province that has a system, by the system's name."""
FRONT_TABLES: Mapping[str, str] = {
    "Project.siteStatus": "370000_SPGL_XMJGXXB",
    "Project.liveInspections": "370000_SPGL_XMJCXXB",
    "Enterprise.liveInspections": "370000_SPGL_XMJCXXB",
    "LiftingMachine.monitoring": "370000_SPGL_QZJXJCB",
}
"""What Shandong's record calls a service."""
_REQUESTS = count(1)


@dataclass
class Federation:
    """One process's service over the counterparts; `took` is how long the last answer took, in seconds."""

    service: Service
    counterparts: Counterparts
    dsn: str
    took: float = 0.0
    request_id: str = ""

    async def ask(self, subject: Subject, query: str, **variables: Any) -> dict[str, Any]:
        """The decoded answer."""
        answer: dict[str, Any] = orjson.loads(await self.body(subject, query, **variables))
        return answer

    async def body(self, subject: Subject, query: str, **variables: Any) -> bytes:
        """The answer as it leaves."""
        self.request_id = f"federation-{next(_REQUESTS)}"
        began = time.perf_counter()
        answer = await self.service.answer(Question(query, variables, None), subject, self.request_id)
        self.took = time.perf_counter() - began
        return answer.body

    def calls(self, name: str, service: str | None = None) -> list[Call]:
        """What a counterpart wrote down: its sessions, secrets and contracts aside."""
        wanted = FRONT_TABLES.get(service, service) if service and name == "shandong" else service
        aside = ("secret", "catalogue", "sdl", "session")
        return [call for call in self.counterparts.systems[name].calls(wanted) if call.service not in aside]

    def forget(self) -> None:
        """Let every counterpart forget what it was asked and how it shall misbehave."""
        reset(self.counterparts)


def reset(counterparts: Counterparts) -> None:
    """Put every counterpart back to the beginning."""
    for system in counterparts.systems.values():
        system.reset()


@dataclass(frozen=True)
class Variant:
    """The counterparts' sources.toml with other limits: `limits` for every source, `own` for some by name."""

    limits: Mapping[str, object] = field(default_factory=dict)
    own: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def write(self, original: Path, directory: Path) -> Path:
        """Write the changed file into a directory; answers its path."""
        parts = re.split(r"(?m)^\[source\.([a-z]+)\]$", original.read_text(encoding="utf-8"))
        text = parts[0]
        for name, table in zip(parts[1::2], parts[2::2], strict=True):
            changed = {**self.limits, **self.own.get(name, {})}
            kept = "\n".join(line for line in table.split("\n") if line.split(" = ")[0] not in changed)
            added = "".join(f"\n{key} = {value}" for key, value in changed.items())
            text += f"[source.{name}]{added}{kept}"
        path = directory / "sources.toml"
        path.write_text(text, encoding="utf-8")
        return path


@asynccontextmanager
async def federation(
    dsn: str, counterparts: Counterparts, sources: Path | None = None, **settings: Any
) -> AsyncIterator[Federation]:
    """The product over a file of sources, the counterparts' own unless another is given."""
    chosen = Settings(database_url=dsn, sources=sources or counterparts.sources, max_cost=100_000, **settings)
    async with Service.open(chosen) as service:
        yield Federation(service, counterparts, dsn)


def errors(answer: Mapping[str, Any]) -> dict[tuple[str | int, ...], str]:
    """Names of the errors of an answer by path; one path has one error here, and no answer is refused as a whole."""
    listed = answer.get("errors", [])
    assert "data" in answer, listed
    found = {tuple(error["path"]): error["extensions"]["name"] for error in listed}
    assert len(found) == len(listed), "an error twice at one path"
    return found
