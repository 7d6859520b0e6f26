"""Open cases (立案): whether a case that a subject names is open, asked once per request at authentication."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.postgres.database import Database
from schema.regions import prefix


class PostgresCases:
    """The table of cases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def is_open(self, case_no: str, nodes: Sequence[str]) -> bool:
        """Whether the case exists, is open, and belongs to one of these supervision nodes or one below them."""
        rows = await self._database.fetch("select region from zlaq.open_case where case_no = $1 and open", case_no)
        regions = [str(row[0]) for row in rows]
        return any(region.startswith(prefix(node)) for region in regions for node in nodes)
