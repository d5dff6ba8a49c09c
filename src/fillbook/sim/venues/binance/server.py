"""A simulated Binance USD-M: signed reads, listen keys, weights, and what the venue forgets.

A key opens one account. Requests are signed with HMAC over their query, inside a window of time.
Futures and the web account share one port and one limit here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlencode

import msgspec

from fillbook.ground.clock import MINUTE_NS
from fillbook.sim.clock import SimClock
from fillbook.sim.executions import SimEvent
from fillbook.sim.faults import BY_NAME, COINBASE_OWN, FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder
from fillbook.sim.prices import Market
from fillbook.sim.venues.base import VenueServer
from fillbook.sim.venues.binance import states as states
from fillbook.sim.venues.binance.histories import PAGE_ROWS, Histories, market_in, refused
from fillbook.sim.venues.binance.streams import ListenKeys, expired_frame, frames_of
from fillbook.sim.venues.calls import Answer, Call, Key, Read
from fillbook.sim.venues.limits import Limit
from fillbook.sim.venues.streams import Line
from fillbook.sim.world import BINANCE

_KEY, _SIGNED = "key", "signed"
"""What a read needs: the key's name in a header, or a signature as well."""
_STREAM = "/private/ws/"
_CODES = {
    200: (-1000, "An unknown error occurred while processing the request."),
    418: (-1003, "Way too many requests; IP banned."),
    429: (-1003, "Too many requests."),
    503: (-1008, "Server is currently overloaded with other requests."),
}


