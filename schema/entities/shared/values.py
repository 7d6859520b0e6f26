"""Value types that several entities share."""

from __future__ import annotations

from schema.declare import attribute, value


@value("数据来源")
class Provenance:
    """Where a value came from and how old it is; for the ministry's own copy `asOf` is the province's date.

    The rest is of remote values only: when we fetched it, whether it is an earlier copy because the source fails now,
    whose local value no mapping covers, and whether another source has a record of the same number.
    """

    source: str | None = attribute("来源系统")
    as_of: datetime | None = attribute("数据时点")
    fetched_at: datetime | None = attribute("取得时间")
    stale: bool | None = attribute("是否为此前副本")
    unmapped: list[str] = attribute("地方值无法对应的数据项")
    duplicated: bool | None = attribute("其他来源有相同编号")


@value("地理坐标")
class GeoPoint:
    """A position with its datum, since the country's systems mix GCJ-02 and CGCS2000."""

    longitude: Decimal | None = attribute("经度", unit="度")
    latitude: Decimal | None = attribute("纬度", unit="度")
    datum: str | None = attribute("坐标系")
