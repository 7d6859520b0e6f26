"""Business registration (市场主体登记), from the national data sharing and exchange platform."""

from __future__ import annotations

from schema.declare import SHARED, attribute, value


@value("市场主体登记")
class BusinessRegistration:
    """What the market regulator's register says of an enterprise."""

    name: str | None = attribute("登记名称", SHARED, beside="name")
    state: RegistrationState | None = attribute("登记状态", SHARED)
    legal_rep_name: str | None = attribute("登记法定代表人", SHARED, beside="legal_rep_name")
    registered_capital: Decimal | None = attribute("登记注册资本", SHARED, unit="万元", beside="registered_capital")
    founded_on: date | None = attribute("登记成立日期", SHARED, beside="founded_on")
    address: str | None = attribute("登记住所", SHARED)
    authority: str | None = attribute("登记机关", SHARED)
    approved_on: date | None = attribute("核准日期", SHARED)
