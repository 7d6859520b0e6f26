"""Who asks: callers of every level and kind who see little of most rows, with the tokens that make them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from demo.seed import wellknown as known
from demo.tokens import AUDIENCE, ISSUER, JWKS_FILE, prepare
from policy.subject import PUBLIC_SUBJECT, Subject
from schema.regions import load_regions
from server.claims import Claims
from server.issuer import Role

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OFFICER = {"idNo": "110101190001010014", "name": "何松", "department": "浙江省住房和城乡建设厅"}


def office(level: str, kind: str, dept: str, *regions: str, **more: Any) -> dict[str, Any]:
    """The claims of an office."""
    return {"level": level, "kind": kind, "dept": dept, "regions": [*regions], **more}


CLAIMS: Mapping[str, dict[str, Any]] = {
    "county elsewhere": office("COUNTY", "HOUSING", "JS330106-1", "330106"),
    "city elsewhere": office("CITY", "HOUSING", "JS330100-1", "330100"),
    "province elsewhere": office("PROVINCE", "HOUSING", "JS330000-1", "330000", officer=OFFICER),
    "other office": office("CITY", "OTHER_GOV", "QT420100-1", "420100"),
    "data authority": office("PROVINCE", "DATA_AUTH", "SJ420000-1", "420000", officer=OFFICER),
    "discipline": office("CITY", "DISCIPLINE", "JW420100-1", "420100"),
    "case handler": office(
        "COUNTY", "HOUSING", known.HOUSING_WUCHANG, known.WUCHANG,
        roles=["case_handler"], purposes=["CASE"], cases=[known.CASE_OPEN], officer=OFFICER,
    ),
    "enterprise elsewhere": {"level": "ENTERPRISE", "kind": "ENTERPRISE", "enterprise": known.DEVELOPER},
    "person elsewhere": {"level": "PERSON", "kind": "PERSON", "person": known.PERSON_TWO_PROVINCES},
}  # fmt: skip
"""The claim `zlaq` of everybody but the public."""
CASE = {"x-zlaq-purpose": "CASE", "x-zlaq-case": known.CASE_OPEN}


@dataclass(frozen=True)
class Asker:
    """One caller: what the policy decides about, and the headers that say who it is."""

    name: str
    subject: Subject
    headers: Mapping[str, str]


def askers(directory: Path) -> list[Asker]:
    """Everybody, the public first; tokens of the issuer in this directory, which is made if there is none."""
    roles = {name.replace(" ", "-"): Role(name, name.replace(" ", "-"), claims) for name, claims in CLAIMS.items()}
    issuer = replace(prepare(directory), roles=roles)
    found = [Asker("public", PUBLIC_SUBJECT, {})]
    for name, claims in CLAIMS.items():
        subject = Claims.parse(claims).subject(name.replace(" ", "-"), load_regions())
        headers = {"authorization": f"Bearer {issuer.mint(subject.id)}"}
        if name == "case handler":
            subject, headers = replace(subject, purpose="CASE", case_no=known.CASE_OPEN), headers | CASE
        found.append(Asker(name, subject, headers))
    return found


def trust(directory: Path) -> dict[str, Any]:
    """The settings under which a process accepts these tokens."""
    prepare(directory)
    return {"jwks": str(directory / JWKS_FILE), "issuer": ISSUER, "audience": AUDIENCE}
