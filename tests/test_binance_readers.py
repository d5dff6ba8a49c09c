"""Binance's three kinds of saved answers, against rows written by hand."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from fillbook.facts.model import Charge, Fill, Funding, OrderUpdate, Report, Transfer
from fillbook.ground.clock import parse_ns
from fillbook.sources.binance.fills import instrument_of
from reader_runs import CASES, read_file, read_text

D = Decimal
TRADES = CASES / "binance_trades.json"
INCOME = CASES / "binance_income.json"
ORDERS = CASES / "binance_orders.json"
UID = "354937868"


def changed(path: Path, number: int, **cells: object) -> str:
    row = json.loads(path.read_text())[number]
    kept = {name: value for name, value in {**row, **cells}.items() if value != "absent"}
    return json.dumps([kept])


# -- trades ------------------------------------------------------------------------------------


def test_a_fill_keeps_every_figure_the_venue_printed() -> None:
    first = read_file(TRADES, account=UID).only(Fill)[0]
    assert first == Fill(
        venue="binance",
        account=UID,
        ts_ns=parse_ns("2026-01-05T10:00:00.123Z"),
        printed_ns=1_000_000,
        instrument="BTCUSDT",
        side="buy",
        px=D("50000.10"),
        qty=D("0.020"),
        fee=D("0.00055000"),
        fee_asset="BNB",
        fill_id="7001",
        order_id="501",
        liquidity="taker",
        venue_seq=7001,
        venue_pnl=D(0),
    )


def test_a_rebate_is_negative_and_a_realised_result_is_gross() -> None:
    closing = read_file(TRADES, account=UID).only(Fill)[1]
    assert (closing.fee, closing.fee_asset, closing.liquidity) == (D("-0.1002002"), "USDT", "maker")
    assert (closing.venue_pnl, closing.venue_pnl_basis) == (D(2), "gross")


def test_both_legs_of_a_self_trade_count_and_hedge_legs_are_apart() -> None:
    told = read_file(TRADES, account=UID)
    assert len(set(told.identities)) == len(told.claims) == 5
    assert [fill.position_side for fill in told.only(Fill)] == ["net", "net", "short", "net", "net"]
    twice = [claim.key for claim in told.claims if getattr(claim.fact, "fill_id", "") == "7003"]
    assert twice == ["2026-01-05|BTCUSDT|7003|503", "2026-01-05|BTCUSDT|7003|504"]


@pytest.mark.parametrize(
    ("symbol", "asset", "told"),
    [
        ("BTCUSDT", None, ("BTC", "USDT")),
        ("1000PEPEUSDC", None, ("1000PEPE", "USDC")),
        ("ETHBTC", None, ("ETH", "BTC")),
        ("BTCUSDT_260327", None, ("BTC", "USDT")),
        ("BTCUSD1", None, ("BTC", "USD1")),
        # The name goes first: rows that settle in another asset must describe the same contract.
        ("BTCUSDT", "BNFCR", ("BTC", "USDT")),
        ("BTCNEW", "NEW", ("BTC", "NEW")),
        ("USDT", None, None),
        ("ACME", None, None),
        ("ACME", "USDT", None),
    ],
)
def test_a_contract_is_described_by_its_name(
    symbol: str, asset: str | None, told: tuple[str, str] | None
) -> None:
    described = instrument_of(UID, symbol, asset)
    assert (described and (described.base, described.settle)) == told


def test_a_fill_of_an_undescribed_contract_is_kept_all_the_same(tmp_path: Path) -> None:
    text = changed(TRADES, 0, symbol="ACME", marginAsset="absent")
    told = read_text(tmp_path, text, "a.json", account=UID)
    assert (len(told.only(Fill)), told.described, told.rejected) == (1, [], [])


@pytest.mark.parametrize(
    ("cells", "field", "reason"),
    [
        ({"side": "HOLD"}, "side", "'HOLD' is none of buy, sell"),
        ({"positionSide": "UP"}, "positionSide", "'UP' is none of both, long, short"),
        ({"buyer": False}, "buyer", "contradicts the side buy"),
        ({"price": "0"}, "price", "0 is not above zero"),
        ({"qty": "NaN"}, "qty", "'NaN' is not a decimal number"),
        ({"id": "x7"}, "id", "'x7' is not a whole number"),
        ({"id": 1.5}, "id", "'1.5' is not a whole number"),
        ({"time": "soon"}, "time", "'soon' is not a decimal number"),
        ({"orderId": "absent"}, "orderId", "is missing"),
        ({"commission": "1,000"}, "commission", "thousands separators are not read"),
        ({"symbol": ["BTC"]}, "symbol", "holds a list"),
    ],
)
def test_a_broken_fill_is_rejected_with_its_field(
    tmp_path: Path, cells: dict[str, object], field: str, reason: str
) -> None:
    told = read_text(tmp_path, changed(TRADES, 0, **cells), "a.json", account=UID)
    assert told.claims == []
    (rejected,) = told.rejected
    assert rejected.field == field
    assert reason in rejected.reason


def test_json_numbers_lose_no_digit(tmp_path: Path) -> None:
    text = TRADES.read_text().replace('"50000.10"', "50000.100000000000000001", 1)
    first = read_text(tmp_path, text, "a.json", account=UID).only(Fill)[0]
    assert first.px == D("50000.100000000000000001")


# -- income ------------------------------------------------------------------------------------


def test_income_becomes_what_it_is_with_the_sign_of_its_kind() -> None:
    told = read_file(INCOME, account=UID)
    (moved,) = told.only(Transfer)
    assert (moved.amount, moved.asset, moved.what) == (D(500), "USDT", "transfer")
    paid, special = told.only(Funding)
    assert (paid.amount, paid.instrument, paid.funding_id) == (
        D("-0.04618913"),
        "BTCUSDT",
        "8082457372019390060",
    )
    assert (special.amount, special.instrument) == (D("0.25"), "TSLAUSDT")
    charges = {charge.what: charge for charge in told.only(Charge)}
    assert {what: charge.amount for what, charge in charges.items()} == {
        "commission": D("0.00055"),
        "realized pnl": D(-2),
        "insurance clear": D("1.5"),
        "moon bonus": D(-3),
    }
    assert [what for what, charge in charges.items() if charge.repeats_fills] == [
        "commission",
        "realized pnl",
    ]
    commission = charges["commission"]
    assert (commission.fill_id, commission.asset, commission.instrument) == (
        "7001",
        "BNB",
        "BTCUSDT",
    )


def test_one_number_in_two_types_is_two_rows(tmp_path: Path) -> None:
    told = read_file(INCOME, account=UID)
    transfer, commission = told.claims[:2]
    assert transfer.key == "2026-01-05|TRANSFER|9689322392|USDT|"
    assert commission.key == "2026-01-05|COMMISSION|9689322392|BNB|BTCUSDT"
    again = read_text(
        tmp_path, INCOME.read_text().replace('"70020001"', "70020001"), "b.json", account=UID
    )
    assert again.identities == told.identities


def test_funding_without_a_symbol_is_money_all_the_same(tmp_path: Path) -> None:
    told = read_text(tmp_path, changed(INCOME, 3, symbol=""), "a.json", account=UID)
    (charge,) = told.only(Charge)
    assert (charge.amount, charge.what, charge.repeats_fills) == (
        D("0.04618913"),
        "funding fee",
        False,
    )


def test_a_file_of_one_symbol_promises_that_symbol_only(tmp_path: Path) -> None:
    (whole,) = read_file(INCOME, account=UID).readings
    assert {part.instrument for part in whole.coverage()} == {None}
    told = read_text(tmp_path, changed(INCOME, 3), "a.json", account=UID)
    (part,) = told.readings[0].coverage()
    assert (part.component, part.instrument) == ("funding", "BTCUSDT")
    assert part.until_ns - part.from_ns == 1_000_000


# -- orders ------------------------------------------------------------------------------------


def test_an_order_tells_that_it_was_placed_and_what_became_of_it() -> None:
    placed, filled = read_file(ORDERS, account=UID).only(OrderUpdate)[:2]
    assert placed == OrderUpdate(
        venue="binance",
        account=UID,
        ts_ns=parse_ns("2026-01-05T10:00:00.100Z"),
        printed_ns=1_000_000,
        instrument="BTCUSDT",
        status="placed",
        side="buy",
        order_id="501",
        client_order_id="mm-1",
        order_type="MARKET",
        qty=D("0.02"),
    )
    assert (filled.status, filled.filled_qty, filled.average_px) == (
        "filled",
        D("0.02"),
        D("50000.1"),
    )
    assert filled.ts_ns == parse_ns("2026-01-05T10:00:00.123Z")


def test_an_order_is_of_the_type_it_was_sent_as(tmp_path: Path) -> None:
    text = changed(ORDERS, 0, origType="STOP_MARKET", stopPrice="50010")
    placed, filled = read_text(tmp_path, text, "a.json", account=UID).only(OrderUpdate)
    assert {placed.order_type, filled.order_type} == {"STOP_MARKET"}
    assert placed.stop_px == D(50010)


def test_a_stop_whose_order_was_withdrawn_in_part_is_not_filled(tmp_path: Path) -> None:
    for qty, status in (("0.002", "filled"), ("0.001", "cancelled"), ("0", "cancelled")):
        text = changed(ORDERS, 3, actualQty=qty)
        told = read_text(tmp_path, text, f"{qty}.json", account=UID).only(OrderUpdate)
        assert (told[1].status, told[1].filled_qty) == (status, D(qty))


def test_the_venues_own_orders_tell_their_cause_and_only_reduce() -> None:
    told = [u for u in read_file(ORDERS, account=UID).only(OrderUpdate) if u.order_id == "506"]
    assert [(u.status, u.reason, u.reduce_only) for u in told] == [
        ("placed", "liquidation", True),
        ("filled", "liquidation", True),
    ]


def test_a_stop_that_went_off_stands_behind_the_order_it_became() -> None:
    told = [
        u for u in read_file(ORDERS, account=UID).only(OrderUpdate) if u.stop_px == D("49080.2")
    ]
    assert [(u.order_id, u.status, u.order_type, u.reduce_only) for u in told] == [
        ("algo-1000001", "placed", "STOP_MARKET", True),
        ("algo-1000001", "filled", "STOP_MARKET", True),
        ("974828356187", "placed", "STOP_MARKET", True),
    ]
    assert {u.client_order_id for u in told} == {"stop-1"}
    assert told[2].ts_ns == parse_ns("2026-01-05T19:40:00Z")


def test_closing_everything_only_reduces() -> None:
    (resting,) = [u for u in read_file(ORDERS, account=UID).only(OrderUpdate) if u.stop_px == 45000]
    assert (resting.status, resting.reduce_only, resting.side) == ("placed", True, "buy")


def test_an_order_as_it_moves_on_says_nothing_twice_and_contradicts_nothing(tmp_path: Path) -> None:
    stages: list[dict[str, object]] = [
        {"status": "NEW", "executedQty": "0", "avgPrice": "0", "updateTime": 1767607200100},
        {"status": "PARTIALLY_FILLED", "executedQty": "0.01", "updateTime": 1767607200110},
        {"status": "PARTIALLY_FILLED", "executedQty": "0.015", "updateTime": 1767607200110},
        {"status": "FILLED", "executedQty": "0.02", "updateTime": 1767607200123},
    ]
    facts: dict[str, set[object]] = {}
    for number, stage in enumerate(stages):
        text = changed(ORDERS, 0, **stage)
        for claim in read_text(tmp_path, text, f"{number}.json", account=UID).claims:
            facts.setdefault(claim.key, set()).add(claim.fact)
    assert [len(said) for said in facts.values()] == [1, 1, 1, 1]
    moved = read_text(tmp_path, changed(ORDERS, 1, price="48000"), "m.json", account=UID)
    assert moved.claims[0].key not in facts


@pytest.mark.parametrize(
    ("word", "status", "reason"),
    [
        ("CANCELED", "cancelled", None),
        ("EXPIRED", "expired", None),
        ("EXPIRED_IN_MATCH", "expired", "expired_in_match"),
        ("NEW_ADL", "amended", "new_adl"),
    ],
)
def test_states_keep_their_word(tmp_path: Path, word: str, status: str, reason: str | None) -> None:
    told = read_text(tmp_path, changed(ORDERS, 1, status=word), "a.json", account=UID)
    assert (told.only(OrderUpdate)[1].status, told.only(OrderUpdate)[1].reason) == (status, reason)


def test_a_rejected_order_was_never_placed(tmp_path: Path) -> None:
    told = read_text(tmp_path, changed(ORDERS, 1, status="REJECTED"), "a.json", account=UID)
    assert [update.status for update in told.only(OrderUpdate)] == ["rejected"]


def test_an_unknown_state_is_rejected_by_name(tmp_path: Path) -> None:
    told = read_text(tmp_path, changed(ORDERS, 1, status="VANISHED"), "a.json", account=UID)
    (rejected,) = told.rejected
    assert rejected.field == "status"
    assert "'VANISHED' is none of" in rejected.reason


def test_positions_and_balances_as_the_live_source_keeps_them(tmp_path: Path) -> None:
    position = {"symbol": "BTCUSDT", "positionSide": "SHORT", "positionAmt": "-0.5"}
    position |= {"entryPrice": "50000", "markPrice": "49000.5"}
    asset = {"asset": "USDT", "walletBalance": "100.5", "unrealizedProfit": "-2.25"}
    lines = [{"time": 5, "position": position}, {"time": 5, "asset": asset}]
    text = "\n".join(json.dumps(line) for line in lines)
    held, worth = read_text(tmp_path, text, "a.jsonl", account=UID, format="binance-orders").only(
        Report
    )
    assert (held.instrument, held.position_side, held.qty, held.px) == (
        "BTCUSDT",
        "short",
        D("-0.5"),
        D("49000.5"),
    )
    assert (worth.what, worth.amount, worth.asset) == ("equity", D("98.25"), "USDT")
    assert held.ts_ns == worth.ts_ns == 5_000_000


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [TRADES, INCOME, ORDERS], ids=lambda path: path.stem)
def test_the_same_rows_line_by_line_are_the_same_events(path: Path, tmp_path: Path) -> None:
    lines = "\n".join(json.dumps(row) for row in json.loads(path.read_text()))
    as_lines = read_text(tmp_path, lines, "rows.jsonl", account=UID)
    as_list = read_file(path, account=UID)
    assert as_lines.format == as_list.format == path.stem.replace("_", "-")
    assert as_lines.identities == as_list.identities
    assert as_lines.facts == as_list.facts


def test_a_file_names_no_account_and_says_so() -> None:
    (reading,) = read_file(TRADES).readings
    assert (reading.whose.account, reading.labels) == ("default", ("account not named",))
