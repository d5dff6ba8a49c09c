"""Files that bots and back tests write: round trips, orders, executions without times."""

from __future__ import annotations

import zipfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from fillbook.facts.model import Fill, Funding, OrderUpdate
from fillbook.ground.clock import parse_ns
from fillbook.ground.errors import InputError
from reader_runs import CASES, read_file, read_text

D = Decimal
TRADES = (CASES / "bot_trades.csv").read_text()
HEADER = TRADES.splitlines()[0]
PAPER = CASES / "paper_executions.csv"
START_NS = parse_ns("2025-05-24T12:00:00Z")


def trip_rows(folder: Path, *rows: str, header: str = HEADER) -> list[Fill]:
    return read_text(folder, "\n".join((header, *rows))).only(Fill)


def gross(fills: list[Fill]) -> Decimal:
    """What a closed set of fills earned before fees, by cash alone."""
    return sum((f.px * f.qty * (1 if f.side == "sell" else -1) for f in fills), D(0))


def test_a_closed_row_is_an_entry_and_an_exit_of_its_own_sub_book() -> None:
    entry, left = read_file(CASES / "bot_trades.csv").only(Fill)[:2]
    assert (entry.ts_ns, left.ts_ns) == (
        parse_ns("2026-01-05T00:00:00Z"),
        parse_ns("2026-01-05T02:00:00Z"),
    )
    assert left.ts_ns - entry.ts_ns == 2 * 3600 * 10**9
    assert (entry.side, entry.px, left.side, left.px) == ("buy", D(100), "sell", D(110))
    assert (entry.leg, left.leg) == ("BTCUSDT-1", "BTCUSDT-1")
    assert (entry.venue_pnl, left.venue_pnl) == (None, D(1))
    assert (entry.exit_reason, left.exit_reason) == (None, "TAKE_PROFIT")
    # No fee column: fees are unknown, not zero.
    assert (entry.fee, left.fee, entry.fee_asset) == (None, None, None)


def test_an_open_row_has_only_its_entry() -> None:
    fills = read_file(CASES / "bot_trades.csv").only(Fill)
    assert [fill.side for fill in fills if fill.leg == "BTCUSDT-3"] == ["buy"]


def test_an_unknown_side_is_rejected_with_its_reason() -> None:
    (rejected,) = read_file(CASES / "bot_trades.csv").rejected
    assert (rejected.line, rejected.field) == (5, "side")
    assert "'UNKNOWN' is none of long, buy, short, sell" in rejected.reason


@pytest.mark.parametrize(
    ("side", "qty", "entry", "left", "earned"),
    [
        ("LONG", "1", "100", "110", "10"),
        ("LONG", "1", "100", "90", "-10"),
        ("SHORT", "1", "100", "90", "10"),
        ("SHORT", "1", "100", "110", "-10"),
        ("SHORT", "5", "68000", "67900", "500"),
        ("BUY", "0.1", "50000", "52000", "200"),
        ("sell", "0.12", "52000", "50000", "240"),
    ],
)
def test_sides_give_the_sign_of_the_result(
    tmp_path: Path, side: str, qty: str, entry: str, left: str, earned: str
) -> None:
    row = f"t,BTCUSDT,{side},{qty},{entry},{left},2026-01-05T00:00:00Z,2026-01-05T02:00:00Z,2,,"
    assert gross(trip_rows(tmp_path, row)) == D(earned)


def test_both_column_sets_say_the_same() -> None:
    one = read_file(CASES / "bot_trades.csv")
    other = read_file(CASES / "bot_trades_other_form.csv")
    assert other.facts == one.facts[:2]
    assert other.identities == one.identities[:2]


def test_a_fee_column_stands_on_the_exit_and_a_blank_one_is_unknown(tmp_path: Path) -> None:
    header = HEADER + ",fee"
    times = "2026-01-05T00:00:00Z,2026-01-05T02:00:00Z"
    entry, left, _, unknown = trip_rows(
        tmp_path,
        f"a,BTCUSDT,LONG,1,68000,68500,{times},2,500,,0.34",
        f"b,BTCUSDT,LONG,1,68000,68500,{times},2,500,,",
        header=header,
    )
    assert (entry.fee, left.fee, left.fee_asset) == (D(0), D("0.34"), "USDT")
    assert unknown.fee is None


