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
    Rows,
    Source,
    SourceBadShape,
    SourceError,
    SourceFailure,
    SourceNotConnected,
    Window,
)
from resolvers.bind import Binding
from resolvers.cursors import Cursors
from resolvers.places import Answers, Begun, FieldError, Path, Place, Value, Wanted, together
from resolvers.plan import Statement
from resolvers.remote import Outcome, RemoteRecords, Sources
from resolvers.remote_values import Lead, Showing, record_region
from resolvers.slots import RemoteSlot, Sight, asked_fields
from resolvers.splice import Cursor, Pieces, Token, cut
from resolvers.walk import Page, Position, merge
from schema.officer import Officer

_SHOWN_AT_A_TIME = 100
_REASON_AT_MOST = 200
_BLANK = "\u115f\u1160\u3164\uffa0"
"""Letters of Unicode that look like nothing."""


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
    run: Callable[[int], Coroutine[Any, Any, Sequence[bytes | None]]]
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
        found = [
            (index, Place(statement, statement.slots[token.slot], token, places.get(index, ())))
            for index, cut_answers in pieces.items()
            for statement in (self.statements[index],)
            for piece in cut_answers
            if piece is not None
            for token in piece.tokens
            if isinstance(token, Token)
        ]
        # All cursors are read before anybody is asked, so that a bad one costs no call.
        positions = {id(place): self._position(place.slot, place.token) for _, place in found if place.slot.walk}
        for index, place in found:
            one = self._begin(index, place, positions.get(id(place)))
            if one is not None:
                begun[index, id(place.token)] = one
        if begun:
            await _ended(list(begun.values()))
        values: dict[tuple[int, int], Value] = {}
        for number, (key, one) in enumerate(begun.items(), start=1):
            values[key] = self._value(one)
            if number % _SHOWN_AT_A_TIME == 0:
                # Other requests, and this one's deadline, have their turn.
                await asyncio.sleep(0)
        return values

    def _begin(self, index: int, place: Place, position: Position | None) -> Begun | None:
        slot, token = place.slot, place.token
        if position is not None:
            return Begun(place, None, asyncio.ensure_future(self._walk(slot, token, place.path, position)))
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
            sight = self._narrowed(slot, wanted.sight, record, token.manage)
            return Value(None if record is None or sight is None else showing.shown(record, sight, path), showing.leads)
        records = outcome.lists.get(key, ())
        if not isinstance(records, list | tuple):
            raise SourceBadShape(wanted.source.name, "a list's records are no list")
        seen = [(record, self._narrowed(slot, wanted.sight, record, token.manage)) for record in records]
        visible = [(record, sight) for record, sight in seen if sight is not None][: self._first(slot)]
        shown = [showing.shown(record, sight, (*path, i)) for i, (record, sight) in enumerate(visible)]
        return Value(shown, showing.leads)

    def _first(self, slot: RemoteSlot) -> int:
        if slot.first is None:
            return 1
        return slot.first.literal if slot.first.exact is None else int(self.binding.value(slot.first.exact))

    def _asked(self, slot: RemoteSlot, fields: tuple[str, ...], window: Window | None) -> Fetch:
        if not slot.officer:
            return Fetch(slot.coordinate, (), fields, window)
        reason = str(self.binding.value(slot.reason)).strip() if slot.reason is not None else ""
        if self.officer is None or not _says_something(reason):
            raise OfficerMissing(slot.coordinate)
        return Fetch(slot.coordinate, (), fields, window, self.officer, reason)

    def _narrowed(self, slot: RemoteSlot, sight: Sight, record: object, manage: str) -> Sight | None:
        """A record's own region may only narrow what its governing record opens; `None` where nothing is left of it."""
        region = record_region(record)
        if region is None or region == manage:
            return sight
        narrowed = Sight(sight.bits, self._within((region,)))
        return narrowed if any(narrowed.shows(part) for part in slot.parts) else None

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

    def _position(self, slot: RemoteSlot, token: Token) -> Position:
        """Where a walk stands: at its beginning, or where its cursor says; raises `CursorExpired`."""
        after = self.binding.value(slot.walk.after) if slot.walk and slot.walk.after is not None else None
        if after is not None:
            return Position.read(self.cursors.read(after, _context(slot, token)), slot.order)
        offered = self.sources.across(slot.coordinate)
        return Position(None, tuple(name for name, source in offered.items() if self._may_ask(slot, source)))

    async def _walk(self, slot: RemoteSlot, token: Token, path: Path, before: Position) -> Value:
        """A page of a list across sources: what each may be asked is decided by the regions it covers."""
        offered = self.sources.across(slot.coordinate)
        names = [n for n in before.sources if n in offered and self._may_ask(slot, offered[n])]
        gone = {*before.failed, *(name for name in before.sources if name not in names)}
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
        answers: dict[str, Rows | None] = {}
        for name, future in zip(names, futures, strict=True):
            outcome = future.result()
            if isinstance(outcome, SourceFailure):
                self.errors.append(FieldError(path, outcome.error))
            answers[name] = None if isinstance(outcome, SourceFailure) else self._ordinary(slot, token.key, outcome)
        while True:
            page = merge(slot.order, first, replace(before, failed=tuple(sorted(gone))), token.key, answers)
            for name in page.given_up:
                self._given_up(path, SourceBadShape(name, "its list does not go on in its order"))
            try:
                return self._page(slot, token, page, answers, path)
            except SourceBadShape as error:
                # The others' records are merged anew without it.
                self._given_up(path, error)
                answers[error.source] = None

    def _given_up(self, path: Path, error: SourceBadShape) -> None:
        self.records.spoiled(error.source, error)
        self.errors.append(FieldError(path, error))

    def _ordinary(self, slot: RemoteSlot, key: str, rows: Rows) -> Rows:
        """Without the records whose own region closes the order they would be shown in."""
        listed = rows.lists.get(key, ())
        if not isinstance(listed, list | tuple):
            return rows
        kept = [
            record
            for record in listed
            if (region := record_region(record)) is None
            or all(self._within((region,))(coordinate, "clear") for coordinate in slot.ordered_by)
        ]
        return replace(rows, lists={key: kept})

    def _sight(self, source: Source, region: str | None = None) -> Sight:
        regions = (source.covers,) if region is None else (source.covers, (region,))
        return Sight(narrowed=self._within(*regions))

    def _may_ask(self, slot: RemoteSlot, source: Source) -> bool:
        """Whether the order of the list may be told of this source's records."""
        within = self._within(source.covers)
        return all(within(coordinate, "clear") for coordinate in slot.ordered_by)

    def _page(
        self, slot: RemoteSlot, token: Token, page: Page, answers: Mapping[str, Rows | None], path: Path
    ) -> Value:
        offered = self.sources.across(slot.coordinate)
        showings = {name: Showing(slot, name, rows) for name, rows in answers.items() if rows is not None}
        position = page.position
        ends = position.after is not None
        info = {
            "hasNextPage": page.more,
            "hasPreviousPage": slot.walk is not None and slot.walk.after is not None,
            "startCursor": None,
            "endCursor": self.cursors.write(position.written(), _context(slot, token)) if ends else None,
            "__typename": "PageInfo",
        }
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
                    shown[key] = [*position.sources]
                case "incompleteSources":
                    shown[key] = sorted({*position.failed, *position.partial})
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


def _context(slot: RemoteSlot, token: Token) -> str:
    """What a walk's cursors belong to: the field of one record."""
    return f"{slot.coordinate} {token.key}"


def _says_something(reason: str) -> bool:
    """Whether a reason can be read: at most 200 characters, none of them control, some of them of words or numbers."""
    return (
        len(reason) <= _REASON_AT_MOST and reason.isprintable() and any(c.isalnum() for c in reason if c not in _BLANK)
    )


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
