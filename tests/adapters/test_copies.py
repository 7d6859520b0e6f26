"""Stale copies: served only where declared, for whom it is allowed, and as old as they say."""

from __future__ import annotations

from typing import Any

import pytest

from adapters import copies
from adapters.base import (
    Fetch,
    Health,
    OfficerMissing,
    SourceBadShape,
    SourceBusy,
    SourceError,
    SourceRefused,
    SourceTimeout,
    SourceUnreachable,
    Window,
)
from adapters.configuration import BreakerLimits
from schema.officer import Officer
from tests.adapters.scripted import (
    ABSENT,
    IDENTITY,
    INSPECTIONS,
    KEYS,
    STATUS,
    Guarded,
    Step,
    answering,
    failing,
    guarded,
    hanging,
    inspection,
    lone,
    service,
    site,
)

DOWN = SourceUnreachable("zhejiang", "503")
NEVER_OPENS = BreakerLimits(failures=10_000, open_s=10)
OFFICER = Officer("110101199001010014", "李警官", "浙江省住建厅")


def keeping(stale_s: int = 60) -> Guarded:
    """A source that may serve copies."""
    return guarded(stale_s=stale_s, attempts=1, breaker=NEVER_OPENS)


async def test_a_copy_is_served_while_the_source_fails():
    """With its own time of fetching, marked; the failure still counts."""
    it = keeping()
    fresh = await it.ask(*KEYS[:3], ABSENT)
    it.script.then(failing(DOWN))
    stale = await it.ask(KEYS[1], ABSENT, fields=("name", "state"))
    assert stale.stale
    assert stale.fetched_at == fresh.fetched_at
    assert stale.values == {KEYS[1]: fresh.values[KEYS[1]]}, "what was absent is known to be absent"
    assert it.outcomes == ["ok", "stale"]
    state = it.source.state()
    assert (state.failures, state.last_failure, state.health) == (1, "SOURCE_UNAVAILABLE", Health.DEGRADED)
    again = await it.ask(KEYS[1])
    assert not again.stale


@pytest.mark.parametrize(
    ("error", "served"),
    [(SourceTimeout("z"), True), (SourceRefused("z"), True), (SourceBadShape("z"), True), (SourceError("z"), True),
     (RuntimeError("z"), True), (SourceBusy("z"), False)],
)  # fmt: skip
async def test_for_which_failures(error: Exception, served: bool):
    """A source that is merely busy is there."""
    it = keeping()
    await it.ask()
    it.script.then(failing(error))
    if served:
        assert (await it.ask()).stale
    else:
        assert type(await it.fails()) is SourceBusy


async def test_at_the_deadline_and_behind_an_open_breaker():
    """The two ends of a source that hangs; neither waits longer than the deadline."""
    it = lone(stale_s=60, deadline_ms=50, breaker=BreakerLimits(failures=1, open_s=10))
    await it.ask()
    it.script.then(hanging)
    assert (await it.ask()).stale
    assert it.source.state().health is Health.DOWN
    assert (await it.ask()).stale
    assert len(it.script.asked) == 2


async def test_without_a_copy_for_every_key_the_failure_stands():
    """Half an answer would look like absent records."""
    it = keeping()
    await it.ask(*KEYS[:2])
    it.script.then(failing(DOWN))
    with pytest.raises(SourceUnreachable):
        await it.ask(*KEYS[:3])


async def test_fields_make_another_copy():
    """What was not asked for then is not known now, nor is less of it taken from more."""
    it = keeping()
    await it.ask(fields=("state", "name"))
    for fields in [("state",), ("name",), ()]:
        it.script.then(failing(DOWN))
        with pytest.raises(SourceUnreachable):
            await it.ask(fields=fields)


async def test_nothing_where_it_is_not_declared():
    """The default is never."""
    it = keeping(stale_s=0)
    await it.ask()
    it.script.then(failing(DOWN))
    assert type(await it.fails()) is SourceUnreachable


async def test_nothing_personal():
    """A safety officer's name makes the whole answer one that is not kept."""
    it = keeping()
    await it.ask(fields=("state", "safety_officer"))
    assert len(it.source._copies._kept) == 0
    it.script.then(failing(DOWN))
    with pytest.raises(SourceUnreachable):
        await it.ask(fields=("state", "safety_officer"))


async def test_nothing_that_an_officer_asked():
    """Whatever the fields."""
    it = keeping()
    for fields in [("name",), ()]:
        await it.ask(service=IDENTITY, fields=fields, officer=OFFICER, reason="办案")
        it.script.then(failing(DOWN))
        with pytest.raises(SourceUnreachable):
            await it.ask(service=IDENTITY, fields=fields, officer=OFFICER, reason="办案")
    assert len(it.source._copies._kept) == 0
    with pytest.raises(OfficerMissing):
        await it.ask(service=IDENTITY, fields=("name",))


async def test_first_pages_only():
    """A list's beginning may be a copy; a page behind a boundary never, since the walk would have gaps."""
    it = keeping()
    asked: dict[str, Any] = {"service": INSPECTIONS, "fields": ("agency",)}
    fresh = await it.ask(window=Window(2), **asked)
    await it.ask(window=Window(2, ("2026-09-02", "JC0002")), **asked)
    it.script.then(failing(DOWN), failing(DOWN), failing(DOWN))
    stale = await it.ask(window=Window(2), **asked)
    assert stale.lists == fresh.lists
    assert (stale.ended, stale.stale) == (fresh.ended, True)
    for window in (Window(2, ("2026-09-02", "JC0002")), Window(3)):
        with pytest.raises(SourceUnreachable):
            await it.ask(window=window, **asked)


