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

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fillbook.ledger import layout

Words = NDArray[np.int64]
Rows = NDArray[np.void]

_CHUNK = 65_536
_FREE_HEAD = (0, 0, 0, 0, 0, 0, -1, 0, 0)


@dataclass(frozen=True, slots=True)
class EventColumns:
    """The money events of one group, in folding order.

    `kind` u8[n] (`layout.FILL` …); `book` i32[n]; `qty` i64[n] signed, at the quantity scale, base
    fees already taken off; `px` i64[n, 4] at the price scale, rungs decision, arrival, mid, fill
    (for inverse contracts -round(1e18 / p)); `fee` i64[n, 2] in the settlement currency, positive
    = cost, for FILL and FEE; `amount` i64[n, 2], positive = received, for FUNDING and, repeated on
    each of the block's rows, FUNDING_SHARE; `flags` u8[n] (`layout.DECISION_KNOWN` …). Arrays may
    be read-only; they must be C-contiguous.
    """

    kind: NDArray[np.uint8]
    book: NDArray[np.int32]
    qty: Words
    px: Words
    fee: Words
    amount: Words
    flags: NDArray[np.uint8]

    @classmethod
    def allocate(cls, n: int) -> Self:
        """Return n fills of nothing at all, ready to be written over."""
        return cls(
            kind=np.zeros(n, np.uint8),
            book=np.zeros(n, np.int32),
            qty=np.zeros(n, np.int64),
            px=np.zeros((n, 4), np.int64),
            fee=np.zeros((n, 2), np.int64),
            amount=np.zeros((n, 2), np.int64),
            flags=np.zeros(n, np.uint8),
        )

    def __len__(self) -> int:
        return len(self.kind)

    def slice(self, start: int, stop: int | None = None) -> EventColumns:
        """Return the events [start, stop) as views on the same memory."""
        return EventColumns(*(getattr(self, f.name)[start:stop] for f in fields(self)))


@dataclass(slots=True)
class Outputs:
    """What each event did, one row per event; memory to reuse from fold to fold.

    `realised` i64[n, 4, 2] per rung, positive = gain; `closed_qty` i64[n] magnitude closed, of
    which `unpriced_closed` i64[n] at unknown cost; `position_after` i64[n] of that book, signed;
    `trade_close`, `trade_open` i32[n]: numbers of the trades that the closing and the opening part
    belong to, -1 none (FEE and FUNDING use `trade_open`); `fee_open` i64[n, 2]: the part of the
    fee that belongs to `trade_open`, the rest being `trade_close`'s; `funding` i64[n, 2]: what this
    book received; `flags` u8[n] (`layout.REALISED_UNKNOWN` …).

    `trade_rows` is room for trades and grows by itself.
    """

    realised: Words
    closed_qty: Words
    unpriced_closed: Words
    position_after: Words
    trade_close: NDArray[np.int32]
    trade_open: NDArray[np.int32]
    fee_open: Words
    funding: Words
    flags: NDArray[np.uint8]
    trade_rows: Words = field(default_factory=lambda: np.zeros((0, layout.TRADE_WORDS), np.int64))

    @classmethod
    def allocate(cls, n: int) -> Self:
        """Return room for n events."""
        return cls(
            realised=np.zeros((n, 4, 2), np.int64),
            closed_qty=np.zeros(n, np.int64),
            unpriced_closed=np.zeros(n, np.int64),
            position_after=np.zeros(n, np.int64),
            trade_close=np.zeros(n, np.int32),
            trade_open=np.zeros(n, np.int32),
            fee_open=np.zeros((n, 2), np.int64),
            funding=np.zeros((n, 2), np.int64),
            flags=np.zeros(n, np.uint8),
        )

    def __len__(self) -> int:
        return len(self.closed_qty)


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything a fold needs to go on: books, open lots and counters.

    `books` is a `STATE_DTYPE` row per book; `lots` are `LOT_DTYPE` rows, book by book in the order
    in which they will be consumed (empty under AVERAGE). `n_events` and `n_trades` count what was
    folded before, so numbering goes on. `share` is a FUNDING_SHARE block cut in the middle.
    States compare with `==`.
    """

    books: Rows
    lots: Rows
    n_events: int
    n_trades: int
    share: tuple[int, ...]

    @classmethod
    def empty(cls, n_books: int) -> State:
        """Return the state before the first event."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        raise NotImplementedError

    def same_money(self, other: State) -> bool:
        """Tell whether the two go on alike, however their events and trades are numbered."""
        raise NotImplementedError

    def to_bytes(self) -> bytes:
        """Return the state as bytes for a cache."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, raw: bytes) -> State:
        """Return the state that `to_bytes` wrote; ValueError where the bytes are no state."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class FoldError:
    """Why a fold stopped: a `layout` code and the group's index of the event it stopped at."""

    code: int
    event: int


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What a fold found.

    `outputs` rows [0, n_folded) are valid, n_folded being `state.n_events` minus the events folded
    before. `trades` are `TRADE_DTYPE` rows by number: those already open at the start, then all
    new ones; the ones still open have close_event -1. `removed` are `REMOVED_DTYPE` rows.
    `checkpoints` are the states at every multiple of `checkpoint_every` events. With an `error`,
    everything is as of just before that event. Event indices count from the group's beginning.
    """

    outputs: Outputs
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
    the ones after it. `outputs` reuses earlier memory (rows beyond the events stay as they were).
    """
    raise NotImplementedError


def splice_trades(earlier: Rows, result: FoldResult) -> Rows:
    """Return all trades of a group after a refold from a checkpoint.

    `earlier` are the trades of the fold that the checkpoint came from; those numbered below the
    checkpoint's `n_trades` stay, except where `result` tells how one of them went on.
    """
    raise NotImplementedError
