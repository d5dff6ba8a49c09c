"""Totals of one folded group over any window of its rows, for the price of the window's edges.

Everything is additive and exact: money in blocks, counts as running sums, and all of it as running
sums where the group is short. Built once per group, when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fillbook.ground.exact import divide_half_even
from fillbook.ledger import layout
from fillbook.ledger.amounts import Wide, from_ints, products
from fillbook.ledger.blocks import Blocks
from fillbook.ledger.bundles import Outputs
from fillbook.ledger.columns import ARRIVAL_KNOWN, MID_KNOWN, GroupColumns
from fillbook.ledger.running import SHORT_ROWS, Running

I64 = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

N_RUNGS = 4

_NO_ROWS = np.zeros(0, np.int64)
_NO_ROWS.flags.writeable = False


class FlowTotals(NamedTuple):
    """What happened in some rows, all sub-books together; money in grid units.

    `realised` is per rung; `signal_unpriced` the part of rung 0 whose decision price is unknown;
    `fees` and `funding` are those in the settlement currency. A fill that several sub-books share
    counts once in `n_fills`, a payment they share once in `n_fundings`. `n_adjusted` counts where
    quantity came or went without a price.
    """

    realised: tuple[int, int, int, int]
    signal_unpriced: int
    fees: int
    funding: int
    n_fills: int
    n_fees: int
    n_fundings: int
    n_fee_unknown: int
    n_unpriced_closes: int
    n_adjusted: int


class GroupFlows:
    """The totals of one group; `columns` and `outputs` must not change any more.

    A window is a half-open range of rows that cuts no instant in two, as windows of time do.
    """

    def __init__(self, columns: GroupColumns, outputs: Outputs, trades: npt.NDArray[np.void]):
        self._columns = columns
        self._outputs = outputs
        self._trades = trades

    def window(self, first: int, last: int) -> FlowTotals:
        """Total the rows [first, last)."""
        *realised, fees, funding, unpriced = self._money.window(first, last)
        rung0, rung1, rung2, rung3 = realised
        counts = self._counted(first, last)
        return FlowTotals((rung0, rung1, rung2, rung3), unpriced, fees, funding, *counts)

    def adjusted(self, first: int, last: int) -> bool:
        """Say whether quantity came or went without a price in [first, last)."""
        return self._counted(first, last)[-1] > 0

    def paid(self, first: int, last: int) -> int:
        """Return the money paid for the fills in [first, last): quantity times price of each."""
        (together,), terms = self._values.window(first, last), self._columns.terms
        return together * terms.factor if terms.divisor == 1 else together

    def weights(self, first: int, last: int) -> tuple[int, list[int]]:
        """Return the notional of [first, last), and its parts with a known decision price, arrival
        price, mid and fee; in units of quantity times price."""
        blocks, places = self._weighed
        sums = blocks.window(first, last)
        return sums[0], [0 if place is None else sums[place] for place in places]

    def foreign(self, first: int, last: int) -> I64:
        """Return the rows of [first, last) with money in other assets."""
        rows = self._foreign
        return rows[slice(*np.searchsorted(rows, (first, last)))] if len(rows) else rows

    def closed(self, first: int, last: int) -> I64:
        """Return the numbers of the trades closed by rows [first, last), in order of closing."""
        numbers, events = self._closes
        if not len(events):
            return events
        return numbers[slice(*np.searchsorted(events, (first, last)))]

    def _summed(self, columns: Sequence[I64]) -> Blocks | Running:
        return Running.build(columns) if self._is_short else Blocks.build(columns)

    def _counted(self, first: int, last: int) -> list[int]:
        running = self._counts
        if isinstance(running, Running):
            return running.window(first, last)
        counts: list[int] = (running[:, last] - running[:, first]).tolist()
        return counts

    @property
    def _is_short(self) -> bool:
        return len(self._columns) <= SHORT_ROWS

    @cached_property
    def _money(self) -> Blocks | Running:
        n, out = len(self._columns), self._outputs
        realised: list[I64] = [out.realised[:n, rung] for rung in range(N_RUNGS)]
        flagged = (out.flags[:n] & layout.SIGNAL_UNPRICED) != 0
        unpriced = np.where(flagged[:, None], realised[0], 0)
        return self._summed([*realised, self._columns.events.fee, out.funding[:n], unpriced])

    @cached_property
    def _counts(self) -> I64 | Running:
        events, flags = self._columns.events, self._outputs.flags[: len(self._columns)]
        is_fill = events.kind == layout.FILL
        is_funding = (events.kind == layout.FUNDING) | (events.kind == layout.FUNDING_SHARE)
        counted = (
            self._firsts(is_fill),
            events.fee.any(axis=1),
            self._firsts(is_funding),
            is_fill & ((events.flags & layout.FEE_UNKNOWN) != 0),
            is_fill & ((flags & layout.REALISED_UNKNOWN) != 0),
            events.kind == layout.ADJUST,
        )
        if self._is_short:
            return Running.build([np.asarray(each, np.int64) for each in counted])
        running = np.zeros((len(counted), len(events) + 1), np.int64)
        for place, each in enumerate(counted):
            np.cumsum(each, out=running[place, 1:])
        return running

    def _firsts(self, rows: Flags) -> Flags:
        """Mark the first of those rows that one claim stands behind."""
        places = np.flatnonzero(rows)
        _, firsts = np.unique(self._columns.seq[places], return_index=True)
        marked = np.zeros(len(rows), bool)
        marked[places[firsts]] = True
        return marked

    @cached_property
    def _values(self) -> Blocks | Running:
        """Quantity times price: short of money by the factor, or rounded where it is divided."""
        terms, qty, px = self._columns.terms, self._columns.events.qty, self._fill_px
        if terms.divisor == 1:
            return self._summed([products(qty, px)])
        pairs = zip(qty.tolist(), px.tolist(), strict=True)
        rounded = (divide_half_even(lots * at * terms.factor, terms.divisor) for lots, at in pairs)
        return self._summed([from_ints(rounded)])

    @property
    def _fill_px(self) -> I64:
        return np.ascontiguousarray(self._columns.events.px[:, N_RUNGS - 1])

    @cached_property
    def _weighed(self) -> tuple[Blocks | Running, tuple[int | None, ...]]:
        """The notional of fills and its parts, and which column holds what is known of each."""
        columns, events = self._columns, self._columns.events
        notional = products(np.abs(events.qty), np.abs(self._fill_px))
        known = (
            (events.flags & layout.DECISION_KNOWN) != 0,
            (columns.traits & ARRIVAL_KNOWN) != 0,
            (columns.traits & MID_KNOWN) != 0,
            (events.flags & layout.FEE_UNKNOWN) == 0,
        )
        is_fill = events.kind == layout.FILL
        parts: list[Wide] = [notional]
        places: list[int | None] = []
        for each in known:
            mine = each[is_fill]
            # All or nothing is what most sources know; neither needs a column of its own.
            if mine.all() or not mine.any():
                places.append(0 if mine.all() else None)
                continue
            places.append(len(parts))
            parts.append(np.where(each[:, None], notional, 0))
        return self._summed(parts), tuple(places)

    @cached_property
    def _foreign(self) -> I64:
        return np.flatnonzero(self._columns.foreign >= 0) if self._columns.assets else _NO_ROWS

    @cached_property
    def _closes(self) -> tuple[I64, I64]:
        events = self._trades["close_event"]
        order = np.argsort(events, kind="stable")
        # Open trades, at -1, come first.
        order = order[np.searchsorted(events, 0, sorter=order) :]
        return (order, events[order]) if len(order) else (_NO_ROWS, _NO_ROWS)
