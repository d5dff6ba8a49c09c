"""The trade monitor as a bot uses it: a platform with positions in front, a real book behind.

Tests carry the number of the capability or acceptance case they show.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.summary import fills, load, trades
from fillbook.analysis.view import Query
from fillbook.desks.limits import PortfolioLimits
from fillbook.desks.portfolio_memory import PortfolioMemoryEngine
from fillbook.desks.trade_metrics import TradeMetricsCollector
from fillbook.desks.trade_monitor import TradeMonitor
from fillbook.desks.trade_tracker import TradeTrackerThread
from fillbook.ground.clock import parse_ns
from fillbook.ground.errors import UsageError
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal, verify_book
from fillbook.marks.series import MarkStore, marks_path
from fillbook.sources.files.registry import reparse

SECOND = 1_000_000_000
WAIT_S = 60.0
SCHEMA = [
    "trade_id",
    "product_id",
    "side",
    "entry_time",
    "exit_time",
    "holding_duration_seconds",
    "holding_duration_hours",
    "entry_price",
    "exit_price",
    "position_size",
    "realized_pnl",
    "peak_pnl",
    "max_drawdown",
    "exit_reason",
    "price_updates_count",
    "forced_stop",
    "final_status",
    "collected_at",
]
NINE = [
    "total_trades",
    "winning_trades",
    "losing_trades",
    "win_rate",
    "total_pnl",
    "avg_pnl",
    "avg_holding_hours",
    "best_trade_pnl",
    "worst_trade_pnl",
]


class Platform:
    """A platform with the positions it is told to have; `fault` is what it raises instead."""

    def __init__(self, *rows: dict[str, Any]) -> None:
        self.rows = list(rows)
        self.fault: Exception | None = None
        self.answer: Any = None
        self.calls = 0
        self.asked = threading.Condition()

    def get_portfolio_breakdown(self) -> Any:
        with self.asked:
            self.calls += 1
            self.asked.notify_all()
        if self.fault is not None:
            raise self.fault
        return {"futures_positions": list(self.rows)} if self.answer is None else self.answer

    def wait_for(self, calls: int) -> None:
        """Wait until that many further polls began, so that one less is certainly over."""
        self.wait_until(self.calls + calls)

    def wait_until(self, calls: int) -> None:
        """Wait until that many polls began in all."""
        with self.asked:
            assert self.asked.wait_for(lambda: self.calls >= calls, WAIT_S)


class Clock:
    def __init__(self, at: str = "2026-01-05T10:00:00Z") -> None:
        self.now_ns = parse_ns(at)

    def __call__(self) -> int:
        return self.now_ns

    def step(self, seconds: int = 30) -> None:
        self.now_ns += seconds * SECOND


class Desk:
    """A monitor polled by hand on a clock of its own, and its book read from outside."""

    def __init__(self, folder: Path, platform: Platform | None = None, **options: Any) -> None:
        self.folder = folder
        self.platform = platform or Platform()
        self.clock = options.pop("clock", None) or Clock()
        self.monitor = TradeMonitor(self.platform, folder=folder, clock=self.clock, **options)

    def show(self, *rows: dict[str, Any]) -> None:
        """Let the platform have these positions and poll once, 30 s later."""
        self.platform.rows = list(rows)
        assert self.monitor.poll()
        self.clock.step()

    def trades(self) -> list[TradeRow]:
        return self._read(trades)  # type: ignore[no-any-return]

    def fills(self) -> list[Any]:
        return self._read(fills)  # type: ignore[no-any-return]

    def _read(self, ask: Any) -> Any:
        book = self.folder / "fillbook.db"
        with Journal.open(book, readonly=True) as journal, MarkStore(marks_path(book)) as marks:
            return ask(load(journal, marks, Settings()), Query())

    def files(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("trade_*.json"))]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "fillbook.desks")
    return caplog


def btc(price: Any = "95000", **more: Any) -> dict[str, Any]:
    return {
        "product_id": "BTC-20DEC30",
        "side": "LONG",
        "contracts": "1",
        "entry_price": "95000",
        "current_price": price,
        **more,
    }


def test_b01_b02_b15_a_new_position_is_detected_and_tracked(desk: Desk, told: Any) -> None:
    desk.show(btc())
    assert [row.product_id for row in desk.monitor.active_trades.values()] == ["BTC-20DEC30"]
    assert told.messages[:2] == [
        "🔔 New trade detected: BTC-20DEC30_LONG",
        "✅ Started tracking trade: BTC-20DEC30_LONG",
    ]


@pytest.mark.parametrize(("detect", "poll"), [(0.01, 3600), (3600, 0.01)])
def test_b01_b04_a_running_monitor_sees_the_next_position_and_its_end_within_an_interval(
    tmp_path: Path, detect: float, poll: float
) -> None:
    platform = Platform()
    monitor = TradeMonitor(platform, detect, poll, folder=tmp_path)
    monitor.start()
    platform.wait_for(1)
    platform.rows = [btc()]
    # The poll that is under way may not have it, the next one has.
    platform.wait_for(3)
    assert [row.product_id for row in monitor.active_trades.values()] == ["BTC-20DEC30"]
    platform.rows = []
    platform.wait_for(3)
    assert monitor.active_trades == {}
    assert [record["final_status"] for record in monitor.get_closed_trades()] == ["completed"]
    assert monitor.stop()


def test_b02_beyond_the_cap_trades_wait_their_turn_and_are_journaled(tmp_path: Path) -> None:
    desk = Desk(tmp_path, max_concurrent_trades=2)
    rows = [btc(product_id=name, entry_time=n + 1) for n, name in enumerate("ABC")]
    desk.show(*rows)
    monitor = desk.monitor
    assert [row.product_id for row in monitor.active_trades.values()] == ["A", "B"]
    assert [row.product_id for row in monitor.pending_trades.values()] == ["C"]
    assert len(desk.trades()) == 3
    desk.show(*rows[1:])
    assert [row.product_id for row in monitor.active_trades.values()] == ["B", "C"]
    assert monitor.pending_trades == {}


def test_b03_v24_the_path_is_followed(desk: Desk) -> None:
    for pnl in (0, 800, 1800, 1600, 1500):
        desk.show(btc(95000 + pnl))
    (row,) = desk.monitor.active_trades.values()
    assert (row.peak_pnl, row.max_drawdown) == ("1800", "300")
    desk.show()
    (record,) = desk.files()
    assert record["realized_pnl"] == 1500
    assert (record["peak_pnl"], record["max_drawdown"]) == (1800, 300)
    assert record["exit_reason"] == "manual_close"
    assert record["price_updates_count"] == 5


def test_b04_b05_b07_a_vanished_position_is_finalised_in_one_file(desk: Desk, told: Any) -> None:
    desk.show(btc(decision_id="d-1"))
    desk.show(btc("96500"))
    desk.show()
    (record,) = desk.files()
    ours = SCHEMA.index("exit_reason") + 1
    assert list(record) == [*SCHEMA[:ours], "exit_cause", *SCHEMA[ours:], "decision_id"]
    assert record["side"] == "LONG" and record["position_size"] == 1
    assert (record["entry_price"], record["exit_price"]) == (95000, 96500)
    assert record["entry_time"] == "2026-01-05T10:00:00Z"
    assert record["exit_time"] == "2026-01-05T10:01:00Z"
    assert record["holding_duration_seconds"] == 60
    assert (record["final_status"], record["forced_stop"]) == ("completed", False)
    assert record["exit_reason"] == record["exit_cause"] == "take_profit_likely"
    assert record["decision_id"] == "d-1"
    (path,) = desk.folder.glob("trade_*.json")
    assert re.fullmatch(rf"trade_{record['trade_id']}_20260105T100100Z\.json", path.name)
    assert told.messages[-1].startswith("📊 Trade completed: BTC-20DEC30_LONG | PnL: $1,500.00")


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ("95900", "take_profit_likely"),
        ("95899.99", "manual_close"),
        ("94500", "stop_loss_likely"),
        ("94500.01", "manual_close"),
    ],
)
def test_b06_v25_exit_reasons_at_a_peak_of_1000(desk: Desk, last: str, reason: str) -> None:
    for price in ("95000", "96000", last):
        desk.show(btc(price))
    desk.show()
    assert [record["exit_reason"] for record in desk.files()] == [reason]


def test_b08_v26_totals_of_all_trades_also_after_a_restart(tmp_path: Path) -> None:
    collector = TradeMetricsCollector(tmp_path)
    assert list(collector.get_aggregate_statistics()) == NINE
    pnls = [1800, 900, 800, 700, 600, 500, 400, 300, 250, -650, -600, -400, -200, -100, -50]
    assert (len(pnls), sum(pnls)) == (15, 4250)
    for n, pnl in enumerate(pnls):
        collector.record_trade_metrics(
            {
                "trade_id": f"t{n}",
                "product_id": "A",
                "side": "LONG",
                "exit_time": f"2026-01-05T10:00:{n:02}Z",
                "realized_pnl": Decimal(pnl),
                "holding_duration_seconds": 18720,
                "exit_reason": "manual_close",
            }
        )
    for each in (collector, TradeMetricsCollector(tmp_path)):
        total = each.get_aggregate_statistics()
        assert list(total) == NINE
        assert (total["total_trades"], total["winning_trades"], total["losing_trades"]) == (
            15,
            9,
            6,
        )
        assert (total["win_rate"], total["total_pnl"]) == (60.0, 4250)
        assert (total["avg_pnl"], total["avg_holding_hours"]) == (Decimal("283.33"), 5.2)
        assert (total["best_trade_pnl"], total["worst_trade_pnl"]) == (1800, -650)
        assert "15, 9 won, 6 lost, win rate 60.0 %" in each.get_summary()
    path = tmp_path / "training.json"
    collector.export_for_model_training(path)
    export = json.loads(path.read_text())
    assert export["aggregate_stats"]["avg_pnl"] == 283.33
    assert [trade["outcome"] for trade in export["trades"]] == ["win"] * 9 + ["loss"] * 6
    assert collector.get_recent_metrics(1)[0]["trade_id"] == "t14"


def test_b09_a_finished_trade_becomes_an_outcome_with_its_money(tmp_path: Path) -> None:
    memory = PortfolioMemoryEngine(config={"memory_dir": str(tmp_path / "memory")})
    desk = Desk(tmp_path / "metrics", portfolio_memory=memory)
    desk.show(btc(decision_id="d-1"))
    desk.show(btc("96500"))
    desk.show()
    for each in (memory, PortfolioMemoryEngine(config={"memory_dir": str(tmp_path / "memory")})):
        (outcome,) = each.trade_outcomes
        assert (outcome.decision_id, outcome.realized_pnl) == ("d-1", Decimal(1500))
        assert (outcome.was_profitable, outcome.hit_take_profit) == (True, True)
        # Who decided is not known here, and not made up.
        assert (outcome.ai_provider, outcome.decision_confidence) == (None, None)


@pytest.mark.parametrize("answer", [{}, {"error": "busy", "futures_positions": []}, None, []])
def test_b10_a_failing_platform_closes_nothing(desk: Desk, told: Any, answer: Any) -> None:
    desk.show(btc())
    if answer is None:
        desk.platform.fault = RuntimeError("502 Bad Gateway")
    desk.platform.answer = answer
    assert not desk.monitor.poll()
    assert "counted as still open" in told.messages[-1]
    desk.platform.fault = desk.platform.answer = None
    desk.show(btc())
    assert [row.final_status for row in desk.trades()] == ["open"]


def test_b11_a_tracker_whose_listener_fails_is_logged_and_ends(told: Any) -> None:
    platform = Platform()

    def listener(record: dict[str, Any]) -> None:
        raise RuntimeError("listener fell over")

    tracker = TradeTrackerThread("t-1", btc("95500"), platform, listener, poll_interval=0.01)
    tracker.start()
    tracker.join(WAIT_S)
    assert not tracker.is_alive()
    assert tracker.record is not None and tracker.record["realized_pnl"] == 500
    assert "listener fell over" in told.text


def test_b12_a_file_that_cannot_be_written_blocks_nothing(tmp_path: Path, told: Any) -> None:
    blocked = tmp_path / "blocked"
    collector = TradeMetricsCollector(blocked)
    desk = Desk(tmp_path / "desk", metrics_collector=collector)
    blocked.write_text("a file where the folder should be")
    desk.show(btc(), btc(product_id="ETH"))
    desk.show(btc())
    assert "the trade's file was not written" in told.text
    assert [row.product_id for row in desk.monitor.active_trades.values()] == ["BTC-20DEC30"]
    assert len(desk.monitor.get_closed_trades()) == 1
    blocked.unlink()
    desk.show(btc())
    assert len(list(blocked.glob("trade_*.json"))) == 1
    assert desk.monitor.get_closed_trades() == []


def test_a_book_that_cannot_be_written_neither_raises_nor_closes(desk: Desk, told: Any) -> None:
    desk.show(btc())
    (before,) = desk.trades()
    book, aside = desk.folder / "fillbook.db", desk.folder / "aside.db"
    book.rename(aside)
    book.mkdir()
    desk.platform.rows = []
    assert desk.monitor.poll() is False
    assert desk.monitor.force_track_position(btc(product_id="ETH")) is False
    assert told.text.count("could not be written down") == 2
    book.rmdir()
    aside.rename(book)
    desk.show(btc("95500"))
    (after,) = desk.trades()
    assert (after.trade_id, after.final_status) == (before.trade_id, "open")


def test_b13_b14_v20_v25_stopping_closes_nothing_and_a_restart_continues(tmp_path: Path) -> None:
    platform = Platform(btc())
    first = TradeMonitor(platform, 0.01, 0.01, folder=tmp_path)
    first.start()
    platform.wait_for(2)
    assert first.stop() and not first.is_running
    (before,) = Desk(tmp_path).trades()
    assert before.final_status == "open" and list(tmp_path.glob("trade_*.json")) == []
    second = TradeMonitor(platform, 0.01, 0.01, folder=tmp_path)
    second.start()
    platform.wait_for(2)
    platform.rows = []
    platform.wait_for(2)
    assert second.stop()
    (after,) = Desk(tmp_path).trades()
    assert (after.trade_id, after.entry_time) == (before.trade_id, before.entry_time)
    assert after.final_status == "completed"
    assert [record["trade_id"] for record in second.get_closed_trades()] == [before.trade_id]


WATCHER = """
import sys
from pathlib import Path
from fillbook.desks.trade_monitor import TradeMonitor

