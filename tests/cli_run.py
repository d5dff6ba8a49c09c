"""Runs the real command line in a process of its own, as a person or a script would."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

FILLS = """\
time,instrument,side,px,qty,fee,fee_asset,fill_id,strategy,decision_px,liquidity
2026-01-05T10:00:00Z,BTC,buy,100,2,0.2,USDT,f1,trend,99,taker
2026-01-05T12:00:00Z,BTC,sell,110,1,0.11,USDT,f2,trend,111,maker
2026-01-06T09:00:00Z,BTC,buy,120,1,0.12,USDT,f3,trend,120,taker
2026-01-07T09:00:00Z,BTC,sell,130,1,0.13,USDT,f4,trend,130,taker
2026-01-07T09:30:00Z,BTC,sell,130,1,0.13,USDT,f5,trend,130,taker
2026-01-08T00:00:00Z,ETH,sell,10,5,0.05,USDT,f6,maker,10,maker
"""


class Ran(NamedTuple):
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return standard output as JSON; numbers with a point are not touched."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, str]]:
        """Return standard output as CSV rows."""
        return list(csv.DictReader(io.StringIO(self.out)))


def environment(folder: Path, **extra: str) -> dict[str, str]:
    """Return an environment in which nothing of the person's own configuration counts."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FILLBOOK_")}
    kept.pop("COLUMNS", None)
    return {**kept, "XDG_STATE_HOME": str(folder / "state"), "NO_COLOR": "1", **extra}


def fillbook(folder: Path, *arguments: str, **extra: str) -> Ran:
    """Run `fillbook ARGUMENTS` in a folder; `extra` are environment variables."""
    done = subprocess.run(
        [sys.executable, "-m", "fillbook.cli.app", *arguments],
        cwd=folder,
        env=environment(folder, **extra),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in ran.err + ran.out, ran
    return ran


def book_of(folder: Path, fills: str = FILLS, *options: str) -> Path:
    """Make a book in a folder from generic fills of account A; return the folder."""
    (folder / "fills.csv").write_text(fills, encoding="utf-8")
    account = ("--account", "A", "--venue", "test", "--settle", "USDT")
    ran = fillbook(folder, "import", "fills.csv", *account, *options)
    assert ran.status == 0, ran
    return folder
