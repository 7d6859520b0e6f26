"""Approvals of investment projects (投资项目审批核准备案), from the national data sharing and exchange platform."""

from __future__ import annotations

from schema.declare import CONDITIONAL, SHARED, attribute, value


@value("投资项目审批")
class InvestmentApproval:
    """What the development and reform authority recorded of a project's approval."""

    name: str | None = attribute("审批项目名称", SHARED, beside="name")
    approval_doc_no: str | None = attribute("审批文号", SHARED, beside="approval_doc_no")
    approval_level: ApprovalLevel | None = attribute("审批级别", SHARED, beside="approval_level")
    approved_on: date | None = attribute("审批日期", SHARED)
    authority: str | None = attribute("审批机关", SHARED)
    total_investment: Decimal | None = attribute("审批总投资", CONDITIONAL, unit="万元", beside="total_investment")
