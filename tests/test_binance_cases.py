"""Recorded answers of Binance futures against what others read in them; no case is left unsaid.

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

from fillbook.facts.model import AnyFact, Charge, Fill, Funding, OrderUpdate, Report, Transfer
from fillbook.ground.clock import parse_ns
from fillbook.sources.binance.rows import INCOME, ORDERS, TRADES, drafts_of
from fillbook.sources.binance.socket import UserListener
from fillbook.sources.files.records import parse_object
from fillbook.sources.pace import SystemPace
from fillbook.sources.redact import Redactor
from fillbook.sources.source import RowError
from fillbook.sources.stream import Answer, Ask, Nudge

ACCOUNT = "354937868"
MS = 1_000_000
D = Decimal
F = TypeVar("F")
Cells = dict[str, Any]
Check = Callable[[Any], None]


def facts_in(source: str, row: Cells) -> list[AnyFact]:
    return [draft.fact for draft in drafts_of(source, parse_object(json.dumps(row)), ACCOUNT)]


def only(source: str, row: Cells, kind: type[F]) -> F:
    (fact,) = facts_in(source, row)
    assert isinstance(fact, kind)
    return fact


def dec(number: Any) -> Decimal:
    return D(str(number))


def is_dec(value: Decimal | None, number: Any) -> bool:
    """Say whether a figure of ours is a printed one; nothing is what the venue prints as 0."""
    return (value or D(0)) == dec(number)


# -- ccxt: raw answers, and the values another reader made of them -----------------------------


def a_fill(row: Cells, wanted: Cells) -> None:
    fill = only(TRADES, row, Fill)
    assert wanted["symbol"].split(":")[0].replace("/", "") == fill.instrument
    assert (fill.fill_id, fill.order_id, fill.side) == (
        wanted["id"],
        wanted["order"],
        wanted["side"],
    )
    assert fill.liquidity == wanted["takerOrMaker"]
    assert fill.ts_ns == wanted["timestamp"] * MS == parse_ns(wanted["datetime"])
    assert (fill.px, fill.qty, fill.px * fill.qty) == (
        dec(wanted["price"]),
        dec(wanted["amount"]),
        dec(wanted["cost"]),
    )
    assert (fill.fee, fill.fee_asset) == (dec(wanted["fee"]["cost"]), wanted["fee"]["currency"])


def a_position(row: Cells, wanted: Cells) -> None:
    report = only(ORDERS, {"time": wanted.get("timestamp", 0), "position": row}, Report)
    assert report.instrument == wanted["symbol"].split(":")[0].replace("/", "")
    assert report.qty == dec(wanted["contracts"]) * (1 if wanted["side"] == "long" else -1)
    assert report.px == dec(wanted["markPrice"])
    assert report.px is not None and report.qty is not None
    gained = report.qty * (report.px - dec(wanted["entryPrice"]))
    assert abs(gained - dec(wanted["unrealizedPnl"])) < D("0.00000001")


def a_balance(row: Cells, wanted: Cells) -> None:
    for asset in row["assets"]:
        report = only(ORDERS, {"time": 5, "asset": asset}, Report)
        assert report.amount == dec(wanted[asset["asset"]]["total"])


def a_funding(row: Cells, wanted: Cells) -> None:
    paid = only(INCOME, row, Funding)
    assert paid.instrument == wanted["symbol"].split(":")[0].replace("/", "")
    assert (paid.asset, paid.funding_id, paid.amount) == (
        wanted["code"],
        wanted["id"],
        dec(wanted["amount"]),
    )
    assert paid.ts_ns == parse_ns(wanted["datetime"])


CLOSED = {"open": "placed", "closed": "filled", "canceled": "cancelled"}


def an_order(row: Cells, wanted: Cells) -> None:
    placed = only(ORDERS, row, OrderUpdate)
    assert (placed.order_id, placed.side, (placed.order_type or "").lower()) == (
        wanted["id"],
        wanted["side"],
        wanted["type"],
    )
    assert placed.status == CLOSED[wanted["status"]]
    assert (placed.px, placed.qty) == (dec(wanted["price"]), dec(wanted["amount"]))
    assert placed.ts_ns == wanted["timestamp"] * MS


SPOT = "spot, which is not attached"
CCXT: dict[str, Callable[[Cells, Cells], None] | str] = {
    "Swap private trade": a_fill,
    "Spot private trade": SPOT,
    "Fetch linear positions without symbols": a_position,
    "Fetch linear positions with symbols": a_position,
    "Linear swap balance (v2 account)": a_balance,
    "funding income": a_funding,
    "canceled spot order": SPOT,
    "filled spot market order": SPOT,
    "create swap orders": an_order,
}


def test_every_case_of_ccxt(corpus: Path) -> None:
    cases = json.loads((corpus / "ccxt" / "binance.json").read_text())["cases"]
    assert {case["description"] for case in cases} == CCXT.keys()
    checked = 0
    for case in cases:
        check = CCXT[case["description"]]
        if isinstance(check, str):
            continue
        raw, wanted = case["httpResponse"], case["expected"]
        if isinstance(wanted, dict):
            raw, wanted = [raw], [wanted]
        for row, told in zip(raw, wanted, strict=True):
            check(row, told)
            checked += 1
    assert checked == 6


def test_a_spot_trade_is_no_futures_fill(corpus: Path) -> None:
    cases = json.loads((corpus / "ccxt" / "binance.json").read_text())["cases"]
    (case,) = [case for case in cases if case["description"] == "Spot private trade"]
    with pytest.raises(RowError, match="is missing"):
        facts_in(TRADES, case["httpResponse"][0])


# -- recorded requests of a client library: its own values are the expectation ------------------


def trades(rows: list[Cells]) -> None:
    for row in rows:
        fill = only(TRADES, row, Fill)
        assert (fill.instrument, fill.side) == (row["symbol"], row["side"].lower())
        assert (fill.px, fill.qty, fill.fee) == tuple(
            dec(row[name]) for name in ("price", "qty", "commission")
        )
        assert (fill.fee_asset, fill.venue_pnl) == (row["commissionAsset"], dec(row["realizedPnl"]))
        assert (fill.fill_id, fill.order_id) == (str(row["id"]), str(row["orderId"]))
        assert fill.liquidity == ("maker" if row["maker"] else "taker")
        assert fill.position_side == {"BOTH": "net"}.get(
            row["positionSide"], row["positionSide"].lower()
        )
        assert fill.ts_ns == row["time"] * MS


def income(rows: list[Cells]) -> None:
    transfer, commission = (facts_in(INCOME, row)[0] for row in rows)
    assert isinstance(transfer, Transfer) and isinstance(commission, Charge)
    assert (transfer.amount, commission.amount) == (dec(rows[0]["income"]), -dec(rows[1]["income"]))
    assert (commission.fill_id, commission.repeats_fills) == (str(rows[1]["tradeId"]), True)
    assert transfer.transfer_id == commission.charge_id == rows[0]["tranId"]
    assert (transfer.ts_ns, commission.ts_ns) == tuple(row["time"] * MS for row in rows)


STATUS = {"NEW": "placed", "FILLED": "filled", "CANCELED": "cancelled"}
CAUSES = {"autoclose-1596107620040000020": "liquidation", "adl_autoclose": "adl"}


def orders(rows: list[Cells] | Cells) -> None:
    for row in rows if isinstance(rows, list) else [rows]:
        if "code" in row:
            continue
        placed, *later = facts_in(ORDERS, row)
        assert isinstance(placed, OrderUpdate)
        assert placed.ts_ns == row.get("time", row["updateTime"]) * MS
        assert (placed.instrument, placed.side) == (row["symbol"], row["side"].lower())
        assert (placed.order_id, placed.client_order_id) == (
            str(row["orderId"]),
            row["clientOrderId"],
        )
        assert (placed.status, placed.order_type) == ("placed", row["origType"])
        for ours, name in ((placed.qty, "origQty"), (placed.px, "price")):
            assert is_dec(ours, row[name])
        assert is_dec(placed.stop_px, row["stopPrice"])
        cause = CAUSES.get(row["clientOrderId"])
        leaves = (row["positionSide"], row["side"]) in (("LONG", "SELL"), ("SHORT", "BUY"))
        assert placed.reduce_only == (row["reduceOnly"] or leaves or cause is not None)
        assert placed.reason == cause
        assert [update.status for update in later] == (  # type: ignore[union-attr]
            [] if row["status"] == "NEW" else [STATUS[row["status"]]]
        )
        for update in later:
            assert isinstance(update, OrderUpdate)
            assert is_dec(update.filled_qty, row["executedQty"])
            assert is_dec(update.average_px, row.get("avgPrice", 0))
            assert update.ts_ns == row["updateTime"] * MS


def conditional(rows: list[Cells] | Cells) -> None:
    for row in rows if isinstance(rows, list) else [rows]:
        told = facts_in(ORDERS, row)
        placed = told[0]
        assert isinstance(placed, OrderUpdate)
        assert (placed.order_id, placed.client_order_id) == (
            f"algo-{row['algoId']}",
            row["clientAlgoId"],
        )
        assert (placed.order_type, placed.stop_px) == (row["orderType"], dec(row["triggerPrice"]))
        assert placed.ts_ns == row["createTime"] * MS
        if row["algoStatus"] == "NEW":
            assert len(told) == 1
            continue
        _, ended, became = told
        assert isinstance(ended, OrderUpdate) and isinstance(became, OrderUpdate)
        assert (ended.status, ended.filled_qty, ended.average_px) == (
            "filled",
            dec(row["actualQty"]),
            dec(row["actualPrice"]),
        )
        assert (became.order_id, became.order_type) == (row["actualOrderId"], row["orderType"])
        assert became.ts_ns == row["triggerTime"] * MS


def positions(rows: list[Cells]) -> None:
    for row in rows:
        report = only(ORDERS, {"time": 5, "position": row}, Report)
        assert (report.instrument, report.qty) == (row["symbol"], dec(row["positionAmt"]))
        assert is_dec(report.px, row["markPrice"])
        assert report.position_side == row["positionSide"].lower().replace("both", "net")


def account(row: Cells) -> None:
    for asset in row["assets"]:
        report = only(ORDERS, {"time": 5, "asset": asset}, Report)
        assert (report.what, report.asset) == ("equity", asset["asset"])
        assert is_dec(report.amount, asset["marginBalance"])


SETTING = "a setting, which nothing reads"
NO_HISTORY = "an answer to a change, which is never sent"
CONVERT = "conversions, which are not read"
GRID = "the venue's own execution algorithms, on a list of their own"
JKORF: dict[str, Check | str] = {
    "endpoints_usdfutures_account/ChangeInitialLeverage": NO_HISTORY,
    "endpoints_usdfutures_account/ChangeMarginType": NO_HISTORY,
    "endpoints_usdfutures_account/GetAccountConfiguration": SETTING,
    "endpoints_usdfutures_account/GetAccountInfo": account,
    "endpoints_usdfutures_account/GetAccountInfoV3": account,
    "endpoints_usdfutures_account/GetBalances": "its alias alone is read, on a testnet",
    "endpoints_usdfutures_account/GetBnbBurnStatus": SETTING,
    "endpoints_usdfutures_account/GetBrackets": SETTING,
    "endpoints_usdfutures_account/GetIncomeHistory": income,
    "endpoints_usdfutures_account/GetMarginChangeHistory": "moves between margins of one wallet",
    "endpoints_usdfutures_account/GetMultiAssetsMode": SETTING,
    "endpoints_usdfutures_account/GetPositionAdlQuantileEstimation": "a forecast",
    "endpoints_usdfutures_account/GetPositionInformation": positions,
    "endpoints_usdfutures_account/GetSymbolConfiguration": SETTING,
    "endpoints_usdfutures_account/GetTradingStatus": SETTING,
    "endpoints_usdfutures_account/GetUserCommissionRate": SETTING,
    "endpoints_usdfutures_account/ModifyPositionMargin": NO_HISTORY,
    "endpoints_usdfutures_trading/CancelAlgoOrder": NO_HISTORY,
    "endpoints_usdfutures_trading/CancelAllConditionalOrders": NO_HISTORY,
    "endpoints_usdfutures_trading/CancelAllOrders": NO_HISTORY,
    "endpoints_usdfutures_trading/CancelAllOrdersAfterTimeout": NO_HISTORY,
    "endpoints_usdfutures_trading/CancelConditionalOrder": NO_HISTORY,
    "endpoints_usdfutures_trading/CancelMultipleOrders": orders,
    "endpoints_usdfutures_trading/CancelOrder": orders,
    "endpoints_usdfutures_trading/ConvertAcceptQuote": CONVERT,
    "endpoints_usdfutures_trading/ConvertQuoteRequest": CONVERT,
    "endpoints_usdfutures_trading/EditMultipleOrders": orders,
    "endpoints_usdfutures_trading/EditOrder": orders,
    "endpoints_usdfutures_trading/GetAlgoSubOrders": GRID,
    "endpoints_usdfutures_trading/GetClosedAlgoOrders": GRID,
    "endpoints_usdfutures_trading/GetConditionalOrder": conditional,
    "endpoints_usdfutures_trading/GetConditionalOrders": conditional,
    "endpoints_usdfutures_trading/GetConvertOrderStatus": CONVERT,
    "endpoints_usdfutures_trading/GetForcedOrders": orders,
    "endpoints_usdfutures_trading/GetOpenAlgoOrders": GRID,
    "endpoints_usdfutures_trading/GetOpenConditionalOrders": conditional,
    "endpoints_usdfutures_trading/GetOpenOrder": orders,
    "endpoints_usdfutures_trading/GetOpenOrders": orders,
    "endpoints_usdfutures_trading/GetOrder": orders,
    "endpoints_usdfutures_trading/GetOrderEditHistory": "an order's latest state counts",
    "endpoints_usdfutures_trading/GetOrders": orders,
    "endpoints_usdfutures_trading/GetPositions": positions,
    "endpoints_usdfutures_trading/GetUserTrades": trades,
    "endpoints_usdfutures_trading/PlaceConditionalOrder": conditional,
    "endpoints_usdfutures_trading/PlaceMultipleOrders": orders,
    "endpoints_usdfutures_trading/PlaceOrder": orders,
    "endpoints_usdfutures_trading/PlaceTimeWeightedAveragePriceOrder": NO_HISTORY,
    "endpoints_usdfutures_trading/PlaceVolumeParticipationOrder": NO_HISTORY,
    "spot_trading/GetOpenOrders": SPOT,
    "spot_trading/GetOrder": SPOT,
    "spot_trading/GetOrders": SPOT,
    "spot_trading/GetUserTrades": SPOT,
}


def test_every_answer_of_the_client_library(corpus: Path) -> None:
    folder = corpus / "JKorf.Binance.Net"
    files = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.txt")}
    assert files == JKORF.keys()
    checked = 0
    for name, check in JKORF.items():
        if not isinstance(check, str):
            lines = (folder / f"{name}.txt").read_text().splitlines()[3:]
            check(json.loads("\n".join(re.sub(r"\s//.*$", "", line) for line in lines)))
            checked += 1
    assert checked == 21


# -- the private stream: hints, never facts ------------------------------------------------------


def listening() -> tuple[UserListener, set[str]]:
    noted: set[str] = set()

    async def read(ask: Ask) -> Answer:
        raise AssertionError("a message asks nothing by itself")

    return UserListener(read, SystemPace(), Redactor(), noted.add), noted


FILLED = ("trades/{s}", "income", "orders/{s}")
NAUTILUS: dict[str, tuple[str, ...] | str] = {
    "ws_futures_algo_update_finished": ("algo/{s}",),
    "ws_futures_algo_update_finished_canceled": ("algo/{s}",),
    "ws_futures_algo_update_triggered": ("algo/{s}",),
    "ws_futures_algo_update_triggering": ("algo/{s}",),
    "ws_futures_book_ticker": "market prices, which are not listened to",
    "ws_futures_depth_diff_update": "market prices, which are not listened to",
    "ws_futures_depth_update": "market prices, which are not listened to",
    "ws_futures_order_update_adl": FILLED,
    "ws_futures_order_update_adl_filled": FILLED,
    "ws_futures_order_update_liquidation": FILLED,
    "ws_futures_order_update_liquidation_zero_qty": ("orders/{s}",),
    "ws_futures_order_update_new_limit_if_touched_price_match": ("orders/{s}",),
    "ws_futures_order_update_new_price_match": ("orders/{s}",),
    "ws_futures_order_update_new_reduce_only_qty": ("orders/{s}",),
    "ws_futures_order_update_new_stop_limit_price_match": ("orders/{s}",),
    "ws_futures_order_update_settlement": FILLED,
    "ws_futures_order_update_trade_reduce_only_qty": FILLED,
    "ws_futures_ticker_24hr": "market prices, which are not listened to",
    # It repeats a fill without its fee: a reason to look, never a fill.
    "ws_futures_trade_lite": ("trades/{s}",),
}


def test_every_message_of_the_private_stream(corpus: Path) -> None:
    folder = corpus / "nautilus_trader" / "binance_py" / "ws"
    assert {path.stem for path in folder.glob("ws_futures_*.json")} == NAUTILUS.keys()
    checked = 0
    for name, wanted in NAUTILUS.items():
        if isinstance(wanted, str):
            continue
        text = (folder / f"{name}.json").read_text()
        event = json.loads(text)
        event = event.get("data", event)
        symbol = event["o"]["s"] if "o" in event else event["s"]
        listener, noted = listening()
        nudge = listener.heard(text)
        assert isinstance(nudge, Nudge)
        assert nudge.streams == tuple(stream.format(s=symbol) for stream in wanted)
        assert noted == {symbol}
        checked += 1
    assert checked == 15


def test_the_venues_own_orders_name_their_cause_in_the_stream_as_in_the_history(
    corpus: Path,
) -> None:
    """What the stream says of a liquidation is what the order's row will say."""
    folder = corpus / "nautilus_trader" / "binance_py" / "ws"
    causes = {}
    for name in ("adl", "adl_filled", "liquidation", "settlement"):
        order = json.loads((folder / f"ws_futures_order_update_{name}.json").read_text())["data"][
            "o"
        ]
        row = {
            "symbol": order["s"],
            "orderId": order["i"],
            "clientOrderId": order["c"],
            "side": order["S"],
            "positionSide": order["ps"],
            "origType": order["ot"],
            "status": order["X"],
            "origQty": order["q"],
            "executedQty": order["z"],
            "avgPrice": order["ap"],
            "price": order["p"],
            "time": order["T"],
            "updateTime": order["T"],
        }
        placed, filled = facts_in(ORDERS, row)
        assert isinstance(placed, OrderUpdate) and isinstance(filled, OrderUpdate)
        assert (filled.filled_qty, filled.average_px) == (dec(order["z"]), dec(order["ap"]))
        causes[name] = (placed.reason, placed.reduce_only)
    assert causes == {
        "adl": ("adl", True),
        "adl_filled": ("adl", True),
        "liquidation": ("liquidation", True),
        "settlement": ("settlement", True),
    }
