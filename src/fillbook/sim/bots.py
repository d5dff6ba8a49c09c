"""Three bots with honest habits and no look-ahead: each sees only the mids up to now.

Trend: `breakout` follows six-hour moves with market orders, `fade` rests limit orders against
half-hour moves. Maker: quotes both sides of two perpetuals and carries inventory. Harvester:
holds a coin, is short its perpetual, and collects funding.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from fillbook.sim.desk import Desk
from fillbook.sim.executions import Order
from fillbook.sim.orders import Side
from fillbook.sim.prices import HOUR_MS, MILLION, MINUTE_MS, Market

QUARTER_MS = 15 * MINUTE_MS


def _move_ppm(desk: Desk, market: Market, now_ms: int, back_ms: int) -> int:
    before = desk.quotes(market).nano(now_ms - back_ms)
    return (desk.quotes(market).nano(now_ms) - before) * MILLION // before


def _size(desk: Desk, market: Market, now_ms: int, notional: int) -> Decimal:
    """Return the size in whole lots that is worth about `notional`, at least one lot."""
    lots = notional * 10 ** (9 + market.qty_decimals) // desk.quotes(market).nano(now_ms)
    return Decimal(max(1, lots)).scaleb(-market.qty_decimals)


class Bot(Protocol):
    """Whatever decides something once a minute."""

    def minute(self, now_ms: int) -> None:
        """Look at the market, and send orders to the desk."""


class Breakout:
    """Long after a rise, short after a fall, flat when the move has faded; always by market."""

    name = "breakout"

    def __init__(self, desk: Desk, market: Market, notional: int) -> None:
        self._desk, self._market, self._notional = desk, market, notional
        self._held = Decimal(0)

    def minute(self, now_ms: int) -> None:
        """Decide on the quarter hour."""
        if now_ms % QUARTER_MS or now_ms - 6 * HOUR_MS < self._desk.quotes(self._market).start_ms:
            return
        move_ppm = _move_ppm(self._desk, self._market, now_ms, 6 * HOUR_MS)
        target = self._held
        if abs(move_ppm) < 4_000:
            target = Decimal(0)
        elif abs(move_ppm) > 16_000 and (self._held == 0 or (self._held > 0) != (move_ppm > 0)):
            size = _size(self._desk, self._market, now_ms, self._notional)
            target = size if move_ppm > 0 else -size
        if target == self._held:
            return
        # A position that turns is closed and opened by one order: the venue calls it a flip.
        change = target - self._held
        seen_ms = now_ms + self._desk.dice.between(20, 900)
        order = Order(
            market=self._market,
            side="buy" if change > 0 else "sell",
            qty=abs(change),
            liquidity="taker",
            seen_ms=seen_ms,
            arrived_ms=seen_ms + self._desk.dice.between(250, 2_500),
            strategy=self.name,
        )
        self._desk.take(order, impact_ticks=2)
        self._held = target


class Fade:
    """Sells a half-hour rise and buys a half-hour fall with a limit order, out by market."""

    name = "fade"

    def __init__(self, desk: Desk, market: Market, notional: int) -> None:
        self._desk, self._market, self._notional = desk, market, notional
        self._held = Decimal(0)
        self._entry_nano = 0
        self._until_ms = 0

    def minute(self, now_ms: int) -> None:
        """Look every five minutes; hold at most three hours."""
        if now_ms % (5 * MINUTE_MS) or now_ms < self._until_ms - 3 * HOUR_MS:
            return
        if self._held:
            self._leave(now_ms)
        elif now_ms - 30 * MINUTE_MS >= self._desk.quotes(self._market).start_ms:
            self._enter(now_ms)

    def _enter(self, now_ms: int) -> None:
        move_ppm = _move_ppm(self._desk, self._market, now_ms, 30 * MINUTE_MS)
        if abs(move_ppm) < 9_000:
            return
        side: Side = "sell" if move_ppm > 0 else "buy"
        quotes = self._desk.quotes(self._market)
        seen_ms = now_ms + self._desk.dice.between(20, 400)
        arrived_ms = seen_ms + self._desk.dice.between(80, 600)
        limit = quotes.touch(arrived_ms, "buy" if side == "sell" else "sell", 3)
        for step in range(1, 60):
            ts_ms = arrived_ms + step * 10_000
            mid = quotes.mid(ts_ms)
            if (mid >= limit) if side == "sell" else (mid <= limit):
                break
        else:
            return
        qty = _size(self._desk, self._market, now_ms, self._notional)
        order = Order(
            market=self._market,
            side=side,
            qty=qty,
            liquidity="maker",
            seen_ms=seen_ms,
            arrived_ms=arrived_ms,
            strategy=self.name,
        )
        lots = int(qty.scaleb(self._market.qty_decimals))
        parts = self._desk.dice.parts(lots, 3)
        pieces = [
            (ts_ms + 400 * nth, limit, Decimal(part).scaleb(-self._market.qty_decimals))
            for nth, part in enumerate(parts)
        ]
        self._desk.execute(order, pieces)
        self._held = qty if side == "buy" else -qty
        self._entry_nano = quotes.nano(ts_ms)
        self._until_ms = ts_ms + 3 * HOUR_MS

    def _leave(self, now_ms: int) -> None:
        nano = self._desk.quotes(self._market).nano(now_ms)
        gain_ppm = (nano - self._entry_nano) * MILLION // self._entry_nano
        gain_ppm = gain_ppm if self._held > 0 else -gain_ppm
        if now_ms < self._until_ms and -9_000 < gain_ppm < 5_000:
            return
        seen_ms = now_ms + self._desk.dice.between(20, 400)
        order = Order(
            market=self._market,
            side="sell" if self._held > 0 else "buy",
            qty=abs(self._held),
            liquidity="taker",
            seen_ms=seen_ms,
            arrived_ms=seen_ms + self._desk.dice.between(150, 1_200),
            strategy=self.name,
        )
        self._desk.take(order, impact_ticks=1)
        self._held = Decimal(0)


class Quoter:
    """Quotes both sides of one perpetual and lets inventory swing between two limits."""

    name = "quoter"

    def __init__(self, desk: Desk, market: Market, notional: int, half_ppm: int) -> None:
        self._desk, self._market, self._half_ppm = desk, market, half_ppm
        self._notional = notional

    def minute(self, now_ms: int) -> None:
        """Rest a bid and an ask for half a minute, in some minutes; unload by market if full."""
        desk, market = self._desk, self._market
        if not desk.dice.chance(45):
            return
        held = desk.position(market)
        size = _size(desk, market, now_ms, self._notional)
        if abs(held) > 12 * size:
            self._unload(now_ms, held, size)
            return
        for side in ("buy", "sell"):
            full = held > 8 * size if side == "buy" else held < -8 * size
            if not full:
                self._rest(now_ms, "buy" if side == "buy" else "sell", size)

    def _rest(self, now_ms: int, side: Side, size: Decimal) -> None:
        desk = self._desk
        quotes = desk.quotes(self._market)
        seen_ms = now_ms + desk.dice.between(0, 30)
        away = quotes.nano(seen_ms) * self._half_ppm // (MILLION * 10 ** (9 - self._px_decimals))
        limit = quotes.touch(seen_ms, "sell" if side == "buy" else "buy", away)
        ts_ms = seen_ms + desk.dice.between(300, 28_000)
        crossed = quotes.mid(ts_ms) <= limit if side == "buy" else quotes.mid(ts_ms) >= limit
        # Most flow is uninformed and pays the spread; the rest arrives as the price runs through.
        if not crossed and not desk.dice.chance(330):
            return
        qty = size * desk.dice.between(1, 4)
        order = Order(
            market=self._market,
            side=side,
            qty=qty,
            liquidity="maker",
            seen_ms=seen_ms,
            arrived_ms=seen_ms + desk.dice.between(40, 220),
            strategy=self.name,
        )
        pieces: list[tuple[int, Decimal, Decimal]] = []
        for part in desk.dice.parts(int(qty.scaleb(self._market.qty_decimals)), 2):
            pieces.append((ts_ms, limit, Decimal(part).scaleb(-self._market.qty_decimals)))
            ts_ms += desk.dice.one_of((0, 0, 140, 900))
        desk.execute(order, pieces)

    def _unload(self, now_ms: int, held: Decimal, size: Decimal) -> None:
        order = Order(
            market=self._market,
            side="sell" if held > 0 else "buy",
            qty=6 * size,
            liquidity="taker",
            seen_ms=now_ms,
            arrived_ms=now_ms + self._desk.dice.between(40, 220),
            strategy=self.name,
        )
        self._desk.take(order, impact_ticks=1)

    @property
    def _px_decimals(self) -> int:
        return self._market.px_decimals


class Harvester:
    """Buys spot, shorts the perpetual, adds while funding pays and unwinds when it does not.

    It keeps no log of decisions, so its fills stand without decision prices.
    """

    name = "harvest"

    def __init__(self, desk: Desk, spot: Market, perp: Market, chunk: int, most: int) -> None:
        self._desk, self._spot, self._perp = desk, spot, perp
        self._chunk, self._most = chunk, most

    def hour(self, now_ms: int, rate_nano: int) -> None:
        """Act on the hour's funding rate (in 1e-9 of notional)."""
        desk = self._desk
        at_ms = now_ms + desk.dice.between(2 * MINUTE_MS, 40 * MINUTE_MS)
        qty = _size(desk, self._spot, at_ms, self._chunk)
        short = -desk.position(self._perp)
        if rate_nano > 18_000 and short + qty <= self._most and desk.dice.chance(600):
            self._trade(at_ms, "buy", qty)
        elif rate_nano < 4_000 and short >= qty and desk.dice.chance(500):
            self._trade(at_ms, "sell", min(qty * 2, short))

    def _trade(self, at_ms: int, side: Side, qty: Decimal) -> None:
        legs: tuple[tuple[Market, Side], ...] = (
            (self._spot, side),
            (self._perp, "sell" if side == "buy" else "buy"),
        )
        for market, leg_side in legs:
            at_ms += self._desk.dice.between(200, 900)
            held = self._desk.position(market)
            # Fees in base leave a little less of the coin than the perpetual is short.
            sellable = held - held % market.lot
            leg_qty = min(qty, sellable) if market is self._spot and side == "sell" else qty
            if leg_qty <= 0:
                continue
            order = Order(
                market=market,
                side=leg_side,
                qty=leg_qty,
                liquidity="taker",
                seen_ms=at_ms - 150,
                arrived_ms=at_ms,
                strategy=self.name,
                logged=False,
            )
            self._desk.take(order, impact_ticks=1)
