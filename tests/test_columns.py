"""From decimals to the ledger's integers: scales, roundings, and numbers that do not fit."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView, Query
from fillbook.analysis.why import why
from fillbook.facts.model import Claim
from fillbook.ground.exact import MONEY_ONE
from fillbook.ground.settings import Settings
from fillbook.ledger import layout
from fillbook.ledger.amounts import to_int, to_ints
from fillbook.ledger.building import columns_of
from fillbook.ledger.columns import (
    ARRIVAL_KNOWN,
    MAKER,
    MID_KNOWN,
    TAKER,
    VENUE_PNL,
    VENUE_PNL_NET,
    GroupColumns,
)
from fillbook.ledger.ledger import Ledger, fold_claims
from fillbook.ledger.terms import Terms, ladder_px
from fillbook.resolve.claims import resolve
from strategies import HOUR, Import, charge, fill, funding, market, number, remember


def columns(*claims: Claim, spec: Claim | None = None) -> GroupColumns:
    """Return the columns of the only group of these claims."""
    (group,) = resolve(remember(Import([spec or market(), *claims]))).groups
    return columns_of(group)


def ledger(*claims: Claim, spec: Claim | None = None) -> Ledger:
    return fold_claims(remember(Import([spec or market(), *claims])))


def scales(built: Terms) -> tuple[int, int, int]:
    """Return the scales of quantity, price and ladder."""
    return built.qty_scale, built.price_scale, built.px_scale


def unit(built: Terms) -> Fraction:
    """Return what one unit of quantity times one unit of price is worth."""
    return Fraction(built.factor, built.divisor * MONEY_ONE)


def values(built: GroupColumns) -> list[Fraction]:
    """Return quantity x price of every row, as the kernel will see it."""
    worth = unit(built.terms)
    rows = zip(built.events.qty.tolist(), built.events.px[:, 3].tolist(), strict=True)
    return [qty * px * worth for qty, px in rows]


# --- scales --------------------------------------------------------------------------------------


def test_trailing_zeros_do_not_count() -> None:
    built = columns(fill(0, "buy", "1.500", "100.20"), fill(1, "sell", "1.500", "100.00"))
    assert scales(built.terms) == (1, 1, 1)
    assert built.events.qty.tolist() == [15, -15]
    assert built.price.tolist() == [1002, 1000]


def test_the_finest_price_and_quantity_set_the_scale_of_all() -> None:
    built = columns(fill(0, "buy", "1", "100.25"), fill(1, "sell", "0.125", "99"))
    assert scales(built.terms) == (3, 2, 2)
    assert values(built) == [Fraction("100.25"), Fraction("-12.375")]


def test_rung_prices_keep_two_decimals_more() -> None:
    """A mid between 0.3521 and 0.3526 stands on half a tick."""
    built = columns(fill(0, "buy", "10", "0.3526", mid_px="0.35235", decision_px="0.352123456"))
    assert scales(built.terms) == (0, 4, 6)
    assert built.events.px.tolist() == [[352123, 352123, 352350, 352600]]


def test_a_rung_beyond_the_ladder_is_rounded_half_even() -> None:
    built = columns(
        fill(0, "buy", "1", "10.1", mid_px="10.0005"), fill(1, "buy", "1", "10.1", mid_px="10.0015")
    )
    assert built.events.px[:, 2].tolist() == [10000, 10002]


def test_no_rung_no_fee_and_no_pnl_sets_a_scale() -> None:
    built = columns(
        fill(0, "buy", "1", "10", fee="0.123456789", venue_pnl="0.000001", mid_px="10.123456789")
    )
    assert scales(built.terms) == (0, 0, 2)
    assert to_ints(built.events.fee) == [123456789 * 10**9]
    assert to_ints(built.venue_pnl) == [10**12]


def test_up_to_eighteen_decimals_nothing_is_rounded() -> None:
    built = columns(fill(0, "buy", "0.000000001", "0.000000007"))
    assert built.terms.divisor == 1 and built.terms.factor == 1
    assert values(built) == [Fraction(7, 10**18)]


def test_beyond_eighteen_decimals_each_notional_is_rounded_half_even_once() -> None:
    """Written from floats: 17 + 17 decimals. The fold's cost is the exact product, rounded."""
    px, qty = Decimal("0.12345678901234567"), Decimal("3.00000000000000011")
    built = columns(fill(0, "buy", qty, px, from_floats=True))
    assert (built.terms.factor, built.terms.divisor) == (1, 10**16)
    assert built.written_as_floats
    (group,) = ledger(fill(0, "buy", qty, px)).groups
    exact = Fraction(px) * Fraction(qty) * MONEY_ONE
    assert to_int(group.books.state.books["cost"][0, 3]) == round(exact)
    assert exact.denominator != 1


