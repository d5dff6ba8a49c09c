"""The three sources of Binance USD-M, by name: what a row of each one says.

Files and live streams go through here, so the same row is the same claim wherever it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from fillbook.sources.binance.fills import draft_fill
from fillbook.sources.binance.income import draft_income
from fillbook.sources.binance.orders import draft_order
from fillbook.sources.binance.state import draft_state
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft

TRADES = "binance-trades"
INCOME = "binance-income"
ORDERS = "binance-orders"


class RowContext(msgspec.Struct, frozen=True):
    """What a stored row needs to be read again: whose it is."""

    account: str

    def text(self) -> str:
        """Return it as a batch keeps it."""
        return msgspec.json.encode(self).decode()


def read_context(text: str) -> RowContext:
    """Read back what a batch kept; ValueError when it is nothing of the kind."""
    return msgspec.json.decode(text, type=RowContext)


def _trade(row: Row, account: str) -> list[Draft]:
    return [draft_fill(row, account)]


def _income(row: Row, account: str) -> list[Draft]:
    return [draft_income(row, account)]


def _order_or_state(row: Row, account: str) -> list[Draft]:
    if "position" in row.cells or "asset" in row.cells:
        return [draft_state(row, account)]
    return draft_order(row, account)


_READS: Mapping[str, Callable[[Row, str], list[Draft]]] = {
    TRADES: _trade,
    INCOME: _income,
    ORDERS: _order_or_state,
}


def drafts_of(source: str, row: Row, account: str) -> list[Draft]:
    """Turn a row of one source into facts; RowError when it cannot be."""
    return _READS[source](row, account)
