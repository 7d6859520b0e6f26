"""Value types that several entities share."""

from __future__ import annotations

from schema.declare import attribute, value


@value("数据来源")
class Provenance:
    """Where a value came from and how old it is; for the ministry's own copy `asOf` is the province's date."""

    source: str | None = attribute("来源系统")
    as_of: datetime | None = attribute("数据时点")


@value("地理坐标")
class GeoPoint:
    """A position with its datum, since the country's systems mix GCJ-02 and CGCS2000."""

    longitude: Decimal | None = attribute("经度", unit="度")
    latitude: Decimal | None = attribute("纬度", unit="度")
    datum: str | None = attribute("坐标系")