@pytest.mark.parametrize(
    ("px", "wanted"),
    [
        ("0.0000000000000000005", 0),  # halves go to the even neighbour
        ("0.0000000000000000015", 2),
        ("0.0000000000000000025", 2),
        ("0.0000000000000000026", 3),
    ],
)
def test_a_half_rounds_to_even(px: str, wanted: int) -> None:
    (group,) = ledger(fill(0, "buy", "1", px)).groups
    assert to_int(group.books.state.books["cost"][0, 3]) == wanted


def test_more_than_thirty_six_decimals_do_not_fit_and_are_told() -> None:
    told = ledger(
        fill(0, "buy", "0." + "0" * 18 + "1", "0." + "0" * 17 + "1"),
        fill(0, "buy", 1, key="eth", instrument="ETH"),
        spec=market(),
    )
    assert told.groups == []
    told = ledger(
        market("ETH"),
        fill(0, "buy", "0." + "0" * 18 + "1", "0." + "0" * 17 + "1"),
        fill(0, "buy", 1, key="eth", instrument="ETH"),
    )
    assert [group.columns.key.instrument for group in told.groups] == ["ETH"]
    assert [finding.code for finding in told.findings] == ["number-does-not-fit"]


def test_dust_is_the_lot_step_at_the_scale_of_quantities() -> None:
    """Base fees are finer than lots; the step is the finest size that was traded."""
    spot = market("BTC", "spot")
    built = columns(fill(0, "buy", "1.5", fee="0.00012", fee_asset="BTC"), spec=spot)
    assert (built.terms.qty_scale, built.terms.dust) == (5, 10**4)
    swept = fill(1, "sell", "0.49988", key="d", dust=True)
    built = columns(fill(0, "buy", "1.5"), swept, spec=spot)
    assert (built.terms.qty_scale, built.terms.dust) == (5, 10**4)


# --- multipliers and inverse contracts -----------------------------------------------------------


@pytest.mark.parametrize("multiplier", ["0.0001", "0.01", "1", "5", "1000", "1000000000"])
def test_a_multiplier_scales_money_exactly(multiplier: str) -> None:
    for qty, px in (("3", "7"), ("0.003", "7.25"), ("1000000", "65000.5")):
        built = columns(fill(0, "buy", qty, px), spec=market(multiplier=multiplier))
        assert values(built) == [Fraction(qty) * Fraction(px) * Fraction(multiplier)]
        assert built.terms.divisor == 1


@pytest.mark.parametrize("multiplier", ["10000000000000000000", "0." + "0" * 40 + "1"])
def test_a_multiplier_that_does_not_fit_is_told(multiplier: str) -> None:
    told = ledger(fill(0, "buy", "0.5", "7.5"), spec=market(multiplier=multiplier))
    assert told.groups == []
    assert [finding.code for finding in told.findings] == ["number-does-not-fit"]


INVERSE = market("BTC", "inverse", multiplier="100")


def test_an_inverse_price_is_its_negative_reciprocal_on_the_grid() -> None:
    built = columns(fill(0, "buy", 3, "6000"), fill(1, "sell", 3, "7.5"), spec=INVERSE)
    assert built.events.px[:, 3].tolist() == [-166666666666667, -133333333333333333]
    assert built.price.tolist() == [60000, 75]
    assert unit(built.terms) == Fraction(100, MONEY_ONE)


@given(st.integers(11, 10**9), st.integers(0, 6))
def test_a_reciprocal_is_right_to_half_a_unit(digits: int, scale: int) -> None:
    px = Decimal(digits).scaleb(-scale)
    terms = Terms(0, scale, 18, 1, 1, 1, inverse=True)
    if px < Decimal("0.11"):
        with pytest.raises(ValueError, match="too low"):
            ladder_px(px, terms)
    else:
        off = ladder_px(px, terms) + Fraction(MONEY_ONE) / Fraction(px)
        assert abs(off) <= Fraction(1, 2)


