"""Fees, rebates and funding: exact sums per asset."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.analysis.costs import (
    LIQUIDITY_UNKNOWN,
    MAKER,
    TAKER,
    FundingTotals,
    fee_totals,
    funding_totals,
    total_costs,
)
from fillbook.ground.exact import to_money

ONE = 10**18


def money(*amounts: str) -> list[int]:
    return [to_money(Decimal(amount)) for amount in amounts]


def test_v01_net_funding_and_total_costs() -> None:
    funding = FundingTotals(received=20 * ONE, paid=30 * ONE)
    assert funding.net == -10 * ONE
    assert total_costs(50 * ONE, funding) == 60 * ONE
    nothing = funding_totals([])
    assert (nothing.net, total_costs(0, nothing)) == (0, 0)


def test_v13_commission_and_funding_rows() -> None:
    fees = fee_totals(money("10.5", "5.0"))
    funding = funding_totals(money("3", "-2"))
    assert fees.fees == to_money(Decimal("15.5"))
    assert (funding.received, funding.paid, funding.net) == (3 * ONE, 2 * ONE, ONE)


def test_rebates_lower_fees_and_are_shown() -> None:
    totals = fee_totals(money("1.5", "-0.4"), liquidity=[TAKER, MAKER])
    assert totals.fees == to_money(Decimal("1.1"))
    assert totals.rebates == to_money(Decimal("0.4"))
    assert totals.fees_maker == -totals.rebates


def test_unknown_fees_are_counted_and_leave_the_rate_alone() -> None:
    totals = fee_totals(
        money("2", "0"),
        liquidity=[TAKER, TAKER],
        known=[True, False],
        volume=money("1000", "500"),
    )
    assert (totals.n_fills, totals.n_fee_unknown) == (2, 1)
    assert totals.volume == 1500 * ONE
    assert totals.fee_bps == 20.0


def test_maker_ratio_is_by_volume_of_known_liquidity() -> None:
    totals = fee_totals(
        money("1", "1", "1"),
        liquidity=[MAKER, TAKER, LIQUIDITY_UNKNOWN],
        volume=money("300", "100", "9999"),
    )
    assert totals.maker_ratio == 0.75


def test_ratios_are_undefined_without_volume() -> None:
    assert fee_totals(money("1")).fee_bps is None
    nothing = fee_totals([], volume=[])
    assert (nothing.fee_bps, nothing.maker_ratio, nothing.fees) == (None, None, 0)


rows = st.lists(
    st.tuples(st.integers(-(2**90), 2**90), st.sampled_from([0, 1, 2]), st.booleans()), max_size=30
)


@given(rows)
def test_parts_add_up_to_the_plain_sum(fees: list[tuple[int, int, bool]]) -> None:
    totals = fee_totals(
        [fee for fee, _, _ in fees],
        liquidity=[kind for _, kind, _ in fees],
        known=[known for _, _, known in fees],
    )
    counted = [(fee, kind) for fee, kind, known in fees if known]
    assert totals.fees == sum(fee for fee, _ in counted)
    assert totals.fees_maker == sum(fee for fee, kind in counted if kind == MAKER)
    assert totals.fees_taker == sum(fee for fee, kind in counted if kind == TAKER)
    assert totals.fees_unknown_liquidity == sum(fee for fee, kind in counted if kind == 0)
    assert totals.rebates == sum(-fee for fee, _ in counted if fee < 0)


@given(st.lists(st.integers(-(2**90), 2**90), max_size=30))
def test_funding_sides_differ_by_the_plain_sum(amounts: list[int]) -> None:
    totals = funding_totals(amounts)
    assert totals.net == sum(amounts)
    assert totals.received == sum(amount for amount in amounts if amount > 0)
    assert totals.paid >= 0


@pytest.mark.parametrize("charges", [0, 5 * ONE])
def test_charges_are_costs(charges: int) -> None:
    assert total_costs(ONE, FundingTotals(received=0, paid=0), charges) == ONE + charges
