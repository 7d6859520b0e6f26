"""Federated GraphQL subgraphs: records asked by `_entities`, after the SDL was checked against our configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from adapters.base import Fetch, SourceBadShape, SourceError, SourceRefused, Window
from adapters.configuration import SubgraphService, SubgraphSource
from adapters.conversions import plain
from adapters.driver import Answer, RawRecord
from adapters.http import HttpDoor
from adapters.rest.batches import Batches
from adapters.rest.order import LocalOrder
from adapters.rest.signer import Signature, Signer
from adapters.rest.signers import open_signer
from adapters.rest.template import TemplateRefused, check_template, fill, placeholders
from adapters.subgraph.contract import Contract, ContractBroken
from adapters.time_formats import fold
from schema.declare import Remote
from schema.registry import Registry

_RECHECKED_AFTER_S = 60.0
_WORDS_TOLD = 20
_QUESTIONS_AT_MOST = 20


class SubgraphDriver:
    """One subgraph; implements `adapters.driver.Driver`.

    A fetch is one query, whatever the number of keys, and further ones where a list may go on. Entities say their keys
    and belong to them by these: federation promises the order of the representations, but a source that breaks it would
    show another object's values. An answer with any entry in `errors` fails as a whole, since which of its nulls are
    the errors' work can be told from their paths only, and those are the other side's word; it is not retried. After
    such an answer, or a refusal, the SDL is read once more (at most once a minute) before the next question: the
    contract may have changed.

    Raises `TemplateRefused` where an argument's template cannot be filled.
    """

    def __init__(
        self, name: str, config: SubgraphSource, credentials: Callable[[str], str], registry: Registry
    ) -> None:
        self._name, self._config, self._credentials = name, config, credentials
        self._calls = {
            coordinate: _Call(coordinate, service, registry, config.zone)
            for coordinate, service in config.service.items()
        }
        self._opened: tuple[HttpDoor, Signer] | None = None
        self._contract: Contract | None = None
        self._doubted = False
        self._checked_at = 0.0

    async def open(self) -> None:
        """Read the SDL and check every service against it; raises `SourceBadShape` naming what is not as configured."""
        await self._open_door()
        await self._check_contract()

    async def close(self) -> None:
        """Close every connection."""
        if self._opened is not None:
            (door, signer), self._opened = self._opened, None
            await signer.close()
            await door.aclose()

    async def read(self, service: str, fetch: Fetch, wanted: Sequence[str]) -> Answer:
        """The records of the keys, each with its key under the service's `key`; raises `SourceError`."""
        call, contract = self._calls[service], self._contract
        now = asyncio.get_running_loop().time()
        if contract is None or (self._doubted and now - self._checked_at > _RECHECKED_AFTER_S):
            contract = await self._check_contract()
        records: list[RawRecord] = []
        asking = fetch
        for _ in range(_QUESTIONS_AT_MOST):
            try:
                part = call.answer(asking, await self._entities(call.question(contract, asking, wanted)))
            except _NotRecords as error:
                raise SourceBadShape(self._name, str(error)) from None
            records += part.records
            if part.ended:
                return Answer(records, ended=True)
            further = call.onward(asking, part.records, len(records))
            if further is None:
                break
            asking = further
        return Answer(records, ended=False)

    async def check(self) -> AsyncIterator[tuple[str, str]]:
        """Credentials, address, connection, contract, words of enums without a code (a warning), and probes."""
        door = HttpDoor(self._name, self._config)
        self._signer(door)
        yield "credentials", "readable"
        async for step in door.check():
            yield step
        await self._open_door()
        contract = await self._check_contract()
        yield "contract", f"its SDL has what {len(self._calls)} services ask for"
        for call in self._calls.values():
            for coordinate, words in contract.unmatched(call.service, call.parts):
                yield "warning", f"{coordinate}: no code for {', '.join(words[:_WORDS_TOLD])}"
        for coordinate, call in self._calls.items():
            if probe := call.service.probe:
                window = Window(call.service.items_at_most) if call.order else None
                fetch = Fetch(coordinate, (probe,), tuple(call.service.fields), window)
                answer = await self.read(coordinate, fetch, call.raw_names)
                yield f"probe {coordinate}", f"{len(answer.records)} records"

    async def _entities(self, question: tuple[str, Mapping[str, object]]) -> Sequence[object]:
        try:
            data = await self._ask(*question)
        except SourceError:
            self._doubted = True
            raise
        entities = data.get("_entities")
        if not isinstance(entities, list):
            raise SourceBadShape(self._name, "no entities")
        return entities

    async def _open_door(self) -> None:
        await self.close()
        door = HttpDoor(self._name, self._config)
        self._opened = door, self._signer(door)

    def _signer(self, door: HttpDoor) -> Signer:
        try:
            return open_signer(self._name, self._config.signer, door, self._credentials)
        except (ValueError, OSError):
            raise SourceRefused(self._name, "a credential of its signer cannot be read") from None

    async def _read_sdl(self) -> Contract:
        data = await self._ask("{ _service { sdl } }", {})
        service = data.get("_service")
        sdl = service.get("sdl") if isinstance(service, dict) else None
        if not isinstance(sdl, str):
            raise SourceBadShape(self._name, "contract: there is no SDL")
        try:
            # In a thread: the text is the other side's, and parsing it must not stop everything else.
            return await asyncio.to_thread(Contract, sdl)
        except ContractBroken as error:
            raise SourceBadShape(self._name, str(error)) from None

    async def _check_contract(self) -> Contract:
        contract = await self._read_sdl()
        try:
            for coordinate, call in self._calls.items():
                contract.check(coordinate, call.service, call.parts, is_list=call.order is not None)
        except ContractBroken as error:
            self._contract = None
            raise SourceBadShape(self._name, str(error)) from None
        self._contract, self._doubted = contract, False
        self._checked_at = asyncio.get_running_loop().time()
        return contract

    async def _ask(self, query: str, variables: Mapping[str, object]) -> dict[str, Any]:
        """The `data` of an answer without errors."""
        if self._opened is None:
            raise SourceError(self._name, "not open")
        door, signer = self._opened
        body = msgspec.json.encode({"query": query, "variables": variables})

        async def send(signature: Signature) -> Any:
            return await door.ask(
                "POST",
                self._config.path,
                query=signature.query,
                headers=signature.headers,
                body=body,
                content_type="application/json",
            )

        answer = await signer.ask(self._name, "", send)
        if not isinstance(answer, dict):
            raise SourceBadShape(self._name, "not a GraphQL answer")
        if answer.get("errors"):
            raise SourceRefused(self._name, "the answer has errors")
        data = answer.get("data")
        if not isinstance(data, dict):
            raise SourceBadShape(self._name, "the answer has no data")
        return data


