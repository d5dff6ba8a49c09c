"""The days of a time zone: half-open, and not all of them 24 hours long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from fillbook.ground.clock import SECOND_NS, to_ns

_ONE = timedelta(days=1)


class Days:
    """Cuts time into the days of one zone, UTC unless said otherwise.

    A day begins at its first instant in that zone and ends where the next begins: every instant
    is in exactly one day, also where clocks are changed.

    >>> from fillbook.ground.clock import HOUR_NS, iso, zone
    >>> start_ns, end_ns = Days(zone("Europe/Berlin")).bounds("2026-03-29")
    >>> iso(start_ns), (end_ns - start_ns) // HOUR_NS
    ('2026-03-28T23:00:00Z', 23)
    """

    def __init__(self, zone: tzinfo = UTC) -> None:
        self._zone = zone

    def of(self, ns: int) -> str:
        """Return the day of an instant as YYYY-MM-DD."""
        day = datetime.fromtimestamp(ns // SECOND_NS, self._zone).date()
        # Where the hour before midnight comes twice, the date alone may be one off.
        while ns < self._start_ns(day):
            day -= _ONE
        while ns >= self._start_ns(day + _ONE):
            day += _ONE
        return day.isoformat()

    def bounds(self, day: str) -> tuple[int, int]:
        """Return [start, end) of a day given as YYYY-MM-DD; ValueError when it is none."""
        first = date.fromisoformat(day)
        if first.isoformat() != day:
            raise ValueError(f"{day!r} is not a day such as 2026-01-31")
        try:
            return self._start_ns(first), self._start_ns(first + _ONE)
        except OverflowError:
            raise ValueError(f"{day!r} is outside the calendar") from None

    def between(self, since_ns: int, until_ns: int) -> Iterator[tuple[str, int, int]]:
        """Yield (day, start, end) of every day that has a part in [since, until), whole days."""
        if since_ns >= until_ns:
            return
        day = date.fromisoformat(self.of(since_ns))
        start_ns = self._start_ns(day)
        while start_ns < until_ns:
            end_ns = self._start_ns(day + _ONE)
            # A zone that crossed the date line has left a day out.
            if start_ns < end_ns:
                yield day.isoformat(), start_ns, end_ns
            day, start_ns = day + _ONE, end_ns

    def _start_ns(self, day: date) -> int:
        return to_ns(datetime.combine(day, time(), self._zone))
