"""Lifting machines of the bulk, recorded where they stand."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from demo.seed import make
from demo.seed.chance import DAYS, STAMPS, Weighted, day_number
from demo.seed.enterprises import market
from demo.seed.places import department_id
from demo.seed.rows import TODAY, LiftingMachineRow
from demo.seed.words import PROVINCE_SIGNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from demo.seed.places import Place
    from demo.seed.rows import ProjectRow

_TODAY = day_number(TODAY)
_KINDS = Weighted(
    (
        ("T", "塔式起重机", "QTZ80（TC6012）", Decimal(800)),
        ("S", "施工升降机", "SC200/200", Decimal(2)),
        ("W", "物料提升机", "SSD100", Decimal(1)),
        ("D", "高处作业吊篮", "ZLP630", Decimal("0.63")),
    ),
    (60, 28, 7, 5),
)
_STATES = Weighted(("1", "2", "3", "4", "5", "6", "7"), (12, 5, 66, 6, 4, 5, 2))
_AT_A_SITE = ("2", "3")


def machine(random: Callable[[], float], place: Place, project: ProjectRow, companies: int) -> LiftingMachineRow:
    """A machine of a firm of the province; the project gives it its number, and is where it stands if it stands."""
    kind, name, model, moment = _KINDS.pick(random)
    state = _STATES.pick(random)
    owner = market(companies).contractor(random, place.node[:2])
    serial = project.project_no[6:]
    made = _TODAY - 200 - int(random() * 4500)
    missing = random()
    return LiftingMachineRow(
        record_no=f"{PROVINCE_SIGNS[place.node[:2]]}{place.node[2:]}-{kind}{serial}",
        kind=kind,
        state=state,
        manage=place.node,
        name=name,
        model=model if missing > 0.02 else None,
        manufacturer="武汉涪渠机电制造有限公司" if missing > 0.05 else None,
        manufacture_licence_no="TS2410Z01-2027" if missing > 0.2 else None,
        factory_no=f"{DAYS[made].year}{serial[-5:]}",
        manufactured_on=DAYS[made],
        rated_moment=moment,
        max_height=Decimal(30 + int(random() * 1500) / 10).quantize(Decimal("0.1")),
        owner_uscc=owner.uscc,
        owner_name=owner.name,
        owner_phone=make.mobile(40_000_000 + int(random() * 1_000_000)),
        recorded_on=DAYS[made + 60],
        record_authority=f"{place.address}住房和城乡建设局",
        design_life_end=DAYS[made + 15 * 365],
        cancel_reason="产权转移至外省" if state == "6" else None,
        project_no=project.project_no if state in _AT_A_SITE else None,
        owner_dept=department_id("HOUSING", place.node),
        updated_at=STAMPS[_TODAY - int(random() * 300)],
        source_id=f"safety-{place.node[:2]}",
        data_as_of=STAMPS[_TODAY - int(random() * 30)],
    )
