"""Files for other programs: closes by day as JSON lines, and what is open right now."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from fillbook.analysis.answers import FillRow, TradeRow
from fillbook.desks.trade_metrics import write_whole
from fillbook.ground.clock import SECOND_NS, parse_ns
from fillbook.ground.exact import plain_text
from fillbook.sources.observed import exit_source

EXPLICIT = "order:explicit"
"""Where the price of a fill that was reported, not inferred, comes from."""
OPEN_STATE = "open_positions_state.json"


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """One closing of a trade, whole or in part, as the ledger has it.

    `price`, `realized` and `fee` are None where nobody knows them.
    """

    time: str
    size: str
    price: str | None
    realized: str | None
    fee: str | None
    source: str | None


def exits_of(row: TradeRow, fills: Iterable[FillRow]) -> list[Exit]:
    """Return the closings of a trade; `fills` are those of its instrument, in order."""
    closing = "sell" if row.side == "LONG" else "buy"
    begun_ns = parse_ns(row.entry_time)
    ended_ns = None if row.exit_time is None else parse_ns(row.exit_time)
    exits, held = [], Decimal(0)
    for fill in fills:
        ts_ns = parse_ns(fill.ts)
        is_mine = ts_ns >= begun_ns and (ended_ns is None or ts_ns <= ended_ns)
        if fill.position_side not in ("net", row.side.lower()) or not is_mine:
            continue
        before, held = held, abs(Decimal(fill.position_after))
        if fill.side != closing:
            continue
        # A closing nobody knows the price of has no quantity of its own.
        is_priced = Decimal(fill.qty) > 0
        exits.append(
            Exit(
                time=fill.ts,
                size=plain_text(before - held),
                price=fill.px if is_priced else None,
                realized=fill.realized if is_priced else None,
                fee=fill.fee,
                source=exit_source(fill.fill_id) or (EXPLICIT if is_priced else None),
            )
        )
    return exits


class OutcomeLines:
    """`trade_outcomes/YYYY-MM-DD.jsonl` under a folder, one line per closing, by its day.

    The lines of a trade add up to its result.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "trade_outcomes"

    def add(
        self, row: TradeRow, exits: Sequence[Exit], multiplier: Decimal = Decimal(1)
    ) -> list[Exit]:
        """Append closings of a trade under a file lock, and return those that were new.

        `multiplier` is the contract's size, which the return on a line counts on.
        """
        return [each for each in exits if self._append(outcome_line(row, each, multiplier))]

    def _append(self, line: dict[str, Any]) -> bool:
        path = self._folder / f"{line['exit_time'][:10]}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            marks = [json.dumps({name: line[name]})[1:-1] for name in ("trade_id", "exit_time")]
            if any(all(mark in known for mark in marks) for known in file):
                return False
            file.write(json.dumps(line) + "\n")
        return True


def outcome_line(row: TradeRow, left: Exit, multiplier: Decimal = Decimal(1)) -> dict[str, Any]:
    """Return the line of one closing: numbers as decimal text, None where unknown."""
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
        "exit_time": left.time,
        "exit_price": left.price,
        "exit_price_source": left.source,
        "exit_size": left.size,
        "realized_pnl": left.realized,
        "fees": left.fee,
        "holding_duration_seconds": (parse_ns(left.time) - parse_ns(row.entry_time)) // SECOND_NS,
        "roi_percent": _roi(row, left, multiplier),
    }


def write_open_state(
    folder: Path, rows: Iterable[TradeRow], sizes: Mapping[str, str], when: str
) -> Path:
    """Write what is open now, whole or not at all; `sizes` is what is left of each trade."""
    path = folder / OPEN_STATE
    positions = [
        {
            "trade_id": row.trade_id,
            "product_id": row.product_id,
            "side": row.side,
            "size": sizes.get(row.trade_id, row.position_size),
            "entry_price": row.entry_price,
            "entry_time": row.entry_time,
            "decision_id": row.decision_id,
        }
        for row in rows
    ]
    write_whole(path, json.dumps({"timestamp": when, "positions": positions}, indent=1).encode())
    return path


def _roi(row: TradeRow, left: Exit, multiplier: Decimal) -> str | None:
    if left.realized is None or row.entry_price is None:
        return None
    invested = Decimal(row.entry_price) * Decimal(left.size) * multiplier
    if not invested:
        return None
    return plain_text((100 * Decimal(left.realized) / invested).quantize(Decimal("0.0001")))
