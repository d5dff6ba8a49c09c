"""A bot with an order book's whole vocabulary: limits that rest, stops, targets, cancels, expiries.

It enters with a limit order, protects the position with a reduce-only stop and a take-profit, and
leaves by market when neither was reached. What becomes of an order is worked out from the walk of
the price when it is sent, and then happens in its own time.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from functools import partial

from fillbook.sim.desk import Desk, Ending, Piece
from fillbook.sim.executions import Order
from fillbook.sim.orders import OrderKind, PositionSide, Side
from fillbook.sim.prices import HOUR_MS, MILLION, MINUTE_MS, Market

_REST_MS = 10 * MINUTE_MS
_HOLD_MS = 4 * HOUR_MS


class Swing:
    """Trades one market around `notional`, one position at a time, on the given sides.

    `stops` are reduce-only where the market has positions; a spot market simply sells what it
    bought. In hedge mode `position_side` names the leg this bot trades.
    """

    name = "swing"

    def __init__(
        self,
        desk: Desk,
        market: Market,
        notional: int,
        *,
        sides: tuple[Side, ...] = ("buy", "sell"),
        position_side: PositionSide = "net",
    ) -> None:
        self._desk, self._market, self._notional = desk, market, notional
        self._sides, self._position_side = sides, position_side
        self._derivative = market.contract == "linear"
        self._busy_until_ms = 0
        self._sent = 0

    def minute(self, now_ms: int) -> None:
        """Try an entry now and then, when nothing is open."""
        if now_ms < self._busy_until_ms or not self._desk.dice.chance(60):
            return
        if self._market in self._desk.halted:
            return
        self._enter(now_ms + self._desk.dice.between(100, 40_000))

    def _enter(self, seen_ms: int) -> None:
        desk, quotes = self._desk, self._desk.quotes(self._market)
        side = desk.dice.one_of(self._sides)
        size, per = self._market.multiplier.as_integer_ratio()
        whole_lots = self._notional * 10 ** (9 + self._market.qty_decimals) * per
        lots = whole_lots // (quotes.nano(seen_ms) * size)
        qty = self._lots(max(4, lots))
        ticks = quotes.nano(seen_ms) * desk.dice.between(100, 900) // MILLION
        away = ticks // 10 ** (9 - self._market.px_decimals)
        limit = quotes.touch(seen_ms, "sell" if side == "buy" else "buy", away)
        order = self._order(side, qty, seen_ms, logged=True, px=limit)
        if desk.dice.chance(40):
            desk.execute(order, [], (order.arrived_ms, "rejected", "badAloPxRejected"))
            return
        until_ms = order.arrived_ms + _REST_MS
        filled_ms = quotes.reached(order.arrived_ms, until_ms, limit, down=side == "buy")
        if filled_ms is None:
            expired: Ending = (until_ms, "expired", "expired")
            cancelled: Ending = (until_ms, "cancelled", "canceled")
            desk.execute(order, [], expired if desk.dice.chance(400) else cancelled)
            self._busy_until_ms = until_ms
            return
        whole = int(qty.scaleb(self._market.qty_decimals))
        parts = [self._lots(part) for part in desk.dice.parts(whole, 3)]
        # Sometimes the price turns before the last part: the rest is cancelled.
        kept = parts[:-1] if len(parts) > 1 and desk.dice.chance(250) else parts
        pieces: list[Piece] = []
        for part in kept:
            pieces.append((filled_ms, limit, part))
            filled_ms += desk.dice.one_of((0, 0, 90, 1_400))
        desk.execute(order, pieces, (max(until_ms, filled_ms), "cancelled", "canceled"))
        self._protect(side, sum(kept, Decimal(0)), limit, filled_ms)

    def _protect(self, entry: Side, qty: Decimal, entry_px: Decimal, since_ms: int) -> None:
        """Rest a stop and a take-profit against a position, and let one of them or time end it."""
        desk, market = self._desk, self._market
        quotes = desk.quotes(market)
        leave: Side = "sell" if entry == "buy" else "buy"
        up = 1 if entry == "buy" else -1
        stop_px = self._price(entry_px, -up * desk.dice.between(2_000, 6_000))
        take_px = self._price(entry_px, up * desk.dice.between(2_000, 7_000))
        until_ms = since_ms + _HOLD_MS
        # Nothing triggers before both orders have arrived.
        from_ms = since_ms + 1_000
        stopped_ms = quotes.reached(from_ms, until_ms, stop_px, down=entry == "buy")
        taken_ms = quotes.reached(from_ms, until_ms, take_px, down=entry == "sell")
        ends_ms = min(stopped_ms or until_ms, taken_ms or until_ms)
        kinds: tuple[tuple[OrderKind, Decimal, int | None], ...] = (
            ("stop", stop_px, stopped_ms),
            ("take_profit", take_px, taken_ms),
        )
        hit = False
        for kind, px, reached_ms in kinds:
            order = self._order(leave, qty, since_ms, kind=kind, trigger_px=px)
            pieces: list[Piece] = []
            if reached_ms == ends_ms and not hit:
                hit = True
                away = desk.dice.between(0, 3)
                pieces = [(ends_ms + 40, quotes.touch(ends_ms + 40, leave, away), qty)]
            ended: Ending = (ends_ms + 60, "cancelled", "siblingFilledCanceled")
            order_id = desk.execute(order, pieces, ended)
            if pieces:
                desk.at(ends_ms, partial(desk.trigger, order_id))
        if not hit:
            desk.take(self._order(leave, qty, until_ms, logged=True), impact_ticks=1)
        self._busy_until_ms = ends_ms + 2 * MINUTE_MS

    def _order(
        self,
        side: Side,
        qty: Decimal,
        seen_ms: int,
        *,
        kind: OrderKind | None = None,
        px: Decimal | None = None,
        trigger_px: Decimal | None = None,
        logged: bool = False,
    ) -> Order:
        self._sent += 1
        entry = px is not None
        return Order(
            market=self._market,
            side=side,
            qty=qty,
            liquidity="maker" if entry else "taker",
            seen_ms=seen_ms,
            arrived_ms=seen_ms + self._desk.dice.between(30, 400),
            strategy=self.name,
            logged=logged,
            kind=kind,
            tif="post" if entry else None if kind is None else "gtc",
            px=px,
            trigger_px=trigger_px,
            reduce_only=self._derivative and not entry,
            position_side=self._position_side,
            client_id=self._client_id(),
        )

    def _client_id(self) -> str:
        text = f"{self._desk.account}:{self._market.symbol}:{self._position_side}:{self._sent}"
        return "0x" + hashlib.sha256(text.encode()).hexdigest()[:32]

    def _lots(self, lots: int) -> Decimal:
        return Decimal(lots).scaleb(-self._market.qty_decimals)

    def _price(self, px: Decimal, away_ppm: int) -> Decimal:
        ticks = int(px.scaleb(self._market.px_decimals)) * (MILLION + away_ppm) // MILLION
        return Decimal(ticks).scaleb(-self._market.px_decimals)
