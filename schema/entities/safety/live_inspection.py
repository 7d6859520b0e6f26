"""Inspections as local systems have them now (地方实时监督检查), which reach the ministry's own copy days later."""

from __future__ import annotations

from schema.declare import CONDITIONAL, SHARED, attribute, one, value


@value("地方实时监督检查")
class LiveInspection:
    """One visit to a site, from the system of the region that made it."""

    inspection_no: str | None = attribute("地方检查编号", SHARED)
    project_no: ProjectNo | None = attribute("项目编号", SHARED)
    inspected_on: date | None = attribute("检查日期", SHARED)
    kind: InspectionKind | None = attribute("检查类型", SHARED)
    agency: str | None = attribute("检查机构", SHARED)
    finding_count: int | None = attribute("问题数", SHARED)
    major_hazard_count: int | None = attribute("重大隐患数", SHARED)
    disposal: Disposal | None = attribute("处理措施", SHARED)
    summary: str | None = attribute("检查情况", CONDITIONAL)
    inspectors: list[str] = attribute("检查人员", CONDITIONAL)
    project: Project | None = one("工程项目", by="project_no")
