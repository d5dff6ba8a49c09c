"""The histories of a simulated Coinbase: fills and orders, newest first, behind cursors.

A cursor belongs to the request it was given for; an empty one is the end, and nothing else is:
not a short page, not an empty one. How long a page may be the venue decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from fillbook.ground.clock import parse_ns
from fillbook.sim.executions import SimFill
from fillbook.sim.faults import FaultPlan
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder
from fillbook.sim.prices import HOUR_MS
from fillbook.sim.venues.calls import Answer, Call, RefusedError
from fillbook.sim.venues.coinbase import rows as rows
from fillbook.sim.venues.coinbase.rows import Entry, Row
from fillbook.sim.venues.pages import Pages, Shelf

Item = TypeVar("Item")
Place = tuple[int, int, str]

FILLS_A_PAGE = 100
ORDERS_A_PAGE = 1_000
_USUAL = 100
# What is left while a retention cut holds.
_CUT_MS = 6 * HOUR_MS
_FIRST_CURSOR = 114_994_851
_MOST_CURSORS = 10_000


class Cursor(msgspec.Struct, frozen=True):
    """Where a walk goes on: after a place, or at an offset from the newest row.

    `asked` is the request it belongs to.
    """

    asked: tuple[tuple[str, str], ...]
    after: Place | None
    offset: int


class Walk(msgspec.Struct, Generic[Item], frozen=True):
    """One history as it is now, newest first, and how its rows are named and placed."""

    shelf: Shelf[Item]
    newest_first: Sequence[Item]
    place: Callable[[Item], Place]


def refused(status: int, words: str, error: str = "INVALID_ARGUMENT") -> RefusedError:
    """Return a refusal in the venue's shape."""
    return RefusedError(status, {"error": error, "error_details": words, "message": words})


def user_of(account: str) -> str:
    """Return the id of the person whose portfolio an account is."""
    return rows.uuid_of("user", account)


