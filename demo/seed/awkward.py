"""Rows that are awkward on purpose: every kind of thing that has gone wrong, or could, in data of this sort."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from demo.seed import wellknown as known
from demo.seed.places import department_id
from demo.seed.rows import (
    CertificateRow,
    DepartmentRow,
    EnterpriseRow,
    FindingRow,
    InspectionRow,
    LiftingMachineRow,
    PersonRow,
    ProjectRow,
    Row,
    UnmappedRow,
)
from demo.seed.story import certificate, enterprise, finding, inspection, person, project
from schema.regions import UNRESOLVED, load_regions

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = {
    known.NAME_QUOTES: "它叫\"甲区\"与'乙区'“丙区”的工程",
    known.NAME_BACKSLASH: "路径\\张\\ 百分之100%_完成",
    known.NAME_SCRIPT: "</script><script>alert('质安')</script><!-- &amp; ]]>",
    known.NAME_JSON: '{"name":null,"sens":0},{"name":"',
    known.NAME_EMOJI: "𠮷祥🏗️里👨‍👩‍👧‍👦幸福𩸽村é工程",
    known.NAME_CONTROL: "第一行\n第二行\t制表\r\x01\x1f\x7f\u2028\u202e倒\u200b\ufeff",
    known.NAME_PLACEHOLDER: "00000000000000000000000000000000|0|0|4201062604039907|420106",
    known.LONGEST: "𠮷" * 200,
}
"""Names that break careless quoting, escaping, matching and cutting."""


@dataclass(frozen=True, slots=True)
class Awkward:
    """A row, and what is awkward about it."""

    entity: str
    key: str
    what: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A project known by a GB code and the date of its record, from which the region is resolved."""

    key: str
    code: str | None
    on: date
    what: str
    owner: str = ""


RECORDED = (
    Recorded(known.CORPS_CITY, "659001", date(2026, 4, 1), "石河子市: GB code of Xinjiang, node 660801 of the Corps"),
    Recorded(known.ZONE_SUZHOU, "320513", date(2026, 4, 1), "苏州工业园区: invented code in use, zone 320591"),
    Recorded(known.ZONE_XIONGAN, "133100", date(2026, 4, 1), "雄安新区: statistical code, zone 139100"),
    Recorded(known.PROVINCE_DIRECT, "429004", date(2026, 4, 1), "仙桃市: below its province (427400), no city between"),
    Recorded(known.MUNICIPALITY, "110101", date(2026, 4, 1), "东城区: below Beijing (116100), no city between"),
    Recorded(known.ABOLISHED_CODE, "330103", date(2019, 5, 20), "下城区, abolished in 2021: as of 2019 it is 330105"),
    Recorded(
        known.ABOLISHED_CODE_LATE, "330103", date(2024, 5, 20),
        "下城区 in a record of 2024, when there was none: unresolved, owner JS330100-1", "330100",
    ),
    Recorded(known.LOCAL_CODE, "320207", date(2019, 5, 20), "梁溪区 by Jiangsu's invented code, resolved to 320213"),
    Recorded(
        known.SPLIT_CODE, "330104", date(2019, 5, 20), "江干区, split in 2021: unresolved, owner JS330100-1", "330100"
    ),
    Recorded(known.ODD_CODE, "015454", date(2026, 4, 1), "a code in no list: unresolved, owner JS320200-1", "320200"),
    Recorded(known.NO_CODE, None, date(2026, 4, 1), "no code and no owner: only the ministry can see it", "-"),
)  # fmt: skip


