"""One row of each table as it is copied in: every column but the generated ones, in COPY's order."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import NamedTuple

TODAY = date(2026, 9, 30)
"""The day on which the demo's country stands still; no clock is read."""
NOW = datetime(2026, 9, 30, 8, tzinfo=UTC)


class DepartmentRow(NamedTuple):
    """zlaq.department"""

    dept_id: str
    name: str
    kind: str
    level: str
    region_node_id: str
    uscc: str | None = None
    jurisdiction_node_ids: tuple[str, ...] = ()
    superior_dept_id: str | None = None
    business_scopes: tuple[str, ...] = ()
    address: str | None = None
    duty_phone: str | None = None
    contact_name: str | None = None
    contact_mobile: str | None = None
    status: str = "1"
    version: int = 1
    updated_at: datetime = NOW
    source_id: str | None = None
    data_as_of: datetime | None = None


class EnterpriseRow(NamedTuple):
    """zlaq.enterprise"""

    uscc: str
    name: str
    manage: str
    legacy_org_code: str | None = None
    former_names: tuple[str, ...] = ()
    economic_type: str | None = None
    business_types: tuple[str, ...] = ()
    registered_region_code: str | None = None
    registered_address: str | None = None
    legal_rep_name: str | None = None
    legal_rep_id_type: str | None = None
    legal_rep_id_no: str | None = None
    registered_capital: Decimal | None = None
    founded_on: date | None = None
    contact_name: str | None = None
    contact_mobile: str | None = None
    email: str | None = None
    bank_account: str | None = None
    qualification_summary: str | None = None
    credit_level: str | None = None
    source_province_code: str | None = None
    owner_dept: str = "-"
    case_no: str = "-"
    version: int = 1
    updated_at: datetime = NOW
    source_id: str | None = None
    data_as_of: datetime | None = None


class PersonRow(NamedTuple):
    """zlaq.person"""

    person_no: str
    manage: str
    real_name_verified: bool
    name: str | None = None
    gender: str | None = None
    birth_date: date | None = None
    id_type: str | None = None
    id_no: str | None = None
    mobile: str | None = None
    photo: str | None = None
    education: str | None = None
    technical_title: str | None = None
    current_enterprise_uscc: str | None = None
    address: str | None = None
    owner_dept: str = "-"
    case_no: str = "-"
    id_hash: str | None = None
    version: int = 1
    updated_at: datetime = NOW
    source_id: str | None = None
    data_as_of: datetime | None = None


class CertificateRow(NamedTuple):
    """zlaq.safety_manager_certificate"""

    cert_no: str
    category_code: str
    person_no: str
    valid_to: date
    state: str
    manage: str
    e_cert_id: str | None = None
    name: str | None = None
    id_no: str | None = None
    gender: str | None = None
    birth_date: date | None = None
    photo: str | None = None
    enterprise_uscc: str | None = None
    enterprise_name: str | None = None
    appointment: str | None = None
    technical_title: str | None = None
    education_degree: str | None = None
    first_issued_on: date | None = None
    issued_on: date | None = None
    valid_from: date | None = None
    operate_type: str | None = None
    transfer_from_cert_no: str | None = None
    check_result: str | None = None
    owner_dept: str = "-"
    case_no: str = "-"
    version: int = 1
    updated_at: datetime = NOW
    source_id: str | None = None
    data_as_of: datetime | None = None


class ProjectRow(NamedTuple):
    """zlaq.project"""

    project_no: str
    name: str
    manage: str
    site: str
    project_code: str | None = None
    local_project_id: str | None = None
    project_type: str | None = None
    build_nature: str | None = None
    usage: str | None = None
    approval_doc_no: str | None = None
    approval_level: str | None = None
    developer_uscc: str | None = None
    developer_name: str | None = None
    contractor_uscc: str | None = None
    province_code: str | None = None
    city_code: str | None = None
    county_code: str | None = None
    address: str | None = None
    longitude: Decimal | None = None
    latitude: Decimal | None = None
    datum: str | None = None
    total_investment: Decimal | None = None
    state_invest_ratio: Decimal | None = None
    total_area: Decimal | None = None
    planned_start: date | None = None
    planned_end: date | None = None
    status: str | None = None
    data_level: str | None = None
    owner_dept: str = "-"
    case_no: str = "-"
    sens: int = 0
    version: int = 1
    updated_at: datetime = NOW
    source_id: str | None = None
    data_as_of: datetime | None = None

    @property
    def holder_uscc(self) -> str:
        """What the database generates, for the rows that inherit it."""
        return self.contractor_uscc or "-"


