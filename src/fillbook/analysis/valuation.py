"""What positions and foreign fees are worth: as-of joins against marks, exact on the grid.

A mark counts when it is not later than the moment and not older than the stated age; otherwise
the value is unknown (None), never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from fillbook.facts.model import Instrument
from fillbook.ground.exact import (
    MONEY_ONE,
    MONEY_SCALE,
    decimals_of,
    divide_half_even,
    from_scaled,
    to_scaled,
)
from fillbook.ledger.amounts import to_int
from fillbook.ledger.columns import GroupColumns
from fillbook.marks.asof import as_of
from fillbook.marks.series import MarkStore, Series


@dataclass(frozen=True)
class Mark:
    """A price that held at a moment, with the time it was printed."""

    px: Decimal
    ts_ns: int


class Valuer:
    """Looks up marks of one store, each series read once."""

    def __init__(self, store: MarkStore | None, max_age_ns: int) -> None:
        self._store = store
        self.max_age_ns = max_age_ns
        self.series = cache(self._series)

    def _series(self, venue: str, instrument: str) -> Series | None:
        if self._store is None:
            return None
        series = self._store.series(venue, instrument)
        return series if len(series.ts_ns) else None

    def newest_ns(self) -> int | None:
        """Return the time of the newest mark of all, None without marks."""
        if self._store is None:
            return None
        times = [
            int(series.ts_ns[-1])
            for place in self._store.instruments()
            if (series := self.series(*place)) is not None
        ]
        return max(times, default=None)

    def mark(self, venue: str, instrument: str, at_ns: int) -> Mark | None:
        """Return the last mark not later than `at_ns` and not older than the stated age."""
        series = self.series(venue, instrument)
        if series is None:
            return None
        px = as_of(series, at_ns, self.max_age_ns)
        if px is None:
            return None
        place = int(series.ts_ns.searchsorted(at_ns, side="right")) - 1
        return Mark(from_scaled(int(px), series.scale), int(series.ts_ns[place]))

    def rate(self, venue: str, asset: str, currency: str, at_ns: int) -> Decimal | None:
        """Return the price of one `asset` in `currency`, from that pair's marks or its inverse."""
        direct = self.mark(venue, f"{asset}/{currency}", at_ns)
        return None if direct is None else direct.px

    def foreign_value(self, columns: GroupColumns, row: int) -> int | None:
        """Value one row's foreign money in the settlement currency, half-even on the grid."""
        asset = columns.assets[int(columns.foreign[row])]
        rate = self.rate(columns.key.venue, asset, columns.contract.settle, int(columns.ts_ns[row]))
        if rate is None:
            return None
        amount = to_int(columns.foreign_amount[row])
        scale = decimals_of(rate)
        return divide_half_even(amount * to_scaled(rate, scale), 10**scale)


def position_value(contract: Instrument, qty: int, qty_scale: int, px: Decimal) -> int:
    """Return qty x g(px) x multiplier on the grid, half-even; g(p) = p, inverse -1/p.

    >>> spec = Instrument(venue="v", account="a", ts_ns=0, symbol="S", contract="linear",
    ...                   base="B", quote="Q", settle="Q")
    >>> position_value(spec, 25, 1, Decimal("100.2")) == 2505 * MONEY_ONE // 10
    True
    """
    multiplier_scale = decimals_of(contract.multiplier)
    units = qty * to_scaled(contract.multiplier, multiplier_scale)
    px_scale = decimals_of(px)
    if contract.contract == "inverse":
        reciprocal = -divide_half_even(10 ** (MONEY_SCALE + px_scale), to_scaled(px, px_scale))
        return divide_half_even(units * reciprocal, 10 ** (qty_scale + multiplier_scale))
    money = units * to_scaled(px, px_scale) * MONEY_ONE
    return divide_half_even(money, 10 ** (qty_scale + multiplier_scale + px_scale))
