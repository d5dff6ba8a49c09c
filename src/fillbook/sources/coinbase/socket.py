"""What Coinbase's websocket says of an account, as hints which history to pull.

It tells orders with their totals and never a fill, so a fill is always read from its history. A
message is numbered within its connection: a number that is missing asks for a pull of everything.
Where an order tells of more fills than the history has shown, the history is asked again, for a
while: it may show them a moment later. A busy bot changes its orders all the time, so one history
is asked for now and then only; what is held back is asked for a little later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from fillbook.ground.clock import HOUR_NS, SECOND_NS, parse_ns
from fillbook.sources.coinbase.order_streams import ALL as ORDERS
from fillbook.sources.coinbase.order_streams import NAMED
from fillbook.sources.coinbase.owed import Owed
from fillbook.sources.coinbase.streams import FILLS_STREAM, OVERLAP_NS
from fillbook.sources.pace import Pace
from fillbook.sources.sockets import Opening, Socket
from fillbook.sources.stream import Nudge

CHANNELS = ("heartbeats", "user")
# A heartbeat comes every second.
_SILENCE_NS = 15 * SECOND_NS
_CHATTER = ("heartbeats", "subscriptions")
_AT_MOST_NS = {FILLS_STREAM: 3 * SECOND_NS, ORDERS: 15 * SECOND_NS, NAMED: 15 * SECOND_NS}


class _Message(msgspec.Struct):
    channel: str = ""
    sequence_num: int | None = None
    events: list[dict[str, Any]] = []
    type: str = ""
    message: str = ""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask and to tell: `token` makes a token of its own for each subscription.

    `note` is told every product an order names, `name_order` every order that was placed too long
    ago to be found by its time; `now_ns` is the venue's clock.
    """

    token: Callable[[], str]
    note: Callable[[str], None]
    name_order: Callable[[str], object]
    now_ns: Callable[[], int]


class UserListener:
    """Listens for one portfolio; `owed` knows which fills are still to be seen."""

    silence_ns = _SILENCE_NS
    keep_ns = HOUR_NS

    def __init__(self, heard: Heard, pace: Pace, owed: Owed) -> None:
        self._heard = heard
        self._pace = pace
        self._owed = owed
        self._last: int | None = None
        self._held: set[str] = set()
        self._asked_ticks: dict[str, int] = {}

    async def opening(self) -> Opening:
        """Say where to connect and what to subscribe to; no products named means all."""
        self._last = None
        says = tuple(
            {"type": "subscribe", "channel": channel, "jwt": self._heard.token()}
            for channel in CHANNELS
        )
        return Opening(says=says)

    async def keep(self, socket: Socket) -> None:
        """Do nothing: heartbeats keep the connection open."""

    def heard(self, text: str) -> Nudge | None:
        """Say what a message asks for; ValueError when it is not understood."""
        message = msgspec.json.decode(text, type=_Message)
        if message.type == "error":
            raise ValueError(f"the venue says {message.message!r}")
        is_missing = self._is_missing(message.sequence_num)
        self._held |= self._told(message)
        now = self._pace.ticks_ns()
        if is_missing:
            self._asked_ticks |= dict.fromkeys(self._held, now)
            self._held.clear()
            return Nudge(why="messages are missing")
        why = message.channel
        if FILLS_STREAM not in self._held and self._owed.is_due(now):
            why = "a fill has not been seen yet"
            self._held.add(FILLS_STREAM)
        ready = {name for name in self._held if self._is_ready(name, now)}
        self._held -= ready
        self._asked_ticks |= dict.fromkeys(ready, now)
        return Nudge(streams=tuple(sorted(ready)), why=why) if ready else None

    def _is_ready(self, name: str, now: int) -> bool:
        asked = self._asked_ticks.get(name)
        return asked is None or now - asked >= _AT_MOST_NS[name]

    def _is_missing(self, number: int | None) -> bool:
        """Note the number of a message, and say whether one before it did not come."""
        last = self._last
        if number is None:
            return False
        if last is None or number > last:
            self._last = number
        return last is not None and number > last + 1

    def _told(self, message: _Message) -> set[str]:
        """Return the histories that a message asks for."""
        if message.channel in _CHATTER:
            return set()
        if message.channel != "user":
            raise ValueError(f"an unknown channel {message.channel!r}")
        streams: set[str] = set()
        for event in message.events:
            for order in event.get("orders") or ():
                streams |= self._of_order(order, is_snapshot=event.get("type") == "snapshot")
        return streams

    def _of_order(self, order: dict[str, Any], *, is_snapshot: bool) -> set[str]:
        order_id = str(order["order_id"])
        self._heard.note(str(order["product_id"]))
        has_filled = self._owed.told(order, self._pace.ticks_ns())
        if is_snapshot:
            return set()  # each connection pulls everything anyway
        where = ORDERS
        if self._is_old(order.get("creation_time")):
            self._heard.name_order(order_id)
            where = NAMED
        return {FILLS_STREAM, where} if has_filled else {where}

    def _is_old(self, created: object) -> bool:
        """Say whether an order was placed before what every pull reads again."""
        placed_ns = parse_ns(created) if isinstance(created, str) else 0
        # A little sooner, so that none falls between the two.
        return self._heard.now_ns() - placed_ns > OVERLAP_NS - 60 * SECOND_NS
