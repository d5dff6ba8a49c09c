"""Trade statistics against vectors, the mission's cases and oracles in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from statistics import mean, median, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.analysis.occupancy import concurrent_max, time_in_market_ns
from fillbook.analysis.performance import (
    TradeStatistics,
    longest_run,
    outcomes,
    profit_factor,
    trade_statistics,
)
from fillbook.ground.clock import HOUR_NS
from fillbook.ground.exact import from_scaled, to_money
from fillbook.ledger.amounts import from_ints
from vector_cases import Case, assert_close, cases

ONE = 10**18
RUNGS = (1, 10**6, ONE, 2**63, 2**64, 2**100)


def money(*amounts: str | int) -> list[int]:
    return [to_money(Decimal(amount)) for amount in amounts]


def units(amount: int) -> Decimal:
    return from_scaled(amount, 18)


MONEY_FIELDS = {
    "gross_profit": "gross_profit",
    "gross_loss": "gross_loss",
    "net": "net",
    "max_drawdown_abs_closed_trades": "max_drawdown",
}
FLOAT_FIELDS = {
    "n": "n",
    "wins": "wins",
    "losses": "losses",
    "breakeven": "breakeven",
    "win_rate": "win_rate_ratio",
    "expectancy": "expectancy",
    "avg_win": "avg_win",
    "avg_loss": "avg_loss",
    "profit_factor": "profit_factor",
    "payoff_ratio": "payoff_ratio",
    "kelly_binary": "kelly_binary",
    "sqn": "sqn",
    "sqn_capped100": "sqn_capped100",
    "max_consecutive_losses": "max_consecutive_losses",
}


def is_trade_statistics(case: Case) -> bool:
    return "trade_pnl" in case["input"] and "starting_equity" not in case["input"]


@pytest.mark.parametrize("case", cases("03_aggregates", is_trade_statistics))
def test_vectors(case: Case) -> None:
    figures = trade_statistics(money(*case["input"]["trade_pnl"]))
    expected = dict(case["expected"])
    assert figures.profit_factor_note == expected.pop("profit_factor_note")
    peer = expected.pop("freqtrade_expectancy_ratio", None)
    for name, text in expected.items():
        if name in MONEY_FIELDS:
            assert units(getattr(figures, MONEY_FIELDS[name])) == Decimal(text), name
        else:
            assert_close(name, getattr(figures, FLOAT_FIELDS[name]), text, case["tol"])
    if peer is not None:
        assert figures.win_rate_ratio is not None and figures.payoff_ratio is not None
        ratio = figures.win_rate_ratio * (1 + figures.payoff_ratio) - 1
        assert_close("expectancy ratio", ratio, peer, case["tol"])


def test_v02_win_rate_and_no_trades() -> None:
    assert trade_statistics(money(*[10] * 7, *[-5] * 3)).win_rate_ratio == 0.7
    empty = trade_statistics([])
    assert (empty.n, empty.net, empty.max_drawdown, empty.max_consecutive_wins) == (0, 0, 0, 0)
    undefined = (empty.win_rate_ratio, empty.expectancy, empty.profit_factor, empty.sqn, empty.best)
    assert undefined == (None,) * 5


@pytest.mark.parametrize(
    ("profits", "losses", "net", "expectancy"),
    [([25] * 4, [-10] * 4 + [0] * 2, 60, 6.0), ([15] * 2, [-10] * 8, -50, -5.0)],
)
def test_v03_net_and_expectancy(
    profits: list[int], losses: list[int], net: int, expectancy: float
) -> None:
    figures = trade_statistics(money(*profits, *losses))
    assert (figures.n, figures.net, figures.expectancy) == (10, net * ONE, expectancy)


def test_v04_profit_factor_is_never_infinite() -> None:
    assert profit_factor(100, 50) == (2.0, "ok")
    assert profit_factor(100, 0) == (None, "undefined_no_losses")
    assert profit_factor(0, 0) == (None, "undefined_no_trades")
    assert profit_factor(0, 7) == (0.0, "ok")


def test_v26_fifteen_trades() -> None:
    figures = trade_statistics(money(*[500] * 8, 850, *[-100] * 6))
    assert (figures.n, figures.wins, figures.net) == (15, 9, 4250 * ONE)
    assert figures.win_rate_ratio == 0.6
    assert figures.expectancy == pytest.approx(283.33, abs=0.005)


def test_v29_five_trades() -> None:
    round_trips = [
        (1, "50000", "52000", "0.1"),
        (1, "51000", "50500", "0.08"),
        (-1, "52000", "50000", "0.12"),
        (1, "3000", "3200", "2"),
        (1, "49000", "51000", "0.15"),
    ]
    pnl = [
        to_money(side * (Decimal(out) - Decimal(into)) * Decimal(qty))
        for side, into, out, qty in round_trips
    ]
    assert [amount // ONE for amount in pnl] == [200, -40, 240, 400, 300]
    figures = trade_statistics(pnl)
    assert figures.net == 1100 * ONE
    assert figures.win_rate_ratio == 0.8
    assert figures.avg_win == 285.0
    assert figures.profit_factor == 28.5
    assert figures.max_drawdown == 40 * ONE
    assert figures.max_drawdown_ratio == 0.2


@pytest.mark.parametrize("fills", [1, 2, 7])
def test_break_even_reaches_exactly_two_units_per_fill(fills: int) -> None:
    limit = 2 * fills
    amounts = [limit, limit + 1, -limit, -limit - 1, 0, 2**64, -(2**64), 2**64 - 1, 2**64 + 1]
    expected = [0, 1, 0, -1, 0, 1, -1, 1, 1]
    assert outcomes(amounts, [fills] * len(amounts)).tolist() == expected


def test_without_fill_counts_only_zero_breaks_even() -> None:
    assert outcomes([1, 0, -1]).tolist() == [1, 0, -1]


def test_break_even_residues_stay_in_net_but_not_in_gross() -> None:
    figures = trade_statistics([4, 10, -10], n_fills=[2, 2, 2])
    assert (figures.breakeven, figures.gross_profit, figures.gross_loss) == (1, 10, 10)
    assert figures.net == 4


def test_streaks_and_drawdown_follow_close_order() -> None:
    closes = np.array([50, 10, 30, 20, 40])
    opens = np.zeros(5, np.int64)
    figures = trade_statistics(money(-1, 2, -3, -4, -5), None, opens, closes)
    assert (figures.max_consecutive_losses, figures.max_consecutive_wins) == (4, 1)
    assert (figures.max_drawdown, figures.max_drawdown_ratio) == (13 * ONE, 6.5)
    assert trade_statistics(money(-1, 2, -3, -4, -5)).max_drawdown == 12 * ONE


def test_holding_times_are_hours() -> None:
    opens, closes = np.array([0, HOUR_NS, 0]), np.array([HOUR_NS, 3 * HOUR_NS, 9 * HOUR_NS])
    figures = trade_statistics([1, 1, 1], None, opens, closes)
    assert (figures.avg_hold_hours, figures.median_hold_hours) == (4.0, 2.0)
    assert trade_statistics([1, 1, 1]).avg_hold_hours is None


def test_sqn_is_undefined_without_spread_and_capped_at_100() -> None:
    assert trade_statistics(money(*["0.1"] * 3)).sqn is None
    figures = trade_statistics(money(*[3, -1] * 200))
    assert figures.sqn is not None and figures.sqn_capped100 is not None
    assert figures.sqn == pytest.approx(2 * figures.sqn_capped100)


def test_sums_keep_the_last_digit_of_amounts_beyond_floats() -> None:
    figures = trade_statistics([2**100 + 1, 3, -(2**99) - 5])
    assert (figures.gross_profit, figures.gross_loss) == (2**100 + 4, 2**99 + 5)
    assert (figures.best, figures.worst) == (2**100 + 1, -(2**99) - 5)
    assert figures.max_drawdown == 2**99 + 5


def naive_runs(classes: Sequence[int], wanted: int) -> int:
    longest = run = 0
    for value in classes:
        run = run + 1 if value == wanted else 0
        longest = max(longest, run)
    return longest


def naive_drawdown(steps: Sequence[int]) -> int:
    levels = [sum(steps[:count]) for count in range(len(steps) + 1)]
    pairs = ((i, j) for i in range(len(levels)) for j in range(i, len(levels)))
    return max(levels[i] - levels[j] for i, j in pairs)


amounts = st.builds(lambda size, times: size * times, st.sampled_from(RUNGS), st.integers(-50, 50))
trades = st.lists(st.tuples(amounts, st.integers(1, 4)), max_size=25)


@given(trades)
def test_statistics_equal_the_definitions(rows: list[tuple[int, int]]) -> None:
    net, fills = [amount for amount, _ in rows], [count for _, count in rows]
    figures: TradeStatistics = trade_statistics(from_ints(net), fills)
    wins = [amount for amount, count in rows if amount > 2 * count]
    losses = [-amount for amount, count in rows if -amount > 2 * count]
    assert (figures.wins, figures.losses) == (len(wins), len(losses))
    assert figures.breakeven == len(rows) - len(wins) - len(losses)
    assert (figures.gross_profit, figures.gross_loss) == (sum(wins), sum(losses))
    assert figures.net == sum(net)
    assert (figures.best, figures.worst) == (max(net, default=None), min(net, default=None))
    assert figures.max_drawdown == naive_drawdown(net)
    classes = [(amount > 2 * count) - (-amount > 2 * count) for amount, count in rows]
    assert figures.max_consecutive_wins == naive_runs(classes, 1)
    assert figures.max_consecutive_losses == naive_runs(classes, -1)
    if losses:
        assert figures.profit_factor == pytest.approx(float(Fraction(sum(wins), sum(losses))))


@given(
    st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=30).filter(lambda x: len({*x}) > 1)
)
def test_means_and_sqn_equal_the_textbook(cents: list[int]) -> None:
    figures = trade_statistics([amount * 10**16 for amount in cents])
    values = [amount / 100 for amount in cents]
    assert figures.expectancy == pytest.approx(mean(values), abs=1e-9)
    assert figures.sqn == pytest.approx(
        len(values) ** 0.5 * mean(values) / stdev(values), rel=1e-9, abs=1e-9
    )


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=40))
def test_longest_run_equals_a_counting_loop(classes: list[int]) -> None:
    for wanted in (-1, 0, 1):
        assert longest_run(np.array(classes, np.int8), wanted) == naive_runs(classes, wanted)


spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 8)), max_size=12)


@given(spans, st.integers(0, 30), st.integers(0, 15))
def test_time_in_market_counts_every_instant_once(
    rows: list[tuple[int, int]], since: int, width: int
) -> None:
    opens = np.array([start for start, _ in rows], np.int64)
    closes = np.array([start + hold for start, hold in rows], np.int64)
    held = {instant for start, hold in rows for instant in range(start, start + hold)}
    expected = len(held & set(range(since, since + width)))
    assert time_in_market_ns(opens, closes, since, since + width) == expected


@given(spans)
def test_concurrent_max_counts_open_trades(rows: list[tuple[int, int]]) -> None:
    opens = np.array([start for start, _ in rows], np.int64)
    closes = np.array([start + hold for start, hold in rows], np.int64)
    at_once = [sum(s <= t < s + hold for s, hold in rows) for t in range(40)]
    assert concurrent_max(opens, closes) == max(max(at_once), 1 if rows else 0)


def test_median_hold_agrees_with_the_library() -> None:
    holds = [3, 9, 4, 40]
    opens = np.zeros(4, np.int64)
    closes = np.array([hold * HOUR_NS for hold in holds])
    assert trade_statistics([1] * 4, None, opens, closes).median_hold_hours == median(holds)
