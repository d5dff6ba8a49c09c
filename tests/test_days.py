"""Days of a zone: every instant in exactly one, UTC days of 24 hours, changed clocks included."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, day_of, day_start_ns, parse_ns, zone
from fillbook.ground.days import Days

# Clocks changed at midnight (Sao Paulo), across the date line (Apia), by half an hour (Lord Howe).
ZONES = ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Australia/Lord_Howe"]
FIRST_NS = parse_ns("2009-01-01T00:00:00Z")
LAST_NS = parse_ns("2026-12-31T00:00:00Z")
INSTANTS = st.integers(FIRST_NS, LAST_NS)


@given(INSTANTS, st.sampled_from([*ZONES, "+05:30", "-11:00"]))
def test_every_instant_is_in_its_day(ns: int, name: str) -> None:
    days = Days(zone(name))
    start_ns, end_ns = days.bounds(days.of(ns))
    assert start_ns <= ns < end_ns
    assert days.of(start_ns) == days.of(end_ns - 1) == days.of(ns)


@given(INSTANTS, st.integers(1, 40 * DAY_NS), st.sampled_from(ZONES))
def test_days_between_two_instants_leave_nothing_out(ns: int, length: int, name: str) -> None:
    days = list(Days(zone(name)).between(ns, ns + length))
    assert days[0][1] <= ns and ns + length <= days[-1][2]
    assert all(earlier[2] == later[1] for earlier, later in pairwise(days))


@given(INSTANTS)
def test_a_day_of_utc_is_the_plain_one(ns: int) -> None:
    days = Days()
    assert days.of(ns) == day_of(ns)
    assert days.bounds(day_of(ns)) == (day_start_ns(day_of(ns)), day_start_ns(day_of(ns)) + DAY_NS)


@pytest.mark.parametrize(
    ("name", "day", "start", "hours"),
    [
        ("Europe/Berlin", "2026-07-01", "2026-06-30T22:00:00Z", 24),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00Z", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00Z", 25),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z", 23),
        ("+05:30", "2026-01-01", "2025-12-31T18:30:00Z", 24),
    ],
)
def test_a_day_begins_where_its_zone_says(name: str, day: str, start: str, hours: int) -> None:
    assert Days(zone(name)).bounds(day) == (parse_ns(start), parse_ns(start) + hours * HOUR_NS)


def test_a_day_that_a_zone_left_out_is_empty_and_not_told() -> None:
    days = Days(zone("Pacific/Apia"))
    start_ns, end_ns = days.bounds("2011-12-30")
    assert start_ns == end_ns
    told = [day for day, _, _ in days.between(start_ns - DAY_NS, start_ns + DAY_NS)]
    assert told == ["2011-12-29", "2011-12-31"]


@pytest.mark.parametrize(
    "text", ["2026-02-30", "20260201", "today", "2026-1-1", "9999-12-31", "0001-01-01x"]
)
def test_what_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Days().bounds(text)


def test_the_last_minute_of_a_local_day_is_not_the_next_one() -> None:
    late = parse_ns("2026-06-30T21:59:00Z")
    days = Days(zone("Europe/Berlin"))
    assert (days.of(late), days.of(late + MINUTE_NS)) == ("2026-06-30", "2026-07-01")
    assert datetime.fromtimestamp(late // 10**9, UTC).day == 30
