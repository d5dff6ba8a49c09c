"""Excursions inside a trade: vectors, and an oracle that marks every instant with fractions."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.analysis.path import (
    Leg,
    TradePath,
    exit_efficiency,
    r_multiple,
    range_efficiency,
    return_on_notional,
    trade_path,
)
from fillbook.ground.clock import SECOND_NS
from fillbook.ground.exact import to_money
from vector_cases import Case, assert_close, cases

PX_SCALE = 4
NO_MARKS = np.array([], np.int64)


def scaled(text: str) -> int:
    return int(Decimal(text).scaleb(PX_SCALE))


def path_of(given_: dict[str, Any]) -> TradePath:
    """Follow a vector's trade in grid money: prices at 4 decimals, whole quantities."""
    side = 1 if given_["side"] == "long" else -1
    qty = side * int(given_["qty"])
    times = np.array([seconds * SECOND_NS for seconds, _ in given_["path"]])
    prices = np.array([scaled(text) for _, text in given_["path"]])
    legs = [
        Leg(int(times[0]), qty, scaled(given_["entry"])),
        Leg(int(times[-1]), -qty, scaled(given_["exit"])),
    ]
    return trade_path(legs, times, prices, factor=10 ** (18 - PX_SCALE))


@pytest.mark.parametrize("case", cases("02_trade_path"))
def test_vectors(case: Case) -> None:
    given_, tol = case["input"], case["tol"]
    path = path_of(given_)
    entry, leaving, qty = (Decimal(given_[name]) for name in ("entry", "exit", "qty"))
    side = 1 if given_["side"] == "long" else -1
    net = path.exit_pnl - to_money(Decimal(given_["fees"]))
    notional = to_money(entry * qty)
    ranges = range_efficiency(
        side,
        float(entry),
        float(leaving),
        path.low_px / 10**PX_SCALE,
        path.high_px / 10**PX_SCALE,
    )
    assert ranges is not None
    stop = given_["initial_stop"]
    net_decimal = Decimal(net).scaleb(-18)
    got = {
        "pnl_net": net_decimal,
        "return_on_notional": return_on_notional(net, notional),
        "mfe": Decimal(path.mfe).scaleb(-18),
        "mae": Decimal(path.mae).scaleb(-18),
        "mfe_pct": return_on_notional(path.mfe, notional),
        "mae_pct": return_on_notional(path.mae, notional),
        "peak_pnl": Decimal(path.mfe).scaleb(-18),
        "drawdown_from_peak": Decimal(path.drawdown_from_peak).scaleb(-18),
        "max_intratrade_drawdown": Decimal(path.max_drawdown).scaleb(-18),
        "exit_efficiency_mfe": exit_efficiency(path),
        "entry_efficiency_range": ranges.entry,
        "exit_efficiency_range": ranges.exit,
        "total_efficiency_range": ranges.total,
        "r_multiple": r_multiple(net_decimal, entry, Decimal(stop) if stop else None, qty),
        "holding_time_s": float(given_["path"][-1][0] - given_["path"][0][0]),
        "time_to_mfe_s": seconds(path.time_to_mfe_ns),
        "time_to_mae_s": seconds(path.time_to_mae_ns),
    }
    assert got.keys() == case["expected"].keys()
    for name, text in case["expected"].items():
        assert_close(name, got[name], text, tol)


def seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / SECOND_NS


