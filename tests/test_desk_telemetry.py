"""The telemetry desk, capability by capability, over real books in temporary folders."""

from __future__ import annotations

import asyncio
import csv
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from fillbook.desks.telemetry import (
    CostSummary,
    DailySummary,
    ExecutionSummary,
    PerformanceTelemetry,
    TradeSummary,
)
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS, iso, parse_ns
from fillbook.ground.errors import InputError, UsageError
from fillbook.ground.live_settings import MetricsSettings
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal, verify_book
from fillbook.sources.files.registry import reparse

T0 = parse_ns("2026-01-01T00:00:00Z")
DAY = "2026-01-01"
MILLISECOND = 1_000_000
NO_PREFIX = MetricsSettings(prefix="")


def shown(*figures: Any) -> tuple[Any, ...]:
    """Put figures side by side; a Decimal equals the whole number it is."""
    return figures


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class Client:
    """A bot's REST client over a list of income rows, answering as the venue does."""

    def __init__(self, rows: list[dict[str, Any]], page: int = 1000) -> None:
        self.rows = rows
        self.page = page
        self.calls: list[tuple[str | None, str | None]] = []

    def get_income_history(
        self,
        income_type: str | None = None,
        symbol: str | None = None,
        start_time: int = 0,
        end_time: int = 2**62,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        self.calls.append((income_type, symbol))
        found = [
            row
            for row in self.rows
            if income_type in (None, row["incomeType"])
            and symbol in (None, row["symbol"])
            and start_time <= row["time"] <= end_time
        ]
        return found[: min(limit, self.page)]


def income(
    kind: str, amount: str, number: int, at: int = T0 + HOUR_NS, symbol: str = "BTCUSDT"
) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "incomeType": kind,
        "income": amount,
        "asset": "USDT",
        "time": at // MILLISECOND,
        "info": "",
        "tranId": number,
        "tradeId": "",
    }


V13 = [
    income("COMMISSION", "-10.5", 1),
    income("COMMISSION", "-5.0", 2),
    income("FUNDING_FEE", "3", 3),
    income("FUNDING_FEE", "-2", 4),
]


@pytest.fixture
def clock() -> Clock:
    return Clock(T0 + DAY_NS + HOUR_NS)


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Iterator[PerformanceTelemetry]:
    with PerformanceTelemetry(simulate=True, log_dir=tmp_path / "logs", clock=clock) as telemetry:
        yield telemetry


def order(name: str, at: int = T0, **told: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "client_order_id": name,
        "timestamp": iso(at),
        **told,
    }


def trip(
    desk: PerformanceTelemetry,
    name: str,
    entry: str,
    left: str,
    at: int = T0,
    held: int = HOUR_NS,
    **told: Any,
) -> None:
    """Open and close one long of size 1."""
    about = {"trade_id": name, "symbol": "BTCUSDT", "side": "LONG", "quantity": "1", **told}
    desk.on_position_opened({**about, "entry_price": entry, "timestamp": iso(at)})
    desk.on_position_closed({**about, "exit_price": left, "timestamp": iso(at + held)})


# -- events --------------------------------------------------------------------------------


def test_a01_a02_v05_entry_orders_placed_and_filled(desk: PerformanceTelemetry) -> None:
    for number in range(20):
        desk.on_order_placed(order(f"o{number}"))
        if number < 16:
            desk.on_order_filled(order(f"o{number}", T0 + SECOND_NS))
    told = desk.execution_summary()
    assert (told.orders_placed, told.orders_filled, told.fill_rate_pct) == (20, 16, 80.0)
    document = desk.generate_daily_summary(DAY).to_dict()
    assert document["execution"]["orders_placed"] == 20
    assert document["execution"]["fill_rate_pct"] == 80.0


def test_v05_six_and_five_in_the_line(desk: PerformanceTelemetry) -> None:
    assert desk.execution_summary().fill_rate_pct is None
    for number in range(6):
        desk.on_order_placed(order(f"o{number}"))
        if number < 5:
            desk.on_order_filled(order(f"o{number}", T0 + SECOND_NS))
    assert "fill_rate=83.3%" in desk.generate_daily_summary(DAY).to_log_line()


def test_v05_orders_without_ids_are_counted_once_each(desk: PerformanceTelemetry) -> None:
    for number in range(6):
        desk.on_order_placed({"symbol": "BTCUSDT", "side": "BUY", "timestamp": iso(T0 + number)})
    for number in range(5):
        told = {"symbol": "BTCUSDT", "side": "BUY", "timestamp": iso(T0 + SECOND_NS + number)}
        desk.on_order_filled(told)
    execution = desk.execution_summary()
    assert (execution.orders_placed, execution.orders_filled) == (6, 5)


def test_an_order_filled_twice_by_poll_and_stream_is_one(desk: PerformanceTelemetry) -> None:
    desk.on_order_placed(order("o1"))
    for late in (1, 2):
        told = order("o1", T0 + late * SECOND_NS, quantity=1, avg_price=100.05, expected_price=100)
        desk.on_order_filled(told)
    assert desk.execution_summary().fill_rate_pct == 100.0
    assert len(desk.update_metrics().open_trades) == 1


@pytest.mark.parametrize(
    "flag",
    [
        {"reduce_only": True},
        {"reduceOnly": True},
        {"reduce_only": "True"},
        {"reduceOnly": "true"},
        {"REDUCE_ONLY": 1},
    ],
)
def test_a03_v06_reduce_only_changes_no_entry_figure(
    desk: PerformanceTelemetry, flag: dict[str, Any]
) -> None:
    desk.on_order_placed(order("in"))
    desk.on_order_filled(order("in", T0 + SECOND_NS))
    desk.on_order_placed(order("out", side="SELL", **flag))
    desk.on_order_filled(order("out", T0 + SECOND_NS, side="SELL", **flag))
    told = desk.execution_summary()
    assert (told.orders_placed, told.orders_filled) == (1, 1)


