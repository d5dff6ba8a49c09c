"""One folded group: its venue book, its sub-books, and the state at any moment.

The venue book nets everything the venue nets and answers positions and realised PnL per fill; the
sub-books, one per strategy, answer trades and money. Their quantities and cash sum to the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fillbook.facts.finding import Finding
from fillbook.ground.settings import FoldMethod
from fillbook.ledger import layout
from fillbook.ledger.bundles import EventColumns, Outputs
from fillbook.ledger.columns import GroupColumns
from fillbook.ledger.flows import GroupFlows
from fillbook.ledger.fold import FoldResult, fold_group
from fillbook.ledger.states import Held, State, held_in

CHECKPOINT_EVERY = 4096
METHODS: dict[FoldMethod, int] = {
    "average": layout.AVERAGE,
    "fifo": layout.FIFO,
    "lifo": layout.LIFO,
}


@dataclass
class GroupLedger:
    """The columns of a group and what the fold made of them, row by row.

    `books` is the fold by sub-book, `venue` the fold as one book (the same object where the group
    has no strategies).
    """

    columns: GroupColumns
    method: FoldMethod
    books: FoldResult
    venue: FoldResult
    findings: list[Finding]

    def __len__(self) -> int:
        return len(self.columns)

    @cached_property
    def flows(self) -> GroupFlows:
        """Return the totals of this group over any window of its rows, built at the first use."""
        return GroupFlows(self.columns, self.books.outputs, self.books.trades)

    def rows_in(self, since_ns: int | None, until_ns: int | None) -> tuple[int, int]:
        """Return the half-open range of rows inside [since, until)."""
        first, last = 0, len(self)
        # Most windows hold all of a group or none of it.
        if last and since_ns is not None and since_ns > self.columns.ts_ns.item(0):
            first = int(self.columns.ts_ns.searchsorted(since_ns))
        if last and until_ns is not None and until_ns <= self.columns.ts_ns.item(-1):
            last = int(self.columns.ts_ns.searchsorted(until_ns))
        return first, max(first, last)

    @cached_property
    def held(self) -> tuple[Held, ...]:
        """Return what each sub-book holds at the end."""
        return held_in(self.books.state.books)

    def held_before(self, row: int) -> tuple[Held, ...]:
        """Return what each sub-book holds just before a row."""
        if row >= self.books.state.n_events:
            return self.held
        return held_in(self.states_before(row))

    def venue_held_before(self, row: int) -> Held:
        """Return what the venue book holds just before a row."""
        if self.venue is self.books:
            return self.held_before(row)[0]
        return held_in(self.venue_state_before(row).reshape(1))[0]

    def states_before(self, row: int) -> npt.NDArray[np.void]:
        """Return the sub-books' states (`STATE_DTYPE`) just before a row, from a checkpoint on."""
        return _state_before(self.columns, self.columns.events, self.method, self.books, row)

    def venue_state_before(self, row: int) -> np.void:
        """Return the venue book's state just before a row."""
        if self.venue is self.books:
            state: np.void = self.states_before(row)[0]
            return state
        columns = as_one_book(self.columns)
        return _state_before(columns, columns.events, self.method, self.venue, row)[0]  # type: ignore[no-any-return]

    def digest(self) -> bytes:
        """Hash everything that follows from the claims; `seq` and receive times stay out."""
        columns, hasher = self.columns, hashlib.sha256()
        told = (columns.key, columns.contract, columns.terms, columns.books, columns.assets)
        hasher.update(repr(told).encode())
        told_of = (columns.fill_id, columns.order_id, columns.decision_id, columns.exit_reason)
        for texts in (columns.event_key, *told_of, columns.cause):
            hasher.update("\n".join("\0" if text is None else text for text in texts).encode())
        events, flows = columns.events, self.books.outputs
        for array in (
            *(columns.ts_ns, columns.foreign, columns.foreign_amount, columns.traits),
            *(columns.price, columns.traded_qty, columns.venue_pnl, events.flags),
            *(events.kind, events.book, events.qty, events.px, events.fee, events.amount),
            *(flows.realised, flows.funding, flows.flags, flows.trade_close, flows.trade_open),
            *(self.venue.outputs.realised, self.venue.outputs.position_after),
            self.books.trades,
        ):
            hasher.update(np.ascontiguousarray(array[: len(columns)]).tobytes())
        return hasher.digest()


