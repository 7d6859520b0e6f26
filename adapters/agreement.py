"""What the values of `sources.toml` must say together: with the declarations, the regions, and each other."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from adapters.address import Network, allowed
from adapters.configuration import (
    PLACEHOLDERS,
    AttributeMapping,
    FrontService,
    FrontSource,
    GatewaySigner,
    RestService,
    RestSource,
    Service,
    SourceConfiguration,
    SubgraphService,
)
from adapters.lines import KeyPath
from adapters.rest.template import TemplateRefused, check_template, placeholders
from adapters.time_formats import time_format
from schema.declare import Attribute, Remote
from schema.regions import MINISTRY, UNRESOLVED, load_regions, prefix
from schema.registry import Field, Registry, TypeKind

Disagreement = tuple[KeyPath, str]
"""Where, and what is wrong and what is expected."""


def disagreements(sources: Mapping[str, SourceConfiguration], registry: Registry) -> Iterator[Disagreement]:
    """Everything in which sources, each well-formed, contradict the declarations, themselves or one another."""
    for name, source in sources.items():
        path: KeyPath = ("source", name)
        if not _NAME.fullmatch(name):
            yield path, "not a source's name, 1 to 40 of a-z, 0-9, - and _ after a first letter are expected"
        yield from _coverage(source, path)
        yield from _address(source, path)
        yield from _signature(source, path)
        if not source.service:
            yield path, "offers no service, at least one is expected"
        for coordinate, service in source.service.items():
            yield from _service(coordinate, service, registry, (*path, "service", coordinate))
    yield from _rivals(sources, registry)


def unknown(what: str, word: str, choices: Iterable[str]) -> str:
    """The complaint about a word that is none of the choices, with the nearest of them."""
    listed = sorted(choices)
    if near := difflib.get_close_matches(word, listed, 1, 0.6):
        return f"unknown {what}, perhaps {near[0]} is meant"
    return f"unknown {what}, one of {', '.join(listed)} is expected"


_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")


def _coverage(source: SourceConfiguration, path: KeyPath) -> Iterator[Disagreement]:
    nodes = load_regions().nodes
    known: list[str] = []
    for position, code in enumerate(source.covers):
        here = (*path, "covers", position)
        if code not in nodes or code == UNRESOLVED:
            yield here, f"no node of the supervision tree, a supervision code or {MINISTRY} is expected"
            continue
        for other in known:
            if prefix(code).startswith(prefix(other)) or prefix(other).startswith(prefix(code)):
                yield here, f"{code} and {other} overlap, regions apart from each other are expected"
        known.append(code)


def _address(source: SourceConfiguration, path: KeyPath) -> Iterator[Disagreement]:
    # The address is never repeated: somebody may have written a password into it.
    networks: list[Network] = []
    for position, text in enumerate(source.networks):
        try:
            network = ip_network(text)
        except ValueError:
            yield (*path, "networks", position), "not a network, CIDR without host bits as 10.1.2.0/24 is expected"
            continue
        networks.append(network)
        if network.prefixlen == 0:
            yield (*path, "networks", position), "every address there is, the network of the source is expected"
    here = (*path, "address")
    front = isinstance(source, FrontSource)
    form = "postgresql://host:port/database" if front else "https://host:port"
    schemes = ("postgresql",) if front else ("http", "https")
    parts = _parts(source.address)
    tail = r"/[^/]+" if front else r"/?"
    if parts is None or parts.scheme not in schemes or not re.fullmatch(tail, parts.path):
        yield here, f"not an address of this kind, {form} without user, password and query is expected"
        return
    host = parts.hostname or ""
    if _UNUSUAL_HOST.search(host) and ("%" in host or not _is_ip(host)):
        yield here, "an unusual spelling of an IP address, a name or an address as 10.1.2.3 or [fd00::1] is expected"
        return
    if parts.scheme == "http" and not source.plain_http and not all(network.is_loopback for network in networks):
        yield here, "http outside loopback, https or plain_http = true is expected"
    if _is_ip(host) and networks and not allowed(host, networks):
        yield here, "outside of networks, an address in one of them is expected"


_UNUSUAL_HOST = re.compile(r"[^a-z0-9._-]|(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)\.?\Z")
"""A host whose last part is a number is an IP address to some resolvers, whatever it is to us: 127.1, 0177.0.0.1."""


def _parts(address: str) -> SplitResult | None:
    """Scheme, host, port and path of an address that has nothing else."""
    if not re.fullmatch(r"[!-~]+", address):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    whole = parts.hostname and port != 0 and not (parts.query or parts.fragment or "@" in parts.netloc)
    return parts if whole else None


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _signature(source: SourceConfiguration, path: KeyPath) -> Iterator[Disagreement]:
    if not isinstance(source, RestSource):
        return
    gateway = isinstance(source.signer, GatewaySigner)
    if isinstance(source.signer, GatewaySigner) and bool(source.signer.renew) != bool(source.signer.renew_sid):
        yield (*path, "signer"), "renew and renew_sid go together, both or neither is expected"
    for coordinate, service in source.service.items():
        if gateway != bool(service.sid):
            wrong = "lacks sid, which the gateway signs" if gateway else "has sid, which only a gateway signs"
            yield (*path, "service", coordinate), f"{wrong}, sid with the family gateway alone is expected"


def _service(coordinate: str, service: Service, registry: Registry, path: KeyPath) -> Iterator[Disagreement]:
    remotes = {
        field.coordinate: field
        for entity in registry.entities.values()
        for field in entity.fields.values()
        if isinstance(field.member, Remote)
    }
    yield from _raw_names(service, path)
    if (as_of := service.as_of) is not None:
        for name in sorted(_conversions(as_of) - {"instants"}):
            yield (*path, "as_of", name), "no conversion of an instant, instants is expected"
        yield from _formats(as_of.instants, "instants", (*path, "as_of"))
    if coordinate not in remotes:
        yield path, unknown("service", coordinate, remotes)
        return
    field = remotes[coordinate]
    attributes = {
        part.name: part
        for part in registry.values[field.type.name].fields.values()
        if isinstance(part.member, Attribute) and part.type.kind in (TypeKind.SCALAR, TypeKind.CODES)
    }
    if not service.fields:
        yield path, "maps no attribute, at least one is expected"
    for name, mapping in service.fields.items():
        here = (*path, "fields", name)
        if name not in attributes:
            yield here, unknown(f"attribute of {field.type.name}", name, attributes)
        else:
            yield from _conversion(attributes[name], mapping, here)
    remote = field.member
    if isinstance(remote, Remote):
        order = [name.removeprefix("-") for name in remote.order]
        for name in order:
            if name not in service.fields:
                yield (*path, "fields"), f"lacks {name}, the list is ordered by it and its mapping is expected"
        yield from _across(service, remote, path)
        yield from _templates(service, remote, order, path)


def _across(service: Service, remote: Remote, path: KeyPath) -> Iterator[Disagreement]:
    if not remote.across:
        return
    if service.keys_per_call != 1:
        yield path, "a list across sources is read key by key, keys_per_call = 1 is expected"
    if not service.ordinary:
        wrong = "no local record governs a list across sources, so that who may read it sees all that is offered"
        yield path, f"{wrong}, published records only and ordinary = true are expected"


def _templates(service: Service, remote: Remote, order: Sequence[str], path: KeyPath) -> Iterator[Disagreement]:
    if isinstance(service, RestService):
        templates: dict[str, Mapping[str, Any]] = {"query": service.query, "body": service.body or {}}
    elif isinstance(service, SubgraphService):
        templates = {"arguments": service.arguments}
    else:
        return
    used: set[str] = set()
    for part, template in templates.items():
        try:
            check_template(template)
        except TemplateRefused as error:
            yield (*path, part), f"{error}, a template of known placeholders is expected"
        used |= placeholders(template)
        if any("{after." in text and not _WHOLE_AFTER.fullmatch(text) for text in _texts(template)):
            yield (*path, part), "a boundary within a longer text, {after.ATTRIBUTE} alone is expected"
    allowed = [f"after.{name}" for name in order]
    for name in sorted(name for name in used if name.startswith("after.") and name not in allowed):
        expected = " or ".join(f"{{{name}}}" for name in allowed) or "no boundary without an order"
        yield path, f"{{{name}}} is used, {expected} is expected"
    if not remote.officer and any(name.startswith("officer.") or name == "reason" for name in used):
        yield path, "the officer is used, a service bound to the officer is expected"
    if isinstance(service, RestService):
        yield from _asked(service, used, path)


_WHOLE_AFTER = re.compile(r"\{after\.[a-z0-9_]+\}")
"""What another source said of itself: within a longer text it could say something to this one."""


def _texts(template: object) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for item in template.values():
            yield from _texts(item)
    elif isinstance(template, list | tuple):
        for item in template:
            yield from _texts(item)


def _asked(service: RestService, used: set[str], path: KeyPath) -> Iterator[Disagreement]:
    """The keys must go out somehow, and all of them."""
    many = service.keys_per_call != 1
    if many and "first" in used and used & {"keys", "keys:,"}:
        yield path, "{first} would be shared by several keys, keys_per_call = 1 is expected"
    if not used & {"key", "keys", "keys:,"}:
        yield path, "no key is asked for, {keys}, {keys:,} or {key} is expected in query or body"
    if "key" in used and many:
        yield path, "{key} is a single one, keys_per_call = 1 is expected"
    if bool(service.last_page) != ("page" in used):
        yield path, "last_page and {page} go together, both or neither is expected"


_GRAPHQL_PATH = re.compile(r"[_A-Za-z][_0-9A-Za-z]*(\.[_A-Za-z][_0-9A-Za-z]*)*")
_COLUMN = re.compile(r"[A-Za-z0-9_]{1,63}")


def _raw_names(service: Service, path: KeyPath) -> Iterator[Disagreement]:
    """Raw names become part of statements and documents, so that their form matters there."""
    if isinstance(service, RestService):
        return
    form, expected = (
        (_COLUMN, "a column's name of letters, digits and underscores")
        if isinstance(service, FrontService)
        else (_GRAPHQL_PATH, "GraphQL names with dots between")
    )
    names: list[Disagreement] = [((*path, "fields", name, "from"), m.source) for name, m in service.fields.items()]
    names += [((*path, "key"), service.key)]
    names += [((*path, "region"), service.region)] if service.region else []
    names += [((*path, "as_of", "from"), service.as_of.source)] if service.as_of else []
    names += [((*path, "valid", "from"), service.valid.path)] if service.valid else []
    for here, name in names:
        if not form.fullmatch(name):
            yield here, f"this value does not fit, {expected} is expected"
    if isinstance(service, SubgraphService) and "." in service.key:
        yield (*path, "key"), "a path, the single field of the entity's @key is expected"


def _conversions(mapping: AttributeMapping) -> set[str]:
    names = ("codes", "dates", "instants", "times", "yes", "no", "split", "brackets")
    return {name for name in names if getattr(mapping, name) not in (None, (), "")}


def _fitting(field: Field) -> set[str]:
    """The conversions that an attribute of this type may have."""
    fitting = {"split"} if field.type.is_list else set()
    if field.type.kind is TypeKind.CODES:
        return fitting | {"codes"}
    of_scalar = {
        "Date": {"dates"},
        "DateTime": {"instants"},
        "Decimal": {"times"},
        "Int": {"times"},
        "Boolean": {"yes", "no"},
        "String": {"brackets"},
    }
    return fitting | of_scalar.get(field.type.name, set())


def _conversion(field: Field, mapping: AttributeMapping, path: KeyPath) -> Iterator[Disagreement]:
    fitting, given = _fitting(field), _conversions(mapping)
    for name in sorted(given - fitting):
        expected = f"{' or '.join(sorted(fitting))} is" if fitting else "no conversion is"
        yield (*path, name), f"no conversion to {field.type.name}, {expected} expected"
    if "codes" in given & fitting:
        yield from _codes(field, mapping, path)
    yield from _formats(mapping.dates, "dates", path)
    yield from _formats(mapping.instants, "instants", path)
    if mapping.times and not _is_factor(mapping.times):
        yield (*path, "times"), 'not a factor, a positive decimal as "0.0001" is expected'
    yield from _words(field, mapping, path)


def _codes(field: Field, mapping: AttributeMapping, path: KeyPath) -> Iterator[Disagreement]:
    official = field.codes.by_code if field.codes else {}
    if not mapping.codes:
        yield (*path, "codes"), "empty, local codes with official ones are expected"
    for local, code in (mapping.codes or {}).items():
        here = (*path, "codes", local)
        if code not in official:
            yield here, f"no code of {field.type.name}, one of {', '.join(official)} is expected"
        if local.strip() in (*PLACEHOLDERS, *mapping.placeholders):
            yield here, "always read as missing, another local code is expected"


def _words(field: Field, mapping: AttributeMapping, path: KeyPath) -> Iterator[Disagreement]:
    if field.type.name != "Boolean" or not (mapping.yes or mapping.no):
        return
    if not (mapping.yes and mapping.no):
        yield path, "yes or no is missing, words for both are expected"
    yes, no = ({word.strip() for word in words} for words in (mapping.yes, mapping.no))
    if yes & no:
        yield (*path, "no"), "a word is in yes too, words for one of them are expected"
    if (yes | no) & {*PLACEHOLDERS, *mapping.placeholders}:
        yield path, "a word is always read as missing, other words are expected"


def _formats(formats: Iterable[str], name: str, path: KeyPath) -> Iterator[Disagreement]:
    for position, text in enumerate(formats):
        if name == "instants" and text in ("epoch_ms", "epoch_s"):
            continue
        try:
            time_format(text)
        except ValueError as error:
            yield (*path, name, position), f"{error}, year, month and day in numbers as %Y-%m-%d are expected"


def _is_factor(text: str) -> bool:
    try:
        factor = Decimal(text)
    except InvalidOperation:
        return False
    return factor.is_finite() and factor > 0 and abs(factor.adjusted()) <= 12 and len(text) <= 30


def _rivals(sources: Mapping[str, SourceConfiguration], registry: Registry) -> Iterator[Disagreement]:
    across = {
        field.coordinate
        for entity in registry.entities.values()
        for field in entity.fields.values()
        if isinstance(field.member, Remote) and field.member.across
    }
    first: dict[tuple[str, str], str] = {}
    for name, source in sources.items():
        for coordinate in sorted(source.service.keys() - across):
            for position, code in enumerate(source.covers):
                other = first.setdefault((coordinate, code), name)
                if other != name:
                    yield (
                        ("source", name, "covers", position),
                        f"source {other} covers {code} for {coordinate} too, one source for it is expected",
                    )
