"""A simulated Binance on which only what a test says happens, and the monitor in front of it.

Time is the test's: the venue and the monitor share a clock that stands still until it is stepped.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.digest import Summary
from fillbook.cli.opening import Place, find
from fillbook.ground.clock import MINUTE_NS, SECOND_NS, parse_ns
from fillbook.monitor.pidfile import Farewell, PidFile
from fillbook.monitor.service import Monitor
from fillbook.publish.counters import counters_path
from fillbook.publish.prometheus import Exporter
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sim.executions import Order, SimFunding
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import OrderKind, Side
from fillbook.sim.prices import Market
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Key
from fillbook.sim.world import BTCUSDC, TREND
from fillbook.sources.attach import Tools
from fillbook.sources.liveness import MonitorHealth
from monitor_runs import waited

KEY, SECRET = "staged-key-" + "k" * 30, "staged-secret-" + "s" * 30
BEGIN_NS = parse_ns("2026-01-05T10:00:30Z")
MS = 1_000_000
TOKEN = "a-token-long-enough"
NOTHING = Decimal(0)
SYMBOLS = ("BTCUSDC", "ETHUSDC", "SOLUSDC")


class Stage(LiveWorld):
    """A world without bots, funding hours and fees, at the marks that a test sets."""

    def __init__(self, clock: SimClock) -> None:
        self.marks: dict[str, Decimal] = {}
        self.fee = NOTHING
        super().__init__(7, start_ms=(BEGIN_NS - MINUTE_NS) // MS, accounts=[TREND])
        self._cast[TREND].bots.clear()
        self.clock = clock
        self.actor = self.desk(TREND)
        self.actor._fee = lambda order, ts_ms, px, qty: (self.fee, order.market.quote)
        self.actor.third = None

    def mark(self, market: Market, ts_ms: int | None = None) -> Decimal:
        """Return what the test says it is worth; 0: the venue knows no price."""
        return self.marks.get(market.symbol, NOTHING)

    def _hour(self, now_ms: int) -> None:
        """Let no hour bring anything of its own."""

    def trade(
        self,
        side: Side,
        qty: str,
        px: str,
        market: Market = BTCUSDC,
        *,
        kind: OrderKind = "market",
        reduce_only: bool = False,
        fee: str = "0",
        client_id: str | None = None,
        fills: bool = True,
    ) -> None:
        """Send an order that is filled at once and whole, or withdrawn unfilled."""
        with self.lock:
            ts_ms = self.clock.now_ns() // MS + 1
            self.fee = Decimal(fee)
            order = Order(
                market=market,
                side=side,
                qty=Decimal(qty),
                liquidity="taker" if fills else "maker",
                seen_ms=ts_ms,
                arrived_ms=ts_ms,
                strategy="-",
                logged=False,
                kind=kind if fills else "limit",
                px=None if fills else Decimal(px),
                trigger_px=Decimal(px) if kind in ("stop", "take_profit") else None,
                reduce_only=reduce_only,
                client_id=client_id,
            )
            pieces = [(ts_ms + 20, Decimal(px), Decimal(qty))] if fills else []
            ends = None if fills else (ts_ms + 20, "cancelled", "")
            order_id = self.actor.execute(order, pieces, ends)  # type: ignore[arg-type]
            if order.trigger_px is not None:
                self.actor.at(ts_ms + 10, partial(self.actor.trigger, order_id))
            self.advance_to(self.clock.step(50 * MS))

    def pay(self, amount: str, market: Market = BTCUSDC) -> None:
        """Pay (+) or take (-) funding now."""
        with self.lock:
            self.actor.pay(
                SimFunding(
                    market=market,
                    account=TREND,
                    ts_ms=self.clock.now_ns() // MS,
                    amount=Decimal(amount),
                    rate=Decimal("0.0001"),
                    position=self.actor.position(market),
                )
            )
            self.clock.step(MS)

    def lose(self, market: Market = BTCUSDC) -> None:
        """Let a position be gone, and nobody tells of a fill."""
        with self.lock:
            book = self.actor.holdings.book(market)
            book.position = book.cost = NOTHING


class Live:
    """The monitor running beside a stage, in a thread of this process."""

    def __init__(self, folder: Path, stage: Stage, venue: BinanceServer, place: Place) -> None:
        self.folder = folder
        self.stage = stage
        self.venue = venue
        self.lines: list[str] = []
        self.farewell: Farewell | None = None
        self._place = place
        self._exporter = Exporter("fillbook_", counters_path(place.book))
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run_all, daemon=True)

    def _run_all(self) -> None:
        try:
            asyncio.run(self._run())
        except BaseException as fault:  # whoever waits is told
            self._fault = fault

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        pace = SimPace(self.stage.clock)
        self.monitor = Monitor(
            self._place.book, self._place.settings, self.folder, self.lines.append, Tools(pace)
        )
        self._ready.set()
        with PidFile(self.folder / "fillbook.pid", self._place.book) as pid_file:
            self.farewell = await self.monitor.run(
                self._stop, pid_file, metrics=self._exposition, token=TOKEN
            )

    def _exposition(self, health: MonitorHealth) -> tuple[bytes, str]:
        assert self.monitor.watch.summary is not None
        return self._exporter.exposition(self.monitor.watch.summary, health)

    def start(self) -> None:
        """Start, and return when all history is here."""
        self._thread.start()
        self._ready.wait(60)
        self.until("attached", lambda: self.says("✓ stage: attached"))
        self.until("history", lambda: self.monitor._is_caught_up())

    def stop(self) -> None:
        """End it as `monitor stop` does."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)
        assert self.farewell is not None and not self.farewell.fault, self.farewell

    def says(self, start: str) -> list[str]:
        """Return the lines so far that begin like this."""
        return [line for line in list(self.lines) if line.strip().startswith(start)]

    def until(self, what: str, found: Callable[[], Any]) -> Any:
        """Wait for something, letting the venue tell its streams meanwhile."""

        def found_or_failed() -> Any:
            if self._fault is not None:
                raise self._fault
            return found()

        return waited(f"{what} in {self.lines}", found_or_failed)

    def polls(self) -> int:
        """Return how often the positions were asked for."""
        return sum(seen.name == "GET positionRisk" for seen in list(self.venue.seen))

    def look(self, times: int = 1) -> None:
        """Let time pass until the monitor has looked at the positions so often again."""
        wanted = self.polls() + times

        def looked() -> bool:
            self.stage.clock.step(5 * SECOND_NS)
            self.venue.settle()
            return self.polls() >= wanted

        self.until("a look at the positions", looked)

    def told(self, wanted: Callable[[Summary], bool]) -> Summary:
        """Wait for a Summary that is as wanted, time passing slowly, and return it."""

        def found() -> Summary | None:
            self.stage.clock.step(SECOND_NS)
            self.venue.settle()
            summary = self.monitor.watch.summary
            return summary if summary is not None and wanted(summary) else None

        summary: Summary = self.until("a summary", found)
        return summary

    def trades(self) -> list[TradeRow]:
        """Return the trades of the newest Summary, those that closed first."""
        summary = self.monitor.watch.summary
        return [] if summary is None else [*summary.recent_trades, *summary.open_trades]

    def ended(self, count: int) -> list[TradeRow]:
        """Wait for so many closed trades."""
        return list(self.told(lambda summary: len(summary.recent_trades) >= count).recent_trades)

    def metrics(self) -> str:
        """Scrape the running monitor."""
        (line,) = self.says("Health and metrics:")
        with urlopen(line.split()[4], timeout=10) as answer:
            return str(answer.read().decode())


