"""Revisions of the policy swapped under load: every answer belongs to exactly one, and a bad one changes nothing.

Three revisions open and close several fields at once, each otherwise. What an operation answers under each of them is
asked while it alone is in force; under load every answer must be one of these, byte by byte, and its records must name
the same revision and the same decisions.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from adapters.postgres.policies import PostgresPolicyStore
from demo.seed import wellknown
from policy.lint import RULES_AT_MOST
from policy.revision import Revision, load_default, revision_texts
from tests.conftest import publish
from tests.drills.load import Load, Operation, Outcome
from tests.drills.recovery import steady
from tests.drills.trail import Recorded, recorded, run
from tests.drills.workload import HUNG_AFTER, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from demo.embedded import EmbeddedPostgres
    from tests.drills.load import ServerProcess

IN_FORCE_SECONDS = 2.0
"""From the beginning of a publication until no answer that is asked for comes under an earlier revision."""
LEFT = ("Project.address", "Project.developerName", "Project.approvalLevel", "Enterprise.economicType")
RIGHT = ("Project.totalArea", "Project.plannedStart", "Project.status", "Enterprise.foundedOn")
FACTS = "address developerName approvalLevel totalArea plannedStart status contractor { economicType foundedOn }"
KEY = {"k": wellknown.PROJECT_COUNTY}
DOCUMENTS: Mapping[str, Mapping[str, Any]] = {
    f"query($k: ProjectNo!) {{ project(projectNo: $k) {{ {FACTS} }} }}": KEY,
    f"query($r: [_Any!]!) {{ _entities(representations: $r) {{ ... on Project {{ {FACTS} }} }} }}": {
        "r": [{"__typename": "Project", "projectNo": wellknown.PROJECT_COUNTY}]
    },
    f"query($k: ProjectNo!) {{ projects(first: 5) {{ nodes {{ {FACTS} }} }}"
    f" project(projectNo: $k) {{ {FACTS} }} }}": KEY,
}  # fmt: skip


def revision(left: str, right: str) -> Revision:
    """The default matrix, but for the classes of the fields that the drill looks at."""
    default = load_default()
    return Revision(
        default.rules, {**default.classes, **dict.fromkeys(LEFT, left), **dict.fromkeys(RIGHT, right)}, default.kinds
    )


REVISIONS = {
    "left": revision("PUBLIC", "RESTRICTED"),
    "right": revision("RESTRICTED", "PUBLIC"),
    "offices": revision("SHARED", "SHARED"),
}
OPEN = {
    ("left", "public"): LEFT, ("left", "city"): LEFT, ("right", "public"): RIGHT, ("right", "city"): RIGHT,
    ("offices", "public"): (), ("offices", "city"): (*LEFT, *RIGHT),
}  # fmt: skip
"""What each revision shows to whom."""


@dataclass(frozen=True)
class Expected:
    """What an operation answers under one revision, and what its records say then."""

    name: str
    records: tuple[Recorded, ...]


Answers = dict[Operation, dict[bytes, Expected]]


def await_event(served: ServerProcess, event: str, identifier: str, seconds: float = 10) -> None:
    """Wait until the log has an event of a revision."""
    until = time.monotonic() + seconds
    while not any(found["revision"] == identifier for found in served.events(event)):
        assert time.monotonic() < until, f"no {event} of {identifier}"
        time.sleep(0.02)


def put_in_force(own: EmbeddedPostgres, served: ServerProcess, name: str) -> None:
    """Publish a revision that is not in force, and wait until the server has taken it up."""
    before = len(served.events("policy_published"))
    run(publish(own.dsn, REVISIONS[name]))
    until = time.monotonic() + 10
    while len(served.events("policy_published")) == before:
        assert time.monotonic() < until, f"{name} is not taken up"
        time.sleep(0.02)


def answers(own: EmbeddedPostgres, served: ServerProcess) -> Answers:
    """What every operation answers under each revision while it is the only one."""
    tokens = {"public": None, "city": served.issuer.mint("city")}
    found: Answers = {}
    who = {Operation(q, v, token): caller for caller, token in tokens.items() for q, v in DOCUMENTS.items()}
    for name, revised in REVISIONS.items():
        put_in_force(own, served, name)
        replies = {operation: ask(served, operation) for operation in who}
        trail = run(recorded(own.dsn))
        for operation, reply in replies.items():
            hold(reply, OPEN[name, who[operation]])
            records = tuple(sorted(trail[reply.headers["x-request-id"]]))
            assert {record.revision for record in records} == {revised.id}
            found.setdefault(operation, {})[reply.content] = Expected(name, records)
    assert {len(by_body) for by_body in found.values()} == {len(REVISIONS)}, "revisions that cannot be told apart"
    return found


def ask(served: ServerProcess, operation: Operation) -> httpx.Response:
    """Ask once."""
    return httpx.post(f"{served.address}/graphql", content=operation.body, headers=operation.headers, timeout=20)


def hold(reply: httpx.Response, shown: tuple[str, ...]) -> None:
    """Assert that exactly these fields are shown, and that the others are said to be closed."""
    assert reply.status_code == 200, reply.text
    told = orjson.loads(reply.content)
    # A department would see its own records, so to it a closed field is conditional.
    closed = {entry["coordinate"] for entry in told["extensions"].get("disclosure", [])}
    assert closed & {*LEFT, *RIGHT} == {*LEFT, *RIGHT} - set(shown)
    last = list(told["data"].values())[-1]
    project = last[0] if isinstance(last, list) else last
    project |= project["contractor"]
    seen = {name for name in (*LEFT, *RIGHT) if project[name.partition(".")[2]] is not None}
    assert seen == set(shown)


@dataclass(frozen=True)
class Judged:
    """How the answers of a load are spread over revisions, and which belong to none."""

    by_revision: Mapping[str, int]
    mixed: list[Outcome]
    unrecorded: list[Outcome]


def judge(outcomes: list[Outcome], known: Answers, trail: Mapping[str, list[Recorded]]) -> Judged:
    """Compare every answer, and the records of its request, with what one revision answers."""
    counted: Counter[str] = Counter()
    mixed, unrecorded = [], []
    for outcome in outcomes:
        expected = known[outcome.operation].get(outcome.body)
        if expected is None:
            mixed.append(outcome)
        elif tuple(sorted(trail.get(outcome.request_id, []))) != expected.records:
            unrecorded.append(outcome)
        else:
            counted[expected.name] += 1
    return Judged(counted, mixed, unrecorded)


def under(outcome: Outcome, known: Answers) -> str | None:
    """The revision that an answer belongs to."""
    expected = known[outcome.operation].get(outcome.body)
    return expected.name if expected else None


def swap(own: EmbeddedPostgres, served: ServerProcess, times: int) -> str:
    """Publish other revisions again and again while clients ask."""
    chance = random.Random(times)
    known = answers(own, served)
    current = "offices"
    swaps: list[tuple[float, str]] = []
    with Load(served.address, list(known), clients=12) as asked, steady(served) as grown:
        time.sleep(0.5)
        for _ in range(times):
            current = chance.choice([name for name in REVISIONS if name != current])
            swaps.append((time.monotonic(), current))
            run(publish(own.dsn, REVISIONS[current]))
            # Every third time the next one comes before this one is taken up everywhere.
            time.sleep(chance.choice((0.0, 0.4, IN_FORCE_SECONDS + 0.2)))
        time.sleep(IN_FORCE_SECONDS + 0.5)
        change = grown()
    judged = judge(asked.answered, known, run(recorded(own.dsn)))
    assert [(o.request_id, o.body) for o in judged.mixed] == []
    assert [(o.request_id, o.body) for o in judged.unrecorded] == []
    assert {(o.status, o.error) for o in asked.outcomes} == {(200, "")}
    assert judged.by_revision.keys() == REVISIONS.keys()
    assert max(o.seconds for o in asked.outcomes) < HUNG_AFTER
    delays = list(delays_of(swaps, asked.answered, known))
    assert max(delays) <= IN_FORCE_SECONDS, delays
    shares = ", ".join(f"{name} {number}" for name, number in sorted(judged.by_revision.items()))
    return (
        f"{times} swaps under load: {len(asked.answered)} answers ({shares}), mixed 0, records of another revision 0;"
        f" longest delay of a swap {max(delays):.2f} s; slowest answer {max(o.seconds for o in asked.outcomes):.2f} s;"
        f" {change}"
    )


def delays_of(swaps: list[tuple[float, str]], answered: list[Outcome], known: Answers) -> Iterator[float]:
    """For each swap, seconds until the last request that was sent after it and answered under another revision."""
    ends = [at for at, _ in swaps[1:]] + [float("inf")]
    for (at, name), end in zip(swaps, ends, strict=True):
        late = [
            o.began - at for o in answered if at < o.began and o.began + o.seconds < end and under(o, known) != name
        ]
        yield max(late, default=0.0)


@pytest.mark.prove
def test_revisions_are_swapped_under_load(own: EmbeddedPostgres, served: ServerProcess):
    """No answer mixes two revisions, none names another in its record, and a swap is in force within two seconds."""
    print(swap(own, served, 30))  # noqa: T201


@pytest.mark.prove
def test_a_mixed_answer_would_be_found(own: EmbeddedPostgres, served: ServerProcess):
    """The judge of the drill: half of one revision and half of another is neither, and a record of another is named."""
    known = answers(own, served)
    operation = next(iter(known))
    (first, expected), (second, other) = list(known[operation].items())[:2]
    half = first.replace(b'"totalArea":null', b'"totalArea":' + second.partition(b'"totalArea":')[2].split(b",")[0])
    assert half not in (first, second)
    outcomes = [Outcome(operation, 0, 0, 200, f"r{n}", body) for n, body in enumerate((first, half, second))]
    trail = {"r0": list(expected.records), "r1": list(expected.records), "r2": list(expected.records)}
    judged = judge(outcomes, known, trail)
    assert (judged.by_revision, judged.mixed, judged.unrecorded) == ({expected.name: 1}, outcomes[1:2], outcomes[2:])
    assert list(delays_of([(-1.0, other.name)], outcomes[:1], known)) == [1.0]


def malformed() -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Revisions of every kind that is refused, as their three texts; each was right before one change."""
    rules, classes, kinds = revision_texts(REVISIONS["left"])
    one = load_default().rules[0]
    header = rules.partition("\n")[0]

    def row(**cells: str) -> str:
        return revision_texts(replace(REVISIONS["left"], rules=(replace(one, id="BAD", **cells),)))[0].split("\n")[1]

    for name, text in {
        "nothing": "",
        "no rules": header + "\n",
        "another header": rules.replace("id,role", "role,id", 1),
        "a quote that is not closed": rules + '"BAD,',
        "a cell too many": rules.replace(",allow,", ",allow,allow,", 1),
        "a cell larger than any": rules.replace(one.reason, "x" * 200_000, 1),
        "binary data": "\x01\x02\ufffd" * 100,
        "an unknown effect": rules + row(eft="permit") + "\n",
        "an effect in the wrong case": rules + row(eft="Allow") + "\n",
        "an unknown act": rules + row(act="read") + "\n",
        "an unknown relation": rules + row(rel="near") + "\n",
        "an unknown level": rules + row(level="TOWN") + "\n",
        "an unknown kind": rules + row(kind="ARMY") + "\n",
        "an unknown field": rules + row(obj="Project.nmae") + "\n",
        "every field": rules + row(obj="*") + "\n",
        "an expression": rules + row(role="r.sub.id") + "\n",
        "a scope that is no node": rules + row(rel="in", scope="420199") + "\n",
        "an empty window": rules + row(valid_from="100", valid_to="100") + "\n",
        "a masked row": rules + row(obj="Project.__row__", act="mask") + "\n",
        "the same id twice": rules + row() + "\n" + row(act="mask") + "\n",
        "too many rules": rules + "".join(row().replace("BAD", f"BAD{n}") + "\n" for n in range(RULES_AT_MOST)),
    }.items():
        yield name, (text, classes, kinds)
    for name, text in {
        "no class at all": "",
        "an unknown class": classes.replace("Project.name,PUBLIC", "Project.name,OPEN"),
        "a class of an unknown field": classes + "Project.gone,PUBLIC\n",
        "two classes of one field": classes + "Project.name,RESTRICTED\n",
    }.items():
        yield name, (rules, text, kinds)
    for name, text in {
        "kinds in a circle": kinds + "FIRE,HR\nHR,FIRE\n",
        "a kind of an unknown kind": kinds + "ARMY,HOUSING\n",
        "kinds of one column": "kind\nFIRE\n",
    }.items():
        yield name, (rules, classes, text)


