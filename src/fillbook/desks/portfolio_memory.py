"""What became of decisions: one outcome per finished trade, one file each, and what they teach.

    memory = PortfolioMemoryEngine(config={"memory_dir": "data/memory"})
    memory.record_decision(decision)
    monitor = TradeMonitor(platform=platform, portfolio_memory=memory)
    ...
    memory.analyze_performance().provider_stats

Results come from the monitor's ledger; who decided, how sure and in which market, from the
decision the bot recorded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import msgspec

from fillbook.analysis.answers import TradeRow
from fillbook.desks.portfolio_outcome import TradeOutcome, amount_of, context_of, votes_of
from fillbook.desks.portfolio_statistics import (
    CostAverages,
    Learning,
    PerformanceSnapshot,
    Weight,
    cost_averages,
    judged,
    learning,
    recommended_weights,
    snapshot,
)
from fillbook.desks.trade_metrics import write_whole
from fillbook.ground.clock import iso
from fillbook.ground.clock import now_ns as wall_ns
from fillbook.ground.errors import UsageError
from fillbook.publish.closed import Record

__all__ = ["PortfolioMemoryEngine", "TradeOutcome"]

log = logging.getLogger("fillbook.desks")

STORAGE = Path("data/memory")


class Memory(Protocol):
    """Who learns from finished trades."""

    def record_trade_outcome(
        self,
        decision: dict[str, Any],
        exit_price: Any,
        exit_timestamp: str | None = None,
        hit_stop_loss: bool = False,
        hit_take_profit: bool = False,
    ) -> Any:
        """Take in one finished trade."""
        ...


class PortfolioMemoryEngine:
    """Keeps outcomes under `config["memory_dir"]` (default data/memory), earlier runs included.

    >>> from tempfile import TemporaryDirectory
    >>> told = {"id": "d1", "asset_pair": "BTCUSD", "action": "BUY", "realized_pnl": 75}
    >>> with TemporaryDirectory() as folder:
    ...     memory = PortfolioMemoryEngine({"memory_dir": folder})
    ...     memory.record_decision({"id": "d1", "ai_provider": "qwen", "confidence": 80})
    ...     memory.record_trade_outcome(told, Decimal(100), "2026-01-05T10:00:00Z").ai_provider
    ...     memory.analyze_performance().provider_stats["qwen"].win_rate
    'qwen'
    100.0
    """

    def __init__(
        self, config: Mapping[str, Any] | None = None, clock: Callable[[], int] = wall_ns
    ) -> None:
        self.folder = Path((config or {}).get("memory_dir", STORAGE))
        self._kept: dict[Path, TradeOutcome] = {}
        self._clock = clock
        for path in sorted(self.folder.glob("outcome_*.json")):
            try:
                self._kept[path] = msgspec.json.decode(path.read_bytes(), type=TradeOutcome)
            except (OSError, msgspec.DecodeError) as fault:
                log.warning("%s is no outcome and is left out: %s", path, fault)

    @property
    def trade_outcomes(self) -> list[TradeOutcome]:
        """Return every outcome there is."""
        return list(self._kept.values())

    def record_decision(self, decision: Mapping[str, Any]) -> None:
        """Remember who decided, how sure and in which market, for the outcome under this `id`.

        `confidence` is in percent. The members of an ensemble and their votes stand in
        `ensemble_metadata`.
        """
        context = json.dumps(context_of(decision), default=str)
        write_whole(self._path("decision", str(decision["id"])), context.encode())

    def record_trade_outcome(
        self,
        decision: dict[str, Any],
        exit_price: Decimal | None,
        exit_timestamp: str | None = None,
        hit_stop_loss: bool = False,
        hit_take_profit: bool = False,
    ) -> TradeOutcome:
        """Remember how a decision ended; the same trade of it again replaces what was known.

        So do the trades it names in `supersedes`.
        """
        decision_id = str(decision["id"])
        told = self._context(decision_id) | {n: v for n, v in decision.items() if v is not None}
        pnl, votes = amount_of(decision.get("realized_pnl")), votes_of(told)
        costs = {n: amount_of(told.get(f"{n}_cost")) for n in ("slippage", "fee", "spread")}
        known = [cost for cost in costs.values() if cost is not None]
        total = sum(known, Decimal(0)) if len(known) == len(costs) else None
        worth = told.get("position_value")
        outcome = TradeOutcome(
            decision_id=decision_id,
            trade_id=decision.get("trade_id"),
            asset_pair=decision["asset_pair"],
            action=decision["action"],
            entry_timestamp=decision.get("timestamp"),
            exit_timestamp=exit_timestamp,
            entry_price=amount_of(decision.get("entry_price")),
            exit_price=amount_of(exit_price),
            position_size=amount_of(decision.get("recommended_position_size")),
            realized_pnl=pnl,
            currency=told.get("currency", "USD"),
            pnl_percentage=decision.get("pnl_percentage"),
            holding_period_hours=decision.get("holding_period_hours"),
            ai_provider=told.get("ai_provider"),
            ensemble_providers=tuple(vote.provider for vote in votes),
            votes=votes,
            decision_confidence=amount_of(told.get("confidence")),
            market_sentiment=told.get("market_sentiment"),
            volatility=amount_of(told.get("volatility")),
            price_trend=told.get("price_trend"),
            was_profitable=None if pnl is None else pnl > 0,
            hit_stop_loss=hit_stop_loss,
            hit_take_profit=hit_take_profit,
            slippage_cost=costs["slippage"],
            fee_cost=costs["fee"],
            spread_cost=costs["spread"],
            total_transaction_cost=total,
            cost_as_pct_of_position=None
            if total is None or not worth
            else float(100 * total / worth),
        )
        self._forget(set(decision.get("supersedes", ())) - {outcome.trade_id})
        path = self._place(outcome)
        write_whole(path, msgspec.json.encode(outcome))
        self._kept[path] = outcome
        return outcome

    def analyze_performance(self, currency: str | None = None) -> PerformanceSnapshot:
        """Return every figure of the outcomes of one currency, by default the only one there is.

        UsageError where there are several: their money is never added.
        """
        named, found = self._of(currency)
        return snapshot(found, iso(self._clock()), named)

    def get_provider_recommendations(self, currency: str | None = None) -> dict[str, Weight]:
        """Return how much to listen to each provider, by what it made so far."""
        return recommended_weights(judged(self._of(currency)[1]))

    def calculate_rolling_cost_averages(
        self, last: int = 20, currency: str | None = None
    ) -> CostAverages:
        """Return what the `last` outcomes cost on average."""
        return cost_averages(judged(self._of(currency)[1])[-last:])

    def generate_learning_validation_metrics(self, currency: str | None = None) -> Learning:
        """Compare the first half of the outcomes with the second; it takes 20 to say anything."""
        return learning(judged(self._of(currency)[1]))

    def _of(self, currency: str | None) -> tuple[str, list[TradeOutcome]]:
        names = sorted({each.currency for each in self.trade_outcomes})
        if currency is None and len(names) > 1:
            raise UsageError(
                f"the outcomes are in {', '.join(names)}", str(self.folder), "name one currency"
            )
        named = currency or (names[0] if names else "USD")
        return named, [each for each in self.trade_outcomes if each.currency == named]

    def _forget(self, trade_ids: set[str | None]) -> None:
        for path in [p for p, each in self._kept.items() if each.trade_id in trade_ids]:
            path.unlink(missing_ok=True)
            del self._kept[path]

    def _place(self, outcome: TradeOutcome) -> Path:
        """Return an outcome's file; further trades of one decision get files of their own."""
        path = self._path("outcome", outcome.decision_id)
        if path in self._kept and self._kept[path].trade_id != outcome.trade_id:
            return self._path("outcome", f"{outcome.decision_id} {outcome.trade_id}")
        return path

    def _context(self, decision_id: str) -> dict[str, Any]:
        path = self._path("decision", decision_id)
        try:
            told = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        except FileNotFoundError:
            return {}
        except ValueError as fault:
            log.warning("%s is no decision and is left out: %s", path, fault)
            return {}
        return dict(told)

    def _path(self, what: str, name: str) -> Path:
        """Return a file's place; names that a file cannot have stay apart by their hash."""
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name)
        mark = "" if plain == name else "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
        return self.folder / f"{what}_{plain}{mark}.json"