@pytest.mark.parametrize(
    ("side", "filled", "bps"),
    [("BUY", "100.05", 5.0), ("BUY", "99.95", -5.0), ("SELL", "99.90", 10.0)],
)
def test_v07_slippage_is_signed_by_side(
    desk: PerformanceTelemetry, side: str, filled: str, bps: float
) -> None:
    told = order("o", side=side, quantity="1", expected_price="100.00", avg_price=filled)
    desk.on_order_filled(told)
    assert desk.trade_summary().avg_entry_slippage_bps == pytest.approx(bps)


def test_a04_the_mean_of_all_entry_samples(desk: PerformanceTelemetry) -> None:
    for number, filled in enumerate(("100.05", "100.10", "100.15")):
        about = {"trade_id": f"t{number}", "symbol": "BTCUSDT", "side": "LONG", "quantity": 1}
        prices = {"expected_price": 100.0, "entry_price": filled}
        desk.on_position_opened({**about, **prices, "timestamp": iso(T0)})
    assert desk.trade_summary().avg_entry_slippage_bps == pytest.approx(10.0)


def test_a05_v07_the_mean_of_all_exit_samples_positive_is_cost(desk: PerformanceTelemetry) -> None:
    trip(desk, "t1", "90", "99.90", expected_exit_price="100.00")
    told = desk.trade_summary()
    assert told.avg_exit_slippage_bps == pytest.approx(10.0)
    assert told.avg_entry_slippage_bps is None
    trip(desk, "t2", "90", "100.02", expected_exit_price="100.00")
    trip(desk, "t3", "90", "100.05", side="SHORT", expected_exit_price="100.00")
    trip(desk, "t4", "90", "100.00")
    # 10 lost, 2 gained, 5 lost; the fourth exit named no expectation and is no sample.
    assert desk.trade_summary().avg_exit_slippage_bps == pytest.approx((10 - 2 + 5) / 3)


def test_a_price_the_order_expected_joins_the_position_in_any_order(
    desk: PerformanceTelemetry,
) -> None:
    about = {"trade_id": "t1", "symbol": "BTCUSDT", "side": "LONG", "quantity": "1"}
    desk.on_position_opened({**about, "entry_price": "100.05", "timestamp": iso(T0)})
    filled: dict[str, Any] = {"expected_price": "100", "avg_price": "100.05", "quantity": "1"}
    desk.on_order_filled(order("in", T0 + SECOND_NS, **filled))
    desk.on_order_filled(order("in", T0 + 2 * SECOND_NS, **filled))
    leaving = order("out", T0 + HOUR_NS, side="SELL", reduceOnly=True, expected_price="110")
    desk.on_order_filled({**leaving, "avg_price": "109.89", "quantity": "1"})
    desk.on_position_closed({**about, "exit_price": "109.89", "timestamp": iso(T0 + HOUR_NS)})
    told = desk.trade_summary()
    assert told.total_trades == 1
    assert told.avg_entry_slippage_bps == pytest.approx(5.0)
    assert told.avg_exit_slippage_bps == pytest.approx(10.0)


def test_an_entry_told_by_order_then_by_position_is_one_trade(desk: PerformanceTelemetry) -> None:
    filled: dict[str, Any] = {"expected_price": "100", "avg_price": "100", "quantity": "1"}
    desk.on_order_filled(order("in", **filled))
    trip(desk, "t1", "100", "110", T0 + SECOND_NS)
    told = desk.trade_summary()
    assert shown(told.total_trades, told.net_pnl) == (1, 10)


def test_a12_overlapping_positions_count_their_time_once(desk: PerformanceTelemetry) -> None:
    trip(desk, "t1", "100", "101", T0, 6 * HOUR_NS)
    trip(desk, "t2", "100", "101", T0 + 3 * HOUR_NS, 6 * HOUR_NS)
    desk.on_position_opened(
        {"trade_id": "t3", "symbol": "ETHUSDT", "side": "SHORT", "quantity": 1,
         "entry_price": 50, "timestamp": iso(T0 + 21 * HOUR_NS)}
    )  # fmt: skip
    summary = desk.generate_daily_summary(DAY)
    assert summary.trades.total_trades == 2
    assert summary.time_in_market_pct == pytest.approx(100 * 12 / 24)


def test_a18_the_same_trade_opened_twice_is_opened_once(desk: PerformanceTelemetry) -> None:
    trip(desk, "t1", "100", "110")
    trip(desk, "t1", "100", "110", T0 + MINUTE_NS)
    told = desk.trade_summary()
    assert shown(told.total_trades, told.net_pnl) == (1, 10)


def test_a19_v14_holding_hours_and_a_close_nobody_opened(desk: PerformanceTelemetry) -> None:
    about = {"trade_id": "t1", "symbol": "BTCUSDT", "side": "LONG", "quantity": 0.1}
    desk.on_position_opened({**about, "entry_price": 100, "timestamp": "2026-01-01T00:00:00Z"})
    closing = {**about, "exit_price": 110, "timestamp": "2026-01-01T02:00:00Z", "pnl": 1.0}
    desk.on_position_closed(closing)
    (row,) = desk.update_metrics().recent_trades
    assert (row.trade_id, row.holding_duration_hours, row.net) == ("t1", 2.0, "1")
    assert row.entry_time == "2026-01-01T00:00:00Z"
    unknown = {"trade_id": "t2", "symbol": "BTCUSDT", "side": "LONG", "quantity": 2}
    unknown |= {"exit_price": 105, "realized_pnl": 10, "timestamp": iso(T0 + 3 * HOUR_NS)}
    desk.on_position_closed(unknown)
    rows = {row.trade_id: row for row in desk.update_metrics().recent_trades}
    assert (rows["t2"].entry_price, rows["t2"].realized_pnl) == ("100", "10")
    assert rows["t2"].approximate
    assert not rows["t1"].approximate


