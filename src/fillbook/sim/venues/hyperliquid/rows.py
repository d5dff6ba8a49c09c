"""Hyperliquid's JSON out of a simulated world: fills, funding, orders, ledger rows, states.

Numbers are text with at least one decimal, times milliseconds, B and A buy and sell. The traps
are kept: `fee` already holds `builderFee`, `tid` of a swept dust is 0, funding has an empty hash,
and a `liquidation` may be that of somebody on the other side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from fillbook.ground.exact import plain_text
from fillbook.sim.executions import SimFill, SimFunding
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder, SimTransfer
from fillbook.sim.prices import Market
from fillbook.sim.world import HYPERLIQUID, address_of
from fillbook.sim.writers import direction_of

Row = dict[str, Any]
NO_HASH = "0x" + "0" * 64
TOKENS = ("USDC", "PURR")
LEVERAGE = 20
_DIRECTIONS = {
    "adl": "Auto-Deleveraging",
    "settlement": "Settlement",
    "dust": "Spot Dust Conversion",
}
_STATES = {
    "placed": "open",
    "partially_filled": "open",
    "filled": "filled",
    "expired": "scheduledCancel",
    "rejected": "rejected",
}
_KINDS = {
    "market": "Market",
    "limit": "Limit",
    "stop": "Stop Market",
    "take_profit": "Take Profit Market",
}
_TIFS = {"gtc": "Gtc", "ioc": "FrontendMarket", "post": "Alo", "gtd": "Gtc"}


def text_of(number: Decimal) -> str:
    """Write a number as the venue does, with at least one decimal.

    >>> text_of(Decimal("66653")), text_of(Decimal("0.0010"))
    ('66653.0', '0.001')
    """
    text = plain_text(number)
    return text if "." in text else text + ".0"


def hash_of(*parts: object) -> str:
    """Return a transaction's hash."""
    return "0x" + hashlib.sha256(":".join(map(str, parts)).encode()).hexdigest()


def fill_row(world: LiveWorld, fill: SimFill) -> Row:
    """Return one row of userFills and userFillsByTime, and of the streams."""
    swept = fill.cause == "dust"
    row: Row = {
        "coin": world.name(fill.market, fill.ts_ms),
        "px": text_of(fill.px),
        "sz": text_of(fill.qty),
        "side": "B" if fill.side == "buy" else "A",
        "time": fill.ts_ms,
        "startPosition": text_of(fill.start_position),
        "dir": _DIRECTIONS.get(fill.cause or "", direction_of(fill)),
        "closedPnl": text_of(fill.closed_pnl),
        "hash": NO_HASH if swept else hash_of(fill.account, fill.order_id),
        "oid": fill.order_id,
        "crossed": fill.liquidity == "taker",
        "fee": text_of(fill.fee),
        "tid": 0 if swept else fill.fill_id,
    }
    chosen = int(hashlib.sha256(str(fill.fill_id).encode()).hexdigest()[:4], 16)
    if fill.client_id is not None:
        row["cloid"] = fill.client_id
        if fill.liquidity == "taker" and chosen % 8 == 0:
            row["builderFee"] = text_of(abs(fill.fee).quantize(Decimal("0.00001")) / 4)
    whose = fill.liquidated
    if whose is None and fill.liquidity == "maker" and chosen % 64 == 1:
        whose = address_of(f"stranger:{fill.fill_id}")
    if whose is not None:
        mark = fill.mark_px or world.mark(fill.market, fill.ts_ms)
        row["liquidation"] = {"liquidatedUser": whose, "markPx": text_of(mark), "method": "market"}
    row["feeToken"] = fill.fee_asset
    row["twapId"] = None
    return row


def fill_key(fill: SimFill) -> str:
    """Return the identity of an execution among all of its account's."""
    tid = 0 if fill.cause == "dust" else fill.fill_id
    return f"{fill.ts_ms}:{fill.market.symbol}:{tid}:{fill.order_id}:{fill.side}"


def payment_row(world: LiveWorld, payment: SimFunding) -> Row:
    """Return one funding payment as the stream tells it."""
    return {
        "time": payment.ts_ms,
        "coin": world.name(payment.market, payment.ts_ms),
        "usdc": text_of(payment.amount),
        "szi": text_of(payment.position),
        "fundingRate": text_of(payment.rate),
        "nSamples": None,
    }


def funding_row(world: LiveWorld, payment: SimFunding) -> Row:
    """Return one row of userFunding; its hash identifies nothing."""
    delta = payment_row(world, payment)
    del delta["time"]
    return {"time": payment.ts_ms, "hash": NO_HASH, "delta": {"type": "funding", **delta}}


def status_of(order: SimOrder) -> str:
    """Return an order's status in the venue's words."""
    if order.is_open and order.triggered_ms is not None:
        return "triggered"
    if order.state in ("cancelled", "rejected") and order.reason is not None:
        return "rejected" if order.reason == "marketHalted" else order.reason
    return _STATES.get(order.state, "canceled")