def test_an_inverse_price_below_the_limit_is_told_and_not_wrapped() -> None:
    lowest = ledger(fill(0, "buy", 1, "0.11"), spec=INVERSE)
    assert lowest.findings == [] and len(lowest.groups) == 1
    told = ledger(fill(0, "buy", 1, "0.10"), spec=INVERSE)
    assert told.groups == []
    assert [finding.code for finding in told.findings] == ["number-does-not-fit"]
    told = ledger(fill(0, "buy", 1, "10", decision_px="0.01"), spec=INVERSE)
    assert told.groups == []


def test_an_inverse_round_trip_earns_coin() -> None:
    """100 x 3 x (1/6000 - 1/7.5), good to the grid's last digits."""
    told = ledger(fill(0, "buy", 3, "6000"), fill(1, "sell", 3, "7.5"), spec=INVERSE)
    (trade,) = told.groups[0].books.trades
    exact = 300 * (Fraction(1, 6000) - Fraction(10, 75)) * MONEY_ONE
    assert abs(to_int(trade["realised"][3]) - exact) <= 300


# --- what does not fit ---------------------------------------------------------------------------

BIG = "9223372036854775807"

ABSURD: list[tuple[str, dict[str, Any]]] = [
    ("a price beyond 64 bits", {"px": "92233720368547758.08", "qty": "1"}),
    ("a price written with an exponent", {"px": "1e60", "qty": "1"}),
    ("a price with a long tail", {"px": "1." + "1" * 58, "qty": "1"}),
    ("a quantity beyond 64 bits", {"px": "1", "qty": "9223372036854775808"}),
    ("a quantity written with an exponent", {"px": "1", "qty": "1e60"}),
    ("a quantity with a long tail", {"px": "1", "qty": "1." + "1" * 58}),
    ("a fee beyond the grid", {"px": "1", "qty": "1", "fee": "1e21"}),
    ("a fee written with an exponent", {"px": "1", "qty": "1", "fee": "-1e60"}),
    ("a venue's PnL beyond the grid", {"px": "1", "qty": "1", "venue_pnl": "1e40"}),
    ("a decision price beyond 64 bits", {"px": "1", "qty": "1", "decision_px": "1e60"}),
    ("a start position with a long tail", {"px": "1", "qty": "1", "start_position": "1e-58"}),
    ("a start position beyond 64 bits", {"px": "1", "qty": "1", "start_position": "1e30"}),
    ("a value beyond the grid", {"px": BIG, "qty": BIG}),
]


@pytest.mark.parametrize("absurd", [row for _, row in ABSURD], ids=[name for name, _ in ABSURD])
def test_a_number_that_does_not_fit_leaves_its_group_out_and_tells(absurd: dict[str, Any]) -> None:
    bad = fill(HOUR, "buy", key="bad", **absurd)
    told = ledger(
        market("ETH"),
        fill(0, "buy", 1, "100", key="a"),
        bad,
        fill(0, "buy", 1, "100", key="eth", instrument="ETH"),
    )
    assert [group.columns.key.instrument for group in told.groups] == ["ETH"]
    (finding,) = [f for f in told.findings if f.code == "number-does-not-fit"]
    assert (finding.severity, finding.instrument) == ("error", "BTC")
    assert "made_money" in finding.touches and finding.seqs


def test_what_was_left_out_keeps_the_verdict_open() -> None:
    """ETH gained 10, but nobody can say what the unreadable BTC fill did."""
    won = [
        market("ETH"),
        fill(0, "buy", 1, "100", key="e1", instrument="ETH", fee="0"),
        fill(1, "sell", 1, "110", key="e2", instrument="ETH", fee="0"),
    ]
    absurd = fill(0, "buy", 1, "1e60", key="bad", fee="0")
    nobodys = fill(0, "buy", 1, "100", key="what", instrument="WHAT", fee="0")
    for bad, code, name in (
        (absurd, "number-does-not-fit", "BTC"),
        (nobodys, "instrument-unknown", "WHAT"),
    ):
        told = ledger(*won, bad)
        view = BookView(lambda told=told: told, Valuer(None, 1), Settings())  # type: ignore[misc]
        answer = why(view, Query())
        assert (answer.made_money, [f.code for f in answer.findings]) == ("incomplete", [code])
        assert answer.currencies["USD"].bound == "incomplete"
        assert why(view, Query(instruments=("ETH",))).made_money == "yes"
        assert why(view, Query(instruments=(name,))).made_money == "incomplete"


