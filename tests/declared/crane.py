"""Tower cranes of the tests: attributes of every class and kind, and lifts whose readings other systems have."""

# Annotations name scalars, code lists and other declarations, which the registry resolves.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations

from schema.declare import (
    CONDITIONAL,
    PERSONAL,
    PUBLIC,
    RESTRICTED,
    SHARED,
    Governed,
    Mask,
    attribute,
    entity,
    many,
    one,
    remote,
)

GOVERNED = Governed(
    by="own", manage="manage", owner_dept="owner_dept", holder_uscc="holder_uscc", case_no="case_no", sens="sens"
)


@entity("塔吊", key="crane_no", table="crane", plural="cranes", system="SAFETY", owner="LOCAL", governed=GOVERNED)
class Crane:
    """A tower crane."""

    crane_no: str = attribute("编号", PUBLIC)
    name: str | None = attribute("名称", PUBLIC, filterable=True, sortable=True)
    height: Decimal | None = attribute("高度", PUBLIC, unit="米", filterable=True, sortable=True)
    floors: int | None = attribute("楼层", PUBLIC, filterable=True, sortable=True)
    erected_on: date | None = attribute("安装日期", PUBLIC, filterable=True, sortable=True)
    checked_at: datetime | None = attribute("检测时间", SHARED, filterable=True, sortable=True)
    hazard: HazardLevel | None = attribute("隐患级别", SHARED, filterable=True)
    tags: list[str] = attribute("标签", PUBLIC)
    in_use: bool | None = attribute("在用", PUBLIC, filterable=True)
    manager: str | None = attribute("负责人", PERSONAL, mask=Mask.PERSON_NAME)
    price: Decimal | None = attribute("价格", CONDITIONAL, unit="万元", filterable=True)
    serial: str | None = attribute("出厂编号", RESTRICTED, filterable=True)
    manage_region_node_id: RegionCode = attribute("管理属地", SHARED, column="manage", filterable=True, always=True)
    twin_no: str | None = attribute("相邻塔吊", PUBLIC)
    twin: Crane | None = one("相邻塔吊", by="twin_no")
    region: Region | None = one("管理属地区划", by="manage_region_node_id")
    lifts: list[Lift] = many("吊装", by="crane_no", order=("lift_no",))


@entity("吊装", key="lift_no", table="lift", plural="lifts", system="SAFETY", owner="LOCAL", governed=GOVERNED)
class Lift:
    """One lift of a crane, with what the sensors' own systems know of it."""

    lift_no: str = attribute("编号", PUBLIC)
    crane_no: str = attribute("塔吊编号", PUBLIC, filterable=True, always=True)
    name: str | None = attribute("名称", PUBLIC)
    sensor_no: str | None = attribute("传感器编号", RESTRICTED)
    crane: Crane | None = one("塔吊", by="crane_no")
    reading: Reading | None = remote("读数", PUBLIC, by="sensor_no", cost=2)
    alarms: list[Alarm] = remote("报警", PUBLIC, by="sensor_no", cost=2, order=("code",))
    inner_reading: Reading | None = remote("内部读数", CONDITIONAL, by="sensor_no", cost=2)
    score: Score | None = remote("评分", PUBLIC, by="sensor_no", cost=2)