async def test_an_empty_list_and_its_end_are_remembered():
    """As they were said."""
    it = keeping()
    it.script.then(answering(inspection(KEYS[0], 1, "2026-09-01")))
    fresh = await it.ask(KEYS[0], ABSENT, service=INSPECTIONS, fields=("agency",), window=Window(5))
    it.script.then(failing(DOWN))
    stale = await it.ask(KEYS[0], ABSENT, service=INSPECTIONS, fields=("agency",), window=Window(5))
    assert (stale.lists, stale.ended) == (fresh.lists, fresh.ended)
    assert KEYS[0] in stale.ended


async def test_a_copy_is_never_older_than_declared():
    """To the second, counted from its own fetch, and the oldest tells the age of all."""
    it = keeping(stale_s=60)
    first = await it.ask(KEYS[0])
    it.clock.now += 40
    await it.ask(KEYS[1])
    it.clock.now += 20
    it.script.then(failing(DOWN))
    both = await it.ask(*KEYS[:2])
    assert both.fetched_at == first.fetched_at
    it.clock.now += 0.01
    it.script.then(failing(DOWN), failing(DOWN))
    with pytest.raises(SourceUnreachable):
        await it.ask(*KEYS[:2])
    assert (await it.ask(KEYS[1])).stale


async def test_a_newer_answer_replaces_the_copy():
    """Also when the record has gone since."""
    it = keeping()
    await it.ask(KEYS[0])
    it.script.then(answering())
    assert (await it.ask(KEYS[0])).values == {}
    it.script.then(failing(DOWN))
    assert (await it.ask(KEYS[0])).values == {}


async def test_their_number_is_bounded():
    """The least recently used go first."""
    it = keeping()
    await it.ask(KEYS[0])
    source = it.source
    for block in range(0, copies.KEYS_AT_MOST, 3):
        keys = tuple(f"x{n}" for n in range(block, block + 3))
        it.script.then(answering(*(site(key) for key in keys)))
        await source.fetch(Fetch("Project.siteStatus", keys, ("name",)))
        if block == 300:
            it.script.then(failing(DOWN))
            assert (await it.ask(KEYS[0])).stale
    assert len(source._copies._kept) == copies.KEYS_AT_MOST
    it.script.then(failing(DOWN), failing(DOWN))
    assert (await it.ask(KEYS[0])).stale
    with pytest.raises(SourceUnreachable):
        await source.fetch(Fetch("Project.siteStatus", ("x0",), ("name",)))


async def kept(it: Guarded, *keys: str, **asked: Any) -> bool:
    """Whether a copy is served while the source fails."""
    it.script.then(failing(DOWN))
    try:
        return bool((await it.ask(*keys, **asked)).stale)
    except SourceUnreachable:
        return False


def visits(key: str, count: int) -> Step:
    """A step that answers with visits of nine kilobytes each."""
    return answering(*({**inspection(key, n, "2026-09-01"), "jg": "站" * 3000} for n in range(count)))


async def test_their_bytes_are_bounded():
    """Long lists drive out what was used longest ago, however few they are; one beyond measure drives out nothing."""
    many = {STATUS: service(STATUS), INSPECTIONS: service(INSPECTIONS, items_at_most=1000)}
    it = guarded(stale_s=60, attempts=1, breaker=NEVER_OPENS, service=many, deadline_ms=5000)
    asked: dict[str, Any] = {"service": INSPECTIONS, "fields": ("agency",), "window": Window(1000)}
    await it.ask(KEYS[1])
    most = copies.BYTES_AT_MOST // 1_000_000
    for n in range(most):
        it.script.then(visits(f"x{n}", 100))
        await it.ask(f"x{n}", **asked)
        if n == most // 2:
            assert await kept(it, KEYS[1])
    assert it.source._copies._bytes <= copies.BYTES_AT_MOST
    assert [n for n in range(most) if not await kept(it, f"x{n}", **asked)] == []
    for n in range(most, most + 4):
        it.script.then(visits(f"x{n}", 100))
        await it.ask(f"x{n}", **asked)
    assert it.source._copies._bytes <= copies.BYTES_AT_MOST
    assert not await kept(it, KEYS[1])
    assert await kept(it, f"x{most}", **asked)
    it.script.then(visits("huge", 500))
    await it.ask("huge", **asked)
    assert not await kept(it, "huge", **asked)
    assert await kept(it, f"x{most}", **asked)


async def test_one_key_has_few_variants():
    """Whoever asks it in many ways drives out his own copies of it, and of no other key."""
    it = keeping()
    asked: dict[str, Any] = {"service": INSPECTIONS, "fields": ("agency",)}
    await it.ask(KEYS[1], **asked, window=Window(1))
    for first in range(1, copies.VARIANTS_AT_MOST + 3):
        await it.ask(KEYS[0], **asked, window=Window(first))
        assert await kept(it, KEYS[0], **asked, window=Window(2)) == (first >= 2), "used again and again"
    assert not await kept(it, KEYS[0], **asked, window=Window(1))
    assert not await kept(it, KEYS[0], **asked, window=Window(3)), "gone"
    assert await kept(it, KEYS[0], **asked, window=Window(4))
    assert await kept(it, KEYS[1], **asked, window=Window(1))


async def test_what_is_dropped_is_no_longer_weighed():
    """By age, by another answer, by the number of variants."""
    it = keeping(stale_s=60)
    for fields in [("state",), ("name",), ("name",)] * 5:
        await it.ask(*KEYS, fields=fields)
    assert it.source._copies._bytes > 0
    it.clock.now += 61
    for fields in [("state",), ("name",)]:
        for key in KEYS:
            assert not await kept(it, key, fields=fields)
    assert (it.source._copies._bytes, len(it.source._copies._kept)) == (0, 0)
