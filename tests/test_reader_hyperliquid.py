"""Hyperliquid's three kinds of files, against rows written by hand."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fillbook.facts.model import Fill, Funding, Transfer
from fillbook.ground.clock import parse_ns
from fillbook.ground.errors import InputError
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.files.registry import detect
from fillbook.sources.hyperliquid.fills import direction_side
from reader_runs import CASES, read_file, read_text

FILLS = CASES / "hyperliquid_fills.json"
RECORDING = CASES / "hyperliquid_recording.json"
TRADES = CASES / "trade_history.csv"
D = Decimal


def fills_of(path: Path, **options: object) -> list[Fill]:
    return read_file(path, **options).only(Fill)


def api_row(**changed: object) -> str:
    row = json.loads(FILLS.read_text())[4]
    return json.dumps([{**row, **changed}])


def test_an_api_fill_keeps_every_figure_the_venue_printed() -> None:
    buy = fills_of(FILLS, account="0xABCDEF")[0]
    assert buy == Fill(
        venue="hyperliquid",
        account="0xabcdef",
        ts_ns=parse_ns("2026-01-05T10:00:00Z"),
        printed_ns=1_000_000,
        instrument="HYPE/USDC",
        side="buy",
        px=D("25.5"),
        qty=D(4),
        fee=D("0.0028"),
        fee_asset="HYPE",
        fill_id="9001",
        order_id="11",
        liquidity="taker",
        start_position=D(0),
        venue_pnl=D(0),
    )


def test_a_spot_sale_and_a_perpetual_pay_in_the_settlement_currency() -> None:
    _, sale, short, *_ = fills_of(FILLS, account="0xABCDEF")
    assert (sale.fee_asset, sale.fee, sale.venue_pnl) == ("USDC", D("0.0104"), D("0.482"))
    # The builder's part is inside the fee already; a rebate is negative.
    assert (short.fee_asset, short.fee, short.liquidity) == ("USDC", D("-0.03"), "maker")
    assert short.client_order_id == "0xc101d"


def test_only_the_named_user_was_liquidated() -> None:
    causes = [fill.cause for fill in fills_of(FILLS, account="0xABCDEF")]
    assert causes == [None, None, None, "liquidation", None, None, "dust"]


def test_both_legs_of_a_self_trade_are_two_events_and_dust_is_marked() -> None:
    told = read_file(FILLS, account="0xABCDEF")
    assert len(set(told.identities)) == len(told.claims) == 7
    assert [fill.dust for fill in told.only(Fill)] == [False] * 6 + [True]


def test_spot_index_and_spot_name_are_one_instrument() -> None:
    by_index = read_file(FILLS, account="0xABCDEF").described[0]
    by_name = next(
        told
        for told in read_file(TRADES, tz="UTC", account="0xABCDEF").described
        if told.base == "HYPE"
    )
    assert by_index == by_name
    assert (by_index.contract, by_index.settle, by_index.aliases) == ("spot", "USDC", ("@107",))


def test_an_unnamed_spot_index_keeps_its_name_and_takes_its_coins_from_the_fees(
    tmp_path: Path,
) -> None:
    rows = json.loads(FILLS.read_text())[:2]
    for row in rows:
        row["coin"] = "@999"
    rows[0]["feeToken"], rows[1]["feeToken"] = "UBTC", "USDH"
    told = read_text(tmp_path, json.dumps(rows), "a.json", account="0xa")
    (described,) = told.described
    assert (described.symbol, described.base, described.settle) == ("@999", "UBTC", "USDH")
    assert [fill.fee_asset for fill in told.only(Fill)] == ["UBTC", "USDH"]


def test_the_same_rows_line_by_line_are_the_same_events(tmp_path: Path) -> None:
    rows = json.loads(FILLS.read_text())
    lines = "\n".join(json.dumps(row) for row in rows)
    as_lines = read_text(tmp_path, lines, "fills.jsonl", account="0xABCDEF")
    as_list = read_file(FILLS, account="0xABCDEF")
    assert as_lines.format == as_list.format == "hyperliquid-api"
    assert as_lines.identities == as_list.identities
    assert as_lines.facts == as_list.facts


def test_a_tid_is_one_fill_and_four_tids_are_four(tmp_path: Path) -> None:
    row = json.loads(FILLS.read_text())[4]
    four = [{**row, "tid": tid} for tid in (1, 2, 3, 4)]
    once = read_text(tmp_path, json.dumps(four), "four.json", account="0xa")
    again = read_text(tmp_path, json.dumps([*four, four[1], *four]), "again.json", account="0xa")
    assert len(set(once.identities)) == 4
    assert set(again.identities) == set(once.identities)


def test_a_recording_names_its_user_and_rows_without_tid_are_counted() -> None:
    told = read_file(RECORDING)
    assert {fact.account for fact in told.facts} == {"0xabcdef"}
    first, twin = told.claims[:2]
    assert first.key == twin.key
    assert [(claim.ordinal, claim.row) for claim in (first, twin)] == [(0, 0), (1, 1)]
    assert [claim.line for claim in told.claims] == [5, 8, 14, 17]


def test_funding_and_ledger_updates_are_read_and_unknown_ones_rejected_by_name(
    tmp_path: Path,
) -> None:
    told = read_file(RECORDING)
    (paid,) = told.only(Funding)
    assert (paid.amount, paid.rate, paid.position_qty) == (D("-0.0125"), D("0.0000225"), D(4))
    assert paid.ts_ns == parse_ns("2026-01-05T11:00:00.012Z")
    (came,) = told.only(Transfer)
    assert (came.amount, came.asset, came.what) == (D(500), "USDC", "deposit")
    unknown = RECORDING.read_text().replace('"deposit"', '"windfall"')
    (other,) = read_text(tmp_path, unknown, "a.json").rejected
    assert (other.line, other.field) == (17, "delta.type")
    assert "'windfall' is not a ledger update" in other.reason


def test_a_recording_of_somebody_else_is_refused() -> None:
    with pytest.raises(InputError, match="recording is of 0xABCDEF, --account says 0x1"):
        read_file(RECORDING, account="0x1")


@pytest.mark.parametrize(
    ("changed", "field", "reason"),
    [
        ({"dir": "Teleported"}, "dir", "not a direction this reader knows"),
        ({"dir": "Open Short"}, "dir", "contradicts the side buy"),
        ({"side": "X"}, "side", "'X' is none of b, a"),
        ({"px": "NaN"}, "px", "'NaN' is not a decimal number"),
        ({"px": "0"}, "px", "0 is not above zero"),
        ({"sz": "-1"}, "sz", "-1 is not above zero"),
        ({"sz": None}, "sz", "is blank"),
        ({"fee": "1,000"}, "fee", "thousands separators are not read"),
        ({"time": "yesterday"}, "time", "'yesterday' is not a decimal number"),
        ({"time": 99999999999999999}, "time", "outside 1970 to 2262"),
        ({"coin": {"name": "BTC"}}, "coin", "holds a dict"),
        ({"coin": "B\x1fTC"}, "coin", "control characters"),
        ({"sz": "1e99"}, "sz", "more than 60 digits"),
    ],
)
def test_a_broken_row_is_rejected_with_its_field(
    tmp_path: Path, changed: dict[str, object], field: str, reason: str
) -> None:
    told = read_text(tmp_path, api_row(**changed), "a.json", account="0xa")
    assert told.claims == []
    (rejected,) = told.rejected
    assert (rejected.line, rejected.field) == (1, field)
    assert reason in rejected.reason


def test_json_numbers_lose_no_digit(tmp_path: Path) -> None:
    text = api_row().replace('"90000"', "90000.000000000000000001")
    (fill,) = read_text(tmp_path, text, "a.json", account="0xa").only(Fill)
    assert fill.px == D("90000.000000000000000001")


@pytest.mark.parametrize(
    ("direction", "side"),
    [
        ("Buy", "buy"),
        ("Sell", "sell"),
        ("Open Long", "buy"),
        ("Close Long", "sell"),
        ("Open Short", "sell"),
        ("Close Short", "buy"),
        ("Long > Short", "sell"),
        ("Short > Long", "buy"),
        ("Open Long (Price Improved)", "buy"),
        ("Market Order Liquidation: Close Long", "sell"),
        ("Liquidated Isolated Short", "buy"),
        ("Auto-Deleveraging", None),
    ],
)
def test_directions_give_the_sign(direction: str, side: str | None) -> None:
    assert direction_side(direction) == side


def test_web_rows_are_day_first_in_the_named_zone() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    wanted = [
        datetime(2026, 1, 5, 11, tzinfo=berlin),
        datetime(2026, 7, 5, 11, tzinfo=berlin),
        datetime(2026, 7, 5, 11, 0, 1, tzinfo=berlin),
    ]
    times = dict.fromkeys(fill.ts_ns for fill in fills_of(TRADES, tz="Europe/Berlin"))
    assert list(times) == [int(at.timestamp()) * 10**9 for at in wanted]


def test_web_rows_carry_the_venues_net_result_and_count_twins() -> None:
    told = read_file(TRADES, tz="UTC", account="0xABCDEF")
    fills = told.only(Fill)
    assert [fill.side for fill in fills] == ["buy", "buy", "sell", "buy", "buy"]
    assert {fill.venue_pnl_basis for fill in fills} == {"net"}
    assert [fill.fee_asset for fill in fills] == ["USDC", "USDC", "USDC", "HYPE", "USDC"]
    assert [(claim.ordinal, claim.row) for claim in told.claims] == [
        *((0, 0), (1, 1), (0, 2)),
        *((0, 0), (0, 0)),
    ]
    assert told.claims[0].key == told.claims[1].key
    (covered,) = told.readings[0].coverage()
    assert covered.component == "fills" and covered.instrument is None
    # The last row is printed to the second: everything up to the end of it is covered.
    assert (covered.from_ns, covered.until_ns) == (
        parse_ns("2026-01-05T11:00:00Z"),
        parse_ns("2026-07-05T11:00:02Z"),
    )


def test_web_identity_does_not_depend_on_the_zone() -> None:
    assert read_file(TRADES, tz="UTC").identities == read_file(TRADES, tz="Asia/Tokyo").identities


def test_web_rows_without_zone_or_with_month_first_dates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as told:
        read_file(TRADES)
    assert "--tz" in told.value.next_step
    swapped = TRADES.read_text().replace("05/07/2026", "07/25/2026")
    with pytest.raises(InputError, match="month first"):
        read_text(tmp_path, swapped, tz="UTC")


def test_a_web_row_whose_notional_is_not_price_times_size_is_rejected(tmp_path: Path) -> None:
    broken = TRADES.read_text().replace("141,5,705,", "141,5,704,")
    told = read_text(tmp_path, broken, tz="UTC")
    (rejected,) = told.rejected
    assert (rejected.line, rejected.field) == (4, "ntl")
    assert len(told.claims) == 4


def test_web_funding_signs_the_position_by_its_side() -> None:
    short, long = read_file(CASES / "funding_history.csv", tz="UTC").only(Funding)
    assert (short.amount, short.position_qty) == (D("0.0031"), D(-1))
    assert (long.amount, long.position_qty, long.rate) == (D("-0.000012"), D(1), D("5.53e-7"))


def test_the_historical_set_is_split_by_account_and_knows_its_zone() -> None:
    told = read_file(CASES / "historical.csv")
    assert [reading.whose.account for reading in told.readings] == ["0xaa01", "0xbb02"]
    assert [reading.rows for reading in told.readings] == [2, 2]
    buy, dust, close, _ = told.only(Fill)
    assert buy.ts_ns == parse_ns("2024-12-02T17:20:00Z")
    assert dust.ts_ns == parse_ns("2024-12-04T00:00:00Z") and dust.dust
    assert (buy.instrument, buy.fee_asset, buy.liquidity) == ("HYPE/USDC", "HYPE", "taker")
    assert (close.venue_pnl, close.venue_pnl_basis, close.start_position) == (
        D("12.5"),
        "gross",
        10,
    )
    # The rows differ in start position only, which a later export may round otherwise.
    assert told.claims[2].key == told.claims[3].key
    assert [claim.ordinal for claim in told.claims] == [0, 0, 0, 1]


def test_the_historical_set_may_not_be_given_to_another_account() -> None:
    with pytest.raises(InputError, match="rows name the accounts 0xaa01, 0xbb02"):
        read_file(CASES / "historical.csv", account="0x1")


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("hyperliquid_fills.json", "hyperliquid-api"),
        ("hyperliquid_recording.json", "hyperliquid-api"),
        ("trade_history.csv", "hyperliquid-web"),
        ("funding_history.csv", "hyperliquid-web-funding"),
        ("historical.csv", "hyperliquid-history"),
        ("coinbase_fills.csv", "coinbase-pro"),
        ("freqtrade.json", "freqtrade"),
        ("bot_trades.csv", "bot-trades"),
        ("bot_trades_other_form.csv", "bot-trades"),
        ("bot_orders.csv", "bot-orders"),
        ("bot_orders_other_form.csv", "bot-orders"),
        ("paper_executions.csv", "paper-executions"),
    ],
)
def test_every_format_is_recognised_by_its_head(name: str, format: str) -> None:
    assert detect(SourceFile(CASES / name)).name == format
