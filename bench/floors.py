"""The floors: F1, a bare ASGI endpoint with the product's own SQL without its audit; F2, the best SQL without policy.

`FLOOR=F1|F2`, `FLOOR_DSN` and, for F1, `FLOOR_STATEMENTS` (a JSON file written by the runner: operation to SQL and
constant arguments) come from the environment. No parsing of GraphQL, no identity, no policy, no audit: what is left is
HTTP, asyncpg and PostgreSQL.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Any

import asyncpg
import orjson

CONNECTIONS = 4
SETTINGS = {
    "search_path": "zlaq",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "random_page_cost": "1.1",
    "max_parallel_workers_per_gather": "0",
}
_STATUS = (
    "case t.status when '01' then 'PLANNED' when '02' then 'UNDER_CONSTRUCTION' when '03' then 'SUSPENDED'"
    " when '04' then 'COMPLETED' when '05' then 'ACCEPTED' when '99' then 'OTHER' end"
)
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


class Floor:
    """A bare ASGI application: POST /<operation> with the same body that the product gets."""

    def __init__(self) -> None:
        self._statements: dict[str, tuple[str, list[Any], bool]] = {}
        if os.environ["FLOOR"] == "F1":
            for name, (sql, arguments, batched) in json.loads(Path(os.environ["FLOOR_STATEMENTS"]).read_text()).items():
                self._statements[name] = (sql, arguments, batched)
        else:
            self._statements = {name: (sql, ["KEY"], False) for name, sql in BEST.items()}
        self._free: list[dict[str, Any]] = []

    async def _connect(self) -> dict[str, Any]:
        connection = await asyncpg.connect(os.environ["FLOOR_DSN"], statement_cache_size=0, server_settings=SETTINGS)
        return {name: await connection.prepare(sql, name=name.lower()) for name, (sql, *_) in self._statements.items()}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            self._free = [await self._connect() for _ in range(CONNECTIONS)]
            self._turns = asyncio.Semaphore(CONNECTIONS)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message.get("more_body"):
                break
        variables = orjson.loads(body)["variables"]
        name = scope["path"][1:]
        key = variables.get("no") or base64.b64decode(variables["after"][1:]).decode()
        _, arguments, batched = self._statements[name]
        given = [key if argument == "KEY" else argument for argument in arguments]
        async with self._turns:
            held = self._free.pop()
            try:
                rows = await held[name].fetch(*([[g] for g in given] if batched else given))
            finally:
                self._free.append(held)
        answer = b'{"data":{"x":' + (rows[0][0] or b"null") + b"}}"
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": answer})


app = Floor()
