"""Findings (问题/隐患) of inspections: governed by the inspection."""

from __future__ import annotations

from schema.declare import CONDITIONAL, SHARED, Governed, attribute, entity, one


@entity(
    "问题/隐患", key="finding_no", table="finding", plural="findings", system="ENFORCEMENT", owner="LOCAL",
    key_sharing=SHARED,
    governed=Governed(
        by="parent", manage="manage", site="site", owner_dept="owner_dept", holder_uscc="holder_uscc",
        case_no="case_no", sens="sens",
    ),
)  # fmt: skip
class Finding:
    """One problem or hazard found by an inspection."""

    finding_no: FindingNo = attribute("编号", SHARED)
    parent_type: FindingParentType = attribute("来源类型", SHARED, always=True)
    parent_no: InspectionNo = attribute("来源编号", SHARED, filterable=True, always=True)
    item_code: str | None = attribute("检查项代码", SHARED)
    description: str | None = attribute("问题描述", CONDITIONAL)
    standard_article: str | None = attribute("违反条款", SHARED)
    is_mandatory: bool | None = attribute("强条", SHARED)
    hazard_level: HazardLevel | None = attribute("隐患级别", SHARED, filterable=True)
    responsible_uscc: Uscc | None = attribute("责任单位", SHARED, filterable=True)
    photos: list[str] = attribute("照片", CONDITIONAL)
    deadline: date | None = attribute("整改期限", SHARED)
    rectification: str | None = attribute("整改情况", CONDITIONAL)
    rectified_on: date | None = attribute("整改日期", SHARED)
    reviewed_by: str | None = attribute("复查人", CONDITIONAL)
    closed: bool | None = attribute("闭合", SHARED, filterable=True)
    inspection: SafetyInspection | None = one("安全监督抽查", by="parent_no")
    responsible: Enterprise | None = one("责任单位", by="responsible_uscc")
