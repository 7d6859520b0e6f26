"""Guangdong's federated GraphQL subgraph: entities by their keys, its own words in its own schema."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from aiohttp import web
from ariadne import graphql
from ariadne.contrib.federation import FederatedObjectType, make_federated_schema
from graphql import FieldNode, InlineFragmentNode, OperationDefinitionNode, SelectionSetNode, parse

from demo.counterparts.distort import Raw
from demo.counterparts.exchange import Envelope
from demo.counterparts.facts import READINGS, SITES, Reading, Site, Visit, after, visits
from demo.counterparts.signatures import ClientFamily, Refused
from demo.counterparts.system import System, main

PROVINCE = "44"
SDL = '''
"""State of a site, in the province's words."""
enum SiteState { PREPARING BUILDING PAUSED FINISHED ABANDONED ARCHIVED }
enum InspectionType { DAILY SPECIAL RANDOM RESTART PROVINCIAL }
enum Measure { NOTED CORRECT HALT SUMMON PENALISE REFER }

type SiteStatus {
  state: SiteState
  projectName: String
  builderCode: String
  floorArea: String
  progress: String
  halted: Boolean
  haltReason: String
  workers: Int
  safetyOfficer: Officer
  reportedAt: String
  region: String
}

type Officer { name: String mobile: String }

type Inspection {
  number: ID!
  projectNo: String
  date: String
  type: InspectionType
  agency: String
  findings: Int
  majorHazards: Int
  measure: Measure
  summary: String
  inspectors: [String!]!
  changedAt: Int
}

type Monitoring {
  deviceNo: String
  online: Boolean
  measuredAt: Int
  windSpeed: Float
  momentPercent: Float
  loadKg: Int
  height: Float
  alarmsToday: Int
  driver: String
}

type Project @key(fields: "projectNo") {
  projectNo: ID!
  siteStatus: SiteStatus
  inspections(first: Int!): [Inspection!]!
}

type Enterprise @key(fields: "creditCode") {
  creditCode: ID!
  inspections(first: Int!, afterDate: String, afterNumber: String): [Inspection!]!
}

type LiftingMachine @key(fields: "recordNo") {
  recordNo: ID!
  monitoring: Monitoring
}

