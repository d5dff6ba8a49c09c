"""What positions and foreign fees are worth: as-of joins against marks, exact on the grid.

A mark counts when it is not later than the moment and not older than the stated age; otherwise
the value is unknown (None), never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fillbook.facts.model import Instrument
from fillbook.ground.exact import (
    MONEY_ONE,
    MONEY_SCALE,
    decimals_of,
    divide_half_even,
    from_scaled,
    to_scaled,
)
from fillbook.ledger.amounts import Wide, from_ints, to_ints
from fillbook.ledger.columns import GroupColumns
from fillbook.marks.asof import as_of, as_of_many
from fillbook.marks.series import MarkStore, Series
from fillbook.resolve.event import GroupKey

# Many accounts ask for the same marks at the same few instants.
_MOST_MARKS = 16_384


@dataclass(frozen=True)
class Mark:
    """A price that held at a moment, with the time it was printed."""

    px: Decimal
    ts_ns: int


class ForeignMoney(NamedTuple):
    """What a group's money in other assets is worth in its settlement currency, row by row.

    `values` has shape (n, 2), on the grid, half-even; 0 where there is none, or no rate for it at
    its time, which is where `known` is False.
    """

    values: Wide
    known: npt.NDArray[np.bool_]


class Valuer:
    """Looks up marks of one store, each series read once."""

    def __init__(self, store: MarkStore | None, max_age_ns: int) -> None:
        self._store = store
        self.max_age_ns = max_age_ns
        # Plain tables: a cached method would keep every Valuer alive until garbage is searched for.
        self._series: dict[tuple[str, str], Series | None] = {}
        self._marks: dict[tuple[str, str, int], Mark | None] = {}
        self._foreign: dict[GroupKey, tuple[GroupColumns, ForeignMoney]] = {}

    def series(self, venue: str, instrument: str) -> Series | None:
        """Return the marks of an instrument, None where there are none."""
        place = venue, instrument
        if place not in self._series:
            series = None if self._store is None else self._store.series(venue, instrument)
            self._series[place] = series if series is not None and len(series.ts_ns) else None
        return self._series[place]

    def newest_ns(self) -> int | None:
        """Return the time of the newest mark of all, None without marks."""
        return None if self._store is None else self._store.newest_ns()

    def mark(self, venue: str, instrument: str, at_ns: int) -> Mark | None:
        """Return the last mark not later than `at_ns` and not older than the stated age."""
        place = venue, instrument, at_ns
        if place not in self._marks:
            if len(self._marks) >= _MOST_MARKS:
                self._marks.clear()
            self._marks[place] = self._looked_up(venue, instrument, at_ns)
        return self._marks[place]

    def _looked_up(self, venue: str, instrument: str, at_ns: int) -> Mark | None:
        series = self.series(venue, instrument)
        if series is None:
            return None
        px = as_of(series, at_ns, self.max_age_ns)
        if px is None:
            return None
        place = int(series.ts_ns.searchsorted(at_ns, side="right")) - 1
        return Mark(from_scaled(int(px), series.scale), int(series.ts_ns[place]))

    def foreign_money(self, columns: GroupColumns) -> ForeignMoney:
        """Value a group's money in other assets, each row at its own time; worked out once."""
        kept = self._foreign.get(columns.key)
        if kept is None or kept[0] is not columns:
            kept = self._foreign[columns.key] = (columns, self._valued(columns))
        return kept[1]

    def _valued(self, columns: GroupColumns) -> ForeignMoney:
        values = np.zeros((len(columns), 2), np.int64)
        known = np.ones(len(columns), bool)
        for number, asset in enumerate(columns.assets):
            rows = np.flatnonzero(columns.foreign == number)
            series = self.series(columns.key.venue, f"{asset}/{columns.contract.settle}")
            if series is None:
                known[rows] = False
                continue
            px, found = as_of_many(series, columns.ts_ns[rows], self.max_age_ns)
            known[rows] = found
            amounts, one = to_ints(columns.foreign_amount[rows]), 10**series.scale
            values[rows] = from_ints(
                divide_half_even(amount * rate, one)
                for amount, rate in zip(amounts, px.tolist(), strict=True)
            )
        return ForeignMoney(values, known)


def position_value(contract: Instrument, qty: int, qty_scale: int, px: Decimal) -> int:
    """Return qty x g(px) x multiplier on the grid, half-even; g(p) = p, inverse -1/p.

    >>> spec = Instrument(venue="v", account="a", ts_ns=0, symbol="S", contract="linear",
    ...                   base="B", quote="Q", settle="Q")
    >>> position_value(spec, 25, 1, Decimal("100.2")) == 2505 * MONEY_ONE // 10
    True
    """
    multiplier, multiplier_scale = _whole(contract.multiplier)
    units = qty * multiplier
    price, px_scale = _whole(px)
    if contract.contract == "inverse":
        reciprocal = -divide_half_even(10 ** (MONEY_SCALE + px_scale), price)
        return divide_half_even(units * reciprocal, 10 ** (qty_scale + multiplier_scale))
    money = units * price * MONEY_ONE
    return divide_half_even(money, 10 ** (qty_scale + multiplier_scale + px_scale))


@lru_cache(_MOST_MARKS)
def _whole(number: Decimal) -> tuple[int, int]:
    """Return a number as an integer and its scale."""
    scale = decimals_of(number)
    return to_scaled(number, scale), scale
