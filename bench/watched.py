"""A monitor inside a benchmark, attached to a simulated Hyperliquid without a rate limit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from bench.venue import UNLIMITED

from fillbook.ground.live_settings import AttachSettings, MonitorSettings
from fillbook.ground.settings import Settings
from fillbook.monitor.pidfile import PidFile
from fillbook.monitor.service import Monitor
from fillbook.monitor.still import keep_still
from fillbook.sources.attach import Tools
from fillbook.sources.budget import Budget, Limit


class Where(Protocol):
    """The addresses of a venue."""

    api: str
    ws: str


class Unlimited(Tools):
    """Lifts the rate limit, as the venue does: otherwise the limit would be measured."""

    def budget(self, venue: str, limit: Limit, share: Decimal, scope: str = "") -> Budget:
        """Return a budget that never runs out."""
        return super().budget(venue, Limit(weight=UNLIMITED), share, scope)


@contextlib.asynccontextmanager
async def monitoring(
    folder: Path, venue: Where, accounts: Sequence[str], every: str = "1s"
) -> AsyncIterator[Monitor]:
    """Run a monitor of some accounts of a venue while inside."""
    urls = {"api": venue.api, "ws": venue.ws}
    attach = tuple(
        AttachSettings(venue="hyperliquid", address=each, share=Decimal(1), urls=urls)
        for each in accounts
    )
    settings = Settings(
        attach=attach,
        monitor=MonitorSettings(port=0, detection_interval=every, poll_interval=every),
    )
    book = folder / "book.db"
    monitor = Monitor(book, settings, folder, lambda line: None, Unlimited(environ={}))
    stop = asyncio.Event()
    with PidFile(folder / "pid", book) as pid_file:
        running = asyncio.create_task(monitor.run(stop, pid_file))
        still = asyncio.create_task(keep_still(lambda: rows_of(monitor)))
        try:
            yield monitor
        finally:
            still.cancel()
            stop.set()
            assert not (await running).fault


def rows_of(monitor: Monitor) -> int:
    """Return up to which row the newest Summary speaks."""
    return monitor.watch.summary.seq if monitor.watch.summary else 0
