"""Hyperliquid's orders as streams: the newest with their status, and those that rest now."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fillbook.facts.model import Component
from fillbook.ground.clock import MINUTE_NS
from fillbook.sources.hyperliquid.asks import USUAL_WEIGHT, answered, ask_of
from fillbook.sources.hyperliquid.markets import Markets
from fillbook.sources.hyperliquid.streams import RowStream, time_in
from fillbook.sources.hyperliquid.walk import MS_NS
from fillbook.sources.stream import Answer, Ask, Gap, PulledPage

ORDERS, OPEN_ORDERS = "orders", "open-orders"
ORDERS_A_PAGE = 2_000


class _Marker(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cursor of a history that is only told as its newest rows."""

    newest_ms: int | None = None

    def text(self) -> str:
        """Return the cursor as the journal keeps it."""
        return msgspec.json.encode(self).decode()


class OrdersStream(RowStream):
    """The newest orders with their latest status; the venue tells no more than 2,000."""

    name = ORDERS
    components: tuple[Component, ...] = ("orders",)
    every_ns = 10 * MINUTE_NS

    def __init__(self, account: str, markets: Markets, *, page_rows: int = ORDERS_A_PAGE) -> None:
        super().__init__(account, markets)
        self._page_rows = page_rows

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return the cursor as it is: every round reads everything that the venue tells."""
        return (_Marker() if cursor is None else _marker(cursor)).text()

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read of the newest orders."""
        return ask_of("historicalOrders", USUAL_WEIGHT, ORDERS_A_PAGE, user=self._account)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse the orders; a gap where older ones than were known have dropped out."""
        rows, times_ms = [], []
        for item in answered(answer, list[msgspec.Raw]):
            pulled, row = self.pulled(bytes(item).decode())
            rows.append(pulled)
            at_ms = time_in(row, "statusTimestamp")
            if at_ms is not None:
                times_ms.append(at_ms)
        known_ms = _marker(cursor).newest_ms
        gap, from_ms = self._reach(times_ms, known_ms)
        newest_ms = max((at for at in (known_ms, *times_ms) if at is not None), default=None)
        covered = from_ms is not None and from_ms * MS_NS < answer.asked_ns
        return PulledPage(
            rows=tuple(rows),
            next_cursor=_Marker(newest_ms).text(),
            more=False,
            covered_from_ns=from_ms * MS_NS if covered and from_ms is not None else None,
            covered_until_ns=answer.asked_ns if covered else None,
            gap=gap,
        )

    def _reach(
        self, times_ms: Sequence[int], known_ms: int | None
    ) -> tuple[Gap | None, int | None]:
        """Return what dropped out since the last round, and from when on all orders are told."""
        oldest_ms = min(times_ms, default=None)
        if known_ms is None or oldest_ms is None:
            return None, oldest_ms
        if oldest_ms <= known_ms or len(times_ms) < self._page_rows:
            return None, min(oldest_ms, known_ms)
        cause = f"the venue tells only the newest {ORDERS_A_PAGE:,} orders, and more came since"
        gap = Gap(from_ns=(known_ms + 1) * MS_NS, until_ns=oldest_ms * MS_NS, cause=cause)
        return gap, oldest_ms


class OpenOrdersStream(RowStream):
    """The orders that rest in the book of one dex now; promises nothing about others."""

    components: tuple[Component, ...] = ()
    every_ns = 2 * MINUTE_NS

    def __init__(self, account: str, markets: Markets, *, dex: str = "") -> None:
        super().__init__(account, markets)
        self.name = f"{OPEN_ORDERS}/{dex}" if dex else OPEN_ORDERS
        self._dex = dex

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return a cursor that says nothing: there is no history to stand in."""
        return _Marker().text()

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read of the open orders."""
        where: dict[str, object] = {"dex": self._dex} if self._dex else {}
        return ask_of("frontendOpenOrders", USUAL_WEIGHT, 0, user=self._account, **where)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse the open orders."""
        items = answered(answer, list[msgspec.Raw])
        rows = tuple(self.pulled(bytes(item).decode())[0] for item in items)
        return PulledPage(rows=rows, next_cursor=cursor, more=False)


def _marker(cursor: str) -> _Marker:
    return msgspec.json.decode(cursor, type=_Marker)
