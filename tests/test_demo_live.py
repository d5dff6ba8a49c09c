"""The demo lives on: what happens on the simulated venue reaches the answer, and counts once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fillbook.analysis import summary
from fillbook.analysis.summary import Query
from fillbook.ground.settings import Settings, load_settings
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore, marks_path
from fillbook.monitor.pidfile import Farewell, PidFile
from fillbook.monitor.service import Monitor
from fillbook.sim.demo import run_demo
from fillbook.sim.demo_live import LiveDemo, left_off_ns, trading_on
from fillbook.sim.world import HARVESTER, MAKER

WITHIN_S = 240.0


def n_fills(book: Path, settings: Settings) -> dict[str, int]:
    with (
        Journal.open(book, readonly=True) as journal,
        MarkStore(marks_path(book), readonly=True) as marks,
    ):
        view = summary.load(journal, marks, settings)
        return {
            account: summary.why(view, Query(accounts=(account,))).n_fills
            for account in (MAKER, HARVESTER)
        }


async def run_until(monitor: Monitor, pid_file: PidFile, done: asyncio.Event) -> Farewell:
    try:
        return await asyncio.wait_for(monitor.run(done, pid_file), WITHIN_S)
    finally:
        done.set()


async def watched(live: LiveDemo, book: Path, wanted: int, lines: list[str]) -> Farewell:
    done = asyncio.Event()
    monitor = Monitor(book, live.settings, book.parent, lines.append, live.tools)

    async def look() -> None:
        while not done.is_set():
            new = sum(
                s.new for a in monitor.health().accounts for s in a.streams if s.stream == "fills"
            )
            if new >= wanted:
                done.set()
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(look())
    try:
        with PidFile(book.parent / "fillbook.pid", book) as pid_file:
            return await run_until(monitor, pid_file, done)
    finally:
        looking.cancel()


def test_the_month_counts_once_and_new_fills_arrive(tmp_path: Path) -> None:
    book = run_demo(tmp_path / "demo", say=lambda line: None)
    settings = load_settings(book.parent / "fillbook.toml", {})
    before = n_fills(book, settings)
    lines: list[str] = []
    with trading_on(settings, book, speed=600) as live:
        farewell = asyncio.run(watched(live, book, 3, lines))
        assert not live.venue.violations
        with live.venue.world.lock:
            happened = {
                account: len(live.venue.world.fills(account)) for account in (MAKER, HARVESTER)
            }
    assert farewell.is_written and not farewell.fault
    after = n_fills(book, settings)
    for account in (MAKER, HARVESTER):
        # The venue may have traded on after the last pull; nothing is counted twice.
        assert before[account] <= after[account] <= happened[account]
    assert sum(after.values()) >= sum(before.values()) + 3
    assert sum(line.endswith("read-only") for line in lines) == 2
    _go_on_again(book, settings, sum(after.values()))


def _go_on_again(book: Path, settings: Settings, had: int) -> None:
    """Run once more, the demo finds its own book and the world where they stood."""
    lines: list[str] = []
    assert run_demo(book.parent, say=lines.append) == book
    assert "all there already" in lines[-1]
    stood_ns = left_off_ns(book)
    with trading_on(settings, book, speed=600) as live:
        assert live.venue.world.now_ms >= stood_ns // 1_000_000
        farewell = asyncio.run(watched(live, book, 3, lines))
    assert farewell.is_written and not farewell.fault
    assert sum(n_fills(book, settings).values()) >= had + 3
    with (
        Journal.open(book, readonly=True) as journal,
        MarkStore(marks_path(book), readonly=True) as marks,
    ):
        assert summary.findings(summary.load(journal, marks, settings), Query()) == []