def naive(legs: Sequence[Leg], marks: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Mark the trade at every sample with plain lists; fills come before marks of their instant."""
    flat_at = legs[-1].ts_ns if sum(leg.qty for leg in legs) == 0 else None
    events = [(leg.ts_ns, 0, number, leg.px) for number, leg in enumerate(legs)]
    events += [
        (ts, 1, number, px)
        for number, (ts, px) in enumerate(marks)
        if ts >= legs[0].ts_ns and (flat_at is None or ts < flat_at)
    ]
    equity, times = [], []
    for ts, kind, number, px in sorted(events):
        done = [leg for leg in legs if leg.ts_ns <= ts] if kind else legs[: number + 1]
        equity.append(sum(leg.qty * (px - leg.px) for leg in done))
        times.append(ts)
    best, worst = max(0, *equity), min(0, *equity)
    return {
        "mfe": best,
        "mae": worst,
        "exit_pnl": equity[-1],
        "drawdown_from_peak": best - equity[-1],
        "max_drawdown": max(
            max(0, *equity[: index + 1]) - value for index, value in enumerate(equity)
        ),
        "time_to_mfe_ns": times[equity.index(best)] - times[0] if best else None,
        "time_to_mae_ns": times[equity.index(worst)] - times[0] if worst else None,
    }


prices = st.integers(1, 60)
fills = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 3), prices), min_size=1, max_size=6)
samples = st.lists(st.tuples(st.integers(0, 40), prices), max_size=25)


@given(fills, samples, st.sampled_from([1, -1]), st.booleans())
def test_any_trade_equals_marking_every_instant(
    steps: list[tuple[int, int, int]], marks: list[tuple[int, int]], side: int, flat: bool
) -> None:
    legs, now = [], 3
    for wait, qty, px in steps:
        legs.append(Leg(now, side * qty, px))
        now += wait
    if flat:
        legs.append(Leg(now, -sum(leg.qty for leg in legs), 7))
    marks = sorted(marks, key=lambda mark: mark[0])
    path = trade_path(
        legs,
        np.array([ts for ts, _ in marks], np.int64),
        np.array([px for _, px in marks], np.int64),
    )
    for name, value in naive(legs, marks).items():
        assert getattr(path, name) == value, name


def test_scaling_out_keeps_the_realised_part_inside() -> None:
    legs = [Leg(0, 10, 100), Leg(10, -5, 120), Leg(20, -5, 90)]
    path = trade_path(legs, np.array([5, 15]), np.array([130, 80]))
    assert path.mfe == 300
    assert path.mae == 0
    assert path.exit_pnl == 50
    assert path.max_drawdown == 300
    assert (path.low_px, path.high_px, path.n_marks) == (80, 130, 2)


def test_without_marks_the_fills_are_the_path() -> None:
    path = trade_path([Leg(0, -2, 50), Leg(9, 2, 60)], NO_MARKS, NO_MARKS)
    assert (path.mfe, path.mae, path.exit_pnl, path.n_marks) == (0, -20, -20, 0)
    assert exit_efficiency(path) is None


def test_an_open_trade_ends_at_its_latest_mark() -> None:
    path = trade_path([Leg(0, 1, 50)], np.array([1, 2]), np.array([70, 65]))
    assert (path.exit_pnl, path.mfe, path.drawdown_from_peak) == (15, 20, 5)


def test_inverse_contracts_follow_minus_one_over_price() -> None:
    def transformed(px: int) -> int:
        return -round(Fraction(10**18, px))

    legs = [Leg(0, -100, transformed(5000)), Leg(9, 100, transformed(4500))]
    path = trade_path(legs, np.array([5]), np.array([transformed(4000)]))
    exact = -100 * (Fraction(1, 5000) - Fraction(1, 4000))
    assert abs(path.mfe - exact * 10**18) < 100
    assert abs(path.exit_pnl + 100 * (Fraction(1, 5000) - Fraction(1, 4500)) * 10**18) < 100


def test_money_is_rounded_once_half_to_even() -> None:
    path = trade_path([Leg(0, 1, 0), Leg(1, -1, 5)], NO_MARKS, NO_MARKS, factor=1, divisor=2)
    assert path.mfe == 2


def test_products_beyond_64_bits_stay_exact() -> None:
    legs = [Leg(0, 10**18, 9 * 10**18), Leg(9, -(10**18), 9 * 10**18 + 3)]
    path = trade_path(legs, np.array([4]), np.array([9 * 10**18 + 7]))
    assert (path.mfe, path.exit_pnl) == (7 * 10**18, 3 * 10**18)


def test_undefined_ratios_are_none() -> None:
    one = Decimal(1)
    assert r_multiple(one, one, one, one) is None
    assert r_multiple(one, one, None, one) is None
    assert range_efficiency(1, 5, 5, 5, 5) is None
    assert return_on_notional(5, 0) is None
    with pytest.raises(ValueError, match="at least one fill"):
        trade_path([], NO_MARKS, NO_MARKS)


@given(prices, prices, prices, prices, st.sampled_from([1, -1]))
def test_range_efficiencies_add_up(a: int, b: int, c: int, d: int, side: int) -> None:
    low, high = min(a, b, c, d), max(a, b, c, d)
    ranges = range_efficiency(side, a, b, low, high)
    if ranges is not None:
        assert ranges.total == pytest.approx(ranges.entry + ranges.exit - 1)
        assert 0 <= ranges.entry <= 1 and 0 <= ranges.exit <= 1
