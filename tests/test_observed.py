"""Positions in every spelling, and what successive snapshots of them prove."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from fillbook.facts.model import Fill
from fillbook.sources.observed import Observer
from fillbook.sources.observed_rows import Place, normal_id, read_position, read_positions

SECOND = 1_000_000_000
LONG = Place("BTC-USD", "long")


@pytest.mark.parametrize("product", ["product_id", "product", "instrument", "symbol"])
@pytest.mark.parametrize("side", ["side", "position_type", "direction"])
@pytest.mark.parametrize("size", ["contracts", "size", "units", "number_of_contracts", "quantity"])
def test_every_spelling_says_the_same(product: str, side: str, size: str) -> None:
    found = read_position({product: "BTC-USD", side: "SHORT", size: "0.25", "entry_price": "68000"})
    assert found is not None
    assert (found.place, found.qty, found.entry_px) == (
        Place("BTC-USD", "short"), Decimal("0.25"), Decimal(68000),
    )  # fmt: skip


@pytest.mark.parametrize("price", ["current_price", "mark_price", "price"])
@pytest.mark.parametrize("entry", ["entry_price", "average_price"])
@pytest.mark.parametrize(
    "time", ["entry_time", "opened_at", "open_time", "created_at", "timestamp"]
)
def test_prices_and_times_in_every_spelling(price: str, entry: str, time: str) -> None:
    row = {"symbol": "A", "size": 1, entry: "10", price: "11", time: "2026-01-01T00:00:00Z"}
    found = read_position(row)
    assert found is not None
    assert (found.entry_px, found.px) == (Decimal(10), Decimal(11))
    assert found.entry_ns == 1_767_225_600 * SECOND


@pytest.mark.parametrize(
    ("told", "side"),
    [
        ("LONG", "long"),
        ("buy", "long"),
        ("FUTURES_POSITION_SIDE_SHORT", "short"),
        ("Sell", "short"),
    ],
)
def test_sides_in_every_spelling(told: str, side: str) -> None:
    found = read_position({"symbol": "A", "size": "1", "side": told})
    assert found is not None and found.place.side == side


def test_a_float_is_its_shortest_text_and_says_so() -> None:
    found = read_position({"symbol": "A", "size": 0.1, "price": "3"})
    assert found is not None
    assert (found.qty, found.from_floats) == (Decimal("0.1"), True)
    found = read_position({"symbol": "A", "size": "0.1", "price": "3"})
    assert found is not None and not found.from_floats


@pytest.mark.parametrize(
    ("told", "ns"),
    [
        (1_767_225_600, 1_767_225_600 * SECOND),
        (1_767_225_600_123, 1_767_225_600_123_000_000),
        (datetime(2026, 1, 1, tzinfo=UTC), 1_767_225_600 * SECOND),
        ("2026-01-01T00:00:00", None),
        (datetime(2026, 1, 1), None),
    ],
)
def test_times_without_a_zone_are_not_guessed(told: object, ns: int | None) -> None:
    found = read_position({"symbol": "A", "size": "1", "entry_time": told})
    assert found is not None and found.entry_ns == ns


@pytest.mark.parametrize(
    ("told", "plain"),
    [
        (" d-7 ", "d-7"),
        (7, "7"),
        (("", "d-7"), "d-7"),
        ([None, ["d-7"]], "d-7"),
        ({"decision": {"id": 7}}, "7"),
        ({}, None),
        ("", None),
        (True, None),
    ],
)
def test_b29_an_id_in_any_shape_becomes_one_text_or_none(told: object, plain: str | None) -> None:
    assert normal_id(told) == plain


def test_an_unreadable_position_hides_no_other_and_closes_nothing() -> None:
    observer = Observer("p", "a")
    rows: list[dict[str, Any]] = [
        {"symbol": "A", "size": "1", "entry_price": "10", "price": "10"},
        {"symbol": "B", "size": "2", "entry_price": "20", "price": "20"},
    ]
    observer.observe(read_positions(rows), SECOND)
    claims, _ = observer.observe(read_positions([{**rows[0], "size": "much"}]), 2 * SECOND)
    gone = [claim.fact.instrument for claim in claims if isinstance(claim.fact, Fill)]
    assert gone == ["B"]
    claims, _ = observer.observe(read_positions([{"size": "1"}]), 3 * SECOND)
    assert claims == []


def snapshot(**more: Any) -> Any:
    return read_positions([{"symbol": "BTC-USD", "size": "1", "entry_price": "100", **more}])


def test_growing_is_a_fill_at_the_price_that_moved_the_average() -> None:
    observer = Observer("p", "a")
    observer.observe(snapshot(price="100"), SECOND)
    claims, _ = observer.observe(snapshot(size="3", entry_price="110", price="120"), 2 * SECOND)
    (fill,) = [claim.fact for claim in claims]
    assert isinstance(fill, Fill)
    # 3 at 110 is 330; 100 was there, so 2 came for 230.
    assert (fill.side, fill.qty, fill.px, fill.approximate) == (
        "buy", Decimal(2), Decimal(115), True,
    )  # fmt: skip


def test_a_wandering_average_is_no_new_position() -> None:
    observer = Observer("p", "a")
    observer.observe(snapshot(entry_price=100.1), SECOND)
    claims, _ = observer.observe(snapshot(entry_price=100.10000000000001), 2 * SECOND)
    assert claims == []


def test_claims_about_one_position_never_share_an_instant() -> None:
    observer = Observer("p", "a")
    observer.observe(snapshot(price="100", entry_time=1), 5 * SECOND)
    claims, _ = observer.observe(snapshot(entry_price="101", entry_time=5), 6 * SECOND)
    times = [claim.fact.ts_ns for claim in claims if isinstance(claim.fact, Fill)]
    assert len(times) == 2 and times[0] < times[1]


def test_the_same_story_makes_the_same_keys() -> None:
    def told() -> list[str]:
        observer = Observer("p", "a")
        first, _ = observer.observe(snapshot(price="100"), SECOND)
        kept = observer.state()
        later = Observer("p", "a")
        later.restore(kept, lambda instrument: Decimal(100))
        second, _ = later.observe(read_positions([]), 2 * SECOND)
        return [claim.key for claim in (*first, *second)]

    assert told() == told() and len(set(told())) == 3
