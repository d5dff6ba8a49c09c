"""The closed and open trades of a selection as columns: what statistics are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import Part
from fillbook.ground.exact import divide_half_even
from fillbook.ledger import layout
from fillbook.ledger.amounts import Wide, add_arrays, from_ints, negated, to_ints
from fillbook.ledger.group import GroupLedger

I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.void]

_NO_TRADES = np.zeros(0, np.int64)


@dataclass(frozen=True)
class TradeTable:
    """Trades of one settlement currency; money columns (n, 2) on the grid, in close order.

    `group` and `number` say where each trade stands; `close_ns` of an open trade is the end of
    the window. `unpriced` trades have unknown PnL; `fee_unknown` ones an unknown net.
    `untimed` trades come from files without times.
    """

    currency: str
    groups: Sequence[GroupLedger]
    group: I64
    number: I64
    open_ns: I64
    close_ns: I64
    gross: Wide
    fees: Wide
    funding: Wide
    n_fills: I64
    unpriced: Flags
    fee_unknown: Flags
    untimed: Flags

    def __len__(self) -> int:
        return len(self.number)

    @cached_property
    def net(self) -> Wide:
        """Return gross - fees + funding per trade."""
        return add_arrays(add_arrays(self.gross, negated(self.fees)), self.funding)

    def pick(self, rows: Flags | I64) -> TradeTable:
        """Return some of the trades."""
        return TradeTable(
            self.currency,
            self.groups,
            *(
                getattr(self, name)[rows]
                for name in (
                    *("group", "number", "open_ns", "close_ns", "gross", "fees", "funding"),
                    *("n_fills", "unpriced", "fee_unknown", "untimed"),
                )
            ),
        )


@dataclass(frozen=True)
class ForeignFees:
    """Third-asset fees of one group, valued at their own time and shared out to trades."""

    by_trade: dict[int, int]
    unvalued: frozenset[int]


def foreign_fees(group: GroupLedger, rows: I64, valuer: Valuer) -> ForeignFees:
    """Value what rows paid in other assets per trade; a fill without a rate leaves it unknown.

    On a flip the closing share rounds half-even, the opening trade gets the rest. Foreign funding
    counts with the opposite sign.
    """
    columns, flows = group.columns, group.books.outputs
    by_trade: dict[int, int] = {}
    unvalued: set[int] = set()
    money = valuer.foreign_money(columns)
    valued = zip(rows.tolist(), to_ints(money.values[rows]), money.known[rows], strict=True)
    for row, value, known in valued:
        closing, opening = int(flows.trade_close[row]), int(flows.trade_open[row])
        if not known:
            unvalued.update(trade for trade in (closing, opening) if trade >= 0)
            continue
        share = value
        if opening >= 0:
            moved = abs(int(columns.events.qty[row]))
            closed = int(flows.closed_qty[row]) if closing >= 0 else 0
            share = divide_half_even(value * closed, moved) if moved else 0
            by_trade[opening] = by_trade.get(opening, 0) + value - share
        if closing >= 0:
            by_trade[closing] = by_trade.get(closing, 0) + share
    return ForeignFees(by_trade, frozenset(unvalued))


def trade_tables(
    parts: Sequence[Part], valuer: Valuer, since_ns: int | None, until_ns: int
) -> tuple[dict[str, TradeTable], dict[str, TradeTable]]:
    """Return per currency the trades closed inside [since, until), and those open at its end."""
    closed: dict[str, TradeTable] = {}
    opened: dict[str, TradeTable] = {}
    for currency in sorted({part.currency for part in parts}):
        chosen = [part for part in parts if part.currency == currency]
        closed[currency] = _table(currency, chosen, valuer, until_ns, _closed)
        opened[currency] = _table(currency, chosen, valuer, until_ns, _open)
    return closed, opened


def _closed(part: Part) -> I64:
    """Return the numbers of the trades that a part's rows close, in order of closing."""
    numbers = part.group.flows.closed(part.first, part.last)
    if part.whole:
        return numbers
    return numbers[np.isin(part.group.books.trades["book"][numbers], part.books)]


