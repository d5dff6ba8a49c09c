"""Hyperliquid's web exports: trade_history.csv and funding_history.csv.

Rows have no ids and no address; times are day first, to the second, in the browser's zone.
`closedPnl` is net of that row's fee, and a spot purchase pays its fee in the coin bought.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fillbook.facts.identity import printed_key
from fillbook.facts.model import Fill, Funding
from fillbook.ground.clock import SECOND_NS
from fillbook.ground.errors import InputError
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.files.table import Context, Named, TableReader, naive_times, zone_of
from fillbook.sources.hyperliquid.fills import (
    DUST,
    USDC,
    VENUE,
    check_notional,
    direction_side,
    fee_asset_of,
    instrument_of,
)
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft, ReadOptions, RowError

_PATTERN = "%d/%m/%Y %H:%M:%S"
_MONTH_FIRST = re.compile(r"\d\d?/(1[3-9]|[23]\d)/\d{4}")


class _WebExport(TableReader):
    """The two exports share their times and their account."""

    venue = VENUE

    def context(self, file: SourceFile, options: ReadOptions) -> Context:
        """Settle zone and account; refuse naive times and month-first dates."""
        context = super().context(file, options)
        if context.tz is None:
            raise naive_times(file)
        for record in self.records(file, context):
            if record.row is not None and _MONTH_FIRST.match(record.row.text("time") or ""):
                raise InputError(
                    f"the dates are month first: {record.row.text('time')!r}",
                    f"{file.path}:{record.line} field time",
                    "export again with the browser set to a day-first locale",
                )
        return context

    def default_account(self, options: ReadOptions) -> str:
        """Return the address, in the venue's lower case."""
        return super().default_account(options).lower()


class HyperliquidWebTrades(_WebExport):
    """Reads trade_history.csv: one execution a row."""

    name = "hyperliquid-web"
    title = "Hyperliquid trade history exports"
    needs = ("time", "coin", "dir", "px", "sz", "fee", "closedPnl")

    def drafts(self, named: Named, context: Context) -> Iterable[Draft]:
        """Turn one execution into a fill."""
        row, account = named.row, context.account or ""
        coin, direction, printed = row.need("coin"), row.need("dir"), row.need("time")
        side = direction_side(direction)
        if side is None and direction == DUST:
            side = "sell"
        if side is None:
            raise RowError("dir", f"{direction!r} does not say buy or sell")
        described = instrument_of(account, coin)
        px, qty = row.positive("px"), row.positive("sz")
        check_notional(row, px, qty, "ntl")
        fill = Fill(
            venue=VENUE,
            account=account,
            ts_ns=_when(row, context),
            printed_ns=SECOND_NS,
            instrument=described.symbol,
            side=side,
            px=px,
            qty=qty,
            fee=row.number("fee"),
            fee_asset=fee_asset_of(described, side),
            venue_pnl=row.number("closedPnl"),
            venue_pnl_basis="net",
            dust=direction == DUST,
        )
        key = printed_key(printed, described.symbol, side, px, qty)
        yield Draft(fill, key, idless=True, ranked=True, instrument=described)


class HyperliquidWebFunding(_WebExport):
    """Reads funding_history.csv: one payment a row."""

    name = "hyperliquid-web-funding"
    title = "Hyperliquid funding history exports"
    needs = ("time", "coin", "sz", "side", "payment", "rate")

    def drafts(self, named: Named, context: Context) -> Iterable[Draft]:
        """Turn one payment into funding; the position is signed by its side."""
        row, account = named.row, context.account or ""
        size = row.positive("sz")
        long = row.choice("side", {"long": True, "short": False})
        described = instrument_of(account, row.need("coin"))
        funding = Funding(
            venue=VENUE,
            account=account,
            ts_ns=_when(row, context),
            printed_ns=SECOND_NS,
            instrument=described.symbol,
            amount=row.amount("payment"),
            asset=USDC,
            rate=row.number("rate"),
            position_qty=size if long else -size,
        )
        key = printed_key(row.need("time"), described.symbol, "long" if long else "short", size)
        yield Draft(funding, key, idless=True, ranked=True, instrument=described)


def _when(row: Row, context: Context) -> int:
    return row.when("time", TimeForm(_PATTERN, zone_of(context.tz)))
