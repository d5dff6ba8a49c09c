"""Folding one group: events in, flows and trades out, with states to resume from.

`fold_group` is the only way into the kernel (`kernel.py`). It gives it room, cuts the events at
checkpoints, and turns what the kernel wrote into named columns. A group is one (account,
instrument, position side); its sub-books are numbered from 0, and book 0 is "-", no strategy.

How a fill moves a book. In the direction of the position it adds quantity and cost. Against it,
it consumes unpriced quantity first (its result is unknown), then priced quantity: AVERAGE takes
sign(C) * floor(|C| * m / Q) of each rung's cost for m out of Q, FIFO and LIFO take lots; the last
close takes everything. `realised[k]` is the closing value at rung k minus the cost removed there.
What is left over opens in the new direction: one fill, two trades. Its fee is then split: the
closing share is fee * closed / quantity, half-even; the opening part gets the rest.

A position below `dust` counts as flat: the trade closes, quantity and cost stay, and the next
trade begins with them. A fill against such a residue closes it first, and that result belongs to
the trade the fill opens; where the fill opens none, it belongs to no trade (`OUTSIDE_TRADE`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fillbook.ledger import layout
from fillbook.ledger.bundles import EventColumns, Outputs
from fillbook.ledger.states import State

__all__ = [
    "EventColumns",
    "FoldError",
    "FoldResult",
    "Outputs",
    "State",
    "fold_group",
    "splice_trades",
]

Words = NDArray[np.int64]
Rows = NDArray[np.void]

_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class FoldError:
    """Why a fold stopped: a `layout` code and the group's index of the event it stopped at."""

    code: int
    event: int


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What a fold found.

    The first `n_folded` rows of `outputs` are valid. `trades` are `TRADE_DTYPE` rows by number:
    those already open at the start, then all new ones; open ones have `close_event` -1. `removed`
    are `REMOVED_DTYPE` rows. `checkpoints` are the states at every multiple of `checkpoint_every`
    events of the group. With an `error`, everything is as of just before that event. Event indices
    count from the group's beginning. `trades` is a copy, `outputs` the memory that was handed in.
    """

    outputs: Outputs
    n_folded: int
    trades: Rows
    removed: Rows
    state: State
    checkpoints: tuple[State, ...]
    error: FoldError | None


def fold_group(
    events: EventColumns,
    *,
    method: int,
    factor: int,
    divisor: int = 1,
    dust: int = 0,
    n_books: int = 1,
    state: State | None = None,
    outputs: Outputs | None = None,
    checkpoint_every: int = 0,
) -> FoldResult:
    """Fold the events of one group, from the beginning or on from `state`.

    A value is half_even(qty * px * factor / divisor) on the 1e-18 grid. With `state`, `events` are
    the ones after it. `outputs` reuses earlier memory and may be longer than the events.
    ValueError where an argument or a column cannot be folded at all.

    >>> from fillbook.ledger.amounts import to_ints
    >>> events = EventColumns.allocate(2)
    >>> events.qty[:] = 5, -5
    >>> events.px[:] = [[100] * 4, [110] * 4]
    >>> result = fold_group(events, method=layout.AVERAGE, factor=10**16)
    >>> to_ints(result.outputs.realised[:, 3]), result.trades["closed_qty"].tolist()
    ([0, 500000000000000000], [5])
    """
    start = State.empty(n_books) if state is None else state
    _check(events, method, factor, divisor, dust, len(start.books))
    out = Outputs.allocate(len(events)) if outputs is None else outputs
    if len(out) < len(events):
        raise ValueError(f"outputs hold {len(out)} rows for {len(events)} events")
    rules = (method, factor, divisor, max(dust, 1))
    run = _Run(events, rules, start, out)
    checkpoints, error = run.all(checkpoint_every)
    return FoldResult(
        outputs=out,
        n_folded=run.done,
        trades=run.trades(),
        removed=run.removed_rows(),
        state=run.state(),
        checkpoints=checkpoints,
        error=error,
    )


def splice_trades(earlier: Rows, result: FoldResult, n_trades: int) -> Rows:
    """Return all trades of a group after a refold from a checkpoint that had counted `n_trades`.

    `earlier` are the trades of the fold the checkpoint came from: those numbered below `n_trades`
    stay, except where `result` tells how one of them went on.
    """
    numbers = result.trades["number"]
    kept = earlier[:n_trades].copy()
    kept[numbers[numbers < n_trades]] = result.trades[numbers < n_trades]
    return np.concatenate([kept, result.trades[numbers >= n_trades]])


def _check(
    events: EventColumns, method: int, factor: int, divisor: int, dust: int, n_books: int
) -> None:
    """Refuse what the compiled loop would take without looking."""
    if method not in (layout.AVERAGE, layout.FIFO, layout.LIFO):
        raise ValueError(f"no lot method {method}")
    if not (0 < divisor < 2**63 and abs(factor) < 2**63 and 0 <= dust < 2**63):
        raise ValueError("factor, divisor and dust must be int64, divisor > 0, dust >= 0")
    n = len(events)
    shapes = [getattr(events, f.name).shape for f in fields(events)]
    if shapes != [(n,), (n,), (n,), (n, 4), (n, 2), (n, 2), (n,)]:
        raise ValueError(f"columns of events have the shapes {shapes}")
    if n and not (int(events.book.min()) >= 0 and int(events.book.max()) < n_books):
        raise ValueError(f"books must lie in [0, {n_books})")
    if n and int(events.kind.max()) > layout.FUNDING_SHARE:
        raise ValueError(f"no kind of event {int(events.kind.max())}")


class _Run:
    """One fold under way: the kernel's working memory and how far it has come."""

    def __init__(
        self, events: EventColumns, rules: tuple[int, int, int, int], start: State, out: Outputs
    ) -> None:
        from fillbook.ledger import kernel  # numba is heavy: loaded where something is folded

        self._loop = kernel.compiled_fold()
        self._gather = kernel.compiled_gather()
        self.events = events
        self.out = out
        self.start = start
        self.done = 0
        carried = start.books["trade"]
        self.n_carried = int((carried >= 0).sum())
        self.carried = np.where(carried >= 0, np.argsort(np.argsort(carried)), -1)
        self.carried[carried >= 0] -= len(carried) - self.n_carried
        shift = self.n_carried - start.n_trades
        self.rules = np.array([*rules, start.n_events, start.n_trades, shift], np.int64)
        n_adjusts = int((events.kind == layout.ADJUST).sum())
        self.removed = np.zeros((n_adjusts, 4, 2), np.int64)
        self.removed_event = np.zeros(n_adjusts, np.int64)
        self.n_removed = 0
        self._restore(start)
        self.head[layout.H_REMOVED] = 0

    def _restore(self, state: State) -> None:
        """Lay a state out as the kernel wants it: links between lots, free room behind."""
        n_lots = len(state.lots)
        self.books = _words(state.books).copy()
        self.pool = np.zeros((n_lots, layout.LOT_WORDS), np.int64)
        self.pool[:] = _words(state.lots)
        counts = state.books["n_lots"]
        ends = np.cumsum(counts)
        held = counts > 0
        self.pool[:, layout.L_LINK] = np.arange(1, n_lots + 1)
        self.pool[ends[held] - 1, layout.L_LINK] = -1
        self.books[:, layout.S_FIRST] = np.where(held, ends - counts, -1)
        self.books[:, layout.S_LAST] = np.where(held, ends - 1, -1)
        self.head = np.array([state.n_trades, *state.share, -1, n_lots, 0], np.int64)

    def all(self, checkpoint_every: int) -> tuple[tuple[State, ...], FoldError | None]:
        """Fold every event, or up to the one that cannot be."""
        n = len(self.events)
        checkpoints: list[State] = []
        step = checkpoint_every or _CHUNK
        while self.done < n:
            before, done = self.state(), self.done
            n_removed = int(self.head[layout.H_REMOVED])
            ahead = step - before.n_events % step
            code, row = self._fold(min(n, done + ahead))
            if code != layout.FOLDED:
                # the failing event may be half done: again from before the chunk, up to it
                self._restore(before)
                self.head[layout.H_REMOVED] = n_removed
                self.done = done
                self._fold(row)
                return tuple(checkpoints), FoldError(code, before.n_events + row - done)
            if checkpoint_every and (self.start.n_events + self.done) % step == 0:
                checkpoints.append(self.state())
        return tuple(checkpoints), None

    def _fold(self, stop: int) -> tuple[int, int]:
        """Fold events [done, stop), with room for a new trade and a new lot each."""
        ahead = stop - self.done
        used = self.n_carried + int(self.head[layout.H_TRADES]) - self.start.n_trades
        self.out.trade_rows = _with_room(self.out.trade_rows, used + ahead)
        if self.rules[0] != layout.AVERAGE:
            live = int(self.books[:, layout.S_LOTS].sum())
            self.pool = _with_room(self.pool, live + ahead)
        e, o = self.events, self.out
        code, row = self._loop(
            self.done,
            stop,
            self.rules,
            e.kind,
            e.book,
            e.qty,
            e.px,
            e.fee,
            e.amount,
            e.flags,
            self.books,
            self.pool,
            self.head,
            o.trade_rows,
            self.carried,
            self.removed,
            self.removed_event,
            o.realised,
            o.closed_qty,
            o.unpriced_closed,
            o.position_after,
            o.trade_close,
            o.trade_open,
            o.fee_open,
            o.funding,
            o.flags,
        )
        if code == layout.FOLDED:
            self.done = stop
        return int(code), int(row)

    def state(self) -> State:
        """Return the present state, compact: lots in order of consumption, no places."""
        lots = np.empty((int(self.books[:, layout.S_LOTS].sum()), layout.LOT_WORDS), np.int64)
        if len(lots):
            self._gather(self.books, self.pool, lots)
        books = self.books.copy()
        books[:, layout.S_FIRST] = -1
        books[:, layout.S_LAST] = -1
        n_trades, *share = self.head[: layout.H_SHARE_GIVEN + 2].tolist()
        return State(
            books=books.view(layout.STATE_DTYPE)[:, 0],
            lots=lots.view(layout.LOT_DTYPE)[:, 0],
            n_events=self.start.n_events + self.done,
            n_trades=n_trades,
            share=tuple(share),
        )

    def trades(self) -> Rows:
        """Return the rows of closed trades and, as they stand, of the open ones."""
        first = self.start.n_trades
        count = self.n_carried + int(self.head[layout.H_TRADES]) - first
        rows = self.out.trade_rows[:count].copy()
        for book in np.flatnonzero(self.books[:, layout.S_TRADE] >= 0).tolist():
            words = self.books[book]
            number = int(words[layout.S_TRADE])
            row = number - first + self.n_carried if number >= first else int(self.carried[book])
            rows[row, layout.T_SIDE :] = words[layout.S_SIDE :]
            rows[row, : layout.T_SIDE] = number, book, words[layout.S_OPENED_AT], -1
        return rows.view(layout.TRADE_DTYPE)[:, 0]

    def removed_rows(self) -> Rows:
        """Return what adjustments took out."""
        count = int(self.head[layout.H_REMOVED])
        rows = np.zeros(count, layout.REMOVED_DTYPE)
        rows["event"] = self.removed_event[:count]
        rows["cost"] = self.removed[:count]
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
