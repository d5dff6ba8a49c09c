"""What a simulated account holds: positions at average cost, as a venue shows them, and cash."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal

import msgspec

from fillbook.sim.executions import SimFill, SimFunding
from fillbook.sim.orders import PositionSide, Side, SimPosition, Wallet
from fillbook.sim.prices import Market

# Divisions (average entry, fee in another asset) are rounded to printed decimals right after.
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
_PRINTED = Decimal("0.000001")


class Book(msgspec.Struct):
    """One position of an account: signed quantity, and its cost at the average entry."""

    position: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    funding_ever: Decimal = Decimal(0)
    funding_since_open: Decimal = Decimal(0)
    funding_since_change: Decimal = Decimal(0)
    changed_ms: int = 0
    multiplier: Decimal = Decimal(1)

    def closed_pnl(self, side: Side, px: Decimal, qty: Decimal) -> Decimal:
        """Return what the venue prints as realised: average cost, six decimals."""
        closing = -1 if side == "buy" else 1
        if self.position * closing <= 0:
            return Decimal(0)
        matched = min(qty, abs(self.position))
        entry = EXACT.divide(self.cost, self.position)
        gain = EXACT.multiply(matched * closing, px * self.multiplier - entry)
        return gain.quantize(_PRINTED, context=EXACT).normalize(EXACT)

    def move(self, fill: SimFill) -> None:
        """Book an execution: what arrived may be less than was traded, by a fee in base."""
        after = self.position + fill.moved
        if self.position * fill.signed >= 0:
            self.cost += fill.signed * fill.px * self.multiplier
        elif after * self.position > 0:
            self.cost = EXACT.divide(EXACT.multiply(self.cost, after), self.position)
        else:
            self.cost = after * fill.px * self.multiplier
        if after * self.position <= 0:
            self.funding_since_open = Decimal(0)
        self.funding_since_change = Decimal(0)
        self.changed_ms = fill.ts_ms
        self.position = after


class Holdings:
    """Every position and wallet of one account.

    A perpetual has no coins: buying one takes its whole price out of the wallet and a sale pays
    it back, so the wallets plus the positions at their marks are always the account's equity.
    """

    def __init__(self) -> None:
        self.wallets: dict[tuple[Wallet, str], Decimal] = {}
        self._books: dict[tuple[Market, PositionSide], Book] = {}
        self._opening: dict[tuple[Market, PositionSide], tuple[Decimal, Decimal]] = {}

    def book(self, market: Market, side: PositionSide = "net") -> Book:
        """Return the book of a position, a new one where there was none."""
        return self._books.setdefault((market, side), Book(multiplier=market.multiplier))

    def open_with(self, market: Market, side: PositionSide, qty: Decimal, px: Decimal) -> None:
        """Begin with a position that the account's history does not explain."""
        cost = qty * px * market.multiplier
        self._opening[market, side] = (qty, cost)
        self._books[market, side] = Book(position=qty, cost=cost, multiplier=market.multiplier)
        if market.contract == "linear":
            self.bank("perp", market.quote, -cost)
        else:
            self.bank("spot", market.coin, qty)

    def opening(self) -> dict[tuple[Market, PositionSide], Decimal]:
        """Return the signed quantities that the account began with."""
        return {key: qty for key, (qty, _) in self._opening.items()}

    def positions(self) -> list[SimPosition]:
        """Return every open position, in the order in which they were first asked for."""
        return [
            SimPosition(
                market=market,
                position_side=side,
                qty=book.position,
                cost=book.cost,
                funding_ever=book.funding_ever,
                funding_since_open=book.funding_since_open,
                funding_since_change=book.funding_since_change,
                changed_ms=book.changed_ms,
            )
            for (market, side), book in self._books.items()
            if book.position
        ]

    def bank(self, wallet: Wallet, asset: str, amount: Decimal) -> None:
        """Put an amount into a wallet, or take it out when negative."""
        held = self.wallets.get((wallet, asset), Decimal(0))
        self.wallets[wallet, asset] = held + amount

    def trade(self, fill: SimFill) -> None:
        """Book an execution in its position and in the wallets."""
        self.book(fill.market, fill.position_side).move(fill)
        self.settle(fill, 1)

    def settle(self, fill: SimFill, times: int) -> None:
        """Move an execution's money, backwards when `times` is -1."""
        spot = fill.market.contract == "spot"
        wallet: Wallet = "spot" if spot else "perp"
        self.bank(wallet, fill.market.quote, -times * fill.value)
        if spot:
            self.bank("spot", fill.market.coin, times * fill.moved)
        if not fill.base_fee:
            self.bank(wallet, fill.fee_asset, -times * fill.fee)

    def rebuild(self, key: tuple[Market, PositionSide], fills: Iterable[SimFill]) -> None:
        """Work a position out anew from its executions, once one of them was corrected."""
        book = self._books[key]
        book.position, book.cost = self._opening.get(key, (Decimal(0), Decimal(0)))
        for fill in fills:
            if (fill.market, fill.position_side) == key:
                book.move(fill)

    def pay(self, payment: SimFunding) -> None:
        """Book a funding payment, positive = received."""
        book = self.book(payment.market, payment.position_side)
        book.funding_ever += payment.amount
        book.funding_since_open += payment.amount
        book.funding_since_change += payment.amount
        self.bank("perp", payment.market.quote, payment.amount)
