"""Watches a platform's positions from inside a bot: detected, followed, closed, told.

    monitor = TradeMonitor(platform=platform)
    monitor.start()
    ...
    monitor.stop()

One thread makes one `get_portfolio_breakdown()` call per poll, however many positions are open.
What it sees goes into a private book in `folder`; every figure is read from that book's ledger.
Stopping or killing the monitor closes nothing: the next start continues the same trades.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from fillbook.analysis.answers import TradeRow
from fillbook.desks.announced import Announced
from fillbook.desks.limits import Limit, PortfolioLimits
from fillbook.desks.platform import Platform, ask_positions, require_platform
from fillbook.desks.portfolio_memory import Memory
from fillbook.desks.position_book import Look, PositionBook
from fillbook.desks.trade_ends import TradeEnds
from fillbook.desks.trade_metrics import STORAGE, TradeMetricsCollector
from fillbook.desks.trade_outcomes import OutcomeLines, write_open_state
from fillbook.ground.clock import iso
from fillbook.ground.clock import now_ns as wall_ns
from fillbook.monitor.tracker import name_of
from fillbook.publish.closed import Record
from fillbook.publish.webhook import Webhook
from fillbook.sources.observed import ExitPrice, Observer
from fillbook.sources.observed_rows import read_position
from fillbook.sources.source import RowError

log = logging.getLogger("fillbook.desks")

_JOIN_S = 10.0


class TradeMonitor:
    """Detects and follows every position of one platform account.

    `detection_interval` and `poll_interval` are seconds; the shorter one is how often the
    platform is asked. `MAX_CONCURRENT_TRADES` (None: no cap) bounds how many trades count as
    tracked; further ones wait in `pending_trades`, and are journaled all the same.
    `limit_reached` says which of the portfolio's `limits` its result has reached; watching goes
    on, because a position nobody watches is no safer. A `webhook` URL gets an event for each
    finished trade.
    `account` names the account in the book, `multipliers` the contract sizes by product.

    >>> from tempfile import TemporaryDirectory
    >>> class Platform:
    ...     held = [{"product_id": "BTC", "size": 1, "entry_price": 100, "current_price": 104}]
    ...     def get_portfolio_breakdown(self):
    ...         return {"futures_positions": self.held}
    >>> with TemporaryDirectory() as folder:
    ...     monitor = TradeMonitor(Platform(), folder=folder)
    ...     seen, Platform.held = monitor.poll(), []
    ...     seen and monitor.poll() and str(monitor.get_aggregate_statistics()["total_pnl"])
    '4'
    """

    MAX_CONCURRENT_TRADES: int | None = None

    def __init__(
        self,
        platform: Platform,
        detection_interval: float = 30,
        poll_interval: float = 30,
        portfolio_memory: Memory | None = None,
        *,
        folder: str | Path = STORAGE,
        metrics_collector: TradeMetricsCollector | None = None,
        max_concurrent_trades: int | None = None,
        venue: str = "platform",
        account: str = "default",
        currency: str = "USD",
        multipliers: Mapping[str, Decimal] | None = None,
        exit_price: ExitPrice | None = None,
        limits: PortfolioLimits | None = None,
        webhook: str | None = None,
        clock: Callable[[], int] = wall_ns,
    ) -> None:
        require_platform(platform)
        self.platform = platform
        self.detection_interval = detection_interval
        self.poll_interval = poll_interval
        self.portfolio_memory = portfolio_memory
        self.folder = Path(folder)
        self.metrics_collector = metrics_collector or TradeMetricsCollector(self.folder, clock)
        self.active_trades: dict[str, TradeRow] = {}
        self.pending_trades: dict[str, TradeRow] = {}
        self.open_sizes: dict[str, Decimal] = {}
        self.limit_reached: Limit | None = None
        self._limits = limits
        self._cap = max_concurrent_trades or self.MAX_CONCURRENT_TRADES
        self._clock = clock
        self._announced = Announced()
        self._webhook = None if webhook is None else Webhook(webhook, self.folder / "webhook")
        sizes = dict(multipliers or {})
        observer = Observer(
            venue,
            account,
            currency=currency,
            multipliers=sizes,
            decision_for=self._announced.take,
            exit_price=exit_price,
        )
        self._book = PositionBook(self.folder, observer, clock)
        self._turn = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._ends = TradeEnds(
            OutcomeLines(self.folder),
            self.metrics_collector,
            portfolio_memory,
            self._webhook,
            sizes,
        )
        self.closed_trades_queue = self._ends.queue

    @property
    def is_running(self) -> bool:
        """Say whether the monitor's thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start watching in a thread and return at once; starting twice changes nothing."""
        if self.is_running:
            return
        if self._webhook is not None:
            self._webhook.start()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._ended,), name="trade monitor", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_s: float = _JOIN_S) -> bool:
        """Stop watching; returns whether the thread ended in time.

        Open trades stay open in the book. A platform that answers after the stop is not heard.
        Events a webhook did not take by then are sent by the next run.
        """
        until_s = time.monotonic() + timeout_s
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self.is_running:
            log.warning("the platform still holds the monitor's thread; its answer will be ignored")
        if self._webhook is not None:
            self._webhook.close(max(0.0, until_s - time.monotonic()))
        return not self.is_running

    def poll(self) -> bool:
        """Ask the platform once, now; False when it did not answer, which closes nothing."""
        return self._poll(threading.Event())

    def force_track_position(self, position: Mapping[str, Any]) -> bool:
        """Track a position before the next poll sees it.

        False when it is known already, cannot be read, or the cap leaves no slot.
        """
        try:
            read = read_position(position)
        except RowError as fault:
            log.warning("the position cannot be tracked: %s", fault)
            return False
        if read is None or (self._cap is not None and len(self.active_trades) >= self._cap):
            return False
        return self._taken(lambda: self._book.add(read))

    def associate_decision(self, decision_id: object, asset: str) -> bool:
        """Expect a position of `asset` within 300 s; it will carry the decision's id."""
        return self._announced.add(decision_id, asset, self._clock())

    def get_closed_trades(self) -> list[Record]:
        """Return the trades that finished since the last call, each once."""
        drained = []
        while True:
            try:
                drained.append(self.closed_trades_queue.get_nowait())
            except queue.Empty:
                return drained

    def get_aggregate_statistics(self) -> dict[str, Any]:
        """Add up all finished trades, those of earlier runs included."""
        return self.metrics_collector.get_aggregate_statistics()

    def _run(self, ended: threading.Event) -> None:
        interval_s = min(self.detection_interval, self.poll_interval)
        while not ended.is_set():
            self._poll(ended)
            ended.wait(interval_s)

    def _poll(self, ended: threading.Event) -> bool:
        try:
            seen = ask_positions(self.platform)
        except Exception as fault:  # a platform may fail in any way; watching goes on
            log.warning("positions unknown, counted as still open: %s", fault)
            return False
        for bad in seen.unreadable:
            log.warning("a position cannot be read (%s): %s", bad.instrument, bad.reason)
        return self._taken(lambda: None if ended.is_set() else self._book.look(seen))

    def _taken(self, ask: Callable[[], Look | None]) -> bool:
        """Look, and tell what changed; False where there was nothing to look at, or it failed."""
        try:
            with self._turn:
                look = ask()
                if look is not None:
                    self._take(look)
        except Exception:  # the bot must not suffer; the next poll starts again from the book
            log.exception("what the platform showed could not be written down")
            return False
        return look is not None

    def _take(self, look: Look) -> None:
        """Tell what changed, in the order things happen."""
        self._ends.tell(look)
        rows = {row.trade_id: row for row in look.opened}
        known = self.active_trades.keys() | self.pending_trades.keys()
        active = {name: rows[name] for name in self.active_trades if name in rows}
        waiting = [name for name in self.pending_trades if name in rows]
        for name in rows.keys() - known:
            log.info("🔔 New trade detected: %s", name_of(rows[name]))
        waiting += sorted(rows.keys() - known, key=lambda name: rows[name].entry_time)
        while waiting and (self._cap is None or len(active) < self._cap):
            name = waiting.pop(0)
            active[name] = rows[name]
            log.info("✅ Started tracking trade: %s", name_of(rows[name]))
        self.active_trades = active
        self.pending_trades = {name: rows[name] for name in waiting}
        self.open_sizes = {name: Decimal(size) for name, size in look.sizes.items()}
        self._check_limits(look)
        write_open_state(self.folder, look.opened, look.sizes, iso(self._clock()))

    def _check_limits(self, look: Look) -> None:
        if self._limits is None or look.unrealized is None:
            return
        told = [row.realized_pnl for row in look.opened if row.realized_pnl is not None]
        made: Decimal = self.get_aggregate_statistics()["total_pnl"]
        made += sum(map(Decimal, told), look.unrealized)
        known, self.limit_reached = self.limit_reached, self._limits.reached(made)
        if self.limit_reached is not None and self.limit_reached != known:
            log.warning("the portfolio stands at %s: its %s is reached", made, self.limit_reached)