def _open(part: Part) -> I64:
    """Return the numbers of the trades that are open behind a part's rows."""
    held = part.group.held_before(part.last)
    numbers = sorted(held[book].trade for book in part.books if held[book].trade >= 0)
    return np.array(numbers, np.int64) if numbers else _NO_TRADES


def _table(
    currency: str,
    parts: Sequence[Part],
    valuer: Valuer,
    until_ns: int,
    chosen: Callable[[Part], I64],
) -> TradeTable:
    groups = [part.group for part in parts]
    numbers = [chosen(part) for part in parts]
    # Thousands of books have none in most windows.
    places = [place for place, found in enumerate(numbers) if len(found)]
    pieces = [_picked(groups[place], numbers[place]) for place in places]
    # As words: records are compared field by field before they are joined.
    words = [piece.view(np.int64) for piece in pieces]
    trades = np.concatenate([*words, _NO_TRADES]).view(layout.TRADE_DTYPE)
    of_group = np.repeat(np.array(places, np.int64), [len(piece) for piece in pieces])
    fees = np.ascontiguousarray(trades["fees"])
    fee_unknown = (trades["flags"] & layout.TRADE_FEE_UNKNOWN) != 0
    for place, rows in _with_assets(groups, places, pieces):
        extra = _foreign_fees_of(groups[place], trades[rows], valuer)
        asked = trades["number"][rows].tolist()
        fees[rows] = add_arrays(fees[rows], from_ints(extra.by_trade.get(n, 0) for n in asked))
        fee_unknown[rows] |= np.isin(asked, sorted(extra.unvalued))
    # A trade that closes behind the window's end counts as open there.
    close_ns = np.minimum(_times(groups, places, pieces, "close_event"), until_ns)
    close_ns[trades["close_event"] < 0] = until_ns
    table = TradeTable(
        currency,
        groups,
        group=of_group,
        number=trades["number"].astype(np.int64),
        open_ns=_times(groups, places, pieces, "open_event"),
        close_ns=close_ns,
        gross=np.ascontiguousarray(trades["realised"][:, 3]),
        fees=fees,
        funding=np.ascontiguousarray(trades["funding"]),
        n_fills=trades["n_fills"].astype(np.int64),
        unpriced=(trades["flags"] & layout.TRADE_UNPRICED) != 0,
        fee_unknown=fee_unknown,
        untimed=np.array([group.columns.without_times for group in groups], bool)[of_group],
    )
    order = np.lexsort((table.number, table.group, table.open_ns, table.close_ns))
    return table.pick(order)


def _picked(group: GroupLedger, numbers: I64) -> Rows:
    """Return some trades of a group."""
    words = group.books.trades.view(np.int64).reshape(-1, layout.TRADE_WORDS)
    return words[numbers].view(layout.TRADE_DTYPE)[:, 0]


def _times(
    groups: Sequence[GroupLedger], places: Sequence[int], pieces: Sequence[Rows], event: str
) -> I64:
    """Return when an event of each trade was; the group's last time where there is none (-1)."""
    told = zip(places, pieces, strict=True)
    times = [groups[place].columns.ts_ns[piece[event]] for place, piece in told]
    return np.concatenate(times) if times else np.zeros(0, np.int64)


def _with_assets(
    groups: Sequence[GroupLedger], places: Sequence[int], pieces: Sequence[Rows]
) -> Iterator[tuple[int, slice]]:
    """Yield the groups that paid in other assets, with the rows of their trades."""
    start = 0
    for place, piece in zip(places, pieces, strict=True):
        if groups[place].columns.assets:
            yield place, slice(start, start + len(piece))
        start += len(piece)


def _foreign_fees_of(group: GroupLedger, trades: Rows, valuer: Valuer) -> ForeignFees:
    """Value what some trades of a group paid in other assets."""
    closes = trades["close_event"]
    last = len(group) if (closes < 0).any() else int(closes.max()) + 1
    paid = group.flows.foreign(int(trades["open_event"].min()), last)
    return foreign_fees(group, paid, valuer)
