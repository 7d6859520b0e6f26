"""Federated GraphQL subgraphs: records asked by `_entities`, after the SDL was checked against our configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from adapters.base import Fetch, SourceBadShape, SourceError, SourceRefused, Window
from adapters.configuration import SubgraphService, SubgraphSource
from adapters.driver import Answer, RawRecord
from adapters.http import HttpDoor
from adapters.rest.order import LocalOrder
from adapters.rest.signer import Signature, Signer
from adapters.rest.signers import open_signer
from adapters.rest.template import TemplateRefused, fill, placeholders
from adapters.subgraph.contract import Contract, ContractBroken
from schema.declare import Remote
from schema.registry import Registry

_RECHECKED_AFTER_S = 60.0
_WORDS_TOLD = 20


class SubgraphDriver:
    """One subgraph; implements `adapters.driver.Driver`.

    A fetch is one query, whatever the number of keys: records belong to keys by position, as federation has it. An
    answer with any entry in `errors` fails as a whole, since which of its nulls are the errors' work can be told from
    their paths only, and those are the other side's word; it is not retried. After such an answer, or a refusal, the
    SDL is read once more (at most once a minute) before the next question: the contract may have changed.

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
        query, variables = call.question(contract, fetch, wanted)
        try:
            data = await self._ask(query, variables)
        except SourceError:
            self._doubted = True
            raise
        entities = data.get("_entities")
        if not isinstance(entities, list) or len(entities) != len(fetch.keys):
            raise SourceBadShape(self._name, "not one entity for each representation")
        try:
            return call.answer(fetch, entities)
        except _NotRecords as error:
            raise SourceBadShape(self._name, str(error)) from None

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
            raise SourceError(self._name, "the answer has errors")
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
        boundaries = {f"after.{attribute}" for attribute in (self.order.names if self.order else ())}
        for placeholder in sorted(placeholders(service.arguments) - boundaries - {"first"}):
            raise TemplateRefused(
                f"{{{placeholder}}}: in arguments only {{first}} and the order's boundary have values"
            )
        self._limited = "first" in placeholders(service.arguments)
        self._always = [path for path in (service.region, service.valid.path if service.valid else "") if path]
        self._always += [service.as_of.source] if service.as_of else []
        paths = [*self._always, *(mapping.source for mapping in service.fields.values())]
        self.raw_names = tuple(sorted({path.split(".")[0] for path in paths} | {service.key}))

    def question(self, contract: Contract, fetch: Fetch, wanted: Sequence[str]) -> tuple[str, dict[str, object]]:
        """The query and its variables: of the record only what the fetch needs, values never in the text."""
        service, window = self.service, fetch.window
        values: dict[str, object] = {"first": window.first if window else service.items_at_most}
        if window and window.after and self.order:
            values |= self.order.boundary(window.after)
        arguments = fill(service.arguments, values)
        types = contract.variables(service, arguments)
        declared = "".join(f", ${name}: {kind}" for name, kind in types.items())
        given = f"({', '.join(f'{name}: ${name}' for name in types)})" if types else ""
        names = dict.fromkeys((*fetch.fields, *(self.order.names if self.order else ())))
        paths = [*self._always, *(service.fields[name].source for name in names if name in service.fields)]
        record = _selection(path.split(".") for path in paths if path.split(".")[0] in wanted and path != service.key)
        # With nothing else to ask for, the type's name still tells that there is a record.
        inner = f"{service.at.replace('.', ' { ')}{given} {{ {record or '__typename'} }}{' }' * service.at.count('.')}"
        query = (
            f"query($zlaq_r: [_Any!]!{declared}) {{ _entities(representations: $zlaq_r)"
            f" {{ ... on {service.type} {{ {inner} }} }} }}"
        )
        asked = [{"__typename": service.type, service.key: key} for key in fetch.keys]
        return query, {"zlaq_r": asked, **arguments}

    def answer(self, fetch: Fetch, entities: Sequence[object]) -> Answer:
        """The records of entities that stand where their keys do; raises `_NotRecords`."""
        records: list[RawRecord] = []
        ended = True
        window = fetch.window
        for key, entity in zip(fetch.keys, entities, strict=True):
            found = _below(entity, self.service.at.split("."))
            sent = [{**record, self.service.key: key} for record in found]
            fresh = sent
            if window and window.after and self.order:
                after, order = window.after, self.order
                fresh = [record for record in sent if order.behind(record, after)]
            if window and self._limited and len(sent) >= window.first:
                ended = False
                if not fresh:
                    raise _NotRecords("the same page again: its arguments take no boundary")
            records += fresh
        return Answer(records, ended)


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
