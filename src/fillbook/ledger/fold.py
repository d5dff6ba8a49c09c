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

The other kinds. ADJUST moves quantity without a price: growing adds unpriced quantity, shrinking
removes unpriced quantity first and then priced, whose cost is reported in `removed` and realised
by nobody; across zero it closes one trade and opens an unpriced one. FUNDING and FEE go to the
book's open trade, if any. FUNDING_SHARE comes as one row per book, in order: with q the signed
positions of books with an open trade, the first b books together get amount * sum(q[:b]) / sum(q),
half-even, and each book the difference to those before it, so that shares sum to the amount; where
sum(q) is 0, book 0 gets everything and no trade does.

A trade's signal counts as unpriced from its first fill without a decision price on: what rung 0
realises from there is summed in `signal_unpriced`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fillbook.ledger import layout
from fillbook.ledger.bundles import EventColumns, Outputs
from fillbook.ledger.states import State

if TYPE_CHECKING:
    from fillbook.ledger.workspace import Workspace

__all__ = [
    "EventColumns",
    "FoldError",
    "FoldResult",
    "Outputs",
    "State",
    "fold_group",
    "splice_trades",
]

Rows = NDArray[np.void]


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
    count from the group's beginning. `trades` is a view on `outputs.trade_rows`: a later fold into
    the same outputs writes over it.
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
    from fillbook.ledger.workspace import Workspace  # brings numba, which is heavy

    work = Workspace(events, rules, start, out)
    checkpoints, error = _advance(work, len(events), checkpoint_every)
    return FoldResult(
        outputs=out,
        n_folded=work.done,
        trades=work.trades(),
        removed=work.removed_rows(),
        state=work.state(),
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


def _advance(
    work: Workspace, stop: int, checkpoint_every: int
) -> tuple[tuple[State, ...], FoldError | None]:
    """Fold every event, or up to the one that cannot be, keeping states on the way."""
    checkpoints: list[State] = []
    last, n_removed = work.start, 0
    while work.done < stop:
        ahead = stop - work.done
        if checkpoint_every:
            seen = work.start.n_events + work.done
            ahead = min(ahead, checkpoint_every - seen % checkpoint_every)
        code = work.advance(work.done + ahead)
        if code != layout.FOLDED:
            # the failing event may be half done: again from the last state, up to it
            row = work.done
            work.restore(last, n_removed)
            work.advance(row)
            return tuple(checkpoints), FoldError(code, work.start.n_events + row)
        if checkpoint_every and (work.start.n_events + work.done) % checkpoint_every == 0:
            last, n_removed = work.state(), work.n_removed
            checkpoints.append(last)
    return tuple(checkpoints), None


def _check(
    events: EventColumns, method: int, factor: int, divisor: int, dust: int, n_books: int
) -> None:
    """Refuse what the compiled loop would take without looking."""
    if method not in (layout.AVERAGE, layout.FIFO, layout.LIFO):
        raise ValueError(f"no lot method {method}")
    if not (0 < divisor < 2**63 and abs(factor) < 2**63 and 0 <= dust < 2**63):
        raise ValueError("factor, divisor and dust must be int64, divisor > 0, dust >= 0")
    n = len(events)
    blank = EventColumns.allocate(0)
    for name in (f.name for f in fields(events)):
        column, wanted = getattr(events, name), getattr(blank, name)
        if (
            column.dtype != wanted.dtype
            or column.shape != (n, *wanted.shape[1:])
            or not column.flags.c_contiguous
        ):
            raise ValueError(
                f"column {name} must be {wanted.dtype}{[n, *wanted.shape[1:]]} in one piece, "
                f"not {column.dtype}{list(column.shape)}"
            )
    if n and not (int(events.book.min()) >= 0 and int(events.book.max()) < n_books):
        raise ValueError(f"books must lie in [0, {n_books})")
    if n and int(events.kind.max()) > layout.FUNDING_SHARE:
        raise ValueError(f"no kind of event {int(events.kind.max())}")
