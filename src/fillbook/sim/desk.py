"""The venue's side of a simulated account: orders, executions, fees, and what it hands out.

A desk knows nothing of strategies' reasons; it turns an order into fills, charges the venue's
fee, keeps the position and average entry that the venue would show, and hands out ids.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial

import msgspec

from fillbook.sim.books import EXACT, Holdings
from fillbook.sim.dice import Dice
from fillbook.sim.executions import (
    Fee,
    Happening,
    Order,
    SimCorrection,
    SimDecision,
    SimEvent,
    SimFill,
    SimFunding,
)
from fillbook.sim.faults import FaultPlan
from fillbook.sim.orders import OrderState, PositionSide, SimOrder, SimTransfer, Wallet
from fillbook.sim.prices import Market, Quotes

# (ts_ms, px, qty) of one part of an order, and (ts_ms, state, reason) of its end.
Piece = tuple[int, Decimal, Decimal]
Ending = tuple[int, OrderState, str]
_FREE = ("adl", "settlement", "dust")


class Desk:
    """One account at one venue; `fee` maps (order, ts_ms, px, qty) to (fee, asset).

    Orders of several bots overlap, so their pieces wait until `advance` lets time pass: fills,
    positions and fees then come about in the order of time, as at a venue. Nothing new reaches a
    market in `halted`. `third` is another asset to charge fees in, and its price at a time.
    """

    def __init__(
        self,
        account: str,
        quotes: dict[tuple[str, str], Quotes],
        dice: Dice,
        fee: Fee,
        *,
        plan: FaultPlan | None = None,
        hedge: bool = False,
    ) -> None:
        self.account = account
        self.dice = dice
        self.plan = plan or FaultPlan()
        self.hedge = hedge
        self.halted: set[Market] = set()
        self.third: tuple[str, Callable[[int], Decimal]] | None = None
        self.holdings = Holdings()
        self.fills: list[SimFill] = []
        self.decisions: list[SimDecision] = []
        self.funding: list[SimFunding] = []
        self.transfers: list[SimTransfer] = []
        self.corrections: list[SimCorrection] = []
        self.orders: dict[int, SimOrder] = {}
        self.events: list[SimEvent] = []
        self._quotes = quotes
        self._fee = fee
        self._waiting: list[tuple[int, int, Callable[[int], None]]] = []
        self._submitted = 0
        # A venue's ids start anywhere and grow with gaps; the account's name sets them apart.
        self._order_id = int(hashlib.sha256(account.encode()).hexdigest()[:8], 16) * 10
        self._fill_id = self._order_id * 1000
        self._transfer_id = self._order_id
        self._kept_id: int | None = None

    def position(self, market: Market, side: PositionSide = "net") -> Decimal:
        """Return the signed position the venue shows now."""
        return self.holdings.book(market, side).position

    def quotes(self, market: Market) -> Quotes:
        """Return the quotes of a market."""
        return self._quotes[market.venue, market.symbol]

    def at(self, ts_ms: int, act: Callable[[int], None]) -> None:
        """Let something happen at an instant; what is due together happens in order of asking."""
        heapq.heappush(self._waiting, (ts_ms, self._submitted, act))
        self._submitted += 1

    def advance(self, until_ms: int) -> None:
        """Let everything happen that is due before an instant."""
        while self._waiting and self._waiting[0][0] < until_ms:
            ts_ms, _, act = heapq.heappop(self._waiting)
            act(ts_ms)

    def tell(self, ts_ms: int, what: Happening) -> None:
        """Note what the venue would tell the account at once."""
        self.events.append(SimEvent(ts_ms, self.account, what))

    def execute(self, order: Order, pieces: Sequence[Piece], ends: Ending | None = None) -> int:
        """Log an order's decision, let it fill in pieces, and return its id.

        `ends` is when and how the venue takes it off the book should it still be open then.
        """
        self._order_id += self.dice.between(1, 9)
        order_id = self._order_id
        decision_id = f"{order.strategy}-{order_id}" if order.logged else None
        if decision_id is not None:
            self._log(order, order_id, decision_id, pieces[0][0] if pieces else order.arrived_ms)
        limit_px = order.px
        if limit_px is None and order.liquidity == "maker" and pieces:
            limit_px = pieces[0][1]
        self.at(order.arrived_ms, partial(self._place, order, order_id, limit_px))
        for ts_ms, px, qty in pieces:
            self.at(ts_ms, partial(self._fill, order, order_id, decision_id, px, qty))
        if ends is not None:
            self.at(ends[0], partial(self.end, order_id, ends[1], ends[2]))
        return order_id

    def take(self, order: Order, impact_ticks: int) -> int:
        """Fill an order at the touch, in one to four parts that eat ever deeper."""
        lots = int(order.qty.scaleb(order.market.qty_decimals))
        ts_ms = order.arrived_ms + self.dice.between(4, 60)
        pieces: list[Piece] = []
        for depth, part in enumerate(self.dice.parts(lots, 4)):
            away = impact_ticks + depth * self.dice.between(0, impact_ticks)
            px = self.quotes(order.market).touch(ts_ms, order.side, away)
            pieces.append((ts_ms, px, Decimal(part).scaleb(-order.market.qty_decimals)))
            ts_ms += self.dice.one_of((0, 0, 1, 35, 180))
        return self.execute(order, pieces)

    def end(self, order_id: int, state: OrderState, reason: str, ts_ms: int) -> None:
        """Take an order off the book, if it is still there."""
        if order_id in self.orders and self.orders[order_id].is_open:
            self._turn(order_id, ts_ms, state=state, reason=reason)

    def trigger(self, order_id: int, ts_ms: int) -> None:
        """Note that a stop or take-profit went off, if it is still there."""
        if order_id in self.orders and self.orders[order_id].is_open:
            self._turn(order_id, ts_ms, triggered_ms=ts_ms)

    def transfer(
        self, ts_ms: int, venue: str, what: str, parts: Sequence[tuple[Wallet, str, Decimal]]
    ) -> None:
        """Move money: one part into or out of the account, two parts between its wallets."""
        self._transfer_id += 1
        for wallet, asset, amount in parts:
            self.holdings.bank(wallet, asset, amount)
            moved = SimTransfer(
                account=self.account,
                venue=venue,
                ts_ms=ts_ms,
                wallet=wallet,
                asset=asset,
                amount=amount,
                what=what,
                transfer_id=self._transfer_id,
            )
            self.transfers.append(moved)
            self.tell(ts_ms, moved)

    def pay(self, payment: SimFunding) -> None:
        """Book a funding payment on the position it was computed from."""
        self.holdings.pay(payment)
        self.funding.append(payment)
        self.tell(payment.ts_ms, payment)

    def book(self, fill: SimFill) -> None:
        """Book an execution, and tell it and its order's new state."""
        self.holdings.trade(fill)
        self.fills.append(fill)
        self.tell(fill.ts_ms, fill)
        order = self.orders[fill.order_id]
        filled = order.filled + fill.qty
        self._turn(
            order.order_id,
            fill.ts_ms,
            state="filled" if filled >= order.qty else "partially_filled",
            filled=filled,
            filled_value=order.filled_value + fill.qty * fill.px,
            n_fills=order.n_fills + 1,
        )

    def next_fill_id(self) -> int:
        """Hand out an id for an execution; ids grow, unless a fault lets two change places."""
        if self._kept_id is not None:
            kept, self._kept_id = self._kept_id, None
            return kept
        self._fill_id += self.dice.between(1, 5000)
        if self.plan.strikes_on("unordered_ids", f"{self.account}:{len(self.fills)}"):
            self._kept_id = self._fill_id
            self._fill_id += self.dice.between(1, 5000)
        return self._fill_id

    def _log(self, order: Order, order_id: int, decision_id: str, first_ms: int) -> None:
        quotes = self.quotes(order.market)
        self.decisions.append(
            SimDecision(
                market=order.market,
                account=self.account,
                ts_ms=order.seen_ms,
                decision_id=decision_id,
                strategy=order.strategy,
                action=order.side,
                qty=order.qty,
                order_id=order_id,
                decision_px=quotes.mid(order.seen_ms),
                arrival_px=quotes.mid(order.arrived_ms),
                mid_px=quotes.mid(first_ms),
            )
        )

    def _place(self, order: Order, order_id: int, px: Decimal | None, ts_ms: int) -> None:
        rests = order.liquidity == "maker"
        halted = order.market in self.halted and order.cause is None
        self.orders[order_id] = placed = SimOrder(
            market=order.market,
            account=self.account,
            order_id=order_id,
            client_id=order.client_id,
            strategy=order.strategy,
            side=order.side,
            kind=order.kind or ("limit" if rests else "market"),
            qty=order.qty,
            px=px,
            trigger_px=order.trigger_px,
            tif=order.tif or ("gtc" if rests else "ioc"),
            reduce_only=order.reduce_only,
            position_side=order.position_side,
            cause=order.cause,
            placed_ms=ts_ms,
            state="rejected" if halted else "placed",
            changed_ms=ts_ms,
            reason="marketHalted" if halted else None,
        )
        self.tell(ts_ms, placed)

    def _turn(self, order_id: int, ts_ms: int, **changes: object) -> None:
        turned = msgspec.structs.replace(self.orders[order_id], changed_ms=ts_ms, **changes)
        self.orders[order_id] = turned
        self.tell(ts_ms, turned)

    def _fill(
        self,
        order: Order,
        order_id: int,
        decision_id: str | None,
        px: Decimal,
        qty: Decimal,
        ts_ms: int,
    ) -> None:
        if not self.orders[order_id].is_open:
            return
        book = self.holdings.book(order.market, order.position_side)
        if order.reduce_only:
            held = book.position if order.side == "sell" else -book.position
            qty = min(qty, held)
            if qty <= 0:
                self.end(order_id, "cancelled", "reduceOnlyCanceled", ts_ms)
                return
        fee, fee_asset = self.charge(order, ts_ms, px, qty)
        self.book(
            SimFill(
                market=order.market,
                account=self.account,
                ts_ms=ts_ms,
                side=order.side,
                px=px,
                qty=qty,
                fee=fee,
                fee_asset=fee_asset,
                liquidity=order.liquidity,
                fill_id=self.next_fill_id(),
                order_id=order_id,
                strategy=order.strategy,
                decision_id=decision_id,
                start_position=book.position,
                closed_pnl=book.closed_pnl(order.side, px, qty),
                position_side=order.position_side,
                client_id=order.client_id,
                reduce_only=order.reduce_only,
                cause=order.cause,
                liquidated=self.account if order.cause == "liquidation" else None,
                mark_px=self.quotes(order.market).mark(ts_ms) if order.cause else None,
            )
        )

    def charge(self, order: Order, ts_ms: int, px: Decimal, qty: Decimal) -> tuple[Decimal, str]:
        """Return the fee of an execution and what it is paid in; faults may change either."""
        if order.cause in _FREE:
            return Decimal(0), order.market.quote
        fee, asset = self._fee(order, ts_ms, px, qty)
        nth = f"{self.account}:{len(self.fills)}"
        if asset != order.market.quote:
            return fee, asset
        if order.liquidity == "maker" and self.plan.strikes_on("rebate", nth):
            return -abs(fee), asset
        if self.third is not None and self.plan.strikes_on("third_currency_fee", nth):
            other, price = self.third
            valued = EXACT.divide(fee, price(ts_ms))
            return valued.quantize(Decimal("0.00000001"), context=EXACT), other
        return fee, asset
