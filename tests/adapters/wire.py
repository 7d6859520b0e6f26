"""A system on loopback that speaks JSON lines and misbehaves as told, and the driver of its kind.

It is the simplest kind of source that is real: sockets that are slow, that drip and that break.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.base import Fetch, SourceBadShape, SourceBusy, SourceRefused, SourceUnreachable
from adapters.driver import Answer, RawRecord
from tests.adapters.scripted import INSPECTIONS, inspection, site

_BYTES_AT_MOST = 100_000


@dataclass(frozen=True)
class Call:
    """What one call asked."""

    service: str
    keys: tuple[str, ...]
    fields: tuple[str, ...]


class LineSystem:
    """The system: sites of `keys`, and `visits` inspections of each."""

    def __init__(self, keys: Sequence[str], visits: int) -> None:
        self._sites = {key: site(key) for key in keys}
        # Several on one day, so that a window's boundary falls between equals.
        self._visits = {
            key: [inspection(key, n * 10 + place, f"2026-09-{1 + n // 3:02}") for n in range(visits)]
            for place, key in enumerate(keys)
        }
        self._calls: list[Call] = []
        self._behaviour: tuple[str, dict[str, Any]] | None = None
        self._spoiled = "*"
        self._left: int | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a port of loopback."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no longer."""
        if self._server is not None:
            self._server.close()

    def calls(self, service: str | None = None) -> list[Call]:
        """What was asked since the last reset."""
        return [call for call in self._calls if service in (None, call.service)]

    def reset(self) -> None:
        """Forget the calls and behave well."""
        self._calls.clear()
        self._behaviour = None

    def behave(self, behaviour: str, service: str = "*", times: int | None = None, **params: Any) -> None:
        """Misbehave in the next calls, or in all of them."""
        self._behaviour, self._left, self._spoiled = (behaviour, params), times, service

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = json.loads(await reader.readline())
            self._calls.append(Call(asked["service"], tuple(asked["keys"]), tuple(asked["wanted"])))
            await self._reply(asked, writer)
        except (ConnectionError, json.JSONDecodeError):
            pass
        finally:
            writer.close()

    async def _reply(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        behaviour, params = self._take(asked["service"])
        line = json.dumps(self._said(behaviour, asked)).encode() + b"\n"
        match behaviour:
            case "slow":
                await asyncio.sleep(params["seconds"])
            case "drip":
                for byte in line:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.02)
                return
            case "cut":
                line = line[: len(line) // 2]
            case "charset":
                line = json.dumps({"records": ["𠮷"]}, ensure_ascii=False).encode("gb18030") + b"\n"
            case "html":
                line = "<html>网络故障</html>\n".encode()
            case "gigantic":
                line = b"[" + b"1," * _BYTES_AT_MOST + b"1]\n"
        writer.write(line)
        await writer.drain()

    def _take(self, service: str) -> tuple[str, dict[str, Any]]:
        if self._behaviour is None or self._left == 0 or self._spoiled not in ("*", service):
            return "", {}
        if self._left is not None:
            self._left -= 1
        return self._behaviour

    def _said(self, behaviour: str, asked: dict[str, Any]) -> dict[str, Any]:
        if behaviour in ("error", "busy", "expired"):
            return {"failure": behaviour}
        records = self._records(asked)
        ended = True
        if asked["service"] == INSPECTIONS and asked["first"] is not None:
            ended = len(records) <= asked["first"]
            records = records[: asked["first"]]
        if behaviour == "extra":
            records = [dict(raw, xm="王小明") for raw in records] + [site("3301062603180777")]
        elif behaviour == "reorder":
            records = records[::-1]
        elif behaviour == "empty":
            records, ended = [], True
        elif behaviour == "hostile":
            strange: list[object] = [
                None,
                10**400,
                -1.5,
                [],
                {"a": [None]},
                True,
                "'; drop table x",
                "长" * 5000,
                "9999-99-99",
            ]
            records = [{k: v if k == "bh" else strange[n % 9] for n, (k, v) in enumerate(r.items())} for r in records]
        elif behaviour == "wrong_key":
            records = [dict(raw, bh="3301062603180777") for raw in records]
        return {"records": records, "ended": ended}

    def _records(self, asked: dict[str, Any]) -> list[RawRecord]:
        if asked["service"] != INSPECTIONS:
            return [self._sites[key] for key in asked["keys"] if key in self._sites]
        found = [visit for key in asked["keys"] for visit in self._visits.get(key, ())]
        found.sort(key=lambda visit: str(visit["jcbh"]))
        found.sort(key=lambda visit: str(visit["jcrq"]), reverse=True)
        if asked["after"] is None:
            return found
        day, number = asked["after"]
        return [v for v in found if str(v["jcrq"]) < day or (v["jcrq"] == day and str(v["jcbh"]) > number)]


class LineDriver:
    """Asks such a system, one connection a call."""

    def __init__(self, name: str, port: int) -> None:
        self._name = name
        self._port = port

    async def open(self) -> None:
        """Nothing to prepare."""

    async def close(self) -> None:
        """Nothing to give back."""

    async def check(self) -> AsyncIterator[tuple[str, str]]:
        """Whether it listens."""
        _, writer = await self._connected()
        writer.close()
        yield "connection", "accepted"

    async def read(self, service: str, fetch: Fetch, wanted: Sequence[str]) -> Answer:
        """One line there, one line back."""
        reader, writer = await self._connected()
        try:
            window = fetch.window
            asked: dict[str, Any] = {"service": service, "keys": fetch.keys, "wanted": list(wanted)}
            asked |= {"first": window.first if window else None, "after": window.after if window else None}
            writer.write(json.dumps(asked).encode() + b"\n")
            line = await reader.readuntil(b"\n")
            said = json.loads(line)
        except (ConnectionError, asyncio.IncompleteReadError):
            raise SourceUnreachable(self._name, "cut") from None
        except (ValueError, asyncio.LimitOverrunError):
            raise SourceBadShape(self._name, "not a line of JSON") from None
        finally:
            writer.close()
        match said.get("failure"):
            case "error":
                raise SourceUnreachable(self._name, "503")
            case "busy":
                raise SourceBusy(self._name, "429")
            case "expired":
                raise SourceRefused(self._name, "401")
        return Answer(said["records"], said["ended"])

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection("127.0.0.1", self._port, limit=_BYTES_AT_MOST)
        except OSError:
            raise SourceUnreachable(self._name, "no connection") from None
