"""A finished trade for other programs: its record, and the event that carries it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.exits import exit_reason

TRADE_CLOSED = "ffe.trade.closed"
NUMBERS = msgspec.json.Encoder(decimal_format="number")
_HOUR_SECONDS = 3600

Record = dict[str, Any]


def record_of(row: TradeRow, updates: int | None, *, forced: bool = False) -> Record:
    """Return a trade of the ledger in the shape of a trade file; money and prices are Decimals.

    `updates` is how many prices were seen, None where nobody counts. `exit_cause` is what the
    venue or the bot says of the end, a guess (`..._likely`) where nobody does. `decision_id` stands
    there only where one is known. Of a trade that is still open, the result is None.
    """
    pnl, peak = _number(row.realized_pnl), _number(row.peak_pnl)
    seconds = row.holding_duration_seconds
    is_open = row.final_status == "open"
    record: Record = {
        "trade_id": row.trade_id,
        "product_id": row.product_id,
        "side": row.side,
        "entry_time": row.entry_time,
        "exit_time": row.exit_time,
        "holding_duration_seconds": seconds,
        "holding_duration_hours": None if seconds is None else round(seconds / _HOUR_SECONDS, 2),
        "entry_price": _number(row.entry_price),
        "exit_price": _number(row.exit_price),
        "position_size": _number(row.position_size),
        "realized_pnl": None if is_open else pnl,
        "peak_pnl": peak,
        "max_drawdown": _number(row.max_drawdown),
        "exit_reason": row.exit_reason
        or exit_reason(None if is_open else pnl, peak, forced=forced),
        "exit_cause": row.exit_cause,
        "price_updates_count": updates,
        "forced_stop": forced,
        "final_status": row.final_status,
        "collected_at": None,
    }
    if row.decision_id is not None:
        record["decision_id"] = row.decision_id
    return record


def closed_event(record: Record, supersedes: Sequence[str] = ()) -> bytes:
    """Return what a webhook is told of a finished trade; a repetition has the same `id`."""
    name = f"{record['trade_id']}:{record.get('revision', 0)}"
    event: Record = {"event": TRADE_CLOSED, "id": name, "trade": record}
    return NUMBERS.encode({**event, "supersedes": supersedes} if supersedes else event)


def _number(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
