"""Folds a group again after some of its events changed, and only where that matters.

A late fact changes rows somewhere in the middle. The rows before it stand; from the last
checkpoint there the fold goes on, until its state meets one of the earlier fold's checkpoints
inside the rows that both have in common at the end. What follows is the earlier fold's, with
events and trades numbered anew. The result is what folding from the beginning gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fillbook.ground.settings import FoldMethod
from fillbook.ledger.bundles import EventColumns, Outputs
from fillbook.ledger.columns import GroupColumns
from fillbook.ledger.fold import FoldResult, splice_trades
from fillbook.ledger.group import (
    CHECKPOINT_EVERY,
    GroupLedger,
    as_one_book,
    fold_columns,
    folded_on,
)
from fillbook.ledger.states import State

Rows = NDArray[np.void]
Numbers = NDArray[np.int64]

_PER_EVENT = tuple(f.name for f in fields(Outputs) if f.name != "trade_rows")
_NAMES_OF_TRADES = ("trade_close", "trade_open")


def refold(
    earlier: GroupLedger, columns: GroupColumns, every: int = CHECKPOINT_EVERY
) -> GroupLedger:
    """Return the fold of `columns`, taking over from `earlier` whatever is the same.

    Equal to `fold_columns(columns, earlier.method)` in digest, trades and states; only the places
    of checkpoints, `every` so many events folded, may differ. Where terms or sub-books changed,
    or either fold ends at a number that does not fit, nothing can be taken over.
    """
    if same_columns(earlier.columns, columns):
        return earlier
    known = earlier.columns
    if (known.terms, known.books) != (columns.terms, columns.books):
        return fold_columns(columns, earlier.method, every)
    books = _refolded(columns, known.events, earlier.method, earlier.books, every)
    venue = books
    if len(columns.books) > 1:
        netted = as_one_book(columns)
        known_events = as_one_book(known).events
        venue = _refolded(netted, known_events, earlier.method, earlier.venue, every)
    if books is None or venue is None:
        return fold_columns(columns, earlier.method, every)
    return GroupLedger(columns, earlier.method, books, venue, [])


def same_columns(left: GroupColumns, right: GroupColumns) -> bool:
    """Tell whether two groups are the same, row by row and in all that is told of them."""
    return all(
        _same(getattr(left, name.name), getattr(right, name.name)) for name in fields(GroupColumns)
    )


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, EventColumns):
        return all(_same(getattr(left, f.name), getattr(right, f.name)) for f in fields(left))
    if isinstance(left, np.ndarray):
        return np.array_equal(left, right)
    # Texts are lists, or a column of the cache.
    if isinstance(left, Sequence) or hasattr(left, "to_list"):
        return len(left) == len(right) and list(left) == list(right)
    return bool(left == right)


def _refolded(
    columns: GroupColumns, known: EventColumns, method: FoldMethod, fold: FoldResult, every: int
) -> FoldResult | None:
    """Refold one of a group's two folds; None where that is not possible."""
    events = columns.events
    if fold.n_folded != len(known):
        return None  # it ended at a number that does not fit
    first = _shared_rows(known, events, forward=True)
    if first == len(known) == len(events):
        return fold
    behind = _shared_rows(known, events, forward=False)
    behind = min(behind, min(len(known), len(events)) - first)
    run = _Refold(fold, _start_of(fold, first, len(columns.books)), len(events))
    for stop, meeting in _stops(fold, len(known) - behind, len(events) - len(known), len(events)):
        start = run.state
        piece = events.slice(start.n_events, stop)
        outputs = run.room(start.n_events, stop)
        result = folded_on(columns, piece, method, start, every, outputs)
        if result.error is not None:
            return None
        run.add(result)
        if meeting is not None and run.state.same_money(meeting):
            run.take_over(meeting)
            break
    return run.finish(every)


def _shared_rows(left: EventColumns, right: EventColumns, *, forward: bool) -> int:
    """Count the rows that two groups have in common at their beginning, or at their end."""
    n = min(len(left), len(right))
    differs = np.zeros(n, bool)
    for each in fields(EventColumns):
        ours, theirs = getattr(left, each.name), getattr(right, each.name)
        cut = slice(0, n) if forward else slice(-n, None)
        unequal = ours[cut] != theirs[cut] if n else differs
        differs |= unequal if unequal.ndim == 1 else unequal.any(axis=1)
    places = differs if forward else differs[::-1]
    return int(places.argmax()) if places.any() else n


def _start_of(fold: FoldResult, first: int, n_books: int) -> State:
    """Return the last known state before the first row that differs."""
    if first == fold.n_folded:
        return fold.state
    start = State.empty(n_books)
    for state in fold.checkpoints:
        if state.n_events > first:
            break
        start = state
    return start


def _stops(fold: FoldResult, tail: int, shift: int, end: int) -> Iterator[tuple[int, State | None]]:
    """Yield where to stop and look, with the earlier state to be met there; at last the end.

    The distance doubles: states that do not meet soon mostly never do.
    """
    meetings = [state for state in fold.checkpoints if state.n_events >= tail]
    place = 0
    while place < len(meetings):
        yield meetings[place].n_events + shift, meetings[place]
        place = 2 * place + 1
    yield end, None


