"""Positions older than all the history that a venue tells, through the running monitor.

They are opening lots of unknown cost, the same ones after a restart, on every venue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import monitor_runs
import test_binance_monitor as binance
import test_coinbase_monitor as coinbase
from cli_run import fillbook
from fillbook.ground.clock import DAY_NS, MINUTE_NS
from fillbook.sim.cast import COINBASE_BOT, HEDGE, SWING
from fillbook.sim.clock import SimClock
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.base import VenueServer
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Key
from fillbook.sim.venues.coinbase.server import CoinbaseServer
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from monitor_runs import rows_of, running, waited

NOW_NS = monitor_runs.MS_NS * 1_768_046_400_000
OLD = {"names": ["opened_before"], "often": {"opened_before": 1000}}


def world_of(account: str) -> LiveWorld:
    """Return a world in which an account held something before it traded for two days."""
    begun_ms = (NOW_NS - 2 * DAY_NS) // monitor_runs.MS_NS
    world = LiveWorld(7, start_ms=begun_ms, accounts=[account], plan=FaultPlan(7, **OLD))  # type: ignore[arg-type]
    world.advance_to(NOW_NS)
    return world


@contextmanager
def binance_venue(folder: Path) -> Iterator[VenueServer]:
    keys = [Key(name=binance.KEY, secret=binance.SECRET, account=HEDGE)]
    with BinanceServer(world_of(HEDGE), SimClock(NOW_NS, speed=1), keys=keys) as venue:
        binance.configure(folder, venue)
        yield venue


@contextmanager
def coinbase_venue(folder: Path) -> Iterator[VenueServer]:
    keys = [Key(name=coinbase.KEY, secret=coinbase.SECRET, account=COINBASE_BOT)]
    with CoinbaseServer(world_of(COINBASE_BOT), SimClock(NOW_NS, speed=1), keys=keys) as venue:
        coinbase.configure(folder, venue)
        yield venue


@contextmanager
def hyperliquid_venue(folder: Path) -> Iterator[VenueServer]:
    with HyperliquidServer(world_of(SWING), SimClock(NOW_NS, speed=1)) as venue:
        monitor_runs.configure(folder, venue)
        yield venue


Serve = Callable[[Path], AbstractContextManager[VenueServer]]
VENUES = (binance_venue, coinbase_venue, hyperliquid_venue)


@pytest.mark.parametrize("serve", VENUES, ids=lambda serve: serve.__name__)
def test_it_is_an_opening_lot_with_its_amount(serve: Serve, tmp_path: Path) -> None:
    with serve(tmp_path) as venue:
        (account,) = venue.world.accounts()
        ((_, symbol, side), qty), *rest = venue.world.truth(account).opening.items()
        assert not rest
        with running(tmp_path) as monitor:
            waited("it is attached", lambda: any(": attached" in line for line in monitor.lines))
            waited("all positions", lambda: is_true_of(tmp_path, venue))
            before = old_trades(tmp_path, symbol)
        venue.clock.step(30 * MINUTE_NS)
        venue.settle()
        with running(tmp_path) as monitor:
            waited("all positions again", lambda: is_true_of(tmp_path, venue))
            assert not monitor.says("differs")
        assert old_trades(tmp_path, symbol) == before
        why = fillbook(tmp_path, "why", "--json").json
        found = [each for each in why["findings"] if each["code"] == "opening-unpriced"]
        told = [(each["instrument"], Decimal(each["amount"])) for each in found]
        assert told == [(symbol, qty)]
        assert why["made_money"] == "incomplete"
        rows = fillbook(tmp_path, "reconcile", "--instrument", symbol, "--json").json["rows"]
        checked = {(row["check"], row["position_side"]): row["state"] for row in rows}
        assert checked["position", side] != "differs"


def is_true_of(folder: Path, venue: VenueServer) -> bool:
    """Say whether the book holds every fill, and exactly what the world holds in contracts."""
    world = venue.world
    (account,) = world.accounts()
    spot = {each.market.symbol for each in world.fills(account) if each.market.contract == "spot"}
    ours = {
        (row["instrument"], row["position_side"]): Decimal(row["qty"])
        for row in rows_of(folder, "positions")
        if row["instrument"] not in spot
    }
    theirs = {
        (each.market.symbol, each.position_side): each.qty
        for each in world.positions(account)
        if each.market.symbol not in spot
    }
    n_fills = len(rows_of(folder, "fills", "--limit", "0"))
    return n_fills == len(world.fills(account)) and ours == theirs


def old_trades(folder: Path, symbol: str) -> list[Any]:
    """Return id and beginning of the trades that hold what was there before."""
    trades = rows_of(folder, "trades", "--instrument", symbol, "--limit", "0")
    held = [row for row in trades if row["outcome"] == "unpriced" or row["net"] is None]
    return [(row["trade_id"], row["entry_time"]) for row in held][:1]
