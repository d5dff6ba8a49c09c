"""From a bot's events to claims: orders, and the two or more fills of every position.

A position is a round trip of its own, known by its trade id. The same fill told twice (by the
order and by the position, by polling and by the stream) is one fill.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from fillbook.desks.telemetry import events as ev
from fillbook.desks.telemetry.events import BotEvent
from fillbook.desks.telemetry.executions import EXECUTION, Executions
from fillbook.desks.telemetry.facts import DeskAccount
from fillbook.desks.telemetry.trips import KnownTrips, Trip
from fillbook.facts.model import AnyFact, Claim, Claimed, Decision, Fill, OrderUpdate, Side
from fillbook.sources.files.bot_orders import STATUS_WORDS
from fillbook.sources.source import RowError

_OTHER: dict[Side, Side] = {"buy": "sell", "sell": "buy"}
_PX_DECIMALS = Decimal("1e-12")


class TradeLog:
    """Turns events into claims and knows which positions are open; `remember` fills it again."""

    def __init__(self, whose: DeskAccount) -> None:
        self._whose = whose
        self.known = KnownTrips()
        self._executions = Executions(whose, self.known)
        self._turn: dict[str, Callable[[BotEvent], Iterator[AnyFact]]] = {
            "positionopened": self._opened,
            "positionclosed": self._closed,
            EXECUTION: self._executions.facts,
        }

    def remember(self, claim: Claimed) -> None:
        """Take up what an earlier run wrote, in the order it was written."""
        fact = claim.fact
        if (fact.venue, fact.account) == (self._whose.venue, self._whose.account):
            self.known.learn(fact)

    def claims(self, event: BotEvent) -> list[Claim]:
        """Return what one event says; RowError where it cannot be read, and nothing is learnt."""
        turn = self._turn.get(event.kind)
        if turn is None:
            turn = self._order
        facts = list(turn(event))
        for fact in facts:
            self.known.learn(fact)
        return [claim for fact in facts for claim in self._whose.claims_of(fact)]

    # -- orders ----------------------------------------------------------------------------

    def _order(self, event: BotEvent) -> Iterator[AnyFact]:
        word = event.kind.removeprefix("order")
        if word not in STATUS_WORDS:
            raise RowError("event_type", f"{event.kind!r} is no event this desk knows")
        status = STATUS_WORDS[word]
        if (event.row.text("status") or "").lower().startswith("partial") and status == "filled":
            status = "partially_filled"
        symbol = event.need(ev.SYMBOL)
        update = OrderUpdate(
            **self._whose.about(event),
            instrument=symbol,
            status=status,
            side=event.side(),
            order_id=event.text(ev.ORDER_ID),
            client_order_id=self.known.name_of(event, symbol, status),
            order_type=event.text(("order_type",)),
            qty=event.number(ev.QTY),
            px=event.positive(("price",)),
            average_px=event.positive(ev.ACTUAL_PX) if status == "filled" else None,
            expected_px=event.positive(ev.EXPECTED_PX),
            reduce_only=event.reduces,
            trade_id=event.text(ev.TRADE_ID),
            reason=event.text(ev.REASON),
        )
        yield update
        if status == "filled":
            yield from (
                self._exit_price(event, update)
                if update.reduce_only
                else self._entry(event, update)
            )

    def _entry(self, event: BotEvent, order: OrderUpdate) -> Iterator[AnyFact]:
        """Yield the fill an entry order made, unless its position or the order told it before."""
        px, qty = event.positive(ev.ACTUAL_PX), event.positive(ev.QTY)
        names = {name for name in (order.client_order_id, order.order_id) if name}
        if self.known.of_order(order.instrument, names) is not None:
            return
        known = self.known.get(order.trade_id) or self.known.unclaimed(order, qty)
        if known is not None:
            self.known.opened_by(known, names)
            if order.expected_px is not None:
                yield self._price_of(event, f"{known.leg}:entry", order, known.side)
        elif px and qty and order.side:
            yield Fill(
                **self._whose.about(event),
                **self._whose.cost(event, order.instrument),
                instrument=order.instrument,
                side=order.side,
                px=px,
                qty=qty,
                arrival_px=order.expected_px,
                leg=(leg := order.trade_id or order.client_order_id or order.order_id or ""),
                fill_id=f"{leg}:entry",
                order_id=order.order_id,
                client_order_id=order.client_order_id,
            )

    def _exit_price(self, event: BotEvent, order: OrderUpdate) -> Iterator[AnyFact]:
        """Yield the price a closing order expected; the closing itself is the position's word."""
        if order.expected_px is None:
            return
        trip = self.known.get(order.trade_id) or self.known.opposite(order.instrument, order.side)
        if trip is not None:
            part = trip.next_exit
            yield self._price_of(event, part, order, _OTHER[trip.side])

    def _price_of(self, event: BotEvent, fill_id: str, order: OrderUpdate, side: Side) -> Decision:
        return Decision(
            **self._whose.about(event),
            decision_id=fill_id,
            instrument=order.instrument,
            action=side,
            arrival_px=order.expected_px,
            fill_id=fill_id,
        )

    # -- positions -------------------------------------------------------------------------

    def _opened(self, event: BotEvent) -> Iterator[AnyFact]:
        symbol, side = event.need(ev.SYMBOL), event.side()
        qty = event.need_positive(ev.QTY)
        trade_id = event.text(ev.TRADE_ID) or f"{symbol}-{event.sequence or event.ts_ns}"
        if side is None:
            raise RowError("side", "is missing")
        if self.known.get(trade_id) is not None:
            return
        names = {name for name in (event.text(ev.CLIENT_ID), event.text(ev.ORDER_ID)) if name}
        mine = self.known.opened_unnamed(names, (symbol, side, qty))
        if mine is not None:
            # Kept, so that the bot's name of the position is known after a restart too.
            yield OrderUpdate(
                **self._whose.about(event),
                instrument=symbol,
                status="amended",
                side=side,
                client_order_id=mine.leg,
                trade_id=trade_id,
            )
            return
        yield Fill(
            **self._whose.about(event),
            **self._whose.cost(event, symbol),
            instrument=symbol,
            side=side,
            px=event.need_positive(("entry_price", *ev.ACTUAL_PX)),
            qty=qty,
            arrival_px=event.positive(("expected_entry_price", *ev.EXPECTED_PX)),
            leg=trade_id,
            fill_id=f"{trade_id}:entry",
            order_id=event.text(ev.ORDER_ID),
            client_order_id=event.text(ev.CLIENT_ID),
            strategy=event.text(("strategy",)),
        )

    def _closed(self, event: BotEvent) -> Iterator[AnyFact]:
        symbol, trade_id = event.need(ev.SYMBOL), event.text(ev.TRADE_ID)
        side = event.side()
        trip = self.known.get(trade_id)
        if trip is None:
            closing = None if side is None else _OTHER[side]
            # A name nobody knows can only be that of a position its order opened.
            open_ones = self.known.opposites(symbol, closing)
            trip = next((t for t in open_ones if trade_id is None or t.by_order), None)
        px = event.need_positive(("exit_price", *ev.ACTUAL_PX))
        if trip is None:
            entry = self._never_opened(event, symbol, trade_id, px)
            yield entry
            trip = Trip(entry.leg or "", symbol, entry.side, entry.qty)
        if not trip.open_qty:
            return
        yield Fill(
            **self._whose.about(event),
            **self._whose.cost(event, symbol),
            instrument=symbol,
            side=_OTHER[trip.side],
            px=px,
            qty=min(event.positive(ev.QTY) or trip.open_qty, trip.open_qty),
            arrival_px=event.positive(("expected_exit_price", *ev.EXPECTED_PX)),
            leg=trip.leg,
            fill_id=trip.next_exit,
            venue_pnl=event.number(ev.PNL),
            exit_reason=event.text(ev.REASON),
            reduce_only=True,
        )

    def _never_opened(
        self, event: BotEvent, symbol: str, trade_id: str | None, exit_px: Decimal
    ) -> Fill:
        """Return the opening of a position that only its close tells of, marked approximate."""
        side, qty = event.side(), event.need_positive(ev.QTY)
        if side is None:
            raise RowError("side", "is missing, and no open position matches")
        px, pnl = event.positive(("entry_price",)), event.number(ev.PNL)
        if px is None and pnl is not None:
            gained = pnl if side == "buy" else -pnl
            px = (exit_px - gained / qty).quantize(_PX_DECIMALS)
        if px is None or px <= 0:
            raise RowError("entry_price", "is missing, and the position was never opened here")
        leg = trade_id or f"{symbol}-{event.sequence or event.ts_ns}"
        about = self._whose.about(event)
        about["ts_ns"] = event.when(("entry_time", "opened_at")) or event.ts_ns
        return Fill(
            **about,
            instrument=symbol,
            side=side,
            px=px,
            qty=qty,
            fee=Decimal(0),
            fee_asset=self._whose.contract(symbol).settle,
            leg=leg,
            fill_id=f"{leg}:entry",
            approximate=True,
        )
