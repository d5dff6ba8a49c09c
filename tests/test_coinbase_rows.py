"""What Coinbase's rows say: sizes in quote, corrections, fees, orders, contracts."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.facts.codec import content_hash, encode
from fillbook.facts.model import (
    Assertion,
    Charge,
    Claimed,
    Correction,
    Fill,
    Instrument,
    OrderUpdate,
)
from fillbook.ground.clock import parse_ns
from fillbook.resolve.corrections import apply_corrections
from fillbook.resolve.standing import Standing
from fillbook.sources.coinbase.fills import base_of
from fillbook.sources.coinbase.rows import FILLS, ORDERS, PRODUCTS, drafts_of
from fillbook.sources.files.records import parse_object
from fillbook.sources.source import Draft, RowError

D = Decimal
ME = "0f3c2b1a-0000-4000-8000-00000000c0de"
FILL = {
    "entry_id": "e-1",
    "trade_id": "t-1",
    "order_id": "o-1",
    "trade_time": "2026-01-05T10:00:00.123456789Z",
    "trade_type": "FILL",
    "price": "94000",
    "size": "0.01",
    "commission": "5.64",
    "product_id": "BTC-USD",
    "sequence_timestamp": "2026-01-05T10:00:00.125001Z",
    "liquidity_indicator": "MAKER",
    "size_in_quote": False,
    "user_id": "u-1",
    "side": "BUY",
    "retail_portfolio_id": ME,
}


def drafted(row: dict[str, Any], source: str = FILLS) -> list[Draft]:
    return drafts_of(source, parse_object(json.dumps(row)), ME)


def facts_in(row: dict[str, Any], source: str = FILLS) -> list[Any]:
    return [draft.fact for draft in drafted(row, source)]


def test_a_fill_is_its_entry_and_its_fee_is_in_quote() -> None:
    (draft,) = drafted(FILL)
    assert draft.key == "2026-01-05|BTC-USD|e-1"
    fill = draft.fact
    assert isinstance(fill, Fill)
    assert (fill.ts_ns, fill.px, fill.qty, fill.side) == (
        parse_ns("2026-01-05T10:00:00.123456789Z"),
        D(94000),
        D("0.01"),
        "buy",
    )
    assert (fill.fee, fill.fee_asset, fill.liquidity) == (D("5.64"), "USD", "maker")
    assert draft.instrument is not None
    assert (draft.instrument.contract, draft.instrument.base) == ("spot", "BTC")
    (other,) = drafted({**FILL, "entry_id": "e-2"})
    assert other.key != draft.key


@pytest.mark.parametrize(
    ("product", "quote"),
    [("ADA-USDC", "USDC"), ("BTC-PERP-INTX", "USDC"), ("BIT-29NOV24-CDE", "USD")],
)
def test_a_contract_is_never_described_by_its_name(product: str, quote: str) -> None:
    (draft,) = drafted({**FILL, "product_id": product})
    assert getattr(draft.fact, "fee_asset", None) == quote
    assert (draft.instrument is None) == (product != "ADA-USDC")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"trade_type": "WONDER"}, "trade_type"),
        ({"side": "UNKNOWN_ORDER_SIDE"}, "side"),
        ({"price": "0"}, "price"),
        ({"size": "-1"}, "size"),
        ({"entry_id": ""}, "entry_id"),
        ({"trade_time": "2026-01-05T10:00:00"}, "trade_time"),
        ({"retail_portfolio_id": "another"}, "retail_portfolio_id"),
        ({"trade_type": "CORRECTION", "trade_id": None}, "trade_id"),
        ({"size_in_quote": True, "size": "0.00000001"}, "size"),
        ({"size_in_quote": "perhaps"}, "size_in_quote"),
    ],
)
def test_what_cannot_be_read_names_its_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(RowError) as refused:
        drafted({**FILL, **changes})
    assert refused.value.field == field


def test_a_fee_that_is_not_told_is_not_zero() -> None:
    assert [fact.fee for fact in facts_in({**FILL, "commission": ""})] == [None]
    assert [fact.fee for fact in facts_in({**FILL, "commission": "-0.2"})] == [D("-0.2")]


# -- sizes in quote ------------------------------------------------------------------------------

prices = st.decimals("0.0001", "200000", places=4)
sizes = st.decimals("0.01", "5000000", places=2)


@given(prices, sizes)
def test_a_size_in_quote_loses_no_money(px: Decimal, size: Decimal) -> None:
    row = {**FILL, "size_in_quote": True, "price": str(px), "size": str(size)}
    if size / px < D("0.00000001"):
        return
    fill, *more = facts_in(row)
    assert isinstance(fill, Fill)
    moved = Fraction(fill.qty) * Fraction(fill.px)
    for rest in more:
        assert isinstance(rest, Charge) and rest.instrument == "BTC-USD"
        moved += Fraction(rest.amount)
    assert moved == Fraction(size)
    assert abs(Fraction(fill.qty) - Fraction(size) / Fraction(px)) <= Fraction(5, 10**9)
    sold, *back = facts_in({**row, "side": "SELL"})
    assert [-rest.amount for rest in back] == [rest.amount for rest in more]
    assert sold.qty == fill.qty


@given(prices, st.decimals("0.00000001", "100000", places=8))
def test_a_quantity_that_comes_out_even_is_that_quantity(px: Decimal, qty: Decimal) -> None:
    exact = Fraction(px) * Fraction(qty)
    text = format(D(exact.numerator) / D(exact.denominator), "f")
    assert Fraction(D(text)) == exact
    assert base_of(D(text), px) == qty


def test_a_reversal_gives_the_rest_back() -> None:
    row = {**FILL, "size_in_quote": True, "price": "3", "size": "10"}
    _, rest = facts_in(row)
    undone, back = facts_in({**row, "entry_id": "e-2", "trade_type": "REVERSAL"})
    assert isinstance(undone, Correction)
    assert (undone.target_qty, undone.target_px) == (D("3.33333333"), D(3))
    assert rest.amount + back.amount == 0 and rest.amount == D("0.00000001")


# -- corrections ---------------------------------------------------------------------------------


def row(entry: str, kind: str = "FILL", at: str = "10:00:00", **changes: Any) -> dict[str, Any]:
    """A row of the match t-1, written down at a time of the day."""
    posted = f"2026-01-05T{at}.5Z"
    more = {"sequence_timestamp": posted, **changes}
    return {**FILL, "entry_id": entry, "trade_type": kind, **more}


def standing(rows: Iterable[dict[str, Any]]) -> tuple[list[tuple[str, str]], int]:
    """Return quantity and price of what stands, and how many corrections mean nothing."""
    fills, corrections = [], []
    for seq, draft in enumerate(draft for each in rows for draft in drafted(each)):
        said = (Assertion("b", FILLS, 3),)
        claim = Claimed(seq, draft.key, content_hash(encode(draft.fact)), draft.fact, said)
        (fills if isinstance(draft.fact, Fill) else corrections).append(claim)
    kept, findings = apply_corrections(fills, corrections)
    assert all(finding.code == "correction-without-target" for finding in findings)
    told = [claim.fact for claim in kept]
    return sorted((str(f.qty), str(f.px)) for f in told if isinstance(f, Fill)), len(findings)


ORIGINAL = row("e-1")
UNDONE = row("e-2", "REVERSAL", "11:00:00")
RESTATED = row("e-3", "CORRECTION", "11:00:00", price="94001")
AGAIN = row("e-4", "CORRECTION", "12:00:00", price="94002")
GONE = row("e-5", "REVERSAL", "13:00:00", price="94002")


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([ORIGINAL], [("0.01", "94000")]),
        ([ORIGINAL, UNDONE], []),
        ([ORIGINAL, RESTATED], [("0.01", "94001")]),
        ([ORIGINAL, UNDONE, RESTATED], [("0.01", "94001")]),
        ([ORIGINAL, UNDONE, RESTATED, AGAIN], [("0.01", "94002")]),
        ([ORIGINAL, UNDONE, RESTATED, AGAIN, GONE], []),
    ],
)
def test_corrections_hold_in_the_order_they_were_written_down(
    rows: list[dict[str, Any]], wanted: list[tuple[str, str]]
) -> None:
    # Pages come newest first, or in any order: what stands does not depend on it.
    for order in permutations(rows):
        assert standing(order) == (wanted, 0)


def test_a_correction_finds_its_row_among_several_of_one_match() -> None:
    small, large = row("e-1", size="0.01"), row("e-9", size="0.02", price="94005")
    undone = row("e-2", "REVERSAL", "11:00:00", size="0.02", price="94005")
    restated = row("e-3", "CORRECTION", "11:00:00", size="0.03", price="94006")
    for order in permutations([small, large, undone, restated]):
        assert standing(order) == ([("0.01", "94000"), ("0.03", "94006")], 0)
    assert standing([small, large, undone]) == ([("0.01", "94000")], 0)
    alone = {**restated, "size": "0.02"}
    assert standing([small, large, alone]) == ([("0.01", "94000"), ("0.02", "94006")], 0)


def test_a_correction_means_its_own_order_and_nothing_twice() -> None:
    other = row("e-8", order_id="o-2")
    assert standing([ORIGINAL, other, UNDONE]) == ([("0.01", "94000")], 0)
    # Both legs of a trade with oneself have one trade id.
    assert standing([other, UNDONE]) == ([("0.01", "94000")], 1)
    twice = {**UNDONE, "entry_id": "e-7"}
    assert standing([ORIGINAL, UNDONE, twice]) == ([], 1)


def test_a_correction_takes_the_place_of_the_original() -> None:
    (claim,) = [
        Claimed(0, draft.key, b"", draft.fact, (Assertion("b", FILLS, 3),))
        for draft in drafted(ORIGINAL)
    ]
    late = row("e-3", "CORRECTION", "11:00:00", trade_time="2026-01-05T11:00:00Z", price="94001")
    (correction,) = drafted(late)
    said = Claimed(1, correction.key, b"", correction.fact, (Assertion("b", FILLS, 3),))
    (kept,), _ = apply_corrections([claim], [said])
    assert isinstance(kept.fact, Fill)
    assert (kept.fact.ts_ns, kept.fact.px, kept.key) == (claim.fact.ts_ns, D(94001), claim.key)


def test_a_fill_that_comes_after_its_correction_is_corrected_too() -> None:
    """Pages come newest first, so the book may know a correction before what it means."""
    claims = []
    for seq, draft in enumerate(
        draft for each in (UNDONE, RESTATED, ORIGINAL) for draft in drafted(each)
    ):
        said = (Assertion("b", FILLS, 3),)
        claims.append(Claimed(seq, draft.key, content_hash(encode(draft.fact)), draft.fact, said))
    described = drafted(ORIGINAL)[0].instrument
    assert described is not None
    spoken = Claimed(
        9, "i", content_hash(encode(described)), described, (Assertion("b", FILLS, 3),)
    )
    whole = Standing([spoken, *claims], ())
    for known in range(len(claims)):
        standing_now = Standing([spoken, *claims[:known]], ())
        if standing_now.add(claims[known:]) is None:
            standing_now = Standing([spoken, *claims], ())
        (key,) = standing_now.keys
        events = [event.fact for event in standing_now.group(key)[0].events]
        assert events == [event.fact for event in whole.group(key)[0].events]
        assert [(f.qty, f.px) for f in events if isinstance(f, Fill)] == [(D("0.01"), D(94001))]


def test_what_the_venue_makes_up_is_a_fill_of_its_own() -> None:
    made = row("e-6", "SYNTHETIC")
    (fill,) = facts_in(made)
    assert isinstance(fill, Fill) and fill.cause == "synthetic"
    assert standing([ORIGINAL, made]) == ([("0.01", "94000")] * 2, 0)


# -- orders --------------------------------------------------------------------------------------

ORDER = {
    "order_id": "o-1",
    "product_id": "BTC-USD",
    "order_configuration": {"limit_limit_gtc": {"base_size": "0.02", "limit_price": "94000"}},
    "side": "BUY",
    "client_order_id": "bot-1",
    "status": "OPEN",
    "created_time": "2026-01-05T09:59:00.5Z",
    "filled_size": "0",
    "average_filled_price": "0",
    "number_of_fills": "0",
    "size_in_quote": False,
    "order_type": "LIMIT",
    "is_liquidation": False,
    "last_fill_time": None,
    "edit_history": [],
    "retail_portfolio_id": ME,
}
HALF = {"filled_size": "0.01", "average_filled_price": "94000", "number_of_fills": "1"}
HALF |= {"last_fill_time": "2026-01-05T10:00:00.25Z"}


def lives(**changes: Any) -> list[tuple[Any, ...]]:
    facts = facts_in({**ORDER, **changes}, ORDERS)
    assert all(isinstance(fact, OrderUpdate) for fact in facts)
    return [(f.status, f.filled_qty, f.n_fills, f.ts_ns) for f in facts]


PLACED_NS = parse_ns("2026-01-05T09:59:00.5Z")
FILLED_NS = parse_ns("2026-01-05T10:00:00.25Z")
PLACED = ("placed", None, None, PLACED_NS)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, []),
        ({"status": "PENDING"}, []),
        ({"status": "QUEUED"}, []),
        (HALF, [("partially_filled", D("0.01"), 1, FILLED_NS)]),
        ({**HALF, "status": "CANCEL_QUEUED"}, [("partially_filled", D("0.01"), 1, FILLED_NS)]),
        ({**HALF, "status": "CANCELLED"}, [("cancelled", D("0.01"), 1, FILLED_NS)]),
        ({"status": "CANCELLED"}, [("cancelled", D(0), 0, PLACED_NS)]),
        ({"status": "EXPIRED"}, [("expired", D(0), 0, PLACED_NS)]),
        # A time of nothing is none.
        (
            {"status": "CANCELLED", "last_fill_time": "0001-01-01T00:00:00Z"},
            [("cancelled", D(0), 0, PLACED_NS)],
        ),
    ],
)
def test_an_order_tells_that_it_was_placed_and_what_became_of_it(
    changes: dict[str, Any], wanted: list[tuple[Any, ...]]
) -> None:
    assert lives(**changes) == [PLACED, *wanted]


def test_an_order_that_was_refused_was_never_placed() -> None:
    (refused,) = facts_in({**ORDER, "status": "FAILED", "reject_reason": "NO_FUNDS"}, ORDERS)
    assert (refused.status, refused.reason) == ("rejected", "no_funds")


def test_an_order_of_a_state_nobody_knows_is_not_read() -> None:
    with pytest.raises(RowError, match="'WONDER' is none of"):
        lives(status="WONDER")


def test_each_state_of_an_order_is_a_claim_and_the_same_state_is_the_same() -> None:
    keys = [
        draft.key
        for changes in ({}, HALF, HALF, {**HALF, "status": "CANCELLED"})
        for draft in drafted({**ORDER, **changes}, ORDERS)
    ]
    assert len(keys) == 1 + 2 + 2 + 2 and len(set(keys)) == 3


def test_edits_are_told_at_their_time() -> None:
    edits = [
        {"price": "93000", "size": "0.03", "replace_accept_timestamp": "2026-01-05T09:59:30Z"},
        {"price": "92000", "size": "0.03", "replace_accept_timestamp": ""},
    ]
    _, edited = facts_in({**ORDER, "edit_history": edits}, ORDERS)
    assert (edited.status, edited.px, edited.qty) == ("amended", D(93000), D("0.03"))
    assert edited.ts_ns == parse_ns("2026-01-05T09:59:30Z")


@pytest.mark.parametrize(
    ("configuration", "wanted"),
    [
        ({"market_market_ioc": {"quote_size": "10"}}, (None, None, None)),
        (
            {
                "stop_limit_stop_limit_gtc": {
                    "base_size": "1",
                    "limit_price": "5",
                    "stop_price": "6",
                }
            },
            (D(1), D(5), D(6)),
        ),
        (
            {
                "trigger_bracket_gtc": {
                    "base_size": 1,
                    "limit_price": "9",
                    "stop_trigger_price": "4",
                }
            },
            (D(1), D(9), D(4)),
        ),
        ({}, (None, None, None)),
        (None, (None, None, None)),
    ],
)
def test_what_was_asked_for_stands_under_the_kind_of_order(
    configuration: Any, wanted: tuple[Any, ...]
) -> None:
    (placed,) = facts_in({**ORDER, "order_configuration": configuration}, ORDERS)
    assert (placed.qty, placed.px, placed.stop_px) == wanted


@pytest.mark.parametrize(
    ("side", "direction", "wanted"),
    [
        ("SELL", "STOP_DIRECTION_STOP_DOWN", "STOP_LIMIT"),
        ("SELL", "STOP_DIRECTION_STOP_UP", "TAKE_PROFIT_LIMIT"),
        ("BUY", "STOP_DIRECTION_STOP_UP", "STOP_LIMIT"),
        ("BUY", "STOP_DIRECTION_STOP_DOWN", "TAKE_PROFIT_LIMIT"),
        ("BUY", None, "STOP_LIMIT"),
    ],
)
def test_a_stop_that_waits_for_a_better_price_is_a_target(
    side: str, direction: str | None, wanted: str
) -> None:
    asked = {"base_size": "1", "limit_price": "5", "stop_price": "6", "stop_direction": direction}
    configuration = {"stop_limit_stop_limit_gtc": asked}
    told = {"side": side, "order_type": "STOP_LIMIT", "order_configuration": configuration}
    (placed,) = facts_in({**ORDER, **told}, ORDERS)
    assert placed.order_type == wanted


def test_a_liquidation_is_the_venues_own_order() -> None:
    (placed,) = facts_in({**ORDER, "is_liquidation": True}, ORDERS)
    assert (placed.reduce_only, placed.reason) == (True, "liquidation")


def test_an_order_filled_in_quote_is_told_in_base() -> None:
    told = {**HALF, "size_in_quote": True, "filled_size": "940", "status": "FILLED"}
    assert lives(**told)[1] == ("filled", D("0.01"), 1, FILLED_NS)


# -- products ------------------------------------------------------------------------------------

PRODUCT = {
    "product_id": "BIT-27MAR26-CDE",
    "price": "96010",
    "quote_currency_id": "USD",
    "future_product_details": {"contract_size": "0.01", "contract_root_unit": "BTC"},
}


def test_a_contract_is_what_its_product_says() -> None:
    (told,) = facts_in(PRODUCT, PRODUCTS)
    assert isinstance(told, Instrument)
    assert (told.contract, told.base, told.settle, told.multiplier) == (
        "linear",
        "BTC",
        "USD",
        D("0.01"),
    )
    for changes, field in (
        ({"future_product_details": {}}, "contract_size"),
        ({"future_product_details": None}, "future_product_details"),
    ):
        with pytest.raises(RowError) as refused:
            facts_in({**PRODUCT, **changes}, PRODUCTS)
        assert refused.value.field == field
    (spot,) = facts_in({"product_id": "BTC-USD"}, PRODUCTS)
    assert spot == drafted(FILL)[0].instrument
