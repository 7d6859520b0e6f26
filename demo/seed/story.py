"""The well-known records: one contractor in 武汉 with a project at every level, inspected, and its safety managers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from demo.seed import make
from demo.seed import wellknown as known
from demo.seed.places import department_id, department_uscc
from demo.seed.rows import (
    CaseRow,
    CertificateRow,
    EnterpriseRow,
    FindingRow,
    InspectionRow,
    LiftingMachineRow,
    PersonRow,
    ProjectRow,
    Row,
)
from demo.seed.words import HAZARDS, PROGRESS, PROVINCE_SIGNS

if TYPE_CHECKING:
    from collections.abc import Iterator

STATED = datetime(2026, 9, 20, 2, tzinfo=UTC)
_NAMES = ("陈志远", "欧阳静", "李国梁", "王秀兰", "张伟", "刘洋", "赵敏", "周建军", "吴磊", "郑凯", "孙岩", "何松")
_POSTS = ("A", "B", "A", "B", "B", "C1", "C2", "C2", "C3", "C3")


def project(no: str, name: str, manage: str, site: str = "", **facts: object) -> ProjectRow:
    """A project with every value filled in, in 武昌区 unless said otherwise."""
    row = ProjectRow(
        project_no=no,
        name=name,
        manage=manage,
        site=site or manage,
        project_code="2603-420106-04-01-123456",
        local_project_id=f"WH-{no[-10:]}",
        project_type="01",
        build_nature="001",
        usage="100",
        approval_doc_no="武昌发改审〔2026〕18号",
        approval_level="004",
        developer_uscc=known.DEVELOPER,
        developer_name="武汉江澄砚置业有限公司",
        contractor_uscc=known.CONTRACTOR,
        province_code="420000",
        city_code="420100",
        county_code="420106",
        address="湖北省武汉市武昌区中山路188号",
        longitude=Decimal("114.316200"),
        latitude=Decimal("30.553900"),
        datum="CGCS2000",
        total_investment=Decimal("48600.0000"),
        state_invest_ratio=Decimal("51.00"),
        total_area=Decimal("86400.50"),
        planned_start=date(2026, 5, 6),
        planned_end=date(2028, 4, 30),
        status="2",
        data_level="B",
        owner_dept=department_id("HOUSING", manage),
        source_id="local-4201",
        data_as_of=STATED,
    )
    return row._replace(**facts)  # type: ignore[arg-type]


def inspection(no: str, of: ProjectRow, on: date, **facts: object) -> InspectionRow:
    """An inspection of a project by the agency of its region."""
    row = InspectionRow(
        inspection_no=no,
        project_no=of.project_no,
        inspected_on=on,
        manage=of.manage,
        site=of.site,
        owner_dept=department_id("SUPERVISION_AGENCY", of.manage),
        holder_uscc=of.holder_uscc,
        case_no=of.case_no,
        sens=of.sens,
        safety_reg_no=f"AJ{of.project_no}",
        kind="1",
        agency_uscc=department_uscc("SUPERVISION_AGENCY", of.manage),
        inspectors='[{"name": "何松", "enforcement_cert_no": "42010600001"},'
        ' {"name": "欧阳静", "enforcement_cert_no": "42010600002"}]',
        progress=PROGRESS[on.month % 10],
        finding_count=0,
        major_hazard_count=0,
        disposal="0",
        source_id="safety-42",
        data_as_of=STATED,
    )
    return row._replace(**facts)  # type: ignore[arg-type]


def finding(of: InspectionRow, number: int, **facts: object) -> FindingRow:
    """A finding of an inspection."""
    item, text, article, mandatory = HAZARDS[number % len(HAZARDS)]
    row = FindingRow(
        finding_no=f"{of.inspection_no}-{number:02d}",
        parent_no=of.inspection_no,
        manage=of.manage,
        site=of.site,
        owner_dept=of.owner_dept,
        holder_uscc=of.holder_uscc,
        case_no=of.case_no,
        sens=of.sens,
        item_code=item,
        description=text,
        standard_article=article,
        is_mandatory=mandatory,
        hazard_level="1",
        responsible_uscc=None if of.holder_uscc == "-" else of.holder_uscc,
        deadline=of.inspected_on + timedelta(days=15),
        closed=False,
        source_id="safety-42",
        data_as_of=STATED,
    )
    return row._replace(**facts)  # type: ignore[arg-type]


def person(number: int, name: str | None, **facts: object) -> PersonRow:
    """A person of the contractor; the number makes the key and the citizen number."""
    born = date(1980 + number, 3, 5)
    citizen = make.citizen_no("42", born, 100 + number)
    row = PersonRow(
        person_no=make.person_no(number),
        manage=known.HUBEI,
        real_name_verified=True,
        name=name,
        gender="21"[number % 2],
        birth_date=born,
        id_type="111",
        id_no=citizen,
        mobile=make.mobile(number),
        photo=f"photo/{number:08d}.jpg",
        education="20",
        technical_title="3",
        current_enterprise_uscc=known.CONTRACTOR,
        address="湖北省武汉市武昌区中山路188号",
        owner_dept=department_id("HOUSING", known.HUBEI),
        id_hash=make.id_hash(citizen),
        source_id="safety-42",
        data_as_of=STATED,
    )
    return row._replace(**facts)  # type: ignore[arg-type]


def certificate(holder: PersonRow, post: str, serial: int, issued: date, **facts: object) -> CertificateRow:
    """A certificate issued by the province that governs the holder."""
    province = holder.manage
    number = f"{post}{issued.year}{serial:07d}"
    row = CertificateRow(
        cert_no=f"{PROVINCE_SIGNS[province[:2]]}建安{post}（{issued.year}）{serial:07d}",
        category_code=post,
        person_no=holder.person_no,
        valid_to=issued.replace(year=issued.year + 3) - timedelta(days=1),
        state="01",
        manage=province,
        e_cert_id=make.e_cert_id(department_uscc("HOUSING", province), number),
        name=holder.name,
        id_no=holder.id_no,
        gender=holder.gender,
        birth_date=holder.birth_date,
        photo=holder.photo,
        enterprise_uscc=holder.current_enterprise_uscc,
        enterprise_name="武汉衡砺澄建设工程有限公司",
        appointment={"A": "01", "B": "07"}.get(post, "08"),
        technical_title=holder.technical_title,
        education_degree=holder.education,
        first_issued_on=issued,
        issued_on=issued,
        valid_from=issued,
        operate_type="01",
        check_result="1",
        owner_dept=department_id("HOUSING", province),
        case_no=holder.case_no,
        source_id=f"safety-{province[:2]}",
        data_as_of=STATED,
    )
    return row._replace(**facts)  # type: ignore[arg-type]


def enterprise(uscc: str, name: str, **facts: object) -> EnterpriseRow:
    """An enterprise registered in 武昌区."""
    row = EnterpriseRow(
        uscc=uscc,
        name=name,
        manage=known.WUCHANG,
        legacy_org_code=f"{uscc[8:16]}-{uscc[16]}",
        economic_type="150",
        business_types=("1", "2"),
        registered_region_code=known.WUCHANG,
        registered_address="湖北省武汉市武昌区中山路188号",
        legal_rep_name=_NAMES[0],
        legal_rep_id_type="111",
        legal_rep_id_no=make.citizen_no("42", date(1981, 3, 5), 101),
        registered_capital=Decimal(30000),
        founded_on=date(2003, 6, 18),
        contact_name=_NAMES[3],
        contact_mobile=make.mobile(301),
        email="contact@example.com",
        bank_account="0000000000000000301",
        qualification_summary="建筑工程施工总承包特级；市政公用工程施工总承包一级",
        credit_level="A",
        source_province_code=known.HUBEI,
        owner_dept=department_id("HOUSING", known.WUCHANG),
        source_id="market-42",
        data_as_of=STATED,
    )
    return row._replace(**facts)  # type: ignore[arg-type]


def machine(no: str, at: ProjectRow, **facts: object) -> LiftingMachineRow:
    """A tower crane of the contractor's, in use at a project and recorded by its region."""
    row = LiftingMachineRow(
        record_no=no,
        kind="T",
        state="3",
        manage=at.manage,
        name="塔式起重机",
        model="QTZ80（TC6012）",
        manufacturer="武汉涪渠机电制造有限公司",
        manufacture_licence_no="TS2410Z01-2027",
        factory_no=f"2021{no[-5:]}",
        manufactured_on=date(2021, 4, 12),
        rated_moment=Decimal(800),
        max_height=Decimal("162.5"),
        owner_uscc=known.CONTRACTOR,
        owner_name="武汉衡砺澄建设工程有限公司",
        owner_phone=make.mobile(302),
        recorded_on=date(2021, 6, 1),
        record_authority="住房和城乡建设局",
        design_life_end=date(2036, 4, 12),
        project_no=at.project_no,
        owner_dept=department_id("HOUSING", at.manage),
        source_id=f"safety-{at.manage[:2]}",
        data_as_of=STATED,
    )
    return row._replace(**facts)  # type: ignore[arg-type]


