"""Executions as Binance's user stream tells them: each once, on the positions they open and close.

The stream repeats what polling and the bot itself also tell. An execution counts under the
venue's own number; an order whose filling somebody told whole counts no second time, and the
bot's own exit orders, which it tells of as closed positions, are left to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from fillbook.desks.telemetry import events as ev
from fillbook.desks.telemetry.events import BotEvent
from fillbook.desks.telemetry.facts import DeskAccount
from fillbook.desks.telemetry.trips import KnownTrips
from fillbook.facts.model import AnyFact, Fill, OrderUpdate
from fillbook.sources.binance.fills import MILLISECOND_NS
from fillbook.sources.files.bot_orders import status_in
from fillbook.sources.source import RowError

EXECUTION = "execution"

STOP_LOSS, TAKE_PROFIT, REDUCED = "STOP_LOSS", "TAKE_PROFIT", "REDUCE_ONLY_EXIT"
_REASONS = {"STOP_MARKET": STOP_LOSS, "TAKE_PROFIT_MARKET": TAKE_PROFIT}
# A venue that says so little says nothing.
_NO_RESULT = Decimal("1e-8")
_FEE_DECIMALS = Decimal("1e-12")
_OWN_EXIT = re.compile(r"T_.*_E_.*")
_EXECUTED = frozenset({"TRADE", "CALCULATED"})
# The frame's names, by what they say.
_NAMES = {
    "s": "symbol",
    "S": "side",
    "c": "client_order_id",
    "i": "order_id",
    "X": "status",
    "q": "quantity",
    "sp": "stop_price",
    "z": "filled_qty",
    "l": "last_qty",
    "L": "last_price",
    "t": "execution_id",
    "n": "fee",
    "N": "fee_asset",
    "rp": "realized_pnl",
    "R": "reduce_only",
    "cp": "close_position",
}
# Selling what is held long closes it, also where the venue knows no reduce-only orders.
_CLOSERS = frozenset({("LONG", "SELL"), ("SHORT", "BUY")})
# Orders of the venue itself only ever close: liquidation, deleveraging, settlement.
_OF_THE_VENUE = re.compile(r"(adl_|settlement_)?autoclose.*")


def from_stream(event: object) -> dict[str, Any] | None:
    """Return an ORDER_TRADE_UPDATE frame as an event of this desk; None for anything else.

    >>> frame = {"e": "ORDER_TRADE_UPDATE", "o": {"s": "BTCUSDT", "ot": "STOP_MARKET", "T": 7}}
    >>> from_stream({"stream": "key", "data": frame})["order_type"]
    'STOP_MARKET'
    """
    frame = event.get("data", event) if isinstance(event, Mapping) else None
    if not isinstance(frame, Mapping) or frame.get("e") != "ORDER_TRADE_UPDATE":
        return None
    order = frame.get("o")
    if not isinstance(order, Mapping):
        raise RowError("o", "holds no order")
    told = {name: order[short] for short, name in _NAMES.items() if short in order}
    # NEW_ADL and EXPIRED_IN_MATCH are what they begin with.
    told["status"] = re.sub("^(NEW|EXPIRED)_.*", r"\1", str(order.get("X")))
    by_venue = _OF_THE_VENUE.fullmatch(str(order.get("c")))
    if by_venue or (order.get("ps"), order.get("S")) in _CLOSERS:
        told["reduce_only"] = True
    return {
        **told,
        "order_type": order.get("ot") or order.get("o"),
        "is_trade": order.get("x") in _EXECUTED,
        "timestamp": order.get("T") or frame.get("T") or frame.get("E"),
    }


class Executions:
    """Turns executions into fills of the positions that `known` has."""

    def __init__(self, whose: DeskAccount, known: KnownTrips) -> None:
        self._whose = whose
        self._known = known

    def facts(self, event: BotEvent) -> Iterator[AnyFact]:
        """Yield the order's new state, and what its execution filled."""
        order = OrderUpdate(
            **self._whose.about(event),
            instrument=event.need(ev.SYMBOL),
            status=status_in(event.row, "status"),
            side=event.side(),
            order_id=event.text(ev.ORDER_ID),
            client_order_id=event.text(ev.CLIENT_ID),
            order_type=event.text(("order_type",)),
            qty=event.positive(("quantity",)),
            stop_px=event.positive(("stop_price",)),
            filled_qty=event.number(("filled_qty",)),
            reduce_only=event.reduces,
        )
        yield order
        if not event.row.flag("istrade") or order.side is None:
            return
        if not self._known.is_executed(order.instrument, _number_of(event)):
            yield from (self._exits if order.reduce_only else self._entry)(event, order)

    def _entry(self, event: BotEvent, order: OrderUpdate) -> Iterator[AnyFact]:
        names = {name for name in (order.client_order_id, order.order_id) if name}
        trip = self._known.of_order(order.instrument, names)
        trip = trip or self._known.unclaimed(order, order.qty)
        if trip is not None and not trip.executed:
            # Whoever told of the position told all of it.
            self._known.opened_by(trip, names)
            return
        leg = trip.leg if trip else order.client_order_id or order.order_id or ""
        fill_id = trip.next_entry if trip else f"{leg}:entry"
        qty = event.need_positive(("last_qty",))
        yield self._fill(event, order, qty, leg=leg, fill_id=fill_id)

    def _exits(self, event: BotEvent, order: OrderUpdate) -> Iterator[AnyFact]:
        """Close what is open, the oldest first; one order may close several positions."""
        if _OWN_EXIT.fullmatch(order.client_order_id or ""):
            return
        pnl = event.number(ev.PNL)
        whole = self._fill(event, order, event.need_positive(("last_qty",)), leg="", fill_id="")
        left, fee_left = whole.qty, whole.fee
        for trip in self._known.opposites(order.instrument, order.side):
            part = min(left, trip.open_qty)
            fee = fee_left
            if part < left and fee_left is not None:
                fee = (fee_left * part / left).quantize(_FEE_DECIMALS)
                fee_left -= fee
            left -= part
            yield msgspec.structs.replace(
                whole,
                qty=part,
                fee=fee,
                leg=trip.leg,
                fill_id=trip.next_exit,
                venue_pnl=pnl if pnl and abs(pnl) > _NO_RESULT and part == whole.qty else None,
                exit_reason=_REASONS.get(order.order_type or "", REDUCED),
            )
            if not left:
                return

    def _fill(
        self, event: BotEvent, order: OrderUpdate, qty: Decimal, *, leg: str, fill_id: str
    ) -> Fill:
        assert order.side is not None
        return Fill(
            **self._whose.about(event),
            **self._whose.cost(event, order.instrument),
            instrument=order.instrument,
            side=order.side,
            px=event.need_positive(("last_price",)),
            qty=qty,
            leg=leg,
            fill_id=fill_id,
            order_id=order.order_id,
            client_order_id=order.client_order_id,
            venue_seq=_number_of(event),
            reduce_only=order.reduce_only,
        )


def _number_of(event: BotEvent) -> int:
    """Return the venue's number of an execution; one without is known by its millisecond."""
    return int(event.row.number("executionid") or 0) or event.ts_ns // MILLISECOND_NS
