"""Coinbase Advanced's JSON out of a simulated world: fills, orders, and what their ids are.

Numbers are text without idle zeros, times RFC 3339. The traps are kept: a fill names no currency
of its fee, an undone fill comes again as a REVERSAL or a CORRECTION under the same trade id, a
size may be in the quote currency, and only `entry_id` is unique.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec

from fillbook.ground.clock import iso
from fillbook.ground.exact import plain_text
from fillbook.sim.books import EXACT
from fillbook.sim.executions import SimCorrection, SimFill
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder

Row = dict[str, Any]
TradeType = Literal["FILL", "REVERSAL", "CORRECTION"]
SIDES = {"buy": "BUY", "sell": "SELL"}
STATES = {
    "placed": "OPEN",
    "partially_filled": "OPEN",
    "filled": "FILLED",
    "cancelled": "CANCELLED",
    "expired": "EXPIRED",
    "rejected": "FAILED",
}
TIFS = {
    "gtc": "GOOD_UNTIL_CANCELLED",
    "post": "GOOD_UNTIL_CANCELLED",
    "gtd": "GOOD_UNTIL_DATE_TIME",
    "ioc": "IMMEDIATE_OR_CANCEL",
}
_MS_NS = 1_000_000
# The venue numbers an execution so long after it took place.
_NUMBERED_US = 3_000
_CENT = Decimal("0.01")


def uuid_of(*parts: object) -> str:
    """Return a UUID for some parts, always the same.

    >>> uuid_of("order", 7)
    '15e03a86-f3d7-4c03-afd5-97dfc3e881a5'
    """
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return str(UUID(bytes=digest[:16], version=4))


def order_id_of(order_id: int) -> str:
    """Return an order's id on the wire."""
    return uuid_of("order", order_id)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the fills: an execution, or what became of it later.

    `traded_ms` is the row's trade time, `numbered_us` its place in the venue's own sequence.
    `nth` sets several corrections of one execution apart.
    """

    fill: SimFill
    trade_type: TradeType
    trade_id: str
    traded_ms: int
    numbered_us: int
    in_quote: bool = False
    nth: int = 0

    @property
    def entry_id(self) -> str:
        """Return the row's own id, the only one that is unique."""
        told = (self.fill.account, self.fill.market.symbol, self.fill.fill_id, self.fill.order_id)
        text = ":".join(map(str, (*told, self.trade_type, self.nth)))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def place(self) -> tuple[int, int, str]:
        """Return where it stands among all rows: by trade time, then by sequence."""
        return self.traded_ms, self.numbered_us, self.entry_id


def entries_of(
    plan: FaultPlan, fills: Sequence[SimFill], corrections: Sequence[SimCorrection]
) -> list[Entry]:
    """Return every row of an account's fills, as the plan would have them, in order of making."""
    entries: dict[tuple[int, int], Entry] = {}
    last: dict[int, Entry] = {}
    shared: set[str] = set()
    in_ms = at_ms = 0
    for fill in fills:
        in_ms, at_ms = (in_ms + 1 if fill.ts_ms == at_ms else 1), fill.ts_ms
        key = f"{fill.account}:{fill.fill_id}:{fill.order_id}"
        trade_id = uuid_of("trade", fill.market.symbol, fill.fill_id)
        before = last.get(fill.order_id)
        # Nobody could tell two alike apart, should one of them be undone.
        unlike = before is not None and before.fill.qty != fill.qty
        if before is not None and unlike and plan.strikes_on("repeated_trade_id", key):
            trade_id = before.trade_id
            shared.add(trade_id)
        spot = fill.market.contract == "spot"
        entries[fill.fill_id, fill.order_id] = last[fill.order_id] = Entry(
            fill=fill,
            trade_type="FILL",
            trade_id=trade_id,
            traded_ms=fill.ts_ms,
            numbered_us=fill.ts_ms * 1_000 + _NUMBERED_US + in_ms,
            in_quote=spot and plan.strikes_on("quote_sized", key),
        )
    later: list[Entry] = []
    for nth, correction in enumerate(corrections, start=1):
        made = entries[correction.target.fill_id, correction.target.order_id]
        undone = msgspec.structs.replace(made, fill=correction.target, nth=nth)
        later += _corrections(plan, undone, correction, made.trade_id in shared)
    return [*entries.values(), *later]


def _corrections(
    plan: FaultPlan, undone: Entry, correction: SimCorrection, ambiguous: bool
) -> list[Entry]:
    """Return the rows of a correction: under its own time or the original's, in one or in two."""
    manner = plan.amount("correction", undone.entry_id, 0, 3)
    told = msgspec.structs.replace(
        undone,
        trade_type="REVERSAL",
        traded_ms=undone.traded_ms if manner & 1 else correction.ts_ms,
        numbered_us=correction.ts_ms * 1_000 + _NUMBERED_US,
    )
    if correction.replacement is None:
        return [told]
    replaced = msgspec.structs.replace(
        told,
        fill=correction.replacement,
        trade_type="CORRECTION",
        numbered_us=told.numbered_us + 1,
    )
    return [told, replaced] if manner & 2 or ambiguous else [replaced]


