"""When was money at risk: the union of holding times, and how many trades were open at once.

Intervals are half-open [open, close) in UTC nanoseconds, so a flip, which closes one trade and
opens the next in the same instant, is neither a gap nor an overlap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.int64]


def time_in_market_ns(opens_ns: Times, closes_ns: Times, since_ns: int, until_ns: int) -> int:
    """Measure the union of the intervals inside the window; overlaps count once.

    Both arrays have shape (n,) and any order; an open trade is passed with `until_ns` as its
    close. The result lies in 0 .. until_ns - since_ns.

    >>> time_in_market_ns(np.array([0, 5, 20]), np.array([10, 12, 99]), 0, 30)
    22
    """
    starts = np.clip(opens_ns, since_ns, until_ns)
    ends = np.clip(closes_ns, since_ns, until_ns)
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    covered_until = np.concatenate((np.array([since_ns], dtype=np.int64), ends[:-1]))
    fresh = ends - np.maximum(starts, covered_until[: len(starts)])
    return int(np.maximum(fresh, 0).sum())


def concurrent_max(opens_ns: Times, closes_ns: Times) -> int:
    """Count the most trades open at one instant; 0 without trades.

    >>> concurrent_max(np.array([0, 5, 20]), np.array([10, 12, 30]))
    2
    >>> concurrent_max(np.array([0, 10]), np.array([10, 20]))
    1
    """
    if not len(opens_ns):
        return 0
    starts = np.sort(opens_ns)
    closed = np.searchsorted(np.sort(closes_ns), starts, side="right")
    held = np.arange(1, len(starts) + 1) - closed
    # A trade that opens and closes in one instant covers no time, yet it was one open trade.
    return max(1, int(held.max()))
