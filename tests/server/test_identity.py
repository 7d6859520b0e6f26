"""Claims and headers: what becomes a subject, and everything that must not."""

from __future__ import annotations

import json

import pytest

from policy.subject import PUBLIC_SUBJECT, Country, Level, NoTerritory, Prefixes
from server import identity
from server.claims import ClaimsRefused
from server.errors import entry_for, error_json
from server.identity import NoCases
from tests.server.tokens import (
    AUDIENCE,
    COUNTY,
    ED,
    ED2,
    GOOD,
    HANDLER,
    ISSUER,
    KEYS,
    NOW,
    P256,
    PERSON,
    RSA,
    USCC,
    Cases,
    Clock,
    authenticator,
    bearer,
    payload,
    refusal,
    sign,
    without,
)


@pytest.mark.parametrize(
    ("zlaq", "level", "territory"),
    [
        (COUNTY, Level.COUNTY, Prefixes(("420106",))),
        (COUNTY | {"regions": ["116100"]}, Level.COUNTY, Prefixes(("116100",))),
        (COUNTY | {"regions": ["420106", "420102"]}, Level.COUNTY, Prefixes(("420102", "420106"))),
        (COUNTY | {"level": "CITY", "regions": ["420100"]}, Level.CITY, Prefixes(("420100",))),
        (COUNTY | {"level": "CITY", "regions": ["660100"]}, Level.CITY, Prefixes(("660100",))),
        (COUNTY | {"level": "CITY", "regions": ["139100"]}, Level.CITY, Prefixes(("139100",))),
        (COUNTY | {"level": "PROVINCE", "regions": ["660000"]}, Level.PROVINCE, Prefixes(("660000",))),
        ({"level": "MINISTRY", "kind": "AUDIT", "dept": "AJ000000-1"}, Level.MINISTRY, Country()),
        ({"level": "ENTERPRISE", "kind": "ENTERPRISE", "enterprise": USCC}, Level.ENTERPRISE, NoTerritory()),
        ({"level": "PERSON", "kind": "PERSON", "person": PERSON}, Level.PERSON, NoTerritory()),
        ({"level": "PUBLIC", "kind": "PUBLIC"}, Level.PUBLIC, NoTerritory()),
    ],
)
async def test_claims_become_a_subject(zlaq, level, territory):
    subject = await authenticator().authenticate(bearer(sign(payload(zlaq))))
    assert (subject.id, subject.level, subject.kind, subject.territory) == ("u1", level, zlaq["kind"], territory)
    assert (subject.dept, subject.enterprise, subject.person) == tuple(
        zlaq.get(name) for name in ("dept", "enterprise", "person")
    )
    assert subject.purpose is None
    assert subject.case_no is None


@pytest.mark.parametrize(("key", "alg", "kid"), [(ED, "EdDSA", "ed"), (P256, "ES256", "ec"), (RSA, "RS256", "rsa")])
async def test_each_algorithm_verifies_with_its_key(key, alg, kid):
    subject = await authenticator().authenticate(bearer(sign(payload(), key, alg, kid=kid)))
    assert subject.id == "u1"


async def test_pss_where_the_key_says_so():
    assert (await authenticator().authenticate(bearer(sign(payload(), RSA, "PS256", kid="pss")))).id == "u1"


async def test_one_of_several_audiences_and_any_case_of_the_scheme():
    token = sign(payload(aud=["other", AUDIENCE]))
    assert (await authenticator().authenticate([(b"authorization", f"bEARER {token}".encode())])).id == "u1"


async def test_no_token_is_the_public():
    assert await authenticator().authenticate([(b"host", b"x")]) is PUBLIC_SUBJECT
    assert await authenticator(keys=None).authenticate([]) is PUBLIC_SUBJECT


