"""A monitor killed in the middle of its work, again and again, at a venue full of faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fillbook.ground.clock import DAY_NS
from kill_runs import ROWS, Outcome, Row, killed

venues = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.venue)
Record = Callable[[str, object], None]


def run(row: Row, folder: Path, seed: int, kills: int, days_ns: int, record: Record) -> None:
    def told(outcome: Outcome) -> None:
        record("kill run", outcome.text())

    killed(row, folder, seed, kills=kills, days_ns=days_ns, told=told)


@venues
def test_killed_in_the_middle_it_goes_on_and_ends_with_the_truth(
    tmp_path: Path, row: Row, record_property: Record
) -> None:
    run(row, tmp_path, 3, 4, DAY_NS // 4, record_property)


@pytest.mark.soak
@venues
@pytest.mark.parametrize("seed", range(200, 220))
def test_three_days_of_every_fault_and_fifty_kills_end_with_the_truth(
    tmp_path: Path, row: Row, seed: int, record_property: Record
) -> None:
    run(row, tmp_path, seed, 50, 3 * DAY_NS, record_property)