def awkward_list() -> tuple[Awkward, ...]:
    """Every awkward row with its key; README.md has the same table."""
    projects = {
        known.CORPS_IN_COUNTY: "managed by the Corps' 8th division (660800), lies in 玛纳斯县 of Xinjiang (652324)",
        **{recorded.key: recorded.what for recorded in RECORDED},
        known.LOCATED_ELSEWHERE: "managed by 武昌区 (420106), lies in 长沙芙蓉区 (430102)",
        known.UNPUBLISHED: "sens 3: not published",
        known.MAJOR_ACCIDENT: "sens 6: unpublished major accident",
        known.SEALED: "sens 9: sealed",
        known.PROJECT_MINISTRY: "run by the ministry: managed by 000000",
        known.NO_CONTRACTOR: "no contractor: holder_uscc is '-'",
        known.DANGLING_CONTRACTOR: "contractor_uscc leads to no enterprise",
        known.PROJECT_NULLS: "NULL in every column that may be",
        known.NUMBER_17: "project number of 17 digits",
        known.NUMBER_18: "project number of 18 digits",
        known.NUMBER_IMPOSSIBLE_DAY: "project number of the 30th of February",
        known.NAME_QUOTES: "name with all kinds of quotes",
        known.NAME_BACKSLASH: "name with backslashes, percent sign and underscore",
        known.NAME_SCRIPT: "name that ends a script element",
        known.NAME_JSON: "name that is a fragment of JSON",
        known.NAME_EMOJI: "name with emoji, joiners, characters of four bytes, a combining accent",
        known.NAME_CONTROL: "name with line breaks, control and direction characters",
        known.NAME_PLACEHOLDER: "name in the shape of an in-band placeholder",
        known.LONGEST: "longest name and address, all of four-byte characters",
        known.EMPTY_TEXTS: "empty text, blank and the placeholders 无 and /",
        known.EXTREME_VALUES: "largest and smallest numbers, first and last date",
        known.IN_OPEN_CASE: f"belongs to the open case {known.CASE_OPEN}",
        known.PROJECT_MANY_INSPECTIONS: "120 inspections",
    }
    others = (
        Awkward("Enterprise", known.ENTERPRISE_NO_PROJECTS, "no projects and no certificates"),
        Awkward("Enterprise", known.ENTERPRISE_NULLS, "NULL in every column that may be"),
        Awkward("Enterprise", known.ENTERPRISE_QUOTES, "name with quotes, backslash and percent sign"),
        Awkward("Enterprise", known.ENTERPRISE_LONGEST, "longest values"),
        Awkward(
            "Person", known.PERSON_TWO_PROVINCES, "certificates of Hubei and of Zhejiang, governed by the later one"
        ),
        Awkward("Person", known.PERSON_OPEN_CASE, f"subject of the open case {known.CASE_OPEN}"),
        Awkward("Person", known.PERSON_CLOSED_CASE, f"subject of the closed case {known.CASE_CLOSED}"),
        Awkward("Person", known.PERSON_NULLS, "NULL in every column that may be"),
        Awkward("Person", known.PERSON_RARE_NAME, "name of four-byte characters with a middle dot"),
        Awkward("Person", known.PERSON_LONGEST, "longest values"),
        Awkward("Person", known.PERSON_ONE_CHARACTER, "name of one character"),
        Awkward("SafetyManagerCertificate", known.CERTIFICATE_NULLS, "NULL in every column that may be"),
        Awkward("SafetyInspection", known.INSPECTION_ORPHAN, "of a project that never came: governed by 999999"),
        Awkward("SafetyInspection", known.INSPECTION_NULLS, "NULL in every column that may be"),
        Awkward("SafetyInspection", known.INSPECTION_MANY_FINDINGS, "99 findings"),
        Awkward("Finding", known.FINDING_ORPHAN, "of an inspection that never came: governed by 999999"),
        Awkward(
            "Finding", known.FINDING_OF_MINISTRY, "of the ministry's enforcement, whose inspections are not kept here"
        ),
        Awkward("Finding", known.FINDING_NULLS, "NULL in every column that may be"),
        Awkward(
            "LiftingMachine", known.MACHINE_FROM_ELSEWHERE, "recorded in 南京秦淮区 (320104), in use in 杭州西湖区"
        ),
        Awkward("LiftingMachine", known.MACHINE_NULLS, "NULL in every column that may be, cancelled"),
        Awkward("Department", known.DEPARTMENT_NULLS, "NULL in every column that may be"),
    )
    return (*(Awkward("Project", key, what) for key, what in projects.items()), *others)