CLAIMS = {
    "no iss": ({"iss": ...}, "TOKEN_AUDIENCE"),
    "another iss": ({"iss": ISSUER + "/"}, "TOKEN_AUDIENCE"),
    "iss is a list": ({"iss": [ISSUER]}, "TOKEN_AUDIENCE"),
    "no aud": ({"aud": ...}, "TOKEN_AUDIENCE"),
    "another aud": ({"aud": "portal"}, "TOKEN_AUDIENCE"),
    "aud in other letters": ({"aud": AUDIENCE.upper()}, "TOKEN_AUDIENCE"),
    "aud is a wildcard": ({"aud": "*"}, "TOKEN_AUDIENCE"),
    "other audiences": ({"aud": ["a", "b"]}, "TOKEN_AUDIENCE"),
    "audiences of several types": ({"aud": [AUDIENCE, 1]}, "TOKEN_AUDIENCE"),
    "no exp": ({"exp": ...}, "CLAIMS_REFUSED"),
    "exp is a text": ({"exp": str(NOW + 60)}, "CLAIMS_REFUSED"),
    "exp is a fraction": ({"exp": NOW + 60.5}, "CLAIMS_REFUSED"),
    "exp is true": ({"exp": True}, "CLAIMS_REFUSED"),
    "exp is huge": ({"exp": 10**30}, "CLAIMS_REFUSED"),
    "expired": ({"exp": NOW - 31}, "TOKEN_EXPIRED"),
    "expires this second, leeway over": ({"exp": NOW - 30}, "TOKEN_EXPIRED"),
    "no nbf": ({"nbf": ...}, "CLAIMS_REFUSED"),
    "nbf is null": ({"nbf": None}, "CLAIMS_REFUSED"),
    "nbf ahead": ({"nbf": NOW + 31}, "TOKEN_NOT_YET_VALID"),
    "no iat": ({"iat": ...}, "CLAIMS_REFUSED"),
    "iat ahead": ({"iat": NOW + 31, "exp": NOW + 60}, "TOKEN_NOT_YET_VALID"),
    "lives longer than 12 hours": ({"iat": NOW - 60, "exp": NOW - 60 + 12 * 3600 + 1}, "CLAIMS_REFUSED"),
    "expires before it was issued": ({"iat": NOW + 10, "exp": NOW + 5}, "CLAIMS_REFUSED"),
    "no sub": ({"sub": ...}, "CLAIMS_REFUSED"),
    "sub is empty": ({"sub": ""}, "CLAIMS_REFUSED"),
    "sub is a number": ({"sub": 7}, "CLAIMS_REFUSED"),
    "sub is long": ({"sub": "u" * 65}, "CLAIMS_REFUSED"),
    "sub is not ASCII": ({"sub": "张三"}, "CLAIMS_REFUSED"),
    "sub has a line break": ({"sub": "u1\n"}, "CLAIMS_REFUSED"),
    "sub has a blank": ({"sub": "u 1"}, "CLAIMS_REFUSED"),
    "sub is a wildcard": ({"sub": "*"}, "CLAIMS_REFUSED"),
    "sub holds a wildcard": ({"sub": "u*"}, "CLAIMS_REFUSED"),
    "sub is absent's sign": ({"sub": "-"}, "CLAIMS_REFUSED"),
    "sub is the public": ({"sub": PUBLIC_SUBJECT.id}, "CLAIMS_REFUSED"),
}


@pytest.mark.parametrize(("changes", "name"), CLAIMS.values(), ids=CLAIMS)
async def test_standard_claims(changes, name):
    assert await refusal(bearer(sign(payload(**changes)))) == name


async def test_leeway_is_for_clocks_only():
    for changes in ({"exp": NOW - 29}, {"nbf": NOW + 30}, {"iat": NOW - 60, "exp": NOW - 60 + 12 * 3600}):
        assert (await authenticator().authenticate(bearer(sign(payload(**changes))))).id == "u1"


FIRM = {"level": "ENTERPRISE", "kind": "ENTERPRISE", "enterprise": USCC}
MAN = {"level": "PERSON", "kind": "PERSON", "person": PERSON}
ALL = {"level": "MINISTRY", "kind": "HOUSING", "dept": "AJ000000-1"}
ANYBODY = {"level": "PUBLIC", "kind": "PUBLIC"}


