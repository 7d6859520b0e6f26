"""Pulls tables of a front-end database by window of their serial numbers and writes receipts back in place.

No transaction spans both sides: a window is landed first and acknowledged then. What breaks off between the two is read
again by the next pull, since its rows are still new, and lands where it lies already.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from adapters.base import AS_OF, REGION, UNMAPPED, Fetch, Record, Window
from adapters.configuration import FrontService
from adapters.conversions import Unmapped, plain
from adapters.driver import Answer, RawRecord
from adapters.front.driver import FrontDriver
from adapters.front.landing import Landed, Landing
from adapters.front.sql import capped, count_states, select_new, write_receipts
from adapters.mapping import RecordMapping

NEW, ACCEPTED, REFUSED = "0", "1", "2"
"""Upload states (sjsczt); a negative one is the provider's own draft or failed pre-check, and none of our business."""
NO_LOCAL_KEY, TOO_LARGE = "NO_LOCAL_KEY", "TOO_LARGE"
"""Rules of pulling itself; others come from the mapping."""
_LOCAL_KEY_AT_MOST, _REASON_AT_MOST = 200, 500


@dataclass(frozen=True, slots=True)
class Mapped:
    """A raw row as mapped, or why it is refused: rule ids with names of attributes, never a value."""

    record: Record | None
    broken: tuple[str, ...] = ()


Mapper = Callable[[RawRecord], Mapped]


def mapper_of(mapping: RecordMapping, coordinate: str, service: FrontService) -> Mapper:
    """Rows by the same mapping as answers; a row is refused if a value breaks its declared type.

    A word that no code mapping covers is ours to add: the row is accepted, and lands with the attribute's name.
    """
    fields = tuple(service.fields)

    def map_row(raw: RawRecord) -> Mapped:
        key = plain(raw[service.key])
        if not key:
            return Mapped(None, (str(Unmapped.NO_KEY),))
        before = dict(mapping.unmapped)
        rows = mapping.rows(Fetch(coordinate, (key,), fields, Window(1)), Answer([raw]), datetime.now(UTC))
        found = [*rows.values.values(), *(record for records in rows.lists.values() for record in records)]
        counted = [which for which, times in mapping.unmapped.items() if times > before.get(which, 0)]
        broken = sorted(
            f"{reason} {about.rpartition('.')[2]}" for about, reason in counted if reason != Unmapped.UNKNOWN_CODE
        )
        return Mapped(found[0] if found else None, tuple(broken))

    return map_row


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull did; rows that changed while they were pulled have no receipt yet."""

    windows: int
    accepted: int
    refused: int
    unacknowledged: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of one table by state, on the provider's side and on ours."""

    front: Mapping[str, int]
    landed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Row:
    serial: int
    version: str
    raw: Mapping[str, object] | None = field(repr=False)
    """None where it is larger than a whole window may be."""
    number: object
    """The serial as its column has it."""


async def pull(
    driver: FrontDriver, service: str, landing: Landing, mapper: Mapper, *, rows_per_window: int = 500
) -> Pulled:
    """Land every new row of a service's table and write its receipt: at least once, in the order of serial numbers.

    Memory is bounded by `rows_per_window` rows and the source's `max_bytes`. Raises `SourceError` for the provider's
    side, and what asyncpg raises for ours.
    """
    config = driver.config.service[service]
    done: Counter[str] = Counter()
    windows, last = 0, -1
    async with landing.turn(driver.name, service) as turn:
        while rows := await _window(driver, service, last, rows_per_window):
            receipts = [_judged(config, row, mapper) for row in rows]
            landed = [r.landed for r in receipts if r.landed]
            # A row that stands twice lands once; both have their receipts.
            await turn.land(list({(row.local_key, row.serial): row for row in landed}.values()))
            written = await _acknowledge(driver, service, receipts)
            last = rows[-1].serial
            await turn.count(last, written[ACCEPTED], written[REFUSED])
            windows += 1
            done += written
            done["read"] += len(rows)
    unacknowledged = done["read"] - done[ACCEPTED] - done[REFUSED]
    return Pulled(windows, done[ACCEPTED], done[REFUSED], unacknowledged)


