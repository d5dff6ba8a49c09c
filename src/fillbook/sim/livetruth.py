"""What really happened to the accounts of a live world, added up without any ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal

import msgspec

from fillbook.sim.desk import Desk
from fillbook.sim.executions import SimFill, SimFunding
from fillbook.sim.fate import kept_fills
from fillbook.sim.orders import PositionSide, SimOrder, SimTransfer


class LiveTruth(msgspec.Struct, frozen=True):
    """Everything that happened, each kind in time order, and what it adds up to.

    `fills` are those that stand: corrected ones are replaced or left out. `opening` and
    `positions` are signed quantities by (account, symbol, side); `fees` positive = cost and
    `cash` all gains and losses of money, both by (account, asset), transfers left out: cash plus
    positions at their marks, less what the account opened with, is its net result.
    """

    fills: tuple[SimFill, ...]
    funding: tuple[SimFunding, ...]
    orders: tuple[SimOrder, ...]
    transfers: tuple[SimTransfer, ...]
    opening: dict[tuple[str, str, PositionSide], Decimal]
    positions: dict[tuple[str, str, PositionSide], Decimal]
    fees: dict[tuple[str, str], Decimal]
    cash: dict[tuple[str, str], Decimal]


def live_truth(desks: Sequence[Desk]) -> LiveTruth:
    """Add up what happened at some desks so far, from their executions alone."""
    fills = [fill for desk in desks for fill in kept_fills(desk.fills, desk.corrections)]
    funding = [payment for desk in desks for payment in desk.funding]
    opening = {
        (desk.account, market.symbol, side): qty
        for desk in desks
        for (market, side), qty in desk.holdings.opening().items()
    }
    positions = defaultdict(Decimal, opening)
    fees: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    cash: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for fill in fills:
        positions[fill.account, fill.market.symbol, fill.position_side] += fill.moved
        fees[fill.account, fill.fee_asset] += fill.fee
        cash[fill.account, fill.market.quote] -= fill.value
        if not fill.base_fee:
            cash[fill.account, fill.fee_asset] -= fill.fee
    for payment in funding:
        cash[payment.account, payment.market.quote] += payment.amount
    return LiveTruth(
        fills=tuple(sorted(fills, key=lambda fill: fill.ts_ms)),
        funding=tuple(sorted(funding, key=lambda payment: payment.ts_ms)),
        orders=tuple(order for desk in desks for order in desk.orders.values()),
        transfers=tuple(moved for desk in desks for moved in desk.transfers),
        opening=opening,
        positions={key: qty for key, qty in positions.items() if qty},
        fees=dict(fees),
        cash=dict(cash),
    )