def test_a20_a_position_without_id_is_named_by_symbol_and_number(
    desk: PerformanceTelemetry,
) -> None:
    class Kind(Enum):
        OPENED = "POSITION_OPENED"
        CLOSED = "POSITION_CLOSED"

    class Event:
        def __init__(self, kind: Kind, number: int, **payload: Any) -> None:
            self.event_type = kind
            self.timestamp = 1767225600000 + number
            self.sequence_num = number
            self.payload = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1.5, **payload}

    desk.on_event(Event(Kind.OPENED, 7, entry_price=100.0))
    desk.on_event(Event(Kind.CLOSED, 8, exit_price=102.0))
    (row,) = desk.update_metrics().recent_trades
    assert (row.trade_id, row.net) == ("BTCUSDT-7", "3")
    assert row.entry_time == "2026-01-01T00:00:00.007Z"


def test_a21_every_change_of_an_order_is_kept(desk: PerformanceTelemetry, tmp_path: Path) -> None:
    for late, kind in enumerate(
        ("OrderPlaced", "PartialFill", "ORDER_FILLED", "OrderCancelled", "OrderExpired")
    ):
        desk.on_event(order("o1", T0 + late * SECOND_NS, event_type=kind, quantity="2"))
    desk.on_event(order("o1", T0 + SECOND_NS, event_type="PARTIAL_FILL", quantity="2"))
    desk.close()
    with Journal.open(tmp_path / "logs" / "fillbook.db", readonly=True) as journal:
        kept = [claim.fact for claim in journal.claims(kinds=("order",))]
    assert [getattr(fact, "status", None) for fact in kept] == [
        *("placed", "partially_filled", "filled", "cancelled", "expired")
    ]


def test_a_position_closed_twice_is_closed_once(desk: PerformanceTelemetry) -> None:
    trip(desk, "t1", "100", "110")
    late = {"trade_id": "t1", "symbol": "BTCUSDT", "side": "LONG", "quantity": 1}
    desk.on_position_closed({**late, "exit_price": 111, "timestamp": iso(T0 + 2 * HOUR_NS)})
    told = desk.trade_summary()
    assert shown(told.total_trades, told.net_pnl) == (1, 10)


def test_a_close_under_another_name_is_not_that_of_an_open_trade(
    desk: PerformanceTelemetry,
) -> None:
    about = {"symbol": "BTCUSDT", "side": "LONG", "quantity": 1}
    desk.on_position_opened({**about, "trade_id": "t2", "entry_price": 100, "timestamp": iso(T0)})
    closing = {**about, "exit_price": 110, "timestamp": iso(T0 + HOUR_NS)}
    # It was opened before the desk was there.
    desk.on_position_closed({**closing, "trade_id": "t1", "realized_pnl": 30})
    summary = desk.update_metrics()
    assert [(row.trade_id, row.net) for row in summary.recent_trades] == [("t1", "30")]
    assert [row.trade_id for row in summary.open_trades] == ["t2"]


def test_partial_closes_belong_to_one_trade(desk: PerformanceTelemetry) -> None:
    about = {"trade_id": "t1", "symbol": "BTCUSDT", "side": "SHORT"}
    desk.on_position_opened({**about, "quantity": 3, "entry_price": 100, "timestamp": iso(T0)})
    for late, (qty, px) in enumerate(((1, 90), (2, 95)), 1):
        closing = {**about, "quantity": qty, "exit_price": px}
        desk.on_position_closed({**closing, "timestamp": iso(T0 + late * HOUR_NS)})
    told = desk.trade_summary()
    assert shown(told.total_trades, told.net_pnl) == (1, 20)


def test_an_event_that_cannot_be_read_is_named_and_harms_nothing(
    desk: PerformanceTelemetry,
) -> None:
    desk.on_position_opened({"symbol": "BTCUSDT", "side": "LONG", "quantity": "NaN"})
    desk.on_event({"event_type": "MARGIN_CALL", "symbol": "BTCUSDT"})
    desk.on_event(None, "ORDER_PLACED")
    trip(desk, "t1", "100", "110")
    assert desk.trade_summary().total_trades == 1
    assert [line.split(":")[0] for line in desk.refused] == [
        *("positionopened", "margincall", "orderplaced")
    ]
    for _ in range(2000):
        desk.on_event({"event_type": "MARGIN_CALL", "symbol": "BTCUSDT"})
    assert desk.trade_summary().total_trades == 1
    assert len(desk.refused) == 1000


