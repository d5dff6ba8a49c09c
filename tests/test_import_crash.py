"""kill -9 in the middle of an import: run again, the ledger is that of an undisturbed import."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fillbook.analysis import summary
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal, verify_book
from fillbook.marks.series import MarkStore, marks_path
from fillbook.sources.files.registry import reparse

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
ROWS = 5000


def write_fills(path: Path, rows: int = ROWS) -> None:
    dice = random.Random(11)
    lines = ["time,instrument,side,px,qty,fee,fee_asset,fill_id"]
    for number in range(rows):
        at = f"2026-03-{1 + number // 1440:02d}T{number // 60 % 24:02d}:{number % 60:02d}:00Z"
        side = dice.choice(("buy", "sell"))
        px, qty = dice.randrange(9000, 11000), dice.randrange(1, 50)
        symbol = dice.choice(SYMBOLS)
        lines.append(f"{at},{symbol},{side},{px / 100:.2f},{qty},0.{qty:03d},USDT,{number}")
    path.write_text("\n".join(lines) + "\n")


def importing(book: Path, path: Path) -> subprocess.Popen[bytes]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("FILLBOOK_")}
    command = [sys.executable, "-m", "fillbook.cli.app", "import", str(path), "--book", str(book)]
    return subprocess.Popen(
        command, env=environ, cwd=path.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def digest_of(book: Path) -> str:
    with (
        Journal.open(book, readonly=True) as journal,
        MarkStore(marks_path(book), readonly=True) as marks,
    ):
        view = summary.load(journal, marks, Settings())
        assert view.ledger.groups
        return view.ledger.digest()


def struck(running: subprocess.Popen[bytes], journal: Journal, seq: int, pause_s: float) -> bool:
    """Kill an import a moment after the book reached a sequence; False when it ended before."""
    while running.poll() is None and journal.head().seq < seq:
        time.sleep(0.002)
    time.sleep(pause_s)
    is_amid = running.poll() is None
    if is_amid:
        running.send_signal(signal.SIGKILL)
    running.wait()
    return is_amid


def imported_with_kills(
    folder: Path, path: Path, kills: int, seed: int, whole_seq: int
) -> tuple[str, int]:
    """Kill the import amid its pages, then let it end; return the digest and true kills."""
    book, dice, amid = folder / "book.db", random.Random(seed), 0
    Journal.create(book).close()
    with Journal.open(book, readonly=True) as journal:
        for number in range(kills):
            reached = whole_seq * number // kills
            amid += struck(importing(book, path), journal, reached, dice.uniform(0, 0.03))
    assert importing(book, path).wait() == 0
    assert [f for f in verify_book(book, reparse) if f.severity == "error"] == []
    return digest_of(book), amid


def undisturbed(folder: Path, path: Path) -> tuple[str, int]:
    """Return the digest of an import that nobody killed, and the sequence it reached."""
    book = folder / "whole.db"
    Journal.create(book).close()
    assert importing(book, path).wait() == 0
    with Journal.open(book, readonly=True) as journal:
        return digest_of(book), journal.head().seq


def killed_often(folder: Path, rounds: int, seed: int) -> int:
    path = folder / "fills.csv"
    write_fills(path)
    expected, whole_seq = undisturbed(folder, path)
    amid = 0
    for number in range(rounds):
        place = folder / f"round{number}"
        place.mkdir()
        digest, kills = imported_with_kills(place, path, 5, seed + number, whole_seq)
        assert digest == expected, f"seed {seed + number}"
        amid += kills
    return amid


def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    assert killed_often(tmp_path, rounds=2, seed=1) >= 8


@pytest.mark.soak
def test_two_hundred_kills_change_nothing(tmp_path: Path) -> None:
    assert killed_often(tmp_path, rounds=40, seed=100) >= 160