def decision_of(row: TradeRow, record: Record, multiplier: Decimal = Decimal(1)) -> dict[str, Any]:
    """Bring a finished trade into the shape of the decision behind it.

    Its id is the decision's where one is known, else the trade's. `multiplier` is the contract's
    size.
    """
    pnl, entry, size = record["realized_pnl"], record["entry_price"], record["position_size"]
    worth = entry * size * multiplier if entry and size else None
    return {
        "id": record.get("decision_id") or record["trade_id"],
        "trade_id": record["trade_id"],
        "asset_pair": record["product_id"],
        "action": "BUY" if record["side"] == "LONG" else "SELL",
        "timestamp": record["entry_time"],
        "entry_price": entry,
        "recommended_position_size": size,
        "position_value": worth,
        "realized_pnl": pnl,
        "currency": row.currency,
        "fee_cost": row.fees,
        "pnl_percentage": None if pnl is None or not worth else float(100 * pnl / worth),
        "holding_period_hours": record["holding_duration_hours"],
    }


def remember(
    memory: Memory,
    row: TradeRow,
    record: Record,
    multiplier: Decimal = Decimal(1),
    supersedes: Sequence[str] = (),
) -> None:
    """Hand a finished trade to a memory, naming the trades it stands in place of."""
    decision = decision_of(row, record, multiplier)
    memory.record_trade_outcome(
        {**decision, "supersedes": list(supersedes)} if supersedes else decision,
        exit_price=record["exit_price"],
        exit_timestamp=record["exit_time"],
        hit_stop_loss=record["exit_reason"] == "stop_loss_likely",
        hit_take_profit=record["exit_reason"] == "take_profit_likely",
    )
