"""Recorded round trips: one row becomes the two fills it was made of, in a sub-book of its own."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from fillbook.facts.model import Fill, Instrument, Side
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft, RowError


def is_closed(row: Row, time_field: str | None, px_field: str) -> bool:
    """Say whether a row holds an exit; RowError where it holds half of one.

    `time_field` is None where rows have no times.
    """
    told = row.text(px_field) is not None
    if time_field is not None and told != (row.text(time_field) is not None):
        blank, other = (time_field, px_field) if told else (px_field, time_field)
        raise RowError(blank, f"is blank, though {other} is not")
    return told


class RoundTrip(msgspec.Struct, frozen=True, kw_only=True):
    """What a row says about one trade; `exit_ns` None means it is still open.

    `side` is the opening side. `pnl` is the row's own gross result, carried as evidence on the
    exit. A single fee for the whole trade belongs in `exit_fee`, with `entry_fee` zero.
    """

    leg: str
    key: str
    described: Instrument
    side: Side
    qty: Decimal
    entry_ns: int
    entry_px: Decimal
    exit_ns: int | None
    exit_px: Decimal | None
    printed_ns: int = 1
    exit_printed_ns: int = 1
    entry_fee: Decimal | None = None
    exit_fee: Decimal | None = None
    fee_asset: str | None = None
    pnl: Decimal | None = None
    strategy: str | None = None
    exit_reason: str | None = None
    from_floats: bool = False
    idless: bool = False

    def drafts(self) -> Iterator[Draft]:
        """Yield the entry and, once closed, the exit."""
        entry = Fill(
            venue=self.described.venue,
            account=self.described.account,
            ts_ns=self.entry_ns,
            printed_ns=self.printed_ns,
            instrument=self.described.symbol,
            side=self.side,
            px=self.entry_px,
            qty=self.qty,
            fee=self.entry_fee,
            fee_asset=None if self.entry_fee is None else self.fee_asset or self.described.settle,
            fill_id=f"{self.leg}:entry",
            leg=self.leg,
            strategy=self.strategy,
            from_floats=self.from_floats,
        )
        yield self._draft(entry, "entry")
        if self.exit_ns is None or self.exit_px is None:
            return
        if self.exit_ns < self.entry_ns:
            raise RowError("exit_time", "lies before the entry")
        closing: Side = "sell" if self.side == "buy" else "buy"
        left = msgspec.structs.replace(
            entry,
            ts_ns=self.exit_ns,
            printed_ns=self.exit_printed_ns,
            side=closing,
            px=self.exit_px,
            fee=self.exit_fee,
            fee_asset=None if self.exit_fee is None else self.fee_asset or self.described.settle,
            fill_id=f"{self.leg}:exit",
            venue_pnl=self.pnl,
            exit_reason=self.exit_reason,
        )
        yield self._draft(left, "exit")

    def _draft(self, fill: Fill, part: str) -> Draft:
        return Draft(
            fill, f"{self.key}|{part}", idless=self.idless, ranked=True, instrument=self.described
        )
