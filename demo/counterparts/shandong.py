"""Shandong's front-end database behind a proxy that records and misbehaves; the control door has a port of its own."""

from __future__ import annotations

import re

from demo.counterparts.front import alter_shandong, create_shandong, fill_shandong
from demo.counterparts.proxy import SESSION, Proxy
from demo.counterparts.record import Behaviour
from demo.counterparts.system import System, main

_TABLE = re.compile(r'"(370000_SPGL_[A-Z]+)"')
_COLUMN = re.compile(r'"([a-z]+)"')


async def shandong(system: System) -> dict[str, int]:
    """The program."""
    dsn = str(system.settings.facts["dsn"])
    await create_shandong(dsn, system.settings.credentials["password"])
    proxy = Proxy(dsn, system.book, _read)

    async def behave(behaviour: Behaviour) -> None:
        if behaviour.behaviour == "refuse":
            proxy.drop()
        await alter_shandong(dsn, behaviour)

    async def reset() -> None:
        proxy.drop()
        await fill_shandong(dsn)

    system.on_behave.append(behave)
    system.on_reset.append(reset)
    return {"port": await proxy.start()}


def _read(statement: str) -> tuple[str, tuple[str, ...]]:
    """The table that a statement names, and the columns that stand in quotes beside it."""
    found = _TABLE.search(statement)
    return (found[1], tuple(dict.fromkeys(_COLUMN.findall(statement)))) if found else (SESSION, ())


if __name__ == "__main__":
    main(shandong)