ZLAQ: dict[str, object] = {
    "absent": ...,
    "null": None,
    "a list": [COUNTY],
    "a text": "MINISTRY",
    "empty": {},
    "unknown member": COUNTY | {"admin": True},
    "unknown member that is empty": COUNTY | {"region": []},
    "no level": without(COUNTY, "level"),
    "unknown level": COUNTY | {"level": "TOWN"},
    "level in small letters": COUNTY | {"level": "county"},
    "level is a wildcard": COUNTY | {"level": "*"},
    "level is a list": COUNTY | {"level": ["COUNTY"]},
    "level is null": COUNTY | {"level": None},
    "no kind": without(COUNTY, "kind"),
    "unknown kind": COUNTY | {"kind": "POLICE"},
    "kind is a wildcard": COUNTY | {"kind": "*"},
    "kind is absent's sign": COUNTY | {"kind": "-"},
    "kind with a blank": COUNTY | {"kind": "HOUSING "},
    "office of a firm": COUNTY | {"kind": "ENTERPRISE"},
    "office of the public": COUNTY | {"kind": "PUBLIC"},
    "firm of an office": FIRM | {"kind": "HOUSING"},
    "the catalogue's word for a person": MAN | {"kind": "PRACTITIONER"},
    "person of a firm": MAN | {"kind": "ENTERPRISE"},
    "public of an office": ANYBODY | {"kind": "HOUSING"},
    "no regions": without(COUNTY, "regions"),
    "regions are empty": COUNTY | {"regions": []},
    "regions are null": COUNTY | {"regions": None},
    "regions are a text": COUNTY | {"regions": "420106"},
    "region is a number": COUNTY | {"regions": [420106]},
    "region is a wildcard": COUNTY | {"regions": ["*"]},
    "region is absent's sign": COUNTY | {"regions": ["-"]},
    "region is empty": COUNTY | {"regions": [""]},
    "region is a prefix": COUNTY | {"regions": ["4201"]},
    "region of twelve digits": COUNTY | {"regions": ["420106000000"]},
    "region in full-width digits": COUNTY | {"regions": ["４２０１０６"]},
    "region with a line break": COUNTY | {"regions": ["420106\n"]},
    "region that is no node": COUNTY | {"regions": ["420199"]},
    "region by an abolished code": COUNTY | {"regions": ["110103"]},
    "region by a GB code that is no supervision code": COUNTY | {"regions": ["110101"]},
    "region twice": COUNTY | {"regions": ["420106", "420106"]},
    "one good region, one bad": COUNTY | {"regions": ["420106", "420199"]},
    "region of another level": COUNTY | {"regions": ["420106", "420100"]},
    "county with a city": COUNTY | {"regions": ["420100"]},
    "county with a province": COUNTY | {"regions": ["420000"]},
    "city with a county": COUNTY | {"level": "CITY"},
    "city with a municipality's district": COUNTY | {"level": "CITY", "regions": ["116100"]},
    "province with a city": COUNTY | {"level": "PROVINCE", "regions": ["420100"]},
    "province out of scope": COUNTY | {"level": "PROVINCE", "regions": ["710000"]},
    "county with the whole country": COUNTY | {"regions": ["000000"]},
    "county with the unresolved": COUNTY | {"regions": ["999999"]},
    "33 regions": COUNTY | {"regions": [f"4201{n:02}" for n in range(33)]},
    "ministry with a region": ALL | {"regions": ["000000"]},
    "ministry with a province": ALL | {"regions": ["420000"]},
    "firm with a region": FIRM | {"regions": ["420106"]},
    "person with a region": MAN | {"regions": ["420106"]},
    "public with a region": ANYBODY | {"regions": ["420106"]},
    "office without department": without(COUNTY, "dept"),
    "ministry without department": without(ALL, "dept"),
    "department is null": COUNTY | {"dept": None},
    "department is empty": COUNTY | {"dept": ""},
    "department is a wildcard": COUNTY | {"dept": "*"},
    "department is absent's sign": COUNTY | {"dept": "-"},
    "department in another spelling": COUNTY | {"dept": "aj420106-1"},
    "firm with a department": FIRM | {"dept": "AJ420106-1"},
    "firm without code": without(FIRM, "enterprise"),
    "firm with a wrong check digit": FIRM | {"enterprise": "91000000MADEM002XA"},
    "firm in another spelling": FIRM | {"enterprise": "91000000madem002xr"},
    "firm is a wildcard": FIRM | {"enterprise": "*"},
    "firm is absent's sign": FIRM | {"enterprise": "-"},
    "office with a firm": COUNTY | {"enterprise": USCC},
    "person with a firm": MAN | {"enterprise": USCC},
    "person without number": without(MAN, "person"),
    "person is absent's sign": MAN | {"person": "-"},
    "person by citizen number": MAN | {"person": "110101199003078574"},
    "office with a person": COUNTY | {"person": PERSON},
    "firm with a person": FIRM | {"person": PERSON},
    "public with a firm": ANYBODY | {"enterprise": USCC},
    "public with a role": ANYBODY | {"roles": ["auditor"]},
    "public with a purpose": ANYBODY | {"purposes": ["ACCIDENT"]},
    "firm with a case": FIRM | {"cases": ["A-1"]},
    "roles are a text": COUNTY | {"roles": "case_handler"},
    "role is a wildcard": COUNTY | {"roles": ["*"]},
    "role is absent's sign": COUNTY | {"roles": ["-"]},
    "role looks like a kind": COUNTY | {"roles": ["HOUSING"]},
    "role twice": COUNTY | {"roles": ["a", "a"]},
    "role is null": COUNTY | {"roles": [None]},
    "purpose is a wildcard": COUNTY | {"purposes": ["*"]},
    "purpose is absent's sign": COUNTY | {"purposes": ["-"]},
    "purpose twice": COUNTY | {"purposes": ["ACCIDENT", "ACCIDENT"]},
    "purposes are an object": COUNTY | {"purposes": {"ACCIDENT": True}},
    "case is a wildcard": COUNTY | {"cases": ["*"]},
    "case is absent's sign": COUNTY | {"cases": ["-"]},
    "case twice": COUNTY | {"cases": ["A-1", "A-1"]},
}


