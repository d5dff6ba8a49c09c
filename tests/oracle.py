"""A second ledger, written to be read: Python integers and fractions, nothing shared.

It folds the same events by the same rules as the compiled kernel, in a different shape: a book is
a list of lots (one merged lot under AVERAGE), a fill is cut into parts, a trade is an object. With
`exact=True` nothing is rounded: costs and values are fractions, which is what money would be
without a grid. It imports nothing of fillbook.

    >>> buy, sell = Event("fill", qty=2, px=(5, 5, 5, 5)), Event("fill", qty=-2, px=(7, 7, 7, 7))
    >>> [row.realised[3] for row in fold([buy, sell]).rows]
    [0, 4]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

Money = int | Fraction
RUNGS = range(4)


@dataclass(frozen=True)
class Event:
    """One money event; `kind` is fill, funding, adjust, fee or share."""

    kind: str
    book: int = 0
    qty: int = 0
    px: tuple[int, int, int, int] = (0, 0, 0, 0)
    fee: int = 0
    amount: int = 0
    decision_known: bool = True
    fee_unknown: bool = False
    opening: bool = False


@dataclass
class Lot:
    """Signed quantity and its signed cost per rung."""

    qty: int
    cost: list[Money]

    def take(self, wanted: int, exact: bool) -> Lot:
        """Split off `wanted` (a magnitude): of each cost its share, towards zero if not exact."""
        held = abs(self.qty)
        share: list[Money] = []
        for cost in self.cost:
            if exact:
                share.append(Fraction(cost) * wanted / held)
            else:
                assert isinstance(cost, int)
                part = abs(cost) * wanted // held
                share.append(part if cost > 0 else -part)
        taken = Lot(wanted if self.qty > 0 else -wanted, share)
        self.qty -= taken.qty
        self.cost = [cost - gone for cost, gone in zip(self.cost, share, strict=True)]
        return taken


@dataclass
class Trade:
    """One round trip; quantities are magnitudes, values carry the sign of the price."""

    number: int
    book: int
    open_event: int
    side: int
    close_event: int = -1
    n_fills: int = 0
    opened_qty: int = 0
    closed_qty: int = 0
    max_qty: int = 0
    opened_unpriced_qty: int = 0
    entry_value: Money = 0
    exit_value: Money = 0
    realised: list[Money] = field(default_factory=lambda: [0, 0, 0, 0])
    signal_unpriced: Money = 0
    fees: Money = 0
    funding: Money = 0
    unpriced: bool = False
    approximate: bool = False
    fee_unknown: bool = False
    decision_unknown: bool = False


@dataclass
class Row:
    """What one event did."""

    realised: list[Money] = field(default_factory=lambda: [0, 0, 0, 0])
    closed_qty: int = 0
    unpriced_closed: int = 0
    position_after: int = 0
    trade_close: int = -1
    trade_open: int = -1
    fee_open: Money = 0
    funding: Money = 0
    realised_unknown: bool = False
    signal_unpriced: bool = False
    outside_trade: bool = False
    removed: list[Money] | None = None


@dataclass
class Book:
    """Lots in order of consumption, quantity without cost, and the open trade."""

    lots: list[Lot] = field(default_factory=list)
    unpriced: int = 0
    trade: Trade | None = None

    @property
    def priced(self) -> int:
        return sum(lot.qty for lot in self.lots)

    @property
    def position(self) -> int:
        return self.priced + self.unpriced

    def cost(self, rung: int) -> Money:
        """What the priced quantity cost at a rung."""
        return sum((lot.cost[rung] for lot in self.lots), start=0)


@dataclass
class Result:
    """Rows per event, trades by number, books at the end."""

    rows: list[Row]
    trades: list[Trade]
    books: list[Book]


def half_even(fraction: Fraction) -> int:
    """Round to the nearest integer, ties to the even one (Python's own rule for fractions)."""
    return round(fraction)


def fold(
    events: Sequence[Event],
    method: str = "average",
    factor: int = 1,
    divisor: int = 1,
    dust: int = 1,
    n_books: int = 1,
    exact: bool = False,
) -> Result:
    """Fold events; `method` is average, fifo or lifo."""
    ledger = _Ledger(method, Fraction(factor, divisor), max(dust, 1), n_books, exact)
    for index, event in enumerate(events):
        ledger.apply(index, event)
    return Result(ledger.rows, ledger.trades, ledger.books)


class _Ledger:
    def __init__(self, method: str, unit: Fraction, dust: int, n_books: int, exact: bool) -> None:
        self.method, self.unit, self.dust, self.exact = method, unit, dust, exact
        self.books = [Book() for _ in range(n_books)]
        self.rows: list[Row] = []
        self.trades: list[Trade] = []
        self.block: list[tuple[int, int]] = []

    def apply(self, index: int, event: Event) -> None:
        row = Row()
        self.rows.append(row)
        book = self.books[event.book]
        if event.kind == "fill":
            self.fill(index, event, book, row)
        elif event.kind == "adjust":
            self.adjust(index, event, book, row)
        else:
            row.outside_trade = book.trade is None
            if event.kind == "share":
                row.funding = self.share_of(event)
            elif event.kind == "funding":
                row.funding = event.amount
            if book.trade is not None:
                row.trade_open = book.trade.number
                book.trade.funding += row.funding
                if event.kind == "fee":
                    row.fee_open = event.fee
                    book.trade.fees += event.fee
        row.position_after = book.position

    def value(self, qty: int, px: int) -> Money:
        exact = qty * px * self.unit
        return exact if self.exact else half_even(exact)

    def share_of(self, event: Event) -> Money:
        """Cumulative shares, rounded, so that they sum to the whole."""
        if event.book == 0:
            self.block = [(0, 0)]
            done = 0
            for book in self.books:
                done += book.position if book.trade is not None else 0
                self.block.append((done, done))
        whole = self.block[-1][0]
        if whole == 0:
            return event.amount if event.book == 0 else 0
        until, before = (
            half_even(Fraction(event.amount * self.block[place][0], whole))
            for place in (event.book + 1, event.book)
        )
        return until - before

    def start(self, index: int, number: int, book: Book, side: int) -> Trade:
        trade = Trade(len(self.trades), number, index, side)
        self.trades.append(trade)
        book.trade = trade
        # a residue of the same side is part of what the trade begins with
        if book.priced * side > 0:
            trade.opened_qty = abs(book.priced)
            trade.entry_value = side * book.cost(3)
        if book.unpriced * side > 0:
            trade.opened_unpriced_qty = abs(book.unpriced)
            trade.unpriced = True
        return trade

    def finish(self, index: int, book: Book) -> None:
        assert book.trade is not None
        book.trade.close_event = index
        book.trade = None

    def open_lot(self, book: Book, qty: int, cost: list[Money]) -> None:
        lot = Lot(qty, cost)
        if self.method == "average" and book.lots:
            old = book.lots[0]
            old.qty += qty
            old.cost = [a + b for a, b in zip(old.cost, cost, strict=True)]
        elif self.method == "lifo":
            book.lots.insert(0, lot)
        else:
            book.lots.append(lot)

    def take(self, book: Book, wanted: int) -> list[Money]:
        """Consume priced quantity; return its cost per rung."""
        gone: list[Money] = [0, 0, 0, 0]
        while wanted:
            lot = book.lots[0]
            part = min(wanted, abs(lot.qty))
            taken = book.lots.pop(0) if part == abs(lot.qty) else lot.take(part, self.exact)
            gone = [a + b for a, b in zip(gone, taken.cost, strict=True)]
            wanted -= part
        return gone

    def fill(self, index: int, event: Event, book: Book, row: Row) -> None:
        before, size = book.position, abs(event.qty)
        direction = (event.qty > 0) - (event.qty < 0)
        against = before * direction < 0
        closing = min(size, abs(before)) if against else 0
        opening = size - closing
        flat_after = abs(before + event.qty) < self.dust
        unpriced_part = min(closing, abs(book.unpriced))
        priced_part = closing - unpriced_part

        # the money of the parts; each is rounded by itself, the last one takes the rest
        whole = [self.value(event.qty, px) for px in event.px]
        pieces = {
            name: [self.value(direction * part, px) for px in event.px]
            for name, part in (("unpriced", unpriced_part), ("priced", priced_part))
        }
        last = "opening" if opening or not closing else "priced"
        others = [name for name in ("unpriced", "priced") if name != last]
        pieces[last] = [
            whole[k] - sum((pieces[name][k] for name in others), start=0) for k in RUNGS
        ]
        pieces.setdefault("opening", [0, 0, 0, 0])

        old = book.trade
        adopted = None
        if old is None and not flat_after and (opening or before):
            adopted = self.start(index, event.book, book, direction)
        gone = self.take(book, priced_part)
        row.realised = [-pieces["priced"][k] - gone[k] for k in RUNGS]
        book.unpriced += direction * unpriced_part
        row.closed_qty, row.unpriced_closed = closing, unpriced_part
        row.realised_unknown = unpriced_part > 0

        trade = old or adopted
        if trade is None:
            row.outside_trade = True
        else:
            self.touch(trade, event)
            row.signal_unpriced = trade.decision_unknown
            if closing:
                row.trade_close = trade.number
            trade.realised = [a + b for a, b in zip(trade.realised, row.realised, strict=True)]
            if trade.decision_unknown:
                trade.signal_unpriced += row.realised[0]

        closing_fee: Money = event.fee
        if old is not None and closing:
            old.closed_qty += closing
            both = pieces["unpriced"][3] + pieces["priced"][3]
            old.exit_value += both if old.side < 0 else -both
            if opening and not flat_after:
                part = Fraction(event.fee * closing, size)
                closing_fee = part if self.exact else half_even(part)
            old.fees += closing_fee
            if opening or flat_after:
                self.finish(index, book)
        if opening or (event.qty == 0 and trade is not None):
            into = book.trade
            if into is None and not flat_after:
                into = self.start(index, event.book, book, direction)
                self.touch(into, event)
            if into is not None:
                into.opened_qty += opening
                into.entry_value += into.side * pieces["opening"][3]
                into.max_qty = max(into.max_qty, abs(before + event.qty))
                row.fee_open = event.fee if into is trade else event.fee - closing_fee
                into.fees += row.fee_open
                row.trade_open = into.number
            if opening:
                self.open_lot(book, direction * opening, pieces["opening"])

    def touch(self, trade: Trade, event: Event) -> None:
        trade.n_fills += 1
        trade.decision_unknown |= not event.decision_known
        trade.fee_unknown |= event.fee_unknown

    def adjust(self, index: int, event: Event, book: Book, row: Row) -> None:
        before, after = book.position, book.position + event.qty
        flat_after = abs(after) < self.dust
        side = 1 if after > 0 else -1
        if before * event.qty >= 0:
            trade = book.trade
            if trade is None and not flat_after:
                trade = self.start(index, event.book, book, side)
            book.unpriced += event.qty
            row.outside_trade = trade is None
            if trade is not None:
                row.trade_open = trade.number
                if event.qty:
                    self.enter_unpriced(trade, abs(event.qty), abs(after), event)
            return
        closing = min(abs(event.qty), abs(before))
        unpriced_part = min(closing, abs(book.unpriced))
        row.closed_qty, row.unpriced_closed = closing, unpriced_part
        row.realised_unknown = True
        row.outside_trade = book.trade is None
        book.unpriced -= unpriced_part if before > 0 else -unpriced_part
        if closing > unpriced_part:
            row.removed = self.take(book, closing - unpriced_part)
        trade = book.trade
        if trade is not None:
            row.trade_close = trade.number
            trade.approximate |= not event.opening
            trade.unpriced |= closing > unpriced_part
            if abs(event.qty) > abs(before) or flat_after:
                self.finish(index, book)
        if abs(event.qty) > abs(before):
            if not flat_after:
                trade = self.start(index, event.book, book, side)
                row.trade_open = trade.number
                self.enter_unpriced(trade, abs(after), abs(after), event)
            book.unpriced = after

    def enter_unpriced(self, trade: Trade, qty: int, held: int, event: Event) -> None:
        trade.opened_unpriced_qty += qty
        trade.max_qty = max(trade.max_qty, held)
        trade.unpriced = True
        trade.approximate |= not event.opening