def fold_columns(
    columns: GroupColumns, method: FoldMethod, every: int = CHECKPOINT_EVERY
) -> GroupLedger:
    """Fold a group's columns, with a checkpoint at `every` so many events.

    A number that overflows ends the group there with a finding.
    """
    books = folded_on(columns, columns.events, method, None, every)
    venue = books
    if len(columns.books) > 1:
        netted = as_one_book(columns)
        venue = folded_on(netted, netted.events, method, None, every)
    findings = []
    if books.error is not None:
        findings.append(_overflow(columns, books.error.event))
    return GroupLedger(columns, method, books, venue, findings)


def _state_before(
    columns: GroupColumns, events: EventColumns, method: FoldMethod, fold: FoldResult, row: int
) -> npt.NDArray[np.void]:
    if row >= fold.state.n_events:
        return fold.state.books
    start = State.empty(len(columns.books))
    for state in fold.checkpoints:
        if state.n_events > row:
            break
        start = state
    if start.n_events == row:
        return start.books
    return folded_on(columns, events.slice(start.n_events, row), method, start, 0).state.books


def folded_on(
    columns: GroupColumns,
    events: EventColumns,
    method: FoldMethod,
    state: State | None,
    every: int,
    outputs: Outputs | None = None,
) -> FoldResult:
    """Fold events of a group on from a state, with a checkpoint at `every` so many events."""
    terms = columns.terms
    return fold_group(
        events,
        method=METHODS[method],
        factor=terms.factor,
        divisor=terms.divisor,
        dust=terms.dust,
        n_books=len(columns.books),
        state=state,
        outputs=outputs,
        checkpoint_every=every,
    )


def as_one_book(columns: GroupColumns) -> GroupColumns:
    """Return the columns as the venue sees them; who gets which funding does not matter there."""
    events = columns.events
    kind = np.where(events.kind == layout.FUNDING_SHARE, layout.FUNDING, events.kind)
    netted = replace(
        events,
        kind=kind.astype(np.uint8),
        book=np.zeros_like(events.book),
        amount=np.zeros_like(events.amount),
    )
    return replace(columns, books=columns.books[:1], events=netted)


def _overflow(columns: GroupColumns, event: int) -> Finding:
    return Finding(
        code="number-does-not-fit",
        severity="error",
        message=f"a sum of {columns.key.instrument} leaves the ledger's 128 bits; everything "
        "from there on is left out",
        next_step="check the price and quantity of the claim named here",
        venue=columns.key.venue,
        account=columns.key.account,
        instrument=columns.key.instrument,
        ts_ns=int(columns.ts_ns[event]),
        seqs=(int(columns.seq[event]),),
        touches=("realized", "net", "made_money"),
    )


def trade_ids(group: GroupLedger) -> list[str]:
    """Return a stable id per trade, a hash of its group, its sub-book and its opening event.

    A trade that opens with an unpriced opening is named after its group and sub-book alone.
    """
    return [digest.hex() for digest in trade_digests(group)]


def trade_digests(group: GroupLedger) -> list[bytes]:
    """Return the ids of the trades as eight bytes each."""
    columns, trades = group.columns, group.books.trades
    opened = trades["open_event"]
    opening = (columns.events.flags[opened] & layout.OPENING) != 0
    keys = columns.event_key
    begun = [
        hashlib.blake2b(f"{columns.key!r}\x1e{book}\x1e".encode(), digest_size=8)
        for book in columns.books
    ]
    digests = []
    named = zip(trades["book"].tolist(), opened.tolist(), opening.tolist(), strict=True)
    for book, event, is_opening in named:
        hasher = begun[book].copy()
        hasher.update(b"opening" if is_opening else keys[event].encode())
        digests.append(hasher.digest())
    return digests


def digest_of(groups: Sequence[GroupLedger]) -> str:
    """Return one hash over all groups, in the order of their keys."""
    hasher = hashlib.sha256()
    for group in sorted(groups, key=lambda each: each.columns.key):
        hasher.update(group.digest())
    return hasher.hexdigest()
