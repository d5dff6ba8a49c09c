"""A bot's own orders.csv: one row per change in the life of an order, in two column sets."""

from __future__ import annotations

import re
from collections.abc import Iterable

from fillbook.facts.identity import printed_key
from fillbook.facts.model import OrderStatus, OrderUpdate
from fillbook.sources.files.opened import Sample
from fillbook.sources.files.table import Context, Named, TableReader, zone_of
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft, RowError

STATUS_WORDS: dict[str, OrderStatus] = {
    "placed": "placed",
    "new": "placed",
    "open": "placed",
    "submitted": "placed",
    "accepted": "placed",
    "partialfill": "partially_filled",
    "partialfilled": "partially_filled",
    "partiallyfilled": "partially_filled",
    "filled": "filled",
    "closed": "filled",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "rejected": "rejected",
    "failed": "rejected",
    "expired": "expired",
    "amended": "amended",
    "replaced": "amended",
}


def status_in(row: Row, name: str) -> OrderStatus:
    """Read an order's status however it is spelt: ORDER_FILLED, OrderFilled, filled."""
    text = row.need(name)
    word = re.sub("[^a-z]", "", text.lower()).removeprefix("order")
    if word not in STATUS_WORDS:
        raise RowError(name, f"{text!r} is not an order status this reader knows")
    return STATUS_WORDS[word]


class BotOrders(TableReader):
    """Reads orders.csv of a futures bot."""

    name = "bot-orders"
    title = "Bot order logs"
    venue = "bot"
    needs = ("timestamp", "event_type", "symbol", "side", "order_type", "quantity", "price")

    def recognises(self, sample: Sample) -> bool:
        """Say whether the header names orders and their ids."""
        ids = {"client_order_id", "order_id"}
        return super().recognises(sample) and bool(ids & set(sample.header))

    def drafts(self, named: Named, context: Context) -> Iterable[Draft]:
        """Turn one row into an order update; a blank or zero price means none."""
        row = named.row
        form = TimeForm(tz=zone_of(context.tz))
        printed, symbol = row.need("timestamp"), row.need("symbol")
        status = status_in(row, "event_type")
        order_id, client_id = row.text("order_id"), row.text("client_order_id")
        update = OrderUpdate(
            venue=context.venue,
            account=context.account or "",
            ts_ns=row.when("timestamp", form),
            printed_ns=form.printed_ns(printed),
            instrument=symbol,
            status=status,
            side=row.trip_side("side") if row.text("side") else None,
            order_id=order_id,
            client_order_id=client_id,
            order_type=row.text("order_type"),
            qty=row.number("quantity"),
            px=row.number("price") or None,
            stop_px=row.number("stop_price") or None,
            filled_qty=row.number("filled_qty"),
            average_px=row.number("avg_price") or None,
            expected_px=row.number("expected_price") or None,
            reduce_only=_reduces(row),
            trade_id=row.text("trade_id"),
            reason=row.text("reason") or row.text("cancel_error"),
        )
        key = printed_key(
            printed, symbol, status, order_id, client_id, update.trade_id, update.side, update.qty
        )
        yield Draft(update, key, idless=True, ranked=True)


def _reduces(row: Row) -> bool:
    return any(row.flag(name) for name in ("reduce_only", "reduceOnly") if name in row.cells)
