"""A bot's own trades.csv: one row per round trip, completed when the position closes.

Two column sets are in use, one with `realized_pnl`, one with `pnl`; both are read, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from fillbook.facts.identity import printed_key
from fillbook.ground.errors import InputError
from fillbook.sources.files.opened import Sample, SourceFile
from fillbook.sources.files.round_trips import RoundTrip, is_closed
from fillbook.sources.files.table import Context, Named, TableReader, zone_of
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import AS_RECORDED, Draft, ReadOptions
from fillbook.sources.symbols import describe

_RESULTS = ("realized_pnl", "pnl")


class BotTrades(TableReader):
    """trades.csv of a futures bot. Blank exit columns mean the trade is still open."""

    name = "bot-trades"
    title = "Bot trade logs"
    venue = "bot"
    labels = (AS_RECORDED,)
    needs = (
        *("trade_id", "symbol", "side", "quantity", "entry_price", "exit_price"),
        *("entry_time", "exit_time"),
    )

    def recognises(self, sample: Sample) -> bool:
        """Say whether the header is one of the two column sets."""
        return super().recognises(sample) and bool(set(_RESULTS) & set(sample.header))

    def context(self, file: SourceFile, options: ReadOptions) -> Context:
        """Refuse a file without a result column: it is some other table."""
        context = super().context(file, options)
        assert context.header is not None
        if not set(_RESULTS) & set(context.header.names):
            raise InputError(
                "bot trade logs need the column realized_pnl or pnl", f"{file.path}:1", ""
            )
        return context

    def numbered(self, context: Context) -> bool:
        """A trade whose id is blank is known by its place."""
        return True

    def drafts(self, named: Named, context: Context) -> Iterable[Draft]:
        """Turn one round trip into its fills."""
        row = named.row
        form = TimeForm(tz=zone_of(context.tz))
        entered, left = row.need("entry_time"), row.text("exit_time") or ""
        closed = is_closed(row, "exit_time", "exit_price")
        symbol, trade = row.need("symbol"), row.text("trade_id")
        side, qty = row.trip_side("side"), row.positive("quantity")
        trip = RoundTrip(
            leg=trade or f"{symbol} {entered} #{named.number}",
            key=printed_key(entered, symbol, trade) if trade else _tuple_key(row),
            described=describe(context.venue, context.account or "", symbol, settle=context.settle),
            side=side,
            qty=qty,
            entry_ns=row.when("entry_time", form),
            entry_px=row.positive("entry_price"),
            exit_ns=row.when("exit_time", form) if closed else None,
            exit_px=row.positive("exit_price") if closed else None,
            printed_ns=form.printed_ns(entered),
            exit_printed_ns=form.printed_ns(left),
            entry_fee=Decimal(0) if "fee" in row.cells else None,
            exit_fee=row.number("fee"),
            pnl=next((row.number(name) for name in _RESULTS if row.text(name)), None),
            exit_reason=row.text("reason"),
            strategy=row.text("strategy"),
            idless=trade is None,
        )
        return trip.drafts()


def _tuple_key(row: Row) -> str:
    return printed_key(
        row.need("entry_time"),
        row.need("symbol"),
        row.trip_side("side"),
        row.positive("entry_price"),
        row.positive("quantity"),
    )
