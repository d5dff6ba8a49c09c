"""What a trader asks of the book, end to end: a file goes in, a command answers.

Each case is one sentence of the acceptance list (its number stands in the test's name): a small
file is written, imported through `fillbook import`, and read back with a command's `--json`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fillbook.cli.app import app

TRADES = "trade_id,symbol,side,quantity,entry_price,exit_price,entry_time,exit_time,holding_hours,"
TRADES += "realized_pnl,reason"
FILLS = "time,instrument,side,px,qty,fee,fee_asset,fill_id"
FUNDING = "time,instrument,amount,asset"
ORDERS = "timestamp,event_type,trade_id,symbol,side,order_type,client_order_id,order_id,quantity,"
ORDERS += "price,stop_price,reduce_only,reason,cancel_error"


class Desk:
    """A folder with a book, and the command line to speak to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = folder / "book.db"

    def run(self, *args: str, status: int = 0) -> str:
        """Run a command on the book and return what it printed."""
        done = CliRunner().invoke(app, [*args, "--book", str(self.book)], catch_exceptions=False)
        assert done.exit_code == status, done.output
        return done.stdout

    def take(self, name: str, text: str, *options: str) -> dict[str, Any]:
        """Write a file and import it; return the import's own report."""
        path = self.folder / name
        path.write_text(text)
        report: dict[str, Any] = json.loads(self.run("import", str(path), *options, "--json"))
        return report

    def rows(self, command: str, *options: str) -> list[dict[str, Any]]:
        """Return the rows of a listing command."""
        rows: list[dict[str, Any]] = json.loads(self.run(command, *options, "--json"))["rows"]
        return rows

    def one(self, command: str, *options: str) -> dict[str, Any]:
        """Return the only row of a listing command."""
        (row,) = self.rows(command, *options)
        return row


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def table(header: str, rows: Iterable[Sequence[object]]) -> str:
    """Return CSV text; cells are written as they print."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return text.getvalue()


def trips(pnls: Sequence[int | str], day: str = "2026-01-01") -> str:
    """Return a trades.csv of one-hour longs bought at 1000, each with the given result."""
    rows = []
    for place, pnl in enumerate(pnls):
        entry = datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(hours=2 * place)
        left = entry + timedelta(hours=1)
        exit_px = Decimal(1000) + Decimal(pnl)
        cells = (f"t{place}", "BTCUSDT", "LONG", 1, 1000, exit_px)
        rows.append((*cells, entry.isoformat(), left.isoformat(), 1.0, pnl, ""))
    return table(TRADES, rows)


def test_v01_costs_are_fees_less_net_funding(desk: Desk) -> None:
    desk.take(
        "fills.csv", table(FILLS, [("2026-01-01T00:00:00Z", "BTCUSDT", "buy", 9, 1, 50, "USDT", 1)])
    )
    funding = [("2026-01-01T08:00:00Z", "BTCUSDT", 20, "USDT")]
    funding += [("2026-01-01T16:00:00Z", "BTCUSDT", -30, "USDT")]
    desk.take("funding.csv", table(FUNDING, funding))
    costs = desk.one("costs")
    told = ("fees", "funding_received", "funding_paid", "net_funding", "total_costs")
    assert [costs[name] for name in told] == ["50", "20", "30", "-10", "60"]


def test_v01_nothing_costs_nothing(desk: Desk) -> None:
    desk.take(
        "fills.csv", table(FILLS, [("2026-01-01T00:00:00Z", "BTCUSDT", "buy", 9, 1, 0, "USDT", 1)])
    )
    costs = desk.one("costs")
    assert (costs["net_funding"], costs["total_costs"]) == ("0", "0")


def test_v02_seven_wins_of_ten_are_seventy_per_cent(desk: Desk) -> None:
    desk.take("trades.csv", trips([10] * 7 + [-10] * 3))
    card = desk.one("performance")
    assert (card["n"], card["wins"], card["losses"], card["win_rate_ratio"]) == (10, 7, 3, 0.7)


def test_v02_no_trades_are_zero_of_nothing(desk: Desk) -> None:
    desk.take(
        "fills.csv", table(FILLS, [("2026-01-01T00:00:00Z", "BTCUSDT", "buy", 9, 1, 0, "USDT", 1)])
    )
    text = desk.run("performance", "--json")
    assert "NaN" not in text and "Infinity" not in text
    card = desk.one("performance")
    assert (card["n"], card["win_rate_ratio"], card["expectancy"]) == (0, None, None)


@pytest.mark.parametrize(
    ("pnls", "net", "expectancy"),
    [([20] * 5 + [-8] * 5, "60", 6.0), ([6] * 5 + [-16] * 5, "-50", -5.0)],
)
def test_v03_expectancy_is_net_over_all_trades(
    desk: Desk, pnls: list[int], net: str, expectancy: float
) -> None:
    desk.take("trades.csv", trips(pnls))
    card = desk.one("performance")
    assert (card["n"], card["net"], card["expectancy"]) == (10, net, expectancy)


@pytest.mark.parametrize(
    ("pnls", "factor", "written"),
    [([100, -50], 2.0, 2.0), ([100], None, "inf"), ([0], None, None)],
)
def test_v04_profit_factor_without_losses_is_inf_in_the_daily_files_only(
    desk: Desk, pnls: list[int], factor: float | None, written: object
) -> None:
    desk.take("trades.csv", trips(pnls))
    assert desk.one("performance")["profit_factor"] == factor
    desk.run("daily", "2026-01-01", "--out", str(desk.folder / "out"))
    text = (desk.folder / "out/daily_summary_2026-01-01.json").read_text()
    assert json.loads(text)["performance"]["profit_factor"] == written
    assert "Infinity" not in text
    row = _daily_csv(desk, "2026-01-01")
    assert row["profit_factor"] == ("" if written is None else str(written))


def test_v08_a_row_without_exit_is_open_and_outside_the_statistics(desk: Desk) -> None:
    rows = [
        ("a", "BTCUSDT", "LONG", 1, 100, 110, _at(0), _at(5), 5, 10, "TP"),
        ("b", "BTCUSDT", "LONG", 1, 100, 95, _at(6), _at(10), 4, -5, "SL"),
        ("c", "BTCUSDT", "LONG", 1, 100, "", _at(11), "", "", "", ""),
    ]
    desk.take("trades.csv", table(TRADES, rows))
    card = desk.one("performance")
    assert (card["n"], card["wins"], card["losses"], card["n_open"]) == (2, 1, 1, 1)
    assert (card["gross_profit"], card["gross_loss"]) == ("10", "5")
    assert (card["win_rate_ratio"], card["avg_hold_hours"]) == (0.5, 4.5)
    desk.run("daily", "2026-01-01", "--out", str(desk.folder / "out"))
    assert _daily_csv(desk, "2026-01-01")["gross_loss"] == "-5.0"


def test_v09_windows_count_trades_by_their_exit(desk: Desk) -> None:
    now = datetime.now(UTC)
    rows = []
    for days, pnl in ((9, 100), (1, 5)):
        left = now - timedelta(days=days)
        entry = left - timedelta(hours=1)
        cells = (f"d{days}", "BTCUSDT", "LONG", 1, 1000, 1000 + pnl)
        rows.append((*cells, entry.isoformat(), left.isoformat(), 1, pnl, ""))
    desk.take("trades.csv", table(TRADES, rows))
    week, month = (
        desk.one("performance", "--since", "7d"),
        desk.one("performance", "--since", "30d"),
    )
    assert (week["n"], week["gross_profit"]) == (1, "5")
    assert (month["n"], month["gross_profit"]) == (2, "105")


def _day_of_trades(
    desk: Desk, nets: Sequence[int], fee: str, funding: Sequence[str], hours: str, placed: int
) -> None:
    """Import a day of equally long trades one after the other, with fees, funding and orders.

    Every trade nets the given amount: its price move makes up for its own fee and funding.
    """
    start = datetime(2026, 1, 1, tzinfo=UTC)
    length = timedelta(seconds=float(Decimal(hours) * 3600 / len(nets)))
    fills, paid, orders = [], [], []
    for place, net in enumerate(nets):
        entry = start + timedelta(hours=2 * place)
        flow = Decimal(funding[place]) if place < len(funding) else Decimal(0)
        exit_px = 1000 + Decimal(net) + Decimal(fee) - flow
        fills.append((_iso(entry), "BTCUSDT", "buy", 1000, 1, 0, "USDT", f"{place}a"))
        fills.append(
            (_iso(entry + length), "BTCUSDT", "sell", exit_px, 1, fee, "USDT", f"{place}b")
        )
        if flow:
            paid.append((_iso(entry + timedelta(minutes=1)), "BTCUSDT", flow, "USDT"))
    for place in range(placed):
        moment = _iso(start + timedelta(minutes=place))
        for what in ("OrderPlaced", "OrderFilled") if place < len(nets) else ("OrderPlaced",):
            orders.append(
                (
                    moment,
                    what,
                    "",
                    "BTCUSDT",
                    "BUY",
                    "LIMIT",
                    f"c{place}",
                    "",
                    1,
                    1000,
                    "",
                    "False",
                    "",
                    "",
                )
            )
    desk.take("fills.csv", table(FILLS, fills), "--account", "bot")
    desk.take("funding.csv", table(FUNDING, paid), "--account", "bot")
    desk.take("orders.csv", table(ORDERS, orders), "--account", "bot")


def test_v10_one_day_in_the_daily_file(desk: Desk) -> None:
    _day_of_trades(desk, [20] * 6 + [-10] * 4, "0.5", ["2", "-3"], "10.92", placed=12)
    desk.run("daily", "2026-01-01", "--out", str(desk.folder / "out"))
    day = json.loads((desk.folder / "out/daily_summary_2026-01-01.json").read_text())
    assert day["trades"] == {"total": 10, "wins": 6, "losses": 4, "win_rate_pct": 60.0}
    told = ("gross_profit", "gross_loss", "net_pnl", "expectancy", "profit_factor")
    assert [day["performance"][name] for name in told] == [120.0, -40.0, 80.0, 8.0, 3.0]
    assert (day["execution"]["orders_placed"], day["execution"]["orders_filled"]) == (12, 10)
    assert day["execution"]["fill_rate_pct"] == 83.33
    told = ("fees_paid", "funding_received", "funding_paid", "net_funding", "total_costs")
    assert [day["costs"][name] for name in told] == [5.0, 2.0, 3.0, -1.0, 6.0]
    assert day["time"]["time_in_market_pct"] == 45.5


def test_v11_the_log_line_to_the_letter(desk: Desk) -> None:
    _day_of_trades(desk, [20, 20, 10, -10, -10], "0.4", ["1", "-0.5"], "7.2", placed=6)
    decisions = "time,instrument,action,decision_id,decision_px,arrival_px,fill_id"
    seen = [
        (_at(2 * place), "BTCUSDT", "buy", f"d{place}", 1000, 1000, f"{place}a")
        for place in range(5)
    ]
    desk.take("decisions.csv", table(decisions, seen), "--account", "bot")
    line = desk.run("daily", "2026-01-01", "--out", str(desk.folder / "out")).strip()
    assert line == (
        "date=2026-01-01 trades=5 win_rate=60.0% expectancy=6.00 profit_factor=2.50 "
        "fill_rate=83.3% avg_slippage_bps=0.0 fees=2.00 net_funding=0.50 time_in_market=30.0%"
    )


def test_v12_the_daily_files_have_their_shape_and_never_waver(desk: Desk) -> None:
    desk.take("trades.csv", trips([100, -50]))
    written = []
    for _ in range(2):
        desk.run("daily", "2026-01-01", "--out", str(desk.folder / "out"))
        files = sorted((desk.folder / "out").iterdir())
        assert [path.name for path in files] == [
            "daily_summary_2026-01-01.csv",
            "daily_summary_2026-01-01.json",
        ]
        written.append([path.read_bytes() for path in files])
    assert written[0] == written[1]
    header, *rows = written[0][0].decode().splitlines()
    assert header == (
        "date,trades,wins,losses,win_rate_pct,gross_profit,gross_loss,net_pnl,expectancy,"
        "profit_factor,fill_rate_pct,avg_entry_slippage_bps,avg_exit_slippage_bps,fees_paid,"
        "funding_paid,funding_received,net_funding,time_in_market_pct,avg_holding_hours"
    )
    assert len(rows) == 1


def test_v14_a_trade_of_two_hours(desk: Desk) -> None:
    row = ("x", "BTCUSDT", "LONG", "0.1", 100, 110, _at(0), _at(2), 2.0, 1.0, "TP")
    desk.take("trades.csv", table(TRADES, [row]))
    trade = desk.one("trades")
    assert (trade["realized_pnl"], trade["holding_duration_hours"]) == ("1", 2.0)


@pytest.mark.parametrize(
    ("side", "qty", "entry", "left", "pnl"),
    [
        ("LONG", 1, 100, 110, "10"),
        ("LONG", 1, 100, 90, "-10"),
        ("SHORT", 1, 100, 90, "10"),
        ("SHORT", 1, 100, 110, "-10"),
        ("SHORT", 5, 68000, 67900, "500"),
    ],
)
def test_v16_both_directions(
    desk: Desk, side: str, qty: int, entry: int, left: int, pnl: str
) -> None:
    row = ("x", "BTCUSDT", side, qty, entry, left, _at(0), _at(1), 1, pnl, "")
    desk.take("trades.csv", table(TRADES, [row]))
    trade = desk.one("trades")
    assert (trade["side"], trade["realized_pnl"]) == (side, pnl)


def test_v16_an_unknown_side_is_refused_with_its_reason(desk: Desk) -> None:
    rows = [
        ("x", "BTCUSDT", "UNKNOWN", 1, 100, 110, _at(0), _at(1), 1, 10, ""),
        ("y", "BTCUSDT", "LONG", 1, 100, 110, _at(2), _at(3), 1, 10, ""),
    ]
    report = desk.take("trades.csv", table(TRADES, rows))
    (refused,) = report["files"][0]["rejections"]
    assert (refused["line"], refused["field"]) == (2, "side")
    assert "UNKNOWN" in refused["reason"]
    assert [trade["trade_id"] for trade in desk.rows("trades")] == ["y"]


def test_v17_net_is_after_the_fee(desk: Desk) -> None:
    rows = [
        (_at(0), "BTCUSDT", "buy", 68000, 1, 0, "USDT", 1),
        (_at(1), "BTCUSDT", "sell", 68500, 1, "0.34", "USDT", 2),
    ]
    desk.take("fills.csv", table(FILLS, rows))
    trade = desk.one("trades")
    assert (trade["realized_pnl"], trade["fees"], trade["net"]) == ("500", "0.34", "499.66")


def test_v17_a_reported_result_that_the_prices_contradict(desk: Desk) -> None:
    row = ("x", "BTCUSDT", "LONG", 1, 100, 110, _at(0), _at(1), 1, 999, "")
    desk.take("trades.csv", table(TRADES, [row]))
    assert desk.one("trades")["realized_pnl"] == "10"
    codes = [finding["code"] for finding in desk.rows("findings")]
    assert "recorded-pnl-differs" in codes


def test_v22_a_close_at_the_entry_price_is_break_even_and_kept(desk: Desk) -> None:
    rows = [
        (_at(0), "BTCUSDT", "buy", 100, 1, 0, "USDT", 1),
        (_at(1), "BTCUSDT", "sell", 100, 1, 0, "USDT", 2),
    ]
    desk.take("fills.csv", table(FILLS, rows))
    trade, card = desk.one("trades"), desk.one("performance")
    assert (trade["realized_pnl"], trade["outcome"]) == ("0", "break-even")
    assert (card["n"], card["wins"], card["losses"], card["breakeven"]) == (1, 0, 0, 1)


def test_v26_fifteen_trades(desk: Desk) -> None:
    desk.take("trades.csv", trips([600] * 8 + [650] + [-200] * 6))
    card = desk.one("performance")
    assert (card["n"], card["wins"], card["win_rate_ratio"]) == (15, 9, 0.6)
    assert (card["net"], round(card["expectancy"], 2)) == ("4250", 283.33)


def test_v29_five_recorded_trades_and_the_drawdown_in_money(desk: Desk) -> None:
    told = [
        ("BTCUSDT", "LONG", 50000, 52000, "0.1"),
        ("BTCUSDT", "LONG", 51000, 50500, "0.08"),
        ("BTCUSDT", "SHORT", 52000, 50000, "0.12"),
        ("ETHUSDT", "LONG", 3000, 3200, "2"),
        ("BTCUSDT", "LONG", 49000, 51000, "0.15"),
    ]
    rows = [
        (f"t{n}", symbol, side, qty, entry, left, _at(2 * n), _at(2 * n + 1), 1, "", "")
        for n, (symbol, side, entry, left, qty) in enumerate(told)
    ]
    desk.take("trades.csv", table(TRADES, rows))
    assert [trade["realized_pnl"] for trade in desk.rows("trades")] == [
        *("200", "-40", "240", "400", "300"),
    ]
    card = desk.one("performance")
    assert (card["gross_profit"], card["gross_loss"], card["n"]) == ("1140", "40", 5)
    assert (card["win_rate_ratio"], card["avg_win"], card["profit_factor"]) == (0.8, 285.0, 28.5)
    # Without declared capital there is no base for a percentage, only money.
    assert (card["max_drawdown"], card["max_drawdown_ratio"]) == ("40", None)
    assert card["trade_definition"] == "as recorded"


def _api_fill(tid: int) -> dict[str, object]:
    return {
        "coin": "ETH",
        "px": "2500.5",
        "sz": "0.4",
        "side": "B",
        "time": 1767225600000,
        "startPosition": "0.0",
        "dir": "Open Long",
        "closedPnl": "0.0",
        "hash": "0x" + "0" * 64,
        "oid": 77,
        "crossed": True,
        "fee": "0.35",
        "tid": tid,
        "feeToken": "USDC",
    }


def test_v38_alike_fills_with_ids_of_their_own_all_count_and_none_twice(desk: Desk) -> None:
    rows = [{**_api_fill(tid), "startPosition": f"{(tid - 1) * 4 / 10}"} for tid in (1, 2, 3, 4)]
    account = ("--account", "0x" + "a" * 40)
    desk.take("fills.json", json.dumps(rows), *account)
    assert len(desk.rows("fills")) == 4
    before = desk.run("why", "--json")
    desk.take("again.json", json.dumps([*rows, rows[0]]), *account)
    desk.take("fills.json", json.dumps(rows), *account)
    after = desk.run("why", "--json")
    assert len(desk.rows("fills")) == 4
    told = ("currencies", "n_fills", "n_trades")
    assert [json.loads(before)[name] for name in told] == [json.loads(after)[name] for name in told]


EXECUTIONS = """\
symbol,side,qty,price,fee,strategy,cost,proceeds
BTC/EUR,buy,0.006540804138365035,91731.84019999999,1.5599999999999998,NAME,601.56,
BTC/USD,buy,0.0055268541719740594,108560.85239999999,1.5599999999999998,NAME,601.56,
ETH/USD,buy,0.23964521005941128,2503.7011999999995,1.5599999999999998,NAME,601.56,
BTC/USD,sell,0.0055268541719740594,107013.17970000001,1.5377602205710024,NAME,,589.9084784605838
ETH/USD,sell,0.23964521005941128,2421.75582,1.5089416737109045,NAME,,578.8532405227909
""".replace("NAME", "trend_following")


def test_v39_executions_without_times_close_two_trades_and_leave_one_open(desk: Desk) -> None:
    desk.take("trades.csv", EXECUTIONS, "--start", "2025-05-24T12:00:00Z")
    trades = {trade["product_id"]: trade for trade in desk.rows("trades")}
    assert (trades["BTC/EUR"]["outcome"], trades["BTC/EUR"]["currency"]) == ("open", "EUR")
    nets = {name: Decimal(trades[name]["net"]) for name in ("BTC/USD", "ETH/USD")}
    assert round(nets["BTC/USD"], 8) == Decimal("-11.65152154")
    assert round(nets["ETH/USD"], 8) == Decimal("-22.70675948")
    assert [trade["holding_duration_hours"] for trade in trades.values()] == [None] * 3
    cards = {card["currency"]: card for card in desk.rows("performance")}
    assert (cards["USD"]["n"], cards["USD"]["wins"], cards["USD"]["win_rate_ratio"]) == (2, 0, 0.0)
    assert (cards["EUR"]["n"], cards["EUR"]["n_open"]) == (0, 1)
    assert set(json.loads(desk.run("why", "--json"))["currencies"]) == {"EUR", "USD"}
    for cost in desk.rows("costs"):
        assert round(cost["fee_bps"], 9) == 26.0
    for fill in desk.rows("fills"):
        bps = Decimal(fill["fee"]) / (Decimal(fill["px"]) * Decimal(fill["qty"])) * 10_000
        assert round(bps, 9) == 26


def _at(hour: int) -> str:
    return _iso(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour))


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _daily_csv(desk: Desk, day: str) -> dict[str, str]:
    text = (desk.folder / f"out/daily_summary_{day}.csv").read_text()
    (row,) = csv.DictReader(io.StringIO(text))
    return row
