"""Daily summaries: written when a UTC day has ended, for the day that ended, and caught up.

A day is due once its last instant is past and every stream has had a little time to report it. A
day already written is written again only when late facts changed its figures (a new revision).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fillbook.analysis.daily import DailyRecord
from fillbook.analysis.summary import daily
from fillbook.analysis.view import BookView
from fillbook.ground.clock import DAY_NS, MINUTE_NS, day_of, day_start_ns
from fillbook.publish.daily import to_log_line, write_all

# Funding of midnight and late fills come within minutes.
SETTLE_NS = 2 * MINUTE_NS
MOST_DAYS = 31

Say = Callable[[str], None]


class DailySchedule:
    """Writes each finished day once, and again when it changed; files under `folder`."""

    def __init__(self, folder: Path, say: Say, most_days: int = MOST_DAYS) -> None:
        self._folder = folder
        self._say = say
        self._most_days = most_days
        self._told: dict[tuple[str, str, str], DailyRecord] = {}
        self._seq = -1
        self._last_day: str | None = None

    def run(self, view: BookView, now_ns: int) -> list[Path]:
        """Write what is due; returns the files that were written or rewritten.

        After downtime the days missed are caught up, at most `most_days` back.
        """
        last = day_of(now_ns - SETTLE_NS - DAY_NS)
        if (last, view.seq) == (self._last_day, self._seq):
            return []
        written: list[Path] = []
        for day in self._days(view, last):
            written += self._write(daily(view, day))
        self._last_day, self._seq = last, view.seq
        return written

    def _days(self, view: BookView, last: str) -> Iterator[str]:
        groups = [group for group in view.ledger.groups if len(group)]
        if not groups:
            return
        first_ns = min(int(group.columns.ts_ns[0]) for group in groups)
        end_ns = day_start_ns(last)
        start_ns = max(first_ns - first_ns % DAY_NS, end_ns - (self._most_days - 1) * DAY_NS)
        for start in range(start_ns, end_ns + 1, DAY_NS):
            yield day_of(start)

    def _write(self, records: Sequence[DailyRecord]) -> list[Path]:
        changed = [record for record in records if self._is_news(record)]
        if not changed:
            return []
        paths: list[Path] = []
        for files in write_all(records, self._folder):
            paths += [files.json, files.csv]
        for record in changed:
            self._told[record.day, record.account, record.currency] = record
            self._say(to_log_line(record))
        return paths

    def _is_news(self, record: DailyRecord) -> bool:
        known = self._told.get((record.day, record.account, record.currency))
        return known is None or _figures(known) != _figures(record)


def _figures(record: DailyRecord) -> tuple[object, ...]:
    """Return what the record says about the day, not about the state of the book."""
    skipped = ("seq", "head", "revision", "book")
    return tuple(getattr(record, n) for n in record.__struct_fields__ if n not in skipped)
