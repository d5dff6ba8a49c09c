"""What Binance's private websocket says, as hints which history to pull.

It has no numbers and repeats nothing after a break, so nothing is taken from it but the moment.
A listen key names the stream for an hour and is extended at half of that; a connection lives for
a day. When a key expires the connection stays open and says so once, then nothing more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from fillbook.ground.clock import HOUR_NS, MINUTE_NS
from fillbook.ground.exact import parse_decimal
from fillbook.sources.binance.asks import answered, listen_key_ask
from fillbook.sources.binance.income_stream import STREAM as INCOME_STREAM
from fillbook.sources.pace import Pace
from fillbook.sources.redact import Redactor
from fillbook.sources.sockets import Opening, ReopenError, Socket
from fillbook.sources.stream import Answer, Ask, Nudge

Read = Callable[[Ask], Awaitable[Answer]]

_EXTEND_NS = 30 * MINUTE_NS
_SILENCE_NS = 30 * MINUTE_NS
_LIFE_NS = 23 * HOUR_NS
# Executions are TRADE, and CALCULATED where the venue itself liquidates.
_EXECUTIONS = ("TRADE", "CALCULATED")
# What moves money outside fills; an ORDER is told by its own event.
_CHATTER = frozenset(
    {
        *("ACCOUNT_CONFIG_UPDATE", "MARGIN_CALL", "STRATEGY_UPDATE", "GRID_UPDATE"),
        "listenKeyRenewed",
    }
)


class _Key(msgspec.Struct, rename="camel"):
    listen_key: str


class UserListener:
    """Listens for one account. `note` is told every symbol an event names."""

    silence_ns = _SILENCE_NS
    keep_ns = _EXTEND_NS

    def __init__(
        self, read: Read, pace: Pace, redactor: Redactor, note: Callable[[str], None]
    ) -> None:
        self._read = read
        self._pace = pace
        self._redactor = redactor
        self._note = note
        self._opened_ticks = pace.ticks_ns()

    async def opening(self) -> Opening:
        """Get a listen key and say where to connect; a key that still lives is extended by it."""
        answer = await self._read(listen_key_ask(extend=False))
        key = answered(answer, _Key).listen_key
        self._redactor.learn(key)
        self._opened_ticks = self._pace.ticks_ns()
        return Opening(path=f"/private/ws/{key}")

    async def keep(self, socket: Socket) -> None:
        """Extend the listen key; ReopenError before the venue ends the connection.

        A key that is gone meanwhile is a fault of the read, and the loop opens anew.
        """
        if self._pace.ticks_ns() - self._opened_ticks >= _LIFE_NS:
            raise ReopenError("the connection is nearly a day old")
        await self._read(listen_key_ask(extend=True))

    def heard(self, text: str) -> Nudge | None:
        """Say what a message asks for; ReopenError when the listen key has expired."""
        message = msgspec.json.decode(text, type=dict[str, Any])
        event = message["data"] if "stream" in message else message
        if not isinstance(event, dict) or "e" not in event:
            return None
        kind = str(event["e"])
        if kind == "listenKeyExpired":
            raise ReopenError("the listen key has expired")
        if kind in _CHATTER:
            return None
        return self._of(kind, event)

    def _of(self, kind: str, event: dict[str, Any]) -> Nudge | None:
        if kind == "ORDER_TRADE_UPDATE":
            order = event["o"]
            symbol = self._noted(order["s"])
            executed = order["x"] in _EXECUTIONS and parse_decimal(order["l"]) > 0
            fills = (f"trades/{symbol}", INCOME_STREAM) if executed else ()
            return Nudge(streams=(*fills, f"orders/{symbol}"), why=kind)
        if kind == "TRADE_LITE":
            return Nudge(streams=(f"trades/{self._noted(event['s'])}",), why=kind)
        if kind in ("ALGO_UPDATE", "CONDITIONAL_ORDER_TRIGGER_REJECT"):
            named = event.get("o", event.get("or", {}))
            return Nudge(streams=(f"algo/{self._noted(named['s'])}",), why=kind)
        if kind == "ACCOUNT_UPDATE":
            reason = event["a"]["m"]
            return None if reason == "ORDER" else Nudge(streams=(INCOME_STREAM,), why=reason)
        return Nudge(why=f"an unknown event {kind!r}")

    def _noted(self, symbol: object) -> str:
        if not isinstance(symbol, str):
            raise ValueError(f"{symbol!r} is no symbol")
        self._note(symbol)
        return symbol
