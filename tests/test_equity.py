"""Daily money, drawdowns and ratios against vectors and quadratic oracles."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.analysis.drawdown import drawdown
from fillbook.analysis.equity import daily_returns, daily_sums, utc_day_edges
from fillbook.analysis.ratios import (
    DailyRatios,
    annual_from_trades,
    daily_ratios,
    growth_rate,
    omega,
    presentable,
    sharpe,
)
from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.ledger.amounts import from_ints
from vector_cases import Case, assert_close, case, cases

RATIO_FIELDS = {
    "sharpe_365": "sharpe",
    "sortino_365": "sortino",
    "annual_vol_365": "annual_vol",
    "cagr_365": "cagr",
    "calmar_365": "calmar",
    "max_drawdown": "max_drawdown_ratio",
    "max_dd_duration_periods": "max_drawdown_days",
    "ulcer_index": "ulcer",
    "omega_0": "omega",
    "tail_ratio": "tail_ratio",
    "var_95_hist_linear": "var_95",
    "cvar_95_hist": "cvar_95",
    "skew_g3": "skew",
    "kurtosis_g4": "kurtosis",
    "final_equity": "growth",
}


@pytest.mark.parametrize(
    "case", cases("03_aggregates", lambda case: "daily_returns" in case["input"])
)
def test_daily_series_vectors(case: Case) -> None:
    returns = np.array([float(text) for text in case["input"]["daily_returns"]])
    figures = daily_ratios(returns, "returns", risk_free=float(case["input"]["rf"]))
    expected = dict(case["expected"])
    assert figures.drawdown_recovered is expected.pop("max_dd_recovered")
    assert_close("sharpe 252", sharpe(returns, 252), expected.pop("sharpe_252"), case["tol"])
    for name, text in expected.items():
        assert_close(name, getattr(figures, RATIO_FIELDS[name]), text, case["tol"])


@pytest.mark.parametrize("case", cases("03_aggregates", lambda case: "cagr" in case["expected"]))
def test_growth_vectors(case: Case) -> None:
    given_ = {name: float(text) for name, text in case["input"].items()}
    rate = growth_rate(given_["start"], given_["end"], given_["days"])
    assert_close("cagr", rate, case["expected"]["cagr"], case["tol"])


def test_a12_absolute_and_relative_drawdown_are_different_episodes() -> None:
    vector = case("03_aggregates", "A12")
    steps = [int(text) for text in vector["input"]["trade_pnl"]]
    worst = drawdown(accumulate(steps, initial=int(vector["input"]["starting_equity"])))
    assert worst.deepest is not None and worst.deepest_ratio is not None
    got = {
        "max_dd_abs": worst.deepest.depth,
        "rel_at_max_abs": worst.deepest.ratio,
        "max_dd_rel": worst.deepest_ratio.ratio,
        "abs_at_max_rel": worst.deepest_ratio.depth,
    }
    for name, text in vector["expected"].items():
        assert_close(name, got[name], text, vector["tol"])
    assert (worst.deepest.recovered, worst.deepest_ratio.recovered) == (False, True)


def test_a30_per_trade_sharpe_scales_by_trades_per_year() -> None:
    vector = case("03_aggregates", "A30")
    per_trade = float(vector["input"]["sr_per_trade"])
    trades, days = int(vector["input"]["trades"]), int(vector["input"]["days"])
    annual = annual_from_trades(per_trade, trades, days)
    assert_close("sr_annual", annual, vector["expected"]["sr_annual"], vector["tol"])
    wrong = float(vector["expected"]["wrong_sqrt365"])
    assert annual is not None and abs(annual - wrong) > 1


def test_a_first_loss_is_a_drawdown_and_no_fall_is_none() -> None:
    worst = drawdown([0, -5, -3]).deepest
    assert worst is not None
    assert (worst.depth, worst.ratio, worst.peak_index, worst.recovered) == (5, None, 0, False)
    assert drawdown([0, 1, 1, 2]).deepest is None
    empty: list[int] = []
    assert drawdown(empty).longest is None


def test_the_longest_fall_need_not_be_the_deepest() -> None:
    worst = drawdown([10, 9, 9, 9, 10, 4, 12])
    assert worst.longest is not None and worst.deepest is not None
    assert (worst.longest.periods, worst.longest.depth) == (4, 1)
    assert (worst.deepest.periods, worst.deepest.peak_index, worst.deepest.trough_index) == (
        2,
        4,
        5,
    )


@given(st.lists(st.integers(-5, 5).map(lambda step: step * 2**70), min_size=1, max_size=25))
def test_drawdown_equals_the_quadratic_definition(steps: list[int]) -> None:
    levels = list(accumulate(steps, initial=30 * 2**70))
    peaks = list(accumulate(levels, max))
    falls = [peak - level for peak, level in zip(peaks, levels, strict=True)]
    shares = [Fraction(f, p) for f, p in zip(falls, peaks, strict=True) if p > 0]
    spans, start = [0], 0
    for index, (level, peak) in enumerate(zip(levels, peaks, strict=True)):
        if level == peak:
            spans.append(index - start if falls[index - 1] else 0)
            start = index
    spans.append(len(levels) - 1 - start)
    worst = drawdown(levels)
    assert (worst.deepest.depth if worst.deepest else 0) == max(falls)
    ratio = worst.deepest_ratio.ratio if worst.deepest_ratio else 0.0
    assert ratio == pytest.approx(float(max(shares, default=Fraction(0))))
    assert (worst.longest.periods if worst.longest else 0) == max(spans)
    if worst.deepest is not None:
        fall = worst.deepest
        assert levels[fall.peak_index] - levels[fall.trough_index] == fall.depth
        assert fall.recovered == (levels[fall.until_index] >= levels[fall.peak_index])


moments = st.tuples(st.integers(-5 * 24, 5 * 24), st.integers(-(2**80), 2**80))


@given(st.lists(moments, max_size=30))
def test_daily_sums_keep_idle_days_and_every_unit(rows: list[tuple[int, int]]) -> None:
    edges = utc_day_edges(-3 * DAY_NS, 3 * DAY_NS)
    assert len(edges) == 7
    times = np.array([hour * HOUR_NS for hour, _ in rows], np.int64)
    sums = daily_sums(times, from_ints([amount for _, amount in rows]), edges)
    expected = [sum(amount for hour, amount in rows if hour // 24 == day) for day in range(-3, 3)]
    assert sums == expected


def test_day_edges_cover_partial_days_and_nothing_for_an_empty_window() -> None:
    assert (utc_day_edges(DAY_NS - 1, DAY_NS + 1) // DAY_NS).tolist() == [0, 1, 2]
    assert len(utc_day_edges(DAY_NS, DAY_NS)) == 1


def test_returns_are_on_the_money_at_work() -> None:
    assert daily_returns(100, [0, 10]) == pytest.approx([0.0, 0.1])
    withdrawn = daily_returns(100, [10, 11], transfers=[-50, 0])
    assert withdrawn == pytest.approx([0.1, 11 / 60])
    assert daily_returns(100, [-100, 5]) is None
    assert daily_returns(0, [5]) is None


def test_dropping_idle_days_would_flatter() -> None:
    busy = np.array([0.01, 0.02, -0.005, 0.01])
    with_idle = np.array([0.01, 0.0, 0.0, 0.02, 0.0, -0.005, 0.01, 0.0])
    flattered, honest = sharpe(busy), sharpe(with_idle)
    assert flattered is not None and honest is not None and honest < flattered


@given(st.lists(st.integers(-99, 99), min_size=1, max_size=40))
def test_omega_over_money_is_the_profit_factor_of_days(days: list[int]) -> None:
    won, lost = sum(d for d in days if d > 0), -sum(d for d in days if d < 0)
    expected = won / lost if lost else None
    assert omega(np.array(days, float)) == expected


def test_money_has_no_ratio_that_needs_capital() -> None:
    figures = daily_ratios(np.array([5.0, -2.0, 1.0]), "money")
    assert figures.sharpe is not None and figures.omega == 3.0
    assert (figures.calmar, figures.ulcer, figures.cagr, figures.max_drawdown_ratio) == (None,) * 4


@pytest.mark.parametrize("daily", [[], [0.01], [0.01] * 50, [0.1] * 3])
def test_no_spread_no_sharpe(daily: list[float]) -> None:
    figures = daily_ratios(np.array(daily, float), "returns")
    assert (figures.sharpe, figures.sortino, figures.omega, figures.calmar) == (None,) * 4


def test_ruin_and_explosions_stay_numbers_or_none() -> None:
    ruin = daily_ratios(np.array([0.5, -1.0, 0.2]), "returns")
    assert (ruin.growth, ruin.cagr, ruin.max_drawdown_ratio) == (0.0, -1.0, 1.0)
    assert ruin.drawdown_recovered is False
    assert growth_rate(1, 1000, 1) is None
    assert growth_rate(1, -5, 100) is None
    assert growth_rate(0, 5, 100) is None


def test_what_is_shown_depends_on_the_days_behind_it() -> None:
    def shown(days: int) -> tuple[DailyRatios, tuple[str, ...]]:
        series = np.tile([0.01, -0.005], days)[:days]
        return presentable(daily_ratios(series, "returns"))

    few, notes = shown(19)
    assert (few.sharpe, few.sortino, few.cagr) == (None, None, None)
    assert few.ulcer is not None and len(notes) == 3
    some, notes = shown(179)
    assert some.sharpe is not None and (some.cagr, some.calmar) == (None, None)
    assert notes == ("179 days; annual growth and Calmar need 180",)
    many, notes = shown(180)
    assert many.cagr is not None and many.calmar is not None and notes == ()


def test_money_of_v29_falls_by_forty() -> None:
    pnl = [Decimal(text) for text in ("200", "-40", "240", "400", "300")]
    worst = drawdown(accumulate((int(amount) * 10**18 for amount in pnl), initial=0)).deepest
    assert worst is not None
    assert (worst.depth, worst.ratio, worst.recovered) == (40 * 10**18, 0.2, True)