def test_the_reported_result_is_carried_even_where_it_is_wrong(tmp_path: Path) -> None:
    row = "a,BTCUSDT,LONG,1,100,110,2026-01-05T00:00:00Z,2026-01-05T02:00:00Z,2,999,"
    fills = trip_rows(tmp_path, row)
    assert (gross(fills), fills[1].venue_pnl) == (D(10), D(999))


def test_rows_without_trade_id_are_trades_of_their_own(tmp_path: Path) -> None:
    row = ",BTCUSDT,LONG,1,100,110,2026-01-05T00:00:00Z,2026-01-05T02:00:00Z,2,10,"
    told = read_text(tmp_path, "\n".join((HEADER, row, row)))
    assert len(set(told.identities)) == 4
    assert len({fill.leg for fill in told.only(Fill)}) == 2


@pytest.mark.parametrize(
    ("ending", "field", "reason"),
    [
        (",110,2026-01-05T00:00:00Z,,0,10,", "exit_time", "is blank, though exit_price is not"),
        (",,2026-01-05T00:00:00Z,2026-01-05T02:00:00Z,0,10,", "exit_price", "is blank, though"),
        (",110,2026-01-05T00:00:00Z,2026-01-04T23:59:59Z,0,10,", "exit_time", "before the entry"),
    ],
)
def test_half_an_exit_and_one_before_its_entry_are_rejected(
    tmp_path: Path, ending: str, field: str, reason: str
) -> None:
    told = read_text(tmp_path, f"{HEADER}\na,BTCUSDT,LONG,1,100{ending}\n")
    (rejected,) = told.rejected
    assert (told.claims, rejected.field) == ([], field)
    assert reason in rejected.reason


def test_naive_times_need_a_zone(tmp_path: Path) -> None:
    row = "a,BTCUSDT,LONG,1,100,110,2026-01-05 00:00:00,2026-01-05 02:00:00,2,10,"
    with pytest.raises(InputError, match="name no time zone"):
        trip_rows(tmp_path, row)
    told = read_text(tmp_path, "\n".join((HEADER, row)), tz="-05:00")
    assert told.only(Fill)[0].ts_ns == parse_ns("2026-01-05T05:00:00Z")


def test_order_rows_keep_status_flags_and_prices() -> None:
    placed, part, filled, stop, cancelled = read_file(CASES / "bot_orders.csv").only(OrderUpdate)
    assert [o.status for o in (placed, part, filled)] == ["placed", "partially_filled", "filled"]
    assert [o.reduce_only for o in (placed, stop, cancelled)] == [False, True, True]
    assert (placed.px, placed.stop_px, stop.px, stop.stop_px) == (D(100), None, None, D("94.5"))
    assert (placed.trade_id, placed.client_order_id, placed.order_id) == ("T1", "T_1_N", "881")
    assert cancelled.reason == "Unknown order sent"


def test_the_other_order_form_has_fills_and_averages() -> None:
    (filled,) = read_file(CASES / "bot_orders_other_form.csv").only(OrderUpdate)
    assert (filled.status, filled.filled_qty, filled.average_px) == ("filled", D("0.1"), D("99.9"))
    assert (filled.stop_px, filled.reduce_only) == (None, False)


@pytest.mark.parametrize("word", ["reduce_only", "reduceOnly"])
@pytest.mark.parametrize(
    ("said", "reduces"), [("True", True), ("true", True), ("False", False), ("", False)]
)
def test_both_spellings_of_reduce_only_are_read(
    tmp_path: Path, word: str, said: str, reduces: bool
) -> None:
    text = (
        f"timestamp,event_type,symbol,side,order_type,order_id,quantity,price,{word}\n"
        f"2026-01-05T00:00:00Z,OrderPlaced,BTCUSDT,SELL,LIMIT,1,0.1,100,{said}\n"
    )
    (order,) = read_text(tmp_path, text).only(OrderUpdate)
    assert order.reduce_only is reduces


def test_an_unknown_order_event_is_rejected(tmp_path: Path) -> None:
    text = (CASES / "bot_orders.csv").read_text().replace("OrderCancelled", "OrderVanished")
    (rejected,) = read_text(tmp_path, text).rejected
    assert (rejected.line, rejected.field) == (6, "event_type")


def test_executions_without_times_follow_their_start() -> None:
    told = read_file(PAPER, start_ns=START_NS)
    fills = told.only(Fill)
    assert [fill.ts_ns - START_NS for fill in fills] == [0, 1, 2, 3, 4]
    assert {fill.from_floats for fill in fills} == {True}
    assert [fill.fee_asset for fill in fills] == ["EUR", "USD", "USD", "USD", "USD"]
    assert set(told.readings[0].labels) >= {"no times", "written as floats"}
    # Net per pair by cash alone, exact as written.
    btc = [fill for fill in fills if fill.instrument == "BTC/USD"]
    net = gross(btc) - sum((fill.fee or D(0) for fill in btc), D(0))
    assert round(net, 8) == D("-11.65152154")