def brief_order(world: LiveWorld, order: SimOrder) -> Row:
    """Return an order as openOrders and orderUpdates have it."""
    row: Row = {
        "coin": world.name(order.market, order.changed_ms),
        "side": "B" if order.side == "buy" else "A",
        "limitPx": text_of(_limit_px(world, order)),
        "sz": text_of(order.qty - order.filled),
        "oid": order.order_id,
        "timestamp": order.placed_ms,
        "origSz": text_of(order.qty),
    }
    if order.client_id is not None:
        row["cloid"] = order.client_id
    return row


def order_row(world: LiveWorld, order: SimOrder) -> Row:
    """Return an order as frontendOpenOrders, historicalOrders and orderStatus have it."""
    triggers = order.trigger_px is not None
    falling = (order.side == "sell") == (order.kind == "stop")
    row = brief_order(world, order)
    row["triggerCondition"] = "N/A"
    row["isTrigger"] = triggers
    row["triggerPx"] = text_of(order.trigger_px or Decimal(0))
    if order.trigger_px is not None:
        row["triggerCondition"] = f"Price {'below' if falling else 'above'} {row['triggerPx']}"
    row["children"] = []
    row["isPositionTpsl"] = False
    row["reduceOnly"] = order.reduce_only
    row["orderType"] = _KINDS[order.kind]
    tif = "LiquidationMarket" if order.cause == "liquidation" else _TIFS[order.tif]
    row["tif"] = None if triggers else tif
    row["cloid"] = order.client_id
    return row


def past_order(world: LiveWorld, order: SimOrder) -> Row:
    """Return one row of historicalOrders: the order and its status."""
    return {
        "order": order_row(world, order),
        "status": status_of(order),
        "statusTimestamp": order.changed_ms,
    }


def order_update(world: LiveWorld, order: SimOrder) -> Row:
    """Return one element of an orderUpdates frame."""
    return {
        "order": brief_order(world, order),
        "status": status_of(order),
        "statusTimestamp": order.changed_ms,
    }


def _limit_px(world: LiveWorld, order: SimOrder) -> Decimal:
    if order.px is not None:
        return order.px
    return order.trigger_px or world.mark(order.market, order.placed_ms)


def ledger_rows(account: str, transfers: Sequence[SimTransfer]) -> list[Row]:
    """Return the rows of userNonFundingLedgerUpdates that move money, in time order."""
    rows: list[Row] = []
    for moved in transfers:
        usdc = text_of(abs(moved.amount))
        nonce = moved.ts_ms
        delta: Row
        if moved.what == "between wallets":
            if moved.wallet == "spot":
                continue  # the perpetual half tells both
            delta = {"type": "accountClassTransfer", "usdc": usdc, "toPerp": moved.amount > 0}
        elif moved.wallet == "spot":
            ends = (address_of("bridge"), account)
            sent, received = ends if moved.amount > 0 else ends[::-1]
            delta = {
                "type": "spotTransfer",
                "token": moved.asset,
                "amount": usdc,
                "usdcValue": usdc,
                "user": sent,
                "destination": received,
                "fee": "0.0",
                "nativeTokenFee": "0.0",
                "nonce": None,
            }
        elif moved.what == "deposit":
            delta = {"type": "deposit", "usdc": usdc}
        else:
            delta = {"type": "withdraw", "usdc": usdc, "nonce": nonce, "fee": "0.0"}
        moved_hash = hash_of(account, moved.transfer_id)
        rows.append({"time": moved.ts_ms, "hash": moved_hash, "delta": delta})
    return rows


def liquidation_rows(world: LiveWorld, fills: Sequence[SimFill]) -> list[Row]:
    """Return the ledger rows that say what was liquidated, one for each order."""
    by_order: dict[int, list[SimFill]] = {}
    for fill in fills:
        if fill.cause == "liquidation":
            by_order.setdefault(fill.order_id, []).append(fill)
    rows: list[Row] = []
    for order_id, parts in by_order.items():
        first = parts[0]
        notional = sum((part.px * part.qty for part in parts), Decimal(0))
        gone = {"coin": world.name(first.market, first.ts_ms), "szi": text_of(first.start_position)}
        delta = {
            "type": "liquidation",
            "liquidatedNtlPos": text_of(notional),
            "accountValue": "0.0",
            "leverageType": "Cross",
            "liquidatedPositions": [gone],
        }
        fill_hash = hash_of(first.account, order_id)
        rows.append({"time": first.ts_ms, "hash": fill_hash, "delta": delta})
    return rows


def is_perp(market: Market) -> bool:
    """Say whether a market is one of the venue's perpetuals."""
    return market.venue == HYPERLIQUID and market.contract == "linear"
