"""The driver of REST systems: one signed call, its envelope judged, its pages put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

from adapters.base import Fetch, OfficerMissing, SourceBadShape, SourceBusy, SourceError, SourceRefused, Window
from adapters.configuration import Condition, RestService, RestSource
from adapters.driver import Answer, RawRecord
from adapters.http import HttpDoor
from adapters.rest.call import ServiceCall
from adapters.rest.order import at
from adapters.rest.signer import Signature, Signer
from adapters.rest.signers import open_signer
from adapters.rest.template import as_text

_PAGES_AT_MOST = 20


class RestDriver:
    """One REST system. Raises `TemplateRefused` where a template of the configuration cannot be filled."""

    def __init__(self, name: str, config: RestSource, credentials: Callable[[str], str]) -> None:
        self._name = name
        self._config = config
        self._credentials = credentials
        self._calls = {
            coordinate: ServiceCall(coordinate, service, config) for coordinate, service in config.service.items()
        }
        self._opened: tuple[HttpDoor, Signer] | None = None

    async def open(self) -> None:
        """Read the credentials and get a secret, so that the first question need not wait for it."""
        await self.close()
        door = HttpDoor(self._name, self._config)
        signer = self._signer(door)
        self._opened = door, signer
        await signer.sign("")

    async def close(self) -> None:
        """End renewals and close every connection."""
        if self._opened is not None:
            (door, signer), self._opened = self._opened, None
            await signer.close()
            await door.aclose()

    async def read(self, service: str, fetch: Fetch, wanted: Sequence[str]) -> Answer:
        """The records of `fetch.keys`, page by page while a window is not full; raises `SourceError`."""
        call, window = self._calls[service], fetch.window
        if call.joined:
            # A key with the separator in it would go out as two others; a system that joins keys cannot have it.
            fetch = replace(fetch, keys=tuple(key for key in fetch.keys if "," not in key))
            if not fetch.keys:
                return Answer(())
        asking = fetch
        records: Sequence[RawRecord] = []
        whole: Sequence[RawRecord] = []
        for page in range(1, _PAGES_AT_MOST + 1):
            answer = await self._asked(call, asking, wanted, page)
            sent = self._records(call.service, answer)
            fresh = call.batches.behind(sent, asking.window)
            records = [*records, *fresh]
            if call.last(answer, page, asking, len(sent), len(fresh)):
                return Answer(call.batches.arranged(records), ended=True)
            whole = call.batches.whole(records, fetch)
            if window and call.full(whole, fetch.keys, window):
                break
            if not call.paged:
                records, further = whole, call.batches.onward(asking, whole)
                if further is None:
                    break
                asking = further
        if window is None or not whole:
            raise SourceBadShape(self._name, "more pages than we read, or the same again and again")
        return Answer(call.batches.arranged(whole), ended=False)

    async def check(self) -> AsyncIterator[tuple[str, str]]:
        """Credentials, address, connection, signature, and a question for each service with a `probe`."""
        door = HttpDoor(self._name, self._config)
        self._signer(door)
        yield "credentials", "readable"
        async for step in door.check():
            yield step
        await self.open()
        yield "signer", f"ready, family {type(self._config.signer).__struct_config__.tag}"
        for coordinate, call in self._calls.items():
            if not (probe := call.service.probe):
                continue
            if call.personal:
                yield f"probe {coordinate}", "not asked: bound to an officer with a reason"
                continue
            window = Window(call.service.items_at_most) if call.is_list else None
            answer = await self.read(coordinate, Fetch(coordinate, (probe,), (), window), call.raw_names)
            yield f"probe {coordinate}", f"{len(answer.records)} records"
        if self._opened is not None:
            yield "clock", f"{self._opened[0].skew_ms / 1000:+.1f} s against ours"

    def _signer(self, door: HttpDoor) -> Signer:
        try:
            return open_signer(self._name, self._config.signer, door, self._credentials)
        except (ValueError, OSError):
            raise SourceRefused(self._name, "a credential of its signer cannot be read") from None

    async def _asked(self, call: ServiceCall, fetch: Fetch, wanted: Sequence[str], page: int) -> Any:
        if self._opened is None:
            raise SourceError(self._name, "not open")
        if call.personal and fetch.officer is None:
            raise OfficerMissing(self._name, "no officer")
        (door, signer), service = self._opened, call.service

        async def send(signature: Signature) -> Any:
            request = call.request(fetch, wanted, page, door.now_ms())
            answer = await door.ask(
                service.method,
                service.path,
                query={**request.query, **signature.query},
                headers=signature.headers,
                body=request.body,
                content_type=request.content_type,
            )
            self._judge(service, answer)
            return answer

        return await signer.ask(fetch.service, service.sid, send)

    def _judge(self, service: RestService, answer: Any) -> None:
        if service.busy and _holds(service.busy, answer):
            raise SourceBusy(self._name, "its envelope says busy")
        if service.success and not _holds(service.success, answer):
            raise SourceRefused(self._name, "its envelope does not say success")

    def _records(self, service: RestService, answer: Any) -> list[RawRecord]:
        found = at(answer, service.rows)
        # An envelope for "nothing" often holds an empty text where records would stand.
        if found is None or found == "":
            return []
        records: list[Any] = found if isinstance(found, list) else [found]
        if not all(isinstance(record, dict) for record in records):
            raise SourceBadShape(self._name, "records are not objects")
        return records


def _holds(condition: Condition, answer: Any) -> bool:
    return as_text(at(answer, condition.path)) in condition.values