def test_executions_without_times_need_a_start_and_keep_their_accounts_apart() -> None:
    with pytest.raises(InputError) as told:
        read_file(PAPER)
    assert "--start" in told.value.next_step
    assert {fact.account for fact in read_file(PAPER, start_ns=START_NS).facts} == {"paper"}


def test_an_execution_whose_cash_does_not_add_up_is_rejected(tmp_path: Path) -> None:
    broken = PAPER.read_text().replace("trend_following,601.56,\nBTC/USD", "x,601.57,\nBTC/USD", 1)
    told = read_text(tmp_path, broken, start_ns=START_NS)
    (rejected,) = told.rejected
    assert (rejected.line, rejected.field) == (2, "cost")
    # The other rows keep the instants of their places.
    assert [fact.ts_ns - START_NS for fact in told.facts] == [1, 2, 3, 4]


FREQTRADE = CASES / "freqtrade.json"


def test_each_strategy_is_an_account_of_its_own_run() -> None:
    told = read_file(FREQTRADE)
    assert [reading.whose.account for reading in told.readings] == [
        "Perp-0ddba115",
        "Spot-5ca1ab1e",
    ]
    assert {reading.terms.fingerprint.partition(":")[2] for reading in told.readings} == {
        "Perp",
        "Spot",
    }


def test_a_trade_without_orders_is_its_two_ends_with_exact_fees() -> None:
    entry, left = [f for f in read_file(FREQTRADE).only(Fill) if f.strategy == "Spot"][:2]
    amount, opened, closed = D("10.37344398340249"), D("9.64e-05"), D("0.0001")
    assert (entry.qty, entry.px, left.px) == (amount, opened, closed)
    exact = Fraction("10.37344398340249") * Fraction("0.0000964") * Fraction("0.0025")
    assert Fraction(entry.fee or 0) == exact
    assert (entry.fee_asset, entry.from_floats) == ("BTC", True)
    assert (left.exit_reason, left.leg) == ("roi", entry.leg)
    # 0.0000373… is amount x price move: this file's profit is gross.
    assert left.venue_pnl == D("3.7344398340249e-05")


def test_an_open_trade_has_only_its_entry() -> None:
    spot = [f for f in read_file(FREQTRADE).only(Fill) if f.strategy == "Spot"]
    assert [(f.side, f.exit_reason) for f in spot] == [
        ("buy", None),
        ("sell", "roi"),
        ("buy", None),
    ]


def test_listed_orders_are_the_fills_of_a_short_with_funding() -> None:
    told = read_file(FREQTRADE)
    perp = [f for f in told.only(Fill) if f.strategy == "Perp"]
    assert [(f.side, f.qty, f.px) for f in perp] == [
        ("sell", D(1), D(1990)),
        ("sell", D(2), D(2005)),
        ("buy", D(3), D(1900)),
    ]
    assert [f.fee for f in perp] == [D("0.995"), D("2.005"), D("2.85")]
    # 294.15 is what is left after fees: the gross result is 300.
    assert [f.venue_pnl for f in perp] == [None, None, D(300)]
    (paid,) = told.only(Funding)
    assert (paid.amount, paid.asset, paid.ts_ns) == (D("-0.25"), "USDT", perp[2].ts_ns)
    assert {i.contract for i in told.described if i.settle == "USDT"} == {"linear"}


def test_the_zip_says_what_the_json_inside_says(tmp_path: Path) -> None:
    packed = tmp_path / "backtest-result-2026.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(FREQTRADE, "backtest-result-2026.json")
        archive.writestr("backtest-result-2026_config.json", '{"strategy": "Spot"}')
        archive.writestr("backtest-result-2026_Spot.py", "class Spot: ...")
    one, other = read_file(FREQTRADE), read_file(packed)
    assert other.facts == one.facts
    assert other.identities == one.identities
    assert [r.terms.fingerprint for r in other.readings] == [
        r.terms.fingerprint for r in one.readings
    ]


def test_an_archive_of_several_documents_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "many.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
    with pytest.raises(InputError, match=r"holds 2 files and none is named many\.json"):
        read_file(packed)