async def counts(driver: FrontDriver, service: str, landing: Landing) -> Counts:
    """Both sides of a table, for the daily comparison; raises as `pull` does."""
    config = driver.config.service[service]
    async with driver.writing(service) as (connection, table):
        found = await connection.fetch(count_states(table, config.state))
    front = {row["state"] or "": row["rows"] for row in found}
    return Counts(front, await landing.counts(driver.name, service))


@dataclass(frozen=True, slots=True)
class _Receipt:
    row: _Row
    landed: Landed | None
    reason: str = ""


async def _window(driver: FrontDriver, service: str, last: int, at_most: int) -> list[_Row]:
    config = driver.config.service[service]
    async with driver.writing(service) as (connection, table):
        driver.check_receipts(service, table)
        wanted = [name for name in table.columns if name not in (config.state, config.reason)]
        statement, parameters = select_new(
            table, wanted, serial=config.serial, state=config.state, new=NEW, last=last, at_most=at_most
        )
        statement = capped(statement, ("serial", "version", "number"), len(wanted), driver.config.max_bytes, parameters)
        found = await connection.fetch(statement, *parameters.values)
    rows: list[_Row] = []
    for row in found:
        raw = {name: row[f"c{n}"] for n, name in enumerate(wanted)} if row["sent"] else None
        if raw is None and rows:
            # The next window begins with it, and has room for it if there is any.
            break
        rows.append(_Row(row["serial"], row["version"], raw, row["number"]))
        if raw is None:
            break
    return rows


def _judged(config: FrontService, row: _Row, mapper: Mapper) -> _Receipt:
    if row.raw is None:
        return _Receipt(row, None, TOO_LARGE)
    local_key = _text(row.raw[config.local_key])
    if not 0 < len(local_key) <= _LOCAL_KEY_AT_MOST:
        return _Receipt(row, None, NO_LOCAL_KEY)
    if config.valid is not None and _text(row.raw[config.valid.path]) not in config.valid.values:
        return _Receipt(row, Landed(local_key, row.serial, None))
    mapped = mapper(row.raw)
    if mapped.record is None or mapped.broken:
        return _Receipt(row, None, "; ".join(mapped.broken))
    record = mapped.record
    body = {name: value for name, value in record.items() if not name.startswith("@")}
    as_of, region = record.get(AS_OF), record.get(REGION)
    unmapped = record.get(UNMAPPED) or ()
    names = tuple(map(str, unmapped)) if isinstance(unmapped, Sequence) else ()
    landed = Landed(local_key, row.serial, body, str(region) if region else None, str(as_of) if as_of else None, names)
    return _Receipt(row, landed)


def _text(raw: object) -> str:
    """A cell as PostgreSQL writes it as text, trimmed."""
    return "" if raw is None else str(raw).lower() if isinstance(raw, bool) else str(raw).strip()


async def _acknowledge(driver: FrontDriver, service: str, receipts: Sequence[_Receipt]) -> Counter[str]:
    """Write the receipts of one window; how many of each state were written."""
    config = driver.config.service[service]
    async with driver.writing(service) as (connection, table):
        at_most = min(table.columns[config.reason].width or _REASON_AT_MOST, _REASON_AT_MOST)
        written = await connection.fetch(
            write_receipts(table, serial=config.serial, state=config.state, reason=config.reason),
            [r.row.number for r in receipts],
            [r.row.version for r in receipts],
            [ACCEPTED if r.landed else REFUSED for r in receipts],
            [None if r.landed else r.reason[:at_most] for r in receipts],
            table.columns[config.state].values([NEW]),
        )
    return Counter(row["state"] for row in written)
