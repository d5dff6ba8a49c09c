"""Tells what happens to trades: a new one, its tracking, its end with what it made.

The trades are those of the ledger, one id each from their opening fill on, across restarts. A cap
on trades tracked at once only holds back the telling: all are in the book.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.summary import trades
from fillbook.analysis.view import BookView, Query

_DOLLARS = frozenset({"USD", "USDC", "USDT", "USDH", "BUSD", "FDUSD"})


class Tracker:
    """Follows the open trades from view to view; `feed` returns the lines to print.

    `tracked` and `pending` hold trade ids; with a cap further trades wait their turn in order.
    """

    def __init__(self, max_concurrent: int | None = None) -> None:
        self._cap = max_concurrent
        self._seen_until_ns: int | None = None
        self._names: dict[str, str] = {}
        self.tracked: dict[str, TradeRow] = {}
        self.pending: dict[str, TradeRow] = {}
        self.completed = 0

    def feed(self, view: BookView) -> list[str]:
        """Take in a newer view and say what changed since the last one."""
        rows = trades(view, Query(since_ns=self._seen_until_ns))
        opened = {row.trade_id: row for row in rows if row.final_status == "open"}
        closed = {row.trade_id: row for row in rows if row.final_status == "completed"}
        first = self._seen_until_ns is None
        lines: list[str] = []
        if not first:
            lines += self._ended(closed, opened)
        lines += self._begun(opened)
        self._seen_until_ns = view.end_ns + 1 if view.end_ns else None
        return lines

    def _begun(self, opened: dict[str, TradeRow]) -> list[str]:
        lines = []
        for name, row in opened.items():
            if name in self.tracked:
                self.tracked[name] = row
            elif name not in self.pending:
                self.pending[name] = row
                self._names[name] = name_of(row)
                lines.append(f"🔔 New trade detected: {self._names[name]}")
        while self.pending and (self._cap is None or len(self.tracked) < self._cap):
            name = next(iter(self.pending))
            self.tracked[name] = self.pending.pop(name)
            lines.append(f"✅ Started tracking trade: {self._names[name]}")
        return lines

    def _ended(self, closed: dict[str, TradeRow], opened: dict[str, TradeRow]) -> list[str]:
        lines = []
        for name, row in closed.items():
            # A trade that opened and closed between two views was never seen open.
            if name not in self.tracked and name not in self.pending:
                lines.append(f"🔔 New trade detected: {name_of(row)}")
            self._forget(name)
            self.completed += 1
            lines.append(f"📊 Trade completed: {name_of(row)} | PnL: {pnl_of(row)}")
        for name in [*self.tracked, *self.pending]:
            if name not in opened and name not in closed:
                # A late fact gave the trade another beginning, and with it another id.
                self._forget(name)
        return lines

    def _forget(self, name: str) -> None:
        self.tracked.pop(name, None)
        self.pending.pop(name, None)


def name_of(row: TradeRow) -> str:
    """Name a trade for people, as product and side; its id stays the identity."""
    return f"{row.product_id}_{row.side}"


def pnl_of(row: TradeRow) -> str:
    """Write what a trade made: net where fees are known, else gross, else why not.

    An estimated exit says so.
    """
    known = row.net if row.net is not None else row.realized_pnl
    if known is None:
        return "unknown (it held quantity of unknown cost)"
    kind = "" if row.net is not None else " before fees (unknown)"
    about = ", estimated exit price" if row.approximate else ""
    return f"{money(known, row.currency)}{kind}{about}"


def money(amount: str, currency: str) -> str:
    """Write money for a line.

    >>> money("1500", "USDC"), money("-0.00012345", "BTC")
    ('$1,500.00', '-0.00012345 BTC')
    """
    value = Decimal(amount)
    if currency in _DOLLARS:
        return f"{'-' if value < 0 else ''}${abs(value):,.2f}"
    return f"{value:,f} {currency}"


def open_lines(rows: Iterable[TradeRow]) -> list[str]:
    """Say in one line each which trades were open when the monitor stopped."""
    return [f"  still open: {name_of(row)} since {row.entry_time}" for row in rows]
