"""What a question is about: a folded book with its marks, and the part of it that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.feegaps import fee_findings
from fillbook.analysis.names import Names
from fillbook.analysis.recall import Recall
from fillbook.analysis.reconcile.findings import funding_findings, recorded_findings, venue_findings
from fillbook.analysis.valuation import Valuer
from fillbook.facts.finding import Finding
from fillbook.ground.errors import UsageError
from fillbook.ground.settings import Settings
from fillbook.ledger.group import GroupLedger
from fillbook.ledger.ledger import Ledger
from fillbook.resolve.assignment import leg_in, strategy_in
from fillbook.resolve.event import GroupKey

Rows = slice | npt.NDArray[np.int64]

DIMENSIONS = ("account", "venue", "instrument", "strategy", "day")
AS_RECORDED = "as recorded"
FLAT_TO_FLAT = "flat to flat"


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A window [since, until) and filters; empty filters mean everything. Times in UTC ns."""

    since_ns: int | None = None
    until_ns: int | None = None
    accounts: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    by: str | None = None

    def __post_init__(self) -> None:
        if self.by is not None and self.by not in DIMENSIONS:
            raise UsageError(
                f"--by {self.by} is not a dimension", "", f"choose one of {', '.join(DIMENSIONS)}"
            )


class BookView:
    """A book at one sequence, with its marks and settings; folded when something needs it.

    `opened` are the findings of opening the journal, `seq` and `head` name its state. `ledger`,
    `end_ns` (where an open window ends: the newest event or mark) and what is derived from them
    are computed on first use; `recall` remembers finished answers, `open_rows`
    the rows of open trades by identity of group, number and end of window. `compared` finds where
    its positions differ from what venues state; `all_names` reads every claim for its names.
    """

    def __init__(
        self,
        fold: Callable[[], Ledger],
        valuer: Valuer,
        settings: Settings,
        opened: Sequence[Finding] = (),
        *,
        seq: int = 0,
        head: str = "",
        recall: Recall | None = None,
        compared: Callable[[Ledger], Sequence[Finding]] = lambda ledger: (),
        all_names: Callable[[], Names] = lambda: Names({}, frozenset()),
    ) -> None:
        self._fold = fold
        self.valuer = valuer
        self.settings = settings
        self._opened = opened
        self.seq = seq
        self.head = head
        self.recall = recall or Recall(None)
        # A view never changes, so its Summary and the lines about trades tell the same open trades.
        self.open_rows: dict[tuple[int, int, int], TradeRow] = {}
        self._compared = compared
        self.all_names = all_names

    @cached_property
    def ledger(self) -> Ledger:
        """Return the folded ledger."""
        return self._fold()

    @cached_property
    def groups_of(self) -> dict[tuple[str, str], dict[GroupKey, GroupLedger]]:
        """Return the groups of each (venue, account) by their keys."""
        found: dict[tuple[str, str], dict[GroupKey, GroupLedger]] = {}
        for group in self.ledger.groups:
            key = group.columns.key
            found.setdefault((key.venue, key.account), {})[key] = group
        return found

    @cached_property
    def end_ns(self) -> int:
        """Return the time of the newest event or mark; 0 in an empty book."""
        return max(self.ledger.last_event_ns or 0, self.valuer.newest_ns() or 0)

    @cached_property
    def _venue(self) -> tuple[list[Finding], dict[tuple[str, str], int]]:
        return venue_findings(self.ledger)

    @property
    def venue_gaps(self) -> dict[tuple[str, str], int]:
        """Return realised PnL of ours less the venue's per (account, currency), beyond rounding."""
        return self._venue[1]

    @cached_property
    def findings(self) -> list[Finding]:
        """Return everything found by the journal, by folding, and against the venue."""
        found = [*self._opened, *self.ledger.findings, *self._venue[0]]
        found += funding_findings(self.ledger)
        found += self._compared(self.ledger)
        for group in self.ledger.groups:
            found += recorded_findings(group)
            found += fee_findings(group, self.valuer)
        return found

    def until_ns(self, query: Query) -> int:
        """Return the end of a query's window; an open one includes the last event."""
        return self.end_ns + 1 if query.until_ns is None else query.until_ns