def test_base_fees_of_many_digits_stay_exact() -> None:
    """Forty digits in all: more than a usual decimal context keeps."""
    qty, fee = "12345678901234.5", "0.0000000000000000000001"
    told = ledger(fill(0, "buy", qty, "1", fee=fee, fee_asset="BTC"), spec=market("BTC", "spot"))
    assert told.groups == [], "it does not fit, and is not silently rounded either"
    assert [finding.code for finding in told.findings] == ["number-does-not-fit"]


def test_a_position_that_grows_beyond_64_bits_is_told() -> None:
    told = ledger(fill(0, "buy", BIG, "1", key="a"), fill(1, "buy", "1", "1", key="b"))
    assert told.groups == []
    (finding,) = told.findings
    assert finding.code == "number-does-not-fit"


def test_a_venue_book_that_leaves_64_bits_is_told_though_its_parts_fit() -> None:
    told = ledger(
        fill(0, "buy", BIG, "1", key="a", strategy="x"),
        fill(1, "buy", BIG, "1", key="b", strategy="y"),
    )
    assert told.groups == []
    assert [finding.code for finding in told.findings] == ["number-does-not-fit"]


def test_the_largest_numbers_that_fit_are_folded_exactly() -> None:
    told = ledger(fill(0, "buy", BIG, "1", key="a"), fill(1, "sell", BIG, "2", key="b"))
    (trade,) = told.groups[0].books.trades
    assert to_int(trade["realised"][3]) == int(BIG) * MONEY_ONE


# --- rows ----------------------------------------------------------------------------------------


def test_a_base_fee_is_coins_that_did_not_arrive_valued_at_the_price() -> None:
    spot = market("BTC", "spot")
    built = columns(
        fill(0, "buy", "2", "100.5", key="a", fee="0.002", fee_asset="BTC"),
        fill(1, "sell", "1", "101", key="b", fee="0.001", fee_asset="BTC"),
        fill(2, "sell", "0.5", "101", key="c", fee="0.25"),
        fill(3, "buy", "1", "101", key="d", fee="-0.001", fee_asset="BTC"),
        spec=spot,
    )
    assert built.events.qty.tolist() == [1998, -1001, -500, 1001]
    assert built.traded_qty.tolist() == [2000, 1000, 500, 1000]
    fees = ["0.201", "0.101", "0.25", "-0.101"]
    assert to_ints(built.events.fee) == [int(Decimal(fee) * MONEY_ONE) for fee in fees]
    assert built.foreign.tolist() == [-1, -1, -1, -1]


def test_only_spot_takes_a_fee_out_of_the_coins() -> None:
    built = columns(fill(0, "buy", "2", fee="0.002", fee_asset="BTC"))
    assert built.events.qty.tolist() == [2]
    assert (built.foreign.tolist(), built.assets) == ([0], ["BTC"])


def test_money_in_other_assets_stays_in_its_own() -> None:
    built = columns(
        fill(0, "buy", 1, key="a", fee="0.01", fee_asset="BNB"),
        charge(1, "2", asset="EUR"),
        funding(2, "3", asset="BNB"),
        charge(3, "4"),
        fill(4, "buy", 1, key="z", fee="0", fee_asset="BNB"),
    )
    assert built.foreign.tolist() == [0, 1, 0, -1, -1]
    assert built.assets == ["BNB", "EUR"]
    cents = MONEY_ONE // 100
    assert to_ints(built.foreign_amount) == [cents, 200 * cents, -300 * cents, 0, 0]
    assert to_ints(built.events.fee) == [0, 0, 0, 400 * cents, 0]
    assert not built.events.amount.any()


