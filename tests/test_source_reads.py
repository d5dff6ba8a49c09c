"""Every source module of every venue, driven against a server that takes down what it is asked.

Whatever an attached account does in its life is done here; each request that arrived is held
against the list of reads, and what the venue itself does not list fails as well.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import fillbook.sources
from coinbase_keys import NAME, private_pem
from fillbook.facts.model import Fill
from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.ground.live_settings import AttachSettings
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore
from fillbook.sim.cast import COINBASE_BOT, HEDGE, PERPS, SWING
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.base import VenueServer
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Call, Key, Read
from fillbook.sim.venues.coinbase.server import CoinbaseServer
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sim.world import START_MS
from fillbook.sources.attach import Tools, attach, open_account, pager_of
from fillbook.sources.faults import ForbiddenRequestError
from fillbook.sources.reads import VENUES, check
from fillbook.sources.stream import Ask
from fillbook.sources.writing import DirectWriter

KEYS = {"binance": ("k" * 48, "s" * 48), "coinbase": (NAME, private_pem())}
ACCOUNTS = [
    ("hyperliquid", SWING),
    ("binance", HEDGE),
    ("coinbase", COINBASE_BOT),
    ("coinbase", PERPS),
]


def test_no_venue_is_left_out() -> None:
    assert {venue for venue, _ in ACCOUNTS} == VENUES.keys()


def taking_down(venue: str, who: str, world: LiveWorld, clock: SimClock) -> VenueServer:
    """Return a simulated venue that remembers every request as it arrived."""
    kinds: dict[str, type[VenueServer]] = {
        "hyperliquid": HyperliquidServer,
        "binance": BinanceServer,
        "coinbase": CoinbaseServer,
    }

    class Noting(kinds[venue]):  # type: ignore[misc]
        arrived: list[Call]

        def find(self, call: Call) -> tuple[Read, Call] | None:
            self.arrived.append(call)
            return super().find(call)  # type: ignore[no-any-return]

    Noting.arrived = []
    if venue == "hyperliquid":
        return Noting(world, clock)
    key, secret = KEYS[venue]
    return Noting(world, clock, keys=[Key(name=key, secret=secret, account=who)])


def is_listed(venue: str, call: Call) -> bool:
    """Say whether a request as it arrived is one of the venue's reads, on any of its hosts."""
    for host in VENUES[venue].hosts:
        body = call.body.decode()
        ask = Ask(name="x", method=call.method, host=host.role, path=call.path, body=body)  # type: ignore[arg-type]
        try:
            check(VENUES[venue], ask)
        except ForbiddenRequestError:
            continue
        return True
    return False


def modules_of(venue: str) -> set[str]:
    folder = Path(next(iter(fillbook.sources.__path__)))
    return {
        f"fillbook.sources.{venue}.{path.stem}"
        for path in (folder / venue).glob("*.py")
        if path.stem != "__init__"
    }


@pytest.mark.parametrize(("venue", "who"), ACCOUNTS)
def test_nothing_but_listed_reads_arrives_from_a_whole_life(
    tmp_path: Path, venue: str, who: str
) -> None:
    world = LiveWorld(5, accounts=[who])
    world.advance_to(START_MS * 1_000_000 + DAY_NS)
    clock = SimClock(world.now_ns)
    server = taking_down(venue, who, world, clock)
    with server:
        asyncio.run(live(tmp_path, venue, who, server, clock))
    arrived = server.arrived  # type: ignore[attr-defined]
    strange = [f"{call.method} {call.path}" for call in arrived if not is_listed(venue, call)]
    assert strange == [] and server.violations == []
    assert modules_of(venue) <= sys.modules.keys()
    # A test that asked for little would prove little.
    assert len({call.path if call.method == "GET" else call.body for call in arrived}) > 5


async def live(folder: Path, venue: str, who: str, server: Any, clock: SimClock) -> None:
    """Attach, pull, look around, listen, and go on the next day."""
    pace = SimPace(clock, 5, strides=True)
    key, secret = KEYS.get(venue, ("", ""))
    tools = Tools(pace, environ={"KEY": key, "SECRET": secret})
    roles = [host.role for host in VENUES[venue].hosts]
    urls = dict.fromkeys(roles, server.base_url) | {"ws": server.ws_url}
    whose: Mapping[str, Any] = (
        {"key_env": "KEY", "secret_env": "SECRET"} if key else {"address": who}
    )
    settings = AttachSettings(venue=venue, urls=urls, share=Decimal(1), **whose)
    account = open_account(settings, tools)
    try:
        with Journal.create(folder / "b.db") as journal, MarkStore(folder / "b.marks") as marks:
            writer = DirectWriter(journal, marks, clock=clock.now_ns)
            attached = await attach(account, settings, writer, pace, told=lambda estimate: None)
            pagers = {pager.stream.name: pager for pager in attached.pagers}
            for deep in (False, True):
                for stream in await account.discover(settings.symbols, clock.now_ns()):
                    pagers.setdefault(stream.name, pager_of(account, stream, writer, pace))
                pulled = [await pager.pull(deep=deep) for pager in pagers.values()]
                assert [one.fault for one in pulled if one.fault is not None] == []
                clock.step(HOUR_NS)
            known = {
                claim.fact.instrument for claim in journal.claims() if isinstance(claim.fact, Fill)
            }
            assert known
            await account.discover(known, clock.now_ns())
            await account.positions(clock.now_ns())
            await account.marks(known, clock.now_ns())
            assert account.usage() and list(account.findings()) is not None
            async with asyncio.timeout(60), aclosing(account.trigger()) as nudges:  # type: ignore[type-var]
                async for nudge in nudges:
                    assert nudge.why == "websocket connected"
                    break
    finally:
        await account.close()