class Part(NamedTuple):
    """The rows [first, last) of one group that a query selects, and its sub-books.

    `books` are the numbers of the selected sub-books; `whole` says that all are.
    """

    group: GroupLedger
    first: int
    last: int
    books: tuple[int, ...]
    whole: bool

    @property
    def rows(self) -> Rows:
        """Return an index into the group's columns that picks the selected rows."""
        if self.whole:
            return slice(self.first, self.last)
        inside = np.isin(self.group.columns.events.book[self.first : self.last], self.books)
        return np.flatnonzero(inside) + self.first

    @property
    def currency(self) -> str:
        """Return the settlement currency of the group."""
        return self.group.columns.contract.settle


def parts_of(view: BookView, query: Query) -> list[Part]:
    """Select the rows of every group that a query asks for, groups in the order of their keys."""
    parts = []
    for group in view.ledger.groups:
        key = group.columns.key
        if query.accounts and key.account not in query.accounts:
            continue
        if query.instruments and key.instrument not in query.instruments:
            continue
        names = group.columns.books
        books = tuple(range(len(names)))
        if query.strategies:
            books = tuple(n for n in books if strategy_in(names[n]) in query.strategies)
        if books:
            first, last = group.rows_in(query.since_ns, query.until_ns)
            parts.append(Part(group, first, last, books, len(books) == len(names)))
    return parts


def sliced(view: BookView, query: Query, dimension: str) -> Iterator[tuple[str, Query]]:
    """Yield (value, narrower query) for every value of a dimension inside the query."""
    plain = msgspec.structs.replace(query, by=None)
    if dimension == "day":
        since, until = _span(view, plain)
        for name, start_ns, end_ns in view.settings.report.days.between(since, until):
            yield (
                name,
                msgspec.structs.replace(
                    plain, since_ns=max(since, start_ns), until_ns=min(until, end_ns)
                ),
            )
        return
    values: set[str] = set()
    for part in parts_of(view, plain):
        key = part.group.columns.key
        if dimension == "strategy":
            values.update(strategy_in(part.group.columns.books[book]) for book in part.books)
        else:
            values.add(str(getattr(key, dimension)))
    for value in sorted(values):
        yield value, narrowed(view, plain, dimension, value)


def narrowed(view: BookView, query: Query, dimension: str, value: str) -> Query:
    """Return the query restricted to one value of a dimension."""
    if dimension == "strategy":
        return msgspec.structs.replace(query, strategies=(value,))
    if dimension == "instrument":
        return msgspec.structs.replace(query, instruments=(value,))
    if dimension == "account":
        return msgspec.structs.replace(query, accounts=(value,))
    accounts = {
        group.columns.key.account
        for group in view.ledger.groups
        if group.columns.key.venue == value
        and (not query.accounts or group.columns.key.account in query.accounts)
    }
    return msgspec.structs.replace(query, accounts=tuple(sorted(accounts)))


def _span(view: BookView, query: Query) -> tuple[int, int]:
    first = min(
        (int(group.columns.ts_ns[0]) for group in view.ledger.groups if len(group)),
        default=view.end_ns,
    )
    since = first if query.since_ns is None else query.since_ns
    return since, view.until_ns(query)


def definition_of(parts: list[Part]) -> str:
    """Name the trade definition in force: flat to flat, as recorded, or both."""
    named = set()
    for part in parts:
        for book in part.books:
            leg = leg_in(part.group.columns.books[book])
            named.add(FLAT_TO_FLAT if leg is None else AS_RECORDED)
    if AS_RECORDED in named and not _trades_flat(parts):
        named.discard(FLAT_TO_FLAT)
    return " and ".join(sorted(named)) or FLAT_TO_FLAT


def _trades_flat(parts: list[Part]) -> bool:
    """Say whether any trade of the parts is not a recorded round trip."""
    for part in parts:
        columns = part.group.columns
        books = np.unique(part.group.books.trades["book"])
        if any(leg_in(columns.books[int(book)]) is None for book in books):
            return True
    return False
