"""The floors' SQL: the product's own statements, as it really sends them, and the best that is written by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from adapters.base import AuditRecord
from bench.workload import OPERATIONS, ROLES, variables
from server.pipeline import Question
from server.service import Service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.stage import Stage
    from policy.subject import Subject

KEY: Final = "$key"
"""Stands among constant arguments for the key of a request."""


class StatementChanged(RuntimeError):
    """The product sent not exactly one statement for an operation with one root."""


class Sent(NamedTuple):
    """One statement: text, arguments with `KEY` for the request's key, whether it takes arrays; its audit record."""

    sql: str
    arguments: list[Any]
    batched: bool
    record: AuditRecord | None = None


async def recorded(stage: Stage, subject: Subject, operations: Mapping[str, str]) -> dict[str, Sent]:
    """What the product sends for each operation of a subject; raises `StatementChanged`."""
    key = stage.keys[0]
    found: dict[str, Sent] = {}
    async with Service.open(stage.settings) as service:
        run = service.database.run
        sent: list[tuple[Any, Sequence[Any], AuditRecord]] = []

        async def recording(statement: Any, arguments: Sequence[Any], record: AuditRecord) -> Sequence[bytes | None]:
            sent.append((statement.compiled, arguments, record))
            return await run(statement, arguments, record)

        service.database.run = recording  # type: ignore[method-assign]
        for name, query in operations.items():
            sent.clear()
            answer = await service.answer(Question(query, dict(variables(name, key)), None), subject, f"floor-{name}")
            if answer.status != 200 or len(sent) != 1:
                raise StatementChanged(f"{name}: {len(sent)} statements, {answer.body[:500]!r}")
            compiled, arguments, record = sent[0]
            constants = [KEY if argument == key else argument for argument in arguments]
            found[name] = Sent(compiled.sql, constants, compiled.batched, record)
    return found


def write_floor(path: Path, stage: Stage) -> None:
    """Write what F1 runs: for each role and operation the product's statement, and the record that goes with it."""

    async def statements() -> dict[str, Sent]:
        return {
            f"/{role}/{name}": sent
            for role in ROLES
            for name, sent in (await recorded(stage, await stage.subject(role), OPERATIONS)).items()
        }

    path.write_text(json.dumps(asyncio.run(statements())))


def write_best(path: Path) -> None:
    """Write what F2 runs, whoever asks."""
    path.write_text(json.dumps({f"/{name}": Sent(sql, [KEY], batched=False) for name, sql in BEST.items()}))


_PAGE = "select convert_to('[' || string_agg(j::text, ',') || ']', 'UTF8') from ({}) p"
BEST = {
    "Q1": (
        "select convert_to(row_to_json(o)::text, 'UTF8') from project t cross join lateral (select t.project_no as"
        ' "projectNo", t.name, t.project_type as "projectType", t.status, t.total_area::text as "totalArea",'
        ' t.planned_start as "plannedStart", t.developer_name as "developerName", t.county_code as "countyCode") o'
        " where t.project_no = $1"
    ),
    "Q2": _PAGE.format(
        "select row_to_json(o) j from (select * from project where project_no > $1 order by project_no limit 50) t"
        " left join lateral (select row_to_json(e) j from (select uscc, name, registered_address as"
        ' "registeredAddress" from enterprise where uscc = t.contractor_uscc) e limit 1) c on true cross join lateral'
        ' (select t.project_no as "projectNo", t.name, t.status, t.total_area::text as "totalArea", t.planned_start as'
        ' "plannedStart", c.j as contractor) o'
    ),
    "Q3": _PAGE.format(
        "select row_to_json(o) j from (select * from project where project_no > $1 order by project_no limit 50) t"
        " left join lateral (select row_to_json(x) j from enterprise e left join lateral (select"
        " json_agg(row_to_json(m)) j from (select * from safety_manager_certificate where enterprise_uscc = e.uscc"
        " order by cert_no limit 10) s left join lateral (select row_to_json(y) j from (select person_no as"
        ' "personNo", name, mobile, birth_year as "birthYear" from person where person_no = s.person_no) y limit 1) r'
        ' on true cross join lateral (select s.cert_no as "certNo", s.category_code as "categoryCode", s.state,'
        ' s.valid_to as "validTo", s.name, s.id_no as "idNo", r.j as person) m) l on true cross join lateral (select'
        " e.uscc, e.name, coalesce(l.j, '[]') as \"safetyManagers\") x where e.uscc = t.contractor_uscc limit 1) c on"
        " true left join lateral (select json_agg(row_to_json(i)) j from (select inspection_no as"
        ' "inspectionNo", inspected_on as "inspectedOn", kind, finding_count as "findingCount", major_hazard_count as'
        ' "majorHazardCount", disposal from safety_inspection where project_no = t.project_no order by inspected_on'
        " desc, inspection_no desc limit 5) i) n on true cross join lateral (select t.project_no as"
        " \"projectNo\", t.name, t.status, c.j as contractor, coalesce(n.j, '[]') as inspections) o"
    ),
    "Q4": _PAGE.format(
        'select row_to_json(o) j from (select project_no as "projectNo", name, project_type as "projectType", status,'
        ' total_area::text as "totalArea", planned_start as "plannedStart", planned_end as "plannedEnd",'
        ' developer_name as "developerName", county_code as "countyCode", contractor_uscc as "contractorUscc"'
        " from project where project_no > $1 order by project_no limit 1000) o"
    ),
}
"""Operation to the SQL that an expert would write by hand for this one question, codes left as they are stored."""
