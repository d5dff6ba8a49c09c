"""What happens on a simulated account: orders sent, executions, decisions, funding, corrections."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Literal

import msgspec

from fillbook.sim.orders import (
    Cause,
    OrderKind,
    PositionSide,
    Side,
    SimOrder,
    SimTransfer,
    TimeInForce,
)
from fillbook.sim.prices import Market

Liquidity = Literal["maker", "taker"]


class SimFill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution as the venue knows it; `fee` positive = cost, in `fee_asset`.

    `start_position` is the signed position before it, `closed_pnl` what the venue prints as
    realised (gross of quote fees). `decision_id` names the order's decision; None = not logged.
    `cause` is why the venue itself traded, `liquidated` whose liquidation it was (the account's
    own, or that of whoever stood on the other side), `mark_px` the mark price then.
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
    position_side: PositionSide = "net"
    client_id: str | None = None
    reduce_only: bool = False
    cause: Cause | None = None
    liquidated: str | None = None
    mark_px: Decimal | None = None

    @property
    def base_fee(self) -> Decimal:
        """Return the part of the bought quantity that the venue kept as its fee."""
        paid_in_base = self.market.contract == "spot" and self.fee_asset == self.market.coin
        return self.fee if paid_in_base else Decimal(0)

    @property
    def signed(self) -> Decimal:
        """Return the traded quantity, negative for a sale."""
        return self.qty if self.side == "buy" else -self.qty

    @property
    def value(self) -> Decimal:
        """Return what was traded in the quote currency, negative for a sale."""
        return self.signed * self.px * self.market.multiplier

    @property
    def moved(self) -> Decimal:
        """Return the signed change of inventory: what was traded less a fee in base."""
        return self.signed - self.base_fee


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


class SimFunding(msgspec.Struct, frozen=True, kw_only=True):
    """One payment at its settlement instant; `amount` positive = received."""

    market: Market
    account: str
    ts_ms: int
    amount: Decimal
    rate: Decimal
    position: Decimal
    position_side: PositionSide = "net"


class SimCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """The venue undoes one of its fills, or replaces it where `replacement` is given."""

    account: str
    ts_ms: int
    target: SimFill
    replacement: SimFill | None


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order on its way: `seen_ms` when it was decided, `arrived_ms` when the venue took it.

    A `kind`, `tif` or limit `px` of None follows from `liquidity`: a maker rests a limit order, a
    taker sends a market order.
    """

    market: Market
    side: Side
    qty: Decimal
    liquidity: Liquidity
    seen_ms: int
    arrived_ms: int
    strategy: str
    logged: bool = True
    kind: OrderKind | None = None
    tif: TimeInForce | None = None
    px: Decimal | None = None
    trigger_px: Decimal | None = None
    reduce_only: bool = False
    position_side: PositionSide = "net"
    client_id: str | None = None
    cause: Cause | None = None


Fee = Callable[[Order, int, Decimal, Decimal], tuple[Decimal, str]]
Happening = SimFill | SimOrder | SimFunding | SimTransfer | SimCorrection


class SimEvent(msgspec.Struct, frozen=True):
    """Something that a venue would tell its account at once, and when it happened."""

    ts_ms: int
    account: str
    what: Happening
