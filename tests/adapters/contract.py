"""What every kind of source promises its callers, told once: a subclass brings a real counterpart and runs it all.

The suite asks an opened source through its port and lets the counterpart misbehave; it knows nothing of the kind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from adapters.base import AS_OF, UNMAPPED, Breaker, Fetch, Health, Rows, SourceError, Window
from adapters.guard import GuardedSource
from schema.declare import Attribute
from schema.registry import Field, load_registry

REGISTRY = load_registry()


class Called(Protocol):
    """One call as the counterpart saw it."""

    @property
    def keys(self) -> Sequence[str]:
        """Keys asked."""
        ...

    @property
    def fields(self) -> Sequence[str]:
        """Raw names asked; empty where the kind cannot choose."""
        ...


class Handle(Protocol):
    """The other side's controls."""

    def calls(self, service: str | None = None) -> Sequence[Called]:
        """Calls of a service (by the counterpart's name of it) since the last reset."""
        ...

    def reset(self) -> None:
        """Forget the calls and behave well."""
        ...

    def behave(self, behaviour: str, service: str = "*", times: int | None = None, **params: Any) -> None:
        """Misbehave in the next calls, or in all of them."""
        ...


@dataclass(frozen=True)
class Single:
    """A service with one record a key: keys that it has, as many as a call takes, and one that it has not."""

    service: str
    there: str
    """The counterpart's name of the service."""
    keys: tuple[str, ...]
    absent: str
    fields: tuple[str, ...]
    """Attributes that are known of all keys; the first is asked alone too."""
    asked: frozenset[str]
    """Raw names that may be asked when only the first of `fields` is."""


@dataclass(frozen=True)
class Listed:
    """A list of which a key has more than three windows of `first`."""

    service: str
    """Asked for one key at a time."""
    key: str
    absent: str
    order: tuple[str, ...]
    """Names of the order's attributes, the natural key last."""
    expected: tuple[str, ...]
    """All natural keys in order."""
    first: int


@dataclass(frozen=True)
class Peer:
    """A source and its counterpart. The source has a deadline of at most a second, several turns, no copies, and a
    breaker that opens after `failures` and rests for `rest_s`."""

    source: GuardedSource
    handle: Handle
    single: Single
    listed: Listed
    failures: int
    rest_s: float
    misbehaviours: Mapping[str, tuple[str, Mapping[str, Any]]]
    """Behaviour to the failure's name and its parameters."""
    down: str = "error"
    """The behaviour of a system that is not there."""
    harmless: tuple[str, ...] = ("reorder", "extra")
    """Behaviours after which the answer is the same."""
    mixes_keys: bool = True
    """Whether the counterpart can answer with records of other keys."""


def declared(service: str) -> list[Field]:
    """The attributes of a service's records."""
    entity, name = service.split(".")
    value = REGISTRY.values[REGISTRY.entity(entity).fields[name].type.name]
    return [part for part in value.fields.values() if isinstance(part.member, Attribute)]


