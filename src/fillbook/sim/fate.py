"""What befalls an account: the trading faults of a plan, brought about on its desk.

Every act takes place at one instant, on the position as it stands then, and goes through the
desk's own books, so the world's truth knows of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from functools import partial

import msgspec

from fillbook.sim.desk import Desk, Ending
from fillbook.sim.executions import Order, SimCorrection, SimFill
from fillbook.sim.orders import Cause, Side, SimOrder, SimPosition
from fillbook.sim.prices import HOUR_MS, MINUTE_MS, Market

_BY_FATE = "fate"
# Venues that undo executions say so in rows of their own.
_CORRECTING = ("coinbase",)


class Fate:
    """Once an hour, asks the plan what befalls one account, and lets it happen.

    A fault strikes only where it can: a flip needs a position, dust a spot coin. `crowd` is how
    many executions a crowded millisecond has.
    """

    def __init__(self, desk: Desk, *, crowd: int) -> None:
        self._desk = desk
        self._crowd = crowd
        self._acts: Mapping[str, Callable[[int, SimPosition], None]] = {
            "flip": self._flip,
            "self_trade": self._self_trade,
            "crowded_millisecond": self._crowded,
            "adl": partial(self._forced, "adl"),
            "liquidation": partial(self._forced, "liquidation"),
            "settlement": partial(self._forced, "settlement"),
        }

    def hour(self, now_ms: int) -> None:
        """Let happen what the plan has for this hour."""
        desk = self._desk
        for name, act in self._acts.items():
            linear = [p for p in desk.holdings.positions() if p.market.contract == "linear"]
            netted = [p for p in linear if p.position_side == "net"]
            fitting = netted if name in ("flip", "self_trade") else linear
            if fitting and desk.plan.strikes(name, desk.account):
                act(now_ms, desk.dice.one_of(fitting))
        self._spot(now_ms)
        if desk.fills and desk.fills[-1].market.venue in _CORRECTING:
            recent = [fill for fill in self._kept() if fill.ts_ms >= now_ms - HOUR_MS]
            if recent and desk.plan.strikes("correction", desk.account):
                self._correct(now_ms, recent[-1])

    def delist(self, now_ms: int, market: Market) -> None:
        """Settle what the account holds of a market that trades no more."""
        for order in self._open_orders(market):
            self._desk.end(order.order_id, "cancelled", "delistedCanceled", now_ms)
        for position in self._desk.holdings.positions():
            if position.market == market:
                self._forced("settlement", now_ms, position)

    def _spot(self, now_ms: int) -> None:
        """Sell whole lots only, and let the venue sweep up what fees in the coin have left."""
        desk = self._desk
        for position in desk.holdings.positions():
            market = position.market
            residue = position.qty % market.lot
            if market.contract != "spot" or not residue or position.qty < market.lot:
                continue
            if desk.plan.strikes("dust", desk.account):
                px = desk.quotes(market).touch(now_ms, "sell", 2)
                whole = self._order(market, "sell", position.qty - residue, now_ms)
                desk.execute(whole, [(now_ms, px, whole.qty)])
                self._sweep(now_ms + 10 * MINUTE_MS, market)

    def _sweep(self, at_ms: int, market: Market) -> None:
        def act(ts_ms: int) -> None:
            residue = self._desk.position(market)
            if 0 < residue < market.lot:
                order = self._order(market, "sell", residue, ts_ms, cause="dust")
                px = self._desk.quotes(market).mark(ts_ms)
                self._desk.execute(order, [(ts_ms, px, residue)])

        self._desk.at(at_ms, act)

    def _flip(self, now_ms: int, position: SimPosition) -> None:
        side = _leaving(position)
        order = self._order(position.market, side, 2 * abs(position.qty), now_ms)
        px = self._desk.quotes(position.market).touch(now_ms, side, 1)
        self._desk.execute(order, [(now_ms, px, order.qty)])

    def _crowded(self, now_ms: int, position: SimPosition) -> None:
        side: Side = "buy" if position.qty > 0 else "sell"
        market = position.market
        order = msgspec.structs.replace(
            self._order(market, side, self._crowd * market.lot, now_ms),
            position_side=position.position_side,
        )
        px = self._desk.quotes(market).touch(now_ms, side, 1)
        self._desk.execute(order, [(now_ms, px, market.lot)] * self._crowd)

    def _forced(self, cause: Cause, now_ms: int, position: SimPosition) -> None:
        desk, market = self._desk, position.market
        side = _leaving(position)
        qty = abs(position.qty)
        if cause == "adl":
            qty = (qty / (2 * market.lot)).to_integral_value(ROUND_CEILING) * market.lot
        if cause == "liquidation":
            for resting in self._open_orders(market):
                desk.end(resting.order_id, "cancelled", "marginCanceled", now_ms)
        order = msgspec.structs.replace(
            self._order(market, side, qty, now_ms, cause=cause),
            position_side=position.position_side,
            reduce_only=True,
        )
        quotes = desk.quotes(market)
        px = quotes.touch(now_ms, side, 12) if cause == "liquidation" else quotes.mark(now_ms)
        lots = int(qty.scaleb(market.qty_decimals))
        parts = desk.dice.parts(lots, 3) if cause == "liquidation" else [lots]
        sizes = [Decimal(part).scaleb(-market.qty_decimals) for part in parts]
        desk.execute(order, [(now_ms, px, size) for size in sizes])

    def _self_trade(self, now_ms: int, position: SimPosition) -> None:
        desk, market = self._desk, position.market
        lots = Decimal(desk.dice.between(1, 9)) * market.lot
        px = desk.quotes(market).mark(now_ms)
        rested = msgspec.structs.replace(
            self._order(market, "buy", lots, now_ms), liquidity="maker", px=px
        )
        crossing = self._order(market, "sell", lots, now_ms)
        cancelled: Ending = (now_ms + 1_000, "cancelled", "selfTradeCanceled")
        legs = [(order, desk.execute(order, [], cancelled)) for order in (rested, crossing)]
        desk.at(now_ms, partial(self._cross, px, legs))

    def _cross(self, px: Decimal, legs: list[tuple[Order, int]], ts_ms: int) -> None:
        desk, market = self._desk, legs[0][0].market
        if not all(desk.orders[order_id].is_open for _, order_id in legs):
            return
        book = desk.holdings.book(market)
        held = book.position
        # One id and one start position for both legs; the leg that opens goes first.
        legs = sorted(legs, key=lambda leg: (leg[0].side == "buy") != (held >= 0))
        fill_id = desk.next_fill_id()
        for order, order_id in legs:
            fee, fee_asset = desk.charge(order, ts_ms, px, order.qty)
            desk.book(
                SimFill(
                    market=market,
                    account=desk.account,
                    ts_ms=ts_ms,
                    side=order.side,
                    px=px,
                    qty=order.qty,
                    fee=fee,
                    fee_asset=fee_asset,
                    liquidity=order.liquidity,
                    fill_id=fill_id,
                    order_id=order_id,
                    strategy=order.strategy,
                    decision_id=None,
                    start_position=held,
                    closed_pnl=book.closed_pnl(order.side, px, order.qty),
                )
            )

    def _correct(self, now_ms: int, target: SimFill) -> None:
        desk = self._desk
        replacement: SimFill | None = None
        if desk.dice.chance(500):
            replacement = msgspec.structs.replace(target, px=target.px + target.market.tick)
        desk.holdings.settle(target, -1)
        if replacement is not None:
            desk.holdings.settle(replacement, 1)
        done = SimCorrection(
            account=desk.account, ts_ms=now_ms, target=target, replacement=replacement
        )
        desk.corrections.append(done)
        desk.holdings.rebuild((target.market, target.position_side), self._kept())
        desk.tell(now_ms, done)

    def _kept(self) -> list[SimFill]:
        return kept_fills(self._desk.fills, self._desk.corrections)

    def _open_orders(self, market: Market) -> list[SimOrder]:
        return [o for o in self._desk.orders.values() if o.is_open and o.market == market]

    def _order(
        self, market: Market, side: Side, qty: Decimal, now_ms: int, cause: Cause | None = None
    ) -> Order:
        return Order(
            market=market,
            side=side,
            qty=qty,
            liquidity="taker",
            seen_ms=now_ms,
            arrived_ms=now_ms,
            strategy=_BY_FATE,
            logged=False,
            cause=cause,
        )


def kept_fills(fills: list[SimFill], corrections: list[SimCorrection]) -> list[SimFill]:
    """Return the executions that stand: the corrected ones replaced or left out."""
    undone = {(c.target.fill_id, c.target.order_id): c.replacement for c in corrections}
    kept = (undone.get((fill.fill_id, fill.order_id), fill) for fill in fills)
    return [fill for fill in kept if fill is not None]


def _leaving(position: SimPosition) -> Side:
    return "sell" if position.qty > 0 else "buy"
