"""What local systems know, before each puts it into its own words: as the ministry, but for what README.md lists."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from functools import cache
from random import Random
from typing import NamedTuple

from demo.seed import make
from demo.seed import wellknown as known
from demo.seed.awkward import NAMES
from demo.seed.rows import PersonRow, ProjectRow
from demo.seed.story import project, story_rows

BEIJING = timezone(timedelta(hours=8))
REPORTED = datetime(2026, 9, 30, 6, 30, tzinfo=BEIJING)
"""When sites reported last; the ministry's own copy is ten days older."""
STRANGER = make.citizen_no("42", date(1975, 8, 8), 777)
"""Citizen number of somebody whom the ministry does not know."""
UNKNOWN_PROJECT = "5001032603180101"
"""A project number of the right form that the ministry does not have."""
SAME_DAY_NUMBER = "JC33010620260610-900001"
"""Inspection number used in 浙江 and 广东 on the same day."""
OTHER_DAY_NUMBER = "JC42010620260707-900002"
"""Inspection number used in 湖北 and 江苏 on different days."""


class Site(NamedTuple):
    """A construction site; codes are the official ones, the area is in square metres."""

    project_no: str
    name: str
    contractor: str
    area: Decimal
    region: str
    state: str = "2"
    progress: str = "主体结构"
    stopped_for: str | None = None
    workers: int = 186
    officer: str = "郑凯"
    mobile: str = make.mobile(410)
    reported: datetime = REPORTED


class Visit(NamedTuple):
    """A live inspection; codes are the official ones."""

    no: str
    project_no: str
    contractor: str
    region: str
    on: date
    kind: str
    agency: str
    findings: int
    majors: int
    disposal: str
    summary: str
    inspectors: tuple[str, ...]

    @property
    def changed(self) -> datetime:
        """When the record was written: the evening of the day."""
        return datetime(self.on.year, self.on.month, self.on.day, 18, 5, tzinfo=BEIJING)


class Reading(NamedTuple):
    """The latest reading of a lifting machine: percent, tons, metres, metres a second."""

    record_no: str
    device: str
    region: str
    online: bool = True
    at: datetime = REPORTED
    wind: Decimal = Decimal("6.2")
    moment: Decimal = Decimal(63)
    load: Decimal = Decimal("2.35")
    height: Decimal = Decimal("81.5")
    alarms: int = 1
    driver: str = "孙岩"


@cache
def ministry() -> dict[str, ProjectRow]:
    """The well-known projects as the ministry has them."""
    rows = {row.project_no: row for row in story_rows() if isinstance(row, ProjectRow)}
    rows[known.NAME_EMOJI] = project(known.NAME_EMOJI, NAMES[known.NAME_EMOJI], known.WUCHANG)
    return rows


def site(project_no: str, **other: object) -> Site:
    """A site that agrees with the ministry but for what is said."""
    row = ministry()[project_no]
    same = Site(project_no, row.name, row.holder_uscc, row.total_area or Decimal(0), row.manage)
    return same._replace(**other)  # type: ignore[arg-type]


@cache
def people() -> dict[str, PersonRow]:
    """The contractor's safety managers by citizen number."""
    return {row.id_no: row for row in story_rows() if isinstance(row, PersonRow) and row.id_no}


SITES: dict[str, tuple[Site, ...]] = {
    "33": (site(known.PROJECT_ELSEWHERE, state="3", stopped_for="塔式起重机限位失效，责令停工整改", workers=0),),
    "42": (
        site(known.PROJECT_COUNTY),
        site(known.PROJECT_CITY, area=Decimal(92000), name="武昌云景实验学校教学楼〔一期〕", progress="装饰装修"),
        site(known.PROJECT_PROVINCE, contractor=STRANGER),
        site(known.PROJECT_MANY_INSPECTIONS, progress="㛃石河段管廊主体", officer="欧阳𠮷"),
        site(known.NAME_EMOJI),
    ),
    "32": (site(known.PROJECT_NANJING, state="4", name="南京秦淮翡翠苑安置房项目(一标段)", progress="竣工收尾"),),
    "37": (site(known.PROJECT_JINAN, name="济南历下星河实验学校教学楼工程", workers=42),),
    "44": (site(known.PROJECT_SHENZHEN, contractor=known.ENTERPRISE_NO_PROJECTS, progress="基础施工"),),
}
"""Sites by province."""

