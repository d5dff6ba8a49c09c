"""Statistics over closed trades: counts, sums, ratios, streaks and holding times.

Money enters as 128-bit grid amounts (`ledger/amounts.py`, shape (n, 2)) or as plain ints, and sums
stay exact; only the ratios are floats. Trades with an unpriced part are the caller's to leave out.
Whether a column is net, or gross because fees are unknown, is the caller's to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from fillbook.analysis.drawdown import drawdown
from fillbook.ground.clock import HOUR_NS
from fillbook.ground.exact import MONEY_ONE
from fillbook.ledger.amounts import Wide, from_ints, to_floats, to_ints, total

Times = NDArray[np.int64]
ProfitFactorNote = Literal["ok", "undefined_no_losses", "undefined_no_trades"]

# Rounding leaves at most this many grid units per fill (one per side of an average-cost close).
BREAK_EVEN_UNITS_PER_FILL = 2
# Van Tharp's cap: beyond 100 trades SQN would grow with the count alone.
SQN_CAP = 100
_CHUNK = 65_536


class TradeStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What n closed trades amount to; money in grid units, None where a figure is undefined.

    `gross_loss` is positive. Break-even trades count in `n`, in the win rate over all and in the
    expectancy. `profit_factor_note` says why a profit factor is None. Streaks and the drawdown of
    the closed-trade curve follow close order; the curve starts at 0 before the first trade.
    """

    n: int
    wins: int
    losses: int
    breakeven: int
    gross_profit: int
    gross_loss: int
    net: int
    best: int | None
    worst: int | None
    win_rate_ratio: float | None
    win_rate_decisive_ratio: float | None
    expectancy: float | None
    avg_win: float | None
    avg_loss: float | None
    profit_factor: float | None
    profit_factor_note: ProfitFactorNote
    payoff_ratio: float | None
    kelly_binary: float | None
    sqn: float | None
    sqn_capped100: float | None
    avg_hold_hours: float | None
    median_hold_hours: float | None
    max_consecutive_wins: int
    max_consecutive_losses: int
    max_drawdown: int
    max_drawdown_ratio: float | None


def money_column(amounts: Sequence[int] | Wide) -> Wide:
    """Return grid amounts as a (n, 2) column; one that already is passes through."""
    return amounts if isinstance(amounts, np.ndarray) else from_ints(amounts)


def outcomes(
    net: Sequence[int] | Wide, n_fills: Sequence[int] | NDArray[np.integer] | None = None
) -> NDArray[np.int8]:
    """Class each trade: 1 win, -1 loss, 0 break-even, where |net| <= 2 grid units per fill.

    Without `n_fills` only an exact zero is break-even.

    >>> outcomes([5, -5, 4, 0], [2, 2, 2, 2]).tolist()
    [1, -1, 0, 0]
    """
    column = money_column(net)
    high, low = column[:, 0], column[:, 1].view(np.uint64)
    fills = np.zeros(len(column), np.uint64) if n_fills is None else np.asarray(n_fills, np.uint64)
    limit = fills * np.uint64(BREAK_EVEN_UNITS_PER_FILL)
    magnitude = np.where(high < 0, ~low + np.uint64(1), low)
    small = ((high == 0) & (magnitude <= limit)) | (
        (high == -1) & (low != 0) & (magnitude <= limit)
    )
    return np.where(small, 0, np.where(high < 0, -1, 1)).astype(np.int8)


def profit_and_loss(net: Sequence[int] | Wide, classes: NDArray[np.int8]) -> tuple[int, int]:
    """Return gross profit and gross loss, exact and both positive.

    >>> profit_and_loss([5, -3, 1], np.array([1, -1, 0], np.int8))
    (5, 3)
    """
    column = money_column(net)
    return total(column[classes > 0]), -total(column[classes < 0])


def profit_factor(gross_profit: int, gross_loss: int) -> tuple[float | None, ProfitFactorNote]:
    """Return gross profit / gross loss and why it may be undefined; never infinite.

    >>> profit_factor(100, 50), profit_factor(100, 0), profit_factor(0, 0)
    ((2.0, 'ok'), (None, 'undefined_no_losses'), (None, 'undefined_no_trades'))
    """
    if gross_loss:
        return gross_profit / gross_loss, "ok"
    return None, "undefined_no_losses" if gross_profit else "undefined_no_trades"