class Platform:
    def get_portfolio_breakdown(self):
        sys.stdout.write("asked\\n")
        sys.stdout.flush()
        row = {"symbol": "BTC-USD", "side": "SHORT", "size": "2", "price": "67500"}
        return {"futures_positions": [{**row, "entry_price": "68000"}]}

monitor = TradeMonitor(Platform(), 0.01, 0.01, folder=Path(sys.argv[1]))
monitor.start()
monitor._thread.join()
"""


def test_v20_a_killed_monitor_continues_the_same_trade(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        command = [sys.executable, "-c", WATCHER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            for _ in range(3):
                assert run.stdout.readline() == "asked\n"
            run.kill()
        assert run.returncode == -signal.SIGKILL
        (row,) = Desk(tmp_path).trades()
        seen.append((row.trade_id, row.entry_time, row.final_status))
    assert seen[0] == seen[1] and seen[0][2] == "open"
    # What it was worth last survives too: the position vanishes while nobody watches.
    desk = Desk(tmp_path, clock=Clock("2100-01-01T00:00:00Z"))
    desk.show()
    assert [row.realized_pnl for row in desk.trades()] == ["1000"]


def test_a_contracts_size_counts_in_money_and_in_the_return(tmp_path: Path) -> None:
    desk = Desk(tmp_path, multipliers={"BTC-20DEC30": Decimal("0.01")})
    desk.show(btc())
    desk.show(btc("95950"))
    desk.show()
    (path,) = desk.folder.glob("trade_outcomes/*.jsonl")
    line = json.loads(path.read_text())
    assert (line["realized_pnl"], line["roi_percent"]) == ("9.5", "1")


def test_b13_a_platform_that_hangs_is_not_waited_for_and_not_heard(tmp_path: Path) -> None:
    release = threading.Event()

    class Hanging(Platform):
        def get_portfolio_breakdown(self) -> Any:
            found = super().get_portfolio_breakdown()
            if self.calls > 1:
                release.wait(WAIT_S)
                return {"futures_positions": []}
            return found

    platform = Hanging(btc())
    monitor = TradeMonitor(platform, 0.01, 0.01, folder=tmp_path)
    monitor.start()
    platform.wait_until(2)
    assert monitor.stop(timeout_s=0.05) is False
    release.set()
    assert monitor.stop() is True
    assert [row.final_status for row in Desk(tmp_path).trades()] == ["open"]


def test_b06_b13_a_stopped_tracker_says_manual_stop_and_calls_nobody() -> None:
    called: list[Any] = []
    platform = Platform(btc("96000"))
    tracker = TradeTrackerThread("t-1", btc(), platform, called.append, poll_interval=0.01)
    tracker.start()
    platform.wait_for(2)
    assert tracker.stop()
    assert tracker.record is not None and called == []
    assert (tracker.record["exit_reason"], tracker.record["forced_stop"]) == ("manual_stop", True)
    assert (tracker.record["final_status"], tracker.record["realized_pnl"]) == ("open", None)


def test_start_returns_at_once_inside_a_running_loop(tmp_path: Path) -> None:
    release = threading.Event()

    class Slow(Platform):
        async def get_portfolio_breakdown(self) -> Any:
            await asyncio.to_thread(release.wait, WAIT_S)
            return super().get_portfolio_breakdown()

    async def main() -> None:
        platform = Slow(btc())
        monitor = TradeMonitor(platform, 0.01, 0.01, folder=tmp_path)
        monitor.start()
        assert monitor.is_running and platform.calls == 0
        release.set()
        await asyncio.to_thread(platform.wait_for, 2)
        assert await asyncio.to_thread(monitor.stop)

    asyncio.run(main())
    assert [row.side for row in Desk(tmp_path).trades()] == ["LONG"]


def test_b17_long_and_short_of_one_product_stand_side_by_side(desk: Desk) -> None:
    short = btc("95500", side="SHORT", entry_price="96000")
    desk.show(btc("95500"), short)
    desk.show(btc("95500"))
    assert {(row.side, row.final_status) for row in desk.trades()} == {
        ("LONG", "open"),
        ("SHORT", "completed"),
    }
    assert [record["realized_pnl"] for record in desk.files()] == [500]


def test_b18_a_position_can_be_forced_in_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, max_concurrent_trades=1)
    assert desk.monitor.force_track_position({"side": "LONG"}) is False
    assert desk.monitor.force_track_position(btc()) is True
    assert desk.monitor.force_track_position(btc(product_id="ETH")) is False
    free = Desk(tmp_path / "free")
    assert free.monitor.force_track_position(btc()) is True
    assert free.monitor.force_track_position(btc()) is False
    assert free.monitor.force_track_position(btc(product_id="ETH")) is True
    assert len(free.trades()) == 2


@pytest.mark.parametrize(
    ("asset", "product", "after_s", "carried"),
    [
        ("BTCUSD", "BIP-20DEC30-CDE", 300, "d-9"),
        ("BTC-USD", "BIP-20DEC30-CDE", 10, "d-9"),
        ("ETHUSD", "ETP-20DEC30-CDE", 10, "d-9"),
        ("BTC", "BTC-20DEC30", 10, "d-9"),
        ("BTC", "BIP-20DEC30-CDE", 10, "d-9"),
        ("btc", "BTCUSDT", 10, "d-9"),
        ("BTC-USD", "BTC", 10, "d-9"),
        ("BTC", "ETH-20DEC30", 10, None),
        ("BTCUSD", "BIP-20DEC30-CDE", 301, None),
        ("ETHUSD", "BIP-20DEC30-CDE", 10, None),
    ],
)
def test_b19_a_decision_waits_300_seconds_for_its_position(
    desk: Desk, asset: str, product: str, after_s: int, carried: str | None
) -> None:
    assert desk.monitor.associate_decision({"id": "d-9"}, asset)
    desk.clock.step(after_s)
    desk.show(btc(product_id=product))
    assert [row.decision_id for row in desk.trades()] == [carried]


@pytest.mark.parametrize("platform", [None, object(), {"get_portfolio_breakdown": 1}])
def test_what_is_no_platform_is_refused_at_once(platform: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="get_portfolio_breakdown") as refused:
        TradeMonitor(platform=platform, folder=tmp_path / "book")
    assert "futures_positions" in str(refused.value)
    assert not (tmp_path / "book").exists()


def test_b20_finished_trades_are_drained_once(desk: Desk) -> None:
    desk.show(btc())
    desk.show()
    assert [record["product_id"] for record in desk.monitor.get_closed_trades()] == ["BTC-20DEC30"]
    desk.show()
    assert desk.monitor.get_closed_trades() == []


def test_b21_a_limit_is_said_once_and_watching_goes_on(tmp_path: Path, told: Any) -> None:
    limits = PortfolioLimits(
        capital=Decimal(10_000), stop_loss_pct=Decimal(5), take_profit_pct=Decimal(10)
    )
    desk = Desk(tmp_path, limits=limits)
    reached = []
    for price in ("95000", "94500.01", "94500", "94400", "96000"):
        desk.show(btc(price))
        reached.append(desk.monitor.limit_reached)
    desk.show()
    desk.show(btc("94999"))
    reached.append(desk.monitor.limit_reached)
    assert reached == [None, None, "stop_loss", "stop_loss", "take_profit", None]
    assert told.text.count("its stop_loss is reached") == 1
    assert [row.final_status for row in desk.trades()] == ["completed", "open"]


def test_b22_what_is_open_is_written_whole_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    kept = []
    for _ in range(2):
        desk = Desk(tmp_path, clock=clock)
        desk.show(btc(decision_id="d-1"))
        path = tmp_path / "open_positions_state.json"
        kept.append(json.loads(path.read_text())["positions"])
        assert list(tmp_path.glob(".*.part")) == []
        # What stood there before is replaced as a whole, whatever it was.
        path.write_text('{"positions": [')
    (row,) = desk.trades()
    assert kept[0] == kept[1]
    assert [(each["trade_id"], each["decision_id"]) for each in kept[0]] == [(row.trade_id, "d-1")]
    desk.show()
    assert json.loads(path.read_text())["positions"] == []


def test_b23_b27_v23_one_outcome_line_with_decimal_text_and_its_price_source(desk: Desk) -> None:
    desk.show(btc("3500", contracts="0.1", entry_price="3500", product_id="ETH-USD"))
    desk.show(btc("3515", contracts="0.1", entry_price="3500", product_id="ETH-USD"))
    desk.show()
    (path,) = desk.folder.glob("trade_outcomes/*.jsonl")
    assert path.name == "2026-01-05.jsonl"
    (line,) = map(json.loads, path.read_text().splitlines())
    assert (line["realized_pnl"], line["exit_price"]) == ("1.5", "3515")
    assert line["exit_price_source"] == "state:last_price"
    assert line["holding_duration_seconds"] == 60
    (row,) = desk.trades()
    assert row.approximate and row.realized_pnl == "1.5"


def test_b24_a_reported_pnl_changes_nothing_where_prices_are_known(desk: Desk) -> None:
    desk.show(btc("95000", unrealized_pnl="0"))
    desk.show(btc("96000", unrealized_pnl="777"))
    desk.show()
    assert [record["realized_pnl"] for record in desk.files()] == [1000]


def test_a_reported_pnl_tells_the_price_where_none_is_given(desk: Desk) -> None:
    for pnl in ("0", "250.5"):
        desk.show({"symbol": "A", "size": "-2", "entry_price": "100", "unrealized_pnl": pnl})
        desk.show({"symbol": "A", "size": "-2", "entry_price": "100", "unrealized_pnl": "20.5"})
    desk.show()
    (row,) = desk.trades()
    assert (row.exit_price, row.realized_pnl) == ("89.75", "20.5")


def outcome_lines(desk: Desk) -> list[dict[str, Any]]:
    """Return the outcome lines of all days, in order."""
    paths = sorted(desk.folder.glob("trade_outcomes/*.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_b25_v18_a_smaller_size_is_a_partial_outcome_and_shrinks_what_is_tracked(
    desk: Desk, told: Any
) -> None:
    short = {"product_id": "BTC", "side": "SHORT", "entry_price": "68000"}
    desk.show({**short, "contracts": "2", "current_price": "68000"})
    desk.show({**short, "contracts": "1", "current_price": "67500"})
    assert [(fill.qty, fill.px, fill.realized) for fill in desk.fills()] == [
        ("2", "68000", "0"),
        ("1", "67500", "500"),
    ]
    (row,) = desk.monitor.active_trades.values()
    assert desk.fills()[-1].position_after == "-1" and row.realized_pnl == "500"
    assert desk.monitor.open_sizes == {row.trade_id: Decimal(1)}
    state = json.loads((desk.folder / "open_positions_state.json").read_text())
    assert [each["size"] for each in state["positions"]] == ["1"]
    (line,) = outcome_lines(desk)
    assert (line["trade_id"], line["entry_size"], line["exit_size"]) == (row.trade_id, "2", "1")
    assert (line["realized_pnl"], line["exit_price"], line["roi_percent"]) == (
        *("500", "67500"),
        "0.7353",
    )
    assert line["exit_price_source"] == "state:last_price_partial_reduce"
    assert told.messages[-1] == "✂ Trade reduced: BTC_SHORT by 1 | PnL: $500.00"


def test_b25_the_lines_of_a_trade_add_up_to_its_result_once_each_across_restarts(
    tmp_path: Path,
) -> None:
    clock = Clock()
    short = {"product_id": "BTC", "side": "SHORT", "entry_price": "68000"}
    shown = [("3", "68000"), ("2", "67500"), ("2", "67000"), ("1", "66900.5")]
    for contracts, price in shown:
        desk = Desk(tmp_path, clock=clock)
        desk.show({**short, "contracts": contracts, "current_price": price})
        desk.show({**short, "contracts": contracts, "current_price": price})
    Desk(tmp_path, clock=clock).show()
    desk = Desk(tmp_path, clock=clock)
    desk.show()
    lines = outcome_lines(desk)
    assert [(line["exit_size"], line["realized_pnl"]) for line in lines] == [
        ("1", "500"),
        ("1", "1099.5"),
        ("1", "1099.5"),
    ]
    (row,) = desk.trades()
    assert sum(Decimal(line["realized_pnl"]) for line in lines) == Decimal(row.realized_pnl or 0)
    assert [record["realized_pnl"] for record in desk.files()] == [2699]


def test_b25_a_part_closed_at_no_known_price_has_no_result(desk: Desk) -> None:
    desk.show(btc(None, contracts="2"))
    desk.show(btc(None, contracts="1"))
    (line,) = outcome_lines(desk)
    assert (line["exit_size"], line["exit_price"], line["realized_pnl"]) == ("1", None, None)
    assert line["exit_price_source"] is None


def test_b26_v19_a_re_entry_closes_the_old_trade_and_opens_a_new_one(desk: Desk) -> None:
    short = {"product_id": "BTC", "side": "SHORT", "contracts": "1"}
    old = {**short, "entry_price": "68000", "entry_time": "2026-01-05T09:00:00Z"}
    new = {**short, "entry_price": "67000", "entry_time": "2026-01-05T10:00:20Z"}
    desk.show({**old, "current_price": "67500", "decision_id": "d-old"})
    desk.show({**new, "current_price": "67000", "decision_id": "d-new"})
    first, second = desk.trades()
    assert (first.decision_id, first.realized_pnl, first.approximate) == ("d-old", "500", True)
    assert first.exit_time == "2026-01-05T10:00:20Z"
    assert (second.decision_id, second.final_status) == ("d-new", "open")
    assert first.trade_id != second.trade_id
    (line,) = outcome_lines(desk)
    assert line["exit_price_source"] == "state:last_price_same_key_reopen"


def test_b27_a_provider_of_exit_prices_comes_first(tmp_path: Path) -> None:
    desk = Desk(tmp_path, exit_price=lambda place: (Decimal("96123.5"), "broker"))
    desk.show(btc("96000"))
    desk.show()
    assert [record["realized_pnl"] for record in desk.files()] == [1123.5]
    (path,) = desk.folder.glob("trade_outcomes/*.jsonl")
    assert json.loads(path.read_text())["exit_price_source"] == "provider:broker"


def test_v21_a_close_at_no_known_price_is_kept_and_listed(desk: Desk) -> None:
    desk.show(btc(None))
    desk.show()
    (row,) = desk.trades()
    assert (row.final_status, row.outcome, row.realized_pnl) == ("completed", "unpriced", None)
    (record,) = desk.files()
    assert (record["realized_pnl"], record["exit_price"], record["exit_reason"]) == (None,) * 3
    assert record["exit_cause"] is None
    total = desk.monitor.get_aggregate_statistics()
    assert (total["total_trades"], total["win_rate"]) == (1, None)
    assert "unknown price" in desk.monitor.metrics_collector.get_summary()
    # The book goes on from there.
    desk.show(btc("95000"))
    desk.show(btc("95100"))
    desk.show()
    assert [row.realized_pnl for row in desk.trades()] == [None, "100"]


def test_v22_b28_break_even_closes_are_kept_and_three_in_a_row_are_told(
    desk: Desk, told: Any
) -> None:
    for _ in range(3):
        desk.show(btc())
        assert "in a row closed at their entry price" not in told.text
        desk.show()
    assert [row.outcome for row in desk.trades()] == ["break-even"] * 3
    assert "3 trades in a row closed at their entry price" in told.text


def test_v27_one_call_per_poll_however_many_positions(desk: Desk) -> None:
    desk.show(*(btc(product_id=name) for name in "ABC"))
    assert desk.platform.calls == 1
    assert sorted(row.product_id for row in desk.monitor.active_trades.values()) == ["A", "B", "C"]


# The document's own examples, as they stand there; only the import line is ours.
SNIPPETS = {
    "basic": """
