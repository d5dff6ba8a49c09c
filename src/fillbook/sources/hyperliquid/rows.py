"""Any row of Hyperliquid's info endpoint, whichever read it came from, as facts.

Files and live streams go through here, so the same row is the same claim wherever it was read.
"""

from __future__ import annotations

import msgspec

from fillbook.sources.hyperliquid.fills import Currencies, draft_fill, draft_funding
from fillbook.sources.hyperliquid.ledger import draft_ledger
from fillbook.sources.hyperliquid.orders import draft_open_order, draft_order
from fillbook.sources.hyperliquid.state import draft_equity, draft_holding, draft_position
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft

SOURCE = "hyperliquid-api"
"""The reader of these rows: the `source` of files and of live streams."""


class ApiContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a stored API row needs to be read again: whose it is, and its market's currencies."""

    account: str
    quotes: dict[str, str] = {}
    bases: dict[str, str] = {}


def drafts_of(row: Row, context: ApiContext) -> list[Draft]:
    """Turn any row into facts; RowError when it cannot be."""
    cells, account = row.cells, context.account
    currencies = Currencies(quotes=context.quotes, bases=context.bases)
    if "delta" in cells:
        delta = cells["delta"]
        kind = delta.get("type") if isinstance(delta, dict) else None
        if kind in (None, "funding"):
            return [draft_funding(row, account, currencies)]
        return draft_ledger(row, account)
    if "order" in cells:
        return draft_order(row, account)
    if "limitPx" in cells:
        return draft_open_order(row, account)
    if "position" in cells:
        return [draft_position(row, account)]
    if "holding" in cells:
        return [draft_holding(row, account)]
    if "equity" in cells:
        return [draft_equity(row, account)]
    return [draft_fill(unwrapped(row), account, currencies)]


def unwrapped(row: Row) -> Row:
    """Return the fill inside a slice of a TWAP order; any other row as it is.

    Plain fill histories hold the slices too, under the same ids: they are the same claims.
    """
    fill = row.cells.get("fill")
    return Row(fill) if isinstance(fill, dict) else row
