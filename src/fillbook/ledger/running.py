"""Totals of a few rows: every running sum, as plain integers.

Most groups of a large book are short, and for them a `Blocks` costs many times what it sums: here
a window is one subtraction per column, and what is kept is two words a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from fillbook.ledger.amounts import to_ints

# Up to so many rows the running sums take less room than the blocks' own lists and arrays.
SHORT_ROWS = 32

Column = NDArray[np.int64]


class Running:
    """The sum of each column before each row; `window` answers as that of `Blocks` does.

    >>> Running.build([np.array([1, 2, 3]), np.array([[0, 5], [0, 0], [-1, -1]])]).window(1, 3)
    [5, -1]
    """

    __slots__ = ("_before",)

    def __init__(self, before: tuple[tuple[int, ...], ...]) -> None:
        """Take the sums before each row and at last those of all; `build` makes them."""
        self._before = before

    @classmethod
    def build(cls, columns: Sequence[Column]) -> Running:
        """Sum columns of one length, at least one: money of shape (n, 2) or plain int64."""
        numbers = (column.tolist() if column.ndim == 1 else to_ints(column) for column in columns)
        sums = (accumulate(each, initial=0) for each in numbers)
        return cls(tuple(zip(*sums, strict=True)))

    def window(self, start: int, stop: int) -> list[int]:
        """Return the exact sum of each column over rows [start, stop)."""
        if not 0 <= start <= stop < len(self._before):
            raise IndexError(f"rows [{start}, {stop}) are not within {len(self._before) - 1}")
        upper = self._before[stop]
        if not start:
            return list(upper)
        return [high - low for high, low in zip(upper, self._before[start], strict=True)]
