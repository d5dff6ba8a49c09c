"""What follows from a new state of the book: the Summary, lines about trades, finished days.

Everything here happens in the thread that folds, because the marks are read there; what comes out
is immutable and may be read by anyone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fillbook.analysis.digest import Summary, digest
from fillbook.analysis.view import BookView
from fillbook.ground.clock import MINUTE_NS
from fillbook.ground.errors import FillbookError
from fillbook.monitor.closings import Closings
from fillbook.monitor.schedule import DailySchedule
from fillbook.monitor.tracker import Tracker

RETRY_NS = 5 * MINUTE_NS

Say = Callable[[str], None]


class Watch:
    """Looks at every view of a `LiveBook`; `summary` is the newest, None before the first.

    Trades are told and days are written once `is_caught_up` says that history has arrived:
    until then what looks open may long be closed. `closings` takes every trade that ended.
    """

    def __init__(
        self,
        folder: Path,
        clock: Callable[[], int],
        is_caught_up: Callable[[], bool],
        say: Say,
        max_concurrent: int | None = None,
        closings: Closings | None = None,
    ) -> None:
        self._clock = clock
        self._is_caught_up = is_caught_up
        self._say = say
        self.started_ns = clock()
        self.tracker = Tracker(self.started_ns, max_concurrent)
        self._days = DailySchedule(folder, say)
        self._days_again_ns = 0
        self._closings = closings
        self._told_seq = -1
        self.summary: Summary | None = None

    def look(self, view: BookView, is_new: bool) -> None:
        """Take in a view; `is_new` says that the book or the marks changed since the last one."""
        now_ns = self._clock()
        if self.summary is None:
            self.tracker.remember(view)
            for found in view.findings:
                if found.code == "key-can-trade":
                    self._say(f"! {found.message}")
        if is_new or self.summary is None or now_ns - self.summary.at_ns >= MINUTE_NS:
            self.summary = digest(view, now_ns, self.started_ns)
        if not self._is_caught_up():
            return
        if view.seq != self._told_seq:
            for line in self.tracker.feed(view):
                self._say(line)
            if self._closings is not None:
                self._closings.feed(view, self.tracker.closed)
            self._told_seq = view.seq
        self._write_days(view, now_ns)

    def _write_days(self, view: BookView, now_ns: int) -> None:
        """Write finished days; where that cannot be, say so and try again: watching goes on."""
        if now_ns < self._days_again_ns:
            return
        try:
            self._days.run(view, now_ns)
        except FillbookError as fault:
            self._days_again_ns = now_ns + RETRY_NS
            self._say(f"✗ {fault.what} ({fault.where}): tried again in 5 min")
