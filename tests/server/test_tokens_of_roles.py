"""The demo's tokens by the way every token goes: each role is exactly the subject that its title says, and no more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import jwt
import orjson
import pytest

from demo.seed import wellknown
from demo.tokens import AUDIENCE, ISSUER, JWKS_FILE, QUERY, prepare, roles
from policy.subject import PUBLIC_SUBJECT, Country, Level, NoTerritory, Prefixes, Subject
from schema.regions import load_regions
from server.claims import ClaimsRefused
from server.identity import (
    Authenticator,
    AuthorizationRepeated,
    CaseClosed,
    CaseNotInToken,
    PurposeNotInToken,
    TokenExpired,
    WrongAudience,
)
from server.keys import KeySet, SignatureRefused, TokenMalformed
from server.pipeline import Question

if TYPE_CHECKING:
    from pathlib import Path

    from server.issuer import Issuer
    from server.service import Service

EXPECTED = {
    "county": (Level.COUNTY, "HOUSING", Prefixes((wellknown.WUCHANG,)), wellknown.HOUSING_WUCHANG, None, None),
    "city": (Level.CITY, "HOUSING", Prefixes((wellknown.WUHAN,)), wellknown.HOUSING_WUHAN, None, None),
    "province": (Level.PROVINCE, "HOUSING", Prefixes((wellknown.HUBEI,)), wellknown.HOUSING_HUBEI, None, None),
    "ministry": (Level.MINISTRY, "HOUSING", Country(), wellknown.HOUSING_MINISTRY, None, None),
    "enterprise": (Level.ENTERPRISE, "ENTERPRISE", NoTerritory(), None, wellknown.CONTRACTOR, None),
    "person": (Level.PERSON, "PERSON", NoTerritory(), None, None, wellknown.PERSON),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the issuer's files lie."""
    return tmp_path_factory.mktemp("issuer")


@pytest.fixture(scope="module")
def issuer(directory: Path) -> Issuer:
    """The demo's issuer with a key of its own."""
    return prepare(directory)


@pytest.fixture(scope="module")
def authenticator(issuer: Issuer, directory: Path, service: Service) -> Authenticator:
    """As a server has it, the open cases in the database included."""
    return Authenticator(KeySet.load(str(directory / JWKS_FILE)), ISSUER, AUDIENCE, load_regions(), service.cases)


def bearer(token: str, **headers: str) -> list[tuple[bytes, bytes]]:
    """The headers of a request with a token."""
    named = [(f"x-zlaq-{name}".encode(), value.encode()) for name, value in headers.items()]
    return [(b"authorization", f"Bearer {token}".encode()), *named]


def test_every_role_is_expected_here():
    """A new role of the demo needs its line in this file."""
    assert roles().keys() == EXPECTED.keys()


@pytest.mark.parametrize("role", EXPECTED)
async def test_a_role_is_its_subject(authenticator: Authenticator, issuer: Issuer, role: str):
    """Level, kind, territory and what it holds; neither purpose nor case unless asked for."""
    subject = await authenticator.authenticate(bearer(issuer.mint(role)))
    found = (subject.level, subject.kind, subject.territory, subject.dept, subject.enterprise, subject.person)
    assert found == EXPECTED[role]
    assert (subject.purpose, subject.case_no) == (None, None)
    assert subject.id == f"demo-{role}"


async def test_no_token_is_the_public(authenticator: Authenticator):
    """And whoever has none cannot choose a purpose or a case either."""
    assert await authenticator.authenticate([]) == PUBLIC_SUBJECT
    with pytest.raises(PurposeNotInToken):
        await authenticator.authenticate([(b"x-zlaq-purpose", b"CASE")])
    with pytest.raises(CaseNotInToken):
        await authenticator.authenticate([(b"x-zlaq-case", wellknown.CASE_OPEN.encode())])


async def test_purpose_and_case_are_chosen_among_those_of_the_token(authenticator: Authenticator, issuer: Issuer):
    """An open case of the token's is taken; a closed one, or one of nobody's, refuses the request."""
    token = issuer.mint("county")
    subject = await authenticator.authenticate(bearer(token, purpose="CASE", case=wellknown.CASE_OPEN))
    assert (subject.purpose, subject.case_no) == ("CASE", wellknown.CASE_OPEN)
    with pytest.raises(CaseClosed):
        await authenticator.authenticate(bearer(token, case=wellknown.CASE_CLOSED))
    with pytest.raises(CaseNotInToken):
        await authenticator.authenticate(bearer(token, case="WH-2026-0008"))
    with pytest.raises(PurposeNotInToken):
        await authenticator.authenticate(bearer(token, purpose="STATISTICS"))
    for role in ("city", "ministry", "enterprise", "person"):
        with pytest.raises(PurposeNotInToken):
            await authenticator.authenticate(bearer(issuer.mint(role), purpose="CASE"))