class Histories:
    """Cuts what happened to an account into the venue's pages.

    `strikes` and `is_cut` ask the venue whether a fault strikes, and whether an account's older
    rows are gone for a while; `page_rows` shortens every page.
    """

    def __init__(
        self,
        world: LiveWorld,
        plan: FaultPlan,
        pages: Pages,
        strikes: Callable[[str, str], bool],
        is_cut: Callable[[str], bool],
        page_rows: int,
    ) -> None:
        self._world, self._plan, self._pages = world, plan, pages
        self._strikes, self._is_cut = strikes, is_cut
        self._page_rows = page_rows
        self._cursors: dict[str, Cursor] = {}
        self._given = _FIRST_CURSOR

    def fills(self, account: str, call: Call) -> Answer:
        """Answer the fills: of some orders, trades or products, or of a stretch of trade times."""
        desk = self._world.desk(account)
        made = rows.entries_of(self._plan, desk.fills, desk.corrections)
        told: Shelf[Entry] = Shelf(f"fills:{account}", _entry_id, lambda e: e.numbered_us // 1_000)
        seen = self._pages.visible(told, made, self._world.now_ms)
        since_ns, until_ns = _times(call, "start_sequence_timestamp", "end_sequence_timestamp")
        wanted: Mapping[str, Callable[[Entry], object]] = {
            "order_ids": lambda e: rows.order_id_of(e.fill.order_id),
            "trade_ids": lambda e: e.trade_id,
            "product_ids": lambda e: self._world.name(e.fill.market, e.fill.ts_ms),
        }
        oldest_ms = self._oldest_ms(account)
        found = [
            entry
            for entry in seen
            if entry.traded_ms >= oldest_ms
            # After the one and before the other: neither instant is part of the stretch.
            and since_ns < entry.traded_ms * 1_000_000 < until_ns
            and all(_is_asked(call, name, value(entry)) for name, value in wanted.items())
        ]
        shelf: Shelf[Entry] = Shelf(f"fills:{account}", _entry_id, lambda e: e.traded_ms)
        found.sort(key=lambda e: e.place, reverse=True)
        walk = Walk(shelf, found, lambda e: e.place)
        page, cursor = self._page(walk, call, min(self._page_rows, FILLS_A_PAGE))
        body = [rows.fill_row(self._world, entry, user_of(account)) for entry in page]
        served = {shelf.name: [entry.entry_id for entry in page]}
        return Answer(body={"fills": body, "cursor": cursor}, rows=len(body), served=served)

    def orders(self, account: str, call: Call) -> Answer:
        """Answer the orders: by status, product, or when they were made."""
        since_ns, until_ns = _times(call, "start_date", "end_date")
        states = call.every("order_status")
        if "OPEN" in states and len(states) > 1:
            raise refused(400, "cannot specify OPEN with other statuses")
        oldest_ms = self._oldest_ms(account)
        wanted: Mapping[str, Callable[[Row], object]] = {
            "order_ids": lambda row: row["order_id"],
            "product_ids": lambda row: row["product_id"],
            "product_type": lambda row: row["product_type"],
            "order_status": lambda row: row["status"],
            "order_side": lambda row: row["side"],
        }
        kept = [
            order
            for order in self._world.orders(account)
            if since_ns <= order.placed_ms * 1_000_000 < until_ns
            and (order.is_open or order.changed_ms >= oldest_ms)
        ]
        fills = self._fills_by_order(account)
        told = {order.order_id: self._order_row(order, fills) for order in kept}
        # The venue's own orders are in no list that does not ask for them.
        placed_by = call.every("order_placement_source") or ["RETAIL_ADVANCED"]
        found = [
            order
            for order in kept
            if told[order.order_id]["order_placement_source"] in placed_by
            and all(
                _is_asked(call, name, get(told[order.order_id])) for name, get in wanted.items()
            )
        ]
        shelf: Shelf[SimOrder] = Shelf(
            f"orders:{account}", lambda o: str(o.order_id), lambda o: o.placed_ms
        )
        found.sort(key=_order_place, reverse=True)
        walk = Walk(shelf, found, _order_place)
        page, cursor = self._page(walk, call, min(self._page_rows, ORDERS_A_PAGE))
        body = [told[order.order_id] for order in page if order.order_id in told]
        told_all = {"orders": body, "sequence": "0", "has_next": bool(cursor), "cursor": cursor}
        return Answer(body=told_all, rows=len(body))

    def order(self, account: str, order_id: str) -> Answer:
        """Answer one order by its id."""
        for order in self._world.orders(account):
            if rows.order_id_of(order.order_id) == order_id:
                row = self._order_row(order, self._fills_by_order(account))
                return Answer(body={"order": row})
        raise refused(404, "order with this orderID was not found", "NOT_FOUND")

    def _order_row(self, order: SimOrder, fills: Mapping[int, Sequence[SimFill]]) -> Row:
        key = f"{order.account}:{order.order_id}"
        extra = bool(order.n_fills) and self._plan.strikes_on("miscounted_fills", key)
        mine = fills.get(order.order_id, ())
        return rows.order_row(self._world, order, mine, user_of(order.account), int(extra))

    def _fills_by_order(self, account: str) -> dict[int, list[SimFill]]:
        grouped: dict[int, list[SimFill]] = {}
        for fill in self._world.fills(account):
            grouped.setdefault(fill.order_id, []).append(fill)
        return grouped

    def _oldest_ms(self, account: str) -> int:
        return self._world.now_ms - _CUT_MS if self._is_cut(account) else 0

    # -- pages -------------------------------------------------------------------------------

    def _page(self, walk: Walk[Item], call: Call, most: int) -> tuple[list[Item], str]:
        """Return one page and the cursor of the next, "" at the end."""
        most = min(most, _limit(call))
        asked = tuple(sorted(pair for pair in call.asked if pair[0] not in ("cursor", "limit")))
        at = self._cursor(walk.shelf.name, call, asked)
        left = list(walk.newest_first[at.offset :])
        if at.after is not None:
            left = [row for row in left if walk.place(row) < at.after]
        if left and self._strikes("empty_page", walk.shelf.name):
            # Now and then the page is asked for again under the very cursor it came for.
            sent = call.query.get("cursor", "")
            again = sent and self._plan.amount("empty_page", sent, 0, 1)
            return [], sent if again else self._give(at)
        page = self._pages.first(walk.shelf, left, most)
        if not page or (page[-1] == left[-1] and len(left) < most):
            return page, ""
        if self._strikes("offset_shift", walk.shelf.name):
            beyond = walk.newest_first.index(page[-1]) + 1
            return page, self._give(Cursor(asked, None, beyond))
        return page, self._give(Cursor(asked, walk.place(page[-1]), 0))

    def _cursor(self, name: str, call: Call, asked: tuple[tuple[str, str], ...]) -> Cursor:
        text = call.query.get("cursor", "")
        if not text:
            return Cursor(asked, None, 0)
        known = self._cursors.get(text)
        if known is None or known.asked != asked or self._strikes("cursor_expired", name):
            raise refused(400, "invalid cursor")
        return known

    def _give(self, cursor: Cursor) -> str:
        self._given += 1
        if len(self._cursors) >= _MOST_CURSORS:
            del self._cursors[next(iter(self._cursors))]
        self._cursors[str(self._given)] = cursor
        return str(self._given)


def _entry_id(entry: Entry) -> str:
    return entry.entry_id


def _order_place(order: SimOrder) -> Place:
    return order.placed_ms, order.order_id, ""


def _is_asked(call: Call, name: str, value: object) -> bool:
    """Say whether a row has one of the values that were asked for; none asked for = any."""
    asked = call.every(name)
    return not asked or value in asked


def _times(call: Call, since: str, until: str) -> tuple[int, int]:
    try:
        since_ns = parse_ns(call.query[since]) if call.query.get(since) else -1
        until_ns = parse_ns(call.query[until]) if call.query.get(until) else 2**63
    except ValueError as fault:
        raise refused(400, "time must be RFC3339") from fault
    return since_ns, until_ns


def _limit(call: Call) -> int:
    text = call.query.get("limit", str(_USUAL))
    if not text.isdigit() or int(text) == 0:
        raise refused(400, "limit must be a positive number")
    return int(text)
