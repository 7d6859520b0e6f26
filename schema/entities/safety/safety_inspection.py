"""Safety inspections (安全监督抽查): governed by the project inspected."""

from __future__ import annotations

from schema.declare import CONDITIONAL, PUBLIC, SHARED, Governed, attribute, entity, many, one, value


@value("检查人员")
class Inspector:
    """Who inspected, with the number of the enforcement card."""

    name: str | None = attribute("姓名")
    enforcement_cert_no: str | None = attribute("执法证号")


@entity(
    "安全监督抽查", key="inspection_no", table="safety_inspection", plural="safetyInspections", system="SAFETY",
    owner="LOCAL", key_sharing=SHARED,
    governed=Governed(
        by="parent", manage="manage", site="site", owner_dept="owner_dept", holder_uscc="holder_uscc",
        case_no="case_no", sens="sens",
    ),
)  # fmt: skip
class SafetyInspection:
    """One visit of a supervision agency to a site."""

    inspection_no: InspectionNo = attribute("抽查编号", SHARED)
    safety_reg_no: str | None = attribute("报监编号", PUBLIC)
    project_no: ProjectNo = attribute("项目编号", PUBLIC, filterable=True, always=True)
    inspected_on: date = attribute("检查日期", PUBLIC, filterable=True, sortable=True, always=True)
    kind: InspectionKind | None = attribute("检查类型", SHARED, filterable=True)
    agency_uscc: Uscc | None = attribute("检查机构", PUBLIC, filterable=True)
    inspectors: list[Inspector] = attribute("检查人员", CONDITIONAL)
    progress: str | None = attribute("形象进度", SHARED)
    finding_count: int | None = attribute("问题数", SHARED)
    major_hazard_count: int | None = attribute("重大隐患数", SHARED, filterable=True)
    disposal: Disposal | None = attribute("处理措施", SHARED, filterable=True)
    notice_no: str | None = attribute("整改通知书编号", SHARED)
    deadline: date | None = attribute("整改期限", SHARED)
    rectified_on: date | None = attribute("整改完成", SHARED)
    review_result: ReviewResult | None = attribute("复查结论", SHARED)
    photos: list[str] = attribute("照片", CONDITIONAL)
    manage_region_node_id: RegionCode = attribute("管理属地", SHARED, column="manage", filterable=True, always=True)
    project: Project | None = one("工程项目", by="project_no")
    findings: list[Finding] = many("问题清单", by="parent_no", order=("finding_no",))
