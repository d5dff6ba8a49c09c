"""Hyperliquid's order rows: historicalOrders, orderUpdates, openOrders and frontendOpenOrders.

A historical row is an order with its latest status, so it tells two things: when the order was
placed, and what became of it. A changed order is a new one, with a new `oid` and the old `cloid`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import OrderStatus, OrderUpdate, Side
from fillbook.sources.hyperliquid.fills import MILLISECOND_NS, SPOT_NAMES, VENUE
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft, RowError

_SIDES: dict[str, Side] = {"b": "buy", "a": "sell"}
_STATUSES: dict[str, OrderStatus] = {
    "open": "placed",
    "filled": "filled",
    "canceled": "cancelled",
    "scheduledCancel": "cancelled",
    "triggered": "amended",
    "rejected": "rejected",
}
_ENDINGS: tuple[tuple[str, OrderStatus], ...] = (
    ("Canceled", "cancelled"),
    ("Rejected", "rejected"),
)
_PLAIN = ("open", "filled", "canceled", "rejected")
_MILLISECONDS = TimeForm("unix_ms")
_NOT_SET = "N/A"


def status_of(word: str) -> OrderStatus:
    """Return what a status of the venue means; RowError for one nobody has heard of.

    Every reason has a word of its own: marginCanceled, tickRejected, siblingFilledCanceled.

    >>> status_of("reduceOnlyCanceled"), status_of("badAloPxRejected"), status_of("triggered")
    ('cancelled', 'rejected', 'amended')
    """
    known = _STATUSES.get(word)
    if known is not None:
        return known
    for ending, status in _ENDINGS:
        if word.endswith(ending):
            return status
    raise RowError("status", f"{word!r} is not an order status this reader knows")


def draft_order(row: Row, account: str) -> list[Draft]:
    """Turn a row of historicalOrders into what it tells: placed, and its latest status."""
    order = order_in(row.cells, "order")
    word = row.need("status")
    status = status_of(word)
    # A rejected order never stood in the book; it was not placed and then withdrawn.
    told = [] if status == "rejected" else [_placed(order, account)]
    if status == "placed":
        return told
    at = row.need("statusTimestamp")
    update = _update(order, account, status, row.when("statusTimestamp", _MILLISECONDS))
    reason = None if word in _PLAIN else word
    filled = _filled_qty(order, update.qty, status)
    update = msgspec.structs.replace(update, reason=reason, filled_qty=filled)
    return [*told, Draft(update, key_of(update.ts_ns, at, order.need("oid"), word))]


def draft_open_order(row: Row, account: str) -> list[Draft]:
    """Turn a row of openOrders or frontendOpenOrders into its placement.

    How much of it is filled by now is told by its fills, each at its own time.
    """
    return [_placed(row, account)]


def order_in(cells: Mapping[str, Any], name: str) -> Row:
    """Return the nested order of a row; RowError where there is none."""
    order = cells.get(name)
    if not isinstance(order, dict):
        raise RowError(name, "is missing")
    return Row(order)


def _placed(order: Row, account: str) -> Draft:
    update = _update(order, account, "placed", order.when("timestamp", _MILLISECONDS))
    key = key_of(update.ts_ns, order.need("timestamp"), order.need("oid"), "open")
    return Draft(update, key)


def _update(order: Row, account: str, status: OrderStatus, ts_ns: int) -> OrderUpdate:
    coin, kind = order.need("coin"), order.text("orderType")
    trigger_px = order.number("triggerPx")
    triggers = bool(order.text("isTrigger")) and order.flag("isTrigger")
    # A market order carries the worst price it would take; that is not a price anybody asked for.
    is_market = (kind or "").lower().endswith("market")
    return OrderUpdate(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        instrument=SPOT_NAMES.get(coin, coin),
        status=status,
        side=order.choice("side", _SIDES),
        order_id=order.need("oid"),
        client_order_id=order.text("cloid"),
        order_type=None if kind in (None, _NOT_SET) else kind.lower(),
        # `sz` is what remains: how much was asked for is only told by `origSz`.
        qty=order.number("origSz") or None,
        px=None if is_market else order.number("limitPx") or None,
        stop_px=(trigger_px or None) if triggers else None,
        reduce_only=bool(order.text("reduceOnly")) and order.flag("reduceOnly"),
    )


def _filled_qty(order: Row, qty: Decimal | None, status: OrderStatus) -> Decimal | None:
    """Return how much had been filled when the order reached its status, where the row tells."""
    remaining = order.number("sz")
    if qty is None or status in ("rejected", "amended"):
        return None
    if status == "filled":
        return qty
    return None if remaining is None else qty - remaining
