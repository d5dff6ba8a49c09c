"""A price that no store can hold is left out and told once; everything else goes on."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fillbook.journal.store import Journal
from fillbook.marks.series import Mark, MarkStore, marks_path
from fillbook.monitor.journaling import JournalThread
from fillbook.sim.cast import SWING
from fillbook.sim.prices import Market
from monitor_runs import configure, running, trade_until, venue_of, waited

NOW_NS = 1_700_000_000_000_000_000
ABSURD = Decimal("1e19")


def mark(instrument: str, px: str, second: int) -> Mark:
    return Mark("v", instrument, NOW_NS + second * 10**9, Decimal(px))


def test_the_other_marks_of_an_answer_are_kept_and_it_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    book = tmp_path / "book.db"
    Journal.create(book).close()
    thread = JournalThread(book, marks_path(book), lambda: NOW_NS)

    async def write() -> None:
        for second in range(3):
            await thread.put_marks([mark("ODD", "1e30", second), mark("BTC", "1.5", second)])
        assert [found.code for found in thread.odd_marks.findings] == ["mark-left-out"]
        assert "1E+30" in thread.odd_marks.findings[0].message
        # A mark of another instrument says nothing of this one.
        await thread.put_marks([mark("BTC", "1.5", 3)])
        assert [found.instrument for found in thread.odd_marks.findings] == ["ODD"]
        await thread.put_marks([mark("ODD", "2.5", 4)])
        assert thread.odd_marks.findings == ()

    with caplog.at_level(logging.WARNING):
        thread.start()
        try:
            asyncio.run(write())
        finally:
            assert thread.stop()
    assert len([line for line in caplog.messages if "left out" in line]) == 1
    with MarkStore(marks_path(book), readonly=True) as store:
        assert store.series("v", "BTC").px.tolist() == [15, 15, 15, 15]
        assert store.series("v", "ODD").px.tolist() == [25]


def test_an_absurd_mark_of_a_venue_does_not_stop_the_account(tmp_path: Path) -> None:
    with venue_of(7) as venue:
        configure(tmp_path, venue)
        trade_until(venue, lambda: len(venue.world.positions(SWING)) >= 2)
        with running(tmp_path) as monitor:
            monitor.heard("✓ swing: attached")
            waited("all history", lambda: monitor.health()["accounts"][0]["last_poll_ns"])
            world: Any = venue.world
            sane, odd = world.mark, world.positions(SWING)[0].market

            def absurd(market: Market, at_ms: int | None = None) -> Decimal:
                return ABSURD if market is odd else sane(market, at_ms)

            world.mark = absurd
            found = waited("the finding", lambda: monitor.health()["findings"])
            assert [(one["code"], one["instrument"]) for one in found] == [
                ("mark-left-out", odd.symbol)
            ]
            account = monitor.health()["accounts"][0]
            assert account["state"] == "running"
            seen_ns = account["last_poll_ns"]
            waited(
                "polling goes on",
                lambda: monitor.health()["accounts"][0]["last_poll_ns"] > seen_ns + 10**9,
            )
            world.mark = sane
            waited("a sane price is taken", lambda: not monitor.health()["findings"])
            assert not monitor.says("✗ swing")
    log = (tmp_path / "logs" / "monitor.log").read_text()
    assert log.count("left out: a mark of") == 1