RUNGS = [
    # decision, arrival, mid -> the four steps of a fill at 12
    ((None, None, None), (12, 12, 12, 12)),
    ((9, None, None), (9, 9, 9, 12)),  # no mid: all slippage stands in the spread
    ((None, 10, None), (10, 10, 10, 12)),
    ((None, None, 11), (11, 11, 11, 12)),
    ((9, 10, None), (9, 10, 10, 12)),
    ((9, None, 11), (9, 9, 11, 12)),
    ((None, 10, 11), (10, 10, 11, 12)),
    ((9, 10, 11), (9, 10, 11, 12)),
]


@pytest.mark.parametrize(("given_px", "wanted"), RUNGS)
def test_unknown_rungs_take_the_first_known_one_then_the_one_before(
    given_px: tuple[int | None, int | None, int | None], wanted: tuple[int, int, int, int]
) -> None:
    decision, arrival, mid = given_px
    rung = {"decision_px": decision, "arrival_px": arrival, "mid_px": mid}
    built = columns(fill(0, "buy", 1, 12, **{k: number(v) for k, v in rung.items()}))
    steps = [Fraction(px, 10**built.terms.px_scale) for px in built.events.px[0].tolist()]
    assert tuple(steps) == wanted
    flags, traits = int(built.events.flags[0]), int(built.traits[0])
    assert bool(flags & layout.DECISION_KNOWN) == (decision is not None)
    assert bool(traits & ARRIVAL_KNOWN) == (arrival is not None)
    assert bool(traits & MID_KNOWN) == (mid is not None)


def test_flags_and_traits_say_what_is_known_of_a_row() -> None:
    built = columns(
        fill(0, "buy", 1, key="a", fee="0.1", liquidity="maker"),
        fill(1, "buy", 1, key="b", liquidity="taker", venue_pnl="1"),
        fill(2, "buy", 1, key="c", fee="0", venue_pnl="-1", venue_pnl_basis="net"),
        fill(3, "buy", 1, key="d", fee="0", start_position="9"),
    )
    traits = built.traits.tolist()
    kinds = built.events.kind.tolist()
    rows = {key: row for row, key in enumerate(built.event_key)}
    assert (traits[rows["a"]], traits[rows["b"]], traits[rows["c"]]) == (
        MAKER,
        TAKER | VENUE_PNL,
        VENUE_PNL | VENUE_PNL_NET,
    )
    unknown = [bool(f & layout.FEE_UNKNOWN) for f in built.events.flags.tolist()]
    assert [unknown[rows[key]] for key in "abcd"] == [False, True, False, False]
    assert kinds[rows["opening|a"]] == layout.ADJUST


def test_funding_is_one_row_per_book_where_it_has_to_be_shared() -> None:
    two = [fill(0, "buy", 1, key="a", strategy="x"), fill(1, "buy", 3, key="b", strategy="y")]
    built = columns(*two, funding(2, "4"))
    assert built.books == ["-", "x", "y"]
    assert built.events.kind.tolist() == [layout.FILL] * 2 + [layout.FUNDING_SHARE] * 3
    assert built.events.book.tolist()[2:] == [0, 1, 2]
    assert to_ints(built.events.amount)[2:] == [4 * MONEY_ONE] * 3
    alone = columns(fill(0, "buy", 1), funding(2, "4"))
    assert alone.events.kind.tolist() == [layout.FILL, layout.FUNDING]
    named = columns(*two, funding(2, "4", strategy="y"))
    assert named.events.kind.tolist() == [layout.FILL, layout.FILL, layout.FUNDING]
    assert named.events.book.tolist()[2] == 2


def test_parts_of_one_fill_share_its_fee_and_pnl_to_the_last_digit() -> None:
    built = columns(
        fill(0, "buy", 1, key="a", strategy="x"),
        fill(1, "buy", 1, key="b", strategy="y"),
        fill(2, "buy", 1, key="c", strategy="z"),
        fill(3, "sell", 3, key="d", fee="0.000000000000000001", venue_pnl="10"),
    )
    assert built.event_key[3:] == ["d", "d", "d"]
    assert sum(to_ints(built.events.fee)[3:]) == 1
    assert sum(to_ints(built.venue_pnl)[3:]) == 10 * MONEY_ONE
    assert built.traded_qty.tolist()[3:] == [1, 1, 1]
