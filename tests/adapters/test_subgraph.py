"""The driver of subgraphs against a real one, served by uvicorn on loopback and built with ariadne."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import uvicorn
from graphql import parse
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Fetch, SourceBadShape, SourceError, SourceRefused, SourceTimeout, SourceUnreachable, Window
from adapters.configuration import SubgraphSource
from adapters.credentials import CredentialMissing
from adapters.rest.template import TemplateRefused
from adapters.subgraph import SubgraphDriver
from adapters.subgraph.contract import Contract, ContractBroken
from schema.registry import load_registry
from tests.adapters.subgraph.server import SDL, STATUS, VISITS, Subgraph, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


@pytest.fixture(scope="module")
def served() -> Iterator[Subgraph]:
    """The subgraph in a thread of its own."""
    subgraph = Subgraph()
    server = uvicorn.Server(
        uvicorn.Config(subgraph, host="127.0.0.1", port=0, log_level="critical", ws="none", lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    subgraph.port = server.servers[0].sockets[0].getsockname()[1]
    yield subgraph
    server.should_exit = True
    thread.join()


@pytest.fixture
def subgraph(served: Subgraph) -> Subgraph:
    """As it was in the beginning."""
    served.serve(SDL)
    served.asked.clear()
    served.instead, served.secret, served.delay, served.refused = None, "", 0.0, 0
    served.reversed, served.sends_at_most = False, 1000
    return served


@pytest.fixture
async def drive(subgraph: Subgraph) -> AsyncIterator[Callable[..., SubgraphDriver]]:
    """Makes drivers of this configuration, with parts of a service changed, and closes them."""
    made: list[SubgraphDriver] = []

    def credential(reference: str) -> str:
        found = {"env:CLIENT": "client-1", "env:SECRET": "swordfish"}.get(reference)
        if found is None:
            raise CredentialMissing(reference)
        return found

    def make(service: str = STATUS, part: dict[str, Any] | None = None, **changes: Any) -> SubgraphDriver:
        config = written(subgraph.port, **changes)
        config["service"][service] |= part or {}
        made.append(SubgraphDriver("guangdong", msgspec.convert(config, SubgraphSource), credential, load_registry()))
        return made[-1]

    yield make
    for driver in made:
        await driver.close()


def status(*keys: str, fields: tuple[str, ...] = ("name", "state")) -> Fetch:
    return Fetch(STATUS, keys, fields)


WANTED = ("bianma", "bs", "mc", "zt")


async def test_records_stand_at_their_keys(subgraph: Subgraph, drive: Callable[..., SubgraphDriver]) -> None:
    """Order of keys, a missing entity, a missing record; one question, with the wanted fields and nothing else."""
    driver = drive()
    await driver.open()
    subgraph.asked.clear()

    answer = await driver.read(STATUS, status("P2", "GONE", "P9", "P77", "P1"), WANTED)

    assert answer.ended
    assert [(r["bianma"], r["mc"], r["zt"]) for r in answer.records] == [
        ("P2", '项目"2', "JG"), ("P9", '项目"9', "ZJ"), ("P1", '项目"1', "TG"),
    ]  # fmt: skip
    assert set(answer.records[0]) == set(WANTED)
    (asked,) = subgraph.asked
    assert " ".join(asked["query"].split()) == (
        "query($zlaq_r: [_Any!]!) { _entities(representations: $zlaq_r) "
        "{ ... on Gongcheng { bianma xianchang { dangqian { bs mc zt } } } } }"
    )
    assert asked["variables"]["zlaq_r"][0] == {"__typename": "Gongcheng", "bianma": "P2"}


@pytest.mark.parametrize("keys", [("P2", "GONE", "P9", "P1"), ("P1", "P2"), ("P77", "P3", "P4", "P5", "GONE")])
async def test_entities_in_another_order_belong_to_their_own_keys(
    subgraph: Subgraph, drive: Callable[..., SubgraphDriver], keys: tuple[str, ...]
) -> None:
    """A subgraph that breaks the order of federation shows nobody another object's values."""
    driver = drive()
    await driver.open()
    straight = await driver.read(STATUS, status(*keys), WANTED)
    subgraph.reversed = True
    turned = await driver.read(STATUS, status(*keys), WANTED)
    assert turned.records == straight.records[::-1]
    assert {record["bianma"]: record["mc"] for record in turned.records} == {
        key: f'项目"{key[1]}' for key in keys if key not in ("GONE", "P77")
    }


