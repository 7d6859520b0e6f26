"""Checks of identity (人口信息核验), from the population library: one person, one officer, one reason at a time."""

from __future__ import annotations

from schema.declare import PERSONAL, Mask, attribute, value


@value("人口信息核验")
class IdentityCheck:
    """What the population library says of a citizen number; only the items selected are asked for."""

    name: str | None = attribute("登记姓名", PERSONAL, mask=Mask.PERSON_NAME, beside="name")
    gender: Gender | None = attribute("登记性别", PERSONAL, standard="GB/T 2261.1-2003", beside="gender")
    birth_date: date | None = attribute("登记出生日期", PERSONAL, beside="birth_date")
    state: PopulationState | None = attribute("人口状态", PERSONAL)
