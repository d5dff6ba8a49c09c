"""Says when a portfolio has lost or made as much as its owner set as a limit."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

Limit = Literal["stop_loss", "take_profit"]


class PortfolioLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of a portfolio's result, in percent of its `capital`; None: no such limit."""

    capital: Decimal
    stop_loss_pct: Decimal | None = None
    take_profit_pct: Decimal | None = None

    def reached(self, pnl: Decimal) -> Limit | None:
        """Return the limit a result has reached; a result at the limit counts.

        >>> limits = PortfolioLimits(capital=Decimal(1000), stop_loss_pct=Decimal(5))
        >>> limits.reached(Decimal(-50)), limits.reached(Decimal("-49.99"))
        ('stop_loss', None)
        """
        percent = 100 * pnl
        if self.stop_loss_pct is not None and percent <= -self.stop_loss_pct * self.capital:
            return "stop_loss"
        if self.take_profit_pct is not None and percent >= self.take_profit_pct * self.capital:
            return "take_profit"
        return None
