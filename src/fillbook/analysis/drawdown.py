"""Falls from a peak: the deepest in money, the deepest as a share of its peak, the longest.

The curve starts before the first result, so a first loss is a drawdown too. The deepest fall in
money and the deepest as a share can be different episodes; both are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

import msgspec

Level = TypeVar("Level", int, float)


class Episode(msgspec.Struct, Generic[Level], frozen=True, kw_only=True):
    """One fall: from the last instant at the peak, over the trough, to the recovery.

    `depth` is positive, in the unit of the curve. `ratio` is depth / peak, None where the peak is
    not positive. Indices count curve points; 0 is the point before the first result. While not
    recovered, `until_index` is the last point.
    """

    depth: Level
    ratio: float | None
    peak_index: int
    trough_index: int
    until_index: int
    recovered: bool

    @property
    def periods(self) -> int:
        """Return the steps from the peak to the recovery, or to the last point."""
        return self.until_index - self.peak_index


class Drawdown(msgspec.Struct, Generic[Level], frozen=True, kw_only=True):
    """The worst episodes of a curve, by three measures; all None when it never falls."""

    deepest: Episode[Level] | None = None
    deepest_ratio: Episode[Level] | None = None
    longest: Episode[Level] | None = None

    def with_episode(self, fall: Episode[Level]) -> Drawdown[Level]:
        """Return the same, with one more episode considered; the earlier one wins a tie."""
        deepest, steepest, longest = self.deepest, self.deepest_ratio, self.longest
        if deepest is None or fall.depth > deepest.depth:
            deepest = fall
        if fall.ratio is not None and (
            steepest is None or steepest.ratio is None or fall.ratio > steepest.ratio
        ):
            steepest = fall
        if longest is None or fall.periods > longest.periods:
            longest = fall
        return Drawdown(deepest=deepest, deepest_ratio=steepest, longest=longest)


def drawdown(levels: Iterable[Level]) -> Drawdown[Level]:
    """Walk a curve once and return its worst falls, exactly for integers.

    `levels` includes the starting level. Reaching the old peak again is a recovery. The trough of
    an episode is the same in money and as a share, since its peak is fixed.

    >>> from itertools import accumulate
    >>> worst = drawdown(accumulate([0, -500, 500, 10000, -1000], initial=1000))
    >>> worst.deepest.depth, worst.deepest.recovered
    (1000, False)
    >>> worst.deepest_ratio.depth, worst.deepest_ratio.ratio
    (500, 0.5)
    """
    worst: Drawdown[Level] = Drawdown()
    points = iter(levels)
    peak = next(points, None)
    if peak is None:
        return worst
    peak_index = trough_index = index = 0
    lowest = peak
    for index, level in enumerate(points, start=1):
        if level >= peak:
            if lowest < peak:
                fall = _episode(peak, lowest, peak_index, trough_index, index, recovered=True)
                worst = worst.with_episode(fall)
            peak = lowest = level
            peak_index = index
        elif level < lowest:
            lowest, trough_index = level, index
    if lowest < peak:
        fall = _episode(peak, lowest, peak_index, trough_index, index, recovered=False)
        worst = worst.with_episode(fall)
    return worst


def _episode(
    peak: Level, lowest: Level, peak_index: int, trough_index: int, until: int, *, recovered: bool
) -> Episode[Level]:
    depth = peak - lowest
    return Episode(
        depth=depth,
        ratio=depth / peak if peak > 0 else None,
        peak_index=peak_index,
        trough_index=trough_index,
        until_index=until,
        recovered=recovered,
    )
