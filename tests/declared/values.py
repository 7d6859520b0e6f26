"""What the tests' remote systems answer: values with a class of their own for each part."""

# Annotations name scalars, code lists and other declarations, which the registry resolves.
# ruff: noqa: F821
# mypy: disable-error-code="name-defined"
from __future__ import annotations

from schema.declare import CONDITIONAL, PERSONAL, PUBLIC, RESTRICTED, SHARED, Mask, attribute, value


@value("监测读数")
class Reading:
    """A sensor's latest reading, as the monitoring system has it."""

    weight: Decimal | None = attribute("载荷", PUBLIC, unit="吨")
    count: int | None = attribute("次数", SHARED)
    taken_at: datetime | None = attribute("读数时间", SHARED)
    note: str | None = attribute("备注", CONDITIONAL)
    operator: str | None = attribute("司机", PERSONAL, mask=Mask.PERSON_NAME)
    operator_no: CitizenNo | None = attribute("司机证件号", PERSONAL, mask=Mask.CITIZEN_NO)
    fault: str | None = attribute("故障", RESTRICTED)


@value("报警")
class Alarm:
    """One alarm of a sensor."""

    code: str | None = attribute("报警代码", PUBLIC)
    level: HazardLevel | None = attribute("等级", SHARED)
    remark: str | None = attribute("说明", CONDITIONAL)


@value("内部评分")
class Score:
    """What nobody but the providing department may see."""

    points: int | None = attribute("分数", RESTRICTED)