def longest_run(classes: NDArray[np.int8], wanted: int) -> int:
    """Count the longest run of one class in the given order; any other class ends a run.

    >>> longest_run(np.array([1, 1, 0, 1, -1], np.int8), 1)
    2
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], classes == wanted, [0]))))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def trade_statistics(
    net: Sequence[int] | Wide,
    n_fills: Sequence[int] | NDArray[np.integer] | None = None,
    opens_ns: Times | None = None,
    closes_ns: Times | None = None,
) -> TradeStatistics:
    """Return every statistic of n closed trades; inputs are parallel, shape (n,) or (n, 2).

    Without times the given order is the close order and holding times are None. Time in market is
    `occupancy.time_in_market_ns`: it counts open trades too.

    >>> figures = trade_statistics([3 * 10**18, -(10**18), 0])
    >>> figures.wins, figures.win_rate_decisive_ratio, figures.profit_factor
    (1, 0.5, 3.0)
    """
    column = money_column(net)
    classes = outcomes(column, n_fills)
    gross_profit, gross_loss = profit_and_loss(column, classes)
    n, net_total = len(column), total(column)
    wins, losses = int((classes > 0).sum()), int((classes < 0).sum())
    factor, note = profit_factor(gross_profit, gross_loss)
    payoff = gross_profit * losses / (gross_loss * wins) if wins and losses else None
    in_order = slice(None) if closes_ns is None else np.argsort(closes_ns, kind="stable")
    by_close, classes_by_close = column[in_order], classes[in_order]
    deepest = drawdown(accumulate(_ints(by_close), initial=0))
    hold_ns = None if opens_ns is None or closes_ns is None or not n else closes_ns - opens_ns
    score, capped = _system_quality(column, net_total)
    return TradeStatistics(
        n=n,
        wins=wins,
        losses=losses,
        breakeven=n - wins - losses,
        gross_profit=gross_profit,
        gross_loss=gross_loss,
        net=net_total,
        best=_largest(column),
        worst=_smallest(column),
        win_rate_ratio=wins / n if n else None,
        win_rate_decisive_ratio=wins / (wins + losses) if wins + losses else None,
        expectancy=net_total / (n * MONEY_ONE) if n else None,
        avg_win=gross_profit / (wins * MONEY_ONE) if wins else None,
        avg_loss=gross_loss / (losses * MONEY_ONE) if losses else None,
        profit_factor=factor,
        profit_factor_note=note,
        payoff_ratio=payoff,
        kelly_binary=None if payoff is None else wins / n - (1 - wins / n) / payoff,
        sqn=score,
        sqn_capped100=capped,
        avg_hold_hours=None if hold_ns is None else float(hold_ns.mean()) / HOUR_NS,
        median_hold_hours=None if hold_ns is None else float(np.median(hold_ns)) / HOUR_NS,
        max_consecutive_wins=longest_run(classes_by_close, 1),
        max_consecutive_losses=longest_run(classes_by_close, -1),
        max_drawdown=deepest.deepest.depth if deepest.deepest else 0,
        max_drawdown_ratio=deepest.deepest_ratio.ratio if deepest.deepest_ratio else None,
    )


def _ints(column: Wide) -> Iterator[int]:
    """Yield a column as Python ints, a chunk at a time: millions of them need no list."""
    for start in range(0, len(column), _CHUNK):
        yield from to_ints(column[start : start + _CHUNK])


def _largest(column: Wide) -> int | None:
    if not len(column):
        return None
    high = int(column[:, 0].max())
    return (high << 64) + int(column[column[:, 0] == high, 1].view(np.uint64).max())


def _smallest(column: Wide) -> int | None:
    if not len(column):
        return None
    high = int(column[:, 0].min())
    return (high << 64) + int(column[column[:, 0] == high, 1].view(np.uint64).min())


def _system_quality(column: Wide, net_total: int) -> tuple[float | None, float | None]:
    """Return SQN and SQN capped at 100 trades; None below two trades or without any spread."""
    n = len(column)
    if n < 2 or bool((column == column[0]).all()):
        return None, None
    spread = float(to_floats(column).std(ddof=1))
    ratio = net_total / (n * MONEY_ONE) / spread
    return n**0.5 * ratio, min(n, SQN_CAP) ** 0.5 * ratio
