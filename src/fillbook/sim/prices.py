"""Simulated markets: what is traded where, and one integer random walk per coin.

A walk lives on a one-minute grid in units of 1e-9 of the quote currency. Between two grid points
the mid is a straight line, so bots may ask for it at any millisecond.
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
    """One instrument of a simulated venue; a price has `px_decimals`, a size `qty_decimals`."""

    venue: str
    symbol: str
    coin: str
    contract: Literal["spot", "linear"]
    quote: str
    px_decimals: int
    qty_decimals: int

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
    drift a minute can have, both in millionths.
    """

    def __init__(
        self, dice: Dice, *, open_px: Decimal, sigma_ppm: int, trend_ppm: int, minutes: int
    ) -> None:
        nano = int(open_px * NANO)
        drift_ppm = 0
        turn = 0
        self.nanos = [nano]
        for minute in range(minutes):
            if minute == turn:
                drift_ppm = dice.between(-trend_ppm, trend_ppm)
                turn += dice.between(1440, 3 * 1440)
            move_ppm = drift_ppm + sigma_ppm * dice.bell() // 4
            nano += nano * move_ppm // MILLION
            self.nanos.append(nano)


class Quotes:
    """The mid of one market over the month: the coin's walk plus a slow basis of its own."""

    def __init__(self, market: Market, walk: Walk, dice: Dice, start_ms: int) -> None:
        self.market = market
        self.start_ms = start_ms
        self.end_ms = start_ms + (len(walk.nanos) - 1) * MINUTE_MS
        self._nanos: list[int] = []
        basis_ppm = 0
        for nano in walk.nanos:
            basis_ppm += 5 * dice.bell() // 4 - basis_ppm // 16
            self._nanos.append(nano + nano * basis_ppm // MILLION)

    def nano(self, ts_ms: int) -> int:
        """Return the mid in 1e-9 of the quote currency at any millisecond of the month."""
        minute, inside = divmod(min(max(ts_ms, self.start_ms), self.end_ms) - self.start_ms, 60_000)
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

    def _steps(self, ts_ms: int, per_tick: int) -> int:
        unit = int(Decimal(NANO).scaleb(-self.market.px_decimals))
        return (2 * self.nano(ts_ms) * per_tick + unit) // (2 * unit)


def quotes_of(
    markets: Sequence[Market], walks: dict[str, Walk], seed: int, start_ms: int
) -> dict[tuple[str, str], Quotes]:
    """Return the quotes of every market, by (venue, symbol)."""
    return {
        (market.venue, market.symbol): Quotes(
            market,
            walks[market.coin],
            Dice(seed, f"basis:{market.venue}:{market.symbol}"),
            start_ms,
        )
        for market in markets
    }
