"""What happened inside a trade: how far it went our way (MFE), against us (MAE), and back.

Between two fills the position is constant, so the trade's gross equity is cash + position * mark:
an exact line in the mark. Everything here is integer arithmetic on scaled prices and quantities;
only the ratios at the end are floats. Before fees and funding.

The path is every mark from the first fill to the last, plus the fill prices themselves; with no
marks it is the fills alone, which the caller says. Inverse contracts pass their transformed price
(-1/p on its grid), which rises with the price, and need no other case.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fillbook.ground.exact import divide_half_even

Array = NDArray[np.int64]


class Leg(NamedTuple):
    """One fill's part in the trade: signed quantity and price, each an int at its own scale."""

    ts_ns: int
    qty: int
    px: int


class TradePath(msgspec.Struct, frozen=True, kw_only=True):
    """Excursions of one trade, in the unit of px x qty (times factor / divisor where given).

    `mfe` >= 0 is the peak of gross PnL, `mae` <= 0 its lowest; both count the start at 0.
    `exit_pnl` is the last point: the exit, or the latest mark of a trade still open.
    `drawdown_from_peak` = mfe - exit_pnl; `max_drawdown` is the deepest fall on the way. Times run
    from the first fill; None where the excursion is 0. `low_px` and `high_px` bound the path.
    """

    mfe: int
    mae: int
    exit_pnl: int
    drawdown_from_peak: int
    max_drawdown: int
    time_to_mfe_ns: int | None
    time_to_mae_ns: int | None
    low_px: int
    high_px: int
    n_marks: int


class _Walk:
    """Running extremes of a trade's equity, fed point by point and stretch by stretch."""

    def __init__(self, start_ns: int, px: int) -> None:
        self.peak = self.trough = self.last = self.fall = 0
        self.peak_ns = self.trough_ns = start_ns
        self.low_px = self.high_px = px
        self.n_marks = 0

    def point(self, ts_ns: int, equity: int, px: int) -> None:
        """Take one sample of equity."""
        if equity > self.peak:
            self.peak, self.peak_ns = equity, ts_ns
        if equity < self.trough:
            self.trough, self.trough_ns = equity, ts_ns
        self.fall = max(self.fall, self.peak - equity)
        self.low_px, self.high_px = min(self.low_px, px), max(self.high_px, px)
        self.last = equity

    def stretch(self, ts_ns: Array, px: Array, cash: int, position: int) -> None:
        """Take all marks between two fills, where equity is cash + position * px."""
        if not len(px):
            return
        self.n_marks += len(px)
        if not position:
            return
        toward = px if position > 0 else -px
        size = abs(position)
        best, worst = int(toward.argmax()), int(toward.argmin())
        # Falls inside the stretch against its own peaks, and against the peak carried into it.
        inside = int((np.maximum.accumulate(toward) - toward).max())
        self.fall = max(self.fall, size * inside)
        lowest = cash + size * int(toward[worst])
        self.fall = max(self.fall, self.peak - lowest)
        for index in sorted((best, worst)):
            equity = cash + size * int(toward[index])
            if equity > self.peak:
                self.peak, self.peak_ns = equity, int(ts_ns[index])
            if equity < self.trough:
                self.trough, self.trough_ns = equity, int(ts_ns[index])
            self.low_px = min(self.low_px, int(px[index]))
            self.high_px = max(self.high_px, int(px[index]))
        self.last = cash + size * int(toward[-1])


def trade_path(
    legs: Sequence[Leg], ts_ns: Array, px: Array, *, factor: int = 1, divisor: int = 1
) -> TradePath:
    """Follow one trade over marks; `ts_ns` and `px` are parallel, sorted, at the legs' price scale.

    `legs` are the trade's fills in order, at least one; scaling in and out is allowed, and the
    realised part stays inside. Marks before the first fill and, once flat, after the last are
    ignored. Raises ValueError without legs.

    >>> marks = np.array([100, 102, 108, 104, 97, 110, 106])
    >>> path = trade_path([Leg(0, 2, 100), Leg(6, -2, 106)], np.arange(7), marks)
    >>> path.mfe, path.mae, path.exit_pnl, path.max_drawdown, path.time_to_mfe_ns
    (20, -6, 12, 22, 5)
    """
    if not legs:
        raise ValueError("a trade has at least one fill")
    start_ns = legs[0].ts_ns
    cuts = np.searchsorted(ts_ns, [leg.ts_ns for leg in legs], side="left").tolist()
    walk, cash, position = _Walk(start_ns, legs[0].px), 0, 0
    for number, leg in enumerate(legs):
        cash -= leg.qty * leg.px
        position += leg.qty
        walk.point(leg.ts_ns, cash + position * leg.px, leg.px)
        last = number == len(legs) - 1
        stop = cuts[number + 1] if not last else len(px) if position else cuts[number]
        stretch = slice(cuts[number], stop)
        walk.stretch(ts_ns[stretch], px[stretch], cash, position)

    def money(amount: int) -> int:
        return divide_half_even(amount * factor, divisor)

    mfe, exit_pnl = money(walk.peak), money(walk.last)
    return TradePath(
        mfe=mfe,
        mae=money(walk.trough),
        exit_pnl=exit_pnl,
        drawdown_from_peak=mfe - exit_pnl,
        max_drawdown=money(walk.fall),
        time_to_mfe_ns=walk.peak_ns - start_ns if walk.peak else None,
        time_to_mae_ns=walk.trough_ns - start_ns if walk.trough else None,
        low_px=walk.low_px,
        high_px=walk.high_px,
        n_marks=walk.n_marks,
    )


def exit_efficiency(path: TradePath) -> float | None:
    """Return the share of the best PnL that was kept at the exit; None if it was never in profit.

    Negative when a winner became a loser.
    """
    return path.exit_pnl / path.mfe if path.mfe else None


class RangeEfficiency(NamedTuple):
    """How well entry and exit used the range of the path; total = entry + exit - 1."""

    entry: float
    exit: float
    total: float


def range_efficiency(
    side: int, entry_px: float, exit_px: float, low_px: float, high_px: float
) -> RangeEfficiency | None:
    """Rate entry and exit inside the range, 1 = best price; None for a flat path.

    `side` is +1 long, -1 short; prices in any one unit. For scaled trades pass average prices.

    >>> range_efficiency(1, 100, 106, 97, 110).exit == 9 / 13
    True
    """
    spread = high_px - low_px
    if not spread:
        return None
    total = side * (exit_px - entry_px) / spread
    if side > 0:
        return RangeEfficiency((high_px - entry_px) / spread, (exit_px - low_px) / spread, total)
    return RangeEfficiency((entry_px - low_px) / spread, (high_px - exit_px) / spread, total)


def return_on_notional(net: int, notional: int) -> float | None:
    """Return net / the money value of all opening fills, both grid amounts; None without value."""
    return net / notional if notional else None


def r_multiple(
    net: Decimal, entry_px: Decimal, initial_stop_px: Decimal | None, qty: Decimal
) -> float | None:
    """Return net / the money risked at entry, |entry - initial stop| * |qty|.

    None without a stop recorded at entry, or with a stop at the entry price: a stop that was
    moved later must not rewrite the risk taken.

    >>> r_multiple(Decimal("12"), Decimal("100"), Decimal("95"), Decimal("2"))
    1.2
    """
    if initial_stop_px is None:
        return None
    risk = abs(entry_px - initial_stop_px) * abs(qty)
    return float(net / risk) if risk else None
