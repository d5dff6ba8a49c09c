"""The acceptance cases of live trading, through the running monitor and a venue's own wire.

Each test carries the number of its case. The venue is a simulated Binance on loopback where only
what the test says happens; the monitor is the real one, on the test's clock.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from cli_run import fillbook
from fillbook.ground.clock import SECOND_NS, iso
from fillbook.sim.world import BTCUSDC, ETHUSDC, SOLUSDC
from monitor_runs import rows_of, running
from stage import KEY, SECRET, TOKEN, Live, configure, venue_on_stage, watched


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with watched(tmp_path) as live:
        yield live


def value_of(exposed: str, metric: str) -> float | None:
    """Return the only value of a metric, None where it is not there."""
    found = re.findall(rf"^fillbook_{metric}(?:{{[^}}]*}})? (\S+)$", exposed, re.MULTILINE)
    assert len(found) <= 1, found
    return float(found[0]) if found else None


def push(live: Live, **fact: Any) -> None:
    """Let a bot tell one fact over HTTP."""
    (line,) = live.says("Health and metrics:")
    url = line.split()[3].replace("/healthz,", "/api/v1/facts")
    body = json.dumps({"account": "stage", "time": iso(live.stage.clock.now_ns()), **fact})
    with urlopen(
        Request(url, body.encode(), {"Authorization": f"Bearer {TOKEN}"}), timeout=10
    ) as answer:
        assert json.load(answer)["accepted"] == 1


@pytest.mark.parametrize(
    ("placed", "filled", "rate"), [(20, 16, "80"), (12, 10, "83.33"), (0, 0, None)]
)
def test_v05_v06_the_fill_rate_counts_entry_orders_once(
    live: Live, placed: int, filled: int, rate: str | None
) -> None:
    for nth in range(placed):
        live.stage.trade("buy", "0.1", "100", fills=nth < filled)
    if filled:
        # V06: what only reduces is no entry, placed or filled.
        live.stage.trade("sell", "0.1", "100", reduce_only=True)
        live.stage.trade("sell", "0.1", "100", reduce_only=True, fills=False)
    live.look(2)
    if rate is None:
        summary = live.told(lambda summary: True)
        assert summary.orders == ()
    else:
        summary = live.told(
            lambda s: [(o.placed, o.filled) for o in s.orders] == [(placed, filled)]
        )
        assert summary.orders[0].fill_rate_pct == Fraction(100 * filled, placed)
        assert f"{float(summary.orders[0].fill_rate_pct):.4g}" == rate
    exposed = live.metrics()
    told = value_of(exposed, "fill_rate_pct")
    assert told is None if rate is None else told == pytest.approx(100 * filled / placed)


def test_v07_slippage_against_the_price_the_bot_expected(live: Live) -> None:
    # (side, reduces, expected, filled): +5.0 bps, +10.0 bps on the way out, and a better entry.
    told = [
        ("buy", False, "100.00", "100.05"),
        ("sell", True, "100.00", "99.90"),
        ("buy", False, "100.00", "99.95"),
        ("sell", True, "100.00", "100.00"),
    ]
    for nth, (side, reduces, expected, px) in enumerate(told):
        name = f"bot-{nth}"
        push(
            live, kind="order", instrument="ETHUSDC", status="placed", side=side, qty="1",
            client_order_id=name, expected_px=expected, reduce_only=reduces,
        )  # fmt: skip
        live.stage.trade(side, "1", px, ETHUSDC, reduce_only=reduces, client_id=name)  # type: ignore[arg-type]
    live.look()
    live.ended(2)
    summary = live.told(lambda s: bool(s.records) and s.records[0].entry_slippage_bps is not None)
    (record,) = summary.records
    assert record.entry_slippage_bps == pytest.approx((5 - 5) / 2)
    assert record.exit_slippage_bps == pytest.approx((10 + 0) / 2)


def test_v13_costs_are_the_same_however_often_they_are_pulled(live: Live) -> None:
    live.stage.trade("buy", "1", "100", fee="10.5")
    live.stage.pay("3")
    live.stage.pay("-2")
    live.stage.trade("sell", "1", "100", fee="5.0")
    live.ended(1)
    live.look(12)
    summary = live.told(lambda s: s.costs[0].funding_received == "3")
    (row,) = summary.costs
    assert (row.fees, row.funding_received, row.funding_paid, row.net_funding) == (
        *("15.5", "3", "2", "1"),
    )
    exposed = live.metrics()
    assert value_of(exposed, "fees_paid_total") == 15.5
    assert value_of(exposed, "trades_closed_total") == 1


def test_v15_a_stop_that_filled_closes_its_trade_once(live: Live) -> None:
    live.stage.trade("buy", "1", "100")
    live.stage.trade("sell", "1", "94", kind="stop", reduce_only=True)
    (row,) = live.ended(1)
    assert (row.realized_pnl, row.final_status) == ("-6", "completed")
    live.look()
    (row,) = live.told(lambda s: s.recent_trades[0].exit_cause is not None).recent_trades
    assert (row.exit_cause, row.exit_cause_certain) == ("stop_loss", True)
    # The stream tells it, every pull tells it again.
    live.look(3)
    assert [row.fills for row in live.trades()] == [2]
    assert len(live.says("📊 Trade completed: BTCUSDC_LONG | PnL: -$6.00")) == 1


def test_v18_a_partial_close_is_not_the_end(live: Live) -> None:
    live.stage.trade("sell", "2", "68000")
    live.stage.trade("buy", "1", "67500", reduce_only=True)
    summary = live.told(lambda s: bool(s.open_trades) and s.open_trades[0].fills == 2)
    (row,) = summary.open_trades
    (position,) = (p for p in summary.positions if p.strategy is None)
    assert (row.realized_pnl, row.position_size, position.qty) == ("500", "2", "-1")
    assert live.says("📊") == []


def test_v19_another_entry_is_another_trade(live: Live) -> None:
    for nth, (side, px) in enumerate([("sell", "68000"), ("buy", "67500"), ("sell", "67000")]):
        name = ("d-old", "d-exit", "d-new")[nth]
        push(
            live, kind="decision", decision_id=name, instrument="BTCUSDC", action=side,
            client_order_id=name, strategy="trend",
        )  # fmt: skip
        push(
            live, kind="order", instrument="BTCUSDC", status="placed", side=side, qty="1",
            client_order_id=name, decision_id=name,
        )  # fmt: skip
        # All between two looks at the positions, which are the same size before and after.
        live.stage.trade(side, "1", px, client_id=name)  # type: ignore[arg-type]
    (old,) = live.ended(1)
    (new,) = live.told(lambda s: bool(s.open_trades)).open_trades
    assert (old.realized_pnl, old.approximate, old.entry_price) == ("500", False, "68000")
    assert (new.entry_price, new.final_status) == ("67000", "open")
    assert old.trade_id != new.trade_id


def test_v21_v23_gone_without_a_fill(live: Live) -> None:
    live.stage.marks = {"ETHUSDC": Decimal(3500)}
    live.stage.trade("buy", "0.1", "3500", ETHUSDC)
    live.stage.trade("buy", "0.1", "100", SOLUSDC)
    live.told(lambda s: len(s.open_trades) == 2)
    live.look()
    live.stage.marks = {"ETHUSDC": Decimal(3515)}
    live.look(2)
    live.stage.lose(ETHUSDC)
    live.stage.lose(SOLUSDC)
    # Fills are looked for as long as `vanished_after` says, and nothing is closed before.
    live.look(2)
    assert live.says("📊") == []
    live.look(5)
    by_name = {row.product_id: row for row in live.ended(2)}
    eth, sol = by_name["ETHUSDC"], by_name["SOLUSDC"]
    assert (eth.realized_pnl, eth.exit_price_source) == ("1.5", "last observed")
    assert eth.approximate and eth.final_status == "completed"
    # Nobody ever saw a price of this one: closed, kept, and no number is made up.
    assert (sol.outcome, sol.realized_pnl, sol.final_status) == ("unpriced", None, "completed")
    listed = [f for f in live.told(lambda s: True).findings if f.code == "position-vanished"]
    assert {found.instrument for found in listed} == {"ETHUSDC", "SOLUSDC"}
    assert sorted(live.says("📊")) == [
        "📊 Trade completed: ETHUSDC_LONG | PnL: $1.50 before fees (unknown), estimated exit "
        "price (last observed) | Exit: take_profit_likely",
        "📊 Trade completed: SOLUSDC_LONG | PnL: unknown (closed at a price that nobody saw)",
    ]


def walk(live: Live, *pnls: int) -> None:
    """Let the one long of 1 at 1000 stand at these results, each seen by the monitor."""
    for pnl in pnls:
        live.stage.marks = {"BTCUSDC": Decimal(10_000 + pnl)}
        live.look()
        px, mark = Decimal(10_000 + pnl), "BTCUSDC"
        live.told(lambda s, px=px, mark=mark: _mark_in(s.positions, mark) == px)  # type: ignore[misc]


def _mark_in(positions: Any, instrument: str) -> Decimal | None:
    marks = [p.mark for p in positions if p.instrument == instrument and p.strategy is None]
    return Decimal(marks[0]) if marks and marks[0] else None


def test_v24_the_path_is_followed(live: Live) -> None:
    live.stage.marks = {"BTCUSDC": Decimal(10_000)}
    live.stage.trade("buy", "1", "10000")
    live.told(lambda s: bool(s.open_trades))
    walk(live, 0, 800, 1800, 1600, 1500)
    live.stage.trade("sell", "1", "11500")
    (row,) = live.ended(1)
    assert (row.realized_pnl, row.peak_pnl, row.max_drawdown) == ("1500", "1800", "300")
    assert row.exit_reason == "manual_close"


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        ("10900", "take_profit_likely"),
        ("10899.9", "manual_close"),
        ("9500", "stop_loss_likely"),
        ("9500.1", "manual_close"),
    ],
)
def test_v25_how_a_trade_that_stood_at_1000_ended(live: Live, last: str, reason: str) -> None:
    live.stage.marks = {"BTCUSDC": Decimal(10_000)}
    live.stage.trade("buy", "1", "10000")
    live.told(lambda s: bool(s.open_trades))
    walk(live, 1000)
    live.stage.trade("sell", "1", last)
    (row,) = live.ended(1)
    assert (row.peak_pnl, row.exit_reason) == ("1000", reason)


def test_v25_stopping_the_monitor_completes_nothing(live: Live) -> None:
    live.stage.trade("buy", "1", "10000")
    live.told(lambda s: bool(s.open_trades))
    live.stop()
    assert live.says("📊") == []
    assert live.farewell is not None and len(live.farewell.still_open) == 1
    assert live.farewell.still_open[0].startswith("BTCUSDC_LONG since ")


def test_v27_three_positions_cost_one_call_a_poll(live: Live) -> None:
    for market, px in ((BTCUSDC, "68000"), (ETHUSDC, "3500"), (SOLUSDC, "100")):
        live.stage.trade("buy", "1", px, market)
    live.told(lambda s: len(s.open_trades) == 3)
    live.until("all three tracked", lambda: len(live.says("✅ Started tracking trade:")) == 3)
    calls, since_ns = live.polls(), live.stage.clock.now_ns()
    live.look(5)
    elapsed_ns = live.stage.clock.now_ns() - since_ns
    assert 5 <= live.polls() - calls <= elapsed_ns // (30 * SECOND_NS) + 1


def test_v20_a_killed_monitor_goes_on_with_the_same_trade(tmp_path: Path) -> None:
    with venue_on_stage(speed=1) as (stage, venue):
        configure(tmp_path, venue, detection_interval='"1s"', poll_interval='"1s"')
        stage.trade("buy", "1", "100")
        with running(tmp_path) as monitor:
            monitor.heard("✅ Started tracking trade: BTCUSDC_LONG")
            (before,) = rows_of(tmp_path, "trades")
            monitor.program.kill()
        stage.trade("buy", "1", "102")
        with running(tmp_path) as monitor:
            monitor.heard("✅ Started tracking trade: BTCUSDC_LONG")
            stage.trade("sell", "2", "110")
            venue.settle()
            told = monitor.heard("📊 Trade completed:")
            assert told[0].startswith("📊 Trade completed: BTCUSDC_LONG | PnL: $18.00")
            assert monitor.says("🔔") == []
            assert fillbook(tmp_path, "monitor", "stop").status == 0
        (row,) = rows_of(tmp_path, "trades")
        assert row["fills"] == 3
        assert {row[name] == before[name] for name in ("trade_id", "entry_time", "side")} == {True}
        assert not any(secret in "\n".join(monitor.lines) for secret in (KEY, SECRET))
