"""Binance USD-M's order rows: allOrders, openOrders, forceOrders, and conditional orders.

A row is an order with its latest state, so it tells two things: that it was placed, and what
became of it. `origType` is the type it was sent as; a stop that went off is a market order in
`type`. Stops and targets are conditional orders of their own (`algoId`) until they go off and
name the order they became.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import OrderStatus, OrderUpdate
from fillbook.sources.binance.fills import (
    MILLISECOND_NS,
    MILLISECONDS,
    SIDES,
    VENUE,
    position_side_in,
)
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft

STATUSES: dict[str, OrderStatus] = {
    "new": "placed",
    "partially_filled": "partially_filled",
    "filled": "filled",
    "canceled": "cancelled",
    "pending_cancel": "amended",
    "rejected": "rejected",
    "expired": "expired",
    "expired_in_match": "expired",
    # Taken over by the insurance fund, or by the other side of the market.
    "new_insurance": "amended",
    "new_adl": "amended",
}
ALGO_STATUSES: dict[str, OrderStatus] = {
    "new": "placed",
    "triggering": "amended",
    "triggered": "amended",
    "finished": "filled",
    "canceled": "cancelled",
    "rejected": "rejected",
    "expired": "expired",
}

# The states that are told by the status alone, without a reason.
_PLAIN = ("PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED")
_FINAL = ("filled", "cancelled", "rejected", "expired")

# The venue's own orders, by the beginning of their client id.
_CAUSES = (
    ("settlement_autoclose", "settlement"),
    ("adl_autoclose", "adl"),
    ("autoclose", "liquidation"),
)


def cause_of(client_order_id: str | None) -> str | None:
    """Return why the venue itself sent an order, None for everybody's orders.

    >>> cause_of("autoclose-1596107620040000020"), cause_of("adl_autoclose"), cause_of("x-1")
    ('liquidation', 'adl', None)
    """
    for beginning, cause in _CAUSES:
        if (client_order_id or "").startswith(beginning):
            return cause
    return None


def is_open(row: Row) -> bool:
    """Say whether an order, conditional or not, still moves on; RowError for unknown states."""
    if "algoId" in row.cells:
        return row.choice("algoStatus", ALGO_STATUSES) not in _FINAL
    return row.choice("status", STATUSES) not in _FINAL


def draft_order(row: Row, account: str) -> list[Draft]:
    """Turn an order, conditional or not, into what it tells; RowError when it cannot be."""
    return _draft_algo(row, account) if "algoId" in row.cells else _draft_plain(row, account)


def _draft_plain(row: Row, account: str) -> list[Draft]:
    word = row.need("status")
    status = row.choice("status", STATUSES)
    order_id = row.need("orderId")
    placed = msgspec.structs.replace(
        _order(row, account, "clientOrderId", "origQty", "stopPrice"),
        order_id=order_id,
        order_type=row.text("origType") or row.text("type"),
        # What was never placed (forced orders carry no time of their own) has its update's.
        ts_ns=row.when("time" if row.text("time") else "updateTime", MILLISECONDS),
    )
    told = [] if status == "rejected" else [_first(placed, order_id)]
    if status == "placed":
        return told
    filled = row.number("executedQty")
    update = msgspec.structs.replace(
        placed,
        status=status,
        ts_ns=row.when("updateTime", MILLISECONDS),
        filled_qty=filled,
        average_px=row.number("avgPrice") or None,
        reason=placed.reason or (None if word in _PLAIN else word.lower()),
    )
    key = key_of(update.ts_ns, row.need("symbol"), order_id, word, filled)
    return [*told, Draft(update, key)]


def _draft_algo(row: Row, account: str) -> list[Draft]:
    """Tell a conditional order, and under its own id the order it became when it went off."""
    word, algo_id = row.need("algoStatus"), row.need("algoId")
    status = row.choice("algoStatus", ALGO_STATUSES)
    became = row.text("actualOrderId")
    placed = msgspec.structs.replace(
        _order(row, account, "clientAlgoId", "quantity", "triggerPrice"),
        order_id=f"algo-{algo_id}",
        order_type=row.text("orderType"),
        ts_ns=row.when("createTime", MILLISECONDS),
    )
    told = [] if status == "rejected" else [_first(placed, f"algo-{algo_id}")]
    if status == "placed":
        return told
    filled = row.number("actualQty") or Decimal(0)
    if status == "filled" and (not filled or filled < (placed.qty or filled)):
        # It went off, and what it became was withdrawn before all of it was filled.
        status = "cancelled"
    update = msgspec.structs.replace(
        placed,
        status=status,
        ts_ns=row.when("updateTime", MILLISECONDS),
        filled_qty=filled,
        average_px=row.number("actualPrice") or None,
    )
    key = key_of(update.ts_ns, row.need("symbol"), f"algo-{algo_id}", word, filled)
    told.append(Draft(update, key))
    if became:
        # The fills name this order: so they find the stop behind it.
        named = "triggerTime" if row.number("triggerTime") else "updateTime"
        went_off = row.when(named, MILLISECONDS)
        order = msgspec.structs.replace(placed, order_id=became, ts_ns=went_off)
        told.append(_first(order, became))
    return told


def _first(placed: OrderUpdate, order_id: str) -> Draft:
    # A changed price or quantity is told anew: the row shows the latest only.
    key = key_of(
        placed.ts_ns,
        placed.instrument,
        order_id,
        "placed",
        placed.order_type,
        placed.qty,
        placed.px,
    )
    return Draft(placed, key)


def _order(row: Row, account: str, client: str, qty: str, stop: str) -> OrderUpdate:
    """Return what both kinds of rows share, as it was when it was placed."""
    symbol, side = row.need("symbol"), row.choice("side", SIDES)
    client_id = row.text(client)
    leg = position_side_in(row)
    cause = cause_of(client_id)
    told = any(row.text(name) and row.flag(name) for name in ("reduceOnly", "closePosition"))
    # In hedge mode the leg and the side say whether an order can only reduce.
    leaves = (leg, side) in (("long", "sell"), ("short", "buy"))
    return OrderUpdate(
        venue=VENUE,
        account=account,
        ts_ns=0,
        printed_ns=MILLISECOND_NS,
        instrument=symbol,
        status="placed",
        side=side,
        client_order_id=client_id,
        qty=row.number(qty) or None,
        px=row.number("price") or None,
        stop_px=row.number(stop) or None,
        reduce_only=told or leaves or cause is not None,
        reason=cause,
    )