def awkward_rows() -> Iterator[Row]:
    """Every awkward row that is not part of the story, and what hangs on them."""
    yield from _recorded()
    yield from _projects()
    yield from _named()
    yield from _enterprises()
    yield from _people()
    yield from _inspections()
    yield LiftingMachineRow(known.MACHINE_NULLS, "O", "6", known.WUCHANG)
    yield DepartmentRow(known.DEPARTMENT_NULLS, "武昌区工程建设指挥部", "OTHER_GOV", "COUNTY", known.WUCHANG)
    yield UnmappedRow("Project", known.PROJECT_NULLS, "usage", "住宅/商业")
    yield UnmappedRow("SafetyInspection", known.INSPECTION_NULLS, "kind", "飞行检查")


def _recorded() -> Iterator[Row]:
    for recorded in RECORDED:
        region = load_regions().resolve(recorded.code, recorded.on)
        owner = "-" if recorded.owner == "-" else department_id("HOUSING", recorded.owner or region)
        row = project(
            recorded.key, f"区划代码{recorded.code or '空缺'}安置房项目", region, province_code=None, city_code=None,
            county_code=recorded.code, address=None, project_code=None, owner_dept=owner, planned_start=recorded.on,
            planned_end=None, local_project_id=None, approval_doc_no=None,
        )  # fmt: skip
        yield row
        if region != UNRESOLVED:
            yield inspection(f"JC{region}20260908-000001", row, date(2026, 9, 8))


def _projects() -> Iterator[Row]:
    corps = project(
        known.CORPS_IN_COUNTY, "第八师玛纳斯河桥新建工程", "660800", "652324", province_code="650000",
        city_code="652300", county_code="652324", usage="015", address="新疆维吾尔自治区昌吉回族自治州玛纳斯县",
    )  # fmt: skip
    sealed = project(known.SEALED, "武昌东湖涵洞抢险工程", known.WUCHANG, sens=9)
    major = project(known.MAJOR_ACCIDENT, "武昌云景大厦办公楼", known.WUCHANG, sens=6)
    case = project(known.IN_OPEN_CASE, "武昌望江花园二期住宅楼", known.WUCHANG, case_no=known.CASE_OPEN)
    yield from (corps, sealed, major, case)
    yield project(
        known.LOCATED_ELSEWHERE, "武昌驻长沙培训中心", known.WUCHANG, "430102", province_code="430000",
        city_code="430100", county_code="430102",
    )  # fmt: skip
    yield project(known.UNPUBLISHED, "武昌紫荆片区供水管网工程", known.WUCHANG, sens=3)
    yield project(known.NO_CONTRACTOR, "武昌书香苑安置房项目", known.WUCHANG, contractor_uscc=None)
    yield project(
        known.DANGLING_CONTRACTOR, "武昌碧水大桥新建工程", known.WUCHANG, contractor_uscc=known.USCC_OF_NOBODY
    )
    yield ProjectRow(known.PROJECT_NULLS, "武昌只有名称的工程", known.WUCHANG, known.WUCHANG)
    for key in (known.NUMBER_17, known.NUMBER_18, known.NUMBER_IMPOSSIBLE_DAY):
        yield project(key, f"武昌星河编号{len(key)}位工程", known.WUCHANG)
    for number, row in enumerate((corps, sealed, major, case), start=2):
        visit = inspection(
            f"JC{row.manage}20260910-{number:06d}", row, date(2026, 9, 10), finding_count=1, major_hazard_count=1,
            disposal="2",
        )  # fmt: skip
        yield visit
        yield finding(visit, 1, hazard_level="2")