class BinanceServer(VenueServer):
    """Binance on loopback: `base_url` for both hosts, `ws_url` + /private/ws/<listen key>.

    `page_rows` shortens every page of a history.
    """

    venue = BINANCE
    limit = Limit(weight=2_400, window_ns=MINUTE_NS, fixed=True, ban_after=5)
    capable = frozenset(BY_NAME) - {
        *("offset_shift", "empty_page", "cursor_expired", "correction"),
        # A page is as long as was asked for whenever there is more, and never repeats a row.
        *("split_millisecond", "duplicate_row"),
        *("ws_snapshot_again", "ws_sequence_jump", "ws_mixed_batch", *COINBASE_OWN),
    }

    def __init__(
        self,
        world: LiveWorld,
        clock: SimClock,
        plan: FaultPlan | None = None,
        *,
        keys: Iterable[Key] = (),
        page_rows: int = PAGE_ROWS,
        patience_s: float = 1.0,
        burst_frames: int = 5_000,
    ) -> None:
        self.listen_keys = ListenKeys()
        super().__init__(
            world, clock, plan, keys=keys, patience_s=patience_s, burst_frames=burst_frames
        )
        self._histories = Histories(world, self.pages, self._is_cut, page_rows)

    def reads(self) -> Sequence[Read]:
        """Return the listed requests of both hosts."""
        v1, v3 = "/fapi/v1", "/fapi/v3"
        listed: Sequence[tuple[str, str, int, str, Callable[[Call], Answer]]] = (
            ("GET", f"{v1}/time", 1, "", lambda call: Answer(body={"serverTime": call.now_ms})),
            ("GET", f"{v1}/exchangeInfo", 1, "", self._markets),
            ("GET", f"{v1}/premiumIndex", 10, "", lambda call: states.premiums(self.world, call)),
            ("GET", f"{v1}/indexPriceKlines", 2, "", lambda call: states.bars(self.world, call)),
            ("GET", f"{v1}/userTrades", 5, _SIGNED, self._trades),
            ("GET", f"{v1}/income", 30, _SIGNED, self._income),
            ("GET", f"{v1}/allOrders", 5, _SIGNED, self._all_orders),
            ("GET", f"{v1}/allAlgoOrders", 5, _SIGNED, self._all_algo_orders),
            ("GET", f"{v1}/openOrders", 40, _SIGNED, self._open_orders),
            ("GET", f"{v1}/openAlgoOrders", 40, _SIGNED, self._open_algo_orders),
            ("GET", f"{v1}/positionSide/dual", 30, _SIGNED, self._is_hedged),
            ("GET", f"{v3}/positionRisk", 5, _SIGNED, self._positions),
            ("GET", f"{v3}/account", 5, _SIGNED, self._account_state),
            ("GET", f"{v3}/balance", 5, _SIGNED, self._balances),
            ("POST", f"{v1}/listenKey", 1, _KEY, self._make_listen_key),
            ("PUT", f"{v1}/listenKey", 1, _KEY, self._extend_listen_key),
            ("GET", "/sapi/v1/account/apiRestrictions", 1, _SIGNED, self._restrictions),
            ("GET", "/api/v3/account", 20, _SIGNED, self._web_account),
        )
        return [
            Read(
                name=f"{method} {path.rpartition('/')[2]}",
                method=method,
                path=path,
                weight=weight,
                right=right,
                answer=answer,
            )
            for method, path, weight, right, answer in listed
        ]

    def find(self, call: Call) -> tuple[Read, Call] | None:
        """Return the listed read; one symbol weighs less than all of them."""
        found = super().find(call)
        if found is None or found[0].weight not in (10, 40) or "symbol" not in call.query:
            return found
        return msgspec.structs.replace(found[0], weight=1), found[1]

    def authorise(self, call: Call, read: Read) -> None:
        """Check key, signature and window of time."""
        if not read.right:
            return
        key = self.key_now(call.headers.get("x-mbx-apikey", ""), call.now_ns)
        if key is None or "read" not in key.rights:
            raise refused(401, -2015, "Invalid API-key, IP, or permissions for action.")
        if read.right != _SIGNED:
            return
        query = dict(call.query)
        proof = query.pop("signature", "")
        wanted = hmac.new(key.secret.encode(), urlencode(query).encode(), hashlib.sha256)
        if not hmac.compare_digest(proof, wanted.hexdigest()):
            raise refused(400, -1022, "Signature for this request is not valid.")
        behind_ms = call.now_ms - int(query.get("timestamp", "0"))
        if not -1_000 < behind_ms <= int(query.get("recvWindow", "5000")):
            raise refused(400, -1021, "Timestamp for this request is outside of the recvWindow.")

    def problem(self, status: int, call: Call) -> object:
        """Return an error in the venue's shape, with the code that goes with a status."""
        code, words = _CODES.get(status, (-1001, "Internal error."))
        return {"code": code, "msg": words}

    def limit_headers(self, used: int) -> dict[str, str]:
        """Return the weight used in this minute."""
        return {"X-MBX-USED-WEIGHT-1M": str(used)}

    async def opened(self, line: Line) -> bool:
        """Accept a stream whose listen key lives."""
        key = line.path.removeprefix(_STREAM)
        account = self.listen_keys.account(key, self.clock.now_ns())
        line.told.update(key=key, account=account)
        return line.path.startswith(_STREAM) and account is not None

    def frames(self, line: Line, events: Sequence[SimEvent]) -> list[object]:
        """Return what an account is told; once its key has expired that, and nothing more."""
        if line.told.get("expired"):
            return []
        key, now_ns = line.told["key"], self.clock.now_ns()
        if self.strikes("listen_key_expired"):
            self.listen_keys.expire(key)
        if self.listen_keys.account(key, now_ns) is None:
            line.told["expired"] = True
            return [expired_frame(key, now_ns // 1_000_000)]
        with self.world.lock:
            return frames_of(self.world, line.told["account"], events)

    def unknown_frame(self) -> object:
        """Return an event of a kind that nobody has heard of."""
        return {"e": "WONDER_UPDATE", "E": self.world.now_ms, "w": {"never": "seen"}}

    # -- what is answered --------------------------------------------------------------------

    def _trades(self, call: Call) -> Answer:
        return self._histories.trades(self._account(call), self._market(call), call)

    def _income(self, call: Call) -> Answer:
        return self._histories.income(self._account(call), call)

    def _all_orders(self, call: Call) -> Answer:
        return self._histories.orders(self._account(call), self._market(call), call)

    def _all_algo_orders(self, call: Call) -> Answer:
        return self._histories.algo_orders(self._account(call), self._market(call), call)

    def _open_orders(self, call: Call) -> Answer:
        return states.open_orders(self.world, self._resting(call))

    def _open_algo_orders(self, call: Call) -> Answer:
        return states.open_algo_orders(self.world, self._resting(call))

    def _resting(self, call: Call) -> list[SimOrder]:
        market = self._market(call) if "symbol" in call.query else None
        orders = self.world.orders(self._account(call))
        return [order for order in orders if order.is_open and market in (None, order.market)]

    def _positions(self, call: Call) -> Answer:
        return Answer(body=states.positions(self.world, self._account(call)))

    def _account_state(self, call: Call) -> Answer:
        return states.account_of(self.world, self._account(call))

    def _balances(self, call: Call) -> Answer:
        return states.balances(self.world, self._account(call))

    def _is_hedged(self, call: Call) -> Answer:
        return Answer(body={"dualSidePosition": self.world.desk(self._account(call)).hedge})

    def _markets(self, call: Call) -> Answer:
        return states.markets_of(self.world, self.limit.weight)

    def _restrictions(self, call: Call) -> Answer:
        key = self.key_now(call.headers["x-mbx-apikey"], call.now_ns)
        return states.restrictions(self.world, frozenset() if key is None else key.rights)

    def _web_account(self, call: Call) -> Answer:
        account = self._account(call)
        uid = int(account) if account.isdigit() else account
        return Answer(body={"uid": uid, "accountType": "SPOT", "canTrade": True, "balances": []})

    def _make_listen_key(self, call: Call) -> Answer:
        key = self.listen_keys.make(self._account(call), call.now_ns)
        return Answer(body={"listenKey": key})

    def _extend_listen_key(self, call: Call) -> Answer:
        if self.listen_keys.of(self._account(call), call.now_ns) is None:
            raise refused(400, -1125, "This listenKey does not exist.")
        return self._make_listen_key(call)

    def _account(self, call: Call) -> str:
        return self.keys[call.headers["x-mbx-apikey"]].account

    def _market(self, call: Call) -> Market:
        return market_in(self.world, self.venue, call)

    def _is_cut(self, account: str) -> bool:
        return self.holds("retention_cut", self.world.now_ns, account)
