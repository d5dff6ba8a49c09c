"""How one group turns quantity times price into money: scales, factor, divisor.

All notionals land on the 1e-18 grid. Where the scales of price, quantity and multiplier sum to
18 or less nothing is rounded; numbers written from binary floats need more, and then each
notional is rounded half-even once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import cache
from itertools import repeat

from fillbook.ground.exact import (
    INT64_MAX,
    MONEY_SCALE,
    all_scaled,
    decimals_of,
    divide_half_even,
    to_scaled,
)
from fillbook.resolve.event import Group

# Mids stand on half ticks, and averages of two books on quarters: two decimals more than px.
RUNG_DECIMALS = 2
MAX_EXCESS = 18
# Below it 1e18 / price leaves 64 bits.
LOWEST_INVERSE_PX = Decimal("0.11")


class DoesNotFitError(ValueError):
    """A number of the group does not fit the ledger's integers; carries the event's seq."""

    def __init__(self, seq: int) -> None:
        self.seq = seq
        super().__init__(f"claim {seq} does not fit")


@dataclass(frozen=True, slots=True)
class Terms:
    """How one group turns quantity x price into money on the grid.

    value = half_even(qty * px * factor / divisor), with px at `px_scale` (for inverse contracts
    px is -round(1e18 / price)). `dust` is the smallest quantity that counts as open.
    """

    qty_scale: int
    price_scale: int
    px_scale: int
    factor: int
    divisor: int
    dust: int
    inverse: bool


def terms_of(group: Group) -> Terms:
    """Choose scales so that every notional lands on the grid with as few roundings as possible.

    Raises DoesNotFitError when more than 36 decimals would be needed, or when the multiplier or
    the lot step leaves 64 bits.
    """
    contract = group.instrument
    inverse = contract.contract == "inverse"
    price_scale = group.px_scale
    multiplier_scale = decimals_of(contract.multiplier)
    multiplier = to_scaled(contract.multiplier, multiplier_scale)
    if inverse:
        px_scale = MONEY_SCALE
    else:
        px_scale = price_scale + (RUNG_DECIMALS if group.has_rungs else 0)
    excess = px_scale + group.qty_scale + multiplier_scale - MONEY_SCALE
    while not inverse and excess < 0 and multiplier * 10**-excess > INT64_MAX:
        px_scale += 1
        excess += 1
    factor = multiplier * 10 ** max(0, -excess)
    dust = 10 ** (group.qty_scale - group.lot_decimals)
    if excess > MAX_EXCESS or max(factor, dust) > INT64_MAX:
        raise DoesNotFitError(group.events[0].seq)
    divisor = 10 ** max(0, excess)
    return _shared(Terms(group.qty_scale, price_scale, px_scale, factor, divisor, dust, inverse))


@cache
def _shared(terms: Terms) -> Terms:
    """Return the one object for equal terms: thousands of groups have the same."""
    return terms


def ladder_px(price: Decimal, terms: Terms) -> int:
    """Put a price on the ladder's scale, half-even; inverse contracts as -round(1e18 / price).

    Raises ValueError for an inverse price below 0.11, whose reciprocal does not fit.
    """
    if terms.inverse:
        if price < LOWEST_INVERSE_PX:
            raise ValueError(f"{price} is too low for an inverse contract")
        scale = max(0, decimals_of(price))
        return -divide_half_even(10 ** (MONEY_SCALE + scale), to_scaled(price, scale))
    return to_scaled(_fixed(price, _quantum(terms)), terms.px_scale)


def all_ladder_px(prices: Sequence[Decimal], terms: Terms) -> list[int]:
    """Put every price on the ladder's scale, as `ladder_px` does, several times faster."""
    if terms.inverse:
        return [ladder_px(price, terms) for price in prices]
    return all_scaled(list(map(_fixed, prices, repeat(_quantum(terms)))), terms.px_scale)


_fixed = Context(prec=80, rounding=ROUND_HALF_EVEN).quantize


def _quantum(terms: Terms) -> Decimal:
    return Decimal(1).scaleb(-terms.px_scale)
