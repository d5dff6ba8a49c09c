"""Coinbase Advanced Trade's orders as streams: the history, and single orders that were named.

An order is found by when it was placed, and goes on changing after that. So those that were open
are read again: all of them every ten minutes (less often where that takes many pages), and one
that the stream of the user tells of, at once and alone. The list holds orders placed in the
advanced way only; what else a fill names is read alone as well.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fillbook.facts.model import Component
from fillbook.ground.clock import MINUTE_NS
from fillbook.sources.coinbase.asks import ORDERS_A_PAGE, answered, ask_of
from fillbook.sources.coinbase.fills import TIMES, VENUE
from fillbook.sources.coinbase.orders import is_open
from fillbook.sources.coinbase.rows import ORDERS, RowContext, drafts_of
from fillbook.sources.coinbase.streams import HistoryStream, Note, Place, begin_chain
from fillbook.sources.faults import BrokenAnswerError
from fillbook.sources.files.records import parse_object
from fillbook.sources.rows import Row
from fillbook.sources.source import RowError
from fillbook.sources.stream import Answer, Ask, PulledPage, PulledRow

ALL, NAMED = "orders", "orders/named"
ONE_ORDER = "order"
"""The name of the read of a single order."""

_LOOK_NS, _LOOK_EACH_NS = 10 * MINUTE_NS, 5 * MINUTE_NS
_MOST_NAMED = 50


class _Orders(msgspec.Struct):
    orders: list[msgspec.Raw]
    has_next: bool
    cursor: str | None = None


class OrdersStream(HistoryStream):
    """Every order of the portfolio with its latest state; those still open are read again.

    `shown` is told each order that was read, `over` that a round has ended.
    """

    path = "orders/historical/batch"
    range_names = ("start_date", "end_date")

    def __init__(
        self,
        account: str,
        *,
        note: Note,
        shown: Note,
        over: Callable[[], None],
        page_rows: int = ORDERS_A_PAGE,
    ) -> None:
        super().__init__(
            account,
            name=ALL,
            source=ORDERS,
            components=("orders",),
            every_ns=2 * MINUTE_NS,
            note=note,
            page_rows=page_rows,
        )
        self._shown = shown
        self._is_over = over

    def _first(self, place: Place) -> Place:
        # All there ever were: those that are open are among them.
        return msgspec.structs.replace(place, looking=1)

    def _begun(self, last: Place, now_ns: int, overlap_ns: int) -> Place:
        """Begin at the oldest open order where it is time to look at all that were open.

        Usually within a week; the daily round goes back however old it is.
        """
        is_deep = overlap_ns >= self.deep_ns
        wait_ns = max(_LOOK_NS, last.looked_pages * _LOOK_EACH_NS)
        is_look = is_deep or last.looked_ns is None or now_ns - last.looked_ns >= wait_ns
        reach_ns = overlap_ns
        if is_look and last.open_ns is not None:
            back_ns = last.from_ns - last.open_ns
            reach_ns = max(overlap_ns, back_ns if is_deep else min(back_ns, self.deep_ns))
        place = begin_chain(last.from_ns, now_ns, reach_ns)
        is_older = last.open_ns is not None and last.open_ns < place.from_ns
        return msgspec.structs.replace(
            place,
            open_ns=last.open_ns if is_older else None,
            looked_ns=last.looked_ns,
            looked_pages=last.looked_pages,
            looking=int(is_look),
        )

    def _told(self, answer: Answer) -> tuple[list[msgspec.Raw], str]:
        told = answered(answer, _Orders)
        if told.has_next and not told.cursor:
            raise BrokenAnswerError(
                "the venue says there are more orders, but not where",
                f"{VENUE} {self.name}",
                "nothing to do if it passes: it is tried again",
            )
        return told.orders, told.cursor or "" if told.has_next else ""

    def _look(self, cells: list[Row]) -> None:
        super()._look(cells)
        for row in cells:
            self._shown(row.need("order_id"))

    def _noted(self, place: Place, cells: list[Row]) -> Place:
        opened = [row.when("created_time", TIMES) for row in cells if is_open(row)]
        if place.open_ns is not None:
            opened.append(place.open_ns)
        looking = place.looking + 1 if place.looking else 0
        return msgspec.structs.replace(place, open_ns=min(opened, default=None), looking=looking)

    def _over(self, place: Place) -> Place:
        self._is_over()
        if not place.looking:
            return place
        return msgspec.structs.replace(
            place, looked_ns=place.until_ns, looked_pages=place.looking - 1, looking=0
        )


class _Left(msgspec.Struct, frozen=True):
    """A cursor: the orders still to be asked for in this round."""

    ids: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the cursor as the journal keeps it."""
        return msgspec.json.encode(self).decode()


class _Order(msgspec.Struct):
    order: msgspec.Raw
    """The row; `null` where the venue does not have it any more."""


class NamedOrdersStream:
    """Single orders by their ids, as somebody names them; each is asked for once.

    What is forgotten here (the program ended, the venue refused one) the history finds.
    """

    name = NAMED
    source = ORDERS
    components: tuple[Component, ...] = ()
    instrument: str | None = None
    every_ns = _LOOK_NS
    overlap_ns = 0
    deep_ns = 0

    def __init__(self, account: str) -> None:
        self.context = RowContext(account).text()
        self._account = account
        self._ids: dict[str, None] = {}

    def note(self, order_id: str) -> bool:
        """Name an order for the next round; False where there are too many already."""
        if len(self._ids) >= _MOST_NAMED:
            return False
        self._ids[order_id] = None
        return True

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return a cursor before every order that was named since."""
        ids = tuple(self._ids)
        self._ids.clear()
        return _Left(ids).text()

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read of the next order; of the time alone where none was named."""
        ids = _left_in(cursor)
        if not ids:
            return ask_of("time", auth="none")
        return ask_of(f"orders/historical/{ids[0]}", name=ONE_ORDER)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse one order."""
        ids = _left_in(cursor)
        raw = bytes(answered(answer, _Order).order).decode() if ids else "null"
        rows = () if raw == "null" else (self._row(raw),)
        rest = ids[1:]
        return PulledPage(rows=rows, next_cursor=_Left(rest).text(), more=bool(rest))

    def narrow(self, cursor: str) -> str | None:
        """Return None: single orders never crowd."""
        return None

    def _row(self, raw: str) -> PulledRow:
        try:
            return PulledRow(
                raw=raw, drafts=tuple(drafts_of(ORDERS, parse_object(raw), self._account))
            )
        except RowError as fault:
            return PulledRow(raw=raw, fault=fault)


def _left_in(cursor: str) -> tuple[str, ...]:
    return msgspec.json.decode(cursor, type=_Left).ids
