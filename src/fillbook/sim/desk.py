"""The venue's side of a simulated account: executions, fees, positions and what it prints.

A desk knows nothing of strategies' reasons; it turns an order into fills, charges the venue's
fee, keeps the position and average entry that the venue would show, and hands out ids.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Literal

import msgspec

from fillbook.sim.dice import Dice
from fillbook.sim.prices import Market, Quotes

Side = Literal["buy", "sell"]
Liquidity = Literal["maker", "taker"]
# Divisions (average entry, fee in another asset) are rounded to printed decimals right after.
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


class SimFill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution as the venue knows it; `fee` positive = cost, in `fee_asset`.

    `start_position` is the signed position before it, `closed_pnl` what the venue prints as
    realised (gross of quote fees). `decision_id` names the order's decision; None = not logged.
    """

    market: Market
    account: str
    ts_ms: int
    side: Side
    px: Decimal
    qty: Decimal
    fee: Decimal
    fee_asset: str
    liquidity: Liquidity
    fill_id: int
    order_id: int
    strategy: str
    decision_id: str | None
    start_position: Decimal
    closed_pnl: Decimal

    @property
    def base_fee(self) -> Decimal:
        """Return the part of the bought quantity that the venue kept as its fee."""
        paid_in_base = self.market.contract == "spot" and self.fee_asset == self.market.coin
        return self.fee if paid_in_base else Decimal(0)

    @property
    def moved(self) -> Decimal:
        """Return the signed change of inventory: what was traded less a fee in base."""
        return (self.qty if self.side == "buy" else -self.qty) - self.base_fee


class SimDecision(msgspec.Struct, frozen=True, kw_only=True):
    """What a bot wanted and the mids it saw: at the decision, at arrival, at the first fill."""

    market: Market
    account: str
    ts_ms: int
    decision_id: str
    strategy: str
    action: Side
    qty: Decimal
    order_id: int
    decision_px: Decimal
    arrival_px: Decimal
    mid_px: Decimal


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order on its way: `seen_ms` when it was decided, `arrived_ms` when the venue took it."""

    market: Market
    side: Side
    qty: Decimal
    liquidity: Liquidity
    seen_ms: int
    arrived_ms: int
    strategy: str
    logged: bool = True


class _Piece(msgspec.Struct, frozen=True):
    order: Order
    order_id: int
    decision_id: str | None
    px: Decimal
    qty: Decimal


class _Book(msgspec.Struct):
    position: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)


Fee = Callable[[Order, int, Decimal, Decimal], tuple[Decimal, str]]


class Desk:
    """One account at one venue; `fee` maps (order, ts_ms, px, qty) to (fee, asset).

    Orders of several bots overlap, so their pieces wait until `advance` lets time pass: fills,
    positions and fees then come about in the order of time, as at a venue.
    """

    def __init__(
        self,
        account: str,
        quotes: dict[tuple[str, str], Quotes],
        dice: Dice,
        fee: Fee,
    ) -> None:
        self.account = account
        self.dice = dice
        self.fills: list[SimFill] = []
        self.decisions: list[SimDecision] = []
        self._quotes = quotes
        self._fee = fee
        self._books: dict[Market, _Book] = {}
        self._waiting: list[tuple[int, int, _Piece]] = []
        self._submitted = 0
        # A venue's ids start anywhere and grow with gaps; the account's name sets them apart.
        self._order_id = int(hashlib.sha256(account.encode()).hexdigest()[:8], 16) * 10
        self._fill_id = self._order_id * 1000

    def position(self, market: Market) -> Decimal:
        """Return the signed position the venue shows now."""
        return self._books.get(market, _Book()).position

    def quotes(self, market: Market) -> Quotes:
        """Return the quotes of a market."""
        return self._quotes[market.venue, market.symbol]

    def execute(self, order: Order, pieces: list[tuple[int, Decimal, Decimal]]) -> None:
        """Log an order's decision and let it fill in pieces of (ts_ms, px, qty)."""
        self._order_id += self.dice.between(1, 9)
        quotes = self.quotes(order.market)
        decision_id = f"{order.strategy}-{self._order_id}" if order.logged else None
        if decision_id is not None:
            self.decisions.append(
                SimDecision(
                    market=order.market,
                    account=self.account,
                    ts_ms=order.seen_ms,
                    decision_id=decision_id,
                    strategy=order.strategy,
                    action=order.side,
                    qty=order.qty,
                    order_id=self._order_id,
                    decision_px=quotes.mid(order.seen_ms),
                    arrival_px=quotes.mid(order.arrived_ms),
                    mid_px=quotes.mid(pieces[0][0]),
                )
            )
        for ts_ms, px, qty in pieces:
            piece = _Piece(order, self._order_id, decision_id, px, qty)
            heapq.heappush(self._waiting, (ts_ms, self._submitted, piece))
            self._submitted += 1

    def advance(self, until_ms: int) -> None:
        """Let everything happen that is due before an instant."""
        while self._waiting and self._waiting[0][0] < until_ms:
            ts_ms, _, piece = heapq.heappop(self._waiting)
            self._fill(ts_ms, piece)

    def take(self, order: Order, impact_ticks: int) -> None:
        """Fill an order at the touch, in one to four parts that eat ever deeper."""
        lots = int(order.qty.scaleb(order.market.qty_decimals))
        ts_ms = order.arrived_ms + self.dice.between(4, 60)
        pieces: list[tuple[int, Decimal, Decimal]] = []
        for depth, part in enumerate(self.dice.parts(lots, 4)):
            away = impact_ticks + depth * self.dice.between(0, impact_ticks)
            px = self.quotes(order.market).touch(ts_ms, order.side, away)
            pieces.append((ts_ms, px, Decimal(part).scaleb(-order.market.qty_decimals)))
            ts_ms += self.dice.one_of((0, 0, 1, 35, 180))
        self.execute(order, pieces)

    def _fill(self, ts_ms: int, piece: _Piece) -> None:
        self._fill_id += self.dice.between(1, 5000)
        order, px, qty = piece.order, piece.px, piece.qty
        fee, fee_asset = self._fee(order, ts_ms, px, qty)
        book = self._books.setdefault(order.market, _Book())
        fill = SimFill(
            market=order.market,
            account=self.account,
            ts_ms=ts_ms,
            side=order.side,
            px=px,
            qty=qty,
            fee=fee,
            fee_asset=fee_asset,
            liquidity=order.liquidity,
            fill_id=self._fill_id,
            order_id=piece.order_id,
            strategy=order.strategy,
            decision_id=piece.decision_id,
            start_position=book.position,
            closed_pnl=_closed_pnl(book, order.side, px, qty),
        )
        _move(book, fill)
        self.fills.append(fill)


def _closed_pnl(book: _Book, side: Side, px: Decimal, qty: Decimal) -> Decimal:
    """Return what the venue prints as realised: average cost, six decimals."""
    closing = -1 if side == "buy" else 1
    if book.position * closing <= 0:
        return Decimal(0)
    matched = min(qty, abs(book.position))
    entry = EXACT.divide(book.cost, book.position)
    gain = EXACT.multiply(matched * closing, px - entry)
    return gain.quantize(Decimal("0.000001"), context=EXACT).normalize(EXACT)


def _move(book: _Book, fill: SimFill) -> None:
    after = book.position + fill.moved
    signed = fill.qty if fill.side == "buy" else -fill.qty
    if book.position * signed >= 0:
        book.cost += signed * fill.px
    elif after * book.position > 0:
        book.cost = EXACT.divide(EXACT.multiply(book.cost, after), book.position)
    else:
        book.cost = after * fill.px
    book.position = after
