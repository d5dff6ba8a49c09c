"""What a simulated venue knows besides executions: orders in their states, transfers, positions.

All of it is frozen: a new state of an order is a new object, so whoever holds an old one still
sees what was true then.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from fillbook.sim.prices import Market

Side = Literal["buy", "sell"]
PositionSide = Literal["net", "long", "short"]
OrderKind = Literal["market", "limit", "stop", "take_profit"]
OrderState = Literal["placed", "partially_filled", "filled", "cancelled", "expired", "rejected"]
TimeInForce = Literal["gtc", "ioc", "post", "gtd"]
Wallet = Literal["perp", "spot"]
# Why the venue itself traded for an account.
Cause = Literal["liquidation", "adl", "settlement", "dust"]
OPEN_STATES: tuple[OrderState, ...] = ("placed", "partially_filled")


class SimOrder(msgspec.Struct, frozen=True, kw_only=True):
    """One order in one of its states; `px` and `trigger_px` are None where it has none.

    `filled_value` is the sum of price x quantity of its fills, `triggered_ms` when a stop or
    take-profit went off, `reason` the venue's word for an end that is not a fill.
    """

    market: Market
    account: str
    order_id: int
    client_id: str | None
    strategy: str
    side: Side
    kind: OrderKind
    qty: Decimal
    px: Decimal | None
    trigger_px: Decimal | None
    tif: TimeInForce
    reduce_only: bool
    position_side: PositionSide
    cause: Cause | None
    placed_ms: int
    state: OrderState
    changed_ms: int
    filled: Decimal = Decimal(0)
    filled_value: Decimal = Decimal(0)
    n_fills: int = 0
    triggered_ms: int | None = None
    reason: str | None = None

    @property
    def is_open(self) -> bool:
        """Say whether the order can still trade."""
        return self.state in OPEN_STATES


class SimTransfer(msgspec.Struct, frozen=True, kw_only=True):
    """Money or coins into (+) or out of (-) one wallet of an account.

    `what` is "deposit", "withdrawal" or "between wallets"; both halves of the latter share
    `transfer_id`.
    """

    account: str
    venue: str
    ts_ms: int
    wallet: Wallet
    asset: str
    amount: Decimal
    what: str
    transfer_id: int


class SimPosition(msgspec.Struct, frozen=True, kw_only=True):
    """One open position: signed quantity, its cost (quantity x average entry), its funding.

    Funding is positive = received: ever, since it was opened, since it last changed.
    """

    market: Market
    position_side: PositionSide
    qty: Decimal
    cost: Decimal
    funding_ever: Decimal
    funding_since_open: Decimal
    funding_since_change: Decimal
    changed_ms: int
