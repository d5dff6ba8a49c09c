"""Simulated markets: what is traded where, and one integer random walk per coin.

A walk lives on a one-minute grid in units of 1e-9 of the quote currency. Between two grid points
the mid is a straight line, so bots may ask for it at any millisecond. Walks grow on demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from fillbook.sim.dice import Dice

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NANO = 10**9
MILLION = 10**6


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of a simulated venue; a price has `px_decimals`, a size `qty_decimals`.

    One unit of size is worth `multiplier` times the price. Only what is `funded` settles funding.
    """

    venue: str
    symbol: str
    coin: str
    contract: Literal["spot", "linear"]
    quote: str
    px_decimals: int
    qty_decimals: int
    multiplier: Decimal = Decimal(1)
    funded: bool = True

    @property
    def tick(self) -> Decimal:
        """Return the smallest step of a price."""
        return Decimal(1).scaleb(-self.px_decimals)

    @property
    def lot(self) -> Decimal:
        """Return the smallest step of a size."""
        return Decimal(1).scaleb(-self.qty_decimals)


class Walk:
    """The path of one coin: `drift` turns at random every one to three days.

    `sigma_ppm` is the standard deviation of a minute's relative move and `trend_ppm` the largest
    drift a minute can have, both in millionths. The path is `minutes` long and grows on demand;
    what is there never changes.
    """

    def __init__(
        self, dice: Dice, *, open_px: Decimal, sigma_ppm: int, trend_ppm: int, minutes: int
    ) -> None:
        self._dice = dice
        self._sigma_ppm, self._trend_ppm = sigma_ppm, trend_ppm
        self._drift_ppm = 0
        self._turn = 0
        self.nanos = [int(open_px * NANO)]
        self.reach(minutes)

    def reach(self, minute: int) -> None:
        """Walk on until the path holds the given minute."""
        for here in range(len(self.nanos) - 1, minute):
            if here == self._turn:
                self._drift_ppm = self._dice.between(-self._trend_ppm, self._trend_ppm)
                self._turn += self._dice.between(1440, 3 * 1440)
            move_ppm = self._drift_ppm + self._sigma_ppm * self._dice.bell() // 4
            nano = self.nanos[-1]
            self.nanos.append(nano + nano * move_ppm // MILLION)


class Quotes:
    """The mid of one market: the coin's walk plus a slow basis of its own.

    Before its start and after its end a price stands still, unless the quotes are `endless`:
    then they walk on for as long as anybody asks.
    """

    def __init__(
        self, market: Market, walk: Walk, dice: Dice, start_ms: int, *, endless: bool = False
    ) -> None:
        self.market = market
        self.start_ms = start_ms
        self._walk, self._dice, self._endless = walk, dice, endless
        self._nanos: list[int] = []
        self._basis_ppm = 0
        self._reach(len(walk.nanos) - 1)
        self.end_ms = start_ms + (len(walk.nanos) - 1) * MINUTE_MS

    def _reach(self, minute: int) -> None:
        self._walk.reach(minute)
        for nano in self._walk.nanos[len(self._nanos) : minute + 1]:
            self._basis_ppm += 5 * self._dice.bell() // 4 - self._basis_ppm // 16
            self._nanos.append(nano + nano * self._basis_ppm // MILLION)

    def nano(self, ts_ms: int) -> int:
        """Return the mid in 1e-9 of the quote currency at any millisecond."""
        at_ms = max(ts_ms, self.start_ms)
        at_ms = at_ms if self._endless else min(at_ms, self.end_ms)
        minute, inside = divmod(at_ms - self.start_ms, MINUTE_MS)
        if minute + 1 >= len(self._nanos) and self._endless:
            self._reach(minute + 1)
        here = self._nanos[minute]
        if not inside:
            return here
        return here + (self._nanos[minute + 1] - here) * inside // MINUTE_MS

    def mid(self, ts_ms: int) -> Decimal:
        """Return the mid on the half-tick grid, as a quoted book has it."""
        return Decimal(5 * self._steps(ts_ms, 2)).scaleb(-self.market.px_decimals - 1)

    def mark(self, ts_ms: int) -> Decimal:
        """Return the mark price on the tick grid."""
        return Decimal(self._steps(ts_ms, 1)).scaleb(-self.market.px_decimals)

    def touch(self, ts_ms: int, side: str, away_ticks: int) -> Decimal:
        """Return the price `away_ticks` beyond the mid, as a taker of `side` would pay."""
        halves = self._steps(ts_ms, 2)
        ticks = (halves + 1) // 2 + away_ticks if side == "buy" else halves // 2 - away_ticks
        return Decimal(ticks).scaleb(-self.market.px_decimals)

    def reached(self, since_ms: int, until_ms: int, px: Decimal, *, down: bool) -> int | None:
        """Return when the mid first is at or beyond a price, down or up, to ten seconds.

        None when it is not before `until_ms`. The instant of asking itself does not count.
        """
        goal = int(px * NANO)
        minute_ms = since_ms - since_ms % MINUTE_MS
        there = self.nano(minute_ms)
        for here_ms in range(minute_ms, until_ms, MINUTE_MS):
            ends = there, self.nano(here_ms + MINUTE_MS)
            there = ends[1]
            # Inside a minute the path is straight: it gets there only if one end does.
            if (min(ends) > goal) if down else (max(ends) < goal):
                continue
            for ts_ms in range(here_ms, here_ms + MINUTE_MS, 10_000):
                nano = self.nano(ts_ms)
                if since_ms < ts_ms < until_ms and (nano <= goal if down else nano >= goal):
                    return ts_ms
        return None

    def _steps(self, ts_ms: int, per_tick: int) -> int:
        unit = int(Decimal(NANO).scaleb(-self.market.px_decimals))
        return (2 * self.nano(ts_ms) * per_tick + unit) // (2 * unit)


def quotes_of(
    markets: Sequence[Market],
    walks: dict[str, Walk],
    seed: int,
    start_ms: int,
    *,
    endless: bool = False,
) -> dict[tuple[str, str], Quotes]:
    """Return the quotes of every market, by (venue, symbol)."""
    return {
        (market.venue, market.symbol): Quotes(
            market,
            walks[market.coin],
            Dice(seed, f"basis:{market.venue}:{market.symbol}"),
            start_ms,
            endless=endless,
        )
        for market in markets
    }
