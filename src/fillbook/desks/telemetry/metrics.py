"""A desk's metrics as Prometheus text, at `/` and `/metrics` of this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fillbook.analysis.digest import Summary
from fillbook.ground.settings import Settings
from fillbook.monitor.app import Doors, make_app
from fillbook.monitor.serving import Serving
from fillbook.publish.counters import counters_path
from fillbook.publish.prometheus import Exporter
from fillbook.sources.liveness import MonitorHealth

LOOPBACK = "127.0.0.1"
NO_FIGURES = "there are no figures: the book was not read yet, or cannot be"


class MetricsPage:
    """Writes the newest summary when asked; `latest` returns it, None before the first one."""

    def __init__(
        self, book: Path, settings: Settings, latest: Callable[[], Summary | None]
    ) -> None:
        self._exporter = Exporter(settings.metrics.prefix, counters_path(book))
        self._latest = latest
        self.url: str | None = None

    def exposition(self) -> tuple[bytes, str]:
        """Return the text and its content type."""
        summary = self._latest()
        assert summary is not None, "asked only when there is a summary"
        return self._exporter.exposition(summary, self._health())

    @asynccontextmanager
    async def served(self, port: int | None) -> AsyncIterator[None]:
        """Serve on a port of this machine while the block runs (0: any); None serves nothing."""
        if port is None:
            yield
            return
        serving = Serving(LOOPBACK, port)
        serving.start(make_app(Doors(self._health, lambda _: self.exposition())))
        self.url = serving.url
        try:
            yield
        finally:
            await serving.stop()
            self.url = None

    def _health(self) -> MonitorHealth:
        summary = self._latest()
        at_ns = 0 if summary is None else summary.at_ns
        return MonitorHealth(
            status="not ok" if summary is None else "ok",
            reasons=(NO_FIGURES,) if summary is None else (),
            at_ns=at_ns,
            started_ns=at_ns if summary is None else summary.session_start_ns,
            seq=None if summary is None else summary.seq,
            head=None if summary is None else summary.head,
            summary_ns=None if summary is None else at_ns,
            journal_waiting=0,
            tracked=0 if summary is None else len(summary.open_trades),
            pending=0,
            accounts=(),
        )
