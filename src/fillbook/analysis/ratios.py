"""Ratios over a daily series: Sharpe, Sortino, Calmar, Omega, ulcer, tails; P = 365 days a year.

Functions compute whatever is defined; `presentable` is the separate rule of what is shown. Over
returns every figure exists; over daily money (no capital known) only those that need no base.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from fillbook.analysis.drawdown import drawdown

PERIODS_PER_YEAR = 365
MIN_DAYS_RATIO = 20
MIN_DAYS_ANNUAL_GROWTH = 180
MIN_DAYS_TAIL = 100

Series = NDArray[np.float64]


class DailyRatios(msgspec.Struct, frozen=True, kw_only=True):
    """Ratios of one daily series; None where undefined.

    `basis` names the series: "returns" (fractions of equity) or "money" (net per day). Var and
    cvar are the 5 % tail, negative = loss, in the unit of the series. `max_drawdown_days` runs
    from the peak of the deepest relative fall to its recovery, or to the end while it lasts.
    """

    basis: Literal["returns", "money"]
    days: int
    sharpe: float | None = None
    sortino: float | None = None
    omega: float | None = None
    annual_vol: float | None = None
    skew: float | None = None
    kurtosis: float | None = None
    tail_ratio: float | None = None
    var_95: float | None = None
    cvar_95: float | None = None
    growth: float | None = None
    cagr: float | None = None
    calmar: float | None = None
    ulcer: float | None = None
    max_drawdown_ratio: float | None = None
    max_drawdown_days: int | None = None
    drawdown_recovered: bool | None = None


def sharpe(
    daily: Series, periods: float = PERIODS_PER_YEAR, risk_free: float = 0.0
) -> float | None:
    """Return sqrt(P) * mean(x - rf) / sd(x), n - 1 below; `risk_free` is per day.

    None below two days or without any spread.

    >>> round(sharpe(np.array([0.01, -0.01, 0.02])), 4)
    8.3381
    """
    if not _spreads(daily):
        return None
    return math.sqrt(periods) * float((daily - risk_free).mean() / daily.std(ddof=1))


def sortino(daily: Series, periods: float = PERIODS_PER_YEAR, target: float = 0.0) -> float | None:
    """Return sqrt(P) * mean(x - t) / sqrt(mean(min(x - t, 0)^2)), the mean over all days.

    None without days or when no day falls short of the target.
    """
    if not len(daily):
        return None
    shortfall = np.minimum(daily - target, 0.0)
    downside = math.sqrt(float((shortfall * shortfall).mean()))
    return math.sqrt(periods) * float((daily - target).mean()) / downside if downside else None


def omega(daily: Series, target: float = 0.0) -> float | None:
    """Return the sum above the target / the sum below it; None when nothing is below.

    >>> omega(np.array([3.0, 0.0, -2.0]))
    1.5
    """
    below = float(np.maximum(target - daily, 0.0).sum())
    return float(np.maximum(daily - target, 0.0).sum()) / below if below else None


def growth_rate(
    start: float, end: float, days: float, periods: float = PERIODS_PER_YEAR
) -> float | None:
    """Return the annual growth (end / start)^(P / days) - 1, for any number of days.

    None without a positive start, for a negative end, and where the result exceeds any float.

    >>> round(growth_rate(64900, 176000, 1095), 4)
    0.3945
    """
    if start <= 0 or end < 0 or days <= 0:
        return None
    try:
        return float((end / start) ** (periods / days)) - 1
    except OverflowError:
        return None


def annual_from_trades(
    sharpe_per_trade: float, trades: int, days: float, periods: float = PERIODS_PER_YEAR
) -> float | None:
    """Return a per-trade Sharpe scaled by sqrt(trades per year), never by sqrt(365).

    Only meaningful for independent trades that do not overlap.

    >>> round(annual_from_trades(0.12, 240, 90), 6)
    3.743795
    """
    return sharpe_per_trade * math.sqrt(trades * periods / days) if days > 0 else None


def tails(daily: Series, share: float = 0.05) -> tuple[float | None, float | None, float | None]:
    """Return (var, cvar, tail ratio) from history: the low percentile, the mean at or below it,
    and |high percentile| / |low percentile|; percentiles interpolate linearly."""
    if not len(daily):
        return None, None, None
    low, high = (float(p) for p in np.percentile(daily, [100 * share, 100 * (1 - share)]))
    return low, float(daily[daily <= low].mean()), abs(high) / abs(low) if low else None


def moments(daily: Series) -> tuple[float | None, float | None]:
    """Return population skewness and full kurtosis (3 for a normal); None without spread."""
    if not _spreads(daily):
        return None, None
    shifted = (daily - daily.mean()) / daily.std()
    return float((shifted**3).mean()), float((shifted**4).mean())


def daily_ratios(
    daily: Series,
    basis: Literal["returns", "money"],
    periods: float = PERIODS_PER_YEAR,
    risk_free: float = 0.0,
) -> DailyRatios:
    """Return all ratios of a daily series of shape (days,), idle days included as zeros.

    >>> figures = daily_ratios(np.array([0.1, -0.5, 0.2]), "returns")
    >>> figures.max_drawdown_ratio, figures.max_drawdown_days, figures.drawdown_recovered
    (0.5, 2, False)
    """
    var_95, cvar_95, tail_ratio = tails(daily)
    skew, kurtosis = moments(daily)
    figures = DailyRatios(
        basis=basis,
        days=len(daily),
        sharpe=sharpe(daily, periods, risk_free),
        sortino=sortino(daily, periods, risk_free),
        omega=omega(daily),
        annual_vol=math.sqrt(periods) * float(daily.std(ddof=1)) if len(daily) > 1 else None,
        skew=skew,
        kurtosis=kurtosis,
        tail_ratio=tail_ratio,
        var_95=var_95,
        cvar_95=cvar_95,
    )
    if basis == "money" or not len(daily):
        return figures
    return _with_growth(figures, daily, periods)


def _with_growth(figures: DailyRatios, returns: Series, periods: float) -> DailyRatios:
    """Add what needs a compounded curve; the curve starts at 1 before the first return."""
    curve = np.array(list(accumulate(1 + returns, lambda a, b: a * b, initial=1.0)))
    peaks = np.maximum.accumulate(curve)
    worst = drawdown(curve.tolist()).deepest_ratio
    depth = worst.ratio if worst and worst.ratio is not None else 0.0
    cagr = growth_rate(1.0, float(curve[-1]), len(returns), periods)
    return msgspec.structs.replace(
        figures,
        growth=float(curve[-1]),
        cagr=cagr,
        calmar=cagr / depth if cagr is not None and depth else None,
        ulcer=math.sqrt(float(((1 - curve[1:] / peaks[1:]) ** 2).mean())),
        max_drawdown_ratio=depth,
        max_drawdown_days=worst.periods if worst else 0,
        drawdown_recovered=worst.recovered if worst else None,
    )


def presentable(figures: DailyRatios) -> tuple[DailyRatios, tuple[str, ...]]:
    """Hide what too few days cannot support, and say what was hidden.

    Below 20 days no Sharpe, Sortino or volatility; below 180 no annual growth or Calmar; below
    100 the 5 % tail is shown with a warning.

    >>> shown, notes = presentable(DailyRatios(basis="returns", days=5, sharpe=9.9, cagr=12.0))
    >>> shown.sharpe, shown.cagr, len(notes)
    (None, None, 2)
    """
    notes: list[str] = []
    hidden: dict[str, None] = {}
    if figures.days < MIN_DAYS_RATIO:
        hidden |= dict.fromkeys(("sharpe", "sortino", "annual_vol"))
        notes.append(f"{figures.days} days; Sharpe, Sortino and volatility need {MIN_DAYS_RATIO}")
    if figures.basis == "returns" and figures.days < MIN_DAYS_ANNUAL_GROWTH:
        hidden |= dict.fromkeys(("cagr", "calmar"))
        notes.append(f"{figures.days} days; annual growth and Calmar need {MIN_DAYS_ANNUAL_GROWTH}")
    if figures.var_95 is not None and figures.days < MIN_DAYS_TAIL:
        notes.append(f"the 5 % tail of {figures.days} days rests on very few of them")
    return msgspec.structs.replace(figures, **hidden), tuple(notes)


def _spreads(daily: Series) -> bool:
    # Equal floats can have a standard deviation of 1e-18 instead of 0: compare the extremes.
    return len(daily) > 1 and bool(daily.min() != daily.max())
