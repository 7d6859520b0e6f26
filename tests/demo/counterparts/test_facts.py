"""What the counterparts know: where they differ from the ministry, and whether there is enough to merge."""

from __future__ import annotations

import re
from decimal import Decimal
from importlib.resources import files

from demo.counterparts.facts import SITES, STRANGER, ministry, visits
from demo.counterparts.registers import approval, business
from demo.seed import wellknown as known
from demo.seed.story import enterprise
from schema.regions import load_regions


def test_where_they_differ_from_the_ministry() -> None:
    """README.md's table is what the facts say, and all that they say."""
    text = files("demo.counterparts").joinpath("README.md").read_text(encoding="utf-8")
    section = text.partition("## Where they differ")[2].partition("## Dirt")[0]
    table = set(re.findall(r"^\| ([a-z]+) \| `?([^|`]+)`? \| (\w+) \| ([^|]+) \| ([^|]+) \|$", section, re.MULTILINE))
    names = {"33": "zhejiang", "42": "hubei", "32": "jiangsu", "37": "shandong", "44": "guangdong"}
    found = set()
    for province, sites in SITES.items():
        for site in sites:
            row = ministry()[site.project_no]
            pairs = {
                "state": (row.status, site.state),
                "name": (row.name, site.name),
                "contractor_uscc": (row.contractor_uscc, site.contractor.replace(STRANGER, "a citizen number")),
                "total_area": (row.total_area, site.area),
            }  # fmt: skip
            found |= {
                (names[province], site.project_no, name, str(ours), str(theirs))
                for name, (ours, theirs) in pairs.items()
                if ours != theirs
            }
    company = enterprise(known.CONTRACTOR, "")
    for uscc in (known.CONTRACTOR, known.DEVELOPER):
        (register,) = business(uscc)
        capital = Decimal(register["zczb"]) / 10000
        if register["fddbr"] != company.legal_rep_name:
            found.add(("national", uscc, "legal_rep_name", str(company.legal_rep_name), register["fddbr"]))
        if capital != company.registered_capital:
            found.add(("national", uscc, "registered_capital", str(company.registered_capital), f"{capital:f}"))
    for row in ministry().values():
        code = row.project_code or ""
        for register in approval(code) if row.project_no in register_heads() else ():
            invested = Decimal(register["ztz"]) / 10000
            level = {"区县级": "004", "设区市级": "003"}[register["spjb"]]
            if invested != row.total_investment:
                found.add(("national", code, "total_investment", str(row.total_investment), f"{invested:f}"))
            if level != row.approval_level:
                found.add(("national", code, "approval_level", str(row.approval_level), level))
    found.add(("national", "first safety manager", "name", "陈志远", "陈致远"))
    assert table == found


def register_heads() -> set[str]:
    """Of the projects that share a code, the first."""
    heads: dict[str | None, str] = {}
    for row in ministry().values():
        heads.setdefault(row.project_code, row.project_no)
    return set(heads.values())


def test_visits_are_enough_to_merge() -> None:
    """Thirty to a hundred and twenty in each province, in order, with two numbers that two provinces share."""
    lists = {province: visits(province) for province in SITES}
    assert {province: len(found) for province, found in lists.items()} == {
        "33": 60, "42": 120, "32": 30, "37": 90, "44": 45,
    }  # fmt: skip
    numbers = [visit.no for found in lists.values() for visit in found]
    assert len(numbers) - len(set(numbers)) == 2
    for province, found in lists.items():
        order = [(-visit.on.toordinal(), visit.no) for visit in found]
        assert order == sorted(order)
        assert len({visit.on for visit in found}) < len(found)
        assert {load_regions().resolve(visit.region, visit.on)[:2] for visit in found} == {province}
