"""Binance USD-M's histories of one symbol as streams: trades, orders, conditional orders.

They are read through windows of time, at most a week each. A page that ends inside an instant is
read on from that instant. Where one instant fills a whole page, ids lead through it: the venue
returns rows from an id on, that one included, and must show it again; then time goes on.
"""

from __future__ import annotations

import msgspec

from fillbook.facts.model import Component
from fillbook.ground.clock import DAY_NS, MINUTE_NS, SECOND_NS
from fillbook.sources.binance.asks import (
    HISTORY_WEIGHT,
    LONGEST_WINDOW_NS,
    PAGE_ROWS,
    RETENTION_NS,
    answered,
    history_ask,
)
from fillbook.sources.binance.fills import MILLISECOND_NS, MILLISECONDS, VENUE, whole_in
from fillbook.sources.binance.orders import is_open
from fillbook.sources.binance.rows import ORDERS, TRADES, RowContext, drafts_of
from fillbook.sources.cursors import Step, TimeCursor, begin_walk, read_cursor, step, window_of
from fillbook.sources.faults import UnreadableError
from fillbook.sources.files.records import parse_object
from fillbook.sources.rows import Row
from fillbook.sources.source import RowError
from fillbook.sources.stream import Answer, Ask, Gap, PulledPage, PulledRow

