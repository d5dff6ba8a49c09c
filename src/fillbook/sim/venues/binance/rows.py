"""Binance USD-M's JSON out of a simulated world: trades, income, orders, positions, prices.

Numbers are text with the decimals of their market, times milliseconds. The traps are kept:
`tranId` is unique within a type only and too large for a float, both legs of a self-trade have
one trade id, a stop that went off is a market order, and income names no leg.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

from fillbook.sim.books import EXACT
from fillbook.sim.executions import SimFill, SimFunding
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder, SimPosition, SimTransfer
from fillbook.sim.prices import Market

Row = dict[str, Any]
SIDES = {"buy": "BUY", "sell": "SELL"}
LEGS = {"net": "BOTH", "long": "LONG", "short": "SHORT"}
CONDITIONAL = {"stop": "STOP_MARKET", "take_profit": "TAKE_PROFIT_MARKET"}
_KINDS = {"market": "MARKET", "limit": "LIMIT", "stop": "MARKET", "take_profit": "MARKET"}
_TIFS = {"gtc": "GTC", "ioc": "IOC", "post": "GTX", "gtd": "GTD"}
_STATES = {
    "placed": "NEW",
    "partially_filled": "PARTIALLY_FILLED",
    "filled": "FILLED",
    "cancelled": "CANCELED",
    "expired": "EXPIRED",
    "rejected": "REJECTED",
}
_OWN = {"liquidation": "autoclose-", "adl": "adl_autoclose", "settlement": "settlement_autoclose-"}


def text_of(number: Decimal, decimals: int = 8) -> str:
    """Write a number with a fixed count of decimals, as the venue does.

    >>> text_of(Decimal("0.1"), 3), text_of(Decimal("-5"), 0)
    ('0.100', '-5')
    """
    return format(number, f".{decimals}f")


def number_of(*parts: object) -> int:
    """Return a number for some parts, as large as the venue's own are.

    >>> number_of("FUNDING_FEE", 5) == number_of("FUNDING_FEE", 5) > 10**17
    True
    """
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()
    return 8 * 10**18 + int(digest[:14], 16)


def client_id(order: SimOrder) -> str:
    """Return an order's client id: the venue's own word where the venue itself traded."""
    own = _OWN.get(order.cause or "")
    if own is not None:
        return own + (str(order.placed_ms) if own.endswith("-") else "")
    return order.client_id or f"web_{order.order_id}"


def trade_row(world: LiveWorld, fill: SimFill) -> Row:
    """Return one row of userTrades."""
    market = fill.market
    return {
        "symbol": world.name(market, fill.ts_ms),
        "id": fill.fill_id,
        "orderId": fill.order_id,
        "side": SIDES[fill.side],
        "price": text_of(fill.px, market.px_decimals),
        "qty": text_of(fill.qty, market.qty_decimals),
        "realizedPnl": text_of(fill.closed_pnl),
        "marginAsset": market.quote,
        "quoteQty": text_of(fill.px * fill.qty, market.px_decimals + market.qty_decimals),
        "commission": text_of(fill.fee),
        "commissionAsset": fill.fee_asset,
        "time": fill.ts_ms,
        "positionSide": LEGS[fill.position_side],
        "buyer": fill.side == "buy",
        "maker": fill.liquidity == "maker",
    }


def fill_key(fill: SimFill) -> str:
    """Return the identity of an execution among all of its account's."""
    return f"{fill.market.symbol}:{fill.fill_id}:{fill.order_id}"


def commission_row(world: LiveWorld, fill: SimFill) -> Row:
    """Return the income row of an execution's fee."""
    row = _of_fill(world, fill, "COMMISSION", fill.fee_asset, -fill.fee)
    row["tranId"] = number_of("COMMISSION", fill.fill_id, fill.order_id)
    return row