class _NotRecords(Exception):
    """Where records are expected there is something else; the text is ours."""


class _Call:
    """One service, ready to be asked."""

    def __init__(self, coordinate: str, service: SubgraphService, registry: Registry, zone: str) -> None:
        owner, _, name = coordinate.partition(".")
        field = registry.entity(owner).fields[name]
        if not isinstance(field.member, Remote):
            raise TypeError(f"{coordinate} is no remote field")
        self.service = service
        self.parts = {part.name: part for part in registry.values[field.type.name].fields.values()}
        self.order = LocalOrder(field.member.order, self.parts, service, zone) if field.member.order else None
        check_template(service.arguments)
        names = placeholders(service.arguments)
        boundaries = {f"after.{attribute}" for attribute in (self.order.names if self.order else ())}
        for placeholder in sorted(names - boundaries - {"first"}):
            raise TemplateRefused(
                f"{{{placeholder}}}: in arguments only {{first}} and the order's boundary have values"
            )
        self._batches = Batches(self.order, names, service)
        self._always = [path for path in (service.region, service.valid.path if service.valid else "") if path]
        self._always += [service.as_of.source] if service.as_of else []
        paths = [*self._always, *(mapping.source for mapping in service.fields.values())]
        self.raw_names = tuple(sorted({path.split(".")[0] for path in paths} | {service.key}))

    def question(self, contract: Contract, fetch: Fetch, wanted: Sequence[str]) -> tuple[str, dict[str, object]]:
        """The query and its variables: of the record only what the fetch needs, values never in the text."""
        service, window = self.service, fetch.window
        values: dict[str, object] = {"first": self._batches.asked(window) if window else service.items_at_most}
        if window and window.after and self.order:
            values |= self.order.boundary(window.after)
        arguments = fill(service.arguments, values)
        types = contract.variables(service, arguments)
        declared = "".join(f", ${name}: {kind}" for name, kind in types.items())
        given = f"({', '.join(f'{name}: ${name}' for name in types)})" if types else ""
        names = dict.fromkeys((*fetch.fields, *(self.order.names if self.order else ())))
        paths = [*self._always, *(service.fields[name].source for name in names if name in service.fields)]
        record = _selection(path.split(".") for path in paths if path.split(".")[0] in wanted and path != service.key)
        # With nothing else to ask for, the type's name still tells that there is a record; the entity tells its key.
        inner = f"{service.at.replace('.', ' { ')}{given} {{ {record or '__typename'} }}{' }' * service.at.count('.')}"
        query = (
            f"query($zlaq_r: [_Any!]!{declared}) {{ _entities(representations: $zlaq_r)"
            f" {{ ... on {service.type} {{ {service.key} {inner} }} }} }}"
        )
        asked = [{"__typename": service.type, service.key: key} for key in fetch.keys]
        return query, {"zlaq_r": asked, **arguments}

    def answer(self, fetch: Fetch, entities: Sequence[object]) -> Answer:
        """The records of entities by their keys; raises `_NotRecords`."""
        records: list[RawRecord] = []
        ended = True
        for key, entity in self._by_key(fetch.keys, entities):
            found = _below(entity, self.service.at.split("."))
            sent = [{**record, self.service.key: key} for record in found]
            fresh = self._batches.behind(sent, fetch.window)
            if not self._batches.ended(fetch, len(sent), len(fresh)):
                ended = False
                if not fresh:
                    raise _NotRecords("the same page again: its arguments take no boundary")
                fresh = self._batches.whole(fresh, fetch)
                if not fresh:
                    raise _NotRecords("a day longer than what is asked for at once")
            records += self._batches.arranged(fresh)
        return Answer(records, ended)

    def onward(self, fetch: Fetch, records: Sequence[RawRecord], known: int) -> Fetch | None:
        """The fetch of what is behind an answer's records, while a window is not full; None if it is."""
        if fetch.window is None or known >= self._batches.wanted(fetch.window):
            return None
        return self._batches.onward(fetch, records)

    def _by_key(self, keys: Sequence[str], entities: Sequence[object]) -> Iterator[tuple[str, object]]:
        if len(entities) != len(keys):
            raise _NotRecords("not one entity for each representation")
        asked = {fold(key): key for key in keys} | {key: key for key in keys}
        told: set[str] = set()
        for entity in entities:
            if entity is None:
                continue
            if not isinstance(entity, dict):
                raise _NotRecords("an entity is not an object")
            text = plain(entity.get(self.service.key)) or ""
            key = asked.get(text) or asked.get(fold(text))
            if key is None or key in told:
                raise _NotRecords("an entity without a key that was asked for" if key is None else "a key twice")
            told.add(key)
            yield key, entity


def _below(entity: object, steps: Sequence[str]) -> list[dict[str, Any]]:
    """The record or records at a path; null anywhere on the way is none."""
    for step in steps:
        if entity is None:
            return []
        if not isinstance(entity, dict):
            raise _NotRecords("an entity is not an object")
        entity = entity.get(step)
    if entity is None:
        return []
    found: list[Any] = entity if isinstance(entity, list) else [entity]
    if not all(isinstance(record, dict) for record in found if record is not None):
        raise _NotRecords("records are not objects")
    return [record for record in found if record is not None]


def _selection(paths: Iterable[Sequence[str]]) -> str:
    """Paths as one selection set, each field once."""
    tree: dict[str, list[Sequence[str]]] = {}
    for step, *rest in paths:
        tree.setdefault(step, []).extend([rest] if rest else [])
    return " ".join(f"{step} {{ {_selection(below)} }}" if below else step for step, below in sorted(tree.items()))
