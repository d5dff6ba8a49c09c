"""What all tests share: where the larger corpus of real files is, and what happens without it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from soak_table import runs_in, table


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Return the folder of real files named by FILLBOOK_CORPUS.

    Without it the test is skipped, saying so; with FILLBOOK_REQUIRE_ALL=1 it fails instead.
    """
    named = os.environ.get("FILLBOOK_CORPUS", "")
    if named and Path(named).is_dir():
        return Path(named)
    missing = f"FILLBOOK_CORPUS={named!r} is not a folder: the real files are not here"
    if os.environ.get("FILLBOOK_REQUIRE_ALL") == "1":
        pytest.fail(missing)
    pytest.skip(missing)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what the kill runs came to, where there were any to speak of."""
    stats = terminalreporter.stats
    runs = runs_in([*stats.get("passed", ()), *stats.get("failed", ())])
    if any(run["kills"] >= 50 for run in runs):
        terminalreporter.section("kill runs")
        for line in table(runs):
            terminalreporter.write_line(line)
