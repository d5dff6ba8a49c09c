"""One position watched from entry to exit in a thread of its own, with a book of its own."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fillbook.analysis.answers import TradeRow
from fillbook.desks.platform import Platform, ask_positions
from fillbook.desks.position_book import PositionBook
from fillbook.ground.clock import now_ns as wall_ns
from fillbook.ground.errors import InputError
from fillbook.publish.closed import Record, record_of
from fillbook.sources.observed import Observer
from fillbook.sources.observed_rows import Positions, read_position

log = logging.getLogger("fillbook.desks")


class TradeTrackerThread(threading.Thread):
    """Follows one position until it is gone, then calls `metrics_callback` with its record.

    A `TradeMonitor` needs none of these: it sees every position with one call per poll. Stopped
    before the exit, the record says `manual_stop` and `open`, and no callback is made: nothing
    was closed.
    """

    def __init__(
        self,
        trade_id: str,
        position: Mapping[str, Any],
        platform: Platform,
        metrics_callback: Callable[[Record], None],
        poll_interval: float = 30,
        clock: Callable[[], int] = wall_ns,
    ) -> None:
        super().__init__(name=f"trade {trade_id}", daemon=True)
        first = read_position(position)
        if first is None:
            raise InputError(f"{trade_id} is not open", "", "pass an open position")
        self.trade_id = trade_id
        self._first = first
        self._platform = platform
        self._told = metrics_callback
        self._interval_s = poll_interval
        self._clock = clock
        self._ended = threading.Event()
        self.record: Record | None = None

    def run(self) -> None:
        """Poll until the position is gone or `stop` is called."""
        with tempfile.TemporaryDirectory(prefix="fillbook-") as folder:
            place = self._first.place
            book = PositionBook(
                Path(folder), Observer("platform", place.instrument), clock=self._clock
            )
            self._take(book, Positions({place: self._first}))
            while not self._ended.wait(self._interval_s):
                try:
                    seen = ask_positions(self._platform)
                except Exception as fault:  # a platform may fail in any way; nothing is closed
                    log.warning("%s: the platform did not answer: %s", self.trade_id, fault)
                    continue
                if self._ended.is_set():
                    break
                mine = {at: each for at, each in seen.held.items() if at == place}
                if self._take(book, Positions(mine, seen.unreadable)):
                    return
            self._take(book, None, forced=True)

    def stop(self, timeout_s: float = 10.0) -> bool:
        """Stop watching; returns whether the thread ended in time. Closes nothing."""
        self._ended.set()
        if self.is_alive():
            self.join(timeout_s)
        return not self.is_alive()

    def _take(self, book: PositionBook, seen: Positions | None, *, forced: bool = False) -> bool:
        """Take in one snapshot; True when the trade is over."""
        look = book.look(seen)
        row: TradeRow = (look.closed or look.opened)[0]
        updates = look.updates[row.trade_id]
        record = {**record_of(row, updates, forced=forced), "trade_id": self.trade_id}
        self.record = record
        if not look.closed:
            return False
        try:
            self._told(record)
        except Exception:  # whoever listens may fail in any way; the trade is finished all the same
            log.exception("%s: whoever listens failed", self.trade_id)
        return True
