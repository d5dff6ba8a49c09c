"""The second half of the demo: the month's bots trade on, and the live monitor is attached.

A simulated venue on loopback speaks the venue's own wire formats over real HTTP and websocket
connections; with other URLs the same monitor attaches to the real one. Time runs faster than
ours, for the world and for the monitor alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import msgspec

from fillbook.facts.model import Span
from fillbook.ground.live_settings import AttachSettings, MonitorSettings
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sim.live import LiveWorld
from fillbook.sim.prices import DAY_MS
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sim.world import DAYS, HARVESTER, LABELS, MAKER, SEED, START_MS
from fillbook.sources.attach import Tools

# A simulated minute passes in a second.
SPEED = 60
_MS_NS = 1_000_000
# Nobody else uses the simulated venue, so the monitor may have all of its limit.
_WHOLE = Decimal(1)
_ACCOUNTS = (MAKER, HARVESTER)
_BATCHES = tuple(f"live:hyperliquid:{account}:" for account in _ACCOUNTS)


class LiveDemo(msgspec.Struct, frozen=True):
    """What the monitor needs to attach to the simulated venue, and the venue itself."""

    settings: Settings
    tools: Tools
    venue: HyperliquidServer


def is_of_demo(batch_id: str) -> bool:
    """Say whether a batch is what an earlier run of the demo pulled from its venue."""
    return batch_id.startswith(_BATCHES)


def left_off_ns(book: Path) -> int:
    """Return when the demo's world stood still: at the month's end, or where the last run ended.

    The same seed always trades on alike, so a later run goes on from there.
    """
    latest_ns = (START_MS + DAYS * DAY_MS) * _MS_NS
    with Journal.open(book, readonly=True) as journal:
        for claimed in journal.claims(kinds=("fill", "funding", "report", "span")):
            fact = claimed.fact
            at_ns = fact.said_ns if isinstance(fact, Span) else fact.ts_ns
            latest_ns = max(latest_ns, at_ns or 0)
    return latest_ns


@contextmanager
def trading_on(
    settings: Settings, book: Path, *, seed: int = SEED, speed: int = SPEED
) -> Iterator[LiveDemo]:
    """Let the month's Hyperliquid bots trade on behind a loopback venue, and attach to it.

    The world's first days are the month that was imported, so the monitor finds everything of it
    in the book already; an earlier run's hours pass before the venue opens.
    """
    begin_ns = left_off_ns(book)
    world = LiveWorld(seed, accounts=_ACCOUNTS)
    world.advance_to(begin_ns)
    clock = SimClock(begin_ns, speed=speed)
    with HyperliquidServer(world, clock) as venue:
        urls = {"api": venue.base_url, "ws": venue.ws_url}
        attached = tuple(
            AttachSettings(
                venue="hyperliquid", address=account, label=LABELS[account], share=_WHOLE, urls=urls
            )
            for account in _ACCOUNTS
        )
        monitor = MonitorSettings(port=settings.monitor.port)
        yield LiveDemo(
            msgspec.structs.replace(settings, attach=attached, monitor=monitor),
            Tools(SimPace(clock, seed)),
            venue,
        )
