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


class Traded(msgspec.Struct, frozen=True, kw_only=True):
    """Traded value of some fills in one asset: of all, of those whose fee is known, by liquidity.

    >>> (Traded(whole=5, maker=5) + Traded(whole=2, taker=2)).times(3)
    Traded(whole=21, with_fee=0, maker=15, taker=6)
    """

    whole: int = 0
    with_fee: int = 0
    maker: int = 0
    taker: int = 0

    def __add__(self, other: Traded) -> Traded:
        """Return the value of both."""
        return Traded(
            whole=self.whole + other.whole,
            with_fee=self.with_fee + other.with_fee,
            maker=self.maker + other.maker,
            taker=self.taker + other.taker,
        )

    def times(self, factor: int) -> Traded:
        """Return the value in units that are `factor` times as large."""
        return Traded(
            whole=self.whole * factor,
            with_fee=self.with_fee * factor,
            maker=self.maker * factor,
            taker=self.taker * factor,
        )


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
    volume: Sequence[int] | Wide | Traded | None = None,
) -> FeeTotals:
    """Add up the fees of n fills in one asset; inputs are parallel.

    `liquidity` holds LIQUIDITY_UNKNOWN, MAKER or TAKER; `known` is False where a fee is missing;
    `volume` is each fill's traded value in the same asset, positive, or what they add up to.

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
    traded = volume
    if traded is not None and not isinstance(traded, Traded):
        traded = traded_values(money_column(traded), kinds, has_fee)
    return FeeTotals(
        fees=charged,
        fees_maker=maker,
        fees_taker=taker,
        fees_unknown_liquidity=unknown,
        rebates=-total(column[has_fee & (column[:, 0] < 0)]),
        n_fills=n,
        n_fee_unknown=n - int(has_fee.sum()),
        volume=None if traded is None else traded.whole,
        fee_bps=None if traded is None else _share(10_000 * charged, traded.with_fee),
        maker_ratio=None if traded is None else _share(traded.maker, traded.maker + traded.taker),
    )


def traded_values(values: Wide, liquidity: NDArray[np.uint8], known: NDArray[np.bool_]) -> Traded:
    """Add up the traded values of n fills; inputs are parallel, as in `fee_totals`."""
    return Traded(
        whole=total(values),
        with_fee=total(values[known]),
        maker=total(values[liquidity == MAKER]),
        taker=total(values[liquidity == TAKER]),
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


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