async def test_an_identity_header_stands_once(authenticator: Authenticator, issuer: Issuer):
    """Two parties could read different ones."""
    token = issuer.mint("county")
    for twice in (bearer(token) * 2, [*bearer(token, case="a"), (b"x-zlaq-case", b"a")]):
        with pytest.raises(AuthorizationRepeated):
            await authenticator.authenticate(twice)


async def test_whatever_is_wrong_with_a_token_is_refused_and_never_the_public(
    authenticator: Authenticator, issuer: Issuer
):
    """An altered claim, another key, another issuer or audience, no algorithm, a past or a long life."""
    chosen, now = issuer.roles["county"], int(time.time())
    good: dict[str, Any] = {
        "iss": issuer.issuer, "aud": issuer.audience, "sub": chosen.subject, "iat": now, "nbf": now, "exp": now + 60,
        "zlaq": dict(chosen.claims),
    }  # fmt: skip

    def signed(key: str = issuer.private_key, kid: str = issuer.kid, **claims: Any) -> str:
        return jwt.encode(good | claims, key, "EdDSA", headers={"kid": kid})

    assert (await authenticator.authenticate(bearer(signed()))).level is Level.COUNTY
    unsigned = jwt.encode(good, "", "none", headers={"kid": issuer.kid})
    symmetric = jwt.encode(good, "x" * 64, "HS256", headers={"kid": issuer.kid})
    head, _, signature = signed().split(".")
    forged = ".".join((head, jwt.encode(good | {"zlaq": {"level": "MINISTRY"}}, "x" * 64).split(".")[1], signature))
    for token, refused in (
        (unsigned, TokenMalformed),
        (symmetric, SignatureRefused),
        (forged, SignatureRefused),
        (signed(kid="other"), SignatureRefused),
        (signed(iss="https://elsewhere.invalid"), WrongAudience),
        (signed(aud="elsewhere"), WrongAudience),
        (signed(iat=now - 600, nbf=now - 600, exp=now - 300), TokenExpired),
        (signed(exp=now + 13 * 3600), ClaimsRefused),
        (signed(sub="public"), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "level": "MINISTRY"}), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "level": "CITY"}), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "regions": []}), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "regions": ["420000"]}), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "regions": ["999999"]}), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "regions": ["000000"]}), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "kind": "ENTERPRISE"}), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "dept": "-"}), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "enterprise": wellknown.CONTRACTOR}), ClaimsRefused),
        (signed(zlaq={**chosen.claims, "admin": True}), ClaimsRefused),
        ("not.a.token", TokenMalformed),
        ("", TokenMalformed),
    ):
        with pytest.raises(refused):
            await authenticator.authenticate(bearer(token))


DIFFERENCE = f"""{{
  own: project(projectNo: "{wellknown.PROJECT_COUNTY}") {{
    name totalInvestment inspections(first: 1) {{ findings(first: 1) {{ findingNo }} }}
  }}
  elsewhere: project(projectNo: "{wellknown.PROJECT_ELSEWHERE}") {{ name totalInvestment }}
  certificate: safetyManagerCertificate(certNo: "{wellknown.CERTIFICATE}") {{ idNo }}
}}"""


async def test_the_roles_see_what_their_level_and_region_permit(
    service: Service, authenticator: Authenticator, issuer: Issuer
):
    """Everybody sees the public part, who governs or holds a project what it costs, and numbers are masked."""
    seen: dict[str, Any] = {}
    for role in ("public", *EXPECTED):
        headers = [] if role == "public" else bearer(issuer.mint(role))
        subject: Subject = await authenticator.authenticate(headers)
        first_page = await service.answer(Question(QUERY, {}, None), subject, f"page-{role}")
        assert first_page.status == 200, (role, first_page.body)
        answer = await service.answer(Question(DIFFERENCE, {}, None), subject, f"demo-{role}")
        seen[role] = orjson.loads(answer.body)["data"]
    assert all(data["own"]["name"] and data["elsewhere"]["name"] for data in seen.values())
    costs = {role for role, data in seen.items() if data["own"]["totalInvestment"] is not None}
    assert costs == {"county", "city", "province", "ministry", "enterprise"}
    elsewhere = {role for role, data in seen.items() if data["elsewhere"]["totalInvestment"] is not None}
    assert elsewhere == {"ministry", "enterprise"}
    assert seen["public"]["own"]["inspections"] in (None, [])
    assert seen["county"]["own"]["inspections"][0]["findings"]
    numbers = {role: data["certificate"]["idNo"] for role, data in seen.items()}
    assert numbers["public"] is None
    # Only the holder's enterprise and the holder see it clear; departments see six digits at most.
    clear = {role for role, number in numbers.items() if number and "*" not in number}
    assert clear == {"enterprise", "person"}
    assert all(number is None or number[6:] == "*" * 12 for role, number in numbers.items() if role not in clear)