def story_rows() -> Iterator[Row]:
    """All well-known records that are not awkward."""
    yield enterprise(known.CONTRACTOR, "武汉衡砺澄建设工程有限公司", former_names=("武汉衡砺建筑公司",))
    yield enterprise(
        known.DEVELOPER, "武汉江澄砚置业有限公司", manage=known.WUHAN, registered_region_code=known.WUHAN,
        business_types=("11",), owner_dept=known.HOUSING_WUHAN,
    )  # fmt: skip
    county = project(known.PROJECT_COUNTY, "武昌滨江锦绣花园一期住宅楼", known.WUCHANG)
    crowded = project(known.PROJECT_MANY_INSPECTIONS, "武昌中山路综合管廊工程", known.WUCHANG, usage="011")
    yield from (county, crowded)
    yield project(known.PROJECT_CITY, "武昌云景实验学校教学楼", known.WUHAN, known.WUCHANG, usage="304")
    yield project(known.PROJECT_PROVINCE, "湖北江南人民医院住院楼", known.HUBEI, known.WUCHANG, usage="304")
    yield project(known.PROJECT_MINISTRY, "国家工程安全试验基地", "000000", known.WUCHANG, usage="301")
    elsewhere = _elsewhere()
    yield from elsewhere
    yield from _machines(county, *elsewhere)
    yield from _inspections(county)
    for day in range(120):
        on = date(2026, 5, 20) + timedelta(days=day)
        yield inspection(f"JC420106{on:%Y%m%d}-{100 + day:06d}", crowded, on)
    yield from _people()
    yield CaseRow(
        known.CASE_OPEN,
        known.WUCHANG,
        "ACCIDENT",
        open=True,
        opened_at=datetime(2026, 9, 2, 1, tzinfo=UTC),
        closed_at=None,
    )
    yield CaseRow(
        known.CASE_CLOSED, known.WUCHANG, "DISCIPLINE", open=False, opened_at=datetime(2025, 4, 1, 1, tzinfo=UTC),
        closed_at=datetime(2025, 11, 30, 9, tzinfo=UTC),
    )  # fmt: skip


