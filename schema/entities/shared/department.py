"""Departments (主管部门/监督机构): who supervises, at which level, for which region."""

from __future__ import annotations

from schema.declare import NOT_GOVERNED, PERSONAL, PUBLIC, SHARED, Mask, attribute, entity, many, one


@entity(
    "主管部门/监督机构", key="dept_id", table="department", plural="departments", system="SHARED", owner="MINISTRY",
    key_sharing=PUBLIC, governed=NOT_GOVERNED,
)  # fmt: skip
class Department:
    """A competent department or a supervision agency."""

    dept_id: DepartmentId = attribute("部门标识", SHARED)
    name: str = attribute("部门名称", PUBLIC, filterable=True, always=True)
    uscc: Uscc | None = attribute("统一社会信用代码", PUBLIC, standard="GB 32100-2015", filterable=True)
    kind: DeptKind = attribute("部门类别", PUBLIC, filterable=True, always=True)
    level: DeptLevel = attribute("层级", PUBLIC, filterable=True, always=True)
    region_node_id: RegionCode = attribute("所属区划", PUBLIC, filterable=True, always=True)
    jurisdiction_node_ids: list[RegionCode] = attribute("管辖范围", SHARED)
    superior_dept_id: DepartmentId | None = attribute("上级部门", PUBLIC)
    business_scopes: list[BizSystem] = attribute("业务范围", SHARED)
    address: str | None = attribute("地址", PUBLIC)
    duty_phone: str | None = attribute("值班电话", PUBLIC)
    contact_name: str | None = attribute("联系人", PERSONAL, mask=Mask.PERSON_NAME)
    contact_mobile: str | None = attribute("联系手机", PERSONAL, mask=Mask.PHONE)
    status: ActiveState = attribute("状态", SHARED, always=True)
    region: Region | None = one("所属行政区划", by="region_node_id")
    superior: Department | None = one("上级主管部门", by="superior_dept_id")
    subordinates: list[Department] = many("下级主管部门", by="superior_dept_id", order=("dept_id",))
