"""All sources of a configuration: made and opened for a process, or one of them looked at by an operator."""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal

from adapters.base import AS_OF, REGION, UNMAPPED, Fetch, OfficerMissing, Record, Source, SourceTimeout, Window
from adapters.configuration import (
    Configuration,
    FrontSource,
    RestSource,
    Service,
    SourceConfiguration,
    SubgraphSource,
)
from adapters.credentials import read_credential
from adapters.driver import Answer, Driver, RawRecord
from adapters.front.driver import FrontDriver
from adapters.guard import GuardedSource, Observe
from adapters.mapping import RecordMapping
from adapters.rest import RestDriver
from adapters.subgraph import SubgraphDriver
from schema.declare import Remote, Sharing
from schema.masks import MASKS
from schema.registry import Field, Registry

_HIDDEN = "***"
_TEXT_AT_MOST, _BEYOND = 200, 32
"""Characters that are shown of a text, and behind them those in which a number that begins before may go on."""
_OPEN = frozenset({Sharing.PUBLIC, Sharing.SHARED})
_LIST_AT_MOST = 10
"""Records of a list that an operator looks at."""
_DAY = r"(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"
_PERSONAL_NUMBER = re.compile(
    rf"(?<!\d)(?:\d{{6}}(?:18|19|20)\d\d{_DAY}\d{{3}}[\dXx]|\d{{8}}{_DAY}\d{{3}}|1[3-9]\d{{9}})(?!\d)"
)
"""Citizen numbers, their old form, mobiles: local systems write them into columns that are not meant for them."""


def driver_of(name: str, config: SourceConfiguration, registry: Registry) -> Driver:
    """The driver of a source's kind; nothing is sent before it is opened.

    Raises `TemplateRefused` for a template of the configuration that could never be filled.
    """
    match config:
        case RestSource():
            return RestDriver(name, config, read_credential)
        case SubgraphSource():
            return SubgraphDriver(name, config, read_credential, registry)
        case FrontSource():
            return FrontDriver(name, config, read_credential, registry)


@asynccontextmanager
async def open_sources(
    configuration: Configuration, registry: Registry, observe: Observe
) -> AsyncIterator[Mapping[str, Source]]:
    """Every source by name, opening side by side while the caller goes on, closed at the end.

    One that cannot be opened is there all the same: its fetches fail, and each tries again.
    """
    sources = {
        name: GuardedSource(name, config, driver_of(name, config, registry), registry, observe)
        for name, config in configuration.source.items()
    }
    for source in sources.values():
        source.open_soon()
    try:
        yield sources
    finally:
        await asyncio.gather(*(source.close() for source in sources.values()))


async def check(name: str, configuration: Configuration, registry: Registry) -> AsyncIterator[tuple[str, str]]:
    """Get in touch with a source step by step, then map a probe of each service: (step, what was found).

    Raises `SourceError` at the step that fails; `KeyError` if there is no such source.
    """
    config = configuration.source[name]
    driver = driver_of(name, config, registry)
    source = GuardedSource(name, config, driver, registry, lambda *_: None)
    try:
        async for step in driver.check():
            yield step
        for coordinate, service in config.service.items():
            yield f"mapping {coordinate}", await _probed(source, _remote(registry, coordinate), coordinate, service)
    finally:
        await source.close()


async def _probed(source: GuardedSource, remote: Field, coordinate: str, service: Service) -> str:
    if _for_officers(remote):
        return "not asked: bound to an officer with a reason"
    if not service.probe:
        return "not asked: no probe in the configuration"
    before = _unmapped(source)
    rows = await source.fetch(_everything(remote, coordinate, service, (service.probe,)))
    count = len(rows.values) + sum(len(records) for records in rows.lists.values())
    unmapped = sorted((_unmapped(source) - before).items())
    listed = ", ".join(f"{attribute} {reason} {times}" for (attribute, reason), times in unmapped)
    return f"records of {service.probe}: {count}; unmapped: {listed or 'nothing'}"


def _unmapped(source: GuardedSource) -> Counter[tuple[str, str]]:
    return Counter({(attribute, reason): times for attribute, reason, times in source.state().unmapped})