def _elsewhere() -> tuple[ProjectRow, ...]:
    """The contractor's projects in other provinces, each with a project code of its own."""
    places = (
        (known.PROJECT_ELSEWHERE, "杭州西湖梧桐广场商业综合体", "330106", "302", "浙江省杭州市西湖区文化路66号"),
        (known.PROJECT_NANJING, "南京秦淮翡翠苑安置房项目", "320104", "100", "江苏省南京市秦淮区中山路21号"),
        (known.PROJECT_JINAN, "济南历下星河实验学校教学楼", "370102", "304", "山东省济南市历下区解放大道9号"),
        (known.PROJECT_SHENZHEN, "深圳南山云景大厦办公楼", "440305", "301", "广东省深圳市南山区科技路118号"),
    )
    return tuple(
        project(
            no, name, county, usage=usage, province_code=f"{county[:2]}0000", city_code=f"{county[:4]}00",
            county_code=county, address=address, project_code=f"2603-{county}-04-01-123456",
            source_id=f"local-{county[:4]}",
        )
        for no, name, county, usage, address in places
    )  # fmt: skip


def _machines(county: ProjectRow, hangzhou: ProjectRow, *others: ProjectRow) -> Iterator[Row]:
    """Tower cranes at the contractor's projects, a hoist, and one that was recorded in another province."""
    nanjing, jinan, shenzhen = others
    yield machine(known.MACHINE_WUHAN, county)
    yield machine(known.MACHINE_HANGZHOU, hangzhou)
    yield machine(
        known.MACHINE_HANGZHOU_HOIST, hangzhou, kind="S", name="施工升降机", model="SC200/200", rated_moment=Decimal(2)
    )
    yield machine(known.MACHINE_NANJING, nanjing)
    yield machine(known.MACHINE_FROM_ELSEWHERE, nanjing, project_no=hangzhou.project_no)
    yield machine(known.MACHINE_JINAN, jinan)
    yield machine(known.MACHINE_SHENZHEN, shenzhen)


