"""Credit records of enterprises (信用记录), from the national data sharing and exchange platform."""

from __future__ import annotations

from schema.declare import CONDITIONAL, SHARED, attribute, one, value


@value("信用记录")
class CreditRecord:
    """A good or bad record of an enterprise, often made on one of its projects."""

    record_no: str | None = attribute("记录编号", SHARED)
    kind: CreditRecordKind | None = attribute("记录类型", SHARED)
    title: str | None = attribute("事项", SHARED)
    authority: str | None = attribute("认定机关", SHARED)
    decided_on: date | None = attribute("认定日期", SHARED)
    valid_to: date | None = attribute("有效期止", SHARED)
    penalty: Decimal | None = attribute("罚款", CONDITIONAL, unit="万元")
    content: str | None = attribute("内容", CONDITIONAL)
    project_no: ProjectNo | None = attribute("涉及项目", SHARED)
    project: Project | None = one("涉及项目", by="project_no")
