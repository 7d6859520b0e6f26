"""Enterprises, and the market in which projects and persons find them."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

from demo.seed import make
from demo.seed.chance import DAYS, STAMPS, Weighted, bell, chance, day_number, lognormal
from demo.seed.places import allocate, department_id
from demo.seed.rows import TODAY, EnterpriseRow
from demo.seed.words import BRANDS, BUSINESS, COMPANY_FORMS, COMPOUND_SURNAMES, GIVEN, ROADS, SURNAMES

if TYPE_CHECKING:
    from collections.abc import Callable

_ECONOMIC = Weighted(("110", "120", "150", "160", "170", "200", "300"), (6, 2, 60, 8, 22, 1, 1))
_BUILDERS = Weighted((("1",), ("1", "2"), ("1", "3"), ("1", "9"), ("4",), ("5", "6"), ("11",)), (60, 10, 8, 2, 8, 6, 6))
_QUALIFICATIONS = (
    "建筑工程施工总承包{}级",
    "市政公用工程施工总承包{}级",
    "钢结构工程专业承包{}级",
    "建筑机电安装工程专业承包{}级",
)


def person_name(random: Callable[[], float]) -> str:
    """A made-up name of two or three characters, now and then a compound surname."""
    r = random()
    surname = COMPOUND_SURNAMES[int(r * 600)] if r < 0.01 else SURNAMES[int(random() ** 1.5 * len(SURNAMES))]
    given = GIVEN[int(random() * len(GIVEN))]
    return surname + given + (GIVEN[int(random() * len(GIVEN))] if random() < 0.7 else "")


@cache
def enterprises(count: int) -> tuple[EnterpriseRow, ...]:
    """All bulk enterprises, by place; every process makes the same ones."""
    random = chance(1, 0)
    found: list[EnterpriseRow] = []
    today = day_number(TODAY)
    for place, here in allocate(count):
        town = place.town.removesuffix("市").removesuffix("县").removesuffix("区")
        for _ in range(here):
            number = len(found) + 1000
            brand = "".join(BRANDS[int(random() * len(BRANDS))] for _ in range(3))
            name = f"{town}{brand}{BUSINESS[int(random() * 10)]}{COMPANY_FORMS[int(random() * 6)]}"
            code = make.enterprise_uscc(place.number, number)
            founded = today - 400 - int(random() * 11000)
            missing = random()
            found.append(
                EnterpriseRow(
                    uscc=code,
                    name=name,
                    manage=place.node,
                    legacy_org_code=f"{code[8:16]}-{code[16]}" if missing > 0.2 else None,
                    former_names=(f"{town}{brand}建筑公司",) if random() < 0.08 else (),
                    economic_type=_ECONOMIC.pick(random) if missing > 0.03 else None,
                    business_types=_BUILDERS.pick(random),
                    registered_region_code=place.county_gb,
                    registered_address=f"{place.address}{ROADS[int(random() * 12)]}{int(random() * 900) + 1}号",
                    legal_rep_name=person_name(random),
                    legal_rep_id_type="111",
                    legal_rep_id_no=make.citizen_no(
                        place.number[:2], DAYS[3650 + int(random() * 14000)], int(random() * 1000)
                    ),
                    registered_capital=Decimal(int(lognormal(random, 0.9) * 4000) + 100) if missing > 0.02 else None,
                    founded_on=DAYS[founded],
                    contact_name=person_name(random),
                    contact_mobile=make.mobile(10_000_000 + number),
                    email=f"contact{number}@example.com" if missing > 0.4 else None,
                    bank_account=f"000000{number:013d}" if missing > 0.3 else None,
                    qualification_summary=_QUALIFICATIONS[int(random() * 4)].format("一二三特"[int(random() * 4)]),
                    credit_level="ABCD"[int(random() ** 2 * 4)] if missing > 0.1 else None,
                    source_province_code=place.managers[2],
                    owner_dept=department_id("HOUSING", place.node),
                    version=1 + int(random() * 4),
                    updated_at=STAMPS[today - int(random() * 700)],
                    source_id=f"market-{place.node[:2]}",
                    data_as_of=STAMPS[today - int(random() * 30)],
                )
            )
    return tuple(found)


class Market:
    """Who works for whom: large enterprises have many projects and persons, mostly in their own province."""

    def __init__(self, count: int) -> None:
        random = chance(2, 0)
        by_province: dict[str, list[tuple[EnterpriseRow, float]]] = defaultdict(list)
        for row in enterprises(count):
            # A fifth have no project: they are registered and nothing else.
            weight = lognormal(random, 1.3) if random() > 0.2 else 0.0
            by_province[row.manage[:2]].append((row, weight))
        everyone = [pair for pairs in by_province.values() for pair in pairs]
        self._country = Weighted([row for row, _ in everyone], [weight for _, weight in everyone])
        self._provinces = {
            province: Weighted([row for row, _ in pairs], [weight for _, weight in pairs])
            for province, pairs in by_province.items()
            if any(weight for _, weight in pairs)
        }

    def contractor(self, random: Callable[[], float], province: str) -> EnterpriseRow:
        """An enterprise that builds in this province."""
        local = self._provinces.get(province)
        return local.pick(random) if local and random() < 0.8 else self._country.pick(random)

    def employer(self, random: Callable[[], float]) -> EnterpriseRow:
        """An enterprise that employs."""
        return self._country.pick(random)


@cache
def market(count: int) -> Market:
    """The market of this many enterprises."""
    return Market(count)


def area(random: Callable[[], float]) -> Decimal:
    """A floor area in square metres, two decimals."""
    return Decimal(int(lognormal(random, 0.9) * 1_800_000)).scaleb(-2)


def investment(random: Callable[[], float]) -> Decimal:
    """An investment in units of ten thousand yuan, four decimals."""
    return Decimal(int(lognormal(random, 1.0) * 80_000_000)).scaleb(-4)


def position(random: Callable[[], float], low: float, high: float) -> Decimal:
    """A coordinate with six decimals."""
    return Decimal(int((low + (high - low) * random() + 0.01 * bell(random)) * 1_000_000)).scaleb(-6)
