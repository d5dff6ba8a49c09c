"""Funding of simulated perpetuals: a rate per settlement, and what each open position pays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from fillbook.sim.books import EXACT
from fillbook.sim.dice import Dice
from fillbook.sim.executions import SimFill, SimFunding
from fillbook.sim.prices import Quotes


class Rates:
    """The funding rate of one perpetual at each settlement, in 1e-9 of the notional.

    It wanders around `usual_nano`; positive means that longs pay shorts. `by_ms` holds the
    settlements after `start_ms` up to the last one asked for.
    """

    def __init__(
        self,
        dice: Dice,
        *,
        usual_nano: int,
        swing_nano: int,
        start_ms: int,
        end_ms: int,
        step_ms: int,
    ) -> None:
        self._dice = dice
        self._usual_nano, self._swing_nano = usual_nano, swing_nano
        self._off_nano = 0
        self._settled_ms = start_ms
        self.step_ms = step_ms
        self.by_ms: dict[int, int] = {}
        self.reach(end_ms)

    def reach(self, end_ms: int) -> None:
        """Settle on until the last settlement at or before an instant."""
        while self._settled_ms + self.step_ms <= end_ms:
            self._settled_ms += self.step_ms
            self._off_nano += self._swing_nano * self._dice.bell() // 16 - self._off_nano // 12
            self.by_ms[self._settled_ms] = self._usual_nano + self._off_nano

    def latest(self, ts_ms: int) -> int:
        """Return the last rate settled at or before an instant, 0 before the first."""
        return self.by_ms.get(ts_ms - ts_ms % self.step_ms, 0)


def settle(
    fills: Iterable[SimFill], quotes: Quotes, rates: Rates, account: str, decimals: int
) -> list[SimFunding]:
    """Return the payments of one account on one perpetual, in time order.

    A settlement pays on the position as it stood before any fill of that instant. Fills of other
    accounts and markets are passed over; `decimals` is what the venue prints.
    """
    market = quotes.market
    ours = [fill for fill in fills if fill.market == market and fill.account == account]
    payments: list[SimFunding] = []
    position, nth = Decimal(0), 0
    for ts_ms, rate_nano in rates.by_ms.items():
        while nth < len(ours) and ours[nth].ts_ms < ts_ms:
            position += ours[nth].moved
            nth += 1
        if not position:
            continue
        rate = Decimal(rate_nano).scaleb(-9)
        owed = -position * quotes.mark(ts_ms) * rate
        amount = owed.quantize(Decimal(1).scaleb(-decimals), context=EXACT)
        payments.append(
            SimFunding(
                market=market,
                account=account,
                ts_ms=ts_ms,
                amount=amount,
                rate=rate,
                position=position,
            )
        )
    return payments


def by_time(payments: Sequence[SimFunding]) -> list[SimFunding]:
    """Return payments in time order, those of one instant by instrument."""
    return sorted(payments, key=lambda payment: (payment.ts_ms, payment.market.symbol))
