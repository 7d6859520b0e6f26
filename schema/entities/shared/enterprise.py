"""Enterprises (企业/单位): governed by the region of registration."""

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


@entity(
    "企业/单位", key="uscc", table="enterprise", plural="enterprises", system="SHARED", owner="MINISTRY",
    governed=Governed(by="own", manage="manage", owner_dept="owner_dept", holder_uscc="uscc", case_no="case_no"),
)  # fmt: skip
class Enterprise:
    """An enterprise or other organisation that takes part in construction."""

    uscc: Uscc = attribute("统一社会信用代码", PUBLIC, standard="GB 32100-2015")
    legacy_org_code: OrgCode | None = attribute("组织机构代码", SHARED, standard="GB 11714-1997")
    name: str = attribute("企业名称", PUBLIC, filterable=True, sortable=True, always=True)
    former_names: list[str] = attribute("曾用名", SHARED)
    economic_type: EconomicType | None = attribute("登记注册类型", PUBLIC)
    business_types: list[BusinessType] = attribute("从事业务类型", PUBLIC)
    registered_region_code: RegionCode | None = attribute(
        "注册地区划", PUBLIC, standard="GB/T 2260-2007", filterable=True
    )
    registered_address: str | None = attribute("注册地址", PUBLIC)
    legal_rep_name: str | None = attribute("法定代表人", PUBLIC)
    legal_rep_id_type: IdType | None = attribute("法人证件类型", RESTRICTED, standard="GB/T 36903-2018")
    legal_rep_id_no: CitizenNo | None = attribute(
        "法人证件号码", PERSONAL, mask=Mask.CITIZEN_NO, standard="GB 11643-1999"
    )
    registered_capital: Decimal | None = attribute("注册资本", PUBLIC, unit="万元")
    founded_on: date | None = attribute("成立日期", PUBLIC)
    contact_name: str | None = attribute("联系人", PERSONAL, mask=Mask.PERSON_NAME)
    contact_mobile: str | None = attribute("联系手机", PERSONAL, mask=Mask.PHONE)
    email: str | None = attribute("邮箱", CONDITIONAL)
    bank_account: str | None = attribute("银行账号", RESTRICTED)
    qualification_summary: str | None = attribute("资质概况", PUBLIC)
    credit_level: str | None = attribute("信用等级", SHARED)
    source_province_code: RegionCode | None = attribute("数据来源省", SHARED)
    manage_region_node_id: RegionCode = attribute("管理属地", SHARED, column="manage", filterable=True, always=True)
    region: Region | None = one("管理属地区划", by="manage_region_node_id")
    projects: list[Project] = many(
        "总承包项目", by="contractor_uscc", order=("project_no",), covering=("name", "status")
    )
    safety_managers: list[SafetyManagerCertificate] = many(
        "安管人员证书", by="enterprise_uscc", order=("cert_no",),
        covering=("category_code", "state", "valid_to", "person_no", "name", "id_no"),
    )  # fmt: skip
    business_registration: BusinessRegistration | None = remote("市场主体登记", SHARED, by="uscc")
    credit_records: list[CreditRecord] = remote("信用记录", SHARED, by="uscc", order=("-decided_on", "record_no"))
    live_inspections: list[LiveInspection] = remote(
        "各地实时监督检查", SHARED, by="uscc", order=("-inspected_on", "inspection_no"), across=True
    )
