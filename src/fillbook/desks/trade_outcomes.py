"""Files for other programs: closes by day as JSON lines, and what is open right now."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from fillbook.analysis.answers import TradeRow
from fillbook.desks.trade_metrics import write_whole
from fillbook.ground.exact import plain_text
from fillbook.sources.observed import exit_source

OPEN_STATE = "open_positions_state.json"


class OutcomeLines:
    """`trade_outcomes/YYYY-MM-DD.jsonl` under a folder, one line per trade, by its exit day."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "trade_outcomes"

    def add(self, row: TradeRow, multiplier: Decimal = Decimal(1)) -> Path:
        """Append a finished trade under a file lock; a trade already there is left alone.

        `multiplier` is the contract's size, which its return counts on.
        """
        path = self._folder / f"{(row.exit_time or row.entry_time)[:10]}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            if not any(row.trade_id in line for line in file):
                file.write(json.dumps(outcome_line(row, multiplier)) + "\n")
        return path


def outcome_line(row: TradeRow, multiplier: Decimal = Decimal(1)) -> dict[str, Any]:
    """Return the line of a finished trade: numbers as decimal text, None where unknown."""
    seconds = row.holding_duration_seconds
    return {
        "trade_id": row.trade_id,
        "decision_id": row.decision_id,
        "product": row.product_id,
        "product_id": row.product_id,
        "asset_pair": row.product_id,
        "recorded_via": "position_polling",
        "side": row.side,
        "entry_time": row.entry_time,
        "entry_price": row.entry_price,
        "entry_size": row.position_size,
        "exit_time": row.exit_time,
        "exit_price": row.exit_price,
        "exit_price_source": exit_source(row.last_fill) if row.exit_price else None,
        "exit_size": row.position_size,
        "realized_pnl": row.realized_pnl,
        "fees": row.fees,
        "holding_duration_seconds": None if seconds is None else int(seconds),
        "roi_percent": _roi(row, multiplier),
    }


def write_open_state(folder: Path, rows: Iterable[TradeRow], when: str) -> Path:
    """Write what is open now, whole or not at all."""
    path = folder / OPEN_STATE
    positions = [
        {
            "trade_id": row.trade_id,
            "product_id": row.product_id,
            "side": row.side,
            "size": row.position_size,
            "entry_price": row.entry_price,
            "entry_time": row.entry_time,
            "decision_id": row.decision_id,
        }
        for row in rows
    ]
    write_whole(path, json.dumps({"timestamp": when, "positions": positions}, indent=1).encode())
    return path


def _roi(row: TradeRow, multiplier: Decimal) -> str | None:
    if row.realized_pnl is None or row.entry_price is None:
        return None
    invested = Decimal(row.entry_price) * Decimal(row.position_size) * multiplier
    if not invested:
        return None
    return plain_text((100 * Decimal(row.realized_pnl) / invested).quantize(Decimal("0.0001")))