class SourceContract:
    """Subclasses define the fixture `peer`, and `misbehaviour` parametrised by the names of its `misbehaviours`."""

    @staticmethod
    async def single(peer: Peer, *keys: str, fields: Sequence[str] | None = None) -> Rows:
        """Records by key."""
        return await peer.source.fetch(Fetch(peer.single.service, keys, tuple(fields or peer.single.fields)))

    async def test_keys_are_found_or_absent(self, peer: Peer):
        """In one call, whatever their order; an absent record is no failure."""
        single = peer.single
        several = peer.source.services[single.service] > len(single.keys)
        keys = (*single.keys, single.absent) if several else single.keys
        rows = await self.single(peer, *keys)
        assert len(peer.handle.calls(single.there)) == 1, "one call a fetch"
        assert set(rows.values) == set(single.keys)
        for record in rows.values.values():
            assert set(single.fields) <= set(record)
            assert all(record[name] is not None for name in single.fields)
            assert not record[UNMAPPED]
        turned = await self.single(peer, *keys[::-1], fields=single.fields[::-1])
        assert turned.values == rows.values
        assert (await self.single(peer, single.absent)).values == {}

    async def test_records_are_of_the_key_that_was_asked(self, peer: Peer):
        """A batch answers as single calls do."""
        batch = await self.single(peer, *peer.single.keys)
        for key in peer.single.keys:
            assert (await self.single(peer, key)).values == {key: batch.values[key]}

    async def test_only_what_is_wanted_is_asked_and_kept(self, peer: Peer):
        """No other attribute is there, nor requested where the kind can choose."""
        single = peer.single
        first = single.fields[0]
        rows = await self.single(peer, single.keys[0], fields=[first])
        for record in rows.values.values():
            assert {name for name in record if not name.startswith("@")} == {first}
        for call in peer.handle.calls(single.there):
            assert set(call.fields) <= single.asked
            assert single.keys[0] in call.keys
            assert set(single.keys[1:]).isdisjoint(call.keys)

    async def test_answers_say_how_old_they_are(self, peer: Peer):
        """The source's own date of each record, and when we fetched it."""
        before = datetime.now(UTC)
        rows = await self.single(peer, *peer.single.keys)
        assert rows.fetched_at is not None
        assert before <= rows.fetched_at <= before + timedelta(seconds=5)
        assert not rows.stale
        for record in rows.values.values():
            assert datetime.fromisoformat(str(record[AS_OF])).tzinfo is not None
        fresh = peer.source.state().fresh_as_of
        assert fresh is None or fresh <= datetime.now(UTC)

    async def test_a_list_is_read_to_its_end_by_windows(self, peer: Peer):
        """Every record once, in order, whatever the window."""
        listed = peer.listed
        for first in (listed.first, 1 + len(listed.expected)):
            found: list[str] = []
            after = None
            while True:
                window = Window(first, after)
                rows = await peer.source.fetch(Fetch(listed.service, (listed.key,), listed.order, window))
                page = rows.lists.get(listed.key, ())
                assert len(page) <= first
                found += [str(record[listed.order[-1]]) for record in page]
                if listed.key in rows.ended:
                    break
                assert page, "a page that is not the last has records"
                after = tuple(str(page[-1][name]) for name in listed.order)
            assert found == list(listed.expected)
        rows = await peer.source.fetch(Fetch(listed.service, (listed.absent,), listed.order, Window(listed.first)))
        assert not rows.lists.get(listed.absent)
        assert rows.ended == {listed.absent}

    async def test_each_misbehaviour_has_its_name(self, peer: Peer, misbehaviour: str):
        """In time, and the next call works again."""
        name, params = peer.misbehaviours[misbehaviour]
        peer.handle.behave(misbehaviour, **params)
        began = time.monotonic()
        with pytest.raises(SourceError) as failure:
            await self.single(peer, *peer.single.keys)
        assert failure.value.name == name
        assert time.monotonic() - began < peer.source.deadline_seconds + 0.1
        assert not any(key in str(failure.value) for key in peer.single.keys), "no value of the source in its failure"
        assert peer.source.state().last_failure == name
        peer.handle.reset()
        assert set((await self.single(peer, *peer.single.keys)).values) == set(peer.single.keys)

    async def test_what_is_harmless_changes_nothing(self, peer: Peer):
        """Order, further fields, records that nobody asked for."""
        usual = (await self.single(peer, *peer.single.keys)).values
        for behaviour in peer.harmless:
            peer.handle.behave(behaviour)
            assert (await self.single(peer, *peer.single.keys)).values == usual, behaviour
            peer.handle.reset()

    async def test_records_of_other_keys_are_none_of_ours(self, peer: Peer):
        """A source that mixes up keys has, for all we know, nothing."""
        if not peer.mixes_keys:
            pytest.skip("this counterpart looks its records up by key")
        peer.handle.behave("wrong_key")
        try:
            rows = await self.single(peer, *peer.single.keys)
        except SourceError as error:
            assert error.name == "SOURCE_BAD_SHAPE"  # noqa: PT017 - either is right
        else:
            assert rows.values == {}

    @pytest.mark.parametrize("variant", range(0, 18, 3))
    async def test_hostile_values_are_shown_as_what_they_are_or_not_at_all(self, peer: Peer, variant: int):
        """Of the declared type, or missing and named; or the whole answer has the name of a failure."""
        peer.handle.behave("hostile", variant=variant)
        parts = {part.name: part for part in declared(peer.single.service)}
        try:
            rows = await self.single(peer, *peer.single.keys)
        except SourceError as error:
            assert error.name == "SOURCE_BAD_SHAPE"  # noqa: PT017 - either is right
            return
        for record in rows.values.values():
            for name in peer.single.fields:
                value = record[name]
                if value is None:
                    continue
                codes, scalar = parts[name].codes, parts[name].scalar
                assert codes is None or value in codes.by_code
                assert scalar is None or scalar.parse(value) is not None

    async def test_the_breaker_spares_a_source_that_is_down_and_finds_it_again(self, peer: Peer):
        """No call while it is open; after its rest one goes through, and all do when that works."""
        peer.handle.behave(peer.down)
        for _ in range(peer.failures):
            with pytest.raises(SourceError):
                await self.single(peer, peer.single.keys[0])
        assert peer.source.state().breaker is Breaker.OPEN
        before = len(peer.handle.calls())
        began = time.monotonic()
        with pytest.raises(SourceError):
            await self.single(peer, peer.single.keys[0])
        assert time.monotonic() - began < 0.2
        assert len(peer.handle.calls()) == before
        peer.handle.reset()
        await asyncio.sleep(peer.rest_s + 0.05)
        assert (await self.single(peer, peer.single.keys[0])).values
        assert peer.source.state().breaker is Breaker.CLOSED

    async def test_a_service_that_fails_spoils_no_other(self, peer: Peer):
        """Its breaker is its own: the source is not down, and answers of the rest what it is asked."""
        peer.handle.behave("cut", peer.single.there)
        for _ in range(peer.failures):
            with pytest.raises(SourceError):
                await self.single(peer, peer.single.keys[0])
        with pytest.raises(SourceError, match="open breaker"):
            await self.single(peer, peer.single.keys[0])
        listed = peer.listed
        rows = await peer.source.fetch(Fetch(listed.service, (listed.key,), listed.order, Window(listed.first)))
        assert rows.lists[listed.key]
        state = peer.source.state()
        assert (state.breaker, state.health) == (Breaker.HALF_OPEN, Health.DEGRADED)

    async def test_cancelled_calls_leak_nothing(self, peer: Peer):
        """Neither turns nor connections: afterwards as many calls as ever go side by side."""
        peer.handle.behave("slow", seconds=5)
        calls = [asyncio.create_task(self.single(peer, peer.single.keys[0])) for _ in range(12)]
        await asyncio.sleep(0.1)
        for call in calls:
            call.cancel()
        done, _ = await asyncio.wait(calls, timeout=1)
        assert len(done) == 12
        peer.handle.reset()
        await asyncio.sleep(peer.rest_s + 0.05)
        await self.single(peer, peer.single.keys[0])
        many = await asyncio.gather(*(self.single(peer, key) for key in peer.single.keys * 4))
        assert all(len(rows.values) == 1 for rows in many)

    async def test_a_failure_in_one_fetch_leaves_the_others_alone(self, peer: Peer):
        """One call of several that run side by side fails."""
        peer.handle.behave("cut", times=1)
        keys = (peer.single.keys * 4)[:6]
        ends = await asyncio.gather(*(self.single(peer, key) for key in keys), return_exceptions=True)
        failed = [end for end in ends if isinstance(end, BaseException)]
        assert len(failed) <= 1
        assert all(isinstance(end, SourceError) for end in failed)
