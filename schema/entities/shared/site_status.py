"""What a local system says now about a project's site (现场状态)."""

from __future__ import annotations

from schema.declare import CONDITIONAL, PERSONAL, SHARED, Mask, attribute, value


@value("现场状态")
class SiteStatus:
    """The state of a construction site in the system of the province or city that manages it."""

    state: ProjectState | None = attribute("现场状态", SHARED, beside="status")
    name: str | None = attribute("地方登记项目名称", SHARED, beside="name")
    contractor_uscc: Uscc | None = attribute("地方登记施工单位", SHARED, beside="contractor_uscc")
    total_area: Decimal | None = attribute("地方登记总面积", SHARED, unit="平方米", beside="total_area")
    progress: str | None = attribute("形象进度", SHARED)
    stop_work: bool | None = attribute("停工令", SHARED)
    stop_work_reason: str | None = attribute("停工原因", CONDITIONAL)
    workers_on_site: int | None = attribute("在场人数", CONDITIONAL)
    safety_officer: str | None = attribute("现场安全员", PERSONAL, mask=Mask.PERSON_NAME)
    safety_officer_mobile: str | None = attribute("安全员手机", PERSONAL, mask=Mask.PHONE)
    reported_at: datetime | None = attribute("上报时间", SHARED)
