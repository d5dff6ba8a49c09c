"""What Hyperliquid's websocket says, as hints which history to pull.

Messages have no numbers and the first after each subscription repeats what is known, so nothing
is taken from them but the moment. The loop around it reconnects and watches for silence.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from fillbook.ground.clock import SECOND_NS
from fillbook.sources.hyperliquid.order_streams import OPEN_ORDERS, ORDERS
from fillbook.sources.hyperliquid.streams import FILLS, FUNDING, LEDGER
from fillbook.sources.pace import Pace
from fillbook.sources.sockets import Opening, Socket
from fillbook.sources.stream import Nudge

_log = logging.getLogger(__name__)

SUBSCRIPTIONS = (
    *("userFills", "userEvents", "orderUpdates"),
    *("userFundings", "userNonFundingLedgerUpdates"),
)
# The venue closes a connection that says nothing for a minute, and answers a ping at once.
_PING_NS = 20 * SECOND_NS
_SILENCE_NS = 50 * SECOND_NS
# Reading orders is heavy, and a bot changes them all the time.
_OPEN_ORDERS_EVERY_NS = 15 * SECOND_NS
_ORDERS_EVERY_UPDATES = 500

_OF_EVENTS = {
    "fills": (FILLS,),
    "funding": (FUNDING,),
    "liquidation": (FILLS, LEDGER),
    "nonUserCancel": (OPEN_ORDERS,),
    "twapHistory": (),
    "twapSliceFills": (FILLS,),
}


class _Message(msgspec.Struct):
    channel: str
    told: Any = msgspec.field(default=None, name="data")


class UserListener:
    """Listens for one address."""

    silence_ns = _SILENCE_NS
    keep_ns = _PING_NS

    def __init__(self, account: str, pace: Pace) -> None:
        self._account = account
        self._pace = pace
        self._told_ticks: int | None = None
        self._updates = 0

    async def opening(self) -> Opening:
        """Say where to connect, and what to subscribe to."""
        says = tuple(
            {"method": "subscribe", "subscription": {"type": kind, "user": self._account}}
            for kind in SUBSCRIPTIONS
        )
        return Opening(path="/ws", says=says)

    async def keep(self, socket: Socket) -> None:
        """Send a ping; its answer is a sign of life."""
        await socket.say({"method": "ping"})

    def heard(self, text: str) -> Nudge | None:
        """Say what a message asks for; ValueError when it is not understood."""
        message = msgspec.json.decode(text, type=_Message)
        if message.channel in ("pong", "subscriptionResponse"):
            return None
        if message.channel == "error":
            # A subscription was refused (ten users at most): this history is pulled by the clock.
            _log.warning("hyperliquid websocket: %s", str(message.told)[:200])
            return None
        if message.channel == "orderUpdates":
            return self._of_orders(len(message.told))
        if isinstance(message.told, dict) and message.told.get("isSnapshot"):
            return None  # each connection pulls everything anyway
        streams = _streams_of(message)
        return Nudge(streams=streams, why=message.channel) if streams else None

    def _of_orders(self, count: int) -> Nudge | None:
        self._updates += count
        now = self._pace.ticks_ns()
        streams: list[str] = []
        if self._told_ticks is None or now - self._told_ticks >= _OPEN_ORDERS_EVERY_NS:
            self._told_ticks = now
            streams.append(OPEN_ORDERS)
        if self._updates >= _ORDERS_EVERY_UPDATES:
            self._updates = 0
            streams.append(ORDERS)
        return Nudge(streams=tuple(streams), why="orderUpdates") if streams else None


def _streams_of(message: _Message) -> tuple[str, ...]:
    if message.channel == "userFills":
        return (FILLS,)
    if message.channel == "userFundings":
        return (FUNDING,)
    if message.channel == "userNonFundingLedgerUpdates":
        return (LEDGER,)
    if message.channel in ("user", "userEvents"):
        events = {name for kind in message.told for name in _OF_EVENTS[kind]}
        return tuple(sorted(events))
    raise ValueError(f"an unknown channel {message.channel!r}")
