"""What is asked: the measured operations, who asks them, and the keys they are asked for."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Final

import asyncpg

FOLDER: Final = Path(__file__).parent / "operations"
OPERATIONS: Final = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("Q*.graphql"))}
"""Documents by name, as every client of the product would send them."""
ROLES: Final = ("ministry", "province", "county")
"""Callers of the demo: constant decisions, and two for whom they depend on the row."""

_KEYS = """
select project_no from (
    select project_no, sens, manage, row_number() over w as place, count(*) over () as total,
        max(sens) over (order by project_no rows between current row and 1000 following) as most
    from zlaq.project window w as (order by project_no)
) p where sens = 0 and manage <> '999999' and most < 7 and place < total - 1000
order by project_no"""
_AT_MOST = 2_000


class NoKeys(RuntimeError):
    """The data set is too small to have pages of a thousand rows."""


async def keys_of(dsn: str) -> list[str]:
    """Published projects, spread over the table, each with a thousand rows behind it, none of them sealed.

    Every role may see such a project, so it may start a page of everyone's. Sealed rows (sensitivity 7 and more) are
    hidden from the ministry too, and systems without a policy would answer other pages than the product. Raises
    `NoKeys`.
    """
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(_KEYS)
    finally:
        await connection.close()
    if not rows:
        raise NoKeys("load more data: no project has a thousand others behind it")
    return [row[0] for row in rows[:: 1 + len(rows) // _AT_MOST]]


def variables(operation: str, key: str) -> dict[str, str]:
    """The variables of a request for one key: the project itself, or the page behind it."""
    return {"no": key} if operation == "Q1" else {"after": "k" + base64.b64encode(key.encode()).decode()}


def body(operation: str, key: str) -> str:
    """The request's body, on one line."""
    return json.dumps({"query": OPERATIONS[operation], "variables": variables(operation, key)})
