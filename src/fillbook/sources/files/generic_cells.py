"""One generic row under our field names, with everything else that decides what it means."""

from __future__ import annotations

import msgspec

from fillbook.facts.model import ContractKind, Instrument, PositionSide, Side
from fillbook.sources.files.column_map import ColumnMap
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.symbols import describe, split_symbol

_POSITION_SIDES: dict[str, PositionSide] = {
    "net": "net",
    "both": "net",
    "long": "long",
    "short": "short",
}
_CONTRACTS: dict[str, ContractKind] = {"spot": "spot", "linear": "linear", "inverse": "inverse"}


class Cells(msgspec.Struct, frozen=True):
    """One row under our field names, with everything else that decides what it means.

    `start_ns` is set where rows have no times; `number` is the row's place in the file.
    """

    row: Row
    number: int
    venue: str
    account: str
    form: TimeForm
    terms: ColumnMap
    settle: str | None = None
    start_ns: int | None = None
    source: str = ""

    def when(self, name: str) -> int:
        """Return the time in a field, or the one that the row's place stands for."""
        if self.start_ns is not None:
            return self.start_ns + self.number
        return self.row.when(name, self.form)

    def printed_ns(self, name: str) -> int:
        """Return how coarse a field's time is printed."""
        if self.start_ns is not None:
            return 1
        return self.form.printed_ns(self.row.text(name) or "")

    def printed(self, name: str) -> str:
        """Return a time as the file prints it, or the place that stands for it."""
        if self.start_ns is not None:
            return f"{self.start_ns}+{self.number}"
        return self.row.need(name)

    def side(self, trip: bool = False) -> Side:
        """Return the side, in the map's own words first."""
        words: dict[str, Side] = {word.lower(): side for word, side in self.terms.sides.items()}
        said = self.row.need("side").lower()
        if said in words:
            return words[said]
        return self.row.trip_side("side") if trip else self.row.side("side")

    def position_side(self) -> PositionSide:
        """Return the hedge-mode side; net unless the row says otherwise."""
        named = self.row.text("position_side")
        return self.row.choice("position_side", _POSITION_SIDES) if named else "net"

    def instrument(self) -> Instrument:
        """Describe the row's contract: its own columns, then the map, then its name."""
        row, terms = self.row, self.terms
        symbol = row.need("instrument")
        settle = row.text("settle") or terms.settle
        if settle is None and split_symbol(symbol) is None:
            settle = self.settle
        named = row.text("contract")
        return describe(
            self.venue,
            self.account,
            symbol,
            row.choice("contract", _CONTRACTS) if named else terms.contract,
            base=row.text("base") or terms.base,
            quote=row.text("quote") or terms.quote,
            settle=settle,
            multiplier=row.optional_positive("multiplier") or terms.multiplier,
        )
