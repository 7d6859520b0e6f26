"""Where things are: the places that projects and enterprises belong to, and who supervises them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TYPE_CHECKING

from demo.seed import make
from demo.seed.rows import DepartmentRow
from demo.seed.words import PROVINCE_WEIGHTS
from schema.codes import CODE_LISTS
from schema.regions import MINISTRY, RegionKind, RegionLevel, RegionNode, load_regions

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPARTMENT_LETTERS = {
    "HOUSING": "JS", "SUPERVISION_AGENCY": "AJ", "PLANNING": "GH", "TRANSPORT": "JT", "EMERGENCY": "YJ",
    "PUBLIC_SECURITY": "GA", "FIRE": "XF", "MARKET_REG": "SG", "HR": "RS", "DRC": "FG", "DISCIPLINE": "JW",
    "AUDIT": "SJ", "DATA_AUTH": "SZ", "OTHER_GOV": "QT",
}  # fmt: skip
_TITLES = {
    "HOUSING": "住房和城乡建设{}", "SUPERVISION_AGENCY": "建设工程质量安全监督{}", "PLANNING": "自然资源和规划{}",
    "TRANSPORT": "交通运输{}", "EMERGENCY": "应急管理{}", "PUBLIC_SECURITY": "公安{}", "FIRE": "消防救援{}",
    "MARKET_REG": "市场监督管理{}", "HR": "人力资源和社会保障{}", "DRC": "发展和改革{}", "DISCIPLINE": "纪检监察{}",
    "AUDIT": "审计{}", "DATA_AUTH": "数据管理{}", "OTHER_GOV": "政务服务{}",
}  # fmt: skip
_LEVELS = {RegionLevel.COUNTRY: "MINISTRY", RegionLevel.PROVINCE: "PROVINCE", RegionLevel.COUNTY: "COUNTY"}
_CORPS = "新疆生产建设兵团"
_SYSTEMS = CODE_LISTS["BizSystem"].codes


@dataclass(frozen=True, slots=True)
class Place:
    """A node without further ones below it: where a project lies and who may manage it."""

    node: str
    managers: tuple[str, str, str]
    """The node itself, the one above it below the province (or itself again), and the province."""
    province_gb: str
    city_gb: str | None
    county_gb: str | None
    number: str
    """Six digits for numbers that begin with a region: the GB code if there is one."""
    address: str
    town: str
    """A short name, as it stands in names of enterprises and projects."""
    weight: float


@cache
def places() -> tuple[Place, ...]:
    """All places in scope, by code."""
    regions = load_regions()
    parents = {above for code in regions.nodes for above in regions.ancestors(code)[:1]}
    leaves = [node for code, node in regions.nodes.items() if node.in_scope and code not in parents]
    size = dict.fromkeys(PROVINCE_WEIGHTS, 0.0)
    sizes = {}
    for node in leaves:
        # Some counties build much more than others, and those at the seat of a province more still.
        spread = math.exp(0.8 * _bell(Random(int(node.node_id))))
        sizes[node.node_id] = spread * (3 if node.node_id[2:4] == "01" else 1)
        size[node.node_id[:2]] += sizes[node.node_id]
    shares = {province: PROVINCE_WEIGHTS[province] / whole for province, whole in size.items()}
    return tuple(_place(node, shares[node.node_id[:2]] * sizes[node.node_id]) for node in leaves)


def _bell(random: Random) -> float:
    # Random.gauss may change between versions of Python, random() may not.
    return sum(random.random() for _ in range(12)) - 6


def _place(node: RegionNode, weight: float) -> Place:
    regions = load_regions()
    code, gb = node.node_id, node.code6
    above = regions.ancestors(code)
    city = above[0] if len(above) > 2 else code
    known = {n.code6 for n in regions.nodes.values() if n.code6}
    guess = (gb or city)[:4] + "00"
    names = [regions.nodes[c].name for c in (code, *above) if c != MINISTRY]
    return Place(
        node=code,
        managers=(code, city, code[:2] + "0000"),
        province_gb=(gb or (code if node.kind is not RegionKind.XPCC else "65"))[:2] + "0000",
        city_gb=guess if guess in known else None,
        county_gb=gb,
        number=gb or code,
        address="".join(reversed(names)).replace(_CORPS * 2, _CORPS),
        town=node.name[:2] if "自治" in node.name else node.name.removeprefix(_CORPS),
        weight=weight,
    )


def allocate(total: int) -> Iterator[tuple[Place, int]]:
    """Share a number of things out to the places by weight, largest remainders first; in order of code."""
    whole = sum(place.weight for place in places())
    exact = [total * place.weight / whole for place in places()]
    counts = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (counts[i] - exact[i], i))
    for i in by_remainder[: total - sum(counts)]:
        counts[i] += 1
    return ((place, count) for place, count in zip(places(), counts, strict=True) if count)


def department_id(kind: str, region: str) -> str:
    """The identifier of a region's department of a kind; every node has HOUSING and SUPERVISION_AGENCY."""
    return f"{DEPARTMENT_LETTERS[kind]}{region}-1"


@cache
def department_uscc(kind: str, region: str) -> str:
    """The social credit code of that department: an organ of state, or an institution for an agency."""
    letter = make.base31(list(DEPARTMENT_LETTERS).index(kind), 1)
    return make.uscc(
        f"1{2 if kind == 'SUPERVISION_AGENCY' else 1}{region}", f"DEP{letter}{make.base31(int(region), 4)}"
    )


def department_rows() -> Iterator[DepartmentRow]:
    """One housing department and one supervision agency per node in scope; every other kind once per province."""
    for node in load_regions().nodes.values():
        if not node.in_scope:
            continue
        everything = node.level in (RegionLevel.COUNTRY, RegionLevel.PROVINCE)
        for number, kind in enumerate(DEPARTMENT_LETTERS if everything else list(DEPARTMENT_LETTERS)[:2]):
            yield _department(node, kind, number)


def _department(node: RegionNode, kind: str, number: int) -> DepartmentRow:
    code = node.node_id
    above = load_regions().parent(code)
    office = "部" if code == MINISTRY else "厅" if node.level is RegionLevel.PROVINCE else "局"
    superior = code if kind == "SUPERVISION_AGENCY" else above
    building = kind in ("HOUSING", "SUPERVISION_AGENCY")
    return DepartmentRow(
        dept_id=department_id(kind, code),
        name=node.name + _TITLES[kind].format("站" if kind == "SUPERVISION_AGENCY" else office),
        kind=kind,
        level=_LEVELS.get(node.level, "CITY" if code.endswith("00") else "COUNTY"),
        region_node_id=code,
        uscc=department_uscc(kind, code),
        jurisdiction_node_ids=(code,),
        superior_dept_id=department_id("HOUSING", superior) if building and superior else None,
        business_scopes=_SYSTEMS if building else (),
        address=f"{node.name}政务中心{number + 1}号楼",
        duty_phone=f"0000-0{int(code):06d}",
        contact_name=f"{'赵钱孙李周吴郑王'[int(code) % 8]}{'建国安民'[number % 4]}",
        contact_mobile=make.mobile(int(code) * 20 + number),
        source_id="ministry",
    )