@pytest.mark.parametrize("zlaq", ZLAQ.values(), ids=ZLAQ)
async def test_claim_of_ours(zlaq):
    assert await refusal(bearer(sign(payload(zlaq)))) == "CLAIMS_REFUSED"


PURPOSE, CASE = b"x-zlaq-purpose", b"x-zlaq-case"


async def test_purpose_and_case_are_chosen_among_the_tokens():
    cases = Cases()
    subject = await authenticator(cases=cases).authenticate(
        bearer(sign(payload(HANDLER)), (PURPOSE, b"ACCIDENT"), (CASE, b"A-1"))
    )
    assert (subject.purpose, subject.case_no, subject.roles) == ("ACCIDENT", "A-1", ("case_handler",))
    assert cases.asked == [("A-1", ("420106",))]


async def test_nothing_is_chosen_unasked():
    subject = await authenticator().authenticate(bearer(sign(payload(HANDLER))))
    assert (subject.purpose, subject.case_no) == (None, None)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ((PURPOSE, b"RESEARCH"), "PURPOSE_NOT_IN_TOKEN"),
        ((PURPOSE, b"accident"), "PURPOSE_NOT_IN_TOKEN"),
        ((PURPOSE, b""), "PURPOSE_NOT_IN_TOKEN"),
        ((PURPOSE, b"*"), "PURPOSE_NOT_IN_TOKEN"),
        ((PURPOSE, b"ACCIDENT, PENALTY"), "PURPOSE_NOT_IN_TOKEN"),
        ((PURPOSE, b"ACCIDENT\xff"), "PURPOSE_NOT_IN_TOKEN"),
        ((CASE, b"A-9"), "CASE_NOT_IN_TOKEN"),
        ((CASE, b""), "CASE_NOT_IN_TOKEN"),
        ((CASE, b"-"), "CASE_NOT_IN_TOKEN"),
        ((CASE, b"A-2"), "CASE_CLOSED"),
    ],
)
async def test_what_the_token_does_not_carry(header, name):
    assert await refusal(bearer(sign(payload(HANDLER)), header)) == name