class _Renumbering:
    """How the rest of an earlier fold is numbered in the new one, from a state both have."""

    def __init__(self, meeting: State, state: State, n_trades: int) -> None:
        self.meeting = meeting
        self.state = state
        self.events = state.n_events - meeting.n_events
        self.trades = state.n_trades - meeting.n_trades
        # One place more: -1, no trade, stays -1.
        self._numbers = np.full(n_trades + 1, -1, np.int64)
        later = np.arange(meeting.n_trades, n_trades)
        self._numbers[later] = later + self.trades
        live = meeting.books["trade"] >= 0
        self._numbers[meeting.books["trade"][live]] = state.books["trade"][live]

    def numbers(self, known: NDArray[Any]) -> NDArray[Any]:
        """Renumber trades; those open at the meeting go on under the number of their book's."""
        found: NDArray[Any] = self._numbers[known].astype(known.dtype)
        return found

    def opened_at(self, trades: Numbers, books: Numbers, known: Numbers) -> Numbers:
        """Renumber the events that opened trades."""
        carried = trades < self.meeting.n_trades
        before = self.state.books["open_event"][books]
        moved: Numbers = np.where(carried, before, known + self.events)
        return moved

    def of_state(self, known: State) -> State:
        """Renumber a state that comes after the meeting."""
        books = known.books.copy()
        live = np.flatnonzero(books["trade"] >= 0)
        trades = books["trade"][live]
        books["open_event"][live] = self.opened_at(trades, live, books["open_event"][live])
        books["trade"][live] = self.numbers(trades)
        return State(
            books,
            known.lots,
            known.n_events + self.events,
            known.n_trades + self.trades,
            known.share,
        )

    def of_trades(self, known: Rows) -> Rows:
        """Renumber trades that were open at the meeting or began after it."""
        moved = known.copy()
        moved["open_event"] = self.opened_at(known["number"], known["book"], known["open_event"])
        moved["number"] = self.numbers(known["number"])
        moved["close_event"] += np.where(known["close_event"] < 0, 0, self.events)
        return moved


class _Refold:
    """A fold put together: rows taken over, rows folded again, rows taken over renumbered."""

    def __init__(self, earlier: FoldResult, start: State, n_events: int) -> None:
        self.earlier = earlier
        self.state = start
        self.trades = earlier.trades
        self.removed = [earlier.removed[earlier.removed["event"] < start.n_events]]
        self.checkpoints = [c for c in earlier.checkpoints if c.n_events <= start.n_events]
        self.outputs = _empty_like(earlier.outputs, n_events)
        self._copy(slice(0, start.n_events), slice(0, start.n_events))

    def _copy(self, here: slice, there: slice) -> None:
        for name in _PER_EVENT:
            getattr(self.outputs, name)[here] = getattr(self.earlier.outputs, name)[there]

    def room(self, first: int, stop: int) -> Outputs:
        """Return the rows [first, stop) to be folded into."""
        return Outputs(*(getattr(self.outputs, name)[first:stop] for name in _PER_EVENT))

    def add(self, result: FoldResult) -> None:
        """Take the fold of the next rows."""
        self.trades = splice_trades(self.trades, result, self.state.n_trades)
        self.removed.append(result.removed)
        self.checkpoints += result.checkpoints
        self.state = result.state

    def take_over(self, meeting: State) -> None:
        """Take the rest from the earlier fold, whose state `meeting` is the present one."""
        earlier, anew = self.earlier, _Renumbering(meeting, self.state, len(self.earlier.trades))
        here, there = self.state.n_events, meeting.n_events
        self._copy(slice(here, None), slice(there, earlier.n_folded))
        for name in _NAMES_OF_TRADES:
            names = getattr(self.outputs, name)
            names[here:] = anew.numbers(names[here:])
        known = earlier.trades
        carried = meeting.books["trade"][meeting.books["trade"] >= 0]
        went_on = anew.of_trades(known[carried])
        self.trades[went_on["number"]] = went_on
        self.trades = np.concatenate([self.trades, anew.of_trades(known[meeting.n_trades :])])
        removed = earlier.removed[earlier.removed["event"] >= there].copy()
        removed["event"] += anew.events
        self.removed.append(removed)
        self.checkpoints += [
            anew.of_state(state) for state in earlier.checkpoints if state.n_events >= there
        ]
        self.state = anew.of_state(earlier.state)

    def finish(self, every: int) -> FoldResult:
        """Return the whole."""
        return FoldResult(
            outputs=self.outputs,
            n_folded=len(self.outputs),
            trades=self.trades,
            removed=np.concatenate(self.removed),
            state=self.state,
            checkpoints=_thinned(self.checkpoints, every),
            error=None,
        )


def _empty_like(outputs: Outputs, n: int) -> Outputs:
    return Outputs(
        *(
            np.empty((n, *getattr(outputs, name).shape[1:]), getattr(outputs, name).dtype)
            for name in _PER_EVENT
        )
    )


def _thinned(states: Sequence[State], every: int) -> tuple[State, ...]:
    """Drop checkpoints that crowd: every refold leaves some at places of its own.

    The later of two stays, for what lies behind it is not folded again.
    """
    kept: list[State] = []
    for state in reversed(states):
        if not kept or kept[-1].n_events - state.n_events >= every // 2:
            kept.append(state)
    return tuple(reversed(kept))
