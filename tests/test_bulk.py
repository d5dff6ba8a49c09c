"""Many numbers at once are each what one alone would be, wherever a chunk ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.facts.model import Claim
from fillbook.ground.exact import (
    all_money,
    all_scaled,
    decimals_of,
    most_decimals,
    to_money,
    to_scaled,
)
from fillbook.ledger.building import columns_of
from fillbook.ledger.bundles import EventColumns
from fillbook.ledger.columns import GroupColumns
from fillbook.ledger.terms import Terms, all_ladder_px, ladder_px
from fillbook.resolve.claims import resolve
from strategies import SECOND, Import, books, charge, fill, funding, market, remember

NUMBERS = st.lists(
    st.builds(
        lambda whole, exponent: Decimal(whole).scaleb(exponent),
        st.integers(-(10**24), 10**24),
        st.integers(-30, 5),
    ),
    max_size=12,
)


def plain_decimals(number: Decimal) -> int:
    """Count decimals the slow way: the first power of ten that makes it whole."""
    exact = Fraction(number)
    return next(d for d in range(60) if (exact * 10**d).denominator == 1)


@given(NUMBERS)
def test_decimals_are_counted_without_trailing_zeros(numbers: list[Decimal]) -> None:
    counted = [plain_decimals(number) for number in numbers]
    assert [decimals_of(number) for number in numbers] == counted
    assert most_decimals(numbers) == max(counted, default=0)


def test_numbers_too_far_apart_to_add_are_counted_one_by_one() -> None:
    assert most_decimals([Decimal("1E+90"), Decimal("1E-60")]) == 60


@given(NUMBERS, st.integers(0, 30))
def test_all_scaled_is_each_one_scaled(numbers: list[Decimal], scale: int) -> None:
    if most_decimals(numbers) <= scale:
        assert all_scaled(numbers, scale) == [to_scaled(number, scale) for number in numbers]
        assert all_scaled(numbers, scale) == [Fraction(number) * 10**scale for number in numbers]
    else:
        with pytest.raises(ValueError, match="more than"):
            all_scaled(numbers, scale)


@given(NUMBERS)
def test_all_money_is_each_amount_on_the_grid(numbers: list[Decimal]) -> None:
    assert all_money(numbers) == [to_money(number) for number in numbers]
    assert all_money(numbers) == [round(Fraction(number) * 10**18) for number in numbers]


@given(
    st.lists(st.decimals("0.11", 10**6, places=9), max_size=8), st.integers(0, 18), st.booleans()
)
def test_all_prices_stand_on_the_ladder_as_each_does(
    prices: list[Decimal], scale: int, inverse: bool
) -> None:
    terms = Terms(0, 9, scale, 1, 1, 1, inverse)
    assert all_ladder_px(prices, terms) == [ladder_px(price, terms) for price in prices]
    if not inverse:
        wanted = [round(Fraction(price) * 10**scale) for price in prices]
        assert all_ladder_px(prices, terms) == wanted


def alone(whole: GroupColumns, single: GroupColumns, row: int) -> None:
    """Assert that a row is what it would be without its neighbours."""
    for each in fields(GroupColumns):
        ours, theirs = getattr(whole, each.name), getattr(single, each.name)
        if isinstance(ours, EventColumns):
            for column in fields(EventColumns):
                mine, other = getattr(ours, column.name)[row], getattr(theirs, column.name)[0]
                assert np.array_equal(mine, other), column.name
        elif each.name == "foreign":
            asset = None if ours[row] < 0 else whole.assets[ours[row]]
            assert asset == (None if theirs[0] < 0 else single.assets[theirs[0]])
        elif isinstance(ours, np.ndarray) or each.name in ("event_key", "fill_id", "order_id"):
            assert np.array_equal(ours[row], theirs[0]), each.name


@settings(max_examples=60, deadline=None)
@given(books(strategies=(None,), disturbed=False))
def test_a_row_does_not_depend_on_its_neighbours(claims: Sequence[Claim]) -> None:
    for group in resolve(remember(Import(claims))).groups:
        if not group.events:
            continue
        whole = columns_of(group)
        for row, event in enumerate(group.events):
            alone(whole, columns_of(msgspec.structs.replace(group, events=[event])), row)


def test_rows_in_several_chunks() -> None:
    claims = [market()]
    for n in range(2500):
        asset = ("USD", "BNB", "CAKE")[n % 3] if n > 2000 else "USD"
        fee = None if n % 11 == 0 else "0.01"
        rungs = {"mid_px": f"100.{n % 97}"} if n % 5 == 0 else {"decision_px": "99.5"}
        claims.append(
            fill(n * SECOND, "buy", 1 + n % 3, f"100.{n:04}", fee=fee, fee_asset=asset, **rungs)
        )
        if n % 7 == 0:
            claims.append(funding(n * SECOND, f"0.{n + 1}", key=f"f{n}"))
        if n % 400 == 0:
            claims.append(charge(n * SECOND, "0.5", asset="BNB", key=f"c{n}"))
    (group,) = resolve(remember(Import(claims))).groups
    whole = columns_of(group)
    assert whole.assets == ["BNB", "CAKE"]
    for row in (*range(0, len(whole), 37), *range(1015, 1035), *range(2040, 2060)):
        single = columns_of(msgspec.structs.replace(group, events=[group.events[row]]))
        alone(whole, single, row)
