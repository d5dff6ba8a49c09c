"""Marks of one instrument as columns, and how they grow: only what is new is read again."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from fillbook.ground.exact import INT64_MAX, divide_half_even

Rows = NDArray[np.int64]
"""Shape (n, 3): ts_ns, px and the scale of px, one row an instant, in time order."""


class Series(msgspec.Struct, frozen=True):
    """Marks of one instrument in time order: px[i] / 10**scale was worth at ts_ns[i].

    Both arrays have shape (n,); instants are strictly increasing.
    """

    ts_ns: NDArray[np.int64]
    px: NDArray[np.int64]
    scale: int


class Kept(msgspec.Struct, frozen=True):
    """What was read of one instrument, at one version of the store that has an id."""

    store: str
    version: int
    rows: Rows
    series: Series


def first_of_instants(found: list[tuple[int, int, int]]) -> Rows:
    """Return the first row of every instant, of rows in the order of the store."""
    rows = np.array(found, dtype=np.int64).reshape(-1, 3)
    first = np.ones(len(rows), dtype=np.bool_)
    first[1:] = rows[1:, 0] != rows[:-1, 0]
    return rows[first]


def spliced(rows: Rows, pruned_ns: int, from_ns: int, newer: Rows) -> Rows:
    """Return rows as they are now: from `from_ns` on the newer ones, none before `pruned_ns`."""
    begin, end = np.searchsorted(rows[:, 0], [pruned_ns, from_ns])
    return np.concatenate([rows[begin : max(begin, end)], newer])


def series_of(rows: Rows) -> Series:
    """Return the rows as a series on one scale."""
    px, scale = _on_one_scale(rows[:, 1], rows[:, 2])
    return Series(np.ascontiguousarray(rows[:, 0]), px, scale)


def _on_one_scale(
    px: NDArray[np.int64], scales: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """Bring prices to the finest scale that all of them have room for."""
    if not len(px):
        return px.copy(), 0
    room = int(scales.max())
    present: list[int] = np.flatnonzero(np.bincount(scales)).tolist()
    for scale in present:
        most = int(np.abs(px[scales == scale]).max())
        while room > scale and most * 10 ** (room - scale) > INT64_MAX:
            room -= 1
    out = np.empty_like(px)
    for scale in present:
        at = scales == scale
        if scale <= room:
            # Only zeros have room for more than 18 digits, and stay zeros.
            out[at] = px[at] * np.int64(10 ** min(room - scale, 18))
        else:
            out[at] = [divide_half_even(int(p), 10 ** (scale - room)) for p in px[at]]
    return out, room


NOTHING = Kept("", -1, first_of_instants([]), series_of(first_of_instants([])))
