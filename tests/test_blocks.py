"""Columns of 128-bit money and their block totals, against Python's own integers."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.ledger import amounts
from fillbook.ledger.blocks import BLOCK_ROWS, Blocks

MIN128, MAX128 = -(2**127), 2**127 - 1
WIDE = st.integers(MIN128, MAX128) | st.sampled_from(
    [
        sign * (2**power + near)
        for power in (0, 32, 63, 64, 96)
        for near in (-1, 0, 1)
        for sign in (1, -1)
    ]
)


@given(st.lists(WIDE))
def test_amounts_go_in_and_out_unchanged_and_sum_exactly(numbers: list[int]) -> None:
    column = amounts.from_ints(numbers)
    assert column.shape == (len(numbers), 2)
    assert amounts.to_ints(column) == numbers
    assert [amounts.to_int(row) for row in column] == numbers
    assert amounts.total(column) == sum(numbers)
    assert amounts.total(column[:, 0]) == sum(number >> 64 for number in numbers)


def test_sums_leave_128_bits_unharmed() -> None:
    column = amounts.from_ints([MAX128] * 1000 + [MIN128] * 3)
    assert amounts.total(column) == 1000 * MAX128 + 3 * MIN128
    assert amounts.total(np.full(1000, -(2**63), np.int64)) == -1000 * 2**63


@given(st.lists(st.tuples(WIDE, WIDE), min_size=1))
def test_row_wise_sums_are_exact_or_refused(pairs: list[tuple[int, int]]) -> None:
    left, right = (amounts.from_ints(side) for side in zip(*pairs, strict=True))
    sums = [a + b for a, b in pairs]
    if all(MIN128 <= number <= MAX128 for number in sums):
        assert amounts.to_ints(amounts.add_arrays(left, right)) == sums
    else:
        with pytest.raises(OverflowError):
            amounts.add_arrays(left, right)


@given(st.lists(WIDE))
def test_negation_is_exact_or_refused(numbers: list[int]) -> None:
    column = amounts.from_ints(numbers)
    if MIN128 in numbers:
        with pytest.raises(OverflowError):
            amounts.negated(column)
    else:
        assert amounts.to_ints(amounts.negated(column)) == [-number for number in numbers]


@given(st.lists(WIDE), st.integers(0, 30))
def test_floats_are_right_to_the_last_places(numbers: list[int], scale: int) -> None:
    floats = amounts.to_floats(amounts.from_ints(numbers), scale).tolist()
    assert floats == pytest.approx([number / 10**scale for number in numbers], rel=4e-16, abs=0)


def test_a_number_beyond_128_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        amounts.from_ints([MAX128 + 1])


class Rows:
    """The plain thing blocks stand for: lists of numbers, summed by Python."""

    def __init__(self, rng: random.Random, count: int) -> None:
        self.ts_ns = sorted(rng.randrange(10 * count) for _ in range(count))
        self.money = [rng.randint(-(2**90), 2**90) for _ in range(count)]
        self.wins = [rng.randrange(2) for _ in range(count)]

    def blocks(self) -> Blocks:
        columns = [amounts.from_ints(self.money), np.array(self.wins, np.int64)]
        return Blocks.build(columns, np.array(self.ts_ns, np.int64))

    def window(self, start: int, stop: int) -> list[int]:
        return [sum(self.money[start:stop]), sum(self.wins[start:stop])]

    def replace(self, start: int, stop: int, other: Rows) -> None:
        for name in ("ts_ns", "money", "wins"):
            getattr(self, name)[start:stop] = getattr(other, name)


EDGES = [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 2 * BLOCK_ROWS, 3 * BLOCK_ROWS + 7]


@pytest.mark.parametrize("count", EDGES)
def test_any_window_is_the_sum_of_its_rows(count: int) -> None:
    rows = Rows(random.Random(count), count)
    blocks = rows.blocks()
    assert len(blocks) == count
    cuts = sorted({min(count, edge) for edge in (*EDGES, count // 3, count // 2, count)})
    for start in cuts:
        for stop in cuts:
            if start <= stop:
                assert blocks.window(start, stop) == rows.window(start, stop)
    with pytest.raises(IndexError):
        blocks.window(0, count + 1)


def test_windows_of_time_are_half_open_and_take_equal_instants_together() -> None:
    ts_ns = np.repeat(np.arange(3), BLOCK_ROWS)  # one instant spans each block boundary
    blocks = Blocks.build([np.ones(len(ts_ns), np.int64)], ts_ns)
    assert blocks.rows_between(0, 1) == (0, BLOCK_ROWS)
    assert blocks.rows_between(1, 2) == (BLOCK_ROWS, 2 * BLOCK_ROWS)
    assert blocks.rows_between(-5, 99) == (0, 3 * BLOCK_ROWS)
    assert blocks.rows_between(3, 9) == (3 * BLOCK_ROWS, 3 * BLOCK_ROWS)
    assert blocks.rows_between(2, 1) == (2 * BLOCK_ROWS, 2 * BLOCK_ROWS)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 5, 9000, 14_000]))
def test_replacing_rows_equals_building_anew(seed: int, count: int) -> None:
    rng = random.Random(seed)
    rows = Rows(rng, count)
    blocks, before = rows.blocks(), rows.window(0, count)
    first = blocks
    for _ in range(4):
        start = rng.randint(0, len(rows.money))
        stop = min(len(rows.money), start + rng.choice((0, 0, 1, 5000)))
        new = Rows(rng, rng.choice((0, 1, 1, 3, 9000)))
        low = rows.ts_ns[start - 1] if start else 0
        new.ts_ns = [low] * len(new.ts_ns)
        columns = [amounts.from_ints(new.money), np.array(new.wins, np.int64)]
        blocks = blocks.replace(start, stop, columns, np.array(new.ts_ns, np.int64))
        rows.replace(start, stop, new)
        assert len(blocks) == len(rows.money)
        cut = rng.randint(0, len(rows.money))
        assert blocks.window(0, cut) == rows.window(0, cut)
        assert blocks.window(cut, len(blocks)) == rows.window(cut, len(blocks))
        until = rng.randint(0, 10 * count + 1)
        inside = [place for place, ts_ns in enumerate(rows.ts_ns) if ts_ns < until]
        assert blocks.rows_between(-1, until) == (0, len(inside))
    assert first.window(0, count) == before  # whoever holds the old ones is not disturbed


def test_merging_interleaves_by_time() -> None:
    rng = random.Random(3)
    parts = [Rows(rng, count) for count in (5000, 0, 70, 6000)]
    merged = Blocks.merge(part.blocks() for part in parts)
    together = sorted(
        (ts_ns, part.money[place], part.wins[place])
        for part in parts
        for place, ts_ns in enumerate(part.ts_ns)
    )
    assert len(merged) == len(together)
    for until in (0, 1, 30_000, 60_000):
        kept = [row for row in together if row[0] < until]
        expected = [sum(row[1] for row in kept), sum(row[2] for row in kept)]
        assert merged.window(*merged.rows_between(0, until)) == expected


def test_what_cannot_be_blocks_is_refused() -> None:
    column = np.arange(3)
    with pytest.raises(ValueError, match="sorted"):
        Blocks.build([column], np.array([1, 3, 2]))
    with pytest.raises(ValueError, match="one length"):
        Blocks.build([column, column[:2]])
    timed = Blocks.build([column], column)
    with pytest.raises(ValueError, match="sorted"):
        timed.replace(0, 0, [column[:1]], np.array([9]))
    with pytest.raises(ValueError, match="columns of the old"):
        timed.replace(0, 0, [column[:1], column[:1]], column[:1])
    with pytest.raises(ValueError, match="without times"):
        Blocks.build([column]).rows_between(0, 1)
    with pytest.raises(ValueError, match="merged"):
        Blocks.merge([Blocks.build([column])])