READINGS: dict[str, tuple[Reading, ...]] = {
    "33": (
        Reading(known.MACHINE_HANGZHOU, "HZ-TD-0017", "330106", alarms=3, moment=Decimal(104)),
        Reading(known.MACHINE_HANGZHOU_HOIST, "HZ-SJ-0005", "330106", online=False, wind=Decimal("3.1")),
    ),
    "44": (Reading(known.MACHINE_SHENZHEN, "SZ-TC-1180", "440305", driver="赵敏"),),
    "37": (Reading(known.MACHINE_JINAN, "JN-T-009", "370102", wind=Decimal("11.8"), driver="周建军"),),
}
"""Readings by province."""

_AGENCIES = {
    "33": "杭州市西湖区建设工程质量安全监督站",
    "42": "武汉市武昌区建筑管理站",
    "32": "南京市秦淮区建设工程质量安全监督站",
    "37": "济南市历下区工程质量与安全中心",
    "44": "深圳市南山区建设工程质量安全监督站",
}
_COUNTS = {"33": 60, "42": 120, "32": 30, "37": 90, "44": 45}
"""How many visits to the contractor's sites each province has."""
_INSPECTORS = ("何松", "欧阳静", "高建平", "卓玛·央金", "沈志新")
_SUMMARIES = ("现场管理总体受控", "临边防护不到位，已责令整改", "塔式起重机附着检查合格", "配电箱未一机一闸，已整改")
_FIRST = date(2026, 1, 5)
_DAYS = 268


@cache
def visits(province: str) -> tuple[Visit, ...]:
    """All visits of a province to the contractor's sites; with days on which there were several."""
    random = Random(f"visits of {province}").random
    at = [place.project_no for place in SITES[province] if place.project_no != known.NAME_EMOJI]
    region = SITES[province][0].region
    found = [*_shared(province)]
    while len(found) < _COUNTS[province]:
        on = _FIRST + timedelta(days=int(random() * _DAYS))
        findings = int(random() * 5)
        majors = int(findings > 2 and random() < 0.3)
        first = int(random() * len(_INSPECTORS))
        found.append(
            Visit(
                no=f"JC{region}{on:%Y%m%d}-{800000 + len(found):06d}",
                project_no=at[int(random() * len(at))],
                contractor=known.CONTRACTOR,
                region=region,
                on=on,
                kind="12345"[int(random() * 5)],
                agency=_AGENCIES[province],
                findings=findings,
                majors=majors,
                disposal="2" if majors else "1" if findings else "0",
                summary=_SUMMARIES[int(random() * len(_SUMMARIES))],
                inspectors=(_INSPECTORS[first], _INSPECTORS[first - 1]),
            )
        )
    return tuple(sorted(found, key=lambda visit: (-visit.on.toordinal(), visit.no)))


def _shared(province: str) -> list[Visit]:
    """The visits whose numbers another province uses too, and the ministry's copies of 武昌's."""
    region, agency = SITES[province][0].region, _AGENCIES[province]
    project_no = SITES[province][0].project_no
    numbered = {
        "33": [(SAME_DAY_NUMBER, date(2026, 6, 10))],
        "44": [(SAME_DAY_NUMBER, date(2026, 6, 10))],
        "42": [(OTHER_DAY_NUMBER, date(2026, 7, 7)), (known.INSPECTION, date(2026, 9, 16))],
        "32": [(OTHER_DAY_NUMBER, date(2026, 7, 9))],
        "37": [],
    }[province]
    return [
        Visit(no, project_no, known.CONTRACTOR, region, on, "1", agency, 1, 0, "1", _SUMMARIES[1], _INSPECTORS[:2])
        for no, on in numbered
    ]


def after(found: tuple[Visit, ...], day: str, no: str) -> tuple[Visit, ...]:
    """The visits strictly behind one in the order of day descending, then number; `day` is eight digits, whatever
    stands between them, and empty for all."""
    digits = "".join(filter(str.isdecimal, day))
    if not digits:
        return found
    boundary = (-datetime.strptime(digits, "%Y%m%d").toordinal(), no)  # noqa: DTZ007 - a day has no zone
    return tuple(visit for visit in found if (-visit.on.toordinal(), visit.no) > boundary)
