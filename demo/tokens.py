"""The demo's issuer: one key pair of this machine, and the callers whose difference the demo shows."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import OKPAlgorithm

from demo.seed import wellknown
from server.issuer import TTL_S, Issuer

if TYPE_CHECKING:
    from pathlib import Path

ISSUER, AUDIENCE, KID = "https://issuer.demo.invalid", "zlaq-demo", "demo"
KEY_FILE, ISSUER_FILE, JWKS_FILE = "demo-key.pem", "demo-issuer.json", "demo-jwks.json"
QUERY = f"""\
# 同一条查询，换一个身份再执行，看到的内容不同：依据是部门层级和管理区划。
# extensions.disclosure 说明哪些字段被拒绝或脱敏。
{{
  county: project(projectNo: "{wellknown.PROJECT_COUNTY}") {{ ...Facts }}
  city: project(projectNo: "{wellknown.PROJECT_CITY}") {{ ...Facts }}
  province: project(projectNo: "{wellknown.PROJECT_PROVINCE}") {{ ...Facts }}
  elsewhere: project(projectNo: "{wellknown.PROJECT_ELSEWHERE}") {{ ...Facts }}
  certificate: safetyManagerCertificate(certNo: "{wellknown.CERTIFICATE}") {{
    name
    idNo
    birthYear
    state
    validTo
  }}
}}

fragment Facts on Project {{
  projectNo
  name
  status
  totalInvestment
  contractor {{ name contactName contactMobile }}
  siteStatus {{ state workersOnSite safetyOfficer provenance {{ source asOf stale }} }}
  inspections(first: 1) {{
    inspectionNo
    inspectedOn
    majorHazardCount
    findings(first: 1) {{ findingNo hazardLevel description }}
  }}
}}
"""


def prepare(directory: Path) -> Issuer:
    """Write the issuer's file and the JWKS into a directory, making the key on first use; tokens survive restarts."""
    directory.mkdir(parents=True, exist_ok=True)
    key = _key(directory / KEY_FILE)
    jwk = OKPAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": KID, "use": "sig", "alg": "EdDSA"}
    _write(directory / JWKS_FILE, json.dumps({"keys": [jwk]}).encode(), 0o644)
    told = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "kid": KID,
        "private_key": _pem(key).decode(),
        "roles": {
            name: {"title": title, "subject": f"demo-{name}", "claims": claims}
            for name, (title, claims) in roles().items()
        },
        "query": QUERY,
    }
    _write(directory / ISSUER_FILE, json.dumps(told, ensure_ascii=False, indent=1).encode(), 0o600)
    return Issuer.load(directory / ISSUER_FILE)


def mint(directory: Path, role: str, ttl_s: int = TTL_S) -> str:
    """A token of a role, from the issuer of this directory."""
    return prepare(directory).mint(role, ttl_s)


def roles() -> dict[str, tuple[str, dict[str, Any]]]:
    """Every caller of the demo but the public: Chinese title and the claim `zlaq`."""
    handler = {
        "roles": ["case_handler"], "purposes": ["CASE"], "cases": [wellknown.CASE_OPEN, wellknown.CASE_CLOSED],
        "officer": {"idNo": "110101190001010014", "name": "何松", "department": "武昌区住房和城乡建设局"},
    }  # fmt: skip
    return {
        "county": ("武昌区住房和城乡建设局", _office("COUNTY", wellknown.HOUSING_WUCHANG, wellknown.WUCHANG) | handler),
        "city": ("武汉市住房和城市更新局", _office("CITY", wellknown.HOUSING_WUHAN, wellknown.WUHAN)),
        "province": ("湖北省住房和城乡建设厅", _office("PROVINCE", wellknown.HOUSING_HUBEI, wellknown.HUBEI)),
        "ministry": ("住房和城乡建设部", _office("MINISTRY", wellknown.HOUSING_MINISTRY)),
        "enterprise": (
            "施工总承包企业",
            {"level": "ENTERPRISE", "kind": "ENTERPRISE", "enterprise": wellknown.CONTRACTOR},
        ),
        "person": ("安全管理人员本人", {"level": "PERSON", "kind": "PERSON", "person": wellknown.PERSON}),
    }


def _office(level: str, dept: str, region: str | None = None) -> dict[str, Any]:
    claims: dict[str, Any] = {"level": level, "kind": "HOUSING", "dept": dept}
    return claims | ({} if region is None else {"regions": [region]})


def _key(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        _write(path, _pem(Ed25519PrivateKey.generate()), 0o600)
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"not an Ed25519 key, remove it: {path}")
    return key


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    # Whole or not at all, and never readable by others in between.
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    aside.replace(path)
