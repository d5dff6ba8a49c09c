"""Totals that are cheap over any window: columns sorted by time, summed in blocks.

A window costs its two edges and one subtraction per column; a late row costs its own block; and
totals of several machines merge by addition. Everything is exact: Python integers over int64 or
128-bit columns.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from fillbook.ledger.amounts import total

BLOCK_ROWS = 4096

Column = NDArray[np.int64]
Block = tuple[Column, ...]
Sums = tuple[int, ...]


class Blocks:
    """Rows sorted by time, cut into blocks whose totals are known.

    Columns are money of shape (n, 2) or plain int64 of shape (n,); `ts_ns`, where given, makes
    windows of time possible. Instances never change: `replace` returns another one that shares
    every block it did not touch, so a reader of the old one is not disturbed. The arrays are kept,
    not copied: do not write to them afterwards.

    >>> blocks = Blocks.build([np.arange(10_000)], ts_ns=np.arange(10_000) * 10)
    >>> blocks.window(10, 20), blocks.window(*blocks.rows_between(100, 200))
    ([145], [145])
    """

    def __init__(
        self, blocks: Sequence[Block], sums: Sequence[Sums], width: int, timed: bool
    ) -> None:
        """Take blocks and their sums; `build` is the way to make them."""
        self._blocks = list(blocks)
        self._sums = list(sums)
        self._width = width
        self._timed = timed
        self._starts = list(accumulate((len(block[0]) for block in self._blocks), initial=0))
        # one running total per column: entry b is the sum of everything before block b
        self._before = [
            list(accumulate((block_sums[place] for block_sums in self._sums), initial=0))
            for place in range(width)
        ]
        self._first_ns = [int(block[-1][0]) for block in self._blocks] if self._timed else []

    @classmethod
    def build(cls, columns: Sequence[Column], ts_ns: Column | None = None) -> Blocks:
        """Sum columns of one length; at least one. ValueError where lengths or order disagree."""
        kept = tuple(columns) if ts_ns is None else (*columns, ts_ns)
        if not columns or len({len(column) for column in kept}) != 1:
            raise ValueError("blocks need columns of one length, and at least one")
        if ts_ns is not None:
            _check_sorted(ts_ns)
        blocks = _cut(kept)
        sums = [_sum(block, len(columns)) for block in blocks]
        return cls(blocks, sums, len(columns), ts_ns is not None)

    @classmethod
    def merge(cls, parts: Iterable[Blocks]) -> Blocks:
        """Interleave several by time into one; equal instants keep the order of the parts."""
        kept = [part for part in parts if len(part)]
        if not kept or not all(part._timed for part in kept):
            raise ValueError("only blocks with rows and times can be merged")
        columns = _joined([tuple(_joined(part._blocks)) for part in kept])
        order = np.argsort(columns[-1], kind="stable")
        *sorted_columns, ts_ns = (column[order] for column in columns)
        return cls.build(sorted_columns, ts_ns)

    def __len__(self) -> int:
        return self._starts[-1]

    def window(self, start: int, stop: int) -> list[int]:
        """Return the exact sum of each column over rows [start, stop)."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"rows [{start}, {stop}) are not within {len(self)}")
        upper, lower = self._until(stop), self._until(start)
        return [high - low for high, low in zip(upper, lower, strict=True)]

    def _until(self, row: int) -> list[int]:
        """Return the sum of each column over the rows before `row`."""
        place = bisect_right(self._starts, row) - 1
        inside = row - self._starts[place]
        if not inside:
            return [column[place] for column in self._before]
        block, size = self._blocks[place], len(self._blocks[place][-1])
        if 2 * inside <= size:
            return [
                before[place] + total(column[:inside])
                for before, column in zip(self._before, block, strict=False)
            ]
        # nearer to the block's end: take what is beyond away
        return [
            before[place + 1] - total(column[inside:])
            for before, column in zip(self._before, block, strict=False)
        ]

    def rows_between(self, since_ns: int, until_ns: int) -> tuple[int, int]:
        """Return the half-open range of rows with since_ns <= time < until_ns."""
        if not self._timed:
            raise ValueError("these blocks were built without times")
        start, stop = (self._row_at(ts_ns) for ts_ns in (since_ns, until_ns))
        return start, max(start, stop)

    def _row_at(self, ts_ns: int) -> int:
        """Return the first row at or after an instant."""
        # the block before the first one that begins at or after it may still hold it
        place = max(0, bisect_left(self._first_ns, ts_ns) - 1)
        if not self._blocks:
            return 0
        return self._starts[place] + int(np.searchsorted(self._blocks[place][-1], ts_ns))

    def replace(
        self, start: int, stop: int, columns: Sequence[Column], ts_ns: Column | None = None
    ) -> Blocks:
        """Return these rows with [start, stop) replaced by other rows, any number of them.

        Only the blocks touched are summed again. A late fact is `replace(i, i, its row)`.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"rows [{start}, {stop}) are not within {len(self)}")
        new = tuple(columns) if ts_ns is None else (*columns, ts_ns)
        if len(columns) != self._width or (ts_ns is not None) != self._timed:
            raise ValueError("the new rows must have the columns of the old ones")
        if not self._blocks:
            return Blocks.build(columns, ts_ns)
        first = min(bisect_right(self._starts, start), len(self._blocks)) - 1
        last = max(first + 1, bisect_left(self._starts, stop))
        offset = self._starts[first]
        middle = tuple(
            np.concatenate([old[: start - offset], fresh, old[stop - offset :]])
            for old, fresh in zip(_joined(self._blocks[first:last]), new, strict=True)
        )
        cut = _cut(middle)
        around = [*self._blocks[:first][-1:], *cut, *self._blocks[last:][:1]]
        if self._timed and around:
            _check_sorted(np.concatenate([block[-1] for block in around]))
        return Blocks(
            [*self._blocks[:first], *cut, *self._blocks[last:]],
            [*self._sums[:first], *(_sum(block, self._width) for block in cut), *self._sums[last:]],
            self._width,
            self._timed,
        )


def _cut(columns: Block) -> list[Block]:
    """Cut columns evenly into blocks of BLOCK_ROWS to twice that, or one smaller block."""
    rows = len(columns[0])
    if not rows:
        return []
    count = max(1, rows // BLOCK_ROWS)
    edges = [rows * place // count for place in range(count + 1)]
    return [tuple(column[start:stop] for column in columns) for start, stop in pairwise(edges)]


def _sum(block: Block, width: int) -> Sums:
    """Return the total of each summed column."""
    return tuple(total(column) for column in block[:width])


def _joined(blocks: Sequence[Block]) -> list[Column]:
    """Return the columns of consecutive blocks in one piece each."""
    return [np.concatenate(column) for column in zip(*blocks, strict=True)]


def _check_sorted(ts_ns: Column) -> None:
    if bool((ts_ns[1:] < ts_ns[:-1]).any()):
        raise ValueError("rows must be sorted by time")