def test_events_that_the_disk_refuses_are_written_before_any_figure_is_told(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> Any:
        raise OSError("no space left on device")

    with PerformanceTelemetry(simulate=True, log_dir=tmp_path, clock=clock) as desk:
        trip(desk, "t1", "100", "110")
        assert desk.trade_summary().total_trades == 1
        with monkeypatch.context() as full:
            full.setattr(Journal, "append", refuse)
            trip(desk, "t2", "100", "95")
            with pytest.raises(OSError, match="no space left"):
                desk.trade_summary()
        trip(desk, "t3", "100", "103")
        told = desk.trade_summary()
        assert shown(told.total_trades, told.net_pnl) == (3, 8)
        monkeypatch.setattr(Journal, "append", refuse)
        trip(desk, "t4", "100", "101")
    assert "events were not written: no space left" in caplog.text
    assert verify_book(tmp_path / "fillbook.db", reparse) == []


def test_a15_a22_a_restart_loses_nothing(tmp_path: Path, clock: Clock) -> None:
    def started() -> PerformanceTelemetry:
        return PerformanceTelemetry(simulate=True, log_dir=tmp_path, clock=clock)

    about = {"trade_id": "t1", "symbol": "BTCUSDT", "side": "LONG", "quantity": 1}
    with started() as first:
        first.on_order_placed({"symbol": "BTCUSDT", "side": "BUY", "timestamp": iso(T0)})
        first.on_position_opened(
            {**about, "entry_price": "100.05", "expected_price": 100, "timestamp": iso(T0)}
        )
    with started() as second:
        late = T0 + HOUR_NS
        second.on_order_filled({"symbol": "BTCUSDT", "side": "BUY", "timestamp": iso(late)})
        second.on_position_opened({**about, "entry_price": 100.05, "timestamp": iso(late)})
        second.on_position_closed({**about, "exit_price": "110.05", "timestamp": iso(late)})
        told = second.trade_summary()
        assert shown(told.total_trades, told.net_pnl, told.avg_holding_hours) == (1, 10, 1.0)
        assert told.avg_entry_slippage_bps == pytest.approx(5.0)
        execution = second.execution_summary()
        assert (execution.orders_placed, execution.orders_filled) == (1, 1)
    assert verify_book(tmp_path / "fillbook.db", reparse) == []


HANDING_IN = """
import sys
from fillbook.desks.telemetry import PerformanceTelemetry
from fillbook.ground.clock import iso, parse_ns

desk = PerformanceTelemetry(simulate=True, log_dir=sys.argv[1])
for n in range(10**6):
    about = {"symbol": "BTCUSDT", "side": "BUY", "client_order_id": f"o{n}"}
    desk.on_order_placed({**about, "timestamp": iso(parse_ns("2026-01-01T00:00:00Z") + n)})
    print(desk.execution_summary().orders_placed, flush=True)
"""


def test_a22_what_a_figure_has_shown_survives_a_kill(tmp_path: Path, clock: Clock) -> None:
    command = [sys.executable, "-c", HANDING_IN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        seen = [int(run.stdout.readline()) for _ in range(5)]
        run.kill()
        seen += [int(line) for line in run.stdout if line.endswith("\n")]
    assert seen == list(range(1, len(seen) + 1))
    with PerformanceTelemetry(simulate=True, log_dir=tmp_path, clock=clock) as desk:
        assert desk.execution_summary().orders_placed in (seen[-1], seen[-1] + 1)
    assert verify_book(tmp_path / "fillbook.db", reparse) == []


# -- costs ---------------------------------------------------------------------------------


@pytest.fixture
def client() -> Client:
    return Client(list(V13))


def test_a06_a07_v13_costs_are_the_same_however_often_they_are_fetched(
    tmp_path: Path, clock: Clock, client: Client
) -> None:
    with PerformanceTelemetry(client, log_dir=tmp_path, clock=clock) as desk:
        for _ in range(13):
            told = asyncio.run(desk.fetch_costs_from_binance())
            clock.now += 5 * MINUTE_NS
            assert told.fees_paid == Decimal("15.5")
            assert shown(told.funding_received, told.funding_paid, told.net_funding) == (3, 2, 1)
        (split,) = desk.update_metrics().fees
        assert split.fees == 155 * 10**17
    with PerformanceTelemetry(client, log_dir=tmp_path, clock=clock) as again:
        told = asyncio.run(again.fetch_costs_from_binance())
        assert (told.fees_paid, told.total_costs) == (Decimal("15.5"), Decimal("14.5"))
    assert verify_book(tmp_path / "fillbook.db", reparse) == []


def test_fees_the_venue_tells_do_not_count_again_from_events(
    tmp_path: Path, clock: Clock, client: Client
) -> None:
    with PerformanceTelemetry(client, log_dir=tmp_path, clock=clock) as desk:
        trip(desk, "t1", "100", "150", commission="5.25")
        asyncio.run(desk.fetch_costs_from_binance())
        assert desk.trade_summary().basis == "gross, fees apart"
        document = desk.generate_daily_summary(DAY).to_dict()
        assert document["trades"]["total"] == 1
        assert document["costs"]["fees_paid"] == 15.5
        assert document["costs"]["net_funding"] == 1.0


def test_a08_only_matching_rows_are_read_from_every_page(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fillbook.desks.telemetry.costs.PAGE_ROWS", 3)
    rows = [income("COMMISSION", "-1", n, T0 + (n // 2) * MINUTE_NS) for n in range(11)]
    rows += [income("FUNDING_FEE", "-1", 50, T0, "ETHUSDT")]
    client = Client(sorted(rows, key=lambda row: int(row["time"])))

    async def plain(**asked: Any) -> list[dict[str, Any]]:
        return client.get_income_history(**asked)

    class Coroutines:
        get_income_history = staticmethod(plain)

    for each in (client, Coroutines()):
        with PerformanceTelemetry(each, log_dir=tmp_path, clock=clock) as desk:
            ask = desk.get_income_history
            all_rows = asyncio.run(ask("COMMISSION", "BTCUSDT", T0 // MILLISECOND))
            assert [row["tranId"] for row in all_rows] == list(range(11))
            middle = asyncio.run(ask("COMMISSION", None, iso(T0 + MINUTE_NS), "2026-01-01T00:02"))
            assert [row["tranId"] for row in middle] == [2, 3, 4, 5]
            assert len(asyncio.run(ask(symbol="ETHUSDT"))) == 1
    client.rows = [income("COMMISSION", "-1", n, T0) for n in range(4)]
    with (
        PerformanceTelemetry(client, log_dir=tmp_path, clock=clock) as desk,
        pytest.raises(InputError, match="one millisecond"),
    ):
        asyncio.run(desk.get_income_history("COMMISSION", None, iso(T0)))


def test_a_row_the_venue_tells_late_is_still_fetched(
    tmp_path: Path, clock: Clock, client: Client
) -> None:
    with PerformanceTelemetry(client, log_dir=tmp_path, clock=clock) as desk:
        asyncio.run(desk.fetch_costs_from_binance())
        client.rows.append(income("FUNDING_FEE", "-1", 9, clock.now - 10 * MINUTE_NS))
        clock.now += 5 * MINUTE_NS
        assert asyncio.run(desk.fetch_costs_from_binance()).funding_paid == Decimal(3)


def test_another_currency_stands_apart(desk: PerformanceTelemetry, tmp_path: Path) -> None:
    trip(desk, "t1", "100", "110")
    trip(desk, "t2", "100", "300", symbol="BTCUSDC")
    summary = desk.run_daily_summary(DAY)
    assert shown(summary.currency, summary.trades.net_pnl) == ("USDT", 10)
    other = tmp_path / "logs" / "default" / "USDC" / f"daily_summary_{DAY}.json"
    assert json.loads(other.read_bytes())["performance"]["net_pnl"] == 200.0


def test_a_client_without_income_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="get_income_history"):
        PerformanceTelemetry(object(), log_dir=tmp_path)


SIMULATED = """
import asyncio, json, sys
from pathlib import Path
from fillbook.desks.telemetry import PerformanceTelemetry
from fillbook.ground.clock import DAY_NS, HOUR_NS, iso, parse_ns

asked = []
loop = asyncio.new_event_loop()          # its own pair of sockets is not about the outside

def watch(name, arguments):
    if name.startswith("socket.") and name != "socket.gethostname":
        asked.append(name)

sys.addaudithook(watch)

class Client:
    def get_income_history(self, income_type=None):
        asked.append("the client was asked")
        return []

now = parse_ns("2026-01-01T23:00:00Z")
naps = 0

async def sleep(seconds):
    global now, naps
    now += int(seconds * 10**9)
    naps += 1
    if naps == 30:
        raise KeyboardInterrupt

telemetry = PerformanceTelemetry(Client(), simulate=True, clock=lambda: now, sleep=sleep)
about = {"trade_id": "t", "symbol": "BTCUSDT", "side": "LONG", "quantity": 1}
telemetry.on_position_opened({**about, "entry_price": 100, "timestamp": iso(now)})
telemetry.on_position_closed({**about, "exit_price": 110, "timestamp": iso(now + 1)})
try:
    loop.run_until_complete(telemetry.telemetry_loop())
except KeyboardInterrupt:
    pass
costs = loop.run_until_complete(telemetry.fetch_costs_from_binance())
rows = loop.run_until_complete(telemetry.get_income_history("COMMISSION"))
telemetry.close()
loop.close()
files = sorted(str(path) for path in Path(".").rglob("daily_summary_*"))
print(json.dumps([asked, str(costs.fees_paid), str(costs.total_costs), rows, files]))
"""


def test_a09_simulating_opens_no_socket_and_costs_stay_zero(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", SIMULATED],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    asked, fees, total, rows, files = json.loads(run.stdout)
    assert asked == []
    assert (Decimal(fees), Decimal(total), rows) == (0, 0, [])
    # The loop ran past midnight, and its files lie under logs/.
    assert files == [f"logs/daily_summary_{DAY}.{kind}" for kind in ("csv", "json")]


# -- trades.csv ----------------------------------------------------------------------------

FORMS = {
    "realized_pnl": "trade_id,symbol,side,quantity,entry_price,exit_price,entry_time,exit_time,"
    "holding_hours,realized_pnl,reason",
    "pnl": "reason,pnl,pnl_pct,holding_hours,exit_time,exit_price,entry_time,entry_price,leverage,"
    "quantity,side,symbol,trade_id",
}


def trades_csv(path: Path, form: str, trades: list[tuple[str, str, str, str, str]]) -> Path:
    """Write a trades.csv of longs of size 1: (entry, exit, entry time, exit time, pnl)."""
    names = FORMS[form].split(",")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        for number, (entry, left, opened, closed, pnl) in enumerate(trades):
            row = {"trade_id": f"t{number}", "symbol": "BTCUSDT", "side": "LONG", "quantity": "1"}
            row |= {"entry_price": entry, "exit_price": left, form: pnl}
            writer.writerow({**row, "entry_time": opened, "exit_time": closed})
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a10_v08_closed_trades_of_a_trades_csv(
    desk: PerformanceTelemetry, tmp_path: Path, form: str
) -> None:
    rows = [
        ("100", "110", "2026-01-01T00:00:00", "2026-01-01T05:00:00", "10"),
        ("100", "95", "2026-01-01T06:00:00Z", "2026-01-01T10:00:00Z", "-5"),
        ("100", "", "2026-01-01T11:00:00", "", ""),
    ]
    told = desk.compute_from_trades_csv(trades_csv(tmp_path / "trades.csv", form, rows))
    assert (told.total_trades, told.winning_trades, told.losing_trades) == (2, 1, 1)
    assert shown(told.gross_profit, told.gross_loss, told.net_pnl) == (10, -5, 5)
    assert (told.win_rate, told.avg_holding_hours, told.expectancy) == (50.0, 4.5, 2.5)
    assert told.basis == "gross, fees unknown"
    assert desk.trade_summary().total_trades == 0


def test_a11_v09_windows_go_by_exit_time(
    desk: PerformanceTelemetry, clock: Clock, tmp_path: Path
) -> None:
    def ago(days: int) -> str:
        return iso(clock.now - days * DAY_NS)

    rows = [("100", "200", ago(20), ago(9), "100"), ("100", "105", ago(20), ago(1), "5")]
    path = trades_csv(tmp_path / "trades.csv", "realized_pnl", rows)
    week = desk.compute_from_trades_csv(path, days=7)
    month = desk.compute_from_trades_csv(path, days=30)
    assert shown(week.total_trades, week.gross_profit) == (1, 5)
    assert shown(month.total_trades, month.gross_profit) == (2, 105)
    early = desk.compute_from_trades_csv(path, since=ago(10), until=ago(8))
    assert shown(early.total_trades, early.gross_profit) == (1, 100)
    assert month.profit_factor == float("inf")


def test_a_row_that_cannot_be_read_is_named_and_the_rest_counts(
    desk: PerformanceTelemetry, tmp_path: Path
) -> None:
    rows = [
        ("100", "110", iso(T0), iso(T0 + HOUR_NS), "10"),
        ("100", "111", iso(T0), iso(T0 + HOUR_NS), "much"),
    ]
    path = trades_csv(tmp_path / "trades.csv", "pnl", rows)
    assert desk.compute_from_trades_csv(path).total_trades == 1
    assert len(desk.refused) == 1
    assert "much" in desk.refused[0]
    with pytest.raises(InputError):
        desk.compute_from_trades_csv(tmp_path / "nowhere.csv")


# -- days and the loop ---------------------------------------------------------------------


def test_a14_v12_the_day_that_ended_is_written_once(
    desk: PerformanceTelemetry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    trip(desk, "t1", "100", "110")
    trip(desk, "late", "100", "500", T0 + DAY_NS)
    summary = desk.run_daily_summary()
    files = [tmp_path / "logs" / f"daily_summary_{DAY}.{kind}" for kind in ("json", "csv")]
    before = [path.read_bytes() for path in files]
    assert json.loads(before[0])["performance"]["net_pnl"] == 10.0
    header, row = before[1].decode().splitlines()
    assert len(header.split(",")) == len(row.split(",")) == 19
    assert row.startswith(f"{DAY},1,1,0,100.0,10.0,")
    desk.run_daily_summary()
    assert [path.read_bytes() for path in files] == before
    lines = [record.message for record in caplog.records if "date=" in record.message]
    assert lines == [summary.to_log_line()]


def test_v10_ten_trades_through_the_desk(tmp_path: Path, clock: Clock) -> None:
    rows = [income("COMMISSION", "-5", 1), income("FUNDING_FEE", "2", 2)]
    rows += [income("FUNDING_FEE", "-3", 3)]
    with PerformanceTelemetry(Client(rows), log_dir=tmp_path, clock=clock) as desk:
        for number in range(12):
            desk.on_order_placed(order(f"o{number}"))
            if number < 10:
                desk.on_order_filled(order(f"o{number}", T0 + SECOND_NS))
        held = 91 * DAY_NS // 2000
        for number in range(10):
            trip(desk, f"t{number}", "100", "120" if number < 6 else "90", T0 + number * held, held)
        asyncio.run(desk.fetch_costs_from_binance())
        document = desk.run_daily_summary().to_dict()
    assert document["trades"] == {"total": 10, "wins": 6, "losses": 4, "win_rate_pct": 60.0}
    assert document["performance"]["net_pnl"] == 80.0
    assert document["performance"]["expectancy"] == 8.0
    assert document["performance"]["profit_factor"] == 3.0
    assert document["execution"]["fill_rate_pct"] == 83.33
    assert document["costs"]["net_funding"] == -1.0
    assert document["costs"]["total_costs"] == 6.0
    assert document["time"]["time_in_market_pct"] == 45.5


def test_fees_that_events_name_make_the_trades_net(tmp_path: Path, clock: Clock) -> None:
    with PerformanceTelemetry(log_dir=tmp_path, clock=clock) as desk:
        trip(desk, "t1", "100", "101", fee="0.75")
        told = desk.trade_summary()
        assert shown(told.net_pnl, told.losing_trades, told.basis) == (Decimal("-0.5"), 1, "net")
        trip(desk, "t2", "100", "101")
        assert desk.cost_summary().fees_paid is None
        assert "fees=n/a" in desk.generate_daily_summary(DAY).to_log_line()


class TimeUpError(Exception):
    """Ends a loop that otherwise runs for ever."""


def test_a13_a14_the_loop_ticks_every_five_minutes_and_writes_at_midnight(
    tmp_path: Path, client: Client
) -> None:
    clock = Clock(T0 + 23 * HOUR_NS + 52 * MINUTE_NS)
    naps: list[float] = []
    ended = tmp_path / f"daily_summary_{DAY}.json"
    seen: list[bool] = []

    async def sleep(seconds: float) -> None:
        seen.append(ended.exists())
        naps.append(seconds)
        clock.now += int(seconds * SECOND_NS)
        if len(naps) == 4:
            raise TimeUpError

    with PerformanceTelemetry(client, log_dir=tmp_path, clock=clock, sleep=sleep) as desk:
        trip(desk, "t1", "100", "110")

        async def both() -> None:
            await asyncio.gather(desk.telemetry_loop(), asyncio.sleep(0))

        with pytest.raises(TimeUpError):
            asyncio.run(both())
        latest = desk.latest
    assert naps == [300, 180, 300, 300]
    assert seen == [False, False, True, True]
    assert latest is not None
    assert latest.at_ns == T0 + DAY_NS + 5 * MINUTE_NS
    assert latest.records[0].fees == 155 * 10**17
    document = json.loads(ended.read_bytes())
    assert (document["date"], document["trades"]["total"]) == (DAY, 1)
    assert not (tmp_path / "daily_summary_2026-01-02.json").exists()


def test_the_loop_outlives_a_client_that_fails(tmp_path: Path, clock: Clock) -> None:
    class Broken:
        def get_income_history(self, income_type: str) -> list[dict[str, Any]]:
            raise ConnectionError("no route")

    naps = 0

    async def sleep(seconds: float) -> None:
        nonlocal naps
        naps += 1
        if naps == 3:
            raise TimeUpError

    with PerformanceTelemetry(Broken(), log_dir=tmp_path, clock=clock, sleep=sleep) as desk:
        trip(desk, "t1", "100", "110")
        with pytest.raises(TimeUpError):
            asyncio.run(desk.telemetry_loop())
        assert desk.latest is not None
        assert desk.latest.records[0].trades == 1
    assert (tmp_path / f"daily_summary_{DAY}.json").exists()


def test_the_loop_outlives_a_book_that_cannot_be_read_and_shows_nothing_old(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[bool, int]] = []

    def status() -> int:
        try:
            with urlopen(f"{desk.metrics.url}/healthz") as answer:
                return int(answer.status)
        except HTTPError as answer:
            with answer:
                return answer.code

    def refuse(*_: object) -> Any:
        raise OSError("no space left on device")

    with PerformanceTelemetry(simulate=True, log_dir=tmp_path, clock=clock, port=0) as desk:

        async def sleep(seconds: float) -> None:
            seen.append((desk.latest is not None, await asyncio.to_thread(status)))
            if len(seen) == 1:
                desk._schedule.run = refuse  # type: ignore[method-assign]
            elif len(seen) == 3:
                del desk._schedule.run
            elif len(seen) == 4:
                raise TimeUpError

        desk._sleep = sleep
        trip(desk, "t1", "100", "110")
        with pytest.raises(TimeUpError):
            asyncio.run(desk.telemetry_loop())
    assert seen == [(True, 200), (False, 503), (False, 503), (True, 200)]
    assert caplog.text.count("no figures: tried again soon: no space left") == 2


def test_a17_a_bad_day_tells_signal_execution_and_costs_apart(tmp_path: Path, clock: Clock) -> None:
    rows = [income("COMMISSION", "-30", 1), income("FUNDING_FEE", "-4", 2)]
    with PerformanceTelemetry(Client(rows), log_dir=tmp_path, clock=clock) as desk:
        for number in range(4):
            desk.on_order_placed(order(f"o{number}"))
        desk.on_order_filled(order("o0", T0 + SECOND_NS))
        trip(desk, "t1", "100.10", "110.10", expected_entry_price="100")
        asyncio.run(desk.fetch_costs_from_binance())
        day = desk.generate_daily_summary(DAY)
        (ladder,) = desk.update_metrics().why.currencies.values()
    assert day.trades.win_rate == 100.0
    assert day.trades.avg_entry_slippage_bps == pytest.approx(10.0)
    assert day.execution.fill_rate_pct == 25.0
    assert shown(day.costs.fees_paid, day.costs.net_funding) == (30, -4)
    assert ladder.net == "-24"


# -- the summaries alone -------------------------------------------------------------------


def test_v01_costs() -> None:
    told = CostSummary(fees_paid=50, funding_received=20, funding_paid=30)
    assert shown(told.net_funding, told.total_costs) == (-10, 60)
    assert shown(CostSummary().net_funding, CostSummary().total_costs) == (0, 0)
    assert told.to_dict() == {
        "fees_paid": 50.0,
        "funding_paid": 30.0,
        "funding_received": 20.0,
        "net_funding": -10.0,
        "total_costs": 60.0,
    }


def test_v02_win_rate() -> None:
    assert TradeSummary(10, 7, 3).win_rate == 70.0
    assert (TradeSummary().win_rate, TradeSummary().total_trades) == (None, 0)


def test_v03_net_and_expectancy() -> None:
    for profit, loss, net, mean in ((100, -40, 60, 6.0), (30, -80, -50, -5.0)):
        told = TradeSummary(10, 5, 5, gross_profit=profit, gross_loss=loss)
        assert shown(told.net_pnl, told.expectancy) == (net, mean)


def test_v04_profit_factor() -> None:
    def written(profit: int, loss: int) -> Any:
        told = TradeSummary(2, 1, 1, gross_profit=profit, gross_loss=loss)
        return DailySummary(DAY, told).to_dict()["performance"]["profit_factor"]

    assert (written(100, -50), written(100, 0), written(0, 0)) == (2.0, "inf", None)


def test_v11_the_log_line() -> None:
    summary = DailySummary(
        DAY,
        TradeSummary(5, 3, 2, 50, -20, avg_entry_slippage_bps=0.0),
        ExecutionSummary(6, 5),
        CostSummary(2, 1, "0.5"),
        time_in_market_pct=30,
    )
    assert summary.to_log_line() == (
        "date=2026-01-01 trades=5 win_rate=60.0% expectancy=6.00 profit_factor=2.50 "
        "fill_rate=83.3% avg_slippage_bps=0.0 fees=2.00 net_funding=0.50 time_in_market=30.0%"
    )
    assert summary.costs.to_log_line() == "fees=2.00 net_funding=0.50"


def test_the_missions_own_line() -> None:
    summary = DailySummary(
        DAY,
        TradeSummary(5, 3, 2, "67.47", "-36.47", avg_entry_slippage_bps=3.5),
        ExecutionSummary(6, 5),
        CostSummary(fees_paid=12.50, funding_paid=2.30),
        time_in_market_pct=45.2,
    )
    assert summary.to_log_line() == (
        "date=2026-01-01 trades=5 win_rate=60.0% expectancy=6.20 profit_factor=1.85 "
        "fill_rate=83.3% avg_slippage_bps=3.5 fees=12.50 net_funding=-2.30 time_in_market=45.2%"
    )


def test_a16_metrics_are_served_as_prometheus_text(tmp_path: Path, clock: Clock) -> None:
    scraped: list[str] = []

    with PerformanceTelemetry(
        Client(V13), log_dir=tmp_path, clock=clock, port=0, sleep=lambda _: scrape()
    ) as desk:

        async def scrape() -> None:
            def fetch() -> str:
                with urlopen(f"{desk.metrics.url}/") as answer:
                    text: str = answer.read().decode()
                return text

            scraped.append(await asyncio.to_thread(fetch))
            if len(scraped) == 3:
                raise TimeUpError

        trip(desk, "t1", "100", "110")
        with pytest.raises(TimeUpError):
            asyncio.run(desk.telemetry_loop())
    for text in scraped:
        label = 'account="default",currency="USDT"'
        assert f"fillbook_fees_paid_total{{{label}}} 15.5\n" in text
        assert f"fillbook_funding_paid_total{{{label}}} 2.0\n" in text
        assert f"fillbook_trades_closed_total{{{label}}} 1.0\n" in text
        assert f"fillbook_win_rate_pct{{{label}}} 100.0\n" in text


SEVENTEEN = {
    # Four entry orders placed, three filled; the reduce-only one is none.
    "orders_placed_total": 4.0,
    "orders_filled_total": 3.0,
    "fill_rate_pct": 75.0,
    "avg_entry_slippage_bps": 10.0,
    "avg_exit_slippage_bps": -20.0,
    "fees_paid_total": 15.5,
    "funding_received_total": 3.0,
    "funding_paid_total": 2.0,
    "net_funding": 1.0,
    # +30.16 and -10.16 long ago, +10 and -20 in the week, +7 and -2 since the start.
    "expectancy_per_trade": 2.5,
    "profit_factor_session": 3.5,
    "profit_factor_7d": 17 / 22,
    "profit_factor_30d": 47.16 / 32.16,
    "win_rate_pct": 50.0,
    # Six hours each, two of them together for one; of 20 days and 6 hours from the first event on.
    "time_in_market_pct": 100 * 35 / (20 * 24 + 6),
    "avg_holding_time_hours": 6.0,
    "trades_closed_total": 6.0,
}


def test_a01_to_a13_every_metric_of_the_mission_by_hand(tmp_path: Path) -> None:
    clock = Clock(T0)
    before = T0 - 20 * DAY_NS
    with PerformanceTelemetry(
        Client(list(V13)), log_dir=tmp_path, clock=clock, settings=Settings(metrics=NO_PREFIX)
    ) as desk:
        for number in range(4):
            desk.on_order_placed(order(f"o{number}", before))
        for number in range(3):
            desk.on_order_filled(order(f"o{number}", before + 1))
        desk.on_order_placed(order("out", before, side="SELL", reduce_only=True))
        desk.on_order_filled(order("out", before, side="SELL", reduce_only=True))
        six = 6 * HOUR_NS
        slipped = {"expected_price": "100", "expected_exit_price": "130"}
        trip(desk, "t1", "100.10", "130.26", before, six, **slipped)
        trip(desk, "t2", "100", "89.84", before + six, six)
        trip(desk, "t3", "100", "110", T0 - 6 * DAY_NS, six)
        trip(desk, "t4", "100", "80", T0 - 5 * DAY_NS, six)
        trip(desk, "t5", "100", "107", T0 - 5 * HOUR_NS, six)
        trip(desk, "t6", "100", "98", T0, six)
        clock.now = T0 + six
        asyncio.run(desk.fetch_costs_from_binance())
        for _ in range(3):
            desk.update_metrics()
            text = desk.metrics.exposition()[0].decode()
            for name, value in SEVENTEEN.items():
                (shown_value,) = re.findall(rf"^{name}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE)
                assert float(shown_value) == pytest.approx(value), name


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (
            DailySummary(
                DAY,
                TradeSummary(10, 6, 4, 120, -40),
                ExecutionSummary(12, 10),
                CostSummary(5, 2, 3),
                time_in_market_pct=45.5,
            ),
            "trades=10 win_rate=60.0% expectancy=8.00 profit_factor=3.00 fill_rate=83.3% "
            "avg_slippage_bps=n/a fees=5.00 net_funding=-1.00 time_in_market=45.5%",
        ),
        (
            DailySummary(DAY, TradeSummary(10, 4, 6, 30, -80), ExecutionSummary(20, 16)),
            "trades=10 win_rate=40.0% expectancy=-5.00 profit_factor=0.38 fill_rate=80.0% "
            "avg_slippage_bps=n/a fees=0.00 net_funding=0.00 time_in_market=0.0%",
        ),
        (
            DailySummary(DAY, TradeSummary(1, 1, 0, 100, avg_entry_slippage_bps=-5.0)),
            "trades=1 win_rate=100.0% expectancy=100.00 profit_factor=inf fill_rate=n/a "
            "avg_slippage_bps=-5.0 fees=0.00 net_funding=0.00 time_in_market=0.0%",
        ),
        (
            DailySummary(DAY, costs=CostSummary(50, 20, 30), time_in_market_pct=100),
            "trades=0 win_rate=n/a expectancy=n/a profit_factor=n/a fill_rate=n/a "
            "avg_slippage_bps=n/a fees=50.00 net_funding=-10.00 time_in_market=100.0%",
        ),
    ],
    ids=["v10", "v03", "v04", "v01"],
)
def test_the_log_line_to_the_letter(summary: DailySummary, line: str) -> None:
    assert summary.to_log_line() == f"date={DAY} {line}"


def test_the_page_does_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: Client
) -> None:
    page = (Path(__file__).parent.parent / "docs" / "telemetry.md").read_text(encoding="utf-8")
    snippet, on_paper = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shows: dict[str, Any] = {}
    exec(snippet, shows)
    opened = {"trade_id": "t1", "symbol": "BTCUSDT", "side": "LONG", "quantity": 1}

    class Bot:
        def __init__(self) -> None:
            self.sends: dict[str, Any] = {}

        def on(self, kind: str, taken: Any) -> None:
            self.sends[kind] = taken

        async def run(self) -> None:
            self.sends["ORDER_PLACED"](order("o1"))
            self.sends["ORDER_FILLED"](order("o1", T0 + SECOND_NS))
            self.sends["POSITION_OPENED"]({**opened, "entry_price": 100, "timestamp": iso(T0)})
            late = iso(T0 + HOUR_NS)
            self.sends["POSITION_CLOSED"]({**opened, "exit_price": 110, "timestamp": late})
            raise TimeUpError

    with pytest.raises(TimeUpError):
        asyncio.run(shows["main"](Bot(), client))
    with PerformanceTelemetry(log_dir=tmp_path / "logs", clock=Clock(T0 + DAY_NS)) as desk:
        assert desk.execution_summary().fill_rate_pct == 100.0
        assert shown(desk.trade_summary().gross_profit) == (10,)
    (tmp_path / "paper").mkdir()
    monkeypatch.chdir(tmp_path / "paper")
    exec(on_paper, {"now_ns": T0})
    with PerformanceTelemetry(simulate=True, clock=Clock(T0 + DAY_NS)) as desk:
        assert desk.cost_summary().fees_paid == Decimal("0.004002")
        assert desk.execution_summary().fill_rate_pct == 100.0
