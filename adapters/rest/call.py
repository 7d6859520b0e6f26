"""One service of a REST system, ready to be asked: its templates checked, its pages understood."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from adapters.base import Fetch, Window
from adapters.configuration import RestService, SourceBase
from adapters.driver import RawRecord
from adapters.rest.batches import Batches
from adapters.rest.order import LocalOrder, at
from adapters.rest.template import TemplateRefused, as_text, check_template, fill, placeholders
from adapters.time_formats import offset
from schema.declare import Remote
from schema.registry import load_registry

_ENDED_TEXTS = frozenset({"", "0"})


@dataclass(frozen=True, slots=True)
class Request:
    """A call with its values, not yet signed."""

    query: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    content_type: str


class ServiceCall:
    """How a service is asked; raises `TemplateRefused` where a template cannot be filled."""

    def __init__(self, coordinate: str, service: RestService, config: SourceBase) -> None:
        for template in (service.query, service.body):
            check_template(template)
        names = placeholders(service.query) | placeholders(service.body)
        if "key" in names and service.keys_per_call != 1:
            raise TemplateRefused("{key} is one key: keys_per_call = 1 is expected")
        self.service = service
        self._order = _order(coordinate, service, config.zone)
        known = self._order.names if self._order else ()
        for name in sorted(name.removeprefix("after.") for name in names if name.startswith("after.")):
            if name not in known:
                raise TemplateRefused(f"{{after.{name}}}: the list is not ordered by it")
        self._names = names
        self.batches = Batches(self._order, names, service)
        self._zone = offset(config.zone)
        # gbk and gb2312 are parts of it.
        self._charset = config.charset if config.charset == "utf-8" else "gb18030"

    @property
    def is_list(self) -> bool:
        """Whether it answers a declared list, which is read by windows."""
        return self._order is not None

    @property
    def joined(self) -> bool:
        """Whether several keys go out in one text, with commas between."""
        service = self.service
        return "keys:," in self._names or "keys" in placeholders([service.query, (service.form and service.body) or {}])

    @property
    def personal(self) -> bool:
        """Whether it names the calling officer."""
        return "reason" in self._names or any(name.startswith("officer.") for name in self._names)

    @property
    def paged(self) -> bool:
        """Whether its answers tell how many pages there are."""
        return bool(self.service.last_page)

    @property
    def raw_names(self) -> tuple[str, ...]:
        """Every raw name that the mapping reads."""
        service = self.service
        paths = [service.key, service.region, *(mapping.source for mapping in service.fields.values())]
        paths += [service.valid.path] if service.valid else []
        paths += [service.as_of.source] if service.as_of else []
        return tuple(sorted({path.split(".")[0] for path in paths if path}))

    def request(self, fetch: Fetch, wanted: Sequence[str], page: int, now_ms: int) -> Request:
        """Query and body for a fetch, of the time given."""
        service, values = self.service, self._values(fetch, wanted, page, now_ms)
        query = {name: as_text(value) for name, value in fill(service.query, values).items()}
        body = fill(service.body, values)
        if body is None:
            return Request(query, None, "")
        if service.form:
            texts = {name: as_text(value) for name, value in body.items()}
            encoded = urlencode(texts, encoding=self._charset).encode()
            return Request(query, encoded, "application/x-www-form-urlencoded")
        # In ASCII it is the same text in every charset that the source may read it in.
        return Request(query, json.dumps(body).encode(), "application/json")

    def last(self, answer: Any, page: int, asked: Fetch, sent: int, fresh: int) -> bool:
        """Whether there is nothing behind a page of `sent` records, of which `fresh` are behind the boundary."""
        if not self.paged:
            return self.batches.ended(asked, sent, fresh)
        pages = as_text(at(answer, self.service.last_page)).strip()
        if pages in _ENDED_TEXTS:
            return True
        return not (pages.isascii() and pages.isdigit() and len(pages) <= 18) or page >= int(pages)

    def full(self, records: Sequence[RawRecord], keys: Sequence[str], window: Window) -> bool:
        """Whether there are as many records of each key as the window may hold."""
        wanted = self.batches.wanted(window)
        if len(keys) == 1:
            return len(records) >= wanted
        counts = Counter(as_text(at(record, self.service.key)).strip() for record in records)
        return all(counts[key] >= wanted for key in keys)

    def _first(self, window: Window) -> int:
        return self.batches.wanted(window) if self.paged else self.batches.asked(window)

    def _values(self, fetch: Fetch, wanted: Sequence[str], page: int, now_ms: int) -> dict[str, object]:
        window, officer = fetch.window, fetch.officer
        values: dict[str, object] = {
            "keys": list(fetch.keys),
            "keys:,": ",".join(fetch.keys),
            "key": fetch.keys[0],
            "fields": list(wanted),
            "fields:,": ",".join(wanted),
            "first": self._first(window) if window else len(fetch.keys),
            "page": page,
            "reason": fetch.reason,
            "now_ms": now_ms,
        }
        if "uuid" in self._names:
            values["uuid"] = str(uuid.uuid4())
        if "now" in self._names:
            values["now"] = datetime.fromtimestamp(now_ms / 1000, self._zone).strftime("%Y-%m-%d %H:%M:%S")
        if window and window.after and self._order:
            values |= self._order.boundary(window.after)
        if officer:
            values |= {
                "officer.id_no": officer.id_no,
                "officer.name": officer.name,
                "officer.department": officer.department,
                "officer.address": officer.address,
            }
        return values


def _order(coordinate: str, service: RestService, zone: str) -> LocalOrder | None:
    """The order of a service that is a declared list."""
    owner, name = coordinate.split(".")
    declared = load_registry().entity(owner).fields[name]
    if not isinstance(declared.member, Remote) or not declared.member.order:
        return None
    parts = {part.name: part for part in load_registry().values[declared.type.name].fields.values()}
    return LocalOrder(declared.member.order, parts, service, zone)
