"""Hyperliquid fills as a widely shared historical data set prints them, several accounts a file.

Times are India Standard Time to the minute. A spreadsheet rounded `Trade ID` and `Timestamp`, so
they identify nothing, and cut `Start Position` to ten digits. `Closed PnL` is gross of the fee.
"""

from __future__ import annotations

from collections.abc import Iterable

from fillbook.facts.identity import printed_key
from fillbook.facts.model import Fill, Liquidity
from fillbook.ground.clock import MINUTE_NS
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.files.table import Context, Named, TableReader, zone_of
from fillbook.sources.hyperliquid.fills import (
    DUST,
    VENUE,
    agreed_side,
    check_notional,
    fee_asset_of,
    instrument_of,
)
from fillbook.sources.reading import Whose
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft, ReadOptions

_ZONE = "+05:30"
_TIME = "Timestamp IST"
_PATTERN = "%d-%m-%Y %H:%M"
_LIQUIDITY: dict[bool, Liquidity] = {True: "taker", False: "maker"}


class HyperliquidHistory(TableReader):
    """Reads the data set as CSV."""

    name = "hyperliquid-history"
    title = "Hyperliquid historical data files"
    venue = VENUE
    account_column = "Account"
    needs = (
        *("Account", "Coin", "Execution Price", "Size Tokens", "Side", _TIME, "Start Position"),
        *("Direction", "Closed PnL", "Transaction Hash", "Order ID", "Crossed", "Fee"),
    )

    def context(self, file: SourceFile, options: ReadOptions) -> Context:
        """Settle the zone, which the format knows itself."""
        context = super().context(file, options)
        return Context(venue=VENUE, tz=_ZONE, header=context.header)

    def whose(self, row: Row, context: Context) -> Whose:
        """Return the address in lower case."""
        return Whose(VENUE, row.need("Account").lower())

    def drafts(self, named: Named, context: Context) -> Iterable[Draft]:
        """Turn one execution into a fill."""
        row, account = named.row, self.whose(named.row, context).account
        coin, direction, printed = row.need("Coin"), row.need("Direction"), row.need(_TIME)
        side = agreed_side(row.side("Side"), direction)
        described = instrument_of(account, coin)
        px, qty = row.positive("Execution Price"), row.positive("Size Tokens")
        check_notional(row, px, qty, "Size USD")
        order, digest = row.need("Order ID"), row.need("Transaction Hash")
        fill = Fill(
            venue=VENUE,
            account=account,
            ts_ns=row.when(_TIME, TimeForm(_PATTERN, zone_of(context.tz))),
            printed_ns=MINUTE_NS,
            instrument=described.symbol,
            side=side,
            px=px,
            qty=qty,
            fee=row.number("Fee"),
            fee_asset=fee_asset_of(described, side),
            order_id=order,
            liquidity=_LIQUIDITY[row.flag("Crossed")],
            start_position=row.number("Start Position"),
            venue_pnl=row.number("Closed PnL"),
            dust=direction == DUST,
        )
        key = printed_key(printed, described.symbol, side, px, qty, order, digest)
        yield Draft(fill, key, idless=True, ranked=True, instrument=described)