monitor = TradeMonitor(
    platform=platform,
    detection_interval=30,
    poll_interval=30
)

monitor.start()
# ... monitoring runs ...
monitor.stop()
""",
    "memory": """
portfolio_memory = PortfolioMemoryEngine(config=config)

monitor = TradeMonitor(
    platform=platform,
    portfolio_memory=portfolio_memory
)

monitor.start()
""",
    "intervals": """
monitor = TradeMonitor(
    platform=platform,
    detection_interval=60,  # Check every minute
    poll_interval=15        # Update every 15 seconds
)
""",
    "integration": """
monitor = TradeMonitor(
    platform=platform,
    portfolio_memory=portfolio_memory
)
""",
}
IMPORTS = """
from fillbook.desks.trade_monitor import TradeMonitor
from fillbook.desks.limits import PortfolioLimits
from fillbook.desks.portfolio_memory import PortfolioMemoryEngine
"""


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_documented_snippets_run(name: str, at_home: Path) -> None:
    platform = Platform(btc())
    names: dict[str, Any] = {"platform": platform, "config": {}}
    names["portfolio_memory"] = PortfolioMemoryEngine(config={})
    exec(IMPORTS + SNIPPETS[name], names)
    monitor = names["monitor"]
    if not monitor.is_running:
        monitor.poll()
    else:
        platform.wait_until(1)
    assert monitor.stop()
    assert monitor.folder == Path("data/trade_metrics")


def test_every_claim_of_the_book_can_be_read_again_from_its_text(desk: Desk) -> None:
    desk.show(btc(), btc(None, product_id="X", entry_price=None))
    desk.show(btc("95500.5", contracts="3", entry_price=95100.25))
    desk.show(btc("95600", contracts="2", entry_price="95100.25"))
    desk.show()
    assert len(desk.fills()) == 6
    assert verify_book(desk.folder / "fillbook.db", reparse) == []
