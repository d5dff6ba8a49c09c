"""How far a venue's clock is from ours, measured on answers that arrive anyway.

A signed time is refused by the venue when our clock is off, and a covered interval must end on
the venue's clock, not on ours.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec

from fillbook.ground.clock import MINUTE_NS, SECOND_NS, to_ns
from fillbook.sources.stream import Headers

# A measurement grows worse with age: clocks drift, machines sleep.
_DRIFT_DIVISOR = 10_000
_STALE_NS = 30 * MINUTE_NS


class Measured(msgspec.Struct, frozen=True):
    """The venue's clock minus ours, give or take `error_ns`, measured at `at_ns` (ticks)."""

    offset_ns: int
    error_ns: int
    at_ns: int


class Skew:
    """The best measurement of late."""

    def __init__(self) -> None:
        self._best: Measured | None = None

    @property
    def offset_ns(self) -> int:
        """Return what to add to our clock; 0 while a difference is within the error.

        >>> Skew().offset_ns
        0
        """
        best = self._best
        if best is None or abs(best.offset_ns) <= best.error_ns:
            return 0
        return best.offset_ns

    def earliest_ns(self, ours_ns: int) -> int:
        """Return the least the venue's clock can have shown when ours showed `ours_ns`."""
        best = self._best
        return ours_ns if best is None else ours_ns + best.offset_ns - best.error_ns

    def latest_ns(self, ours_ns: int) -> int:
        """Return the most the venue's clock can have shown when ours showed `ours_ns`."""
        best = self._best
        return ours_ns if best is None else ours_ns + best.offset_ns + best.error_ns

    @property
    def best(self) -> Measured | None:
        """Return the measurement in use, or None before the first."""
        return self._best

    def observe(self, measured: Measured) -> None:
        """Take a measurement if it is better than the one we have, or contradicts it."""
        best = self._best
        if best is None:
            self._best = measured
            return
        age_ns = measured.at_ns - best.at_ns
        error_ns = best.error_ns + age_ns // _DRIFT_DIVISOR
        apart_ns = abs(measured.offset_ns - best.offset_ns)
        contradicts = apart_ns > error_ns + measured.error_ns
        if contradicts or age_ns > _STALE_NS or measured.error_ns <= error_ns:
            self._best = measured


def measure(server_ns: int, grain_ns: int, sent_ns: int, received_ns: int, at_ns: int) -> Measured:
    """Compare the venue's time with ours: it was taken somewhere between sent and received.

    `grain_ns` is how coarse the venue prints its time: it lies in [server, server + grain).

    >>> measure(100_000, 0, 10_000, 30_000, 0)
    Measured(offset_ns=80000, error_ns=10000, at_ns=0)
    """
    middle_ns = (sent_ns + received_ns) // 2
    error_ns = (received_ns - sent_ns) // 2 + grain_ns // 2
    return Measured(server_ns + grain_ns // 2 - middle_ns, error_ns, at_ns)


def date_header_ns(headers: Headers) -> int | None:
    """Return the time of a Date header, whole seconds; None when there is none to read.

    >>> date_header_ns({"date": "Thu, 01 Jan 1970 00:00:07 GMT"})
    7000000000
    """
    text = headers.get("date")
    if not text:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return to_ns(moment)


DATE_GRAIN_NS = SECOND_NS
