"""The monitor as a person runs it: real programs, real sockets, a venue that trades meanwhile."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.request import urlopen

import pytest

from cli_run import fillbook
from fillbook.sim.cast import SWING
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sim.world import MAKER
from monitor_runs import (
    Running,
    configure,
    get_json,
    rows_of,
    running,
    trade_until,
    venue_of,
    waited,
)


@pytest.fixture
def venue() -> Iterator[HyperliquidServer]:
    with venue_of(7) as venue:
        yield venue


def true_fills(venue: HyperliquidServer) -> set[str]:
    return {str(fill.fill_id) for fill in venue.world.fills(SWING)}


def open_now(venue: HyperliquidServer) -> int:
    return len(venue.world.positions(SWING))


def is_caught_up(monitor: Running, venue: HyperliquidServer) -> bool:
    """Say whether the book has exactly the fills that happened."""
    book = {row["fill_id"] for row in rows_of(monitor.folder, "fills", "--limit", "0")}
    return book == true_fills(venue)


def open_ids(folder: Path) -> dict[str, str]:
    rows = rows_of(folder, "trades", "--limit", "0")
    return {row["trade_id"]: row["entry_time"] for row in rows if row["final_status"] == "open"}


def test_a_monitor_attaches_tells_trades_and_stops(
    tmp_path: Path, venue: HyperliquidServer
) -> None:
    configure(tmp_path, venue)
    trade_until(venue, lambda: open_now(venue) >= 1)
    with running(tmp_path) as monitor:
        begun = monitor.heard("🔍 Starting Live Trade Monitor") + monitor.heard("✓ Monitor started")
        assert len(begun) == 2
        assert monitor.heard("Max concurrent trades:") == ["  Max concurrent trades: no cap"]
        assert monitor.heard("Detection interval:") == ["  Detection interval: 1s"]
        assert monitor.heard("Poll interval:") == ["  Poll interval: 1s"]
        monitor.heard("✓ swing: attached")
        monitor.heard("✅ Started tracking trade:", open_now(venue))
        history = len(venue.world.fills(SWING))
        waited("the whole history", lambda: is_caught_up(monitor, venue))

        # Trades go on: one that was open closes, and another one opens.
        trade_until(
            venue,
            lambda: len(venue.world.fills(SWING)) >= history + 8 and open_now(venue) >= 1,
        )
        waited("the new fills", lambda: is_caught_up(monitor, venue))
        why = fillbook(tmp_path, "why", "--json").json
        assert why["n_fills"] == len(venue.world.fills(SWING))
        seq = waited("health", lambda: monitor.health().get("seq"))
        assert seq <= fillbook(tmp_path, "why", "--json").json["seq"]

        told = monitor.heard("📊 Trade completed:")
        assert re.fullmatch(
            r"📊 Trade completed: \w+_(LONG|SHORT) \| PnL: -?\$[\d,]+\.\d\d( \| Exit: \w+)?",
            told[0],
        )
        closed = rows_of(tmp_path, "trades", "--limit", "0")
        made = {f"PnL: {dollars(row['net'])}" for row in closed if row["net"]}
        assert {line.split(" | ")[1] for line in told} <= made

        status = fillbook(tmp_path, "monitor", "status", "--json").json
        assert status["running"] and status["pid"] == monitor.program.pid
        assert status["health"]["accounts"][0]["label"] == "swing"
        truth = {(p.market.symbol, abs(p.qty)) for p in venue.world.positions(SWING)}
        assert {(p["product_id"], Decimal(p["size"])) for p in status["positions"]} == truth
        assert all(p["current_price"] and p["unrealized_pnl"] for p in status["positions"])

        with urlopen(f"{monitor.url}/metrics", timeout=5) as answer:
            exposed = answer.read().decode()
        counted = re.search(r"^fillbook_trades_closed_total\{.*\} (\d+)", exposed, re.MULTILINE)
        assert counted, exposed
        assert int(counted[1]) == len(closed_of(tmp_path, "completed"))

        second = fillbook(tmp_path, "monitor", "start")
        assert second.status == 2
        assert f"running already (process {monitor.program.pid})" in second.err

        begun_s = time.monotonic()
        stopped = fillbook(tmp_path, "monitor", "stop")
        assert time.monotonic() - begun_s < 10
        assert stopped.status == 0 and monitor.program.wait(5) == 0
        assert "waiting writes drained" in stopped.out or "waiting write drained" in stopped.out
        names = [f"{row['product_id']}_{row['side']}" for row in closed_of(tmp_path, "open")]
        assert stopped.out.count("still open, and not closed by this") == len(names) >= 1
    assert [line for line in monitor.lines if line.startswith("✓ Monitor stopped")]
    # Stopping closed nothing.
    assert len(open_ids(tmp_path)) == open_now(venue)
    assert fillbook(tmp_path, "monitor", "stop").status == 2
    assert fillbook(tmp_path, "verify").status == 0


def dollars(net: str) -> str:
    value = round(Decimal(net), 2)
    return f"{'-' if Decimal(net) < 0 else ''}${abs(value):,.2f}"


def closed_of(folder: Path, status: str) -> list[dict[str, str]]:
    return [r for r in rows_of(folder, "trades", "--limit", "0") if r["final_status"] == status]


def test_killed_and_started_again_goes_on_with_the_same_trades(
    tmp_path: Path, venue: HyperliquidServer
) -> None:
    configure(tmp_path, venue)
    trade_until(venue, lambda: open_now(venue) >= 2)
    with running(tmp_path) as first:
        first.heard("✅ Started tracking trade:", 2)
        waited("the whole history", lambda: is_caught_up(first, venue))
        before = open_ids(tmp_path)
        first.program.send_signal(signal.SIGKILL)
        first.program.wait(10)
    assert not fillbook(tmp_path, "monitor", "status", "--json").json["running"]

    # Another trade opens while nobody looks; the cap lets only one be tracked.
    known = len(venue.world.fills(SWING))
    trade_until(venue, lambda: len(venue.world.fills(SWING)) > known and open_now(venue) >= 2)
    with running(tmp_path, FILLBOOK__MONITOR__MAX_CONCURRENT_TRADES="1") as again:
        assert again.heard("Max concurrent trades:") == ["  Max concurrent trades: 1"]
        again.heard("✅ Started tracking trade:")
        waited("what was missed", lambda: is_caught_up(again, venue))
        after = open_ids(tmp_path)
        same = before.keys() & after.keys()
        assert {name: before[name] for name in same} == {name: after[name] for name in same}
        trades = rows_of(tmp_path, "trades", "--limit", "0")
        assert len({row["trade_id"] for row in trades}) == len(trades)
        gone = [row for row in trades if row["trade_id"] in before.keys() - after.keys()]
        assert all(row["final_status"] == "completed" for row in gone)
        health = waited(
            "a trade that waits", lambda: (h := again.health()) and h["pending"] >= 1 and h
        )
        assert (health["tracked"], health["pending"]) == (1, open_now(venue) - 1)

        # When the tracked one closes, the next takes its place.
        tracked = again.says("✅ Started tracking trade:")[-1].split(": ")[1]
        product = tracked.rsplit("_", 1)[0]
        count = len(again.says("✅ Started tracking trade:"))
        trade_until(
            venue, lambda: product not in {p.market.symbol for p in venue.world.positions(SWING)}
        )
        again.heard("✅ Started tracking trade:", count + 1)


def test_positions_are_asked_for_once_a_poll_however_many_there_are(
    tmp_path: Path, venue: HyperliquidServer
) -> None:
    configure(tmp_path, venue)
    trade_until(venue, lambda: open_now(venue) >= 3)
    with running(tmp_path) as monitor:
        monitor.heard("✅ Started tracking trade:", 3)
        health = waited(
            "some polls",
            lambda: (h := monitor.health())["accounts"][0]["position_calls"] >= 4 and h,
        )
        account = health["accounts"][0]
        assert account["open_positions"] == 3 == health["tracked"]
        assert fillbook(tmp_path, "monitor", "stop").status == 0
    calls = venue.counted()["clearinghouseState"]
    assert account["position_calls"] <= calls <= account["position_calls"] + 3


def test_health_says_what_is_wrong_while_the_venue_is_away_and_recovers(
    tmp_path: Path, venue: HyperliquidServer
) -> None:
    configure(tmp_path, venue)
    with running(tmp_path) as monitor:
        monitor.heard("✓ swing: attached")
        waited("well", lambda: get_json(f"{monitor.url}/healthz")[0] == 200)
        venue.down()
        status, told = waited(
            "not well", lambda: (r := get_json(f"{monitor.url}/healthz"))[0] == 503 and r
        )
        assert status == 503 and told["status"] == "not ok"
        assert any("swing" in reason for reason in told["reasons"])
        venue.up()
        waited("well again", lambda: get_json(f"{monitor.url}/healthz")[0] == 200)
        # Ctrl+C is a stop like any other.
        monitor.program.send_signal(signal.SIGINT)
        assert monitor.program.wait(10) == 0
        monitor.heard("✓ Monitor stopped:")


def test_a_book_that_breaks_stops_the_monitor_and_nothing_is_made_up(
    tmp_path: Path, venue: HyperliquidServer
) -> None:
    configure(tmp_path, venue)
    with running(tmp_path) as monitor:
        monitor.heard("✓ swing: attached")
        waited("the whole history", lambda: is_caught_up(monitor, venue))
        for name in ("fillbook.db", "fillbook.db-wal", "fillbook.db-shm"):
            path = tmp_path / name
            if path.exists():
                path.write_bytes(b"\x00" * path.stat().st_size)
        trade_until(venue, lambda: open_now(venue) != 0)
        assert monitor.program.wait(30) == 1
        assert [line for line in monitor.heard("✗") if "book" in line or "journal" in line]


def test_one_monitor_keeps_several_accounts_apart(tmp_path: Path) -> None:
    with venue_of(7, days=1, accounts=(SWING, MAKER)) as venue:
        configure(tmp_path, venue)
        with running(tmp_path) as monitor:
            monitor.heard("✓ swing: attached")
            monitor.heard("✓ second: attached")
            truth = {
                (account, str(fill.fill_id))
                for account in (SWING, MAKER)
                for fill in venue.world.fills(account)
            }

            def booked() -> set[tuple[str, str]]:
                rows = rows_of(tmp_path, "fills", "--limit", "0")
                return {(row["account"], row["fill_id"]) for row in rows}

            waited("both histories", lambda: booked() == truth)
            waited("well", lambda: get_json(f"{monitor.url}/healthz")[0] == 200)
            health = monitor.health()
            assert {one["account"] for one in health["accounts"]} == {SWING, MAKER}
            # A day that ended has a folder for each account.
            waited("days", lambda: list((tmp_path / "logs").glob(f"{MAKER}/*/daily_summary_*.csv")))
            assert list((tmp_path / "logs").glob(f"{SWING}/*/daily_summary_*.csv"))
            text = fillbook(tmp_path, "monitor", "status").out
            assert "swing (hyperliquid): running" in text and "second (hyperliquid)" in text
            assert fillbook(tmp_path, "monitor", "stop").status == 0


@pytest.mark.soak
def test_fifty_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    dice = random.Random(7)
    with venue_of(11) as venue:
        configure(tmp_path, venue)
        for _ in range(50):
            known = len(venue.world.fills(SWING)) + dice.randrange(6)
            with running(tmp_path) as monitor:
                trade_until(venue, lambda known=known: len(venue.world.fills(SWING)) >= known)
                time.sleep(dice.uniform(0.2, 6))
                monitor.program.send_signal(signal.SIGKILL)
        with running(tmp_path) as monitor:
            waited("everything", lambda: is_caught_up(monitor, venue))
            fills = rows_of(tmp_path, "fills", "--limit", "0")
            assert len(fills) == len(true_fills(venue))
            assert fillbook(tmp_path, "monitor", "stop").status == 0
    assert fillbook(tmp_path, "verify").status == 0
