"""A bot that has its own positions watched: opened, partly closed, closed, and what they made.

    python examples/live_monitoring_example.py

Needs no network and no account: the platform is made up and moves its price on every question.
Replace `MadeUpPlatform` by anything that has `get_portfolio_breakdown()`.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fillbook.desks.trade_monitor import TradeMonitor

PRICES = (95_000, 95_900, 96_800, 96_500, 96_500)
INTERVAL_S = 0.2


class MadeUpPlatform:
    """Holds one long position for a few questions, then none."""

    def __init__(self) -> None:
        self.asked = 0

    def get_portfolio_breakdown(self) -> dict[str, Any]:
        """Answer as a broker would: every open position in one list."""
        self.asked += 1
        if self.asked > len(PRICES):
            return {"futures_positions": []}
        price = PRICES[self.asked - 1]
        return {
            "futures_positions": [
                {
                    "product_id": "BTC-20DEC30",
                    "side": "LONG",
                    "contracts": 2 if self.asked < 4 else 1,
                    "entry_price": 95_000,
                    "current_price": price,
                }
            ]
        }


def main() -> None:
    """Watch until the trade is over, then show its record and the statistics."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    with tempfile.TemporaryDirectory() as folder:
        monitor = TradeMonitor(
            platform=MadeUpPlatform(),
            detection_interval=INTERVAL_S,
            poll_interval=INTERVAL_S,
            folder=Path(folder) / "trade_metrics",
        )
        monitor.associate_decision("decision-7", "BTC-20DEC30")
        print("🔍 Starting Live Trade Monitor")
        monitor.start()
        finished = []
        while not finished:
            time.sleep(INTERVAL_S)
            finished = monitor.get_closed_trades()
        monitor.stop()
        for name in ("entry_price", "exit_price", "realized_pnl", "peak_pnl", "max_drawdown"):
            print(f"  {name}: {finished[0][name]}")
        statistics = monitor.get_aggregate_statistics()
        print(f"Trades: {statistics['total_trades']}, total PnL: {statistics['total_pnl']}")


if __name__ == "__main__":
    main()