# Late rows are looked for so far back with every pull, and once a day.
OVERLAP_NS = 15 * MINUTE_NS
DEEP_NS = 7 * DAY_NS
# A round ends this far ahead of the venue's clock as we know it, so that the newest row of all,
# which a nudge told us of, is asked for in any case.
AHEAD_NS = 5 * SECOND_NS
# A cancelled order that never filled is gone after so long.
UNFILLED_NS = 3 * DAY_NS
_BY_ID = ("by id",)
_UNFILLED_GONE = "the venue keeps orders that were cancelled unfilled for three days only"


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cursor: the walk through time, and what a crowded instant or an open order adds to it.

    `from_id` leads through an instant that fills whole pages. `open_ns` is when the oldest order
    was placed that was still open; up to `seen_ns` unfilled orders were seen before they vanish,
    and `gone` is the stretch in which we came too late for them.
    """

    walk: TimeCursor
    from_id: int | None = None
    open_ns: int | None = None
    seen_ns: int | None = None
    gone: tuple[int, int] | None = None

    def text(self) -> str:
        """Return the cursor as the journal keeps it."""
        return msgspec.json.encode(self).decode()


def read_place(text: str) -> Place:
    """Read a cursor back; ValueError when it is none."""
    return msgspec.json.decode(text, type=Place)


class Page(msgspec.Struct, frozen=True):
    """The rows of an answer: as they are journaled, and as cells where they could be split."""

    pulled: tuple[PulledRow, ...]
    cells: tuple[Row, ...]


def page_of(source: str, account: str, items: list[msgspec.Raw]) -> Page:
    """Parse the rows of an answer, each on its own."""
    pulled, cells = [], []
    for item in items:
        raw = bytes(item).decode()
        try:
            row = parse_object(raw)
            cells.append(row)
            pulled.append(PulledRow(raw=raw, drafts=tuple(drafts_of(source, row, account))))
        except RowError as fault:
            pulled.append(PulledRow(raw=raw, fault=fault))
    return Page(tuple(pulled), tuple(cells))


def retold(gap: Gap | None, export: str) -> Gap | None:
    """Return a gap that retention left, with the export of the web page that fills it."""
    if gap is None:
        return None
    cause = (
        f"{gap.cause}: three months; export the {export} history on Binance's web page (Orders, "
        "Futures Order; at most a year at a time, five exports a month)"
    )
    return msgspec.structs.replace(gap, cause=cause)


class SymbolStream:
    """One history of one symbol; `id_name` is asked by, `id_field` and `time_field` are told."""

    overlap_ns = OVERLAP_NS
    deep_ns = DEEP_NS
    id_name: str
    id_field: str
    time_field: str
    read: str
    export: str

    def __init__(
        self,
        account: str,
        symbol: str,
        *,
        prefix: str,
        source: str,
        components: tuple[Component, ...],
        every_ns: int,
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self.name = f"{prefix}/{symbol}"
        self.source = source
        self.context = RowContext(account).text()
        self.components = components
        self.instrument: str | None = symbol
        self.every_ns = every_ns
        self._account = account
        self._symbol = symbol
        self._page_rows = page_rows

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return the first cursor of a round; ValueError for a cursor of unknown form."""
        last = None if cursor is None else read_place(cursor).walk.text()
        walk = begin_walk(last, now_ns + AHEAD_NS, overlap_ns, now_ns - RETENTION_NS)
        return Place(walk=read_cursor(walk)).text()

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read of the window behind the cursor, or of the rows that an id leads to."""
        place = read_place(cursor)
        query = {"symbol": self._symbol}
        window: tuple[int, int] | None = None
        if place.from_id is None:
            window = window_of(place.walk, LONGEST_WINDOW_NS, MILLISECOND_NS)
        else:
            query[self.id_name] = str(place.from_id)
        return history_ask(self.read, HISTORY_WEIGHT, self._page_rows, window, **query)

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse one page; BrokenAnswerError when the answer is no list of rows."""
        place = read_place(cursor)
        page = page_of(self.source, self._account, answered(answer, list[msgspec.Raw]))
        times_ns, ids = self._told(page)
        full = len(page.pulled) >= self._page_rows
        if place.from_id is not None:
            place, done = self._led_by_id(place, times_ns, ids, full, answer)
        else:
            done = self._step(place.walk, times_ns, full, answer)
            if done.stuck:
                walk = msgspec.structs.replace(place.walk, parts=_BY_ID)
                place = msgspec.structs.replace(place, walk=walk, from_id=max(ids))
                done = Step(next_cursor=walk.text(), more=True, gap=done.gap)
        following = msgspec.structs.replace(place, walk=read_cursor(done.next_cursor))
        return self._pulled(page, following, done)

    def narrow(self, cursor: str) -> str | None:
        """Return None: ids lead through crowded instants."""
        return None

    def _pulled(self, page: Page, following: Place, done: Step) -> PulledPage:
        return PulledPage(
            rows=page.pulled,
            next_cursor=following.text(),
            more=done.more,
            covered_from_ns=done.covered_from_ns,
            covered_until_ns=done.covered_until_ns,
            gap=retold(done.gap, self.export),
        )

    def _step(self, walk: TimeCursor, times_ns: list[int], full: bool, answer: Answer) -> Step:
        return step(
            walk,
            times_ns,
            full and bool(times_ns),
            answer.asked_ns,
            grain_ns=MILLISECOND_NS,
            most_ns=LONGEST_WINDOW_NS,
        )

    def _led_by_id(
        self, place: Place, times_ns: list[int], ids: list[int], full: bool, answer: Answer
    ) -> tuple[Place, Step]:
        """Go on inside a crowded instant, or leave it when none of its rows appear any more."""
        if place.from_id not in ids:
            raise UnreadableError(
                f"the venue does not show {self.id_field} {place.from_id} again, in an instant "
                "with more rows than a page holds",
                f"{VENUE} {self.name}",
                "import an export of the venue that holds this instant",
                at_ns=place.walk.from_ns,
            )
        start_ns, end_ns = window_of(place.walk, LONGEST_WINDOW_NS, MILLISECOND_NS)
        told = zip(ids, times_ns, strict=True)
        crowd = {number for number, at_ns in told if start_ns <= at_ns < end_ns}
        # Ids may run a little ahead of time, so a page without any of the instant ends it.
        if full and crowd - {place.from_id} and max(ids) > (place.from_id or 0):
            on = msgspec.structs.replace(place, from_id=max(ids))
            return on, Step(next_cursor=place.walk.text(), more=True)
        done = self._step(place.walk, [], False, answer)
        return msgspec.structs.replace(place, from_id=None), done

    def _told(self, page: Page) -> tuple[list[int], list[int]]:
        """Return times and ids of the rows; one without them cannot be walked past."""
        times_ns, ids = [], []
        for row in page.cells:
            try:
                at_ns, number = (
                    row.when(self.time_field, MILLISECONDS),
                    whole_in(row, self.id_field),
                )
            except RowError:
                continue  # the row itself carries its fault, and the stream stops in front of it
            times_ns.append(at_ns)
            ids.append(number)
        return times_ns, ids