async def test_paths_are_asked_for_by_attribute(subgraph: Subgraph, drive: Callable[..., SubgraphDriver]) -> None:
    """Of one object only the parts of the attributes that are wanted."""
    driver = drive()
    await driver.open()
    fetch = status("P3", fields=("workers_on_site",))
    answer = await driver.read(STATUS, fetch, ("bianma", "bs", "dw"))
    assert answer.records == [{"bianma": "P3", "bs": "2026-09-16 08:00:00", "dw": {"rs": 3}}]
    assert "aqy" not in subgraph.asked[-1]["query"]


@given(st.lists(st.text(max_size=12), min_size=1, max_size=5))
def test_keys_are_never_part_of_the_text(keys: list[str]) -> None:
    """Whatever a key is, the query's text is the same and the key is a variable."""
    config = msgspec.convert(written(1), SubgraphSource)
    driver = SubgraphDriver("guangdong", config, str, load_registry())
    contract = Contract(SDL)
    call = driver._calls[STATUS]
    query, variables = call.question(contract, status(*keys), WANTED)
    assert query == call.question(contract, status("x"), WANTED)[0]
    parse(query)
    assert [r["bianma"] for r in variables["zlaq_r"]] == keys  # type: ignore[attr-defined]


@pytest.mark.parametrize("first", [1, 2, 5, 7, 23, 50])
async def test_windows_walk_the_list(drive: Callable[..., SubgraphDriver], first: int) -> None:
    """Each record once, in order, whatever the page; the boundary of a missing date is said too."""
    driver = drive()
    await driver.open()
    found: list[str] = []
    after: tuple[str, ...] | None = None
    for _ in range(40):
        fetch = Fetch(VISITS, ("P1",), ("inspection_no", "inspected_on"), Window(first, after))
        answer = await driver.read(VISITS, fetch, ("bianma", "bh", "rq"))
        found += [str(record["bh"]) for record in answer.records]
        if answer.ended:
            break
        last = answer.records[-1]
        after = (str(last["rq"] or ""), str(last["bh"]))
    assert found == [f"J{n:02}" for n in range(23)]


@pytest.mark.parametrize("first", [3, 5, 6, 9, 23, 50])
@pytest.mark.parametrize("sends_at_most", [1, 5, 9, 22])
async def test_a_source_that_sends_fewer_than_asked_for_has_not_ended(
    subgraph: Subgraph, drive: Callable[..., SubgraphDriver], first: int, sends_at_most: int
) -> None:
    """Its own limit is no end of the list: what is behind is asked for until there is nothing."""
    driver = drive()
    await driver.open()
    subgraph.sends_at_most = sends_at_most
    found: list[str] = []
    after: tuple[str, ...] | None = None
    for _ in range(40):
        fetch = Fetch(VISITS, ("P1",), ("inspection_no", "inspected_on"), Window(first, after))
        answer = await driver.read(VISITS, fetch, ("bianma", "bh", "rq"))
        found += [str(record["bh"]) for record in answer.records]
        if answer.ended:
            break
        last = answer.records[-1]
        after = (str(last["rq"] or ""), str(last["bh"]))
    assert found == [f"J{n:02}" for n in range(23)]


async def test_a_list_that_cannot_be_paged(drive: Callable[..., SubgraphDriver]) -> None:
    """Without a boundary among its arguments the same page comes again: that is said, not walked for ever."""
    driver = drive(VISITS, {"arguments": {"first": "{first}"}})
    await driver.open()
    fields = ("inspection_no", "inspected_on")
    fetch = Fetch(VISITS, ("P1",), fields, Window(2, ("2026-09-20", "J01")))
    with pytest.raises(SourceBadShape, match="the same page again"):
        await driver.read(VISITS, fetch, ("bianma", "bh", "rq"))


def listed(**arguments: Any) -> dict[str, Any]:
    return {"arguments": {"first": "{first}"} | arguments}


def one(name: str, path: str) -> dict[str, Any]:
    return {"fields": {name: {"from": path}}}


