"""Answers with tokens into complete ones, stage by stage: remote values, the local records they lead to, and on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from adapters.base import (
    Fetch,
    OfficerMissing,
    Source,
    SourceBadShape,
    SourceError,
    SourceFailure,
    SourceNotConnected,
    Window,
)
from resolvers.bind import Binding
from resolvers.cursors import Cursors
from resolvers.plan import Statement
from resolvers.remote import Outcome, RemoteRecords, Sources
from resolvers.remote_values import Lead, Showing, record_region
from resolvers.slots import RemoteSlot, Sight, asked_fields, path_of
from resolvers.splice import Cursor, Pieces, Token, cut
from resolvers.walk import Page, Position, merge
from schema.officer import Officer

Path = tuple[str | int, ...]
Answers = dict[int, list[bytes | None]]
"""What each statement that has run answered, by its place in the plan."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """A remote value that could not be had."""

    path: Path
    error: SourceError


@dataclass(slots=True)
class Value:
    """What a token is replaced by: ready to be written once its leads are filled."""

    shown: Any = None
    leads: Sequence[Lead] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A token's place in the answer; where it stands is worked out only when it must be said."""

    statement: Statement
    slot: RemoteSlot
    token: Token
    places: Sequence[Path]

    @property
    def path(self) -> Path:
        """The response path."""
        if self.statement.after is None:
            return tuple(path_of(self.slot.path, self.token.ordinals))
        # The first position is that of the record that was led to; its own place was noted when its key came.
        position, *rest = self.token.ordinals
        return (*self.places[position], *path_of(self.slot.path[len(self.statement.after) :], rest))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a token's key is asked of, for what, and what may be seen of the answer."""

    source: Source
    fetch: Fetch
    sight: Sight


@dataclass(frozen=True, slots=True)
class Begun:
    """A token whose key has been asked for; without `wanted` it is a walk, whose future is its value."""

    place: Place
    wanted: Wanted | None
    future: asyncio.Future[Any]


