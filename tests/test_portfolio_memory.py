"""What finished trades teach: outcomes through the monitor's ledger, and their statistics."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fillbook.desks.portfolio_memory import PortfolioMemoryEngine, TradeOutcome
from fillbook.desks.trade_monitor import TradeMonitor
from fillbook.ground.clock import DAY_NS, HOUR_NS, iso, parse_ns
from fillbook.ground.errors import UsageError

T0 = parse_ns("2026-01-01T00:00:00Z")
NOW = "2026-03-01T00:00:00Z"


@pytest.fixture
def memory(tmp_path: Path) -> PortfolioMemoryEngine:
    return engine(tmp_path)


def engine(folder: Path) -> PortfolioMemoryEngine:
    return PortfolioMemoryEngine({"memory_dir": folder / "memory"}, clock=lambda: parse_ns(NOW))


def remembered(
    memory: PortfolioMemoryEngine, *pnls: Any, every_ns: int = HOUR_NS, **about: Any
) -> None:
    """Record outcomes, one exit every hour, after those the memory has."""
    for pnl in pnls:
        n = len(memory.trade_outcomes)
        told = {"id": f"d{n}", "asset_pair": "BTCUSD", "action": "BUY", "realized_pnl": pnl}
        memory.record_trade_outcome({**told, **about}, Decimal(100), iso(T0 + n * every_ns))


class Platform:
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def get_portfolio_breakdown(self) -> dict[str, Any]:
        return {"futures_positions": self.rows}


def traded(
    folder: Path, memory: PortfolioMemoryEngine, trades: list[tuple[str, str, str, str]]
) -> None:
    """Let a monitor watch trades one after another: (side, size, entry price, exit price)."""
    platform, hour = Platform(), iter(range(10_000))
    monitor = TradeMonitor(
        platform,
        portfolio_memory=memory,
        folder=folder / "metrics",
        clock=lambda: T0 + next(hour) * HOUR_NS,
    )
    for n, (side, size, entry, left) in enumerate(trades):
        about = {"product_id": "BTC-USD", "side": side, "size": size, "decision_id": f"d{n}"}
        for rows in ([{**about, "entry_price": entry, "current_price": left}], []):
            platform.rows = rows
            assert monitor.poll()


V29 = [
    ("BUY", "0.1", "50000", "52000"),
    ("BUY", "0.08", "51000", "50500"),
    ("SELL", "0.12", "52000", "50000"),
    ("BUY", "2", "3000", "3200"),
    ("BUY", "0.15", "49000", "51000"),
]


def test_b30_v29_five_trades_through_the_ledger(
    tmp_path: Path, memory: PortfolioMemoryEngine
) -> None:
    traded(tmp_path, memory, V29)
    for each in (memory, engine(tmp_path)):
        told = each.analyze_performance()
        assert sorted(o.realized_pnl or 0 for o in each.trade_outcomes) == [-40, 200, 240, 300, 400]
        assert (told.total_trades, told.winning_trades, told.losing_trades) == (5, 4, 1)
        assert (told.total_pnl, told.win_rate, told.avg_win, told.avg_loss) == (1100, 80.0, 285, 40)
        assert (told.profit_factor, told.max_drawdown, told.max_drawdown_pct) == (28.5, 40, 20.0)
        assert (told.currency, told.timestamp) == ("USD", NOW)
        assert told.streaks.current == 3
        assert (told.streaks.longest_wins, told.streaks.longest_losses) == (3, 1)
        # Three days are too few for ratios of days, and nothing is made up.
        assert (told.sharpe_ratio, told.sortino_ratio) == (None, None)


def test_b30_v28_statistics_by_provider(memory: PortfolioMemoryEngine) -> None:
    remembered(memory, 100, -50, ai_provider="local")
    remembered(memory, 75, ai_provider="qwen")
    stats = memory.analyze_performance().provider_stats
    local, qwen = stats["local"], stats["qwen"]
    assert (local.total_trades, local.win_rate, local.total_pnl, local.avg_pnl) == (2, 50.0, 50, 25)
    assert (qwen.total_trades, qwen.win_rate, qwen.total_pnl, qwen.avg_pnl) == (1, 100.0, 75, 75)


def test_b30_members_of_an_ensemble_are_judged_by_their_own_vote(
    tmp_path: Path, memory: PortfolioMemoryEngine
) -> None:
    memory.record_decision(
        {
            "id": "d0",
            "ai_provider": "ensemble",
            "confidence": 81.5,
            "market_sentiment": "bullish",
            "ensemble_metadata": {
                "provider_decisions": {"a": {"action": "BUY"}, "b": "SELL", "c": "BUY"},
                "voting_power": {"a": 0.5, "b": "0.3"},
            },
        }
    )
    traded(tmp_path, engine(tmp_path), V29[:1])
    told = engine(tmp_path).analyze_performance()
    (outcome,) = engine(tmp_path).trade_outcomes
    assert (outcome.ai_provider, outcome.decision_confidence) == ("ensemble", Decimal("81.5"))
    assert outcome.ensemble_providers == ("a", "b", "c")
    assert {name: (s.winning_trades, s.total_pnl) for name, s in told.provider_stats.items()} == {
        "ensemble": (1, Decimal(200)),
        "a": (1, Decimal(100)),
        # It voted against what was done: it did not win, whatever came of it.
        "b": (0, Decimal(60)),
        # How much its vote counted nobody said.
        "c": (1, Decimal(0)),
    }
    assert told.total_pnl == 200
    assert list(told.confidence_stats) == ["high"] and list(told.regime_performance) == ["bullish"]


def test_b30_confidence_buckets_and_regimes(memory: PortfolioMemoryEngine) -> None:
    for confidence, pnl in ((70, 10), (95, -4), (69.9, 3), (40, 5), ("39.99", -1), (None, 7)):
        remembered(memory, pnl, confidence=confidence, market_sentiment="calm" if pnl > 4 else None)
    told = memory.analyze_performance()
    shown = {name: (s.total_trades, s.total_pnl) for name, s in told.confidence_stats.items()}
    assert shown == {"high": (2, 6), "medium": (2, 8), "low": (1, -1)}
    for _ in range(3):
        calm = memory.analyze_performance().regime_performance["calm"]
        assert (calm.total_trades, calm.winning_trades, calm.total_pnl) == (3, 3, 22)


def test_b30_weights_follow_the_rule_and_sum_to_one(memory: PortfolioMemoryEngine) -> None:
    remembered(memory, *[50] * 20, *[-50] * 30, ai_provider="many")
    remembered(memory, *[25] * 20, ai_provider="some")
    remembered(memory, -500, ai_provider="few")
    weights = memory.get_provider_recommendations()
    scores = {
        "many": 0.6 * 0.4 + 0.4 * (math.tanh(-10 / 50) + 1) / 2,
        "some": 0.6 + 0.4 * (math.tanh(0.5) + 1) / 2,
        "few": 0.4 * (math.tanh(-10) + 1) / 2,
    }
    for name, score in scores.items():
        assert weights[name].score == pytest.approx(score)
        assert weights[name].weight == pytest.approx(score / sum(scores.values()))
    assert {name: (w.trades, w.sureness) for name, w in weights.items()} == {
        "many": (50, "high"),
        "some": (20, "medium"),
        "few": (1, "low"),
    }


def test_b30_costs_are_told_beside_the_result_never_taken_off_it(
    memory: PortfolioMemoryEngine,
) -> None:
    costs = {"slippage_cost": 0.5, "fee_cost": "1.25", "spread_cost": Decimal("0.25")}
    remembered(memory, 10, position_value=Decimal(400), **costs)
    remembered(memory, 20, slippage_cost="1.5")
    first, second = memory.trade_outcomes
    assert (first.realized_pnl, first.total_transaction_cost) == (10, 2)
    assert (first.cost_as_pct_of_position, second.total_transaction_cost) == (0.5, None)
    told = memory.calculate_rolling_cost_averages()
    assert (told.slippage_cost, told.fee_cost, told.spread_cost) == (
        1,
        Decimal("1.25"),
        Decimal("0.25"),
    )
    assert (told.total_transaction_cost, told.cost_as_pct_of_position) == (2, 0.5)
    assert memory.calculate_rolling_cost_averages(last=1).slippage_cost == Decimal("1.5")
    assert memory.calculate_rolling_cost_averages(last=1).fee_cost is None


def test_b30_learning_compares_the_halves_from_20_trades_on(memory: PortfolioMemoryEngine) -> None:
    remembered(memory, *[-10, 10] * 5, *[10] * 9)
    early = memory.generate_learning_validation_metrics()
    assert (early.trades, early.first, early.improved) == (19, None, None)
    remembered(memory, -30)
    told = memory.generate_learning_validation_metrics()
    assert told.first is not None and told.second is not None
    assert (told.first.win_rate, told.second.win_rate, told.win_rate_change) == (50.0, 90.0, 40.0)
    assert (told.first.avg_pnl, told.second.avg_pnl, told.avg_pnl_change) == (0, 6, 6)
    assert told.improved is True


def test_b30_ratios_are_of_days_with_the_idle_ones(memory: PortfolioMemoryEngine) -> None:
    remembered(memory, *[10, -5] * 5, 12, every_ns=2 * DAY_NS)
    told = memory.analyze_performance()
    days = [10, 0, -5, 0] * 5 + [12]
    mean = sum(days) / 21
    spread = math.sqrt(sum((x - mean) ** 2 for x in days) / 20)
    short = math.sqrt(sum(min(x, 0) ** 2 for x in days) / 21)
    assert told.sharpe_ratio == pytest.approx(math.sqrt(365) * mean / spread)
    assert told.sortino_ratio == pytest.approx(math.sqrt(365) * mean / short)


def test_b30_an_outcome_without_a_known_result_is_counted_and_judged_nowhere(
    memory: PortfolioMemoryEngine,
) -> None:
    assert memory.analyze_performance().win_rate is None
    remembered(memory, None, 4, 0, ai_provider="local", confidence=80)
    told = memory.analyze_performance()
    assert (told.total_trades, told.winning_trades, told.losing_trades) == (3, 1, 0)
    assert (told.win_rate, told.total_pnl, told.profit_factor) == (50.0, 4, None)
    assert told.provider_stats["local"].total_trades == 2


def test_b30_currencies_are_never_added(memory: PortfolioMemoryEngine) -> None:
    remembered(memory, 10, "0.10000000000000001")
    remembered(memory, 30, currency="EUR")
    with pytest.raises(UsageError, match="EUR, USD"):
        memory.analyze_performance()
    assert memory.analyze_performance("EUR").total_pnl == 30
    assert memory.analyze_performance("USD").total_pnl == Decimal("10.10000000000000001")


def test_two_trades_of_one_decision_are_two_outcomes_also_when_told_again(tmp_path: Path) -> None:
    def told(memory: PortfolioMemoryEngine, trade: str, pnl: int) -> None:
        about = {"id": "d/1", "trade_id": trade, "asset_pair": "BTCUSD", "action": "BUY"}
        memory.record_trade_outcome({**about, "realized_pnl": pnl}, Decimal(1), NOW)

    for _ in range(2):
        memory = engine(tmp_path)
        for trade, pnl in (("t1", 5), ("t2", 7), ("t1", 5)):
            told(memory, trade, pnl)
        told(memory, "t2", 8)
    for each in (memory, engine(tmp_path)):
        assert each.analyze_performance().total_pnl == 13
        assert len(each.trade_outcomes) == 2
    # Names that a file cannot have do not meet in one file.
    remembered(memory, 1, id="d_1")
    assert engine(tmp_path).analyze_performance().total_pnl == 14


def test_a_damaged_file_hides_no_other(tmp_path: Path, memory: PortfolioMemoryEngine) -> None:
    remembered(memory, 3)
    memory.record_decision({"id": "d9", "ai_provider": "local"})
    (tmp_path / "memory" / "outcome_bad.json").write_text("{")
    (tmp_path / "memory" / "decision_d9.json").write_text("{")
    again = engine(tmp_path)
    remembered(again, 4, id="d9")
    assert [(o.decision_id, o.ai_provider) for o in again.trade_outcomes] == [
        ("d0", None),
        ("d9", None),
    ]
    assert isinstance(again.trade_outcomes[0], TradeOutcome)


def test_the_page_does_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parent.parent / "docs" / "trade-monitor.md").read_text(encoding="utf-8")
    snippet = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[-1]
    monkeypatch.chdir(tmp_path)
    shows: dict[str, Any] = {}
    exec(snippet, shows)
    remembered(shows["memory"], 100, id="d-17")
    stats = shows["memory"].analyze_performance().provider_stats
    assert {name: (s.winning_trades, s.total_pnl) for name, s in stats.items()} == {
        "ensemble": (1, 100),
        "local": (1, 60),
        "qwen": (0, 40),
    }
