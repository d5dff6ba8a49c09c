"""The example and the seven checks of live monitoring run as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_seven_checks_pass() -> None:
    done = subprocess.run(
        ["sh", str(ROOT / "demo_live_monitoring.sh")],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line[:5] for line in lines[:7]] == [f"✓ {n}/7" for n in range(1, 8)]
    assert lines[7] == "all seven checks passed"


def test_the_interpreter_may_be_named_from_where_one_stands(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    done = subprocess.run(
        ["sh", str(ROOT / "demo_live_monitoring.sh")],
        cwd=tmp_path,
        env={**os.environ, "PYTHON": "bin/python", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout.splitlines()[0] == "✓ 1/7 Python environment", done.stdout


def test_a_check_that_fails_ends_the_script_and_says_why(tmp_path: Path) -> None:
    # A package of the same name without the desks stands in front of the real one.
    (tmp_path / "fillbook").mkdir()
    (tmp_path / "fillbook" / "__init__.py").write_text('__version__ = "0"\n')
    done = subprocess.run(
        ["sh", str(ROOT / "demo_live_monitoring.sh")],
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].startswith("✗ 2/7")
    assert "ModuleNotFoundError" in done.stdout


def test_an_interpreter_without_fillbook_is_told_what_to_do(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')
    bare.chmod(0o755)
    done = subprocess.run(
        ["sh", str(ROOT / "demo_live_monitoring.sh")],
        env={**os.environ, "PYTHON": str(bare)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stdout.splitlines()[0].startswith("✗ 1/7")
    assert "run `make demo` once" in done.stdout and "Traceback" not in done.stdout


def test_the_example_tells_one_trade_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "live_monitoring_example.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.splitlines() == [
        "🔍 Starting Live Trade Monitor",
        "🔔 New trade detected: BTC-20DEC30_LONG",
        "✅ Started tracking trade: BTC-20DEC30_LONG",
        "✂ Trade reduced: BTC-20DEC30_LONG by 1 | PnL: $1,500.00",
        "📊 Trade completed: BTC-20DEC30_LONG | PnL: $3,000.00 before fees (unknown), "
        "estimated exit price (last observed)",
        "  entry_price: 95000",
        "  exit_price: 96500",
        "  realized_pnl: 3000",
        "  peak_pnl: 3600",
        "  max_drawdown: 600",
        "Trades: 1, total PnL: 3000",
    ]
    assert list(tmp_path.iterdir()) == []
