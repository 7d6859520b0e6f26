"""Safety manager certificates (安管人员考核合格证书): governed by the issuing region."""

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
    one,
)


@entity(
    "安管人员考核合格证书", key="cert_no", table="safety_manager_certificate", plural="safetyManagerCertificates",
    system="SAFETY", owner="PROVINCE",
    governed=Governed(
        by="issuer", manage="manage", owner_dept="owner_dept", holder_uscc="holder_uscc",
        holder_person="person_no", case_no="case_no",
    ),
)  # fmt: skip
class SafetyManagerCertificate:
    """A certificate of class A, B or C of a person responsible for safety."""

    cert_no: CertificateNo = attribute("证书编号", PUBLIC, standard="建办质〔2004〕23号")
    e_cert_id: ECertId | None = attribute("证照标识", SHARED, standard="GB/T 36904-2018")
    category_code: SafetyPost = attribute("岗位类别", PUBLIC, filterable=True, always=True)
    person_no: PersonNo = attribute("人员代号", SHARED, filterable=True, always=True)
    name: str | None = attribute("姓名", PERSONAL, mask=Mask.PERSON_NAME)
    id_no: CitizenNo | None = attribute("身份证件号", PERSONAL, mask=Mask.CITIZEN_NO, standard="GB 11643-1999")
    gender: Gender | None = attribute("性别", PERSONAL, standard="GB/T 2261.1-2003")
    birth_date: date | None = attribute("出生日期", PERSONAL)
    birth_year: int | None = attribute("出生年份", CONDITIONAL)
    photo: str | None = attribute("照片", PERSONAL, cost=20)
    enterprise_uscc: Uscc | None = attribute("企业代码", PUBLIC, filterable=True)
    enterprise_name: str | None = attribute("企业名称", PUBLIC)
    appointment: Appointment | None = attribute("职务", PUBLIC)
    technical_title: TechnicalTitle | None = attribute("技术职称", CONDITIONAL)
    education_degree: Education | None = attribute("文化程度", CONDITIONAL)
    first_issued_on: date | None = attribute("初次领证", PUBLIC)
    issued_on: date | None = attribute("发证日期", PUBLIC)
    valid_from: date | None = attribute("有效期起", PUBLIC)
    valid_to: date = attribute("有效期止", PUBLIC, filterable=True, sortable=True, always=True)
    state: SafetyMgrState = attribute("证书状态", PUBLIC, filterable=True, always=True)
    operate_type: OperateType | None = attribute("操作类型", SHARED)
    transfer_from_cert_no: CertificateNo | None = attribute("转出省原证编号", SHARED)
    check_result: CheckResult | None = attribute("全国校验结果", RESTRICTED)
    manage_region_node_id: RegionCode = attribute("管理属地", SHARED, column="manage", filterable=True, always=True)
    person: Person | None = one("持证人", by="person_no")
    enterprise: Enterprise | None = one("受聘企业", by="enterprise_uscc")