def _inspections(county: ProjectRow) -> Iterator[Row]:
    days = (
        date(2026, 5, 12),
        date(2026, 6, 9),
        date(2026, 7, 7),
        date(2026, 8, 4),
        date(2026, 9, 1),
        date(2026, 9, 16),
    )
    for number, on in enumerate(days, start=1):
        no = f"JC420106{on:%Y%m%d}-{number:06d}"
        count = (0, 2, 0, 1, 0, 3)[number - 1]
        major = int(no == known.INSPECTION)
        rectified = None if major else on + timedelta(days=9)
        disposal = "2" if major else "1" if count else "0"
        row = inspection(
            no, county, on, finding_count=count, major_hazard_count=major, disposal=disposal,
            notice_no=f"ZG{no[2:]}" if count else None, deadline=on + timedelta(days=15) if count else None,
            rectified_on=rectified if count else None, review_result="1" if count and not major else None,
            photos=("site/1.jpg", "site/2.jpg"),
        )  # fmt: skip
        yield row
        for nth in range(1, count + 1):
            yield finding(
                row, nth, hazard_level="2" if major and nth == 1 else "1", closed=not major, rectified_on=rectified,
                rectification=None if major else "已按要求整改完毕并复查", reviewed_by=None if major else "何松",
                photos=("site/1.jpg",),
            )  # fmt: skip


def _people() -> Iterator[Row]:
    """The contractor's ten safety managers; those with a case hold a second certificate."""
    for number, (name, post) in enumerate(zip(_NAMES, _POSTS, strict=False), start=1):
        if number == 2:
            # The later certificate is Zhejiang's, so that province governs the person.
            here = person(2, name)
            there = here._replace(manage="330000", owner_dept=department_id("HOUSING", "330000"))
            first = certificate(here, post, 2, date(2024, 4, 8))
            yield there
            yield first
            yield certificate(there, post, 2, date(2026, 4, 8), operate_type="08", transfer_from_cert_no=first.cert_no)
            continue
        case = {3: known.CASE_OPEN, 4: known.CASE_CLOSED}.get(number, "-")
        holder = person(number, name, case_no=case)
        yield holder
        yield certificate(holder, post, number, date(2025, 3, 10 + number))
        if number in (3, 4):
            yield certificate(holder, "C3", 20 + number, date(2025, 5, number))
