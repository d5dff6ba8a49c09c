"""The last mark not later than an instant and not older than allowed; else unknown.

A stale price is not a price: every look-up states an age, and what is older counts as unknown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fillbook.marks.series import Series

Int64s = NDArray[np.int64]
Known = NDArray[np.bool_]

_BLOCK = 64


def as_of(series: Series, ts_ns: int, max_age_ns: int) -> int | None:
    """Return the last px at or before `ts_ns`, at the series' scale; None when too old.

    >>> series = Series(np.array([10, 20]), np.array([500, 510]), 2)
    >>> as_of(series, 25, 10), as_of(series, 31, 10), as_of(series, 9, 10)
    (510, None, None)
    """
    at = int(np.searchsorted(series.ts_ns, ts_ns, side="right")) - 1
    if at < 0 or ts_ns - int(series.ts_ns[at]) > max_age_ns:
        return None
    return int(series.px[at])


def as_of_many(series: Series, ts_ns: Int64s, max_age_ns: int) -> tuple[Int64s, Known]:
    """Return (px, known) for each instant, shape (n,); px is 0 where nothing is known."""
    px = np.zeros(len(ts_ns), dtype=np.int64)
    if not len(series.ts_ns):
        return px, np.zeros(len(ts_ns), dtype=np.bool_)
    at = np.searchsorted(series.ts_ns, ts_ns, side="right") - 1
    known: Known = at >= 0
    known[known] = ts_ns[known] - series.ts_ns[at[known]] <= max_age_ns
    px[known] = series.px[at[known]]
    return px, known


def excursion(series: Series, from_ns: int, until_ns: int) -> tuple[int, int] | None:
    """Return the (low, high) px inside [from, until]; None when no mark lies there.

    >>> series = Series(np.array([10, 20, 30]), np.array([7, 5, 9]), 0)
    >>> excursion(series, 10, 20), excursion(series, 21, 29)
    ((5, 7), None)
    """
    first = int(np.searchsorted(series.ts_ns, from_ns, side="left"))
    end = int(np.searchsorted(series.ts_ns, until_ns, side="right"))
    if first >= end:
        return None
    inside = series.px[first:end]
    return int(inside.min()), int(inside.max())


def excursion_many(
    series: Series, from_ns: Int64s, until_ns: Int64s
) -> tuple[Int64s, Int64s, Known]:
    """Return (low, high, known) for each interval [from, until], shape (n,) each.

    low and high are 0 where no mark lies inside. An interval costs two blocks of 64 marks and
    one table look-up, however long it is.
    """
    first = np.searchsorted(series.ts_ns, from_ns, side="left")
    end = np.searchsorted(series.ts_ns, until_ns, side="right")
    known: Known = first < end
    low, high = (np.zeros(len(first), dtype=np.int64) for _ in range(2))
    if known.any():
        first, end = first[known], end[known]
        low[known] = _extremes(np.minimum, series.px, first, end)
        high[known] = _extremes(np.maximum, series.px, first, end)
    return low, high, known


def _extremes(extreme: np.ufunc, px: Int64s, first: Int64s, end: Int64s) -> Int64s:
    """Reduce px[first:end] for many non-empty ranges: two ragged edges and whole blocks."""
    # An edge that would be empty shrinks to one element of the range, which changes no extreme.
    left_end = np.minimum(end, -(-first // _BLOCK) * _BLOCK)
    right = np.minimum(np.maximum(first, end // _BLOCK * _BLOCK), end - 1)
    found: Int64s = extreme(_edges(extreme, px, first, left_end), _edges(extreme, px, right, end))
    first_block, end_block = -(-first // _BLOCK), end // _BLOCK
    whole = first_block < end_block
    if whole.any():
        table = _doubling_table(extreme, px)
        start, stop = first_block[whole], end_block[whole]
        level = np.frexp((stop - start).astype(np.float64))[1] - 1
        blocks = extreme(table[level, start], table[level, stop - (1 << level)])
        found[whole] = extreme(found[whole], blocks)
    return found


def _edges(extreme: np.ufunc, px: Int64s, first: Int64s, end: Int64s) -> Int64s:
    # reduceat wants every index inside the array, so one element more is laid behind it.
    pairs = np.stack([first, end], axis=1).reshape(-1)
    reduced: Int64s = extreme.reduceat(np.append(px, px[-1:]), pairs)[::2]
    return reduced


def _doubling_table(extreme: np.ufunc, px: Int64s) -> Int64s:
    """table[k, i] is the extreme of the 2**k whole blocks from block i on."""
    count = len(px) // _BLOCK
    levels = max(1, count.bit_length())
    table = np.empty((levels, count), dtype=np.int64)
    table[0] = extreme.reduce(px[: count * _BLOCK].reshape(count, _BLOCK), axis=1)
    for level in range(1, levels):
        half, width = 1 << (level - 1), count - (1 << level) + 1
        table[level] = table[level - 1]
        table[level, :width] = extreme(
            table[level - 1, :width], table[level - 1, half : half + width]
        )
    return table
