"""Monitoring of lifting machines (起重机械实时监测), from the systems to which their sensors report."""

from __future__ import annotations

from schema.declare import PERSONAL, SHARED, Mask, attribute, value


@value("起重机械实时监测")
class MachineMonitoring:
    """The latest reading of a machine's sensors."""

    device_no: str | None = attribute("监测设备编号", SHARED)
    online: bool | None = attribute("在线", SHARED)
    measured_at: datetime | None = attribute("采集时间", SHARED)
    wind_speed: Decimal | None = attribute("风速", SHARED, unit="米/秒")
    moment_percent: Decimal | None = attribute("力矩百分比", SHARED, unit="%")
    load: Decimal | None = attribute("吊重", SHARED, unit="吨")
    height: Decimal | None = attribute("起升高度", SHARED, unit="米")
    alarms_today: int | None = attribute("当日报警次数", SHARED)
    driver: str | None = attribute("当班司机", PERSONAL, mask=Mask.PERSON_NAME)