ORDERED = {"inspection_no": {"from": "bh"}, "inspected_on": {"from": "rq"}}
UNFIT = "is of a type that the attribute cannot be read from"
TEMPLATE = "is of a type that our template does not fit"
BROKEN: list[tuple[str, str, dict[str, Any]]] = [
    (STATUS, "type is missing", {"type": "Xiangmu"}),
    (STATUS, "key is no key of its type", {"key": "secret"}),
    (STATUS, "key is no key of its type", {"type": "Jiancha"}),
    (STATUS, "at is missing", {"at": "xianchang.guoqu"}),
    (STATUS, "at leads elsewhere, a single record is expected", {"at": "jiancha", "arguments": {"first": 1}}),
    (VISITS, "at leads elsewhere, a list is expected", {"at": "xianchang.dangqian", "arguments": {}}),
    (VISITS, "at requires an argument that is not configured", {"arguments": {}}),
    (VISITS, "at goes through a list", {"at": "jiancha.bh", "arguments": {}}),
    (VISITS, "arguments.last is missing", listed(last=1)),
    (VISITS, f"arguments.first {TEMPLATE}", listed(first="ten")),
    (VISITS, f"arguments.first {TEMPLATE}", listed(first=["{first}"])),
    (VISITS, f"arguments.first {TEMPLATE}", listed(first=True)),
    (VISITS, f"arguments.after {TEMPLATE}", listed(after=7)),
    (VISITS, f"arguments.after {TEMPLATE}", listed(after={"x": 1})),
    (VISITS, f"arguments.kind {TEMPLATE}", listed(kind="XX")),
    (STATUS, "name is missing", one("name", "mingcheng")),
    (STATUS, "name is missing", one("name", "mc.x")),
    (STATUS, "name is not a leaf", one("name", "dw")),
    (STATUS, f"name {UNFIT}", one("name", "tg")),
    (STATUS, f"total_area {UNFIT}", one("total_area", "zt")),
    (STATUS, f"reported_at {UNFIT}", one("reported_at", "tg")),
    (VISITS, "agency is a list", {"fields": ORDERED | {"agency": {"from": "ry"}}}),
    (STATUS, "gx is missing", {"as_of": {"from": "gx"}}),
    (STATUS, "qh is missing", {"region": "qh"}),
    (STATUS, "dw is not a leaf", {"valid": {"from": "dw", "is": ["1"]}}),
]


@pytest.mark.parametrize(("service", "complaint", "part"), BROKEN)
async def test_a_broken_contract_is_named(
    drive: Callable[..., SubgraphDriver], service: str, complaint: str, part: dict[str, Any]
) -> None:
    """By our own coordinates, before any record is asked for."""
    with pytest.raises(SourceBadShape) as caught:
        await drive(service, part).open()
    assert str(caught.value) == f"source guangdong: contract: {service}.{complaint}"


def test_arguments_take_boundary_and_size_only(drive: Callable[..., SubgraphDriver]) -> None:
    """Another placeholder has no value here."""
    with pytest.raises(TemplateRefused, match=r"\{reason\}"):
        drive(VISITS, {"arguments": {"first": "{first}", "after": "{reason}"}})


def said(data: Any, **more: Any) -> Callable[[dict[str, Any]], Any]:
    """Says this instead of entities."""
    return lambda question: None if "_service" in question["query"] else {"data": data, **more}


WRONG = [
    (said({"_entities": []}), SourceBadShape),
    (said({"_entities": [None, None, None]}), SourceBadShape),
    (said({"_entities": None}), SourceBadShape),
    (said({"_entities": ["x", None]}), SourceBadShape),
    (said({"_entities": [{"bianma": "P1", "xianchang": 7}, None]}), SourceBadShape),
    (said({"_entities": [{"bianma": "P1", "xianchang": {"dangqian": ["x"]}}, None]}), SourceBadShape),
    (said({"_entities": [{"xianchang": {"dangqian": {}}}, None]}), SourceBadShape),
    (said({"_entities": [{"bianma": "P3", "xianchang": {"dangqian": {}}}, None]}), SourceBadShape),
    (said({"_entities": [{"bianma": ["P1"], "xianchang": None}, None]}), SourceBadShape),
    (said({"_entities": [{"bianma": "P1", "xianchang": None}, {"bianma": "P1", "xianchang": None}]}), SourceBadShape),
    (said({}), SourceBadShape),
    (said(None), SourceBadShape),
    (said({"_entities": [None, None]}, errors=[{"message": "110101199003078574"}]), SourceRefused),
    (lambda q: None if "_service" in q["query"] else [], SourceBadShape),
    (lambda q: None if "_service" in q["query"] else b"<html>", SourceBadShape),
]  # fmt: skip


@pytest.mark.parametrize(("instead", "error"), WRONG)
async def test_what_is_no_answer(
    subgraph: Subgraph, drive: Callable[..., SubgraphDriver], instead: Any, error: type[SourceError]
) -> None:
    """Each is a failure of the whole fetch, not retried, and says nothing of what stood there."""
    driver = drive()
    await driver.open()
    subgraph.instead = instead
    with pytest.raises(error) as caught:
        await driver.read(STATUS, status("P1", "P2"), WANTED)
    assert type(caught.value) is error
    assert not caught.value.retryable
    assert "1101" not in str(caught.value)
    subgraph.instead = None
    assert len((await driver.read(STATUS, status("P1", "P2"), WANTED)).records) == 2