def _named() -> Iterator[Row]:
    for key, name in NAMES.items():
        yield project(key, name, known.WUCHANG, address="𠮷" * 500 if key == known.LONGEST else name)
    yield project(
        known.EMPTY_TEXTS, "/", known.WUCHANG, developer_name="", address="无", approval_doc_no=" ", datum="",
        local_project_id="无数据",
    )  # fmt: skip
    yield project(
        known.EXTREME_VALUES, "武昌极值工程", known.WUCHANG, total_area=Decimal("9" * 30 + ".999999999999"),
        total_investment=Decimal("-0.000000000001"), state_invest_ratio=Decimal("0E-12"), longitude=Decimal(-180),
        latitude=Decimal(90), planned_start=date(1000, 1, 1), planned_end=date(9999, 12, 30),
    )  # fmt: skip


def _enterprises() -> Iterator[Row]:
    yield enterprise(known.ENTERPRISE_NO_PROJECTS, "武汉岑筑甬基础工程有限公司")
    yield EnterpriseRow(known.ENTERPRISE_NULLS, "武汉渠郦鄢建工有限公司", known.WUCHANG)
    yield enterprise(
        known.ENTERPRISE_QUOTES, '武汉"铎昉"\\煊100%\'建设_集团有限公司', former_names=('{"a"}', "a,b", "")
    )
    yield enterprise(
        known.ENTERPRISE_LONGEST, "长" * 200, qualification_summary="𠮷" * 4000, registered_address="址" * 500,
        email="e" * 488 + "@example.com", business_types=tuple(str(code) for code in range(1, 12)),
        former_names=tuple(f"曾用名{number}" for number in range(50)),
    )  # fmt: skip


def _people() -> Iterator[Row]:
    nobody = PersonRow(known.PERSON_NULLS, known.HUBEI, real_name_verified=False)
    yield nobody
    yield CertificateRow(known.CERTIFICATE_NULLS, "C3", nobody.person_no, date(2027, 6, 30), "01", known.HUBEI)
    others = {
        12: person(12, "𠮷𩸽·𠮷野", current_enterprise_uscc=None),
        13: person(13, "长" * 200, address="址" * 500, photo="p" * 500, current_enterprise_uscc=None),
        14: person(14, "岳", current_enterprise_uscc=None),
    }
    for serial, holder in others.items():
        yield holder
        yield certificate(holder, "C2", serial, date(2024, 8, serial), enterprise_name=None)


def _inspections() -> Iterator[Row]:
    of = project(known.PROJECT_COUNTY, "", known.WUCHANG)
    nowhere = ProjectRow(known.PROJECT_OF_NOBODY, "", UNRESOLVED, UNRESOLVED)
    yield inspection(
        known.INSPECTION_ORPHAN, nowhere, date(2026, 9, 1), agency_uscc=None, owner_dept=known.AGENCY_WUCHANG
    )
    empty = InspectionRow(
        known.INSPECTION_NULLS, known.PROJECT_NULLS, date(2026, 9, 1), known.WUCHANG, known.WUCHANG,
        known.AGENCY_WUCHANG, "-",
    )  # fmt: skip
    crowded = inspection(
        known.INSPECTION_MANY_FINDINGS, of._replace(project_no=known.PROJECT_MANY_INSPECTIONS), date(2026, 9, 1),
        finding_count=99, major_hazard_count=0, disposal="1",
    )  # fmt: skip
    yield from (empty, crowded)
    for number in range(1, 100):
        yield finding(crowded, number)
    yield FindingRow(known.FINDING_NULLS, empty.inspection_no, empty.manage, empty.site, empty.owner_dept, "-")
    for key, kind, owner in (
        (known.FINDING_ORPHAN, "SAFETY", known.AGENCY_WUCHANG),
        (known.FINDING_OF_MINISTRY, "ENFORCEMENT", known.HOUSING_MINISTRY),
    ):
        visit = inspection(key[:-3], nowhere, date(2026, 9, 1), owner_dept=owner)
        yield finding(visit, 1, parent_type=kind)