class InspectionRow(NamedTuple):
    """zlaq.safety_inspection"""

    inspection_no: str
    project_no: str
    inspected_on: date
    manage: str
    site: str
    owner_dept: str
    holder_uscc: str
    case_no: str = "-"
    sens: int = 0
    safety_reg_no: str | None = None
    kind: str | None = None
    agency_uscc: str | None = None
    inspectors: str = "[]"
    progress: str | None = None
    finding_count: int | None = None
    major_hazard_count: int | None = None
    disposal: str | None = None
    notice_no: str | None = None
    deadline: date | None = None
    rectified_on: date | None = None
    review_result: str | None = None
    photos: tuple[str, ...] = ()
    version: int = 1
    updated_at: datetime = NOW
    source_id: str | None = None
    data_as_of: datetime | None = None


class FindingRow(NamedTuple):
    """zlaq.finding"""

    finding_no: str
    parent_no: str
    manage: str
    site: str
    owner_dept: str
    holder_uscc: str
    case_no: str = "-"
    sens: int = 0
    parent_type: str = "SAFETY"
    item_code: str | None = None
    description: str | None = None
    standard_article: str | None = None
    is_mandatory: bool | None = None
    hazard_level: str | None = None
    responsible_uscc: str | None = None
    photos: tuple[str, ...] = ()
    deadline: date | None = None
    rectification: str | None = None
    rectified_on: date | None = None
    reviewed_by: str | None = None
    closed: bool | None = None
    version: int = 1
    updated_at: datetime = NOW
    source_id: str | None = None
    data_as_of: datetime | None = None


class LiftingMachineRow(NamedTuple):
    """zlaq.lifting_machine"""

    record_no: str
    kind: str
    state: str
    manage: str
    name: str | None = None
    model: str | None = None
    manufacturer: str | None = None
    manufacture_licence_no: str | None = None
    factory_no: str | None = None
    manufactured_on: date | None = None
    rated_moment: Decimal | None = None
    max_height: Decimal | None = None
    owner_uscc: str | None = None
    owner_name: str | None = None
    owner_phone: str | None = None
    recorded_on: date | None = None
    record_authority: str | None = None
    design_life_end: date | None = None
    cancel_reason: str | None = None
    project_no: str | None = None
    owner_dept: str = "-"
    case_no: str = "-"
    version: int = 1
    updated_at: datetime = NOW
    source_id: str | None = None
    data_as_of: datetime | None = None


class CaseRow(NamedTuple):
    """zlaq.open_case"""

    case_no: str
    region: str
    kind: str
    open: bool
    opened_at: datetime
    closed_at: datetime | None


class UnmappedRow(NamedTuple):
    """zlaq.unmapped_code"""

    entity: str
    key: str
    attribute: str
    raw: str
    seen_at: datetime = NOW


Row = (
    DepartmentRow | EnterpriseRow | PersonRow | CertificateRow | ProjectRow | InspectionRow
    | FindingRow | LiftingMachineRow | CaseRow | UnmappedRow
)  # fmt: skip

TABLES: dict[type[Row], str] = {
    DepartmentRow: "department",
    EnterpriseRow: "enterprise",
    PersonRow: "person",
    CertificateRow: "safety_manager_certificate",
    ProjectRow: "project",
    InspectionRow: "safety_inspection",
    FindingRow: "finding",
    LiftingMachineRow: "lifting_machine",
    CaseRow: "open_case",
    UnmappedRow: "unmapped_code",
}
"""Where each kind of row belongs, in the order in which they are loaded."""