async def sample(
    name: str, configuration: Configuration, registry: Registry, coordinate: str, keys: Sequence[str]
) -> list[tuple[RawRecord, Record]]:
    """Records of a few keys as the source has them and as they are mapped ({} for one that is dropped), side by side.

    Raw values are shown only where they are read as a PUBLIC or SHARED attribute or decide whether a record counts
    (key, region, validity), texts up to 200 characters; mapped ones of other classes are masked.
    Raises `SourceError`; `KeyError` if the source has no such service.
    """
    config = configuration.source[name]
    service = config.service[coordinate]
    remote = _remote(registry, coordinate)
    if _for_officers(remote):
        raise OfficerMissing(name, "bound to an officer with a reason")
    mapping = RecordMapping(name, coordinate, service, config, registry)
    fetch = _everything(remote, coordinate, service, tuple(keys))
    driver = driver_of(name, config, registry)
    try:
        async with asyncio.timeout(config.deadline_ms / 1000):
            await driver.open()
            answer = await driver.read(coordinate, fetch, mapping.wanted(fetch.fields))
    except TimeoutError:
        raise SourceTimeout(name, "deadline") from None
    finally:
        await driver.close()
    attributes = registry.values[remote.type.name].fields
    parts = {part.name: part for part in attributes.values()}
    shown = _shown_paths(service, parts)
    now = datetime.now(UTC)
    pairs = []
    for raw in answer.records:
        rows = mapping.rows(fetch, Answer((raw,)), now)
        records = [*rows.values.values(), *(record for listed in rows.lists.values() for record in listed)]
        pairs.append((_masked_raw(raw, shown, fetch.keys), _masked(records[0], parts) if records else {}))
    return pairs


def _remote(registry: Registry, coordinate: str) -> Field:
    entity, name = coordinate.split(".")
    return registry.entity(entity).fields[name]


def _for_officers(remote: Field) -> bool:
    return isinstance(remote.member, Remote) and remote.member.officer


def _everything(remote: Field, coordinate: str, service: Service, keys: tuple[str, ...]) -> Fetch:
    window = Window(min(_LIST_AT_MOST, service.items_at_most)) if remote.type.is_list else None
    return Fetch(coordinate, keys, tuple(service.fields), window)


def _shown_paths(service: Service, parts: Mapping[str, Field]) -> frozenset[str]:
    shown = {mapping.source for name, mapping in service.fields.items() if parts[name].attribute.sharing in _OPEN}
    hidden = {mapping.source for name, mapping in service.fields.items() if parts[name].attribute.sharing not in _OPEN}
    deciding = {service.region, *({service.valid.path} if service.valid else ())}
    stamp = {service.as_of.source} if service.as_of else set()
    return frozenset((shown | stamp | deciding) - hidden | {service.key})


def _masked_raw(raw: RawRecord, shown: frozenset[str], asked: Sequence[str], above: str = "") -> RawRecord:
    masked: dict[str, object] = {}
    for name, value in raw.items():
        path = f"{above}{name}"
        if isinstance(value, Mapping):
            masked[name] = _masked_raw(value, shown, asked, f"{path}.")
        elif value is None or value in asked:
            masked[name] = value
        else:
            masked[name] = _open_value(value) if path in shown else _HIDDEN
    return masked


def _open_value(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_open_value(item) for item in value]
    if isinstance(value, str | int | float | Decimal):
        # Normalising takes the square of a text's length.
        text = unicodedata.normalize("NFKC", str(value)[: _TEXT_AT_MOST + _BEYOND])
        shown = value[:_TEXT_AT_MOST] if isinstance(value, str) else value
        return _HIDDEN if _PERSONAL_NUMBER.search(text) else shown
    return value if value is None or isinstance(value, date) else _HIDDEN


def _masked(record: Record, parts: Mapping[str, Field]) -> Record:
    return {
        name: value if name in (AS_OF, REGION, UNMAPPED) or value is None else _masked_value(value, parts[name])
        for name, value in record.items()
    }


def _masked_value(value: object, part: Field) -> object:
    sharing = part.attribute.sharing
    if sharing in _OPEN:
        return _open_value(value)
    if sharing is Sharing.PERSONAL and isinstance(value, str):
        return MASKS[part.attribute.mask](value)
    return _HIDDEN
