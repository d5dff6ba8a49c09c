"""What many outcomes say together: who was right, how sure, in which market, and at what cost.

Money is exact and of one currency; only ratios and the statistics of days are floats. An outcome
whose result nobody knows is counted and judged nowhere. A member of an ensemble is judged by its
own vote, and its share of the money is counted beside the whole, never on top of it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Literal

import msgspec
import numpy as np

from fillbook.analysis.performance import TradeStatistics, outcomes, trade_statistics
from fillbook.analysis.ratios import DailyRatios, daily_ratios, presentable
from fillbook.desks.portfolio_outcome import TradeOutcome
from fillbook.ground.clock import DAY_NS, parse_ns
from fillbook.ground.exact import EXACT, divide_half_even, money_text, to_money

Sureness = Literal["high", "medium", "low"]

# Bounds of what a decision's confidence is called, in percent.
_SURE, _HALF_SURE = Decimal(70), Decimal(40)
# A provider's score is so much of its win rate and so much of its mean result, in these units.
_OF_WINS, _OF_MONEY, _MONEY_UNIT = 0.6, 0.4, 50
_MANY_TRADES, _SOME_TRADES = 50, 20
LEAST_TRADES_TO_LEARN = 20
# Outcomes whose exit names no time we can read come last.
_UNKNOWN_NS = 1 << 63


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """What some outcomes made: `win_rate` in percent, None without trades of known result."""

    total_trades: int
    winning_trades: int
    win_rate: float | None
    total_pnl: Decimal
    avg_pnl: Decimal | None


class Streaks(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of wins and losses in the order of exits; `current` is negative while losing."""

    current: int
    longest_wins: int
    longest_losses: int


class PerformanceSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Every figure of one currency's outcomes.

    `win_rate` is in percent of the outcomes of known result. `avg_loss` and `max_drawdown` are
    positive; the latter is money, and `max_drawdown_pct` its share of the peak before it.
    `profit_factor` is None without a loss. Sharpe and Sortino are of the money of each UTC day,
    days without an exit included, and None below 20 days.
    """

    timestamp: str
    currency: str
    total_trades: int
    winning_trades: int
    losing_trades: int
    win_rate: float | None
    total_pnl: Decimal
    avg_win: Decimal | None
    avg_loss: Decimal | None
    profit_factor: float | None
    max_drawdown: Decimal
    max_drawdown_pct: float | None
    sharpe_ratio: float | None
    sortino_ratio: float | None
    provider_stats: dict[str, Share]
    confidence_stats: dict[str, Share]
    regime_performance: dict[str, Share]
    streaks: Streaks


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """How much to listen to one provider: `weight` sums to 1 over all, `sureness` by its trades."""

    weight: float
    score: float
    trades: int
    sureness: Sureness


class CostAverages(msgspec.Struct, frozen=True, kw_only=True):
    """Mean costs of the outcomes that know theirs, positive = lost; None where none does."""

    trades: int
    slippage_cost: Decimal | None
    fee_cost: Decimal | None
    spread_cost: Decimal | None
    total_transaction_cost: Decimal | None
    cost_as_pct_of_position: float | None


class Learning(msgspec.Struct, frozen=True, kw_only=True):
    """The first half of the outcomes against the second; None below 20 of known result."""

    trades: int
    first: Share | None = None
    second: Share | None = None
    win_rate_change: float | None = None
    avg_pnl_change: Decimal | None = None
    improved: bool | None = None


def snapshot(found: Sequence[TradeOutcome], timestamp: str, currency: str) -> PerformanceSnapshot:
    """Return every figure of some outcomes, all of one currency."""
    known = judged(found)
    told = trade_statistics(_results(known))
    days = _ratios(known)
    return PerformanceSnapshot(
        timestamp=timestamp,
        currency=currency,
        total_trades=len(found),
        winning_trades=told.wins,
        losing_trades=told.losses,
        win_rate=None if told.win_rate_ratio is None else 100 * told.win_rate_ratio,
        total_pnl=_money(told.net),
        avg_win=_mean(told.gross_profit, told.wins),
        avg_loss=_mean(told.gross_loss, told.losses),
        profit_factor=told.profit_factor,
        max_drawdown=_money(told.max_drawdown),
        max_drawdown_pct=_percent(told.max_drawdown_ratio),
        sharpe_ratio=days.sharpe,
        sortino_ratio=days.sortino,
        provider_stats=provider_statistics(known),
        confidence_stats=_by(known, lambda each: sureness_of(each.decision_confidence)),
        regime_performance=_by(known, lambda each: each.market_sentiment),
        streaks=_streaks(known, told),
    )


def judged(found: Iterable[TradeOutcome]) -> list[TradeOutcome]:
    """Return the outcomes whose result is known, in the order of their exits."""
    known = [each for each in found if each.realized_pnl is not None]
    return sorted(known, key=_exit_ns)


def provider_statistics(known: Sequence[TradeOutcome]) -> dict[str, Share]:
    """Return what each provider made: who decided, and each member of its ensembles.

    A member wins only where it wanted what was done and that gained; of the money it has its part
    of the vote, and none where nobody said how large that was.
    """
    parts: dict[str, list[tuple[int, bool]]] = defaultdict(list)
    for each in known:
        pnl, won = each.realized_pnl or Decimal(0), bool(each.was_profitable)
        if each.ai_provider is not None:
            parts[each.ai_provider].append((to_money(pnl), won))
        for vote in each.votes:
            if vote.provider != each.ai_provider:
                part = to_money(EXACT.multiply(pnl, vote.voting_power or Decimal(0)))
                parts[vote.provider].append((part, won and vote.agreed))
    return {name: _share(results) for name, results in sorted(parts.items())}


def recommended_weights(known: Sequence[TradeOutcome]) -> dict[str, Weight]:
    """Return how much to listen to each provider by what it made so far.

    score = 0.6 x win rate + 0.4 x (tanh(mean result / 50) + 1) / 2, then scaled to a sum of 1.
    """
    told = provider_statistics(known)
    scores = {name: _score(share) for name, share in told.items()}
    whole = sum(scores.values())
    return {
        name: Weight(
            weight=score / whole if whole else 1 / len(scores),
            score=score,
            trades=told[name].total_trades,
            sureness=_sureness_of_count(told[name].total_trades),
        )
        for name, score in scores.items()
    }


def cost_averages(found: Sequence[TradeOutcome]) -> CostAverages:
    """Return the mean of each cost over the outcomes that know it."""
    shares = [each.cost_as_pct_of_position for each in found]
    told = [share for share in shares if share is not None]
    return CostAverages(
        trades=len(found),
        slippage_cost=_mean_of(each.slippage_cost for each in found),
        fee_cost=_mean_of(each.fee_cost for each in found),
        spread_cost=_mean_of(each.spread_cost for each in found),
        total_transaction_cost=_mean_of(each.total_transaction_cost for each in found),
        cost_as_pct_of_position=math.fsum(told) / len(told) if told else None,
    )


def learning(known: Sequence[TradeOutcome]) -> Learning:
    """Compare the first half of the outcomes with the second.

    `improved` says that both the win rate and the mean result rose, or one rose and the other
    stayed; it is no proof, only what happened.
    """
    if len(known) < LEAST_TRADES_TO_LEARN:
        return Learning(trades=len(known))
    half = len(known) // 2
    first, second = (_share(_judgements(part)) for part in (known[:half], known[half:]))
    assert first.win_rate is not None and second.win_rate is not None
    assert first.avg_pnl is not None and second.avg_pnl is not None
    rate, money = second.win_rate - first.win_rate, second.avg_pnl - first.avg_pnl
    return Learning(
        trades=len(known),
        first=first,
        second=second,
        win_rate_change=rate,
        avg_pnl_change=money,
        improved=rate >= 0 and money >= 0 and (rate > 0 or money > 0),
    )


def sureness_of(confidence: Decimal | None) -> Sureness | None:
    """Name a confidence in percent: high from 70, medium from 40, low below.

    >>> [sureness_of(Decimal(told)) for told in ("70", "69.9", "40", "39")]
    ['high', 'medium', 'medium', 'low']
    """
    if confidence is None:
        return None
    return "high" if confidence >= _SURE else "medium" if confidence >= _HALF_SURE else "low"


def _by(
    known: Sequence[TradeOutcome], name_of: Callable[[TradeOutcome], str | None]
) -> dict[str, Share]:
    parts: dict[str, list[TradeOutcome]] = defaultdict(list)
    for each in known:
        name = name_of(each)
        if name is not None:
            parts[name].append(each)
    return {name: _share(_judgements(part)) for name, part in sorted(parts.items())}


def _results(known: Iterable[TradeOutcome]) -> list[int]:
    return [to_money(each.realized_pnl) for each in known if each.realized_pnl is not None]


def _judgements(known: Sequence[TradeOutcome]) -> list[tuple[int, bool]]:
    return [(pnl, pnl > 0) for pnl in _results(known)]


def _share(results: Sequence[tuple[int, bool]]) -> Share:
    wins = sum(won for _, won in results)
    total = sum(pnl for pnl, _ in results)
    return Share(
        total_trades=len(results),
        winning_trades=wins,
        win_rate=100 * wins / len(results) if results else None,
        total_pnl=_money(total),
        avg_pnl=_mean(total, len(results)),
    )


def _score(share: Share) -> float:
    mean = float(share.avg_pnl or 0) / _MONEY_UNIT
    return _OF_WINS * (share.win_rate or 0) / 100 + _OF_MONEY * (math.tanh(mean) + 1) / 2


def _sureness_of_count(trades: int) -> Sureness:
    return "high" if trades >= _MANY_TRADES else "medium" if trades >= _SOME_TRADES else "low"


def _streaks(known: Sequence[TradeOutcome], told: TradeStatistics) -> Streaks:
    classes = outcomes(_results(known)).tolist()
    newest = classes[-1] if classes else 0
    run = next((n for n, each in enumerate(reversed(classes)) if each != newest), len(classes))
    return Streaks(
        current=run * newest,
        longest_wins=told.max_consecutive_wins,
        longest_losses=told.max_consecutive_losses,
    )


def _ratios(known: Sequence[TradeOutcome]) -> DailyRatios:
    """Return the ratios of the money of each UTC day, from the first exit's to the last one's."""
    ends = [(_exit_ns(each) // DAY_NS, each) for each in known if _exit_ns(each) != _UNKNOWN_NS]
    first, last = (ends[0][0], ends[-1][0]) if ends else (0, -1)
    days = np.zeros(last - first + 1)
    for day, each in ends:
        days[day - first] += float(each.realized_pnl or 0)
    return presentable(daily_ratios(days, "money"))[0]


def _exit_ns(each: TradeOutcome) -> int:
    try:
        return parse_ns(each.exit_timestamp or "", UTC)
    except ValueError:
        return _UNKNOWN_NS


def _money(amount: int) -> Decimal:
    return Decimal(money_text(amount))


def _mean(total: int, count: int) -> Decimal | None:
    return _money(divide_half_even(total, count)) if count else None


def _mean_of(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [to_money(amount) for amount in amounts if amount is not None]
    return _mean(sum(known), len(known))


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * ratio
