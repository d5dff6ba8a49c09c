"""A key under a running monitor: an exception is said for ever, a right gained stops all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from fillbook.analysis.summary import findings, load
from fillbook.analysis.view import Query
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS
from fillbook.ground.live_settings import AttachSettings, MonitorSettings
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.monitor.pidfile import PidFile
from fillbook.monitor.service import Monitor
from fillbook.publish.prometheus import exposition
from fillbook.sim.cast import HEDGE
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Key
from fillbook.sim.world import START_MS
from fillbook.sources.attach import Tools

READ = frozenset({"read"})
FUTURES = READ | {"futures"}
TRADE = READ | {"trade"}


@dataclass
class Desk:
    """A simulated Binance, a key, and a book beside them."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        world = LiveWorld(5, accounts=[HEDGE])
        world.advance_to(START_MS * 10**6 + 2 * HOUR_NS)
        self.venue = BinanceServer(world, SimClock(world.now_ns))
        self.hold("first-key", READ)

    @property
    def book(self) -> Path:
        return self.folder / "book.db"

    def hold(self, name: str, rights: frozenset[str]) -> None:
        """Give this machine a key and its rights, in place of the one before."""
        key, secret = f"{name}-{'k' * 20}", f"secret-of-{name}-{'s' * 20}"
        path = self.folder / "key"
        path.write_text(f"key = {key}\nsecret = {secret}\n")
        path.chmod(0o600)
        self.venue.keys = {key: Key(name=key, secret=secret, account=HEDGE, rights=rights)}

    def widen(self, rights: frozenset[str]) -> None:
        """Let the venue give the key other rights, while it is in use."""
        ((name, key),) = self.venue.keys.items()
        told = {"name": key.name, "secret": key.secret, "account": key.account}
        self.venue.keys = {name: Key(**told, rights=rights)}

    def run(self, body: Callable[[Monitor], Awaitable[None]], *, loud: bool = False) -> None:
        """Run a monitor around a test body."""
        urls = dict.fromkeys(("fapi", "sapi"), self.venue.base_url) | {"ws": self.venue.ws_url}
        attach = AttachSettings(
            venue="binance",
            key_file=str(self.folder / "key"),
            label="hedge",
            share=Decimal(1),
            urls=urls,
            accept_trading_key=loud,
        )
        settings = Settings(attach=(attach,), monitor=MonitorSettings(port=0))

        async def whole() -> None:
            tools = Tools(SimPace(self.venue.clock))
            monitor = Monitor(self.book, settings, self.folder, self.lines.append, tools)
            stop = asyncio.Event()
            with PidFile(self.folder / "pid", self.book) as pid_file:
                running = asyncio.create_task(monitor.run(stop, pid_file))
                try:
                    await body(monitor)
                finally:
                    stop.set()
                    await running

        asyncio.run(whole())

    async def until(self, done: Callable[[], object], step_ns: int = 200_000_000) -> None:
        """Let a little simulated time pass again and again until something is true."""
        for _ in range(1200):
            if done():
                return
            self.venue.clock.step(step_ns)
            await asyncio.sleep(0.05)
        raise AssertionError(f"waited in vain; {self.lines}")

    def said(self, *words: str) -> list[str]:
        return [line for line in self.lines if all(word in line for word in words)]


def state_of(monitor: Monitor) -> str:
    return monitor.health().accounts[0].state


def test_an_accepted_trading_key_is_said_aloud_and_for_ever(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.hold("trading-key", FUTURES)

    async def loud(monitor: Monitor) -> None:
        await desk.until(lambda: state_of(monitor) == "running" and monitor.watch.summary)
        await desk.until(lambda: len(monitor.watch.summary.findings))
        assert desk.said("hedge", "THIS KEY CAN TRADE", "enableFutures", "accept_trading_key")
        health = monitor.health()
        assert [found.code for found in health.findings] == ["key-can-trade"]
        (told,) = metric(monitor, "key_can_trade")
        assert told.endswith(" 1.0")

    async def quiet(monitor: Monitor) -> None:
        await desk.until(lambda: state_of(monitor) == "running" and monitor.watch.summary)
        # The key in use is harmless; what was is still said, at the start and in the metrics.
        assert not desk.said("THIS KEY CAN TRADE")
        assert desk.said("was attached on", "a key that can trade", "…kkkk may enableFutures")
        assert monitor.health().findings == ()
        assert [told[-4:] for told in metric(monitor, "key_can_trade")] == [" 1.0"]

    with desk.venue:
        desk.run(loud, loud=True)
        desk.lines.clear()
        desk.hold("reading-key", READ)
        desk.run(quiet)
    assert desk.venue.violations == []
    with Journal.open(desk.book, readonly=True) as journal:
        view = load(journal, None, Settings())
        assert [f.code for f in findings(view, Query()) if "key" in f.code] == ["key-can-trade"]


def metric(monitor: Monitor, name: str) -> list[str]:
    assert monitor.watch.summary is not None
    text = exposition(monitor.watch.summary, monitor.health()).decode()
    return [line for line in text.splitlines() if line.startswith(f"fillbook_{name}{{")]


def test_a_key_that_gains_a_right_stops_everything_within_a_day(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    async def body(monitor: Monitor) -> None:
        await desk.until(lambda: state_of(monitor) == "running" and monitor.watch.summary)
        begun_ns = desk.venue.clock.now_ns()
        desk.widen(TRADE)
        asked = desk.venue.counted()["GET apiRestrictions"]
        # A day passes, and the few minutes between two looks; then the clock hardly moves.
        end_ns = begun_ns + DAY_NS + 10 * MINUTE_NS
        await desk.until(lambda: desk.venue.clock.now_ns() > end_ns, 20 * MINUTE_NS)
        await desk.until(lambda: state_of(monitor) == "refused")
        assert desk.venue.counted()["GET apiRestrictions"] == asked + 1
        assert desk.said("✗ hedge", "may enableFutures", "API Management")
        health = monitor.health()
        assert health.status == "not ok"
        (found,) = health.findings
        assert (found.code, found.severity) == ("key-refused", "error")
        assert "API Management" in found.next_step
        assert [told[-4:] for told in metric(monitor, "key_refused")] == [" 1.0"]
        # Nothing more is asked with this key, whatever becomes due.
        count = len(desk.venue.seen)
        for _ in range(30):
            desk.venue.clock.step(HOUR_NS)
            await asyncio.sleep(0.02)
        assert len(desk.venue.seen) == count

    with desk.venue:
        desk.run(body)
    assert desk.venue.violations == []
    assert not [line for line in desk.lines if "s" * 20 in line or "k" * 20 in line]


def test_a_venue_that_refuses_a_key_for_a_while_is_asked_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)

    async def body(monitor: Monitor) -> None:
        await desk.until(lambda: state_of(monitor) == "running" and monitor.watch.summary)
        kept, desk.venue.keys = desk.venue.keys, {}
        await desk.until(lambda: state_of(monitor) == "waiting", MINUTE_NS)
        assert any("refuses the key" in reason for reason in monitor.health().reasons)
        desk.venue.keys = kept
        await desk.until(lambda: monitor.health().status == "ok", MINUTE_NS)

    with desk.venue:
        desk.run(body)
