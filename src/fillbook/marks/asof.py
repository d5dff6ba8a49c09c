"""The last mark not later than an instant and not older than allowed; else unknown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fillbook.marks.series import Series


def as_of(series: Series, ts_ns: int, max_age_ns: int) -> int | None:
    """Return the last px at or before `ts_ns`, at the series' scale; None when too old."""
    raise NotImplementedError


def as_of_many(
    series: Series, ts_ns: NDArray[np.int64], max_age_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return (px, known) for each instant, shape (n,); px is 0 where nothing is known."""
    raise NotImplementedError


def excursion(series: Series, from_ns: int, until_ns: int) -> tuple[int, int] | None:
    """Return the (low, high) px inside [from, until]; None when no mark lies there."""
    raise NotImplementedError


def excursion_many(
    series: Series, from_ns: NDArray[np.int64], until_ns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return (low, high, known) for each interval [from, until], shape (n,) each."""
    raise NotImplementedError
