"""As-of look-ups against a plain scan that shares no code with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.marks.asof import as_of, as_of_many, excursion, excursion_many
from fillbook.marks.series import Series

times = st.lists(st.integers(0, 60), max_size=40, unique=True).map(sorted)


def series_of(instants: list[int], prices: list[int], scale: int = 2) -> Series:
    return Series(
        np.array(instants, dtype=np.int64), np.array(prices[: len(instants)], dtype=np.int64), scale
    )


@given(times, st.lists(st.integers(-9, 9), min_size=40, max_size=40), st.integers(0, 70))
def test_last_mark_not_later_and_not_too_old(
    instants: list[int], prices: list[int], age: int
) -> None:
    series = series_of(instants, prices)
    asked = np.arange(-5, 70)
    px, known = as_of_many(series, asked, age)
    for at, ts_ns in enumerate(asked.tolist()):
        candidates = [
            p for t, p in zip(instants, prices, strict=False) if ts_ns - age <= t <= ts_ns
        ]
        expected = candidates[-1] if candidates else None
        assert as_of(series, ts_ns, age) == expected
        assert (int(px[at]) if known[at] else None) == expected
        assert known[at] or px[at] == 0


@given(times, st.lists(st.integers(-9, 9), min_size=40, max_size=40))
def test_excursion_is_the_extremes_of_the_closed_interval(
    instants: list[int], prices: list[int]
) -> None:
    series = series_of(instants, prices)
    spans = [(a, b) for a in range(-2, 62, 3) for b in range(-2, 63, 5)]
    low, high, known = excursion_many(
        series, np.array([a for a, _ in spans]), np.array([b for _, b in spans])
    )
    for at, (a, b) in enumerate(spans):
        inside = [p for t, p in zip(instants, prices, strict=False) if a <= t <= b]
        expected = (min(inside), max(inside)) if inside else None
        assert excursion(series, a, b) == expected
        assert ((int(low[at]), int(high[at])) if known[at] else None) == expected


@pytest.mark.parametrize("count", [1, 63, 64, 65, 127, 128, 129, 1000, 4097])
def test_excursions_over_many_blocks(count: int) -> None:
    random = np.random.default_rng(count)
    prices = random.integers(-(2**62), 2**62, count)
    series = Series(np.arange(count, dtype=np.int64) * 10, prices, 0)
    first = random.integers(-20, count * 10 + 20, 3000)
    until = first + random.integers(-5, count * 10, 3000)
    low, high, known = excursion_many(series, first, until)
    for at in range(3000):
        inside = prices[(series.ts_ns >= first[at]) & (series.ts_ns <= until[at])]
        assert known[at] == bool(len(inside))
        if len(inside):
            assert (low[at], high[at]) == (inside.min(), inside.max())