def result_row(world: LiveWorld, fill: SimFill) -> Row:
    """Return the income row of what an execution realised."""
    row = _of_fill(world, fill, "REALIZED_PNL", fill.market.quote, fill.closed_pnl)
    # Unique within a type only: a commission may have the same number.
    row["tranId"] = number_of("COMMISSION", fill.fill_id, fill.order_id)
    return row


def _of_fill(world: LiveWorld, fill: SimFill, kind: str, asset: str, amount: Decimal) -> Row:
    return {
        "symbol": world.name(fill.market, fill.ts_ms),
        "incomeType": kind,
        "income": text_of(amount),
        "asset": asset,
        "time": fill.ts_ms,
        "info": str(fill.fill_id),
        "tranId": 0,
        "tradeId": str(fill.fill_id),
    }


def funding_row(world: LiveWorld, payment: SimFunding) -> Row:
    """Return the income row of a funding payment; it does not say of which leg."""
    told = (payment.ts_ms, payment.market.symbol, payment.position_side, payment.account)
    return {
        "symbol": world.name(payment.market, payment.ts_ms),
        "incomeType": "FUNDING_FEE",
        "income": text_of(payment.amount),
        "asset": payment.market.quote,
        "time": payment.ts_ms,
        "info": "FUNDING_FEE",
        "tranId": str(number_of("FUNDING_FEE", *told)),
        "tradeId": "",
    }


def transfer_row(moved: SimTransfer) -> Row:
    """Return the income row of money that came into the futures wallet or left it."""
    return {
        "symbol": "",
        "incomeType": "TRANSFER",
        "income": text_of(moved.amount),
        "asset": moved.asset,
        "time": moved.ts_ms,
        "info": "TRANSFER",
        "tranId": number_of("TRANSFER", moved.account, moved.transfer_id, moved.wallet),
        "tradeId": "",
    }


def income_key(row: Row) -> str:
    """Return the identity of an income row among all of its account's."""
    return f"{row['incomeType']}:{row['tranId']}:{row['asset']}:{row['symbol']}"


def order_row(world: LiveWorld, order: SimOrder) -> Row:
    """Return an order as allOrders and openOrders have it; a stop as the order it became."""
    market = order.market
    went_off = order.kind in CONDITIONAL
    placed_ms = order.triggered_ms if went_off and order.triggered_ms else order.placed_ms
    kind = _KINDS[order.kind]
    return {
        "orderId": order.order_id,
        "symbol": world.name(market, order.changed_ms),
        "status": _STATES[order.state],
        "clientOrderId": client_id(order),
        "price": text_of(order.px or Decimal(0), market.px_decimals),
        "avgPrice": text_of(average_px(order), market.px_decimals + 2),
        "origQty": text_of(order.qty, market.qty_decimals),
        "executedQty": text_of(order.filled, market.qty_decimals),
        "cumQuote": text_of(order.filled_value, market.px_decimals + market.qty_decimals),
        "timeInForce": _TIFS[order.tif],
        "type": kind,
        "reduceOnly": _says_reduce_only(order),
        "closePosition": False,
        "side": SIDES[order.side],
        "positionSide": LEGS[order.position_side],
        "stopPrice": text_of(Decimal(0), market.px_decimals),
        "workingType": "CONTRACT_PRICE",
        "priceProtect": False,
        "origType": kind,
        "priceMatch": "NONE",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "goodTillDate": 0,
        "time": placed_ms,
        "updateTime": order.changed_ms,
    }


def average_px(order: SimOrder) -> Decimal:
    """Return what an order was filled at on average, 0 where it was not."""
    if not order.filled:
        return Decimal(0)
    return EXACT.divide(order.filled_value, order.filled)


def _says_reduce_only(order: SimOrder) -> bool:
    # In hedge mode the flag is never sent: the leg says it.
    return order.reduce_only and order.position_side == "net" and order.cause is None


