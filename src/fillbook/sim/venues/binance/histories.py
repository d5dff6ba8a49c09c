"""The histories of a simulated Binance: trades and orders of a symbol, the income of an account.

A page holds as many rows as were asked for whenever there are more, oldest first; both ends of a
window are part of it, and a window of trades or orders is a week at most.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

from fillbook.sim.executions import SimFill
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimOrder
from fillbook.sim.prices import DAY_MS, HOUR_MS, Market
from fillbook.sim.venues.binance import rows as rows
from fillbook.sim.venues.binance.rows import CONDITIONAL, Row
from fillbook.sim.venues.calls import Answer, Call, RefusedError
from fillbook.sim.venues.pages import Pages, Shelf

Item = TypeVar("Item")

PAGE_ROWS = 1_000
_WEEK_MS = 7 * DAY_MS
_KEPT_MS = 90 * DAY_MS
# Orders that were cancelled without a fill are gone after so long.
_UNFILLED_MS = 3 * DAY_MS
# What is left while a retention cut holds.
_CUT_MS = 6 * HOUR_MS


def refused(status: int, code: int, words: str) -> RefusedError:
    """Return a refusal in the venue's shape."""
    return RefusedError(status, {"code": code, "msg": words})


def market_in(world: LiveWorld, venue: str, call: Call) -> Market:
    """Return the market that a call names, by its present name or an earlier one."""
    wanted = call.query.get("symbol")
    if wanted is None:
        raise refused(400, -1102, "Mandatory parameter 'symbol' was not sent.")
    for market in world.markets(venue):
        if wanted in (market.symbol, world.name(market, call.now_ms)):
            return market
    raise refused(400, -1121, "Invalid symbol.")


class Histories:
    """Cuts what happened to an account into the venue's pages.

    `is_cut` says whether an account's older rows are gone for a while; `page_rows` shortens every
    page.
    """

    def __init__(
        self, world: LiveWorld, pages: Pages, is_cut: Callable[[str], bool], page_rows: int
    ) -> None:
        self._world = world
        self._pages = pages
        self._is_cut = is_cut
        self._page_rows = page_rows

    def trades(self, account: str, market: Market, call: Call) -> Answer:
        """Answer userTrades: by time, or from an id on."""
        shelf: Shelf[SimFill] = Shelf(f"trades:{account}", rows.fill_key, lambda f: f.ts_ms)
        mine = [fill for fill in self._world.fills(account) if fill.market == market]
        seen = self._seen(shelf, mine, account)
        page = self._page(call, seen, lambda f: f.fill_id, lambda f: f.ts_ms, "fromId")
        body = [rows.trade_row(self._world, fill) for fill in page]
        served = {shelf.name: [rows.fill_key(fill) for fill in page]}
        return Answer(body=body, rows=len(body), served=served)

    def income(self, account: str, call: Call) -> Answer:
        """Answer income: of one type or all, of one symbol or all."""
        shelf: Shelf[Row] = Shelf(f"income:{account}", rows.income_key, lambda r: int(r["time"]))
        booked = self._booked(account, call.query.get("incomeType"))
        if "symbol" in call.query:
            booked = [row for row in booked if row["symbol"] == call.query["symbol"]]
        seen = sorted(self._seen(shelf, booked, account), key=shelf.ts_ms)
        page = self._between(call, seen, shelf.ts_ms)[: self._limit(call, 100)]
        return Answer(body=page, rows=len(page), served={shelf.name: [*map(shelf.key, page)]})

    def orders(self, account: str, market: Market, call: Call) -> Answer:
        """Answer allOrders: stops and targets only as the orders they became."""
        kept = self._kept_orders(account, market)
        found = [o for o in kept if o.kind not in CONDITIONAL or o.triggered_ms is not None]
        told = [rows.order_row(self._world, order) for order in found]
        return self._order_page(call, told, "orderId", "time")

    def algo_orders(self, account: str, market: Market, call: Call) -> Answer:
        """Answer allAlgoOrders: stops and targets, whatever became of them."""
        found = [o for o in self._kept_orders(account, market) if o.kind in CONDITIONAL]
        told = [rows.algo_row(self._world, order) for order in found]
        return self._order_page(call, told, "algoId", "createTime")

    def _booked(self, account: str, kind: str | None) -> list[Row]:
        """Return the income rows of an account, of one type or of all."""
        world, booked = self._world, []
        for fill in world.fills(account):
            if fill.fee and kind in (None, "COMMISSION"):
                booked.append(rows.commission_row(world, fill))
            if fill.closed_pnl and kind in (None, "REALIZED_PNL"):
                booked.append(rows.result_row(world, fill))
        if kind in (None, "FUNDING_FEE"):
            booked += [rows.funding_row(world, payment) for payment in world.funding(account)]
        if kind in (None, "TRANSFER"):
            moved = world.desk(account).transfers
            booked += [rows.transfer_row(each) for each in moved if each.wallet == "perp"]
        return booked

    def _kept_orders(self, account: str, market: Market) -> list[SimOrder]:
        vanished_ms = self._world.now_ms - _UNFILLED_MS
        return [
            order
            for order in self._world.orders(account)
            if order.market == market
            and (order.is_open or order.filled or order.placed_ms > vanished_ms)
        ]

    def _order_page(self, call: Call, told: list[Row], named: str, timed: str) -> Answer:
        page = self._page(
            call, told, lambda row: int(row[named]), lambda row: int(row[timed]), named
        )
        return Answer(body=page, rows=len(page))

    def _seen(self, shelf: Shelf[Item], happened: Sequence[Item], account: str) -> list[Item]:
        """Return the rows that have appeared and that retention leaves."""
        oldest_ms = self._world.now_ms - (_CUT_MS if self._is_cut(account) else _KEPT_MS)
        appeared = self._pages.visible(shelf, happened, self._world.now_ms)
        return [row for row in appeared if shelf.ts_ms(row) >= oldest_ms]

    def _page(
        self,
        call: Call,
        seen: Sequence[Item],
        number: Callable[[Item], int],
        ts_ms: Callable[[Item], int],
        named: str,
    ) -> list[Item]:
        """Return one page: from the id in `named` on where that was sent, else of a window."""
        if named not in call.query:
            in_order = sorted(seen, key=lambda row: (ts_ms(row), number(row)))
            return self._between(call, in_order, ts_ms, _WEEK_MS)[: self._limit(call, 500)]
        if "startTime" in call.query or "endTime" in call.query:
            raise refused(400, -1128, "Combination of optional parameters invalid.")
        first = int(call.query[named])
        found = sorted((row for row in seen if number(row) >= first), key=number)
        return found[: self._limit(call, 500)]

    def _between(
        self,
        call: Call,
        in_order: Sequence[Item],
        ts_ms: Callable[[Item], int],
        most_ms: int | None = None,
    ) -> list[Item]:
        """Return the rows of [startTime, endTime]; the last week where neither was sent."""
        end_ms = int(call.query.get("endTime", self._world.now_ms))
        start_ms = int(call.query.get("startTime", end_ms - _WEEK_MS))
        if most_ms is not None and end_ms - start_ms > most_ms:
            raise refused(400, -4166, "Search window is restricted to 7 days.")
        first = bisect_left(in_order, start_ms, key=ts_ms)
        return list(in_order[first : bisect_right(in_order, end_ms, key=ts_ms)])

    def _limit(self, call: Call, usual: int) -> int:
        wanted = int(call.query.get("limit", usual))
        if not 0 < wanted <= PAGE_ROWS:
            raise refused(400, -1130, "Data sent for parameter 'limit' is not valid.")
        return min(wanted, self._page_rows)
