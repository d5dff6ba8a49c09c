"""The three sources of Coinbase Advanced Trade, by name: what a row of each one says.

Files and live streams go through here, so the same row is the same claim wherever it was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from fillbook.sources.coinbase.fills import draft_fill
from fillbook.sources.coinbase.orders import draft_order
from fillbook.sources.coinbase.state import draft_position, draft_product
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft

FILLS = "coinbase-fills"
ORDERS = "coinbase-orders"
PRODUCTS = "coinbase-products"


class RowContext(msgspec.Struct, frozen=True):
    """What a stored row needs to be read again: whose it is."""

    account: str

    def text(self) -> str:
        """Return it as a batch keeps it."""
        return msgspec.json.encode(self).decode()


def read_context(text: str) -> RowContext:
    """Read back what a batch kept; ValueError when it is nothing of the kind."""
    return msgspec.json.decode(text, type=RowContext)


def _order_or_position(row: Row, account: str) -> list[Draft]:
    if "cfm" in row.cells or "intx" in row.cells:
        return draft_position(row, account)
    return draft_order(row, account)


_READS: Mapping[str, Callable[[Row, str], list[Draft]]] = {
    FILLS: draft_fill,
    ORDERS: _order_or_position,
    PRODUCTS: draft_product,
}


def drafts_of(source: str, row: Row, account: str) -> list[Draft]:
    """Turn a row of one source into facts; RowError when it cannot be."""
    return _READS[source](row, account)
