"""What Coinbase's stream says of a world's events: orders and positions, never an execution."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from fillbook.ground.clock import iso
from fillbook.ground.exact import plain_text
from fillbook.sim.executions import SimEvent, SimFill, SimFunding
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder, SimPosition
from fillbook.sim.venues.coinbase import states as states
from fillbook.sim.venues.coinbase.rows import (
    SIDES,
    STATES,
    TIFS,
    Row,
    average_px,
    client_id_of,
    done_of,
    kind_of,
    order_id_of,
    value_of,
)

CHANNELS = ("user", "futures_balance_summary", "heartbeats")
_MS_NS = 1_000_000
_KINDS = {"MARKET": "Market", "LIMIT": "Limit", "STOP_LIMIT": "Stop Limit"}
# Open orders of a snapshot come in parts of so many.
_PART = 50


def envelope(channel: str, now_ns: int, events: Sequence[Row]) -> Row:
    """Return a frame, without its number yet."""
    frame: Row = {"channel": channel, "client_id": "", "timestamp": iso(now_ns)}
    return {**frame, "events": list(events)}


def heartbeat(now_ns: int, counter: int) -> Row:
    """Return the frame of a second."""
    whole = iso(now_ns)[:19].replace("T", " ")
    told = {"current_time": f"{whole}.000000000+00:00", "heartbeat_counter": counter}
    return envelope("heartbeats", now_ns, [told])


def frames_of(
    world: LiveWorld, account: str, channels: Collection[str], events: Sequence[SimEvent]
) -> list[Row]:
    """Return the frames of an account, one for each instant and channel, in time order."""
    frames: list[Row] = []
    ours = (event for event in events if event.account == account)
    for ts_ms, group in groupby(ours, key=lambda event: event.ts_ms):
        told = [event.what for event in group]
        orders = [what for what in told if isinstance(what, SimOrder)]
        if orders and "user" in channels:
            event = user_event(world, account, "update", orders)
            frames.append(envelope("user", ts_ms * _MS_NS, [event]))
        moved = any(isinstance(what, SimFill | SimFunding) for what in told)
        if moved and "futures_balance_summary" in channels:
            frames.append(summary_frame(world, account, "update"))
    return frames


def snapshot_of(world: LiveWorld, account: str, channel: str) -> list[Row]:
    """Return the frames that a channel begins with."""
    if channel == "futures_balance_summary":
        return [summary_frame(world, account, "snapshot")]
    if channel != "user":
        return []
    resting = [order for order in world.orders(account) if order.is_open]
    parts = [resting[start : start + _PART] for start in range(0, len(resting), _PART)]
    return [
        envelope("user", world.now_ns, [user_event(world, account, "snapshot", part)])
        for part in parts or [[]]
    ]


def user_event(world: LiveWorld, account: str, kind: str, orders: Sequence[SimOrder]) -> Row:
    """Return one event of the user channel: orders, and every position as it is now."""
    positions = {
        "perpetual_futures_positions": _perpetuals(world, account),
        "expiring_futures_positions": [
            _future(world, position) for position in states.held(world, account, True)
        ],
    }
    return {
        "type": kind,
        "orders": [order_update(world, order) for order in orders],
        "positions": positions,
    }


def summary_frame(world: LiveWorld, account: str, kind: str) -> Row:
    """Return the futures side's money as a frame; amounts stand without a currency."""
    told = {
        name: amount["value"] if isinstance(amount, dict) and "value" in amount else amount
        for name, amount in states.balance_summary(world, account).items()
    }
    event = {"type": kind, "fcm_balance_summary": told}
    return envelope("futures_balance_summary", world.now_ns, [event])


def order_update(world: LiveWorld, order: SimOrder) -> Row:
    """Return an order as the stream has it: what it came to so far, and no execution."""
    fills = [f for f in world.fills(order.account) if f.order_id == order.order_id]
    fees = sum((fill.fee for fill in fills[: order.n_fills]), Decimal(0))
    spot = order.market.contract == "spot"
    perpetual = states.is_perpetual(order.market)
    sign = 1 if order.side == "buy" else -1
    ended = {"cancelled": order.reason or "", "expired": "Expired"}
    return {
        "order_id": order_id_of(order.order_id),
        "client_order_id": client_id_of(order),
        "cumulative_quantity": plain_text(order.filled),
        "leaves_quantity": plain_text(order.qty - order.filled),
        "avg_price": plain_text(average_px(order)),
        "total_fees": plain_text(fees),
        "status": STATES[order.state],
        "product_id": world.name(order.market, order.changed_ms),
        "creation_time": iso(order.placed_ms * _MS_NS),
        "order_side": SIDES[order.side],
        "order_type": _KINDS[kind_of(order)],
        "cancel_reason": ended.get(order.state, ""),
        "reject_reason": "Post only" if order.state == "rejected" else "",
        "total_value_after_fees": plain_text(value_of(order) + sign * fees),
        "contract_expiry_type": "UNKNOWN_CONTRACT_EXPIRY_TYPE"
        if spot
        else ("PERPETUAL" if perpetual else "EXPIRING"),
        "product_type": "SPOT" if spot else "FUTURE",
        "risk_managed_by": "UNKNOWN_RISK_MANAGEMENT_TYPE"
        if spot
        else ("MANAGED_BY_VENUE" if perpetual else "MANAGED_BY_FCM"),
        "time_in_force": TIFS[order.tif],
        "trigger_status": "INVALID_ORDER_TYPE"
        if order.trigger_px is None
        else ("STOP_PENDING" if order.triggered_ms is None else "STOP_TRIGGERED"),
        "completion_percentage": format(done_of(order), ".2f"),
        "filled_value": plain_text(value_of(order)),
        "limit_price": "" if order.px is None else plain_text(order.px),
        "number_of_fills": str(order.n_fills),
        "outstanding_hold_amount": "0",
        "post_only": "true" if order.tif == "post" else "false",
        "stop_price": "" if order.trigger_px is None else plain_text(order.trigger_px),
        "retail_portfolio_id": order.account,
        "start_time": "0001-01-01T00:00:00Z",
        "end_time": "0001-01-01T00:00:00Z",
    }


def _perpetuals(world: LiveWorld, account: str) -> list[Row]:
    """Return the positions in perpetuals; amounts stand without a currency."""
    told: list[Row] = []
    for row in states.perpetual_rows(world, account):
        plain: dict[str, Any] = {
            name: amount["value"] if isinstance(amount, dict) else amount
            for name, amount in row.items()
            if name not in ("product_uuid", "symbol", "im_contribution")
        }
        told.append(plain)
    return told


def _future(world: LiveWorld, position: SimPosition) -> Row:
    return {
        "product_id": world.name(position.market, world.now_ms),
        "side": "LONG" if position.qty > 0 else "SHORT",
        "number_of_contracts": plain_text(abs(position.qty)),
        "realized_pnl": "0",
        "unrealized_pnl": states.money(states.gained(world, position))["value"],
        "entry_price": states.money(states.entry_px(position))["value"],
    }
