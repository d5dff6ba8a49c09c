"""The second half of the demo: the month's bots trade on, and the live monitor is attached.

A simulated venue on loopback speaks the venue's own wire formats over real HTTP and websocket
connections; with other URLs the same monitor attaches to the real one. Time runs faster than
ours, for the world and for the monitor alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import msgspec

from fillbook.ground.live_settings import AttachSettings, MonitorSettings
from fillbook.ground.settings import Settings
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


class LiveDemo(msgspec.Struct, frozen=True):
    """What the monitor needs to attach to the simulated venue, and the venue itself."""

    settings: Settings
    tools: Tools
    venue: HyperliquidServer


@contextmanager
def trading_on(settings: Settings, *, seed: int = SEED, speed: int = SPEED) -> Iterator[LiveDemo]:
    """Let the month's Hyperliquid bots trade on behind a loopback venue, and attach to it.

    The world's first days are the month that was imported, so the monitor finds everything of it
    in the book already.
    """
    end_ns = (START_MS + DAYS * DAY_MS) * _MS_NS
    world = LiveWorld(seed, accounts=[MAKER, HARVESTER])
    world.advance_to(end_ns)
    clock = SimClock(end_ns, speed=speed)
    with HyperliquidServer(world, clock) as venue:
        urls = {"api": venue.base_url, "ws": venue.ws_url}
        attached = tuple(
            AttachSettings(
                venue="hyperliquid", address=account, label=LABELS[account], share=_WHOLE, urls=urls
            )
            for account in (MAKER, HARVESTER)
        )
        monitor = MonitorSettings(port=settings.monitor.port)
        yield LiveDemo(
            msgspec.structs.replace(settings, attach=attached, monitor=monitor),
            Tools(SimPace(clock, seed)),
            venue,
        )
