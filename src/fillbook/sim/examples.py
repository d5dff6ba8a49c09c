"""The sample files under examples/: two days of the simulated month, with hourly marks.

    python -m fillbook.sim.examples examples

writes them again; the same bytes everywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from fillbook.sim.prices import HOUR_MS
from fillbook.sim.world import SEED, make_world
from fillbook.sim.writers import MonthFile, write_month

EXAMPLE_DAYS = 2


def write_examples(folder: Path) -> list[MonthFile]:
    """Write the sample files into `folder` and return them in the order to import them."""
    world = make_world(SEED, EXAMPLE_DAYS)
    hourly = tuple(mark for mark in world.marks if mark.ts_ms % HOUR_MS == 0)
    return write_month(msgspec.structs.replace(world, marks=hourly), folder)


if __name__ == "__main__":
    write_examples(Path(sys.argv[1]))
