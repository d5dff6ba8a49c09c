"""Intervals against published widths and seeded coverage; verdicts that must wait when unsure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fillbook.analysis.edge import (
    Observations,
    assess,
    choose_observations,
    follows_itself,
    in_blocks,
    lag1_autocorrelation,
    may_start,
)
from fillbook.analysis.intervals import (
    asymptotic_width,
    log_e_value,
    mean_interval,
    mixture_variance,
    observations_needed,
    t_mixture_width,
)
from fillbook.ground.clock import DAY_NS, HOUR_NS
from vector_cases import Case, assert_close, case, cases

ALPHA = 0.05


@pytest.mark.parametrize(
    "case", cases("06_luck", lambda case: "tmix_two_sided" in case["expected"])
)
def test_width_vectors(case: Case) -> None:
    alpha, t_star = float(case["input"]["alpha"]), float(case["input"]["t_star"])
    expected, tol = case["expected"], case["tol"]
    assert_close("rho2", mixture_variance(t_star, alpha), expected["rho2_two_sided"], tol)
    assert_close("rho2 1", mixture_variance(t_star, 2 * alpha), expected["rho2_one_sided"], tol)
    for index, text in enumerate(case["input"]["n"]):
        n = int(text)
        one_sided = asymptotic_width(n, alpha, t_star, one_sided=True)
        assert_close(
            f"t-mixture {n}",
            t_mixture_width(n, alpha, t_star),
            expected["tmix_two_sided"][index],
            tol,
        )
        assert_close(
            f"asymptotic {n}",
            asymptotic_width(n, alpha, t_star),
            expected["asymp_two_sided"][index],
            tol,
        )
        assert_close(f"one-sided {n}", one_sided, expected["asymp_one_sided"][index], tol)


@pytest.mark.parametrize("case_id", ["U23a", "U23d"])
def test_asymptotic_width_is_the_normal_mixture_boundary(case_id: str) -> None:
    vector = case("06_luck", case_id)
    n, t_star = int(vector["input"]["v"]), float(vector["input"]["v_opt"])
    bound = n * asymptotic_width(n, float(vector["input"]["alpha"]), t_star)
    assert_close("bound", bound, vector["expected"]["bound"], vector["tol"])


def test_u33_one_series_as_it_grows() -> None:
    vector = case("06_luck", "U33")
    values = np.array([float(text) for text in vector["input"]["x"]])
    expected, tol = vector["expected"], vector["tol"]
    for index, text in enumerate(vector["input"]["report_n"]):
        seen = values[: int(text)]
        n, sd = len(seen), float(seen.std(ddof=1))
        interval = mean_interval(seen)
        assert interval.mean is not None
        assert_close("mean", interval.mean, expected["mean"][index], tol)
        asymptotic = sd * asymptotic_width(n)
        assert_close("asymptotic", asymptotic, expected["asymp_half_width"][index], tol)
        lower = interval.mean - sd * asymptotic_width(n, one_sided=True)
        assert_close("lower", lower, expected["asymp_lower_one_sided"][index], tol)
        half = math.inf
        if interval.low is not None and interval.high is not None:
            half = (interval.high - interval.low) / 2
        assert_close("t-mixture", half, expected["tmix_half_width"][index], tol)
        assert_close("log e", log_e_value(seen), expected["tmix_log_e_mean0"][index], tol)


@given(st.lists(st.floats(-5, 5), min_size=40, max_size=60).filter(lambda x: np.std(x) > 0.01))
def test_the_interval_is_where_the_evidence_stays_below_its_limit(sample: list[float]) -> None:
    values = np.array(sample)
    interval = mean_interval(values)
    if interval.low is None or interval.high is None:
        return
    for edge in (interval.low, interval.high):
        evidence = log_e_value(values, edge)
        assert evidence == pytest.approx(-math.log(ALPHA), rel=1e-6)


def miss_shares(paths: np.ndarray) -> tuple[float, float]:
    """Share of zero-mean paths whose interval ever misses zero: t-mixture, and naive t from 20."""
    n = np.arange(1, paths.shape[1] + 1)
    means = np.cumsum(paths, axis=1) / n
    spread = np.cumsum(paths**2, axis=1) - n * means**2
    sds = np.sqrt(np.maximum(spread, 0) / np.maximum(n - 1, 1))
    widths = np.array([t_mixture_width(int(count)) for count in n])
    naive = np.where(n >= 20, 1.96 / np.sqrt(n), np.inf)
    with np.errstate(invalid="ignore"):
        return tuple(
            float((np.abs(means) > sds * np.where(n < 2, np.inf, width)).any(axis=1).mean())
            for width in (widths, naive)
        )


@pytest.mark.parametrize("scenario", ["normal", "t3", "bracket"])
def test_u40_watching_after_every_trade_rarely_misses_the_truth(scenario: str) -> None:
    rng, shape = np.random.default_rng(20), (800, 5000)
    paths = {
        "normal": lambda: rng.normal(size=shape),
        "t3": lambda: rng.standard_t(3, size=shape),
        "bracket": lambda: np.where(rng.random(shape) < 0.4, 1.5, -1.0),
    }[scenario]()
    expected = case("06_luck", "U40")["expected"][scenario]
    watched, naive = miss_shares(paths)
    assert watched == pytest.approx(float(expected["tmix_t500"]), abs=0.02)
    assert naive > 0.4


def test_widths_shrink_and_early_ones_are_infinite() -> None:
    widths = [t_mixture_width(n) for n in range(1, 3000)]
    finite = [width for width in widths if width < math.inf]
    assert widths[0] == math.inf and widths[30] < math.inf
    assert finite == sorted(finite, reverse=True)
    assert all(t_mixture_width(n) > asymptotic_width(n) for n in (30, 100, 1000))


@pytest.mark.parametrize("effect", [0.05, 0.1, -0.3, 1.0])
def test_observations_needed_is_the_first_n_that_settles_it(effect: float) -> None:
    needed = observations_needed(effect)
    assert needed is not None
    assert t_mixture_width(needed) < abs(effect) <= t_mixture_width(needed - 1)
    assert observations_needed(1e-9) is None


def bracket(n: int, wins: int, win: float = 1.5, loss: float = -1.0) -> np.ndarray:
    """Return n results, `wins` of them won, evenly mixed so that neighbours do not follow."""
    order = np.random.default_rng(7).permutation(n)
    return np.where(order < wins, win, loss)


def test_a_clear_edge_is_yes_and_its_mirror_is_no() -> None:
    winner = assess(Observations(bracket(400, 240), "trade"))
    assert (winner.edge, winner.wins, winner.losses) == ("yes", 240, 160)
    assert winner.low is not None and winner.low > 0 and winner.more_needed is None
    loser = assess(Observations(-bracket(400, 240), "trade"))
    assert loser.edge == "no"
    assert loser.high is not None and loser.high < 0
    assert (loser.low, loser.high) == (-winner.high, -winner.low)


def test_chance_is_not_yet_knowable_and_says_how_many_more() -> None:
    fair = assess(Observations(bracket(200, 86), "trade"))
    assert fair.edge == "not yet knowable"
    assert fair.low is not None and fair.high is not None and fair.low < 0 < fair.high
    assert fair.mean is not None and fair.more_needed is not None
    assert f"about {fair.more_needed} more would settle it" in fair.reasons[-1]
    values = bracket(200, 86)
    needed = t_mixture_width(200 + fair.more_needed) * float(values.std(ddof=1))
    assert needed < abs(fair.mean)


def test_a_penny_picker_waits_for_its_losses() -> None:
    picker = assess(Observations(bracket(300, 295, 1.0, -19.0), "trade"))
    assert (picker.edge, picker.low, picker.high) == ("not yet knowable", None, None)
    assert picker.mean is not None and picker.mean > 0
    assert picker.reasons == ("5 of at least 10 losing observations (1 per trade)",)
    honest = assess(Observations(bracket(300, 290, 1.0, -19.0), "trade"))
    assert honest.low is not None


@pytest.mark.parametrize(
    ("n", "wins", "losses", "two_sided", "one_sided"),
    [
        (29, 15, 14, False, False),
        (30, 20, 10, True, False),
        (30, 21, 9, False, False),
        (40, 20, 20, True, True),
        (500, 481, 19, True, False),
        (0, 0, 0, False, False),
    ],
)
def test_start_rule(n: int, wins: int, losses: int, two_sided: bool, one_sided: bool) -> None:
    assert may_start(n, wins, losses) is two_sided
    assert may_start(n, wins, losses, one_sided=True) is one_sided


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 50, [0.0] * 50])
def test_nothing_seen_is_never_a_verdict(values: list[float]) -> None:
    verdict = assess(Observations(np.array(values), "trade"))
    assert (verdict.edge, verdict.low, verdict.high) == ("not yet knowable", None, None)
    assert verdict.n == len(values) and verdict.reasons


def test_separate_trades_are_the_observations() -> None:
    values = bracket(100, 50)
    chosen = choose_observations(values, np.ones(30), concurrent=1)
    assert (chosen.unit, chosen.note, chosen.dependent) == ("trade", "", False)
    assert chosen.values is values


def test_overlapping_trades_count_by_day_and_long_ones_by_longer_blocks() -> None:
    daily = bracket(120, 60)
    days = choose_observations(bracket(100, 50), daily, concurrent=5, mean_hold_ns=HOUR_NS)
    assert days.unit == "day" and "up to 5 trades were open at once" in days.note
    assert days.values.tolist() == daily.tolist()
    week = choose_observations(bracket(100, 50), daily, concurrent=2, mean_hold_ns=3 * DAY_NS)
    assert (week.unit, len(week.values)) == ("block of 7 days", 17)
    month = choose_observations(bracket(100, 50), daily, concurrent=2, mean_hold_ns=90 * DAY_NS)
    assert month.dependent
    assert assess(month).low is None


def test_results_that_follow_each_other_move_to_days() -> None:
    noise = np.random.default_rng(3).normal(size=300)
    trend = np.convolve(noise, np.ones(8))[:300]
    assert follows_itself(trend) and not follows_itself(noise)
    chosen = choose_observations(trend, noise[:60])
    assert chosen.unit == "day" and "follow each other" in chosen.note
    undated = choose_observations(trend, None)
    assert undated.dependent
    verdict = assess(undated)
    assert (verdict.edge, verdict.low) == ("not yet knowable", None)
    assert "cannot be grouped by day" in verdict.reasons[0]


def test_overlapping_copies_of_one_trade_do_not_prove_anything() -> None:
    rng = np.random.default_rng(11)
    days = rng.normal(size=60)
    copies = np.repeat(days, 20)
    naive = mean_interval(copies)
    honest = mean_interval(choose_observations(copies, days, concurrent=20).values)
    assert None not in (naive.low, naive.high, honest.low, honest.high)
    assert (honest.high - honest.low) > 3 * (naive.high - naive.low)


@given(st.lists(st.integers(-9, 9), max_size=40), st.sampled_from([1, 2, 4, 7]))
def test_blocks_add_whole_days_only(daily: list[int], days: int) -> None:
    blocks = in_blocks(np.array(daily, float), days)
    whole = len(daily) // days * days
    assert blocks.tolist() == [sum(daily[i : i + days]) for i in range(0, whole, days)]


@given(st.lists(st.floats(-3, 3), min_size=3, max_size=40).filter(lambda x: np.std(x) > 0.1))
def test_autocorrelation_ignores_level_and_scale(sample: list[float]) -> None:
    values = np.array(sample)
    rho = lag1_autocorrelation(values)
    assert rho is not None and -1 <= rho <= 1
    assert lag1_autocorrelation(7 * values + 3) == pytest.approx(rho, abs=1e-9)


@settings(max_examples=50)
@given(st.integers(0, 400), st.floats(0.001, 1000), st.integers(0, 10_000))
def test_verdicts_do_not_depend_on_the_unit_of_money(wins: int, factor: float, seed: int) -> None:
    values = np.where(np.random.default_rng(seed).permutation(400) < wins, 1.5, -1.0)
    plain, scaled = (assess(Observations(unit * values, "trade")) for unit in (1.0, factor))
    assert plain.edge == scaled.edge
    if plain.low is not None:
        assert scaled.low == pytest.approx(factor * plain.low, rel=1e-9, abs=1e-9 * factor)
