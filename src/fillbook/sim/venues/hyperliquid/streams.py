"""What Hyperliquid's streams say: frames out of the world's events, and the snapshots before."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from fillbook.sim.executions import Happening, SimEvent, SimFill, SimFunding
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder
from fillbook.sim.venues.hyperliquid.rows import (
    Row,
    fill_row,
    is_perp,
    ledger_rows,
    order_update,
    payment_row,
)

# (type, user) of one subscription.
Subscription = tuple[str, str]
LEDGER = "userNonFundingLedgerUpdates"
USER_TYPES = ("userFills", "userEvents", "orderUpdates", "userFundings", LEDGER)


def frames_of(world: LiveWorld, wanted: Subscription, events: Sequence[SimEvent]) -> list[Row]:
    """Return the frames of one subscription, one for each instant, in time order."""
    kind, user = wanted
    frames: list[Row] = []
    ours = (event for event in events if event.account == user)
    for _, group in groupby(ours, key=lambda event: event.ts_ms):
        told = [event.what for event in group]
        fills = [fill_row(world, what) for what in told if isinstance(what, SimFill)]
        paid = [payment_row(world, what) for what in told if isinstance(what, SimFunding)]
        if kind == "userFills" and fills:
            frames.append({"channel": "userFills", "data": {"user": user, "fills": fills}})
        elif kind == "userEvents":
            frames += _user_events(world, fills, paid, told)
        elif kind == "userFundings" and paid:
            frames.append({"channel": "userFundings", "data": {"user": user, "fundings": paid}})
        elif kind == "orderUpdates":
            states = [order_update(world, what) for what in told if isinstance(what, SimOrder)]
            if states:
                frames.append({"channel": "orderUpdates", "data": states})
    return frames


def snapshot_of(
    world: LiveWorld, wanted: Subscription, fills: Sequence[SimFill], most: int
) -> list[Row]:
    """Return the frames that a subscription begins with; userEvents has none.

    `fills` are those of the user that can be read, oldest first.
    """
    kind, user = wanted
    if kind == "userFills":
        rows = [fill_row(world, fill) for fill in reversed(fills[-most:])]
        held = {"isSnapshot": True, "user": user, "fills": rows}
        return [{"channel": "userFills", "data": held}]
    known = user in world.accounts()
    if kind == "userFundings":
        paid = world.funding(user)[-most:] if known else []
        payments = [payment_row(world, one) for one in reversed(paid)]
        told = {"isSnapshot": True, "user": user, "fundings": payments}
        return [{"channel": "userFundings", "data": told}]
    if kind == LEDGER:
        moved = ledger_rows(user, world.desk(user).transfers) if known else []
        told = {"isSnapshot": True, "user": user, "nonFundingLedgerUpdates": moved[-most:]}
        return [{"channel": LEDGER, "data": told}]
    if kind == "orderUpdates":
        orders = [order for order in world.orders(user) if order.is_open] if known else []
        updates = [order_update(world, order) for order in orders]
        return [{"channel": "orderUpdates", "data": updates}] if updates else []
    return []


def merged(frames: Sequence[object]) -> list[object]:
    """Put frames of one channel together, so that one holds events of several instants and kinds.

    >>> parts = [{"fills": [1]}, {"funding": {"usdc": "2.0"}}, {"fills": [3]}]
    >>> merged([{"channel": "user", "data": part} for part in parts])
    [{'channel': 'user', 'data': {'fills': [1, 3], 'funding': {'usdc': '2.0'}}}]
    """
    by_channel: dict[str, Any] = {}
    for frame in frames:
        assert isinstance(frame, dict)
        name, said = frame["channel"], frame["data"]
        if name not in by_channel:
            by_channel[name] = said if isinstance(said, list) else dict(said)
        elif isinstance(said, list):
            by_channel[name] = by_channel[name] + said
        else:
            whole = by_channel[name]
            for key, value in said.items():
                joins = isinstance(value, list) and key in whole
                whole[key] = whole[key] + value if joins else value
    return [{"channel": name, "data": said} for name, said in by_channel.items()]


def _user_events(
    world: LiveWorld, fills: list[Row], paid: list[Row], told: Sequence[Happening]
) -> list[Row]:
    frames: list[Row] = []
    if fills:
        frames.append({"channel": "user", "data": {"fills": fills}})
    frames += [{"channel": "user", "data": {"funding": one}} for one in paid]
    forced = [what for what in told if isinstance(what, SimFill) and what.cause == "liquidation"]
    if forced and is_perp(forced[0].market):
        first = forced[0]
        liquidation = {
            "lid": first.order_id,
            "liquidator": "0x" + "0" * 40,
            "liquidated_user": first.account,
            "liquidated_ntl_pos": str(sum(part.px * part.qty for part in forced)),
            "liquidated_account_value": "0.0",
        }
        frames.append({"channel": "user", "data": {"liquidation": liquidation}})
    ended = [
        {"coin": world.name(what.market, what.changed_ms), "oid": what.order_id}
        for what in told
        if isinstance(what, SimOrder) and what.reason == "marginCanceled"
    ]
    if ended:
        frames.append({"channel": "user", "data": {"nonUserCancel": ended}})
    return frames
