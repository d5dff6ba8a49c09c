"""Daily summaries: written when a day has ended, for the day that ended, and caught up.

Days are those of `[report] day_zone`, UTC unless said otherwise. A day is due once its last
instant is past and every stream has had a little time to report it. A day already written is
written again only when late facts changed its figures (a new revision).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fillbook.analysis.daily import DailyRecord
from fillbook.analysis.summary import daily
from fillbook.analysis.view import BookView
from fillbook.ground.clock import MINUTE_NS
from fillbook.ground.days import Days
from fillbook.publish.daily import to_log_line, write_all

# Funding of midnight and late fills come within minutes.
SETTLE_NS = 2 * MINUTE_NS
LOOK_AGAIN_NS = 5 * MINUTE_NS
MOST_DAYS = 31
# A month caught up at once would drown what is said about trades; the log keeps every line.
MOST_LINES = 10

Say = Callable[[str], None]

_log = logging.getLogger(__name__)


class Written(NamedTuple):
    """One summary that was written: its day, its revision, its line and its two files."""

    day: str
    revision: int
    line: str
    paths: tuple[Path, Path]


class DailySchedule:
    """Writes each finished day once, and again when it changed; files under `folder`.

    What was written before this start is known from the files themselves.
    """

    def __init__(self, folder: Path, say: Say, most_days: int = MOST_DAYS) -> None:
        self._folder = folder
        self._say = say
        self._most_days = most_days
        self._looked_ns = 0
        self._state: tuple[str, int] | None = None

    def run(self, view: BookView, now_ns: int) -> list[Path]:
        """Write what is due; returns the files that were written or rewritten.

        After downtime the days missed are caught up, at most `most_days` back. Whether late facts
        changed an older day is looked at every few minutes.
        """
        days = view.settings.report.days
        running_ns, _ = days.bounds(days.of(now_ns - SETTLE_NS))
        last = days.of(running_ns - 1)
        state = (last, view.seq)
        is_same_day = self._state is not None and self._state[0] == last
        if state == self._state or (is_same_day and now_ns - self._looked_ns < LOOK_AGAIN_NS):
            return []
        written: list[Written] = []
        for day in self._due(view, days, last):
            written += self._write(daily(view, day))
        self._state, self._looked_ns = state, now_ns
        self._tell(written)
        return [path for summary in written for path in summary.paths]

    def _due(self, view: BookView, days: Days, last: str) -> Iterator[str]:
        groups = [group for group in view.ledger.groups if len(group)]
        if not groups:
            return
        first_ns = min(int(group.columns.ts_ns[0]) for group in groups)
        _, end_ns = days.bounds(last)
        for day, _, _ in [*days.between(first_ns, end_ns)][-self._most_days :]:
            yield day

    def _write(self, records: Sequence[DailyRecord]) -> Iterator[Written]:
        for record, files in zip(records, write_all(records, self._folder), strict=True):
            if files.changed:
                whose = f"{record.account} {record.currency}: " if len(records) > 1 else ""
                again = f" (revision {files.revision})" if files.revision else ""
                line = f"{whose}{to_log_line(record)}{again}"
                yield Written(record.day, files.revision, line, (files.json, files.csv))

    def _tell(self, written: Sequence[Written]) -> None:
        if len(written) <= MOST_LINES:
            for summary in written:
                self._say(summary.line)
            return
        for summary in written:
            _log.info("%s", summary.line)
        new = sum(summary.revision == 0 for summary in written)
        self._say(
            f"Daily summaries {written[0].day} to {written[-1].day}: {new} written, "
            f"{len(written) - new} revised, in {self._folder}"
        )
