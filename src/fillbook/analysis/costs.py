"""What trading cost in one asset: fees by liquidity, rebates, funding, other charges.

Assets are never added; call once per asset. Fees are signed, positive = cost, so a rebate lowers
them; funding is signed, positive = received. Sums are exact grid amounts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from fillbook.analysis.performance import money_column
from fillbook.ledger.amounts import Wide, total

LIQUIDITY_UNKNOWN, MAKER, TAKER = 0, 1, 2


class FeeTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Fees of some fills in one asset; `fees` = maker + taker + unknown liquidity.

    `rebates` is the positive sum of what the venue paid us, already inside `fees`. Fills whose fee
    is unknown are counted and add nothing. `fee_bps` and `maker_ratio` are by traded value, None
    where it is not given or nothing was traded; they leave out fills they cannot speak of.
    """

    fees: int
    fees_maker: int
    fees_taker: int
    fees_unknown_liquidity: int
    rebates: int
    n_fills: int
    n_fee_unknown: int
    volume: int | None
    fee_bps: float | None
    maker_ratio: float | None


class FundingTotals(msgspec.Struct, frozen=True, kw_only=True):
    """Funding in one asset; both sides positive, `net` = received - paid."""

    received: int
    paid: int

    @property
    def net(self) -> int:
        """Return received less paid: positive when funding earned money."""
        return self.received - self.paid


def fee_totals(
    fees: Sequence[int] | Wide,
    liquidity: Sequence[int] | NDArray[np.uint8] | None = None,
    known: Sequence[bool] | NDArray[np.bool_] | None = None,
    volume: Sequence[int] | Wide | None = None,
) -> FeeTotals:
    """Add up the fees of n fills in one asset; inputs are parallel.

    `liquidity` holds LIQUIDITY_UNKNOWN, MAKER or TAKER; `known` is False where a fee is missing;
    `volume` is each fill's traded value in the same asset, positive.

    >>> totals = fee_totals([10, -2, 5], liquidity=[TAKER, MAKER, LIQUIDITY_UNKNOWN])
    >>> totals.fees, totals.fees_taker, totals.rebates
    (13, 10, 2)
    """
    column = money_column(fees)
    n = len(column)
    kinds = np.zeros(n, np.uint8) if liquidity is None else np.asarray(liquidity, np.uint8)
    has_fee = np.ones(n, np.bool_) if known is None else np.asarray(known, np.bool_)
    maker, taker, unknown = (
        total(column[has_fee & (kinds == kind)]) for kind in (MAKER, TAKER, LIQUIDITY_UNKNOWN)
    )
    charged = maker + taker + unknown
    traded = None if volume is None else money_column(volume)
    return FeeTotals(
        fees=charged,
        fees_maker=maker,
        fees_taker=taker,
        fees_unknown_liquidity=unknown,
        rebates=-total(column[has_fee & (column[:, 0] < 0)]),
        n_fills=n,
        n_fee_unknown=n - int(has_fee.sum()),
        volume=None if traded is None else total(traded),
        fee_bps=None if traded is None else _share(10_000 * charged, total(traded[has_fee])),
        maker_ratio=None if traded is None else _maker_ratio(traded, kinds),
    )


def funding_totals(amounts: Sequence[int] | Wide) -> FundingTotals:
    """Split signed funding payments into received and paid.

    >>> totals = funding_totals([3, -2])
    >>> totals.received, totals.paid, totals.net
    (3, 2, 1)
    """
    column = money_column(amounts)
    negative = column[:, 0] < 0
    return FundingTotals(received=total(column[~negative]), paid=-total(column[negative]))


def total_costs(fees: int, funding: FundingTotals, charges: int = 0) -> int:
    """Return fees + other charges - net funding: what trading cost in all, positive = cost.

    >>> total_costs(50, FundingTotals(received=20, paid=30))
    60
    """
    return fees + charges - funding.net


def _maker_ratio(traded: Wide, kinds: NDArray[np.uint8]) -> float | None:
    return _share(total(traded[kinds == MAKER]), total(traded[kinds != 0]))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
