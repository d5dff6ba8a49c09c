"""Recorded answers of Coinbase Advanced against what others read in them; no case is left unsaid.

Every file and every case of the corpus stands in a table here: with its check, or with the reason
why there is nothing of ours in it. A case nobody has listed fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pytest

from fillbook.facts.model import AnyFact, Fill, OrderUpdate, Report
from fillbook.ground.clock import parse_ns
from fillbook.sources.coinbase.owed import Owed
from fillbook.sources.coinbase.rows import FILLS, ORDERS, drafts_of
from fillbook.sources.coinbase.socket import Heard, UserListener
from fillbook.sources.files.records import parse_object
from fillbook.sources.source import RowError
from fillbook.sources.stream import Nudge
from loopback import TestPace

D = Decimal
MS = 1_000_000
F = TypeVar("F")
Cells = dict[str, Any]
Check = Callable[[Any], None]


def facts_in(source: str, row: Cells, account: str = "") -> list[AnyFact]:
    whose = account or row.get("retail_portfolio_id", "p-1")
    return [draft.fact for draft in drafts_of(source, parse_object(json.dumps(row)), whose)]


def only(source: str, row: Cells, kind: type[F]) -> F:
    (fact,) = facts_in(source, row)
    assert isinstance(fact, kind)
    return fact


def dec(number: Any) -> Decimal:
    return D(str(number))


# -- ccxt: raw answers, and the values another reader made of them -----------------------------


def a_fill(row: Cells, wanted: Cells) -> None:
    fill = only(FILLS, row, Fill)
    assert wanted["symbol"].replace("/", "-") == fill.instrument
    # That reader takes the trade for the fill; a correction would carry the same.
    assert fill.trade_id == wanted["id"] and fill.fill_id == row["entry_id"] != wanted["id"]
    assert (fill.order_id, fill.side, fill.liquidity) == (
        wanted["order"],
        wanted["side"],
        wanted["takerOrMaker"],
    )
    assert fill.ts_ns == wanted["timestamp"] * MS == parse_ns(wanted["datetime"])
    assert (fill.px, fill.qty, fill.px * fill.qty) == (
        dec(wanted["price"]),
        dec(wanted["amount"]),
        dec(wanted["cost"]),
    )
    assert (fill.fee, fill.fee_asset) == (dec(wanted["fee"]["cost"]), wanted["fee"]["currency"])


def an_order(row: Cells, wanted: Cells) -> None:
    placed, filled = facts_in(ORDERS, row)
    assert isinstance(placed, OrderUpdate) and isinstance(filled, OrderUpdate)
    assert (placed.status, filled.status) == ("placed", "filled")
    assert wanted["status"] == "closed"
    for update in (placed, filled):
        assert (update.order_id, update.client_order_id, update.side) == (
            wanted["id"],
            wanted["clientOrderId"],
            wanted["side"],
        )
        assert update.order_type == wanted["type"].upper()
        assert update.qty == dec(wanted["amount"])
    assert placed.ts_ns // MS == wanted["timestamp"]
    assert filled.filled_qty == dec(wanted["filled"]) and filled.n_fills == 1
    assert filled.average_px == dec(wanted["average"])
    assert filled.average_px * filled.filled_qty == dec(wanted["cost"])


CCXT: dict[str, Callable[[Cells, Cells], None] | str] = {
    "Spot trade": a_fill,
    "Spot closed order (same order as the first fill)": an_order,
    "last trade as ticker": "trades of the market, which are not read",
}


def test_every_case_of_ccxt(corpus: Path) -> None:
    cases = json.loads((corpus / "ccxt" / "coinbase.json").read_text())["cases"]
    assert {case["description"] for case in cases} == CCXT.keys()
    checked = 0
    for case in cases:
        check = CCXT[case["description"]]
        if isinstance(check, str):
            continue
        told = case["httpResponse"]
        for row, wanted in zip(told.get("fills") or told["orders"], case["expected"], strict=True):
            check(row, wanted)
            checked += 1
    assert checked == 2


def test_an_order_and_its_fill_agree(corpus: Path) -> None:
    cases = json.loads((corpus / "ccxt" / "coinbase.json").read_text())["cases"]
    row, order = cases[0]["httpResponse"]["fills"][0], cases[1]["httpResponse"]["orders"][0]
    fill, (_, filled) = only(FILLS, row, Fill), facts_in(ORDERS, order)
    assert isinstance(filled, OrderUpdate)
    assert (fill.order_id, fill.qty, fill.px) == (
        filled.order_id,
        filled.filled_qty,
        filled.average_px,
    )
    assert fill.fee == dec(order["total_fees"]) and fill.ts_ns == filled.ts_ns


# -- recorded requests of a client library: its own values are the expectation ------------------


def fills(told: Cells) -> None:
    for row in told["fills"]:
        fill = only(FILLS, row, Fill)
        assert (fill.account, fill.instrument) == (row["retail_portfolio_id"], row["product_id"])
        assert (fill.fill_id, fill.trade_id, fill.order_id) == (
            row["entry_id"],
            row["trade_id"],
            row["order_id"],
        )
        assert (fill.px, fill.qty, fill.fee) == tuple(
            dec(row[name]) for name in ("price", "size", "commission")
        )
        assert (fill.side, fill.fee_asset, fill.liquidity) == ("buy", "USD", None)
        assert fill.ts_ns == parse_ns(row["trade_time"])


def order(row: Cells) -> None:
    placed, *edits, filled = facts_in(ORDERS, row)
    assert isinstance(placed, OrderUpdate) and isinstance(filled, OrderUpdate)
    assert (placed.status, filled.status) == ("placed", "partially_filled")
    assert (placed.order_id, placed.client_order_id) == (row["order_id"], row["client_order_id"])
    assert placed.side == (row["side"].lower() or None)
    assert placed.ts_ns == parse_ns(row["created_time"])
    assert filled.ts_ns == parse_ns(row["last_fill_time"])
    asked = row["order_configuration"].get("market_market_ioc", {})
    assert placed.qty == (dec(asked["base_size"]) if asked else None)
    assert filled.filled_qty == dec(row["filled_size"])
    assert filled.average_px == dec(row["average_filled_price"])
    assert filled.n_fills == int(row["number_of_fills"])
    accepted = [edit for edit in row["edit_history"] if edit["replace_accept_timestamp"]]
    assert len(edits) == len(accepted)
    for edit, told in zip(edits, accepted, strict=True):
        assert isinstance(edit, OrderUpdate)
        assert (edit.status, edit.px, edit.qty) == ("amended", dec(told["price"]), dec("0.001"))
        assert edit.ts_ns == parse_ns(told["replace_accept_timestamp"])


def orders(told: Cells) -> None:
    for row in told["orders"]:
        order(row)


def futures(told: Cells) -> None:
    for row in told["positions"]:
        report = only(ORDERS, {"time": 5, "cfm": row}, Report)
        assert (report.what, report.instrument) == ("position", row["product_id"])
        assert (report.qty, report.px) == (
            dec(row["number_of_contracts"]),
            dec(row["current_price"]),
        )
        short = only(ORDERS, {"time": 5, "cfm": {**row, "side": "SHORT"}}, Report)
        assert short.qty == -dec(row["number_of_contracts"])


def perpetual(told: Cells) -> None:
    row = told["position"]
    report = only(ORDERS, {"time": 5, "intx": row}, Report)
    assert (report.instrument, report.qty) == (row["product_id"], dec(row["net_size"]))
    assert report.px == dec(row["mark_price"]["value"])
    short = {**row, "position_side": "POSITION_SIDE_SHORT"}
    assert only(ORDERS, {"time": 5, "intx": short}, Report).qty == -dec(row["net_size"])


SETTING = "a setting, which nothing reads"
BALANCE = "a balance, which is no result"
PUBLIC = "prices and trades of the market, which are not read"
NO_HISTORY = "an answer to a change, which is never sent"
JKORF: dict[str, Check | str] = {
    "endpoints_advancedtrade_account/GetAccounts": BALANCE,
    "endpoints_advancedtrade_account/GetFeeInfo": SETTING,
    "endpoints_advancedtrade_account/GetFeeInfo2": SETTING,
    "endpoints_advancedtrade_account/GetFuturesBalanceSummary": BALANCE,
    "endpoints_advancedtrade_account/GetFuturesCurrentMarginWindow": SETTING,
    "endpoints_advancedtrade_account/GetIntradayMarginSetting": SETTING,
    "endpoints_advancedtrade_account/GetPerpetualBalances": BALANCE,
    "endpoints_advancedtrade_account/GetPortfolio": BALANCE,
    "endpoints_advancedtrade_account/GetPortfolios": "names; a key tells its portfolio itself",
    "endpoints_advancedtrade_account/GetTransaction": "the cash history of another API",
    "endpoints_advancedtrade_exchangedata/GetAggregatedOrderBook": PUBLIC,
    "endpoints_advancedtrade_exchangedata/GetExchangeRates": PUBLIC,
    "endpoints_advancedtrade_exchangedata/GetKlines": PUBLIC,
    "endpoints_advancedtrade_exchangedata/GetOrderBook": PUBLIC,
    "endpoints_advancedtrade_exchangedata/GetTradeHistory": PUBLIC,
    "endpoints_advancedtrade_trading/ClosePosition": NO_HISTORY,
    "endpoints_advancedtrade_trading/GetFuturesPositions": futures,
    "endpoints_advancedtrade_trading/GetOrder": lambda told: order(told["order"]),
    "endpoints_advancedtrade_trading/GetOrders": orders,
    "endpoints_advancedtrade_trading/GetPerpetualPosition": perpetual,
    "endpoints_advancedtrade_trading/GetUserTrades": fills,
    "endpoints_advancedtrade_trading/PlaceOrder": NO_HISTORY,
}


def test_every_answer_of_the_client_library(corpus: Path) -> None:
    folder = corpus / "JKorf.Coinbase.Net"
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.txt")}
    assert files == JKORF.keys()
    checked = 0
    for name, check in JKORF.items():
        if not isinstance(check, str):
            lines = (folder / f"{name}.txt").read_text().splitlines()[3:]
            check(json.loads("\n".join(re.sub(r"\s//.*$", "", line) for line in lines)))
            checked += 1
    assert checked == 5


# -- the stream of the user: hints, never facts ---------------------------------------------------


def listening() -> tuple[UserListener, set[str]]:
    noted: set[str] = set()
    now_ns = parse_ns("2026-04-07T14:31:00Z")
    heard = Heard(token=str, note=noted.add, name_order=noted.add, now_ns=lambda: now_ns)
    return UserListener(heard, TestPace(), Owed()), noted


MARKET = "market prices, which are not listened to"
NAUTILUS: dict[str, str | None] = {
    "ws_candles": MARKET,
    "ws_heartbeats": None,
    "ws_l2_data_snapshot": MARKET,
    "ws_l2_data_update": MARKET,
    "ws_market_trades": MARKET,
    "ws_subscriptions": None,
    "ws_ticker": MARKET,
    # A snapshot repeats what the pull behind every connection reads anyway.
    "ws_user": None,
}


def test_every_message_of_the_stream(corpus: Path) -> None:
    folder = corpus / "nautilus_trader" / "coinbase"
    assert {path.stem for path in folder.glob("*.json")} == NAUTILUS.keys()
    for name, wanted in NAUTILUS.items():
        if wanted is None:
            listener, _ = listening()
            assert listener.heard((folder / f"{name}.json").read_text()) is None


def test_an_update_of_the_recorded_order_asks_for_its_history(corpus: Path) -> None:
    folder = corpus / "nautilus_trader" / "coinbase"
    snapshot = json.loads((folder / "ws_user.json").read_text())
    listener, noted = listening()
    assert listener.heard(json.dumps(snapshot)) is None
    assert noted == {"BTC-USD"}
    update = {**snapshot, "sequence_num": 2}
    told = {**snapshot["events"][0]["orders"][0], "status": "CANCELLED"}
    update["events"] = [{"type": "update", "orders": [told]}]
    assert listener.heard(json.dumps(update)) == Nudge(streams=("orders",), why="user")
    filled = {**told, "cumulative_quantity": "0.001", "leaves_quantity": "0", "status": "FILLED"}
    update |= {"sequence_num": 3, "events": [{"type": "update", "orders": [filled]}]}
    # The orders were asked for a moment ago.
    assert listener.heard(json.dumps(update)) == Nudge(streams=("fills",), why="user")


# -- rotki: the cash history of another API of the venue ------------------------------------------


def test_the_cash_history_is_not_taken_for_fills(corpus: Path) -> None:
    told = json.loads(
        (corpus / "rotki" / "extracted_responses" / "test_coinbase.json").read_text()
    )["entries"]
    trades = [
        row
        for entry in told
        for row in (entry["json"].get("data") or [entry["json"]])
        if isinstance(row, dict) and "advanced_trade_fill" in row
    ]
    assert len(trades) > 3
    for row in trades:
        with pytest.raises(RowError, match="is missing"):
            facts_in(FILLS, row)
