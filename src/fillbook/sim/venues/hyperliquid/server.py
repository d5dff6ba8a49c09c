"""A simulated Hyperliquid: POST /info and the user streams of /ws, limits and horizon included.

There are no keys: whoever knows an address may read it. An agent's address is silently empty
everywhere but in userRole, only the newest fills can be reached, and a page is never longer than
the venue's, whatever it covers.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from fillbook.ground.clock import MINUTE_NS
from fillbook.sim.clock import SimClock
from fillbook.sim.executions import SimEvent, SimFill, SimFunding
from fillbook.sim.faults import BY_NAME, COINBASE_OWN, FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.base import VenueServer
from fillbook.sim.venues.calls import Answer, Call, Read, RefusedError
from fillbook.sim.venues.hyperliquid import rows as rows
from fillbook.sim.venues.hyperliquid import states as states
from fillbook.sim.venues.hyperliquid.rows import Row
from fillbook.sim.venues.hyperliquid.streams import (
    USER_TYPES,
    Subscription,
    frames_of,
    merged,
    snapshot_of,
)
from fillbook.sim.venues.limits import Limit
from fillbook.sim.venues.pages import Shelf
from fillbook.sim.venues.streams import Line
from fillbook.sim.world import HYPERLIQUID

HORIZON_ROWS = 10_000
FILLS_A_PAGE = 2_000
OTHERS_A_PAGE = 500
MOST_USERS = 10
_USUAL_WEIGHT = 20
_WEIGHTS = {
    "allMids": 2,
    "l2Book": 2,
    "clearinghouseState": 2,
    "spotClearinghouseState": 2,
    "orderStatus": 2,
    "exchangeStatus": 2,
    "userRole": 60,
}
_ROWS_PER_WEIGHT = 20
_UNREADABLE = "Failed to deserialize the JSON body into the target type"
_LATER_MS = 2**62


class HyperliquidServer(VenueServer):
    """Hyperliquid on loopback: `base_url` + /info, `ws_url` + /ws.

    `page_rows` shortens every page, `horizon_rows` is how many of the newest fills can be reached
    at all; while a retention cut holds, no more than a page of them. `agents` maps addresses of
    agents to their masters.
    """

    venue = HYPERLIQUID
    limit = Limit(weight=1_200, window_ns=MINUTE_NS)
    capable = frozenset(BY_NAME) - {
        *("banned", "offset_shift", "empty_page", "cursor_expired", "correction"),
        *("key_revoked", "key_widened", "ws_sequence_jump", "listen_key_expired"),
        *("third_currency_fee", *COINBASE_OWN),
    }

    def __init__(
        self,
        world: LiveWorld,
        clock: SimClock,
        plan: FaultPlan | None = None,
        *,
        page_rows: int = FILLS_A_PAGE,
        horizon_rows: int = HORIZON_ROWS,
        agents: Mapping[str, str] | None = None,
        patience_s: float = 1.0,
        burst_frames: int = 5_000,
        idle_ns: int | None = None,
    ) -> None:
        self.page_rows = page_rows
        self.horizon_rows = horizon_rows
        self.agents = dict(agents or {})
        super().__init__(
            world, clock, plan, patience_s=patience_s, burst_frames=burst_frames, idle_ns=idle_ns
        )

    def reads(self) -> Sequence[Read]:
        """Return the listed requests; all are POST /info, told apart by their type."""
        answers: dict[str, Callable[[Call], Answer]] = {
            "userFills": self._user_fills,
            "userFillsByTime": self._fills_by_time,
            "userFunding": self._funding,
            "userNonFundingLedgerUpdates": self._ledger,
            "historicalOrders": self._historical_orders,
            "openOrders": self._open_orders,
            "frontendOpenOrders": self._open_orders,
            "orderStatus": self._order_status,
            "userRole": self._role,
            "clearinghouseState": self._clearinghouse,
            "spotClearinghouseState": self._spot_state,
            "meta": lambda call: Answer(body=states.meta_of(self.world)),
            "spotMeta": lambda call: Answer(body=states.spot_meta_of(self.world)),
            "metaAndAssetCtxs": self._contexts,
            "spotMetaAndAssetCtxs": self._contexts,
            "perpDexs": lambda call: Answer(body=[None]),
            "allMids": lambda call: Answer(body=states.mids_of(self.world)),
            "l2Book": self._l2_book,
            "exchangeStatus": lambda call: Answer(
                body={"time": call.now_ms, "specialStatuses": None}
            ),
        }
        return [
            Read(
                name=name,
                method="POST",
                path="/info",
                weight=_WEIGHTS.get(name, _USUAL_WEIGHT),
                answer=answer,
                per_rows=_ROWS_PER_WEIGHT,
            )
            for name, answer in answers.items()
        ]

    def find(self, call: Call) -> tuple[Read, Call] | None:
        """Return the listed read of a request's type; aggregated fills are none."""
        asked = _object(call)
        listed = {read.name: read for _, read in self._listed}
        fits = call.method == "POST" and call.path == "/info"
        read = listed.get(str(asked.get("type"))) if fits else None
        if read is None or asked.get("aggregateByTime"):
            return None
        return read, call

    def problem(self, status: int, call: Call) -> object:
        """Return what the venue says instead of an answer: often nothing at all."""
        return None if status == 429 else {"error": f"Error: {status}"}

    async def heard(self, line: Line, message: Any) -> None:
        """Take a subscription, its end, or a ping."""
        method = message.get("method") if isinstance(message, dict) else None
        if method == "ping":
            await line.send({"channel": "pong"})
            return
        asked = message.get("subscription", {}) if method in ("subscribe", "unsubscribe") else {}
        wanted: Subscription = (asked.get("type", ""), str(asked.get("user", "")).lower())
        subscribed: list[Subscription] = line.told.setdefault("subscribed", [])
        users = {user for _, user in subscribed} | {wanted[1]}
        known = wanted[0] in USER_TYPES and wanted[1] and len(users) <= MOST_USERS
        if not known or (method == "subscribe") == (wanted in subscribed):
            await line.send({"channel": "error", "data": f"Invalid subscription {asked}"})
            return
        said = {"method": method, "subscription": {"type": wanted[0], "user": wanted[1]}}
        await line.send({"channel": "subscriptionResponse", "data": said})
        if method == "unsubscribe":
            subscribed.remove(wanted)
            return
        subscribed.append(wanted)
        for frame in self._snapshot(wanted):
            await line.send(frame)

    def frames(self, line: Line, events: Sequence[SimEvent]) -> list[object]:
        """Return the frames of every subscription of a stream."""
        subscribed: list[Subscription] = line.told.get("subscribed", [])
        with self.world.lock:
            return [f for wanted in subscribed for f in frames_of(self.world, wanted, events)]

    def snapshot(self, line: Line) -> list[object]:
        """Return every subscription's snapshot once more."""
        subscribed: list[Subscription] = line.told.get("subscribed", [])
        return [frame for wanted in subscribed for frame in self._snapshot(wanted)]

    def mixed(self, line: Line, frames: list[object]) -> list[object]:
        """Put the frames of each channel into one."""
        return merged(frames)

    def _snapshot(self, wanted: Subscription) -> list[Row]:
        with self.world.lock:
            fills = self._fills_of(wanted[1])
            return snapshot_of(self.world, wanted, fills, self.page_rows)

    def _account(self, call: Call) -> str | None:
        """Return whose account is asked for, None for an address that never traded here."""
        user = _object(call).get("user")
        if not isinstance(user, str):
            raise RefusedError(422, _UNREADABLE)
        return self._known(user.lower())

    def _known(self, user: str) -> str | None:
        return user if user in self.world.accounts(self.venue) else None

    def _fills_of(self, user: str) -> list[SimFill]:
        """Return the fills of a user that can be reached now, oldest first."""
        account = self._known(user)
        if account is None:
            return []
        now_ms = self.world.now_ms
        fills = self.pages.visible(_fills(account), self.world.fills(account), now_ms)
        cut = self.holds("retention_cut", self.world.now_ns, account)
        return fills[-(self.page_rows if cut else self.horizon_rows) :]

    def _fill_answer(self, account: str | None, page: list[SimFill]) -> Answer:
        body = [rows.fill_row(self.world, fill) for fill in page]
        served = {f"fills:{account}": [rows.fill_key(fill) for fill in page]}
        return Answer(body=body, rows=len(body), served=served)

    def _user_fills(self, call: Call) -> Answer:
        """Newest millisecond first, yet forward inside one."""
        account = self._account(call)
        newest = self._fills_of(account or "")[-self.page_rows :]
        instants = [list(group) for _, group in groupby(newest, key=lambda fill: fill.ts_ms)]
        return self._fill_answer(account, [fill for one in reversed(instants) for fill in one])

    def _fills_by_time(self, call: Call) -> Answer:
        account = self._account(call)
        shelf = _fills(account or "")
        found = _between(self._fills_of(account or ""), shelf, _object(call))
        return self._fill_answer(account, self.pages.first(shelf, found, self.page_rows))

    def _funding(self, call: Call) -> Answer:
        account = self._account(call)
        if account is None:
            return Answer(body=[])
        shelf = _funding(account)
        seen = self.pages.visible(shelf, self.world.funding(account), self.world.now_ms)
        found = _between(seen, shelf, _object(call))
        page = self.pages.first(shelf, found, min(self.page_rows, OTHERS_A_PAGE))
        body = [rows.funding_row(self.world, payment) for payment in page]
        served = {shelf.name: [shelf.key(payment) for payment in page]}
        return Answer(body=body, rows=len(body), served=served)

    def _ledger(self, call: Call) -> Answer:
        account = self._account(call)
        if account is None:
            return Answer(body=[])
        moved = rows.ledger_rows(account, self.world.desk(account).transfers)
        moved += rows.liquidation_rows(self.world, self.world.fills(account))
        moved.sort(key=lambda row: int(row["time"]))
        shelf = Shelf[Row](f"ledger:{account}", lambda r: str(r["hash"]), lambda r: int(r["time"]))
        found = _between(moved, shelf, _object(call))
        page = self.pages.first(shelf, found, min(self.page_rows, OTHERS_A_PAGE))
        served = {shelf.name: [shelf.key(row) for row in page]}
        return Answer(body=page, rows=len(page), served=served)

    def _historical_orders(self, call: Call) -> Answer:
        account = self._account(call)
        known = self.world.orders(account) if account else []
        newest = sorted(known, key=lambda order: -order.changed_ms)[: self.page_rows]
        body = [rows.past_order(self.world, order) for order in newest]
        return Answer(body=body, rows=len(body))

    def _open_orders(self, call: Call) -> Answer:
        account = self._account(call)
        resting = [o for o in self.world.orders(account) if o.is_open] if account else []
        full = _object(call)["type"] == "frontendOpenOrders"
        shape = rows.order_row if full else rows.brief_order
        return Answer(body=[shape(self.world, order) for order in resting])

    def _order_status(self, call: Call) -> Answer:
        account = self._account(call)
        wanted = _object(call).get("oid")
        for order in self.world.orders(account) if account else []:
            if wanted in (order.order_id, order.client_id or ""):
                told = {"status": "order", "order": rows.past_order(self.world, order)}
                return Answer(body=told)
        return Answer(body={"status": "unknownOid"})

    def _role(self, call: Call) -> Answer:
        asked = str(_object(call).get("user")).lower()
        if asked in self.agents:
            return Answer(body={"role": "agent", "data": {"user": self.agents[asked]}})
        return Answer(body={"role": "user" if self._account(call) else "missing"})

    def _clearinghouse(self, call: Call) -> Answer:
        return Answer(body=states.clearinghouse_of(self.world, self._account(call)))

    def _spot_state(self, call: Call) -> Answer:
        return Answer(body=states.spot_state_of(self.world, self._account(call)))

    def _contexts(self, call: Call) -> Answer:
        if _object(call)["type"] == "metaAndAssetCtxs":
            meta, markets = states.meta_of(self.world), states.perps_of(self.world)
        else:
            meta, markets = states.spot_meta_of(self.world), states.spots_of(self.world)
        return Answer(body=[meta, states.contexts_of(self.world, markets)])

    def _l2_book(self, call: Call) -> Answer:
        coin = _object(call).get("coin")
        for market in self.world.markets(self.venue):
            if self.world.name(market, self.world.now_ms) == coin:
                return Answer(body=states.book_of(self.world, market))
        return Answer(body=None)


def _fills(account: str) -> Shelf[SimFill]:
    return Shelf(f"fills:{account}", rows.fill_key, lambda fill: fill.ts_ms)


def _funding(account: str) -> Shelf[SimFunding]:
    return Shelf(
        f"funding:{account}",
        lambda payment: f"{payment.ts_ms}:{payment.market.symbol}",
        lambda payment: payment.ts_ms,
    )


def _between(history: Sequence[Any], shelf: Shelf[Any], asked: Mapping[str, Any]) -> list[Any]:
    """Return the rows of [startTime, endTime], both ends included; no endTime = until now."""
    since_ms, until_ms = asked.get("startTime"), asked.get("endTime")
    if not isinstance(since_ms, int) or not isinstance(until_ms, int | None):
        raise RefusedError(422, _UNREADABLE)
    first = bisect_left(history, since_ms, key=shelf.ts_ms)
    last = bisect_right(history, _LATER_MS if until_ms is None else until_ms, key=shelf.ts_ms)
    return list(history[first:last])


def _object(call: Call) -> dict[str, Any]:
    """Return a request's JSON object, an empty one where there is none."""
    try:
        asked = json.loads(call.body)
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}
