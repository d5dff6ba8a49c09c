"""Is it luck? The expectancy with an interval that may be watched, and a verdict read from it.

yes               the whole interval lies above zero
no                the whole interval lies at or below zero: evidence *against* a positive mean
not yet knowable  anything else, always with the reason; little evidence for is never a "no"

The interval is two-sided, so both verdicts together are wrong at most alpha of the time, however
often one looks. That holds for independent observations whose losses have been seen: hence blocks
of days where trades overlap or follow each other, and a start rule that waits for both sides.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fillbook.analysis.intervals import (
    ALPHA,
    T_STAR,
    MeanInterval,
    mean_interval,
    observations_needed,
)
from fillbook.ground.clock import DAY_NS

Series = NDArray[np.float64]

MIN_OBSERVATIONS = 30
MIN_PER_SIDE = 10
MIN_PER_SIDE_ONE_SIDED = 20
BLOCK_DAYS = (1, 2, 4, 7, 14, 28)
# A block at least twice as long as a typical trade holds most of that trade's neighbours.
BLOCK_PER_HOLD = 2


class Observations(NamedTuple):
    """What is averaged: values in time order, the name of one, and why it was chosen.

    `note` is empty for plain trades. `dependent` says that even the largest block left neighbours
    that follow each other, so no interval can be trusted.
    """

    values: Series
    unit: str
    note: str = ""
    dependent: bool = False


class EdgeAssessment(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict with everything it rests on; money per observation, floats.

    `low` and `high` are None while too early. `more_needed` estimates how many further
    observations would settle it at today's mean and spread; None when it is settled, or hopeless.
    """

    edge: Literal["yes", "no", "not yet knowable"]
    n: int
    unit: str
    mean: float | None
    low: float | None
    high: float | None
    wins: int
    losses: int
    more_needed: int | None
    reasons: tuple[str, ...]


def lag1_autocorrelation(values: Series) -> float | None:
    """Return the correlation of neighbours; None below three values or without spread.

    >>> lag1_autocorrelation(np.array([1.0, -1.0, 1.0, -1.0]))
    -0.75
    """
    if len(values) < 3 or values.min() == values.max():
        return None
    shifted = values - values.mean()
    return float(shifted[1:] @ shifted[:-1] / (shifted @ shifted))


def follows_itself(values: Series) -> bool:
    """Say whether neighbours are positively correlated beyond chance, rho > 2 / sqrt(n)."""
    rho = lag1_autocorrelation(values)
    return rho is not None and rho > 2 / len(values) ** 0.5


def in_blocks(daily: Series, days: int) -> Series:
    """Sum a daily series in blocks from its first day on; an unfinished last block is left out.

    >>> in_blocks(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 2).tolist()
    [3.0, 7.0]
    """
    whole = len(daily) // days
    blocks: Series = daily[: whole * days].reshape(whole, days).sum(axis=1)
    return blocks


def choose_observations(
    trade_net: Series,
    daily_net: Series | None = None,
    *,
    concurrent: int = 1,
    mean_hold_ns: float = 0.0,
) -> Observations:
    """Choose trades where they are independent, else the shortest block of days that is.

    `trade_net` is in close order; `daily_net` holds finished days, idle ones as zeros, or None for
    trades without times; `concurrent` is the most trades open at once.

    >>> choose_observations(np.array([1.0, -2.0]), np.array([-1.0]), concurrent=3).unit
    'day'
    """
    if concurrent > 1:
        cause = f"up to {concurrent} trades were open at once"
    elif follows_itself(trade_net):
        cause = "results of neighbouring trades follow each other"
    else:
        return Observations(trade_net, "trade")
    if daily_net is None:
        note = f"{cause}, and without times they cannot be grouped by day"
        return Observations(trade_net, "trade", note, dependent=True)
    shortest_ns = BLOCK_PER_HOLD * mean_hold_ns if concurrent > 1 else 0.0
    for days in BLOCK_DAYS:
        values = in_blocks(daily_net, days)
        if days * DAY_NS >= shortest_ns and not follows_itself(values):
            unit = "day" if days == 1 else f"block of {days} days"
            return Observations(values, unit, f"{cause}, so each {unit} counts once")
    note = f"{cause}, even over {days} days"
    return Observations(values, f"block of {days} days", note, dependent=True)


def may_start(n: int, wins: int, losses: int, *, one_sided: bool = False) -> bool:
    """Say whether enough was seen for an interval: n >= 30 and at least 10 wins and 10 losses.

    A claim from a one-sided bound needs 20 of each: rare losses are what breaks such claims.

    >>> may_start(300, 290, 10), may_start(300, 290, 10, one_sided=True)
    (True, False)
    """
    per_side = MIN_PER_SIDE_ONE_SIDED if one_sided else MIN_PER_SIDE
    return n >= MIN_OBSERVATIONS and min(wins, losses) >= per_side


def assess(
    observations: Observations, alpha: float = ALPHA, t_star: float = T_STAR
) -> EdgeAssessment:
    """Judge a series of observations; break-even trades are expected as exact zeros.

    >>> assess(Observations(np.array([1.0, 2.0]), "trade")).edge
    'not yet knowable'
    """
    values = observations.values
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    interval = mean_interval(values, alpha, t_star)
    low, high = interval.low, interval.high
    if observations.dependent or not may_start(interval.n, wins, losses):
        low = high = None
    edge: Literal["yes", "no", "not yet knowable"] = "not yet knowable"
    if low is not None and low > 0:
        edge = "yes"
    elif high is not None and high <= 0:
        edge = "no"
    more = _more_needed(interval, alpha, t_star) if edge == "not yet knowable" else None
    reasons = [observations.note] if observations.note else []
    if low is not None and high is not None:
        reasons.append(_where_zero_lies(edge, observations.unit, low, high, more))
    else:
        reasons += _too_early(observations, interval.n, wins, losses)
    return EdgeAssessment(
        edge=edge,
        n=interval.n,
        unit=observations.unit,
        mean=interval.mean,
        low=low,
        high=high,
        wins=wins,
        losses=losses,
        more_needed=more,
        reasons=tuple(reasons),
    )


def _more_needed(interval: MeanInterval, alpha: float, t_star: float) -> int | None:
    if interval.mean is None or not interval.sd:
        return None
    needed = observations_needed(interval.mean / interval.sd, alpha, t_star)
    if needed is None:
        return None
    return max(1, max(needed, MIN_OBSERVATIONS) - interval.n)


def _where_zero_lies(edge: str, unit: str, low: float, high: float, more: int | None) -> str:
    span = f"the interval of the mean per {unit}, {low:.4g} to {high:.4g},"
    if edge == "yes":
        return f"{span} lies above zero"
    if edge == "no":
        return f"{span} lies at or below zero"
    if more is None:
        return f"{span} holds zero, and at today's mean and spread no number would settle it"
    return f"{span} holds zero; at today's mean and spread about {more} more would settle it"


def _too_early(observations: Observations, n: int, wins: int, losses: int) -> list[str]:
    if observations.dependent:
        return ["observations that depend on each other allow no interval"]
    unit, reasons = observations.unit, []
    if n < MIN_OBSERVATIONS:
        reasons.append(f"{n} of at least {MIN_OBSERVATIONS} observations (1 per {unit})")
    for count, name in ((wins, "winning"), (losses, "losing")):
        if count < MIN_PER_SIDE:
            reasons.append(f"{count} of at least {MIN_PER_SIDE} {name} observations (1 per {unit})")
    return reasons or [f"the interval is still unbounded at {n} observations"]
