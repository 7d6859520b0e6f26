"""Projects (工程项目): governed by the managing region (管理属地), not by the address."""

from __future__ import annotations

from schema.declare import CONDITIONAL, PUBLIC, RESTRICTED, SHARED, Governed, attribute, entity, many, one, remote


@entity(
    "工程项目", key="project_no", table="project", plural="projects", system="SHARED", owner="LOCAL",
    governed=Governed(
        by="own", manage="manage", site="site", owner_dept="owner_dept", holder_uscc="holder_uscc",
        case_no="case_no", sens="sens",
    ),
)  # fmt: skip
class Project:
    """A construction project, from approval to completion."""

    project_no: ProjectNo = attribute("项目编号", PUBLIC)
    project_code: ProjectCode | None = attribute("投资项目代码", PUBLIC, standard="GB/T 40058-2021", filterable=True)
    local_project_id: str | None = attribute("地方内部编号", RESTRICTED)
    name: str = attribute("项目名称", PUBLIC, filterable=True, always=True)
    project_type: ProjectType | None = attribute("项目分类", PUBLIC)
    build_nature: BuildNature | None = attribute("建设性质", PUBLIC)
    usage: ProjectUsage | None = attribute("工程用途", PUBLIC)
    approval_doc_no: str | None = attribute("立项文号", PUBLIC)
    approval_level: ApprovalLevel | None = attribute("立项级别", PUBLIC)
    developer_uscc: Uscc | None = attribute("建设单位代码", PUBLIC, filterable=True)
    developer_name: str | None = attribute("建设单位", PUBLIC)
    contractor_uscc: Uscc | None = attribute("施工总承包单位代码", PUBLIC, filterable=True)
    province_code: RegionCode | None = attribute("所在省", PUBLIC, standard="GB/T 2260-2007")
    city_code: RegionCode | None = attribute("所在市", PUBLIC, standard="GB/T 2260-2007")
    county_code: RegionCode | None = attribute("所在区县", PUBLIC, standard="GB/T 2260-2007", filterable=True)
    manage_region_node_id: RegionCode = attribute("管理属地", SHARED, column="manage", filterable=True, always=True)
    address: str | None = attribute("建设地址", PUBLIC)
    location: GeoPoint | None = attribute(
        "经纬度", CONDITIONAL,
        columns={"longitude": "longitude", "latitude": "latitude", "datum": "datum"},
    )  # fmt: skip
    total_investment: Decimal | None = attribute("总投资", CONDITIONAL, unit="万元")
    state_invest_ratio: Decimal | None = attribute("国有投资占比", CONDITIONAL)
    total_area: Decimal | None = attribute("总面积", PUBLIC, unit="平方米", filterable=True)
    planned_start: date | None = attribute("计划开工", PUBLIC, filterable=True, sortable=True)
    planned_end: date | None = attribute("计划竣工", PUBLIC)
    status: ProjectState | None = attribute("项目状态", PUBLIC, filterable=True)
    data_level: DataLevel | None = attribute("数据等级", SHARED, standard="建市招函〔2019〕48号")
    region: Region | None = one("管理属地区划", by="manage_region_node_id")
    developer: Enterprise | None = one("建设单位", by="developer_uscc")
    contractor: Enterprise | None = one("施工总承包单位", by="contractor_uscc")
    inspections: list[SafetyInspection] = many(
        "安全监督抽查", by="project_no", order=("-inspected_on", "-inspection_no"),
        covering=("kind", "finding_count", "major_hazard_count", "disposal", "progress"),
    )  # fmt: skip
    machines: list[LiftingMachine] = many("在用起重机械", by="project_no", order=("record_no",))
    site_status: SiteStatus | None = remote("现场状态", SHARED, by="project_no")
    live_inspections: list[LiveInspection] = remote(
        "地方实时监督检查", SHARED, by="project_no", order=("-inspected_on", "inspection_no")
    )
    investment_approval: InvestmentApproval | None = remote("投资项目审批", SHARED, by="project_code")