async def put(dsn: str, identifier: str, texts: tuple[str, str, str]) -> None:
    """Write a revision into the table, as somebody does who asks no linter."""
    store = PostgresPolicyStore(dsn, role="zlaq_write")
    await store.publish(id=identifier, rules=texts[0], classes=texts[1], kinds=texts[2], by="drill")
    await store.close()


@pytest.mark.prove
def test_malformed_revisions_change_nothing(own: EmbeddedPostgres, served: ServerProcess):
    """Each is refused and logged, the one in force stays, a process that starts then is closed, the next is taken."""
    known = answers(own, served)
    put_in_force(own, served, "left")
    cases = list(malformed())
    published = len(served.events("policy_published"))
    with Load(served.address, list(known), clients=6) as asked, steady(served) as grown:
        time.sleep(0.3)
        began = time.monotonic()
        for number, (name, texts) in enumerate(cases):
            run(put(own.dsn, f"malformed {number} {name}", texts))
            await_event(served, "policy_refused", f"malformed {number} {name}")
        time.sleep(0.5)
        change = grown()
    judged = judge(asked.answered, known, run(recorded(own.dsn)))
    assert judged == Judged({"left": len(asked.answered)}, [], [])
    assert {(o.status, o.error) for o in asked.outcomes} == {(200, "")}
    assert len(served.events("policy_published")) == published
    assert len(served.events("policy_refused")) == len(cases)
    served.kill()
    served.launch()
    assert served.becomes_ready(20, status=503)
    operation = next(iter(known))
    reply = ask(served, operation)
    assert refusal(reply.status_code, reply.content) == (503, "ZQ303")
    put_in_force(own, served, "right")
    assert under(Outcome(operation, 0, 0, 200, "", ask(served, operation).content), known) == "right"
    print(  # noqa: T201
        f"{len(cases)} malformed revisions in {time.monotonic() - began:.0f} s: all refused and logged,"
        f" {len(asked.answered)} answers meanwhile, all under the one in force; {change};"
        " a process started then answered 503 until the next one"
    )
