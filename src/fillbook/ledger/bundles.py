"""What goes into a fold and what comes out per event, as bundles of columns."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fillbook.ledger import layout

Words = NDArray[np.int64]


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
