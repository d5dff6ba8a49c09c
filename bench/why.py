"""`fillbook why` on a book of a million fills: the first time, and when it was asked before."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.books import write_book

FILLS = 1_000_000
WARM_RUNS = 5
GOAL = 20
FOLDER = Path(".bench")


def run() -> Iterator[tuple[str, str, str]]:
    """Yield the seconds of a cold and a warm answer, real processes, and their ratio."""
    FOLDER.mkdir(exist_ok=True)
    book = FOLDER / f"why-{FILLS}.db"
    if not book.exists():
        write_book(book, FILLS)
    shutil.rmtree(f"{book}.cache", ignore_errors=True)
    cold = _asked(book)
    warm = statistics.median(_asked(book) for _ in range(WARM_RUNS))
    yield "cold", f"{cold:.2f} s", f"{FILLS:,} fills, nothing kept"
    yield "warm", f"{warm:.2f} s", f"1/{cold / warm:.0f} of cold (goal 1/{GOAL})"


def _asked(book: Path) -> float:
    """Ask once in a process of its own and return how long it took."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("FILLBOOK_")}
    command = [sys.executable, "-m", "fillbook.cli.app", "why", "--json", "--book", str(book)]
    begun = time.perf_counter()
    subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
