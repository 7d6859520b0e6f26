"""Persons (从业人员): key is a random surrogate; the keyed hash of the citizen number never leaves the database."""

from __future__ import annotations

from schema.declare import CONDITIONAL, PERSONAL, SHARED, Governed, Mask, attribute, entity, many, one, remote


@entity(
    "从业人员", key="person_no", table="person", plural="persons", system="SHARED", owner="MINISTRY",
    governed=Governed(
        by="own", manage="manage", owner_dept="owner_dept", holder_uscc="holder_uscc", holder_person="person_no",
        case_no="case_no",
    ),
)  # fmt: skip
class Person:
    """A practitioner; governed by the region that issued the latest certificate, never by the ministry."""

    person_no: PersonNo = attribute("人员代号", SHARED)
    name: str | None = attribute("姓名", PERSONAL, mask=Mask.PERSON_NAME)
    gender: Gender | None = attribute("性别", PERSONAL, standard="GB/T 2261.1-2003")
    birth_date: date | None = attribute("出生日期", PERSONAL)
    birth_year: int | None = attribute("出生年份", CONDITIONAL)
    id_type: IdType | None = attribute("证件类型", CONDITIONAL, standard="GB/T 36903-2018")
    id_no: CitizenNo | None = attribute("证件号码", PERSONAL, mask=Mask.CITIZEN_NO, standard="GB 11643-1999")
    mobile: str | None = attribute("手机号", PERSONAL, mask=Mask.PHONE)
    photo: str | None = attribute("照片", PERSONAL, cost=20)
    education: Education | None = attribute("文化程度", CONDITIONAL)
    technical_title: TechnicalTitle | None = attribute("技术职称", CONDITIONAL)
    current_enterprise_uscc: Uscc | None = attribute("受聘企业代码", SHARED, filterable=True)
    address: str | None = attribute("住址", PERSONAL)
    real_name_verified: bool = attribute("实名认证", SHARED, always=True)
    manage_region_node_id: RegionCode = attribute("管理属地", SHARED, column="manage", filterable=True, always=True)
    current_enterprise: Enterprise | None = one("受聘企业", by="current_enterprise_uscc")
    certificates: list[SafetyManagerCertificate] = many("安管人员证书", by="person_no", order=("cert_no",))
    identity_check: IdentityCheck | None = remote("人口信息核验", PERSONAL, by="id_no", officer=True)
