"""A backtest's own files summed up: by trade, by month, by the risk taken at entry."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from fillbook.desks.telemetry import PerformanceTelemetry
from fillbook.ground.errors import FillbookError, InputError, UsageError

TRADES = (
    "trade_id,symbol,side,quantity,entry_price,exit_price,entry_time,exit_time,holding_hours,"
    "realized_pnl,reason"
)
ORDERS = (
    "timestamp,event_type,trade_id,symbol,side,order_type,client_order_id,order_id,quantity,price,"
    "stop_price,reduce_only,reason,cancel_error"
)
# (side, quantity, entry, exit, day of exit): results +200, -50, -25, 0, -10.5, +30.
CLOSED = [
    ("LONG", "2", "100", "200", "2025-11-30T23:59:59Z"),
    ("SHORT", "1", "100", "150", "2025-12-01T00:00:00Z"),
    ("LONG", "0.5", "100", "50", "2025-12-05T12:00:00Z"),
    ("LONG", "1", "100", "100", "2025-12-06T12:00:00Z"),
    ("LONG", "1", "100", "89.5", "2025-12-07T12:00:00Z"),
    ("SHORT", "3", "100", "90", "2026-02-01T00:00:00Z"),
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[PerformanceTelemetry]:
    with PerformanceTelemetry(simulate=True, log_dir=tmp_path / "logs") as telemetry:
        yield telemetry


@pytest.fixture
def trades(tmp_path: Path) -> Path:
    rows = [
        {
            "trade_id": f"t{n}",
            "symbol": "BTCUSDT",
            "side": side,
            "quantity": qty,
            "entry_price": entry,
            "exit_price": left,
            "entry_time": "2025-11-01T00:00:00Z",
            "exit_time": when,
        }
        for n, (side, qty, entry, left, when) in enumerate(CLOSED)
    ]
    rows.append({**rows[0], "trade_id": "open", "exit_price": "", "exit_time": ""})
    return written(tmp_path / "trades.csv", TRADES, rows)


def written(path: Path, header: str, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header.split(","), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def order(trade: str, kind: str, stop: str, minute: int) -> dict[str, str]:
    return {
        "timestamp": f"2025-11-01T00:{minute:02}:00Z",
        "event_type": "ORDER_PLACED",
        "trade_id": trade,
        "symbol": "BTCUSDT",
        "side": "SELL",
        "order_type": kind,
        "client_order_id": f"{trade}-{kind}-{minute}",
        "quantity": "1",
        "stop_price": stop,
        "reduce_only": "True",
    }


def test_a27_a_backtest_reports_its_trades_months_and_streaks(
    desk: PerformanceTelemetry, trades: Path
) -> None:
    told = desk.backtest_report(trades, initial_equity=1000)
    assert (told.total_trades, told.winning_trades, told.losing_trades) == (6, 2, 3)
    assert (told.net_pnl, told.basis) == (Decimal("144.5"), "gross, fees unknown")
    assert (told.avg_win, told.avg_loss) == (115.0, 28.5)
    assert (told.largest_win, told.largest_loss) == (Decimal(200), Decimal(50))
    # A trade that broke even ends a run of losses.
    assert told.max_consecutive_losses == 2
    assert told.monthly_returns == {
        "2025-11": 20.0,
        "2025-12": -8.55,
        "2026-01": 0.0,
        "2026-02": 3.0,
    }
    assert (told.average_r, told.r_trades) == (None, 0)
    assert told.to_dict()["monthly_returns"]["2025-12"] == -8.55
    assert told.to_dict()["largest_win"] == 200.0
    assert desk.trade_summary().total_trades == 0


def test_a27_the_average_r_rests_on_the_first_stop_of_each_trade(
    desk: PerformanceTelemetry, trades: Path, tmp_path: Path
) -> None:
    orders = [
        order("t0", "STOP_MARKET", "80", 1),
        order("t0", "STOP_MARKET", "99", 2),
        order("t0", "TAKE_PROFIT_MARKET", "150", 0),
        order("t1", "STOP_MARKET", "110", 1),
        order("t2", "STOP_MARKET", "100", 1),
    ]
    path = written(tmp_path / "orders.csv", ORDERS, orders)
    told = desk.backtest_report(trades, initial_equity="1000", orders=path)
    # 200 / (20 x 2) = 5 and -50 / (10 x 1) = -5; a stop at the entry price tells no risk.
    assert (told.average_r, told.r_trades) == (0.0, 2)
    assert desk.refused == []


def test_a27_fees_make_it_net_and_a_bad_row_is_named(
    desk: PerformanceTelemetry, tmp_path: Path
) -> None:
    row = {"trade_id": "t", "symbol": "BTCUSDT", "side": "LONG", "quantity": "1"}
    row |= {"entry_price": "100", "exit_price": "110", "fee": "12"}
    row |= {"entry_time": "2026-01-01T00:00:00Z", "exit_time": "2026-01-01T01:00:00Z"}
    path = written(tmp_path / "t.csv", f"{TRADES},fee", [row, {**row, "quantity": "-1"}])
    told = desk.backtest_report(path, initial_equity=100)
    assert (told.basis, told.net_pnl, told.largest_loss, told.largest_win) == (
        *("net", Decimal(-2), Decimal(2)),
        None,
    )
    assert told.monthly_returns == {"2026-01": -2.0}
    assert len(desk.refused) == 1


@pytest.mark.parametrize(
    ("equity", "fault"), [("0", UsageError), ("-1", UsageError), ("1000", InputError)]
)
def test_what_cannot_be_summed_up_is_said(
    desk: PerformanceTelemetry, tmp_path: Path, equity: str, fault: type[FillbookError]
) -> None:
    path = written(tmp_path / "none.csv", TRADES, [])
    with pytest.raises(fault):
        desk.backtest_report(path, initial_equity=equity)
