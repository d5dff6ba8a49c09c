"""What became of decisions: one outcome per finished trade, one file per outcome."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import msgspec

from fillbook.desks.trade_metrics import Record, write_whole

log = logging.getLogger("fillbook.desks")

STORAGE = Path("data/memory")


class TradeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How one decision ended; None where nobody knows. Money and prices are Decimals."""

    decision_id: str
    asset_pair: str
    action: str
    entry_timestamp: str | None
    exit_timestamp: str | None
    entry_price: Decimal | None
    exit_price: Decimal | None
    position_size: Decimal | None
    realized_pnl: Decimal | None
    pnl_percentage: float | None
    holding_period_hours: float | None
    ai_provider: str | None
    decision_confidence: Decimal | None
    was_profitable: bool | None
    hit_stop_loss: bool
    hit_take_profit: bool


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
    """Keeps outcomes under `config["memory_dir"]` (default data/memory), earlier runs included."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.folder = Path((config or {}).get("memory_dir", STORAGE))
        self.trade_outcomes: list[TradeOutcome] = []
        for path in sorted(self.folder.glob("outcome_*.json")):
            try:
                kept = msgspec.json.decode(path.read_bytes(), type=TradeOutcome)
            except (OSError, msgspec.DecodeError) as fault:
                log.warning("%s is no outcome and is left out: %s", path, fault)
            else:
                self.trade_outcomes.append(kept)

    def record_trade_outcome(
        self,
        decision: dict[str, Any],
        exit_price: Decimal | None,
        exit_timestamp: str | None = None,
        hit_stop_loss: bool = False,
        hit_take_profit: bool = False,
    ) -> TradeOutcome:
        """Remember how a decision ended; the same decision again replaces what was known."""
        pnl, percent = decision.get("realized_pnl"), decision.get("pnl_percentage")
        outcome = TradeOutcome(
            decision_id=str(decision["id"]),
            asset_pair=decision["asset_pair"],
            action=decision["action"],
            entry_timestamp=decision.get("timestamp"),
            exit_timestamp=exit_timestamp,
            entry_price=decision.get("entry_price"),
            exit_price=exit_price,
            position_size=decision.get("recommended_position_size"),
            realized_pnl=pnl,
            pnl_percentage=percent,
            holding_period_hours=decision.get("holding_period_hours"),
            ai_provider=decision.get("ai_provider"),
            decision_confidence=decision.get("confidence"),
            was_profitable=None if pnl is None else pnl > 0,
            hit_stop_loss=hit_stop_loss,
            hit_take_profit=hit_take_profit,
        )
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", outcome.decision_id)
        write_whole(self.folder / f"outcome_{name}.json", msgspec.json.encode(outcome))
        known = [each for each in self.trade_outcomes if each.decision_id != outcome.decision_id]
        self.trade_outcomes = [*known, outcome]
        return outcome


def decision_of(record: Record, multiplier: Decimal = Decimal(1)) -> dict[str, Any]:
    """Bring a finished trade into the shape of the decision behind it.

    Its id is the decision's where one is known, else the trade's. `multiplier` is the contract's
    size.
    """
    pnl, entry, size = record["realized_pnl"], record["entry_price"], record["position_size"]
    percent = None
    if pnl is not None and entry and size:
        percent = float(100 * pnl / (entry * size * multiplier))
    return {
        "id": record.get("decision_id") or record["trade_id"],
        "trade_id": record["trade_id"],
        "asset_pair": record["product_id"],
        "action": "BUY" if record["side"] == "LONG" else "SELL",
        "timestamp": record["entry_time"],
        "entry_price": entry,
        "recommended_position_size": size,
        "realized_pnl": pnl,
        "pnl_percentage": percent,
        "holding_period_hours": record["holding_duration_hours"],
    }


def remember(memory: Memory, record: Record, multiplier: Decimal = Decimal(1)) -> None:
    """Hand a finished trade to a memory."""
    memory.record_trade_outcome(
        decision_of(record, multiplier),
        exit_price=record["exit_price"],
        exit_timestamp=record["exit_time"],
        hit_stop_loss=record["exit_reason"] == "stop_loss_likely",
        hit_take_profit=record["exit_reason"] == "take_profit_likely",
    )
