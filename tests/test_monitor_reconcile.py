"""The running monitor against venues that withhold and alter rows: it asks back before it tells."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from urllib.request import urlopen

import msgspec

from cli_run import fillbook
from fillbook.ground.clock import DAY_NS, MINUTE_NS, SECOND_NS
from fillbook.sim.cast import HEDGE, SWING
from fillbook.sim.clock import SimClock
from fillbook.sim.executions import SimFill
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.base import VenueServer
from fillbook.sim.venues.binance.rows import fill_key
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Key
from monitor_runs import Running, configure, rows_of, running, venue_of, waited
from test_binance_monitor import KEY, SECRET
from test_binance_monitor import configure as configure_binance

# The worlds are the same on whatever day the tests run: which fills come next is known.
NOW_NS = 1_768_046_400 * SECOND_NS


@contextmanager
def binance_of(seed: int) -> Iterator[BinanceServer]:
    """Serve a world in which the hedging account has traded for two days."""
    world = LiveWorld(seed, start_ms=(NOW_NS - 2 * DAY_NS) // 1_000_000, accounts=[HEDGE])
    world.advance_to(NOW_NS)
    keys = [Key(name=KEY, secret=SECRET, account=HEDGE)]
    with BinanceServer(world, SimClock(NOW_NS), keys=keys) as venue:
        yield venue
    assert not venue.violations


class Withheld(dict[str, object]):
    """Alterations of a venue's rows: executions after an instant are not shown."""

    def __init__(self, since_ms: int) -> None:
        super().__init__({"-": None})
        self.since_ms = since_ms

    def get(self, key: str, row: object = None) -> object:  # type: ignore[override]
        """Return the row, None for one that is withheld."""
        return None if isinstance(row, SimFill) and row.ts_ms > self.since_ms else row


def configure_calmly(folder: Path, venue: BinanceServer) -> None:
    """Attach the account and look every other second: a deep pull needs room in the limit."""
    configure_binance(folder, venue)
    path = folder / "fillbook.toml"
    path.write_text(path.read_text().replace('"1s"', '"2s"'))


def withhold(venue: VenueServer, account: str, minutes: int) -> list[SimFill]:
    """Withhold executions from now on, let time pass at one stroke, and return what happened."""
    world = venue.world
    before = len(world.fills(account))
    venue.pages.altered = Withheld(world.now_ms)  # type: ignore[attr-defined]
    venue.clock.step(minutes * MINUTE_NS)
    venue.settle()
    lost = world.fills(account)[before:]
    assert lost, "in this world something is traded by then"
    return lost


def ids_in(folder: Path) -> set[str]:
    return {str(row["fill_id"]) for row in rows_of(folder, "fills", "--limit", "0")}


def asked_again(venue: VenueServer, *reads: str) -> None:
    """Wait until each of these has been read twice more: once may have begun before this."""
    before = {read: venue.counted()[read] for read in reads}
    waited(
        f"{reads} are read again",
        lambda: all(venue.counted()[read] >= before[read] + 2 for read in reads),
    )


def later(venue: VenueServer, minutes: int, what: str, done: Callable[[], bool]) -> None:
    """Let minutes pass, and again if a busy machine saw what there was to see that late."""
    for _ in range(10):
        venue.clock.step(minutes * MINUTE_NS)
        venue.settle()
        for _ in range(30):
            if done():
                return
            time.sleep(0.3)
    raise AssertionError(f"waited in vain for: {what}")


def metric(monitor: Running, name: str) -> float | None:
    with urlopen(f"{monitor.url}/metrics", timeout=5) as answer:
        found = re.search(rf"^fillbook_{name}\{{.*\}} (\S+)", answer.read().decode(), re.M)
    return None if found is None else float(found[1])


def signed(fill: SimFill) -> Decimal:
    return fill.qty if fill.side == "buy" else -fill.qty


def test_a_fill_that_never_comes_is_told_with_its_amount_until_it_does(tmp_path: Path) -> None:
    with venue_of(7, now_ns=NOW_NS) as venue:
        # A deep pull needs room in the limit.
        configure(tmp_path, venue, detection_interval="4s", poll_interval="2s")
        with running(tmp_path) as monitor:
            monitor.heard("✓ swing: attached")
            waited("the history", lambda: len(ids_in(tmp_path)) == len(venue.world.fills(SWING)))
            lost = withhold(venue, SWING, 5)
            asked_again(venue, "clearinghouseState", "userFillsByTime")
            # Minutes late would be normal; nothing is told yet.
            assert not monitor.says("! swing")
            later(venue, 11, "the difference", lambda: bool(monitor.says("! swing: position of")))
            told = monitor.says("! swing: position of")[0]
            coin = told.split("position of ")[1].split()[0]
            found = waited("health tells it", lambda: monitor.health()["findings"])
            assert {one["code"] for one in found} == {"position-disagrees"}
            (one,) = [one for one in found if one["instrument"] == coin]
            unseen = venue.world.fills(SWING)[venue.world.fills(SWING).index(lost[0]) :]
            missing = sum(
                signed(fill)
                for fill in unseen
                if fill.market.symbol == coin and fill.ts_ms * 1_000_000 <= one["ts_ns"]
            )
            assert one["amount"] == f"{-missing.normalize():f}"
            assert f"differs from the venue's by {one['amount']} {coin};" in told
            waited("the metric", lambda: metric(monitor, "reconciliation_differences"))
            # By hand it waits until the fills are complete ten minutes beyond the statement.
            by_hand = fillbook(tmp_path, "reconcile", "--instrument", coin, "--json").json
            (row,) = [row for row in by_hand["rows"] if row["check"] == "position"]
            assert row["state"] == "differs"

            venue.pages.altered = {}
            again = f"✓ swing: position of {coin} agrees with the venue's again"
            later(venue, 61, again, lambda: bool(monitor.says(again)))
            waited("no difference", lambda: metric(monitor, "reconciliation_differences") == 0)


def test_a_wrong_fee_is_told_after_the_first_look_at_the_whole_book(tmp_path: Path) -> None:
    with binance_of(7) as venue:
        wrong = venue.world.fills(HEDGE)[-3]
        dearer = msgspec.structs.replace(wrong, fee=wrong.fee + Decimal("0.5"))
        venue.pages.altered[f"trades:{HEDGE}:{fill_key(wrong)}"] = dearer
        venue.clock.step(30 * MINUTE_NS)
        venue.settle()
        configure_calmly(tmp_path, venue)
        with running(tmp_path) as monitor:
            (told,) = monitor.heard("! hedge: commission of")
            symbol = wrong.market.symbol
            assert f"commission of {symbol} differs from the venue's by 0.5 USDC" in told
            drift = 'reconciliation_drift{account="hedge-bot",currency="USDC"}'
            waited("the drift", lambda: metric_is(monitor, drift, 0.5))
        shown = fillbook(tmp_path, "reconcile", "--instrument", symbol)
        assert shown.status == 1
        assert f"named: {wrong.fill_id}" in shown.out


def metric_is(monitor: Running, series: str, value: float) -> bool:
    with urlopen(f"{monitor.url}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return f"fillbook_{series} {value}" in text
