"""The monitor as a person runs it, on a Coinbase portfolio: a key file, clocks, kills."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from cli_run import fillbook
from fillbook.ground.clock import DAY_NS, MINUTE_NS
from fillbook.sim.cast import COINBASE_BOT
from fillbook.sim.clock import SimClock
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.calls import Key
from fillbook.sim.venues.coinbase.keys import new_secret
from fillbook.sim.venues.coinbase.rows import entries_of
from fillbook.sim.venues.coinbase.server import CoinbaseServer
from monitor_runs import Running, rows_of, running, waited

KEY, SECRET = "organizations/monitored-org/apiKeys/monitored-key", new_secret()
MS = 1_000_000
D = Decimal


@contextmanager
def venue_of(seed: int, days: int = 2, plan: FaultPlan | None = None) -> Iterator[CoinbaseServer]:
    """Serve a world in which the portfolio has traded for some days up to now."""
    now_ns = time.time_ns()
    begun_ns = now_ns - now_ns % DAY_NS - days * DAY_NS
    world = LiveWorld(seed, start_ms=begun_ns // MS, accounts=[COINBASE_BOT], plan=plan)
    world.advance_to(now_ns)
    keys = [Key(name=KEY, secret=SECRET, account=COINBASE_BOT)]
    # The clock runs: a limit of thirty a second must be able to pass.
    with CoinbaseServer(world, SimClock(now_ns, speed=1), plan, keys=keys) as venue:
        yield venue
    assert not venue.violations


def configure(folder: Path, venue: CoinbaseServer, mode: int = 0o600) -> None:
    path = folder / "cdp_api_key.json"
    path.write_text(json.dumps({"name": KEY, "privateKey": SECRET}))
    path.chmod(mode)
    lines = ["[monitor]", 'detection_interval = "2s"', 'poll_interval = "4s"', "port = 0"]
    lines += ["[[attach]]", 'venue = "coinbase"', f'key_file = "{path.name}"', 'label = "spot"']
    lines += ["share = 1.0", f'urls = {{ api = "{venue.base_url}", ws = "{venue.ws_url}" }}']
    (folder / "fillbook.toml").write_text("\n".join(lines))


def go_on(venue: CoinbaseServer, fills: int) -> None:
    """Let simulated time pass until so many executions have happened."""
    for _ in range(3 * 24 * 60):
        if len(venue.world.fills(COINBASE_BOT)) >= fills:
            return
        venue.clock.step(MINUTE_NS)
        venue.settle()
    raise AssertionError("nothing happened in three days")


def is_caught_up(monitor: Running, venue: CoinbaseServer) -> bool:
    desk = venue.world.desk(COINBASE_BOT)
    made = entries_of(venue.plan, desk.fills, desk.corrections)
    undone = {c.target.fill_id for c in desk.corrections}
    stands = {entry.entry_id for entry in made if entry.fill.fill_id not in undone}
    book = [str(row["fill_id"]) for row in rows_of(monitor.folder, "fills", "--limit", "0")]
    assert len(book) == len(set(book))
    return stands <= set(book) and len(book) == len(venue.world.truth(COINBASE_BOT).fills)


def is_told(folder: Path, venue: CoinbaseServer) -> bool:
    """Say whether positions, count of fills and fees are the world's, which goes on meanwhile."""
    told = {row["instrument"]: D(row["qty"]) for row in rows_of(folder, "positions")}
    why = fillbook(folder, "why", "--json").json
    fills = venue.world.fills(COINBASE_BOT)
    return (told, why["n_fills"], D(why["currencies"]["USD"]["fees"])) == (
        {p.market.symbol: p.qty for p in venue.world.positions(COINBASE_BOT)},
        len(fills),
        sum((fill.fee for fill in fills), D(0)),
    )


def test_a_portfolio_is_watched_killed_and_watched_on(tmp_path: Path) -> None:
    with venue_of(7) as venue:
        configure(tmp_path, venue)
        with running(tmp_path) as monitor:
            monitor.heard("✓ spot: attached")
            waited("the whole history", lambda: is_caught_up(monitor, venue))
            go_on(venue, len(venue.world.fills(COINBASE_BOT)) + 6)
            waited("the new fills", lambda: is_caught_up(monitor, venue))
        # Killed, not stopped; the world has gone on in the meantime.
        go_on(venue, len(venue.world.fills(COINBASE_BOT)) + 6)
        with running(tmp_path) as monitor:
            monitor.heard("✓ spot: attached")
            waited("what happened meanwhile", lambda: is_caught_up(monitor, venue))
            waited("positions and figures", lambda: is_told(tmp_path, venue))
        assert fillbook(tmp_path, "verify").status == 0
        said = "\n".join([*monitor.lines, *(p.read_text() for p in tmp_path.glob("logs/*"))])
        for secret in (KEY, SECRET.splitlines()[1], "Bearer", "eyJ"):
            assert secret not in said
        assert venue.limiter.turned_away == 0


@pytest.mark.soak
def test_fifty_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    dice = random.Random(7)
    own = ("correction", "repeated_trade_id", "quote_sized", "late_row", "duplicate_row")
    plan = FaultPlan(11, [*own, "empty_page", "cursor_expired", "offset_shift"])
    with venue_of(11, plan=plan) as venue:
        configure(tmp_path, venue)
        for _ in range(50):
            with running(tmp_path) as monitor:
                go_on(venue, len(venue.world.fills(COINBASE_BOT)) + dice.randrange(6))
                time.sleep(dice.uniform(0.2, 6))
                monitor.program.send_signal(signal.SIGKILL)
        plan.calm("rest")
        venue.clock.step(DAY_NS)
        with running(tmp_path) as monitor:
            waited("everything", lambda: is_caught_up(monitor, venue))
            why = fillbook(tmp_path, "why", "--json").json
            assert why["n_fills"] == len(venue.world.truth(COINBASE_BOT).fills)
        assert venue.limiter.turned_away == 0
    assert fillbook(tmp_path, "verify").status == 0


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_key_file_that_others_may_read_is_not_read(tmp_path: Path, mode: int) -> None:
    with venue_of(7, days=0) as venue:
        configure(tmp_path, venue, mode)
        refused = fillbook(tmp_path, "monitor", "start")
        assert refused.status == 2
        assert "chmod 600" in refused.err and SECRET.splitlines()[1] not in refused.err
        assert venue.seen == []
