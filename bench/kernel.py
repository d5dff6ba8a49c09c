"""The fold, measured beside what people use instead, on the same seeded fills in one run.

Ours is the full kernel: four rungs, 128-bit money, trades, fees, one thread.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal, localcontext
from pathlib import Path

import numpy as np
from bench.fills import FACTOR, PX_SCALE, QTY_SCALE, group_fills

from fillbook.ledger import layout
from fillbook.ledger.amounts import to_ints, total
from fillbook.ledger.fold import EventColumns, FoldResult, Outputs, fold_group

ROOT = Path(__file__).parent.parent
VECTORBT = "vectorbt==1.2.0"
ROUNDS = 5
BOOKS = 20


def run() -> None:
    """Print each figure with its goal."""
    against_decimal(100_000)
    against_vectorbt(1_000_000)
    throughput(10_000_000)


def seconds_of(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median seconds of some rounds, after one that is not counted."""
    work()
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def folder(events: EventColumns, n_books: int) -> Callable[[], FoldResult]:
    """Return the fold of some events into memory that is reused."""
    outputs = Outputs.allocate(len(events))
    return lambda: fold_group(
        events, method=layout.AVERAGE, factor=FACTOR, n_books=n_books, outputs=outputs
    )


def against_decimal(count: int) -> None:
    """Compare with a loop over Decimals that keeps one price instead of four rungs."""
    events = group_fills(count, BOOKS)
    qty = [Decimal(lots).scaleb(-QTY_SCALE) for lots in events.qty.tolist()]
    px = [Decimal(ticks).scaleb(-PX_SCALE) for ticks in events.px[:, 3].tolist()]
    fees = [Decimal(fee).scaleb(-18) for fee in to_ints(events.fee)]
    rows = list(zip(events.book.tolist(), qty, px, fees, strict=True))
    fold = folder(events, BOOKS)
    ours, theirs = seconds_of(fold), seconds_of(lambda: decimal_loop(rows), rounds=3)
    exact = Decimal(total(fold().outputs.realised[:, 3])).scaleb(-18)
    assert abs(exact - decimal_loop(rows)) < Decimal("1e-12"), "the two disagree"
    print(
        f"kernel against a Decimal loop, {count:,} fills: {theirs / ours:,.0f}x "
        f"({count / ours / 1e6:.1f} M against {count / theirs / 1e6:.2f} M fills/s)"
    )


def decimal_loop(rows: list[tuple[int, Decimal, Decimal, Decimal]]) -> Decimal:
    """Return realised PnL at average cost, with trades, the way one writes it by hand."""
    zero, grid = Decimal(0), Decimal("1e-18")
    books = {book: [zero, zero] for book in range(BOOKS)}
    open_trades: dict[int, list[Decimal]] = {}
    closed: list[list[Decimal]] = []
    whole = zero
    with localcontext(prec=50):
        for at, qty, px, fee in rows:
            book = books[at]
            held, cost = book
            trade = open_trades.setdefault(at, [zero, zero])
            trade[1] += fee
            if held * qty >= 0:
                book[0] += qty
                book[1] += qty * px
                continue
            closing = -held if abs(qty) > abs(held) else qty
            removed = cost if closing == -held else (cost * -closing / held).quantize(grid)
            realised = -closing * px - removed
            trade[0] += realised
            whole += realised
            book[0] += qty
            book[1] = cost - removed + (qty - closing) * px
            if closing == -held:
                closed.append(open_trades.pop(at))
    return whole


def against_vectorbt(count: int) -> None:
    """Compare with vectorbt's from_orders and its trade records: one book, floats, one price."""
    events = group_fills(count, 1)
    fold = folder(events, 1)
    before = seconds_of(fold)
    with tempfile.TemporaryDirectory() as place:
        np.save(f"{place}/size.npy", events.qty / 10**QTY_SCALE)
        np.save(f"{place}/price.npy", events.px[:, 3] / 10**PX_SCALE)
        np.save(f"{place}/fees.npy", events.fee[:, 1] / 1e18)
        side = Path(__file__).with_name("vectorbt_side.py")
        command = [str(vectorbt_python()), str(side), place, str(ROUNDS)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    theirs = json.loads(done.stdout)
    ours = statistics.median([before, seconds_of(fold)])
    result = fold()
    closed = result.trades[result.trades["close_event"] >= 0]
    net = (total(closed["realised"][:, 3]) - total(closed["fees"])) / 1e18
    seconds = statistics.median(theirs["seconds"])
    print(
        f"kernel against vectorbt {theirs['version']}, {count:,} fills: {seconds / ours:.1f}x "
        f"({count / ours / 1e6:.1f} M against {count / seconds / 1e6:.2f} M fills/s; goal 5x)"
    )
    print(f"  net of closed trades: {net:.2f}, vectorbt's exit trades {theirs['pnl']:.2f}")


def vectorbt_python() -> Path:
    """Return the interpreter of vectorbt's own environment, made at the first use."""
    place = ROOT / ".bench" / "vectorbt-venv"
    python = place / "bin" / "python"
    if not (place / "ready").exists():
        print(f"installing {VECTORBT} into {place.relative_to(ROOT)} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", VECTORBT], check=True)
        (place / "ready").touch()
    return python


def throughput(count: int) -> None:
    """Print fills per second over reused memory: one group of twenty books, and of one.

    Processor time stands beside the clock's, for a machine that is busy with something else.
    """
    for n_books in (BOOKS, 1):
        fold = folder(group_fills(count, n_books), n_books)
        fold()
        clock, processor = [], []
        for _ in range(ROUNDS):
            began, worked = time.perf_counter(), time.process_time()
            fold()
            clock.append(time.perf_counter() - began)
            processor.append(time.process_time() - worked)
        by_clock, by_processor = (
            count / statistics.median(taken) / 1e6 for taken in (clock, processor)
        )
        print(
            f"kernel, {count:,} fills in {n_books} books, memory reused: {by_clock:.1f} M fills/s "
            f"({by_processor:.1f} M by processor time; goal 25)"
        )


if __name__ == "__main__":
    run()
