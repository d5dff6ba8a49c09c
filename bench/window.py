"""Thirty days out of a year of trades: totals through blocks, beside a scan of the columns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from fillbook.ledger.amounts import total
from fillbook.ledger.blocks import Blocks

DAY_NS = 86_400 * 10**9
YEAR_NS = 365 * DAY_NS
TRADES = 3_000_000
GOAL = 0.01


def run() -> None:
    """Print the ratio, and what one late trade costs."""
    rng = np.random.default_rng(7)
    ts_ns = np.sort(rng.integers(0, YEAR_NS, TRADES))
    columns = [_money(rng, 10**12) for _ in range(4)]
    began = time.perf_counter()
    blocks = Blocks.build(columns, ts_ns)
    built = time.perf_counter() - began
    starts = (rng.integers(0, YEAR_NS - 30 * DAY_NS, 50)).tolist()

    def by_blocks() -> list[list[int]]:
        return [blocks.window(*blocks.rows_between(s, s + 30 * DAY_NS)) for s in starts]

    def by_scan() -> list[list[int]]:
        return [_scan(columns, ts_ns, s, s + 30 * DAY_NS) for s in starts[:5]]

    assert by_blocks()[:5] == by_scan(), "the two disagree"
    through, scanned = _seconds(by_blocks) / len(starts), _seconds(by_scan) / 5
    print(
        f"30 days of {TRADES:,} trades, 4 columns: blocks {through * 1e3:.3f} ms, scan "
        f"{scanned * 1e3:.1f} ms, 1/{scanned / through:,.0f} (goal 1/{1 / GOAL:.0f})"
    )
    late = [column[:1] for column in columns]
    seconds = _seconds(lambda: blocks.replace(TRADES // 2, TRADES // 2, late, _at(ts_ns)))
    print(f"  a late trade {seconds * 1e3:.3f} ms; all blocks built in {built * 1e3:.0f} ms")


def _money(rng: np.random.Generator, most: int) -> np.ndarray:
    """Return random amounts of a few hundred units, of both signs, as 128-bit pairs."""
    high = rng.integers(-40, 40, TRADES)
    low = rng.integers(-(2**63), 2**63 - 1, TRADES)
    return np.stack([high, low], axis=1)


def _at(ts_ns: np.ndarray) -> np.ndarray:
    return ts_ns[TRADES // 2 : TRADES // 2 + 1]


def _scan(columns: list[np.ndarray], ts_ns: np.ndarray, since: int, until: int) -> list[int]:
    """Return the same totals without an index: look at every trade's time, sum the chosen ones."""
    chosen = (ts_ns >= since) & (ts_ns < until)
    return [total(column[chosen]) for column in columns]


def _seconds(work: Callable[[], object], rounds: int = 5) -> float:
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


if __name__ == "__main__":
    run()