class TradesStream(SymbolStream):
    """Every execution of one symbol."""

    id_name, id_field, time_field, read = "fromId", "id", "time", "userTrades"
    export = "trade"

    def __init__(
        self, account: str, symbol: str, *, every_ns: int, page_rows: int = PAGE_ROWS
    ) -> None:
        super().__init__(
            account,
            symbol,
            prefix="trades",
            source=TRADES,
            components=("fills",),
            every_ns=every_ns,
            page_rows=page_rows,
        )


class OrdersStream(SymbolStream):
    """Every order of one symbol with its latest state; those still open are read again.

    Orders that were cancelled unfilled vanish, so what lies further back promises nothing.
    """

    id_name, id_field, time_field, read = "orderId", "orderId", "time", "allOrders"
    export = "order"

    def __init__(
        self,
        account: str,
        symbol: str,
        *,
        every_ns: int,
        page_rows: int = PAGE_ROWS,
        prefix: str = "orders",
    ) -> None:
        super().__init__(
            account,
            symbol,
            prefix=prefix,
            source=ORDERS,
            components=("orders",),
            every_ns=every_ns,
            page_rows=page_rows,
        )

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return the first cursor of a round: from the oldest open order on, within a week.

        The daily round goes back to it however old it is.
        """
        if cursor is None:
            return super().begin(None, now_ns, overlap_ns)
        last = read_place(cursor)
        reach_ns = overlap_ns
        if last.open_ns is not None:
            most_ns = RETENTION_NS if overlap_ns >= self.deep_ns else self.deep_ns
            reach_ns = max(overlap_ns, min(last.walk.from_ns - last.open_ns, most_ns))
        walk = read_cursor(
            begin_walk(last.walk.text(), now_ns + AHEAD_NS, reach_ns, now_ns - RETENTION_NS)
        )
        older = last.open_ns is not None and last.open_ns < walk.from_ns
        seen_ns, kept_ns = last.seen_ns, now_ns - UNFILLED_NS
        gone = (seen_ns, kept_ns) if seen_ns is not None and seen_ns < kept_ns else None
        open_ns = last.open_ns if older else None
        return Place(walk=walk, open_ns=open_ns, seen_ns=seen_ns, gone=gone).text()

    def _pulled(self, page: Page, following: Place, done: Step) -> PulledPage:
        opened = [at for at in map(self._open_since, page.cells) if at is not None]
        if following.open_ns is not None:
            opened.append(following.open_ns)
        told = super()._pulled(page, following, done)
        gap, from_ns, until_ns = told.gap, told.covered_from_ns, told.covered_until_ns
        gone, seen_ns = following.gone, following.seen_ns
        if gap is None and gone is not None:
            gap = Gap(from_ns=gone[0], until_ns=gone[1], cause=_UNFILLED_GONE)
            gone, seen_ns = None, gap.until_ns
        if from_ns is not None and until_ns is not None:
            from_ns = max(from_ns, following.walk.until_ns - AHEAD_NS - UNFILLED_NS)
            if from_ns >= until_ns:
                from_ns = until_ns = None
            else:
                seen_ns = max(until_ns, seen_ns or 0)
        following = msgspec.structs.replace(
            following, open_ns=min(opened, default=None), seen_ns=seen_ns, gone=gone
        )
        return msgspec.structs.replace(
            told,
            next_cursor=following.text(),
            gap=gap,
            covered_from_ns=from_ns,
            covered_until_ns=until_ns,
        )

    def _open_since(self, row: Row) -> int | None:
        try:
            return row.when(self.time_field, MILLISECONDS) if is_open(row) else None
        except RowError:
            return None


class AlgoOrdersStream(OrdersStream):
    """Every conditional order of one symbol: stops, targets, trailing stops."""

    id_name, id_field, time_field, read = "algoId", "algoId", "createTime", "allAlgoOrders"

    def __init__(
        self, account: str, symbol: str, *, every_ns: int, page_rows: int = PAGE_ROWS
    ) -> None:
        super().__init__(account, symbol, every_ns=every_ns, page_rows=page_rows, prefix="algo")
