"""The state of a group between two events: small, comparable, and enough to go on from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fillbook.ledger import layout

Rows = NDArray[np.void]

_STATE_VERSION = 1
_NO_SHARE = (0, 0, 0, 0, 0)
_LOW = 2**64 - 1
NO_LOTS = np.zeros(0, layout.LOT_DTYPE)
"""What every state without lots shares."""


class Held(NamedTuple):
    """What one book holds, as plain numbers: its state without the totals of its open trade.

    `cost` is per rung, on the grid; `trade` and `open_event` are -1 and 0 where no trade is open.
    """

    priced_qty: int
    unpriced_qty: int
    cost: tuple[int, ...]
    trade: int
    open_event: int
    is_signal_unpriced: bool


def held_in(books: Rows) -> tuple[Held, ...]:
    """Return what each book of a state (`STATE_DTYPE` rows) holds.

    >>> held_in(State.empty(1).books)[0].trade
    -1
    """
    n_words = layout.STATE_WORDS
    words = np.ascontiguousarray(books).view(np.int64).tolist()
    return tuple(_held(words[at : at + n_words]) for at in range(0, len(words), n_words))


def _held(words: list[int]) -> Held:
    pairs = words[layout.B_COST : layout.B_LOTS]
    cost = tuple(
        (high << 64) + (low & _LOW) for high, low in zip(pairs[::2], pairs[1::2], strict=True)
    )
    flags = words[layout.S_FLAGS]
    return Held(
        words[layout.B_PRICED],
        words[layout.B_UNPRICED],
        cost,
        words[layout.S_TRADE],
        words[layout.S_OPENED_AT],
        bool(flags & layout.TRADE_SIGNAL_UNPRICED),
    )


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """Everything a fold needs to go on: books, open lots and counters.

    `books` is a `STATE_DTYPE` row per book; `lots` are `LOT_DTYPE` rows, book by book in the order
    in which they will be consumed (empty under AVERAGE). `n_events` and `n_trades` count what was
    folded before, so numbering goes on. `share` is a FUNDING_SHARE block cut in the middle (next
    book, sum of positions, sum done, money given as hi and lo). States compare with `==`.

    >>> State.empty(3) == State.from_bytes(State.empty(3).to_bytes())
    True
    """

    books: Rows
    lots: Rows
    n_events: int
    n_trades: int
    share: tuple[int, ...] = _NO_SHARE

    @classmethod
    def empty(cls, n_books: int) -> State:
        """Return the state before the first event."""
        books = np.zeros(n_books, layout.STATE_DTYPE)
        for name in ("lot_first", "lot_last", "trade"):
            books[name] = -1
        return cls(books, NO_LOTS, 0, 0)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    def same_money(self, other: State) -> bool:
        """Tell whether both go on alike, however their events and trades are numbered.

        Two folds whose states agree here write the same rows for the same further events, but for
        the numbers of events and trades. So a refold may stop where it meets an old checkpoint.
        """
        return self._unnumbered() == other._unnumbered()

    def _unnumbered(self) -> bytes:
        books = self.books.copy()
        books["trade"] = np.minimum(books["trade"], 0)
        books["open_event"] = 0
        return State(books, self.lots, 0, 0, self.share).to_bytes()

    def to_bytes(self) -> bytes:
        """Return the state as bytes for a cache."""
        counts = (_STATE_VERSION, len(self.books), len(self.lots), self.n_events, self.n_trades)
        head = np.array([*counts, *self.share], dtype="<i8")
        return head.tobytes() + self.books.tobytes() + self.lots.tobytes()

    @classmethod
    def from_bytes(cls, raw: bytes) -> State:
        """Return the state that `to_bytes` wrote; ValueError where the bytes are no such state."""
        head_size = 8 * (5 + len(_NO_SHARE))
        if len(raw) < head_size:
            raise ValueError("these bytes are not a fold state")
        version, n_books, n_lots, n_events, n_trades, *share = np.frombuffer(
            raw[:head_size], dtype="<i8"
        ).tolist()
        books_end = head_size + n_books * layout.STATE_DTYPE.itemsize
        if version != _STATE_VERSION or len(raw) != books_end + n_lots * layout.LOT_DTYPE.itemsize:
            raise ValueError("these bytes are not a fold state, or one of another version")
        books = np.frombuffer(raw[head_size:books_end], layout.STATE_DTYPE)
        lots = np.frombuffer(raw[books_end:], layout.LOT_DTYPE)
        return cls(books, lots, n_events, n_trades, tuple(share))