def algo_status(order: SimOrder) -> str:
    """Return the state of a conditional order in the venue's words."""
    if order.triggered_ms is None:
        return _STATES[order.state]
    return "TRIGGERED" if order.is_open else "FINISHED"


def algo_row(world: LiveWorld, order: SimOrder) -> Row:
    """Return a stop or target as allAlgoOrders and openAlgoOrders have it."""
    market = order.market
    went_off = order.triggered_ms is not None
    return {
        "algoId": order.order_id,
        "clientAlgoId": client_id(order),
        "algoType": "CONDITIONAL",
        "orderType": CONDITIONAL[order.kind],
        "symbol": world.name(market, order.changed_ms),
        "side": SIDES[order.side],
        "positionSide": LEGS[order.position_side],
        "timeInForce": _TIFS[order.tif],
        "quantity": text_of(order.qty, market.qty_decimals),
        "algoStatus": algo_status(order),
        "actualOrderId": str(order.order_id) if went_off else "",
        "actualPrice": text_of(average_px(order), market.px_decimals + 2),
        "actualQty": text_of(order.filled, market.qty_decimals),
        "actualType": "MARKET",
        "triggerPrice": text_of(order.trigger_px or Decimal(0), market.px_decimals),
        "price": text_of(Decimal(0), market.px_decimals),
        "icebergQuantity": None,
        "tpTriggerPrice": "0.000",
        "tpPrice": "0.000",
        "slTriggerPrice": "0.000",
        "slPrice": "0.000",
        "tpOrderType": "",
        "selfTradePreventionMode": "EXPIRE_MAKER",
        "workingType": "CONTRACT_PRICE",
        "priceMatch": "NONE",
        "closePosition": False,
        "priceProtect": False,
        "reduceOnly": _says_reduce_only(order),
        "createTime": order.placed_ms,
        "updateTime": order.changed_ms,
        "triggerTime": order.triggered_ms or 0,
        "goodTillDate": 0,
    }


def position_row(world: LiveWorld, position: SimPosition) -> Row:
    """Return a position as positionRisk has it; a short one is below zero."""
    market, mark = position.market, world.mark(position.market)
    entry = EXACT.divide(position.cost, position.qty)
    return {
        "symbol": world.name(market, world.now_ms),
        "positionSide": LEGS[position.position_side],
        "positionAmt": text_of(position.qty, market.qty_decimals),
        "entryPrice": text_of(entry, market.px_decimals + 2),
        "breakEvenPrice": text_of(entry, market.px_decimals + 2),
        "markPrice": text_of(mark),
        "unRealizedProfit": text_of(gained(world, position)),
        "liquidationPrice": "0",
        "isolatedMargin": "0",
        "notional": text_of(position.qty * mark),
        "marginAsset": market.quote,
        "isolatedWallet": "0",
        "initialMargin": text_of(abs(position.qty * mark) / 20),
        "maintMargin": text_of(abs(position.qty * mark) / 250),
        "positionInitialMargin": text_of(abs(position.qty * mark) / 20),
        "openOrderInitialMargin": "0",
        "adl": 2,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": position.changed_ms,
    }


def gained(world: LiveWorld, position: SimPosition) -> Decimal:
    """Return the open result of a position at its mark."""
    return position.qty * world.mark(position.market) - position.cost


def premium_row(world: LiveWorld, market: Market, symbol: str) -> Row:
    """Return a market as premiumIndex has it."""
    mark, funded = world.mark(market), market.contract == "linear"
    step_ms = world.settlement_step_ms(market) if funded else 0
    return {
        "symbol": symbol,
        "markPrice": text_of(mark),
        "indexPrice": text_of(mark),
        "estimatedSettlePrice": text_of(mark),
        "lastFundingRate": text_of(world.rate(market)) if funded else "",
        "interestRate": "0.00010000",
        "nextFundingTime": world.now_ms - world.now_ms % step_ms + step_ms if funded else 0,
        "time": world.now_ms,
    }
