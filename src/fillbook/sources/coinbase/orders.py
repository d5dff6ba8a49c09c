"""Coinbase Advanced Trade's orders: one row an order, with its latest state.

A row tells when an order was placed and when it last filled; when one was cancelled or expired it
does not tell, so such an end has the time of what was last told. `order_configuration` holds what
was asked for, under a name for each kind of order. An order of the venue's own (a liquidation)
says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import OrderStatus, OrderUpdate
from fillbook.sources.coinbase.fills import (
    SIDES,
    TIMES,
    VENUE,
    base_of,
    check_owner,
    instrument_of,
    whole_in,
)
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft, RowError

_STATUSES: dict[str, OrderStatus] = {
    # These move on; whether they filled in part their size tells.
    "pending": "placed",
    "open": "placed",
    "queued": "placed",
    "cancel_queued": "placed",
    "edit_queued": "placed",
    "unknown_order_status": "placed",
    "filled": "filled",
    "cancelled": "cancelled",
    "expired": "expired",
    "failed": "rejected",
}
_NOTHING_SAID = ("", "REJECT_REASON_UNSPECIFIED", "CANCEL_REASON_UNSPECIFIED")
# What the venue writes where it has no side to tell.
_NO_SIDE = ("UNKNOWN_ORDER_SIDE", "ORDER_SIDE_UNSPECIFIED")
LIQUIDATION = "liquidation"


def is_open(row: Row) -> bool:
    """Say whether an order still moves on; RowError for a state nobody knows."""
    return row.choice("status", _STATUSES) == "placed"


def draft_order(row: Row, account: str) -> list[Draft]:
    """Turn an order into what it tells: placed, edited, filled in part, and its end."""
    check_owner(row, account)
    status = row.choice("status", _STATUSES)
    placed = _placed(row, account)
    symbol, order_id = placed.instrument, placed.order_id
    told = [] if status == "rejected" else [_first(placed)]
    told += _edits(row, placed)
    filled = _filled(row)
    if status == "placed":
        if not filled:
            return _described(told, account)
        status = "partially_filled"
    update = msgspec.structs.replace(
        placed,
        ts_ns=_last_ns(row, placed.ts_ns),
        status=status,
        filled_qty=filled,
        average_px=row.number("average_filled_price") or None,
        n_fills=whole_in(row, "number_of_fills") if row.text("number_of_fills") else None,
        reason=placed.reason or _reason(row),
    )
    # Behind the placing, whose key sorts before it, also where the times are the same.
    key = key_of(update.ts_ns, symbol, order_id, "then", update.status, filled, update.n_fills)
    return _described([*told, Draft(update, key)], account)


def _described(drafts: list[Draft], account: str) -> list[Draft]:
    return [
        msgspec.structs.replace(draft, instrument=instrument_of(account, draft.fact.instrument))
        for draft in drafts
        if isinstance(draft.fact, OrderUpdate)
    ]


def _placed(row: Row, account: str) -> OrderUpdate:
    asked = _configuration(row)
    side = row.text("side")
    is_forced = row.flag("is_liquidation")
    stop = asked.number("stop_price") or asked.number("stop_trigger_price")
    return OrderUpdate(
        venue=VENUE,
        account=account,
        ts_ns=row.when("created_time", TIMES),
        instrument=row.need("product_id"),
        status="placed",
        side=None if side is None or side in _NO_SIDE else row.choice("side", SIDES),
        order_id=row.need("order_id"),
        client_order_id=row.text("client_order_id"),
        order_type=_type(row, asked),
        qty=asked.number("base_size") or None,
        px=asked.number("limit_price") or None,
        stop_px=stop or None,
        reduce_only=is_forced,
        reason=LIQUIDATION if is_forced else None,
    )


def _configuration(row: Row) -> Row:
    """Return what was asked for; a row of a kind nobody knows asks for nothing known."""
    kinds = row.cells.get("order_configuration")
    if not isinstance(kinds, dict):
        return Row({})
    return next((Row(asked) for asked in kinds.values() if isinstance(asked, dict)), Row({}))


def _type(row: Row, asked: Row) -> str | None:
    """Return the type of an order; a stop that waits for a better price is a target."""
    told, side = row.text("order_type"), row.text("side")
    better = {"SELL": "STOP_DIRECTION_STOP_UP", "BUY": "STOP_DIRECTION_STOP_DOWN"}
    if told == "STOP_LIMIT" and side and asked.text("stop_direction") == better.get(side.upper()):
        return "TAKE_PROFIT_LIMIT"
    return told


def _first(placed: OrderUpdate) -> Draft:
    # A changed price or size is told anew: the row shows the latest only.
    key = key_of(
        placed.ts_ns,
        placed.instrument,
        placed.order_id,
        "placed",
        placed.order_type,
        placed.qty,
        placed.px,
    )
    return Draft(placed, key)


def _edits(row: Row, placed: OrderUpdate) -> Iterator[Draft]:
    """Tell each change of price or size that the venue accepted, at its time."""
    history = row.cells.get("edit_history")
    for cells in history if isinstance(history, list) else []:
        edit = Row(cells) if isinstance(cells, dict) else Row({})
        at = edit.text("replace_accept_timestamp")
        if at is None:
            continue
        amended = msgspec.structs.replace(
            placed,
            ts_ns=edit.when("replace_accept_timestamp", TIMES),
            status="amended",
            px=edit.number("price") or placed.px,
            qty=edit.number("size") or placed.qty,
        )
        key = key_of(
            amended.ts_ns,
            placed.instrument,
            placed.order_id,
            "amended",
            at,
            amended.qty,
            amended.px,
        )
        yield Draft(amended, key)


def _filled(row: Row) -> Decimal:
    """Return how much of an order was filled, in base; a size in quote is turned into it."""
    filled = row.number("filled_size") or Decimal(0)
    if filled < 0:
        raise RowError("filled_size", f"{filled} is below zero")
    px = row.number("average_filled_price")
    if row.flag("size_in_quote") and filled and px:
        return base_of(filled, px)
    return filled


def _last_ns(row: Row, placed_ns: int) -> int:
    """Return when a row last tells of something: its last fill, or its placing."""
    if not row.number("filled_size") or row.text("last_fill_time") is None:
        return placed_ns
    return max(placed_ns, row.when("last_fill_time", TIMES))


def _reason(row: Row) -> str | None:
    words = (row.text(name) for name in ("reject_reason", "cancel_message", "reject_message"))
    return next((word.lower() for word in words if word and word not in _NOTHING_SAID), None)
