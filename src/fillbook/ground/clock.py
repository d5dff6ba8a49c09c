"""Time is UTC nanoseconds in an int, named `*_ns`; this is the only reader of the wall clock.

Naive timestamps are refused unless a zone is named. Days are half-open UTC days.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 86_400 * SECOND_NS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"(.*\d\d:\d\d:\d\d)[.,](\d{1,9})(.*)", re.DOTALL)
_AGO = re.compile(r"(\d+)([smhdw])")
_AGO_NS = {"s": SECOND_NS, "m": MINUTE_NS, "h": HOUR_NS, "d": DAY_NS, "w": 7 * DAY_NS}


def now_ns() -> int:
    """Return the wall clock; callers below the faces receive time instead of asking."""
    return time.time_ns()


def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name or a fixed offset such as +05:30.

    >>> zone("+05:30").utcoffset(None)
    datetime.timedelta(seconds=19800)
    """
    offset = re.fullmatch(r"([+-])(\d\d):?(\d\d)", name)
    if offset:
        delta = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-delta if offset[1] == "-" else delta)
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as fault:
        raise ValueError(f"{name!r} is not a time zone (try UTC or Europe/Berlin)") from fault


def to_ns(moment: datetime) -> int:
    """Turn an aware datetime into UTC nanoseconds, exactly."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND_NS + delta.microseconds * 1000


def parse_ns(text: str, tz: tzinfo | None = None, pattern: str | None = None) -> int:
    """Read ISO 8601 text (or `pattern`, strptime syntax); a naive time needs `tz`.

    Fractions keep all nine digits. Raises ValueError with the reason.

    >>> parse_ns("2021-06-03T17:16:25.053Z")
    1622740585053000000
    >>> parse_ns("2021-06-03 17:16:25")
    Traceback (most recent call last):
    ...
    ValueError: '2021-06-03 17:16:25' names no time zone
    """
    body, nanoseconds = text.strip(), 0
    if pattern is None:
        fraction = _FRACTION.fullmatch(body)
        if fraction:
            body = fraction[1] + fraction[3]
            nanoseconds = int(fraction[2].ljust(9, "0"))
        try:
            moment = datetime.fromisoformat(body)
        except ValueError:
            raise ValueError(f"{text!r} is not an ISO 8601 time") from None
    else:
        try:
            moment = datetime.strptime(body, pattern)
        except ValueError:
            raise ValueError(f"{text!r} does not look like {pattern}") from None
    if moment.tzinfo is None:
        if tz is None:
            raise ValueError(f"{text!r} names no time zone")
        moment = moment.replace(tzinfo=tz)
    return to_ns(moment) + nanoseconds


def parse_when(text: str, now: int) -> int:
    """Read a time for `--since` and `--until`: a UTC day, an ISO time, or an age such as 7d.

    >>> parse_when("2026-01-02", now=0) == parse_ns("2026-01-02T00:00:00Z")
    True
    >>> parse_when("1d", now=2 * DAY_NS) == DAY_NS
    True
    """
    age = _AGO.fullmatch(text.strip())
    if age:
        return now - int(age[1]) * _AGO_NS[age[2]]
    return parse_ns(text, tz=UTC)


def age_ns(text: str) -> int:
    """Read a duration written as a count and s, m, h, d or w, such as 30s; ValueError otherwise.

    >>> age_ns("5m")
    300000000000
    """
    age = _AGO.fullmatch(text)
    if not age or not age[1].isascii():
        raise ValueError(f"{text!r} is not an age such as 30s, 5m, 1h or 2d")
    return int(age[1]) * _AGO_NS[age[2]]


def iso(ns: int) -> str:
    """Write UTC nanoseconds as ISO 8601 with as many decimals as needed.

    >>> iso(1622740585053000000), iso(0)
    ('2021-06-03T17:16:25.053Z', '1970-01-01T00:00:00Z')
    """
    seconds, fraction = divmod(ns, SECOND_NS)
    text = (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}".rstrip("0") + "Z" if fraction else f"{text}Z"


def day_of(ns: int) -> str:
    """Return the UTC day of an instant as YYYY-MM-DD."""
    return iso(ns - ns % DAY_NS)[:10]


def day_start_ns(day: str) -> int:
    """Return the first nanosecond of a UTC day given as YYYY-MM-DD."""
    return parse_ns(day, tz=UTC)
