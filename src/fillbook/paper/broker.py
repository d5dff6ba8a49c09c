"""A broker on paper: the price, the fee and the luck an order would have had at a quote.

    broker = PaperBroker(PaperTerms(slippage=Decimal("0.0005")), seed=7)
    for fill in broker.place(order, Quote(bid, ask), now_ns):
        telemetry.on_event(fill)

A market order takes the touch, worsened by the slippage. A limit order that crosses does the same,
never beyond its limit; one that rests fills at its limit: surely once the market trades through
it, else by chance, whole or by half. Luck depends on the seed, the order's id and how many quotes
it saw, so a run repeats itself whatever else is traded beside it. Prices and fees are exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

import msgspec

from fillbook.facts.model import Liquidity, Side
from fillbook.ground.errors import InputError
from fillbook.ground.exact import EXACT

_MILLION = 10**6


class Quote(msgspec.Struct, frozen=True):
    """The best prices of one market at one instant."""

    bid: Decimal
    ask: Decimal


class PaperTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How the market treats paper orders; rates and chances are fractions.

    `fill_chance` is that of a resting order at each quote, `partial_chance` that such a fill is
    only half of what is left. `step` is the lot size halves are cut down to, `tick` the price
    step; None: any price.
    """

    slippage: Decimal = Decimal("0.0005")
    maker_fee: Decimal = Decimal("0.0002")
    taker_fee: Decimal = Decimal("0.0004")
    fill_chance: Decimal = Decimal("0.6")
    partial_chance: Decimal = Decimal("0.2")
    step: Decimal = Decimal("0.001")
    tick: Decimal | None = None


class PaperOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order; without a `price` it is a market order."""

    symbol: str
    side: Side
    quantity: Decimal
    client_order_id: str
    price: Decimal | None = None
    reduce_only: bool = False


class PaperFill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, under the names the telemetry desk takes.

    `last_qty` at `last_price` is this execution, `filled_qty` of `quantity` the order so far.
    `fee` is in the quote currency, positive = paid; `timestamp` is UTC nanoseconds.
    """

    event_type: Literal["EXECUTION"] = "EXECUTION"
    is_trade: bool = True
    execution_id: int
    timestamp: int
    symbol: str
    side: Side
    client_order_id: str
    order_type: Literal["MARKET", "LIMIT"]
    status: Literal["FILLED", "PARTIALLY_FILLED"]
    quantity: Decimal
    filled_qty: Decimal
    last_qty: Decimal
    last_price: Decimal
    fee: Decimal
    liquidity: Liquidity
    reduce_only: bool


@dataclass
class _Resting:
    order: PaperOrder
    filled: Decimal = Decimal(0)
    quotes_seen: int = 0

    @property
    def left(self) -> Decimal:
        return self.order.quantity - self.filled