@dataclass(slots=True)
class Completion:
    """One request's completion; `run` sends a later statement of the plan with its binding's keys."""

    statements: Sequence[Statement]
    names: Sequence[str]
    binding: Binding
    cursors: Cursors
    nonce: str
    sources: Sources
    records: RemoteRecords
    covered: Callable[[str, str, tuple[str, ...]], bool]
    """Policy: whether an act on a coordinate is allowed for whatever a source has of these regions."""
    officer: Officer | None
    run: Callable[[int], Coroutine[Any, Any, list[bytes | None]]]
    errors: list[FieldError] = field(default_factory=list)
    _decided: dict[tuple[str, str, tuple[str, ...]], bool] = field(default_factory=dict)
    _kinds: dict[tuple[int, int, str], tuple[Sight, Fetch] | None] = field(default_factory=dict)

    async def complete(self, answers: Answers, places: Mapping[int, Sequence[Path]]) -> Answers:
        """The same answers with every token replaced; `places` are the paths of the records of later statements."""
        pieces = {
            index: [cut(blob, self.nonce) if blob is not None else None for blob in blobs]
            for index, blobs in answers.items()
            if self.statements[index].has_tokens
        }
        values = await self._values(pieces, places)
        await self._follow([lead for value in values.values() for lead in value.leads])
        completed = dict(answers)
        for index, cut_answers in pieces.items():
            completed[index] = [
                None if piece is None else piece.joined([self._written(index, token, values) for token in piece.tokens])
                for piece in cut_answers
            ]
        return completed

    def _written(self, index: int, token: Token | Cursor, values: Mapping[tuple[int, int], Value]) -> bytes:
        if isinstance(token, Cursor):
            cursor = self.statements[index].cursor
            walk = cursor.walk if cursor else self.names[index]
            return b'"' + self.cursors.write(token.values, walk).encode() + b'"'
        value = values.get((index, id(token)))
        return b"null" if value is None else orjson.dumps(value.shown)

    async def _values(
        self, pieces: Mapping[int, Sequence[Pieces | None]], places: Mapping[int, Sequence[Path]]
    ) -> dict[tuple[int, int], Value]:
        """The values of all tokens: keys are asked for first, all together, and shown when every source has spoken."""
        begun: dict[tuple[int, int], Begun] = {}
        for index, cut_answers in pieces.items():
            for token in (token for piece in cut_answers if piece is not None for token in piece.tokens):
                if isinstance(token, Token):
                    statement = self.statements[index]
                    place = Place(statement, statement.slots[token.slot], token, places.get(index, ()))
                    found = self._begin(index, place)
                    if found is not None:
                        begun[index, id(token)] = found
        if begun:
            await _ended(list(begun.values()))
        return {key: self._value(one) for key, one in begun.items()}

    def _begin(self, index: int, place: Place) -> Begun | None:
        slot, token = place.slot, place.token
        if slot.walk is not None:
            return Begun(place, None, asyncio.ensure_future(self._walk(slot, token, place.path)))
        try:
            wanted = self._wanted(index, slot, token)
        except SourceError as error:
            self.errors.append(FieldError(place.path, error))
            return None
        if wanted is None:
            return None
        key = orjson.loads(token.key)[0] if slot.compares else token.key
        return Begun(place, wanted, self.records.load(wanted.source, wanted.fetch, key))

    def _value(self, begun: Begun) -> Value:
        if begun.wanted is None:
            walked: Value = begun.future.result()
            return walked
        try:
            return self._record(begun.place, begun.wanted, begun.future.result())
        except SourceError as error:
            if isinstance(error, SourceBadShape):
                self.records.spoiled(error.source, error)
            self.errors.append(FieldError(begun.place.path, error))
            return Value()

    def _wanted(self, index: int, slot: RemoteSlot, token: Token) -> Wanted | None:
        """Whom to ask for what, the same for all rows of one verdict; `None` where nothing may be shown."""
        kind = index, token.slot, token.bits
        if kind not in self._kinds:
            sight = Sight(token.bits)
            window = Window(self._first(slot)) if slot.is_list else None
            # Nothing of it may be shown for such a row, so its key is sent nowhere.
            shown = any(sight.shows(part) for part in slot.parts)
            self._kinds[kind] = (sight, self._asked(slot, asked_fields(slot, sight), window)) if shown else None
        known = self._kinds[kind]
        if known is None:
            return None
        source = self.sources.route(slot.coordinate, token.manage)
        if source is None:
            raise SourceNotConnected(slot.coordinate)
        sight, fetch = known
        return Wanted(source, fetch, sight)

    def _record(self, place: Place, wanted: Wanted, outcome: Outcome) -> Value:
        """The value of one governing record, from what its source said."""
        slot, token = place.slot, place.token
        if isinstance(outcome, SourceFailure):
            raise outcome.error
        key, *ministry = orjson.loads(token.key) if slot.compares else (token.key,)
        showing = Showing(slot, wanted.source.name, outcome, ministry)
        path = place.path if showing.leads_on else ()
        if not slot.is_list:
            record = outcome.values.get(key)
            shown: Any = (
                None
                if record is None
                else showing.shown(record, self._narrowed(wanted.sight, record, token.manage), path)
            )
            return Value(shown, showing.leads)
        records = outcome.lists.get(key, ())
        if not isinstance(records, list | tuple):
            raise SourceBadShape(wanted.source.name, "a list's records are no list")
        listed = [
            showing.shown(record, self._narrowed(wanted.sight, record, token.manage), (*path, i))
            for i, record in enumerate(records[: self._first(slot)])
        ]
        return Value(listed, showing.leads)

    def _first(self, slot: RemoteSlot) -> int:
        if slot.first is None:
            return 1
        return slot.first.literal if slot.first.exact is None else int(self.binding.value(slot.first.exact))

    def _asked(self, slot: RemoteSlot, fields: tuple[str, ...], window: Window | None) -> Fetch:
        if not slot.officer:
            return Fetch(slot.coordinate, (), fields, window)
        reason = str(self.binding.value(slot.reason)).strip() if slot.reason is not None else ""
        if self.officer is None or not reason:
            raise OfficerMissing(slot.coordinate)
        return Fetch(slot.coordinate, (), fields, window, self.officer, reason)

    def _narrowed(self, sight: Sight, record: object, manage: str) -> Sight:
        """A record's own region may only narrow what its governing record opens."""
        region = record_region(record)
        return sight if region is None or region == manage else Sight(sight.bits, self._within((region,)))

    def _within(self, *regions: tuple[str, ...]) -> Callable[[str, str], bool]:
        def allowed(coordinate: str, act: str) -> bool:
            for codes in regions:
                key = coordinate, act, codes
                if key not in self._decided:
                    self._decided[key] = self.covered(*key)
                if not self._decided[key]:
                    return False
            return True

        return allowed

    async def _walk(self, slot: RemoteSlot, token: Token, path: Path) -> Value:
        """A page of a list across sources: what each may be asked is decided by the regions it covers."""
        offered = self.sources.across(slot.coordinate)
        context = f"{slot.coordinate} {token.key}"
        after = self.binding.value(slot.walk.after) if slot.walk and slot.walk.after is not None else None
        if after is None:
            before = Position(None, tuple(n for n, s in offered.items() if self._may_ask(slot, s)), ())
        else:
            before = Position.read(self.cursors.read(after, context), slot.order)
        names = [n for n in before.sources if n in offered and self._may_ask(slot, offered[n])]
        gone = tuple(sorted({*before.failed, *(name for name in before.sources if name not in names)}))
        first = self._first(slot)
        window = Window(first + 1, before.after)
        futures = [
            self.records.load(
                offered[name], self._asked(slot, asked_fields(slot, self._sight(offered[name])), window), token.key
            )
            for name in names
        ]
        if futures:
            await asyncio.wait(futures)
        outcomes = [future.result() for future in futures]
        for outcome in outcomes:
            if isinstance(outcome, SourceFailure):
                self.errors.append(FieldError(path, outcome.error))
        answers = {
            name: None if isinstance(outcome, SourceFailure) else outcome
            for name, outcome in zip(names, outcomes, strict=True)
        }
        page = merge(slot.order, first, replace(before, failed=gone), token.key, answers)
        showings = {name: Showing(slot, name, rows) for name, rows in answers.items() if rows is not None}
        end = self.cursors.write(page.position.written(), context) if page.position.after is not None else None
        info = {
            "hasNextPage": page.more,
            "hasPreviousPage": after is not None,
            "startCursor": None,
            "endCursor": end,
            "__typename": "PageInfo",
        }
        return self._page(slot, page, showings, offered, info, path)

    def _sight(self, source: Source, region: str | None = None) -> Sight:
        regions = (source.covers,) if region is None else (source.covers, (region,))
        return Sight(narrowed=self._within(*regions))

    def _may_ask(self, slot: RemoteSlot, source: Source) -> bool:
        """Whether the order of the list may be told of this source's records."""
        within = self._within(source.covers)
        return all(within(coordinate, "clear") for coordinate in slot.ordered_by)

    def _page(
        self,
        slot: RemoteSlot,
        page: Page,
        showings: Mapping[str, Showing],
        offered: Mapping[str, Source],
        info: Mapping[str, Any],
        path: Path,
    ) -> Value:
        shown: dict[str, Any] = {}
        for key, name, parts in slot.walk.outputs if slot.walk else ():
            match name:
                case "nodes":
                    shown[key] = [
                        showings[item.source].shown(
                            item.record,
                            self._sight(offered[item.source], record_region(item.record)),
                            (*path, key, i),
                            duplicated=item.duplicated,
                        )
                        for i, item in enumerate(page.items)
                    ]
                case "pageInfo":
                    shown[key] = {k: info[n] for k, n in parts}
                case "sources":
                    shown[key] = [*page.position.sources]
                case "incompleteSources":
                    shown[key] = [*page.position.failed]
                case _:
                    shown[key] = f"{slot.type}Walk"
        return Value(shown, [lead for showing in showings.values() for lead in showing.leads])

    async def _follow(self, leads: Sequence[Lead]) -> None:
        """Run the statements that remote values led to, complete their answers, and fill the places."""
        grouped: dict[int, list[Lead]] = {}
        for lead in leads:
            grouped.setdefault(lead.statement, []).append(lead)
        for index, listed in grouped.items():
            self.binding.items[self.names[index]] = [(lead.entity, lead.key) for lead in listed]
        if not grouped:
            return
        places = {index: [lead.path for lead in listed] for index, listed in grouped.items()}
        answers = await self.complete(await together(self.run, list(grouped)), places)
        for index, listed in grouped.items():
            for lead, answer in zip(listed, answers[index], strict=True):
                lead.shown[lead.response_key] = orjson.Fragment(answer or b"null")


async def together(run: Callable[[int], Coroutine[Any, Any, list[bytes | None]]], indexes: Sequence[int]) -> Answers:
    """Statements side by side. All end before the first failure is reported, so that none runs on behind a finished
    request."""
    if len(indexes) == 1:
        return {indexes[0]: await run(indexes[0])}
    results = await asyncio.gather(*(run(index) for index in indexes), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return {i: r for i, r in zip(indexes, results, strict=True) if not isinstance(r, BaseException)}


async def _ended(begun: Sequence[Begun]) -> None:
    walks = [one.future for one in begun if one.wanted is None]
    try:
        # Not awaited one by one: cancelling one waiter would cancel the batch that others share.
        await asyncio.wait([one.future for one in begun])
    except asyncio.CancelledError:
        for walk in walks:
            walk.cancel()
        raise
    for walk in walks:
        # Looked at, so that of several refusals none is reported as forgotten.
        walk.exception()
