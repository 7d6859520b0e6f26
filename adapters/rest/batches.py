"""A list of a source that has no page numbers, read batch by batch: {first} records behind {after.…} each time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from adapters.base import Fetch, Window
from adapters.configuration import Service
from adapters.driver import RawRecord
from adapters.rest.order import LocalOrder


class Batches:
    """How one service's list goes on; `names` are the placeholders of its template.

    Sources limit an answer on their own, and few say at what size. So fewer records than asked for are the end only if
    the source has sent more at once before; else it is asked once more, for what is behind them. A source that lowers
    its limit while we run, and one that takes no boundary, cannot be seen through in this way.
    """

    def __init__(self, order: LocalOrder | None, names: Collection[str], service: Service) -> None:
        self._order = order
        self._limited = "first" in names
        self._bounded = any(name.startswith("after.") for name in names)
        self._at_most = service.items_at_most
        self._most_sent = 0

    def asked(self, window: Window) -> int:
        """Records to ask for: no more than are shown, so that a full answer is known by what was asked.

        Whole days, where those are needed (see `whole`), may be more than the window.
        """
        return self._at_most if self._order and self._order.coarse else self.wanted(window)

    def wanted(self, window: Window) -> int:
        """Records that a window may hold."""
        return min(window.first, self._at_most)

    def behind(self, records: Sequence[RawRecord], window: Window | None) -> Sequence[RawRecord]:
        """Those records that come after a window's boundary."""
        order, after = self._order, window.after if window else None
        return records if order is None or after is None else [one for one in records if order.behind(one, after)]

    def ended(self, fetch: Fetch, sent: int, fresh: int) -> bool:
        """Whether an answer of `sent` records for a key, of them `fresh` behind the boundary, is its list's end."""
        if fetch.window is None or not self._limited:
            return True
        most, self._most_sent = self._most_sent, max(self._most_sent, sent)
        if sent >= self.asked(fetch.window):
            return False
        goes_on = self._bounded and len(fetch.keys) == 1 and self._order is not None and not self._order.coarse
        return not fresh or sent < most or not goes_on

    def whole(self, records: Sequence[RawRecord], fetch: Fetch) -> Sequence[RawRecord]:
        """The records of one key up to where more follow, without those of its last day if they may be some of them.

        A source that writes the time of day sorts by it, and we by the number within the day.
        """
        if self._order is None or not self._order.coarse or len(fetch.keys) != 1:
            return records
        return self._order.without_last_day(records)

    def arranged(self, records: Sequence[RawRecord]) -> Sequence[RawRecord]:
        """Whole days in the declared order, whatever the source sorts them by."""
        return self._order.arranged(records) if self._order and self._order.coarse else records

    def onward(self, fetch: Fetch, records: Sequence[RawRecord]) -> Fetch | None:
        """The fetch of what is behind these records; None where it cannot be asked for."""
        if fetch.window is None or self._order is None or not self._bounded or len(fetch.keys) != 1:
            return None
        after = self._order.end(records)
        if after is None or after == fetch.window.after:
            return None
        return replace(fetch, window=replace(fetch.window, after=after))
