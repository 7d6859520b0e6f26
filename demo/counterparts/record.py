"""What a counterpart remembers of the calls it got, so that a test may ask what really was sent."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

PENDING = "pending"
"""Outcome of a call that is not over."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call as it came: what was asked, by whom, and how it ended.

    `outcome` is "answered", "refused: ..." in the counterpart's words, "abandoned" if the caller went away, `PENDING`,
    or the names of the misbehaviours that shaped the answer, "+" between.
    """

    at: float
    """Seconds since the epoch, by the machine's clock."""
    service: str
    """Coordinate of the remote field; the table for a front-end database; "secret", "catalogue" or "sdl" besides."""
    keys: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    """Raw names asked for (columns in quotes, for a front-end database); empty where the interface leaves no choice."""
    officer: bool = False
    """Whether an officer was named."""
    signed: bool = False
    """Whether the signature held."""
    outcome: str = PENDING
    sent: str = ""
    """The body or the statement as it came."""


class Behaviour(msgspec.Struct, kw_only=True):
    """A misbehaviour to come: for one service or "*", a number of times or until the reset."""

    behaviour: str
    service: str = "*"
    times: int | None = None
    params: dict[str, Any] = {}


class Book:
    """The calls and the misbehaviours to come of one counterpart."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._coming: list[Behaviour] = []

    def received(self, **facts: Any) -> int:
        """Write a call down when it comes; answers its number, for `ended`."""
        self.calls.append(Call(at=time.time(), **facts))
        return len(self.calls) - 1

    def ended(self, number: int, outcome: str) -> None:
        """Complete a call, unless the book was closed meanwhile."""
        if number < len(self.calls):
            self.calls[number] = msgspec.structs.replace(self.calls[number], outcome=outcome)

    def expect(self, behaviour: Behaviour) -> None:
        """Misbehave from now on."""
        self._coming.append(behaviour)

    def take(self, service: str, among: Collection[str] | None = None) -> Mapping[str, Mapping[str, Any]]:
        """The misbehaviours for a call of this service, by name, or those of them that are `among` some names; those
        with a number of times are used up by it."""
        found = {}
        for behaviour in self._coming:
            apt = behaviour.service in ("*", service) and (among is None or behaviour.behaviour in among)
            if apt and behaviour.times != 0:
                found[behaviour.behaviour] = behaviour.params
                if behaviour.times is not None:
                    behaviour.times -= 1
        return found

    def reset(self) -> None:
        """Forget everything."""
        self.calls.clear()
        self._coming.clear()
