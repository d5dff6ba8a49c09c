"""Everything the running monitor shows of a book, computed together and true at one sequence.

A `Summary` is built where the book is folded, at most once a second, and then only read: by the
metrics, the health page and the command line. Nothing in it changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import msgspec

from fillbook.analysis.answers import (
    CostRow,
    FindingRow,
    Performance,
    PositionRow,
    TradeRow,
    Why,
)
from fillbook.analysis.daily import DailyRecord
from fillbook.analysis.dayrecord import between, entry_orders, lifetime
from fillbook.analysis.feesplit import FeeSplit, fee_splits
from fillbook.analysis.summary import costs, findings, performance, positions, trades, why
from fillbook.analysis.view import BookView, Query
from fillbook.facts.model import OrderUpdate
from fillbook.ground.clock import DAY_NS

RECENT_TRADES = 20
FOREVER_NS = 1 << 63
_WINDOWS_NS = {"7d": 7 * DAY_NS, "30d": 30 * DAY_NS}


class OrderCount(msgspec.Struct, frozen=True, kw_only=True):
    """Entry orders of one account over the whole book, each once; `filled` of them entirely."""

    account: str
    placed: int
    filled: int

    @property
    def fill_rate_pct(self) -> Fraction | None:
        """Return entry orders filled per 100 placed; None without any."""
        return Fraction(100 * self.filled, self.placed) if self.placed else None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A book at one sequence, as the monitor tells it; `at_ns` is when it was built.

    `performance` is over everything; `windows` holds the scorecards of "session" (since the
    monitor started), "7d" and "30d", each up to `at_ns`. `records` has the counts and exact money
    of each account and currency over the whole book: orders, slippage, fees, funding, time in
    market; `window_records` has the same for the windows. `fees` is what each account paid and got
    in each asset; `orders` counts for the accounts that have order events, with or without fills.
    `recent_trades` are the last that closed, oldest first.
    """

    book_id: str
    seq: int
    head: str
    at_ns: int
    session_start_ns: int
    why: Why
    performance: tuple[Performance, ...]
    windows: dict[str, tuple[Performance, ...]]
    costs: tuple[CostRow, ...]
    records: tuple[DailyRecord, ...]
    positions: tuple[PositionRow, ...]
    open_trades: tuple[TradeRow, ...]
    recent_trades: tuple[TradeRow, ...]
    findings: tuple[FindingRow, ...]
    window_records: dict[str, tuple[DailyRecord, ...]] = {}
    fees: tuple[FeeSplit, ...] = ()
    orders: tuple[OrderCount, ...] = ()


def digest(view: BookView, at_ns: int, session_start_ns: int) -> Summary:
    """Compute everything once; both instants are UTC nanoseconds."""
    everything = Query()
    opened, recent = _newest_trades(view)
    # A venue's clock may be a little ahead of ours.
    until_ns = max(at_ns, view.end_ns) + 1
    since_ns = {name: at_ns - span_ns for name, span_ns in _WINDOWS_NS.items()}
    since_ns["session"] = session_start_ns
    return Summary(
        book_id=view.ledger.book_id,
        seq=view.seq,
        head=view.head,
        at_ns=at_ns,
        session_start_ns=session_start_ns,
        why=why(view, everything),
        performance=tuple(performance(view, everything)),
        windows={
            name: tuple(performance(view, Query(since_ns=since, until_ns=until_ns)))
            for name, since in sorted(since_ns.items())
        },
        costs=tuple(costs(view, everything)),
        records=tuple(lifetime(view)),
        positions=tuple(positions(view, everything)),
        open_trades=opened,
        recent_trades=recent,
        findings=tuple(findings(view, everything)),
        window_records={
            name: tuple(between(view, since, until_ns)) for name, since in sorted(since_ns.items())
        },
        fees=tuple(fee_splits(view)),
        orders=tuple(_order_counts(view)),
    )


def _newest_trades(view: BookView) -> tuple[tuple[TradeRow, ...], tuple[TradeRow, ...]]:
    """Return the open trades, and the last that closed; looks back only as far as it must."""
    begun = [int(group.columns.ts_ns[0]) for group in view.ledger.groups if len(group)]
    first_ns, span_ns = min(begun, default=view.end_ns), DAY_NS
    while True:
        since_ns = view.end_ns - span_ns
        rows = trades(view, Query(since_ns=since_ns))
        closed = tuple(row for row in rows if row.final_status == "completed")
        if len(closed) >= RECENT_TRADES or since_ns <= first_ns:
            opened = tuple(row for row in rows if row.final_status == "open")
            return opened, closed[-RECENT_TRADES:]
        span_ns *= 8


def _order_counts(view: BookView) -> Iterator[OrderCount]:
    by_account: dict[str, list[OrderUpdate]] = {}
    for order in view.ledger.orders:
        by_account.setdefault(order.account, []).append(order)
    for account, orders in sorted(by_account.items()):
        placed, filled = entry_orders(orders, account, 0, FOREVER_NS)
        yield OrderCount(account=account, placed=placed or 0, filled=filled or 0)
