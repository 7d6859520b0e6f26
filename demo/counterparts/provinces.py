"""Many equal sources in one process, a province on each path, as slow as the settings say."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from functools import lru_cache
from typing import Any

from aiohttp import web

from demo.counterparts.distort import Raw
from demo.counterparts.exchange import Envelope
from demo.counterparts.facts import REPORTED, Visit, after, visits
from demo.counterparts.system import System, main
from demo.seed.words import PROVINCE_SIGNS

_ORDER = tuple(PROVINCE_SIGNS)


def _site(province: str, project_no: str) -> Raw:
    return {
        "no": project_no,
        "state": "2",
        "name": f"{PROVINCE_SIGNS[province]}{project_no[-4:]}工程",
        "progress": "主体结构",
        "workers": int(project_no[-2:]) if project_no[-2:].isdecimal() else 0,
        "at": REPORTED.isoformat(),
    }


@lru_cache(4096)
def _moved(province: str, contractor: str) -> tuple[Visit, ...]:
    """The same hundred and twenty visits for everybody, a day apart from province to province."""
    shift = timedelta(days=_ORDER.index(province))
    return tuple(
        visit._replace(no=f"{province}-{visit.no}", on=visit.on - shift, contractor=contractor)
        for visit in visits("42")
    )


def _visits(province: str, asked: dict[str, Any]) -> list[Raw]:
    return [
        {
            "uscc": visit.contractor,
            "no": visit.no,
            "project": visit.project_no,
            "on": visit.on.isoformat(),
            "kind": visit.kind,
            "findings": visit.findings,
            "at": visit.changed.isoformat(),
        }
        for visit in after(_moved(province, asked["key"]), asked.get("day") or "", asked.get("no") or "")[
            : int(asked["first"])
        ]
    ]


async def provinces(system: System) -> dict[str, int]:
    """The program: two addresses for every province."""
    delay = float(system.settings.facts["delay_s"])

    def route(province: str, service: str) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            asked = json.loads(await request.read())
            keys = asked.get("keys") or [asked["key"]]
            exchange = system.exchange(request, service=service, keys=tuple(keys), signed=True)
            await asyncio.sleep(delay)
            listed = service == "Enterprise.liveInspections"
            rows = _visits(province, asked) if listed else [_site(province, key) for key in keys]
            envelope = Envelope("no", lambda found: {"rows": found}, lambda message: {"error": message})
            return await exchange.answer(envelope, rows)

        return handle

    for province in system.settings.facts["provinces"]:
        system.app.router.add_post(f"/{province}/status", route(province, "Project.siteStatus"))
        system.app.router.add_post(f"/{province}/inspections", route(province, "Enterprise.liveInspections"))
    return {}


if __name__ == "__main__":
    main(provinces)
