"""Finished trades as files, one JSON per trade, and what they add up to.

Numbers in the files are JSON numbers of exact decimals. A trade's file name comes from its id and
its end, so that telling a trade again changes nothing.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from fillbook.ground.clock import iso, parse_ns
from fillbook.ground.clock import now_ns as wall_ns
from fillbook.publish.closed import NUMBERS, Record

log = logging.getLogger("fillbook.desks")

STORAGE = Path("data/trade_metrics")
_HOUR_SECONDS = 3600


class TradeMetricsCollector:
    """Keeps finished trades in `storage_dir` and adds them up, earlier runs included.

    >>> from tempfile import TemporaryDirectory
    >>> told = {"trade_id": "t1", "exit_time": "2026-01-05T10:00:00Z", "realized_pnl": 1500}
    >>> with TemporaryDirectory() as folder:
    ...     collector = TradeMetricsCollector(folder)
    ...     [collector.record_trade_metrics(told).name for _ in range(2)]
    ...     collector.get_aggregate_statistics()["total_trades"]
    ['trade_t1_20260105T100000Z.json', 'trade_t1_20260105T100000Z.json']
    1
    """

    def __init__(
        self, storage_dir: str | Path = STORAGE, clock: Callable[[], int] = wall_ns
    ) -> None:
        self.storage_dir = Path(storage_dir)
        self._clock = clock
        self._lock = threading.Lock()
        self._records: dict[str, Record] = {}
        for path in sorted(self.storage_dir.glob("trade_*.json")):
            self._load(path)

    def path_of(self, record: Mapping[str, Any]) -> Path:
        """Return where a trade's file lies: trade_{id}_{timestamp}.json, the time of its exit."""
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", str(record["trade_id"]))
        stamp = re.sub(r"[^0-9TZ.]", "", str(record.get("exit_time") or "open"))
        return self.storage_dir / f"trade_{name}_{stamp}.json"

    def knows(self, record: Mapping[str, Any]) -> bool:
        """Say whether a trade was collected with this result, by this run or an earlier one."""
        with self._lock:
            kept = self._records.get(self.path_of(record).name)
        return kept is not None and kept["realized_pnl"] == record["realized_pnl"]

    def told_before(self, record: Mapping[str, Any]) -> list[Record]:
        """Return the collected trades that one replaces which late facts made known.

        They are of its product and side, and overlap it in time.
        """
        with self._lock:
            return [kept for kept in self._records.values() if _is_of_one(kept, record)]

    def record_trade_metrics(
        self, record: Mapping[str, Any], replaces: Sequence[Mapping[str, Any]] = ()
    ) -> Path:
        """Write a finished trade and count it; once more changes nothing. Returns its file.

        The files of the trades it `replaces` are removed, and count no more.
        """
        path = self.path_of(record)
        kept = {**record, "collected_at": iso(self._clock())}
        with self._lock:
            if replaces or path.name not in self._records:
                write_whole(path, NUMBERS.encode(kept))
                self._records[path.name] = kept
            for old in {self.path_of(each).name for each in replaces} - {path.name}:
                (self.storage_dir / old).unlink(missing_ok=True)
                self._records.pop(old, None)
        return path

    def get_recent_metrics(self, limit: int = 10) -> list[Record]:
        """Return the trades that ended last, newest first."""
        return self._by_exit()[::-1][:limit]

    def get_aggregate_statistics(self) -> dict[str, Any]:
        """Add up all trades; the nine keys are always there, None where there is nothing to say.

        `win_rate` is in percent of the trades whose result is known; a result of 0 is neither a
        win nor a loss. Money is Decimal.
        """
        records = self._by_exit()
        pnls = [Decimal(str(r["realized_pnl"])) for r in records if r["realized_pnl"] is not None]
        held = [
            Decimal(str(r["holding_duration_seconds"]))
            for r in records
            if r.get("holding_duration_seconds") is not None
        ]
        wins = sum(pnl > 0 for pnl in pnls)
        total = sum(pnls, Decimal(0))
        cents = Decimal("0.01")
        return {
            "total_trades": len(records),
            "winning_trades": wins,
            "losing_trades": sum(pnl < 0 for pnl in pnls),
            "win_rate": round(100 * wins / len(pnls), 2) if pnls else None,
            "total_pnl": total,
            "avg_pnl": (total / len(pnls)).quantize(cents) if pnls else None,
            "avg_holding_hours": (
                float(round(sum(held, Decimal(0)) / len(held) / _HOUR_SECONDS, 2)) if held else None
            ),
            "best_trade_pnl": max(pnls, default=None),
            "worst_trade_pnl": min(pnls, default=None),
        }

    def export_for_model_training(self, output_path: str | Path | None = None) -> dict[str, Any]:
        """Return every trade for training, and write it as JSON where a path is given.

        `outcome` is win, loss or break-even; None where the result is unknown.
        """
        export = {
            "export_timestamp": iso(self._clock()),
            "total_trades": len(self._records),
            "aggregate_stats": self.get_aggregate_statistics(),
            "trades": [_sample(record) for record in self._by_exit()],
        }
        if output_path is not None:
            write_whole(Path(output_path), NUMBERS.encode(export))
        return export

    def get_summary(self) -> str:
        """Say in a few lines what all trades made."""
        total = self.get_aggregate_statistics()
        if not total["total_trades"]:
            return "No completed trades yet."
        rate = "n/a" if total["win_rate"] is None else f"{total['win_rate']:.1f} %"
        lines = [
            f"Trades: {total['total_trades']}, {total['winning_trades']} won, "
            f"{total['losing_trades']} lost, win rate {rate}",
            f"PnL: total {_money(total['total_pnl'])}, average {_money(total['avg_pnl'])}, "
            f"best {_money(total['best_trade_pnl'])}, worst {_money(total['worst_trade_pnl'])}",
        ]
        if total["avg_holding_hours"] is not None:
            lines.append(f"Average holding time: {total['avg_holding_hours']} h")
        unknown = sum(r["realized_pnl"] is None for r in self._by_exit())
        if unknown:
            lines.append(f"Closed at an unknown price, left out of the figures: {unknown}")
        return "\n".join(lines)

    def _by_exit(self) -> list[Record]:
        with self._lock:
            records = list(self._records.values())
        return sorted(records, key=lambda r: (r.get("exit_time") or "", r["trade_id"]))

    def _load(self, path: Path) -> None:
        try:
            record = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        except (OSError, ValueError) as fault:
            log.warning("%s is no trade file and is left out: %s", path, fault)
            return
        if isinstance(record, dict) and {"trade_id", "realized_pnl"} <= record.keys():
            self._records[path.name] = record


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place, then move it there: nobody ever reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    beside.write_bytes(content)
    beside.replace(path)


def _is_of_one(kept: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    if kept["trade_id"] == record["trade_id"]:
        return True
    if any(kept.get(name) != record.get(name) for name in ("product_id", "side")):
        return False
    try:
        (begun, ended), (later_begun, later_ended) = _span_ns(kept), _span_ns(record)
    except ValueError:
        return False
    return begun < later_ended and later_begun < ended


def _span_ns(record: Mapping[str, Any]) -> tuple[int, int]:
    """Return when a trade began and ended; ValueError where a file does not tell."""
    return parse_ns(str(record.get("entry_time"))), parse_ns(str(record.get("exit_time")))


def _sample(record: Record) -> Record:
    pnl = record["realized_pnl"]
    outcome = None if pnl is None else "win" if pnl > 0 else "loss" if pnl < 0 else "break-even"
    names = ("product_id", "side", "entry_price", "exit_price", "holding_duration_hours")
    more = ("realized_pnl", "peak_pnl", "max_drawdown", "exit_reason")
    sample = {name: record.get(name) for name in (*names, *more)}
    sample["holding_hours"] = sample.pop("holding_duration_hours")
    return {**sample, "outcome": outcome}


def _money(amount: Decimal | None) -> str:
    return "n/a" if amount is None else f"{amount:,.2f}"
