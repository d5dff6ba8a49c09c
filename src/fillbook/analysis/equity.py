"""Money per day: daily net sums, the equity curve and daily returns.

Days without any flow are kept as zeros: dropping them would flatter every ratio. Edges are given,
so a day may be a UTC day or a day of another zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fillbook.analysis.performance import Times, money_column
from fillbook.ground.clock import DAY_NS
from fillbook.ledger.amounts import Wide, total


def utc_day_edges(since_ns: int, until_ns: int) -> Times:
    """Return the edges of the UTC days that touch [since_ns, until_ns), shape (days + 1,).

    >>> (utc_day_edges(5, 2 * DAY_NS) // DAY_NS).tolist()
    [0, 1, 2]
    """
    first, last = since_ns // DAY_NS, -(-until_ns // DAY_NS)
    return np.arange(first, max(first, last) + 1, dtype=np.int64) * DAY_NS


def daily_sums(ts_ns: Times, amounts: Sequence[int] | Wide, edges_ns: Times) -> list[int]:
    """Sum grid amounts per half-open day, exactly; idle days are 0, others outside are left out.

    `ts_ns` has shape (n,), `amounts` n rows in the same order, `edges_ns` shape (days + 1,).

    >>> days = np.array([0, 10, 20, 30])
    >>> daily_sums(np.array([25, 3, 4]), [7, 1, 2], days)
    [3, 0, 7]
    """
    column = money_column(amounts)
    if bool((ts_ns[1:] < ts_ns[:-1]).any()):
        order = np.argsort(ts_ns, kind="stable")
        ts_ns, column = ts_ns[order], column[order]
    cuts = np.searchsorted(ts_ns, edges_ns, side="left").tolist()
    return [total(column[start:stop]) if stop > start else 0 for start, stop in pairwise(cuts)]


def daily_returns(
    equity_start: int, daily_net: Sequence[int], transfers: Sequence[int] | None = None
) -> NDArray[np.float64] | None:
    """Return each day's net / the money at work that day, shape (days,).

    Money at work is equity at the day's start plus what was paid in that day; what was taken out
    leaves at the day's end. None as soon as a day has no positive base: no return can be given.

    >>> daily_returns(100, [10, -11]).tolist()
    [0.1, -0.1]
    >>> daily_returns(100, [10, 21], transfers=[0, 100]).tolist()
    [0.1, 0.1]
    """
    equity, returns = equity_start, []
    for day, net in enumerate(daily_net):
        transfer = transfers[day] if transfers is not None else 0
        base = equity + max(transfer, 0)
        if base <= 0:
            return None
        returns.append(net / base)
        equity += net + transfer
    return np.array(returns, dtype=np.float64)
