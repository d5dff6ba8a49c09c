"""Claims become groups and events: by asset, at one scale, in any chunk and any order."""

from __future__ import annotations

import random

import pytest

from fillbook.facts.model import Claim
from fillbook.resolve.claims import resolve
from fillbook.resolve.event import Group, Kind
from strategies import SECOND, Import, charge, fill, funding, market, remember


def group_of(*imports: Import) -> Group:
    (group,) = resolve(remember(*imports)).groups
    return group


@pytest.mark.parametrize("assets", [("USD", "BNB"), ("BNB", "USD")])
def test_charges_of_an_account_are_grouped_by_their_asset(assets: tuple[str, str]) -> None:
    claims = [charge(n, "0.5", instrument=None, asset=asset) for n, asset in enumerate(assets)]
    groups = resolve(remember(Import(claims))).groups
    assert [(group.key.instrument, group.instrument.settle) for group in groups] == [
        ("-BNB", "BNB"),
        ("-USD", "USD"),
    ]


def many(count: int) -> list[Claim]:
    """More fills than one chunk holds; the finest quantity and price come late."""
    claims = []
    for n in range(count):
        qty, px = ("0.125", "100.5") if n == count - 3 else (1 + n % 4, 100)
        claims.append(fill(n * SECOND, "buy" if n % 2 else "sell", qty, px, key=f"k{n}"))
    return claims


def test_quantities_of_all_chunks_stand_at_the_finest_scale() -> None:
    claims = many(2600)
    group = group_of(Import([market(), *claims]))
    assert (group.qty_scale, group.px_scale, group.lot_decimals) == (3, 1, 3)
    assert [event.key for event in group.events] == [claim.key for claim in claims]
    signs = [1 if n % 2 else -1 for n in range(2600)]
    sizes = [125 if n == 2597 else 1000 * (1 + n % 4) for n in range(2600)]
    assert [event.qty for event in group.events] == [
        sign * size for sign, size in zip(signs, sizes, strict=True)
    ]


def test_order_does_not_depend_on_how_claims_lie_in_chunks() -> None:
    claims = [*many(2600), *(funding(n * SECOND, "0.1", key=f"f{n}") for n in range(0, 2600, 7))]
    straight = group_of(Import([market(), *claims]))
    random.Random(1).shuffle(claims)
    mixed = group_of(Import([market(), *claims]))
    assert [(e.key, e.qty) for e in mixed.events] == [(e.key, e.qty) for e in straight.events]
    assert [event.kind for event in straight.events[:3]] == [Kind.FUNDING, Kind.FILL, Kind.FILL]


def test_a_base_fee_comes_off_at_the_scale_that_holds_it() -> None:
    bought = fill(0, "buy", 2, 10, instrument="COIN", fee="0.0005", fee_asset="COIN")
    sold = fill(1, "sell", 1, 10, instrument="COIN", fee="0.1", fee_asset="USD")
    group = group_of(Import([market("COIN", "spot"), bought, sold]))
    assert (group.qty_scale, group.lot_decimals) == (4, 0)
    assert [event.qty for event in group.events] == [19995, -10000]


def test_two_imports_of_one_instant_keep_the_rows_of_the_fuller_one_in_every_chunk() -> None:
    def rows(names: str, places: str) -> list[Claim]:
        printed = zip(names, places, strict=True)
        return [fill(0, "buy", 1, 100, key=name, row=int(row)) for name, row in printed]

    later = [fill((n + 1) * SECOND, "buy", 1, 100, key=f"k{n:04}") for n in range(1500)]
    part, full = rows("ab", "01"), rows("abc", "210")
    group = group_of(Import([market(), *later, *part], "b1"), Import(full, "b2"))
    assert [event.key for event in group.events[:3]] == ["c", "b", "a"]
    assert len(group.events) == 1503
