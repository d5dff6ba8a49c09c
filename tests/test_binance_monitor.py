"""The monitor as a person runs it, on a Binance account in hedge mode: keys, clocks, kills."""

from __future__ import annotations

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
from fillbook.sim.cast import HEDGE
from fillbook.sim.clock import SimClock
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Key
from monitor_runs import Running, rows_of, running, waited

KEY, SECRET = "monitored-key-" + "k" * 30, "monitored-secret-" + "s" * 30
MS = 1_000_000


@contextmanager
def venue_of(seed: int, days: int = 2) -> Iterator[BinanceServer]:
    """Serve a world in which the hedging account has traded for some days up to now."""
    now_ns = time.time_ns()
    begun_ns = now_ns - now_ns % DAY_NS - days * DAY_NS
    world = LiveWorld(seed, start_ms=begun_ns // MS, accounts=[HEDGE])
    world.advance_to(now_ns)
    keys = [Key(name=KEY, secret=SECRET, account=HEDGE)]
    with BinanceServer(world, SimClock(now_ns), keys=keys) as venue:
        yield venue
    assert not venue.violations


def configure(folder: Path, venue: BinanceServer, mode: int = 0o600) -> None:
    path = folder / "binance.key"
    path.write_text(f"key = {KEY}\nsecret = {SECRET}\n")
    path.chmod(mode)
    urls = {"fapi": venue.base_url, "sapi": venue.base_url, "ws": venue.ws_url}
    told = ", ".join(f'{role} = "{url}"' for role, url in urls.items())
    lines = ["[monitor]", 'detection_interval = "1s"', 'poll_interval = "1s"', "port = 0"]
    lines += ["[[attach]]", 'venue = "binance"', 'key_file = "binance.key"', 'label = "hedge"']
    (folder / "fillbook.toml").write_text(
        "\n".join([*lines, "share = 1.0", f"urls = {{ {told} }}"])
    )


def go_on(venue: BinanceServer, fills: int) -> None:
    """Let simulated time pass until so many executions have happened."""
    for _ in range(3 * 24 * 60):
        if len(venue.world.fills(HEDGE)) >= fills:
            return
        venue.clock.step(MINUTE_NS)
        venue.settle()
    raise AssertionError("nothing happened in three days")


def is_caught_up(monitor: Running, venue: BinanceServer) -> bool:
    book = sorted(str(row["fill_id"]) for row in rows_of(monitor.folder, "fills", "--limit", "0"))
    return book == sorted(str(fill.fill_id) for fill in venue.world.fills(HEDGE))


def test_a_hedged_account_is_watched_killed_and_watched_on(tmp_path: Path) -> None:
    with venue_of(7) as venue:
        configure(tmp_path, venue)
        with running(tmp_path) as monitor:
            monitor.heard("✓ hedge: attached")
            waited("the whole history", lambda: is_caught_up(monitor, venue))
            # The venue's clock runs hours ahead of this machine's while the world goes on.
            go_on(venue, len(venue.world.fills(HEDGE)) + 6)
            waited("the new fills", lambda: is_caught_up(monitor, venue))
        # Killed, not stopped; the world has gone on in the meantime.
        go_on(venue, len(venue.world.fills(HEDGE)) + 6)
        with running(tmp_path) as monitor:
            monitor.heard("✓ hedge: attached")
            waited("what happened meanwhile", lambda: is_caught_up(monitor, venue))
            told = rows_of(tmp_path, "positions")
            # Who is behind a key the book knows by the name it was attached under.
            assert told == rows_of(tmp_path, "positions", "--account", "hedge")
            legs = {(row["instrument"], row["position_side"]): Decimal(row["qty"]) for row in told}
            assert legs == {
                (p.market.symbol, p.position_side): p.qty for p in venue.world.positions(HEDGE)
            }
            why = fillbook(tmp_path, "why", "--json").json
            assert why["n_fills"] == len(venue.world.fills(HEDGE))
            fees = sum((fill.fee for fill in venue.world.fills(HEDGE)), Decimal(0))
            assert Decimal(why["currencies"]["USDC"]["fees"]) == fees
        assert fillbook(tmp_path, "verify").status == 0
        said = "\n".join([*monitor.lines, *(p.read_text() for p in tmp_path.glob("logs/*"))])
        for secret in (KEY, SECRET, "signature=", 'listenKey":'):
            assert secret not in said
        assert venue.limiter.turned_away == 0


@pytest.mark.soak
def test_fifty_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    dice = random.Random(7)
    with venue_of(11) as venue:
        configure(tmp_path, venue)
        for _ in range(50):
            with running(tmp_path) as monitor:
                go_on(venue, len(venue.world.fills(HEDGE)) + dice.randrange(6))
                time.sleep(dice.uniform(0.2, 6))
                monitor.program.send_signal(signal.SIGKILL)
        with running(tmp_path) as monitor:
            waited("everything", lambda: is_caught_up(monitor, venue))
            why = fillbook(tmp_path, "why", "--json").json
            assert why["n_fills"] == len(venue.world.fills(HEDGE))
        assert venue.limiter.bans == 0
    assert fillbook(tmp_path, "verify").status == 0


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_key_file_that_others_may_read_is_not_read(tmp_path: Path, mode: int) -> None:
    with venue_of(7, days=0) as venue:
        configure(tmp_path, venue, mode)
        refused = fillbook(tmp_path, "monitor", "start")
        assert refused.status == 2
        assert "chmod 600" in refused.err and SECRET not in refused.err
        assert venue.seen == []
