"""Live performance telemetry: are we making money, and why?

    telemetry = PerformanceTelemetry(rest_client=client)
    telemetry.on_order_filled(event)
    await asyncio.gather(bot(), telemetry.telemetry_loop())

A bot hands in its events; every figure comes from one book (`logs/fillbook.db` unless told
otherwise), so a restart loses nothing and the same fact told twice counts once. Handing in an
event returns at once; a thread writes it down.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TypeVar

from fillbook.analysis.daily import DailyRecord
from fillbook.analysis.digest import Summary, digest
from fillbook.desks.telemetry.backtest import BacktestSummary, backtest_summary
from fillbook.desks.telemetry.book import DeskBook, OpenBook
from fillbook.desks.telemetry.client import PositionSource
from fillbook.desks.telemetry.costs import FIRST_FETCH_NS, IncomeRow, IncomeSource, to_ms
from fillbook.desks.telemetry.events import moment_ns
from fillbook.desks.telemetry.facts import DeskAccount
from fillbook.desks.telemetry.fetch import CostFetch
from fillbook.desks.telemetry.figures import Whose, day_of_book, passing_book, whole, window
from fillbook.desks.telemetry.intake import EventIntake
from fillbook.desks.telemetry.loop import Sleep, Step, TelemetryLoop
from fillbook.desks.telemetry.metrics import MetricsPage
from fillbook.desks.telemetry.positions import Difference
from fillbook.desks.telemetry.summaries import (
    CostSummary,
    DailySummary,
    ExecutionSummary,
    TradeSummary,
    decimal_of,
)
from fillbook.ground.clock import DAY_NS, day_of, now_ns, zone
from fillbook.ground.settings import Settings
from fillbook.monitor.schedule import DailySchedule
from fillbook.publish.daily import DailyFiles, write_all
from fillbook.sources.source import ReadOptions

__all__ = ["CostSummary", "DailySummary", "ExecutionSummary", "PerformanceTelemetry"]
__all__ += ["TradeSummary"]

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class PerformanceTelemetry:
    """One bot's telemetry over a book of its own.

    `rest_client` is the bot's own client; with `simulate` it is never touched and no socket is
    opened. `account` and `venue` name whose events these are, `currency` the settlement of the
    figures, `tz` the zone of times that name none. With a `port` (0: any) the loop serves its
    metrics on this machine. `clock` returns UTC nanoseconds.

    >>> from tempfile import TemporaryDirectory
    >>> about = {"trade_id": "t1", "symbol": "BTCUSDT", "side": "LONG", "quantity": 1}
    >>> with TemporaryDirectory() as logs, PerformanceTelemetry(log_dir=logs) as telemetry:
    ...     telemetry.on_position_opened({**about, "entry_price": 100, "fee": "0.5"})
    ...     telemetry.on_position_closed({**about, "exit_price": 110, "fee": "0.5"})
    ...     print(telemetry.trade_summary().net_pnl.normalize())
    9
    """

    def __init__(
        self,
        rest_client: object | None = None,
        *,
        simulate: bool = False,
        log_dir: str | Path = "logs",
        book: str | Path | None = None,
        account: str = "default",
        venue: str = "bot",
        currency: str = "USDT",
        tz: str = "UTC",
        port: int | None = None,
        clock: Callable[[], int] = now_ns,
        sleep: Sleep = asyncio.sleep,
        settings: Settings | None = None,
    ) -> None:
        self.log_dir = Path(log_dir)
        self.account = account
        self.venue = venue
        self.currency = currency
        self._whose = Whose(account, currency)
        self.latest: Summary | None = None
        self.session_start_ns = clock()
        self._clock = clock
        self._sleep = sleep
        self._tz = tz
        self._zone = zone(tz)
        self._settings = settings or Settings()
        asked = None if simulate else rest_client
        self._income = None if asked is None else IncomeSource(asked)
        self._positions = PositionSource(asked)
        # Income rows tell the fees of fills that name none; a simulation has none.
        fee = Decimal(0) if simulate or self._income is not None else None
        place = self.log_dir / "fillbook.db" if book is None else Path(book)
        self._book = DeskBook(place, self._settings, clock)
        self._port = port
        self.metrics = MetricsPage(place, self._settings, lambda: self.latest)
        self._schedule = DailySchedule(self.log_dir, _log.info)
        apart = self._income is not None
        named = DeskAccount(venue, account, currency, fee, fees_apart=apart)
        self._intake = EventIntake(self._book, named, clock, self._zone)

    # -- events ----------------------------------------------------------------------------

    def on_event(self, event: object, kind: str | None = None) -> None:
        """Hand in one event of any kind; `kind` beats what the event calls itself.

        An ORDER_TRADE_UPDATE of Binance's user stream is taken as it comes: its executions open
        and close positions, each once, whatever polling and the bot tell beside it.
        Returns at once and never raises because of the event: one that cannot be read is logged
        and stands in `refused`.
        """
        self._intake.take(event, kind)

    def on_order_placed(self, event: object) -> None:
        """Take in ORDER_PLACED: an entry order counts as placed, a reduce-only one does not."""
        self.on_event(event, "ORDER_PLACED")

    def on_order_filled(self, event: object) -> None:
        """Take in ORDER_FILLED: with expected and actual price it is a slippage sample too."""
        self.on_event(event, "ORDER_FILLED")

    def on_position_opened(self, event: object) -> None:
        """Take in POSITION_OPENED; the same trade opened twice is one."""
        self.on_event(event, "POSITION_OPENED")

    def on_position_closed(self, event: object) -> None:
        """Take in POSITION_CLOSED, whole or with a `quantity` in part."""
        self.on_event(event, "POSITION_CLOSED")

    @property
    def refused(self) -> list[str]:
        """Return what could not be read, in plain words: the last thousand of it."""
        return list(self._intake.refused)

    def check_positions(self, positions: Iterable[object]) -> list[Difference]:
        """Compare the venue's positions with the bot's own; returns what a person must look at.

        `positions` is everything the venue holds, in any spelling. A position opened, closed or
        changed by somebody else is logged once; nothing is corrected from it.
        """
        return self._intake.check(list(positions))

    # -- costs -----------------------------------------------------------------------------

    async def get_income_history(
        self,
        income_type: str | None = None,
        symbol: str | None = None,
        start: object = None,
        end: object = None,
    ) -> list[IncomeRow]:
        """Return the venue's income rows, filtered, from all pages, oldest first.

        Times are datetimes, ISO 8601 text or unix times; by default the last 7 days. Simulating,
        the answer is empty and nothing is asked.
        """
        if self._income is None:
            return []
        end_ns = self._clock() if end is None else moment_ns(end, self._zone)
        start_ns = end_ns - FIRST_FETCH_NS if start is None else moment_ns(start, self._zone)
        return await self._income.rows(income_type, symbol, to_ms(start_ns), to_ms(end_ns))

    async def fetch_costs_from_binance(self, start: object = None) -> CostSummary:
        """Read fees and funding since the last time into the book, and return all costs so far.

        The first time reaches back 7 days, or to `start`. Rows known already change nothing.
        """
        if self._income is not None:
            since_ns = None if start is None else moment_ns(start, self._zone)
            fetch = CostFetch(self._income, self.account, self._ask)
            for line in await fetch.run(since_ns, self._clock()):
                self._intake.note(line)
        record = await self._ask(lambda book: whole(book.view(), self._whose))
        told: CostSummary = CostSummary.of(record)
        return told

    # -- figures ---------------------------------------------------------------------------

    def cost_summary(self) -> CostSummary:
        """Return what trading cost over the whole book, in the desk's currency."""
        told: CostSummary = CostSummary.of(self._record())
        return told

    def execution_summary(self) -> ExecutionSummary:
        """Return entry orders placed and filled over the whole book."""
        told: ExecutionSummary = ExecutionSummary.of(self._record())
        return told

    def trade_summary(self, days: int | None = None) -> TradeSummary:
        """Return the closed trades of the whole book, or of the last `days` x 24 hours."""
        until_ns = self._clock() + 1

        def ask(book: OpenBook) -> DailyRecord:
            if days is None:
                return whole(book.view(), self._whose)
            return window(book.view(), self._whose, until_ns - 1 - days * DAY_NS, until_ns)

        told: TradeSummary = TradeSummary.of(self._book.run(ask))
        told.fees_apart = self._income is not None
        return told

    def compute_from_trades_csv(
        self,
        path: str | Path = "trades.csv",
        *,
        days: float | None = None,
        since: object = None,
        until: object = None,
    ) -> TradeSummary:
        """Return the trades of a trades.csv that were closed in a window, by exit time.

        Both column forms are read. The file is read into a passing book of its own, so it never
        counts beside the events. Rows that cannot be read are logged and stand in `refused`;
        InputError where the file as a whole cannot be read.
        """
        until_ns = self._clock() + 1 if until is None else moment_ns(until, self._zone)
        since_ns = 0 if since is None else moment_ns(since, self._zone)
        if days is not None:
            since_ns = until_ns - 1 - int(days * DAY_NS)
        files = {Path(path): "bot-trades"}
        with passing_book(files, self._options(), self._settings, self._clock) as (view, refused):
            record = window(view, self._whose, since_ns, until_ns)
        for line in refused:
            self._intake.note(line)
        told: TradeSummary = TradeSummary.of(record)
        return told

    def backtest_report(
        self,
        path: str | Path = "trades.csv",
        *,
        initial_equity: Decimal | int | str,
        orders: str | Path | None = None,
    ) -> BacktestSummary:
        """Sum up the trades.csv of a backtest; nothing of it stays in the book.

        `orders` is the orders.csv beside it: its first stop order of a trade tells the risk
        taken. Rows that cannot be read are logged and stand in `refused`.
        """
        files = {Path(path): "bot-trades"}
        if orders is not None:
            files[Path(orders)] = "bot-orders"
        with passing_book(files, self._options(), self._settings, self._clock) as (view, refused):
            for line in refused:
                self._intake.note(line)
            return backtest_summary(view, self._whose, decimal_of(initial_equity))

    def _options(self) -> ReadOptions:
        return ReadOptions(
            account=self.account, venue=self.venue, tz=self._tz, settle=self.currency
        )

    def update_metrics(self) -> Summary:
        """Fold what is new and return every figure there is, as the metrics tell them."""
        self.latest = self._book.run(self._digest)
        return self.latest

    # -- days ------------------------------------------------------------------------------

    def generate_daily_summary(self, day: str | None = None) -> DailySummary:
        """Return one UTC day in the desk's currency; by default the day that ended last."""
        told: DailySummary = DailySummary.of(self._day(day or self._ended())[0])
        told.fees_apart = self._income is not None
        return told

    def write_daily_snapshot(self, summary: DailySummary | None = None) -> DailyFiles:
        """Write daily_summary_YYYY-MM-DD.json and .csv of a day, and return where.

        A day written before is left alone, or revised where late facts changed it. With several
        currencies each has a folder of its own.
        """
        day = summary.date if summary is not None else self._ended()
        records = self._day(day)
        if summary is not None:
            records[0] = summary.record
        return write_all(records, self.log_dir)[0]

    def run_daily_summary(self, day: str | None = None) -> DailySummary:
        """Generate, write and log the summary of a day, by default of the day that ended."""
        summary = self.generate_daily_summary(day)
        if self.write_daily_snapshot(summary).changed:
            _log.info("%s", summary.to_log_line())
        return summary

    async def telemetry_loop(self) -> None:
        """Refresh every 5 minutes and write each day when it has ended; runs until cancelled.

        Days missed while the bot was down are caught up. Whatever fails is logged and tried again:
        the loop ends for nothing, and while the book cannot be read no figure is served. A client
        that can tell all its positions is asked for them, and they are checked.
        """
        steps: dict[str, Step] = {
            "costs not read": self.fetch_costs_from_binance,
            "positions not checked": self._check_positions,
            "no figures": self._refresh,
        }
        write = partial(asyncio.to_thread, self.run_daily_summary)
        async with self.metrics.served(self._port):
            await TelemetryLoop(steps, write, self._clock, self._sleep).run()

    async def _check_positions(self) -> None:
        rows = await self._positions.rows()
        if rows is not None:
            await asyncio.to_thread(self.check_positions, rows)

    async def _refresh(self) -> None:
        try:
            self.latest = await self._ask(self._tick)
        except BaseException:  # better no figure than an old one that looks like today's
            self.latest = None
            raise

    def close(self) -> None:
        """Write everything that waits and close the book."""
        self._book.close()

    def __enter__(self) -> PerformanceTelemetry:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tick(self, book: OpenBook) -> Summary:
        found = self._digest(book)
        self._schedule.run(book.view(), found.at_ns)
        return found

    def _digest(self, book: OpenBook) -> Summary:
        return digest(book.view(), self._clock(), self.session_start_ns)

    def _record(self) -> DailyRecord:
        return self._book.run(lambda book: whole(book.view(), self._whose))

    def _day(self, day: str) -> list[DailyRecord]:
        return self._book.run(lambda book: day_of_book(book.view(), self._whose, day))

    async def _ask(self, work: Callable[[OpenBook], Result]) -> Result:
        return await asyncio.wrap_future(self._book.submit(work))

    def _ended(self) -> str:
        return day_of(self._clock() - DAY_NS)
