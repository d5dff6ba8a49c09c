"""The closed and open trades of a selection as columns: what statistics are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    numbers = part.group.states_before(part.last)["trade"][list(part.books)]
    return np.sort(numbers[numbers >= 0])


def _table(
    currency: str,
    parts: Sequence[Part],
    valuer: Valuer,
    until_ns: int,
    chosen: Callable[[Part], I64],
) -> TradeTable:
    numbers = [chosen(part) for part in parts]
    # Thousands of books have none in most windows; one piece there must be, for its columns.
    places = [place for place, found in enumerate(numbers) if len(found)] or [0]
    pieces = [
        _piece(place, parts[place].group, numbers[place], valuer, until_ns) for place in places
    ]
    columns = [np.concatenate(column) for column in zip(*pieces, strict=True)]
    table = TradeTable(currency, [part.group for part in parts], *columns)
    order = np.lexsort((table.number, table.group, table.open_ns, table.close_ns))
    return table.pick(order)


def _piece(
    place: int, group: GroupLedger, numbers: I64, valuer: Valuer, until_ns: int
) -> tuple[npt.NDArray, ...]:  # type: ignore[type-arg]
    trades, ts_ns = group.books.trades[numbers], group.columns.ts_ns
    # A trade that closes behind the window's end counts as open there.
    close_ns = np.minimum(ts_ns[trades["close_event"]], until_ns)
    close_ns[trades["close_event"] < 0] = until_ns
    fees = np.ascontiguousarray(trades["fees"])
    fee_unknown = (trades["flags"] & layout.TRADE_FEE_UNKNOWN) != 0
    if len(trades) and group.columns.assets:
        last = len(group) if (trades["close_event"] < 0).any() else trades["close_event"].max() + 1
        paid = group.flows.foreign(int(trades["open_event"].min()), int(last))
        extra = foreign_fees(group, paid, valuer)
        fees = add_arrays(fees, from_ints(extra.by_trade.get(int(n), 0) for n in trades["number"]))
        fee_unknown |= np.isin(trades["number"], sorted(extra.unvalued))
    count = len(trades)
    return (
        np.full(count, place, dtype=np.int64),
        trades["number"].astype(np.int64),
        ts_ns[trades["open_event"]],
        close_ns,
        np.ascontiguousarray(trades["realised"][:, 3]),
        fees,
        np.ascontiguousarray(trades["funding"]),
        trades["n_fills"].astype(np.int64),
        (trades["flags"] & layout.TRADE_UNPRICED) != 0,
        fee_unknown,
        np.full(count, group.columns.without_times),
    )
