"""Lifting machines (建筑起重机械): governed by the region of the owner's record."""

from __future__ import annotations

from schema.declare import CONDITIONAL, PUBLIC, SHARED, Governed, Mask, attribute, entity, one, remote


@entity(
    "建筑起重机械", key="record_no", table="lifting_machine", plural="liftingMachines", system="SAFETY", owner="LOCAL",
    governed=Governed(
        by="own", manage="manage", owner_dept="owner_dept", holder_uscc="holder_uscc", case_no="case_no",
    ),
)  # fmt: skip
class LiftingMachine:
    """A tower crane, hoist or the like, as recorded for its owner (产权备案)."""

    record_no: str = attribute("产权备案编号", PUBLIC)
    kind: MachineKind = attribute("设备类别", PUBLIC, filterable=True, always=True)
    name: str | None = attribute("设备名称", PUBLIC)
    model: str | None = attribute("规格型号", PUBLIC)
    manufacturer: str | None = attribute("制造单位", PUBLIC)
    manufacture_licence_no: str | None = attribute("制造许可证号", PUBLIC)
    factory_no: str | None = attribute("出厂编号", PUBLIC)
    manufactured_on: date | None = attribute("出厂日期", PUBLIC)
    rated_moment: Decimal | None = attribute("额定起重力矩或载重", PUBLIC)
    max_height: Decimal | None = attribute("最大高度", SHARED, unit="米")
    owner_uscc: Uscc | None = attribute("产权单位代码", PUBLIC, filterable=True)
    owner_name: str | None = attribute("产权单位", PUBLIC)
    owner_phone: str | None = attribute("产权单位电话", CONDITIONAL, mask=Mask.PHONE)
    recorded_on: date | None = attribute("备案日期", PUBLIC)
    record_authority: str | None = attribute("备案机关", PUBLIC)
    design_life_end: date | None = attribute("使用年限截止", PUBLIC, filterable=True)
    state: MachineState = attribute("设备状态", PUBLIC, filterable=True, always=True)
    cancel_reason: str | None = attribute("注销原因", SHARED)
    project_no: ProjectNo | None = attribute("使用项目", PUBLIC, filterable=True)
    manage_region_node_id: RegionCode = attribute("管理属地", SHARED, column="manage", filterable=True, always=True)
    owner: Enterprise | None = one("产权单位", by="owner_uscc")
    project: Project | None = one("使用项目", by="project_no")
    monitoring: MachineMonitoring | None = remote("实时监测", SHARED, by="record_no")
