"""The supervision tree in the database: reference data of the product, brought up to its version by every migration."""

from __future__ import annotations

from typing import Any

import asyncpg

from schema.regions import RegionKind, load_regions

_NODE = (
    "node_id", "code6", "code12", "name", "level", "kind", "parent_node_id", "supervision_parent_node_id",
    "valid_from", "valid_to", "successor_node_ids", "approval_doc_no", "source_version",
)  # fmt: skip
_ALIAS = ("code", "supervision_code", "valid_from", "valid_to", "kind", "note")


async def sync_regions(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Write every node and alias of `schema.regions`; what is the same already keeps its version. No node is removed.

    The unresolved node is among them, so that an unresolved row's region has a name.
    """
    regions = load_regions()
    nodes: list[tuple[Any, ...]] = [
        (
            node.node_id, node.code6, node.code12, node.name, node.level.value, node.kind.value, node.parent_node_id,
            node.supervision_parent_node_id, node.valid_from, node.valid_to, list(node.successor_node_ids),
            node.approval_doc_no, None if node.kind is RegionKind.PSEUDO else node.source_version,
        )
        for node in regions.nodes.values()
    ]  # fmt: skip
    aliases = [
        (alias.code, alias.supervision_code, alias.valid_from, alias.valid_to, alias.kind.value, alias.note)
        for listed in regions.aliases.values()
        for alias in listed
    ]
    columns, values = ", ".join(_NODE), ", ".join(f"excluded.{column}" for column in _NODE)
    present = ", ".join(f"r.{column}" for column in _NODE)
    async with connection.transaction():
        await connection.execute(
            f"create temp table new_node on commit drop as select {columns} from zlaq.region with no data;"
            f" create temp table new_alias on commit drop as select {', '.join(_ALIAS)} from zlaq.region_alias"
            " with no data"
        )
        await connection.copy_records_to_table("new_node", records=nodes, columns=_NODE)
        await connection.copy_records_to_table("new_alias", records=aliases, columns=_ALIAS)
        await connection.execute(
            f"insert into zlaq.region as r ({columns}) select {columns} from new_node on conflict (node_id) do update"
            f" set ({columns}) = row({values}) where ({present}) is distinct from ({values})"
        )
        # An alias may end or be corrected, so the list is the product's as a whole.
        await connection.execute("delete from zlaq.region_alias")
        await connection.execute(f"insert into zlaq.region_alias ({', '.join(_ALIAS)}) select * from new_alias")
