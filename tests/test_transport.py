"""The transport on real sockets: what it may send, how it waits, what it makes of faults."""

from __future__ import annotations

import asyncio

from fillbook.ground.clock import SECOND_NS
from fillbook.sources import faults
from fillbook.sources.pace import Pace, SystemPace
from fillbook.sources.stream import Ask


def test_the_system_pace_rests_as_long_as_it_was_asked_to() -> None:
    pace: Pace = SystemPace()
    before = pace.ticks_ns()
    asyncio.run(pace.rest(SECOND_NS // 50))
    assert pace.ticks_ns() - before >= SECOND_NS // 50


def test_only_faults_that_waiting_can_help_are_retriable() -> None:
    kinds = [kind for kind in vars(faults).values() if isinstance(kind, type)]
    retriable = {k.__name__ for k in kinds if getattr(k, "retriable", False)}
    assert retriable == {
        "UnreachableError",
        "BrokenAnswerError",
        "VenueFailedError",
        "RateLimitedError",
        "ClockSkewError",
    }


def test_an_ask_says_nothing_that_was_not_said() -> None:
    ask = Ask(name="fills", path="/fills")
    assert (ask.method, ask.query, ask.body, ask.auth) == ("GET", (), "", "none")
