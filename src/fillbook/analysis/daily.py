"""One day of one account in one currency: the exact figures behind the daily files and log line.

Derived figures are exact fractions; rounding happens only where they are written
(`publish/daily.py`).
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.ground.exact import MONEY_ONE


class DailyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What happened on one day; money in grid units, None where a source does not say.

    Trades count by close time; `breakeven` is a class of its own, and trades with a part of unknown
    cost are left out of all but `unpriced`.
    `gross_loss` and `funding_paid` are positive; `fees` positive = cost. `net` is None where fees
    are unknown, then classes are gross. `orders_*` count entry orders and are None without order
    events; slippages are means in basis points, positive = cost, None without samples.
    `in_market_ns` is the union of holding times in the day and `hold_ns` the sum over the closed
    trades; both None for trades without times. `venue` is None where the account has this
    currency at several venues, or the record is of none. `book`, `seq`, `head`, `revision` name
    the state of the book the figures are true at.
    """

    day: str
    session_start_ns: int
    currency: str
    book: str
    seq: int
    head: str
    account: str = "-"
    venue: str | None = None
    revision: int = 0
    wins: int = 0
    losses: int = 0
    breakeven: int = 0
    unpriced: int = 0
    gross_profit: int = 0
    gross_loss: int = 0
    net: int | None = 0
    orders_placed: int | None = None
    orders_filled: int | None = None
    entry_slippage_bps: float | None = None
    exit_slippage_bps: float | None = None
    fees: int | None = 0
    funding_paid: int = 0
    funding_received: int = 0
    in_market_ns: int | None = 0
    window_ns: int = DAY_NS
    hold_ns: int | None = 0

    @property
    def trades(self) -> int:
        """Return the closed trades of the day, break-even ones included."""
        return self.wins + self.losses + self.breakeven

    @property
    def win_rate_pct(self) -> Fraction | None:
        """Return wins per 100 closed trades; None without trades."""
        return Fraction(100 * self.wins, self.trades) if self.trades else None

    @property
    def expectancy(self) -> Fraction | None:
        """Return net per closed trade in money; None without trades or with unknown fees."""
        if self.net is None or not self.trades:
            return None
        return Fraction(self.net, self.trades * MONEY_ONE)

    @property
    def profit_factor(self) -> Fraction | None:
        """Return gross profit / gross loss; None without losses (`unbeaten` tells which)."""
        return Fraction(self.gross_profit, self.gross_loss) if self.gross_loss else None

    @property
    def unbeaten(self) -> bool:
        """Say whether there was profit and no loss, where the daily files write "inf"."""
        return bool(self.gross_profit) and not self.gross_loss

    @property
    def fill_rate_pct(self) -> Fraction | None:
        """Return entry orders filled per 100 placed; None without order events."""
        if self.orders_filled is None or not self.orders_placed:
            return None
        return Fraction(100 * self.orders_filled, self.orders_placed)

    @property
    def net_funding(self) -> int:
        """Return funding received less paid, in grid units."""
        return self.funding_received - self.funding_paid

    @property
    def total_costs(self) -> int | None:
        """Return fees less net funding, in grid units; None where fees are unknown."""
        return None if self.fees is None else self.fees - self.net_funding

    @property
    def time_in_market_pct(self) -> Fraction | None:
        """Return the share of the window with an open trade, in per cent."""
        if self.in_market_ns is None or not self.window_ns:
            return None
        return Fraction(100 * self.in_market_ns, self.window_ns)

    @property
    def avg_holding_hours(self) -> Fraction | None:
        """Return the mean holding time of the closed trades; None without trades or times."""
        if self.hold_ns is None or not self.trades:
            return None
        return Fraction(self.hold_ns, self.trades * HOUR_NS)
