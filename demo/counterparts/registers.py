"""What the national registers say: of enterprises, of their credit, of approved projects, of persons."""

from __future__ import annotations

from functools import cache

from demo.counterparts.distort import Raw
from demo.counterparts.facts import UNKNOWN_PROJECT, ministry, people
from demo.seed import wellknown as known
from demo.seed.story import person

_MARKET = "湖北省市场监督管理局"
_OTHER_NAME, _DEAD, _GONE = (person(number, None).id_no for number in (1, 9, 10))
"""Of the contractor's safety managers: one whose name differs, one who has died, one who left the register."""


@cache
def _businesses() -> dict[str, Raw]:
    contractor = {
        "tyshxydm": known.CONTRACTOR,
        "qymc": "武汉衡砺澄建设工程有限公司",
        "djzt": "存续",
        "fddbr": "李国梁",
        "zczb": "300000000",
        "clrq": "20030618",
        "zs": "湖北省武汉市武昌区中山路188号",
        "djjg": _MARKET,
        "hzrq": "20260811",
    }
    return {
        known.CONTRACTOR: contractor,
        known.DEVELOPER: contractor | {
            "tyshxydm": known.DEVELOPER, "qymc": "武汉江澄砚置业有限公司", "fddbr": "陈志远", "zczb": "500000000.00",
            "djzt": "在营（开业）", "hzrq": "19000101",
        },
        known.ENTERPRISE_NO_PROJECTS: contractor | {
            "tyshxydm": known.ENTERPRISE_NO_PROJECTS, "qymc": "武汉岑筑甬基础工程有限公司", "djzt": "吊销，未注销",
            "zczb": "３０００万元", "fddbr": "无", "hzrq": "1900-01-01",
        },
    }  # fmt: skip


def business(uscc: str) -> list[Raw]:
    """Registration of an enterprise; the capital is in yuan."""
    return [found] if (found := _businesses().get(uscc)) else []


@cache
def _credits() -> tuple[Raw, ...]:
    on = [
        ("XY2026-0042", "2", "施工现场未按方案搭设脚手架", "20260822", known.PROJECT_SHENZHEN, "30000"),
        ("XY2026-0030", "2", "未按要求开展安全教育", "20260701", known.PROJECT_JINAN, "10000.50"),
        ("XY2026-0031", "1", "省级安全文明标准化工地", "20260701", known.PROJECT_ELSEWHERE, ""),
        ("XY2026-0018", "1", "湖北省建设优质工程奖（楚天杯）", "20260416", known.PROJECT_COUNTY, "/"),
        ("XY2026-0009", "2", "起重机械未办理使用登记", "20260210", UNKNOWN_PROJECT, "50000"),
        ("XY2025-0077", "9", "约谈记录", "20251105", "渝03-2603-18", "无"),
        ("XY2025-0054", "3", "拖欠农民工工资失信主体", "20250919", "", "0"),
    ]
    return tuple(
        {
            "tyshxydm": known.CONTRACTOR, "jlbh": no, "jllx": kind, "sx": title, "rdjg": "住房和城乡建设主管部门",
            "rdrq": day, "yxqz": f"{int(day[:4]) + 3}{day[4:]}", "fk": penalty, "nr": f"{title}。", "xmbh": project,
        }
        for no, kind, title, day, project, penalty in on
    )  # fmt: skip


def credit(uscc: str) -> list[Raw]:
    """Credit records of an enterprise, newest first; penalties are in yuan."""
    return [record for record in _credits() if record["tyshxydm"] == uscc]


@cache
def _approvals() -> dict[str, Raw]:
    found: dict[str, Raw] = {}
    for row in ministry().values():
        # The story's projects in 武昌 share one code; the register knows it by the first.
        if row.project_code and row.project_code not in found:
            found[row.project_code] = {
                "xmdm": row.project_code, "xmmc": row.name, "pwwh": row.approval_doc_no, "spjb": "区县级",
                "pfrq": "2026-03-18", "pfjg": "发展和改革局", "ztz": f"{(row.total_investment or 0) * 10000:f}",
            }  # fmt: skip
    elsewhere = ministry()[known.PROJECT_ELSEWHERE].project_code or ""
    found[elsewhere] |= {"ztz": "512000000.00", "spjb": "设区市级", "pfrq": "1900-01-01"}
    return found


def approval(project_code: str) -> list[Raw]:
    """Approval of a project; the investment is in yuan."""
    return [found] if (found := _approvals().get(project_code)) else []


def population(citizen_no: str) -> list[Raw]:
    """A person; only those whom the ministry knows, since everybody else is made up for other purposes."""
    row = people().get(citizen_no)
    if row is None or row.birth_date is None:
        return []
    name = "陈致远" if citizen_no == _OTHER_NAME else row.name
    state = "死亡" if citizen_no == _DEAD else "注销" if citizen_no == _GONE else "正常"
    return [{"GMSFHM": citizen_no, "XM": name, "XB": row.gender, "CSRQ": f"{row.birth_date:%Y%m%d}", "RKZT": state}]