async def test_a_process_without_cases_has_none_open():
    headers = bearer(sign(payload(HANDLER)), (CASE, b"A-1"))
    assert await refusal(headers, authenticator(cases=NoCases())) == "CASE_CLOSED"


async def test_the_public_has_no_purpose_and_no_case():
    assert await refusal([(PURPOSE, b"ACCIDENT")]) == "PURPOSE_NOT_IN_TOKEN"
    assert await refusal([(CASE, b"A-1")]) == "CASE_NOT_IN_TOKEN"


@pytest.mark.parametrize(
    "value", [b"", b"Bearer", b"Bearer ", b"Basic dTpw", b"Token x", GOOD.encode(), b"Bearer  " + GOOD.encode(),
              b"Bearer " + GOOD.encode() + b" ", b"Bearer " + GOOD.encode() + b", Bearer x",
              b"bearer\t" + GOOD.encode()],
)  # fmt: skip
async def test_a_bad_header_never_becomes_the_public(value):
    assert await refusal([(b"authorization", value)]) == "TOKEN_MALFORMED"


@pytest.mark.parametrize("name", [b"authorization", PURPOSE, CASE])
async def test_a_header_twice(name):
    headers = bearer(GOOD, (PURPOSE, b"ACCIDENT"), (CASE, b"A-1"))
    value = dict(headers)[name]
    assert await refusal([*headers, (name, value)]) == "AUTHORIZATION_REPEATED"


async def test_without_an_issuer_every_token_is_refused():
    assert await refusal(bearer(GOOD), authenticator(keys=None)) == "TOKEN_AUDIENCE"


async def test_a_verified_token_is_remembered_until_it_expires():
    clock = Clock()
    trusted = authenticator(clock=clock)
    first = await trusted.authenticate(bearer(GOOD))
    trusted.keys = None
    assert await trusted.authenticate(bearer(GOOD)) is first
    clock.now = NOW + 3600 + 29
    assert await trusted.authenticate(bearer(GOOD)) is first
    clock.now = NOW + 3600 + 30
    assert await refusal(bearer(GOOD), trusted) == "TOKEN_EXPIRED"
    assert not trusted._verified
    trusted.keys = KEYS
    assert await refusal(bearer(GOOD), trusted) == "TOKEN_EXPIRED"


async def test_the_cache_is_bounded_and_holds_no_token(monkeypatch):
    monkeypatch.setattr(identity, "CACHED_TOKENS", 3)
    trusted = authenticator()
    tokens = [sign(payload(sub=f"u{n}")) for n in range(5)]
    for token in tokens:
        await trusted.authenticate(bearer(token))
    assert [one.subject.id for one in trusted._verified.values()] == ["u2", "u3", "u4"]
    assert not {token.encode() for token in tokens} & trusted._verified.keys()


async def test_a_refused_token_is_not_remembered():
    trusted = authenticator()
    await refusal(bearer(sign(payload(), ED2)), trusted)
    assert not trusted._verified


async def test_nothing_of_a_token_stands_in_the_refusal():
    secret = "SECRET-VALUE-17"
    for zlaq in (COUNTY | {"dept": secret}, COUNTY | {secret: 1}, COUNTY | {"roles": [secret]}):
        with pytest.raises(ClaimsRefused) as raised:
            await authenticator().authenticate(bearer(sign(payload(zlaq))))
        told = json.dumps(error_json(entry_for(raised.value), "r", detail=str(raised.value)))
        assert secret not in told + str(raised.value) + repr(raised.value)
    assert secret not in repr(authenticator())
