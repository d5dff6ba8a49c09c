"""The vectorbt half of the kernel's benchmark; runs in an environment that has vectorbt.

Usage: python vectorbt_side.py FOLDER ROUNDS. Reads size.npy, price.npy, fees.npy there, prints one
JSON line: seconds of each round, and what the trades sum to.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import vectorbt as vbt


def trades_of(size: Any, price: Any, fees: Any) -> Any:
    """Simulate the orders with cash that never runs out; return the exit trades."""
    portfolio = vbt.Portfolio.from_orders(
        price,
        size=size,
        price=price,
        fixed_fees=fees,
        direction="both",
        size_type="amount",
        init_cash=1e15,
    )
    return portfolio.trades.records


def main(folder: Path, rounds: int) -> None:
    """Time the rounds, the first one (which compiles) apart."""
    columns = [np.load(folder / f"{name}.npy") for name in ("size", "price", "fees")]
    seconds, records = [], trades_of(*columns)
    for _ in range(rounds):
        began = time.perf_counter()
        records = trades_of(*columns)
        seconds.append(time.perf_counter() - began)
    closed = records[records["status"] == 1]
    answer = {
        "version": vbt.__version__,
        "seconds": seconds,
        "trades": len(records),
        "pnl": float(closed["pnl"].sum()),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