def configure(folder: Path, venue: BinanceServer, **monitor: str) -> None:
    """Write a fillbook.toml that attaches the stage."""
    path = folder / "stage.key"
    path.write_text(f"key = {KEY}\nsecret = {SECRET}\n")
    path.chmod(0o600)
    urls = {"fapi": venue.base_url, "sapi": venue.base_url, "ws": venue.ws_url}
    told = ", ".join(f'{role} = "{url}"' for role, url in urls.items())
    lines = ["[monitor]", "port = 0", *(f"{name} = {value}" for name, value in monitor.items())]
    lines += ["[[attach]]", 'venue = "binance"', f'key_file = "{path}"', 'label = "stage"']
    (folder / "fillbook.toml").write_text(
        "\n".join([*lines, f"symbols = {list(SYMBOLS)}", "share = 1.0", f"urls = {{ {told} }}"])
    )


@contextmanager
def venue_on_stage(speed: int = 0) -> Iterator[tuple[Stage, BinanceServer]]:
    """Serve a stage while inside, where time stands still or runs at a multiple of ours."""
    clock = SimClock(BEGIN_NS, speed=speed)
    stage = Stage(clock)
    keys = [Key(name=KEY, secret=SECRET, account=TREND)]
    with BinanceServer(stage, clock, keys=keys) as venue:
        yield stage, venue
    assert not venue.violations and not venue.crashes


@contextmanager
def watched(folder: Path, **monitor: str) -> Iterator[Live]:
    """Run a stage and a monitor that has attached to it."""
    with venue_on_stage() as (stage, venue):
        configure(folder, venue, **monitor)
        live = Live(folder, stage, venue, find(folder / "fillbook.db"))
        live.start()
        try:
            yield live
        finally:
            live.stop()
