"""Connected systems (接入系统) and how they are now, as the process that answers knows them."""

from __future__ import annotations

from schema.declare import SHARED, attribute, value


@value("接入系统")
class DataSource:
    """One system that answers remote values; counts since the process started, no address and no credential."""

    name: str | None = attribute("标识", SHARED)
    title: str | None = attribute("系统名称", SHARED)
    transport: Transport | None = attribute("接入方式", SHARED)
    covers: list[RegionCode] = attribute("覆盖区划", SHARED)
    services: list[str] = attribute("提供的数据项", SHARED)
    health: SourceHealth | None = attribute("健康状态", SHARED)
    breaker: BreakerState | None = attribute("熔断状态", SHARED)
    calls: int | None = attribute("访问次数", SHARED)
    failures: int | None = attribute("失败次数", SHARED)
    latency_ms: int | None = attribute("近期响应时间中位数", SHARED, unit="毫秒")
    last_success_at: datetime | None = attribute("最近成功时间", SHARED)
    last_failure: str | None = attribute("最近失败原因", SHARED)
    fresh_as_of: datetime | None = attribute("所见最新数据时点", SHARED)
    unmapped: list[str] = attribute("无法对应的地方值：数据项、原因、次数", SHARED)
