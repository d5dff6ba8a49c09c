"""A month pulled into the running monitor, and an event loop that must not notice.

Facts go from a venue's socket over the committed journal into the Summary, beside bare SQLite
committing the same pages; the delay of the event loop meanwhile beside that of an idle one. The
venue runs in a process of its own, its rate limit lifted. Then the accounts trade on, and each
commit is followed from the answer's arrival to the Summary that counts it.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.journal import INDEX, TABLE
from bench.venue import Venue, venue_with
from bench.watched import monitoring

from fillbook.facts.codec import content_hash, encode
from fillbook.journal.values import Appended, Page
from fillbook.monitor.service import Monitor
from fillbook.sim.cast import SWING
from fillbook.sim.world import HARVESTER, MAKER

Line = tuple[str, str, str]
ACCOUNTS = (SWING, HARVESTER, MAKER)
DAYS, STEPS, STEP_S = 30, 30, 1200
PROBE_S, IDLE_S = 0.002, 2.0


class Seen:
    """What was written when: every page with its commit, in seconds of the monotonic clock."""

    def __init__(self, monitor: Monitor) -> None:
        self.pages: list[Page] = []
        self.commits: list[tuple[float, float, int]] = []
        self.seq = 0
        self._append = monitor.journal.append
        monitor.journal.append = self.append  # type: ignore[method-assign]

    async def append(self, page: Page) -> Appended:
        """Write a page and remember when it came, when it was on disk, and up to which seq."""
        came_s = time.monotonic()
        done = await self._append(page)
        self.pages.append(page)
        self.seq = done.head.seq
        if done.new:
            self.commits.append((came_s, time.monotonic(), done.head.seq))
        return done


def run() -> Iterator[Line]:
    """Yield rates, latencies and delays; about a minute."""
    with (
        tempfile.TemporaryDirectory(prefix="fillbook-bench-") as name,
        venue_with(DAYS, ACCOUNTS) as venue,
    ):
        yield from asyncio.run(_measured(Path(name), venue))


async def _measured(folder: Path, venue: Venue) -> list[Line]:
    idle = await _delays_while(asyncio.sleep(IDLE_S))
    async with monitoring(folder, venue, ACCOUNTS) as monitor:
        seen = Seen(monitor)
        begun_s = time.monotonic()
        pulling = await _delays_while(_summed_up(monitor, seen))
        took_s = time.monotonic() - begun_s
        pages, facts = list(seen.pages), seen.seq
        seen.commits.clear()
        told: list[tuple[float, int]] = []
        trading = await _delays_while(_trade_on(monitor, seen, venue, told))
    rows = sum(len(page.claims) for page in pages)
    rate, bare = facts / took_s, rows / await asyncio.to_thread(_bare_s, folder, pages)
    commits = [done_s - came_s for came_s, done_s, _ in seen.commits]
    summed = [_when(told, seq) - came_s for came_s, _, seq in seen.commits]
    return [
        ("socket to Summary", f"{rate:,.0f} facts/s", f"{facts:,} facts in {took_s:.1f} s"),
        ("bare sqlite, same pages", f"{bare:,.0f} rows/s", f"ours is 1/{bare / rate:.1f} of it"),
        ("answer to commit", _spread(commits), f"{len(commits)} commits"),
        ("answer to Summary", _spread(summed), "the book is looked at once a second"),
        ("delay of an idle loop", _spread(idle), ""),
        ("pulling a month", _spread(pulling), _beside(pulling, idle)),
        ("trading on", _spread(trading), _beside(trading, idle)),
    ]


async def _summed_up(monitor: Monitor, seen: Seen) -> None:
    """Wait until everything of the past is in the book and in the Summary."""
    while True:
        await asyncio.sleep(0.02)
        accounts, summary = monitor.health().accounts, monitor.watch.summary
        states = {stream.state for account in accounts for stream in account.streams}
        if states == {"running"} and summary is not None and summary.seq >= seen.seq > 0:
            return


async def _trade_on(
    monitor: Monitor, seen: Seen, venue: Venue, told: list[tuple[float, int]]
) -> None:
    """Let the accounts trade, step by step; note when the Summary came to which seq."""

    async def note() -> None:
        while True:
            summary = monitor.watch.summary
            if summary is not None and (not told or told[-1][1] < summary.seq):
                told.append((time.monotonic(), summary.seq))
            await asyncio.sleep(0.002)

    noting = asyncio.create_task(note())
    for _ in range(STEPS):
        await asyncio.to_thread(venue.step, STEP_S)
        await asyncio.sleep(0.7)
    await _summed_up(monitor, seen)
    await asyncio.sleep(0.01)
    noting.cancel()


def _when(told: list[tuple[float, int]], seq: int) -> float:
    return next(at_s for at_s, reached in told if reached >= seq)


async def _delays_while(work: Coroutine[Any, Any, None]) -> list[float]:
    """Return by how much the loop was late, again and again, while some work goes on in it."""
    delays = []
    task = asyncio.ensure_future(work)
    while not task.done():
        due_s = time.monotonic() + PROBE_S
        await asyncio.sleep(PROBE_S)
        delays.append(time.monotonic() - due_s)
    await task
    return delays


def _bare_s(folder: Path, pages: Sequence[Page]) -> float:
    """Commit the same pages to bare SQLite, rows made beforehand; return the seconds."""
    made = [
        [
            (
                *(type(claim.fact).__name__, claim.fact.venue, claim.fact.account, claim.key),
                *(content_hash(payload := encode(claim.fact)), claim.fact.ts_ns, 0),
                *(page.batch_id, claim.row, number, 1, payload.decode(), claim.raw),
            )
            for claim in page.claims
        ]
        for number, page in enumerate(pages)
    ]
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", TABLE, INDEX):
        connection.execute(statement)
    marks = ", ".join("?" * 13)
    begun_s = time.monotonic()
    for rows in made:
        connection.execute("BEGIN IMMEDIATE")
        # What is pulled twice is no new row, neither here nor there.
        connection.executemany(f"INSERT OR IGNORE INTO claim VALUES (NULL, {marks})", rows)
        connection.execute("COMMIT")
    took_s = time.monotonic() - begun_s
    connection.close()
    return took_s


def _spread(seconds: Sequence[float]) -> str:
    """Write median, 99th percentile and most, in milliseconds."""
    row = sorted(seconds)
    told = [row[len(row) // 2], row[len(row) * 99 // 100], row[-1]]
    return " / ".join(f"{each * 1e3:.1f}" for each in told) + " ms (p50 / p99 / most)"


def _beside(busy: Sequence[float], idle: Sequence[float]) -> str:
    p99 = [sorted(each)[len(each) * 99 // 100] for each in (busy, idle)]
    return f"p99 {p99[0] / p99[1]:.0f}x of idle"