def fill_row(world: LiveWorld, entry: Entry, user: str) -> Row:
    """Return one row of the fills."""
    fill = entry.fill
    fee = plain_text(fill.fee)
    return {
        "entry_id": entry.entry_id,
        "trade_id": entry.trade_id,
        "order_id": order_id_of(fill.order_id),
        "trade_time": iso(entry.traded_ms * _MS_NS),
        "trade_type": entry.trade_type,
        "price": plain_text(fill.px),
        "size": plain_text(fill.qty * fill.px if entry.in_quote else fill.qty),
        "commission": fee,
        "product_id": world.name(fill.market, fill.ts_ms),
        "sequence_timestamp": iso(entry.numbered_us * 1_000),
        "liquidity_indicator": fill.liquidity.upper(),
        "size_in_quote": entry.in_quote,
        "user_id": user,
        "side": SIDES[fill.side],
        "retail_portfolio_id": fill.account,
        "fillSource": "FILL_SOURCE_CLOB",
        "commission_detail_total": {
            "total_commission": fee,
            "gst_commission": "0",
            "withholding_commission": "0",
            "client_commission": fee,
        },
    }


def order_row(
    world: LiveWorld, order: SimOrder, fills: Sequence[SimFill], user: str, extra: int = 0
) -> Row:
    """Return an order with its fills so far; `extra` is what it counts too many of them."""
    fees = sum((fill.fee for fill in fills), Decimal(0))
    spot = order.market.contract == "spot"
    sign = 1 if order.side == "buy" else -1
    return {
        "order_id": order_id_of(order.order_id),
        "product_id": world.name(order.market, order.changed_ms),
        "user_id": user,
        "order_configuration": _configuration(order),
        "side": SIDES[order.side],
        "client_order_id": client_id_of(order),
        "status": STATES[order.state],
        "time_in_force": TIFS[order.tif],
        "created_time": iso(order.placed_ms * _MS_NS),
        "completion_percentage": format(done_of(order), ".2f"),
        "filled_size": plain_text(order.filled),
        "average_filled_price": plain_text(average_px(order)),
        "fee": "",
        "number_of_fills": str(order.n_fills + extra),
        "filled_value": plain_text(value_of(order)),
        "pending_cancel": False,
        "size_in_quote": False,
        "total_fees": plain_text(fees),
        "size_inclusive_of_fees": False,
        "total_value_after_fees": plain_text(value_of(order) + sign * fees),
        "trigger_status": _trigger(order),
        "order_type": kind_of(order),
        "reject_reason": _reject_reason(order),
        "settled": not order.is_open and bool(fills),
        "product_type": "SPOT" if spot else "FUTURE",
        "reject_message": "",
        "cancel_message": order.reason or "" if order.state == "cancelled" else "",
        "order_placement_source": "UNKNOWN_PLACEMENT_SOURCE" if order.cause else "RETAIL_ADVANCED",
        "outstanding_hold_amount": "0",
        "is_liquidation": order.cause == "liquidation",
        "last_fill_time": iso(fills[-1].ts_ms * _MS_NS) if fills else None,
        "edit_history": [],
        "leverage": "",
        "margin_type": "UNKNOWN_MARGIN_TYPE",
        "retail_portfolio_id": order.account,
    }


def client_id_of(order: SimOrder) -> str:
    """Return an order's client id; whoever sent none was given one."""
    return order.client_id or uuid_of("client", order.order_id)


def value_of(order: SimOrder) -> Decimal:
    """Return what an order has traded in its quote currency."""
    return order.filled_value * order.market.multiplier


def average_px(order: SimOrder) -> Decimal:
    """Return what an order was filled at on average, 0 where it was not."""
    if not order.filled:
        return Decimal(0)
    average = EXACT.divide(order.filled_value, order.filled)
    return average.quantize(Decimal(1).scaleb(-16), rounding=ROUND_HALF_EVEN, context=EXACT)


def done_of(order: SimOrder) -> Decimal:
    """Return how much of an order is filled, in percent."""
    part = EXACT.divide(100 * order.filled, order.qty)
    return part.quantize(_CENT, context=EXACT)


def kind_of(order: SimOrder) -> str:
    """Return an order's type: stops and targets are stop limits of either direction."""
    return {"market": "MARKET", "limit": "LIMIT"}.get(order.kind, "STOP_LIMIT")


def _trigger(order: SimOrder) -> str:
    if order.trigger_px is None:
        return "INVALID_ORDER_TYPE"
    return "STOP_PENDING" if order.triggered_ms is None else "STOP_TRIGGERED"


def _reject_reason(order: SimOrder) -> str:
    if order.state != "rejected":
        return "REJECT_REASON_UNSPECIFIED"
    return "INVALID_LIMIT_PRICE_POST_ONLY"


def _configuration(order: SimOrder) -> Row:
    size = plain_text(order.qty)
    if order.trigger_px is not None:
        # A stop leaves when the price runs against the position, a target when it runs with it.
        up = (order.side == "sell") == (order.kind == "take_profit")
        limit = plain_text(order.trigger_px)
        told = {"base_size": size, "limit_price": limit, "stop_price": limit}
        told["stop_direction"] = f"STOP_DIRECTION_STOP_{'UP' if up else 'DOWN'}"
        return {"stop_limit_stop_limit_gtc": told}
    if order.px is None:
        return {"market_market_ioc": {"base_size": size}}
    post = order.tif == "post"
    told_limit: Row = {"base_size": size, "limit_price": plain_text(order.px), "post_only": post}
    return {"limit_limit_gtc": told_limit}
