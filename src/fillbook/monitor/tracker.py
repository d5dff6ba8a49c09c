"""Tells what happens to trades: a new one, its tracking, its end with what it made.

The trades are those of the ledger, one id each from their opening fill on, across restarts. A cap
on trades tracked at once only holds back the telling: all are in the book.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.ending import FILLS
from fillbook.analysis.summary import trades
from fillbook.analysis.view import BookView, Query
from fillbook.ground.clock import HOUR_NS, parse_ns

_DOLLARS = frozenset({"USD", "USDC", "USDT", "USDH", "BUSD", "FDUSD"})
# A fill may reach the book after prices and fills that are later than it.
LATE_NS = HOUR_NS


class Told(NamedTuple):
    """What was said of a trade that ended, and when it ended."""

    closed_ns: int
    text: str


class Tracker:
    """Follows the open trades from view to view; `feed` returns the lines to print.

    `tracked` and `pending` hold the open trades by id; with a cap, further ones wait their turn in
    order. `closed` are those that ended lately, or whose end came late. Trades that closed before
    `since_ns` and were never seen open are history, and untold. What late facts change in a trade
    that was told to have ended is told too.
    """

    def __init__(self, since_ns: int, max_concurrent: int | None = None) -> None:
        self._cap = max_concurrent
        self._since_ns = since_ns
        self._told: dict[str, Told] = {}
        self.tracked: dict[str, TradeRow] = {}
        self.pending: dict[str, TradeRow] = {}
        self.closed: dict[str, TradeRow] = {}
        self._remembered: dict[str, TradeRow] = {}
        self.completed = 0

    def remember(self, view: BookView) -> None:
        """Take in the trades that an earlier run left open, without a word."""
        rows = trades(view, Query(since_ns=view.end_ns + 1))
        self._remembered = {row.trade_id: row for row in rows if row.final_status == "open"}

    def feed(self, view: BookView) -> list[str]:
        """Take in a newer view and say what changed since the last one."""
        opened, closed = _split(trades(view, Query(since_ns=view.end_ns - LATE_NS)))
        watched = self._remembered | self.tracked | self.pending
        missing = [row for name, row in watched.items() if name not in opened | closed]
        if missing:
            # Closed by fills that are long past, which only now came into the book.
            since_ns = min(parse_ns(row.entry_time) for row in missing)
            _, long_past = _split(trades(view, Query(since_ns=since_ns)))
            closed |= {name: row for name, row in long_past.items() if name in watched}
        self.closed = closed
        lines = self._ended(closed, opened) + self._begun(opened)
        self._remembered.clear()
        since_ns = view.end_ns - 2 * LATE_NS
        self._told = {n: told for n, told in self._told.items() if told.closed_ns > since_ns}
        return lines

    def _begun(self, opened: dict[str, TradeRow]) -> list[str]:
        lines = []
        for name, row in opened.items():
            if name in self.tracked:
                self.tracked[name] = row
            elif name in self.pending:
                self.pending[name] = row
            elif self._told.pop(name, None) is not None:
                self.pending[name] = row
                self.completed -= 1
                lines.append(f"↩ Trade is open after all: {name_of(row)}")
            else:
                self.pending[name] = row
                if name not in self._remembered:
                    lines.append(f"🔔 New trade detected: {name_of(row)}")
        while self.pending and (self._cap is None or len(self.tracked) < self._cap):
            name = next(iter(self.pending))
            self.tracked[name] = self.pending.pop(name)
            lines.append(f"✅ Started tracking trade: {name_of(self.tracked[name])}")
        return lines

    def _ended(self, closed: dict[str, TradeRow], opened: dict[str, TradeRow]) -> list[str]:
        lines = []
        for name, row in closed.items():
            closed_ns = parse_ns(row.exit_time or row.entry_time)
            was_seen = name in self.tracked or name in self.pending or name in self._remembered
            ended = f" | Exit: {exit_of(row)}" if exit_of(row) else ""
            told = Told(closed_ns, f"PnL: {pnl_of(row)}{ended}")
            known = self._told.get(name)
            if known is not None and known.text != told.text:
                self._told[name] = told
                lines.append(f"♻ Trade revised: {name_of(row)} | {told.text}")
            if known is not None or not (was_seen or closed_ns >= self._since_ns):
                continue
            # A trade that opened and closed between two views was never seen open.
            if not was_seen:
                lines.append(f"🔔 New trade detected: {name_of(row)}")
            self._forget(name)
            self._told[name] = told
            self.completed += 1
            lines.append(f"📊 Trade completed: {name_of(row)} | {told.text}")
        for name in [*self.tracked, *self.pending]:
            if name not in opened and name not in closed:
                # A late fact gave the trade another beginning, and with it another id.
                self._forget(name)
        return lines

    def _forget(self, name: str) -> None:
        self.tracked.pop(name, None)
        self.pending.pop(name, None)


def _split(rows: Iterable[TradeRow]) -> tuple[dict[str, TradeRow], dict[str, TradeRow]]:
    """Return the open and the closed trades by id."""
    opened: dict[str, TradeRow] = {}
    closed: dict[str, TradeRow] = {}
    for row in rows:
        (opened if row.final_status == "open" else closed)[row.trade_id] = row
    return opened, closed


def name_of(row: TradeRow) -> str:
    """Name a trade for people, as product and side; its id stays the identity."""
    return f"{row.product_id}_{row.side}"


def pnl_of(row: TradeRow) -> str:
    """Write what a trade made: net where fees are known, else gross, else why not.

    An estimated exit says so, and where its price is from.
    """
    known = row.net if row.net is not None else row.realized_pnl
    if known is None and row.exit_price_source is None and row.exit_time is not None:
        return "unknown (closed at a price that nobody saw)"
    if known is None:
        return "unknown (it held quantity of unknown cost)"
    kind = "" if row.net is not None else " before fees (unknown)"
    about = ", estimated exit price" if row.approximate else ""
    if about and row.exit_price_source not in (None, FILLS):
        about += f" ({row.exit_price_source})"
    return f"{money(known, row.currency)}{kind}{about}"


def exit_of(row: TradeRow) -> str | None:
    """Name how a trade ended: as the venue or the bot says, else by the rule of thumb."""
    return row.exit_cause if row.exit_cause_certain else row.exit_reason


def money(amount: str, currency: str) -> str:
    """Write money for a line.

    >>> money("1500", "USDC"), money("-0.00012345", "BTC")
    ('$1,500.00', '-0.00012345 BTC')
    """
    value = Decimal(amount)
    if currency in _DOLLARS:
        return f"{'-' if value < 0 else ''}${abs(value):,.2f}"
    return f"{value:,f} {currency}"


def open_names(rows: Iterable[TradeRow]) -> tuple[str, ...]:
    """Name the trades of some rows, each with its beginning."""
    return tuple(f"{name_of(row)} since {row.entry_time}" for row in rows)