class PaperBroker:
    """Fills paper orders at quotes; keeps the limit orders that rest."""

    def __init__(self, terms: PaperTerms | None = None, seed: int = 0) -> None:
        self._terms = terms or PaperTerms()
        self._seed = seed
        self._resting: dict[str, _Resting] = {}
        self._executions = 0

    @property
    def open_orders(self) -> list[PaperOrder]:
        """Return the orders that rest, in the order they were placed."""
        return [each.order for each in self._resting.values()]

    def place(self, order: PaperOrder, quote: Quote, now_ns: int) -> list[PaperFill]:
        """Take an order: it fills at once, or rests. InputError for what no venue would take.

        >>> two = Decimal(2)
        >>> order = PaperOrder(symbol="BTCUSDT", side="buy", quantity=two, client_order_id="a")
        >>> fill, = PaperBroker().place(order, Quote(Decimal(99), Decimal(100)), 0)
        >>> str(fill.last_price), str(fill.fee.normalize()), fill.liquidity
        ('100.0500', '0.08004', 'taker')
        """
        if order.quantity <= 0 or not 0 < quote.bid <= quote.ask:
            raise InputError(
                f"{order.quantity} at {quote.bid} / {quote.ask} cannot be traded",
                f"order {order.client_order_id}",
                "quantity and prices are above zero, and the bid is not above the ask",
            )
        if order.client_order_id in self._resting:
            raise InputError("the order rests already", f"order {order.client_order_id}", "")
        if order.price is None or _crosses(order, quote):
            return [self._fill(_Resting(order), order.quantity, self._taken(order, quote), now_ns)]
        self._resting[order.client_order_id] = _Resting(order)
        return []

    def quote(self, symbol: str, quote: Quote, now_ns: int) -> list[PaperFill]:
        """Show the resting orders of a market its next quote; returns what filled."""
        return list(self._filled(symbol, quote, now_ns))

    def cancel(self, client_order_id: str) -> Decimal:
        """Take an order off the book; returns what was left of it, 0 where it does not rest."""
        resting = self._resting.pop(client_order_id, None)
        return Decimal(0) if resting is None else resting.left

    def _filled(self, symbol: str, quote: Quote, now_ns: int) -> Iterator[PaperFill]:
        for resting in [each for each in self._resting.values() if each.order.symbol == symbol]:
            order = resting.order
            resting.quotes_seen += 1
            qty = resting.left
            if not _crosses(order, quote):
                if not self._is_lucky(resting, "fill", self._terms.fill_chance):
                    continue
                if self._is_lucky(resting, "partial", self._terms.partial_chance):
                    qty = _half(qty, self._terms.step)
            assert order.price is not None
            yield self._fill(resting, qty, order.price, now_ns, "maker")
            if not resting.left:
                del self._resting[order.client_order_id]

    def _fill(
        self,
        resting: _Resting,
        qty: Decimal,
        px: Decimal,
        now_ns: int,
        liquidity: Liquidity = "taker",
    ) -> PaperFill:
        order, terms = resting.order, self._terms
        rate = terms.maker_fee if liquidity == "maker" else terms.taker_fee
        resting.filled += qty
        # Numbers grow with the clock, so that another run gives no number twice.
        self._executions = max(self._executions + 1, now_ns)
        return PaperFill(
            execution_id=self._executions,
            timestamp=now_ns,
            symbol=order.symbol,
            side=order.side,
            client_order_id=order.client_order_id,
            order_type="MARKET" if order.price is None else "LIMIT",
            status="PARTIALLY_FILLED" if resting.left else "FILLED",
            quantity=order.quantity,
            filled_qty=resting.filled,
            last_qty=qty,
            last_price=px,
            fee=EXACT.multiply(EXACT.multiply(px, qty), rate),
            liquidity=liquidity,
            reduce_only=order.reduce_only,
        )

    def _taken(self, order: PaperOrder, quote: Quote) -> Decimal:
        """Return the touch worsened by the slippage, on the tick, within the limit."""
        is_buy, slip = order.side == "buy", self._terms.slippage
        touch = quote.ask if is_buy else quote.bid
        px = EXACT.multiply(touch, 1 + slip if is_buy else 1 - slip)
        if self._terms.tick is not None:
            worse = ROUND_CEILING if is_buy else ROUND_FLOOR
            px = (px / self._terms.tick).to_integral_value(worse) * self._terms.tick
        if order.price is None:
            return px
        return min(px, order.price) if is_buy else max(px, order.price)

    def _is_lucky(self, resting: _Resting, what: str, chance: Decimal) -> bool:
        drawn = f"{self._seed}:{resting.order.client_order_id}:{what}:{resting.quotes_seen}"
        digest = hashlib.sha256(drawn.encode()).digest()
        return int.from_bytes(digest[:8], "big") % _MILLION < chance * _MILLION


def _crosses(order: PaperOrder, quote: Quote) -> bool:
    """Say whether the market is at an order's limit or beyond."""
    if order.price is None:
        return True
    return order.price >= quote.ask if order.side == "buy" else order.price <= quote.bid


def _half(qty: Decimal, step: Decimal) -> Decimal:
    """Return half a quantity in whole steps; the whole where that is nothing.

    >>> _half(Decimal("0.005"), Decimal("0.001")), _half(Decimal("0.001"), Decimal("0.001"))
    (Decimal('0.002'), Decimal('0.001'))
    """
    half = (qty / 2 / step).to_integral_value(ROUND_FLOOR) * step
    return half or qty
