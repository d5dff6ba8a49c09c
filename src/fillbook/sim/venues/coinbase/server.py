"""A simulated Coinbase Advanced: reads behind tokens, cursors, and a stream that tells no fills.

A key opens one portfolio, and that portfolio is the account. What needs a key is counted apart
from what anybody may ask. There is no read for funding that was paid.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fillbook.ground.clock import SECOND_NS, iso
from fillbook.sim.cast import COINBASE
from fillbook.sim.clock import SimClock
from fillbook.sim.executions import SimEvent
from fillbook.sim.faults import BY_NAME, FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.base import VenueServer
from fillbook.sim.venues.calls import Answer, Call, Key, Read, RefusedError
from fillbook.sim.venues.coinbase import products as products
from fillbook.sim.venues.coinbase import states as states
from fillbook.sim.venues.coinbase.histories import ORDERS_A_PAGE, Histories, refused, user_of
from fillbook.sim.venues.coinbase.keys import is_proved, token_key
from fillbook.sim.venues.coinbase.streams import (
    CHANNELS,
    envelope,
    frames_of,
    heartbeat,
    snapshot_of,
)
from fillbook.sim.venues.limits import Limit, Limiter
from fillbook.sim.venues.streams import Line

ROOT = "/api/v3/brokerage"
_KEYED = "key"
# A stream that says nothing for so long is closed; heartbeats keep it open.
_QUIET_NS = 90 * SECOND_NS
_WORDS = {
    200: ("UNKNOWN", "internal error"),
    403: ("PERMISSION_DENIED", "not allowed"),
    429: ("RESOURCE_EXHAUSTED", "too many requests"),
    503: ("UNAVAILABLE", "service unavailable"),
}


class CoinbaseServer(VenueServer):
    """Coinbase on loopback: `base_url` + /api/v3/brokerage, `ws_url` for streams.

    A `Key` is named as the venue names it, and its secret is the private key as PEM.
    `page_rows` shortens every page of a history.
    """

    venue = COINBASE
    limit = Limit(weight=30, window_ns=SECOND_NS)
    public_limit = Limit(weight=10, window_ns=SECOND_NS)
    capable = frozenset(BY_NAME) - {"banned", "listen_key_expired"}

    def __init__(
        self,
        world: LiveWorld,
        clock: SimClock,
        plan: FaultPlan | None = None,
        *,
        keys: Iterable[Key] = (),
        page_rows: int = ORDERS_A_PAGE,
        patience_s: float = 1.0,
        burst_frames: int = 5_000,
    ) -> None:
        self.public_limiter = Limiter(self.public_limit)
        self._tokens: set[bytes] = set()
        super().__init__(
            world, clock, plan, keys=keys, patience_s=patience_s, burst_frames=burst_frames
        )
        self._histories = Histories(
            world, self.plan, self.pages, self.strikes, self._is_cut, page_rows
        )

    def reads(self) -> Sequence[Read]:
        """Return the listed requests; all are GET."""
        world = self.world
        listed: Sequence[tuple[str, str, Callable[[Call], Answer]]] = (
            ("time", "", self._time),
            ("key_permissions", _KEYED, self._permissions),
            ("portfolios", _KEYED, lambda call: states.portfolios(self._account(call))),
            ("accounts", _KEYED, self._accounts),
            ("orders/historical/fills", _KEYED, self._fills),
            ("orders/historical/batch", _KEYED, self._orders),
            ("orders/historical/{order_id}", _KEYED, self._order),
            ("products", _KEYED, lambda call: products.products(world, call)),
            ("products/{product_id}", _KEYED, self._product),
            ("market/products", "", lambda call: products.products(world, call)),
            ("market/products/{product_id}", "", self._product),
            ("best_bid_ask", _KEYED, lambda call: products.best_bid_ask(world, call)),
            ("cfm/positions", _KEYED, self._futures),
            ("cfm/balance_summary", _KEYED, self._summary),
            ("cfm/sweeps", _KEYED, lambda call: Answer(body={"sweeps": []})),
            ("intx/positions/{portfolio}", _KEYED, self._perpetuals),
            ("intx/portfolio/{portfolio}", _KEYED, self._perpetual_money),
            ("intx/balances/{portfolio}", _KEYED, self._perpetual_balances),
            (
                "transaction_summary",
                _KEYED,
                lambda call: states.fees_paid(world, self._account(call)),
            ),
        )
        return [
            Read(
                name=path.removeprefix("orders/historical/"),
                method="GET",
                path=f"{ROOT}/{path}",
                weight=1,
                right=right,
                answer=answer,
            )
            for path, right, answer in listed
        ]

    def limiter_of(self, read: Read) -> Limiter:
        """Return what counts a read: what needs no key is counted apart."""
        return self.limiter if read.right else self.public_limiter

    def authorise(self, call: Call, read: Read) -> None:
        """Check the token: its key, its signature, the request it is for, and its two minutes."""
        if not read.right:
            return
        token = call.headers.get("authorization", "").removeprefix("Bearer ")
        uri = f"{call.method} {call.headers.get('host', '')}{call.path}"
        key = self.key_now(token_key(token), call.now_ns)
        proved = key is not None and is_proved(token, key.name, key.secret, call.now_ns, uri)
        if key is None or not proved or "read" not in key.rights:
            no = RefusedError(401, b"Unauthorized\n")
            no.answer.kind = "text/plain; charset=utf-8"
            raise no

    def problem(self, status: int, call: Call) -> object:
        """Return an error in the venue's shape."""
        error, words = _WORDS.get(status, ("INTERNAL", "internal error"))
        return {"error": error, "error_details": words, "message": words}

    def limit_headers(self, used: int) -> dict[str, str]:
        """Return the limit of a second, and what is left of it."""
        left = max(0, self.limit.weight - used)
        return {"x-ratelimit-limit": str(self.limit.weight), "x-ratelimit-remaining": str(left)}

    # -- streams -----------------------------------------------------------------------------

    async def opened(self, line: Line) -> bool:
        """Accept a stream; it says nothing until it is subscribed to."""
        now_ns = self.clock.now_ns()
        line.told.update(channels=set(), numbered=-1, spoke_ns=now_ns, beats=0, beat_ns=now_ns)
        return line.path in ("", "/")

    async def heard(self, line: Line, message: Any) -> None:
        """Take a subscription or its end, each with a token of its own."""
        asked = message if isinstance(message, dict) else {}
        channel, verb = asked.get("channel"), asked.get("type")
        if channel not in CHANNELS or verb not in ("subscribe", "unsubscribe"):
            await line.send({"type": "error", "message": "invalid message"})
            return
        account = self._proved(str(asked.get("jwt", "")))
        if account is None and (channel != "heartbeats" or "jwt" in asked):
            await line.send({"type": "error", "message": "authentication failure"})
            return
        channels: set[str] = line.told["channels"]
        line.told["account"] = account or line.told.get("account")
        if verb == "unsubscribe":
            channels.discard(channel)
        else:
            channels.add(channel)
        whose = [user_of(account)] if account else ["heartbeats"]
        subscribed = {"subscriptions": dict.fromkeys(sorted(channels), whose)}
        await self._say(line, envelope("subscriptions", self.world.now_ns, [subscribed]))
        if verb == "subscribe" and account is not None:
            with self.world.lock:
                frames = snapshot_of(self.world, account, channel)
            for frame in frames:
                await self._say(line, frame)

    def frames(self, line: Line, events: Sequence[SimEvent]) -> list[object]:
        """Return what a stream's account is told on its channels."""
        account = line.told.get("account")
        if account is None:
            return []
        with self.world.lock:
            return [*frames_of(self.world, account, line.told["channels"], events)]

    def snapshot(self, line: Line) -> list[object]:
        """Return every channel's snapshot once more, numbered on."""
        account = line.told.get("account")
        if account is None:
            return []
        with self.world.lock:
            again = [
                frame
                for channel in sorted(line.told["channels"])
                for frame in snapshot_of(self.world, account, channel)
            ]
        return [self.number(line, frame) for frame in again]

    def mixed(self, line: Line, frames: list[object]) -> list[object]:
        """Put the events of each channel into one frame."""
        merged: dict[str, dict[str, Any]] = {}
        for frame in frames:
            assert isinstance(frame, dict)
            known = merged.setdefault(frame["channel"], {**frame, "events": []})
            known["events"] += frame["events"]
        return [*merged.values()]

    def number(self, line: Line, frame: object) -> object:
        """Return a frame with the stream's next number; all channels share one row of them."""
        assert isinstance(frame, dict)
        line.told["numbered"] += 1
        line.told["spoke_ns"] = self.clock.now_ns()
        return {**frame, "sequence_num": line.told["numbered"]}

    async def beat(self, line: Line) -> None:
        """Send a second's heartbeat; close a stream that nobody keeps open."""
        now_ns = self.clock.now_ns()
        if "heartbeats" not in line.told["channels"]:
            if now_ns - max(line.told["spoke_ns"], line.heard_ns) > _QUIET_NS:
                await line.close()
        elif now_ns - line.told["beat_ns"] >= SECOND_NS:
            line.told["beats"] += (now_ns - line.told["beat_ns"]) // SECOND_NS
            line.told["beat_ns"] = now_ns
            await self._say(line, heartbeat(now_ns, line.told["beats"]))

    async def _say(self, line: Line, frame: object) -> None:
        await line.send(self.number(line, frame))

    def _proved(self, token: str) -> str | None:
        """Return the account of a token that nobody has used on a stream before."""
        now_ns = self.clock.now_ns()
        key = self.key_now(token_key(token), now_ns)
        mark = hashlib.sha256(token.encode()).digest()
        if key is None or "read" not in key.rights or mark in self._tokens:
            return None
        if not is_proved(token, key.name, key.secret, now_ns, None):
            return None
        self._tokens.add(mark)
        return key.account

    # -- what is answered --------------------------------------------------------------------

    def _time(self, call: Call) -> Answer:
        seconds, millis = call.now_ns // SECOND_NS, call.now_ms
        told = {"iso": iso(call.now_ns), "epochSeconds": str(seconds), "epochMillis": str(millis)}
        return Answer(body=told)

    def _permissions(self, call: Call) -> Answer:
        key = self.key_now(self._key_name(call), call.now_ns)
        assert key is not None
        told = {
            "can_view": "read" in key.rights,
            "can_trade": "trade" in key.rights,
            "can_transfer": "transfer" in key.rights,
            "portfolio_uuid": key.account,
            "portfolio_type": states.kind_of(key.account),
        }
        return Answer(body=told)

    def _accounts(self, call: Call) -> Answer:
        rows = states.account_rows(self.world, self._account(call))
        told = {"accounts": rows, "has_next": False, "cursor": "", "size": len(rows)}
        return Answer(body=told, rows=len(rows))

    def _fills(self, call: Call) -> Answer:
        return self._histories.fills(self._account(call), call)

    def _orders(self, call: Call) -> Answer:
        return self._histories.orders(self._account(call), call)

    def _order(self, call: Call) -> Answer:
        return self._histories.order(self._account(call), call.parts["order_id"])

    def _product(self, call: Call) -> Answer:
        return products.product(self.world, call.parts["product_id"])

    def _futures(self, call: Call) -> Answer:
        return Answer(body={"positions": states.future_rows(self.world, self._account(call))})

    def _summary(self, call: Call) -> Answer:
        told = states.balance_summary(self.world, self._account(call))
        return Answer(body={"balance_summary": told})

    def _perpetuals(self, call: Call) -> Answer:
        account = self._portfolio(call)
        rows = states.perpetual_rows(self.world, account)
        result = states.money(states.results_of(self.world, account, False), "USDC")
        return Answer(body={"positions": rows, "summary": {"aggregated_pnl": result}})

    def _perpetual_money(self, call: Call) -> Answer:
        return Answer(body=states.perpetual_portfolio(self.world, self._portfolio(call)))

    def _perpetual_balances(self, call: Call) -> Answer:
        return Answer(body=states.perpetual_balances(self.world, self._portfolio(call)))

    def _portfolio(self, call: Call) -> str:
        account = self._account(call)
        if call.parts["portfolio"] != account:
            raise refused(403, "portfolio is not the key's own", "PERMISSION_DENIED")
        return account

    def _key_name(self, call: Call) -> str:
        return token_key(call.headers["authorization"].removeprefix("Bearer "))

    def _account(self, call: Call) -> str:
        return self.keys[self._key_name(call)].account

    def _is_cut(self, account: str) -> bool:
        return self.holds("retention_cut", self.world.now_ns, account)