type Query { health: String! }
'''
STATES = {"1": "PREPARING", "2": "BUILDING", "3": "PAUSED", "4": "FINISHED", "5": "ABANDONED"}
TYPES = {"1": "DAILY", "2": "SPECIAL", "3": "RANDOM", "4": "RESTART", "5": "PROVINCIAL"}
MEASURES = {"0": "NOTED", "1": "CORRECT", "2": "HALT", "3": "SUMMON", "4": "PENALISE", "5": "REFER"}
_KEYS = {"Project": "projectNo", "Enterprise": "creditCode", "LiftingMachine": "recordNo"}
_SERVICES = {
    ("Project", "siteStatus"): "Project.siteStatus",
    ("Project", "inspections"): "Project.liveInspections",
    ("Enterprise", "inspections"): "Enterprise.liveInspections",
    ("LiftingMachine", "monitoring"): "LiftingMachine.monitoring",
}


def _site(site: Site) -> Raw:
    return {
        "state": STATES[site.state],
        "projectName": site.name,
        "builderCode": site.contractor,
        "floorArea": str(site.area),
        "progress": site.progress,
        "halted": site.stopped_for is not None,
        "haltReason": site.stopped_for,
        "workers": site.workers,
        "safetyOfficer": {"name": site.officer, "mobile": site.mobile},
        "reportedAt": site.reported.isoformat(),
        "region": site.region,
    }


def _visit(visit: Visit) -> Raw:
    return {
        "number": visit.no,
        "projectNo": visit.project_no,
        "date": visit.on.isoformat(),
        "type": TYPES[visit.kind],
        "agency": visit.agency,
        "findings": visit.findings,
        "majorHazards": visit.majors,
        "measure": MEASURES[visit.disposal],
        "summary": visit.summary,
        "inspectors": visit.inspectors,
        "changedAt": int(visit.changed.timestamp()),
    }


def _reading(reading: Reading) -> Raw:
    return {
        "deviceNo": reading.device,
        "online": reading.online,
        "measuredAt": int(reading.at.timestamp()),
        "windSpeed": float(reading.wind),
        "momentPercent": float(reading.moment),
        "loadKg": int(reading.load * 1000),
        "height": float(reading.height),
        "alarmsToday": reading.alarms,
        "driver": reading.driver,
    }


def _project(_: object, __: object, given: Raw) -> Raw | None:
    no = given["projectNo"]
    found = next((site for site in SITES[PROVINCE] if site.project_no == no), None)
    return {"projectNo": no, "siteStatus": _site(found), "of": no} if found else None


def _project_visits(parent: Raw, _: object, *, first: int) -> list[Raw]:
    return [_visit(visit) for visit in visits(PROVINCE) if visit.project_no == parent["projectNo"]][:first]


def _enterprise(_: object, __: object, given: Raw) -> Raw | None:
    code = given["creditCode"]
    return {"creditCode": code} if any(visit.contractor == code for visit in visits(PROVINCE)) else None


def _enterprise_visits(parent: Raw, _: object, **asked: Any) -> list[Raw]:
    found = after(visits(PROVINCE), asked.get("afterDate") or "", asked.get("afterNumber") or "")
    return [_visit(visit) for visit in found if visit.contractor == parent["creditCode"]][: asked["first"]]


def _machine(_: object, __: object, given: Raw) -> Raw | None:
    no = given["recordNo"]
    found = next((reading for reading in READINGS[PROVINCE] if reading.record_no == no), None)
    return {"recordNo": no, "monitoring": _reading(found)} if found else None


def _schema() -> Any:
    project, enterprise, machine = map(FederatedObjectType, _KEYS)
    project.reference_resolver(_project)
    project.set_field("inspections", _project_visits)
    enterprise.reference_resolver(_enterprise)
    enterprise.set_field("inspections", _enterprise_visits)
    machine.reference_resolver(_machine)
    return make_federated_schema(SDL, project, enterprise, machine)


def _leaves(selection: SelectionSetNode | None) -> list[str]:
    found = []
    for node in selection.selections if selection else ():
        if isinstance(node, FieldNode) and node.selection_set is None:
            found.append(node.name.value)
        elif isinstance(node, FieldNode | InlineFragmentNode):
            found += _leaves(node.selection_set)
    return found


def _of(fragment: InlineFragmentNode) -> str:
    kind = fragment.type_condition.name.value if fragment.type_condition else ""
    names = [node.name.value for node in fragment.selection_set.selections if isinstance(node, FieldNode)]
    return next((_SERVICES[kind, name] for name in names if (kind, name) in _SERVICES), kind)


def _service(document: str) -> tuple[str, tuple[str, ...]]:
    """Which service a document asks for, and the leaves it selects."""
    for definition in parse(document).definitions:
        if not isinstance(definition, OperationDefinitionNode):
            continue
        for root in definition.selection_set.selections:
            if not isinstance(root, FieldNode) or root.name.value != "_entities":
                return "sdl", ()
            for fragment in root.selection_set.selections if root.selection_set else ():
                if isinstance(fragment, InlineFragmentNode):
                    names = [
                        node.name.value for node in fragment.selection_set.selections if isinstance(node, FieldNode)
                    ]
                    kind = fragment.type_condition.name.value if fragment.type_condition else ""
                    service = next((_SERVICES[kind, name] for name in names if (kind, name) in _SERVICES), kind)
                    return service, tuple(_leaves(fragment.selection_set))
    return "sdl", ()


def _keys(variables: Iterable[object]) -> tuple[str, ...]:
    """The keys of the representations, in whatever variable they came."""
    for value in variables:
        if isinstance(value, list) and all(isinstance(one, dict) and "__typename" in one for one in value):
            return tuple(str(one.get(_KEYS.get(one["__typename"], ""), "")) for one in value)
    return ()


async def guangdong(system: System) -> dict[str, int]:
    """The program: one address, X-Client signed."""
    credentials = system.settings.credentials
    family = ClientFamily(credentials["client_id"], credentials["secret"], system.now)
    system.on_reset.append(family.forget)
    schema = _schema()

    async def handle(request: web.Request) -> web.StreamResponse:
        text = await request.text()
        asked = json.loads(text)
        reason = ""
        try:
            family.verify(request.headers)
        except Refused as refused:
            reason = str(refused)
        service, fields = _service(asked["query"])
        keys = _keys((asked.get("variables") or {}).values())
        exchange = system.exchange(request, service=service, keys=keys, fields=fields, signed=not reason, sent=text)
        if reason or exchange.expired:
            return await exchange.refuse(reason or "expired", 401, {"errors": [{"message": "unauthorized"}]})
        _, result = await graphql(schema, asked, debug=False)
        entities = (result.get("data") or {}).get("_entities")
        if entities is None:
            return await exchange.answer(_envelope(lambda _: result), [])
        envelope = _envelope(lambda found: {**result, "data": {"_entities": [one or None for one in found]}})
        return await exchange.answer(envelope, [one or {} for one in entities])

    system.app.router.add_post("/graphql", handle)
    return {}


def _envelope(wrap: Any) -> Envelope:
    return Envelope("__typename", wrap, lambda message: {"data": None, "errors": [{"message": message}]})


if __name__ == "__main__":
    main(guangdong)
