"""Paper orders: prices, fees and luck, and what the telemetry desk makes of them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.desks.telemetry import PerformanceTelemetry
from fillbook.ground.clock import HOUR_NS, parse_ns
from fillbook.ground.errors import InputError
from fillbook.paper.broker import PaperBroker, PaperFill, PaperOrder, PaperTerms, Quote

T0 = parse_ns("2026-01-01T00:00:00Z")
QUOTE = Quote(Decimal("99.5"), Decimal("100"))
SURE = {"fill_chance": Decimal(1), "partial_chance": Decimal(0)}


def order(side: Any = "buy", qty: str = "1", price: str | None = None, **told: Any) -> PaperOrder:
    about = {"symbol": "BTCUSDT", "client_order_id": "o1", **told}
    limit = None if price is None else Decimal(price)
    return PaperOrder(side=side, quantity=Decimal(qty), price=limit, **about)


def broker(seed: int = 0, **terms: Any) -> PaperBroker:
    return PaperBroker(PaperTerms(**terms), seed)


@pytest.mark.parametrize(
    ("side", "px", "fee"), [("buy", "100.05", "0.08004"), ("sell", "99.45025", "0.0795602")]
)
def test_a25_a_market_order_takes_the_touch_and_the_slippage(side: str, px: str, fee: str) -> None:
    (fill,) = broker().place(order(side, "2"), QUOTE, T0)
    assert (fill.last_price, fill.last_qty, fill.fee) == (Decimal(px), 2, Decimal(fee))
    assert (fill.status, fill.liquidity, fill.order_type) == ("FILLED", "taker", "MARKET")


def test_a25_a_tick_rounds_against_the_order() -> None:
    terms = {"tick": Decimal("0.1")}
    (bought,) = broker(**terms).place(order("buy"), QUOTE, T0)
    (sold,) = broker(**terms).place(order("sell"), QUOTE, T0)
    assert (bought.last_price, sold.last_price) == (Decimal("100.1"), Decimal("99.4"))


def test_a25_a_limit_that_crosses_takes_but_never_beyond_its_limit() -> None:
    (fill,) = broker().place(order("buy", price="100"), QUOTE, T0)
    assert (fill.last_price, fill.liquidity) == (100, "taker")
    (fill,) = broker().place(order("sell", price="99"), QUOTE, T0)
    assert fill.last_price == Decimal("99.45025")


def test_a25_a_passive_limit_fills_at_its_price_as_maker_when_luck_has_it() -> None:
    lucky, unlucky = broker(**SURE), broker(fill_chance=Decimal(0))
    for each in (lucky, unlucky):
        assert each.place(order("buy", "2", price="99"), QUOTE, T0) == []
        assert len(each.open_orders) == 1
        assert each.quote("ETHUSDT", QUOTE, T0) == []
    (fill,) = lucky.quote("BTCUSDT", QUOTE, T0)
    assert (fill.last_price, fill.fee, fill.liquidity) == (99, Decimal("0.0396"), "maker")
    assert lucky.open_orders == []
    assert unlucky.quote("BTCUSDT", QUOTE, T0) == []
    # The market trades through it: no luck is needed.
    (fill,) = unlucky.quote("BTCUSDT", Quote(Decimal(98), Decimal("98.5")), T0)
    assert (fill.last_price, fill.liquidity) == (99, "maker")


def test_a25_a_partial_is_half_of_what_is_left_in_whole_steps() -> None:
    halves = broker(fill_chance=Decimal(1), partial_chance=Decimal(1), step=Decimal("0.01"))
    halves.place(order("sell", "0.07", price="101"), QUOTE, T0)
    told = [fill for _ in range(4) for fill in halves.quote("BTCUSDT", QUOTE, T0)]
    assert [str(fill.last_qty) for fill in told] == ["0.03", "0.02", "0.01", "0.01"]
    assert [fill.status for fill in told] == ["PARTIALLY_FILLED"] * 3 + ["FILLED"]
    assert [fill.filled_qty for fill in told][-1] == Decimal("0.07")
    assert halves.open_orders == []


def test_a25_chances_are_what_the_terms_say() -> None:
    fills = []
    for n in range(2000):
        one = broker(seed=5, fill_chance=Decimal("0.3"), partial_chance=Decimal("0.25"))
        one.place(order("buy", price="99", client_order_id=f"o{n}"), QUOTE, T0)
        fills += one.quote("BTCUSDT", QUOTE, T0)
    # Five standard deviations either side.
    assert 500 < len(fills) < 700
    assert 97 < sum(fill.status == "PARTIALLY_FILLED" for fill in fills) < 203


@given(st.integers(), st.permutations([f"o{n}" for n in range(6)]))
def test_a25_luck_repeats_itself_whatever_is_traded_beside_it(seed: int, names: list[str]) -> None:
    def fates(placed: Iterable[str]) -> dict[str, list[tuple[int, Decimal]]]:
        one = broker(seed)
        for name in placed:
            one.place(order("buy", price="99", client_order_id=name), QUOTE, T0)
        told: dict[str, list[tuple[int, Decimal]]] = {name: [] for name in placed}
        for n in range(5):
            for fill in one.quote("BTCUSDT", QUOTE, T0):
                told[fill.client_order_id].append((n, fill.last_qty))
        return told

    together = fates(names)
    for name in names:
        assert fates([name]) == {name: together[name]}


def test_a25_an_order_can_be_taken_back() -> None:
    one = broker(fill_chance=Decimal(1), partial_chance=Decimal(1))
    one.place(order("buy", "1", price="99"), QUOTE, T0)
    one.quote("BTCUSDT", QUOTE, T0)
    assert one.cancel("o1") == Decimal("0.5")
    assert (one.cancel("o1"), one.quote("BTCUSDT", QUOTE, T0)) == (0, [])


@pytest.mark.parametrize("bad", [order(qty="0"), order(qty="-1")])
def test_what_no_venue_would_take_is_refused(bad: PaperOrder) -> None:
    with pytest.raises(InputError):
        broker().place(bad, QUOTE, T0)
    with pytest.raises(InputError):
        broker().place(order(), Quote(Decimal(100), Decimal(99)), T0)
    one = broker()
    one.place(order(price="1"), QUOTE, T0)
    with pytest.raises(InputError):
        one.place(order(price="2"), QUOTE, T0)


def test_a25_paper_fills_are_events_and_their_money_is_exact(tmp_path: Path) -> None:
    one = broker(fill_chance=Decimal(1), partial_chance=Decimal(1), step=Decimal("0.1"))
    fills: list[PaperFill] = []
    entering = order("buy", "0.3", price="99")
    one.place(entering, QUOTE, T0)
    for n in range(3):
        fills += one.quote("BTCUSDT", QUOTE, T0 + n)
    leaving = order("sell", "0.3", client_order_id="o2", reduce_only=True)
    fills += one.place(leaving, Quote(Decimal("110.1"), Decimal(111)), T0 + HOUR_NS)
    with PerformanceTelemetry(
        simulate=True, log_dir=tmp_path, clock=lambda: T0 + 2 * HOUR_NS
    ) as desk:
        desk.on_order_placed(entering)
        for fill in (*fills, *fills):
            desk.on_event(fill)
        assert desk.refused == []
        (row,) = desk.update_metrics().recent_trades
        told = desk.execution_summary()
        # Another run numbers its fills anew, and they count all the same.
        (more,) = broker().place(order(client_order_id="o3"), QUOTE, T0 + HOUR_NS + 1)
        desk.on_event(more)
        assert len(desk.update_metrics().open_trades) == 1
    # By hand: (110.1 x 0.9995 - 99) x 0.3, fees 0.02 % of 29.7 and 0.04 % of the sale.
    sale = Decimal("110.1") * Decimal("0.9995") * Decimal("0.3")
    fees = Decimal("29.7") * Decimal("0.0002") + sale * Decimal("0.0004")
    assert Decimal(row.realized_pnl or 0) == sale - Decimal("29.7")
    assert Decimal(row.net or 0) == sale - Decimal("29.7") - fees
    assert [str(fill.last_qty) for fill in fills] == ["0.1", "0.1", "0.1", "0.3"]
    assert (told.orders_placed, told.orders_filled) == (1, 1)