async def test_hostile_records_arrive_as_values(subgraph: Subgraph, drive: Callable[..., SubgraphDriver]) -> None:
    """Fields that nobody asked for, a key of its own, any JSON: the key is ours, the rest is the mapping's matter."""
    driver = drive()
    await driver.open()
    hostile = {"bianma": "P9", "mc": {"x": [1]}, "zt": "'; --", "zzz": 1}
    subgraph.instead = said({"_entities": [{"bianma": "P1", "xianchang": {"dangqian": hostile}}]})
    answer = await driver.read(STATUS, status("P1"), WANTED)
    assert answer.records == [hostile | {"bianma": "P1"}]


async def test_a_contract_that_changes_is_noticed(
    subgraph: Subgraph, drive: Callable[..., SubgraphDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field that goes is a refusal first, and then said by name; at most once a minute the SDL is read for it."""
    driver = drive()
    await driver.open()
    subgraph.serve(SDL.replace("mc: String", "mingcheng: String"))
    subgraph.asked.clear()
    for _ in range(3):
        with pytest.raises(SourceRefused):
            await driver.read(STATUS, status("P1"), WANTED)
    assert len(subgraph.asked) == 3
    monkeypatch.setattr(driver, "_checked_at", -1e9)
    with pytest.raises(SourceBadShape, match=r"contract: Project\.siteStatus\.name is missing"):
        await driver.read(STATUS, status("P1"), WANTED)
    subgraph.serve(SDL)
    assert len((await driver.read(STATUS, status("P1"), WANTED)).records) == 1


@pytest.mark.parametrize(
    "sdl",
    [
        "type Query {", "x" * 500_000, "type A { a" + "(a: [" * 20_000, "{ a }", "\0",
        "type A { a: " + "[" * 3000 + "A",
        "type A { " + " ".join(f"a{n}: A" for n in range(60_000)) + " }", 7, None,
    ],
)  # fmt: skip
async def test_an_sdl_that_cannot_be_read(subgraph: Subgraph, drive: Callable[..., SubgraphDriver], sdl: Any) -> None:
    """Too large, too deep, no SDL at all: bad shape, and soon."""
    subgraph.instead = lambda _: {"data": {"_service": {"sdl": sdl}}}
    started = time.monotonic()
    with pytest.raises(SourceBadShape, match="contract: "):
        await drive().open()
    assert time.monotonic() - started < 3


@given(st.text(max_size=60))
def test_any_text_is_a_contract_or_refused(text: str) -> None:
    """Nothing else is raised."""
    with contextlib.suppress(ContractBroken):
        Contract(text)


async def test_signed_calls(subgraph: Subgraph, drive: Callable[..., SubgraphDriver]) -> None:
    """The X-Client signature holds by the other side's own reckoning; a wrong secret is a refusal."""
    signer = {"family": "x-client", "client_id": "env:CLIENT", "secret": "env:SECRET"}
    subgraph.secret = "swordfish"
    driver = drive(signer=signer)
    await driver.open()
    assert len((await driver.read(STATUS, status("P1"), WANTED)).records) == 1
    assert subgraph.refused == 0
    subgraph.secret = "another"
    with pytest.raises(SourceRefused):
        await driver.read(STATUS, status("P1"), WANTED)
    with pytest.raises(SourceRefused, match="credential"):
        await drive(signer=signer | {"secret": "env:NOTHING"}).open()


async def test_failures_of_the_wire(subgraph: Subgraph, drive: Callable[..., SubgraphDriver]) -> None:
    """Late, absent, not opened: each has its name; after cancellation the next call is answered."""
    driver = drive(deadline_ms=200)
    await driver.open()
    subgraph.delay = 1.0
    with pytest.raises(SourceTimeout):
        await driver.read(STATUS, status("P1"), WANTED)
    call = asyncio.create_task(driver.read(STATUS, status("P1"), WANTED))
    await asyncio.sleep(0.05)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    subgraph.delay = 0.0
    assert len((await driver.read(STATUS, status("P1"), WANTED)).records) == 1
    with pytest.raises(SourceUnreachable):
        await drive(address="http://127.0.0.1:9").open()
    with pytest.raises(SourceError, match="not open"):
        await drive().read(STATUS, status("P1"), WANTED)


async def test_check_tells_each_step(subgraph: Subgraph, drive: Callable[..., SubgraphDriver]) -> None:
    """What an operator sees; a word of an enum without a code is a warning, not a failure."""
    steps = [step async for step in drive().check()]
    assert [title for title, _ in steps] == [
        "credentials", "address", "connection", "contract", "warning", f"probe {STATUS}",
    ]  # fmt: skip
    assert steps[4][1] == "SiteStatus.state: no code for JG"
    assert steps[5][1] == "1 records"
