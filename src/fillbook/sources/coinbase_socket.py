"""What Coinbase's websocket says of an account, as hints which history to pull.

It tells orders with their totals and never a fill, so a fill is always read from its history. A
message is numbered within its connection: a number that is missing asks for a pull of everything.
Where an order tells of more fills than the history has shown, the history is asked again, for a
while: it may show them a moment later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from fillbook.ground.clock import SECOND_NS
from fillbook.sources.coinbase_owed import Owed
from fillbook.sources.pace import Pace
from fillbook.sources.sockets import Opening, Socket
from fillbook.sources.stream import Nudge

FILLS, ORDERS = "fills", "orders"
CHANNELS = ("heartbeats", "user")
# A heartbeat comes every second.
_SILENCE_NS = 15 * SECOND_NS
_KEEP_NS = 3600 * SECOND_NS
_CHATTER = ("heartbeats", "subscriptions")


class _Message(msgspec.Struct):
    channel: str = ""
    sequence_num: int | None = None
    events: list[dict[str, Any]] = []
    type: str = ""
    message: str = ""


class UserListener:
    """Listens for one portfolio. `token` makes a token of its own for each subscription.

    `note` is told every product an order names; `owed` knows which fills are still to be seen.
    """

    silence_ns = _SILENCE_NS
    keep_ns = _KEEP_NS

    def __init__(
        self, token: Callable[[], str], pace: Pace, note: Callable[[str], None], owed: Owed
    ) -> None:
        self._token = token
        self._pace = pace
        self._note = note
        self._owed = owed
        self._last: int | None = None

    async def opening(self) -> Opening:
        """Say where to connect and what to subscribe to; no products named means all."""
        self._last = None
        says = tuple(
            {"type": "subscribe", "channel": channel, "jwt": self._token()} for channel in CHANNELS
        )
        return Opening(says=says)

    async def keep(self, socket: Socket) -> None:
        """Do nothing: heartbeats keep the connection open."""

    def heard(self, text: str) -> Nudge | None:
        """Say what a message asks for; ValueError when it is not understood."""
        message = msgspec.json.decode(text, type=_Message)
        if message.type == "error":
            raise ValueError(f"the venue says {message.message!r}")
        if self._is_missing(message.sequence_num):
            self._told(message)
            return Nudge(why="messages are missing")
        nudge = self._told(message)
        if nudge is None and self._owed.is_due(self._pace.ticks_ns()):
            return Nudge(streams=(FILLS,), why="a fill has not been seen yet")
        return nudge

    def _is_missing(self, number: int | None) -> bool:
        """Note the number of a message, and say whether one before it did not come."""
        last = self._last
        if number is None:
            return False
        if last is None or number > last:
            self._last = number
        return last is not None and number > last + 1

    def _told(self, message: _Message) -> Nudge | None:
        if message.channel in _CHATTER:
            return None
        if message.channel != "user":
            raise ValueError(f"an unknown channel {message.channel!r}")
        streams: set[str] = set()
        for event in message.events:
            for order in event.get("orders") or ():
                streams |= self._of_order(order, is_snapshot=event.get("type") == "snapshot")
        return Nudge(streams=tuple(sorted(streams)), why="user") if streams else None

    def _of_order(self, order: dict[str, Any], *, is_snapshot: bool) -> set[str]:
        self._note(str(order["product_id"]))
        has_filled = self._owed.told(order, self._pace.ticks_ns())
        if is_snapshot:
            return set()  # each connection pulls everything anyway
        return {FILLS, ORDERS} if has_filled else {ORDERS}
