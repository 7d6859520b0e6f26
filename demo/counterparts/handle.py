"""The hand by which tests and demos hold a running counterpart: what it was asked, and how it shall misbehave."""

from __future__ import annotations

import http.client
import json
from typing import Any

import msgspec

from demo.counterparts.record import Call
from demo.counterparts.system import HOST

_PATIENCE_S = 30


class Counterpart:
    """One counterpart system in its own process; every method is one short call of its control door.

    `port` is where zlaq reaches it; `pid` is its process.
    """

    def __init__(self, name: str, port: int, control: int, token: str, pid: int) -> None:
        self.name, self.port, self.pid = name, port, pid
        self._control, self._token = control, token

    def calls(self, service: str | None = None) -> list[Call]:
        """The calls since the start or the last reset, oldest first, or only those of a service."""
        found = msgspec.json.decode(self._ask("GET", "calls"), type=list[Call])
        return [call for call in found if service is None or call.service == service]

    def reset(self) -> None:
        """Forget calls, misbehaviours, clock and limits; put data back to the beginning. Secrets stay valid."""
        self._ask("POST", "reset")

    def behave(self, behaviour: str, service: str = "*", times: int | None = None, **params: Any) -> None:
        """Misbehave on calls of a service (all by default), a number of times or until the reset; see README.md."""
        self._ask("POST", "behave", behaviour=behaviour, service=service, times=times, params=params)

    def clock(self, offset_s: float) -> None:
        """Set the system's clock this many seconds ahead, or behind if negative."""
        self._ask("POST", "clock", offset_s=offset_s)

    def limit(self, per_second: int) -> None:
        """Allow so many calls a second for one caller and service (national gateway only)."""
        self._ask("POST", "limit", per_second=per_second)

    def lifetimes(self, request_s: float, refresh_s: float) -> None:
        """How long secrets hold that are issued from now on."""
        self._ask("POST", "secrets", request_life_s=request_s, refresh_life_s=refresh_s)

    def expire_secrets(self, *, everything: bool = False) -> None:
        """End all request secrets now, and the refresh secrets too if `everything`."""
        self._ask("POST", "secrets", expire="all" if everything else "request")

    def _ask(self, method: str, what: str, **told: Any) -> bytes:
        connection = http.client.HTTPConnection(HOST, self._control, timeout=_PATIENCE_S)
        try:
            body = json.dumps(told) if method == "POST" else None
            connection.request(method, f"/_control/{what}", body, {"Authorization": f"Bearer {self._token}"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{self.name} answered {answer.status} to {what}")
        return content
