"""The kernel's memory for one fold: flat words with room enough, and the way back to columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fillbook.ledger import layout
from fillbook.ledger.bundles import EventColumns, Outputs
from fillbook.ledger.kernel import compiled_fold, compiled_snapshot
from fillbook.ledger.states import NO_LOTS, State

Words = NDArray[np.int64]
Rows = NDArray[np.void]

# Before so many events the kernel is given room for a new trade and a new lot each.
_CHUNK = 65_536
_NOTHING_REMOVED = np.zeros(0, layout.REMOVED_DTYPE)


class Workspace:
    """One fold under way.

    `rules` are method, factor, divisor and dust. Trades stand in `outputs.trade_rows`: first the
    ones already open in `start`, by number, then new ones. `done` counts the events folded here,
    `n_removed` the rows that adjustments wrote.
    """

    def __init__(
        self,
        events: EventColumns,
        rules: tuple[int, int, int, int],
        start: State,
        outputs: Outputs,
    ) -> None:
        self.events = events
        self.out = outputs
        self.start = start
        self._loop = compiled_fold()
        self._snapshot = compiled_snapshot()
        carried = start.books["trade"][start.books["trade"] >= 0]
        self._rows = {number: row for row, number in enumerate(sorted(carried.tolist()))}
        self._shift = len(carried) - start.n_trades
        self._rules = np.array([*rules, start.n_events, self._shift], np.int64)
        n_adjusts = int((events.kind == layout.ADJUST).sum())
        self._removed = np.zeros((n_adjusts, 4, 2), np.int64)
        self._removed_event = np.zeros(n_adjusts, np.int64)
        self.out.trade_rows = _with_room(outputs.trade_rows, len(carried))
        self.restore(start, 0)

    @property
    def n_removed(self) -> int:
        """Rows that adjustments wrote so far."""
        return int(self._head[layout.H_REMOVED])

    def restore(self, state: State, n_removed: int) -> None:
        """Go (back) to a state: linked lots, open trades in their rows."""
        n_lots, counts = len(state.lots), state.books["n_lots"]
        ends, size, held = np.cumsum(counts), layout.LOT_WORDS, counts > 0
        self._pool = np.zeros((n_lots, size), np.int64)
        self._pool[:] = _words(state.lots)
        self._pool[:, layout.L_LINK] = np.arange(1, n_lots + 1) * size
        self._pool[ends[held] - 1, layout.L_LINK] = -1
        counters = (state.n_trades, *state.share, -1, self._pool.size, n_removed)
        self._head = np.array(counters, np.int64)
        words = _words(state.books)
        self._books = np.zeros((len(words), layout.BOOK_WORDS), np.int64)
        self._books[:, : layout.B_ROW] = words[:, : layout.B_ROW]
        self._books[:, layout.B_FIRST] = np.where(held, (ends - counts) * size, -1)
        self._books[:, layout.B_LAST] = np.where(held, (ends - 1) * size, -1)
        for book in np.flatnonzero(state.books["trade"] >= 0).tolist():
            number = int(state.books["trade"][book])
            row = self._rows.get(number, number + self._shift)
            self._books[book, layout.B_ROW] = row * layout.TRADE_WORDS
            opened = number, book, words[book, layout.S_OPENED_AT], -1
            self.out.trade_rows[row, : layout.T_SIDE] = opened
            self.out.trade_rows[row, layout.T_SIDE :] = words[book, layout.S_SIDE :]
        self.done = state.n_events - self.start.n_events
        self._bind()

    def _bind(self) -> None:
        """Collect what the kernel is called with, flat; again whenever memory was replaced."""
        e, o = self.events, self.out
        columns: tuple[NDArray[Any], ...] = (
            *(e.kind, e.book, e.qty, e.px, e.fee, e.amount, e.flags),
            *(self._books, self._pool, self._head, o.trade_rows),
            *(self._removed, self._removed_event),
            *(o.realised, o.closed_qty, o.unpriced_closed, o.position_after),
            *(o.trade_close, o.trade_open, o.fee_open, o.funding, o.flags),
        )
        self._flat = [column.reshape(-1) for column in columns]

    def advance(self, stop: int) -> int:
        """Fold events up to `stop`; return a code, `done` being the event it speaks of."""
        while self.done < stop:
            until = min(stop, self.done + _CHUNK)
            self._make_room(until - self.done)
            code, row = self._loop(self.done, until, self._rules, *self._flat)
            self.done = int(row)
            if code != layout.FOLDED:
                return int(code)
        return layout.FOLDED

    def _make_room(self, ahead: int) -> None:
        used = int(self._head[layout.H_TRADES]) + self._shift
        rows = _with_room(self.out.trade_rows, used + ahead)
        pool = self._pool
        if self._rules[0] != layout.AVERAGE:
            pool = _with_room(pool, int(self._books[:, layout.B_LOTS].sum()) + ahead)
        if rows is not self.out.trade_rows or pool is not self._pool:
            self.out.trade_rows, self._pool = rows, pool
            self._bind()

    def state(self) -> State:
        """Return the present state, compact: lots in order of consumption, no places."""
        n_lots = int(self._books[:, layout.B_LOTS].sum())
        books = np.empty(len(self._books), layout.STATE_DTYPE)
        lots = np.empty(n_lots, layout.LOT_DTYPE) if n_lots else NO_LOTS
        words = (books.view(np.int64), lots.view(np.int64))
        memory = (self._books, self._pool, self.out.trade_rows, *words)
        self._snapshot(*(rows.reshape(-1) for rows in memory))
        n_trades, *share = self._head[: layout.H_SHARE_GIVEN + 2].tolist()
        return State(
            books=books,
            lots=lots,
            n_events=self.start.n_events + self.done,
            n_trades=n_trades,
            share=tuple(share),
        )

    def trades(self) -> Rows:
        """Return the rows of trades, the open ones as they stand."""
        count = int(self._head[layout.H_TRADES]) + self._shift
        return self.out.trade_rows[:count].view(layout.TRADE_DTYPE)[:, 0]

    def removed_rows(self) -> Rows:
        """Return what adjustments took out."""
        if not self.n_removed:
            return _NOTHING_REMOVED
        rows = np.zeros(self.n_removed, layout.REMOVED_DTYPE)
        rows["event"] = self._removed_event[: len(rows)]
        rows["cost"] = self._removed[: len(rows)]
        return rows


def _words(rows: Rows) -> Words:
    """Return structured rows as a matrix of their words."""
    return np.ascontiguousarray(rows).view(np.int64).reshape(len(rows), rows.dtype.itemsize // 8)


def _with_room(rows: Words, wanted: int) -> Words:
    """Return the rows, in new memory of at least double size where they have no room."""
    if len(rows) >= wanted:
        return rows
    larger = np.zeros((max(wanted, 2 * len(rows)), rows.shape[1]), np.int64)
    larger[: len(rows)] = rows
    return larger
