"""Regions (行政区划节点): the ministry's tree of supervision, with GB/T 2260 codes as attributes."""

from __future__ import annotations

from schema.declare import NOT_GOVERNED, PUBLIC, SHARED, attribute, entity, many, one, remote


@entity(
    "行政区划节点", key="node_id", table="region", plural="regions", system="SHARED", owner="MINISTRY",
    governed=NOT_GOVERNED,
)  # fmt: skip
class Region:
    """A node of the supervision tree; the node's code says where it hangs, the GB code what it is called."""

    node_id: RegionCode = attribute("监管区划代码", PUBLIC)
    code6: RegionCode | None = attribute("GB/T 2260 代码", PUBLIC, standard="GB/T 2260-2007", filterable=True)
    code12: str | None = attribute("12位代码", PUBLIC)
    name: str = attribute("名称", PUBLIC, filterable=True, always=True)
    level: RegionLevel = attribute("层级", PUBLIC, filterable=True, always=True)
    kind: RegionKind = attribute("类型", PUBLIC, filterable=True, always=True)
    parent_node_id: RegionCode | None = attribute("上级节点", PUBLIC)
    supervision_parent_node_id: RegionCode | None = attribute("监管上级", SHARED)
    valid_from: date | None = attribute("启用日期", PUBLIC)
    valid_to: date | None = attribute("撤销日期", PUBLIC)
    successor_node_ids: list[RegionCode] = attribute("承继区划", PUBLIC)
    approval_doc_no: str | None = attribute("批复文号", PUBLIC)
    source_version: str | None = attribute("数据版本", SHARED)
    parent: Region | None = one("上级行政区划", by="parent_node_id")
    children: list[Region] = many("下级行政区划", by="parent_node_id", order=("node_id",))
    departments: list[Department] = many("主管部门", by="region_node_id", order=("dept_id",))
    sources: list[DataSource] = remote("覆盖本区划的接入系统", SHARED, by="node_id", order=("name",))
